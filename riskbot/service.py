"""The loops and the clocks; all else is called from here. Watches and couriers share nothing but the store.

Pacer ──▶ Watch.poll: fetch ▸ ask the rules ▸ judge ▸ plan ▸ commit      (one per account)
                                                        │ wake
Courier: take ▸ send ▸ done | later | dead               ◀┘               (one per receiver)
SelfWatch: what fails in riskbot itself ▸ judge ▸ plan ▸ commit           (every second)
Journal: the past of watched fields ▸ store; heals the store              (every ten seconds)
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol

import msgspec
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.delivery import Receiver
from riskbot.health import Health, Problem, Problems
from riskbot.history import History
from riskbot.model import AccountInfo, Alerts, Event, Outage, Severity, View
from riskbot.notify import Notifier, Outcome, Text, Verdict
from riskbot.rules import Asker, Rule, tell
from riskbot.settings import SELF
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, Source, SourceError
from riskbot.store import Fenced, Message, Point, State, Store
from riskbot.store.surviving import SurvivingStore

log = logging.getLogger("riskbot")

SLOT = 0.1
"""Polls of many accounts start in slots of so many seconds; those of a slot share a wake-up."""
TURN_DEADLINE = 15.0
"""A poll that takes longer has failed, whatever its source promised."""
INFO_PATIENCE = 1.5
INFO_EVERY, INFO_AGAIN = 300.0, 10.0
"""Seconds until the account's configuration is read again; the second after a failure."""
JOURNAL_EVERY = 10.0
PRUNE_EVERY = 3600.0
KEEP_PAST = 8 * 86400.0
SLOW_EVERY = 30.0
BACK_OFF_FROM, BACK_OFF_TO, BACK_OFF_NEAR_DANGER = 2.0, 60.0, 10.0
DRAIN = 3.0
"""Seconds that the couriers have to empty the outbox when riskbot ends."""

LEASE, SEND_DEADLINE = 30.0, 15.0
RETRY_FROM, RETRY_TO, RETRY_TO_URGENT = 1.0, 300.0, 30.0
BROKEN_EVERY = 60.0
LONGEST_WAIT, LONGEST_WAIT_URGENT = 300.0, 60.0
"""A receiver that asks for patience is given so many seconds at the most."""
LOOK_EVERY = 10.0
REFUSED_EVERY, REFUSED_TRIES = 60.0, 10
"""A message that is refused is tried again so often before it is given up: perhaps the service was at fault."""
REFUSED_TOLD = 600.0
"""That a receiver has refused a message for good is shown for so many seconds."""
TOLD_AFTER, TOLD_URGENT_AFTER = 120.0, 20.0
"""A receiver that fails is told to the others after so many seconds; the second if something critical waits."""


