"""One address that listens: who may look, and for how long."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from aiohttp import web

from riskbot.metrics import OPENMETRICS, Sheet
from riskbot.service import Service
from riskbot.settings import WebSettings
from riskbot.settings.model import is_loopback
from riskbot.web.collector import fill
from riskbot.web.page import CONTENT_POLICY, Page, facts

log = logging.getLogger("riskbot")
strangers = logging.getLogger("riskbot.strangers")
strangers.setLevel(logging.CRITICAL)  # what they do wrong is no news, and anybody could fill the log with it

LONGEST = 10.0
"""Seconds that a connection lasts at the most, whatever the other side does."""
MOST = 64
"""Connections at a time. With one more the oldest is cut: whoever asks and reads at once is never among them."""
KEPT = 1.0
"""Seconds for which the metrics are not put together anew."""
PATIENCE = 0.5
"""Seconds that those who are just answered are given when it closes."""

HEADERS = {
    "Server": "riskbot",
    "Connection": "close",
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
ANOTHER_NAME = """\
You asked for this under a name that is not this machine's own.
To be reached by another name, through a proxy for instance, [web] needs a token.
"""
METHODS = ("GET", "HEAD")
UNKNOWN = "The token of [web] is needed: as a Bearer token, or as the password with any name.\n"

Handler = Callable[[web.BaseRequest], Awaitable[web.Response]]


class Server:
    """Serves what a service knows of itself. Nothing can be changed here.

    redact: takes out of a text what nobody may see.
    """

    def __init__(self, settings: WebSettings, service: Service, redact: Callable[[str], str] = str) -> None:
        self.url = ""
        self._settings, self._service, self._redact = settings, service, redact
        self._page = Page(redact)
        self._scrape = Scrape(service, redact, settings.max_series)
        self._listening: asyncio.Server | None = None
        self._visitors: dict[_Visitor, None] = {}
        self._ways: dict[str, Handler] = {
            "/": self._look, "/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics,
        }  # fmt: skip
        # No web.Application: aiohttp keeps the last 1024 handlers with their middlewares, and so each closed server.
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=PATIENCE)

    async def open(self) -> None:
        """Listen. Raises OSError if the address is taken, or none of this machine's."""
        await self._runner.setup()
        host, port = self._settings.address
        self._listening = await asyncio.get_running_loop().create_server(self._visitor, host, port)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listening.sockets[0].getsockname()[1]}/"

    def _visitor(self) -> _Visitor:
        return _Visitor(self._runner.server, self._visitors)

    async def close(self) -> None:
        """Let go of the address, and of whoever is still there."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = self._refusal(request) or await self._shown(request)
        response.headers.update(HEADERS)
        response.force_close()  # one answer for each connection: then a connection can be short
        return response

    # Who may look.

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        token = self._settings.token
        if token is None and not _means_this_machine(request.headers.get("Host", "")):
            return web.Response(status=421, text=ANOTHER_NAME)
        if token is not None and not _holds(request.headers.get("Authorization", ""), token.get_secret_value()):
            ask = {"WWW-Authenticate": 'Basic realm="riskbot", charset="UTF-8"'}
            return web.Response(status=401, headers=ask, text=UNKNOWN)
        if request.path not in self._ways:
            return web.Response(status=404, text="There is no such page.\n")
        if request.method not in METHODS:
            return web.Response(
                status=405, headers={"Allow": ", ".join(METHODS)}, text="Nothing can be changed here.\n"
            )
        return None

    async def _shown(self, request: web.BaseRequest) -> web.Response:
        try:
            return await self._ways[request.path](request)
        except Exception:  # a mistake of riskbot: what is in it belongs in the log, which is redacted
            log.exception("the status page stumbled")
            return web.Response(status=500, text="riskbot stumbled over this; its log says more.\n")

    # What there is to see.

    async def _healthz(self, _: web.BaseRequest) -> web.Response:
        found = [self._redact(reason) for reason in self._service.vitals.reasons(self._service.clock.now())]
        return web.json_response({"healthy": not found, "reasons": found}, status=503 if found else 200)

    async def _readyz(self, _: web.BaseRequest) -> web.Response:
        ready = self._service.vitals.ready()
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        body, kind = await self._scrape.answer(openmetrics=OPENMETRICS in request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _look(self, _: web.BaseRequest) -> web.Response:
        drawn = await asyncio.to_thread(self._page.draw, facts(self._service))
        return web.Response(text=drawn, content_type="text/html")


def _means_this_machine(host: str) -> bool:
    """Only by such a name or address may be asked without a token.

    Else any web page that the trader visits could look, by giving a name of its own this machine's address.
    """
    try:
        return not host or is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _holds(authorization: str, token: str) -> bool:
    """Is the token in that header? As a Bearer token, or as the password that a browser asks for."""
    scheme, _, word = authorization.partition(" ")
    given = word.strip().encode("utf-8", "surrogateescape")
    try:
        found = {"bearer": lambda: given, "basic": lambda: _password(given)}[scheme.lower()]()
    except (KeyError, binascii.Error):
        return False
    return hmac.compare_digest(found, token.encode())


def _password(given: bytes) -> bytes:
    return base64.b64decode(given, validate=True).partition(b":")[2]


class Scrape:
    """Puts the metrics together, once for all who ask within a second."""

    def __init__(self, service: Service, redact: Callable[[str], str], most: int) -> None:
        self._service, self._redact, self._most = service, redact, most
        self._lock = asyncio.Lock()
        self._answers: dict[bool, tuple[bytes, str]] = {}
        self._made = -KEPT
        self._full = False

    async def answer(self, *, openmetrics: bool) -> tuple[bytes, str]:
        """The text, and its content type."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._made >= KEPT:
                self._answers.clear()
                self._made = now
            if openmetrics not in self._answers:
                sheet = Sheet(self._redact)
                self._mind(await fill(sheet, self._service, self._most))
                self._answers[openmetrics] = await asyncio.to_thread(sheet.encoded, openmetrics=openmetrics)
            return self._answers[openmetrics]

    def _mind(self, left_out: int) -> None:
        """Nobody should believe that all is shown."""
        if left_out and not self._full:
            log.warning("/metrics: %d readings or alerts are left out; [web] max_series allows more", left_out)
        self._full = bool(left_out)


class _Visitor(web.RequestHandler):
    """A connection that is short, whatever the other side does: slow clients must not use up all descriptors."""

    def __init__(self, server: Any, visitors: dict[_Visitor, None]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=strangers, logger=strangers, lingering_time=0)
        self._visitors = visitors

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room, and set the end."""
        if len(self._visitors) >= MOST:
            next(iter(self._visitors)).cut()
        self._visitors[self] = None
        self._abort = cast("asyncio.Transport", transport).abort
        self._end = asyncio.get_running_loop().call_later(LONGEST, self.cut)
        super().connection_made(transport)

    def cut(self) -> None:
        """End it now, whatever was not sent yet."""
        self._visitors.pop(self, None)
        self._abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over."""
        self._end.cancel()
        self._visitors.pop(self, None)
        super().connection_lost(exc)
