"""Every mistake in a rules file is told with its line, in words that say what to write; all of a file at once."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.builtin.apprise.notifier import check_url
from riskbot.rules import Rule
from riskbot.settings import Config, ConfigError, load
from tests.files import DEBT, EXAMPLE, KEYS, KINDS, MAIN_AND_PHONE

BAD = Path(__file__).parent / "data" / "bad"
ENV = {**KEYS, "EMPTY": ""}
VALID = f"\n{MAIN_AND_PHONE}\n{DEBT}"


def expected(path: Path) -> list[str]:
    """The first line: `# expect LINE: message | LINE: message`; … stands for anything."""
    first = path.read_bytes().decode("utf-8-sig").split("\n", 1)[0]
    return first.strip().removeprefix("# expect ").split(" | ")


def matches(pattern: str, said: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), said) is not None


def mistakes(path: Path, env: dict[str, str] | None = None, kinds: dict[str, type[Rule]] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, kinds or KINDS, env or ENV, check_url)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_each_mistake_of_a_file_is_told_with_its_line_and_what_to_write(path: Path) -> None:
    said = [mistake.replace(str(BAD), "BAD") for mistake in mistakes(path)]

    wanted = expected(path)
    assert len(said) == len(wanted), said
    assert [pair for pair in zip(wanted, said, strict=True) if not matches(*pair)] == []
    assert not any("Input should" in mistake for mistake in said)


@pytest.mark.parametrize("name", ["many", "syntax-unquoted-percent", "receiver-url", "shape-scalars"])
def test_the_program_tells_the_mistakes_on_stderr_and_ends_with_2(name: str) -> None:
    path = BAD / f"{name}.toml"
    run = subprocess.run(
        [Path(sys.executable).with_name("riskbot"), "check", "-c", path],
        capture_output=True,
        text=True,
        check=False,
        env=ENV,
    )

    said = run.stderr.replace(f"{path}:", "").splitlines()
    assert (run.returncode, run.stdout) == (2, "")
    assert [pair for pair in zip(expected(path), said, strict=False) if not matches(*pair)] == []
    assert "Traceback" not in run.stderr
    assert re.fullmatch(r"\d+ mistakes?; nothing was started\.", said[-1])


def test_a_file_that_cannot_be_read_is_told_with_its_path(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes("# Überschuldung".encode("latin-1"))

    for path, why in (
        (tmp_path / "rules.toml", "not found; riskbot init writes one, or give --config FILE"),
        (tmp_path, "can't read it: Is a directory"),
        (latin, "can't read it: it is not UTF-8 text"),
        (Path("nul\0"), "can't read it: this is no path"),
    ):
        assert mistakes(path) == [f" {why}"]


@pytest.mark.parametrize("depth", [*range(150, 520, 12), 5000])
def test_brackets_in_brackets_are_told_however_deep(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f"{VALID}ccy = {'[' * depth}{']' * depth}\n")

    assert len(mistakes(path)) == 1


# ---------------------------------------------------------------- a plugin's kind


class Raising(Rule, kind="raising", worse="above"):
    """Fails while it is made."""

    word: str = ""

    def model_post_init(self, _context: Any, /) -> None:
        raise KeyError(self.word)


class Talking(Rule, kind="talking", worse="above"):
    """Repeats its values in its errors."""

    word: str = ""
    words: tuple[str, ...] = ()

    def model_post_init(self, _context: Any, /) -> None:
        raise ValueError(f"no good: {self.word} and {self.words}")


def test_a_kind_that_fails_is_told_without_its_values(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    rule = '\n[[rules]]\nname = "{0}"\nkind = "{0}"\nabove = {{ warning = 1 }}\nword = "letmein-1"\n'
    path.write_text(f'{VALID}{rule.format("raising")}{rule.format("talking")}words = ["letmein-2"]\n')

    assert mistakes(path, kinds={**KINDS, "raising": Raising, "talking": Talking}) == [
        '18: the kind "raising" fails at these values: KeyError',
        "24: no good: … and ('…',)",
    ]


# ---------------------------------------------------------------- any text at all


def outcome(path: Path, text: str) -> Config | ConfigError:
    """Config or ConfigError, whose every mistake has a line of the file."""
    path.write_bytes(text.encode())
    try:
        return load(path, KINDS, ENV)
    except ConfigError as error:
        lines = len(re.split("\r\n|\r|\n", text))
        for problem in error.problems:
            where = problem.where.removeprefix(f"{path}:")
            assert where.isdigit()
            assert 1 <= int(where) <= lines
            assert problem.text
        return error


PIECES = """
[[rules]] [[accounts]] [receivers] [receivers.phone] [rules.below] = " ' \'\'\' { } [ ] % # . ${ ${X} file: credential:
nan -inf 1e999999 "9e999999" -1 true 1979-05-27 🚨 \ufeff \0 "\\u0000" below. accounts=3 receivers=[] rules={}
"""
SNIPPETS = [*PIECES.split(), '"""', "\n", "\r\n", "\t", "9" * 400]
EDIT = st.tuples(
    st.integers(0, EXAMPLE.stat().st_size),
    st.sampled_from([0, 0, 1, 5, 40]),
    st.sampled_from(["", *SNIPPETS]) | st.text(max_size=3),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "rules.toml"


@settings(max_examples=300, deadline=None)
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
def test_an_example_with_any_damage_gives_a_config_or_its_mistakes(
    file: Path, edits: list[tuple[int, int, str]]
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for at, gone, new in edits:
        text = text[:at] + new + text[at + gone :]

    outcome(file, text.encode("utf-8", "replace").decode())


WORDS = """
main phone change margin_ratio level threshold blind adjEq details.liab details.twap 10% $5 1h 90s warning critical
info global ${OKX_API_KEY} ${NO} file:no json://localhost 9e999999 1e-999999
"""
KEY_WORDS = """
name kind api_key api_secret passphrase url region base_url demo ccy poll_every min_severity field below above path
at_least rises_by falls_by over for accounts receivers enabled min_usd hysteresis warning critical phone
labels message include listen token max_series every at timezone
"""
SCALARS = (
    st.sampled_from(WORDS.split()) | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3) | st.dates()
)
KEYS = st.sampled_from(KEY_WORDS.split())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=9)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "accounts": st.lists(TABLES, max_size=2) | VALUES,
        "receivers": st.dictionaries(KEYS, TABLES, max_size=2) | VALUES,
        "rules": st.lists(TABLES, max_size=3) | VALUES,
        "store": TABLES | VALUES,
        "web": TABLES | VALUES,
        "heartbeat": TABLES | VALUES,
        "start": TABLES | VALUES,
        "daily": TABLES | VALUES,
        "include": st.lists(st.sampled_from(["*.toml", "no/*.toml", "[", ""]), max_size=2) | VALUES,
        "storage": VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(document=DOCUMENTS)
