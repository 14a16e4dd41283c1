"""What the tests of the engine and of every kind of rule share: snapshots, views, answers and events in a line."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from riskbot.history import History
from riskbot.model import AccountInfo, Cause, Event, Reading, Severity, View
from riskbot.rules import Measured, Rule, measure
from riskbot.snapshot import Snapshot

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
MODES = {mode: AccountInfo("1", mode) for mode in "1234"}


def snap(rows: Mapping[str, Mapping[str, Any]] | None = None, at: float = 0.0, **fields: Any) -> Snapshot:
    return Snapshot({**fields, "details": [{"ccy": ccy, **row} for ccy, row in (rows or {}).items()]}, at)


def view(seen: Snapshot | None = None, now: float = 0.0, past: History | None = None, **keys: Any) -> View:
    return View("main", now, seen or snap(), past or History(), **keys)


def read(rule: Rule, at: View) -> dict[str, object]:
    """Readings by subject: a number, "na" or "missing"."""
    answer = measure(rule, at)
    assert answer.complete, answer.missing
    return {reading.ccy: _plain(reading) for reading in answer.readings}


def _plain(reading: Reading) -> object:
    if reading.value.is_nan():
        return "missing" if reading.is_missing else "na"
    return reading.value


def answer(word: str, ccy: str = "") -> Measured | None:
    """What a rule answers about one subject: `3.5`, or a word for each way to have no number."""
    match word:
        case "down":
            return None
        case "gone":
            return Measured()
        case "fail":
            return Measured((), "the rule failed", complete=False)
        case "na":
            return Measured((Reading.not_applicable("empty", ccy),))
        case "miss":
            return Measured((Reading.missing("absent", ccy),), f"{ccy} absent")
    return Measured((Reading(Decimal(word), ccy),))


def event(value: object, subject: str = "", after: Severity = WARNING, note: str = "", before: Severity = OK) -> Event:
    number = None if value is None else Decimal(str(value))
    peak = max(before, after)
    return Event("main", "r", subject, 7, 1, before, after, peak, 9.0, 9.0, Cause.BREACH, number, note)
