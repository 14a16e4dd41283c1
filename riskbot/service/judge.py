"""One account's alerts: judged, planned and committed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.delivery import LOUD, NEWS, Plan, Receiver
from riskbot.history import History
from riskbot.model import Alerts, Event, Outage, Quiet, Silence, View
from riskbot.recording import Started, Taken
from riskbot.rules import Measured, Rule, tell
from riskbot.service.logbook import About
from riskbot.service.recorder import Unrecorded
from riskbot.snapshot import Snapshot
from riskbot.store import Message, State, Store

Failing = Mapping[str, str]
"""Receivers that can't be reached by now, and why."""


Compose = Callable[[Rule | None, View, Event], tuple[str, list[str]]]
"""Gives the headline and the lines of a message about a rule's alert; None: the rule is gone."""


class Judge:
    """One account's alerts: judges what was measured, plans the messages, commits both. Calls must not overlap."""

    def __init__(
        self,
        account: str,
        rules: Sequence[Rule],
        receivers: Sequence[Receiver],
        store: Store,
        wake: Callable[[str], None],
        failing: Callable[[float], Failing] = lambda _: {},
        quiet: Callable[[float], Quiet] = lambda _: LOUD,
        compose: Compose = tell,
        heard: Callable[[Event], None] = lambda _: None,
        recorder: Unrecorded | None = None,
    ) -> None:
        """heard: told of each change that is committed. recorder: writes down what is judged; None: nobody does."""
        self.account = account
        self.lock = asyncio.Lock()
        """To be held from asking the rules until their answers are committed: a reload must not come between."""
        self.alerts = Alerts()
        self.rules: tuple[Rule, ...] = ()
        self.measured: dict[str, Measured] = {}
        """The last answer of each rule."""
        self.had_data: dict[str, float] = {}
        """When each rule last had a number; not in it: never since the start."""
        self._store, self._wake, self._failing, self._quiet = store, wake, failing, quiet
        self._compose, self._heard = compose, heard
        self.recorder = recorder or Unrecorded(account)
        self._stand_in = frozenset[str]()
        self._silences: tuple[Silence, ...] = ()
        self._rev = 0
        self.use(rules, receivers)

    def use(self, rules: Sequence[Rule], receivers: Sequence[Receiver]) -> None:
        """From now on these. The next `load` or `adopt` fits the alerts to them."""
        marks = {rule.name: rule.compiled.ladder.mark for rule in self.rules}
        self.rules = tuple(rule for rule in rules if rule.watches(self.account))
        self._by_name = {rule.name: rule for rule in self.rules}
        self._receivers = receivers
        kept = {rule.name for rule in self.rules if rule.compiled.ladder.mark == marks.get(rule.name)}
        self.measured = {name: answer for name, answer in self.measured.items() if name in kept}
        self.had_data = {name: at for name, at in self.had_data.items() if name in kept}

    async def load(self, now: float, seen: float = 0.0) -> None:
        """Take up what was remembered, and fit it to the rules and receivers as they are.

        seen: when the account was last seen; 0: not known, or nothing that is seen.
        """
        state = await self._loaded(max(now, seen))
        with self.recorder.noting(Started(now, self.alerts, seen, self.recorder.bundle), self.alerts):
            await self._fit(max(now, seen, self.newest), seen, force=state.value is None)

    async def take_up(self, now: float) -> None:
        """Another owner has written the alerts: go on with theirs."""
        await self._loaded(now)
        with self.recorder.noting(Taken(now, self.alerts), self.alerts):
            await self._fit(max(now, self.newest))

    async def _loaded(self, now: float) -> State:
        state = await self._store.load(self.account)
        self._rev = state.rev
        self.alerts = await self._decoded(state, now)
        return state

    async def _fit(self, now: float, seen: float = 0.0, *, force: bool = False) -> None:
        """To the rules and receivers as they are."""
        outage = Outage(seen, "not seen yet since the start") if seen else None
        view = View(self.account, now, Snapshot({"details": []}), History(), outage=outage, alerts=self.alerts)
        await self.adopt(view, force=force)

    @property
    def newest(self) -> float:
        """The newest moment that is remembered; earlier it can't be."""
        told = (word.at for keys in self.alerts.told.values() for word in keys.values())
        return max(told, default=0.0)

    async def adopt(self, view: View, *, force: bool = False) -> None:
        """Close what has lost its rule, tell receivers what they have not heard yet."""
        for old, new in engine.renames(self.rules, self.alerts).items():
            for subject in self.alerts.alerts.get(old, ()):
                await self._store.rename(f"{self.account}/{old}/{subject}", f"{self.account}/{new}/{subject}")
        step = engine.adopt(self.account, self.rules, self.alerts, view.now)
        await self._settle(step.alerts, step.events, view, anew=True, force=force)

    async def _decoded(self, state: State, now: float) -> Alerts:
        """What was remembered. If it can't be read it is kept aside, told in the log, and the watch begins anew."""
        if state.value is None:
            return Alerts(seen=now)
        try:
            return msgspec.json.decode(state.value, type=Alerts)
        except msgspec.MsgspecError:
            aside = f"@{self.account} unreadable {now:.0f}"
            About(self.account).error("what was remembered can't be read; kept aside as %s, beginning anew", aside)
            await self._store.commit(aside, 0, aside, state.value)
            return Alerts(seen=now)

    def open(self, now: float) -> list[Event]:
        """What is open, as it stands."""
        all_of = self.alerts.alerts.items()
        shown = {rule: {s: alert for s, alert in subjects.items() if alert.shown} for rule, subjects in all_of}
        return delivery.ongoing(self.account, Alerts(shown), now, self.measured)

    def say(self, event: Event) -> str:
        """What it is, in a few words: the rule's own. A plugin is not asked for them: it may take long, or raise."""
        rule = self._by_name.get(event.rule)
        if rule is None:
            return f"{event.rule} {event.subject}".rstrip()
        return Rule.say(rule, event) if rule.PLUGIN else rule.say(event)

    async def judge(self, measured: Mapping[str, Measured], view: View, max_gap: float) -> None:
        """One tick."""
        self.measured |= measured
        self.had_data |= dict.fromkeys((name for name, answer in measured.items() if answer.has_number), view.now)
        step = engine.step(self.account, self.rules, self.alerts, measured, view.now, max_gap)
        await self._settle(step.alerts, step.events, view)

    def shift(self, seconds: float) -> None:
        """The clock was set ahead by so much: what runs moves along."""
        self.alerts = engine.shifted(self.alerts, seconds)

    def repeat(self, rule: str, subject: str) -> None:
        """There is more to say of an alert that was told: say it again with the next tick."""
        key = f"{rule}/{subject}"
        told = {
            who: {k: replace(word, at=NEWS) if k == key else word for k, word in keys.items()}
            for who, keys in self.alerts.told.items()
        }
        self.alerts = replace(self.alerts, told=told)

    async def unsay(self, message: Message) -> None:
        """It was never sent and never will be: its receiver knows nothing of that alert."""
        key = message.alert.removeprefix(f"{self.account}/")
        told = {who: dict(keys) for who, keys in self.alerts.told.items()}
        if told.get(message.receiver, {}).pop(key, None):
            await self.note(told=told)

    async def forward(self, message: Message, receivers: Sequence[str], now: float) -> None:
        """Tell others what was never sent and is over: nothing else would tell them."""
        blank = replace(message, due_at=now, tries=0, maybe_sent=False, error="", attempts=())
        copies = [replace(blank, id=f"{message.id}@{name}", receiver=name) for name in receivers]
        if copies:
            await self._commit(Plan(self.alerts, tuple(copies)), ())

    async def note(self, **facts: Any) -> None:
        """Remember facts that are no alerts."""
        await self._commit(Plan(replace(self.alerts, **facts)), ())

    async def _settle(
        self, alerts: Alerts, events: tuple[Event, ...], view: View, *, anew: bool = False, force: bool = False
    ) -> None:
        """Plan and commit. A tick that changed nothing writes nothing.

        anew: look at every alert, not only at what changed: rules or receivers are others than before.
        """
        failing, quiet = self._failing(view.now), self._quiet(view.now)
        if anew or failing.keys() != self._stand_in or quiet.silences != self._silences:
            self._stand_in, self._silences = frozenset(failing), quiet.silences
            more = delivery.ongoing(self.account, alerts, view.now, self.measured)
        else:
            more = delivery.reminders(self.account, alerts, self._by_name, view.now, self.measured)
        planned = Plan(alerts)
        if told := (*events, *more):

            def compose(event: Event) -> tuple[str, list[str]]:
                return self._compose(self._by_name.get(event.rule), view, event)

            planned = delivery.plan(alerts, told, self._by_name, self._receivers, compose, failing, quiet)
        if planned.alerts is not self.alerts or force:
            await self._commit(planned, events)

    async def _commit(self, planned: Plan, events: tuple[Event, ...]) -> None:
        value = msgspec.json.encode(planned.alerts)
        commit_id = f"{random.getrandbits(64):016x}"
        batches = self.recorder.sealed()
        self._rev = await self._store.commit(
            self.account, self._rev, commit_id, value, planned.messages, events, batches
        )
        self.recorder.written(batches)
        self.alerts = planned.alerts
        for message in planned.messages:
            self._wake(message.receiver)
        for event in events:
            self._heard(event)
