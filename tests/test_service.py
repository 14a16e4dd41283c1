"""riskbot about itself, and all loops together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from riskbot.delivery import Receiver, about_receiver
from riskbot.health import Problem, Problems
from riskbot.service import Service
from riskbot.service.clock import Clock
from riskbot.service.judge import Judge
from riskbot.service.selfwatch import HEALTH, SelfWatch
from riskbot.store import State
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, RATIO, Hands, Market, Postman, Thief


async def test_a_failing_store_is_told_and_its_recovery_too() -> None:
    hands, problems = Hands(), Problems()
    primary = MemoryStore()

    async def reopen() -> MemoryStore:
        return primary

    store = SurvivingStore(None, reopen, reason="the disk is full")
    judge = Judge("riskbot", [HEALTH], [Receiver("phone")], store, lambda _: None)
    await judge.load(hands.clock.now())
    self_watch = SelfWatch(judge, store, hands.clock, problems)
    await self_watch.tick()
    rows = await store.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("CRITICAL · riskbot · the store is failing", True)]
    assert "the disk is full" in rows[0][1].body
    await store.heal(hands.clock.now())
    for _ in range(40):
        hands.turn(1)
        await self_watch.tick()
    rows = await primary.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("RESOLVED · riskbot · the store works again", False)]


async def test_that_a_receiver_fails_is_told_to_the_others_only() -> None:
    hands, problems, store = Hands(), Problems(), SurvivingStore(MemoryStore())  # type: ignore[arg-type] # enough here
    judge = Judge("riskbot", [HEALTH], [Receiver("phone"), Receiver("mail")], store, lambda _: None)
    await judge.load(hands.clock.now())
    problems.fail(about_receiver("phone"), Problem(hands.clock.now(), "401", 0.0, 0.0))
    await SelfWatch(judge, store, hands.clock, problems).tick()
    rows = await store.outbox(("queued",))
    assert [(m.receiver, m.title) for _, m in rows] == [("mail", "CRITICAL · riskbot · delivery to phone is failing")]


async def test_a_fenced_self_watch_takes_up_the_others_state() -> None:
    hands, store = Hands(), Thief()
    judge = Judge("riskbot", [HEALTH], [Receiver("phone")], store, lambda _: None)
    await judge.load(hands.clock.now())
    problems = Problems()
    problems.fail("a part", Problem(hands.clock.now(), "why", 0.0, 0.0))
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=1000)
    self_watch = SelfWatch(judge, SurvivingStore(store), clock, problems)  # type: ignore[arg-type] # enough here
    await self_watch._turn()
    await self_watch._turn()
    rows = await store.outbox(("queued",))
    assert [m.title for _, m in rows] == ["CRITICAL · riskbot · a part is failing"]


class Named:
    def __init__(self, name: str) -> None:
        self.name, self.poll_every = name, 0.05


@pytest.fixture
async def memory() -> AsyncIterator[SurvivingStore]:
    store = SurvivingStore(None, reason="there is none")
    yield store
    await store.close()


async def test_the_service_watches_tells_and_lets_go(memory: SurvivingStore) -> None:
    post, market, stop = Postman(), Market("2.5"), asyncio.Event()
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_result(post)
    service = Service([Named("main")], [RATIO, BLIND], [Receiver("phone")], {"main": market}, {"phone": making}, memory)
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(5):
        while len(post.sent) < 2:
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert {text.title for text in post.sent} == {
        "CRITICAL · main · margin ratio 2.5 (250 %)",
        "CRITICAL · riskbot · the store is failing",
    }
    assert all("told from memory" in text.body for text in post.sent)
    assert market.closed
    assert post.closed


async def test_a_notifier_that_cannot_be_made_ends_the_service_with_its_reason(memory: SurvivingStore) -> None:
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_exception(ValueError("no such service"))
    service = Service([Named("main")], [RATIO], [Receiver("phone")], {"main": Market()}, {"phone": making}, memory)
    with pytest.raises(ValueError, match="no such service"):
        await asyncio.wait_for(service.run(asyncio.Event()), 10)


def test_a_state_is_what_a_fresh_store_gives() -> None:
    assert State() == State(None, 0, "")
