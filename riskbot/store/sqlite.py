"""The embedded store: one SQLite file, used by one process.

Laws:
1. A call is one transaction: it happens whole or not at all, whatever kills the process.
2. A commit with messages or events, and the verdict on a message, is on the disk before the call returns
   (`synchronous=FULL`); quiet commits, leases and the journal survive a kill, not necessarily a power loss (`NORMAL`).
3. The event loop never waits for the disk: all work is done in one thread, in the order of the calls. A disk that
   doesn't answer for `patience` seconds makes the call Unavailable.
4. The schema itself forbids two queued rows, or two in flight, of one alert and receiver.
5. Errors are StoreErrors that say which file, what is wrong and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Self, TypeVar

from riskbot.history import Point
from riskbot.model import Event, Severity
from riskbot.recording import Batch
from riskbot.store import KEEP_LONG, Kept, Message, Room, State, Unavailable
from riskbot.store import sqlite_past as past
from riskbot.store import sqlite_recording as recording
from riskbot.store import sqlite_values as values
from riskbot.store.outbox import Row
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite_file import SqliteFile, room
from riskbot.store.sqlite_outbox import SqliteOutbox
from riskbot.store.worker import Worker

T = TypeVar("T")

PRUNED_AT_ONCE = 1000
"""Done rows that one transaction forgets: a commit with an alert must not wait for a long tidying up."""

GRACE = 0.5
"""Seconds that a call gets beyond its patience."""
CLOSING = 2.0
"""Seconds that `close` waits for what is pending."""


class SqliteStore:
    """The contract of `riskbot.store.Store` in one SQLite file. Every call may raise Unavailable (Broken: damaged)."""

    def __init__(self, path: Path, patience: float) -> None:
        """Use `open`."""
        self.path = path
        self._patience = patience
        self._worker = Worker("riskbot store")
        self._file: SqliteFile
        self._closing: asyncio.Future[None] | None = None
        self._version = 0  # changes when another program has written

    @classmethod
    async def open(cls, path: Path | str, *, busy_timeout: float = 2.0, patience: float = 5.0) -> Self:
        """Open or create the database; the directory must be there.

        busy_timeout: seconds to wait for another program that holds the file locked.
        patience: seconds after which a call that the disk doesn't answer is Unavailable.
        Raises StoreError: used by another riskbot, written by a newer one, another program's, damaged, no access.
        """
        return await cls._open(Path(path), busy_timeout, patience, set_aside=False)

    @classmethod
    async def reopen(cls, path: Path | str, *, busy_timeout: float = 2.0, patience: float = 5.0) -> Self:
        """As `open`, but looks through the whole file, and moves a damaged one aside to begin a new one."""
        return await cls._open(Path(path), busy_timeout, patience, set_aside=True)

    @classmethod
    async def _open(cls, path: Path, busy_timeout: float, patience: float, *, set_aside: bool) -> Self:
        store = cls(path, patience)
        work = partial(SqliteFile, path, MIGRATIONS, busy_timeout, set_aside=set_aside)
        job = store._worker.submit(work)
        try:
            store._file = await asyncio.wrap_future(job)
        except BaseException:
            store._worker.submit(partial(_give_up, job))
            store._worker.stop()
            raise
        return store

    async def accounts(self) -> list[str]:
        """All accounts that have a value, by name."""
        return await self._read(values.names)

    async def load(self, account: str) -> State:
        """The account's last committed value."""
        return await self._read(lambda db: values.load(db, account))

    async def commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: tuple[Message, ...] = (),
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Write value, messages, events and batches, all or nothing; give the new revision. Raises Fenced."""

        def work(db: Connection) -> int:
            state = values.load(db, account)
            if state.rev and state.commit_id == commit_id:
                return state.rev
            values.write(db, account, rev, state, State(value, rev + 1, commit_id))
            past.remember(db, events)
            recording.record(db, batches)
            outbox = SqliteOutbox(db)
            for message in messages:
                outbox.add(message)
            return rev + 1

        return await self._write(work, durable=bool(messages or events))

    async def restore(
        self,
        account: str,
        rev: int,
        state: State,
        rows: list[Row],
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Write an account's value (None: leave it), rows exactly as they stand, events and batches; give the revision.

        For bringing back what was done elsewhere while this store could not be used. Raises Fenced.
        """

        def work(db: Connection) -> int:
            SqliteOutbox(db).restore(rows)
            past.remember(db, events)
            recording.record(db, batches)
            if state.value is None:
                return rev
            values.write(db, account, rev, values.load(db, account), State(state.value, rev + 1, state.commit_id))
            return rev + 1

        return await self._write(work, durable=True)

    async def touched(self) -> bool:
        """Has another program written since this was last asked? At first: perhaps."""
        before = self._version
        (self._version,) = await self._read(lambda db: db.execute("PRAGMA data_version").fetchone())
        return self._version != before

    async def room(self) -> Room:
        """What the database and its log take of their disk, and what is left there."""
        return await self._call(lambda: room(self.path))

    async def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """Up to n due messages, leased until now + lease."""
        return await self._write(lambda db: SqliteOutbox(db).take(receiver, n, now, lease, least, account))

    async def ack(self, message: Message, now: float) -> None:
        """It was sent."""
        await self._write(lambda db: SqliteOutbox(db).ack(message, now), durable=True)

    async def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again."""

        def work(db: Connection) -> None:
            SqliteOutbox(db).nack(message, now, due_at, why, maybe_sent=maybe_sent)

        await self._write(work, durable=True)

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent."""
        await self._write(lambda db: SqliteOutbox(db).dead(message, now, why), durable=True)

    async def release(self) -> None:
        """Every leased row is due again, and all that waits is due at once."""
        await self._write(lambda db: SqliteOutbox(db).release())

    async def hasten(self, receiver: str) -> None:
        """All that waits for a receiver is due at once."""
        await self._write(lambda db: SqliteOutbox(db).hasten(receiver))

    async def rename(self, old: str, new: str) -> None:
        """What waits of one alert is of another one from now on."""
        await self._write(lambda db: SqliteOutbox(db).rename(old, new), durable=True)

    async def next_due(self, receiver: str, least: Severity = Severity.OK) -> float | None:
        """When `take` has something, None: nothing waits."""
        return await self._read(lambda db: SqliteOutbox(db).next_due(receiver, least))

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state, newest first."""
        return await self._read(lambda db: SqliteOutbox(db).newest(states))

    async def history(self, since: float) -> list[Event]:
        """Events since then, oldest first."""
        return await self._read(lambda db: past.history(db, since))

    async def record(self, batches: Sequence[Batch]) -> None:
        """Append to the journal."""
        await self._write(lambda db: recording.record(db, batches))

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The points since then, and when the account was last seen (0: never)."""
        return await self._read(lambda db: past.recall(db, account, since))

    async def recorded(self, account: str, since: float = 0.0) -> list[Batch]:
        """The account's batches, in the order of writing; of segments that did not end before then."""

        def work(db: Connection) -> list[Batch]:
            segments = recording.segments(db, account, since)
            return [batch for segment in segments for batch in recording.batches(db, segment)]

        return await self._read(work)

    async def keep(self, kept: Kept) -> None:
        """From now on this configuration is in force."""
        await self._write(lambda db: recording.keep(db, kept))

    async def kept(self) -> list[Kept]:
        """The configurations that were in force, oldest first."""
        return await self._read(recording.bundles)

    async def prune(self, before: float) -> None:
        """Forget old done rows, old events, and points that no window from `before` on can need.

        In small transactions, so that nothing waits for long.
        """
        while await self._write(lambda db: SqliteOutbox(db).prune(before, PRUNED_AT_ONCE)) == PRUNED_AT_ONCE:
            pass
        for (series,) in await self._read(lambda db: db.execute("SELECT series FROM series").fetchall()):
            await self._write(partial(past.prune_series, series=series, before=before))
        await self._write(lambda db: past.prune_events(db, before - KEEP_LONG))

    async def trim(self, before: float, size: int) -> None:
        """Forget old segments, and the oldest beyond so many bytes; one in each transaction."""
        for key in await self._read(lambda db: recording.surplus(db, before, size)):
            await self._write(partial(recording.forget, key=key))
        await self._write(recording.forget_bundles)

    async def close(self) -> None:
        """Finish what is pending and let go of file and lock. Waits a moment for a disk that hangs, not longer."""
        if self._closing is None:
            self._closing = asyncio.wrap_future(self._worker.submit(self._file.close))
            self._worker.stop()
        await asyncio.wait([self._closing], timeout=CLOSING)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._call(lambda: self._file.read(work))

    async def _write(self, work: Callable[[Connection], T], *, durable: bool = False) -> T:
        return await self._call(lambda: self._file.write(work, durable=durable))

    async def _call(self, work: Callable[[], T]) -> T:
        if self._closing is not None:
            raise Unavailable(f"{self.path} was closed")
        job = asyncio.wrap_future(self._worker.submit(work))
        try:
            for patience in (self._patience, GRACE):  # a process that stood still must not blame the disk
                if not job.done():
                    await asyncio.wait({job}, timeout=patience)
        finally:
            late = job.cancel()
        if not late:
            return job.result()
        raise Unavailable(
            f"{self.path}: the disk has not answered for {self._patience:g} s: check it and the system's load"
        )


def _give_up(opening: Future[SqliteFile]) -> None:
    """An opening that was cancelled while it ran must not leave file and lock in nobody's hands."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
