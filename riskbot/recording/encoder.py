"""From entries to batches."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import AccountInfo, Observation, Outage
from riskbot.recording import wire
from riskbot.recording.entries import (
    Adopted,
    Again,
    Batch,
    Checkpoint,
    Drained,
    Entry,
    Learnt,
    Look,
    Shifted,
    Started,
    Taken,
)
from riskbot.recording.tables import Tables, plain
from riskbot.snapshot import Snapshot

_NOTHING: tuple[Outage | None, AccountInfo | None, float | None] = (None, None, None)


class Encoder:
    """Turns the entries of one account into batches. Each costs as much as has changed since the one before.

    life: no other encoder of the account ever has the same. A `Started` and a `Checkpoint` begin a segment; the first
    entry of all must be one of them.
    """

    def __init__(self, account: str, life: str) -> None:
        self.account = account
        self.opened = 0.0
        """When the present segment began."""
        self.size = 0
        """Bytes in it so far, not compressed."""
        self._life, self._segments, self._index = life, 0, 0
        self._alone = False
        self._ready: list[Batch] = []
        self._pieces: list[bytes] = []
        self._first = self._last = 0.0
        self._looks = 0
        self._reset()

    def _reset(self) -> None:
        self._moment = 0.0
        self._context = _NOTHING
        self._tables = Tables()
        self._fetched_at = 0.0

    def add(self, entry: Entry) -> None:
        """Write it down."""
        match entry:
            case Look(seen):
                self._look(seen)
            case Again(seen):
                self._mind(seen)
                self._put(seen.at, wire.Once(self._since(seen.at)))
            case Adopted(seen, bundle):
                self._mind(seen)
                self._put(seen.at, wire.Changed(self._since(seen.at), bundle))
            case Drained(at, seen):
                self._put(at, wire.Saved(self._since(at), wire.packed(seen, self._fetched_at)))
            case Shifted(at, seconds):
                self._put(at, wire.Ahead(self._since(at), seconds))
            case Learnt(at, uid, gate):
                self._put(at, wire.Facts(self._since(at), uid, gate))
            case Taken(at, alerts):
                self._put(at, wire.Theirs(self._since(at), alerts))
            case Started(at, alerts, seen, bundle):
                self._open(at)
                self._put(at, wire.Begin(at, alerts, seen, bundle))
            case Checkpoint():
                self._mark(entry)

    def seal(self, points: Sequence[Point] = (), seen: float = 0.0) -> list[Batch]:
        """The batches that have come together. The last one has the points, to be written with it."""
        self._cut()
        ready, self._ready = self._ready, []
        if ready:
            ready[-1] = replace(ready[-1], points=tuple(points), seen=seen)
        return ready

    def drop(self) -> None:
        """What was added and not sealed did not happen. The next entry must begin a segment."""
        self._ready, self._pieces, self._looks = [], [], 0
        self.opened, self._alone = 0.0, True

    # Segments and batches.

    def _open(self, at: float) -> None:
        self._cut()
        self._reset()
        self._segments += 1
        self._index, self.opened, self.size, self._alone = 0, at, 0, False
        self._moment = at

    @property
    def _segment(self) -> str:
        return f"{self._life}.{self._segments}"

    def _cut(self) -> None:
        """What has come together is a batch."""
        if not self._pieces:
            return
        data = wire.joined(self._pieces)
        batch = Batch(self.account, self._segment, self._index, self._first, self._last, self._looks, data)
        self._ready.append(batch)
        self._index += 1
        self.size += len(data)
        self._pieces, self._looks = [], 0

    def _put(self, at: float, instruction: wire.Instruction) -> None:
        if not self._pieces:
            self._first = at
        self._pieces.append(wire.encode(instruction))
        self._last = at

    # Entries.

    def _mark(self, entry: Checkpoint) -> None:
        self._cut()
        before, index = ("", 0) if self._alone else (self._segment, self._index)
        reply = None
        self._open(entry.at)
        if entry.snapshot is not None:
            self._tables.lay_out(entry.snapshot.raw)
            reply, self._fetched_at = plain(entry.snapshot.raw), entry.snapshot.fetched_at
        self._put(entry.at, wire.Mark(entry.at, before, index, entry.alerts, entry.bundle, reply, self._fetched_at))

    def _look(self, seen: Observation) -> None:
        self._mind(seen)
        self._looks += 1
        if seen.snapshot is None:
            self._put(seen.at, wire.Still(self._since(seen.at)))
        else:
            self._reply(seen.snapshot, seen.at)

    def _reply(self, snapshot: Snapshot, at: float) -> None:
        if not self._tables.fit(snapshot.raw):
            self._put(at, self._tables.lay_out(snapshot.raw))
        slots, values = self._tables.changes(snapshot.raw)
        self._fetched_at = snapshot.fetched_at
        when = self._since(snapshot.fetched_at)
        self._put(at, wire.Seen(when, wire.packed(at, snapshot.fetched_at), slots, values))

    def _mind(self, seen: Observation) -> None:
        """What it was seen with, if that is not the same as before."""
        before = self._context
        if seen.outage != before[0] or seen.info is not before[1] or seen.max_gap != before[2]:
            self._context = (seen.outage, seen.info, seen.max_gap)
            self._put(seen.at, wire.Context(*self._context))

    def _since(self, at: float) -> wire.When:
        before, self._moment = self._moment, at
        return wire.packed(at, before)
