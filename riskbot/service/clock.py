"""Where time enters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

log = logging.getLogger("riskbot")


class Clock:
    """Seconds since 1970 that never go back: after a backward jump of the machine's clock they just go on.

    speed: how many of its seconds pass in one real second; the demo lives faster.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        speed: float = 1.0,
    ) -> None:
        self.speed = speed
        self._wall, self._monotonic = wall, monotonic
        self._start, self._mark = wall(), monotonic()
        self._last = self._start

    def now(self) -> float:
        """The present moment."""
        mark = self._monotonic()
        moment = self._start + (self._wall() - self._start) * self.speed
        self._last = moment if moment >= self._last else self._last + (mark - self._mark) * self.speed
        self._mark = mark
        return self._last

    def not_before(self, moment: float) -> None:
        """What is remembered is of that moment: go on from there."""
        self._last = max(self._last, moment)

    async def sleep(self, seconds: float) -> None:
        """Let so many of its seconds pass."""
        await asyncio.sleep(seconds / self.speed)


async def steady(turn: Callable[[], Awaitable[None]], name: str, clock: Clock) -> NoReturn:
    """Turn after turn, until cancelled. A mistake of riskbot in one of them is logged and ends nothing."""
    while True:
        try:
            await turn()
        except Exception:
            log.exception("the %s stumbled", name)
            await clock.sleep(1.0)
