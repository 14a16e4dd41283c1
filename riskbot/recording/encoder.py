"""From entries to batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, count
from operator import ne, sub
from typing import Any

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
        self._tables = _Tables()
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
            reply, self._fetched_at = _plain(entry.snapshot.raw), entry.snapshot.fetched_at
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


class _Tables:
    """The last reply: for each of its tables the keys, and the values in their slots."""

    def __init__(self) -> None:
        self._keys: list[list[str]] = [[]]
        self._values: list[list[Any]] = [[]]
        self._odd: list[list[int]] = [[]]
        """Where something stands that is no text: 1 == 1.0 == True, but they are not the same."""
        self._names: list[str] = []

    def fit(self, raw: dict[str, Any]) -> bool:
        """Has this reply the same tables with the same keys, in the same order?"""
        rows = raw["details"]
        return self._names == [row["ccy"] for row in rows] and self._keys == [[*raw], *map(list, rows)]

    def lay_out(self, raw: dict[str, Any]) -> wire.Layout:
        """Go over to the tables of this reply; what is new has its values with it."""
        old, keys, names = self._values, self._keys, {name: i for i, name in enumerate(self._names, 1)}
        rows: list[dict[str, Any]] = raw["details"]
        self._names = [row["ccy"] for row in rows]
        self._keys = [[*raw], *map(list, rows)]
        # For each table its place in the reply before; 0: there was none of that name, or it had other keys.
        places = [names.get(name, 0) for name in self._names]
        kept = [place if keys[place] == self._keys[i] else 0 for i, place in enumerate(places, 1)]
        same = keys[0] == self._keys[0]
        self._values = [old[0] if same else [*_top(raw).values()]]
        self._values += [old[place] if place else [*row.values()] for place, row in zip(kept, rows, strict=True)]
        self._odd = [_odd(values) for values in self._values]
        tables = [place - 1 if place else _plain(row) for place, row in zip(kept, rows, strict=True)]
        return wire.Layout(None if same else _plain(_top(raw)), tables)

    def changes(self, raw: dict[str, Any]) -> tuple[list[int], list[Any]]:
        """The slots that hold something else now, and what."""
        slots, found, left, first = list[int](), list[Any](), list[Any](), 0
        for i, table in enumerate((_top(raw), *raw["details"])):
            now, before = [*table.values()], self._values[i]
            moved = [*compress(count(), map(ne, now, before))] if now != before else []
            for slot in self._odd[i]:
                if now[slot] is not before[slot] and slot not in moved and repr(now[slot]) != repr(before[slot]):
                    moved = sorted([*moved, slot])
            if moved:
                self._values[i] = now
                for slot in moved:
                    slots.append(first + slot)
                    found.append(now[slot])
                    left.append(before[slot])
            first += len(now)
        if not {*map(type, found), *map(type, left)} <= _TEXT:
            self._odd = [_odd(values) for values in self._values]
            found = [_plain(value) for value in found]
        return [*map(sub, slots, [0, *slots])], found


_TEXT = {str}


def _top(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key != "details"}


def _odd(values: list[Any]) -> list[int]:
    return [i for i, value in enumerate(values) if type(value) is not str]


_PLAIN = (str, bool, float, type(None))
_BIGGEST = 2**63


def _plain(value: Any) -> Any:
    """As JSON has it. What a plugin's source puts in besides is judged as malformed; so is what it becomes here."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if abs(value) < _BIGGEST else str(value)  # which is judged the same
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return [kind.__name__, str(value)]
