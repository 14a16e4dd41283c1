"""One account's alerts: judged, planned and committed."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.delivery import Receiver
from riskbot.history import History
from riskbot.model import Alerts, Event, View
from riskbot.rules import Rule, tell
from riskbot.snapshot import Snapshot
from riskbot.store import State, Store

log = logging.getLogger("riskbot")


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
