"""What the parts of `riskbot init` share: the flags, what was there before, and what was found out so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec import Struct

from riskbot.builtin.okx.exchange import Exchange
from riskbot.cli.questions import Questions
from riskbot.plugins import Plugins
from riskbot.settings.secrets import Secrets
from riskbot.setup.known import Known, named_variable

T = TypeVar("T")


class Options(Struct, frozen=True):
    """What was given as flags; "" or none: it was not."""

    account: str
    api_key_file: str
    api_secret_file: str
    passphrase_file: str
    region: str
    base_url: str
    demo: bool
    allow_trade_key: bool
    receivers: tuple[str, ...]
    telegram_token_file: str
    telegram_chat: str
    telegram_api: str
    telegram_wait: float
    test: bool
    rules: tuple[str, ...]
    heartbeat_file: str


class Interview:
    """One conversation. env: what the env file is to hold, by name; only what was checked."""

    def __init__(self, options: Options, ask: Questions, before: Known, found: Plugins) -> None:
        self.options, self.ask, self.before, self.found = options, ask, before, found
        self.env: dict[str, str] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        self.exchange = Exchange(time.time)  # noqa: TID251 - signatures are made at the moment of sending
        self._runner = asyncio.Runner()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it now; all of it on one loop."""
        return self._runner.run(work)

    def close(self) -> None:
        """Give back what it holds."""
        self.run(self.exchange.close())
        self._runner.close()

    def refer(self, place: tuple[str, str], written: object, value: str, wanted: str) -> str:
        """How the rules file refers to a secret: as before if it is the same, else by a variable of the env file.

        place: whose it is, and which. wanted: that variable, if it is nobody else's.
        """
        name = named_variable(written)
        if isinstance(written, str) and Secrets.refers(written) and self.before.value(written) == value:
            self.env |= {name: value} if name else {}
            return written
        others = {found for found, owner in self._owners.items() if owner != place}
        name = self.before.free(name or wanted, written, others)
        self._owners[name] = place
        self.env[name] = value
        return f"${{{name}}}"
