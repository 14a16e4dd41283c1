"""Judges again what was recorded, by the rules that judged it, and compares what comes of it with what was committed.

The same observer and judge run as in the watch; a start is a start, a reload a reload. What they commit must be the
same, byte for byte. Rules of a plugin are asked each time: one that was left alone for a while, since it took too long,
may say something else here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from riskbot import rulebook
from riskbot.history import Point
from riskbot.model import Alerts, Event
from riskbot.playback import at_once
from riskbot.recording import (
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
    decode,
    moment_of,
    points_only,
)
from riskbot.rules import Rule, longest_window
from riskbot.service.journal import KEEP_PAST, PRUNE_EVERY
from riskbot.service.judge import Judge
from riskbot.service.observer import Observer
from riskbot.store import State, archive
from riskbot.store.memory import MemoryStore


class Difference(Struct, frozen=True):
    """Something that was judged otherwise. recorded, replayed: an event, as JSON; "": there was none.

    doubtful: the windows of some rules were begun before the recording, so that nobody knows what was in them.
    """

    at: float
    recorded: str
    replayed: str
    doubtful: bool = False


class Verdict(Struct, frozen=True):
    """What came of it.

    looks, events: how many were judged, and how many compared. strayed: moments at which the alerts were others than
    they had been.
    """

    looks: int
    events: int
    differences: tuple[Difference, ...]
    strayed: tuple[float, ...] = ()

    @property
    def exact(self) -> bool:
        """Was everything that can be known judged the same?"""
        return not self.strayed and all(difference.doubtful for difference in self.differences)


Rules = Callable[[str], Sequence[Rule]]
"""The rules of a configuration, by its hash."""


def verify_stored(
    path: Path, account: str, kinds: Mapping[str, type[Rule]], advance: Callable[[int], None] = lambda _: None
) -> Verdict:
    """Judge all again that a database has of an account; it may be in use. Raises StoreError, BadRecording.

    kinds: those of the rules. advance: told after each segment how many looks it had. Raises ValueError for rules that
    can't be validated any more.
    """
    segments = archive.segments(path, account)
    if not segments:
        return Verdict(0, 0, ())
    rules = rules_kept(path, account, kinds)

    def batches() -> Iterator[Batch]:
        for segment in segments:
            yield from archive.batches(path, [segment])
            advance(segment.looks)

    def events() -> Iterator[Event]:  # asked for last: meanwhile there may be more of them
        yield from archive.events(path, account, first)

    first = min(segment.first for segment in segments)
    before = archive.points(path, account, first - KEEP_PAST, first)
    return verify(account, decode(batches()), rules, events(), before)


def rules_kept(path: Path, account: str, kinds: Mapping[str, type[Rule]]) -> Rules:
    """By what rules an account was judged, as a database remembers it. Raises StoreError.

    What it gives raises ValueError for what is not remembered, or can't be validated any more.
    """
    books = {kept.hash: rulebook.read(kept.bundle) for kept in archive.kept(path)}

    def rules(bundle: str) -> list[Rule]:
        if bundle not in books:
            raise ValueError(f"the configuration {bundle} is not remembered any more")
        return books[bundle].rules_of(account, kinds)

    return rules


def verify(
    account: str, entries: Iterable[Entry], rules: Rules, events: Iterable[Event], before: Iterable[Point] = ()
) -> Verdict:
    """Judge an account's entries again. Raises what `rules` raises.

    events: those that were committed, asked for at the end; what lies outside the time of the entries is left out.
    before: points of its past from before the first entry.
    """
    rerun = Rerun(account, rules, before)
    began = None
    for entry in entries:
        began = moment_of(entry) if began is None else began
        rerun.play(entry)
    if began is None:
        return Verdict(0, 0, ())
    recorded = [event for event in events if began <= event.at <= rerun.now]
    differences = tuple(_differences(recorded, rerun.events, rerun.sure_from))
    return Verdict(rerun.looks, len(recorded), differences, tuple(rerun.strayed))


def _differences(recorded: Iterable[Event], replayed: Iterable[Event], sure_from: float) -> Iterator[Difference]:
    then, now = (
        {_key(event): msgspec.json.encode(event).decode() for event in events} for events in (recorded, replayed)
    )
    for key in sorted({*then, *now}):
        if then.get(key) != now.get(key):
            yield Difference(key[0], then.get(key, ""), now.get(key, ""), doubtful=key[0] < sure_from)


def _key(event: Event) -> tuple[float, str, str, int, int]:
    return event.at, event.rule, event.subject, event.episode, event.seq


class Rerun:
    """One account, judged again. events: what came of it, so far. observer, judge: those of now."""

    def __init__(self, account: str, rules: Rules, before: Iterable[Point] = ()) -> None:
        self.account = account
        self.events: list[Event] = []
        self.now = 0.0
        self.looks = 0
        self.strayed: list[float] = []
        """Checkpoints at which the alerts were others than they had been."""
        self.sure_from = 0.0
        """Before that some windows are not known."""
        self._rules = rules
        self._before = list(before)
        self._prune_due = 0.0
        self._store = MemoryStore()
        self._begin("")

    @property
    def alerts(self) -> Alerts:
        """As they are by now."""
        return self.judge.alerts

    @property
    def points(self) -> Iterable[Point]:
        """What is written down of the past by now."""
        return self._store.points

    def play(self, entry: Entry) -> None:
        """What happened next."""
        at_once(self._play(entry))
        self.now = max(self.now, moment_of(entry))

    async def _play(self, entry: Entry) -> None:
        match entry:
            case Look(seen):
                self.looks += 1
                await self.observer.look(seen)
            case Again(seen):
                await self.observer.look_again(seen)
            case Drained(at, seen):
                await self._drain(at, seen)
            case Shifted(at, seconds):
                self.observer.shift(at, seconds)
            case Adopted(seen, bundle):
                await self.observer.use(self._rules(bundle), (), self._store, seen)
            case Learnt(at, uid, gate):
                await self.observer.learn(at, uid, gate)
            case Taken(at, alerts):
                self._put(alerts)
                await self.judge.take_up(at)
            case Started():
                await self._start(entry)
            case Checkpoint():
                await self._check(entry)

    def _begin(self, bundle: str) -> None:
        rules = self._rules(bundle) if bundle else ()
        self.judge = Judge(self.account, rules, (), self._store, lambda _: None, heard=self.events.append)
        self.observer = Observer(self.judge)

    def _put(self, alerts: Alerts) -> None:
        """What the judge loads."""
        before = self._store.states.get(self.account, State())
        self._store.states[self.account] = State(msgspec.json.encode(alerts), before.rev + 1, "recorded")

    async def _start(self, entry: Started) -> None:
        unknown = not self.now and entry.seen and not self._before
        await self._seed(entry.at, entry.seen)
        self._begin(entry.bundle)
        self._put(entry.alerts)
        await self.observer.load(self._store, entry.at)
        if unknown:
            self._mind_windows(entry.at)

    async def _seed(self, at: float, seen: float) -> None:
        """At the very first: the past from before."""
        if self.now:
            return
        await self._store.record([points_only(self.account, self._before, seen)] if seen else [])
        self._prune_due = at + PRUNE_EVERY

    async def _check(self, entry: Checkpoint) -> None:
        if entry.resumes:
            await self._resume(entry)
        elif _judged(self.judge.alerts) != _judged(entry.alerts):
            if entry.at >= self.sure_from:
                self.strayed.append(entry.at)
            self._put(entry.alerts)
            await self.judge.take_up(entry.at)

    async def _resume(self, entry: Checkpoint) -> None:
        """In the midst of a life: of its windows only what was written down is known."""
        last = entry.snapshot
        await self._seed(entry.at, last.fetched_at if last else 0.0)
        self._begin(entry.bundle)
        self._put(entry.alerts)
        await self.observer.resume(self._store, entry.at, last)
        self._mind_windows(entry.at)

    def _mind_windows(self, at: float) -> None:
        """What was in them before is not known."""
        if longest := longest_window(self.judge.rules):
            self.sure_from = at + longest

    async def _drain(self, at: float, seen: float) -> None:
        await self._store.record(self.observer.drained(at, seen))
        if at >= self._prune_due:
            self._prune_due = at + PRUNE_EVERY
            await self._store.prune(at - KEEP_PAST)


def _judged(alerts: Alerts) -> tuple[object, ...]:
    """What judging made of them; whom they were told is another matter."""
    return alerts.alerts, alerts.blind, alerts.seen, alerts.exposed, alerts.uid, alerts.gate
