"""`make bench`: prints what riskbot costs. No assertion: this machine's noise is not riskbot's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import click
import orjson
import tomli_w
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from riskbot.builtin.okx.exchange import Exchange
from riskbot.builtin.okx.source import Credentials, OkxSource
from riskbot.delivery import Receiver
from riskbot.health import Problems
from riskbot.service.clock import Clock
from riskbot.service.judge import Judge
from riskbot.service.recorder import Recorder, Unrecorded
from riskbot.service.watch import Watch
from riskbot.snapshot import Snapshot
from riskbot.store.sqlite import SqliteStore
from tests.bench.replaying import generated, replays
from tests.bench.rules import RULES, rules

CURRENCIES = (1, 20, 50, 200)
IN_FLIGHT = 40
ROUNDS = 12
PATH = "/api/v5/account/balance"
SECRETS = {"api_secret": "secret", "passphrase": "passphrase"}
OUT = Console(highlight=False, width=110)


@contextmanager
def server() -> Iterator[str]:
    """The exchange and webhook in a process of its own; gives its URL."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


async def floor(session: aiohttp.ClientSession, url: str, key: str) -> None:
    """The least that a poll can cost: a signature, a request, the body, its JSON."""
    stamp = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")  # noqa: TID251
    digest = hmac.digest(b"secret", f"{stamp}GET{PATH}".encode(), hashlib.sha256)
    headers = {
        "OK-ACCESS-KEY": key,
        "OK-ACCESS-SIGN": base64.b64encode(digest).decode(),
        "OK-ACCESS-TIMESTAMP": stamp,
        "OK-ACCESS-PASSPHRASE": "passphrase",
    }
    async with session.get(url + PATH, headers=headers, allow_redirects=False) as response:
        orjson.loads(await response.read())


def source(exchange: Exchange, url: str, key: str) -> OkxSource:
    return OkxSource(exchange, url, Credentials(SecretStr(key), SecretStr("secret"), SecretStr("passphrase")))


class Unlimited:
    """The bench asks more often than the exchange allows."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None

    def pause(self) -> None:
        """It is not waited for."""


async def typed(account: OkxSource) -> None:
    """Our fetch, with the eight fields typed that every account's rules read."""
    snapshot: Snapshot = await account.fetch()
    _ = snapshot.mgn_ratio, snapshot.adj_eq, snapshot.mmr, snapshot.total_eq
    for balance in snapshot.balances.values():
        _ = balance.liab, balance.twap, balance.col_borr_auto_conversion, balance.eq_usd


async def cpu(calls: list[Callable[[], Awaitable[Any]]]) -> float:
    """Microseconds of CPU for one of many calls in flight."""
    before = time.process_time()
    await asyncio.gather(*(call() for call in calls))
    return (time.process_time() - before) / len(calls) * 1e6


async def polls(url: str) -> None:
    """CPU of one poll, by currencies: the floor, our fetch and typing, a full tick, and one that is recorded."""
    table = Table(
        *("currencies", "floor µs", "fetch and type", "tick", "recorded tick"),
        *("fetch ÷ floor", "tick ÷ floor", "recorded ÷ tick"),
        title="CPU per poll",
    )
    for n in CURRENCIES:
        with tempfile.TemporaryDirectory() as folder:
            table.add_row(str(n), *await _polls(url, n, Path(folder)))
    OUT.print(table)


async def _polls(url: str, n: int, folder: Path) -> list[str]:
    exchange = Exchange(time.time)  # noqa: TID251
    exchange.limiter = lambda *_: Unlimited()  # type: ignore[method-assign, assignment, return-value]
    store = await SqliteStore.open(folder / "bench.db")
    accounts = [source(exchange, url, f"key-{n}-{i}") for i in range(IN_FLIGHT)]
    plain = [await _watch(store, Unrecorded(f"plain {i}"), account) for i, account in enumerate(accounts)]
    recorded = [await _watch(store, Recorder(f"recorded {i}", ""), account) for i, account in enumerate(accounts)]
    kinds: dict[str, list[Callable[[], Awaitable[Any]]]] = {
        "floor": [lambda i=i: floor(exchange.session, url, f"key-{n}-{i}") for i in range(IN_FLIGHT)],
        "typed": [lambda a=a: typed(a) for a in accounts],
        "tick": [watch.poll for watch in plain],
        "recorded": [watch.poll for watch in recorded],
    }
    costs: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, calls in kinds.items():
            costs[kind].append(await cpu(calls))
    journal = await cpu([partial(_journal, store, recorded)]) / len(recorded) / ROUNDS
    costs["recorded"] = [cost + journal for cost in costs["recorded"]]
    await store.close()
    await exchange.close()
    medians = {kind: statistics.median(values[2:]) for kind, values in costs.items()}
    pairs = (("typed", "floor"), ("tick", "floor"), ("recorded", "tick"))
    ratios = [f"{medians[kind] / medians[base]:.2f}" for kind, base in pairs]
    return [*(f"{medians[kind]:.0f}" for kind in kinds), *ratios]


