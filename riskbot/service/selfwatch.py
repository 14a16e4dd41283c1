"""riskbot's own alerts."""

from __future__ import annotations

from riskbot.health import Health, Problem, Problems
from riskbot.history import History
from riskbot.model import View
from riskbot.service.clock import Clock, steady
from riskbot.service.judge import Judge
from riskbot.settings import SELF
from riskbot.snapshot import Snapshot
from riskbot.store import Fenced
from riskbot.store.surviving import SurvivingStore


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
