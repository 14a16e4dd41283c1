"""What was seen, and the past of watched fields, written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from riskbot.service.clock import Clock, steady
from riskbot.service.watch import Watch
from riskbot.settings import StoreSettings
from riskbot.store.surviving import SurvivingStore

LOOK_EVERY, JOURNAL_EVERY = 1.0, 10.0
PRUNE_EVERY = 3600.0
KEEP_PAST = 8 * 86400.0
AT_ONCE = 50
"""Accounts that one transaction writes: a commit with an alert must not wait for all of them."""
DAY, MB = 86400.0, 10**6


class Journal:
    """Writes what was recorded since the last time, heals the store, forgets what is old."""

    def __init__(
        self,
        watches: Mapping[str, Watch],
        store: SurvivingStore,
        clock: Clock,
        settings: Callable[[], StoreSettings] = StoreSettings,
    ) -> None:
        """settings: how much is kept."""
        self._watches, self._store, self._clock, self._settings = watches, store, clock, settings
        self._prune_due = 0.0
        self._due = clock.now() + JOURNAL_EVERY
        self._seen = frozenset[Watch]()

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "journal", self._clock)

    async def _turn(self) -> None:
        await self._clock.sleep(LOOK_EVERY)
        await self.look()

    async def look(self) -> None:
        """Write if it is time to; at once when an account is seen at last: nobody should read that it never was."""
        before, self._seen = self._seen, frozenset(watch for watch in self._watches.values() if watch.sight.ever_seen)
        if self._clock.now() >= self._due or self._seen - before:
            self._due = self._clock.now() + JOURNAL_EVERY
            await self.write()

    async def write(self) -> None:
        """What came since the last time."""
        watches = list(self._watches.values())
        for i in range(0, len(watches), AT_ONCE):
            await self._write(watches[i : i + AT_ONCE])
        now = self._clock.now()
        await self._store.heal(now)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_EVERY
            settings = self._settings()
            await self._store.prune(now - KEEP_PAST)
            await self._store.trim(now - settings.journal_days * DAY, settings.journal_mb * MB)

    async def _write(self, watches: Sequence[Watch]) -> None:
        batches = [await watch.drained() for watch in watches]
        await self._store.record([batch for mine in batches for batch in mine])
        for watch, mine in zip(watches, batches, strict=True):
            watch.judge.recorder.written(mine)
