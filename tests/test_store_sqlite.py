from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from riskbot.history import Point
from riskbot.model import Severity
from riskbot.recording import points_only
from riskbot.store import Broken, Fenced, State, Store, StoreError, Unavailable
from riskbot.store import sqlite as sqlite_module
from riskbot.store.outbox import QUEUED, SENDING, SENT, STATES, Row
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite import SqliteStore
from riskbot.store.sqlite_file import SqliteFile, move_aside
from riskbot.store.sqlite_outbox import SqliteOutbox
from tests.store_contract import StoreContract, event, message, queue, states


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        store = await SqliteStore.open(tmp_path / "riskbot.db")
        yield store
        await store.close()


def run(store: SqliteStore, sql: str) -> Any:
    """SQL in the store's own connection and thread."""
    return store._worker.submit(lambda: store._file.db.execute(sql).fetchall()).result()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content(path: Path) -> bytes:
    return path.read_bytes()


@contextmanager
def other_program(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


# What outlives the process.


async def test_all_that_was_committed_is_there_after_reopening(path: Path) -> None:
    first = await SqliteStore.open(path)
    await first.commit("main", 0, "c1", b"value", (message(),))
    await first.record([points_only("main", [Point("a", "", 1.0, "1")], 2.0)])
    await first.close()

    second = await SqliteStore.open(str(path))
    assert await second.load("main") == State(b"value", 1, "c1")
    assert await second.take("phone", 1, 5.0, 30.0) == [message()]
    assert await second.recall("main", 0.0) == ([Point("a", "", 1.0, "1")], 2.0)
    await second.close()


WRITER = """
import asyncio, itertools, sys
from riskbot.store.sqlite import SqliteStore
from riskbot.store.sqlite_file import SqliteFile, move_aside
from tests.store_contract import message

async def main():
    store = await SqliteStore.open(sys.argv[1])
    state = await store.load("main")
    rev = state.rev
    for n in itertools.count(rev + 1):
        rev = await store.commit("main", rev, f"c{n}", str(n).encode(), (message(n, alert=f"main/{n}"),))
        print(n, flush=True)

asyncio.run(main())
"""


def killed_writer(path: Path, after: float) -> int:
    """Commit until killed; give the last commit that was acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        assert writer.stdout is not None
        last = writer.stdout.readline()
        time.sleep(after)
        writer.kill()
        return int([last, *(line for line in writer.stdout if line.endswith("\n"))][-1])


async def test_a_kill_at_any_moment_leaves_value_and_messages_both_or_neither_and_no_commit_is_lost(path: Path) -> None:
    for turn in range(10):
        last = await asyncio.to_thread(killed_writer, path, 0.003 * turn)  # the moment moves through the transaction

        store = await SqliteStore.open(path)
        state = await store.load("main")
        rows = await store.outbox(("queued",))
        await store.close()

        assert state.value is not None
        assert int(state.value) == state.rev >= last
        assert sorted(m.seq for _, m in rows) == list(range(1, state.rev + 1))


async def test_what_must_survive_power_loss_is_written_through_and_the_rest_is_not(store: SqliteStore) -> None:
    async def level(call: Any) -> int:
        await call
        return int(run(store, "PRAGMA synchronous")[0][0])

    quiet, durable = 1, 2
    assert await level(store.commit("main", 0, "c1", b"", ())) == quiet
    assert await level(store.commit("main", 1, "c2", b"", (message(1), message(1, alert="b")))) == durable
    assert await level(store.commit("main", 2, "c3", b"")) == quiet
    assert await level(store.commit("main", 3, "c4", b"", (), (event(),))) == durable
    assert await level(store.take("phone", 9, 5.0, 30.0)) == quiet
    assert await level(store.nack(message(1), 6.0, 6.0, "503", maybe_sent=False)) == durable
    assert await level(store.record([])) == quiet
    assert await level(store.ack(message(1), 6.0)) == durable
    assert await level(store.release()) == quiet
    assert await level(store.dead(message(1, alert="b"), 6.0, "403")) == durable


async def test_a_cancelled_call_is_done_whole_or_not_at_all(store: SqliteStore) -> None:
    hold = threading.Event()
    store._worker.submit(hold.wait)
    commit = asyncio.create_task(store.commit("main", 0, "c1", b"1", (message(),)))
    await asyncio.sleep(0)
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    hold.set()

    assert await store.load("main") == State()
    assert await store.commit("main", 0, "c2", b"2", ()) == 1


async def test_restoring_writes_rows_as_they_stand_and_the_value_with_them(store: SqliteStore) -> None:
    await queue(store, message(1))
    await store.take("phone", 1, 5.0, 30.0)
    rows = [Row(message(3), QUEUED, 0.0), Row(message(1), SENT, 6.0), Row(message(2), SENDING, 40.0)]

    assert await store.restore("main", 1, State(b"new", 9, "c9"), rows) == 2

    assert await store.load("main") == State(b"new", 2, "c9")
    assert await states(store) == {
        "main/twap/USDT-1-1": SENT,
        "main/twap/USDT-1-2": SENDING,
        "main/twap/USDT-1-3": QUEUED,
    }
    assert await store.next_due("phone") == 40.0
    assert await store.restore("main", 2, State(), []) == 2
    with pytest.raises(Fenced):
        await store.restore("main", 1, State(b"old", 9, "c9"), [Row(message(4, alert="b"), QUEUED, 0.0)])
    assert "b-1-4" not in await states(store)


async def test_a_verdict_on_an_unknown_message_changes_nothing(store: SqliteStore) -> None:
    await store.ack(message(7), 8.0)
    await store.nack(message(7), 6.0, 8.0, "?", maybe_sent=True)
    await store.dead(message(7), 8.0, "?")

    assert await states(store) == {}


async def test_more_done_messages_than_one_transaction_forgets_are_forgotten(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "PRUNED_AT_ONCE", 2)
    await queue(store, *(message(n) for n in range(1, 7)))
    await store.prune(100.0)

    assert await states(store) == {"main/twap/USDT-1-6": "queued"}


# The event loop.


async def test_the_loop_goes_on_while_a_commit_waits_for_the_disk(path: Path) -> None:
    store = await SqliteStore.open(path, busy_timeout=0.3)
    with other_program(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        commit = asyncio.create_task(store.commit("main", 0, "c1", b"", ()))
        beats = 0
        while not commit.done():
            await asyncio.sleep(0.01)
            beats += 1
    assert beats > 5
    assert isinstance(commit.exception(), Unavailable)
    await store.close()


async def test_a_disk_that_does_not_answer_makes_calls_unavailable_and_closing_quick(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "CLOSING", 0.05)
    store = await SqliteStore.open(path, patience=0.05)
    hold = threading.Event()
    store._worker.submit(hold.wait)

    with pytest.raises(Unavailable, match=r"riskbot\.db: the disk has not answered for 0\.05 s: check it"):
        await store.load("main")
    begun = asyncio.get_running_loop().time()
    await store.close()
    assert asyncio.get_running_loop().time() - begun < 1.0

    hold.set()
    await store.close()
    with pytest.raises(Unavailable, match="was closed"):
        await store.load("main")


async def test_closing_finishes_what_is_pending(path: Path) -> None:
    store = await SqliteStore.open(path)
    commit = asyncio.create_task(store.commit("main", 0, "c1", b"1", ()))
    await asyncio.sleep(0)
    await store.close()

    assert await commit == 1


@pytest.mark.parametrize("begun", [False, True])
async def test_an_opening_that_is_given_up_leaves_no_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Slow(SqliteFile):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            at_work.set()
            go_on.wait()
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(sqlite_module, "SqliteFile", Slow)
    opening = asyncio.create_task(SqliteStore.open(path))
    await asyncio.sleep(0)
    if begun:
        await asyncio.to_thread(at_work.wait)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go_on.set()

    while [thread for thread in threading.enumerate() if thread.name == "riskbot store"]:
        await asyncio.sleep(0.01)
    await (await SqliteStore.open(path)).close()


# What people are told.


async def refusal(path: Path, open_: Callable[..., Any] = SqliteStore.open) -> str:
    with pytest.raises(StoreError) as caught:
        await open_(path, busy_timeout=0.05)
    return str(caught.value)


async def test_only_the_owner_may_read_the_files(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.commit("main", 0, "c1", b"", ())

    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {
        "riskbot.db": 0o600,
        "riskbot.db-wal": 0o600,
        "riskbot.db-shm": 0o600,
        "riskbot.db.lock": 0o600,
    }
    await store.close()


async def test_a_second_riskbot_is_refused_until_the_first_has_let_go(path: Path) -> None:
    first = await SqliteStore.open(path)
    assert await refusal(path) == (
        f"another riskbot (process {os.getpid()}) is using {path}: stop it or give another [store] path"
    )
    await first.close()

    await (await SqliteStore.open(path)).close()


async def test_a_database_of_a_newer_riskbot_is_refused(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    with other_program(path) as db:
        db.execute("PRAGMA user_version = 7")

    assert await refusal(path) == (
        f"{path} was written by a newer riskbot (schema 7, this one knows {len(MIGRATIONS)}):"
        " upgrade riskbot or give another [store] path"
    )


async def test_an_older_schema_is_brought_up_to_date_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(path)
    await queue(store, message())
    await store.close()
    monkeypatch.setattr(sqlite_module, "MIGRATIONS", [*MIGRATIONS, "CREATE TABLE more (x);", "DROP TABLE more;"])

    store = await SqliteStore.open(path)

    assert run(store, "PRAGMA user_version") == [(len(MIGRATIONS) + 2,)]
    assert await states(store) == {"main/twap/USDT-1-1": "queued"}
    await store.close()


def old_row(n: int, state: str, alert: str = "main/a/") -> tuple[Any, ...]:
    fields = msgspec.to_builtins(message(n, alert=alert))
    del fields["reminder"], fields["attempts"]
    return fields["id"], float(n), "phone", alert, 2, state, float(n), json.dumps(fields)


async def test_a_database_of_the_first_schema_keeps_its_rows(path: Path) -> None:
    rows = [
        old_row(1, "dead"),
        old_row(2, "sent"),
        old_row(3, "dead"),
        old_row(4, "dead", "main/b/"),
        old_row(5, "sending", "main/b/"),
        old_row(6, "queued", "main/b/"),
        old_row(7, "superseded", "main/c/"),
    ]
    old = SqliteFile(path, MIGRATIONS[:1], 0.1)
    sql = (
        "INSERT INTO outbox (id, at, receiver, alert, urgency, state, moment, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    )
    old.db.executemany(sql, rows)
    old.db.execute("INSERT INTO accounts VALUES ('main', 'value', 3, 'c3')")
    old.close()

    store = await SqliteStore.open(path)

    found = {m.seq: (state, m) for state, m in await store.outbox(STATES)}
    assert {seq: state for seq, (state, _) in found.items()} == {
        1: "superseded",  # something newer was told
        2: "sent",
        3: "dead",
        4: "superseded",  # something newer is about to be told
        5: "sending",
        6: "queued",
        7: "superseded",
    }
    assert list(found) == [7, 6, 5, 4, 3, 2, 1]
    assert found[2][1] == message(2, alert="main/a/")
    assert await store.accounts() == ["main"]
    await store.ack(found[5][1], 9.0)
    assert [m.seq for m in await store.take("phone", 9, 9.0, 30.0, account="main")] == [6]
    await store.commit("main", 3, "c4", b"", (message(8, alert="main/a/"),), (event(),))
    assert [[s.seq for s in m.covers] for m in await store.take("phone", 9, 9.0, 30.0)] == [[3]]
    assert await store.history(0.0) == [event()]
    await store.close()


@pytest.mark.parametrize("state", ["queued", "sending"])
async def test_the_schema_forbids_two_rows_of_an_alert_in_the_same_place(store: SqliteStore, state: str) -> None:
    await queue(store, message(1))
    if state == "sending":
        await store.take("phone", 1, 5.0, 30.0)

    with pytest.raises(sqlite3.IntegrityError, match=r"outbox\.receiver, outbox\.alert"):
        await asyncio.wrap_future(
            store._worker.submit(lambda: SqliteOutbox(store._file.db).put(Row(message(2), state, 0.0)))
        )


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (lambda outbox: outbox.standing("phone", "a"), "outbox_standing"),
        (lambda outbox: outbox.due("phone", 1, 0.0, Severity.OK, ""), "outbox_queued"),
        (lambda outbox: outbox.leased("phone", 0.0), "outbox_sending"),
        (lambda outbox: outbox.next_due("phone", Severity.OK), "outbox_standing"),
        (lambda outbox: outbox.prune(0.0, 1), "outbox_done"),
    ],
)
def test_no_call_looks_through_all_rows(call: Callable[[SqliteOutbox], Any], index: str) -> None:
    plans: list[str] = []
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step in MIGRATIONS:
            db.executescript(step)

        class Explaining:
            def execute(self, sql: str, values: Any = ()) -> Any:
                plans.extend(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values))
                return db.execute(sql, values)

        call(SqliteOutbox(Explaining()))  # type: ignore[arg-type] # all that it needs of a connection

    assert any(f"INDEX {index}" in plan for plan in plans), plans
    assert not any(plan.startswith("SCAN") and "INDEX" not in plan for plan in plans), plans


async def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await (await SqliteStore.open(path)).close()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_module, "MIGRATIONS", [*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE more (x);"])
        assert "table more already exists" in await refusal(path)

    store = await SqliteStore.open(path)
    assert run(store, "PRAGMA user_version") == [(len(MIGRATIONS),)]
    await store.close()


async def test_the_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with other_program(path) as db:
        db.execute("CREATE TABLE music (title)")

    assert await refusal(path) == f"{path} is the database of another program: give another [store] path"
    assert await refusal(path, SqliteStore.reopen) == await refusal(path)


async def test_a_file_that_is_no_database_is_refused_and_never_moved(path: Path) -> None:
    write(path, b"[[rules]]\n" * 500)

    assert "this is no database, or its head is damaged: give another [store] path" in await refusal(path)
    assert await refusal(path, SqliteStore.reopen) == await refusal(path)
    assert content(path) == b"[[rules]]\n" * 500


async def test_a_missing_directory_is_named(path: Path) -> None:
    nowhere = path.parent / "nowhere"
    assert f"there is no directory {nowhere}: create it" in await refusal(nowhere / "riskbot.db")


async def test_a_directory_in_place_of_the_file_is_named(path: Path) -> None:
    place = path.parent
    assert f"{place}: this is a directory: give [store] path the name of a file in it" in await refusal(place)


async def test_a_place_that_can_not_be_written_is_named() -> None:
    assert "it can't be opened for writing: check its owner" in await refusal(Path("/proc/riskbot.db"))


async def test_a_path_that_no_system_knows_is_refused(path: Path) -> None:
    assert "the store can't be used" in await refusal(path.with_name("a\0b"))


async def test_a_lock_that_can_not_be_written_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("riskbot.store.sqlite_file.os.pwrite", full)
        assert "No space left on device" in await refusal(path)

    await (await SqliteStore.open(path)).close()


async def test_a_file_locked_by_another_program_is_unavailable_in_time_and_can_be_read(store: SqliteStore) -> None:
    with other_program(store.path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match="another program holds it locked: close it"):
            await store.commit("main", 0, "c1", b"", ())
        assert await store.load("main") == State()

    assert await store.commit("main", 0, "c1", b"", ()) == 1


async def test_a_full_disk_is_unavailable_and_nothing_is_half_written(store: SqliteStore) -> None:
    await queue(store, message(1))
    pages = run(store, "PRAGMA page_count")[0][0]
    run(store, f"PRAGMA max_page_count = {pages}")

    with pytest.raises(Unavailable, match=r"riskbot\.db: the disk is full: free some space"):
        await store.commit("main", 1, "c2", b"x" * 100_000, (message(2),))
    assert (await store.load("main")).commit_id == "main-0"
    assert await states(store) == {"main/twap/USDT-1-1": "queued"}

    run(store, f"PRAGMA max_page_count = {pages + 100}")
    assert await store.commit("main", 1, "c2", b"x" * 100_000, (message(2),)) == 2


async def test_a_read_only_disk_is_unavailable_for_writing_and_can_be_read(store: SqliteStore) -> None:
    await queue(store, message(1))
    run(store, "PRAGMA query_only = ON")

    with pytest.raises(Unavailable, match="it can't be written: check its owner and whether the disk is read-only"):
        await store.ack(message(1), 5.0)
    assert await states(store) == {"main/twap/USDT-1-1": "queued"}


async def test_a_row_that_can_not_be_understood_is_unavailable(store: SqliteStore) -> None:
    await queue(store, message(1))
    run(store, "UPDATE outbox SET message = '{}'")

    with pytest.raises(Unavailable, match="missing required field"):
        await store.take("phone", 1, 5.0, 30.0)


# A damaged file.


def tear(path: Path, *, begin: int, size: int = 4096) -> None:
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xde\xad\0\xbe" * (size // 4))


async def filled(path: Path) -> None:
    store = await SqliteStore.open(path)
    await queue(store, *(message(n, alert=f"main/{n}") for n in range(1, 100)))
    await store.close()


async def test_a_damaged_head_is_refused_and_moved_aside_on_reopening(path: Path) -> None:
    await filled(path)
    tear(path, begin=0)
    torn = content(path)

    assert "its head is damaged" in await refusal(path)
    store = await SqliteStore.reopen(path)

    assert await store.load("main") == State()
    aside = path.with_name("riskbot.db.broken-1")
    assert content(aside) == torn
    await store.close()


def test_a_damaged_file_takes_its_log_along(path: Path) -> None:
    for name in ("", "-wal"):
        Path(f"{path}{name}").write_text(name, encoding="ascii")

    assert move_aside(path) == path.with_name("riskbot.db.broken-1")
    assert {file.name for file in path.parent.iterdir()} == {"riskbot.db.broken-1", "riskbot.db.broken-1-wal"}


async def test_each_damaged_file_is_kept_under_a_number_of_its_own(path: Path) -> None:
    for _ in range(2):
        await filled(path)
        tear(path, begin=0)
        await (await SqliteStore.reopen(path)).close()

    names = {file.name for file in path.parent.iterdir()}
    assert names >= {"riskbot.db", "riskbot.db.broken-1", "riskbot.db.broken-2"}


async def test_damaged_pages_are_found_on_reopening_also_behind_a_whole_head(path: Path) -> None:
    await filled(path)
    tear(path, begin=4096 * 3, size=4096 * 10)

    store = await SqliteStore.reopen(path)

    assert await store.outbox(("queued",)) == []
    assert path.with_name("riskbot.db.broken-1").exists()
    await store.close()


async def test_a_whole_file_stays_where_it_is_on_reopening(path: Path) -> None:
    await filled(path)

    store = await SqliteStore.reopen(path)

    assert len(await store.outbox(("queued",))) == 99
    await store.close()


async def test_a_file_that_is_torn_while_it_is_open_is_broken_not_a_crash(path: Path) -> None:
    await filled(path)
    store = await SqliteStore.open(path)
    tear(path, begin=4096, size=len(content(path)) - 4096)

    with pytest.raises(Broken, match="the file is damaged: move it away and riskbot begins a new one"):
        await store.take("phone", 100, 200.0, 30.0)
    await store.close()


async def test_an_undoing_that_fails_as_well_does_not_hide_the_first_error(store: SqliteStore) -> None:
    class Torn:
        in_transaction = True

        def execute(self, sql: str, *_: object) -> None:
            if not sql.startswith("PRAGMA"):
                raise sqlite3.OperationalError(f"{sql} failed")

        def close(self) -> None:
            raise sqlite3.OperationalError("close failed")

    real, store._file.db = store._file.db, Torn()  # type: ignore[assignment] # a connection whose disk is gone
    with pytest.raises(Unavailable, match="BEGIN IMMEDIATE failed"):
        await store.commit("main", 0, "c1", b"", ())
    store._worker.submit(real.close).result()


async def test_a_database_in_the_temporary_directory_is_as_good_as_any() -> None:
    with tempfile.TemporaryDirectory() as directory:
        await (await SqliteStore.open(Path(directory) / "x.db")).close()


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_deleted_or_replaced_while_open_is_noticed_at_the_next_write(
    path: Path, tmp_path: Path, replaced: bool
) -> None:
    store = await SqliteStore.open(path)
    await store.commit("main", 0, "a", b"1", ())
    path.unlink()
    if replaced:
        (tmp_path / "other").touch()
        (tmp_path / "other").rename(path)
    with pytest.raises(Broken, match="deleted or replaced while riskbot runs"):
        await store.commit("main", 1, "b", b"2", ())
    await store.close()
