"""From batches to entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from riskbot.model import AccountInfo, Observation, Outage
from riskbot.recording import wire
from riskbot.recording.entries import (
    Adopted,
    Again,
    BadRecording,
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


def decode(batches: Iterable[Batch], skip_bad: Callable[[BadRecording], None] | None = None) -> Iterator[Entry]:
    """The entries of one account's batches, given in the order in which they were made.

    skip_bad: told of each part that can't be read; it is left out, and reading goes on with the next segment, whose
    `Checkpoint` then says that it `resumes`. None: raises BadRecording there.
    """
    reader = _Reader(skip_bad or _refuse)
    for batch in batches:
        yield from reader.read(batch)


def _refuse(error: BadRecording) -> None:
    raise error


_Later = wire.Still | wire.Once | wire.Changed | wire.Ahead | wire.Saved | wire.Theirs | wire.Facts


class _Reader:
    """Reads batch after batch."""

    def __init__(self, bad: Callable[[BadRecording], None]) -> None:
        self._bad = bad
        self._due: tuple[str, int] | None = None
        """Segment and index of the batch that goes on from here; None: only one that begins a segment will do."""
        self._first = True
        self._begin(0.0)

    def _begin(self, at: float) -> None:
        """As the encoder does where a segment begins."""
        self._moment, self._fetched_at = at, 0.0
        self._outage: Outage | None = None
        self._info: AccountInfo | None = None
        self._max_gap = 0.0
        self._keys: list[str] = []
        self._tables: list[dict[str, Any]] = [{}]
        self._places: list[tuple[int, str]] = []

    def read(self, batch: Batch) -> list[Entry]:
        """The entries of the next batch; none if it can't be read."""
        here = (batch.segment, batch.index)
        if batch.index and here != self._due:
            if self._due is not None or self._first:
                self._give_up(batch, "the part before it is lost")
            return []
        try:
            instructions = wire.instructions(batch.data)
            self._mind_hole(batch, instructions[0])
            entries = [entry for step in instructions if (entry := self._entry(step)) is not None]
        except (ValueError, LookupError, TypeError) as error:
            self._give_up(batch, str(error))
            return []
        self._due, self._first = (batch.segment, batch.index + 1), False
        return entries

    def _give_up(self, batch: Batch, why: str) -> None:
        """All until the next segment."""
        self._due, self._first = None, False
        when = datetime.fromtimestamp(batch.first, UTC)
        self._bad(BadRecording(f"{batch.account}: the recording from {when:%Y-%m-%d %H:%M:%S} on can't be read: {why}"))

    def _mind_hole(self, batch: Batch, first: wire.Instruction) -> None:
        """The end of the segment before may be lost."""
        if isinstance(first, wire.Mark) and self._due not in (None, (first.segment, first.index)):
            self._due = None
            if first.segment:
                self._give_up(batch, "the part before it is lost")

    # Entries.

    def _entry(self, step: wire.Instruction) -> Entry | None:
        """What it says; None: it is about what follows."""
        match step:
            case wire.Seen():
                return Look(self._observation(self._later(step), self._reply(step)))
            case wire.Context():
                self._outage, self._info, self._max_gap = step.outage, step.info, step.max_gap
                return None
            case wire.Layout():
                self._lay_out(step)
                return None
            case wire.Begin() | wire.Mark():
                return self._opened(step)
            case _:
                return self._step(step)

    def _opened(self, step: wire.Begin | wire.Mark) -> Entry:
        resumes = self._due is None
        self._begin(step.at)
        if isinstance(step, wire.Begin):
            return Started(step.at, step.alerts, step.seen, step.bundle)
        snapshot = None
        if step.reply is not None:
            self._fetched_at = step.fetched_at
            self._lay_out(wire.Layout(step.reply, [*step.reply["details"]]))
            snapshot = Snapshot(step.reply, step.fetched_at)
        return Checkpoint(step.at, step.alerts, step.bundle, snapshot, resumes)

    def _step(self, step: _Later) -> Entry:  # noqa: PLR0911 - one for each
        self._moment = at = wire.unpacked(step.when, self._moment)
        match step:
            case wire.Still():
                return Look(self._observation(at))
            case wire.Once():
                return Again(self._observation(at))
            case wire.Changed():
                return Adopted(self._observation(at), step.bundle)
            case wire.Ahead():
                return Shifted(at, step.seconds)
            case wire.Saved():
                return Drained(at, wire.unpacked(step.seen, self._fetched_at))
            case wire.Theirs():
                return Taken(at, step.alerts)
            case wire.Facts():
                return Learnt(at, step.uid, step.gate)

    def _observation(self, at: float, snapshot: Snapshot | None = None) -> Observation:
        return Observation(at, snapshot, self._outage, self._info, self._max_gap)

    def _later(self, step: wire.Seen) -> float:
        """When the reply was looked at."""
        self._moment = self._fetched_at = wire.unpacked(step.when, self._moment)
        return wire.unpacked(step.later, self._fetched_at)

    # Replies.

    def _lay_out(self, step: wire.Layout) -> None:
        top = self._tables[0] if step.top is None else step.top
        rows = [self._tables[row + 1] if isinstance(row, int) else row for row in step.rows]
        self._tables = [{key: value for key, value in top.items() if key != "details"}, *rows]
        self._places = [(i, key) for i, table in enumerate(self._tables) for key in table]

    def _reply(self, step: wire.Seen) -> Snapshot:
        """The reply: tables that have not changed are the very same as in the one before."""
        tables, places, old = self._tables, self._places, -1
        if step.slots:
            tables = self._tables = [*tables]
        for slot, value in zip(accumulate(step.slots), step.values, strict=True):
            i, key = places[slot]
            if i != old:  # slots are in order
                old, tables[i] = i, tables[i].copy()
            tables[i][key] = value
        return Snapshot({**tables[0], "details": tables[1:]}, self._fetched_at)
