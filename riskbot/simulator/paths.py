"""Durations, and values that move along keyframes. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import PlainValidator

ZERO = Decimal(0)
COIN = Decimal("1e-8")
"""The exchange counts coins to eight decimals."""

_LARGEST = Decimal("1e12")
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(text: str | float | Decimal) -> Decimal:
    """Seconds of "90s", "1h30m", "7d", "250ms" or a plain number; raises ValueError."""
    if isinstance(text, (int, float, Decimal)) and not isinstance(text, bool):
        return _number(Decimal(str(text)))
    if not isinstance(text, str) or not text or _DURATION.sub("", text):
        raise ValueError(f"{text!r} is no duration; write it like 90s, 1h30m or 7d")
    return sum((Decimal(number) * _UNITS[unit] for number, unit in _DURATION.findall(text)), ZERO)


@dataclass(frozen=True, slots=True)
class Path:
    """A value over time. times: seconds, rising. steps: it jumps at a keyframe instead of moving towards it."""

    times: tuple[Decimal, ...]
    values: tuple[Decimal, ...]
    steps: bool = False

    def at(self, t: Decimal) -> Decimal:
        """The value at t seconds, to eight decimals."""
        after = bisect_right(self.times, t)
        if after == 0:
            return self.values[0]
        before = self.values[after - 1]
        if self.steps or after == len(self.times):
            return before
        share = (t - self.times[after - 1]) / (self.times[after] - self.times[after - 1])
        return (before + (self.values[after] - before) * share).quantize(COIN)

    def changed(self, t: Decimal) -> Decimal:
        """When the value last moved along its lines, seconds; 0 if it never did."""
        legs = zip(self.times, self.times[1:], self.values, self.values[1:], strict=False)
        moved = [min(t, end) for start, end, before, after in legs if before != after and start < t]
        return moved[-1] if moved else ZERO


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - pydantic reports ValueError beside the field
    number = Decimal(value)
    if not number.is_finite() or abs(number) >= _LARGEST:
        raise ValueError(f"{value} is not below {_LARGEST:f}")
    return number


def _path(value: object, *, steps: bool) -> Path:
    frames = value if isinstance(value, dict) else {"0s": value}
    points = sorted((seconds(at), _number(v)) for at, v in frames.items())
    if not points or len({at for at, _ in points}) < len(points):
        raise ValueError("a path has one or more keyframes, each at a time of its own")
    return Path(tuple(at for at, _ in points), tuple(v for _, v in points), steps)


def _line(value: object) -> Path:
    return _path(value, steps=False)


def _level(value: object) -> Path:
    path = _path(value, steps=True)
    if not all(v in range(6) for v in path.values):
        raise ValueError("a level is 0, 1, 2, 3, 4 or 5")
    return path


def still(value: int) -> Path:
    """The path that stays at one value."""
    return Path((ZERO,), (Decimal(value),))


Line = Annotated[Path, PlainValidator(_line)]
"""An amount: a number, or keyframes joined by straight lines."""
Level = Annotated[Path, PlainValidator(_level)]
"""0 to 5, or keyframes that hold until the next."""
Number = Annotated[Decimal, PlainValidator(_number)]
"""A number that stands still."""
Seconds = Annotated[Decimal, PlainValidator(seconds)]
"""A duration: 90s, 1h30m, 7d."""
