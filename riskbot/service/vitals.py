"""Whether riskbot can be relied on at the moment: judged by what was really done, not by a timer of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf

from riskbot.delivery import about_receiver
from riskbot.health import Problem, Problems, about_watch
from riskbot.model import Severity
from riskbot.service.clock import Clock, Pulse
from riskbot.service.courier import Courier
from riskbot.service.host import STOOD_STILL
from riskbot.service.watch import Watch
from riskbot.store import Message
from riskbot.store.surviving import SurvivingStore
from riskbot.text import span

FRESH = 15.0
"""Seconds, or three polls: an account whose last good answer is older is not watched at the moment."""
STANDS_STILL = "it stands still: what it waits for does not end"
UNSENT = 60.0
"""Seconds after which a critical message must have been sent."""


class Vitals:
    """What keeps riskbot from being relied on. Looking costs nothing: no I/O, nothing waits.

    loops: those that must move besides the polls and the couriers, by the name that people are told.
    """

    def __init__(
        self,
        watches: Mapping[str, Watch],
        couriers: Mapping[str, Courier],
        store: SurvivingStore,
        clock: Clock,
        loops: Mapping[str, Pulse],
        problems: Problems,
    ) -> None:
        self._watches, self._couriers, self._store = watches, couriers, store
        self._clock, self._loops, self._problems = clock, loops, problems
        self._looked = self._awake = -inf
        self._told = frozenset[str]()

    def ready(self) -> bool:
        """Was every account polled at least once, and has every courier what it sends with?"""
        polled = bool(self._watches) and all(watch.polls for watch in self._watches.values())
        return polled and all(courier.hired for courier in self._couriers.values())

    def reasons(self, now: float) -> list[str]:
        """Why riskbot can't be relied on at the moment, for people; empty: it can."""
        unseen = [*self._blind(now), *self._without_data(now)]
        return [*unseen, *self._undelivered(now), *self._store_fails(), *self.stuck(now)]

    def stuck(self, now: float) -> list[str]:
        """Which polls, couriers or loops have not moved although they should have, for people."""
        return [
            f"{name} stood still for {span(still)}" for name, pulse in self._pulses() if (still := pulse.stuck_for(now))
        ]

    def tell(self, now: float) -> None:
        """Which watches and couriers stand still: they can't say so themselves. To be called every second."""
        awake = self._awake_since(now)
        parts = {about_watch(name): watch.pulse for name, watch in self._watches.items()}
        parts |= {about_receiver(name): courier.pulse for name, courier in self._couriers.items()}
        found = {part: still for part, pulse in parts.items() if (still := pulse.stuck_for(now, awake))}
        for part in self._told & parts.keys() - found.keys():
            problem = self._problems.of(part)
            if problem and problem.why == STANDS_STILL:  # else it has failed since it moves
                self._problems.clear(part)
        for part, still in found.items():
            self._problems.fail(part, Problem(now - still, STANDS_STILL, 0.0, 0.0))
        self._told = frozenset(found)

    def _awake_since(self, now: float) -> float:
        """When riskbot as a whole stood still last: that is told already, and all are given the time to move again."""
        moment = self._clock.unjumped(now)
        if moment - self._looked > STOOD_STILL * self._clock.speed:
            self._awake = moment
        self._looked = moment
        return self._awake

    def sees(self, watch: Watch, now: float) -> bool:
        """Is the account's last good answer a fresh one?"""
        age = watch.unseen_for(now)
        return age is not None and age <= max(FRESH * self._clock.speed, 3 * watch.poll_every)

    def _pulses(self) -> Iterator[tuple[str, Pulse]]:
        yield from ((f"the watch of {name}", watch.pulse) for name, watch in self._watches.items())
        yield from ((f"the courier of {name}", courier.pulse) for name, courier in self._couriers.items())
        yield from self._loops.items()

    def _blind(self, now: float) -> Iterator[str]:
        begun = {name: watch for name, watch in self._watches.items() if watch.polls}
        for name, watch in (begun or self._watches).items():  # what was added just now is no news before its first poll
            why = f": {watch.why}" if watch.why else ""
            if (age := watch.unseen_for(now)) is None:
                yield f"{name}: never seen{why}"
            elif not self.sees(watch, now):
                yield f"{name}: not seen for {span(age)}{why}"

    def _without_data(self, now: float) -> Iterator[str]:
        """Rules of which it is told that they have no number that they should have."""
        for name, watch in self._watches.items():
            alerts = watch.alerts
            told = [alerts.alerts.get(rule.name, {}) for rule in watch.judge.rules if rule.SEES_OUTAGE]
            for rule, blind in alerts.blind.items():
                if any(rule in subjects and subjects[rule].shown for subjects in told):
                    yield f'{name}: rule "{rule}" has had no data for {span(now - blind.since)}: {blind.why}'

    def _undelivered(self, now: float) -> Iterator[str]:
        """Why a receiver is not sure to hear: a critical message is unsent, or it is told by now that it fails."""
        owed = self._owed()
        for receiver in self._couriers:
            problem, message = self._problems.of(about_receiver(receiver)), owed.get(receiver)
            if message and (age := now - message.since) > UNSENT * self._clock.speed:
                why = message.error or (problem.why if problem else "")
                yield f"{receiver}: {_one(message.urgency)} message is unsent for {span(age)}{why and f': {why}'}"
            elif problem and problem.severity(now) and problem.why != STANDS_STILL:
                yield f"{receiver}: nothing is delivered for {span(now - problem.since)}: {problem.why}"

    def _owed(self) -> dict[str, Message]:
        """The message of critical or worse that each receiver has been owed longest: it waits, or was given up."""
        owed: dict[str, Message] = {}
        for message in (*self._store.unsent(), *filter(_is_missed, self._store.given_up())):
            first = owed.get(message.receiver, message)
            if message.urgency >= Severity.CRITICAL:
                owed[message.receiver] = min(message, first, key=lambda row: row.since)
        return owed

    def _store_fails(self) -> Iterator[str]:
        if self._store.failing is not None:
            yield f"the store is failing: {self._store.failing}"


def _is_missed(message: Message) -> bool:
    """Of what was given up: does anybody need to hear it? That something told is over nobody does."""
    return bool(message.after or message.covers)


def _one(severity: Severity) -> str:
    """`a critical`, `an emergency`."""
    return f"{'an' if severity is Severity.EMERGENCY else 'a'} {severity.label}"
