"""Notes how things are after each poll of a case: what the rules measured, how their alerts stand."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from riskbot.casebook.course import Course
from riskbot.model import AccountInfo, Alert, View
from riskbot.rules import Rule, measure
from riskbot.service.watch import Watch

Key = tuple[str, str]
"""A rule and a subject."""


class Sample(Struct, frozen=True):
    """After one poll. values: what each rule gave, by rule and subject; none while nothing is seen. t: seconds."""

    t: float
    down: bool
    values: Mapping[Key, Decimal]
    alerts: Mapping[Key, Alert]


class Scribe:
    """Looks at a watch when its next poll begins: then the one before is done with."""

    def __init__(self) -> None:
        self.samples = list[Sample]()
        self._open: tuple[Watch, float, Course] | None = None

    def begin(self, watch: Watch, t: float, course: Course) -> None:
        """A poll begins."""
        self._open = watch, t, course

    def look(self) -> None:
        """It is done with."""
        if self._open is None:
            return
        (watch, t, course), self._open = self._open, None
        down = course.reply(t) is None
        rules = [rule for rule in watch.judge.rules if not rule.SEES_OUTAGE]
        values = {} if down else {key: value for rule in rules for key, value in _values(rule, watch, course.mode(t))}
        alerts = {(rule, subject): alert for rule, subject, alert in watch.alerts.each()}
        self.samples.append(Sample(t, down, values, alerts))


def _values(rule: Rule, watch: Watch, mode: str) -> list[tuple[Key, Decimal]]:
    """What it gives for what was last seen; to ask it once more changes nothing."""
    seen = watch.observer.snapshot
    view = View(watch.account, seen.fetched_at, seen, watch.history, AccountInfo("1", mode), alerts=watch.alerts)
    return [((rule.name, reading.ccy), reading.value) for reading in measure(rule, view).readings]