def test_any_document_gives_a_config_or_its_mistakes(file: Path, document: dict[str, Any]) -> None:
    outcome(file, tomli_w.dumps(document))


# ---------------------------------------------------------------- secrets

SECRET = "Zk9vQ2x7LmP4wT8s"
PLACES = [
    ('api_key = "key"', 'api_key = "{}"'),
    ('api_secret = "secret"', 'api_secret = "{}"'),
    ('passphrase = "phrase"', 'passphrase = "{}"'),
    ('"phrase"', '"phrase"\nregion = "{}"'),
    ('"phrase"', '"phrase"\nbase_url = "{}"'),
    ('"phrase"', '"phrase"\nbase_url = "https://user:{}@okx.com"'),
    ('"phrase"', '"phrase"\npoll_every = "{}"'),
    ('"phrase"', '"phrase"\ndemo = "{}"'),
    ('"phrase"', '"phrase"\napikey = "{}"'),
    ('"phrase"', '"phrase\\n{}"'),
    ("[receivers.phone]", '[heartbeat]\nurl = "{}"\n[receivers.phone]'),
    ("[receivers.phone]", '[heartbeat]\nurl = "https://hc-ping.com/{}"\n[receivers.phone]'),
    ("[receivers.phone]", '[heartbeat]\nurl = "http://hc-ping.com/{}"\n[receivers.phone]'),
    ("[receivers.phone]", '[heartbeat]\nurl = ["{}"]\n[receivers.phone]'),
    ('"json://localhost"', '"{}"'),
    ('"json://localhost"', '"tgram://{}/chat"'),
    ('"json://localhost"', '"json://localhost"\nmin_severity = "{}"'),
    ('"json://localhost"', '["{}"]'),
    ('"change"', '"{}"'),
    ('"details.liab"', '"{}"'),
    ('{ warning = "10%" }', '{{ warning = "{}" }}'),
    ('{ warning = "10%" }', '"{}"'),
    ('"1h"', '"{}"'),
    ('"1h"', '"1h"\nmin_usd = "{}"'),
    ('"1h"', '"1h"\naccounts = ["{}"]'),
    ('"1h"', '"1h"\nreceivers = ["{}"]'),
    ('"1h"', '"1h"\nreceivers = "{}"'),
    ('"1h"', '"1h"\nmessage = "{{{}}}"'),
    ('"1h"', '"1h"\n[web]\ntoken = "{}"'),
    ('"1h"', '"1h"\n[web]\ntoken = "{} "'),
    ('"1h"', '"1h"\n[web]\nlisten = "{}"'),
    ('"1h"', '"1h"\n[web]\nmax_series = "{}"'),
    ('"1h"', '"1h"\nmessage = "{{value:{}}}"'),
]


@pytest.mark.parametrize("written", [SECRET, "${SECRET}"], ids=["literal", "variable"])
@pytest.mark.parametrize("also", ["", '\n[[rules]]\nname = "debt"\nkind = "nonsense"\n'], ids=["alone", "among others"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1].replace("\n", " "))
def test_no_secret_is_seen_wherever_it_stands(tmp_path: Path, place: tuple[str, str], also: str, written: str) -> None:
    path = tmp_path / "rules.toml"
    old, new = place
    path.write_text(VALID.replace(old, new.format(written), 1) + also)
    path.chmod(path.stat().st_mode | stat.S_IROTH)

    try:
        config = load(path, KINDS, {**ENV, "SECRET": SECRET}, check_url)
        seen = [repr(config), str(config), *map(repr, config.accounts), *map(str, config.warnings)]
    except ConfigError as error:
        seen = [str(error), repr(error), repr(error.problems), *traceback.format_exception(error)]

    assert not any(SECRET in text for text in seen)


@pytest.mark.parametrize(
    "told", ['message = "${SECRET}"', 'labels = { desk = "${SECRET}" }', 'message = "{${SECRET}}"']
)
def test_no_secret_is_filled_into_words_that_are_told(tmp_path: Path, told: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f"{VALID}{told}\n")

    with pytest.raises(ConfigError, match=r"would be told") as caught:
        load(path, KINDS, {**ENV, "SECRET": SECRET})

    assert SECRET not in str(caught.value)