class Clock:
    """Seconds since 1970 that never go back: after a backward jump of the machine's clock they just go on.

    speed: how many of its seconds pass in one real second; the demo lives faster.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        speed: float = 1.0,
    ) -> None:
        self.speed = speed
        self._wall, self._monotonic = wall, monotonic
        self._start, self._mark = wall(), monotonic()
        self._last = self._start

    def now(self) -> float:
        """The present moment."""
        mark = self._monotonic()
        moment = self._start + (self._wall() - self._start) * self.speed
        self._last = moment if moment >= self._last else self._last + (mark - self._mark) * self.speed
        self._mark = mark
        return self._last

    def not_before(self, moment: float) -> None:
        """What is remembered is of that moment: go on from there."""
        self._last = max(self._last, moment)

    async def sleep(self, seconds: float) -> None:
        """Let so many of its seconds pass."""
        await asyncio.sleep(seconds / self.speed)


async def steady(turn: Callable[[], Awaitable[None]], name: str, clock: Clock) -> NoReturn:
    """Turn after turn, until cancelled. A mistake of riskbot in one of them is logged and ends nothing."""
    while True:
        try:
            await turn()
        except Exception:
            log.exception("the %s stumbled", name)
            await clock.sleep(1.0)


class Judge:
    """One account's alerts: judges what was measured, plans the messages, commits both. Calls must not overlap."""

    def __init__(
        self,
        account: str,
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        store: Store,
        wake: Callable[[str], None],
    ) -> None:
        self.account = account
        self.rules = tuple(rule for rule in rules if rule.watches(account))
        self.alerts = Alerts()
        self._by_name = {rule.name: rule for rule in self.rules}
        self._receivers, self._store, self._wake = receivers, store, wake
        self._rev = 0

    async def load(self, now: float) -> None:
        """Take up what was remembered; close what has lost its rule, tell receivers that are new."""
        state = await self._store.load(self.account)
        self._rev = state.rev
        self.alerts = await self._decoded(state, now)
        step = engine.adopt(self.account, self.rules, self.alerts, now)
        ongoing = delivery.ongoing(self.account, step.alerts, now)
        view = View(self.account, now, Snapshot({"details": []}), History(), alerts=step.alerts)
        await self._settle(step.alerts, (*step.events, *ongoing), view, force=state.value is None)

    async def _decoded(self, state: State, now: float) -> Alerts:
        """What was remembered. If it can't be read it is kept aside, told in the log, and the watch begins anew."""
        if state.value is None:
            return Alerts(seen=now)
        try:
            return msgspec.json.decode(state.value, type=Alerts)
        except msgspec.MsgspecError:
            aside = f"{self.account} unreadable {now:.0f}"
            log.error("%s: what was remembered can't be read; kept aside as %s, beginning anew", self.account, aside)  # noqa: TRY400 - known
            await self._store.commit(aside, 0, aside, state.value, ())
            return Alerts(seen=now)

    async def judge(self, measured: Mapping[str, Any], view: View, max_gap: float) -> None:
        """One tick."""
        step = engine.step(self.account, self.rules, self.alerts, measured, view.now, max_gap)
        await self._settle(step.alerts, step.events, view)

    async def note(self, **facts: Any) -> None:
        """Remember facts that are no alerts."""
        await self._settle(replace(self.alerts, **facts), (), None)

    async def _settle(self, alerts: Alerts, events: Iterable[Event], view: View | None, *, force: bool = False) -> None:
        """Plan and commit. A tick that changed nothing writes nothing."""

        def compose(event: Event) -> tuple[str, list[str]]:
            return tell(self._by_name.get(event.rule), view, event) if view else ("", [])

        planned = delivery.plan(alerts, events, self._by_name, self._receivers, compose)
        if planned.alerts is self.alerts and not force:
            return
        value = msgspec.json.encode(planned.alerts)
        commit_id = f"{random.getrandbits(64):016x}"
        self._rev = await self._store.commit(self.account, self._rev, commit_id, value, planned.messages)
        self.alerts = planned.alerts
        for message in planned.messages:
            self._wake(message.receiver)


