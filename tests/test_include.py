"""Rules in more than one file: read as one, each mistake told with its own file and line, each change noticed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from riskbot import settings
from riskbot.settings import Config, ConfigError, Stamps, load
from tests.files import DEBT, KINDS, MAIN_AND_PHONE

MAIN = f"""include = ["rules.d/*.toml"]

{MAIN_AND_PHONE}
[[rules]]
name = "ratio"
kind = "margin_ratio"
below = {{ warning = 5 }}
"""
EQUITY = """[[rules]]
name = "equity"
kind = "threshold"
field = "adjEq"
below = { warning = 5000 }
"""
DESK = """[receivers.desk]
url = "json://localhost:1"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.d").mkdir()
    write("rules.toml", MAIN)
    return tmp_path


def write(name: str, text: str, mode: int = 0o600) -> None:
    Path(name).write_text(text)
    Path(name).chmod(mode)


def loaded(**env: str) -> Config:
    return load(Path("rules.toml"), KINDS, env)


def mistakes(**env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(**env)
    return [str(problem) for problem in caught.value.problems]


def warnings(**env: str) -> list[str]:
    return [str(warning) for warning in loaded(**env).warnings]


def names(config: Config) -> list[str]:
    return [rule.name for rule in config.rules]


pytestmark = pytest.mark.usefixtures("folder")


def test_rules_and_receivers_of_other_files_are_added_in_the_order_of_their_names() -> None:
    write("rules.d/b.toml", DEBT)
    write("rules.d/a.toml", EQUITY + 'receivers = ["desk"]\n' + DESK)

    config = loaded()

    assert names(config) == ["ratio", "equity", "debt", "blind", "key_safety"]
    assert list(config.receivers) == ["phone", "desk"]
    assert [str(file) for file in config.files] == ["rules.toml", "rules.d/a.toml", "rules.d/b.toml"]
    assert config.warnings == ()


def test_each_pattern_adds_what_the_ones_before_have_not() -> None:
    write("rules.toml", MAIN.replace('["rules.d/*.toml"]', '["rules.d/z.toml", "${FOLDER}/*.toml", "*.toml"]'))
    write("rules.d/a.toml", EQUITY)
    write("rules.d/z.toml", DEBT)
    Path("rules.d/folder.toml").mkdir()

    assert names(loaded(FOLDER="rules.d")) == ["ratio", "debt", "equity", "blind", "key_safety"]


def test_the_main_file_may_leave_rules_and_receivers_to_the_others(folder: Path) -> None:
    main, _, _ = MAIN.partition("[receivers")
    write("rules.toml", main.replace("rules.d", f"{folder}/rules.d"))
    write("rules.d/all.toml", DEBT + DESK)

    config = loaded()

    assert (names(config), list(config.receivers)) == (["debt", "blind", "key_safety"], ["desk"])


def test_a_mistake_is_told_with_its_own_file_and_line() -> None:
    write("rules.toml", MAIN.replace("warning = 5", 'warning = "x"'))
    write("rules.d/debt.toml", DEBT.replace("1h", "1 hour"))
    write("rules.d/equity.toml", EQUITY + EQUITY.replace("adjEq", "adjeq").replace('"equity"', '"more"'))

    assert mistakes() == [
        'rules.toml:15: warning: not a number: write 3, 1.5 or "300%"',
        'rules.d/debt.toml:6: over: not a duration: write "90s", "1h30m" or "7d"',
        'rules.d/equity.toml:9: field: OKX has no field "adjeq"; did you mean "adjEq"?',
    ]


def test_a_file_that_can_not_be_read_names_itself_and_the_others_are_judged_all_the_same() -> None:
    write("rules.d/a.toml", 'name = "x\n')
    write("rules.d/b.toml", DEBT.replace("debt", ""))
    Path("rules.d/c.toml").symlink_to("nowhere")
    Path("rules.d/d.toml").write_bytes(b"\xff")

    assert mistakes() == [
        'rules.d/a.toml:1: not valid TOML: the text is not closed: a " is missing at its end',
        "rules.d/c.toml: not found; riskbot init writes one, or give --config FILE",
        "rules.d/d.toml: can't read it: it is not UTF-8 text",
        "rules.d/b.toml:2: name: is empty",
    ]


def test_an_included_file_holds_rules_and_receivers_only() -> None:
    account = '[[accounts]]\nname = "two"\n'
    write("rules.d/a.toml", f'include = ["x.toml"]\n{DEBT}{account}[store]\npath = "x"\n')
    write("rules.d/b.toml", '[[rule]]\nname = "x"\n[rules]\n[x]\n[[receivers]]\nurl = "x"\n')

    belongs = "belongs in the main file; an included one holds rules, cases and receivers only"
    assert mistakes() == [
        f"rules.d/a.toml:1: include: {belongs}",
        f"rules.d/a.toml:8: accounts: {belongs}",
        f"rules.d/a.toml:10: store: {belongs}",
        'rules.d/b.toml:1: unknown key "rule"; did you mean "rules"?',
        "rules.d/b.toml:3: rules: write [[rules]] and its keys below it",
        'rules.d/b.toml:4: unknown key "x"; known are rules, receivers, cases',
        "rules.d/b.toml:5: receivers: write [receivers.NAME] and its keys below it",
    ]


def test_names_are_unique_across_files() -> None:
    write("rules.d/a.toml", DEBT + DEBT)
    write("rules.d/b.toml", EQUITY.replace("equity", "ratio") + DEBT + DESK.replace("desk", "phone"))

    assert mistakes() == [
        "rules.d/a.toml:8: name: one of the rules above has it already; give another",
        "rules.d/b.toml:2: name: one of the rules in rules.toml has it already; give another",
        "rules.d/b.toml:7: name: one of the rules in rules.d/a.toml has it already; give another",
        "rules.d/b.toml:12: a receiver in rules.toml has this name already; give another",
    ]


def test_who_is_named_in_another_file_must_be_there() -> None:
    write("rules.d/a.toml", DEBT + 'accounts = ["mian"]\nreceivers = ["phone", "desk"]\n')
    write("rules.d/b.toml", DESK + 'fallback = ["phnoe"]\n')

    assert mistakes() == [
        'rules.d/a.toml:7: no account "mian"; did you mean "main"?',
        'rules.d/b.toml:3: no receiver "phnoe"; did you mean "phone"?',
    ]


@pytest.mark.parametrize(
    ("include", "said"),
    [
        ('"rules.d/*.toml"', 'include: write a list: include = ["…", "…"]'),
        ("[3]", 'include: write a text in "quotes"'),
        ('[""]', "include: is empty"),
        ('["${NO}.toml"]', "the environment variable NO is not set"),
        ("{ a = 1 }", 'include: write a list: include = ["…", "…"]'),
    ],
)
def test_include_is_a_list_of_patterns(include: str, said: str) -> None:
    write("rules.toml", MAIN.replace('["rules.d/*.toml"]', include))

    assert mistakes() == [f"rules.toml:1: {said}"]


@pytest.mark.parametrize("pattern", ["rules.d/*.toml", "[", "nul\\u0000", "nul\\u0000/*", "no/where.toml"])
def test_a_pattern_that_matches_nothing_is_warned_of(pattern: str) -> None:
    write("rules.toml", MAIN.replace("rules.d/*.toml", pattern))

    assert warnings() == ["rules.toml:1: include: no file matches this, so nothing is included"]


def test_a_secret_in_an_included_file_is_filled_in_and_must_not_lie_open() -> None:
    write("rules.d/a.toml", '[receivers.desk]\nurl = "tgram://${TOKEN}/1"\n[receivers.mail]\nurl = "file:mail"\n')
    write("rules.d/mail", "json://me:secret@localhost\n")
    write("rules.d/b.toml", '[receivers.other]\nurl = "tgram://literal/1"\n', 0o644)

    urls = {name: receiver.url.get_secret_value() for name, receiver in loaded(TOKEN="t").receivers.items()}

    assert urls["desk"] == "tgram://t/1"
    assert urls["mail"] == "json://me:secret@localhost"
    hint = "others can read this file and the secret in it: chmod 600 b.toml, or write ${NAME}"
    assert warnings(TOKEN="t") == [f"rules.d/b.toml:2: url: {hint}"]
    assert mistakes() == ["rules.d/a.toml:2: the environment variable TOKEN is not set"]


def test_a_doubt_about_an_included_rule_is_told_with_its_own_file() -> None:
    write("rules.d/a.toml", DEBT + "ccy = []\n")

    assert warnings() == ["rules.d/a.toml:7: ccy = [] leaves nothing over: the rule will never be told; name some"]


def test_the_shape_of_the_main_file_is_told_though_another_has_the_right_one() -> None:
    main, _, _ = MAIN.partition("[receivers")
    write("rules.toml", main.replace("\n\n", "\nrules = 3\nreceivers = 4\n", 1))
    write("rules.d/a.toml", DEBT + DESK)

    assert mistakes() == [
        "rules.toml:2: rules: write [[rules]] and its keys below it",
        "rules.toml:3: receivers: write [receivers.NAME] and its keys below it",
    ]


def test_a_look_at_the_document_has_all_files_and_no_secret() -> None:
    write("rules.d/a.toml", DEBT + DESK.replace("json://localhost:1", "${TOKEN}"))

    document = settings.document(Path("rules.toml"))

    assert [rule["name"] for rule in document["rules"]] == ["ratio", "debt"]
    assert document["receivers"]["desk"] == {"url": "${TOKEN}"}
    assert settings.document(Path("no.toml")) == {}


# ---------------------------------------------------------------- noticing a change


def test_the_stamp_changes_with_every_file_that_is_edited_added_or_removed() -> None:
    stamp = Stamps(Path("rules.toml"))
    seen = [stamp(), stamp()]
    assert seen[0] == seen[1]

    write("rules.d/a.toml", DEBT)
    seen.append(stamp())
    write("rules.d/a.toml", EQUITY)
    seen.append(stamp())
    Path("rules.d/a.toml").unlink()
    seen.append(stamp())
    write("rules.d/other.txt", DEBT)
    seen.append(stamp())

    assert [after != before for before, after in pairwise(seen[1:])] == [True, True, True, False]


def test_the_stamp_follows_an_include_that_was_refused() -> None:
    stamp = Stamps(Path("rules.toml"))
    write("rules.toml", MAIN.replace("rules.d", "new"))
    before = stamp()
    Path("new").mkdir()
    write("new/bad.toml", "x =\n")

    bad = stamp()
    write("new/bad.toml", DEBT)

    assert before != bad
    assert stamp() != bad


def test_a_main_file_that_is_broken_or_gone_has_a_stamp_of_its_own() -> None:
    stamp = Stamps(Path("rules.toml"))
    good = stamp()
    write("rules.toml", "x =\n")
    broken = stamp()
    Path("rules.toml").unlink()

    assert len({str(seen) for seen in (good, broken, stamp())}) == 3
