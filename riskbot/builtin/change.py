"""The kind `change`: a field moves too far within a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from riskbot import spelling, text
from riskbot.builtin.words import amount, one_of, subject_of, worth
from riskbot.fields import COIN, MISSING, RATIO, USD, ZERO
from riskbot.history import Side, Want
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, View
from riskbot.rules import AmountPath, Duration, Ladder, Number, Rule, TierName, ordered, parse_number
from riskbot.snapshot import Balance, field

ONE = Decimal(1)


@dataclass(frozen=True)
class Growth:
    """How much a field may move: a share (`"10%"`), an amount in the field's own unit (`500`), or USD (`"$500"`)."""

    size: Decimal
    unit: Literal["%", "", "$"]

    def __gt__(self, other: Growth) -> bool:
        return self.size > other.size

    def __str__(self) -> str:
        """As a trader may write it, the same for the same."""
        size = (self.size * 100 if self.unit == "%" else self.size).normalize()
        return f"${size:f}" if self.unit == "$" else f"{size:f}{self.unit}"


def parse_growth(value: object) -> Growth:
    """From `"10%"`, `500`, `"500"`, `"$500"` or `"500 USD"`. Raises ValueError."""
    unit: Literal["%", "", "$"] = ""
    if isinstance(value, str):
        word = value.strip()
        if word.endswith("%"):
            unit = "%"
        elif word.startswith("$") or word.upper().endswith("USD"):
            unit, value = "$", word.removeprefix("$").upper().removesuffix("USD").strip()
    try:
        size = parse_number(value)
    except PydanticCustomError:
        size = MISSING
    if not size.is_finite() or size <= 0:
        raise PydanticCustomError(
            "growth", 'not an amount of growth: write "10%", 500 (in the field\'s unit) or "$500"'
        )
    return Growth(size, unit)


def _same_unit(tiers: dict[str, Growth]) -> dict[str, Growth]:
    if len({growth.unit for growth in tiers.values()}) > 1:
        raise PydanticCustomError(
            "growth_units", "tiers of different units: use all percentages, all amounts or all USD"
        )
    return tiers


Growths = Annotated[
    dict[
        TierName,
        Annotated[Growth, BeforeValidator(parse_growth), PlainSerializer(str), WithJsonSchema(spelling.GROWTH)],
    ],
    AfterValidator(_same_unit),
    AfterValidator(ordered("above")),
]


_number = lru_cache(1024)(text.number)
"""Several rules say the same numbers, at every look."""


@lru_cache(1024)
def _unmoved(ccy: str) -> Reading:
    return Reading(ZERO, ccy)


FROM_NOTHING = Decimal(1_000_000)
"""The share by which a debt has grown that was nothing before: beyond every tier."""


