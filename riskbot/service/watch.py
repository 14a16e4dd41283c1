"""One account: polled, judged, told of."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from math import inf

from riskbot.delivery import Receiver
from riskbot.health import Problem, Problems, about_key, about_watch
from riskbot.history import History
from riskbot.model import AccountInfo, Alerts, Gate, Observation, Severity, View
from riskbot.recording import Batch
from riskbot.rules import Measured, Rule, measure
from riskbot.service.clock import Clock, Pulse, stopwatch, uptime
from riskbot.service.judge import Judge
from riskbot.service.leash import asked
from riskbot.service.logbook import About, Edge
from riskbot.service.observer import Observer
from riskbot.service.sight import Sight
from riskbot.service.tally import INTERNAL, Tally, reason
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, Source, SourceError
from riskbot.store import Fenced, Store

TURN_DEADLINE = 15.0
"""A poll that takes longer has failed, whatever its source promised."""
STOOD_STILL = TURN_DEADLINE + 1.0
"""Seconds. One that failed after more than that was cut off as riskbot, or its machine, stood still: nobody knows
whether the exchange answered. The next poll will show it, and counts however long it takes."""
INFO_PATIENCE, ENDS_WITHIN = 1.5, 2.0
INFO_EVERY, INFO_AGAIN = 300.0, 10.0
"""Seconds until the account's configuration is read again; the second after a failure."""
UNCHECKED = 3600.0
"""Seconds for which nobody could look what the key may do, while all else is seen, until that is told."""
SLOW_EVERY = 30.0
STILL = 30.0
"""Real seconds after which a turn should have ended: its deadline, and twice what a slow disk may take."""
CALM = 10.0
"""Seconds without a failure after which the log says that it is over."""
BACK_OFF_FROM, BACK_OFF_TO, BACK_OFF_NEAR_DANGER = 2.0, 60.0, 10.0


