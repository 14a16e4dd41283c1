"""The database file: its lock, its rights, its schema, and its troubles told to people.

Nothing here knows of accounts or messages, and no `sqlite3.Error` leaves it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from msgspec import MsgspecError

from riskbot.store import Broken, Room, StoreError, Unavailable

T = TypeVar("T")

GLANCE = 0.05
"""Seconds after which whoever only looked at the lock has long let go of it."""

APPLICATION_ID = 0x7269736B  # "risk": tells our files from other programs' databases

FAILURES: dict[int, tuple[type[Unavailable], str]] = {
    sqlite3.SQLITE_FULL: (Unavailable, "the disk is full: free some space"),
    sqlite3.SQLITE_READONLY: (Unavailable, "it can't be written: check its owner and whether the disk is read-only"),
    sqlite3.SQLITE_BUSY: (Unavailable, "another program holds it locked: close it (a database browser? a backup?)"),
    sqlite3.SQLITE_IOERR: (Unavailable, "the disk fails to read or write it: check the disk"),
    sqlite3.SQLITE_CORRUPT: (Broken, "the file is damaged: move it away and riskbot begins a new one"),
    sqlite3.SQLITE_NOTADB: (Broken, "this is no database, or its head is damaged: give another [store] path"),
}


def explain(path: Path, error: Exception) -> StoreError:
    """The error for people: which file, what is wrong, what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits tell details of the same trouble
    kind, advice = FAILURES.get(code, (Unavailable, "the store can't be used"))
    if isinstance(error, OSError):
        advice = _about_path(path, error)
    return kind(f"{path}: {advice} ({error})")


def _about_path(path: Path, error: OSError) -> str:
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}: create it or give another [store] path"
    if isinstance(error, IsADirectoryError):
        return "this is a directory: give [store] path the name of a file in it"
    return "it can't be opened for writing: check its owner, its directory and the disk"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite, the system and the decoder raise into a StoreError."""
    try:
        yield
    except (sqlite3.Error, OSError, ValueError, MsgspecError) as error:
        raise explain(path, error) from error


def size(path: Path) -> int:
    """Of a database and of its log, where what was written last is: bytes. Raises OSError."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def room(path: Path) -> Room:
    """What a database takes of its disk, and what is left there. Raises Unavailable."""
    with explained(path):
        disk = os.statvfs(path.parent)
        return Room(size(path), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


class SqliteFile:
    """An open database that this process alone may use. Belongs to one thread.

    Raises StoreError (Broken, Unavailable) from all its methods.
    """

    def __init__(self, path: Path, migrations: Sequence[str], busy_timeout: float, *, set_aside: bool = False) -> None:
        """Open or create it. set_aside: a damaged file is moved out of the way and a new one is begun."""
        self.path = path
        with explained(path):
            self._lock = acquire(path)
            try:
                self.db = _open(path, migrations, busy_timeout, set_aside=set_aside)
            except BaseException:
                os.close(self._lock)
                raise
        self._durable: bool | None = None
        self._inode = path.stat().st_ino

    def _be_there(self) -> None:
        """What is written into a file that has lost its name is lost with this process. Raises Broken."""
        try:
            there = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            raise Broken(f"{self.path}: the file was deleted or replaced while riskbot runs; a new one is begun")

    def read(self, work: Callable[[Connection], T]) -> T:
        """Do this without a lock: also a file that another program is writing can be read."""
        with explained(self.path):
            return work(self.db)

    def write(self, work: Callable[[Connection], T], *, durable: bool) -> T:
        """Do this in one transaction. durable: survives power loss, else only the end of the process."""
        with explained(self.path):
            self._be_there()
            self._set_durable(durable)
            self.db.execute("BEGIN IMMEDIATE")
            try:
                result = work(self.db)
                self.db.execute("COMMIT")
            except BaseException:
                _roll_back(self.db)
                raise
            return result

    def close(self) -> None:
        """Let go of file and lock."""
        with suppress(sqlite3.Error):  # what was committed is safe, whatever becomes of the tidying up
            self.db.close()
        os.close(self._lock)

    def _set_durable(self, durable: bool) -> None:
        if durable is not self._durable:
            self.db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable


def acquire(path: Path) -> int:
    """The lock of a database, as a file descriptor: closing it, or the end of the process, gives it back."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _flock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        owner = os.pread(lock, 20, 0).decode() or "unknown"
        os.close(lock)
        raise StoreError(
            f"another riskbot (process {owner}) is using {path}: stop it or give another [store] path"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _flock(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(GLANCE)  # perhaps somebody only looks (see `owner`)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def owner(path: Path) -> int:
    """The process that has the lock of a database; 0: none has, or it has just begun."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(lock, 20, 0) or 0)
    else:
        return 0
    finally:
        os.close(lock)


def _open(path: Path, migrations: Sequence[str], busy_timeout: float, *, set_aside: bool) -> Connection:
    try:
        return _connect(path, migrations, busy_timeout, thorough=set_aside)
    except sqlite3.DatabaseError as error:
        if not (set_aside and isinstance(explain(path, error), Broken)) or _is_text(path):
            raise
        move_aside(path)
        return _connect(path, migrations, busy_timeout, thorough=False)


def _connect(path: Path, migrations: Sequence[str], busy_timeout: float, *, thorough: bool) -> Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # its companions get the same rights
    db = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)
    try:
        if thorough:
            _check_pages(db)
        check_owner(db, path, len(migrations))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA journal_size_limit = 16777216")  # a burst's log is cut back to 16 MiB
        _migrate(db, migrations)
    except BaseException:
        db.close()
        raise
    return db


def _check_pages(db: Connection) -> None:
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def check_owner(db: Connection, path: Path, known: int) -> None:
    """Refuse other programs' databases and newer riskbots'."""
    ((owner,), (version,)) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(f"{path} is the database of another program: give another [store] path")
    if version > known:
        raise StoreError(
            f"{path} was written by a newer riskbot (schema {version}, this one knows {known}):"
            " upgrade riskbot or give another [store] path"
        )


def _migrate(db: Connection, migrations: Sequence[str]) -> None:
    """Bring the schema up to date, each step in a transaction of its own."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(migrations[version:], version + 1):
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
        try:
            db.executescript(f"BEGIN IMMEDIATE; {step} {marks} COMMIT;")
        except BaseException:
            _roll_back(db)
            raise


def _roll_back(db: Connection) -> None:
    if db.in_transaction:  # some errors have done it already
        with suppress(sqlite3.Error):  # the first error is the one to tell
            db.execute("ROLLBACK")


def _is_text(path: Path) -> bool:
    """A file that never was a database: [store] path names a wrong one, which must stay where it is."""
    with path.open("rb") as file:
        return b"\0" not in file.read(4096)


def move_aside(path: Path) -> Path:
    """Rename a damaged database with its log to `….broken-1` (2, 3…), so that nothing of it is lost."""
    n = 1
    while (aside := path.with_name(f"{path.name}.broken-{n}")).exists():
        n += 1
    path.rename(aside)
    for companion in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{aside}{companion}")
    return aside
