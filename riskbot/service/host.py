"""What riskbot stands on: a machine that keeps up, room on its disk, a clock that is right. What is lacking is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import exp, inf

from msgspec import Struct

from riskbot.health import DATABASE, DISK, MACHINE, TIME, Problem, Problems, about_polls
from riskbot.model import Severity
from riskbot.service.watch import Watch
from riskbot.store import Room
from riskbot.store.surviving import SurvivingStore
from riskbot.text import number, span

LATE = 0.25
"""Seconds that what is due starts late on the average."""
LATE_SPAN, LATEST = 30.0, 5.0
"""Seconds of that average, and how much one time counts at the most: once is no matter, lasting is."""
STOOD_STILL = 5.0
"""Seconds that riskbot is late after which it stood still, rather than was slow."""
POLLS_OVER, FEW = 300.0, 5
"""Seconds over which polls that were left out are counted; how many of them are no matter."""
ROOM_EVERY = 60.0
MB = 10**6
ROOM = {Severity.CRITICAL: (100 * MB, 0.1), Severity.WARNING: (500 * MB, 0.2)}
"""So many bytes or, on a small disk, such a share of it are too few."""
ENOUGH = 1.2
"""What was told ends only when it is better by so much: what wavers is told once."""
DRIFT = 10.0
"""Seconds. At 30 OKX takes no signature any more, unless it is known how far the clock is off."""


class Finding(Struct, frozen=True):
    """How bad something is, and why, for people."""

    severity: Severity
    why: str


FINE = Finding(Severity.OK, "")


def busy(lag: float, before: Severity) -> Finding:
    """Does the machine keep up? lag: seconds that what is due starts late. before: how bad it was."""
    if lag <= (LATE / ENOUGH if before else LATE):
        return FINE
    why = f"what is due starts {lag:.1f} s late: too many accounts, or something else takes the processor"
    return Finding(Severity.WARNING, why)


def left_out(missed: int, polls: int) -> Finding:
    """Are most polls made that are due?"""
    if missed <= max(FEW, polls):
        return FINE
    due = missed + polls
    why = f"{missed} of the last {due}: OKX answers slowly, poll_every is too short, or this machine is too busy"
    return Finding(Severity.WARNING, why)


def short(room: Room, before: Severity) -> Finding:
    """Is there room for the database?"""
    for severity, (least, share) in ROOM.items():
        if room.free < min(least, room.total * share) * (ENOUGH if before >= severity else 1.0):
            return Finding(severity, f"only {megabytes(room.free)} are left on the disk that holds the database")
    return FINE


def large(used: int, max_mb: int, before: Severity) -> Finding:
    """Is the database as small as it should be?"""
    if used <= max_mb * MB / (ENOUGH if before else 1.0):
        return FINE
    why = f"{megabytes(used)}, and max_mb in [store] is {max_mb}: lower journal_mb, shorten windows, or raise it"
    return Finding(Severity.WARNING, why)


def drifted(offsets: Mapping[str, float], before: Severity) -> Finding:
    """Is the machine's clock right? offsets: seconds that the clock of each server is ahead of it."""
    worst = max(offsets.values(), key=abs, default=0.0)
    if abs(worst) <= (DRIFT / ENOUGH if before else DRIFT):
        return FINE
    way = "behind" if worst > 0 else "ahead of"
    return Finding(Severity.WARNING, f"the machine's clock is {span(abs(worst))} {way} OKX's: have NTP set it")


def megabytes(count: int) -> str:
    """`12.3 MB`, `4,320 MB`."""
    return f"{number(Decimal(count) / MB, 3)} MB"


class Lag:
    """How late what is due starts, on the average: seconds."""

    def __init__(self) -> None:
        self.mean = 0.0

    def note(self, late: float) -> None:
        """What was due after a second started so late."""
        self.mean += (min(late, LATEST) - self.mean) * (1 - exp(-1 / LATE_SPAN))


class Host:
    """Looks after all that once a second.

    offsets: seconds that the clock of each server is ahead of the machine's, as last learnt. max_mb: what the database
    should not outgrow. Both as they are at present.
    """

    def __init__(
        self,
        watches: Mapping[str, Watch],
        store: SurvivingStore,
        problems: Problems,
        offsets: Callable[[], Mapping[str, float]],
        max_mb: Callable[[], int],
    ) -> None:
        self._watches, self._store, self._problems = watches, store, problems
        self._offsets, self._max_mb = offsets, max_mb
        self.lag = Lag()
        self.room: Room | None = None
        """As last measured; None: not yet, or the store has no disk."""
        self._told: dict[str, Severity] = {}
        self._counted: dict[Watch, tuple[int, int]] = {}
        self._count_anew = False
        """riskbot stood still: that is told, and the polls that were left out meanwhile have no cause of their own."""
        self._count_due = self._room_due = 0.0

    async def look(self, now: float, late: float) -> None:
        """late: seconds that this look started late."""
        self.lag.note(late)
        if late > STOOD_STILL:
            self._count_anew = True
        elif self._count_anew:  # by now the beats that nobody came to are left out
            self._count_anew = False
            self._count_due = now + POLLS_OVER
            self._counted = self._counts()
        self._note(MACHINE, busy(self.lag.mean, self._before(MACHINE)), now)
        self._note(TIME, drifted(self._offsets(), self._before(TIME)), now)
        if now >= self._count_due:
            self._count_due = now + POLLS_OVER
            self._count_polls(now)
        if now >= self._room_due:
            self._room_due = now + ROOM_EVERY
            await self._measure(now)

    def _count_polls(self, now: float) -> None:
        for name, watch in self._watches.items():
            missed, polls = self._counted.get(watch, (watch.missed, watch.polls))
            seen = not watch.why  # else its failing is told, and why
            since = left_out(watch.missed - missed, watch.polls - polls) if seen else FINE
            self._note(about_polls(name), since, now)
        self._counted = self._counts()

    def _counts(self) -> dict[Watch, tuple[int, int]]:
        return {watch: (watch.missed, watch.polls) for watch in self._watches.values()}

    async def _measure(self, now: float) -> None:
        self.room = await self._store.room()
        if self.room is not None:
            self._note(DISK, short(self.room, self._before(DISK)), now)
            self._note(DATABASE, large(self.room.used, self._max_mb(), self._before(DATABASE)), now)

    def _before(self, part: str) -> Severity:
        return self._told.get(part, Severity.OK)

    def _note(self, part: str, found: Finding, now: float) -> None:
        if found.severity != self._before(part) or not found.severity:
            self._problems.clear(part)
        if found.severity:
            urgent_after = 0.0 if found.severity >= Severity.CRITICAL else inf
            self._problems.fail(part, Problem(now, found.why, 0.0, urgent_after))
        self._told[part] = found.severity
