"""riskbot demo: a crash on this machine, from the first warning to liquidation, in under a minute."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import STYLES, console, fail, load_all
from riskbot.cli.replayed import phone

if TYPE_CHECKING:
    from aiohttp import web
    from rich.console import RenderableType

    from riskbot.plugins import Plugins
    from riskbot.service import Service
    from riskbot.settings import Config
    from riskbot.simulator import Simulator
    from riskbot.store.surviving import SurvivingStore

SPEED = 30.0
"""Seconds of the crash in one second."""
POLL_EVERY = 7.5
"""Seconds of the crash between two polls: four a second, within the exchange's limit."""
AFTERMATH = 20.0
"""Seconds of the crash that are still shown after the liquidation."""
CHART = 48
BLOCKS = " ▁▂▃▄▅▆▇█"
RULES = "rules.example.toml"


@click.command("demo")
@click.option("--rules", "path", type=click.Path(path_type=Path), help=f"Rules to try; default: {RULES}.")
@click.option("--scenario", default="crash", show_default=True, help="What happens; see: riskbot simulate --list")
def command(path: Path | None, scenario: str) -> None:
    """Play a crash on this machine: no key, no network beyond loopback, under a minute.

    A simulated exchange, the real watch with your rules, and a receiver that shows each message as a phone would.

    Exit codes: 0 played and every message delivered once, 1 not so, 2 usage or configuration.
    """
    path = path or _example()
    with tempfile.TemporaryDirectory(prefix="riskbot-demo-") as folder:
        stage = asyncio.run(_play(path, scenario, Path(folder)))
    if stage.duplicates or not stage.delivered:
        fail("the demo did not go as it should", 1)


def _example() -> Path:
    """The example that lies beside the program, or here."""
    from riskbot.setup.draft import EXAMPLE  # noqa: PLC0415 - see cli/__init__.py

    return Path(RULES) if Path(RULES).exists() else EXAMPLE


