"""Reads what was recorded by a riskbot that may be running; part by part, so that it can go on writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from riskbot.history import Point
from riskbot.model import Event
from riskbot.recording import Batch
from riskbot.store import Kept
from riskbot.store import sqlite_past as past
from riskbot.store import sqlite_recording as recording
from riskbot.store.sqlite_recording import Segment
from riskbot.store.visit import visit


def segments(path: Path, account: str = "", since: float = 0.0) -> list[Segment]:
    """What there is, oldest first: see `sqlite_recording.segments`. Raises StoreError."""
    with visit(path, writing=False) as db:
        return recording.segments(db, account, since)


def batches(path: Path, chosen: Iterable[Segment]) -> Iterator[Batch]:
    """Those of these segments, in order. Raises StoreError. A segment that was forgotten meanwhile has none."""
    for segment in chosen:
        with visit(path, writing=False) as db:
            found = list(recording.batches(db, segment))
        yield from found


def kept(path: Path) -> list[Kept]:
    """The configurations that were in force, oldest first. Raises StoreError."""
    with visit(path, writing=False) as db:
        return recording.bundles(db)


def events(path: Path, account: str, since: float) -> list[Event]:
    """An account's events since then, oldest first. Raises StoreError."""
    with visit(path, writing=False) as db:
        return [event for event in past.history(db, since) if event.account == account]


def points(path: Path, account: str, since: float, until: float) -> list[Point]:
    """Its past of watched fields before `until`, with what held at `since`. Raises StoreError."""
    with visit(path, writing=False) as db:
        return [point for point in past.recall(db, account, since)[0] if point.at < until]
