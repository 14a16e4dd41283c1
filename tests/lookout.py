"""A service whose clock the test turns, and what it shows over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from riskbot.delivery import Receiver
from riskbot.metrics import Sheet
from riskbot.rules import Rule
from riskbot.service import Bundle, Service
from riskbot.service.courier import Courier
from riskbot.service.watch import Watch
from riskbot.settings import WebSettings
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from riskbot.web.collector import fill
from riskbot.web.server import Server
from tests.desk import BLIND, RATIO, Hands, Market, Postman


class Someone:
    """An account as the service needs it."""

    def __init__(self, name: str) -> None:
        self.name, self.poll_every = name, 1.0


class Lookout:
    """Accounts that are polled, and a receiver that carries, when the test says so."""

    def __init__(self, *rules: Rule, accounts: tuple[str, ...] = ("main",), receiver: str = "phone") -> None:
        self.hands = Hands()
        self.markets = {name: Market() for name in accounts}
        self.postman = Postman()
        people = tuple(Someone(name) for name in accounts)
        receivers = (Receiver(receiver),)
        bundle = Bundle(people, rules or (RATIO, BLIND), receivers, {}, self._source, lambda _: self._made())
        self.store = SurvivingStore(MemoryStore())  # type: ignore[arg-type] # enough here
        self.service = Service(bundle, self.store, self.hands.clock)
        self.courier = Courier(receivers[0], self._made(), self.store, self.hands.clock, self.service.problems)

    def _source(self, account: Any) -> Market:
        return self.markets[account.name]

    def _made(self) -> asyncio.Future[Any]:
        making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        making.set_result(self.postman)
        return making

    async def open(self) -> Lookout:
        for account in self.service.bundle.accounts:
            await self.service._open(account)
        self.service.couriers[self.courier.receiver] = self.courier
        self.courier.hired = True
        return self

    @property
    def watch(self) -> Watch:
        return next(iter(self.service.watches.values()))

    @property
    def market(self) -> Market:
        return next(iter(self.markets.values()))

    async def poll(self, seconds: float = 1.0) -> None:
        self.hands.turn(seconds)
        for watch in self.service.watches.values():
            await watch.poll()
        self.service._self_watch.pulse.beat()
        self.courier.pulse.beat()

    async def carry(self) -> None:
        while await self.courier._next(self.postman):
            self.hands.turn(0.01)

    async def metrics(self, most: int = 5000, redact: Callable[[str], str] = str) -> dict[str, float]:
        """What a scrape gives, by series: `riskbot_reading{account="main",…}`."""
        sheet = Sheet(redact)
        await fill(sheet, self.service, most)
        return series(sheet.encoded()[0].decode())

    @asynccontextmanager
    async def served(self, redact: Callable[[str], str] = str, **settings: Any) -> AsyncIterator[str]:
        """Its address on this machine."""
        asked = WebSettings.model_validate({"listen": "127.0.0.1:0", **settings})
        server = Server(asked, self.service, redact)
        await server.open()
        try:
            yield server.url
        finally:
            await server.close()


def series(text: str) -> dict[str, float]:
    """The values of a scrape by their series, labels in the order of their names."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            name = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert name not in found, f"twice: {name}"
            found[name] = sample.value
    return found


async def get(url: str, **options: Any) -> tuple[int, str]:
    """Status and text of an answer."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status, await response.text()
