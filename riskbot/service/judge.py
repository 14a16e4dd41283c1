"""One account's alerts: judged, planned and committed."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.delivery import LOUD, Plan, Receiver
from riskbot.history import History
from riskbot.model import Alerts, Event, Quiet, Silence, View
from riskbot.rules import Measured, Rule, tell
from riskbot.snapshot import Snapshot
from riskbot.store import State, Store

log = logging.getLogger("riskbot")


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
    ) -> None:
        """heard: told of each change that is committed."""
        self.account = account
        self.alerts = Alerts()
        self.rules: tuple[Rule, ...] = ()
        self._store, self._wake, self._failing, self._quiet = store, wake, failing, quiet
        self._compose, self._heard = compose, heard
        self._stand_in = frozenset[str]()
        self._silences: tuple[Silence, ...] = ()
        self._rev = 0
        self._measured: dict[str, Measured] = {}
        self.use(rules, receivers)

    def use(self, rules: Sequence[Rule], receivers: Sequence[Receiver]) -> None:
        """From now on these. The next `load` or `adopt` fits the alerts to them."""
        marks = {rule.name: rule._ladder.mark for rule in self.rules}  # noqa: SLF001 - compiled at load, for us
        self.rules = tuple(rule for rule in rules if rule.watches(self.account))
        self._by_name = {rule.name: rule for rule in self.rules}
        self._receivers = receivers
        kept = {rule.name for rule in self.rules if rule._ladder.mark == marks.get(rule.name)}  # noqa: SLF001 - as above
        self._measured = {name: answer for name, answer in self._measured.items() if name in kept}

    async def load(self, now: float) -> None:
        """Take up what was remembered, and fit it to the rules and receivers as they are."""
        state = await self._store.load(self.account)
        self._rev = state.rev
        self.alerts = await self._decoded(state, now)
        view = View(self.account, now, Snapshot({"details": []}), History(), alerts=self.alerts)
        await self.adopt(view, force=state.value is None)

    async def adopt(self, view: View, *, force: bool = False) -> None:
        """Close what has lost its rule, tell receivers what they have not heard yet."""
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
            log.error("%s: what was remembered can't be read; kept aside as %s, beginning anew", self.account, aside)  # noqa: TRY400 - known
            await self._store.commit(aside, 0, aside, state.value)
            return Alerts(seen=now)

    async def judge(self, measured: Mapping[str, Measured], view: View, max_gap: float) -> None:
        """One tick."""
        self._measured |= measured
        step = engine.step(self.account, self.rules, self.alerts, measured, view.now, max_gap)
        await self._settle(step.alerts, step.events, view)

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
            more = delivery.ongoing(self.account, alerts, view.now, self._measured)
        else:
            more = delivery.reminders(self.account, alerts, self._by_name, view.now, self._measured)
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
        self._rev = await self._store.commit(self.account, self._rev, commit_id, value, planned.messages, events)
        self.alerts = planned.alerts
        for message in planned.messages:
            self._wake(message.receiver)
        for event in events:
            self._heard(event)
