"""Health, metrics and a status page over HTTP, where the rules file has a [web] section."""

from __future__ import annotations

import asyncio
import logging
import os
from math import inf
from typing import TYPE_CHECKING

from riskbot.health import Problem
from riskbot.service import Service
from riskbot.service.clock import steady
from riskbot.settings import WebSettings

if TYPE_CHECKING:
    from riskbot.web.server import Server

log = logging.getLogger("riskbot")

PART = "the status page"
"""What riskbot's own alert calls it."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether [web] is another one by now, and two tries to listen."""


class Web:
    """A loop that keeps listening where the rules file in force says. That it can't is told; the watch goes on."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._used: WebSettings | None = None
        self._server: Server | None = None
        self._trouble = ""

    @property
    def url(self) -> str | None:
        """Where it listens; None: it does not."""
        return self._server.url if self._server else None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await steady(self._turn, "status page", self._service.clock)
        finally:
            await self._close()

    async def _turn(self) -> None:
        await self.look()
        await self._service.clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Listen as the file says by now. A changed section is taken up whole: a token never guards too little."""
        wanted = self._service.bundle.web
        if wanted != self._used:
            await self._close()
            self._used = wanted
        if wanted is None:
            self._service.problems.forget(PART)
        elif self._server is None:
            await self._open(wanted)

    async def _open(self, settings: WebSettings) -> None:
        # What it is made of takes a while to load; nobody should wait for it.
        server = (await asyncio.to_thread(_server))(settings, self._service, self._service.bundle.redact)
        try:
            await server.open()
        except OSError as error:
            await server.close()
            self._fails(f"can't listen at {settings.listen}: {_words(error)}")
            return
        self._server, self._trouble = server, ""
        self._service.problems.clear(PART)
        log.info("status page, /metrics and /healthz at %s", server.url)

    def _fails(self, why: str) -> None:
        if why != self._trouble:
            log.error("%s; trying again every second, the watch goes on", why)
        self._trouble = why
        self._service.problems.fail(PART, Problem(self._service.clock.now(), why, 0.0, inf))

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()
            log.info("status page closed")


def _server() -> type[Server]:
    from riskbot.web.server import Server  # noqa: PLC0415 - loaded only where it is wanted

    return Server


def _words(error: OSError) -> str:
    """`address already in use`; asyncio's own text repeats the address."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
