"""riskbot check: what would be watched, for people and for machines."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot.cli import common, main
from riskbot.cli.check import command
from tests.files import EXAMPLE, KEYS

ENV = {**KEYS, "STATE_DIRECTORY": "/state"}
RULES = """
[[accounts]]
name = "[main] :fire:"
api_key = "key"
api_secret = "secret"
passphrase = "phrase"

[receivers."[/] phone"]
url = "json://localhost"

[[rules]]
name = "[/] margin [bold]"
kind = "margin_ratio"
below = { warning = "300%", critical = 1.5 }
for = "1m30s"
keep_firing_for = 0

[[rules]]
name = "equity"
kind = "threshold"
field = "adjEq"
below = { warning = 123456.5, critical = 1e3 }

[[rules]]
name = "liab"
kind = "change"
field = "details.liab"
rises_by = { warning = 0.5 }
over = "1d"

[[rules]]
name = "debt"
kind = "change"
field = "details.liab"
rises_by = { warning = "$10000", critical = "20000 USD" }
over = "1h"
labels = { desk = "a" }
repeat_every = { warning = "1h" }

[[rules]]
name = "off"
kind = "level"
field = "details.twap"
at_least = { warning = 1 }
enabled = false

[[rules]]
name = "mode"
kind = "becomes"
field = "acctLv"
leaves = { critical = 3 }
repeat_every = { critical = "1h" }

[[rules]]
name = "soon"
kind = "time_to"
field = "adjEq"
reaches = 1000
within = { warning = "2h", critical = "30m" }

[[rules]]
name = "lent"
kind = "becomes"
field = "details.autoLendStatus"
becomes = { info = "pending", warning = ["active", "unsupported"] }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    path.chmod(0o600)
    return path


def check(*args: str | Path, **env: str) -> Result:
    return CliRunner().invoke(command, list(map(str, args)), env={"COLUMNS": "250", **ENV, **env})


def rows(result: Result) -> dict[str, str]:
    """What is said of each thing, in single spaces."""
    cells = [re.split("  +", line.strip()) for line in result.stdout.splitlines()]
    return {name: " ".join(says) for _, name, *says in cells}


def test_the_example_is_shown_plainly_with_a_line_for_each_thing() -> None:
    result = check("-c", EXAMPLE)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}
    said = rows(result)
    assert list(said)[:4] == ["rules.example.toml", "account main", "receiver phone", "rule margin ratio"]
    assert said["rules.example.toml"] == "is right; state in /state/riskbot.db"
    assert said["account main"] == "global, every 1 s"
    assert said["receiver phone"] == "from info"
    assert said["rule margin ratio"] == "margin_ratio below info 10, warning 5, critical 3, emergency 1.5"
    assert said["rule debt grows"] == (
        "change details.liab rises by info 10 %, warning 50 %, critical 200 %, emergency 1,000 % in 1 h"
    )
    assert said["rule equity melts"] == "change adjEq falls by warning 15 %, critical 30 % in 10 min"
    assert said["rule blind"] == "blind always on"


def test_tiers_are_shown_exactly_in_their_unit_and_names_as_they_are(path: Path) -> None:
    result = check("-c", path)

    assert result.exit_code == 0
    said = rows(result)
    assert said["account [main] :fire:"] == "global, every 1 s"
    assert said["receiver [/] phone"] == "from info"
    assert said["rule [/] margin [bold]"] == (
        "margin_ratio below warning 3, critical 1.5 for 1 min 30 s (falls after 0 s)"
    )
    assert said["rule equity"] == "threshold adjEq below warning $123,456.5, critical $1,000"
    assert said["rule liab"] == "change details.liab rises by warning 0.5 in 1 d"
    assert said["rule debt"] == "change details.liab rises by warning $10,000, critical $20,000 in 1 h"
    assert said["rule off"] == "level off"
    assert said["rule soon"] == "time_to adjEq reaches $1,000 within warning 2 h, critical 30 min"
    assert said["rule mode"] == "becomes acctLv leaves critical 3"
    assert said["rule lent"] == "becomes details.autoLendStatus becomes info pending, warning active or unsupported"
    assert said["rule key_safety"] == "key_safety always on"


def test_where_the_status_page_would_be_is_shown_without_its_token(path: Path) -> None:
    path.write_text(f'{path.read_text()}\n[web]\nlisten = "[::]:9105"\ntoken = "0123456789abcdef"\n')
    path.chmod(0o600)

    shown, given = check("-c", path), json.loads(check("-c", path, "--json").stdout)
    assert rows(shown)["rules.toml"] == "is right; state in /state/riskbot.db; status at http://[::]:9105/"
    assert given["web"] == "[::]:9105"
    assert "0123456789abcdef" not in f"{shown.output}{given}"


