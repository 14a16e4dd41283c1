"""Fields as they were recorded: part of a file of replies, poll by poll. `replay/replies.py` has its form."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from riskbot.playback import Failure, Reply
from riskbot.replay.replies import BadInput, Replies
from riskbot.settings.feeds import Feed, FeedError, Gap, Recording, Value
from riskbot.settings.secrets import reason
from riskbot.snapshot import Snapshot

DAY = 86400.0
STALE = 5.0
"""Seconds, or three polls: then what was recorded last is not true any more, and nothing is seen."""


class Recorded:
    """A file of replies, read whole."""

    def __init__(self, path: Path) -> None:
        """Raises FeedError, which says at which line."""
        self._path = path
        try:
            found = [entry for entry in Replies(path).entries(_refuse) if isinstance(entry, Reply | Failure)]
        except OSError as error:
            raise FeedError(f"can't read {path}: {reason(error)}") from None
        except BadInput as error:
            raise FeedError(str(error)) from None
        if not found:
            raise FeedError(f"{path} is empty")
        self._times = [entry.at for entry in found]
        self._replies = [entry.snapshot if isinstance(entry, Reply) else None for entry in found]

    def values(self, feed: Feed, part: Recording, polls: int, every: float) -> tuple[Value, ...]:
        """What the field was in that part, poll by poll. Raises FeedError if nothing was recorded then."""
        start = self._times[0] // DAY * DAY + part.start
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


def _refuse(error: BadInput) -> NoReturn:
    raise error


def _said(snapshot: Snapshot, feed: Feed) -> Value:
    rows: Iterator[dict[str, Any]] = (row for row in snapshot.details if row["ccy"] == feed.ccy)
    place = next(rows, None) if feed.ccy else snapshot.raw
    if place is None:
        return Gap.GONE
    raw = place.get(feed.path.removeprefix("details."))
    if raw is None:
        return Gap.MISS
    return Gap.NA if raw == "" else str(raw).lower() if isinstance(raw, bool) else str(raw)