class Watch:
    """One account: polled, judged, told of."""

    def __init__(
        self,
        judge: Judge,
        source: Source,
        clock: Clock,
        problems: Problems,
        poll_every: float,
    ) -> None:
        self.account = judge.account
        self.poll_every = poll_every
        self.missed = 0
        """Beats without a poll, since the one before had not ended."""
        self.polls = 0
        self._judge, self._source, self._clock, self._problems = judge, source, clock, problems
        self._part = f"watching {judge.account}"
        self._max_gap = max(10.0, 10 * poll_every)
        self._ask = Asker(judge.rules)
        self.history = History(want for rule in judge.rules for want in rule._wants)  # noqa: SLF001 - asked at load
        self._snapshot = Snapshot({"details": []})
        self._info: AccountInfo | None = None
        self._info_due = 0.0
        self._info_why = ""
        self.seen = 0.0
        self.ever_seen = False
        self._failures: list[SourceError] = []
        self._resume = 0.0
        self.defects: Counter[str] = Counter()
        """How often each field was read and found malformed."""
        self._unknown: set[str] = set()
        self._unknown_due = 0.0
        self._eyes = next((rule.name for rule in judge.rules if rule.SEES_OUTAGE), "")
        self._fenced = False
        self._task: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None

    async def load(self, store: Store) -> None:
        """Take up what was remembered: alerts, and the past that the rules ask about."""
        now = self._clock.now()
        longest = max((want.over for rule in self._judge.rules for want in rule._wants), default=0.0)  # noqa: SLF001 - asked at load
        points, seen = await store.recall(self.account, now - longest)
        self._clock.not_before(max(seen, 0.0))
        self.history.restore((p.field, p.ccy, p.at, p.value) for p in points)
        await self._judge.load(self._clock.now())
        self.seen, self.ever_seen = max(seen, self._judge.alerts.seen), seen > 0

    def beat(self) -> None:
        """Start a turn, unless the last has not ended; without asking, while the exchange wants patience."""
        if self._task is not None and not self._task.done():
            self.missed += 1
            return
        turn = self.poll if self._clock.now() >= self._resume else self.wait
        self._task = asyncio.create_task(turn(), name=f"turn of {self.account}")

    async def poll(self) -> None:
        """One turn: fetch, ask, judge, plan, commit. Never raises: the next beat comes whatever happened."""
        await self._guarded(self._turn)
        self.polls += 1

    async def wait(self) -> None:
        """A turn without asking: blindness grows by the second, also while polls are far between. Never raises."""
        await self._guarded(self._stay_blind)

    async def _guarded(self, turn: Callable[[], Awaitable[None]]) -> None:
        try:
            if self._fenced:
                await self._judge.load(self._clock.now())
                self._fenced = False
            await turn()
        except Fenced:
            log.error("%s: somebody else has written its state; taking up theirs", self.account)  # noqa: TRY400 - known
            self._fenced = True
        except Exception as error:  # a mistake of riskbot itself: told, and the watch goes on
            log.exception("%s: the watch stumbled", self.account)
            self._problems.fail(self._part, Problem(self._clock.now(), type(error).__name__, 0.0, 15.0))
        else:
            self._problems.clear(self._part)

    async def _turn(self) -> None:
        if self._clock.now() >= self._info_due:
            self._info_due = self._clock.now() + INFO_EVERY
            self._learning = asyncio.create_task(self._learn(), name=f"configuration of {self.account}")
            if self._info is None:  # the limit is counted by user: first ask who it is, if that is soon known
                await asyncio.wait({self._learning}, timeout=INFO_PATIENCE)
        try:
            async with asyncio.timeout(TURN_DEADLINE):
                snapshot = await self._source.fetch()
        except TimeoutError:
            await self._failed(SourceError(f"no answer within {TURN_DEADLINE:.0f} s"))
        except SourceError as error:
            await self._failed(error)
        else:
            await self._saw(snapshot)

    async def _learn(self) -> None:
        """Who the key belongs to: at the start and every few minutes. What is known stays known."""
        try:
            info = await self._source.info()
        except SourceError as error:
            self._info_due = self._clock.now() + INFO_AGAIN
            if error.why != self._info_why:
                log.warning("%s: can't read the account's configuration: %s", self.account, error.why)
            self._info_why = error.why
            return
        self._info_why = ""
        if info != self._info:
            log.info("%s: uid %s, mode %s, may %s", self.account, info.uid, info.mode, ", ".join(info.permissions))
            self._info = info

    async def _saw(self, snapshot: Snapshot) -> None:
        now = self._clock.now()
        snapshot.fetched_at = now
        if self._failures:
            log.info("%s: seen again; polls that failed: %d", self.account, len(self._failures))
            self._failures = []
        if now >= self._unknown_due:
            self._list_unknown(snapshot)
            self._unknown_due = now + INFO_EVERY
        self._snapshot, self.seen, self.ever_seen = snapshot, now, True
        self.history.add(snapshot)
        view = View(self.account, now, snapshot, self.history, self._info, None, self._judge.alerts)
        await self._judge.judge(self._ask(view), view, self._max_gap)
        if _owes(snapshot) != self._judge.alerts.exposed:
            await self._judge.note(exposed=_owes(snapshot), seen=now)
        if new := snapshot.defects - self.defects.keys():
            log.warning("%s: odd fields in the reply: %s", self.account, ", ".join(sorted(new)))
        self.defects.update(snapshot.defects)

    def _list_unknown(self, snapshot: Snapshot) -> None:
        if unknown := snapshot.unknown() - self._unknown:
            log.info("%s: OKX has new fields: %s", self.account, ", ".join(sorted(unknown)))
            self._unknown |= unknown

    async def _failed(self, error: SourceError) -> None:
        """Nothing was seen: only the rules about blindness are asked."""
        now = self._clock.now()
        if not self._failures or self._failures[-1].why != error.why:
            log.warning("%s: can't see the account: %s", self.account, error.why)
        self._failures = [*self._failures[-99:], error]
        self._resume = now + self._patience(error)
        await self._stay_blind()

    async def _stay_blind(self) -> None:
        """Judge that nothing is seen, and for how long by now."""
        now, outage = self._clock.now(), self._outage(self._failures[-1])
        view = View(self.account, now, self._snapshot, self.history, self._info, outage, self._judge.alerts)
        await self._judge.judge(self._ask(view), view, self._max_gap)

    def _outage(self, error: SourceError) -> Outage:
        # A dead key is believed when it is said twice; that the exchange has frozen the account, at once.
        twice = len(self._failures) > 1 and self._failures[-2].severity >= error.severity
        severity = error.severity if twice or error.severity is Severity.EMERGENCY else Severity.OK
        return Outage(self.seen, error.why, severity, never=not self.ever_seen)

    def _patience(self, error: SourceError) -> float:
        """Seconds until the next poll."""
        count = len(self._failures)
        if error.remedy is Remedy.SLOW:
            return SLOW_EVERY if count > 1 else 0.0
        if error.remedy is not Remedy.BACK_OFF:
            return 0.0
        near = self._judge.alerts.exposed or self._judge.alerts.open(besides=self._eyes)
        wait = min(BACK_OFF_FROM * 2 ** min(count - 1, 10), BACK_OFF_NEAR_DANGER if near else BACK_OFF_TO)
        return float(wait * random.uniform(0.5, 1.0))

    async def close(self) -> None:
        """End the poll that is under way."""
        tasks = [task for task in (self._task, self._learning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()


def _owes(snapshot: Snapshot) -> bool:
    return any(liab not in ("", "0", None) for liab in snapshot.column("liab"))


class Pacer:
    """Starts polls: those of many accounts are spread over the interval, in slots that share a wake-up."""

    def __init__(self, watches: Sequence[Watch], clock: Clock, late: Callable[[float], None] = lambda _: None) -> None:
        self._late = late
        self._groups: dict[float, list[Watch]] = {}
        for watch in watches:
            self._groups.setdefault(watch.poll_every / clock.speed, []).append(watch)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._pace(every, watches) for every, watches in self._groups.items()))

    async def _pace(self, every: float, watches: list[Watch]) -> None:
        count = min(len(watches), max(1, int(every / SLOT)))
        slots = [watches[i::count] for i in range(count)]
        loop = asyncio.get_running_loop()
        start, turn = loop.time(), 0
        while True:
            due = start + turn * every / count
            await asyncio.sleep(due - loop.time())
            for watch in slots[turn % count]:
                self._late(loop.time() - due)
                watch.beat()
            turn += 1
            behind = int((loop.time() - start) / every * count) - turn
            if behind > count:  # a whole round: those beats are left out, never bunched
                turn += behind


