"""The journal of a riskbot, which may be running, as a recording: what its watch saw, with holes as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from riskbot.history import Point
from riskbot.playback import Entry
from riskbot.recording import BadRecording, Batch, decode
from riskbot.replay.replies import BadInput, Skip
from riskbot.store import StoreError, archive
from riskbot.store.sqlite_recording import Segment


class Journal:
    """What a database has of an account between two moments, seconds since 1970. Raises BadInput."""

    knows = True

    def __init__(self, path: Path, account: str, start: float, end: float) -> None:
        self.name, self._path, self._account = path.name, path, account
        self._segments = self._found(start, end)
        self._looks, self._read = sum(segment.looks for segment in self._segments), 0

    def _found(self, start: float, end: float) -> list[Segment]:
        try:
            known = archive.segments(self._path, self._account)
        except StoreError as error:
            raise BadInput(str(error)) from None
        found = [segment for segment in known if segment.last >= start and segment.first <= end]
        if not found:
            why = "in that time" if known else f"of account {self._account!r}"
            raise BadInput(f"{self._path}: nothing was recorded {why}")
        return found

    @property
    def part(self) -> float:
        """How much of it has been read, 0 to 1."""
        return self._read / max(1, self._looks)

    def past(self, span: float) -> list[Point]:
        """What was written down of watched fields in so many seconds before it begins."""
        first = self._segments[0].first
        return archive.points(self._path, self._account, first - span, first)

    def entries(self, skip: Skip) -> Iterator[Entry]:
        """All that happened."""

        def skip_bad(error: BadRecording) -> None:
            skip(BadInput(f"{self._path}: {error}"))

        try:
            yield from decode(self._batches(), skip_bad)
        except StoreError as error:
            skip(BadInput(f"{error}; what comes after is left out"))

    def _batches(self) -> Iterator[Batch]:
        for segment in self._segments:
            yield from archive.batches(self._path, [segment])
            self._read += segment.looks
