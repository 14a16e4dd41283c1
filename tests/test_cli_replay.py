"""`riskbot replay`: recordings played through rules, as a person sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot.cli.replay import command

T = 1_767_225_600
RULES = """
[[accounts]]
name = "main"
api_key = "${A_KEY_THAT_NOBODY_HAS}"
api_secret = "credential:okx"
passphrase = "file:/nowhere"

[receivers.phone]
url = "${NO_URL}"

[[rules]]
name = "ratio"
kind = "margin_ratio"
below = { warning = 5, critical = 3 }

[[rules]]
name = "debt"
kind = "level"
field = "details.twap"
at_least = { warning = 2, critical = 3 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


def line(second: float, ratio: str = "12", **what: Any) -> str:
    row = {"ccy": "USDT", "liab": "9", "twap": "1", "eq": "1", "eqUsd": "1", "mgnRatio": ""}
    body = {"mgnRatio": ratio, "adjEq": "5000", "details": [row]}
    return json.dumps({"t": round((T + second) * 1000), **(what or {"body": body})}) + "\n"


def write(folder: Path, *lines: str) -> str:
    path = folder / "day.jsonl"
    path.write_text("".join(lines))
    return str(path)


def dip(folder: Path) -> str:
    """A minute at 12, one at 4, one at 5.5, blind for 20 s."""
    course = [(0, "12"), (60, "4"), (120, "5.5")]
    lines = [line(start + i, ratio) for start, ratio in course for i in range(60)]
    return write(folder, *lines, *(line(180 + i, error="no answer") for i in range(20)), line(200, "5.5"))


def replay(folder: Path, *words: str) -> Result:
    env = {"COLUMNS": "200", "STATE_DIRECTORY": ""}
    return CliRunner().invoke(command, [words[0], "-c", str(folder / "rules.toml"), *words[1:]], env=env)


def report(folder: Path, *words: str) -> dict[str, Any]:
    shown = replay(folder, *words, "--json")
    assert shown.exit_code == 0, shown.output
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_it_says_for_each_rule_what_it_would_have_done(folder: Path) -> None:
    found = report(folder, dip(folder))
    assert (found["recording"], found["account"], found["looks"], found["left_out"]) == ("day.jsonl", "main", 201, 0)
    assert (found["from"], found["to"], found["holes"]) == (T, T + 200, 0)
    ratio, debt, blind, _ = found["rules"]
    assert (ratio["episodes"], ratio["worst"], ratio["open"], ratio["flaps"]) == (1, "warning", 0, 0)
    assert ratio["tiers"] == {"warning": 90}  # left at 5.25, for half a minute
    assert ratio["messages"] == {"phone": 2}
    assert ratio["blind"] == pytest.approx(20 / 200)
    assert (ratio["near"]["tier"], ratio["near"]["value"]) == ("critical", "4")
    assert ratio["near"]["off"] == pytest.approx(1 / 3)
    assert (debt["episodes"], debt["near"]["tier"], debt["near"]["subject"]) == (0, "warning", "USDT")
    assert (blind["episodes"], blind["blind"], blind["near"]) == (1, 0, None)
    assert found["messages"] == {"phone": {"total": 3, "days": {"2026-01-01": 3}}}


def test_it_needs_no_key_and_shows_a_table(folder: Path) -> None:
    shown = replay(folder, dip(folder))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.rstrip() for line in shown.stdout.splitlines()] == [
        "day.jsonl: 3 min 20 s of main from Thu 01 Jan 2026 00:00:00 UTC, 201 looks",
        "rule        alerts    worst     time told           messages  flaps  blind",
        "ratio       1         WARNING   warning 1 min 30 s  phone 2   -      10.0%",
        "debt        -         -         -                   -         -      10.0%",
        "blind       1 (open)  CRITICAL  critical 6 s        phone 1   -      -",
        "key_safety  -         -         -                   -         -      no data",
        "messages to phone: 3, 3 a day, most on 2026-01-01: 3",
        "nothing could be seen in 10.0% of the time",
        "near miss: critical of ratio, 33.3% off: margin ratio 4 (400 %) at 00:01:00",
        "near miss: warning of debt, 50.0% off: debt USDT: level 1 of 5 at 00:00:00",
    ]