class Courier:
    """Carries the messages of one receiver, in order, until they are told or can never be."""

    def __init__(
        self, receiver: str, notifier: Awaitable[Notifier], store: Store, clock: Clock, problems: Problems
    ) -> None:
        self.receiver = receiver
        self.idle = True
        self._making = notifier
        self._store, self._clock, self._problems = store, clock, problems
        self._wake = asyncio.Event()
        self._resume = 0.0
        self._failing = ""
        self._part_refused = f"a message to {receiver}"
        self._refused_at: float | None = None

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        notifier = await self._making
        try:
            await steady(lambda: self._turn(notifier), f"courier of {self.receiver}", self._clock)
        finally:
            await notifier.close()

    async def _turn(self, notifier: Notifier) -> None:
        self._wake.clear()
        if not await self._next(notifier):
            await self._rest()

    async def _next(self, notifier: Notifier) -> bool:
        """Send the most urgent message; False: none is due."""
        now = self._clock.now()
        messages = [] if now < self._resume else await self._store.take(self.receiver, 1, now, LEASE)
        self.idle = not messages
        for message in messages:
            await self._carry(notifier, message)
        return bool(messages)

    async def _rest(self) -> None:
        due = await self._store.next_due(self.receiver)
        wait = LOOK_EVERY if due is None else max(0.05, max(due, self._resume) - self._clock.now())
        with suppress(TimeoutError):  # a store that has healed may have rows that nobody woke us for
            await asyncio.wait_for(self._wake.wait(), min(wait, LOOK_EVERY) / self._clock.speed)

    async def _carry(self, notifier: Notifier, message: Message) -> None:
        verdict = await self._send(notifier, message, plain=False)
        if verdict.outcome is Outcome.PERMANENT:  # perhaps only the markup is refused
            verdict = await self._send(notifier, message, plain=True)
        now = self._clock.now()
        if verdict.outcome is Outcome.SENT:
            await self._store.ack(message, now)
            log.info("told %s: %s", self.receiver, message.title)
            self._works()
        elif verdict.outcome is Outcome.PERMANENT:
            await self._refused(message, verdict, now)
        else:
            await self._later(message, verdict, now)

    async def _send(self, notifier: Notifier, message: Message, *, plain: bool) -> Verdict:
        title, body = delivery.final_text(message, self._clock.now())
        text = Text(title, body, message.after, plain)
        try:
            return await asyncio.wait_for(notifier.send(text), SEND_DEADLINE)
        except TimeoutError:
            return Verdict(Outcome.AMBIGUOUS, f"no answer within {SEND_DEADLINE:.0f} s")
        except Exception as error:  # noqa: BLE001 - a plugin's notifier may raise anything; the message must not be lost
            return Verdict(Outcome.RETRY, f"the notifier failed: {type(error).__name__}")

    async def _later(self, message: Message, verdict: Verdict, now: float) -> None:
        urgent = message.urgency >= Severity.CRITICAL
        wait = min(RETRY_FROM * 2 ** min(message.tries, 10), RETRY_TO_URGENT if urgent else RETRY_TO)
        due = now + random.uniform(0.2, 1.0) * wait
        if verdict.outcome is Outcome.BROKEN:
            due = now + BROKEN_EVERY
        if verdict.after is not None:  # the receiver asked for patience: for all its messages
            due = self._resume = now + min(verdict.after, LONGEST_WAIT_URGENT if urgent else LONGEST_WAIT)
        maybe = verdict.outcome is Outcome.AMBIGUOUS
        await self._store.nack(message, due, verdict.why, maybe_sent=maybe)
        self._fails(verdict.why, now, urgent=urgent, at_once=verdict.outcome is Outcome.BROKEN)

    def _fails(self, why: str, now: float, *, urgent: bool = False, at_once: bool = False) -> None:
        if not self._failing:
            log.warning("%s: can't deliver: %s", self.receiver, why)
        self._failing = why
        after = 0.0 if at_once else TOLD_URGENT_AFTER if urgent else TOLD_AFTER
        urgent_after = after if urgent or at_once else 10 * TOLD_AFTER
        self._problems.fail(delivery.about_receiver(self.receiver), Problem(now, why, after, urgent_after))

    async def _refused(self, message: Message, verdict: Verdict, now: float) -> None:
        """One message is not taken: told to all, this receiver included, whatever else it takes."""
        if message.tries + 1 < REFUSED_TRIES:
            await self._store.nack(message, now + REFUSED_EVERY, verdict.why, maybe_sent=False)
        else:
            await self._store.dead(message, now, verdict.why)
        log.error("%s: refuses (%s): %s", self.receiver, verdict.why, message.title)
        why = f"refused ({verdict.why}): {message.title}"
        self._problems.fail(self._part_refused, Problem(now, why, 0.0, 0.0))
        self._refused_at = now

    def _works(self) -> None:
        if self._refused_at is not None and self._clock.now() - self._refused_at >= REFUSED_TOLD:
            self._problems.clear(self._part_refused)
            self._refused_at = None
        if self._failing:
            log.info("%s: delivers again", self.receiver)
        self._failing = ""
        self._problems.clear(delivery.about_receiver(self.receiver))