@dataclass
class Stage:
    """What the audience sees: the ratio so far, the messages, when they came (seconds of the scenario)."""

    out: Any
    end: float
    ratios: list[Decimal] = field(default_factory=list)
    titles: list[tuple[float, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    liquidated_at: float | None = None
    now: float = 0.0

    @property
    def delivered(self) -> int:
        """Messages that arrived."""
        return len(self.titles)

    @property
    def duplicates(self) -> int:
        """Messages that arrived more than once."""
        return len(self.ids) - len(set(self.ids))


async def _play(path: Path, scenario: str, folder: Path) -> Stage:
    from rich.live import Live  # noqa: PLC0415 - see cli/__init__.py

    from riskbot import simulator  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py

    try:
        story = simulator.load_scenario(scenario)
    except ValueError as error:
        fail(str(error), 2)
    except OSError:
        fail(f"no scenario {scenario!r}: give one of {', '.join(simulator.scenario_names())}, or a TOML file", 2)
    account = simulator.SimAccount("demo-key", "demo-secret", "demo-passphrase", label="demo", scenario=story)
    stage = Stage(console(), float(story.duration))
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(simulator.Simulator([account], speed=SPEED))
        sink = await _sink(stack, stage)
        config, found = _config(path, folder, sink)
        store = await wiring.store(config.db)
        stack.push_async_callback(store.close)
        service = await _service(stack, config, found, exchange, store)
        stop = asyncio.Event()
        stage.out.print(_opening(story.title, SPEED))
        exchange.seek(0)
        running = asyncio.create_task(service.run(stop))
        with Live(console=stage.out, auto_refresh=False, transient=True) as live:
            while not _over(stage) and not running.done():
                await asyncio.sleep(0.25)
                _look(stage, exchange, account)
                live.update(_board(stage), refresh=stage.out.is_terminal)
        stop.set()
        await running
        written = len(await store.outbox(("queued", "sending", "sent", "superseded", "dead")))
        stage.out.print(_closing(stage, written))
    return stage


def _config(path: Path, folder: Path, sink: str) -> tuple[Config, Plugins]:
    """The rules and plugins as they are, with this machine's exchange and receiver in place of the real ones."""
    env = {
        **dict.fromkeys(("OKX_API_KEY", "OKX_API_SECRET", "OKX_API_PASSPHRASE"), "demo"),
        **os.environ,
        "RISKBOT_PHONE": sink,
        "STATE_DIRECTORY": str(folder),
    }
    return load_all(path, env)


async def _service(
    stack: AsyncExitStack, config: Config, found: Plugins, exchange: Simulator, store: SurvivingStore
) -> Service:
    """The real watch, living as fast as the crash."""
    from msgspec.structs import replace  # noqa: PLC0415 - see cli/__init__.py
    from pydantic import SecretStr  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.builtin.okx.exchange import Exchange  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service import Service  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.clock import Clock  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import OKX  # noqa: PLC0415 - see cli/__init__.py

    keys = {"source": OKX, "api_key": SecretStr("demo-key"), "api_secret": SecretStr("demo-secret")}
    account = config.accounts[0].model_copy(
        update={**keys, "passphrase": SecretStr("demo-passphrase"), "base_url": exchange.url, "poll_every": POLL_EVERY}
    )
    shared = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
    stack.push_async_callback(shared.close)
    bundle = wiring.bundle(replace(config, accounts=(account,)), shared, found)
    ready = {receiver.name: bundle.notifier(receiver.name) for receiver in bundle.receivers}
    await asyncio.gather(*ready.values())  # what takes a second in life would take half a minute of the story
    return Service(replace(bundle, notifier=ready.__getitem__), store, Clock(speed=SPEED))


async def _sink(stack: AsyncExitStack, stage: Stage) -> str:
    """A receiver on this machine: the Apprise URL of a server that shows what it is sent."""
    from aiohttp import web  # noqa: PLC0415 - see cli/__init__.py

    async def hear(request: web.Request) -> web.Response:
        sent = await request.json()
        stage.titles.append((stage.now, sent["title"]))
        stage.ids.append(sent["title"] + sent["message"])
        stage.out.print(phone(_stopwatch(stage.now), sent["title"], sent["message"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"json://127.0.0.1:{runner.addresses[0][1]}/"


# ---------------------------------------------------------------- what is shown


def _look(stage: Stage, exchange: Simulator, account: Any) -> None:
    """The course of the account, as the exchange itself knows it."""
    stage.now = exchange.now
    text = exchange.payload(account)["mgnRatio"]
    if text:
        ratio = Decimal(text)
        stage.ratios.append(ratio)
        if ratio <= 1 and stage.liquidated_at is None:
            stage.liquidated_at = stage.now


def _over(stage: Stage) -> bool:
    if stage.liquidated_at is not None:
        return stage.now >= stage.liquidated_at + AFTERMATH
    return stage.now >= stage.end


def _opening(title: str, speed: float) -> RenderableType:
    return f"[bold]{title}[/], {speed:g} times as fast as life. Exchange, watch and phone are all on this machine.\n"


def _board(stage: Stage) -> RenderableType:
    """The ratio so far as a small chart, liquidation at its foot."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    if not stage.ratios:
        return Text("…")
    now = stage.ratios[-1]
    style = STYLES["ok" if now >= 10 else "info" if now >= 5 else "warning" if now >= 3 else "critical"]
    line = Text(f"{_stopwatch(stage.now)}  mgnRatio {now:6.2f}  ")
    return line.append(_spark(stage.ratios), style=style).append("  liquidation at 1.00", style="dim")


def _spark(ratios: list[Decimal]) -> str:
    """Blocks from 1 (liquidation) to the highest value, the whole course in one line."""
    step = max(1, -(-len(ratios) // CHART))
    shown = [float(ratio) for ratio in ratios[::step]]
    top = max(*shown, 1.01) if len(shown) > 1 else max(shown[0], 1.01)
    heights = [max(0.0, min(1.0, (value - 1) / (top - 1))) for value in shown]
    return "".join(BLOCKS[round(height * (len(BLOCKS) - 1))] for height in heights)


def _stopwatch(at: float) -> str:
    return f"{int(at) // 60:02d}:{int(at) % 60:02d}"


def _closing(stage: Stage, written: int) -> RenderableType:
    from rich.padding import Padding  # noqa: PLC0415 - see cli/__init__.py
    from rich.table import Table  # noqa: PLC0415 - see cli/__init__.py

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_row("course", f"mgnRatio {stage.ratios[0]:.2f} to {stage.ratios[-1]:.2f}  {_spark(stage.ratios)}")
    if stage.liquidated_at is not None:
        table.add_row("liquidation", f"at {_stopwatch(stage.liquidated_at)}")
        table.add_row("first message", _lead(stage, ("",)))
        table.add_row("first critical", _lead(stage, ("CRITICAL", "EMERGENCY")))
    table.add_row("messages", f"{written} written, {stage.delivered} delivered, {stage.duplicates} duplicates")
    return Padding(table, (1, 0, 0, 0), expand=False)


def _lead(stage: Stage, severities: tuple[str, ...]) -> str:
    """How long before liquidation the first message of such a severity came."""
    from riskbot import text  # noqa: PLC0415 - see cli/__init__.py

    for at, title in stage.titles:
        if title.startswith(severities):
            return f"[bold]{text.span((stage.liquidated_at or at) - at)} before liquidation[/]: {title}"
    return "none"
