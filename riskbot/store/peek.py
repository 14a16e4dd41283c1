"""Look into the database of a running riskbot, without its lock and without writing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from riskbot.model import Alerts
from riskbot.store import Message, StoreError
from riskbot.store.sqlite import SqliteOutbox
from riskbot.store.sqlite_file import explained


def peek(path: Path, states: tuple[str, ...]) -> tuple[dict[str, Alerts], list[tuple[str, Message]]]:
    """Each account's alerts, and the outbox rows in these states, newest first. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: not there yet; riskbot makes it when it runs")
    with explained(path):
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)
        try:
            values = db.execute("SELECT account, value FROM accounts ORDER BY account").fetchall()
            alerts = {account: msgspec.json.decode(value, type=Alerts) for account, value in values}
            return alerts, SqliteOutbox(db).newest(states)
        finally:
            db.close()
