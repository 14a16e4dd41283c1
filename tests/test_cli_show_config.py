"""riskbot show-config: the whole configuration as TOML that can be read again, without secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskbot import plugins, settings
from riskbot.cli import main
from tests.stage import put

EXAMPLE = Path(__file__).parents[1] / "rules.example.toml"
KINDS = plugins.kinds(plugins.manager())
ENV = {
    "OKX_API_KEY": "planted-key",
    "OKX_API_SECRET": "planted-secret",
    "OKX_API_PASSPHRASE": "planted-passphrase",
    "RISKBOT_PHONE": "tgram://123456789:planted_token/987654321",
    "STATE_DIRECTORY": "/state",
}
MAIN = """
include = ["rules.d/*.toml"]
plugins = ["plugins"]

[[accounts]]
name = "main"
api_key = "planted-literal-key"
api_secret = "file:secret"
passphrase = "${OKX_API_PASSPHRASE}"

[[accounts]]
name = "paper"
source = "paper"
options = { token = "planted-option", from = "${RISKBOT_PHONE}", depth = 3, tags = ["planted-tag"] }

[receivers."my phone"]
url = "tgram://123456789:planted-half/${OKX_API_KEY}"
fallback = ["mail"]

[[rules]]
name = "tell planted-literal-key to nobody"
kind = "margin_ratio"
below = { warning = 1e1, critical = 1.50 }
accounts = ["main"]
message = "{headline}\\nsecond line"
"""
MORE = """
[receivers.mail]
url = "mailto://${OKX_API_KEY}:${OKX_API_SECRET}@example.com"

[[rules]]
name = "debt"
kind = "change"
field = "details.liab"
rises_by = { warning = "10%" }
over = "90m"

[[rules]]
name = "key"
kind = "key_safety"
accounts = ["main"]
"""
PAPER = """
from riskbot import SourceError, hookimpl

class Paper:
    def __init__(self, account): pass
    async def fetch(self): raise SourceError("nothing yet")
    async def info(self): raise SourceError("nothing yet")
    async def close(self): pass

@hookimpl
def register_sources(): return {"paper": Paper}
"""


def show(path: Path, env: Mapping[str, str | None] = ENV) -> Result:
    return CliRunner().invoke(main, ["show-config", "-c", str(path)], env=env)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    for folder in ("rules.d", "plugins"):
        (tmp_path / folder).mkdir(mode=0o755)
    put(tmp_path / "secret", "planted-in-a-file")
    put(tmp_path / "rules.d/more.toml", MORE)
    put(tmp_path / "plugins/paper.py", PAPER)
    return put(tmp_path / "rules.toml", MAIN)


def test_what_is_shown_is_a_rules_file_that_means_the_same(tmp_path: Path) -> None:
    shown = show(EXAMPLE)
    again = settings.load(put(tmp_path / "again.toml", shown.stdout), KINDS, ENV)
    before = settings.load(EXAMPLE, KINDS, ENV)

    assert (shown.exit_code, shown.stderr) == (0, "")
    assert (again.accounts, again.receivers, again.rules) == (before.accounts, before.receivers, before.rules)


def test_nothing_is_left_to_guess_what_is_written_stands_above_what_is_default() -> None:
    block = show(EXAMPLE).stdout.split("\n\n")[1].splitlines()

    assert block == [
        f"[[accounts]]                                # {EXAMPLE}:3",
        'name = "main"',
        'api_key = "${OKX_API_KEY}"',
        'api_secret = "${OKX_API_SECRET}"',
        'passphrase = "${OKX_API_PASSPHRASE}"',
        'region = "global"',
        'source = "okx"                              # default',
        "demo = false                                # default",
        'poll_every = "1s"                           # default',
    ]


def test_each_part_says_in_which_file_and_line_it_stands(rules: Path) -> None:
    lines = show(rules).stdout.splitlines()
    more = rules.parent / "rules.d/more.toml"

    assert lines[0] == f"# {rules}, {more}: as riskbot reads them"
    places = [line.rpartition("# ")[2] for line in lines if line.startswith("[")]
    assert "default" in places
    assert [place for place in places if place != "default"] == [
        f"{rules}:5",
        f"{rules}:11",
        f"{rules}:16",
        f"{more}:2",
        f"{rules}:20",
        f"{more}:5",
        f"{more}:12",
        "always on: it is in no file",
        "always on: it is in no file",
    ]
    assert 'plugins = ["plugins"]' in lines
    assert not any(line.startswith("include") for line in lines)


def test_rules_that_are_always_on_are_there_with_the_accounts_that_they_watch(rules: Path) -> None:
    blocks = show(rules).stdout.split("\n\n")
    own = [block.splitlines()[1:4] for block in blocks if "always on" in block]

    assert own[0][:2] == ['name = "blind"', 'kind = "blind"']
    assert own[1] == ['name = "key_safety"', 'kind = "key_safety"', 'accounts = ["paper"]']


def test_no_secret_is_shown_but_where_it_is(rules: Path) -> None:
    shown = show(rules)

    assert (shown.exit_code, "planted" in shown.output) == (0, False)
    assert 'api_key = "***"' in shown.stdout
    assert 'api_secret = "file:secret"' in shown.stdout
    assert 'passphrase = "${OKX_API_PASSPHRASE}"' in shown.stdout
    assert 'options = { token = "***", from = "${RISKBOT_PHONE}", depth = 3, tags = ["***"] }' in shown.stdout
    assert shown.stdout.count('url = "***"') == 2
    assert 'name = "tell *** to nobody"' in shown.stdout


ELSEWHERE = """
[[accounts]]
name = "main"
api_key = "credential:okx_api_key"
api_secret = "file:absent"
passphrase = "${OKX_API_PASSPHRASE}"

[receivers.phone]
url = "tgram://${BOT}/${CHAT}"

[heartbeat]
url = "${PING}"

[web]
token = "${TOKEN}"
listen = "0.0.0.0:9105"

[[rules]]
name = "missing data"
kind = "level"
field = "details.twap"
at_least = { warning = 1 }
"""


def test_a_secret_that_is_not_shown_need_not_be_there(tmp_path: Path) -> None:
    there = {"OKX_API_PASSPHRASE": "planted", "BOT": "123:bot", "CHAT": "4567", "PING": "https://hc-ping.com/1234"}
    there |= {"TOKEN": "planted-0123456789", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    path = put(tmp_path / "rules.toml", ELSEWHERE)
    without = show(path, dict.fromkeys(there))
    put(tmp_path / "absent", "planted")
    put(tmp_path / "okx_api_key", "planted")

    assert (without.exit_code, without.stderr) == (0, "")
    assert without.stdout == show(path, there).stdout
    assert 'name = "missing data"' in without.stdout


def test_what_is_wrong_beside_an_absent_secret_is_told_and_the_secret_is_not(tmp_path: Path) -> None:
    path = put(tmp_path / "rules.toml", ELSEWHERE.replace("listen", "lsten"))
    shown = show(path, {"PING": None, "TOKEN": None})

    told = f'{path}:16: unknown key "lsten"; did you mean "listen"?\n1 mistake; nothing was started.\n'
    assert (shown.exit_code, shown.stderr) == (2, told)


def test_a_file_that_is_wrong_is_told_as_everywhere(tmp_path: Path) -> None:
    shown = show(put(tmp_path / "rules.toml", "[[accounts]]\nnaem = 1\n"))

    assert (shown.exit_code, shown.stdout) == (2, "")
    assert 'unknown key "naem"; did you mean "name"?' in shown.stderr


def test_the_built_program_shows_it() -> None:
    program = Path(sys.executable).with_name("riskbot")
    command = [program, "show-config", "-c", EXAMPLE]
    run = subprocess.run(command, env={**os.environ, **ENV}, capture_output=True, text=True, check=True)

    assert "\n[store]" in run.stdout
