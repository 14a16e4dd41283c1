"""--help: quick, complete, and with the exit codes."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from riskbot.cli import COMMANDS, main

HEAVY = (
    "pydantic",
    "aiohttp",
    "apprise",
    "rich",
    "msgspec",
    "asyncio",
    "sqlite3",
    "tree_sitter",
    "prometheus_client",
    "jinja2",
    "yaml",
)
PROBE = f"""
import json, sys
from riskbot.cli import main
try:
    main(sys.argv[1:], prog_name="riskbot")
finally:
    print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)
"""
LOOKS = (
    "check",
    "notify",
    "show-config",
    "alerts",
    "ack",
    "silence",
    "history",
    "outbox",
    "status",
    "reload",
    "rules",
    "fields",
    "schema",
    "metrics",
)
PROGRAM = Path(sys.executable).with_name("riskbot")


def loaded(*args: str) -> list[str]:
    """The heavy packages that were imported by it."""
    command = [sys.executable, "-c", PROBE, *args]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    assert "riskbot" in run.stdout
    return json.loads(run.stderr)  # type: ignore[no-any-return]


@pytest.mark.parametrize("args", [["--help"], ["--version"], *([name, "--help"] for name in LOOKS)], ids=" ".join)
def test_a_look_at_the_program_loads_nothing_heavy(args: list[str]) -> None:
    assert loaded(*args) == []


def test_help_takes_less_than_100_ms_of_processor_time() -> None:
    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PROGRAM, "--help"], capture_output=True, check=True, env={})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert min(spent() for _ in range(5)) < 0.1


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_tells_what_it_does_and_its_exit_codes(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert "Exit codes: 0 " in result.stdout
    assert "2 " in result.stdout.rpartition("Exit codes:")[2]


def test_help_lists_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert all(f"  {name} " in result.stdout for name in COMMANDS)
    assert "Exit codes: 0 well, 1 failed, 2 usage or configuration." in result.stdout


@pytest.mark.parametrize("args", [["chekc"], ["check", "--jsn"], ["check", "more"]], ids=" ".join)
def test_wrong_usage_ends_with_exit_code_2(args: list[str]) -> None:
    result = CliRunner().invoke(main, args)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_a_misspelt_option_is_answered_with_the_one_that_was_meant() -> None:
    assert "--json" in CliRunner().invoke(main, ["check", "--jsn"]).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "fields", "schema", "check --json -c absent.toml"])
def test_what_can_not_be_written_is_told_in_one_line(tmp_path: Path, words: str, unbuffered: str) -> None:
    """By click or by rich; as it is written, or held back and tried once more as Python ends."""
    line = f"{sys.executable} -m riskbot.cli {words} > /dev/full"
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(Path(__file__).parents[1])}
    ran = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "can't write: No space left on device\n")


def test_a_mistake_of_riskbot_itself_is_not_taken_for_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    monkeypatch.setattr("riskbot.cli.schema.echo_json", fails)
    assert isinstance(CliRunner().invoke(main, ["schema"]).exception, ConnectionRefusedError)
