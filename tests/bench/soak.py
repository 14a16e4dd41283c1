"""A soak: the built program for a long time, on a fast clock, while all around it fails at random.

`python -m tests.bench.soak --minutes 30 --speed 20` measures what may grow: memory, tasks, descriptors, threads, the
database. It ends with 1 if one of them does.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import click
import tomli_w
from aiohttp import web
from rich.console import Console
from rich.table import Table

from riskbot.simulator import SimAccount, Simulator
from tests.stage import RULES, put

ACCOUNTS, CURRENCIES, DEBTORS = 3, 80, 3
TOKEN = "soak-0123456789abcdef"
JOURNAL_MB = 16
DB_GROWTH = 1.2
"""The largest that the database is in the last quarter, by what it was in the first: its size goes up and down."""
SLACK = 2
"""So many tasks, descriptors and threads more are none that leak: each act on the program would leave one."""
WARM_UP = 1 / 2
"""The part of the run in which what may grow to its size does: caches, and what failing receivers are owed."""
FAULTS = (
    "latency=1s", "hang", "reset", "code=50011", "code=50001", "code=50102", "html=502", "html=403", "redirect",
    "empty-body", "huge=2MB", "gzip-bomb=20MB", "truncate", "bad-json", "wrong-types", "wrong-types=details.liab",
    "missing=mgnRatio", "missing=data", "new-field", "no-data", "stale", "skew=45s",
)  # fmt: skip
ANSWERS = (200, 200, 200, 200, 400, 401, 404, 413, 429, 500, 503, -1, -2)
"""Of a receiver: HTTP statuses; -1: it hangs, -2: it closes the connection."""
OUT = Console(highlight=False, width=110)


def play(shift: float, at: float) -> dict[str, Any]:
    """`data[0]` of an account with cycles of about 20 minutes: alerts of every rule begin, climb and end.

    All amounts move at each poll; a few debts move so far that it is told.
    """
    phase = 2 * math.pi * (at / 1200 + shift)
    rows = [_row(i, phase, at) for i in range(CURRENCIES)]
    account = {"uTime": "1705474164160", "totalEq": "60000", "adjEq": f"{50000 + 9000 * math.sin(phase):.4f}"}
    ratio = 1.1 + 12 * (1 + math.sin(phase)) ** 2
    return account | {"mmr": "2500", "imr": "5000", "mgnRatio": f"{ratio:.6f}", "details": rows}


def _row(i: int, phase: float, at: float) -> dict[str, Any]:
    debt = 1000 * (1.6 + math.sin(phase + i) * (i < DEBTORS)) + math.sin(at * (i + 1))
    level = max(0, round(5 * math.sin(phase / 3 + i))) if i < DEBTORS else 0
    money = dict.fromkeys(("eq", "eqUsd", "cashBal", "disEq"), f"{9000 + debt:.8f}")
    levels = {"twap": str(level), "colBorrAutoConversion": str(5 - level if level else 0)}
    return {"ccy": f"C{i}", **money, **levels, "liab": f"{debt:.8f}", "interest": f"{at / 1e6:.8f}", "mgnRatio": ""}


@dataclass
class Receiver:
    """A webhook whose temper changes. heard: what it took."""

    url: str = ""
    temper: int = 200
    heard: int = 0

    async def hear(self, request: web.Request) -> web.Response:
        """Answer by the temper that it is in."""
        await request.read()
        if self.temper == -1:
            await asyncio.sleep(20)
        if self.temper < 0:
            assert request.transport
            request.transport.abort()
        self.heard += self.temper == 200
        return web.Response(status=max(self.temper, 200), text=f"said with {request.path}")


@asynccontextmanager
async def receiving() -> AsyncIterator[dict[str, Receiver]]:
    """Three receivers, of which the last is always well, and a heartbeat's service."""
    names = ("phone", "mail", "log", "beat-1f0c")
    found, app = {name: Receiver() for name in names}, web.Application()
    for name, receiver in found.items():
        app.router.add_route("*", f"/{name}", receiver.hear)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for name, receiver in found.items():
        receiver.url = f"127.0.0.1:{runner.addresses[0][1]}/{name}"
    try:
        yield found
    finally:
        await runner.cleanup()


@dataclass
class Sample:
    """at: seconds since the start. rss, database: MiB. tasks: by coroutine."""

    at: float
    rss: float
    tasks: Counter[str]
    descriptors: int
    threads: int
    database: float

    @property
    def counts(self) -> dict[str, int]:
        """What must not grow, by name."""
        return {"tasks": self.tasks.total(), "descriptors": self.descriptors, "threads": self.threads}


