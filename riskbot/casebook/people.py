"""The world around a riskbot in a case: an exchange that follows its course, receivers that follow their scripts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import chain, repeat

from msgspec import Struct

from riskbot.casebook.course import Course
from riskbot.casebook.disk import Disk, for_ever
from riskbot.delivery import is_missed
from riskbot.model import AccountInfo
from riskbot.notify import Outcome, Text, Verdict
from riskbot.settings.answers import TAKEN, Answer, Script
from riskbot.settings.cases import What
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError
from riskbot.store import Message

KEY = AccountInfo("1", "3", "case", ("read_only",), ("192.0.2.1",))
"""A key that nothing is wrong with."""


class Exchange:
    """A source that gives the course of a case. looked: told before each poll."""

    def __init__(self, course: Course, looked: Callable[[], None]) -> None:
        self._course, self._looked = course, looked

    async def fetch(self) -> Snapshot:
        """The reply of this moment."""
        self._looked()
        reply = self._course.reply(_now())
        if reply is None:
            raise SourceError("no answer, as the case has it")
        return Snapshot(reply)

    async def info(self) -> AccountInfo:
        """The account's mode of this moment."""
        now = _now()
        if "down" in self._course.gaps(self._course.poll(now)):
            raise SourceError("no answer, as the case has it")
        return AccountInfo(KEY.uid, self._course.mode(now), KEY.label, KEY.permissions, KEY.ips)

    async def close(self) -> None:
        """Nothing is open."""


def _now() -> float:
    return asyncio.get_running_loop().time()


class Heard(Struct, frozen=True, dict=True):
    """One message about one alert, as it arrived. t: seconds of the case. text: with what it shared its way with."""

    t: float
    receiver: str
    message: Message
    text: Text

    @cached_property
    def what(self) -> What:
        """What it says happened: from what its receiver was told before to what it is told now."""
        m = self.message
        untold = [step for step in m.covers if step.episode == m.episode and not step.maybe_sent]
        before = untold[0].before if untold else m.before
        if is_missed(m):
            return What("missed", before=m.peak)
        if m.reminder or before == m.after:
            return What("still", after=m.after)
        if not m.after:
            return What("resolve", before=before)
        if not before:
            return What("fire", after=m.after)
        return What("rise" if m.after > before else "fall", before, m.after)

    @property
    def rule(self) -> str:
        """Which rule it is about."""
        return self._key.rpartition("/")[0]

    @property
    def subject(self) -> str:
        """Which currency, or what else, it is about."""
        return self._key.rpartition("/")[2]

    @property
    def _key(self) -> str:
        return self.message.alert.removeprefix(f"{self.message.account}/")

    @property
    def repeat(self) -> bool:
        """Does it say that it may be a repeat?"""
        return self.message.maybe_sent


Id = tuple[str, float]
"""What tells messages apart: see `riskbot.store.outbox.key`."""


class Ear:
    """What answers at one receiver's address, and what it has heard; it outlives kills."""

    def __init__(self, name: str, script: Script, heard: list[Heard], doubted: Counter[Id]) -> None:
        self.name = name
        self._answers = _answers(script)
        self._heard, self._doubted = heard, doubted

    def follow(self, script: Script) -> None:
        """From now on it answers so."""
        self._answers = _answers(script)

    async def take(self, text: Text, disk: Disk) -> Verdict:
        """One try."""
        await disk.live()
        answer = next(self._answers)
        messages = [message for message in disk.in_flight(self.name) if message.body in text.body]
        if answer.takes is None:
            await for_ever()
        elif answer.takes:
            await asyncio.sleep(answer.takes)
            await disk.live()
        if answer.arrives:
            self._heard += [Heard(_now(), self.name, message, text) for message in messages]
        if answer.verdict.outcome is Outcome.AMBIGUOUS:
            self._doubted.update((message.id, message.at) for message in messages)
        return answer.verdict


def _answers(script: Script) -> Iterator[Answer]:
    turns = (repeat(turn.answer) if turn.tries is None else repeat(turn.answer, turn.tries) for turn in script)
    return chain(chain.from_iterable(turns), repeat(TAKEN))


class Phone:
    """A notifier that reaches an ear."""

    def __init__(self, ear: Ear, disk: Disk) -> None:
        self._ear, self._disk = ear, disk

    async def send(self, text: Text) -> Verdict:
        """What the ear answers."""
        return await self._ear.take(text, self._disk)

    async def close(self) -> None:
        """Nothing is open."""


class World:
    """All of a case that is not riskbot.

    excused: messages that were on their way in a kill, and how often; doubted: those whose answer was lost.
    """

    def __init__(self, course: Course, scripts: Mapping[str, Script]) -> None:
        self.course, self.heard = course, list[Heard]()
        self.excused, self.doubted = Counter[Id](), Counter[Id]()
        self._scripts = scripts
        self._ears: dict[str, Ear] = {}

    def ear(self, name: str) -> Ear:
        """The one of that receiver."""
        if name not in self._ears:
            self._ears[name] = Ear(name, self._scripts.get(name, ()), self.heard, self.doubted)
        return self._ears[name]

    def excuse(self, disk: Disk) -> None:
        """What is in flight now may be sent again."""
        self.excused.update((message.id, message.at) for message in disk.in_flight())
