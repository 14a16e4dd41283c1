"""What a rule would say of an account just now."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from riskbot.history import History
from riskbot.model import AccountInfo, Cause, Event, Reading, Severity, View
from riskbot.rules import Rule, measure, no_data, tell
from riskbot.setup.tiers import amount, unit
from riskbot.snapshot import Snapshot
from riskbot.text import number, span


class Prospect(StrEnum):
    """How a rule does in an account."""

    ALERT = "would say now"
    QUIET = "quiet"
    NOTHING = "no data now"
    MISSING = "is blind now"
    NEVER = "would have no data"
    FAILS = "fails"


class Outlook(Struct, frozen=True):
    """What a rule would say. severity: of the alert that would be told; OK: none. words: for people."""

    rule: str
    prospect: Prospect
    words: str
    severity: Severity = Severity.OK

    @property
    def works(self) -> bool:
        """Can it do its work in this account?"""
        return self.prospect not in (Prospect.NEVER, Prospect.FAILS)

    @property
    def says(self) -> str:
        """In one line."""
        if self.prospect in (Prospect.NEVER, Prospect.FAILS):
            return self.words  # they say it in full
        return f"{self.prospect}: {self.words}" if self.words else str(self.prospect)


def look(rule: Rule, account: str, snapshot: Snapshot, info: AccountInfo, now: float) -> Outlook:
    """Ask the rule once. What it needs of the past begins with this snapshot. now: seconds since 1970 UTC."""
    if why := no_data(rule, info.mode):
        return Outlook(rule.name, Prospect.NEVER, why)
    snapshot.fetched_at = now
    history = History(rule.wants())
    history.add(snapshot)
    view = View(account, now, snapshot, history, info)
    answer = measure(rule, view)
    if answer.failed:
        return Outlook(rule.name, Prospect.FAILS, answer.missing)
    readings = [reading for reading in answer.readings if reading.value.is_finite()]
    if not readings:
        return _without(rule, answer.missing, answer.readings)
    worst = readings[0]
    for reading in readings[1:]:
        worst = reading if _worse(rule, reading, worst) else worst
    return _outlook(rule, view, worst)


def others(rule: Rule, account: str, accounts: Iterable[str]) -> list[str]:
    """Those of the accounts that it watches besides that one."""
    return [name for name in accounts if name != account and rule.watches(name)]


def _without(rule: Rule, missing: str, readings: tuple[Reading, ...]) -> Outlook:
    if missing:
        return Outlook(rule.name, Prospect.MISSING, missing)
    why = next((reading.note for reading in readings if reading.note), "")
    return Outlook(rule.name, Prospect.NOTHING, f"{why} does not apply" if why else "there is nothing to measure")


def _worse(rule: Rule, one: Reading, other: Reading) -> bool:
    ladder = rule.compiled.ladder
    return ladder.met(one.value, other.value) and one.value != other.value


def severity(rule: Rule, value: Decimal) -> Severity:
    """Of the worst tier that this value meets, whatever its timers."""
    ladder = rule.compiled.ladder
    return max((rung.severity for rung in ladder.rungs if ladder.met(value, rung.enter)), default=Severity.OK)


def _outlook(rule: Rule, view: View, worst: Reading) -> Outlook:
    met = severity(rule, worst.value)
    if not met:
        return Outlook(rule.name, Prospect.QUIET, _calm(rule, worst))
    event = Event(
        view.account, rule.name, worst.ccy, 1, 1, Severity.OK, met, met, view.now, view.now, Cause.BREACH,
        worst.value, worst.note,
    )  # fmt: skip
    return Outlook(rule.name, Prospect.ALERT, f"{met.name} {tell(rule, view, event)[0]}", met)


def _calm(rule: Rule, worst: Reading) -> str:
    """What it measures, nearest to danger; not of rules that measure a severity, nor of those that need a past."""
    over = max((want.over for want in rule.wants()), default=0.0)
    if over:
        return f"it compares with the last {span(over)}, from now on"
    if not rule.compiled.ladder.plain:
        return ""
    if unit(rule) == "level":
        return f"{worst.ccy} level {number(worst.value)}"
    words = amount(worst.value, unit(rule)) if unit(rule) == "USD" else number(worst.value)
    return f"{words} {worst.ccy}".rstrip()
