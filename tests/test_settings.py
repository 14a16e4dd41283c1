"""What a valid rules file becomes: secrets filled in, defaults added, doubts told as warnings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import pytest

from riskbot.cli.common import secrets
from riskbot.settings import Config, ConfigError, find_db, load
from tests.files import EXAMPLE, KEYS, KINDS

ACCOUNT = """
[[accounts]]
name = "{}"
api_key = "${{OKX_API_KEY}}"
api_secret = "${{OKX_API_SECRET}}"
passphrase = "${{OKX_API_PASSPHRASE}}"
"""
MAIN = ACCOUNT.format("main")
PHONE = """
[receivers.phone]
url = "${RISKBOT_PHONE}"
"""
SIREN = """
[receivers.siren]
url = "json://localhost"
min_severity = "emergency"
"""
RATIO = """
[[rules]]
name = "ratio"
kind = "margin_ratio"
below = { warning = 5, critical = 3 }
"""

Make = Callable[..., Config]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Loads a rules file of this text; `env` adds to what is set."""

    def make(text: str, mode: int = 0o600, **env: str) -> Config:
        path = tmp_path / "rules.toml"
        path.write_text(text)
        path.chmod(mode)
        return load(path, KINDS, {**KEYS, **env})

    return make


def warned(config: Config) -> list[str]:
    return [str(warning).rpartition("rules.toml:")[2] for warning in config.warnings]


def test_the_example_is_right_and_each_of_its_rules_is_on() -> None:
    config = load(EXAMPLE, KINDS, KEYS)

    assert config.warnings == ()
    assert {rule.kind for rule in config.rules} <= set(KINDS)
    assert all(rule.enabled and rule.ladder().rungs for rule in config.rules)
    names = ["margin ratio", "liquidation", "forced repayment", "collateral conversion", "debt grows", "equity melts"]
    assert [rule.name for rule in config.rules][:6] == names


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STATE_DIRECTORY", "/state")

    assert load(EXAMPLE, KINDS).accounts[0].api_key.get_secret_value() == "key-of-okx"
    assert find_db(EXAMPLE) == Path("/state/riskbot.db")


# ---------------------------------------------------------------- secrets


def url_of(config: Config) -> str:
    return config.receivers["phone"].url.get_secret_value()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("tgram://${A}/${B}", "tgram://a-a/${A}"),
        ("${A}${B}", "a-a${A}"),
        ("$${A}", "$a-a"),
        ("$A {A} $", "$A {A} $"),
        ("{${A}}", "{a-a}"),
        ("json://file:x", "json://file:x"),
        ("plain", "plain"),
    ],
)
def test_variables_are_filled_in_once_wherever_they_stand(make: Make, written: str, meant: str) -> None:
    config = make(f'{MAIN}[receivers.phone]\nurl = "{written}"\n', A="a-a", B="${A}")

    assert url_of(config) == meant


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("token", "token"),
        ("token\n", "token"),
        ("token\r\n", "token"),
        ("\ufefftoken\n", "token"),
        (" token \n\n", " token \n"),
        ("${A}", "${A}"),
    ],
)
def test_a_secret_of_a_file_loses_one_line_break(make: Make, tmp_path: Path, content: str, secret: str) -> None:
    (tmp_path / "token").write_bytes(content.encode())

    for reference in ("file:token", f"file:{tmp_path}/token"):
        assert url_of(make(f'{MAIN}[receivers.phone]\nurl = "{reference}"\n')) == secret


