"""The loops and the clocks; all else is called from here. Watches and couriers share nothing but the store.

Pacer ──▶ Watch.poll: fetch ▸ ask the rules ▸ judge ▸ plan ▸ commit      (one per account)
                                                        │ wake
Courier: take ▸ send ▸ done | later | dead               ◀┘               (one per receiver)
SelfWatch: what fails in riskbot itself ▸ judge ▸ plan ▸ commit           (every second)
Journal: the past of watched fields ▸ store; heals the store              (every ten seconds)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from riskbot.delivery import Receiver
from riskbot.health import Problems
from riskbot.notify import Notifier
from riskbot.rules import Rule
from riskbot.service.clock import Clock
from riskbot.service.courier import Courier
from riskbot.service.journal import Journal
from riskbot.service.judge import Judge
from riskbot.service.pacer import Pacer
from riskbot.service.selfwatch import HEALTH, SelfWatch
from riskbot.service.watch import Watch
from riskbot.settings import SELF
from riskbot.source import Source
from riskbot.store.surviving import SurvivingStore

DRAIN = 3.0
"""Seconds that the couriers have to empty the outbox when riskbot ends."""


class Account(Protocol):
    """What the service needs to know of an account."""

    @property
    def name(self) -> str:
        """Names it in messages."""

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""


class Service:
    """All of riskbot, running. `sources` by account name; `notifiers` are made by the caller, perhaps still loading."""

    def __init__(
        self,
        accounts: Sequence[Account],
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        sources: Mapping[str, Source],
        notifiers: Mapping[str, Awaitable[Notifier]],
        store: SurvivingStore,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.problems = Problems()
        self._store = store
        self.couriers = {
            receiver.name: Courier(receiver.name, notifiers[receiver.name], store, self.clock, self.problems)
            for receiver in receivers
        }
        self.watches = [
            Watch(self._judge(a.name, rules, receivers), sources[a.name], self.clock, self.problems, a.poll_every)
            for a in accounts
        ]
        self._self_judge = self._judge(SELF, [HEALTH], receivers)
        self._self_watch = SelfWatch(self._self_judge, store, self.clock, self.problems)
        self._journal = Journal(self.watches, store, self.clock)

    def _judge(self, account: str, rules: Sequence[Rule], receivers: Sequence[Receiver]) -> Judge:
        return Judge(account, rules, receivers, self._store, lambda name: self.couriers[name].wake())

    async def run(self, stop: asyncio.Event, late: Callable[[float], None] = lambda _: None) -> None:
        """Watch until `stop` is set; then deliver what waits, for three seconds at the most, and let go.

        Raises what a loop raised, after letting go: a loop that ends is a mistake of riskbot, not of its user.
        """
        await self._store.release()
        for watch in self.watches:
            await watch.load(self._store)
        await self._self_judge.load(self.clock.now())
        pacing = asyncio.create_task(Pacer(self.watches, self.clock, late).run(), name="pacer")
        loops: list[Courier | SelfWatch | Journal] = [*self.couriers.values(), self._self_watch, self._journal]
        others = [asyncio.create_task(loop.run(), name=type(loop).__name__) for loop in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({pacing, stopping, *others}, return_when=asyncio.FIRST_COMPLETED)
            await self._end(pacing, others)
            for task in done:
                task.result()
        finally:
            stopping.cancel()

    async def _end(self, pacing: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
        pacing.cancel()
        await asyncio.gather(*(watch.close() for watch in self.watches), return_exceptions=True)
        await self._drain()
        for task in others:
            task.cancel()
        await asyncio.gather(pacing, *others, return_exceptions=True)
        await self._journal.write()

    async def _drain(self) -> None:
        """Wait until nothing is due any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while not await self._drained():
                    await asyncio.sleep(0.05)

    async def _drained(self) -> bool:
        now = self.clock.now()
        due = [await self._store.next_due(name) for name in self.couriers]
        return all(courier.idle for courier in self.couriers.values()) and all(at is None or at > now for at in due)
