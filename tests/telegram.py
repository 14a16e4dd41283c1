"""Telegram's Bot API on this machine: one bot, the people who write to it, and what it writes to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "123456789:AAplanted-bot-token_0123456789abcdefg"


@dataclass
class Telegram:
    """The service. updates: what was written to the bot. sent: what it wrote, by chat. asked: methods, in order.

    status: HTTP, for every answer but 200s.
    """

    url: str = ""
    username: str = "my_riskbot"
    updates: list[dict[str, Any]] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 200

    def write(self, text: str, chat: int = 4242, **about: Any) -> None:
        """Somebody writes to the bot."""
        known = {"id": chat, "type": "private", "first_name": "Anna", **about}
        message = {"message_id": 1, "text": text, "chat": known}
        self.updates.append({"update_id": 1000 + len(self.updates), "message": message})

    async def answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.asked.append(method)
        if request.match_info["token"] != TOKEN:
            return web.json_response({"ok": False, "error_code": 401, "description": "Unauthorized"}, status=401)
        if self.status != 200:
            return web.json_response({"ok": False, "error_code": self.status}, status=self.status)
        return web.json_response({"ok": True, "result": await getattr(self, method)(request)})

    async def getMe(self, _: web.Request) -> dict[str, Any]:  # noqa: N802 - Telegram's spelling
        return {"id": 123456789, "is_bot": True, "username": self.username}

    async def getUpdates(self, request: web.Request) -> list[dict[str, Any]]:  # noqa: N802 - as above
        offset = int(request.query.get("offset", "0"))
        self.updates = [update for update in self.updates if update.get("update_id", offset) >= offset]
        await asyncio.sleep(0.02)
        return self.updates

    async def sendMessage(self, request: web.Request) -> dict[str, Any]:  # noqa: N802 - as above
        message = await request.json()
        self.sent.append((str(message["chat_id"]), message["text"]))
        return {"message_id": len(self.sent)}


@asynccontextmanager
async def telegram() -> AsyncIterator[Telegram]:
    """It, while it serves."""
    found = Telegram()
    app = web.Application()
    app.router.add_route("*", "/bot{token}/{method}", found.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()