def test_a_secret_may_lie_at_home(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("token")
    monkeypatch.setenv("HOME", str(tmp_path))

    assert url_of(make(f'{MAIN}[receivers.phone]\nurl = "file:~/token"\n')) == "token"


def test_a_credential_of_systemd_is_read(make: Make, tmp_path: Path) -> None:
    (tmp_path / "phone").write_text("token\n")

    config = make(f'{MAIN}[receivers.phone]\nurl = "credential:phone"\n', CREDENTIALS_DIRECTORY=str(tmp_path))

    assert url_of(config) == "token"


def test_a_missing_credential_is_told(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"9: can't read the secret in '.*/phone': No such file"):
        make(f'{MAIN}\n[receivers.phone]\nurl = "credential:phone"\n', CREDENTIALS_DIRECTORY=str(tmp_path))


def test_what_fails_for_want_of_a_secret_is_told_once(make: Make) -> None:
    names = ACCOUNT.format("${A}") + ACCOUNT.format("${B}")

    with pytest.raises(ConfigError) as caught:
        make(f'{names}region = "${{C}}"\n{PHONE}')

    assert [problem.text for problem in caught.value.problems] == [
        f"the environment variable {name} is not set" for name in "ABC"
    ]


# ---------------------------------------------------------------- what a file becomes


def test_values_are_typed_and_have_defaults(make: Make) -> None:
    account = f'{MAIN}base_url = "http://127.0.0.1:8080/"\npoll_every = "500ms"\nccy = ["BTC"]\n'
    config = make(f'{account}{PHONE}min_severity = "critical"\n')

    (main,) = config.accounts
    assert (main.base_url, main.poll_every, main.ccy, main.demo) == ("http://127.0.0.1:8080/", 0.5, ("BTC",), False)
    assert config.receivers["phone"].severity.label == "critical"


@pytest.mark.parametrize(
    "url", ["https://okx.example", "https://[2001:db8::1]:8443/base", "http://[::1]:1", "http://LOCALHOST"]
)
def test_another_base_url_may_be_secure_or_of_this_machine(make: Make, url: str) -> None:
    assert make(f'{MAIN}base_url = "{url}"\n{PHONE}').accounts[0].base_url == url


def names(config: Config, kind: str) -> list[tuple[str, Any]]:
    return [(rule.name, rule.accounts) for rule in config.rules if rule.kind == kind]


def test_blindness_is_watched_even_if_the_file_says_nothing(make: Make) -> None:
    assert names(make(MAIN + PHONE + RATIO), "blind") == [("blind", None)]


def test_a_tuned_blind_rule_stands_alone(make: Make) -> None:
    rule = '[[rules]]\nname = "no sight"\nkind = "blind"\nafter = "5s"\n'

    assert names(make(MAIN + PHONE + rule), "blind") == [("no sight", None)]


def test_a_blind_rule_for_some_accounts_leaves_the_default_to_the_others(make: Make) -> None:
    rule = '[[rules]]\nname = "blind"\nkind = "blind"\nafter = "5s"\naccounts = ["two"]\n'
    accounts = MAIN + ACCOUNT.format("two")

    assert names(make(accounts + PHONE + rule), "blind") == [("blind", ("two",)), ("blind 2", ("main",))]


def test_a_name_that_is_taken_is_not_given_to_a_default(make: Make) -> None:
    rules = RATIO.replace("ratio", "blind", 1) + RATIO.replace("ratio", "blind 2", 1)

    assert names(make(MAIN + PHONE + rules), "blind") == [("blind 3", None)]


def test_a_rule_that_is_off_is_kept_and_watches_nothing(make: Make) -> None:
    config = make(MAIN + PHONE + RATIO + "enabled = false\n" + RATIO.replace('"ratio"', '"other"'))

    assert [(rule.name, rule.watches("main")) for rule in config.rules] == [
        ("ratio", False), ("other", True), ("blind", True), ("key_safety", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("store", "env", "db"),
    [
        ("", {}, "{folder}/riskbot.db"),
        ('[store]\npath = "data/risk.db"', {}, "{folder}/data/risk.db"),
        ('[store]\npath = "/data/risk.db"', {}, "/data/risk.db"),
        ('[store]\npath = "~/risk.db"', {}, "/home/trader/risk.db"),
        ('[store]\npath = "~nobody-knows/risk.db"', {}, "{folder}/~nobody-knows/risk.db"),
        ('[store]\npath = "${NAME}.db"', {"NAME": "risk"}, "{folder}/risk.db"),
        ("", {"STATE_DIRECTORY": "/var/lib/riskbot"}, "/var/lib/riskbot/riskbot.db"),
        ("", {"STATE_DIRECTORY": "/var/lib/riskbot:/var/lib/other"}, "/var/lib/riskbot/riskbot.db"),
        ('[store]\npath = "/data/risk.db"', {"STATE_DIRECTORY": "/var/lib/riskbot"}, "/data/risk.db"),
    ],
)
def test_the_store_lies_beside_the_file_or_where_it_is_told(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, env: dict[str, str], db: str
) -> None:
    monkeypatch.setenv("HOME", "/home/trader")

    config = make(f"{store}\n{MAIN}{PHONE}", **env)

    assert config.db == Path(db.format(folder=tmp_path))
    assert find_db(tmp_path / "rules.toml", env) == config.db


def test_the_store_is_found_without_keys_and_in_spite_of_wrong_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('accounts = 3\n[[rules]]\nkind = "x"\n[store]\npath = "x.db"\n')

    assert find_db(path, {}) == tmp_path / "x.db"


def test_a_wrong_store_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[store]\npath = "${NO}"\npaht = "x"\n')

    with pytest.raises(ConfigError) as caught:
        find_db(path, {})

    assert [str(problem) for problem in caught.value.problems] == [
        f"{path}:2: the environment variable NO is not set",
        f'{path}:3: unknown key "paht"; did you mean "path"?',
    ]


# ---------------------------------------------------------------- warnings


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_literal_key_that_others_can_read_is_warned_of(make: Make, mode: int) -> None:
    text = MAIN.replace("${OKX_API_SECRET}", "literal") + PHONE + RATIO

    hint = "5: api_secret: others can read this file and the secret in it: chmod 600 rules.toml, or write ${NAME}"
    assert warned(make(text, mode)) == [hint]
    assert warned(make(text, 0o600)) == []


@pytest.mark.parametrize(
    ("url", "open_secret"),
    [
        ("tgram://123:token/456", True),
        ("mailto://me:word@example.org", True),
        ("json://localhost?token=x", True),
        ("json://localhost:8080/", False),
        ("tgram://${OKX_API_KEY}/456", False),
        ("file:token", False),
    ],
)
def test_a_literal_token_in_a_url_is_warned_of(make: Make, tmp_path: Path, url: str, *, open_secret: bool) -> None:
    (tmp_path / "token").write_text("json://localhost")

    said = warned(make(f'{MAIN}\n[receivers.phone]\nurl = "{url}"\n{RATIO}', 0o644))

    assert [text[:8] for text in said if "url" in text] == (["9: url: "] if open_secret else [])


@pytest.mark.parametrize(("url", "said"), [("https://hc-ping.com/uuid", ["2: url: "]), ("${RISKBOT_BEAT}", [])])
def test_a_literal_heartbeat_url_that_others_can_read_is_warned_of(make: Make, url: str, said: list[str]) -> None:
    config = make(f'[heartbeat]\nurl = "{url}"\n{MAIN}{PHONE}{RATIO}', 0o644, RISKBOT_BEAT="https://hc-ping.com/uuid")
    assert [text[:8] for text in warned(config)] == said
    assert config.heartbeat is not None
    assert (config.heartbeat.url.get_secret_value(), config.heartbeat.every) == ("https://hc-ping.com/uuid", 60.0)


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (PHONE, ["1: no rule is on: only blindness will be told"]),
        (f'{PHONE}min_severity = "critical"\n{RATIO}', []),
        (f"{PHONE}{RATIO}enabled = false\n", ["11: no rule is on: only blindness will be told"]),
        (
            f'{PHONE}[[rules]]\nname = "b"\nkind = "blind"\n',
            ["10: no rule is on: only blindness will be told"],
        ),
        (
            f"{PHONE}{RATIO}accounts = []\nccy = []\nreceivers = []\n",
            [
                "15: accounts = [] leaves nothing over: the rule will never be told; name some",
                "16: ccy = [] leaves nothing over: the rule will never be told; name some",
                "17: receivers = [] leaves nothing over: the rule will never be told; name some",
            ],
        ),
        (
            f'{PHONE}min_severity = "emergency"\n{RATIO}',
            [
                "8: critical alerts are told to nobody: each min_severity is above them",
                "12: told to nobody: its worst tier is critical, and each min_severity is above that",
            ],
        ),
        (
            f'{PHONE}{SIREN}{RATIO}receivers = ["siren"]',
            ["15: told to nobody: its worst tier is critical, and each min_severity is above that"],
        ),
    ],
)  # fmt: skip
def test_danger_that_nobody_would_hear_of_is_warned_of(make: Make, text: str, warnings: list[str]) -> None:
    assert warned(make(MAIN + text)) == warnings


