"""The past in the database: points of watched fields, when accounts were last seen, and events.

Each function works in an open database, inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

import msgspec

from riskbot.history import Point
from riskbot.model import Event

_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


def record(db: Connection, account: str, points: Iterable[Point], seen: float) -> None:
    """Append to an account's past. seen: when it was last seen."""
    series = [(account, p.field, p.ccy) for p in points]
    db.executemany("INSERT OR IGNORE INTO series (account, field, ccy) VALUES (?, ?, ?)", series)
    sql = """
        INSERT OR REPLACE INTO points (series, at, value)
        SELECT series, ?, ? FROM series WHERE account = ? AND field = ? AND ccy = ?
        """
    db.executemany(sql, [(p.at, p.value, account, p.field, p.ccy) for p in points])
    sql = """
        INSERT INTO seen (account, at) VALUES (?, ?)
        ON CONFLICT (account) DO UPDATE SET at = max(at, excluded.at)
        """
    db.execute(sql, (account, seen))


def recall(db: Connection, account: str, since: float) -> tuple[list[Point], float]:
    """The journal since then, and when the account was last seen (0: never)."""
    sql = """
        SELECT field, ccy, at, value FROM series JOIN points USING (series)
        WHERE account = :account AND at >= coalesce(
          (SELECT max(at) FROM points AS earlier WHERE earlier.series = series.series AND at < :since), :since
        )
        ORDER BY at, field, ccy
        """
    points = [Point(*row) for row in db.execute(sql, {"account": account, "since": since})]
    return points, seen(db).get(account, 0.0)


def seen(db: Connection) -> dict[str, float]:
    """When each account was last seen."""
    return dict(db.execute("SELECT account, at FROM seen ORDER BY account").fetchall())


def prune_series(db: Connection, series: int, before: float) -> None:
    """Forget points of a series that no window from `before` on can need."""
    sql = """
        DELETE FROM points WHERE series = :series
        AND at < (SELECT max(at) FROM points WHERE series = :series AND at < :before)
        """
    db.execute(sql, {"series": series, "before": before})


def remember(db: Connection, events: Iterable[Event]) -> None:
    """Write events that are not there yet."""
    sql = """
        INSERT INTO events (at, account, rule, subject, episode, seq, event) VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO NOTHING
        """
    rows = [(e.at, e.account, e.rule, e.subject, e.episode, e.seq, _encode(e).decode()) for e in events]
    db.executemany(sql, rows)


def history(db: Connection, since: float) -> list[Event]:
    """Events since then, oldest first."""
    sql = "SELECT event FROM events WHERE at >= ? ORDER BY at, account, rule, subject, episode, seq"
    return [_decode(event) for (event,) in db.execute(sql, (since,))]


def prune_events(db: Connection, before: float) -> None:
    """Forget events from before then."""
    db.execute("DELETE FROM events WHERE at < ?", (before,))
