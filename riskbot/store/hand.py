"""A person's hand on a riskbot that may be running: try again what was given up, drop what is not wanted, be quiet.

A running riskbot sends what is due again at its courier's next look. What it remembers for the time when its store
fails, it mends at its next `heal`, a few seconds later: should the store begin to fail before that, a message just
dropped may still be told from memory, and one just queued again waits until the store has healed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from riskbot.model import Quiet
from riskbot.store import QUIET, Message, State
from riskbot.store import sqlite_values as values
from riskbot.store.outbox import DEAD, QUEUED
from riskbot.store.sqlite_outbox import SqliteOutbox
from riskbot.store.visit import visit


def retry(path: Path, ids: Collection[str] | None, now: float) -> list[Message]:
    """Queue dead messages again, due now; None: all of them. Gives those it did, as they were. Raises StoreError."""
    with visit(path, writing=True) as db:
        outbox = SqliteOutbox(db)
        return [message for message in _chosen(outbox, (DEAD,), ids) if outbox.retry(message, now)]


def drop(path: Path, ids: Collection[str] | None, now: float) -> list[Message]:
    """Never tell these messages, queued or dead; None: all that are dead. Gives those it did, as they were.

    What they covered is not told either, so the end of an alert may then be told to somebody who never heard of it.
    Raises StoreError.
    """
    with visit(path, writing=True) as db:
        outbox = SqliteOutbox(db)
        states = (DEAD,) if ids is None else (QUEUED, DEAD)
        return [message for message in _chosen(outbox, states, ids) if outbox.drop(message, now)]


def hush(path: Path, change: Callable[[Quiet], Quiet]) -> Quiet:
    """Change what nobody wants to be told. A running riskbot takes it up within a second. Raises StoreError."""
    with visit(path, writing=True) as db:
        state = values.load(db, QUIET)
        quiet = change(msgspec.json.decode(state.value or b"{}", type=Quiet))
        commit_id = f"{random.getrandbits(64):016x}"
        values.write(db, QUIET, state.rev, state, State(msgspec.json.encode(quiet), state.rev + 1, commit_id))
        return quiet


def _chosen(outbox: SqliteOutbox, states: tuple[str, ...], ids: Collection[str] | None) -> list[Message]:
    return [message for _, message in outbox.newest(states) if ids is None or message.id in ids]
