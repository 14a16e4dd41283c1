"""Says unasked what there is to say: at a start that is news, and once a day. Through the outbox, as everything."""

from __future__ import annotations

import hashlib
import logging
import random
from contextlib import suppress
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from riskbot.service import Service
from riskbot.service.almanac import Day
from riskbot.service.bulletins import Daily, Watched, daily, latest, message, start
from riskbot.service.bundle import Bundle
from riskbot.service.clock import steady
from riskbot.store import Fenced, Message, Store

log = logging.getLogger("riskbot")

T = TypeVar("T")

READY_WITHIN = 60.0
"""Seconds after the start in which every account should have been asked once; then what is known is said."""
BLIND = 180.0
"""Seconds that nothing was watched, before the start, that are worth telling."""
LATE = 3600.0
"""Seconds after which a daily message that was due is of no use."""
SAVE_EVERY = 600.0
DAY = 86400.0


class Started(Struct, frozen=True):
    """What is remembered of starts. watched: stands for all that was watched. blind: since when, as last told."""

    watched: str = ""
    blind: float = 0.0


class Remembered(Generic[T]):
    """A value of its own in the store, as an account has one."""

    def __init__(self, store: Store, name: str, blank: T) -> None:
        self._store, self._name, self.value = store, name, blank
        self._rev = 0

    async def load(self) -> None:
        """Take up what was written. What can't be read is as good as nothing."""
        state = await self._store.load(self._name)
        self._rev = state.rev
        if state.value:
            try:
                self.value = msgspec.json.decode(state.value, type=type(self.value))
            except msgspec.MsgspecError:
                log.error("what is remembered as %s can't be read; beginning anew", self._name)  # noqa: TRY400 - known

    async def write(self, value: T, messages: tuple[Message, ...] = ()) -> None:
        """Write it, and messages with it: both or none. Raises Fenced."""
        commit_id = f"{random.getrandbits(64):016x}"
        self._rev = await self._store.commit(self._name, self._rev, commit_id, msgspec.json.encode(value), messages)
        self.value = value


class Crier:
    """Says how riskbot starts, if that is news, and once a day how all is. Kept apart from watching and judging."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service, self._store, self._clock = service, store, service.clock
        self._began = self._clock.now()
        self._started = Remembered(store, "@start", Started())
        self._day = Remembered(store, "@daily", Day())
        self._bundle: Bundle | None = None
        self._save_due = 0.0

    async def load(self) -> None:
        """Take up what was remembered."""
        await self._started.load()
        await self._day.load()
        self._service.almanac.day = self._day.value

    async def run(self) -> None:
        """Until cancelled."""
        await self.load()
        try:
            await steady(self._turn, "crier", self._clock)
        finally:
            with suppress(Fenced):
                await self._save()

    async def _turn(self) -> None:
        self._service.almanac.on = self._service.bundle.daily is not None
        await self._clock.sleep(1.0)
        await self.look()

    async def look(self) -> None:
        """Say what is due. If somebody else has said it meanwhile, theirs counts."""
        try:
            await self._say_what_is_due()
        except Fenced:
            await self.load()

    async def _say_what_is_due(self) -> None:
        """Nothing is, before every account was asked once, or should have been."""
        now, service = self._clock.now(), self._service
        if self._bundle is not service.bundle and (service.vitals.ready() or now - self._began >= READY_WITHIN):
            await self._greet(now, first=self._bundle is None)
            self._bundle = service.bundle
        if service.bundle.daily and self._bundle:
            await self._tell_of_the_day(service.bundle.daily, now)
        if now >= self._save_due:
            await self._save()
            self._save_due = now + SAVE_EVERY

    async def _greet(self, now: float, *, first: bool) -> None:
        """At the start, if it is news. first: else it is a file that was changed since, which is no start."""
        bundle, before = self._service.bundle, self._started.value
        since = self._service.seen_before
        blind = now - since if since and self._began - since > BLIND else 0.0
        after = Started(_stands_for(bundle), since if blind else before.blind)
        if after == before:
            return
        changed = after.watched != before.watched
        words = start(self._watched(now), bundle.receivers, blind, changed=changed)
        receivers = bundle.greeted if first else ()
        await self._write(self._started, after, tuple(message("start", int(now), r, words, now) for r in receivers))

    async def _tell_of_the_day(self, settings: Daily, now: float) -> None:
        day, due = latest(settings, now)
        almanac = self._service.almanac
        if str(day) == almanac.day.told or now - due > LATE:
            return
        watched = self._watched(now)
        self._note_what_stands(watched)
        words = daily(watched, almanac.day, await self._store.history(now - DAY))
        rows = tuple(message("daily", day.toordinal(), receiver, words, now) for receiver in settings.receivers)
        after = almanac.day.next(str(day))
        await self._write(self._day, after, rows)
        almanac.day = after

    def _note_what_stands(self, watched: Watched) -> None:
        """A value that has not moved since yesterday is of today too. What is watched no more is forgotten."""
        almanac = self._service.almanac
        almanac.keep({account: {rule.name for rule in rules} for account, rules in watched.rules.items()})
        for account, watch in self._service.watches.items():
            for rule in watch.judge.rules:
                if not watch.why and rule.name in watch.judge.measured:
                    almanac.note(account, rule, watch.judge.measured[rule.name], watched.now)

    async def _save(self) -> None:
        if self._service.almanac.on:
            await self._day.write(self._service.almanac.day)

    async def _write(self, remembered: Remembered[T], value: T, rows: tuple[Message, ...]) -> None:
        await remembered.write(value, rows)
        for row in rows:
            self._service.wake(row.receiver)

    def _watched(self, now: float) -> Watched:
        service = self._service
        rules = {account: watch.judge.rules for account, watch in service.watches.items()}
        found = [(event, judge.say(event)) for judge in service.judges() for event in judge.open(now)]
        return Watched(rules, found, service.vitals.reasons(now), now)


def _stands_for(bundle: Bundle) -> str:
    """The same as long as the same is watched in the same way. Secrets are no part of it."""
    return hashlib.sha256(repr((bundle.accounts, bundle.rules, bundle.receivers)).encode()).hexdigest()[:16]
