"""The kind `time_to`: at its present pace, how long until a field reaches a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from statistics import median
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from riskbot import snapshot, text
from riskbot.fields import ZERO
from riskbot.history import Want
from riskbot.hookspecs import hookimpl
from riskbot.model import Alert, Event, Reading, View
from riskbot.rules import AmountPath, Duration, Ladder, Number, Rule, Share, TierName, Worse, ordered

FAR = Decimal(10**9)
"""Seconds, 31 years: it is not on its way, or nobody can tell yet."""
APART, SHORTEST, LONGEST = 3, 60, 86400

Point = tuple[float, Decimal]


def _apart(windows: tuple[float, ...]) -> tuple[float, ...]:
    if len(windows) < 2:
        raise PydanticCustomError("windows", 'two windows or more must agree: write ["5m", "15m", "1h"]')
    if not all(SHORTEST <= window <= LONGEST for window in windows):
        raise PydanticCustomError("windows", 'windows go from "1m" to "1d"')
    if any(later < APART * sooner for sooner, later in pairwise(windows)):
        raise PydanticCustomError(
            "windows", "each window at least three times as long as the one before, or a jump looks like a pace to both"
        )
    return windows


Windows = Annotated[tuple[Duration, ...], AfterValidator(_apart)]
"""Seconds; ever longer."""
Within = Annotated[dict[TierName, Annotated[Duration, Field(ge=1)]], AfterValidator(ordered("below"))]


class TimeTo(Rule, kind="time_to"):
    """At its present pace a field reaches a value within a tier's time: minutes until the margin ratio is 1.0.

    The pace is looked at over several windows; believed is the shortest time that at least two of them bear out. A
    single jump is no pace. `worse`: the side of the value where danger lies; needed only for fields of which OKX's
    table does not say it.
    """

    EXAMPLE = """
[[rules]]
name = "time left"
kind = "time_to"
field = "mgnRatio"
reaches = 1.0
within = { warning = "2h", critical = "30m", emergency = "10m" }
"""

    field: AmountPath = Field(description="What moves.", examples=["mgnRatio"])
    reaches: Number = Field(description="The value that it must not reach.", examples=[1.0])
    within: Within = Field(description="In how little time it would.", examples=[{"warning": "2h", "critical": "30m"}])
    over: Windows = Field((300.0, 900.0, 3600.0), description="The windows whose paces are compared.")
    worse: Worse | None = Field(None, description="Where danger lies, if the field does not say.", examples=["below"])
    hysteresis: Share = Field(Decimal("0.5"), description="How far beyond its entry a tier is left, as a share.")
    keep_firing_for: Duration = Field(120.0, description="How long it must be left before the alert falls.")

    @property
    def _falling(self) -> bool:
        """Does danger lie below?"""
        return (self.worse or snapshot.field(self.field).worse) == "below"

    def ladder(self) -> Ladder:
        """Tiers of seconds."""
        if not (self.worse or snapshot.field(self.field).worse):
            message = '{f} may be bad both ways: add worse = "below" or worse = "above"'
            raise PydanticCustomError("worse", message, {"f": self.field})
        return self.ladder_of({name: Decimal(seconds) for name, seconds in self.within.items()}, "below")

    def modes(self) -> str:
        """Those of the field."""
        return snapshot.carried((self.field,))

    def wants(self) -> Iterable[Want]:
        """Its course in each window."""
        return (Want(self.field, over, "samples") for over in self.over)

    def readings(self, view: View) -> Iterator[Reading]:
        """Seconds, for the account or for each currency; 0 once it is there, `FAR` while it is not on its way."""
        if not self.field.startswith("details."):
            yield self._reading(view, "", view.snapshot.amount(self.field))
            return
        for ccy, value in view.snapshot.amounts(self.field.removeprefix("details.")).items():
            yield self._reading(view, ccy, value)

    def _reading(self, view: View, ccy: str, value: Decimal) -> Reading:
        if value.is_nan():
            return Reading(value, ccy, self.field)
        ahead = value - self.reaches if self._falling else self.reaches - value
        if ahead <= 0:
            return Reading(ZERO, ccy)
        courses = {over: view.history.samples(self.field, ccy, over, view.now) for over in self.over}
        known = {over: course for over, course in courses.items() if course}
        if len(known) < 2:
            return self._unknown(view, ccy)
        times = {over: time for over, course in known.items() if (time := self._time(ahead, course)) is not None}
        if len(times) < 2:
            return Reading(FAR, ccy)
        return Reading(sorted(times.values())[1], ccy, _spread(times))

    def _time(self, ahead: Decimal, course: list[Point]) -> Decimal | None:
        """Seconds until it is there at the course's pace; None if it moves away, or takes for ever."""
        approach = -pace(course) if self._falling else pace(course)
        return ahead / approach if approach > 0 and ahead / approach < FAR else None

    def _unknown(self, view: View, ccy: str) -> Reading:
        """Too little is known to tell; that must end nothing."""
        told = view.alerts.alerts.get(self.name, {}).get(ccy, Alert())
        if told.shown:
            return Reading.missing(f"too little is known yet of the course of {self.field}", ccy)
        return Reading(FAR, ccy)

    def say(self, event: Event) -> str:
        """`liquidation comes near: mgnRatio reaches 1 in 12 min`."""
        subject = f" {event.subject}" if event.subject else ""
        value = text.amount(self.reaches, snapshot.field(self.field).unit, event.subject)
        about = f"{self.name}: {self.field}{subject}"
        if event.value is None or event.value >= FAR:
            return f"{about} is not on its way to {value}" if event.value else about
        if not event.value:
            return f"{about} has reached {value}"
        return f"{about} reaches {value} in {text.span(float(event.value))}"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """The spread of the windows, and how good the same way of telling was before."""
        if event.note:
            yield event.note
        if event.after:
            yield from self._record(view, event.subject)

    def _record(self, view: View, ccy: str) -> Iterator[str]:
        """What it foresaw for now half a window ago, and what came; by the longest window that is known."""
        courses = (view.history.samples(self.field, ccy, over, view.now) for over in reversed(self.over))
        course = next((course for course in courses if course), [])
        half = course[: len(course) // 2 + 1]
        if half:
            ahead = Decimal(course[-1][0] - half[-1][0])
            foreseen, unit = half[-1][1] + pace(half) * ahead, snapshot.field(self.field).unit
            said, came = (text.amount(value, unit, ccy) for value in (foreseen, course[-1][1]))
            yield f"{text.span(float(ahead))} ago the pace foresaw {said} for now; it is {came}"


def pace(course: list[Point]) -> Decimal:
    """Change per second: the median of the slopes between each point and the one half the course later.

    Theil's way in its short form: up to a quarter of the points may be astray.
    """
    half = len(course) // 2
    pairs = list(zip(course, course[half:], strict=False))
    seconds = Decimal(pairs[0][1][0] - pairs[0][0][0])
    return median(later - sooner for (_, sooner), (_, later) in pairs) / seconds


def _spread(times: dict[float, Decimal]) -> str:
    """`8 to 14 min, by the last 5 min, 15 min and 1 h`."""
    low, high = (text.span(float(time)) for time in (min(times.values()), max(times.values())))
    *windows, last = (text.span(over) for over in times)
    spread = low if low == high else f"{low} to {high}"
    return f"{spread}, by the pace of the last {', '.join(windows)} and {last}"


@hookimpl
def register_rules() -> list[type[Rule]]:
    """What a rules file calls `time_to`."""
    return [TimeTo]
