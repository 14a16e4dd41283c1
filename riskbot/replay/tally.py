"""What one set of rules does with a recording, counted while it is played. Memory grows with alerts, not with time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from decimal import Decimal
from operator import gt, lt

from msgspec import Struct, field

from riskbot.fields import ZERO
from riskbot.model import Alerts, Event, Reading, Severity, View
from riskbot.rules import Measured, Rule, measure
from riskbot.store import Message

DAY = 86400.0
ONE = Decimal(1)


class Episode(Struct):
    """One course of an alert, from nothing told to nothing told.

    reached: when each tier was told first. times: seconds in each. ended: None if it was still open at the end.
    """

    rule: str
    subject: str
    opened: float
    peak: Severity = Severity.OK
    reached: dict[Severity, float] = field(default_factory=dict)
    times: dict[Severity, float] = field(default_factory=dict)
    ended: float | None = None
    level: Severity = Severity.OK
    since: float = 0.0

    def move(self, severity: Severity, at: float) -> None:
        """It is told as that from now on."""
        self.pass_to(at)
        self.level, self.peak = severity, max(self.peak, severity)
        for tier in Severity:
            if Severity.OK < tier <= severity:
                self.reached.setdefault(tier, at)
        if not severity:
            self.ended = at

    def pass_to(self, at: float) -> None:
        """Time has passed."""
        if self.level:
            self.times[self.level] = self.times.get(self.level, 0.0) + at - self.since
        self.since = at


class Approach(Struct):
    """The reading of a rule that came nearest to danger."""

    reading: Reading
    at: float


class Tally:
    """Counts from `since` on; what was before only fills windows and states. gap: a longer pause, seconds, is a hole.

    episodes: in the order in which they opened. sent: messages by rule, receiver and day. flaps: by rule, how often an
    alert began to flap. blind: seconds by rule; "": in which the account could not be seen. holes: seconds in which
    nobody looked.
    """

    def __init__(self, rules: Iterable[Rule], gap: float, since: float = 0.0) -> None:
        self.rules = {rule.name: rule for rule in rules}
        self.episodes: list[Episode] = []
        self.sent: Counter[tuple[str, str, int]] = Counter()
        self.flaps: Counter[str] = Counter()
        self.blind: dict[str, float] = defaultdict(float)
        self.nearest: dict[str, Approach] = {}
        self.looks = 0
        self.holes = 0.0
        self.first = self.last = since
        self.since, self._gap = since, gap
        upwards = {name: rule.compiled.ladder.met(ONE, ZERO) for name, rule in self.rules.items()}
        self._worse = {name: gt if up else lt for name, up in upwards.items()}
        self._open: dict[str, Episode] = {}
        self._alerts = Alerts()
        self._flapping: set[tuple[str, str]] = set()
        self._unseen: Collection[str] = ()
        self._stands = 0.0

    def heard(self, event: Event) -> None:
        """An alert changed what it says."""
        episode = self._open.get(event.key)
        if episode is None:
            episode = self._open[event.key] = Episode(event.rule, event.subject, event.opened, since=event.at)
            self.episodes.append(episode)
        episode.move(event.after, event.at)
        if not event.after:
            del self._open[event.key]
            if event.at < self.since:
                self.episodes.remove(episode)

    def told(self, message: Message) -> None:
        """A receiver was sent a message."""
        if message.at >= self.since:
            rule = message.alert.removeprefix(f"{message.account}/").rpartition("/")[0]
            self.sent[rule, message.receiver, int(message.at // DAY)] += 1

    def ask(self, rule: Rule, view: View) -> Measured:
        """Ask a rule, and remember how near to danger it came."""
        answer = measure(rule, view)
        if view.now >= self.since:
            self._note(rule, answer.readings, view.now)
        return answer

    def _note(self, rule: Rule, readings: Iterable[Reading], now: float) -> None:
        nearest, worse = self.nearest.get(rule.name), self._worse[rule.name]
        best = None if nearest is None else nearest.reading.value
        for reading in readings:
            value = reading.value
            if value.is_finite() and (best is None or worse(value, best)):
                best = value
                self.nearest[rule.name] = Approach(reading, now)

    def looked(self, at: float, alerts: Alerts, *, outage: bool, stands: float = 0.0) -> None:
        """The account was looked at. outage: in vain. stands: until the next look, for so many seconds at the most."""
        if at >= self.since:
            self._pass(at)
            self.looks += 1
        if alerts is not self._alerts:
            self._see(alerts)
        self.last = at
        self._unseen, self._stands = ("",) if outage else alerts.blind, stands

    def _pass(self, at: float) -> None:
        """The time since the last look, as it was seen then."""
        if not self.looks:
            self._begin(at)
            return
        passed = at - self.last
        seen = passed if passed <= self._gap else min(passed, self._stands)
        self.holes += passed - seen
        for name in self._unseen:
            self.blind[name] += seen

    def _begin(self, at: float) -> None:
        """What was open before counts from now on."""
        self.first = at
        for episode in self._open.values():
            episode.times.clear()
            episode.since = at

    def _see(self, alerts: Alerts) -> None:
        flapping = {(rule, subject) for rule, subject, alert in alerts.each() if alert.flapping}
        self.flaps.update(rule for rule, _ in flapping - self._flapping)
        self._alerts, self._flapping = alerts, flapping

    def end(self) -> None:
        """The recording is over."""
        for episode in self._open.values():
            episode.pass_to(self.last)
