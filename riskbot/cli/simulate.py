"""riskbot simulate: the exchange's endpoint on this machine."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from riskbot.simulator import Simulator

KEY, SECRET, PASSPHRASE = "simulated-key", "simulated-secret", "simulated-passphrase"  # of no exchange


@click.command("simulate")
@click.argument("scenario", default="crash")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0: any free port.")
@click.option(
    "--speed", type=click.FloatRange(0, 100_000), default=1.0, show_default=True, help="Scenario seconds in one second."
)
@click.option("--mode", type=click.Choice(["1", "2", "3", "4"]), help="Account mode (acctLv); default: the scenario's.")
@click.option("--fault", "faults", multiple=True, metavar="FAULT", help="Such as latency=2s, html=502, code=50011.")
@click.option("--list", "listing", is_flag=True, help="Show the shipped scenarios and end.")
def command(
    scenario: str, port: int, speed: float, mode: str | None, faults: tuple[str, ...], *, listing: bool
) -> None:
    """Serve a simulated exchange that plays SCENARIO: a shipped one, or a TOML file of your own.

    It answers like OKX's REST API: signed requests, the limit, the account modes. Set it as `base_url` of an account.
    Faults can be set and ended while it runs:

    \b
    curl -d 'html=502' URL/simulator/faults
    curl -X DELETE URL/simulator/faults

    Exit codes: 0 stopped, 2 usage.
    """  # noqa: D301 - click wants the character
    from riskbot import simulator  # noqa: PLC0415 - see cli/__init__.py

    if listing:
        for name in simulator.scenario_names():
            story = simulator.load_scenario(name)
            click.echo(f"{name:22} {' '.join(story.about.split()) or story.title}")
        return
    try:
        account = simulator.SimAccount(
            KEY,
            SECRET,
            PASSPHRASE,
            scenario=simulator.load_scenario(scenario),
            mode=mode,  # type: ignore[arg-type] # click has checked it
        )
        server = simulator.Simulator([account], speed=speed, port=port)
        for fault in faults:
            server.inject(fault)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError:
        known = ", ".join(simulator.scenario_names())
        raise click.UsageError(f"no scenario {scenario!r}: give one of {known}, or a TOML file") from None
    asyncio.run(_serve(server, scenario))


async def _serve(server: Simulator, scenario: str) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        async with server:
            click.echo(_invitation(server, scenario))
            await stop.wait()
    except OSError as error:
        raise click.UsageError(f"can't listen: {error.strerror}") from None


def _invitation(server: Simulator, scenario: str) -> str:
    return f"""\
{scenario}, {server.speed:g} x, at {server.url}   (Ctrl-C ends it)

[[accounts]]
name = "simulated"
api_key = "{KEY}"
api_secret = "{SECRET}"
passphrase = "{PASSPHRASE}"
base_url = "{server.url}"

state   curl {server.url}/simulator/state
fault   curl -d 'html=502' {server.url}/simulator/faults"""