@dataclass
class Soak:
    """One run, and what is done to it."""

    folder: Path
    exchange: Simulator
    receivers: dict[str, Receiver]
    speed: float
    chance: random.Random
    samples: list[Sample] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    process: subprocess.Popen[bytes] | None = None
    web_at: str = ""

    # What it runs on.

    def write(self, *, changed: bool = False, broken: bool = False) -> None:
        """The rules file; changed: another account, receiver, rule and address than before."""
        rules = deepcopy(RULES)
        rules[3]["over"] = "10m"
        if changed:
            rules[0]["below"]["warning"] = self.chance.choice([4, 5, 6])
            rules.append({"name": "extra", "kind": "threshold", "field": "adjEq", "below": {"info": 45000}})
        accounts = [self._account(i) for i in range(ACCOUNTS - changed)]
        receivers = {name: {"url": f"json://{self.receivers[name].url}"} for name in ("phone", "mail", "log")[changed:]}
        document = {
            "accounts": accounts, "receivers": receivers, "rules": rules, "start": {"receivers": []},
            "store": {"journal_mb": JOURNAL_MB, "journal_days": 1}, "heartbeat": {"url": f"http://{self.receivers['beat-1f0c'].url}"},
            "web": {"listen": "127.0.0.1:0", "token": TOKEN + "x" * changed},
        }  # fmt: skip
        put(self.folder / "rules.toml", tomli_w.dumps(document) + "[[" * broken)

    def _account(self, i: int) -> dict[str, Any]:
        keys = {"api_key": f"key-{i}", "api_secret": "secret", "passphrase": "passphrase"}
        # Four a second, within the exchange's limit.
        return {"name": f"a{i}", **keys, "base_url": self.exchange.url, "poll_every": min(60.0, self.speed / 4)}

    async def start(self) -> None:
        """The program, with a low priority; returns when it runs: before, SIGHUP would end it."""
        self.write()
        words = ["-m", "tests.bench.hurried", str(self.speed), str(self.folder / "tasks.json"), "run", "-c"]
        command = ["nice", "-n", "15", sys.executable, *words, str(self.folder / "rules.toml")]
        with (self.folder / "riskbot.log").open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        while self.process.poll() is None and not (self.folder / "tasks.json").exists():
            await asyncio.sleep(0.1)

    async def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 30)

    @property
    def log(self) -> str:
        """All that it logged."""
        return (self.folder / "riskbot.log").read_text(encoding="utf-8", errors="replace")

    # What is done to it.

    async def trouble(self) -> None:
        """Something goes wrong every few seconds, or is well again."""
        acts = (self._fault, self._fault, self._tempers, self._reload, self._look)
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 4))
            act = self.chance.choice(acts)
            self.done[act.__name__.strip("_")] += 1
            await act()

    async def _fault(self) -> None:
        if self.chance.random() < 0.3:
            self.exchange.clear_faults()
        words = f"{self.chance.choice(FAULTS)} for={self.chance.uniform(0.3, 6):.1f}s"
        where = self.chance.choice(["", "", " on=config", " on=time", " on=all", " account=a0", " chance=0.3"])
        self.exchange.inject(words + where * ("skew" not in words))

    async def _tempers(self) -> None:
        for name in ("phone", "mail", "beat-1f0c"):
            self.receivers[name].temper = self.chance.choice(ANSWERS)

    async def _reload(self) -> None:
        assert self.process
        self.write(changed=self.chance.random() < 0.5, broken=self.chance.random() < 0.2)
        self.process.send_signal(signal.SIGHUP)

    async def _look(self) -> None:
        """As browsers and scrapers do: with and without the token, and some that go before they have an answer."""
        at = self.log.rpartition("/metrics and /healthz at ")[2].partition("\n")[0]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(self.chance.choice([0.01, 5]))) as session:
            for path in ("metrics", "healthz", "readyz", "", "nowhere"):
                for token in (TOKEN, TOKEN + "x", ""):
                    headers = {"Authorization": f"Bearer {token}"} if token else {}
                    with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                        async with session.get(at + path, headers=headers) as response:
                            await response.read()
                            self.done[f"HTTP {response.status}"] += 1

    # What is measured.

    async def measure(self, seconds: float) -> None:
        """A sample each two seconds, for so long."""
        assert self.process
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            await asyncio.sleep(2)
            if self.process.poll() is not None:
                raise click.ClickException(f"it ended with {self.process.returncode}:\n{self.log[-2000:]}")
            with suppress(OSError, ValueError):  # it has not begun yet
                self.samples.append(self._sample(passed))
                if len(self.samples) % 30 == 0:
                    OUT.print(described(self.samples[-1]))

    def _sample(self, at: float) -> Sample:
        assert self.process
        proc = Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        size = sum(path.stat().st_size for path in self.folder.glob("riskbot.db*"))
        tasks = Counter(json.loads((self.folder / "tasks.json").read_text()))
        rss, threads = int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"])
        return Sample(at, rss, tasks, len([*(proc / "fd").iterdir()]), threads, size / 2**20)


def described(sample: Sample) -> str:
    """In a line."""
    counts = ", ".join(f"{count} {name}" for name, count in sample.counts.items())
    return f"{sample.at / 60:5.1f} min  {sample.rss:6.1f} MiB  {counts}, database {sample.database:.1f} MiB"


