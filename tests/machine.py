"""A whole riskbot on a table: judge, store and couriers as they are, under a random life.

Values come and go, polls fail, rules change, receivers refuse or leave one guessing, the clock jumps, and the process
is killed before or after any write. `Life` does what it is told and checks the invariants I1 to I12 of the
specification from what was fed in and what was heard, never from what riskbot itself believes.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from riskbot import engine
from riskbot.builtin.threshold import Threshold
from riskbot.delivery import Receiver, about_receiver, seen_by
from riskbot.health import Problems
from riskbot.history import History
from riskbot.model import Alerts, Cause, Event, Outage, Reading, Severity, View
from riskbot.notify import Outcome, Text, Verdict
from riskbot.rules import Measured
from riskbot.service.courier import Courier
from riskbot.service.judge import Judge
from riskbot.snapshot import Snapshot
from riskbot.store import Message
from riskbot.store.memory import MemoryStore
from riskbot.store.outbox import SENDING, WAITING
from tests.desk import Hands

T = TypeVar("T")

ACCOUNT, RULE, SUBJECTS = "main", "r", ("A", "B")
MAX_GAP = 10.0


class Killed(BaseException):
    """kill -9: nothing in the process sees it coming."""


class Write(Struct):
    """What one commit wrote, and what was asked for."""

    value: bytes
    messages: tuple[Message, ...]
    events: tuple[Event, ...]


class Disk(MemoryStore):
    """What outlives a kill. `fuse`: so many writes from now on until the kill; even: before the write, odd: after."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse: int | None = None
        self.writes: list[Write] = []
        self.course: list[Event] = []

    async def _survived(self, write: Coroutine[Any, Any, T]) -> T:
        if self._burn():
            write.close()
            raise Killed
        done = await write
        if self._burn():
            raise Killed
        return done

    def _burn(self) -> bool:
        if self.fuse is None:
            return False
        self.fuse -= 1
        return self.fuse < 0

    async def commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: Any = (),
        events: Any = (),
        batches: Any = (),
    ) -> int:
        async def write() -> int:
            done = await super(Disk, self).commit(account, rev, commit_id, value, messages, events, batches)
            self.writes.append(Write(value, tuple(messages), tuple(events)))
            self.course += events
            return done

        return await self._survived(write())

    async def take(self, *args: Any, **keys: Any) -> list[Message]:
        return await self._survived(super().take(*args, **keys))

    async def ack(self, *args: Any, **keys: Any) -> None:
        await self._survived(super().ack(*args, **keys))

    async def nack(self, *args: Any, **keys: Any) -> None:
        await self._survived(super().nack(*args, **keys))

    async def dead(self, *args: Any, **keys: Any) -> None:
        await self._survived(super().dead(*args, **keys))

    def in_flight(self, receiver: str) -> list[Message]:
        rows = self.rows.rows.values()
        return [row.message for row in rows if row.state == SENDING and row.message.receiver == receiver]

    def all(self, *states: str) -> list[Message]:
        return [row.message for row in self.rows.rows.values() if not states or row.state in states]


class Ear:
    """A receiver's service: answers as told, and keeps what it really got. `arrives`: the ambiguous ones too."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.name, self._disk = name, disk
        self.answers: list[tuple[Outcome, bool]] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """What happens while a message is on its way."""
        self.got: list[Message] = []
        self.wrong: list[str] = []
        """Broken invariants: a courier takes an exception here for the notifier's."""
        self.excuses: Counter[tuple[str, float]] = Counter()
        """For each message: tries of which nobody knows whether they arrived."""

    async def send(self, text: Text) -> Verdict:
        outcome, arrives = self.answers.pop(0) if self.answers else (Outcome.SENT, True)
        for message in self._disk.in_flight(self.name):
            if outcome is Outcome.AMBIGUOUS:
                self.excuses[message.id, message.at] += 1
            if outcome is Outcome.SENT or (outcome is Outcome.AMBIGUOUS and arrives):
                self._hear(message, text)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return Verdict(outcome, "as told", 7.0 if outcome is Outcome.RETRY and arrives else None)

    def _hear(self, message: Message, text: Text) -> None:
        last = next((m for m in reversed(self.got) if m.alert == message.alert), None)
        if last is not None and (message.episode, message.seq) < (last.episode, last.seq):
            self.wrong.append("I7: an old word after a new one")
        again = any((m.id, m.at) == (message.id, message.at) for m in self.got)
        if again and "may be a repeat" not in text.body:
            self.wrong.append("I4: a repeat that does not say so")
        self.got.append(message)

    async def close(self) -> None:
        """Nothing is open."""


class Fed(Struct):
    """One observation that counted: judged and committed, or without effect."""

    at: float
    rules: list[Threshold]
    measured: dict[str, Measured]
    adopt: bool = False


