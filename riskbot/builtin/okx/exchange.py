"""The way to OKX, which all accounts share: a session, limits, and how far its clock is from ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from math import inf
from typing import Any

import aiohttp
from yarl import URL

from riskbot.builtin.okx.replies import BODY_LIMIT, data
from riskbot.source import Remedy, SourceError

BALANCE, CONFIG, TIME = "/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time"
LIMITS = {BALANCE: (7, 3), CONFIG: (3, 2)}
"""Requests in any 2 s window: of a user, and of all whose user is not known yet (`CONFIG`: of each of these).

OKX allows a user 10 and 5. An unknown user may be any of the known ones, so that the two must not be more together.
"""
WINDOW = 2.0
PIECE = 2**16
"""Bytes. What was unpacked from a small answer is taken piece by piece, and given up before all of it is there."""
DEADLINE = 5.0


class Limiter:
    """Never more than n requests in any window, as the server counts them.

    A slot comes back a whole window after the REPLY, so that it holds on the server's clock too, whatever the latency.
    """

    def __init__(self, n: int, per: float) -> None:
        self._slots = asyncio.Semaphore(n)
        self._per = per
        self._resume = 0.0

    def pause(self) -> None:
        """Start no request for a whole window (the server said: too many)."""
        self._resume = asyncio.get_running_loop().time() + self._per

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        try:
            while (wait := self._resume - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self._slots.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().call_later(self._per, self._slots.release)


class Exchange:
    """What all accounts share: one HTTP session, the limiters of each user, the clock offset of each host.

    wall: the machine's clock, seconds since 1970. deadline: seconds for one request, waiting for its turn included.
    Belongs to one event loop. Close it after the sources.
    """

    def __init__(self, wall: Callable[[], float], deadline: float = DEADLINE) -> None:
        self.wall = wall
        self.deadline = deadline
        self.offsets: dict[str, float] = {}
        self._limiters: dict[tuple[str, str], Limiter] = {}
        self._session: aiohttp.ClientSession | None = None
        self._synced: dict[str, float] = {}
        self._syncing = asyncio.Lock()

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made at first use, inside the running loop."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=75)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self.deadline),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "riskbot"},
            )
        return self._session

    def limiter(self, path: str, uid: str) -> Limiter:
        """The one of this user at whichever host: two ways to OKX lead to the same user. "": not known yet.

        All who are not known yet are taken to be one user. Not so for the question who they are: a thousand accounts
        would wait for minutes, and it is asked once.
        """
        known, unknown = LIMITS[path]
        if not uid and path == CONFIG:
            return Limiter(unknown, WINDOW)
        if (path, uid) not in self._limiters:
            self._limiters[path, uid] = Limiter(known if uid else unknown, WINDOW)
        return self._limiters[path, uid]

    async def get(self, url: URL, middlewares: tuple[Any, ...] = ()) -> tuple[bytes, int]:
        """(body, HTTP status), without following redirects: they would carry the key along. Raises SourceError."""
        return await read(self.session.get(url, allow_redirects=False, middlewares=middlewares), self.deadline)

    async def sync(self, base_url: str, older_than: float) -> None:
        """Learn how far the server's clock is from ours, if what is known is older. Raises SourceError.

        Many accounts may want it at once; one asks, and if it asks in vain, the others do not wait in line to do
        the same. Never twice within a second.
        """
        async with self._syncing:
            loop = asyncio.get_running_loop()
            if loop.time() - self._synced.get(base_url, -inf) <= max(older_than, 1.0):
                return
            try:
                sent = self.wall()
                row = data(*await self.get(URL(base_url + TIME)))
                received = self.wall()
            finally:
                self._synced[base_url] = loop.time()
            if not re.fullmatch("[0-9]{13}", str(row.get("ts"))):
                raise SourceError("OKX answers without its time", Remedy.BACK_OFF)
            self.offsets[base_url] = int(row["ts"]) / 1000 - (sent + received) / 2

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()


async def read(request: Any, deadline: float = DEADLINE) -> tuple[bytes, int]:
    """(body, HTTP status) of a request, within its deadline and the cap on size. Raises SourceError."""
    try:
        async with request as response:
            body = bytearray()
            while chunk := await response.content.read(PIECE):
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise SourceError(f"the answer is larger than {BODY_LIMIT >> 20} MiB", Remedy.BACK_OFF)
            return bytes(body), response.status
    except TimeoutError:
        raise SourceError(f"no answer within {deadline:g} s") from None
    except aiohttp.ClientConnectorDNSError:
        raise SourceError("the exchange's name can't be resolved; is this machine online?") from None
    except aiohttp.ClientConnectorError as error:
        raise SourceError(f"can't connect to the exchange ({type(error).__name__})") from None
    except aiohttp.ClientPayloadError as error:
        raise SourceError(f"the answer broke off ({type(error).__name__})") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The error's own text may hold the URL; its type says enough.
        raise SourceError(f"the connection broke ({type(error).__name__})") from None
