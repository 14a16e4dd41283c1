"""riskbot run: the watch itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskbot.cli.common import config_option, fail, load, log_to_stderr, secrets

if TYPE_CHECKING:
    from riskbot.settings import Config

log = logging.getLogger("riskbot")


@click.command("run")
@config_option
def command(path: Path) -> None:
    """Watch the accounts and tell of danger, until stopped (Ctrl-C or SIGTERM).

    Exit codes: 0 stopped, 1 it failed, 2 the rules file is wrong.
    """
    from riskbot.builtin.apprise import BadUrl  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.redact import RedactingFormatter, Redactor  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py

    config = load(path)
    redactor = Redactor(secrets(config))
    log_to_stderr(lambda layout: RedactingFormatter(redactor, layout))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(watch(config))
    except BadUrl as error:
        fail(f"{path}: {error}", 2)
    except StoreError as error:
        fail(str(error), 1)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """The one of uvloop where it is installed (the extra `uvloop`): steadier polls with hundreds of accounts."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop


async def watch(config: Config) -> None:
    """Run until SIGTERM or Ctrl-C."""
    from riskbot.builtin.okx import Exchange  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service import Service  # noqa: PLC0415 - see cli/__init__.py

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    store = await wiring.store(config.db)
    exchange = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
    try:
        service = Service(
            config.accounts,
            config.rules,
            wiring.receivers(config),
            wiring.sources(config, exchange),
            wiring.notifiers(config),
            store,
        )
        log.info("watching %d account(s), %d rule(s), state in %s", len(config.accounts), len(config.rules), config.db)
        await service.run(stop)
        log.info("stopped")
    finally:
        await exchange.close()
        await store.close()
