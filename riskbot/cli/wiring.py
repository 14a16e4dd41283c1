"""From a valid rules file to what the service runs on: sources, receivers, notifiers, the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.builtin.apprise.opening import BadUrl
from riskbot.builtin.okx.exchange import Exchange
from riskbot.builtin.okx.source import HOSTS, Credentials, OkxSource
from riskbot.notify import Notifier
from riskbot.plugins import Plugins
from riskbot.service import Bundle, strangers
from riskbot.service.bulletins import Daily
from riskbot.settings import OKX, AccountSettings, Config, DailySettings, ReceiverSettings
from riskbot.source import Source
from riskbot.store import Unavailable
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore

NO_PLUGINS = Plugins()


def bundle(
    config: Config, exchange: Exchange, found: Plugins = NO_PLUGINS, redact: Callable[[str], str] = str
) -> Bundle:
    """All that the service needs of a rules file; its sources share one session."""
    settings, servers = config.receivers, {server_of(account) for account in config.accounts}
    return Bundle(
        config.accounts,
        config.rules,
        tuple(settings[name].receiver(name) for name in settings),
        {name: settings[name].url for name in settings},
        partial(source, exchange=exchange, found=found, redact=redact),
        lambda name: asyncio.create_task(
            notifier(name, settings[name].url.get_secret_value(), found, redact), name=f"notifier {name}"
        ),
        found,
        config.heartbeat,
        lambda: {server: offset for server, offset in exchange.offsets.items() if server in servers},
        config.store,
        _told(config.start.receivers, settings),
        daily(config.daily, settings),
        config.web,
        redact,
    )


def daily(chosen: DailySettings | None, receivers: Mapping[str, ReceiverSettings]) -> Daily | None:
    """Who hears once a day how all is, and when."""
    if chosen is None:
        return None
    return Daily(chosen.at, ZoneInfo(chosen.timezone) if chosen.timezone else None, _told(chosen.receivers, receivers))


def _told(chosen: tuple[str, ...] | None, receivers: Mapping[str, ReceiverSettings]) -> tuple[str, ...]:
    """Those that were chosen; else those that are told of the mildest."""
    if chosen is not None:
        return chosen
    mildest = min(settings.severity for settings in receivers.values())
    return tuple(name for name, settings in receivers.items() if settings.severity == mildest)


def source(account: AccountSettings, exchange: Exchange, found: Plugins, redact: Callable[[str], str] = str) -> Source:
    """The source of one account. redact: of what a plugin's says."""
    if account.source != OKX:
        return strangers.source(account, found.sources[account.source], redact)
    credentials = Credentials(account.api_key, account.api_secret, account.passphrase)
    return OkxSource(exchange, server_of(account), credentials, demo=account.demo, ccys=account.ccy)


def server_of(account: AccountSettings) -> str:
    """The base URL at which OKX is asked for it."""
    return (account.base_url or HOSTS[account.region]).rstrip("/")


async def notifier(name: str, url: str, found: Plugins, redact: Callable[[str], str] = str) -> Notifier:
    """A plugin's, if one has that scheme; else Apprise's, made in a thread: it takes most of a second to load.

    redact: of what a plugin's says. Raises BadUrl, with the receiver's name, if its URL is of no use.
    """
    try:
        if own := strangers.notifier(url, found.notifiers, redact):
            return own
        return await asyncio.to_thread(AppriseNotifier, url)
    except ValueError as error:
        raise BadUrl(f"receivers.{name}.url: {error}") from None


async def store(path: Path) -> SurvivingStore:
    """The database, or memory alone while it can't be used: the watch goes on, and tells of it.

    Raises StoreError where going on would do harm: another riskbot uses it, or it is not ours to write.
    """

    async def reopen() -> SqliteStore:
        return await SqliteStore.reopen(path)

    try:
        return SurvivingStore(await SqliteStore.open(path), reopen)
    except Unavailable as error:
        return SurvivingStore(None, reopen, reason=str(error))
