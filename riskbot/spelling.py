"""How a trader spells a value, as JSON Schema: editors complete and check by it, `riskbot rules kinds` shows it.

`x-type` is the word for it that a trader reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from riskbot.snapshot import field

Schema = dict[str, Any]

REFERENCE: Schema = {
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|^(file|credential):",
    "description": "Filled in from the environment, a file or systemd's credentials.",
}
"""What may stand in place of any value."""

DURATION: Schema = {
    "x-type": "duration",
    "anyOf": [
        {"type": "string", "pattern": r"^ *([0-9]+(\.[0-9]+)? *(ms|s|m|h|d) *)+$"},
        {"type": "number", "minimum": 0, "description": "Seconds."},
        REFERENCE,
    ],
    "examples": ["1h", "90s", "1h30m", "7d"],
}
TIME: Schema = {
    "x-type": "time of day",
    "anyOf": [{"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$"}, REFERENCE],
    "examples": ["08:00"],
}
NUMBER: Schema = {
    "x-type": "number",
    "anyOf": [
        {"type": "number"},
        {"type": "string", "pattern": r"^\s*[-+]?([0-9_]+\.?[0-9_]*|\.[0-9_]+)([eE][-+]?[0-9]+)?\s*%?\s*$"},
        REFERENCE,
    ],
    "examples": [3, 1.5, "300%"],
}
GROWTH: Schema = {
    "x-type": "share or amount",
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^\s*\$?\s*\+?[0-9_.]+([eE][-+]?[0-9]+)?\s*(%|[uU][sS][dD])?\s*$"},
        REFERENCE,
    ],
    "examples": ["10%", 500, "$500"],
}
SEVERITIES = ("info", "warning", "critical", "emergency")
REPEAT: Schema = {
    "x-type": "duration, or tiers",
    "anyOf": [
        *DURATION["anyOf"],
        {"type": "object", "properties": dict.fromkeys(SEVERITIES, DURATION), "additionalProperties": False},
    ],
    "examples": [{"emergency": "5m"}, "1h"],
}


CONDITIONS: Schema = {
    "x-type": "condition, or tiers",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {
            "type": "object",
            "properties": {name: {"type": "string", "minLength": 1} for name in SEVERITIES},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ],
    "examples": [{"warning": "mgnRatio < 5 and adjEq < 10000"}],
}
WORDS: Schema = {
    "x-type": "word, or several",
    "anyOf": [
        {"type": ["string", "boolean", "integer"]},
        {"type": "array", "items": {"type": ["string", "boolean", "integer"]}, "minItems": 1},
    ],
    "examples": ["true", ["pending", "active"]],
}


def one_of(paths: Iterable[str]) -> Schema:
    """Fields of OKX, each with its meaning."""
    known = list(paths)
    meanings = [f"{field(path).__doc__} {_unit(path)}".rstrip() for path in known]
    return {
        "x-type": "field of OKX",
        "enum": known,
        "examples": known[:1],
        "x-taplo": {"docs": {"enumValues": meanings}},
    }


def one_or_ratio(paths: Iterable[str]) -> Schema:
    """Fields of OKX, or the ratio of two of one row."""
    known = list(paths)
    details = [path.removeprefix("details.") for path in known if path.startswith("details.")]
    account = [path for path in known if "." not in path]
    rows = (("details[.]", details), ("", account))
    ratios = [" */ *".join([f"{prefix}({'|'.join(names)})"] * 2) for prefix, names in rows]
    return {
        "x-type": "field of OKX, or ratio of two",
        "anyOf": [one_of(known), {"type": "string", "pattern": f"^ *({'|'.join(ratios)}) *$"}],
        "examples": known[:1],
    }


def _unit(path: str) -> str:
    unit = field(path).unit
    return f"({unit})" if unit else ""


def duration(seconds: float) -> str:
    """`1h30m`: as a trader would write it."""
    rest, words = round(seconds * 1000), ""
    for size, unit in ((86400000, "d"), (3600000, "h"), (60000, "m"), (1000, "s"), (1, "ms")):
        count, rest = divmod(rest, size)
        words += f"{count}{unit}" if count else ""
    return words or "0s"
