"""Faults: what can go wrong between the exchange and its client, as words that can be typed.

    latency=2s              the reply takes longer
    hang                    there is no reply, until the client gives up or the faults are cleared
    reset                   the connection is reset
    code=50011              an error code of OKX with its HTTP status; code=50011/200 with another status
    html=502                a page of some proxy instead of JSON
    redirect=URL            302; without a URL to a page of the simulator that does not exist
    empty-body              200 and nothing
    huge=50MB               JSON that does not end before so many bytes
    gzip-bomb=50MB          the same, small on the wire
    truncate                the connection ends in the middle of the body
    bad-json                the body ends in the middle, the connection does not
    wrong-types             every value of another JSON type; wrong-types=details.liab only that one
    missing=mgnRatio        a field is not there; of a currency: missing=details.twap; of the envelope: missing=data
    new-field               a field that is not documented, in the account and in each currency; new-field=frpType
    no-data                 code 0 and no account
    stale                   the last good reply again, as it was
    skew=45s                the exchange's clock is ahead; skew=-45s behind; on every path, ends only by `for`

Each word may be followed by limits: `hang times=3`, `latency=2s for=1m`, `reset chance=0.2`, `code=50001 on=config`
(on: balance, config, time or all; balance if not said), `html=503 account=main` (label, uid or key).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import msgspec

from riskbot.simulator.paths import seconds

Kind = Literal[
    "latency", "hang", "reset", "code", "html", "redirect", "empty-body", "huge", "gzip-bomb", "truncate", "bad-json",
    "wrong-types", "missing", "new-field", "no-data", "stale", "skew",
]  # fmt: skip
PATHS = {
    "balance": "/api/v5/account/balance",
    "config": "/api/v5/account/config",
    "time": "/api/v5/public/time",
    "all": "",
}
"""What `on` may say, and the path it means; "all" is every path of the exchange."""

_DEFAULTS = {"html": "502", "huge": "50MB", "gzip-bomb": "50MB", "new-field": "newField", "redirect": "/elsewhere"}
_BYTES = {"KB": 1000, "MB": 1000**2, "GB": 1000**3}
_OTHER_TYPES: tuple[Any, ...] = (1.5, None, [], {}, True, [1], {"a": "b"}, -7)
_LIMITS = {"on": "on", "account": "account", "times": "times", "for": "lasts", "chance": "chance"}


@dataclass(frozen=True)
class Fault:
    """One fault. value: what stands behind `=` in its word.

    on: a key of `PATHS`. account: label, uid or key, "" for all. times: how many requests, 0 for no limit.
    lasts: seconds after it was injected, 0 for no limit. chance: that it hits a request, 0 to 1.
    """

    kind: Kind
    value: str = ""
    on: str = "balance"
    account: str = ""
    times: int = 0
    lasts: float = 0
    chance: float = 1

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"there is no fault {self.kind!r}; there are {', '.join(get_args(Kind))}")
        if self.on not in PATHS:
            raise ValueError(f"on={self.on} is none of {', '.join(PATHS)}")
        if self.times < 0 or self.lasts < 0 or not 0 < self.chance <= 1:
            raise ValueError("times and for are not negative, chance is above 0 and at most 1")
        object.__setattr__(self, "value", self.value or _DEFAULTS.get(self.kind, ""))
        if check := _CHECKS.get(self.kind):
            check(self.value)

    @classmethod
    def parse(cls, words: str) -> Fault:
        """A fault from its words, `latency=2s times=3`; raises ValueError that says what is wrong."""
        first, *rest = words.split() or [""]
        kind, _, value = first.partition("=")
        limits: dict[str, Any] = {}
        for word in rest:
            name, _, text = word.partition("=")
            if name not in _LIMITS:
                raise ValueError(f"{name!r} is none of {', '.join(_LIMITS)}")
            limits[_LIMITS[name]] = _READ.get(name, str)(text)
        return cls(kind, value, **limits)  # type: ignore[arg-type]  # an unknown kind is refused in __post_init__

    def __str__(self) -> str:
        """The words that parse to it."""
        said = [f"{self.kind}={self.value}" if self.value else self.kind]
        for word, name in _LIMITS.items():
            if (value := getattr(self, name)) != getattr(Fault, name):
                said.append(f"{word}={_plain(value)}s" if word == "for" else f"{word}={_plain(value)}")
        return " ".join(said)

    @property
    def seconds(self) -> float:
        """Of `latency` and `skew`."""
        return _signed_seconds(self.value)

    @property
    def size(self) -> int:
        """Bytes of `huge` and `gzip-bomb`."""
        return _bytes(self.value)

    def hits(self, path: str, names: Collection[str]) -> bool:
        """Does it concern this path and the account that has these names?"""
        return path.startswith(PATHS[self.on]) and (not self.account or self.account in names)


def _signed_seconds(text: str) -> float:
    size = float(seconds(text.removeprefix("-")))
    return -size if text.startswith("-") else size


def _plain(value: object) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _bytes(text: str) -> int:
    number, unit = text[:-2], text[-2:]
    if unit not in _BYTES or not number.isdecimal():
        raise ValueError(f"{text!r} is no size; write it like 50MB")
    return int(number) * _BYTES[unit]


def _a_code(text: str) -> None:
    code, slash, status = text.partition("/")
    if not code.replace("_", "", 1).isdecimal() or (slash and not status.isdecimal()):
        raise ValueError(f"{text!r} is no code; write it like 50011 or 50011/200")


def _a_field(text: str) -> None:
    if not text:
        raise ValueError("which field? Write it like missing=mgnRatio or missing=details.twap")


_CHECKS: dict[str, Callable[[str], object]] = {
    "latency": seconds,
    "skew": _signed_seconds,
    "huge": _bytes,
    "gzip-bomb": _bytes,
    "code": _a_code,
    "html": int,
    "missing": _a_field,
}
_READ: dict[str, Callable[[str], object]] = {"times": int, "for": _signed_seconds, "chance": float}


@dataclass
class _Active:
    """A fault that was injected. left: requests it still hits. until: seconds on the simulator's clock."""

    fault: Fault
    left: float
    until: float


