"""What several stock kinds say and demand alike."""

from __future__ import annotations

from decimal import Decimal

from pydantic import ConfigDict

from riskbot import text
from riskbot.model import Event


def one_of(*keys: str) -> ConfigDict:
    """Editors refuse an entry that has none of these keys, or more than one; so does the kind itself."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in keys]})


def subject_of(event: Event) -> str:
    """` BTC`, or nothing where the account is meant."""
    return f" {event.subject}" if event.subject else ""


def amount(value: Decimal | None, unit: str, ccy: str) -> str:
    """With its unit (USD, coin, ratio); nothing for no number."""
    return "" if value is None else text.amount(value, unit, ccy)


def worth(value: Decimal) -> str:
    """` ($3,340)`: what an amount of coins is worth, in USD; nothing where no price is known."""
    return f" ({text.usd(value)})" if value.is_finite() else ""