class Watch:
    """One account: polled, judged, told of."""

    def __init__(
        self,
        judge: Judge,
        source: Source,
        clock: Clock,
        problems: Problems,
        poll_every: float,
        ask: Callable[[Rule, View], Measured] = measure,
    ) -> None:
        """ask: how a rule is asked."""
        self.account = judge.account
        self.missed = 0
        """Beats without a poll, since the one before had not ended or nobody came to it in time."""
        self.polls = 0
        self.failed: Counter[str] = Counter()
        """Polls that saw nothing, by one of `REASONS`."""
        self.took = Tally(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
        """How long polls took, from asking to the commit."""
        self.pulse = Pulse(clock, poll_every + STILL * clock.speed)
        """Moves with every turn, also one that sees nothing or only waits."""
        self._judge, self._source, self._clock, self._problems = judge, source, clock, problems
        self._log = About(judge.account)
        self._stumbling = Edge(self._log, "the watch stumbled", "the watch goes on", calm=CALM)
        self._blind = Edge(self._log, "can't see the account", "seen again", calm=CALM)
        self._unlearned = Edge(self._log, "can't read the account's configuration", "its configuration was read again")
        self.observer = Observer(judge, ask)
        self.sight = Sight(poll_every)
        self._part, self._key = about_watch(judge.account), about_key(judge.account)
        self._info: AccountInfo | None = None
        self._info_due = 0.0
        self._stranger: SourceError | None = None
        self._resume = 0.0
        self.defects: Counter[str] = Counter()
        """How often each field was read and found malformed."""
        self._unknown: set[str] = set()
        self._unknown_due = 0.0
        self._jumped = clock.jumped
        self._fenced = self._cut_off = False
        self._task: asyncio.Task[None] | None = None
        self._learning: asyncio.Task[None] | None = None

    async def load(self, store: Store) -> None:
        """Take up what was remembered: alerts, and the past that the rules ask about."""
        seen = await self.observer.load(store, self._now())
        self._clock.not_before(max(seen, self._judge.newest))
        self.sight = Sight(self.poll_every, max(seen, self._judge.alerts.seen), ever_seen=seen > 0)

    def unseen_for(self, now: float) -> float | None:
        """Seconds since its last good answer, whatever the machine's clock was set to since; None: there was none."""
        ahead = self._clock.jumped - self._jumped  # no turn has come since, that would have moved `sight` along
        return max(0.0, now - ahead - self.sight.seen) if self.sight.ever_seen else None

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""
        return self.sight.poll_every

    @property
    def history(self) -> History:
        """The past of what its rules ask about."""
        return self.observer.history

    @property
    def judge(self) -> Judge:
        """What judges it."""
        return self._judge

    @property
    def info(self) -> AccountInfo | None:
        """Whose account it is; None: not known yet."""
        return self._info

    @property
    def alerts(self) -> Alerts:
        """Its alerts as last committed."""
        return self._judge.alerts

    @property
    def why(self) -> str:
        """Why nothing was seen at the last poll; "": it was."""
        failures = self.sight.failures
        return failures[-1].why if failures else ""

    async def use(self, rules: Sequence[Rule], receivers: Sequence[Receiver], store: Store, bundle: str = "") -> None:
        """Judge by these from now on. What was last seen is judged again at once, unless nothing is seen.

        bundle: the hash of the configuration that they are from.
        """
        await self._guarded(partial(self._use, rules, receivers, store, bundle))

    async def _use(self, rules: Sequence[Rule], receivers: Sequence[Receiver], store: Store, bundle: str) -> None:
        async with self._judge.lock:
            await self._write(store)  # new windows are filled from there
            await self.observer.use(rules, receivers, store, self._sight(), bundle)
        self._info_due = 0.0  # whoever edits the file may have changed the key too

    async def drained(self) -> tuple[Batch, ...]:
        """What is to be written down by now: no look is half done. See `Unrecorded.sealed`."""
        async with self._judge.lock:
            return self._drained()

    async def _write(self, store: Store) -> None:
        batches = self._drained()
        await store.record(batches)
        self._judge.recorder.written(batches)

    def _drained(self) -> tuple[Batch, ...]:
        return self.observer.drained(self._now(), self.sight.seen if self.sight.ever_seen else 0.0)

    def _now(self) -> float:
        """The moment in whole milliseconds: what is recorded of it takes two bytes."""
        return round(self._clock.now(), 3)

    def beat(self) -> None:
        """Start a turn, unless the last has not ended; without asking, while the exchange wants patience."""
        if self._task is not None and not self._task.done():
            self.miss(1)
            return
        turn = self.poll if self._clock.now() >= self._resume else self.wait
        self._task = asyncio.create_task(turn(), name=f"turn of {self.account}")

    def miss(self, beats: int) -> None:
        """So many are left out."""
        self.missed += beats

    async def poll(self) -> None:
        """One turn: fetch, ask, judge, plan, commit. Never raises: the next beat comes whatever happened."""
        began = stopwatch()
        await self._guarded(self._turn)
        self.took.add(stopwatch() - began)
        self.polls += 1
        self.pulse.beat()

    async def wait(self) -> None:
        """A turn without asking: blindness grows by the second, also while polls are far between. Never raises."""
        await self._guarded(self._stay_blind)
        self.pulse.beat()

    async def _guarded(self, turn: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._mind_the_clock()
            if self._fenced:
                await self._take_up_theirs()
            await turn()
        except Fenced:
            self._stumbling.fails("somebody else has written its state; taking up theirs", logging.ERROR)
            self._fenced = True
        except Exception as error:  # noqa: BLE001 - a mistake of riskbot itself: told, and the watch goes on
            self.failed[INTERNAL] += 1
            self._stumbling.fails(type(error).__name__, logging.ERROR, error)
            self._problems.fail(self._part, Problem(self._clock.now(), type(error).__name__, 0.0, 15.0))
        else:
            self._stumbling.works(self._clock.now())
            self._problems.clear(self._part)

    async def _take_up_theirs(self) -> None:
        """Another owner has written the state. What was seen meanwhile is judged by it, so that no value is lost."""
        async with self._judge.lock:
            await self._judge.take_up(self._now())
            self._fenced = False
            if self.observer.snapshot.fetched_at:
                await self.observer.look_again(self._sight())

    async def _mind_the_clock(self) -> None:
        """The machine's clock was set ahead: nobody was blind for that long."""
        self._clock.now()
        ahead, self._jumped = self._clock.jumped - self._jumped, self._clock.jumped
        if ahead:
            self.sight.shift(ahead)
            async with self._judge.lock:
                self.observer.shift(self._now(), ahead)

    async def _turn(self) -> None:
        if self._clock.now() >= self._info_due and (self._learning is None or self._learning.done()):
            self._info_due = self._clock.now() + INFO_EVERY
            self._learning = asyncio.create_task(self._learn(), name=f"configuration of {self.account}")
            if self._info is None:  # the limit is counted by user: first ask who it is, if that is soon known
                await asyncio.wait({self._learning}, timeout=INFO_PATIENCE)
        if self._stranger is not None:
            await self._failed(self._stranger)
            return
        began = uptime()
        found = await asked(self._source.fetch(), TURN_DEADLINE)
        await self._mind_the_clock()  # it may have been set meanwhile
        self._cut_off = not self._cut_off and uptime() - began > STOOD_STILL
        if not isinstance(found, SourceError):
            await self._saw(found)
        elif not self._cut_off:
            await self._failed(found)

    async def _learn(self) -> None:
        """Who the key belongs to: at the start and every few minutes. Never raises: nobody waits for it."""
        try:
            await self._ask_whose()
        except Fenced:
            self._fenced = True
        except Exception as error:  # noqa: BLE001 - as above
            self._did_not_learn(type(error).__name__, logging.ERROR, error)

    async def _ask_whose(self) -> None:
        """What is known stays known, while nothing is heard."""
        info = await asked(self._source.info(), 2 * TURN_DEADLINE)
        if isinstance(info, SourceError):
            self._did_not_learn(info.why)
            return
        await self._know(info)
        self._unlearned.works(self._clock.now())
        self._problems.clear(self._key)

    def _did_not_learn(self, why: str, level: int = logging.WARNING, error: Exception | None = None) -> None:
        now = self._clock.now()
        self._info_due = now + INFO_AGAIN
        self._unlearned.fails(why, level, error)
        if self._info is not None and not self.why:  # else `blind` says so, of the rule or of the whole account
            self._problems.fail(self._key, Problem(now, why, UNCHECKED, inf))

    async def _know(self, info: AccountInfo) -> None:
        """Numbers of another account than before are not judged: they would end what is open, and begin nothing."""
        pinned = self._judge.alerts.uid
        if pinned and info.uid != pinned:
            why = f"the key belongs to another account of OKX (uid {info.uid}, before {pinned})"
            hint = "if that is meant, give [[accounts]] another name"
            self._stranger = SourceError(f"{why}; {hint}", Remedy.SLOW, Severity.CRITICAL)
            self._info_due = self._clock.now() + INFO_AGAIN
            return
        self._stranger = None
        async with self._judge.lock:
            known = self._judge.alerts.gate
            gate = (known or Gate(info)).then(info, self._clock.now())
            if not pinned or gate != known:
                await self.observer.learn(self._now(), info.uid, gate)
        if info != self._info:
            self._log.info("uid %s, mode %s, may %s", info.uid, info.mode, ", ".join(info.permissions))
            self._info = info

    async def _saw(self, snapshot: Snapshot) -> None:
        now = self._now()
        snapshot.fetched_at = now
        if stale := self.sight.stale(snapshot, self._judge.rules):
            await self._failed(stale)
            return
        self._blind.works(now)
        if now >= self._unknown_due:
            self._list_unknown(snapshot)
            self._unknown_due = now + INFO_EVERY
        async with self._judge.lock:
            self.sight.answered(now)
            await self.observer.look(self._sight(snapshot))
        if new := snapshot.defects - self.defects.keys():
            self._log.warning("odd fields in the reply: %s", ", ".join(sorted(new)))
        self.defects.update(snapshot.defects)

    def _sight(self, snapshot: Snapshot | None = None) -> Observation:
        """What there is to see now. snapshot: a reply that has just come.

        While it is not known whether the key is still of the account that is remembered, numbers may raise and
        nothing else.
        """
        sure = self._info is not None or not self._judge.alerts.uid
        return self.sight.at(self._now(), snapshot, self._info, sure=sure)

    def _list_unknown(self, snapshot: Snapshot) -> None:
        if unknown := snapshot.unknown() - self._unknown:
            self._log.info("OKX has new fields: %s", ", ".join(sorted(unknown)))
            self._unknown |= unknown

    async def _failed(self, error: SourceError) -> None:
        """Nothing was seen: only the rules about blindness are asked."""
        now = self._clock.now()
        self.failed[reason(error)] += 1
        self._blind.fails(error.why)
        self.sight.failed(error)
        self._resume = now + self._patience(error)
        await self._stay_blind()

    async def _stay_blind(self) -> None:
        """Judge that nothing is seen, and for how long by now."""
        async with self._judge.lock:
            await self.observer.look(self._sight())

    def _patience(self, error: SourceError) -> float:
        """Seconds until the next poll."""
        count = len(self.sight.failures)
        if error.remedy is Remedy.SLOW:
            return SLOW_EVERY if count > 1 else 0.0
        if error.remedy is not Remedy.BACK_OFF:
            return 0.0
        near = self._judge.alerts.exposed or self._judge.alerts.open(besides=self.observer.harmless)
        wait = min(BACK_OFF_FROM * 2 ** min(count - 1, 10), BACK_OFF_NEAR_DANGER if near else BACK_OFF_TO)
        return float(wait * random.uniform(0.5, 1.0))

    async def close(self) -> None:
        """End the poll that is under way. What does not end is left alone: nobody shall wait for it."""
        tasks = [task for task in (self._task, self._learning) if task is not None]
        for task in tasks:
            task.cancel()
        closing = asyncio.create_task(self._source.close(), name=f"end of {self.account}")
        _, endless = await asyncio.wait({closing, *tasks}, timeout=ENDS_WITHIN)
        if endless:
            self._log.warning("its source does not end, and is left alone")
