from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from riskbot.history import Point
from riskbot.recording import points_only
from riskbot.store import KEEP_LONG, Broken, Fenced, Kept, Message, State, Store, StoreError, Unavailable, hand
from riskbot.store import mirror as mirror_module
from riskbot.store import surviving as surviving_module
from riskbot.store.memory import MemoryStore
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import Primary, SurvivingStore
from tests.store_contract import EMERGENCY, OK, WARNING, StoreContract, batch, event, message, plain, queue, states


class TestOverAWellStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = SurvivingStore(await SqliteStore.open(tmp_path / "riskbot.db"))
        await store.release()
        yield store
        assert store.failing is None
        await store.close()


class TestWithoutAStore(StoreContract):
    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        store = SurvivingStore(None)
        await store.release()
        yield store
        assert store.failing
        await store.close()


class TestOverAStoreThatFailsAtEveryCall(StoreContract):
    @pytest.fixture
    async def store(self) -> Store:
        primary = Flaky(MemoryStore())
        primary.error = Unavailable("no disk")
        return surviving(primary)


class TestOverAStoreThatComesAndGoes(StoreContract):
    """Every second call that matters fails after it was done, and every call is followed by a healing."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        primary = await SqliteStore.open(tmp_path / "riskbot.db")
        store = Restless(Flaky(primary))
        yield store
        await store.close()


READS = {"accounts", "load", "next_due", "outbox", "history", "recall", "recorded", "kept", "touched"}
CALLS = READS | {
    "commit",
    "restore",
    "take",
    "ack",
    "nack",
    "dead",
    "release",
    "hasten",
    "rename",
    "record",
    "prune",
    "keep",
    "trim",
}


class Flaky:
    """A store whose calls fail with `error` while it is set.

    writes_only: it can still be read, as with a full disk. too_late: the call is done all the same.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.error: StoreError | None = None
        self.writes_only = self.too_late = False
        self.closed = False
        self.calls: list[str] = []
        self.meanwhile: dict[str, Callable[[], Awaitable[Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        assert name in CALLS

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            error = self.error if not self.writes_only or name not in READS else None
            if error and not self.too_late:
                raise error
            result = await getattr(self.store, name)(*args, **kwargs)
            if name in self.meanwhile:
                await self.meanwhile.pop(name)()
            if error:
                raise error
            return result

        return call

    async def close(self) -> None:
        self.closed = True
        await self.store.close()


class Restless:
    """A surviving store in trouble at every second call, healed after each."""

    def __init__(self, primary: Flaky) -> None:
        self._primary = primary
        self._primary.too_late = True
        self._store = surviving(primary)
        self._turn = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            looks = name in {
                "accounts",
                "outbox",
                "history",
                "recall",
                "recorded",
                "kept",
            }  # of which memory has but a part
            self._turn += not looks
            self._primary.error = Unavailable("lost") if self._turn % 2 and not looks else None
            try:
                return await getattr(self._store, name)(*args, **kwargs)
            finally:
                self._primary.error = None
                await self._store.heal(1.0)
                assert self._store.failing is None

        return call

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
async def primary(tmp_path: Path) -> AsyncIterator[Flaky]:
    flaky = Flaky(await SqliteStore.open(tmp_path / "riskbot.db"))
    yield flaky
    await flaky.store.close()


@pytest.fixture
async def store(primary: Flaky) -> SurvivingStore:
    store = surviving(primary)
    await store.release()
    await store.load("main")
    return store


def surviving(primary: Any, **options: Any) -> SurvivingStore:
    return SurvivingStore(primary, **options)


async def healed(store: SurvivingStore, primary: Flaky, now: float = 100.0) -> None:
    primary.error = None
    await store.heal(now)
    assert store.failing is None


# Telling.


async def test_the_trouble_is_seen_from_its_beginning_to_its_end(primary: Flaky) -> None:
    store = surviving(primary)
    await store.take("phone", 1, 50.0, 30.0)
    assert (store.failing, store.since) == (None, 0.0)

    primary.error = Unavailable("riskbot.db: the disk is full: free some space")
    await store.commit("main", 0, "c1", b"1", ())
    primary.error = Unavailable("something else")
    await store.record([])
    await store.heal(60.0)
    assert (store.failing, store.since) == ("riskbot.db: the disk is full: free some space", 50.0)

    await healed(store, primary)
    await store.heal(101.0)
    assert (store.failing, store.since) == (None, 0.0)


async def test_trouble_from_the_start_is_dated_by_the_first_attempt_to_heal() -> None:
    store = SurvivingStore(None, reason="no such directory")
    await store.heal(60.0)
    await store.heal(70.0)

    assert (store.failing, store.since) == ("no such directory", 60.0)


async def test_messages_committed_in_trouble_are_marked_until_they_are_saved(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error = Unavailable("full")
    await queue(store, message(1), message(1, alert="b"))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    await store.ack(told, 6.0)
    assert told.unsaved

    await healed(store, primary)

    assert {m.alert: m.unsaved for _, m in await primary.store.outbox(("sent", "queued"))} == {
        "b": True,
        "main/twap/USDT": False,
    }
    (later,) = await store.take("phone", 1, 7.0, 30.0)
    assert not later.unsaved


async def test_a_commit_whose_caller_is_cancelled_is_known_to_memory_too(store: SurvivingStore, primary: Flaky) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        await go_on.wait()

    primary.meanwhile["commit"] = wait
    commit = asyncio.create_task(store.commit("main", 0, "c1", b"1", (message(1),)))
    await begun.wait()
    commit.cancel()
    go_on.set()
    await asyncio.gather(commit, return_exceptions=True)
    await asyncio.sleep(0.01)
    primary.error = Unavailable("full")

    assert [m.seq for m in await store.take("phone", 1, 5.0, 30.0)] == [1]


async def test_the_first_of_several_failures_is_the_one_to_tell(store: SurvivingStore, primary: Flaky) -> None:
    async def load(why: str) -> None:
        primary.error = Unavailable(why)
        await store.load(why)

    primary.meanwhile["load"] = lambda: load("second")
    primary.error, primary.too_late = Unavailable("first"), True
    await store.load("main")

    assert store.failing == "second", "it failed while the first call was still under way"


# What waited is still sent, and once.


async def test_what_was_queued_before_the_trouble_is_sent_in_it_and_not_again_after_it(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1))
    primary.error = Unavailable("gone")

    assert await store.next_due("phone") == 0.0
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    await store.ack(told, 6.0)
    assert not told.unsaved
    assert await store.take("phone", 1, 99.0, 30.0) == []

    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "sent"}
    assert await store.take("phone", 1, 200.0, 30.0) == []


async def test_what_an_earlier_process_left_is_sent_though_the_store_fails_at_once(primary: Flaky) -> None:
    await queue(primary.store, message(1), message(1, alert="b"))
    await primary.store.take("phone", 1, 5.0, 1e9)
    store = surviving(primary)
    await store.release()
    primary.error = Unavailable("gone")

    told = await store.take("phone", 9, 6.0, 30.0)

    assert {(m.alert, m.maybe_sent) for m in told} == {("b", True), ("main/twap/USDT", False)}


async def test_what_an_earlier_process_left_is_read_from_a_full_disk_and_sent(primary: Flaky) -> None:
    await queue(primary.store, message(1))
    await primary.store.take("phone", 1, 5.0, 1e9)
    await queue(primary.store, message(2))
    primary.error, primary.writes_only = Unavailable("full"), True
    store = surviving(primary)
    await store.release()
    assert store.failing == "full"

    (told,) = await store.take("phone", 9, 6.0, 30.0)
    await store.ack(told, 7.0)
    assert (told.seq, [(s.seq, s.maybe_sent) for s in told.covers]) == (2, [(1, True)])

    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "sent"}


async def test_an_acknowledgement_that_could_not_be_written_is_remembered_and_written_later(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    primary.error = Unavailable("full")
    await store.ack(told, 6.0)
    assert await store.take("phone", 1, 99.0, 30.0) == []

    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "sent"}


async def test_that_a_message_unknown_to_memory_was_sent_is_written_later(primary: Flaky) -> None:
    await queue(primary.store, message(1))
    (told,) = await primary.store.take("phone", 1, 5.0, 30.0)
    store = surviving(primary)
    primary.error = Unavailable("full")
    await store.dead(told, 6.0, "403")
    await store.ack(told, 6.0)

    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "sent"}
    assert await store.commit("main", 1, "c2", b"", ()) == 2


