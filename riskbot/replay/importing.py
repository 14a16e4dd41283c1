"""Lines of JSON into a journal: those that `exporting.py` writes, exact or plain, or of anybody's replies.

What was seen elsewhere is recorded as if the account had been watched then, by nobody's rules. All of it is brought in,
or nothing: a line that is wrong ends it, unless it may be left out.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from riskbot.model import Event
from riskbot.playback import Player, at_once
from riskbot.recording import Batch
from riskbot.recording.wire import instructions
from riskbot.replay.exporting import FORMAT
from riskbot.replay.replies import BadInput, Lines, Replies, Skip
from riskbot.service.recorder import Recorder
from riskbot.store import Kept, StoreError
from riskbot.store import sqlite_past as past
from riskbot.store import sqlite_recording as recording
from riskbot.store.memory import MemoryStore
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite_file import SqliteFile
from riskbot.store.visit import visit

AT_ONCE = 2000
"""Lines that one transaction takes up: a riskbot that is running must not wait for long."""

Tell = Callable[[float], None]
"""Told how much of the file has been read, 0 to 1."""


class Overlaps(ValueError):  # noqa: N818 - said as what it is
    """The journal has something of that account and time already; the text is for people."""


class Brought(Struct):
    """What was brought in. first, last: moments, seconds since 1970."""

    account: str
    looks: int = 0
    segments: int = 0
    first: float = inf
    last: float = -inf


def owner_of(path: Path) -> str | None:
    """The account of an exact export; None: it is a file of replies. Raises OSError, BadInput."""
    first = next(Lines(path).read(lambda _: None), b"")
    try:
        head = _object(first)
    except BadInput:
        return None
    if "recording" not in head:
        return None
    if head["recording"] != FORMAT or not isinstance(account := head.get("account"), str):
        raise BadInput(f"{path.name}:1: a newer riskbot has written it, or it is no export")
    return account


def replies(db: Path, account: str, path: Path, skip: Skip, tell: Tell) -> Brought:
    """Bring in a file of replies. Raises OSError, BadInput, StoreError, Overlaps."""
    file, found, recorder = Replies(path), _Found(), Recorder(account, "")
    player = Player(account, (), (), poll_every=file.pace or 1.0, store=found, recorder=recorder)
    with _Desk(db, account) as desk:
        for count, entry in enumerate(file.entries(skip), 1):
            at_once(player.play(entry))
            if not count % AT_ONCE:
                desk.write(found.taken(recorder))
                tell(file.part)
        desk.write(found.taken(recorder))
        return desk.done(file.name)


class _Found(MemoryStore):
    """The player's store: what comes to be written down."""

    def __init__(self) -> None:
        super().__init__()
        self._batches: list[Batch] = []

    async def commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: Any = (),
        events: Any = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Only the newest value is kept."""
        del messages, events
        self._batches += batches
        return await super().commit(account, rev, commit_id, value)

    def taken(self, recorder: Recorder) -> list[Batch]:
        """All that came together; it is given once."""
        rest = recorder.sealed()
        recorder.written(rest)
        found, self._batches = [*self._batches, *rest], []
        return found


def exact(db: Path, path: Path, skip: Skip, tell: Tell) -> Brought:
    """Bring in an exact export. Raises OSError, BadInput, StoreError, Overlaps."""
    account, file = owner_of(path) or "", Lines(path)
    with _Desk(db, account) as desk:
        batches: list[Batch] = []
        for number, line in enumerate(file.read(skip), 1):
            try:
                _take(_object(line), account, batches, desk)
            except BadInput as error:
                skip(BadInput(f"{file.name}:{number}: {error}"))
            if not number % AT_ONCE:
                desk.write(batches)
                tell(file.part)
                batches.clear()
        desk.write(batches)
        return desk.done(file.name)


def _take(found: dict[str, Any], account: str, batches: list[Batch], desk: _Desk) -> None:
    """One line. Raises BadInput."""
    try:
        match found:
            case {"batch": dict(fields)}:
                data = b64decode(fields.pop("data", ""), validate=True)
                instructions(data)
                batches.append(msgspec.convert({**fields, "account": account, "data": data}, Batch))
            case {"bundle": dict(fields)}:
                desk.bundles.append(msgspec.convert(fields, Kept))
            case {"event": dict(fields)}:
                desk.events.append(msgspec.convert({**fields, "account": account}, Event, strict=False))
            case {"recording": _}:
                pass
            case _:
                raise BadInput("a line of an exact export is one of batch, bundle, event")
    except (msgspec.MsgspecError, binascii.Error, TypeError) as error:
        raise BadInput(f"damaged: {error}") from None
    except ValueError as error:
        raise BadInput(str(error)) from None


def _object(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise BadInput("not a JSON object" + ("" if line.endswith(b"\n") else ": the line is cut off")) from None


class _Desk:
    """Writes into a journal; what was written is taken back if the rest does not come.

    bundles, events: written at the end.
    """

    def __init__(self, db: Path, account: str) -> None:
        if not db.exists():
            SqliteFile(db, MIGRATIONS, 0.1).close()
        self.bundles: list[Kept] = []
        self.events: list[Event] = []
        self._db, self._account = db, account
        self._keys: Iterator[int] | None = None
        self._names: dict[str, None] = {}
        self._brought = Brought(account)
        with visit(db, writing=False) as there:
            known = recording.segments(there, account)
        self._from = min((segment.first for segment in known), default=inf)
        self._to = max((segment.last for segment in known), default=-inf)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(StoreError):
                self._take_back()

    def write(self, batches: list[Batch]) -> None:
        """In one transaction. Raises Overlaps, StoreError."""
        if not batches:
            return
        for batch in batches:
            self._mind(batch)
        with visit(self._db, writing=True) as db:
            if self._keys is None and self._brought.last < self._from:
                self._keys = recording.earlier(db, self._account)
            recording.record(db, batches, self._keys)

    def done(self, name: str) -> Brought:
        """The rest, and what was brought in all. Raises BadInput if that is nothing."""
        if not self._brought.looks:
            raise BadInput(f"{name}: there is nothing in it that could be brought in")
        with visit(self._db, writing=True) as db:
            for kept in self.bundles:
                recording.remember_bundle(db, kept)
            past.remember(db, self.events)
        return self._brought

    def _mind(self, batch: Batch) -> None:
        if batch.last >= self._from and batch.first <= self._to:
            raise Overlaps(f"the journal has something of {self._account} in that time already")
        self._names[batch.segment] = None
        all_of = self._brought
        all_of.looks += batch.looks
        all_of.segments = len(self._names)
        all_of.first, all_of.last = min(all_of.first, batch.first), max(all_of.last, batch.last)

    def _take_back(self) -> None:
        with visit(self._db, writing=True) as db:
            for segment in recording.segments(db, self._account):
                if segment.name in self._names:
                    recording.forget(db, segment.key)
