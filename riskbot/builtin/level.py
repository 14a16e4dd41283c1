"""The kind `level`: a 0-5 risk level of the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from riskbot import text
from riskbot.builtin.words import worth
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, View
from riskbot.rules import Above, Ladder, LevelPath, Rule

ONE = Decimal(1)
WORST_LEVEL = 5


def _within_levels(tiers: dict[str, Decimal]) -> dict[str, Decimal]:
    if not all(1 <= level <= WORST_LEVEL for level in tiers.values()):
        raise PydanticCustomError("levels", "a tier that is never reached, or always: levels go from 1 to 5")
    return tiers


class Level(Rule, kind="level"):
    """A 0-5 risk level of the exchange, `details.twap` or `details.colBorrAutoConversion`, reaches a tier.

    twap is the risk of a forced repayment of the currency's debt, colBorrAutoConversion that of a forced conversion
    of the collateral; 5 is the worst. An alert falls a whole step below its tier.
    """

    BY_ROW = True
    EXAMPLE = """
[[rules]]
name = "forced repayment"
kind = "level"
field = "details.twap"
at_least = { warning = 1, critical = 3, emergency = 5 }
"""

    field: LevelPath = Field(description="Which of them.")
    at_least: Annotated[Above, AfterValidator(_within_levels)] = Field(description="Tiers, from 1 to 5.")

    MEANING: ClassVar[dict[str, str]] = {
        "details.twap": "OKX may repay this debt by selling your other coins; independent of the margin ratio",
        "details.colBorrAutoConversion": "OKX may convert this collateral; its platform-wide borrowing limit is near",
    }

    def ladder(self) -> Ladder:
        """Left one whole step below the entry."""
        return self.ladder_of(self.at_least, "above", step=ONE)

    def columns(self) -> tuple[str, ...]:
        """The one field."""
        return (self.field,)

    def readings(self, view: View) -> Iterator[Reading]:
        """One for each currency."""
        for ccy, value in view.snapshot.amounts(self.field.removeprefix("details.")).items():
            yield Reading(value, ccy, "" if value.is_finite() else self.field)

    def say(self, event: Event) -> str:
        """`forced repayment USDT: level 3 of 5`."""
        return f"{self.name} {event.subject}" + (
            "" if event.value is None else f": level {text.number(event.value)} of 5"
        )

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """What the level means, and the debt that is at stake."""
        balance = view.snapshot.balances.get(event.subject)
        if event.after:
            yield self.MEANING[self.field]
        if balance and balance.liab.is_finite() and balance.liab:
            yield f"debt {text.number(balance.liab)} {event.subject}{worth(balance.liab * balance.price)}"


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kind `level`."""
    return [Level]