def test_a_machine_gets_json_that_stays_the_same(path: Path) -> None:
    result = check("-c", path, "--json")
    document: dict[str, Any] = json.loads(result.stdout)

    rules = {rule["name"]: rule for rule in document.pop("rules")}
    things = document.pop("things")
    assert things[0] == {
        "kind": "file", "name": "rules.toml", "state": "ok", "says": "is right; state in /state/riskbot.db",
    }  # fmt: skip
    assert {thing["kind"] for thing in things} == {"file", "account", "receiver", "rule"}
    assert document == {
        "well": True,
        "accounts": [{"name": "[main] :fire:", "region": "global", "poll_every": 1.0}],
        "receivers": [{"name": "[/] phone", "min_severity": "info"}],
        "store": "/state/riskbot.db",
        "web": None,
        "files": [str(path)],
        "warnings": [],
    }
    assert rules["debt"] == {
        "name": "debt",
        "kind": "change",
        "enabled": True,
        "field": "details.liab",
        "tiers": {"warning": "10000", "critical": "20000"},
        "unit": "USD",
        "for": 0.0,
        "keep_firing_for": 30.0,
        "labels": {"desk": "a"},
    }
    assert {name: rule["unit"] for name, rule in rules.items()} == {
        "[/] margin [bold]": "", "equity": "USD", "liab": "coin", "debt": "USD", "off": "level", "mode": "",
        "soon": "s", "lent": "", "blind": "", "key_safety": "",
    }  # fmt: skip
    assert rules["soon"]["tiers"] == {"warning": "7200", "critical": "1800"}
    assert rules["lent"]["tiers"] == {"info": "pending", "warning": "active or unsupported"}
    assert rules["off"]["enabled"] is False
    assert check("-c", path, "--json").stdout == result.stdout


def test_files_that_are_included_are_named(path: Path) -> None:
    path.write_text('include = ["rules.d/*.toml"]\n' + RULES)
    more = path.parent / "rules.d" / "more.toml"
    more.parent.mkdir()
    more.write_text('[[rules]]\nname = "more"\nkind = "margin_ratio"\nbelow = { warning = 5 }\n')

    result = check("-c", path)

    assert rows(result)["rules.toml"] == f"is right; state in /state/riskbot.db; includes {more}"
    assert rows(result)["rule more"] == "margin_ratio below warning 5"
    assert json.loads(check("-c", path, "--json").stdout)["files"] == [str(path), str(more)]


def test_warnings_are_told_on_stderr_and_it_is_right_all_the_same(path: Path) -> None:
    path.chmod(0o644)

    result = check("-c", path)

    assert result.exit_code == 0
    hint = "api_key: others can read this file and the secret in it: chmod 600 rules.toml, or write ${NAME}"
    assert result.stderr == f"warning: {path}:4: {hint}\n"
    assert json.loads(check("-c", path, "--json").stdout)["warnings"] == [f"{path}:4: {hint}"]


def test_a_bad_url_and_a_bad_rule_are_told_together(path: Path) -> None:
    path.write_text(RULES.replace("json://localhost", "tgrm://secret-token/chat").replace("1d", "1 day"))

    result = check("-c", path)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"{path}:9: url: unknown service tgrm://; did you mean tgram://?",
        f'{path}:29: over: not a duration: write "90s", "1h30m" or "7d"',
        "2 mistakes; nothing was started.",
    ]


def test_a_single_mistake_is_counted_as_one(tmp_path: Path) -> None:
    result = check("-c", tmp_path / "no.toml")

    assert result.exit_code == 2
    assert result.stderr.endswith("\n1 mistake; nothing was started.\n")


def test_a_machine_gets_each_mistake_with_its_place_in_the_form_that_it_knows(path: Path, tmp_path: Path) -> None:
    path.write_text(RULES.replace("json://localhost", "tgrm://secret-token/chat").replace("1d", "1 day"))
    wrong, absent = check("-c", path, "--json"), check("-c", tmp_path / "no.toml", "--json")

    url, over = (
        "url: unknown service tgrm://; did you mean tgram://?",
        'over: not a duration: write "90s", "1h30m" or "7d"',
    )
    assert (wrong.exit_code, absent.exit_code) == (2, 2)
    assert json.loads(wrong.stdout) == {
        "well": False,
        "things": [
            {"kind": "file", "name": f"{path}:9", "state": "wrong", "says": url},
            {"kind": "file", "name": f"{path}:29", "state": "wrong", "says": over},
        ],
    }
    assert [thing["name"] for thing in json.loads(absent.stdout)["things"]] == [str(tmp_path / "no.toml")]
    assert wrong.stderr == check("-c", path).stderr


def test_columns_are_kept_where_they_are_asked_for(path: Path) -> None:
    assert max(map(len, check("-c", path, COLUMNS="60").stdout.splitlines())) <= 60


def test_a_terminal_gets_colours_and_its_own_width() -> None:
    out = common.console(force_terminal=True, width=50, file=io.StringIO(), color_system="standard")
    table = common.table("severity")
    table.add_row("critical", style=common.STYLES["critical"])
    out.print(table)

    assert out.width == 50
    assert "\x1b[31mcritical" in out.file.getvalue()


def test_the_built_program_checks_a_file(path: Path) -> None:
    program = Path(sys.executable).with_name("riskbot")
    env = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), **ENV}
    run = subprocess.run([program, "check"], cwd=path.parent, capture_output=True, text=True, check=True, env=env)

    assert re.match(r"ok +rules.toml +is right; ", run.stdout)
    assert run.stderr == ""


# ---------------------------------------------------------------- what the commands share


def test_all_secrets_of_a_file_are_known(path: Path) -> None:
    beat = '[heartbeat]\nurl = "https://hc-ping.com/token-of-ping"\n'
    path.write_text(beat + RULES.replace("json://localhost", "tgram://123456:token-of-bot/987654"))

    found = common.secrets(common.load(path))

    assert {"key", "secret", "phrase", "token-of-bot", "tgram://123456:token-of-bot/987654"} <= set(found)
    assert {"token-of-ping", "https://hc-ping.com/token-of-ping"} <= set(found)


def test_a_plugin_that_offers_what_is_there_already_is_a_warning_and_no_more(path: Path) -> None:
    folder = path.parent / "plugins"
    folder.mkdir(mode=0o755)
    mine = folder / "mine.py"
    mine.write_text("from riskbot.builtin.level import register_rules\n")
    mine.chmod(0o644)
    path.write_text(f'plugins = ["plugins"]\n{RULES}')
    result = check("-c", path)

    assert result.exit_code == 0
    assert "\nwarning  plugin mine" in result.stdout
    assert result.stdout.count("plugin mine") == 1


def test_no_line_ends_with_blanks_where_it_is_piped() -> None:
    for words in (["check", "-c", str(EXAMPLE)], ["fields", "liab"], ["metrics"]):
        shown = CliRunner().invoke(main, words, env=ENV).stdout

        assert len(shown.splitlines()) > 4
        assert [line for line in shown.splitlines() if line != line.rstrip()] == []


def in_a_shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """In that folder, without the variables that its file needs."""
    env = {name: value for name, value in os.environ.items() if name not in {"KEY", "HOOK"}}
    line = line.replace("riskbot ", f"{sys.executable} -m riskbot.cli ")
    return subprocess.run(["sh", "-c", line], cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder whose secrets lie where `riskbot init` and `riskbot systemd` put them."""
    folder = tmp_path / "my desk"
    (folder / "credentials").mkdir(parents=True)
    (folder / "credentials" / "secret").write_text("planted\n")
    (folder / "riskbot.env").write_text("KEY=planted\nHOOK=json://localhost/planted\n")
    keys = 'api_key = "${KEY}"\napi_secret = "credential:secret"\npassphrase = "x"\n'
    (folder / "rules.toml").write_text(f'[[accounts]]\nname = "a"\n{keys}[receivers.b]\nurl = "${{HOOK}}"\n')
    return folder


@pytest.mark.parametrize("word", ["check", "run"])
def test_secrets_that_only_this_shell_lacks_are_told_where_they_are(desk: Path, word: str) -> None:
    run = in_a_shell(desk, f"riskbot {word}")

    assert run.returncode == 2
    assert "3 mistakes; nothing was started." in run.stderr
    assert "What is in riskbot.env, for this shell: set -a; . ./riskbot.env; set +a" in run.stderr
    assert "for this shell: export CREDENTIALS_DIRECTORY=./credentials" in run.stderr


def test_what_is_told_to_do_helps_and_is_not_told_for_other_mistakes(desk: Path) -> None:
    told = f"set -a; . '{desk}/riskbot.env'; set +a; export CREDENTIALS_DIRECTORY='{desk}/credentials'"
    (desk / "more.toml").write_text((desk / "rules.toml").read_text() + "[heartbeat]\nurl = '${PING}'\n")
    line = f"{told}; riskbot check -c '{desk}/rules.toml' && riskbot check -c '{desk}/more.toml'"
    run = in_a_shell(desk.parent, line)

    assert "is right; state in" in run.stdout
    assert run.stderr.endswith("the environment variable PING is not set\n1 mistake; nothing was started.\n")

    (desk / "rules.toml").write_text("nonsense")
    assert "for this shell" not in in_a_shell(desk, "riskbot check").stderr
