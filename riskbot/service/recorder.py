"""Writes down what an account's alerts are made of, so that they can be judged again."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from riskbot.history import Point
from riskbot.model import Alerts
from riskbot.recording import Adopted, Batch, Checkpoint, Encoder, Entry, Started, moment_of, points_only
from riskbot.service.logbook import About
from riskbot.snapshot import Snapshot

SEGMENT, SEGMENT_BYTES = 1800.0, 1 << 21
"""Seconds and bytes (not compressed) after which a new segment begins: so much is lost at once, or forgotten."""


class Unrecorded:
    """In place of a recorder: for what is only played, or closed. The past for windows is written down all the same."""

    bundle = ""
    """The hash of the configuration in force."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._unwritten: list[Batch] = []

    @contextmanager
    def noting(self, entry: Entry, alerts: Alerts, snapshot: Snapshot | None = None) -> Iterator[None]:
        """Write this down, unless what comes of it raises: then it did not happen.

        alerts, snapshot: as they were just before; None, or never fetched: no reply has come.
        """
        self._note(entry, alerts, snapshot)
        try:
            yield
        except Exception:
            self._drop()
            raise

    def sealed(self, points: Sequence[Point] = (), seen: float = 0.0) -> tuple[Batch, ...]:
        """All that was not written yet, to be written now. Until `written` it is given again: once more does no harm.

        points, seen: of the past, to be written in the same transaction.
        """
        self._unwritten += self._seal(points, seen)
        return tuple(self._unwritten)

    def written(self, batches: Collection[Batch]) -> None:
        """These are in the store."""
        done = {id(batch) for batch in batches}
        self._unwritten = [batch for batch in self._unwritten if id(batch) not in done]

    def _note(self, entry: Entry, alerts: Alerts, snapshot: Snapshot | None) -> None:
        """Nothing is kept."""

    def _drop(self) -> None:
        """Nothing was."""

    def _seal(self, points: Sequence[Point], seen: float) -> list[Batch]:
        return [points_only(self.account, points, seen)] if points or seen else []


class Recorder(Unrecorded):
    """One account's recorder. Nothing that goes wrong in it hinders the watch.

    bundle: the hash of the configuration in force.
    """

    def __init__(self, account: str, bundle: str) -> None:
        super().__init__(account)
        self.bundle = bundle
        self._encoder = Encoder(account, f"{random.getrandbits(48):012x}")
        self._failed = False

    def _note(self, entry: Entry, alerts: Alerts, snapshot: Snapshot | None) -> None:
        try:
            self._mind_segment(entry, alerts, snapshot)
            self._encoder.add(entry)
        except Exception:  # noqa: BLE001 - whatever is wrong, it must not hinder the watch
            if not self._failed:
                About(self.account).exception("what is seen can't be recorded; the watch goes on")
            self._failed = True
            self._drop()
        if isinstance(entry, Started | Adopted):
            self.bundle = entry.bundle

    def _mind_segment(self, entry: Entry, alerts: Alerts, snapshot: Snapshot | None) -> None:
        """Begin a new one if it is time."""
        encoder, at = self._encoder, moment_of(entry)
        due = at - encoder.opened >= SEGMENT or encoder.size >= SEGMENT_BYTES
        if due and not isinstance(entry, Started):
            last = snapshot if snapshot and snapshot.fetched_at else None
            encoder.add(Checkpoint(at, alerts, self.bundle, last))

    def _drop(self) -> None:
        """Go on with a new segment. Of what was not written only the points are left."""
        self._encoder.drop()
        self._unwritten = [
            points_only(self.account, batch.points, batch.seen)
            for batch in self._unwritten
            if batch.points or batch.seen
        ]

    def _seal(self, points: Sequence[Point], seen: float) -> list[Batch]:
        return self._encoder.seal(points, seen) or super()._seal(points, seen)