async def test_what_is_in_flight_when_the_trouble_ends_is_not_taken_a_second_time(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1))
    primary.error = Unavailable("full")
    (flying,) = await store.take("phone", 1, 5.0, 30.0)
    await queue(store, message(2))
    await healed(store, primary)

    assert await store.take("phone", 1, 6.0, 30.0) == []
    await store.nack(flying, 6.0, 7.0, "503", maybe_sent=False)
    (told,) = await store.take("phone", 1, 7.0, 30.0)
    assert (told.seq, [s.seq for s in told.covers]) == (2, [1])


async def test_a_message_of_the_trouble_covers_the_one_that_waited_before_it_once(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1))
    primary.error = Unavailable("full")
    await queue(store, message(2))
    await healed(store, primary)

    (told,) = await store.take("phone", 1, 5.0, 30.0)

    assert (told.seq, [s.seq for s in told.covers]) == (2, [1])


async def test_a_commit_that_went_through_although_it_failed_is_not_written_twice(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error, primary.too_late = Unavailable("outcome unknown"), True
    rev = await store.commit("main", 0, "c1", b"1", (message(1),))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    await store.ack(told, 5.0)
    await healed(store, primary)

    assert await states(primary.store) == {"main/twap/USDT-1-1": "sent"}
    assert await store.commit("main", rev, "c2", b"2", ()) == rev + 1
    assert (await primary.store.load("main")).value == b"2"


async def test_a_healing_that_went_through_although_it_failed_is_repeated_without_harm(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error = Unavailable("full")
    rev = await store.commit("main", 0, "c1", b"1", (message(1),))
    primary.too_late = True
    await store.heal(1.0)
    assert store.failing
    rev = await store.commit("main", rev, "c2", b"2", (message(2),))
    primary.too_late = False
    await healed(store, primary)

    assert await store.commit("main", rev, "c3", b"3", ()) == rev + 1
    assert await states(primary.store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "queued"}


async def test_rows_that_were_never_known_are_not_told_after_newer_ones_of_their_alert(primary: Flaky) -> None:
    await queue(
        primary.store, *(message(1, alert=alert) for alert in ("sent", "flies", "waits", "quiet")), account="main"
    )
    store = surviving(primary)
    primary.error = Unavailable("unreadable")
    await store.release()
    await queue(store, message(2, alert="sent", after=EMERGENCY))
    await store.ack((await store.take("phone", 1, 5.0, 30.0))[0], 5.0)
    await queue(store, message(2, alert="flies"))
    await store.take("phone", 1, 5.0, 30.0)
    await queue(store, message(2, alert="waits"))
    await healed(store, primary)

    assert await states(primary.store) == {
        "sent-1-1": "superseded",
        "sent-1-2": "sent",
        "flies-1-1": "superseded",
        "flies-1-2": "sending",
        "waits-1-1": "superseded",
        "waits-1-2": "queued",
        "quiet-1-1": "queued",
    }
    told = await store.take("phone", 9, 6.0, 30.0)
    assert {m.alert: [s.seq for s in m.covers] for m in told} == {"waits": [1], "quiet": []}
    primary.error = Unavailable("again")
    assert await store.next_due("phone") == 35.0, "memory knows the rows that it learnt of"


async def test_the_newest_done_messages_are_remembered_within_bounds(
    store: SurvivingStore, primary: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "MAX_DONE", 2)
    await queue(store, message(1, alert="saved"))
    primary.error = Unavailable("full")
    for n in range(4):
        await queue(store, message(n + 2, alert=f"{n}"))
        for told in await store.take("phone", 9, 5.0, 30.0):
            await store.ack(told, 5.0)

    assert await states(store) == {"saved-1-1": "sent", "3-1-5": "sent"}


# What was given up is still owed.


async def give_up(store: Store, now: float = 5.0) -> None:
    for told in await store.take("phone", 9, now, 30.0):
        await store.dead(told, now, "400")


async def test_what_was_given_up_before_the_trouble_is_covered_in_it(store: SurvivingStore, primary: Flaky) -> None:
    await queue(store, message(1))
    await give_up(store)
    primary.error = Unavailable("full")
    await queue(store, message(2, before=WARNING, after=OK, peak=WARNING))

    (told,) = await store.take("phone", 1, 6.0, 30.0)
    await store.ack(told, 7.0)
    assert [s.seq for s in told.covers] == [1]

    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "sent"}


async def test_what_an_earlier_process_gave_up_is_covered_though_the_store_fails_at_once(primary: Flaky) -> None:
    await queue(primary.store, message(1))
    await give_up(primary.store)
    store = surviving(primary)
    await store.release()
    primary.error = Unavailable("gone")
    await queue(store, message(2))

    assert [[s.seq for s in m.covers] for m in await store.take("phone", 1, 6.0, 30.0)] == [[1]]


async def test_what_was_given_up_in_the_trouble_is_covered_after_it(store: SurvivingStore, primary: Flaky) -> None:
    primary.error = Unavailable("full")
    await queue(store, message(1))
    await give_up(store)
    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "dead"}
    await queue(store, message(2))

    assert [[s.seq for s in m.covers] for m in await store.take("phone", 1, 6.0, 30.0)] == [[1]]


