"""The dead man's switch: an outside service is pinged while riskbot can be relied on, and calls when the pings end.

Healthchecks and all that work as it does: GET the URL; POST it with `/fail` and the reasons. Uptime Kuma's push URLs
(`…/api/push/…`) take the same as a query. When riskbot is stopped nothing is sent: a restart is over before the
service's time of grace, and who stops it for good hears of it when that has passed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from math import inf

import aiohttp
from yarl import URL

from riskbot.health import HEARTBEAT, Problem, Problems
from riskbot.service.clock import Clock, steady
from riskbot.service.vitals import Vitals
from riskbot.settings import HeartbeatSettings

log = logging.getLogger("riskbot")

LOOK_EVERY = 1.0
LEAST = 5.0
"""Seconds between two pings, however often it changes whether riskbot can be relied on."""
AGAIN = 20.0
"""Seconds after which a ping that failed is sent again, if it is not due before."""
DEADLINE = 10.0
"""Real seconds for one ping."""
TOLD_AFTER = 300.0
"""Seconds that pings must fail until that is told."""
LONGEST, LONGEST_QUERY = 10_000, 500
"""Characters of the reasons that are sent, as a body and in a query."""


def ping(url: URL, reasons: Sequence[str]) -> tuple[str, URL, str]:
    """The method, the URL and the body that say that all is well (no reasons), or why not."""
    if "/api/push/" in url.path:
        words = {"status": "down", "msg": "; ".join(reasons)[:LONGEST_QUERY]} if reasons else _UP
        return "GET", url.update_query(words), ""
    if reasons:
        return "POST", (url / "fail").with_query(url.query), "\n".join(reasons)[:LONGEST]
    return "GET", url, ""


_UP = {"status": "up", "msg": "OK"}


class Heartbeat:
    """Pings while riskbot can be relied on, and says why if it can't. Polls never wait for it.

    settings: what stands in the rules file at present; None: nobody is pinged.
    """

    def __init__(
        self, settings: Callable[[], HeartbeatSettings | None], vitals: Vitals, clock: Clock, problems: Problems
    ) -> None:
        self._settings, self._vitals, self._clock, self._problems = settings, vitals, clock, problems
        self._used: HeartbeatSettings | None = None
        self._well = False
        self._due = self._soonest = 0.0
        self._failing = ""

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "heartbeat", self._clock)

    async def _turn(self) -> None:
        await self._clock.sleep(LOOK_EVERY)
        await self.look()

    async def look(self) -> None:
        """Ping if it is time to, or if it has changed whether riskbot can be relied on."""
        now, settings = self._clock.now(), self._settings()
        if settings != self._used:
            self._begin(settings, now)
        if settings is None:
            return
        reasons = self._vitals.reasons(now)
        if not reasons and not self._vitals.ready():
            return
        due = self._due if self._well == (not reasons) else self._soonest
        if now >= due:
            self._well = not reasons
            self._due, self._soonest = now + settings.every, now + LEAST
            why = await send(URL(settings.url.get_secret_value()), reasons)
            self._note(why)
            if why:
                self._due = min(self._due, now + AGAIN)

    def _begin(self, settings: HeartbeatSettings | None, now: float) -> None:
        """A first good ping is sent at once. That it can't be relied on yet is no news for a while."""
        self._used, self._well = settings, False
        self._due, self._soonest = now + (settings.every if settings else 0.0), 0.0
        self._failing = ""
        self._problems.forget(HEARTBEAT)

    def _note(self, why: str) -> None:
        if why:
            self._problems.fail(HEARTBEAT, Problem(self._clock.now(), why, TOLD_AFTER, inf))
        else:
            self._problems.clear(HEARTBEAT)
        if why and not self._failing:
            log.warning("the heartbeat fails: %s", why)
        elif self._failing and not why:
            log.info("the heartbeat works again")
        self._failing = why


async def send(url: URL, reasons: Sequence[str]) -> str:
    """Send one ping; why it failed, without the URL: it is a secret. "": it did not."""
    method, where, body = ping(url, reasons)
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "riskbot"}) as session,
            session.request(method, where, data=body or None, allow_redirects=False) as answer,
        ):
            said = await answer.content.read(200)
    except TimeoutError:
        return f"no answer within {DEADLINE:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"the connection failed ({type(error).__name__})"  # the error's own text may hold the URL
    return _wrong(answer.status, said)


def _wrong(status: int, said: bytes) -> str:
    """What is wrong with the answer. Healthchecks says to a URL that it does not know: 200 OK (not found)."""
    if not 200 <= status < 300:
        return f"HTTP {status}; is heartbeat.url right?"
    return "the service does not know heartbeat.url" if b"(not found)" in said else ""
