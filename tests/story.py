"""A database as a riskbot leaves it, written by the real judge and the real store, at moments that the test gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from click import Command
from click.testing import CliRunner, Result

from riskbot.delivery import Receiver
from riskbot.history import History
from riskbot.model import Alert, Reading, Severity, View
from riskbot.recording import points_only
from riskbot.rules import Measured, Rule
from riskbot.service.judge import Judge
from riskbot.service.selfwatch import health
from riskbot.settings import SELF
from riskbot.snapshot import Snapshot
from riskbot.store import Message
from riskbot.store.sqlite import SqliteStore
from tests.desk import rule

NOW = 1_700_000_000.0
"""14 Nov 2023, 22:13:20 UTC"""

RATIO = rule("margin_ratio", name="margin ratio", below={"warning": 5, "critical": 3, "emergency": 1.5})
TWAP = rule("level", name="forced repayment", field="details.twap", at_least={"warning": 1, "critical": 3})
LEFT = rule("threshold", name="margin left", field="availEq", below={"warning": 5000}, **{"for": "10m"})

RULES = """
[[accounts]]
name = "main"
api_key = "${OKX_API_KEY}"
api_secret = "${OKX_API_KEY}"
passphrase = "${OKX_API_KEY}"

[receivers.phone]
url = "json://localhost"

[receivers.mail]
url = "json://localhost"
min_severity = "critical"

[[rules]]
name = "margin ratio"
kind = "margin_ratio"
below = { warning = 5, critical = 3, emergency = 1.5 }

[[rules]]
name = "forced repayment"
kind = "level"
field = "details.twap"
at_least = { warning = 1, critical = 3 }

[[rules]]
name = "margin left"
kind = "threshold"
field = "availEq"
below = { warning = 5000 }
for = "10m"
"""


class Story:
    """One account's life: `tick` measures, `carry` sends. Moments are seconds relative to NOW."""

    def __init__(self, store: SqliteStore, rules: Path) -> None:
        self.store, self.rules = store, rules
        self.receivers = [Receiver("phone"), Receiver("mail", Severity.CRITICAL)]
        self.judges: dict[str, Judge] = {}

    async def tick(self, at: float, name: str, value: object, subject: str = "", account: str = "main") -> None:
        judge = await self.judge(account, at)
        measured = {name: Measured((Reading(Decimal(str(value)), subject),), complete=False)}
        await judge.judge(measured, self.view(account, at, judge), 1e9)

    async def ail(self, at: float, part: str, why: str, severity: Severity = Severity.WARNING) -> None:
        """Something of riskbot itself fails."""
        judge = await self.judge(SELF, at)
        measured = {"health": Measured((Reading(Decimal(severity), part, why),), complete=False)}
        await judge.judge(measured, self.view(SELF, at, judge), 1e9)

    async def judge(self, account: str, at: float, *rules: Rule) -> Judge:
        if account not in self.judges:
            chosen = rules or (RATIO, TWAP, LEFT)
            own = [health([r.name for r in self.receivers], ["main"])] if account == SELF else chosen
            judge = Judge(account, own, self.receivers, self.store, lambda _: None)
            await judge.load(NOW + at)
            self.judges[account] = judge
        return self.judges[account]

    def view(self, account: str, at: float, judge: Judge) -> View:
        return View(account, NOW + at, Snapshot({"details": []}), History(), alerts=judge.alerts)

    async def carry(self, at: float, receiver: str, verdict: str = "sent", why: str = "", wait: float = 20) -> None:
        for message in await self.store.take(receiver, 99, NOW + at, 30):
            await self._judged(message, NOW + at, verdict, why, wait)

    async def _judged(self, message: Message, now: float, verdict: str, why: str, wait: float) -> None:
        if verdict == "sent":
            await self.store.ack(message, now)
        elif verdict == "dead":
            await self.store.dead(message, now, why)
        elif verdict != "sending":
            await self.store.nack(message, now, now + wait, why, maybe_sent=verdict == "ambiguous")

    async def see(self, at: float, account: str = "main") -> None:
        await self.store.record([points_only(account, [], NOW + at)])

    async def run(self, command: Command, *args: str, columns: str = "100", **env: str) -> Result:
        return await asyncio.to_thread(run, command, self.rules, *args, columns=columns, **env)


def run(command: Command, rules: Path, *args: str, columns: str = "100", **env: str) -> Result:
    """What a command says about a rules file, wherever its -c has to stand."""
    words = (
        [*args[:1], "-c", str(rules), *args[1:]] if args and args[0] in {"retry", "drop"} else ["-c", str(rules), *args]
    )
    settings = {"COLUMNS": columns, "STATE_DIRECTORY": "", "OKX_API_KEY": "a-key", **env}
    return CliRunner().invoke(command, words, env=settings)


@asynccontextmanager
async def story(folder: Path) -> AsyncIterator[Story]:
    """While this process has the database open, riskbot runs, as far as anybody can see."""
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    store = await SqliteStore.open(folder / "riskbot.db")
    try:
        yield Story(store, rules)
    finally:
        await store.close()


def firing(level: Severity, opened: float, **more: Any) -> Alert:
    return Alert(level=level, shown=level, episode=1, seq=1, peak=more.pop("peak", level), opened=opened, **more)
