"""What a trader may write for a value: durations, numbers, names, tiers, fields. Types for a kind's own keys."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from riskbot import snapshot, spelling
from riskbot.fields import LEVEL, MISSING, OVER, Amount
from riskbot.model import Severity

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MAX_EXPONENT = 40  # as for what the exchange sends: arithmetic with it can't overflow


def parse_duration(value: object) -> float:
    """Seconds from `90`, `"90s"`, `"1h30m"`, `"7d"`. Raises ValueError."""
    seconds = -1.0
    if isinstance(value, str):
        parts = _DURATION.findall(value.replace(" ", ""))
        if parts and "".join(a + b for a, b in parts) == value.replace(" ", ""):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        seconds = float(Decimal(value))
    if 0 <= seconds < math.inf:  # "for = inf" would be a rule that never speaks
        return seconds
    raise PydanticCustomError("duration", 'not a duration: write "90s", "1h30m" or "7d"')


def parse_number(value: object) -> Decimal:
    """An exact number from `3`, `1.5` or `"300%"`. Raises ValueError."""
    number, percent = MISSING, False
    if isinstance(value, str):
        word = value.strip()
        percent = word.endswith("%")
        with suppress(InvalidOperation):
            number = Decimal(word.removesuffix("%").strip())
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = Decimal(str(value))
    if number.is_finite() and abs(number.adjusted()) < _MAX_EXPONENT:
        return number / 100 if percent else number
    raise PydanticCustomError("number", 'not a number: write 3, 1.5 or "300%"')


Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(spelling.DURATION)]
"""Seconds; a trader writes `"90s"`, `"1h30m"`, `"7d"`."""
Number = Annotated[Decimal, BeforeValidator(parse_number), WithJsonSchema(spelling.NUMBER)]
"""An exact number; `3.0` and `"300%"` are the same."""
Share = Annotated[Number, Field(ge=0, le=1, json_schema_extra={"minimum": 0, "maximum": 1})]
"""A number from 0 to 1."""


def _name(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("name", "may hold no line break and no other sign that can't be seen")
    return name


Name = Annotated[str, AfterValidator(_name)]
"""Part of the ids of messages, and their first line."""
Label = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_name)]
"""What stands under a label's name."""
Currency = Annotated[str, AfterValidator(str.upper)]
"""As OKX spells it, in capitals."""
TierName = Literal["info", "warning", "critical", "emergency"]
Worse = Literal["above", "below"]


def ordered(worse: Worse) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A check that each worse tier is further in the direction of danger."""

    def check(tiers: dict[str, Any]) -> dict[str, Any]:
        if not tiers:
            raise PydanticCustomError("no_tiers", "no tier: give at least one, such as warning = 3")
        ladder = sorted(tiers.items(), key=lambda tier: Severity[tier[0].upper()])
        further = operator.gt if worse == "above" else operator.lt
        for (mild, milder), (bad, worst) in pairwise(ladder):
            if not further(worst, milder):
                word = "higher" if worse == "above" else "lower"
                raise PydanticCustomError(
                    "tiers_order",
                    "tiers out of order: {bad} is worse than {mild}, so its value must be {word}",
                    {"bad": bad, "mild": mild, "word": word},
                )
        return dict(ladder)

    return check


Below = Annotated[dict[TierName, Number], AfterValidator(ordered("below"))]
Above = Annotated[dict[TierName, Number], AfterValidator(ordered("above"))]
TIERS: dict[Worse, Any] = {
    "above": Annotated[Above, Field(description="Tiers: it fires above them.")],
    "below": Annotated[Below, Field(description="Tiers: it fires below them.")],
}


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "liab"?`, or "" if nothing is near."""
    known = list(known)
    by_case = {k.lower(): k for k in known} | {k.rpartition(".")[2].lower(): k for k in reversed(known)}
    near = by_case.get(word.lower().replace("_", "")) or next(
        iter(difflib.get_close_matches(word, known, 1, 0.6)), None
    )
    return f'; did you mean "{near}"?' if near else ""


def _known_field(path: str) -> str:
    """The field, or the ratio of two, as the table spells it."""
    top, slash, bottom = (part.strip() for part in path.partition("/"))
    if not slash:
        return _known_amount(path)
    if "/" in bottom or top.startswith("details.") != bottom.startswith("details."):
        raise PydanticCustomError("field", "a ratio is one of two fields, both of the account or both of details")
    return OVER.join((_known_amount(top), _known_amount(bottom)))


def _known_amount(path: str) -> str:
    try:
        found = snapshot.field(path)
    except KeyError:
        raise PydanticCustomError(
            "field",
            "OKX has no field {path}{hint}",
            {"path": f'"{path}"', "hint": suggest(path, snapshot.field_paths())},
        ) from None
    if not isinstance(found, Amount):
        raise PydanticCustomError("field", "{path} is not a number", {"path": path})
    return path


def _level_field(path: str) -> str:
    found = snapshot.field(_known_field(path))
    if found.unit != LEVEL:
        raise PydanticCustomError(
            "field",
            "{path} is not a 0-5 level: this kind takes {levels}; for amounts use kind = {kinds}",
            {"path": path, "levels": " or ".join(_LEVELS), "kinds": '"threshold" or "change"'},
        )
    return path


_AMOUNTS = [path for path in snapshot.field_paths() if isinstance(snapshot.field(path), Amount)]
_LEVELS = [path for path in _AMOUNTS if snapshot.field(path).unit == LEVEL]

AmountPath = Annotated[str, AfterValidator(_known_field), WithJsonSchema(spelling.one_or_ratio(_AMOUNTS))]
"""A numeric field as a trader types it: `mgnRatio` of the account, `details.liab` of each currency.

Or the ratio of two: `adjEq / mmr`, `details.disEq / details.eqUsd`.
"""
LevelPath = Annotated[str, AfterValidator(_level_field), WithJsonSchema(spelling.one_of(_LEVELS))]
"""One of OKX's 0-5 risk levels."""