class Life:
    """riskbot and all that happens to it."""

    def __init__(self, rules: list[Threshold], receivers: tuple[Receiver, ...]) -> None:
        self.loop = asyncio.new_event_loop()
        self.hands, self.disk = Hands(), Disk()
        self.receivers, self.rules = receivers, rules
        self.ears = {receiver.name: Ear(receiver.name, self.disk) for receiver in receivers}
        self.fed: list[Fed] = []
        self.kills = self.steps = 0
        self._start()

    def end(self) -> None:
        self.loop.close()

    # ------------------------------------------------------------ what may happen

    def observe(self, word: str, pause: float, *, restarts: bool = False) -> None:
        """A poll: one word for each subject, as `5`, `na`, `gone`, `miss`, `fail`, `down`."""
        self._pass(pause)
        if restarts:
            self._assert_restart_is_nothing(word)
        self._survives(self._tick(word))

    def carry(self, receiver: str, answers: list[tuple[Outcome, bool]], pause: float, meanwhile: str) -> None:
        """A receiver's courier works off what is due; its service answers so. Meanwhile there is another poll."""
        self._pass(pause)
        ear = self.ears[receiver]
        ear.answers = list(answers)
        ear.meanwhile = (lambda: self._later(meanwhile)) if meanwhile else None
        self._survives(self._work(self.couriers[receiver], ear, len(answers) + 1))
        ear.answers, ear.meanwhile = [], None
        self._assert_one_row_each()

    async def _later(self, word: str) -> None:
        self._pass(1.0)
        await self._tick(word)

    async def _work(self, courier: Courier, ear: Ear, most: int) -> None:
        for _ in range(most):
            if not await courier._next(ear):
                break
            assert not ear.wrong, ear.wrong[0]

    async def _tick(self, word: str) -> None:
        answer, now = _answer(word.split()), self.hands.clock.now()
        measured = {} if answer is None else {rule.name: answer for rule in self.rules}
        before, written = self.judge.alerts, len(self.disk.writes)
        tick = self.judge.judge(measured, self._view(now, down=answer is None), MAX_GAP)
        await self._feed(tick, Fed(now, self.rules, measured))
        self._check_writes(written)
        words = word.split() if " " in word else [word] * len(SUBJECTS)
        blind = [s for s, w in zip(SUBJECTS, words, strict=True) if w in ("miss", "fail", "down")]
        self._assert_blindness_is_inert(before, blind)

    def change(self, rules: list[Threshold]) -> None:
        """The rules file was changed, or read again."""
        same = rules == self.rules
        before, written = copy.deepcopy(self.judge.alerts), len(self.disk.writes)
        self.rules = rules
        self.judge.use(rules, self.receivers)
        now = self.hands.clock.now()
        self._survives(self._feed(self.judge.adopt(self._view(now)), Fed(now, rules, {}, adopt=True)))
        if same and not self._failing(now) and not self.judge._stand_in:
            told = [m for w in self.disk.writes[written:] for m in w.messages]
            assert not told, "I10: an unchanged file was told of"
            assert self.judge.alerts.alerts == before.alerts, "I10: an unchanged file moved something"
        self._check_writes(written)

    def kill_at(self, writes: int) -> None:
        """kill -9 before or after one of the next writes."""
        self.disk.fuse = writes

    def kill(self) -> None:
        """kill -9 now, while nothing is written."""
        self._restart()

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the machine's clock."""
        self.hands.wall += seconds

    def rest(self) -> None:
        """All receivers are well again and the outbox empties. Then the last word must be true (I1, I2, I3)."""
        self.disk.fuse = None
        for _ in range(400):
            self._pass(61.0)
            for name, courier in self.couriers.items():
                self.ears[name].answers = []
                self._run(self._work(courier, self.ears[name], 100))
                self._assert_one_row_each()
            if not self.disk.all(*WAITING):
                break
        assert not self.disk.all(*WAITING), "what waits is never sent"
        self._assert_told_truly()
        self._assert_repeats_are_excused()
        self._assert_replay_gives_the_same()
        self._assert_falls_were_earned()

    # ------------------------------------------------------------ how it is done

    def _start(self) -> None:
        self.problems = Problems()
        self.couriers = {
            receiver.name: Courier(
                receiver, _ready(self.loop, self.ears[receiver.name]), self.disk, self.hands.clock, self.problems
            )
            for receiver in self.receivers
        }
        self.judge = Judge(ACCOUNT, self.rules, self.receivers, self.disk, lambda _: None, self._failing)
        self.judge.account = ACCOUNT
        self._run(self.disk.release())
        now = self.hands.clock.now()
        self._survives(self._feed(self.judge.load(now), Fed(now, self.rules, {}, adopt=True)))

    def _restart(self) -> None:
        self.kills += 1
        for ear in self.ears.values():
            for message in self.disk.in_flight(ear.name):
                ear.excuses[message.id, message.at] += 1
        self.disk.fuse = None
        self._start()

    def _failing(self, now: float) -> dict[str, str]:
        problems = {r.name: self.problems.of(about_receiver(r.name)) for r in self.receivers if r.fallback}
        return {name: "as told" for name, problem in problems.items() if problem and problem.hands_over(None, now)}

    def _pass(self, seconds: float) -> None:
        self.steps += 1
        self.hands.turn(seconds)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def _survives(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._run(work)
        except Killed:
            self._restart()

    async def _feed(self, work: Coroutine[Any, Any, Any], fed: Fed) -> None:
        """It counts if it was committed, or changed nothing; a kill before the commit undoes it."""
        written = len(self.disk.writes)
        try:
            await work
        except Killed:
            if len(self.disk.writes) > written:
                self.fed.append(fed)
            raise
        self.fed.append(fed)

    def _view(self, now: float, *, down: bool = False) -> View:
        outage = Outage(now, "down") if down else None
        return View(ACCOUNT, now, Snapshot({"details": []}), History(), outage=outage)

    # ------------------------------------------------------------ what must be true at every step

    def _check_writes(self, since: int) -> None:
        """I5: a rise is queued in the tick that saw it, for each who sees so much; and what is told is never less."""
        for write in self.disk.writes[since:]:
            for event in write.events:
                if event.after > event.before:
                    for receiver in self.receivers:
                        queued = [m for m in write.messages if (m.receiver, m.seq) == (receiver.name, event.seq)]
                        assert queued or not seen_by(receiver, None, event), "I5: a rise that was not queued at once"
        for subjects in self.judge.alerts.alerts.values():
            assert all(a.shown >= a.level for a in subjects.values()), "I5: told less than there is"
        self._assert_one_row_each()

    def _assert_one_row_each(self) -> None:
        for state in WAITING:
            rows = Counter((m.receiver, m.alert) for m in self.disk.all(state))
            assert all(count == 1 for count in rows.values()), f"I11: two rows {state}"

    def _assert_blindness_is_inert(self, before: Alerts, blind: list[str]) -> None:
        for rule in self.rules:
            for subject in blind:
                old, new = (a.alerts.get(rule.name, {}).get(subject) for a in (before, self.judge.alerts))
                assert old == new, "I6: moved without having seen anything"

    def _assert_restart_is_nothing(self, word: str) -> None:
        """I9: a restart and then this observation is the same as this observation."""
        answer, now = _answer(word.split()), self.hands.clock.now()
        measured = {} if answer is None else {rule.name: answer for rule in self.rules}
        if self.disk.fuse is not None or self._failing(now):
            return
        worlds = []
        for restart in (False, True):
            disk = copy.deepcopy(self.disk)
            judge = Judge(ACCOUNT, self.rules, self.receivers, disk, lambda _: None)
            judge.alerts, judge._rev = self.judge.alerts, self.judge._rev
            if restart:
                self._run(judge.load(now))
            self._run(judge.judge(measured, self._view(now), MAX_GAP))
            worlds.append((judge.alerts.alerts, disk.course, sorted(m.id for m in disk.all())))
        assert worlds[0] == worlds[1], "I9: a restart was an event"

    # ------------------------------------------------------------ what must be true at rest

    def _assert_told_truly(self) -> None:
        heard = [(r, s, self._heard(r, s), self._given_up(r, s)) for r in self.receivers for s in SUBJECTS]
        for receiver, subject, mine, given_up in heard:
            alert = self.judge.alerts.alerts.get(RULE, {}).get(subject)
            self._assert_last_word(receiver, mine, alert.shown if alert else Severity.OK, given_up)
        for receiver, subject, mine, given_up in heard:
            self._assert_each_episode(receiver, subject, mine, given_up)

    def _heard(self, receiver: Receiver, subject: str) -> list[Message]:
        return [m for m in self.ears[receiver.name].got if m.alert == f"{ACCOUNT}/{RULE}/{subject}"]

    def _given_up(self, receiver: Receiver, subject: str) -> set[int]:
        place = (receiver.name, f"{ACCOUNT}/{RULE}/{subject}")
        return {m.episode for m in self.disk.all("dead") if (m.receiver, m.alert) == place}

    def _assert_last_word(self, receiver: Receiver, mine: list[Message], shown: Severity, given_up: set[int]) -> None:
        views = {shown if shown >= r.min_severity else Severity.OK for r in self._in_place_of(receiver)}
        last = mine[-1].after if mine else Severity.OK
        assert last in views or given_up, f"I3: {receiver.name} believes {last!r}, it is {shown!r}"

    def _in_place_of(self, receiver: Receiver) -> list[Receiver]:
        return [receiver, *(r for r in self.receivers if receiver.name in r.fallback)]

    def _assert_each_episode(self, receiver: Receiver, subject: str, mine: list[Message], given_up: set[int]) -> None:
        course: dict[int, list[Event]] = {}
        for event in self.disk.course:
            if (event.rule, event.subject) == (RULE, subject):
                course.setdefault(event.episode, []).append(event)
        told = {(m.id, m.at): m for m in mine}.values()
        for episode, events in course.items():
            if episode in given_up:
                continue
            peak = max(event.after for event in events)
            of_it = [m for m in told if m.episode == episode] + [
                step for m in told for step in m.covers if step.episode == episode
            ]
            if peak >= receiver.min_severity:
                assert any(word.peak == peak for word in of_it), f"I2: {receiver.name} never heard of {peak!r}"
                assert any(word.after for word in of_it), f"I2: {receiver.name} heard of the end of {episode} only"
            opened = [word for word in of_it if word.after]
            closings = {word.seq for word in of_it if not word.after and word.before}
            if opened and not events[-1].after:
                assert closings, f"I1: {receiver.name} was never told of the end of episode {episode}"

    def _assert_repeats_are_excused(self) -> None:
        for ear in self.ears.values():
            for name, count in Counter((m.id, m.at) for m in ear.got).items():
                assert count - 1 <= ear.excuses[name], f"I4: {name} was repeated {count - 1} times"

    def _assert_replay_gives_the_same(self) -> None:
        """I8: what was fed in, played again without kills, gives the same events, byte for byte."""
        alerts, events = Alerts(), list[Event]()
        for fed in self.fed:
            if fed.adopt:
                done = engine.adopt(ACCOUNT, fed.rules, alerts, fed.at)
            else:
                done = engine.step(ACCOUNT, fed.rules, alerts, fed.measured, fed.at, MAX_GAP)
            alerts, events = done.alerts, [*events, *done.events]
        assert msgspec.json.encode(events) == msgspec.json.encode(self.disk.course), "I8: another course in the replay"

    def _assert_falls_were_earned(self) -> None:
        """I12: behind each fall lie observations without a hole that all speak for it."""
        for event in self.disk.course:
            if event.after >= event.before:
                continue
            seen = self._unbroken(event)
            if event.cause is Cause.NOT_APPLICABLE:
                run = _run(seen, lambda value: value.is_nan())
                assert len(run) >= engine.NA_COUNT, "I12: one empty field ended an alert"
                assert run[0][0] - run[-1][0] >= engine.NA_HOLD, "I12: it was not empty for long"
            if event.cause is Cause.RECOVERED:
                self._assert_left(event, seen)

    def _assert_left(self, event: Event, seen: list[tuple[float, Decimal]]) -> None:
        rule = next(f.rules[0] for f in reversed(self.fed) if f.at <= event.at and f.measured)
        ladder = rule.compiled.ladder
        for rung in ladder.rungs:
            if event.after < rung.severity <= event.before:
                run = _run(seen, lambda value, rung=rung: not value.is_nan() and ladder.passed(value, rung.exit))
                assert len(run) >= 2, "I12: one odd snapshot ended an alert"
                assert run[0][0] - run[-1][0] >= ladder.keep, "I12: it was not left for long"

    def _unbroken(self, event: Event) -> list[tuple[float, Decimal]]:
        """The subject's observations up to the event, newest first, as far as no hole lies between them."""
        seen: list[tuple[float, Decimal]] = []
        for fed in reversed([f for f in self.fed if f.at <= event.at and RULE in f.measured]):
            answer = fed.measured[RULE]
            reading = next((r for r in answer.readings if r.ccy == event.subject), None)
            if reading is None and not answer.complete:
                continue
            if reading is not None and reading.is_missing:
                continue
            value = reading.value if reading else Reading.not_applicable().value
            if seen and seen[-1][0] - fed.at > MAX_GAP:
                break
            seen.append((fed.at, value))
        return seen


def _run(seen: list[tuple[float, Decimal]], good: Callable[[Decimal], bool]) -> list[tuple[float, Decimal]]:
    count = next((i for i, (_, value) in enumerate(seen) if not good(value)), len(seen))
    return seen[:count]


def _answer(words: list[str]) -> Measured | None:
    if words == ["down"]:
        return None
    if words == ["fail"]:
        return Measured((), "the rule failed", complete=False)
    readings = []
    for subject, word in zip(SUBJECTS, words, strict=True):
        if word == "na":
            readings.append(Reading.not_applicable("", subject))
        elif word == "miss":
            readings.append(Reading.missing("", subject))
        elif word != "gone":
            readings.append(Reading(Decimal(word), subject))
    return Measured(tuple(readings), "miss" if "miss" in words else "")


def _ready(loop: asyncio.AbstractEventLoop, value: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = loop.create_future()
    future.set_result(value)
    return future
