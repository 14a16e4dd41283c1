"""The past of watched fields, written down."""

from __future__ import annotations

from collections.abc import Mapping

from riskbot.history import Point
from riskbot.service.clock import Clock, steady
from riskbot.service.watch import Watch
from riskbot.store.surviving import SurvivingStore

JOURNAL_EVERY = 10.0
PRUNE_EVERY = 3600.0
KEEP_PAST = 8 * 86400.0


class Journal:
    """Writes the past of the watched fields, heals the store, forgets what is old."""

    def __init__(self, watches: Mapping[str, Watch], store: SurvivingStore, clock: Clock) -> None:
        self._watches, self._store, self._clock = watches, store, clock
        self._prune_due = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "journal", self._clock)

    async def _turn(self) -> None:
        await self._clock.sleep(JOURNAL_EVERY)
        await self.write()

    async def write(self) -> None:
        """What came since the last time."""
        entries = [
            (watch.account, [Point(*point) for point in watch.history.drain()], watch.sight.seen)
            for watch in self._watches.values()
            if watch.sight.ever_seen
        ]
        now = self._clock.now()
        await self._store.record(entries)
        await self._store.heal(now)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_EVERY
            await self._store.prune(now - KEEP_PAST)
