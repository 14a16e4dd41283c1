"""riskbot's own alerts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from riskbot import text
from riskbot.delivery import Receiver
from riskbot.health import CLOCK, STORE, WATCH, Health, Problem, Problems
from riskbot.history import History
from riskbot.model import View
from riskbot.service import clock as clocks
from riskbot.service.clock import Clock, Pulse, steady
from riskbot.service.hush import Hush
from riskbot.service.judge import Judge
from riskbot.settings import SELF
from riskbot.snapshot import Snapshot
from riskbot.store import Fenced
from riskbot.store.surviving import SurvivingStore

STOOD_STILL = 15.0
"""Seconds between two looks, of a loop that looks every second, that are worth telling."""
STILL = 30.0
"""Real seconds after which a look should have ended, whatever a slow disk may take."""
TOLD_FOR = 600.0
"""What happened at one moment is shown for so many seconds."""
NEVER = float("inf")


class SelfWatch:
    """riskbot's own alerts: the same machine, fed with what fails in riskbot itself."""

    def __init__(
        self,
        judge: Judge,
        store: SurvivingStore,
        clock: Clock,
        problems: Problems,
        hush: Hush | None = None,
        exposed: Callable[[], bool] = lambda: False,
        look: Callable[[float, float], Awaitable[None]] | None = None,
        stopwatch: Callable[[], float] = clocks.stopwatch,
    ) -> None:
        """exposed: does any account owe, or is any alert open? look: called at each tick, before it is judged.

        It is given the moment, and how many seconds late the tick started.
        """
        self._exposed, self._look = exposed, look
        self._judge, self._store, self._clock, self._problems = judge, store, clock, problems
        self._hush = hush or Hush(store)
        self._stopwatch, self._late = stopwatch, 0.0
        self._looked = 0.0
        self.pulse = Pulse(clock, STILL * clock.speed)
        """Moves with every look."""
        self._steps, self._jumped = clock.steps, clock.jumped

    async def run(self) -> None:
        """Until cancelled."""
        self._looked = self._clock.now()
        await steady(self._turn, "self-watch", self._clock)

    async def use(self, health: Health, receivers: Sequence[Receiver]) -> None:
        """Judge by these from now on."""
        async with self._judge.lock:
            self._judge.use([health], receivers)
            await self._judge.adopt(self._view(self._clock.now()))

    async def _turn(self) -> None:
        began = self._stopwatch()
        await self._clock.sleep(1.0)
        self._late = self._stopwatch() - began - 1.0 / self._clock.speed
        try:
            await self.tick()
        except Fenced:
            async with self._judge.lock:
                await self._judge.load(self._clock.now())
        self.pulse.beat()

    async def tick(self) -> None:
        """One look at riskbot itself."""
        now = self._clock.now()
        await self._hush.look()
        if self._store.failing:
            self._problems.fail(STORE, Problem(now, self._store.failing, 0.0, 0.0))
        else:
            self._problems.clear(STORE)
        self._mind_time(now)
        if self._look:
            await self._look(now, self._late)
        async with self._judge.lock:
            self._say_news()
            measured = {rule.name: self._problems.measured(now) for rule in self._judge.rules}
            await self._judge.judge(measured, self._view(now), 10.0)

    def _say_news(self) -> None:
        """What is failing already, and has something new to say."""
        for rule in self._judge.rules:
            for part in self._problems.news & self._judge.alerts.alerts.get(rule.name, {}).keys():
                self._judge.repeat(rule.name, part)
        self._problems.news.clear()

    def _mind_time(self, now: float) -> None:
        """The machine's clock was set, or riskbot stood still and nobody watched: nobody else would say so."""
        ahead, self._jumped = self._clock.jumped - self._jumped, self._clock.jumped
        if ahead:
            self._judge.shift(ahead)
            self._problems.shift(ahead, now)
        step = self._clock.step
        if self._clock.steps != self._steps and step is not None:
            self._steps = self._clock.steps
            way = "ahead" if step.seconds > 0 else "back"
            why = f"the machine's clock was set {way} by {text.span(abs(step.seconds))} at {text.clock(step.at)}"
            self._problems.happened(CLOCK, Problem(now, why, 0.0, NEVER))
        elif self._looked and now - self._looked > STOOD_STILL * self._clock.speed:
            why = f"nothing was watched for {text.span(now - self._looked)}, until {text.clock(now)}"
            self._problems.happened(WATCH, Problem(now, why, 0.0, 0.0 if self._exposed() else NEVER))
        self._looked = now
        for part in (CLOCK, WATCH):
            problem = self._problems.of(part)
            if problem is None or now - problem.since > TOLD_FOR:
                self._problems.clear(part)

    def _view(self, now: float) -> View:
        return View(SELF, now, Snapshot({"details": []}), History(), alerts=self._judge.alerts)


def health(receivers: Iterable[str], accounts: Iterable[str], plugins: Iterable[str] = ()) -> Health:
    """The rule that judges riskbot itself: about these receivers, accounts and plugins."""
    return Health.model_validate({"name": "health", "kind": "health", "names": (*receivers, *accounts, *plugins)})