# ---------------------------------------------------------------- the section web

WEB = "[web]\n"
TOKEN = "0123456789abcdef"


def test_without_a_web_section_nothing_listens_and_with_an_empty_one_only_this_machine_can_look(make: Make) -> None:
    assert make(MAIN + PHONE).web is None
    web = make(MAIN + PHONE + WEB).web
    assert web
    assert (web.address, web.token) == (("127.0.0.1", 9105), None)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("127.4.4.4:65535", ("127.4.4.4", 65535)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:80", ("localhost", 80)),
    ],
)
def test_the_machines_own_addresses_need_no_token(make: Make, listen: str, address: tuple[str, int]) -> None:
    web = make(f'{MAIN}{PHONE}{WEB}listen = "{listen}"\n').web
    assert web
    assert (web.address, web.listen) == (address, listen)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.168.1.7:80", "[fe80::1]:80", "[::ffff:127.0.0.1]:80"])
def test_any_other_address_needs_a_token_wherever_it_stands(make: Make, listen: str) -> None:
    with pytest.raises(ConfigError, match=r"rules.toml:\d+: listen: whoever reaches that address"):
        make(f'{MAIN}{PHONE}{WEB}listen = "{listen}"\n')
    token = 'token = "${TOKEN}"\n'
    for text in (f'listen = "{listen}"\n{token}', f'{token}listen = "{listen}"\n'):
        web = make(f"{MAIN}{PHONE}{WEB}{text}", TOKEN=TOKEN).web
        assert web
        assert web.token
        assert web.token.get_secret_value() == TOKEN
        assert TOKEN not in repr(web)