async def test_what_was_given_up_unknown_to_memory_is_covered_by_its_news_once_it_is_known(primary: Flaky) -> None:
    await queue(primary.store, message(1), message(1, alert="b"))
    await give_up(primary.store)
    store = surviving(primary)
    primary.error = Unavailable("unreadable")
    await store.release()
    await queue(store, message(2))
    await healed(store, primary)

    assert [[s.seq for s in m.covers] for m in await store.take("phone", 1, 6.0, 30.0)] == [[1]]
    assert (await states(store))["b-1-1"] == "dead"


async def test_a_row_that_waited_unknown_while_memory_gave_up_a_newer_one_is_owed_with_that(primary: Flaky) -> None:
    await queue(primary.store, message(1))
    store = surviving(primary)
    primary.error = Unavailable("unreadable")
    await store.release()
    await queue(store, message(2))
    await give_up(store)
    await healed(store, primary)

    assert await states(primary.store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "dead"}
    await queue(store, message(3))
    assert [[s.seq for s in m.covers] for m in await store.take("phone", 1, 6.0, 30.0)] == [[1, 2]]


async def test_memory_keeps_what_was_given_up_within_bounds_and_not_for_ever(
    store: SurvivingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_module, "MAX_DONE", 2)
    await queue(store, *(message(n, alert=f"{n}") for n in range(1, 5)))
    await give_up(store)
    assert [row.message.alert for row in store._mirror.rows.done()] == ["3", "4"]

    await store.prune(6.0 + KEEP_LONG)
    assert store._mirror.rows.done() == []