def slope(samples: Sequence[Sample]) -> float:
    """MiB an hour, of the straight line that fits the least of each minute best: what is freed again is no growth."""
    least: dict[int, float] = {}
    for sample in samples:
        minute = int(sample.at // 60)
        least[minute] = min(sample.rss, least.get(minute, math.inf))
    return statistics.linear_regression(list(least), list(least.values())).slope * 60


def quarters(samples: Sequence[Sample]) -> list[Sequence[Sample]]:
    """In four parts of the time."""
    cuts = [len(samples) * i // 4 for i in range(5)]
    return [samples[low:high] for low, high in pairwise(cuts)]


def floors(samples: Sequence[Sample]) -> list[dict[str, int]]:
    """The least of each count in each quarter: what leaks lifts it, whatever else comes and goes."""
    counts = [[sample.counts for sample in part] for part in quarters(samples)]
    return [{name: min(one[name] for one in part) for name in part[0]} for part in counts]


def growing(samples: Sequence[Sample], most: float) -> list[str]:
    """What must not grow and does. most: MiB an hour."""
    found = [f"memory: {slope(samples):+.1f} MiB an hour, {most:g} at most"] if slope(samples) > most else []
    first, *_, last = floors(samples)
    found += [
        f"{name}: never below {last[name]}, was {first[name]}" for name in first if last[name] > first[name] + SLACK
    ]
    early, late = (max(sample.database for sample in part) for part in (quarters(samples)[0], quarters(samples)[-1]))
    return found + ([f"the database: {early:.1f} → {late:.1f} MiB"] if late > early * DB_GROWTH else [])


def report(soak: Soak, warm: Sequence[Sample]) -> None:
    """What was done, and what came of it."""
    table = Table("after warm-up", "first", "least", "median", "most", "last", title=f"soak at {soak.speed:g} x")
    columns = {"RSS MiB": [sample.rss for sample in warm], "database MiB": [sample.database for sample in warm]}
    columns |= {name: [float(sample.counts[name]) for sample in warm] for name in warm[0].counts}
    for name, values in columns.items():
        shown = (values[0], min(values), statistics.median(values), max(values), values[-1])
        table.add_row(name, *(f"{value:.1f}" if "MiB" in name else f"{value:.0f}" for value in shown))
    OUT.print(table)
    minutes = (warm[-1].at - warm[0].at) / 60
    OUT.print(f"slope of RSS over the last {minutes:.0f} min: {slope(warm):+.2f} MiB an hour of wall time")
    OUT.print(
        f"RSS by quarters: {', '.join(f'{statistics.median(s.rss for s in part):.1f}' for part in quarters(warm))}"
    )
    OUT.print(f"floors of each quarter: {floors(warm)}")
    OUT.print(f"done to it: {dict(soak.done)}; polls answered or refused: {soak.exchange.request_count}")
    OUT.print(f"messages taken: { {name: receiver.heard for name, receiver in soak.receivers.items()} }")
    lines = soak.log.splitlines()
    OUT.print(f"log: {len(lines)} lines, {sum('Traceback' in line for line in lines)} tracebacks")
    if "Traceback" in soak.log:
        OUT.print("Traceback" + soak.log.partition("Traceback")[2][:3000])


async def run(minutes: float, speed: float, most: float, seed: int) -> int:
    """The whole of it; gives the exit code."""
    accounts = [
        SimAccount(f"key-{i}", "secret", "passphrase", uid=str(i), label=f"a{i}", play=lambda at, i=i: play(i / 7, at))
        for i in range(ACCOUNTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with receiving() as receivers, Simulator(accounts, speed=speed) as exchange:
            soak = Soak(Path(folder), exchange, receivers, speed, random.Random(seed))
            await soak.start()
            troubling = asyncio.create_task(soak.trouble())
            try:
                await soak.measure(minutes * 60)
            finally:
                troubling.cancel()
                code = await soak.stop()
            if troubling.done() and not troubling.cancelled() and (error := troubling.exception()):
                raise error
        warm = [sample for sample in soak.samples if sample.at >= minutes * 60 * WARM_UP]
        report(soak, warm)
    found = growing(warm, most) + ([f"it ended with {code}"] if code else [])
    OUT.print("\n".join(f"[red]grows: {line}[/]" for line in found) or "[green]nothing grows[/]")
    return 1 if found else 0


@click.command()
@click.option("--minutes", type=click.FloatRange(0.5), default=30.0, show_default=True)
@click.option("--speed", type=click.FloatRange(1, 200), default=20.0, show_default=True)
@click.option("--most", default=4.0, show_default=True, help="MiB that memory may grow in an hour.")
@click.option("--seed", default=20261123, show_default=True)
def command(minutes: float, speed: float, most: float, seed: int) -> None:
    """Run riskbot for so long, while all around it fails at random, and see that nothing of it grows."""
    sys.exit(asyncio.run(run(minutes, speed, most, seed)))


if __name__ == "__main__":
    command(prog_name="python -m tests.bench.soak")