@pytest.mark.parametrize(
    "listen",
    ["", ":80", "80", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:80", "[127.0.0.1]:80", "[localhost]:80",
     "riskbot.example.com:80", "http://127.0.0.1:80", "127.0.0.1:80/", "127.0.0.1:\u0661", "127.1:80"],
)  # fmt: skip
def test_what_is_no_address_is_refused(make: Make, listen: str) -> None:
    with pytest.raises(ConfigError, match="listen: write an IP address and a port"):
        make(f'{MAIN}{PHONE}{WEB}token = "{TOKEN}"\nlisten = "{listen}"\n')


@pytest.mark.parametrize("token", ["0123456789 abcdef", "0123456789abcdef\\n", "0123456789abcdefé"])
def test_a_token_that_fits_no_header_is_refused_without_showing_it(make: Make, token: str) -> None:
    with pytest.raises(ConfigError, match="token: may hold letters, digits and signs only") as caught:
        make(f'{MAIN}{PHONE}{WEB}token = "{token}"\n')
    assert "0123456789" not in str(caught.value)


def test_a_token_that_others_can_read_in_the_file_is_warned_of(make: Make) -> None:
    text = f'{MAIN}{PHONE}{RATIO}{WEB}token = "{TOKEN}"\n'
    warned = [str(warning) for warning in make(text, 0o644).warnings]
    assert len(warned) == 1
    assert warned[0].endswith(
        "token: others can read this file and the secret in it: chmod 600 rules.toml, or write ${NAME}"
    )
    assert make(text, 0o600).warnings == ()
    assert make(text.replace(TOKEN, "${TOKEN}"), 0o644, TOKEN=TOKEN).warnings == ()


def test_the_token_is_among_what_nobody_may_see(make: Make) -> None:
    assert TOKEN in secrets(make(f'{MAIN}{PHONE}{RATIO}{WEB}token = "{TOKEN}"\n'))


@pytest.mark.parametrize("at", ['"08:00"', '"8:00"', "08:00:00"])
def test_who_hears_of_a_start_and_of_each_day_may_be_named(make: Make, at: str) -> None:
    chosen = f'[daily]\nat = {at}\nreceivers = ["phone"]\n[start]\nreceivers = ["siren", "phone"]\n'
    config = make(f"{chosen}{MAIN}{PHONE}{SIREN}{RATIO}")
    assert config.daily is not None
    assert (config.daily.at, config.daily.timezone, config.daily.receivers) == (time(8), None, ("phone",))
    assert config.start.receivers == ("siren", "phone")
    plain = make(f"{MAIN}{PHONE}{RATIO}")
    assert (plain.daily, plain.start.receivers) == (None, None)


@pytest.mark.parametrize(
    ("url", "others", "wakes"),
    [
        ("mailto://me:word@example.org", "", False),
        ("DBUS://", "", False),
        ("mailto://me:word@example.org", SIREN, False),
        ("mailto://me:word@example.org", SIREN.replace("emergency", "critical"), True),
        ("tgram://123:token/456", "", True),
    ],
)
def test_that_nothing_will_wake_the_trader_is_warned_of(make: Make, url: str, others: str, *, wakes: bool) -> None:
    said = warned(make(f"{MAIN}{PHONE}{others}{RATIO}", RISKBOT_PHONE=url))
    assert said == ([] if wakes else ["8: critical alerts go by e-mail or to a screen alone: nothing will wake you"])
