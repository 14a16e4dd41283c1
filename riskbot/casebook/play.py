"""Plays a case: the real service, from the rules to the couriers, over a course, within a virtual loop."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from math import ceil, inf

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from riskbot import virtual
from riskbot.casebook.course import EPSILON, Course
from riskbot.casebook.disk import Disk
from riskbot.casebook.people import Exchange, Heard, Id, Phone, World
from riskbot.casebook.scribe import Sample, Scribe
from riskbot.model import Acknowledgement, Alerts, Event, Quiet, Severity, Silence
from riskbot.notify import Notifier
from riskbot.plugins import Plugins
from riskbot.rules import Rule
from riskbot.service import Bundle, Service
from riskbot.service.clock import Clock
from riskbot.service.reloader import Reloader
from riskbot.settings import AccountSettings, Config
from riskbot.settings.cases import Case, Do
from riskbot.source import Source
from riskbot.store.surviving import SurvivingStore

AFTER = 0.001
"""Seconds after the poll of its moment: then what is to be done is done."""
ACK, SILENCE = 1800.0, 3600.0
"""Seconds that they last where a case does not say it: those of `riskbot ack`; an hour."""

Read = Callable[[str], tuple[Config, Plugins]]
"""Reads the rules file that a `reload` names. Raises ConfigError."""


class Setup(Struct, frozen=True):
    """What a case is played with."""

    case: Case
    config: Config
    plugins: Plugins
    course: Course
    read: Read

    @property
    def account(self) -> AccountSettings:
        """The one that is watched."""
        accounts = self.config.accounts
        return next((a for a in accounts if a.name == self.case.account), accounts[0])

    def having(self, rule: Rule) -> Setup:
        """The same with another rule in place of the one of its name."""
        rules = tuple(rule if rule.name == old.name else old for old in self.config.rules)
        return replace(self, config=replace(self.config, rules=rules))

    def seeing(self, course: Course) -> Setup:
        """The same with another course."""
        return replace(self, course=course)


class Played(Struct, frozen=True):
    """What came of it. heard: every message, as it came.

    excused, doubted: messages that may have come more than once, and how often: a kill met them on their way, their
    answer was lost.
    events: of the account. samples: the account after each poll. kills: when it was killed. moments: at which it could
    have been. killed: before or after which write it was, where a fuse did it. wrong: what could not be done.
    """

    heard: list[Heard]
    excused: dict[Id, int]
    doubted: dict[Id, int]
    events: list[Event]
    samples: list[Sample]
    kills: list[float]
    moments: int
    killed: str
    wrong: list[str]


Enough = Callable[[list[Heard], float], bool]
"""Of what was heard until then: is there nothing more to learn?"""


def play(setup: Setup, fuse: int | None = None, *, sampled: bool = False, enough: Enough | None = None) -> Played:
    """Play it. fuse: kill it at this one of its moments. sampled: note how things are after each poll.

    enough: asked at each poll; then it ends.
    """
    return virtual.run(_play(setup, fuse, enough, sampled=sampled))


async def _play(setup: Setup, fuse: int | None, enough: Enough | None, *, sampled: bool) -> Played:
    stage = _Stage(setup, Disk(fuse), Scribe() if sampled else None, enough)
    await stage.run()
    disk, world = stage.disk, stage.world
    events = [event for event in disk.events.values() if event.account == setup.account.name]
    samples = stage.scribe.samples if stage.scribe else []
    doubts = world.excused, world.doubted
    return Played(world.heard, *doubts, events, samples, stage.kills, disk.moments, disk.where, stage.wrong)


class _Stage:
    """One case while it is played. Its agenda: what happens when, unless the process is killed before."""

    def __init__(self, setup: Setup, disk: Disk, scribe: Scribe | None, enough: Enough | None) -> None:
        self.setup, self.disk, self.scribe, self._enough = setup, disk, scribe, enough
        self._over = False
        self._failure: BaseException | None = None
        self.world = World(setup.course, setup.case.receiver)
        self.kills = list[float]()
        self.wrong = list[str]()
        self._config, self._plugins = setup.config, setup.plugins
        self._service: Service | None = None
        self._loop = asyncio.get_running_loop()
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []

    async def run(self) -> None:
        every = self.setup.course.every
        end = self.setup.course.length - every / 2
        self._plan(0.0, self._start)
        for do in self.setup.case.do:
            self._plan(do.t + AFTER, partial(self._do, do))
        while True:
            due = min(self._agenda[0][0] if self._agenda else inf, end)
            killed = await self._is_killed_before(due)
            if self._over or (due == end and not killed):
                break
            if killed:
                await self._fall(self._loop.time())
            else:
                await heapq.heappop(self._agenda)[2]()
        if self.scribe:
            self.scribe.look()
        await self._end()

    def _plan(self, at: float, work: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), work))

    async def _is_killed_before(self, moment: float) -> bool:
        timer = self._loop.call_at(moment, self.disk.bell.set)
        await self.disk.bell.wait()
        timer.cancel()
        self.disk.bell.clear()
        if self._failure:
            raise self._failure
        return self.disk.gone and self._service is not None

    # A process begins and ends.

    async def _start(self) -> None:
        self.disk.revive()
        start = self.setup.case.start.timestamp()
        clock = Clock(lambda: start + self._loop.time(), self._loop.time)
        bundle = self._bundle(self._config, self._plugins)
        store = SurvivingStore(self.disk)
        self._service = Service(bundle, store, clock, pick=max)  # the longest wait that is allowed
        task = asyncio.create_task(self._service.run(asyncio.Event()))
        task.add_done_callback(self._note_failure)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        """A loop of the service that failed is a mistake of riskbot."""
        if not task.cancelled() and not self.disk.gone:
            self._failure = task.exception()
            self.disk.bell.set()

    async def _fall(self, start_again: float) -> None:
        """A kill -9, and a new beginning at the next moment that a poll is due."""
        self.world.excuse(self.disk)
        self.kills.append(self._loop.time())
        await self._end()
        every = self.setup.course.every
        self._plan(ceil(start_again / every - EPSILON) * every, self._start)

    async def _end(self) -> None:
        """Whatever runs is dropped; nothing that it still tries is done."""
        self.disk.gone, self._service = True, None
        me = asyncio.current_task()
        while others := [task for task in asyncio.all_tasks() if task is not me]:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=0)

    def _bundle(self, config: Config, found: Plugins) -> Bundle:
        settings = config.receivers
        return Bundle(
            (self.setup.account,),
            config.rules,
            tuple(settings[name].receiver(name) for name in settings),
            {name: settings[name].url for name in settings},
            self._source,
            self._notifier,
            found,
        )

    def _source(self, _: object) -> Source:
        return Exchange(self.setup.course, self._looked)

    async def _notifier(self, name: str) -> Notifier:
        return Phone(self.world.ear(name), self.disk)

    def _looked(self) -> None:
        """A poll begins: what the one before has come to can be seen."""
        if self._enough and self._enough(self.world.heard, self._loop.time()):
            self._over = True
            self.disk.bell.set()
        if self.scribe and self._service:
            self.scribe.look()
            self.scribe.begin(self._service.watches[self.setup.account.name], self._loop.time(), self.setup.course)

    # What somebody does.

    async def _do(self, do: Do) -> None:
        if do.kill:
            if not self.disk.gone:
                await self._fall(do.t + do.kill if isinstance(do.kill, float) else self._loop.time())
        elif do.reload:
            await self._reload(do.reload)
        elif do.ack:
            await self._ack(do.ack, ACK if do.for_ is None else do.for_)
        elif do.silence:
            await self._silence(do.silence, SILENCE if do.for_ is None else do.for_)
        for name, script in (do.receiver or {}).items():
            self.world.ear(name).follow(script)

    async def _reload(self, name: str) -> None:
        """As riskbot takes up a changed file; one that was changed while it was down it finds at its start."""

        def read() -> Bundle:
            config, found = self.setup.read(name)
            bundle = self._bundle(config, found)
            self._config, self._plugins = config, found
            return bundle

        if self._service is None:
            read()
            return
        await Reloader(self._config.files[0], read, self._service, used=object()).reload()

    @property
    def _now(self) -> float:
        return self.setup.case.start.timestamp() + self._loop.time()

    async def _silence(self, pattern: str, seconds: float) -> None:
        silence = Silence(self._now + seconds, rule=pattern, most=Severity.CRITICAL, since=self._now)
        await self.disk.hush(lambda quiet: Quiet((*quiet.silences, silence), quiet.acks))

    async def _ack(self, name: str, seconds: float) -> None:
        acks = [*self._acks(name, self._now + seconds)]
        if not acks:
            self.wrong.append(f'ack = "{name}": nothing of that name is open then')
        await self.disk.hush(lambda quiet: Quiet(quiet.silences, (*quiet.acks, *acks)))

    def _acks(self, name: str, until: float) -> list[Acknowledgement]:
        account = self.setup.account.name
        state = self.disk.states.get(account)
        alerts = msgspec.json.decode(state.value or b"{}", type=Alerts) if state else Alerts()
        return [
            Acknowledgement(account, rule, subject, alert.episode, alert.shown, until, alert.peak)
            for rule, subject, alert in alerts.each()
            if alert.shown and name in (rule, f"{rule}/{subject}")
        ]
