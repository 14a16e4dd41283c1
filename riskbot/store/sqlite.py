"""The embedded store: one SQLite file, used by one process.

Laws:
1. A call is one transaction: it happens whole or not at all, whatever kills the process.
2. A commit with messages, and the verdict on a message, is on the disk before the call returns (`synchronous=FULL`);
   quiet commits, leases and the journal survive a kill, not necessarily a power loss (`NORMAL`).
3. The event loop never waits for the disk: all work is done in one thread, in the order of the calls. A disk that
   doesn't answer for `patience` seconds makes the call Unavailable.
4. The schema itself forbids two queued rows, or two in flight, of one alert and receiver.
5. Errors are StoreErrors that say which file, what is wrong and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Self, TypeVar

import msgspec

from riskbot.store import Fenced, Message, Point, State, Unavailable
from riskbot.store.outbox import Outbox, Row
from riskbot.store.sqlite_file import SqliteFile
from riskbot.store.worker import Worker

T = TypeVar("T")

MIGRATIONS = [
    """
    CREATE TABLE accounts (
      account   TEXT PRIMARY KEY,
      value     BLOB NOT NULL,
      rev       INTEGER NOT NULL,
      commit_id TEXT NOT NULL
    );

    CREATE TABLE outbox (
      n        INTEGER PRIMARY KEY,   -- order of writing
      id       TEXT NOT NULL,
      at       REAL NOT NULL,
      receiver TEXT NOT NULL,
      alert    TEXT NOT NULL,
      urgency  INTEGER NOT NULL,
      state    TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'superseded', 'dead')),
      moment   REAL NOT NULL,         -- queued: due then; sending: leased until then; else: done then
      message  TEXT NOT NULL,         -- all of it, as JSON
      UNIQUE (id, at)
    );
    CREATE UNIQUE INDEX outbox_queued ON outbox (receiver, alert) WHERE state = 'queued';
    CREATE UNIQUE INDEX outbox_sending ON outbox (receiver, alert) WHERE state = 'sending';
    CREATE INDEX outbox_done ON outbox (moment) WHERE state IN ('sent', 'superseded', 'dead');

    CREATE TABLE series (
      series  INTEGER PRIMARY KEY,
      account TEXT NOT NULL,
      field   TEXT NOT NULL,
      ccy     TEXT NOT NULL,
      UNIQUE (account, field, ccy)
    );
    CREATE TABLE points (
      series INTEGER NOT NULL,
      at     REAL NOT NULL,
      value  TEXT NOT NULL,
      PRIMARY KEY (series, at)
    ) WITHOUT ROWID;
    CREATE TABLE seen (
      account TEXT PRIMARY KEY,
      at      REAL NOT NULL
    );
    """,
]
"""Each brings the schema from its place in the list to the next; only ever appended to."""

PRUNED_AT_ONCE = 1000
"""Done rows that one transaction forgets: a commit with an alert must not wait for a long tidying up."""

CLOSING = 2.0
"""Seconds that `close` waits for what is pending."""

_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


class SqliteOutbox(Outbox):
    """The rows in an open database, inside the caller's transaction."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def find(self, message: Message) -> Row | None:  # noqa: D102 - see Outbox
        found = self._rows("WHERE id = ? AND at = ?", message.id, message.at)
        return found[0] if found else None

    def queued(self, receiver: str, alert: str) -> Message | None:  # noqa: D102 - see Outbox
        found = self._rows("WHERE receiver = ? AND alert = ? AND state = 'queued'", receiver, alert)
        return found[0].message if found else None

    def leased(self, receiver: str | None, until: float) -> list[Row]:  # noqa: D102 - see Outbox
        if receiver is None:
            return self._rows("WHERE state = 'sending' AND moment <= ? ORDER BY n", until)
        return self._rows("WHERE receiver = ? AND state = 'sending' AND moment <= ? ORDER BY n", receiver, until)

    def due(self, receiver: str, n: int, now: float) -> list[Message]:  # noqa: D102 - see Outbox
        rows = self._rows(
            """
            WHERE receiver = ? AND state = 'queued' AND moment <= ? AND NOT EXISTS (
              SELECT 1 FROM outbox AS flying
              WHERE flying.receiver = outbox.receiver AND flying.alert = outbox.alert AND flying.state = 'sending'
            )
            ORDER BY urgency DESC, at, id LIMIT ?
            """,
            receiver,
            now,
            n,
        )
        return [row.message for row in rows]

    def put(self, row: Row) -> None:  # noqa: D102 - see Outbox
        m = row.message
        self._db.execute(
            """
            INSERT INTO outbox (id, at, receiver, alert, urgency, state, moment, message)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id, at) DO UPDATE SET
              urgency = excluded.urgency, state = excluded.state, moment = excluded.moment, message = excluded.message
            """,
            (m.id, m.at, m.receiver, m.alert, int(m.urgency), row.state, row.moment, _encode(m).decode()),
        )

    def next_due(self, receiver: str) -> float | None:
        """When the first row of a receiver can be taken. A row behind one in flight waits for that one's lease."""
        sql = """
            SELECT min(moment) FROM (
              SELECT moment FROM outbox WHERE receiver = :receiver AND state = 'sending'
              UNION ALL
              SELECT moment FROM outbox WHERE receiver = :receiver AND state = 'queued' AND alert NOT IN (
                SELECT alert FROM outbox WHERE receiver = :receiver AND state = 'sending'
              )
            )
            """
        (moment,) = self._db.execute(sql, {"receiver": receiver}).fetchone()
        return None if moment is None else float(moment)

    def newest(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows in one of these states, newest first."""
        marks = ", ".join("?" * len(states))
        return [(row.state, row.message) for row in self._rows(f"WHERE state IN ({marks}) ORDER BY n DESC", *states)]

    def prune(self, before: float, n: int) -> int:
        """Forget up to n rows that were done before then; give how many were."""
        sql = """
            DELETE FROM outbox WHERE n IN (
              SELECT n FROM outbox WHERE state IN ('sent', 'superseded', 'dead') AND moment < ? LIMIT ?
            )
            """
        return self._db.execute(sql, (before, n)).rowcount

    def _rows(self, where: str, *values: Any) -> list[Row]:
        found = self._db.execute(f"SELECT message, state, moment FROM outbox {where}", values)  # noqa: S608 - our own text
        return [Row(_decode(message), state, moment) for message, state, moment in found]


class SqliteStore:
    """The contract of `riskbot.store.Store` in one SQLite file. Every call may raise Unavailable (Broken: damaged)."""

    def __init__(self, path: Path, patience: float) -> None:
        """Use `open`."""
        self.path = path
        self._patience = patience
        self._worker = Worker("riskbot store")
        self._file: SqliteFile
        self._closing: asyncio.Future[None] | None = None

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

    async def load(self, account: str) -> State:
        """The account's last committed value."""
        return await self._read(lambda db: _load(db, account))

    async def commit(self, account: str, rev: int, commit_id: str, value: bytes, messages: tuple[Message, ...]) -> int:
        """Write value and messages, both or neither; give the new revision. Raises Fenced."""

        def work(db: Connection) -> int:
            state = _load(db, account)
            if state.rev and state.commit_id == commit_id:
                return state.rev
            _write(db, account, rev, state, State(value, rev + 1, commit_id))
            outbox = SqliteOutbox(db)
            for message in messages:
                outbox.add(message)
            return rev + 1

        return await self._write(work, durable=bool(messages))

    async def restore(self, account: str, rev: int, state: State, rows: list[Row]) -> int:
        """Write an account's value (None: leave it) and rows exactly as they stand; give the revision.

        For bringing back what was done elsewhere while this store could not be used. Raises Fenced.
        """

        def work(db: Connection) -> int:
            SqliteOutbox(db).restore(rows)
            if state.value is None:
                return rev
            _write(db, account, rev, _load(db, account), State(state.value, rev + 1, state.commit_id))
            return rev + 1

        return await self._write(work, durable=True)

    async def take(self, receiver: str, n: int, now: float, lease: float) -> list[Message]:
        """Up to n due messages, leased until now + lease."""
        return await self._write(lambda db: SqliteOutbox(db).take(receiver, n, now, lease))

    async def ack(self, message: Message, now: float) -> None:
        """It was sent."""
        await self._write(lambda db: SqliteOutbox(db).ack(message, now), durable=True)

    async def nack(self, message: Message, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again."""
        await self._write(lambda db: SqliteOutbox(db).nack(message, due_at, why, maybe_sent=maybe_sent), durable=True)

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent."""
        await self._write(lambda db: SqliteOutbox(db).dead(message, now, why), durable=True)

    async def release(self) -> None:
        """Every leased row is due again."""
        await self._write(lambda db: SqliteOutbox(db).release())

    async def next_due(self, receiver: str) -> float | None:
        """When `take` has something, None: nothing waits."""
        return await self._read(lambda db: SqliteOutbox(db).next_due(receiver))

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state, newest first."""
        return await self._read(lambda db: SqliteOutbox(db).newest(states))

    async def record(self, entries: list[tuple[str, list[Point], float]]) -> None:
        """Append to the journal."""
        await self._write(lambda db: _record(db, entries))

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The journal since then, and when the account was last seen (0: never)."""
        return await self._read(lambda db: _recall(db, account, since))

    async def prune(self, before: float) -> None:
        """Forget old done rows, and points that no window from `before` on can need. In small transactions."""
        while await self._write(lambda db: SqliteOutbox(db).prune(before, PRUNED_AT_ONCE)) == PRUNED_AT_ONCE:
            pass
        for (series,) in await self._read(lambda db: db.execute("SELECT series FROM series").fetchall()):
            await self._write(partial(_prune, series=series, before=before))

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
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.wrap_future(self._worker.submit(work))
        except TimeoutError:
            raise Unavailable(
                f"{self.path}: the disk has not answered for {self._patience:g} s: check it and the system's load"
            ) from None


def _give_up(opening: Future[SqliteFile]) -> None:
    """An opening that was cancelled while it ran must not leave file and lock in nobody's hands."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _load(db: Connection, account: str) -> State:
    row = db.execute("SELECT value, rev, commit_id FROM accounts WHERE account = ?", (account,)).fetchone()
    return State(*row) if row else State()


def _write(db: Connection, account: str, rev: int, old: State, new: State) -> None:
    if old.rev != rev:
        raise Fenced(f"account {account} is at revision {old.rev}, not {rev}: somebody else has written it")
    sql = """
        INSERT INTO accounts (account, value, rev, commit_id) VALUES (?, ?, ?, ?)
        ON CONFLICT (account) DO UPDATE SET value = excluded.value, rev = excluded.rev, commit_id = excluded.commit_id
        """
    db.execute(sql, (account, new.value, new.rev, new.commit_id))


def _record(db: Connection, entries: list[tuple[str, list[Point], float]]) -> None:
    series = [(account, p.field, p.ccy) for account, points, _ in entries for p in points]
    db.executemany("INSERT OR IGNORE INTO series (account, field, ccy) VALUES (?, ?, ?)", series)
    sql = """
        INSERT OR REPLACE INTO points (series, at, value)
        SELECT series, ?, ? FROM series WHERE account = ? AND field = ? AND ccy = ?
        """
    db.executemany(sql, [(p.at, p.value, account, p.field, p.ccy) for account, points, _ in entries for p in points])
    sql = """
        INSERT INTO seen (account, at) VALUES (?, ?)
        ON CONFLICT (account) DO UPDATE SET at = max(at, excluded.at)
        """
    db.executemany(sql, [(account, at) for account, _, at in entries])


def _recall(db: Connection, account: str, since: float) -> tuple[list[Point], float]:
    sql = """
        SELECT field, ccy, at, value FROM series JOIN points USING (series)
        WHERE account = :account AND at >= coalesce(
          (SELECT max(at) FROM points AS earlier WHERE earlier.series = series.series AND at < :since), :since
        )
        ORDER BY at, field, ccy
        """
    points = [Point(*row) for row in db.execute(sql, {"account": account, "since": since})]
    seen = db.execute("SELECT at FROM seen WHERE account = ?", (account,)).fetchone()
    return points, seen[0] if seen else 0.0


def _prune(db: Connection, series: int, before: float) -> None:
    sql = """
        DELETE FROM points WHERE series = :series
        AND at < (SELECT max(at) FROM points WHERE series = :series AND at < :before)
        """
    db.execute(sql, {"series": series, "before": before})