# People's hand.


async def test_what_a_person_dropped_is_not_told_from_memory(store: SurvivingStore, primary: Flaky, path: Path) -> None:
    await queue(store, message(1), message(1, alert="b"))
    hand.drop(path, ["b-1-1@phone"], 5.0)
    await store.heal(6.0)
    primary.error = Unavailable("full")

    assert [m.alert for m in await store.take("phone", 9, 7.0, 30.0)] == ["main/twap/USDT"]
    await healed(store, primary)
    assert (await states(primary.store))["b-1-1"] == "dropped"


async def test_what_a_person_queued_again_is_told_from_memory_too(
    store: SurvivingStore, primary: Flaky, path: Path
) -> None:
    await queue(store, message(1))
    await give_up(store)
    hand.retry(path, None, 6.0)
    await store.heal(7.0)
    primary.error = Unavailable("full")

    (told,) = await store.take("phone", 9, 8.0, 30.0)
    await store.ack(told, 9.0)
    await healed(store, primary)
    assert await states(primary.store) == {"main/twap/USDT-1-1": "sent"}


async def test_what_a_person_queued_again_and_is_in_flight_when_the_trouble_ends_is_not_taken_twice(
    store: SurvivingStore, primary: Flaky, path: Path
) -> None:
    await queue(store, message(1))
    await give_up(store)
    hand.retry(path, None, 6.0)
    await store.heal(7.0)
    primary.error = Unavailable("full")
    (flying,) = await store.take("phone", 9, 8.0, 30.0)
    await healed(store, primary)

    assert await store.take("phone", 9, 9.0, 30.0) == []
    await store.ack(flying, 10.0)
    assert await states(store) == {"main/twap/USDT-1-1": "sent"}


async def test_the_healing_does_not_undo_what_people_did_in_the_trouble(
    store: SurvivingStore, primary: Flaky, path: Path
) -> None:
    await queue(store, *(message(1, alert=alert) for alert in ("dead", "waits")))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    await store.dead(told, 5.0, "400")
    primary.error = Unavailable("cut off")
    await queue(store, message(2, alert="other"))
    hand.retry(path, ["dead-1-1@phone"], 6.0)
    hand.drop(path, ["waits-1-1@phone"], 6.0)
    await healed(store, primary)

    assert await states(store) == {"dead-1-1": "queued", "waits-1-1": "dropped", "other-1-2": "queued"}
    primary.error = Unavailable("again")
    assert {m.alert for m in await store.take("phone", 9, 7.0, 30.0)} == {"dead", "other"}


async def test_what_was_told_in_the_trouble_was_told_whatever_people_did_meanwhile(
    store: SurvivingStore, primary: Flaky, path: Path
) -> None:
    await queue(store, message(1), message(1, alert="b"))
    await give_up(store)
    primary.error = Unavailable("cut off")
    await queue(store, message(2), message(2, alert="b"))
    told = await store.take("phone", 9, 6.0, 30.0)
    hand.retry(path, ["b-1-1@phone"], 7.0)
    hand.drop(path, ["main/twap/USDT-1-1@phone"], 7.0)
    for m in told:
        await store.ack(m, 8.0)
    await healed(store, primary)

    assert await states(store) == {
        "main/twap/USDT-1-1": "superseded",
        "main/twap/USDT-1-2": "sent",
        "b-1-1": "superseded",
        "b-1-2": "sent",
    }
    assert await store.take("phone", 9, 99.0, 30.0) == []