async def _journal(store: SqliteStore, watches: list[Watch]) -> None:
    await store.record([batch for watch in watches for batch in await watch.drained()])


async def _watch(store: SqliteStore, recorder: Unrecorded, account: OkxSource) -> Watch:
    clock = Clock()
    judge = Judge(recorder.account, rules(), [Receiver("hook")], store, lambda _: None, recorder=recorder)
    watch = Watch(judge, account, clock, Problems(), 1.0)
    await watch.load(store)
    return watch


WEB = "127.0.0.1:9195"


def config(folder: Path, url: str, accounts: int, currencies: int = 20) -> Path:
    """A rules file for so many accounts and the 20 rules."""
    document = {
        "web": {"listen": WEB},
        "accounts": [
            {"name": f"a{i}", "api_key": f"key-{currencies}-{i}", **SECRETS, "base_url": url} for i in range(accounts)
        ],
        "receivers": {"hook": {"url": url.replace("http://", "json://") + "/hook"}},
        "rules": [{"name": f"rule {i}", **rule} for i, rule in enumerate(RULES)],
    }
    document["rules"][0]["flap"] = {"within": "1s", "calm": "1s"}  # type: ignore[index]
    document["rules"][0]["keep_firing_for"] = "0s"  # type: ignore[index]
    path = folder / "rules.toml"
    path.write_text(tomli_w.dumps(document))
    path.chmod(0o600)
    return path


