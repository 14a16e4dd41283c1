"""riskbot run: the watch itself."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from riskbot.cli import logs
from riskbot.cli.common import config_option, load_plugins, mistakes, secrets, understand

if TYPE_CHECKING:
    from riskbot.plugins import Plugins
    from riskbot.redact import Redactor
    from riskbot.service import Bundle
    from riskbot.service.notify_socket import NotifySocket
    from riskbot.settings import Config

log = logging.getLogger("riskbot")

ENDS_WITHIN = 4.7
"""Seconds after SIGTERM. What was not sent by then is in the outbox, and is sent at the next start."""


@click.command("run")
@config_option
@click.option(
    "--log-format",
    type=click.Choice(logs.FORMS),
    default="text",
    show_default=True,
    help="Lines for people and for the journal, or one JSON object a line.",
)
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="info",
    show_default=True,
    help="The mildest lines; debug: every failure, not only the first.",
)
def command(path: Path, log_format: str, log_level: str) -> None:
    """Watch the accounts and tell of danger, until stopped (Ctrl-C or SIGTERM).

    Exit codes: 0 stopped, 1 it failed, 2 the rules file is wrong.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    from riskbot.redact import Redactor  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.notify_socket import NotifySocket  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import ConfigError  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py

    redactor = Redactor()
    systemd = NotifySocket(redactor.redact)
    logs.begin(redactor, log_format, log_level)
    faulthandler.enable()  # where it stood, should it be aborted as systemd's watchdog does; no values are shown
    try:
        _run(path, redactor, systemd)
    except ConfigError as error:
        _refuse(systemd, 2, *mistakes(error, path))
    except StoreError as error:
        _refuse(systemd, 1, str(error))


def _refuse(systemd: NotifySocket, code: int, *lines: str) -> NoReturn:
    """Say why it can't start, to systemd too: `systemctl status` shows it."""
    for line in lines:
        log.error("%s", line)
    systemd.say(STATUS=lines[0])
    sys.exit(code)


def _run(path: Path, redactor: Redactor, systemd: NotifySocket) -> None:
    """Raises ConfigError, StoreError."""
    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.builtin.apprise.opening import BadUrl  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.settings import ConfigError, Problem, Stamps  # noqa: PLC0415 - see cli/__init__.py

    used = Stamps(path)()
    config, found = _read(path, redactor)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(watch(config, found, path, redactor, systemd, used))
    except BadUrl as error:  # found while it loaded beside the first polls; now all of them, with their lines
        _read(path, redactor, check_url)
        raise ConfigError([Problem(str(path), str(error))]) from None


def _read(path: Path, redactor: Redactor, check_url: Callable[[str], None] | None = None) -> tuple[Config, Plugins]:
    """The rules file and its plugins; a broken one is a warning here. Raises ConfigError."""
    found = load_plugins(path)
    for trouble in found.troubles:
        log.warning("%s", trouble)
    return _understand(path, found, redactor, check_url), found


def _understand(path: Path, found: Plugins, redactor: Redactor, check_url: Callable[[str], None] | None) -> Config:
    """Its secrets are not logged from now on; what is doubtful in it is. Raises ConfigError."""
    config = understand(path, found, check_url=check_url)
    redactor.add(*secrets(config))
    for warning in config.warnings:
        log.warning("%s", warning)
    return config


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """The one of uvloop where it is installed (the extra `uvloop`): steadier polls with hundreds of accounts."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return None
    loop: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return loop


def _end(stop: asyncio.Event, systemd: NotifySocket) -> None:
    """Drain and end; a disk or a name server that does not answer holds it up no longer than this."""
    systemd.end()
    stop.set()
    last = threading.Timer(ENDS_WITHIN, os._exit, (0,))
    last.daemon = True
    last.start()


async def watch(
    config: Config, found: Plugins, path: Path, redactor: Redactor, systemd: NotifySocket, used: object = None
) -> None:
    """Run until SIGTERM or Ctrl-C; SIGHUP or a changed file, a plugin's too: go on by the new one."""
    from riskbot.builtin.okx.exchange import Exchange  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.cli import wiring  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service import Service, footprint  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.crier import Crier  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.herald import Herald  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.service.reloader import Reloader  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.web import Web  # noqa: PLC0415 - see cli/__init__.py

    footprint.keep_small()
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, _end, stop, systemd)
    store = await wiring.store(config.db)
    exchange = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
    try:
        service = Service(wiring.bundle(config, exchange, found, redactor.redact), store)

        def read() -> Bundle:
            config_now, found_now = reread(path, config.db, redactor, service.bundle.plugins)
            return wiring.bundle(config_now, exchange, found_now, redactor.redact)

        herald = Herald(service, systemd)
        reloader = Reloader(path, read, service, used, herald.reloading)
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        log.info("watching %d account(s), %d rule(s), state in %s", len(config.accounts), len(config.rules), config.db)
        await service.run(stop, reloader.run(), herald.run(), Crier(service, store).run(), Web(service).run())
        log.info("stopped")
    finally:
        await exchange.close()
        await store.close()


def reread(path: Path, db: Path, redactor: Redactor, before: Plugins) -> tuple[Config, Plugins]:
    """The rules file and its plugins as they are now, the receivers tried too. Raises ConfigError.

    A plugin that is wrong in another way than `before` is a mistake here, as one more line of the file.
    """
    from riskbot import settings  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.builtin.apprise.notifier import check_url  # noqa: PLC0415 - see cli/__init__.py

    found = load_plugins(path)
    if new := [trouble for trouble in found.troubles if trouble not in before.troubles]:
        raise settings.ConfigError([settings.Problem(trouble.where, trouble.why) for trouble in new])
    config = _understand(path, found, redactor, check_url)
    if config.db != db:
        raise settings.ConfigError(
            [settings.Problem(str(path), "store.path can't change while riskbot runs: restart it")]
        )
    return config, found
