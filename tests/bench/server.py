"""The other side of the bench, in a process of its own: an exchange that costs little, and a webhook.

Prices move in every reply, so that no answer can be kept. Debts, twap and the like stand still, as they do in life.
`POST /dip` makes the ratio fall in the next reply; the moments of that reply and of its webhook are kept.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import orjson
from aiohttp import web

from riskbot.snapshot import Balance, Snapshot

VARIANTS = 32
MONEY = ("eqUsd", "disEq", "upl")
HELD = ("availBal", "availEq", "cashBal", "eq", "frozenBal", "liab", "crossLiab", "interest", "maxLoan")
NOT_APPLICABLE = (
    *("imr", "mgnRatio", "mmr", "notionalLever", "spotInUseAmt", "clSpotInUseAmt", "maxSpotInUse", "spotBal"),
    *("openAvgPx", "accAvgPx", "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio"),
)


def reply(currencies: int, variant: int, ratio: str = "12.5") -> bytes:
    """A multi-currency account as the guide's sample shows one: a dozen numbers in a row, the rest "0" and ""."""
    account: dict[str, Any] = dict.fromkeys(Snapshot.FIELDS, "0")
    account |= {
        key: f"{82000 + variant}.{i:012}" for i, key in enumerate(("adjEq", "totalEq", "availEq", "mmr", "imr"))
    }
    rows = []
    for i in range(currencies):
        row: dict[str, Any] = dict.fromkeys(Balance.FIELDS, "0")
        row |= {key: f"{i + 1}.{n:012}" for n, key in enumerate(HELD)}
        row |= dict.fromkeys(MONEY, f"{4000 + i + variant}.123456789012")
        row |= dict.fromkeys(NOT_APPLICABLE, "")
        row |= {"ccy": f"C{i}", "collateralEnabled": True, "collateralRestrict": False, "autoLendStatus": "off"}
        rows.append(row | {"uTime": "1705449605015"})
    account |= {"uTime": str(1705474164160 + variant), "mgnRatio": ratio, "details": rows}
    return orjson.dumps({"code": "0", "data": [account], "msg": ""})


def app() -> web.Application:
    """Balance by `?n=` in the key (key-n-…), config, time, webhook."""
    bodies = {n: [reply(n, v) for v in range(VARIANTS)] for n in (1, 20, 50, 200)}
    low = reply(20, 0, "2.5")
    state: dict[str, Any] = {"turn": 0, "dip": False, "armed": False, "said": 0.0, "heard": [], "balance": 0}

    async def balance(request: web.Request) -> web.Response:
        state["turn"] += 1
        state["balance"] += 1
        if state["dip"]:
            if state["armed"]:  # only the first such reply is news
                state["said"], state["armed"] = time.perf_counter(), False
            return web.Response(body=low, content_type="application/json")
        currencies = int(request.headers["OK-ACCESS-KEY"].split("-")[1])
        return web.Response(body=bodies[currencies][state["turn"] % VARIANTS], content_type="application/json")

    async def config(request: web.Request) -> web.Response:
        uid = request.headers["OK-ACCESS-KEY"]
        return web.json_response({"code": "0", "data": [{"uid": uid, "acctLv": "3", "perm": "read_only", "ip": ""}]})

    async def now(_: web.Request) -> web.Response:
        return web.json_response({"code": "0", "data": [{"ts": str(int(time.time() * 1000))}]})  # noqa: TID251 - a server

    async def hook(request: web.Request) -> web.Response:
        heard = time.perf_counter()
        await request.read()
        if state["said"]:
            state["heard"].append(heard - state["said"])
            state["said"] = 0.0
        return web.Response()

    async def dip(request: web.Request) -> web.Response:
        state["dip"] = state["armed"] = request.query["on"] == "1"
        return web.json_response({"balance": state["balance"], "heard": state["heard"]})

    found = web.Application()
    found.router.add_get("/api/v5/account/balance", balance)
    found.router.add_get("/api/v5/account/config", config)
    found.router.add_get("/api/v5/public/time", now)
    found.router.add_post("/hook", hook)
    found.router.add_post("/dip", dip)
    return found


async def main() -> None:
    """Serve until killed; the port is the first line on stdout."""
    runner = web.AppRunner(app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