def usage(pid: int) -> tuple[float, float]:
    """(CPU seconds, RSS in MiB) of a process, from /proc."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = Path(f"/proc/{pid}/status").read_text()
    rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), rss / 1024


async def crowd(url: str, accounts: int, currencies: int, seconds: float) -> list[str]:
    """A whole `riskbot run` with so many accounts at 1 Hz: share of a core, RSS; lateness as the server saw it."""
    with tempfile.TemporaryDirectory() as folder:
        path = config(Path(folder), url, accounts, currencies)
        report = Path(folder) / "late.json"
        process = subprocess.Popen([sys.executable, "-m", "tests.bench.run", str(path), str(report)])
        await asyncio.sleep(4 + accounts / 200)
        (cpu_before, _), before = usage(process.pid), time.perf_counter()
        await asyncio.sleep(seconds)
        (cpu_after, rss), after = usage(process.pid), time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait()
        late = json.loads(report.read_text())
        core = (cpu_after - cpu_before) / (after - before)
        lateness = [f"{late[quantile] * 1000:.1f}" for quantile in ("p50", "p99")]
        polls = f"{late['polls'] / accounts:.1f}"
        return [
            str(accounts),
            str(currencies),
            f"{core:.3f}",
            f"{core / accounts * 1e6:.0f}",
            f"{rss:.0f}",
            polls,
            *lateness,
        ]


async def crowds(url: str) -> None:
    """Whole runs with 20 rules."""
    table = Table(
        "accounts",
        "currencies",
        "cores",
        "µs a poll",
        "RSS MiB",
        "polls each",
        "late p50 ms",
        "p99 ms",
        title="riskbot run, 1 poll a second",
    )
    for accounts, currencies, seconds in ((1, 20, 20.0), (2, 50, 60.0), (100, 20, 20.0), (1000, 20, 20.0)):
        table.add_row(*await crowd(url, accounts, currencies, seconds))
    OUT.print(table)


async def scrapes(url: str) -> None:
    """What it costs the polls that somebody scrapes /metrics every second, and looks at the page."""
    table = Table("accounts", "asked", "cores", "late p50 ms", "p99 ms", "/metrics ms", "KiB", title="somebody looks")
    for accounts in (1, 100):
        for paths in ((), ("metrics",), ("metrics", "")):
            looking = asyncio.create_task(_look(paths))
            row = await crowd(url, accounts, 20, 20.0)
            looking.cancel()
            times, size = await looking
            took = f"{statistics.median(times) * 1000:.0f}" if times else ""
            asked = ", ".join(f"/{path}" for path in paths) or "nothing"
            table.add_row(str(accounts), asked, row[2], *row[6:8], took, f"{size / 1024:.0f}" if size else "")
    OUT.print(table)


async def _look(paths: tuple[str, ...]) -> tuple[list[float], int]:
    """Asks every second until cancelled; gives how long /metrics took, and how large it was at last."""
    times, size = [], 0
    with suppress(asyncio.CancelledError):
        async with aiohttp.ClientSession() as session:
            while paths:
                await asyncio.sleep(1)
                with suppress(aiohttp.ClientError):
                    for path in paths:
                        before = time.perf_counter()
                        async with session.get(f"http://{WEB}/{path}") as response:
                            body = await response.read()
                        if path == "metrics":
                            times.append(time.perf_counter() - before)
                            size = len(body)
    return times, size


async def alarm(url: str, times: int = 15) -> None:
    """From the reply that crosses a tier to the webhook, the durable record in between."""
    with tempfile.TemporaryDirectory() as folder:
        path = config(Path(folder), url, 1)
        process = subprocess.Popen(
            [sys.executable, "-m", "riskbot.cli", "run", "-c", str(path)], stderr=subprocess.DEVNULL
        )
        async with aiohttp.ClientSession() as session:
            await asyncio.sleep(3)
            for _ in range(times):
                for on in ("1", "0"):
                    async with session.post(f"{url}/dip", params={"on": on}) as response:
                        heard = (await response.json())["heard"]
                    await asyncio.sleep(1.1 if on == "1" else 3.2)
        process.send_signal(signal.SIGTERM)
        process.wait()
    heard = sorted(heard)
    table = Table("alarms", "p50 ms", "p99 ms", "worst ms", title="reply → webhook, committed before it is sent")
    table.add_row(
        str(len(heard)), *(f"{1000 * heard[min(len(heard) - 1, int(q * len(heard)))]:.1f}" for q in (0.5, 0.99, 1))
    )
    OUT.print(table)


async def starts(url: str) -> None:
    """How long a command takes: wall and CPU, median of five."""
    table = Table("command", "wall ms", "CPU ms", title="start")
    with tempfile.TemporaryDirectory() as folder:
        path = str(config(Path(folder), url, 1))
        for name, words in (("--help", ["--help"]), ("check", ["check", "-c", path])):
            took = [_timed(words) for _ in range(5)]
            table.add_row(f"riskbot {name}", *(f"{statistics.median(t[i] for t in took) * 1000:.0f}" for i in (0, 1)))
        firsts = [await _first_poll(url, path) for _ in range(5)]
        table.add_row("riskbot run → first poll", f"{statistics.median(firsts) * 1000:.0f}", "")
    OUT.print(table)


def _timed(words: list[str]) -> tuple[float, float]:
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "riskbot.cli", *words], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu_time = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, cpu_time


async def _first_poll(url: str, path: str) -> float:
    async with aiohttp.ClientSession() as session:

        async def count() -> int:
            async with session.post(f"{url}/dip", params={"on": "0"}) as response:
                found: int = (await response.json())["balance"]
                return found

        before, start = await count(), time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "riskbot.cli", "run", "-c", path], stderr=subprocess.DEVNULL)
        while await count() == before:
            await asyncio.sleep(0.005)
        took = time.perf_counter() - start
        process.send_signal(signal.SIGTERM)
        process.wait()
        return took


async def replay(url: str) -> None:
    """A replay of some hours that are made for it."""
    with tempfile.TemporaryDirectory() as folder:
        OUT.print(replays(generated(Path(folder)), config(Path(folder), url, 1)))


PARTS = {"polls": polls, "crowds": crowds, "starts": starts, "alarm": alarm, "scrapes": scrapes, "replay": replay}


async def measure(names: Iterable[str]) -> None:
    """Those parts, each beside an exchange of its own."""
    for name in names:
        with server() as url:
            await PARTS[name](url)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(PARTS)))
def main(names: tuple[str, ...]) -> None:
    """Measure what riskbot costs: all of it, in about six minutes, or the parts that are named."""
    asyncio.run(measure(names or PARTS))


if __name__ == "__main__":
    main(prog_name="python -m tests.bench")
