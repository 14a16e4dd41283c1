"""What the end-to-end tests stand on: a phone that may fail, a story for the exchange, the built program."""

from __future__ import annotations

import asyncio
import html
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w
from aiohttp import web

from riskbot.simulator import SimAccount, Simulator
from riskbot.store import Message, StoreError
from riskbot.store.outbox import STATES
from riskbot.store.peek import look

KEYS = {"api_key": "key-of-test", "api_secret": "secret-of-test", "passphrase": "passphrase-of-test"}


@dataclass
class Heard:
    """What a phone was told of one alert. together: how many alerts the message told of."""

    at: float
    title: str
    body: str
    together: int = 1

    @classmethod
    def message(cls, at: float, title: str, body: str) -> list[Heard]:
        """One message as it arrived: several alerts of an account may share one (`WARNING · main · 3 alerts`)."""
        if not re.search(r" · \d+ alerts$", title):
            return [cls(at, title, body)]
        parts = [part.partition("\n") for part in body.split("\n\n")]
        assert title.endswith(f" {len(parts)} alerts"), (title, body)
        return [cls(at, head, rest, len(parts)) for head, _, rest in parts]

    @property
    def id(self) -> str:
        """The short name of the event, in the message's own words: `#main margin ratio 6921f3a1.4`."""
        return next(line for line in self.body.splitlines() if line.startswith("#"))

    @property
    def alert(self) -> str:
        """Which alert it is about: `#main margin ratio`."""
        return self.id.rpartition(" ")[0]

    @property
    def step(self) -> tuple[int, int, int]:
        """Episode, the how-manieth change of it, the how-manieth reminder of that (`…6921f3a1.4r1`)."""
        episode, seq, again = re.fullmatch(r"([0-9a-f]+)\.(\d+)(?:r(\d+))?", self.id.rpartition(" ")[2]).groups()  # type: ignore[union-attr]
        return int(episode, 16), int(seq), int(again or 0)

    @property
    def maybe(self) -> bool:
        """Does it say that it may be a repeat?"""
        return "(may be a repeat)" in self.body


@dataclass
class Phone:
    """A webhook. `answer` gives the status of each request; a message counts as heard if it is 200.

    delay: seconds until it answers. early: it has heard by then; else only when it answers, so that a message that is
    cut off was not heard. tried: when each request came. messages: how many it took. retry_after: seconds, said with
    each 429.
    """

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    tries: int = 0
    answer: Callable[[], int] = lambda: 200
    delay: float = 0.0
    early: bool = False
    tried: list[float] = field(default_factory=list)
    messages: int = 0
    retry_after: int = 0

    async def hear(self, request: web.Request) -> web.Response:
        sent = await request.json()
        status = await self._take(sent["title"], sent["message"])
        patience = {"Retry-After": str(self.retry_after)} if status == 429 else {}
        return web.Response(status=status, headers=patience)

    async def hear_telegram(self, request: web.Request) -> web.Response:
        """As Telegram's Bot API has it: a title in bold above the text, and its patience in the answer's words."""
        title, _, body = html.unescape(re.sub(r"</?b>", "", (await request.json())["text"])).partition("\r\n")
        status = await self._take(title, body)
        if status == 429:
            words = f"Too Many Requests: retry after {self.retry_after}"
            more = {"error_code": 429, "description": words, "parameters": {"retry_after": self.retry_after}}
            return web.json_response({"ok": False, **more}, status=429)
        return web.json_response({"ok": status == 200}, status=status)

    async def _take(self, title: str, body: str) -> int:
        self.tries += 1
        self.tried.append(asyncio.get_running_loop().time())
        status, delay = self.answer(), self.delay
        if not self.early:
            await asyncio.sleep(delay)
        if status == 200:
            self.messages += 1
            self.heard += Heard.message(asyncio.get_running_loop().time(), title, body)
        if self.early:
            await asyncio.sleep(delay)
        return status

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.heard]

    def all_of(self, *words: str) -> list[Heard]:
        """All that was heard with these words in title or body."""
        return [heard for heard in self.heard if all(word in f"{heard.title}\n{heard.body}" for word in words)]

    async def waits_for(self, *words: str, seconds: float = 15.0) -> Heard:
        """The first message with all these words in title or body; fails after so many seconds."""
        await until(lambda: self.all_of(*words), seconds, lambda: f"not heard: {words}; but {self.heard}")
        return self.all_of(*words)[0]


@asynccontextmanager
async def phone(**options: Any) -> AsyncIterator[Phone]:
    """A phone that is on."""
    found = Phone(**options)
    app = web.Application()
    app.router.add_post("/hook", found.hear)
    app.router.add_post("/bot{token}/sendMessage", found.hear_telegram)
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
        "start": {"receivers": []},
        "rules": [{"keep_firing_for": "500ms", "flap": {"within": "1s", "calm": "1s"}, **rule} for rule in RULES],
    } | changes
    return put(folder / "rules.toml", tomli_w.dumps(document))


def put(path: Path, text: str) -> Path:
    """Write a file as an editor does: whole, or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    return new.replace(path)


STARTED: list[subprocess.Popen[bytes]] = []
"""Every program that was started; a test that fails leaves its own running."""


UP = "INFO watching "
"""What it logs when it begins."""


class Program:
    """The built program, `riskbot run`, in a process of its own.

    prelude: Python that runs before it, in its process: what the world around it is like. options: of `riskbot run`.
    env: variables besides those of the tests.
    """

    def __init__(self, rules: Path, prelude: str = "", options: Sequence[str] = (), **env: str) -> None:
        self.rules = rules
        self.db = rules.parent / "riskbot.db"
        self.log = rules.parent / "riskbot.log"
        self.prelude, self.options, self.env = prelude, options, env
        self._before = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._before = self.says(UP)
        words = [str(Path(sys.executable).parent / "riskbot")]
        if self.prelude:
            words = [sys.executable, "-c", f"{self.prelude}\nfrom riskbot.cli import main\nmain()"]
        with self.log.open("ab") as log:
            words += ["run", "-c", str(self.rules), *self.options]
            self.process = subprocess.Popen(words, stderr=log, env=os.environ | self.env)
            STARTED.append(self.process)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    @property
    def is_up(self) -> bool:
        """Has it begun to watch?"""
        return self.says(UP) > self._before

    def says(self, words: str) -> int:
        """How often these words stand in its log."""
        return self.log.read_text(encoding="utf-8").count(words) if self.log.exists() else 0

    def rows(self) -> list[tuple[str, Message]]:
        """Its whole outbox, newest first."""
        return look(self.db, STATES).rows

    def knows(self, account: str, rule: str = "") -> bool:
        """Does its database hold that account, and something of that rule?"""
        with suppress(StoreError):
            alerts = look(self.db, ()).alerts.get(account)
            return alerts is not None and (not rule or rule in alerts.alerts)
        return False

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


def end_all() -> None:
    """Kill what still runs."""
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    STARTED.clear()


async def until(
    met: Callable[[], Any], seconds: float = 20.0, why: Callable[[], str] = lambda: "it never came to be"
) -> None:
    """Waits until that is met; fails after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            while not met():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(why()) from None


async def polls(market: Simulator, count: int) -> None:
    """Waits until the account was asked for so many times more."""
    goal = market.request_count + count
    await until(lambda: market.request_count >= goal)


async def post(url: str, text: str) -> None:
    """A word to the simulator's control endpoint."""
    async with aiohttp.ClientSession() as session, session.post(url, data=text) as response:
        assert response.status == 200, await response.text()