class Change(Rule, kind="change"):
    """A field rises or falls by a share or an amount within a window: a debt that grows, equity that melts.

    Measured from the lowest (rises) or highest (falls) value within the window. A currency that was not listed
    before had 0 before. `min_usd`: currencies whose value, now and before, is worth less are left alone, and growth
    from (almost) nothing is measured from that much.
    """

    BY_ROW = True
    EXAMPLE = """
[[rules]]
name = "debt grows"
kind = "change"
field = "details.liab"
rises_by = { warning = "10%", critical = "50%" }
over = "1h"
min_usd = 500
"""
    model_config = one_of("rises_by", "falls_by")

    field: AmountPath = Field(description="See riskbot fields.")
    over: Duration = Field(ge=10, le=7 * 86400, description="The window, 10s to 7d.")
    rises_by: Growths | None = Field(None, description='Tiers: a share, an amount, or "$500".')
    falls_by: Growths | None = Field(None, description="Or: it fires when it falls by so much.")
    min_usd: Number = Field(Decimal(0), ge=0, description="Currencies worth less are left alone: dust.")

    @model_validator(mode="after")
    def _has_worth(self) -> Change:
        if self.min_usd and field(self.field).unit not in (COIN, USD):
            raise PydanticCustomError("min_usd", "min_usd needs an amount of money; {f} is none", {"f": self.field})
        if self._unit == "$" and field(self.field).unit not in (COIN, USD):
            raise PydanticCustomError(
                "usd", "{f} has no worth in USD: give a number or a percentage", {"f": self.field}
            )
        return self

    @property
    def _tiers(self) -> dict[TierName, Growth]:
        return self.rises_by or self.falls_by or {}

    @cached_property
    def _unit(self) -> str:
        return next(growth.unit for growth in self._tiers.values())

    @cached_property
    def _side(self) -> Side:
        return "low" if self.rises_by else "high"

    @cached_property
    def _of_coins(self) -> bool:
        return field(self.field).unit == COIN

    def ladder(self) -> Ladder:
        """Tiers of growth."""
        if (self.rises_by is None) == (self.falls_by is None):
            raise PydanticCustomError("one_side", "give either rises_by = {…} or falls_by = {…}, not both")
        return self.ladder_of({name: growth.size for name, growth in self._tiers.items()}, "above")

    def columns(self) -> tuple[str, ...]:
        """The one field; prices count only where it has moved."""
        return (self.field,)

    def wants(self) -> Iterable[Want]:
        """The extreme to measure from."""
        return (Want(self.field, self.over, self._side),)

    def readings(self, view: View) -> Iterator[Reading]:
        """One for the account, or one for each currency; a share, an amount in the field's unit, or USD."""
        if not self.field.startswith("details."):
            yield self._reading(view, "", view.snapshot.amount(self.field), ONE)
            return
        coin = self._of_coins
        balances, restless = view.snapshot.balances, view.history.restless(self.field)
        for ccy, value in view.snapshot.amounts(self.field.removeprefix("details.")).items():
            if ccy in restless or value.is_nan():
                yield self._reading(view, ccy, value, balances[ccy] if coin else ONE)
            else:
                yield _unmoved(ccy)  # the usual case
        if self.falls_by:  # what is not listed any more has fallen to nothing
            for ccy, price in view.history.unlisted(self.field).items():
                yield self._reading(view, ccy, ZERO, price if coin else ONE)

    def _reading(self, view: View, ccy: str, value: Decimal, priced: Balance | Decimal) -> Reading:
        """priced: 1 for an amount in USD, else the row that has the coin's price, or the price."""
        if value.is_nan():
            return Reading(value, ccy, self.field)
        before = view.history.extreme(self.field, ccy, self.over, self._side, view.now)
        moved = abs(value - before)
        if not moved or moved.is_nan():
            return Reading(moved, ccy)
        price = priced if isinstance(priced, Decimal) else priced.price
        if price.is_nan():
            return self._without_price(ccy, before, value)
        if self.min_usd and max(abs(value), abs(before)) * price < self.min_usd:
            return Reading(Decimal(0), ccy)  # dust
        note = f"{_number(before)} → {_number(value)}"
        if self._unit == "%":
            floor = self.min_usd / price if price else Decimal(0)
            base = max(abs(before), floor)
            return Reading(moved / base if base else FROM_NOTHING, ccy, note)
        return Reading(moved * (price if self._unit == "$" else ONE), ccy, note)

    def _without_price(self, ccy: str, before: Decimal, value: Decimal) -> Reading:
        """A tier in USD can't be judged without a price. Otherwise it can, and what may be dust is not held back."""
        if self._unit == "$":
            return Reading.missing(f"no USD price of {ccy}: {self.field} can't be judged in USD", ccy)
        moved, note = abs(value - before), f"{_number(before)} → {_number(value)}, worth unknown: no USD price"
        if self._unit == "%":
            return Reading(moved / abs(before) if before else FROM_NOTHING, ccy, note)
        return Reading(moved, ccy, note)

    def say(self, event: Event) -> str:
        """`debt grows: details.liab USDT rose 60 % in 1 h`."""
        verb = "rose" if self.rises_by else "fell"
        if event.value is None or not event.after:
            return f"{self.name}: {self.field}{subject_of(event)}"
        how = amount(event.value, {"%": RATIO, "$": USD}.get(self._unit, field(self.field).unit), event.subject)
        if self._unit == "%":
            nothing = event.value >= FROM_NOTHING or event.note.startswith("0 →")
            how = "from nothing" if nothing else text.percent(event.value)
        return f"{self.name}: {self.field}{subject_of(event)} {verb} {how} in {text.span(self.over)}"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """From how much to how much, and what it is worth."""
        unit = field(self.field).unit
        if not event.note:
            return
        if unit != COIN:
            yield f"{event.note}{' USD' if unit == USD else ''}"
            return
        balance = view.snapshot.balances.get(event.subject)
        said = worth(balance.amount(self.field.removeprefix("details.")) * balance.price) if balance else ""
        yield f"{event.note} {event.subject}{said}"


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kind `change`."""
    return [Change]
