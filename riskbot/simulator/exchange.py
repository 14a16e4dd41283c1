"""The exchange behind the wire: what it answers to a request. No I/O; the clocks are passed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import msgspec

from riskbot.simulator.auth import Asked, SimAccount, authenticate
from riskbot.simulator.clock import StoryClock
from riskbot.simulator.errors import Refusal
from riskbot.simulator.faults import PATHS
from riskbot.simulator.limits import Window
from riskbot.simulator.payload import render

BALANCE, CONFIG, TIME = PATHS["balance"], PATHS["config"], PATHS["time"]
LIMITS = {BALANCE: 10, CONFIG: 5, TIME: 10}
"""Requests in any 2 s: by user for the signed paths, by address for the public one."""

_MOST_CURRENCIES = 20
_MOST_CACHED = 512


@dataclass(frozen=True)
class Reply:
    """An answer. status: HTTP. code: OKX's. body: JSON."""

    status: int
    code: str
    body: bytes

    @classmethod
    def refused(cls, refusal: Refusal) -> Reply:
        """The answer with an error code."""
        return cls(refusal.status, refusal.code, refusal.body)


class Exchange:
    """The accounts, and the rates at which their users ask."""

    def __init__(self, accounts: Mapping[str, SimAccount], clock: StoryClock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}
        self._bodies: dict[tuple[object, ...], bytes] = {}

    def answer(self, asked: Asked, skew: float) -> Reply:
        """What the exchange answers. skew: how many seconds its clock is ahead of the wall's."""
        try:
            data = self._data(asked, self._clock.wall() + skew)
        except Refusal as refusal:
            return Reply.refused(refusal)
        return Reply(200, "0", b'{"code":"0","data":[' + data + b'],"msg":""}')

    def balance(self, account: SimAccount, ccys: frozenset[str], now_ms: int) -> bytes:
        """The account as JSON, with the currencies asked for; all if none are."""
        if account.play is not None:
            return msgspec.json.encode(_only(account.play(self._clock.now), ccys))
        return b'{"uTime":"%d",' % now_ms + self._played(account, ccys)[1:]

    def forget(self) -> None:
        """The story clock was set: what was computed for its moments no longer holds."""
        self._bodies.clear()

    def _data(self, asked: Asked, now: float) -> bytes:
        path = asked.target.partition("?")[0]
        if path not in LIMITS:
            raise Refusal("404", "Not Found", status=404)
        if asked.method != "GET":
            raise Refusal("50115")
        if path == TIME:
            self._count(path, asked.peer)
            return msgspec.json.encode({"ts": str(int(now * 1000))})
        account = authenticate(asked, self._accounts, now)
        self._count(path, account.uid)
        if path == CONFIG:
            return msgspec.json.encode(config(account))
        return self.balance(account, _currencies(asked), int(now * 1000))

    def _count(self, path: str, who: str) -> None:
        """One more request, unless there were too many. One that is refused does not count."""
        window, now = self._windows.setdefault((path, who), Window()), self._clock.wall()
        if window.count(now) >= LIMITS[path]:
            raise Refusal("50011")
        window.add(now)

    def _played(self, account: SimAccount, ccys: frozenset[str]) -> bytes:
        """The scenario's account without `uTime`; computed once for each hundredth of a second."""
        story, mode, at = account.story, account.acct_lv, int(self._clock.now * 100) / 100
        key = (story, mode, at, ccys)
        if (body := self._bodies.get(key)) is None:
            if len(self._bodies) >= _MOST_CACHED:
                self._bodies.clear()
            body = msgspec.json.encode(_only(render(story.at(at), mode, self._clock.wall_ms), ccys))
            self._bodies[key] = body
        return body


def _only(account: dict[str, Any], ccys: frozenset[str]) -> dict[str, Any]:
    """With the currencies asked for. Unknown ones are no error, and the account's own numbers stay."""
    if not ccys:
        return account
    return account | {"details": [row for row in account["details"] if row["ccy"] in ccys]}


def _currencies(asked: Asked) -> frozenset[str]:
    values = parse_qs(asked.target.partition("?")[2]).get("ccy", [""])
    ccys = [ccy for ccy in values[0].split(",") if ccy]
    if len(ccys) > _MOST_CURRENCIES:
        raise Refusal("51000", "Parameter ccy error")
    return frozenset(ccys)


def config(account: SimAccount) -> dict[str, Any]:
    """`data[0]` of `GET /api/v5/account/config`."""
    return {
        "acctLv": account.acct_lv,
        "acctStpMode": "cancel_maker",
        "autoLoan": account.acct_lv in {"3", "4"},
        "ctIsoMode": "automatic",
        "enableSpotBorrow": False,
        "greeksType": "PA",
        "ip": ",".join(account.ips),
        "kycLv": "2",
        "label": account.label,
        "level": "Lv1",
        "levelTmp": "",
        "liquidationGear": "-1",
        "mainUid": account.main_uid or account.uid,
        "mgnIsoMode": "automatic",
        "opAuth": "0",
        "perm": ",".join(account.permissions),
        "posMode": "net_mode",
        "roleType": "0",
        "settleCcy": "",
        "settleCcyList": [],
        "specRoleType": "0",
        "spotBorrowAutoRepay": False,
        "spotOffsetType": "",
        "spotRoleType": "0",
        "spotTraderInsts": [],
        "stgyType": "0",
        "traderInsts": [],
        "type": "1" if account.main_uid and account.main_uid != account.uid else "0",
        "uid": account.uid,
    }