async def test_what_was_dropped_long_ago_is_no_news(store: SurvivingStore, primary: Flaky, path: Path) -> None:
    await queue(store, message(1))
    hand.drop(path, ["main/twap/USDT-1-1@phone"], 5.0)
    await store.heal(6.0)
    await store.heal(7.0)
    assert primary.calls.count("touched") == 2
    assert store._mirror.rows.rows == {}

    primary.error = Unavailable("full")
    await queue(store, message(2))
    await healed(store, primary)
    assert [m.covers for m in await store.take("phone", 9, 8.0, 30.0)] == [()]


async def test_a_store_that_fails_while_it_is_looked_at_for_changes_is_in_trouble(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error = Unavailable("full")
    await store.heal(6.0)

    assert store.failing == "full"


# Events.


async def test_the_events_of_the_trouble_are_seen_in_it_and_written_after_it(
    store: SurvivingStore, primary: Flaky
) -> None:
    rev = await store.commit("main", 0, "c1", b"1", (), (event(1),))
    primary.error, primary.writes_only = Unavailable("full"), True
    rev = await store.commit("main", rev, "c2", b"2", (), (event(2),))
    assert await store.history(0.0) == [event(1), event(2)]
    assert await store.history(2.0) == [event(2)]

    await healed(store, primary)
    assert await primary.store.history(0.0) == [event(1), event(2)]
    assert store._mirror.events == {}
    await store.commit("main", rev, "c3", b"3", (), (event(3),))
    assert await store.history(0.0) == [event(1), event(2), event(3)]


async def test_an_event_that_was_written_although_the_commit_failed_is_there_once(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error, primary.too_late = Unavailable("outcome unknown"), True
    await store.commit("main", 0, "c1", b"1", (), (event(1),))
    assert await store.history(0.0) == [event(1)]
    await store.heal(1.0)
    await healed(store, primary)

    assert await store.history(0.0) == await primary.store.history(0.0) == [event(1)]


async def test_events_committed_while_healing_are_written_too(store: SurvivingStore, primary: Flaky) -> None:
    primary.error = Unavailable("full")
    rev = await store.commit("main", 0, "c1", b"1", (), (event(1),))

    async def meanwhile() -> None:
        await store.commit("main", rev, "c2", b"2", (), (event(2),))

    primary.meanwhile["restore"] = meanwhile
    await healed(store, primary)

    assert await primary.store.history(0.0) == [event(1), event(2)]


async def test_the_events_of_an_account_that_another_owner_took_over_are_let_go(
    store: SurvivingStore, primary: Flaky
) -> None:
    rev = await store.commit("main", 0, "c1", b"1")
    primary.error = Unavailable("cut off")
    await store.commit("main", rev, "mine", b"mine", (), (event(1),))
    await primary.store.commit("main", rev, "theirs", b"theirs")
    await healed(store, primary)

    assert await store.history(0.0) == []


# Accounts and revisions.


async def test_the_accounts_are_those_that_can_be_read_and_those_in_memory(primary: Flaky) -> None:
    await primary.store.commit("read", 0, "c1", b"1")
    store = surviving(primary)
    primary.error, primary.writes_only = Unavailable("full"), True
    await store.commit("new", 0, "c1", b"1")
    assert await store.accounts() == ["new", "read"]

    primary.writes_only = False
    assert await store.accounts() == ["new"]


async def test_a_watch_goes_on_through_trouble_and_healing_without_being_fenced(
    store: SurvivingStore, primary: Flaky
) -> None:
    rev = 0
    for n in range(9):
        primary.error = Unavailable("full") if n % 3 else None
        rev = await store.commit("main", rev, f"c{n}", f"{n}".encode(), ())
        assert await store.load("main") == State(f"{n}".encode(), rev, f"c{n}")
        await store.heal(1.0)
        assert await store.commit("main", rev - 1, f"c{n}", b"repeated", ()) == rev
    await healed(store, primary)

    assert (await primary.store.load("main")).value == b"8"


async def test_another_owner_is_fenced_in_trouble_too(store: SurvivingStore, primary: Flaky) -> None:
    rev = await store.commit("main", 0, "c1", b"1", ())
    with pytest.raises(Fenced):
        await store.commit("main", rev + 5, "c2", b"2", ())

    primary.error = Unavailable("full")
    with pytest.raises(Fenced):
        await store.commit("main", rev + 5, "c2", b"2", ())
    assert await store.commit("main", rev, "c3", b"3", ()) == rev + 1


async def test_an_account_that_another_owner_took_over_in_the_trouble_is_let_go(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1, alert="before"))
    (sent,) = await store.take("phone", 1, 5.0, 30.0)
    primary.error = Unavailable("cut off")
    rev = await store.commit("main", 1, "mine", b"mine", (message(2),))
    await store.ack(sent, 5.0)
    await primary.store.commit("main", 1, "theirs", b"theirs", ())
    await healed(store, primary)

    with pytest.raises(Fenced):
        await store.commit("main", rev, "c3", b"3", ())
    state = await store.load("main")
    assert state.value == b"theirs"
    assert await store.commit("main", state.rev, "c4", b"4", ()) == state.rev + 1
    assert await states(primary.store) == {"before-1-1": "sent"}

    primary.error = Unavailable("again")
    await store.ack(message(7), 5.0)  # still in flight when the account was let go
    await healed(store, primary)
    assert await store.commit("main", state.rev + 1, "c5", b"5", ()) == state.rev + 2


async def test_an_account_begins_from_nothing_if_its_past_can_not_be_read_and_is_written_over_it(
    primary: Flaky,
) -> None:
    for n in range(3):
        await primary.store.commit("main", n, f"old{n}", b"old", ())
    await primary.store.commit("quiet", 0, "old", b"old", ())
    primary.error = Unavailable("unreadable")
    store = surviving(primary)
    assert await store.load("main") == await store.load("quiet") == State()
    rev = await store.commit("main", 0, "c1", b"new", (message(1),))
    await healed(store, primary)

    assert (await primary.store.load("main")).value == b"new"
    assert (await primary.store.load("quiet")).value == b"old"
    assert await store.commit("main", rev, "c2", b"newer", ()) == rev + 1
    assert await store.commit("quiet", 0, "c2", b"newer", ()) == 1
    assert (await primary.store.load("quiet")).value == b"newer"


async def test_an_account_is_loaded_from_a_full_disk(primary: Flaky) -> None:
    await primary.store.commit("main", 0, "old", b"old", ())
    primary.error, primary.writes_only = Unavailable("full"), True
    store = surviving(primary)
    await store.release()

    assert await store.load("main") == State(b"old", 1, "old")
    assert await store.commit("main", 1, "c1", b"new", ()) == 2
    await healed(store, primary)
    assert (await primary.store.load("main")).value == b"new"


async def test_a_store_that_can_not_be_read_is_asked_once_between_healings(primary: Flaky) -> None:
    primary.error = Unavailable("hangs")
    store = surviving(primary)
    await store.release()
    for account in ("a", "b", "c"):
        await store.load(account)
    assert primary.calls == ["release", "outbox"]

    await store.heal(1.0)
    await store.load("d")
    assert primary.calls == ["release", "outbox", "release", "load"]


async def test_a_repeated_commit_does_not_bring_back_what_was_sent(store: SurvivingStore, primary: Flaky) -> None:
    await store.commit("main", 0, "c1", b"1", (message(1),))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    await store.ack(told, 5.0)
    await store.commit("main", 0, "c1", b"1", (message(1),))
    primary.error = Unavailable("gone")

    assert await store.take("phone", 1, 99.0, 30.0) == []


async def test_what_is_committed_while_healing_is_healed_too(store: SurvivingStore, primary: Flaky) -> None:
    primary.error = Unavailable("full")
    rev = await store.commit("main", 0, "c1", b"1", (message(1),))

    async def meanwhile() -> None:
        nonlocal rev
        rev = await store.commit("main", rev, "c2", b"2", (message(2),))
        await store.heal(1.0)  # one healing at a time

    primary.meanwhile["restore"] = meanwhile
    await healed(store, primary)

    assert (await primary.store.load("main")).value == b"2"
    assert await states(primary.store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "queued"}
    assert await store.commit("main", rev, "c3", b"3", ()) == rev + 1


async def test_a_cancelled_verdict_is_kept_in_mind(store: SurvivingStore, primary: Flaky) -> None:
    await queue(store, message(1))
    (told,) = await store.take("phone", 1, 5.0, 30.0)
    ack = asyncio.create_task(store.ack(told, 6.0))
    await asyncio.sleep(0)
    ack.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ack
    primary.error = Unavailable("gone")

    assert await store.take("phone", 1, 99.0, 30.0) == []


# The journal and the outbox as people see them.


async def test_the_journal_of_the_trouble_is_written_after_it(store: SurvivingStore, primary: Flaky) -> None:
    points = [Point("a", "", at, f"{at}") for at in (1.0, 2.0, 3.0)]
    await store.record([points_only("main", points[:1], 1.0)])
    primary.error, primary.writes_only = Unavailable("full"), True
    await store.record([points_only("main", points[1:], 3.0)])
    assert await store.recall("main", 0.0) == (points, 3.0)
    assert await store.recall("main", 2.5) == (points[1:], 3.0)

    await store.prune(3.0)
    await store.heal(1.0)
    assert await store.recall("main", 2.5) == (points[1:], 3.0)

    await healed(store, primary)
    assert await primary.store.recall("main", 0.0) == (points, 3.0)
    await store.prune(3.0)
    assert await store.recall("main", 0.0) == (points[1:], 3.0)


async def test_the_outbox_shows_what_can_be_read_and_what_memory_knows_better(
    store: SurvivingStore, primary: Flaky
) -> None:
    await queue(store, message(1, alert="a"), message(2, alert="b"))
    await store.ack((await store.take("phone", 1, 5.0, 30.0))[0], 5.0)
    primary.error, primary.writes_only = Unavailable("full"), True
    await queue(store, message(3, alert="c"))
    await store.ack((await store.take("phone", 1, 5.0, 30.0))[0], 5.0)

    rows = await store.outbox(("sent", "queued"))
    assert [(state, m.alert) for state, m in rows] == [("queued", "c"), ("sent", "b"), ("sent", "a")]

    primary.writes_only = False
    await store.load("elsewhere")
    rows = await store.outbox(("sent", "queued"))
    assert [(state, m.alert) for state, m in rows] == [("queued", "c"), ("sent", "b")]


# Opening, breaking, closing.


async def test_a_store_that_could_not_be_opened_is_opened_later_and_given_all(tmp_path: Path) -> None:
    opened: list[SqliteStore] = []

    async def reopen() -> Primary:
        opened.append(await SqliteStore.reopen(tmp_path / "later" / "riskbot.db"))
        return opened[0]

    store = SurvivingStore(None, reopen, reason="there is no directory later")
    await store.release()
    rev = await store.commit("main", 0, "c1", b"1", (message(1),))
    await store.heal(1.0)
    assert store.failing == "there is no directory later"

    (tmp_path / "later").mkdir()
    await store.heal(2.0)

    assert [store.failing] == [None]
    assert (await opened[0].load("main")).value == b"1"
    assert plain(await store.take("phone", 1, 5.0, 30.0)) == [message(1)]
    assert await store.commit("main", rev, "c2", b"2", ()) == rev + 1
    await store.close()


async def test_a_torn_file_is_moved_aside_and_the_new_one_is_given_all_that_memory_knows(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.db"

    async def reopen() -> Primary:
        return await SqliteStore.reopen(path)

    store = SurvivingStore(await SqliteStore.open(path), reopen)
    await store.release()
    big = [replace(message(n, alert=f"main/{n}"), body="x" * 2000) for n in range(1, 50)]
    rev = await store.commit("main", 0, "c1", b"1", tuple(big))
    await store.commit("quiet", 0, "c1", b"quiet", ())
    await store.commit("later", 0, "c1", b"later", (message(1, account="later", receiver="mail"),))
    flying = await store.take("phone", 3, 5.0, 30.0)
    checkpoint(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xde\xad\0\xbe" * ((path.stat().st_size - 4096) // 4))

    told = await store.take("phone", 100, 6.0, 30.0)
    assert "the file is damaged" in (store.failing or "")
    assert len(told) == 46
    for m in (*flying, *told[:40]):
        await store.ack(m, 7.0)
    await store.heal(8.0)

    assert store.failing is None
    assert (tmp_path / "riskbot.db.broken-1").exists()
    assert len(await store.outbox(("sent",))) == 43
    assert len(await store.outbox(("sending",))) == 6
    assert await store.load("main") == State(b"1", rev, "c1")
    assert await store.load("quiet") == State(b"quiet", 1, "c1")
    assert await states(store, receiver="mail") == {"main/twap/USDT-1-1": "queued"}
    assert await store.commit("main", rev, "c2", b"2", ()) == rev + 1
    await store.close()


def checkpoint(path: Path) -> None:
    """Move what the log holds into the file, as a busy store does now and then."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def test_a_broken_store_that_can_not_be_reopened_stays_and_memory_goes_on(primary: Flaky) -> None:
    primary.error = Broken("torn")
    store = surviving(primary)
    await store.commit("main", 0, "c1", b"1", (message(1),))
    await store.heal(1.0)
    assert (store.failing, primary.closed) == ("torn", False)

    async def reopen() -> Primary:
        raise StoreError("no room for a new one")

    store = surviving(primary, reopen=reopen)
    await store.commit("main", 0, "c1", b"1", (message(1),))
    await store.heal(1.0)
    await store.heal(2.0)
    assert (store.failing, primary.closed) == ("torn", True)
    assert len(await store.take("phone", 1, 5.0, 30.0)) == 1
    await store.close()


async def test_closing_brings_a_store_that_works_again_up_to_date(store: SurvivingStore, primary: Flaky) -> None:
    primary.error = Unavailable("full")
    await store.commit("main", 0, "c1", b"1", (message(1),))
    primary.error = None
    path = primary.store.path
    await store.close()

    again = await SqliteStore.open(path)
    assert await states(again) == {"main/twap/USDT-1-1": "queued"}
    await again.close()


async def test_closing_does_not_wait_for_a_store_that_hangs(
    store: SurvivingStore, primary: Flaky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surviving_module, "LAST_TRY", 0.01)
    primary.error = Unavailable("hangs")
    await store.commit("main", 0, "c1", b"1", (message(1),))
    primary.error = None

    async def hang() -> None:
        await asyncio.sleep(3600.0)

    primary.meanwhile["load"] = hang
    await store.close()
    assert primary.closed
    assert store.failing


async def test_a_row_that_is_taken_while_it_is_healed_is_in_flight_after_it(
    store: SurvivingStore, primary: Flaky
) -> None:
    primary.error = Unavailable("full")
    await queue(store, message(1))
    taken: list[Message] = []

    async def meanwhile() -> None:
        taken.extend(await store.take("phone", 1, 5.0, 30.0))

    primary.meanwhile["restore"] = meanwhile
    await healed(store, primary)

    assert taken[0].unsaved
    assert await states(primary.store) == {"main/twap/USDT-1-1": "sending"}


# The recording.


async def test_what_led_to_a_commit_in_trouble_is_written_down_with_it(store: SurvivingStore, primary: Flaky) -> None:
    await store.record([batch(0)])
    primary.error = Unavailable("full")
    await store.commit("main", 0, "c1", b"1", events=(event(1),), batches=(batch(1),))
    primary.error = None
    primary.meanwhile["restore"] = lambda: _raise(Unavailable("killed"))
    await store.heal(1.0)

    assert [e.seq for e in await primary.store.history(0.0)] == [1]
    assert await primary.store.recorded("main") == [batch(0), batch(1)]

    await store.heal(2.0)
    assert await primary.store.recorded("main") == [batch(0), batch(1)]
    assert store.failing is None


async def _raise(error: Exception) -> None:
    raise error


async def test_in_trouble_the_recording_is_read_from_both(store: SurvivingStore, primary: Flaky) -> None:
    await store.record([batch(0)])
    primary.error, primary.writes_only, primary.too_late = Unavailable("full"), True, True
    await store.record([batch(1)])

    assert await store.recorded("main") == [batch(0), batch(1)]


async def test_what_was_recorded_of_an_account_that_somebody_else_owns_by_now_is_let_go(
    store: SurvivingStore, primary: Flaky
) -> None:
    await store.load("main")
    primary.error = Unavailable("gone")
    await store.commit("main", 0, "c1", b"1", batches=(batch(0),))
    await primary.store.commit("main", 0, "theirs", b"2")
    await healed(store, primary)

    assert await primary.store.recorded("main") == []


async def test_a_configuration_of_the_trouble_is_remembered_when_it_is_over(
    store: SurvivingStore, primary: Flaky
) -> None:
    course = [Kept(float(at), str(at), "{}") for at in range(4)]
    await store.keep(course[0])
    await store.keep(course[1])
    primary.error = Unavailable("gone")
    await store.keep(course[2])
    await store.keep(course[3])
    assert await store.kept() == course[1:], "the primary can't be read"
    await healed(store, primary)

    assert await primary.store.kept() == course
    assert await store.kept() == course


async def test_a_new_file_is_told_what_is_in_force(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.db"

    async def reopen() -> SqliteStore:
        return await SqliteStore.reopen(path)

    store = SurvivingStore(await SqliteStore.open(path), reopen)
    await store.release()
    await store.keep(Kept(1.0, "a", "{}"))
    path.unlink()
    with suppress(StoreError):
        await store.record([batch(0)])
    await store.heal(1.0)

    assert store.failing is None
    assert await store.kept() == [Kept(1.0, "a", "{}")]
    assert await store.recorded("main") == [batch(0)]
    await store.close()