class SelfWatch:
    """riskbot's own alerts: the same machine, fed with what fails in riskbot itself."""

    STORE = "the store"

    def __init__(self, judge: Judge, store: SurvivingStore, clock: Clock, problems: Problems) -> None:
        self._judge, self._store, self._clock, self._problems = judge, store, clock, problems

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "self-watch", self._clock)

    async def _turn(self) -> None:
        await self._clock.sleep(1.0)
        try:
            await self.tick()
        except Fenced:
            await self._judge.load(self._clock.now())

    async def tick(self) -> None:
        """One look at riskbot itself."""
        now = self._clock.now()
        if self._store.failing:
            self._problems.fail(self.STORE, Problem(now, self._store.failing, 0.0, 0.0))
        else:
            self._problems.clear(self.STORE)
        alerts = self._judge.alerts
        measured = {HEALTH.name: self._problems.measured(now)}
        view = View(SELF, now, Snapshot({"details": []}), History(), alerts=alerts)
        await self._judge.judge(measured, view, 10.0)


HEALTH = Health.model_validate({"name": "health", "kind": "health"})


class Journal:
    """Writes the past of the watched fields, heals the store, forgets what is old."""

    def __init__(self, watches: Sequence[Watch], store: SurvivingStore, clock: Clock) -> None:
        self._watches, self._store, self._clock = watches, store, clock
        self._prune_due = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "journal", self._clock)

    async def _turn(self) -> None:
        await self._clock.sleep(JOURNAL_EVERY)
        await self.write()

    async def write(self) -> None:
        """What came since the last time."""
        entries = [
            (watch.account, [Point(*point) for point in watch.history.drain()], watch.seen)
            for watch in self._watches
            if watch.ever_seen
        ]
        now = self._clock.now()
        await self._store.record(entries)
        await self._store.heal(now)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_EVERY
            await self._store.prune(now - KEEP_PAST)


