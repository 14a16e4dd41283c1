from __future__ import annotations

import pytest

from riskbot.model import Severity
from riskbot.store import Fenced, Point, State, Store
from riskbot.store.memory import MemoryStore
from riskbot.store.outbox import MOST_STEPS, cover
from tests.store_contract import StoreContract, event, message


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> Store:
        return MemoryStore()


async def test_the_journal_in_memory_forgets_its_oldest_points_beyond_its_bound() -> None:
    store = MemoryStore(max_points=2)
    await store.record([("main", [Point("a", "", at, "1") for at in (1.0, 2.0, 3.0)], 3.0)])

    assert [p.at for p in (await store.recall("main", 0.0))[0]] == [2.0, 3.0]


async def test_memory_forgets_its_oldest_events_beyond_its_bound() -> None:
    store = MemoryStore(max_events=2)
    await store.commit("main", 0, "c1", b"", (), (event(1), event(2), event(3)))

    assert await store.history(0.0) == [event(2), event(3)]


async def test_the_journal_in_memory_can_be_handed_over_as_it_was_recorded() -> None:
    store = MemoryStore()
    entries = [("main", [Point("a", "", 1.0, "1")], 3.0), ("idle", [], 2.0)]
    await store.record(entries)

    assert store.drain() == entries
    assert await store.recall("main", 0.0) == ([], 0.0)


async def test_an_account_is_restored_only_at_its_revision() -> None:
    store = MemoryStore()
    assert await store.restore("main", 0, State(b"1", 7, "c7"), []) == 1
    assert await store.load("main") == State(b"1", 1, "c7")
    assert await store.restore("main", 1, State(), []) == 1

    with pytest.raises(Fenced):
        await store.restore("main", 0, State(b"2", 7, "c7"), [])


def test_a_message_that_waited_for_weeks_tells_the_worst_of_it() -> None:
    waiting = message(1)
    for seq in range(2, 300):
        peak = Severity.EMERGENCY if seq == 100 else Severity.WARNING
        waiting = cover(message(seq, peak=peak), waiting)

    assert len(waiting.covers) == MOST_STEPS
    assert [step.seq for step in waiting.covers] == sorted(step.seq for step in waiting.covers)
    assert 100 in {step.seq for step in waiting.covers}


async def test_nobody_else_can_write_into_memory() -> None:
    store = MemoryStore()
    await store.commit("main", 0, "c1", b"1")

    assert not await store.touched()