class Faults:
    """The faults that are active. Moments are seconds on the simulator's clock."""

    def __init__(self) -> None:
        self._active: list[_Active] = []
        self._dice = random.Random(0)

    def add(self, fault: Fault, now: float) -> None:
        """From now on."""
        forever = float("inf")
        self._active.append(_Active(fault, fault.times or forever, now + (fault.lasts or forever)))

    def clear(self) -> None:
        """No more faults."""
        self._active.clear()

    def active(self, now: float) -> list[Fault]:
        """Those that still hit something."""
        self._active = [a for a in self._active if a.left > 0 and a.until > now]
        return [a.fault for a in self._active]

    def skew(self, now: float) -> float:
        """By how many seconds the exchange's clock is ahead."""
        return sum(fault.seconds for fault in self.active(now) if fault.kind == "skew")

    def take(self, path: str, names: Collection[str], now: float) -> list[Fault]:
        """The faults that hit this request; one of `times` is used up."""
        self.active(now)
        hit = [a for a in self._active if a.fault.kind != "skew" and a.fault.hits(path, names) and self._falls(a.fault)]
        for a in hit:
            a.left -= 1
        return [a.fault for a in hit]

    def _falls(self, fault: Fault) -> bool:
        return fault.chance >= 1 or self._dice.random() < fault.chance


def spoil(body: bytes, fault: Fault) -> bytes:
    """A good body as the fault makes it; unchanged if the fault is not about the body."""
    if fault.kind == "bad-json":
        return body[: len(body) // 2]
    if fault.kind not in _EDITS:
        return body
    try:
        reply = msgspec.json.decode(body)
    except msgspec.DecodeError:  # another fault has cut it short
        return body
    _EDITS[fault.kind](reply, fault.value)
    return msgspec.json.encode(reply)


def _wrong_types(reply: dict[str, Any], path: str) -> None:
    for place, only in _places(reply, path):
        for i, (key, value) in enumerate(place.items()):
            if key == only or (not only and key != "details"):
                place[key] = _other(value, i)


def _other(value: object, i: int) -> object:
    other = _OTHER_TYPES[i % len(_OTHER_TYPES)]
    return "abc" if type(other) is type(value) else other


def _missing(reply: dict[str, Any], path: str) -> None:
    for place, key in _places(reply, path):
        place.pop(key, None)


def _new_field(reply: dict[str, Any], name: str) -> None:
    for place, _ in _places(reply, ""):
        place[name] = "1"


def _no_data(reply: dict[str, Any], _: str) -> None:
    reply["data"] = []


def _places(reply: dict[str, Any], path: str) -> list[tuple[dict[str, Any], str]]:
    """The objects a path means, each with the key in it: the envelope, the account, or each currency.

    Without a path: the account and each currency. What another fault has spoiled already is passed over.
    """
    if path in reply:
        return [(reply, path)]
    accounts = _dicts(reply.get("data"))
    rows = [row for account in accounts for row in _dicts(account.get("details"))]
    level, dot, key = path.rpartition(".")
    if dot and level == "details":
        return [(row, key) for row in rows]
    return [(place, path) for place in [*accounts, *([] if path else rows)]]


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


_EDITS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "wrong-types": _wrong_types,
    "missing": _missing,
    "new-field": _new_field,
    "no-data": _no_data,
}
