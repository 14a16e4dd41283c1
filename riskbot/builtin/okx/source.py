"""One account of OKX: asked for its balance, and whose key it is, with signed requests."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientRequest, ClientResponse
from msgspec import Struct
from pydantic import SecretStr
from yarl import URL

from riskbot.builtin.okx.errors import TOO_MANY
from riskbot.builtin.okx.exchange import BALANCE, CONFIG, LIMITS, Exchange
from riskbot.builtin.okx.replies import parse, parse_info
from riskbot.model import AccountInfo, Severity
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError

HOSTS = {"global": "https://www.okx.com", "eea": "https://eea.okx.com", "us": "https://us.okx.com"}
"""REST hosts by the site where the account was opened; a key exists on that one only."""

CCY_LIMIT = 20
"""Currencies that one request may name."""
CLOCK_EVERY = 600.0
"""Seconds after which the clock offset is learnt anew."""


class Credentials(Struct, frozen=True):
    """An API key of OKX, read-only for preference."""

    key: SecretStr
    secret: SecretStr
    passphrase: SecretStr


class OkxSource:
    """One account. `ccys`: ask for these currencies only; none: all that have a balance."""

    def __init__(
        self,
        exchange: Exchange,
        base_url: str,
        credentials: Credentials,
        *,
        demo: bool = False,
        ccys: tuple[str, ...] = (),
    ) -> None:
        self._exchange = exchange
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._fixed = {
            "OK-ACCESS-KEY": credentials.key.get_secret_value(),
            "OK-ACCESS-PASSPHRASE": credentials.passphrase.get_secret_value(),
        }
        self._sendable = all(value.isprintable() for value in self._fixed.values())
        if demo:
            self._fixed["x-simulated-trading"] = "1"
        chunks = [ccys[i : i + CCY_LIMIT] for i in range(0, len(ccys), CCY_LIMIT)]
        url = URL(self._base_url + BALANCE)
        self._urls = [url.with_query(ccy=",".join(chunk)) for chunk in chunks] or [url]
        self._limiters = {path: exchange.limiter(path, "") for path in LIMITS}
        self._middlewares = {path: (self._middleware(path),) for path in LIMITS}

    async def fetch(self) -> Snapshot:
        """The account as it is; more than 20 currencies are asked for in several requests and put together."""
        snapshot: Snapshot = await self._ask(self._urls[0], BALANCE, parse)
        for url in self._urls[1:]:
            more: Snapshot = await self._ask(url, BALANCE, parse)
            rows = {row["ccy"]: row for row in (*snapshot.details, *more.details)}
            snapshot.raw["details"] = list(rows.values())
        return snapshot

    async def info(self) -> AccountInfo:
        """Mode, rights, IP binding and uid. From the first answer on the limit is counted for that uid."""
        with suppress(SourceError):  # only a clock that is far off makes a difference, and then OKX says so
            await self._exchange.sync(self._base_url, CLOCK_EVERY)
        info: AccountInfo = await self._ask(URL(self._base_url + CONFIG), CONFIG, parse_info)
        self._limiters = {path: self._exchange.limiter(path, info.uid) for path in LIMITS}
        return info

    async def _ask(self, url: URL, path: str, understand: Callable[[bytes, int], Any]) -> Any:
        """One request understood; once more with a fresh clock offset if OKX does not accept the time."""
        if not self._sendable:
            why = "the API key or the passphrase holds a line break or another sign that can't be sent"
            raise SourceError(why, Remedy.SLOW, Severity.CRITICAL)
        try:
            return await self._attempt(url, path, understand)
        except SourceError as error:
            if error.remedy is not Remedy.RESYNC:
                raise
        with suppress(SourceError):  # then OKX says the same again, and that is what to tell
            await self._exchange.sync(self._base_url, 0.0)
        return await self._attempt(url, path, understand)

    async def _attempt(self, url: URL, path: str, understand: Callable[[bytes, int], Any]) -> Any:
        body, status = await self._exchange.get(url, self._middlewares[path])
        try:
            return understand(body, status)
        except SourceError as error:
            if error.code in TOO_MANY:
                self._limiters[path].pause()
            raise

    def _middleware(self, path: str) -> Any:
        """Limit and sign each attempt: aiohttp sends a GET again by itself when a kept-alive connection breaks."""

        async def attempt(request: ClientRequest, handler: Any) -> ClientResponse:
            async with self._limiters[path]:
                self._sign(request)
                response: ClientResponse = await handler(request)
                return response

        return attempt

    def _sign(self, request: ClientRequest) -> None:
        now = self._exchange.wall() + self._exchange.offsets.get(self._base_url, 0.0)
        timestamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        signed = f"{timestamp}GET{request.url.raw_path_qs}".encode()
        digest = hmac.digest(self._credentials.secret.get_secret_value().encode(), signed, hashlib.sha256)
        request.headers.update(self._fixed)
        request.headers["OK-ACCESS-TIMESTAMP"] = timestamp
        request.headers["OK-ACCESS-SIGN"] = base64.b64encode(digest).decode()

    async def close(self) -> None:
        """Nothing of its own to give back: the session is the exchange's."""
