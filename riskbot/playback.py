"""Plays what was once seen of an account through the very observer and judge that watch it live. No clock, no network.

Every receiver takes every message at once: what couriers do with a message (milder ones of one moment share one, those
that fail are tried again) is not played.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from msgspec import Struct

from riskbot import recording
from riskbot.delivery import Receiver
from riskbot.history import Point
from riskbot.model import AccountInfo, Event, Observation, View
from riskbot.recording import Again, Batch, Checkpoint, Drained, Learnt, Look, Shifted, Started, points_only
from riskbot.rules import Measured, Rule, longest_window, measure
from riskbot.service.judge import Judge
from riskbot.service.observer import Observer
from riskbot.service.recorder import Unrecorded
from riskbot.service.sight import Sight
from riskbot.service.watch import BACK_OFF_TO, TURN_DEADLINE
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError
from riskbot.store import Message
from riskbot.store.memory import MemoryStore

ASKED_WITHIN = BACK_OFF_TO + TURN_DEADLINE
"""Seconds in which the watch asks again, whatever has failed. After a longer silence nobody was watching."""


class Reply(Struct, frozen=True):
    """The exchange answered, at the moment when the snapshot was taken in."""

    snapshot: Snapshot

    @property
    def at(self) -> float:
        """When."""
        return self.snapshot.fetched_at


class Failure(Struct, frozen=True):
    """A poll failed."""

    at: float
    error: SourceError


class Known(Struct, frozen=True):
    """The account's configuration was read."""

    at: float
    info: AccountInfo


Entry = Reply | Failure | Known | recording.Entry
"""What may have happened to an account: a file of replies has the first three, the journal of a riskbot the others."""


def moment_of(entry: Entry) -> float:
    """When it happened."""
    return entry.at if isinstance(entry, Reply | Failure | Known) else recording.moment_of(entry)


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Do it without an event loop: nothing here waits for anything."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("playback would have to wait")


def _ignore(_: Any) -> None:
    """Nobody listens."""


class Player:
    """One account, and what its rules make of what is played.

    poll_every: seconds between two polls, as it was watched. ask: how a rule is asked. heard: told of each change of
    an alert. told: of each message.
    """

    def __init__(
        self,
        account: str,
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        *,
        poll_every: float = 1.0,
        ask: Callable[[Rule, View], Measured] = measure,
        heard: Callable[[Event], None] = _ignore,
        told: Callable[[Message], None] = _ignore,
        store: MemoryStore | None = None,
        recorder: Unrecorded | None = None,
    ) -> None:
        """store: where the state is kept; None: in memory. recorder: writes down what is played; None: nobody does."""
        self.account, self.rules, self.receivers, self.poll_every = account, rules, receivers, poll_every
        self.store, self._recorder = store or Capture(told), recorder
        self._ask, self._heard = ask, heard
        self._info: AccountInfo | None = None
        self.blind = False
        """At the last look nothing was seen."""
        self._failed_at = self._now = 0.0
        self._plays: dict[type, Callable[[Any], Coroutine[Any, Any, None]]] = {
            Reply: self._reply,
            Failure: self._failure,
            Known: self._known,
            Look: self._look,
            Again: self._again,
            Started: self._started,
            Checkpoint: self._checkpoint,
            Learnt: self._learnt,
            Shifted: self._shifted,
            Drained: self._drained,
        }
        self._begin()
        self._began = False

    def _begin(self) -> None:
        self.judge = Judge(
            self.account, self.rules, self.receivers, self.store, _ignore, heard=self._heard, recorder=self._recorder
        )
        self.observer = Observer(self.judge, self._ask)
        self.sight = Sight(self.poll_every)

    @property
    def stands(self) -> float:
        """Seconds for which a poll that has failed stands, if nothing else is said."""
        return ASKED_WITHIN if self.sight.failures else 0.0

    async def seed(self, points: Sequence[Point], seen: float) -> None:
        """Before all else: what is known of the past of watched fields, and when the account was last seen."""
        await self.store.record([points_only(self.account, points, seen)])

    async def start(self, at: float) -> None:
        """The watch begins, or begins again, with what it remembers."""
        self._began = True
        self._begin()
        seen = await self.observer.load(self.store, at)
        self.sight = Sight(self.poll_every, max(seen, self.judge.alerts.seen), ever_seen=seen > 0)

    async def save(self, at: float, seen: float) -> None:
        """The past is written down: a restart takes up its windows from there. seen: when the account was last seen."""
        await self.store.record(self.observer.drained(at, seen))
        await self.store.prune(at - longest_window(self.judge.rules))

    async def play(self, entry: Entry) -> None:
        """What happened next. The rules are the player's own, whatever was in force."""
        if not self._began:
            await self.start(moment_of(entry))
        if play := self._plays.get(type(entry)):
            await play(entry)

    async def _started(self, entry: Started) -> None:
        await self.start(entry.at)

    async def _look(self, entry: Look) -> None:
        await self._see(entry.seen)

    async def _again(self, entry: Again) -> None:
        await self.observer.look_again(entry.seen)

    async def _checkpoint(self, entry: Checkpoint) -> None:
        """What came before it may be lost."""
        if entry.snapshot is not None and entry.snapshot.fetched_at > self.observer.snapshot.fetched_at:
            self.observer.snapshot = entry.snapshot
            self.observer.history.add(entry.snapshot)

    async def _learnt(self, entry: Learnt) -> None:
        await self.observer.learn(entry.at, entry.uid, entry.gate)

    async def _shifted(self, entry: Shifted) -> None:
        self.observer.shift(entry.at, entry.seconds)

    async def _drained(self, entry: Drained) -> None:
        await self.save(entry.at, entry.seen)

    async def _see(self, seen: Observation) -> None:
        self.blind = seen.outage is not None
        await self.observer.look(seen)

    async def _known(self, entry: Known) -> None:
        self._info = entry.info

    async def _reply(self, entry: Reply) -> None:
        now = entry.snapshot.fetched_at
        await self._stay_blind(now)
        if stale := self.sight.stale(entry.snapshot, self.judge.rules):
            await self._failed(now, stale)
            return
        self.sight.answered(now)
        await self._see(self.sight.at(now, entry.snapshot, self._info))

    async def _failure(self, entry: Failure) -> None:
        await self._stay_blind(entry.at)
        await self._failed(entry.at, entry.error)

    async def _failed(self, now: float, error: SourceError) -> None:
        self._failed_at = self._now = now
        self.sight.failed(error)
        await self._see(self.sight.at(now, info=self._info))

    async def _stay_blind(self, until: float) -> None:
        """Between two polls that are far apart, since they fail, blindness grows by the beat."""
        if not self.sight.failures:
            return
        end = min(until - self.poll_every / 2, self._failed_at + ASKED_WITHIN)
        while (beat := self._now + self.poll_every) < end:
            self._now = beat
            await self._see(self.sight.at(beat, info=self._info))


class Capture(MemoryStore):
    """Keeps the state; hands the messages on."""

    def __init__(self, told: Callable[[Message], None]) -> None:
        super().__init__()
        self._told = told

    async def commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: tuple[Message, ...] = (),
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Nothing is kept but the newest value."""
        del events, batches
        for message in messages:
            self._told(message)
        return await super().commit(account, rev, commit_id, value)
