"""One case on one line of time: what was fed, how the alerts stood, what was expected, what came."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from msgspec import Struct

from riskbot.casebook.course import EPSILON, words
from riskbot.casebook.expectations import moment, said, spelt
from riskbot.casebook.scribe import Key, Sample
from riskbot.casebook.suite import Result
from riskbot.engine import NA_HOLD
from riskbot.model import Alert
from riskbot.rules import Ladder, Rule
from riskbot.settings.cases import Do
from riskbot.settings.feeds import Gap
from riskbot.text import number, span


class Entry(Struct, frozen=True):
    """Something expected, or something that came. wrong: it is a finding."""

    text: str
    wrong: bool = False


class Row(Struct, frozen=True):
    """One moment. fed: what each feed is then. alerts: those that have changed since the row before."""

    t: float
    fed: tuple[str, ...]
    alerts: tuple[str, ...]
    done: tuple[str, ...]
    expected: tuple[Entry, ...]
    got: tuple[Entry, ...]


class Timeline:
    """A case that was played. about: the one alert that there was; "": there were several, each row names them."""

    def __init__(self, result: Result) -> None:
        self.case, self.course = result.page.case, result.page.setup.course
        self.played, self.findings = result.played, result.findings
        self.rules = {rule.name: rule for rule in result.page.setup.config.rules}
        self.samples = result.played.samples
        self._times = [sample.t for sample in self.samples]
        self.start = self.case.start.timestamp()
        seen = {key for sample in self.samples for key in sample.alerts if key[0] in self.rules}
        names = {_name(key) for key in seen} | {_name((one.rule, one.subject)) for one in self.played.heard}
        self.about = names.pop() if len(names) == 1 else ""

    def rows(self) -> Iterator[Row]:
        """One for each moment at which something begins, changes, is expected or comes."""
        before: dict[Key, str] = {}
        for t in self._moments():
            states = self._states(t)
            changed = {key: state for key, state in states.items() if state != before.get(key, "")}
            before = {**before, **{key: _kind(state) and state for key, state in states.items()}}
            yield Row(
                t,
                tuple(_spelt(value) for value in self.course.values(self.course.poll(t)).values()),
                tuple(f"{'' if self.about else f'{_name(key)}: '}{state or 'ok'}" for key, state in changed.items()),
                tuple(_done(do) for do in self.case.do if abs(do.t - t) < EPSILON),
                tuple(self._expected(t)),
                tuple(self._got(t)),
            )

    def _moments(self) -> list[float]:
        fed = (start * self.course.every for start, _ in words(self.course))
        expected = (expect.t.start for expect in self.case.expect)
        came = (one.t for one in self.played.heard)
        done = (do.t for do in self.case.do)
        return sorted({round(t, 2) for t in (*fed, *expected, *came, *done, *self._turns())})

    def _turns(self) -> Iterator[float]:
        """When an alert begins to be something else; that its timers run is none."""
        before: dict[Key, str] = {}
        for sample in self.samples:
            kinds = {key: _kind(self._state(key, alert, sample)) for key, alert in sample.alerts.items()}
            if kinds != before:
                yield sample.t
            before = kinds

    def _states(self, t: float) -> dict[Key, str]:
        sample = self.samples[bisect_right(self._times, t + EPSILON) - 1]  # the first poll is at 0
        return {key: self._state(key, alert, sample) for key, alert in sample.alerts.items() if key[0] in self.rules}

    def _state(self, key: Key, alert: Alert, sample: Sample) -> str:
        rule = self.rules.get(key[0])
        value = sample.values.get(key)
        state = ", ".join(_state(rule, alert, self.start + sample.t)) if rule else ""
        known = value is not None and not value.is_nan() and not getattr(rule, "SEES_OUTAGE", False)
        return f"{number(value)} {state}" if state and known and value is not None else state

    def _expected(self, t: float) -> Iterator[Entry]:
        unmet = [finding.slot.expect for finding in self.findings if finding.slot]
        for expect in self.case.expect:
            if abs(round(expect.t.start, 2) - t) < EPSILON:
                who = f"{', '.join(expect.receivers)}: " if expect.receivers else ""
                when = f" ({spelt(expect.t)})" if expect.t.start != expect.t.end else ""
                yield Entry(f"{who}{expect.event}{when}", any(expect is other for other in unmet))

    def _got(self, t: float) -> Iterator[Entry]:
        wrong = {id(finding.heard) for finding in self.findings if finding.heard}
        for one in self.played.heard:
            if abs(round(one.t, 2) - t) < EPSILON:
                yield Entry(said(one, named=not self.about), id(one) in wrong)


def _spelt(value: str | Gap) -> str:
    return value.value if isinstance(value, Gap) else value


def _name(key: Key) -> str:
    return " ".join(filter(None, key))


def _done(do: Do) -> str:
    given = {name: getattr(do, name) for name in ("kill", "reload", "ack", "silence")}
    for name, value in given.items():
        if value:
            return name if value is True else f"{name} {moment(value) if isinstance(value, float) else value}"
    return f"{', '.join(do.receiver or ())} answers otherwise"


def _state(rule: Rule, alert: Alert, now: float) -> Iterator[str]:
    """How an alert stands, and what runs."""
    ladder = rule.compiled.ladder
    if alert.shown:
        yield alert.shown.name
    yield from _timers(ladder, alert, now)
    if alert.na_count:
        yield f"does not apply {span(now - alert.na_since)} of {span(NA_HOLD)}"
    if alert.flapping:
        yield "flapping"


def _timers(ladder: Ladder, alert: Alert, now: float) -> Iterator[str]:
    for rung in ladder.rungs:
        up = alert.up.get(rung.severity)
        if up is not None and rung.severity > alert.level:
            yield f"{rung.severity.label} pending {span(now - up)} of {span(ladder.hold)}"
    if alert.level in alert.down:
        yield f"falling {span(now - alert.down[alert.level])} of {span(ladder.keep)}"


def _kind(state: str) -> str:
    """Without its numbers: what it is, not how far."""
    return " ".join(word for word in state.split() if not any(sign.isdigit() for sign in word))