class Account(Protocol):
    """What the service needs to know of an account."""

    @property
    def name(self) -> str:
        """Names it in messages."""

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""


class Service:
    """All of riskbot, running. `sources` by account name; `notifiers` are made by the caller, perhaps still loading."""

    def __init__(
        self,
        accounts: Sequence[Account],
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        sources: Mapping[str, Source],
        notifiers: Mapping[str, Awaitable[Notifier]],
        store: SurvivingStore,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.problems = Problems()
        self._store = store
        self.couriers = {
            receiver.name: Courier(receiver.name, notifiers[receiver.name], store, self.clock, self.problems)
            for receiver in receivers
        }
        self.watches = [
            Watch(self._judge(a.name, rules, receivers), sources[a.name], self.clock, self.problems, a.poll_every)
            for a in accounts
        ]
        self._self_judge = self._judge(SELF, [HEALTH], receivers)
        self._self_watch = SelfWatch(self._self_judge, store, self.clock, self.problems)
        self._journal = Journal(self.watches, store, self.clock)

    def _judge(self, account: str, rules: Sequence[Rule], receivers: Sequence[Receiver]) -> Judge:
        return Judge(account, rules, receivers, self._store, lambda name: self.couriers[name].wake())

    async def run(self, stop: asyncio.Event, late: Callable[[float], None] = lambda _: None) -> None:
        """Watch until `stop` is set; then deliver what waits, for three seconds at the most, and let go.

        Raises what a loop raised, after letting go: a loop that ends is a mistake of riskbot, not of its user.
        """
        await self._store.release()
        for watch in self.watches:
            await watch.load(self._store)
        await self._self_judge.load(self.clock.now())
        pacing = asyncio.create_task(Pacer(self.watches, self.clock, late).run(), name="pacer")
        loops: list[Courier | SelfWatch | Journal] = [*self.couriers.values(), self._self_watch, self._journal]
        others = [asyncio.create_task(loop.run(), name=type(loop).__name__) for loop in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({pacing, stopping, *others}, return_when=asyncio.FIRST_COMPLETED)
            await self._end(pacing, others)
            for task in done:
                task.result()
        finally:
            stopping.cancel()

    async def _end(self, pacing: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
        pacing.cancel()
        await asyncio.gather(*(watch.close() for watch in self.watches), return_exceptions=True)
        await self._drain()
        for task in others:
            task.cancel()
        await asyncio.gather(pacing, *others, return_exceptions=True)
        await self._journal.write()

    async def _drain(self) -> None:
        """Wait until nothing is due any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while not await self._drained():
                    await asyncio.sleep(0.05)

    async def _drained(self) -> bool:
        now = self.clock.now()
        due = [await self._store.next_due(name) for name in self.couriers]
        return all(courier.idle for courier in self.couriers.values()) and all(at is None or at > now for at in due)
