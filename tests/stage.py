"""What the end-to-end tests stand on: a phone that may fail, a story for the exchange, the built program."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w
from aiohttp import web

from riskbot.simulator import SimAccount, Simulator

KEYS = {"api_key": "key-of-test", "api_secret": "secret-of-test", "passphrase": "passphrase-of-test"}


@dataclass
class Heard:
    """One message that a phone took."""

    at: float
    title: str
    body: str

    @property
    def id(self) -> str:
        """The short name of the event, in the message's own words: `#main margin ratio 6921f3a1.4`."""
        return next(line for line in self.body.splitlines() if line.startswith("#"))


@dataclass
class Phone:
    """A webhook. `answer` gives the status of each request; a message counts as heard if it is 200."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    tries: int = 0
    answer: Callable[[], int] = lambda: 200
    delay: float = 0.0

    async def hear(self, request: web.Request) -> web.Response:
        sent = await request.json()
        self.tries += 1
        status = self.answer()
        await asyncio.sleep(self.delay)
        if status == 200:
            self.heard.append(Heard(asyncio.get_running_loop().time(), sent["title"], sent["message"]))
        return web.Response(status=status)

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.heard]

    async def waits_for(self, *words: str, seconds: float = 15.0) -> Heard:
        """The first message with all these words in title or body; fails after so many seconds."""
        async with asyncio.timeout(seconds):
            while True:
                for message in self.heard:
                    if all(word in f"{message.title}\n{message.body}" for word in words):
                        return message
                await asyncio.sleep(0.02)


@asynccontextmanager
async def phone(**options: Any) -> AsyncIterator[Phone]:
    """A phone that is on."""
    found = Phone(**options)
    app = web.Application()
    app.router.add_post("/hook", found.hear)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"json://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()


@dataclass
class Account:
    """What the exchange says of the account; a test changes it as it goes."""

    ratio: str = "20"
    liab: str = "1000"
    twap: str = "0"
    conversion: str = "0"
    adj_eq: str = "50000"

    def play(self, _: float) -> dict[str, Any]:
        row = {"ccy": "USDT", "eq": "9000", "eqUsd": "9000", "cashBal": "9000", "disEq": "9000", "interest": "0"}
        row |= {"liab": self.liab, "twap": self.twap, "colBorrAutoConversion": self.conversion, "mgnRatio": ""}
        account = {"uTime": "1705474164160", "totalEq": "60000", "adjEq": self.adj_eq, "mmr": "2500", "imr": "5000"}
        return account | {"mgnRatio": self.ratio, "details": [row]}

    def calm(self) -> None:
        self.ratio, self.liab, self.twap, self.conversion = "20", "1000", "0", "0"


@asynccontextmanager
async def exchange(story: Account, **options: Any) -> AsyncIterator[Simulator]:
    """An exchange that plays it."""
    async with Simulator([SimAccount(*KEYS.values(), uid="77", play=story.play)], **options) as found:
        yield found


RULES: list[dict[str, Any]] = [
    {"name": "margin ratio", "kind": "margin_ratio"},
    {"name": "forced repayment", "kind": "level", "field": "details.twap"},
    {"name": "conversion", "kind": "level", "field": "details.colBorrAutoConversion"},
    {"name": "debt grows", "kind": "change", "field": "details.liab", "over": "10s"},
]
RULES[0]["below"] = {"info": 10, "warning": 5, "critical": 3, "emergency": 1.5}
RULES[1]["at_least"] = {"warning": 1, "critical": 3, "emergency": 5}
RULES[2]["at_least"] = {"warning": 1, "critical": 3, "emergency": 4}
RULES[3]["rises_by"] = {"warning": "10%", "critical": "50%"}


def write_rules(folder: Path, base_url: str, receivers: dict[str, Any], **changes: Any) -> Path:
    """A rules file of these four rules that fall after half a second."""
    document: dict[str, Any] = {
        "accounts": [{"name": "main", **KEYS, "base_url": base_url, "poll_every": "200ms"}],
        "receivers": receivers,
        "rules": [{"keep_firing_for": "500ms", "flap": {"within": "1s", "calm": "1s"}, **rule} for rule in RULES],
    } | changes
    path = folder / "rules.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    path.chmod(0o600)
    return path


class Program:
    """The built program, `riskbot run`, in a process of its own."""

    def __init__(self, rules: Path) -> None:
        self.rules = rules
        self.log = rules.parent / "riskbot.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "riskbot"), "run", "-c", str(self.rules)], stderr=log
            )

    def kill(self) -> None:
        """kill -9: no good-bye."""
        assert self.process
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 20)

    def alerts(self) -> list[dict[str, Any]]:
        """What `riskbot alerts --json` shows."""
        words = [str(Path(sys.executable).parent / "riskbot"), "alerts", "--json", "-c", str(self.rules)]
        found: list[dict[str, Any]] = json.loads(
            subprocess.run(words, capture_output=True, check=True, env=os.environ).stdout
        )
        return found


async def post(url: str, text: str) -> None:
    """A word to the simulator's control endpoint."""
    async with aiohttp.ClientSession() as session, session.post(url, data=text) as response:
        assert response.status == 200, await response.text()
