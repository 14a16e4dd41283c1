"""From a valid rules file to what the service runs on: sources, receivers, notifiers, the store."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from riskbot.builtin.apprise import AppriseNotifier, BadUrl
from riskbot.builtin.okx import HOSTS, Credentials, Exchange, OkxSource
from riskbot.delivery import Receiver
from riskbot.notify import Notifier
from riskbot.service import Bundle
from riskbot.settings import AccountSettings, Config, ReceiverSettings
from riskbot.store import Unavailable
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore


def bundle(config: Config, exchange: Exchange) -> Bundle:
    """All that the service needs of a rules file; its sources share one session."""
    settings = config.receivers
    return Bundle(
        config.accounts,
        config.rules,
        tuple(receiver(name, settings[name]) for name in settings),
        {name: settings[name].url for name in settings},
        partial(source, exchange=exchange),
        lambda name: asyncio.create_task(
            notifier(name, settings[name].url.get_secret_value()), name=f"notifier {name}"
        ),
    )


def source(account: AccountSettings, exchange: Exchange) -> OkxSource:
    """The source of one account."""
    credentials = Credentials(account.api_key, account.api_secret, account.passphrase)
    base_url = account.base_url or HOSTS[account.region]
    return OkxSource(exchange, base_url, credentials, demo=account.demo, ccys=account.ccy)


def receiver(name: str, settings: ReceiverSettings) -> Receiver:
    """Whom to tell, from which severity on, and who else if that fails."""
    return Receiver(name, settings.severity, settings.fallback, settings.fallback_after, settings.per_minute)


async def notifier(name: str, url: str) -> Notifier:
    """Made in a thread: Apprise takes most of a second to load, and polls go first.

    Raises BadUrl, with the receiver's name, if its URL is of no use.
    """
    try:
        return await asyncio.to_thread(AppriseNotifier, url)
    except BadUrl as error:
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
