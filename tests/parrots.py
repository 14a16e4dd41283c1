"""Services that say aloud what they were told: each refusal repeats the secrets that came with the request."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

STATUSES = (401, 403, 400, 404, 500, 429, 200)
"""In turn; 200 with words that say no."""


def _plain(request: web.Request, body: str) -> str:
    return f"no: {request.raw_path}"


def _meant(request: web.Request, body: str) -> str:
    return f"no: {request.path} {dict(request.query)}"


def _headers(request: web.Request, body: str) -> str:
    return "no: " + " ".join(value for name, value in request.headers.items() if name.startswith(("X-", "Auth")))


def _as_json(request: web.Request, body: str) -> str:
    told = {"url": str(request.url), "headers": [*request.headers.values()][-3:]}
    return json.dumps({"ok": False, "error": "invalid_auth", "description": f"no: {json.dumps(told)}"})


def _quoted(request: web.Request, body: str) -> str:
    return f"no: {quote(request.path, safe='')} {quote(request.query_string, safe='')}"


def _coded(request: web.Request, body: str) -> str:
    words = f" {request.path} {dict(request.query)}"
    return "no: " + " ".join(base64.b64encode(words[i:].encode()).decode() for i in range(2))


def _decoded(request: web.Request, body: str) -> str:
    kind, _, word = request.headers.get("Authorization", "").partition(" ")
    return f"no: {kind} {base64.b64decode(word + '===').decode(errors='replace')}"


def _cut(request: web.Request, body: str) -> str:
    """In the middle of what is secret."""
    return f"no: {request.raw_path[:-6]}"


WAYS: tuple[Callable[[web.Request, str], str], ...] = (
    _plain, _meant, _headers, _as_json, _quoted, _coded, _decoded, _cut,
)  # fmt: skip


@dataclass
class Parrot:
    """HTTP on any path. heard: what came to `/good`, which takes all. told: how many requests were answered."""

    url: str = ""
    mail: str = ""
    heard: list[str] = field(default_factory=list)
    told: int = 0
    turns: itertools.cycle[tuple[int, Callable[[web.Request, str], str]]] = field(
        default_factory=lambda: itertools.cycle((status, way) for way in WAYS for status in STATUSES)
    )

    async def answer(self, request: web.Request) -> web.Response:
        """Refuse it, each time in another way."""
        body = await request.text()
        self.told += 1
        if request.path.startswith("/good"):
            self.heard.append(body)
            return web.Response()
        status, way = next(self.turns)
        return web.Response(status=status, text=way(request, body))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SMTP that takes no login, and repeats it."""
        writer.write(b"220 parrot\r\n")
        with suppress(ConnectionError):
            while line := (await reader.readline()).strip():
                self.told += 1
                verb = line[:4].upper()
                if verb == b"EHLO":
                    writer.write(b"250-parrot\r\n250 AUTH PLAIN LOGIN\r\n")
                elif verb == b"AUTH":
                    word = base64.b64decode(line.split()[-1] + b"===").replace(b"\0", b" ")
                    writer.write(b"535 no: " + line + b" " + word + b"\r\n")
                else:
                    writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 yes\r\n")
        writer.close()


@asynccontextmanager
async def parrot() -> AsyncIterator[Parrot]:
    """It, while it serves."""
    found, app = Parrot(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    post = await asyncio.start_server(found.talk, "127.0.0.1", 0)
    found.url = f"127.0.0.1:{runner.addresses[0][1]}"
    found.mail = f"127.0.0.1:{post.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        post.close()
        await runner.cleanup()
