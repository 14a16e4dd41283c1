"""The outbox in the database."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

import msgspec

from riskbot.model import Severity
from riskbot.store import KEEP_LONG, Message
from riskbot.store.outbox import Outbox, Row

_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


class SqliteOutbox(Outbox):
    """The rows in an open database, inside the caller's transaction."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def find(self, message: Message) -> Row | None:  # noqa: D102 - see Outbox
        found = self._rows("WHERE id = ? AND at = ?", message.id, message.at)
        return found[0] if found else None

    def standing(self, receiver: str, alert: str) -> list[Row]:  # noqa: D102 - see Outbox
        # The states are written as in the index, or it would not be used.
        where = "WHERE receiver = ? AND alert = ? AND state IN ('queued', 'sending', 'dead') ORDER BY at, id"
        return self._rows(where, receiver, alert)

    def all_standing(self) -> list[Row]:  # noqa: D102 - see Outbox
        return self._rows("WHERE state IN ('queued', 'sending', 'dead') ORDER BY at, id")

    def leased(self, receiver: str | None, until: float) -> list[Row]:  # noqa: D102 - see Outbox
        if receiver is None:
            return self._rows("WHERE state = 'sending' AND moment <= ? ORDER BY n", until)
        return self._rows("WHERE receiver = ? AND state = 'sending' AND moment <= ? ORDER BY n", receiver, until)

    def due(self, receiver: str, n: int, now: float, least: Severity, account: str) -> list[Message]:  # noqa: D102 - see Outbox
        rows = self._rows(
            """
            WHERE receiver = ? AND state = 'queued' AND moment <= ? AND urgency >= ? AND ? IN ('', account)
            AND NOT EXISTS (
              SELECT 1 FROM outbox AS flying
              WHERE flying.receiver = outbox.receiver AND flying.alert = outbox.alert AND flying.state = 'sending'
            )
            ORDER BY urgency DESC, at, id LIMIT ?
            """,
            receiver,
            now,
            int(least),
            account,
            n,
        )
        return [row.message for row in rows]

    def put(self, row: Row) -> None:  # noqa: D102 - see Outbox
        m = row.message
        self._db.execute(
            """
            INSERT INTO outbox (id, at, receiver, account, alert, urgency, state, moment, message)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id, at) DO UPDATE SET
              alert = excluded.alert, urgency = excluded.urgency, state = excluded.state,
              moment = excluded.moment, message = excluded.message
            """,
            (m.id, m.at, m.receiver, m.account, m.alert, int(m.urgency), row.state, row.moment, _encode(m).decode()),
        )

    def next_due(self, receiver: str, least: Severity) -> float | None:
        """When the first row of a receiver can be taken. A row behind one in flight waits for that one's lease."""
        sql = """
            SELECT min(coalesce(flying.moment, waiting.moment))
            FROM outbox AS waiting LEFT JOIN outbox AS flying
              ON flying.receiver = waiting.receiver AND flying.alert = waiting.alert AND flying.state = 'sending'
            WHERE waiting.receiver = ? AND waiting.urgency >= ?
            AND waiting.state IN ('queued', 'sending', 'dead') AND waiting.state != 'dead'
            """
        (moment,) = self._db.execute(sql, (receiver, int(least))).fetchone()
        return None if moment is None else float(moment)

    def newest(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows in one of these states, newest first."""
        marks = ", ".join("?" * len(states))
        return [(row.state, row.message) for row in self._rows(f"WHERE state IN ({marks}) ORDER BY n DESC", *states)]

    def prune(self, before: float, n: int) -> int:
        """Forget up to n rows that were done before then, dead ones much later; give how many were."""
        sql = """
            DELETE FROM outbox WHERE n IN (
              SELECT n FROM outbox WHERE state IN ('sent', 'superseded', 'dead', 'dropped') AND moment < ?
              AND (state != 'dead' OR moment < ?) LIMIT ?
            )
            """
        return self._db.execute(sql, (before, before - KEEP_LONG, n)).rowcount

    def _rows(self, where: str, *values: Any) -> list[Row]:
        found = self._db.execute(f"SELECT message, state, moment FROM outbox {where}", values)  # noqa: S608 - our own text
        return [Row(_decode(message), state, moment) for message, state, moment in found]
