"""One account as its rules see it: what was seen, its past, and what comes of each look.

The watch fills it with what the exchange answers now; playback with what it answered once. All else is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from riskbot.asker import Asker
from riskbot.delivery import Receiver
from riskbot.history import History, Point
from riskbot.model import Gate, Observation, View
from riskbot.recording import Adopted, Again, Batch, Drained, Entry, Learnt, Look, Shifted
from riskbot.rules import Measured, Rule, longest_window, measure
from riskbot.service.judge import Judge
from riskbot.snapshot import Snapshot
from riskbot.store import Store


class Observer:
    """One account, looked at. Calls must not overlap: see `Judge.lock`."""

    def __init__(self, judge: Judge, ask: Callable[[Rule, View], Measured] = measure) -> None:
        """ask: how a rule is asked."""
        self.judge = judge
        self.history = History()
        self.snapshot = Snapshot({"details": []})
        """The last reply; with `fetched_at` 0 none came yet."""
        self._how = ask
        self._owed = False
        self._take_rules()

    def _take_rules(self) -> None:
        rules = self.judge.rules
        self._ask = Asker(rules, self._how)
        self.history = self.history.renewed(want for rule in rules for want in rule.compiled.wants)
        self.harmless = frozenset(rule.name for rule in rules if not rule.DANGER)

    async def load(self, store: Store, now: float) -> float:
        """Take up what was remembered, alerts and windows; give when the account was last seen, 0: never."""
        seen = await self.remember(store, now)
        await self.judge.load(now, seen)
        return seen

    async def resume(self, store: Store, now: float, snapshot: Snapshot | None) -> None:
        """Take up what was remembered in the midst of a life. snapshot: the last reply; None: there was none."""
        await self.remember(store, now)
        await self.judge.take_up(now)
        if snapshot is not None:
            self.snapshot = snapshot
            self.history.add(snapshot)
            self._owed = _owes(snapshot)

    async def remember(self, store: Store, now: float) -> float:
        """Fill the windows from the journal; give when the account was last seen."""
        points, seen = await store.recall(self.judge.account, now - longest_window(self.judge.rules))
        self.history.restore(((p.field, p.ccy, p.at, p.value) for p in points), seen)
        return seen

    def drained(self, at: float, seen: float) -> tuple[Batch, ...]:
        """All that is to be written down by now. seen: when the account was last seen; 0: never yet."""
        recorder = self.judge.recorder
        if not seen:
            return recorder.sealed()
        points = [Point(*point) for point in self.history.drain()]
        with self._noting(Drained(at, seen)):
            return recorder.sealed(points, seen)

    async def learn(self, at: float, uid: str, gate: Gate) -> None:
        """Remember whose account it is, and what its key may do."""
        with self._noting(Learnt(at, uid, gate)):
            await self.judge.note(uid=uid, gate=gate)

    def shift(self, at: float, seconds: float) -> None:
        """The clock was set ahead by so much: what runs moves along."""
        with self._noting(Shifted(at, seconds)):
            self.judge.shift(seconds)

    async def use(
        self, rules: Sequence[Rule], receivers: Sequence[Receiver], store: Store, now: Observation, bundle: str = ""
    ) -> None:
        """Go over to these rules. now: what there is to see just now; what was seen last is judged by them at once.

        bundle: the hash of the configuration that they are from.
        """
        with self._noting(Adopted(now, bundle)):
            await self._use(rules, receivers, store, now)

    async def _use(self, rules: Sequence[Rule], receivers: Sequence[Receiver], store: Store, now: Observation) -> None:
        before = self.history
        self.judge.use(rules, receivers)
        self._take_rules()
        if self.history is not before:
            await self.remember(store, now.at)
        await self.judge.adopt(self.view(now))
        if self.snapshot.fetched_at:
            self.history.add(self.snapshot)
            await self._look_again(now)

    async def look(self, seen: Observation) -> None:
        """Ask the rules and judge what they say. While nothing is seen only those about blindness are asked."""
        with self._noting(Look(seen)):
            await self._look(seen)

    async def _look(self, seen: Observation) -> None:
        if seen.snapshot is not None:
            self.snapshot = seen.snapshot
            self.history.add(seen.snapshot)
        view = self.view(seen)
        await self.judge.judge(self._ask(view), view, seen.max_gap)
        if seen.snapshot is not None:
            await self._note_debt(seen.snapshot)

    async def look_again(self, now: Observation) -> None:
        """The last reply was judged before; it counts as one, of its own moment. Unless nothing is seen any more."""
        with self._noting(Again(now)):
            await self._look_again(now)

    async def _look_again(self, now: Observation) -> None:
        await self._look(now if now.outage else replace(now, at=self.snapshot.fetched_at, snapshot=None))

    def _noting(self, entry: Entry) -> AbstractContextManager[None]:
        return self.judge.recorder.noting(entry, self.judge.alerts, self.snapshot)

    async def _note_debt(self, snapshot: Snapshot) -> None:
        """That nothing is owed must be seen twice."""
        owed, self._owed = self._owed, _owes(snapshot)
        if (self._owed or owed) != self.judge.alerts.exposed:
            await self.judge.note(exposed=self._owed or owed, seen=snapshot.fetched_at)

    def view(self, seen: Observation) -> View:
        """What the rules are asked with."""
        account, alerts = self.judge.account, self.judge.alerts
        return View(account, seen.at, self.snapshot, self.history, seen.info, seen.outage, alerts, self.harmless)


def _owes(snapshot: Snapshot) -> bool:
    return any(liab not in ("", "0", None) for liab in snapshot.column("liab"))
