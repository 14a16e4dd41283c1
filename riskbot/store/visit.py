"""Opens the database of a riskbot that may be running, for a moment and without its lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection

from riskbot.store import StoreError
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite_file import check_owner, explained

BUSY_TIMEOUT = 2.0
"""Seconds to wait while riskbot writes."""


@contextmanager
def visit(path: Path, *, writing: bool) -> Iterator[Connection]:
    """An existing database, in one transaction that is undone if the body raises. Raises StoreError."""
    with explained(path):
        if not path.exists():
            hint = "riskbot makes it when it runs; a service's lies in its $STATE_DIRECTORY, set that here too"
            raise StoreError(f"{path}: not there yet; {hint}")
        uri = f"{path.absolute().as_uri()}?mode={'rw' if writing else 'ro'}"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            _check(db, path)
            yield db
            db.execute("COMMIT")


def _check(db: Connection, path: Path) -> None:
    check_owner(db, path, len(MIGRATIONS))
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version < len(MIGRATIONS):
        raise StoreError(f"{path} is of an older riskbot: start this one once, and it brings the file up to date")
