"""The paths under /simulator, to control it from another process while it runs.

GET    /simulator/state      where the scenarios are, the accounts' risk, the faults, the requests
POST   /simulator/faults     words, one fault a line: `latency=2s times=3`; or JSON: words, an object like
                                 {"kind": "latency", "value": "2s", "times": 3, "lasts": 60}, or a list of these
DELETE /simulator/faults     all is well again
POST   /simulator/seek       {"at": "10m"}
POST   /simulator/speed      {"speed": 60}
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from riskbot.simulator.faults import Fault
from riskbot.simulator.paths import seconds

if TYPE_CHECKING:
    from riskbot.simulator.auth import SimAccount
    from riskbot.simulator.server import Simulator

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def add_routes(app: web.Application, simulator: Simulator) -> None:
    """Serve them beside the exchange's paths."""

    async def faults(request: web.Request) -> None:
        for fault in _faults(await request.text()):
            simulator.inject(fault)

    async def clear(_: web.Request) -> None:
        simulator.clear_faults()

    async def seek(request: web.Request) -> None:
        simulator.seek(_value(await request.read(), "at"))

    async def speed(request: web.Request) -> None:
        simulator.speed = float(seconds(_value(await request.read(), "speed")))

    async def look(_: web.Request) -> None:
        """Change nothing."""

    def then_state(act: Callable[[web.Request], Awaitable[None]]) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                await act(request)
            except ValueError as error:
                return _json({"error": str(error)}, status=400)
            return _json(state(simulator))

        return handle

    app.router.add_get("/simulator/state", then_state(look))
    app.router.add_post("/simulator/faults", then_state(faults))
    app.router.add_delete("/simulator/faults", then_state(clear))
    app.router.add_post("/simulator/seek", then_state(seek))
    app.router.add_post("/simulator/speed", then_state(speed))


def state(simulator: Simulator) -> dict[str, Any]:
    """What `GET /simulator/state` shows. at: seconds of the scenarios."""
    return {
        "at": round(simulator.now, 3),
        "speed": simulator.speed,
        "faults": [str(fault) for fault in simulator.faults],
        "requests": simulator.request_count,
        "accounts": [_account(simulator, account) for account in simulator.accounts.values()],
    }


def _account(simulator: Simulator, account: SimAccount) -> dict[str, Any]:
    payload = simulator.payload(account)
    columns = {key: _column(payload, key) for key in ("liab", "twap", "colBorrAutoConversion")}
    return {
        "account": account.name,
        "uid": account.uid,
        "scenario": account.scenario.name if account.scenario else "",
        "mode": account.acct_lv,
        "mgnRatio": payload.get("mgnRatio", ""),
        "adjEq": payload.get("adjEq", ""),
        "busiest_window": simulator.busiest_window(account.uid),
        **columns,
    }


def _column(payload: dict[str, Any], key: str) -> dict[str, Any]:
    """One field by currency, where it says something."""
    return {row["ccy"]: row[key] for row in payload.get("details", []) if row.get(key) not in ("", "0", None)}


def _faults(text: str) -> list[Fault]:
    """From JSON or from lines of words; raises ValueError."""
    try:
        given = msgspec.json.decode(text)
    except msgspec.DecodeError:
        given = [line for line in text.splitlines() if line.strip()]
    items = given if isinstance(given, list) else [given]
    return [Fault.parse(item) if isinstance(item, str) else msgspec.convert(item, Fault) for item in items]


def _value(body: bytes, key: str) -> Any:
    given = msgspec.json.decode(body)
    if not isinstance(given, dict) or key not in given:
        raise ValueError(f'send {{"{key}": …}}')
    return given[key]


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
