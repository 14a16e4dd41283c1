"""When each account is polled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from riskbot.service.clock import Clock
from riskbot.service.watch import Watch

SLOT = 0.1
"""Polls of many accounts start in slots of so many seconds; those of a slot share a wake-up."""


class Pacer:
    """Starts polls: those of many accounts are spread over the interval, in slots that share a wake-up."""

    def __init__(self, watches: Sequence[Watch], clock: Clock, late: Callable[[float], None] = lambda _: None) -> None:
        self._late = late
        self._groups: dict[float, list[Watch]] = {}
        for watch in watches:
            self._groups.setdefault(watch.poll_every / clock.speed, []).append(watch)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._pace(every, watches) for every, watches in self._groups.items()))

    async def _pace(self, every: float, watches: list[Watch]) -> None:
        count = min(len(watches), max(1, int(every / SLOT)))
        slots = [watches[i::count] for i in range(count)]
        loop = asyncio.get_running_loop()
        start, turn = loop.time(), 0
        while True:
            due = start + turn * every / count
            await asyncio.sleep(due - loop.time())
            for watch in slots[turn % count]:
                self._late(loop.time() - due)
                watch.beat()
            turn += 1
            behind = int((loop.time() - start) / every * count) - turn
            if behind > count:  # a whole round: those beats are left out, never bunched
                _leave_out(slots, turn, behind)
                turn += behind


def _leave_out(slots: list[list[Watch]], turn: int, turns: int) -> None:
    """So many turns from that one on come to nothing."""
    for i, slot in enumerate(slots):
        own = (turns + (turn - i - 1) % len(slots)) // len(slots)
        for watch in slot:
            watch.miss(own)
