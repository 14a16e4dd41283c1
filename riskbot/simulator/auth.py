"""Who asks, and may they: the checks that the exchange's gateway makes on a signed request."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from riskbot.simulator.errors import Refusal
from riskbot.simulator.scenario import Scenario
from riskbot.snapshot import Mode

_REQUIRED = {
    "OK-ACCESS-KEY": "50103",
    "OK-ACCESS-SIGN": "50106",
    "OK-ACCESS-TIMESTAMP": "50107",
    "OK-ACCESS-PASSPHRASE": "50104",
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_TOLERANCE = 30.0


@dataclass
class SimAccount:
    """An account of the simulated exchange and its one API key. May be changed while the simulator runs.

    uid: the user; keys of one user share its rate limits. scenario: what it lives through. play: instead of a
    scenario, from its seconds to the raw `data[0]`, which is sent as it is. mode: `acctLv`, the scenario's if not
    given. demo: a key of demo trading. ips: addresses and networks the key is bound to, none: unbound;
    this machine's if not given.
    """

    api_key: str
    api_secret: str
    passphrase: str
    uid: str = "1"
    scenario: Scenario | None = None
    play: Callable[[float], dict[str, Any]] | None = None
    mode: Mode | None = None
    demo: bool = False
    permissions: tuple[str, ...] = ("read_only",)
    ips: tuple[str, ...] = ("127.0.0.0/8", "::1")
    label: str = ""
    main_uid: str = ""

    def __post_init__(self) -> None:
        if self.scenario is None and self.play is None:
            raise ValueError("an account plays a scenario or a function: give one of them")

    @property
    def acct_lv(self) -> Mode:
        """Its account mode."""
        return self.mode or (self.scenario.mode if self.scenario else "3")

    @property
    def story(self) -> Scenario:
        """Its scenario; an account that plays a function has none."""
        assert self.scenario is not None  # noqa: S101 - callers look at `play` first
        return self.scenario

    @property
    def name(self) -> str:
        """For people and logs."""
        return self.label or self.uid

    @property
    def names(self) -> tuple[str, ...]:
        """What a fault may call it."""
        return (self.label, self.uid, self.api_key)


@dataclass(frozen=True)
class Asked:
    """What is checked of a request. target: path and query exactly as they were sent. peer: the client's address."""

    method: str
    target: str
    headers: Mapping[str, str]
    peer: str


def authenticate(asked: Asked, accounts: Mapping[str, SimAccount], now: float) -> SimAccount:
    """The account whose key signed the request; raises Refusal. now: the exchange's clock."""
    for header, code in _REQUIRED.items():
        if not asked.headers.get(header):
            raise Refusal(code)
    _check_timestamp(asked.headers["OK-ACCESS-TIMESTAMP"], now)
    account = accounts.get(asked.headers["OK-ACCESS-KEY"])
    if account is None:
        raise Refusal("50119")
    _check_environment(asked, account)
    if not _same(asked.headers["OK-ACCESS-PASSPHRASE"], account.passphrase):
        raise Refusal("50105")
    if not _same(asked.headers["OK-ACCESS-SIGN"], _signature(asked, account)):
        raise Refusal("50113")
    return account


def _check_timestamp(text: str, now: float) -> None:
    """Milliseconds and Z, at most 30 s from the exchange's clock."""
    try:
        if not _TIMESTAMP.fullmatch(text):
            raise Refusal("50112")
        sent = datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refusal("50112") from None
    if abs(now - sent) > _TOLERANCE:
        raise Refusal("50102")


def _check_environment(asked: Asked, account: SimAccount) -> None:
    """Demo keys for demo trading only, and only from where the key is bound to."""
    if account.demo != (asked.headers.get("x-simulated-trading") == "1"):
        raise Refusal("50101")
    if account.ips and not any(ip_address(asked.peer) in ip_network(ip, strict=False) for ip in account.ips):
        raise Refusal("50110", f"Your IP {asked.peer} is not included in your API key's IP whitelist.")


def _signature(asked: Asked, account: SimAccount) -> str:
    text = asked.headers["OK-ACCESS-TIMESTAMP"] + asked.method + asked.target
    return base64.b64encode(
        hmac.digest(account.api_secret.encode(), text.encode("utf-8", "surrogateescape"), "sha256")
    ).decode()


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.encode())
