"""A person's hand on the outbox of a riskbot that runs, and a look into its database."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import Alert, Alerts, Quiet, Severity, Silence
from riskbot.recording import points_only
from riskbot.service.hush import Hush
from riskbot.store import QUIET, Message, StoreError, Unavailable, hand
from riskbot.store import visit as visit_module
from riskbot.store.outbox import STATES
from riskbot.store.peek import look
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite import SqliteStore
from riskbot.store.sqlite_file import SqliteFile, owner
from riskbot.store.sqlite_outbox import SqliteOutbox
from riskbot.store.surviving import SurvivingStore
from tests.store_contract import event, message, queue, states

CALLS: list[Callable[[Path], Any]] = [
    lambda path: hand.retry(path, None, 9.0),
    lambda path: hand.drop(path, None, 9.0),
    lambda path: hand.hush(path, lambda quiet: quiet),
    lambda path: look(path, STATES),
]


async def three_dead_one_queued(store: SqliteStore) -> None:
    await queue(store, *(message(n, alert=alert) for n, alert in enumerate("abc", 1)))
    for told in await store.take("phone", 9, 5.0, 30.0):
        await store.dead(told, 6.0, "400")
    await queue(store, message(4, alert="d"))


def alerts(messages: list[Message]) -> list[str]:
    return sorted(m.alert for m in messages)


# Hand.


async def test_chosen_dead_messages_are_tried_again_by_the_running_riskbot(path: Path, store: SqliteStore) -> None:
    await three_dead_one_queued(store)

    changed = hand.retry(path, ["a-1-1@phone", "d-1-4@phone", "nobody"], 9.0)

    assert alerts(changed) == ["a"]
    assert alerts(await store.take("phone", 9, 9.0, 30.0)) == ["a", "d"]


async def test_all_dead_messages_are_tried_again_if_none_is_named(path: Path, store: SqliteStore) -> None:
    await three_dead_one_queued(store)

    assert alerts(hand.retry(path, None, 9.0)) == ["a", "b", "c"]
    assert await store.outbox(("dead",)) == []
    assert hand.retry(path, None, 9.0) == []


async def test_chosen_messages_are_dropped_queued_or_dead(path: Path, store: SqliteStore) -> None:
    await three_dead_one_queued(store)

    assert alerts(hand.drop(path, {"b-1-2@phone", "d-1-4@phone"}, 9.0)) == ["b", "d"]
    assert await states(store) == {"a-1-1": "dead", "b-1-2": "dropped", "c-1-3": "dead", "d-1-4": "dropped"}
    assert await store.next_due("phone") is None


async def test_all_dead_messages_are_dropped_if_none_is_named_but_none_that_waits(
    path: Path, store: SqliteStore
) -> None:
    await three_dead_one_queued(store)

    assert alerts(hand.drop(path, None, 9.0)) == ["a", "b", "c"]
    assert (await states(store))["d-1-4"] == "queued"


async def test_dropped_messages_are_forgotten_like_others_that_are_done(path: Path, store: SqliteStore) -> None:
    await three_dead_one_queued(store)
    hand.drop(path, None, 9.0)
    await store.prune(10.0)

    assert await states(store) == {"d-1-4": "queued"}


async def test_a_hand_that_fails_has_changed_nothing(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await three_dead_one_queued(store)
    real, calls = hand.SqliteOutbox.drop, []

    def drop(self: Any, told: Message, now: float) -> bool:
        calls.append(told)
        if len(calls) == 2:
            raise sqlite3.OperationalError("torn")
        return real(self, told, now)

    monkeypatch.setattr(hand.SqliteOutbox, "drop", drop)
    with pytest.raises(StoreError, match=r"riskbot\.db: the store can't be used \(torn\)"):
        hand.drop(path, None, 9.0)
    assert len(await store.outbox(("dead",))) == 3


async def test_the_store_notices_that_somebody_else_has_written(path: Path, store: SqliteStore) -> None:
    await three_dead_one_queued(store)
    await store.touched()
    await queue(store, message(5, alert="e"))
    with visit_module.visit(path, writing=False):
        assert not await store.touched()

    hand.drop(path, None, 9.0)

    assert await store.touched()
    assert not await store.touched()


# Looking.


async def test_a_look_shows_all_of_one_moment(path: Path, store: SqliteStore) -> None:
    value = Alerts({"twap": {"USDT": Alert(Severity.WARNING)}})
    await store.commit("main", 0, "c1", msgspec.json.encode(value), (message(1), message(2, alert="b")), (event(1),))
    await store.commit("main", 1, "c2", msgspec.json.encode(value), (), (event(2),))
    await store.record([points_only("main", [Point("a", "", 1.0, "1")], 7.0), points_only("spare", [], 8.0)])

    seen = look(path, ("queued",))

    assert seen.alerts == {"main": value}
    assert seen.seen == {"main": 7.0, "spare": 8.0}
    assert [(state, m.alert) for state, m in seen.rows] == [("queued", "b"), ("queued", "main/twap/USDT")]
    assert seen.events == [event(1), event(2)]


async def test_what_is_written_during_a_look_is_not_seen_in_part(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit("main", 0, "c1", b"{}", (message(1),), (event(1),))
    real = SqliteOutbox.newest

    def newest(self: SqliteOutbox, chosen: tuple[str, ...]) -> Any:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("DELETE FROM outbox")
            db.execute("DELETE FROM events")
        return real(self, chosen)

    monkeypatch.setattr(SqliteOutbox, "newest", newest)
    seen = look(path, STATES)

    assert (len(seen.alerts), len(seen.rows), len(seen.events)) == (1, 1, 1)


async def test_a_look_says_which_process_runs_until_it_has_ended(path: Path) -> None:
    store = await SqliteStore.open(path)
    assert look(path, ()).pid == os.getpid()

    await store.close()

    assert look(path, ()).pid == 0
    Path(f"{path}.lock").unlink()
    assert look(path, ()).pid == 0


async def test_a_look_does_not_keep_riskbot_from_starting(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await SqliteStore.open(path)).close()
    looking = os.open(f"{path}.lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    monkeypatch.setattr("riskbot.store.sqlite_file.time.sleep", lambda _: os.close(looking))

    store = await SqliteStore.open(path)

    assert owner(path) == os.getpid()
    await store.close()


# What people are told.


@pytest.mark.parametrize("call", CALLS)
def test_a_database_that_is_not_there_is_not_made(path: Path, call: Callable[[Path], Any]) -> None:
    with pytest.raises(StoreError, match="not there yet; riskbot makes it when it runs"):
        call(path)
    assert not path.exists()


@pytest.mark.parametrize("call", CALLS)
def test_the_database_of_an_older_riskbot_is_left_to_the_new_one(path: Path, call: Callable[[Path], Any]) -> None:
    SqliteFile(path, MIGRATIONS[:1], 0.1).close()

    with pytest.raises(StoreError, match="is of an older riskbot: start this one once"):
        call(path)


@pytest.mark.parametrize("call", CALLS)
def test_the_database_of_a_newer_riskbot_is_left_alone(path: Path, call: Callable[[Path], Any]) -> None:
    SqliteFile(path, [*MIGRATIONS, "CREATE TABLE more (x);"], 0.1).close()

    with pytest.raises(StoreError, match="was written by a newer riskbot"):
        call(path)


@pytest.mark.parametrize("call", CALLS)
def test_the_database_of_another_program_is_left_alone(path: Path, call: Callable[[Path], Any]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE music (title)")

    with pytest.raises(StoreError, match="the database of another program"):
        call(path)


async def test_a_database_that_stays_locked_is_told(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_module, "BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another program holds it locked"):
            hand.drop(path, None, 9.0)


async def test_what_nobody_wants_to_be_told_is_changed_under_a_running_riskbot(path: Path, store: SqliteStore) -> None:
    surviving = SurvivingStore(store)
    heard = Hush(surviving)
    await heard.look()
    silence = Silence(100.0, rule="twap", since=1.0)

    assert hand.hush(path, lambda quiet: replace(quiet, silences=(silence,))).silences == (silence,)
    await heard.look()
    assert heard.at(99.0) == Quiet((silence,))
    assert heard.at(100.0) == Quiet()
    hand.hush(path, lambda quiet: replace(quiet, silences=()))
    await heard.look()
    assert heard.at(99.0) == Quiet()
    assert look(path, ()).quiet == Quiet()
    assert look(path, ()).alerts == {}


async def test_quiet_that_can_not_be_read_hides_nothing(store: SqliteStore, caplog: pytest.LogCaptureFixture) -> None:
    await store.commit(QUIET, 0, "c1", b"{broken")
    heard = Hush(store)
    await heard.look()
    assert heard.at(0.0) == Quiet()
    assert "everything is told" in caplog.text
