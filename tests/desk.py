"""A watch or a courier on its own: a clock that the test turns, sources and notifiers that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from riskbot.delivery import Receiver, about_receiver
from riskbot.health import Problems
from riskbot.model import AccountInfo, Severity
from riskbot.notify import Outcome, Text, Verdict
from riskbot.rules import Rule
from riskbot.service.clock import Clock
from riskbot.service.courier import Courier
from riskbot.service.judge import Judge
from riskbot.service.minder import Minder
from riskbot.service.recorder import Recorder
from riskbot.service.watch import Watch
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError
from riskbot.store import Fenced, Message
from riskbot.store.memory import MemoryStore
from tests.files import KINDS


def rule(kind: str, **keys: Any) -> Rule:
    return KINDS[kind].model_validate({"name": kind, "kind": kind, **keys})


RATIO = rule("margin_ratio", below={"warning": 5, "critical": 3})
DEBT = rule("change", field="details.liab", rises_by={"warning": "10%"}, over="1h")
BLIND = rule("blind")


class Hands:
    """The hands of a clock: turned by the test."""

    def __init__(self) -> None:
        self.wall = self.monotonic = 1_000_000.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def turn(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class Market:
    """A source that gives what the test puts in."""

    def __init__(self, ratio: str = "12", liab: str = "0") -> None:
        self.ratio, self.liab = ratio, liab
        self.error: Exception | None = None
        self.info_error: SourceError | None = None
        self.permissions: tuple[str, ...] = ("read_only",)
        self.extra: dict[str, Any] = {}
        self.uid = "77"
        self.closed = False
        self.hang = False

    async def fetch(self) -> Snapshot:
        if self.hang:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        row = {"ccy": "USDT", "eq": "1000", "eqUsd": "1000", "liab": self.liab, "mgnRatio": ""}
        return Snapshot({"mgnRatio": self.ratio, "adjEq": "50000", "details": [row], **self.extra})

    async def info(self) -> AccountInfo:
        if self.info_error:
            raise self.info_error
        return AccountInfo(self.uid, "3", permissions=self.permissions)

    async def close(self) -> None:
        self.closed = True


class Desk:
    """A watch on its own, and what it wrote."""

    def __init__(self, *rules: Rule, store: Any = None, stopwatch: Callable[[], float] | None = None) -> None:
        self.hands, self.market, self.problems = Hands(), Market(), Problems()
        self.minder = Minder(self.hands.clock, self.problems, stopwatch or (lambda: self.hands.monotonic))
        self.store = store or MemoryStore()
        self.woken: list[str] = []
        self.recorder = Recorder("main", "b1")
        chosen, phone = rules or (RATIO, DEBT, BLIND), [Receiver("phone")]
        self.judge = Judge("main", chosen, phone, self.store, self.woken.append, recorder=self.recorder)
        self.judge._compose, self.judge._heard = self.minder.compose, self.minder.heard
        self.watch = Watch(self.judge, self.market, self.hands.clock, self.problems, 1.0, self.minder.ask)

    async def load(self) -> Desk:
        await self.watch.load(self.store)
        return self

    async def poll(self, seconds: float = 1.0) -> None:
        self.hands.turn(seconds)
        await self.watch.poll()

    async def titles(self) -> list[str]:
        rows = await self.store.outbox(("queued", "sending", "sent", "superseded", "dead"))
        return [message.title for _, message in reversed(rows)]


class Postman:
    """A notifier that answers as told."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.verdicts = list(verdicts)
        self.sent: list[Text] = []
        self.closed = False

    async def send(self, text: Text) -> Verdict:
        self.sent.append(text)
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict(Outcome.SENT)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def close(self) -> None:
        self.closed = True


class Post:
    """A courier on its own, with one critical message to carry."""

    def __init__(self, *verdicts: Verdict | Exception, receiver: Receiver | None = None) -> None:
        self.hands, self.problems, self.store = Hands(), Problems(), MemoryStore()
        self.danger = False
        self.postman = Postman(*verdicts)
        notifier: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        notifier.set_result(self.postman)
        self.courier = Courier(
            receiver or Receiver("phone"), notifier, self.store, self.hands.clock, self.problems, lambda: self.danger
        )

    async def write(self, ratio: str = "2.5", rules: tuple[Rule, ...] = (RATIO, BLIND)) -> None:
        judge = Judge("main", rules, [Receiver("phone")], self.store, lambda _: None)
        market = Market(ratio)
        watch = Watch(judge, market, self.hands.clock, self.problems, 1.0)
        await watch.load(self.store)
        await watch.poll()

    async def put(self, *messages: Message) -> None:
        """Write these to the outbox, as one tick of their account."""
        account = messages[0].account
        rev = (await self.store.load(account)).rev
        await self.store.commit(account, rev, f"commit {rev}", b"{}", messages)
        self.courier.wake()

    async def carry(self) -> None:
        """Until nothing is due."""
        while await self.courier._next(self.postman):
            self.hands.turn(0.01)

    async def rows(self) -> list[tuple[str, Message]]:
        return await self.store.outbox(("queued", "sending", "sent", "superseded", "dead"))

    def severity(self, part: str = about_receiver("phone")) -> Severity:
        readings = self.problems.measured(self.hands.clock.now()).readings
        return Severity(int(next((r.value for r in readings if r.ccy == part), 0)))


class Thief(MemoryStore):
    """Somebody else writes the account once."""

    def __init__(self) -> None:
        super().__init__()
        self.stolen = False

    async def commit(self, account: str, rev: int, *rest: Any) -> int:
        if rev and not self.stolen:
            self.stolen = True
            await super().commit(account, rev, "theirs", b"{}")
            raise Fenced("somebody else has written it")
        return await super().commit(account, rev, *rest)
