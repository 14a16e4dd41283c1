"""Telegram's Bot API, as far as it takes to find the chat that riskbot is to write to."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from msgspec import Struct

API = "https://api.telegram.org"
POLL = 5.0
"""Seconds that Telegram may hold a question open."""
PAUSE = 0.5
"""Seconds between two questions, should it not hold them."""
_DEADLINE = aiohttp.ClientTimeout(total=15.0)

ADVICE = {
    401: "Telegram does not know this token: copy it again from @BotFather, all of it",
    404: "Telegram does not know this token: copy it again from @BotFather, all of it",
    409: "another program reads this bot's messages (a webhook, or another riskbot init): make a bot for riskbot alone",
    429: "Telegram says there are too many requests: wait a minute",
}


class TelegramError(Exception):
    """Telegram does not answer as it should. Its text is for people, holds no token, and says what to do."""


class Chat(Struct, frozen=True):
    """Who said the word. name: for people."""

    id: int
    name: str
    kind: str


class Bot:
    """One bot. api: the server of its API."""

    def __init__(self, token: str, api: str = API) -> None:
        self._url = f"{api.rstrip('/')}/bot{quote(token, safe=':')}/"
        self._token, self._api = token, api

    async def name(self) -> str:
        """Its name, as in https://t.me/NAME. Raises TelegramError."""
        async with self._session() as session:
            found = await self._call(session, "getMe")
        if not isinstance(found, dict) or not isinstance(found.get("username"), str):
            raise TelegramError("what answers is not Telegram: is --telegram-api right?")
        name: str = found["username"]
        return name

    async def pair(self, code: str, seconds: float, left: Callable[[float], None]) -> Chat | None:
        """The chat in which somebody pressed Start at `link`, and no other; None: nobody did in time.

        left: told now and then how many seconds are left. Raises TelegramError.
        """
        now = asyncio.get_running_loop().time
        until, offset = now() + seconds, 0
        async with self._session() as session:
            while (rest := until - now()) > 0:
                left(rest)
                asked = {"timeout": int(min(POLL, rest)), "allowed_updates": '["message"]', "offset": offset}
                updates = await self._call(session, "getUpdates", **asked)
                for update, message in _messages(updates):
                    offset = max(offset, update + 1)
                    if chat := _said(message, code):
                        await self._call(session, "getUpdates", timeout=0, offset=offset)  # it is taken in
                        return chat
                await asyncio.sleep(min(PAUSE, max(0.0, until - now())))
        return None

    def url(self, chat: int | str) -> str:
        """As a receiver of riskbot."""
        return f"tgram://{self._token}/{chat}/" + (f"?{urlencode({'api': self._api})}" if self._api != API else "")

    @staticmethod
    def _session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=_DEADLINE, trust_env=True)

    async def _call(self, session: aiohttp.ClientSession, method: str, **asked: Any) -> Any:
        """What it answers. No error of aiohttp may pass: its text holds the token."""
        try:
            async with session.get(self._url + method, params=asked, allow_redirects=False) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = f"Telegram can't be reached ({type(error).__name__}): is this machine online?"
            raise TelegramError(why) from None
        except ValueError:
            raise TelegramError("what answers is not Telegram: is --telegram-api right?") from None
        if response.status == 200 and isinstance(answer, dict) and answer.get("ok") is True:
            return answer.get("result")
        raise TelegramError(ADVICE.get(response.status, f"Telegram refuses (HTTP {response.status}): try again later"))


def new_code() -> str:
    """A word that nobody guesses while it is waited for."""
    return secrets.token_urlsafe(12)


def link(bot: str, code: str) -> str:
    """Where Start is to be pressed."""
    return f"https://t.me/{bot}?start={code}"


def _messages(updates: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for update in updates if isinstance(updates, list) else ():
        if isinstance(update, dict) and isinstance(update.get("update_id"), int):
            message = update.get("message")
            yield update["update_id"], message if isinstance(message, dict) else {}


def _said(message: dict[str, Any], code: str) -> Chat | None:
    """Its chat, if it is `/start CODE`, or `/start@bot CODE` in a group."""
    command, _, word = str(message.get("text", "")).partition(" ")
    chat = message.get("chat")
    if command.partition("@")[0] != "/start" or not hmac.compare_digest(word.strip().encode(), code.encode()):
        return None
    if not isinstance(chat, dict) or not isinstance(chat.get("id"), int):
        return None
    name = chat.get("title") or " ".join(str(chat[key]) for key in ("first_name", "last_name") if chat.get(key))
    return Chat(chat["id"], name or str(chat.get("username") or chat["id"]), str(chat.get("type", "chat")))
