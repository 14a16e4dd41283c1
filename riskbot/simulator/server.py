"""The HTTP server: the exchange's paths with faults in between, and the paths that control it.

It is an outside world of its own: every moment in it comes from its own clock.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

import msgspec
from aiohttp import web

from riskbot.simulator import control, wire
from riskbot.simulator.auth import Asked, SimAccount
from riskbot.simulator.clock import StoryClock
from riskbot.simulator.exchange import BALANCE, Exchange, Reply
from riskbot.simulator.faults import Fault, Faults, spoil
from riskbot.simulator.limits import Window

_LOGGED = 10_000


@dataclass
class Request:
    """One request as the server saw it. at: its clock. account: label or uid of the key that came with it, or "".

    status: HTTP, 0 while nothing has been sent, and for good if nothing ever is. code: OKX's, or "".
    """

    at: float
    path: str
    account: str
    status: int = 0
    code: str = ""


class Simulator:
    """The exchange over real HTTP. Start it with `async with Simulator(...) as exchange`.

    speed: seconds of scenario in a second. clock: seconds since 1970. port: 0 takes a free one.
    accounts: by API key; may be changed while it runs. requests: the last 10,000, oldest first.
    """

    def __init__(
        self,
        accounts: Iterable[SimAccount],
        *,
        speed: float = 1.0,
        clock: Callable[[], float] = time.time,  # noqa: TID251 - the exchange has a clock of its own; tests pass theirs
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.accounts: dict[str, SimAccount] = {}
        for account in accounts:
            self.add(account)
        self.requests: deque[Request] = deque(maxlen=_LOGGED)
        self.request_count = 0
        self._story = StoryClock(clock, speed)
        self._exchange = Exchange(self.accounts, self._story)
        self._faults = Faults()
        self._released = asyncio.Event()
        self._arrivals: dict[str, Window] = {}
        self._last_good: dict[str, Reply] = {}
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None

    def add(self, account: SimAccount) -> None:
        """One more account; raises ValueError if its key is taken."""
        if account.api_key in self.accounts:
            raise ValueError(f"two accounts have the key {account.api_key}")
        self.accounts[account.api_key] = account

    async def start(self) -> None:
        """Listen; the scenarios begin now."""
        app = web.Application()
        control.add_routes(app, self)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A client that gave up must not leave its handler hanging.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]
        self.seek(0)

    async def stop(self) -> None:
        """Let go of hanging requests and stop listening."""
        self.clear_faults()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Where it listens: `http://127.0.0.1:4711`."""
        return f"http://{self._host}:{self._port}"

    @property
    def now(self) -> float:
        """How far the scenarios are, seconds."""
        return self._story.now

    @property
    def speed(self) -> float:
        """Seconds of scenario in a second; 0 stands still."""
        return self._story.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._story.speed = speed
        self._exchange.forget()

    def seek(self, at: float | str) -> None:
        """Go to a moment of the scenarios: seconds, or words like `10m`. Raises ValueError."""
        self._story.seek(at)
        self._exchange.forget()

    def inject(self, fault: Fault | str) -> Fault:
        """From now on, until its limits end it. Raises ValueError if the words are no fault."""
        fault = Fault.parse(fault) if isinstance(fault, str) else fault
        self._faults.add(fault, self._story.wall())
        return fault

    def clear_faults(self) -> None:
        """All is well again; hanging requests are let go."""
        self._faults.clear()
        self._released.set()
        self._released = asyncio.Event()

    @property
    def faults(self) -> list[Fault]:
        """Those that are active."""
        return self._faults.active(self._story.wall())

    def busiest_window(self, uid: str) -> int:
        """The most balance requests of one user that ever came within any 2 s, refused ones included."""
        return self._arrivals[uid].busiest if uid in self._arrivals else 0

    def payload(self, account: SimAccount) -> dict[str, Any]:
        """`data[0]` of the account's balance at this moment."""
        body = self._exchange.balance(account, frozenset(), int(self._story.wall() * 1000))
        payload: dict[str, Any] = msgspec.json.decode(body)
        return payload

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        now, account = self._story.wall(), self.accounts.get(request.headers.get("OK-ACCESS-KEY", ""))
        entry = Request(now, request.path, account.name if account else "")
        self.requests.append(entry)
        self.request_count += 1
        if account is not None and request.path == BALANCE:
            self._arrivals.setdefault(account.uid, Window()).add(now)
        hit = self._faults.take(request.path, account.names if account else (), now)
        released = self._released
        await asyncio.sleep(sum(fault.seconds for fault in hit if fault.kind == "latency"))
        for fault in hit:
            if fault.kind == "hang":
                await released.wait()
                return await wire.reset(request, fault)
        return await self._send(request, hit, entry)

    async def _send(self, request: web.Request, faults: list[Fault], entry: Request) -> web.StreamResponse:
        """The first fault that replaces the reply, or the reply with the faults that spoil it."""
        for fault in faults:
            if fault.kind in wire.WIRE:
                entry.status, entry.code = wire.told(fault)
                return await wire.WIRE[fault.kind](request, fault)
        reply = self._reply(request, faults)
        entry.status, entry.code = reply.status, reply.code
        if any(fault.kind == "truncate" for fault in faults):
            return await wire.truncated(request, reply)
        return wire.plain(reply)

    def _reply(self, request: web.Request, faults: list[Fault]) -> Reply:
        asked = Asked(request.method, request.raw_path, request.headers, request.remote or "")
        reply = self._exchange.answer(asked, self._faults.skew(self._story.wall()))
        if reply.code != "0":
            return reply
        key = request.path + request.headers.get("OK-ACCESS-KEY", "")
        if any(fault.kind == "stale" for fault in faults):
            reply = self._last_good.get(key, reply)
        self._last_good[key] = reply
        body = reply.body
        for fault in faults:
            body = spoil(body, fault)
        return Reply(reply.status, reply.code, body)
