"""Fields as they were recorded: a file with one reply a line, `{"t": milliseconds since 1970, "body": {…}}`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from riskbot.builtin import okx
from riskbot.settings.feeds import Feed, FeedError, Gap, Recording, Value
from riskbot.settings.secrets import reason
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError

DAY = 86400.0
STALE = 5.0
"""Seconds, or three polls: then what was recorded last is not true any more, and nothing is seen."""


class Replies:
    """One file."""

    def __init__(self, path: Path) -> None:
        """Raises FeedError, which says at which line."""
        self._path = path
        try:
            lines = path.read_bytes().splitlines()
        except (OSError, ValueError) as error:
            raise FeedError(f"can't read {path}: {reason(error)}") from None
        found = [self._line(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        self._times = [t for t, _ in found]
        self._replies = [reply for _, reply in found]
        if not found:
            raise FeedError(f"{path} is empty")
        for number, (before, after) in enumerate(pairwise(self._times), 2):
            if after < before:
                raise FeedError(f"{path}: reply {number} is older than the one before")

    def _line(self, number: int, line: bytes) -> tuple[float, Snapshot | None]:
        try:
            read: Any = orjson.loads(line)
            return read["t"] / 1000, _seen(read["body"])
        except (ValueError, TypeError, KeyError):
            form = '{"t": milliseconds, "body": {a reply}}'
            raise FeedError(f"{self._path}:{number}: is no {form}") from None

    @cached_property
    def _midnight(self) -> float:
        return self._times[0] // DAY * DAY

    def values(self, feed: Feed, part: Recording, polls: int, every: float) -> tuple[Value, ...]:
        """What the field was in that part, poll by poll. Raises FeedError if nothing was recorded then."""
        start = self._midnight + part.start
        if start + part.end - part.start <= self._times[0]:
            start += DAY
        found = tuple(self._value(feed, start + i * every, max(STALE, 3 * every)) for i in range(polls))
        if all(value is Gap.DOWN for value in found):
            raise FeedError(f"{self._path} has no reply of that time")
        return found

    def _value(self, feed: Feed, at: float, stale: float) -> Value:
        i = bisect_right(self._times, at + 0.0005) - 1
        snapshot = self._replies[i] if i >= 0 and at - self._times[i] < stale else None
        return Gap.DOWN if snapshot is None else _said(snapshot, feed)


def _seen(body: Any) -> Snapshot | None:
    """A good reply; None: it was refused."""
    try:
        return okx.parse(orjson.dumps(body), 200)
    except SourceError:
        return None


def _said(snapshot: Snapshot, feed: Feed) -> Value:
    rows: Iterator[dict[str, Any]] = (row for row in snapshot.details if row["ccy"] == feed.ccy)
    place = next(rows, None) if feed.ccy else snapshot.raw
    if place is None:
        return Gap.GONE
    raw = place.get(feed.path.removeprefix("details."))
    if raw is None:
        return Gap.MISS
    return Gap.NA if raw == "" else str(raw).lower() if isinstance(raw, bool) else str(raw)
