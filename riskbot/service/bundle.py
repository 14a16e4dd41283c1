"""All that a rules file decides, as the service takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from riskbot import rulebook
from riskbot.delivery import Receiver
from riskbot.notify import Notifier
from riskbot.plugins import Plugins
from riskbot.rulebook import PluginFile, Rulebook
from riskbot.rules import Rule
from riskbot.service.bulletins import Daily
from riskbot.settings import HeartbeatSettings, StoreSettings, WebSettings
from riskbot.source import Source


class Account(Protocol):
    """What the service needs to know of an account."""

    @property
    def name(self) -> str:
        """Names it in messages."""

    @property
    def poll_every(self) -> float:
        """Seconds between two polls."""


class Bundle(Struct, frozen=True):
    """All that a rules file decides, valid as a whole.

    addresses: where each receiver is reached, by name. An account or an address that equals its predecessor's keeps
    its watch or its courier. source, notifier: make one; a notifier may still be loading when it is given.
    plugins: what they offer while riskbot watches, and what is wrong with them. heartbeat: who is pinged meanwhile.
    offsets: seconds that the clock of each server that is asked is ahead of this machine's, as known by now. store: how
    much is kept. greeted: the receivers that hear of a start. daily: who hears once a day how all is.
    web: what can be looked at over HTTP; None: nothing. redact: takes out of a text what nobody may see.
    """

    accounts: tuple[Account, ...]
    rules: tuple[Rule, ...]
    receivers: tuple[Receiver, ...]
    addresses: Mapping[str, object]
    source: Callable[[Account], Source]
    notifier: Callable[[str], Awaitable[Notifier]]
    plugins: Plugins = Plugins()
    heartbeat: HeartbeatSettings | None = None
    offsets: Callable[[], Mapping[str, float]] = dict
    store: StoreSettings = StoreSettings()
    greeted: tuple[str, ...] = ()
    daily: Daily | None = None
    web: WebSettings | None = None
    redact: Callable[[str], str] = str

    @property
    def rulebook(self) -> Rulebook:
        """What is remembered of it."""
        plugins = [PluginFile(plugin.name, plugin.file, plugin.hash) for plugin in self.plugins.plugins]
        return rulebook.of(self.accounts, self.rules, self.receivers, plugins)
