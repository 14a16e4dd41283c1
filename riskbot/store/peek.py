"""Look into the database of a running riskbot, without its lock and without writing."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from riskbot.model import Alerts, Event, Quiet
from riskbot.store import QUIET, Message
from riskbot.store import sqlite_past as past
from riskbot.store.sqlite_file import owner
from riskbot.store.sqlite_outbox import SqliteOutbox
from riskbot.store.visit import visit


class Look(Struct, frozen=True):
    """What a database holds at one moment.

    alerts, seen: of each account, its alerts and when it was last seen, as written every few seconds.
    rows: messages with their state, newest first. events: oldest first. pid: the riskbot that runs on it, 0: none.
    quiet: silences and acknowledgements, also those that are over.
    """

    alerts: dict[str, Alerts]
    seen: dict[str, float]
    rows: list[tuple[str, Message]]
    events: list[Event]
    pid: int
    quiet: Quiet = Quiet()


def look(path: Path, states: tuple[str, ...]) -> Look:
    """All of it, and of the outbox the rows in these states. Raises StoreError."""
    with visit(path, writing=False) as db:
        values = dict(db.execute("SELECT account, value FROM accounts ORDER BY account").fetchall())
        quiet = msgspec.json.decode(values.pop(QUIET, b"{}"), type=Quiet)
        mine = {name: value for name, value in values.items() if not name.startswith("@")}
        alerts = {account: msgspec.json.decode(value, type=Alerts) for account, value in mine.items()}
        rows, events = SqliteOutbox(db).newest(states), past.history(db, 0.0)
        return Look(alerts, past.seen(db), rows, events, owner(path), quiet)
