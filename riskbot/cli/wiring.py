"""From a valid rules file to what the service runs on: sources, receivers, notifiers, the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from riskbot.builtin.apprise import AppriseNotifier, BadUrl
from riskbot.builtin.okx import HOSTS, Credentials, Exchange, OkxSource
from riskbot.delivery import Receiver
from riskbot.notify import Notifier
from riskbot.settings import AccountSettings, Config
from riskbot.source import Source
from riskbot.store import Unavailable
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore


def sources(config: Config, exchange: Exchange) -> dict[str, Source]:
    """A source for each account, all over one session."""
    return {account.name: source(account, exchange) for account in config.accounts}


def source(account: AccountSettings, exchange: Exchange) -> OkxSource:
    """The source of one account."""
    credentials = Credentials(account.api_key, account.api_secret, account.passphrase)
    base_url = account.base_url or HOSTS[account.region]
    return OkxSource(exchange, base_url, credentials, demo=account.demo, ccys=account.ccy)


def receivers(config: Config) -> list[Receiver]:
    """Whom to tell, and from which severity on."""
    return [Receiver(name, settings.severity) for name, settings in config.receivers.items()]


def notifiers(config: Config) -> Mapping[str, asyncio.Task[Notifier]]:
    """A notifier for each receiver, made in a thread: Apprise takes most of a second to load, and polls go first.

    A task raises BadUrl, with the receiver's name, if its URL is of no use.
    """

    async def make(name: str, url: str) -> Notifier:
        try:
            return await asyncio.to_thread(AppriseNotifier, url)
        except BadUrl as error:
            raise BadUrl(f"receivers.{name}.url: {error}") from None

    return {
        name: asyncio.create_task(make(name, settings.url.get_secret_value()), name=f"notifier {name}")
        for name, settings in config.receivers.items()
    }


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
