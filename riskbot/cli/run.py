"""riskbot run: the watch itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskbot.cli.common import config_option, fail, load, load_all, load_plugins, log_to_stderr, secrets, understand

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.redact import Redactor
    from riskbot.service import Bundle
    from riskbot.settings import Config

log = logging.getLogger("riskbot")

ENDS_WITHIN = 4.7
"""Seconds after SIGTERM. What was not sent by then is in the outbox, and is sent at the next start."""


@click.command("run")
@config_option
def command(path: Path) -> None:
    """Watch the accounts and tell of danger, until stopped (Ctrl-C or SIGTERM).

    Exit codes: 0 stopped, 1 it failed, 2 the rules file is wrong.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    from riskbot.builtin.apprise import BadUrl, check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.redact import RedactingFormatter, Redactor  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import Stamps  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py

    used = Stamps(path)()
    config, found = load_all(path)
    redactor = Redactor(secrets(config))
    log_to_stderr(lambda layout: RedactingFormatter(redactor, layout))
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(watch(config, found, path, redactor, used))
    except BadUrl as error:  # found while it loaded beside the first polls; now all of them, with their lines
        load(path, check_url=check_url)
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


def _end(stop: asyncio.Event) -> None:
    """Drain and end; a disk or a name server that does not answer holds it up no longer than this."""
    stop.set()
    last = threading.Timer(ENDS_WITHIN, os._exit, (0,))
    last.daemon = True
    last.start()


async def watch(config: Config, found: Plugins, path: Path, redactor: Redactor, used: object = None) -> None:
    """Run until SIGTERM or Ctrl-C; SIGHUP or a changed file, a plugin's too: go on by the new one."""
    from riskbot.builtin.okx import Exchange  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service import Service  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.reloader import Reloader  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.web import Web  # noqa: PLC0415 - see cli/__init__.py

    # With the usual thresholds the collector walks through the state of all accounts all the time; polls wait for it.
    gc.set_threshold(100_000, 50, 100)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _end, stop)
    store = await wiring.store(config.db)
    exchange = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
    try:
        service = Service(wiring.bundle(config, exchange, found), store)

        def read() -> Bundle:
            config_now, found_now = reread(path, config.db, redactor, service.bundle.plugins)
            return wiring.bundle(config_now, exchange, found_now)

        reloader = Reloader(path, read, service, used)
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        log.info("watching %d account(s), %d rule(s), state in %s", len(config.accounts), len(config.rules), config.db)
        await service.run(stop, reloader.run(), Web(service, redactor.redact).run())
        log.info("stopped")
    finally:
        await exchange.close()
        await store.close()


def reread(path: Path, db: Path, redactor: Redactor, before: Plugins) -> tuple[Config, Plugins]:
    """The rules file and its plugins as they are now, the receivers tried too. Raises ConfigError.

    A plugin that is wrong in another way than `before` is a mistake here, as one more line of the file.
    """
    from riskbot import settings  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.builtin.apprise import check_url  # noqa: PLC0415 - see cli/__init__.py

    found = load_plugins(path)
    if new := [trouble for trouble in found.troubles if trouble not in before.troubles]:
        raise settings.ConfigError([settings.Problem(trouble.where, trouble.why) for trouble in new])
    config = understand(path, found, check_url=check_url)
    if config.db != db:
        raise settings.ConfigError(
            [settings.Problem(str(path), "store.path can't change while riskbot runs: restart it")]
        )
    redactor.add(*secrets(config))
    for warning in config.warnings:
        log.warning("%s", warning)
    return config, found
