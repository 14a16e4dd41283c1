"""An account's watch over a real database: a random life with kills, and a crash as it may be recorded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from riskbot import rulebook
from riskbot.delivery import Receiver
from riskbot.health import Problems
from riskbot.model import Severity
from riskbot.rulebook import Account
from riskbot.rules import Rule
from riskbot.service.clock import Clock
from riskbot.service.journal import Journal
from riskbot.service.judge import Judge
from riskbot.service.recorder import Recorder
from riskbot.service.watch import Watch
from riskbot.source import Remedy, SourceError
from riskbot.store import Kept
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, Hands, Market, rule

FLAP = {"changes": 4, "within": "60s", "calm": "30s"}
AT_ONCE = {"keep_firing_for": "2s"}
RULES: list[list[Rule]] = [
    [
        rule("margin_ratio", below={"info": 8, "warning": 5, "critical": 3}, keep_firing_for="5s", flap=FLAP),
        rule("change", field="details.liab", rises_by={"warning": "10%", "critical": "50%"}, over="5m", **AT_ONCE),
        rule("key_safety", keep_firing_for="0s"),
        rule("change", name="equity", field="adjEq", falls_by={"warning": "1%"}, over="2m", keep_firing_for="2s"),
        BLIND,
    ],
    [
        rule("margin_ratio", below={"warning": 6}, keep_firing_for="5s"),
        rule("change", field="details.liab", rises_by={"warning": "10%"}, over="10m"),
        rule("time_to", field="mgnRatio", reaches="3", within={"warning": "10m", "critical": "3m"}, **AT_ONCE),
        BLIND,
    ],
]  # fmt: skip
BOOKS = [rulebook.of([Account("main", 1.0)], rules, [Receiver("phone")], []) for rules in RULES]


class Killed(BaseException):
    """kill -9: nothing in the process sees it coming."""


class Mortal(SqliteStore):
    """A database whose process is killed at one of its next writes. fuse: even: before the write, odd: after it."""

    fuse: int | None = None

    async def _write(self, work: Callable[[Connection], Any], *, durable: bool = False) -> Any:
        self._burn()
        done = await super()._write(work, durable=durable)
        self._burn()
        return done

    def _burn(self) -> None:
        """Once it is over nothing is written any more."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise Killed


class Life:
    """An account's watch over a real database, killed now and then."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.random = path, random.Random(seed)
        self.hands, self.market = Hands(), Market(liab="1000")
        self.kills, self.which = 0, 0

    async def start(self) -> None:
        self.disk = await Mortal.open(self.path)
        self.store = SurvivingStore(self.disk)
        await self.store.release()
        self.hands.clock = clock = Clock(lambda: self.hands.wall, lambda: self.hands.monotonic)
        book, problems = BOOKS[self.which], Problems()
        await self.store.keep(Kept(clock.now(), book.hash, book.text))
        recorder = Recorder("main", book.hash)
        phone = [Receiver("phone")]
        judge = Judge("main", RULES[self.which], phone, self.store, lambda _: None, recorder=recorder)
        self.watch = Watch(judge, self.market, clock, problems, 1.0)
        self.journal = Journal({"main": self.watch}, self.store, clock)
        await self.watch.load(self.store)

    async def run(self, steps: int, kills: int) -> None:
        await self.start()
        step = 0
        while step < steps or self.kills < kills:
            step += 1
            if self.random.random() < 1.5 * kills / steps and self.kills < kills:
                self.disk.fuse = self.random.randrange(6)
            try:
                await self.step(step)
            except Killed:
                await self.die()
        await self.journal.write()
        await self.store.close()

    async def die(self) -> None:
        self.kills += 1
        await self.watch.close()
        await self.store.close()
        self.hands.turn(self.random.choice([0.0, 0.3, 5.0, 40.0]))
        await self.start()

    async def step(self, step: int) -> None:
        pick, market = self.random.random(), self.market
        self.hands.turn(self.random.choice([0.2, 1.0, 1.0, 1.0, 1.0013, 12.0]))
        if pick < 0.25:
            market.ratio = self.random.choice(["12", "7", "4.5", "2.5", "", "5.1", "4.9"])
        elif pick < 0.35:
            market.liab = str(round(float(market.liab) * self.random.uniform(0.95, 1.15), 4))
        elif pick < 0.4:
            market.error = SourceError("no answer", self.random.choice(list(Remedy)), self.random.choice([*Severity]))
        elif pick < 0.5:
            market.error = None
        elif pick < 0.52:
            self.hands.wall += self.random.choice([30.0, 100.5, -20.0])
        elif pick < 0.56:
            await self.reload()
        elif pick < 0.6:
            market.permissions = self.random.choice([("read_only",), ("read_only", "trade")])
            self.watch._info_due = 0.0
        market.extra = {"adjEq": str(50000 - 10 * (step % 200))}
        work = [self.watch.poll()] + ([self.journal.write()] if step % 10 == 0 else [])
        self.random.shuffle(work)
        for outcome in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def reload(self) -> None:
        self.which = 1 - self.which
        book = BOOKS[self.which]
        await self.store.keep(Kept(self.hands.clock.now(), book.hash, book.text))
        await self.watch.use(RULES[self.which], [Receiver("phone")], self.store, book.hash)


async def crashed(path: Path) -> Path:
    """A database of a crash and a recovery, with a restart between; it ends with a quiet hour."""
    life = Life(path, 1)
    life.hands.wall = life.hands.monotonic = 1_700_000_000.0
    await life.start()
    for ratio in ("12", "4.5", "2.5", "2.5", "restart", "2.5", "4.5", *["12"] * 8):
        if ratio == "restart":
            await life.journal.write()
            await life.die()
            continue
        life.market.ratio = ratio
        life.hands.turn(2.0)
        await life.watch.poll()
    for _ in range(70):
        life.hands.turn(60.0)
        await life.watch.poll()
        await life.journal.write()
    await life.store.close()
    return life.path
