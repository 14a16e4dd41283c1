"""The recording in the database: batches of what was seen, in segments, and the configurations they were judged by.

Each function works in an open database, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from sqlite3 import Connection

from msgspec import Struct

from riskbot.recording import Batch
from riskbot.recording.wire import compressed
from riskbot.store import Kept
from riskbot.store import sqlite_past as past

MOST_BATCHES = 1 << 20
"""Of a segment: the key of a batch is its segment's, times this, plus its place."""
MOST_SEGMENTS = 1 << 20
"""That are brought from elsewhere at once."""
ROW = 40
"""Bytes that a batch takes in the file beyond its data."""


class Segment(Struct, frozen=True):
    """A part of an account's recording that can be read by itself. See `Batch`; bytes: as it lies in the file."""

    key: int
    account: str
    name: str
    first: float
    last: float
    batches: int
    looks: int
    bytes: int


_COLUMNS = "segment, account, name, first, last, batches, looks, bytes"


def record(db: Connection, batches: Iterable[Batch], keys: Iterator[int] | None = None) -> None:
    """Append batches with their points; a batch that is there already is left alone.

    keys: of new segments; None: each comes after all that there are. See `earlier`.
    """
    for batch in batches:
        if batch.data:
            _append(db, batch, keys)
        if batch.points or batch.seen:
            past.record(db, batch.account, batch.points, batch.seen)


def earlier(db: Connection, account: str) -> Iterator[int]:
    """Keys for segments that are to be read before those which an account has: they were brought from elsewhere."""
    (lowest,) = db.execute("SELECT min(segment) FROM segments WHERE account = ?", (account,)).fetchone()
    return count(min(0, lowest or 0) - MOST_SEGMENTS)


def _append(db: Connection, batch: Batch, keys: Iterator[int] | None) -> None:
    data, key = compressed(batch.data), _key(db, batch, keys)
    sql = "INSERT OR IGNORE INTO batches (n, first, last, looks, data) VALUES (?, ?, ?, ?, ?)"
    n = key * MOST_BATCHES + batch.index
    if db.execute(sql, (n, batch.first, batch.last, batch.looks, data)).rowcount:
        sql = """
            UPDATE segments SET last = max(last, ?), batches = batches + 1, looks = looks + ?, bytes = bytes + ?
            WHERE segment = ?
            """
        db.execute(sql, (batch.last, batch.looks, len(data) + ROW, key))


def _key(db: Connection, batch: Batch, keys: Iterator[int] | None) -> int:
    """The key of its segment, which may begin with it."""
    sql = "SELECT segment FROM segments WHERE account = ? AND name = ?"
    if found := db.execute(sql, (batch.account, batch.segment)).fetchone():
        return int(found[0])
    sql = """
        INSERT INTO segments (segment, account, name, first, last, batches, looks, bytes)
        VALUES (?, ?, ?, ?, ?, 0, 0, 0) RETURNING segment
        """
    row = (next(keys) if keys else None, batch.account, batch.segment, batch.first, batch.last)
    (key,) = db.execute(sql, row).fetchone()
    return int(key)


def segments(db: Connection, account: str = "", since: float = 0.0) -> list[Segment]:
    """Those that did not end before `since`, in the order of writing, which no clock can change; account "": of all."""
    sql = f"SELECT {_COLUMNS} FROM segments WHERE ? IN ('', account) AND last >= ? ORDER BY segment"  # noqa: S608 - our own text
    return [Segment(*row) for row in db.execute(sql, (account, since))]


def batches(db: Connection, segment: Segment) -> Iterator[Batch]:
    """Those of a segment, in order, without their points."""
    sql = "SELECT n, first, last, looks, data FROM batches WHERE n BETWEEN ? AND ? ORDER BY n"
    start = segment.key * MOST_BATCHES
    for n, first, last, looks, data in db.execute(sql, (start, start + MOST_BATCHES - 1)):
        yield Batch(segment.account, segment.name, n - start, first, last, looks, data)


def surplus(db: Connection, before: float, size: int) -> list[int]:
    """The keys of segments that ended before then, and of the oldest beyond so many bytes in all.

    The newest one of an account goes only by its age: it may still grow.
    """
    sql = """
        SELECT segment FROM (
          SELECT segment, last, sum(bytes) OVER (ORDER BY last DESC, segment DESC) AS bytes,
            segment = max(segment) OVER (PARTITION BY account) AS newest
          FROM segments
        ) WHERE last < ? OR bytes > ? AND NOT newest ORDER BY last
        """
    return [key for (key,) in db.execute(sql, (before, size))]


def forget(db: Connection, key: int) -> None:
    """Drop a segment with all its batches."""
    start = key * MOST_BATCHES
    db.execute("DELETE FROM batches WHERE n BETWEEN ? AND ?", (start, start + MOST_BATCHES - 1))
    db.execute("DELETE FROM segments WHERE segment = ?", (key,))


def keep(db: Connection, kept: Kept) -> None:
    """From then on this is in force; if it is so already, nothing is written."""
    newest = db.execute("SELECT hash FROM bundles ORDER BY since DESC LIMIT 1").fetchone()
    if newest != (kept.hash,):
        sql = "INSERT OR REPLACE INTO bundles (since, hash, bundle) VALUES (?, ?, ?)"
        db.execute(sql, (kept.since, kept.hash, kept.bundle))


def bundles(db: Connection) -> list[Kept]:
    """All that are remembered, oldest first."""
    return [Kept(*row) for row in db.execute("SELECT since, hash, bundle FROM bundles ORDER BY since")]


def remember_bundle(db: Connection, kept: Kept) -> None:
    """What was in force elsewhere, from then on; another one of that moment stays."""
    sql = "INSERT OR IGNORE INTO bundles (since, hash, bundle) VALUES (?, ?, ?)"
    db.execute(sql, (kept.since, kept.hash, kept.bundle))


def forget_bundles(db: Connection) -> None:
    """Drop those that were superseded before the oldest segment began."""
    sql = """
        DELETE FROM bundles WHERE since < (
          SELECT max(since) FROM bundles WHERE since <= (SELECT coalesce(min(first), 0) FROM segments)
        )
        """
    db.execute(sql)
