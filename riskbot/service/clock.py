"""Where time enters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from math import inf

from msgspec import Struct

from riskbot.service.logbook import Edge

log = logging.getLogger("riskbot")

STEP = 2.0
"""Real seconds. The machine's clock was set if it moved so much more, or less, than the time that passed."""
CATCHING_UP = 0.9
"""How fast the time goes on while it is ahead of the machine's clock."""

_NEVER_SET = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime() -> float:
    """Seconds of a clock that nobody can set. A machine that was suspended has aged too, where that can be told."""
    return time.clock_gettime(_NEVER_SET)


stopwatch = time.monotonic
"""Seconds, to measure how long something takes. It stands still while the machine is suspended."""


class Step(Struct, frozen=True):
    """The machine's clock was set. at: the moment, as `now()` has it. seconds: how far: ahead, or back (negative)."""

    at: float
    seconds: float


class Clock:
    """Seconds since 1970 that never go back.

    They follow the machine's clock (`wall`), ahead at once. When that is set back they go on, but slower, until it has
    caught up. `uptime` tells a clock that was set from time that passed.
    speed: how many of its seconds pass in one real second; the demo lives faster.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        uptime: Callable[[], float] = uptime,
        speed: float = 1.0,
    ) -> None:
        self.speed = speed
        self.steps = 0
        """How often the machine's clock was set."""
        self.step: Step | None = None
        """The last time it was."""
        self.jumped = 0.0
        """Seconds that were left out in all, as it was set ahead: ages of what was seen before are less by these."""
        self._wall, self._uptime = wall, uptime
        self._start = self._seen = self._last = wall()
        self._mark = uptime()

    @property
    def lead(self) -> float:
        """Seconds that it is ahead of the machine's clock, as of the last look."""
        return self._last - self._seen

    def now(self) -> float:
        """The present moment."""
        mark, wall = self._uptime(), self._start + (self._wall() - self._start) * self.speed
        passed, moved = (mark - self._mark) * self.speed, wall - self._seen
        before, self._last = self._last, max(wall, self._last + passed * CATCHING_UP)
        self._mark, self._seen = mark, wall
        if abs(moved - passed) > STEP * self.speed:
            self.steps += 1
            self.step = Step(self._last, moved - passed)
            self.jumped += max(0.0, self._last - before - passed)
        return self._last

    def unjumped(self, now: float) -> float:
        """A moment of now, as if the machine's clock had never been set ahead: to tell what passed, not what it is."""
        return now - self.jumped

    def not_before(self, moment: float) -> None:
        """What is remembered is of that moment: go on from there."""
        self._last = max(self.now(), moment)

    async def sleep(self, seconds: float) -> None:
        """Let so many of its seconds pass."""
        await asyncio.sleep(seconds / self.speed)


class Pulse:
    """Shows that a loop moves. patience: within so many of the clock's seconds it does, if all is well."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock, self._patience = clock, patience
        self.beat()

    def beat(self) -> None:
        """It has moved."""
        self._at = self._clock.unjumped(self._clock.now())

    def stuck_for(self, now: float, awake: float = -inf) -> float:
        """Seconds since it moved, if that is too long ago; else 0. That the machine's clock was set counts for none.

        awake: it could not move before, as `Clock.unjumped` has moments.
        """
        still = self._clock.unjumped(now) - max(self._at, awake)
        return still if still > self._patience else 0.0


async def steady(
    turn: Callable[[], Awaitable[None]], name: str, clock: Clock, done: Callable[[], bool] = lambda: False
) -> None:
    """Turn after turn, until done or cancelled. A mistake of riskbot in one of them is logged and ends nothing."""
    task = asyncio.current_task()
    stumbling = Edge(log, f"the {name} stumbled", f"the {name} goes on")
    while not done():
        try:
            await turn()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged
            stumbling.fails(type(error).__name__, logging.ERROR, error)
            await clock.sleep(1.0)
        else:
            stumbling.works(clock.now())
        if task is not None and task.cancelling():  # what was awaited kept it for itself, as `asyncio.wait_for` may
            raise asyncio.CancelledError
