"""What the rules measured lately: how near each came to its mildest tier, and which have had no data. No clock."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from operator import attrgetter
from typing import TypeVar

from msgspec import Struct, field

from riskbot.model import Reading
from riskbot.rules import Measured, Rule

T = TypeVar("T")
_VALUE = attrgetter("value")


class Approach(Struct, frozen=True):
    """The value that came nearest to a tier. distance: from the tier, as a share of it; 0 or less: it was reached."""

    value: Decimal
    distance: Decimal
    subject: str
    note: str
    at: float


class Lack(Struct, frozen=True):
    """A rule without any number. never: it never had one, as far as is known."""

    since: float
    why: str
    never: bool


class Day(Struct, frozen=True):
    """What is remembered. told: of which day people were told last. The rest is by account and rule."""

    told: str = ""
    nearest: dict[str, dict[str, Approach]] = field(default_factory=dict)
    lacking: dict[str, dict[str, Lack]] = field(default_factory=dict)
    had: dict[str, set[str]] = field(default_factory=dict)

    def next(self, told: str) -> Day:
        """People were told of that day: what comes nearest begins anew."""
        return Day(told, {}, self.lacking, self.had)


class Almanac:
    """Takes note of every new answer of a rule, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.day = Day()

    def note(self, account: str, rule: Rule, answer: Measured, now: float) -> None:
        """A rule was asked about an account."""
        if not self.on or not rule.DANGER:
            return
        numbers = [reading for reading in answer.readings if reading.value.is_finite()]
        if not numbers:
            self._lacks(account, rule.name, answer, now)
            return
        self.day.lacking.get(account, {}).pop(rule.name, None)
        self.day.had.setdefault(account, set()).add(rule.name)
        if near := nearest(rule, numbers, now):
            known = self.day.nearest.setdefault(account, {})
            if rule.name not in known or near.distance < known[rule.name].distance:
                known[rule.name] = near

    def _lacks(self, account: str, rule: str, answer: Measured, now: float) -> None:
        lacking = self.day.lacking.setdefault(account, {})
        if rule not in lacking:
            missing = answer.missing or any(reading.is_missing for reading in answer.readings)
            why = "no data" if missing else "no applicable data"
            lacking[rule] = Lack(now, why, never=rule not in self.day.had.get(account, ()))

    def keep(self, watched: Mapping[str, AbstractSet[str]]) -> None:
        """Forget all accounts but these, and of each all rules but these."""
        day = self.day
        had = {account: names & watched[account] for account, names in day.had.items() if account in watched}
        self.day = Day(day.told, _only(day.nearest, watched), _only(day.lacking, watched), had)


def _only(known: Mapping[str, Mapping[str, T]], watched: Mapping[str, AbstractSet[str]]) -> dict[str, dict[str, T]]:
    return {
        account: {name: value for name, value in rules.items() if name in watched[account]}
        for account, rules in known.items()
        if account in watched
    }


def nearest(rule: Rule, readings: list[Reading], now: float) -> Approach | None:
    """The reading that is nearest to the rule's mildest tier, or furthest beyond; None: none is on the way there."""
    ladder = rule.compiled.ladder
    enter = ladder.rungs[0].enter
    above = ladder.met(enter + 1, enter)
    near = (max if above else min)(readings, key=_VALUE)
    if not enter:
        return None
    distance = (enter - near.value if above else near.value - enter) / abs(enter)
    if distance > 0 and enter * near.value <= 0:
        return None  # nothing, or of another sign
    return Approach(near.value, distance, near.ccy, near.note, now)
