"""From a moment of a scenario to the object that the exchange sends: blanked by mode, numbers as strings."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from riskbot.fields import Row
from riskbot.simulator.ledger import Moment, Value
from riskbot.snapshot import Balance, Mode, Snapshot


def render(moment: Moment, mode: Mode, wall: Callable[[float], int]) -> dict[str, Any]:
    """`data[0]` but for the account's `uTime`. wall: from a scenario's seconds to milliseconds since 1970."""
    account = _written(Snapshot, moment.account, mode)
    del account["uTime"]
    account["details"] = [
        _written(Balance, row, mode) | {"uTime": str(wall(float(moment.changed[ccy])))}
        for ccy, row in moment.rows.items()
    ]
    return account


def _written(table: type[Row], values: dict[str, Value], mode: Mode) -> dict[str, Any]:
    """Every field of the table, "" where the mode does not carry it."""
    return {
        key: _text(values.get(key, Decimal(0))) if mode in field.modes else "" for key, field in table.FIELDS.items()
    }


def _text(value: Value) -> str | bool:
    if isinstance(value, (str, bool)):
        return value
    if value is None:
        return ""
    plain = f"{value:f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain
