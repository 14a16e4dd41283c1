"""Look into the database of a running riskbot, without its lock and without writing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from riskbot.model import Alerts
from riskbot.store import Message, StoreError
from riskbot.store.sqlite import SqliteOutbox
from riskbot.store.sqlite_file import explained


def peek(path: Path, states: tuple[str, ...]) -> tuple[dict[str, Alerts], list[tuple[str, Message]]]:
    """Each account's alerts, and the outbox rows in these states, newest first; of one moment. Raises StoreError."""
    with explained(path):
        if not path.exists():
            hint = "riskbot makes it when it runs; a service's lies in its $STATE_DIRECTORY, set that here too"
            raise StoreError(f"{path}: not there yet; {hint}")
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=2.0, isolation_level=None)) as db:
            db.execute("BEGIN")  # so that both are read of one moment
            values = db.execute("SELECT account, value FROM accounts ORDER BY account").fetchall()
            alerts = {account: msgspec.json.decode(value, type=Alerts) for account, value in values}
            return alerts, SqliteOutbox(db).newest(states)
