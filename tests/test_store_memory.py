from __future__ import annotations

import pytest

from riskbot.history import Point
from riskbot.model import Severity
from riskbot.recording import points_only
from riskbot.store import Fenced, State, Store
from riskbot.store.memory import MemoryStore
from riskbot.store.outbox import MOST_STEPS, cover
from tests.store_contract import StoreContract, batch, event, message


class TestMemoryStore(StoreContract):
    @pytest.fixture
    async def store(self) -> Store:
        return MemoryStore()


async def test_the_journal_in_memory_forgets_its_oldest_points_beyond_its_bound() -> None:
    store = MemoryStore(max_points=2)
    await store.record([points_only("main", [Point("a", "", at, "1") for at in (1.0, 2.0, 3.0)], 3.0)])

    assert [p.at for p in (await store.recall("main", 0.0))[0]] == [2.0, 3.0]


async def test_memory_forgets_its_oldest_events_beyond_its_bound() -> None:
    store = MemoryStore(max_events=2)
    await store.commit("main", 0, "c1", b"", (), (event(1), event(2), event(3)))

    assert await store.history(0.0) == [event(2), event(3)]


async def test_the_journal_in_memory_can_be_handed_over_as_it_was_recorded() -> None:
    store = MemoryStore()
    entries = [points_only("main", [Point("a", "", 1.0, "1")], 3.0), points_only("idle", [], 2.0), batch()]
    await store.record(entries)
    mine = store.journal("main")
    await store.record([points_only("main", [Point("a", "", 4.0, "2")], 4.0)])

    assert mine == [batch(), entries[0]]
    store.forget_journal(mine)
    assert store.journal("main") == [points_only("main", [Point("a", "", 4.0, "2")], 4.0)]
    store.forget_journal(store.journal("main"))
    assert store.journal("main") == []
    assert store.journal("idle") == [entries[1]]


async def test_memory_forgets_the_oldest_of_what_was_recorded_beyond_its_bound() -> None:
    store = MemoryStore(max_bytes=2 * len(batch().data))
    await store.record([batch(0), batch(1), batch(0), batch(2, account="spare")])

    assert await store.recorded("main") == [batch(1)]
    assert await store.recorded("spare") == [batch(2, account="spare")]


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
