"""The stock kinds of rules, written exactly as a stranger's plugin would be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from riskbot import spelling, text
from riskbot.history import Side, Want
from riskbot.hookspecs import hookimpl
from riskbot.model import Alert, Cause, Event, Reading, Severity, View
from riskbot.rules import (
    Above,
    AmountPath,
    Below,
    Duration,
    Ladder,
    LevelPath,
    Number,
    Rule,
    TierName,
    ordered,
    parse_number,
)
from riskbot.snapshot import COIN, MISSING, RATIO, USD, ZERO, Balance, field, is_missing

PACE_OVER = 600.0
"""Seconds over which a message says how fast the equity falls."""

ONE = Decimal(1)
WORST_LEVEL = 5


class MarginRatio(Rule, kind="margin_ratio", worse="below"):
    """The maintenance margin ratio, in whichever place the account's mode gives it. 1.0 is 100 %: liquidation.

    Multi-currency and Portfolio margin: mgnRatio of the account. Futures mode: `details.mgnRatio` of each currency
    with a cross position. While the mode is not known, both are read and whichever has a value counts.
    """

    FUTURES: ClassVar[str] = "2"
    EXAMPLE = """
[[rules]]
name = "margin ratio"
kind = "margin_ratio"
below = { info = 10, warning = 5, critical = "300%", emergency = 1.5 }
"""

    def columns(self) -> tuple[str, ...]:
        """Both places."""
        return "mgnRatio", "details.mgnRatio"

    def readings(self, view: View) -> Iterator[Reading]:
        """One for the account, or one for each currency."""
        known, futures = view.mode is not None, view.mode == self.FUTURES
        account = view.snapshot.mgn_ratio
        if not futures:
            yield Reading(account, note="" if account.is_finite() else "mgnRatio")
        if known and not futures and account.is_finite():
            return
        for ccy, value in view.snapshot.amounts("mgnRatio").items():
            # A number counts wherever it stands: the mode may have changed since it was read. While it is not known
            # which place counts, one that says "does not apply" is silent, one that can't be read is not.
            if value.is_finite() or futures or (is_missing(value) and not known):
                yield Reading(value, ccy, "" if value.is_finite() else "details.mgnRatio")

    def say(self, event: Event) -> str:
        """`margin ratio 1.42 (142 %)`."""
        subject = f" {event.subject}" if event.subject else ""
        if event.value is None:
            return f"margin ratio{subject}"
        return f"margin ratio{subject} {text.number(event.value, 3)} ({text.percent(event.value)})"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """How far liquidation is, how fast it comes, what would bring the ratio back to the next milder tier."""
        ratio, equity = event.value, view.snapshot.adj_eq
        if ratio is None or not event.after:
            return
        if ratio <= 1:
            yield "the exchange may be liquidating now"
        if event.subject or ratio <= 0 or not equity.is_finite() or equity <= 0:
            return
        # Exact from the reply: the ratio is 1 where adjEq equals what it is divided by, fees included.
        needed = equity / ratio
        loss = equity - needed
        if loss > 0:
            share = text.percent(loss / equity)
            yield f"a further loss of {text.usd(loss)}, {share} of adjusted equity, reaches liquidation"
            yield from self._pace(view, equity, loss)
        rungs = self._ladder.rungs
        back = next((rung.enter for rung in reversed(rungs) if rung.severity < event.after), rungs[0].enter)
        if event.after and ratio < back:
            yield f"adding ≈ {text.usd(needed * back - equity)} brings it back to {_ratio(back)}"

    @staticmethod
    def _pace(view: View, equity: Decimal, loss: Decimal) -> Iterator[str]:
        pace = view.history.pace("adjEq", PACE_OVER, equity, view.now)
        if pace is not None and pace < 0 and loss < -pace * 86400:
            yield f"at the last {PACE_OVER / 60:.0f} min's pace: ≈ {text.span(float(loss / -pace))}"


def one_of(*keys: str) -> ConfigDict:
    """Editors refuse an entry that has none of these keys, or more than one; so does the kind itself."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [key]} for key in keys]})


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
            yield f"debt {text.number(balance.liab)} {event.subject}{_worth(balance.liab * balance.price)}"


class Threshold(Rule, kind="threshold"):
    """Any numeric field, of the account or of each currency, is above or below a tier."""

    BY_ROW = True
    EXAMPLE = """
[[rules]]
name = "margin left"
kind = "threshold"
field = "availEq"
below = { warning = 5000, critical = 1000 }
"""
    model_config = one_of("above", "below")

    field: AmountPath = Field(description="See riskbot fields.")
    above: Above | None = Field(None, description="Tiers, in the field's unit: it fires above them.")
    below: Below | None = Field(None, description="Or: it fires below them.")

    def ladder(self) -> Ladder:
        """In the direction whose tiers are given."""
        if self.above is not None and self.below is None:
            return self.ladder_of(self.above, "above")
        if self.below is not None and self.above is None:
            return self.ladder_of(self.below, "below")
        raise PydanticCustomError("one_side", "give either above = {…} or below = {…}, not both")

    def columns(self) -> tuple[str, ...]:
        """The one field."""
        return (self.field,)

    def readings(self, view: View) -> Iterator[Reading]:
        """One for the account, or one for each currency."""
        if not self.field.startswith("details."):
            value = view.snapshot.amount(self.field)
            yield Reading(value, note="" if value.is_finite() else self.field)
            return
        for ccy, value in view.snapshot.amounts(self.field.removeprefix("details.")).items():
            yield Reading(value, ccy, "" if value.is_finite() else self.field)

    def say(self, event: Event) -> str:
        """`equity: adjEq $12,300`."""
        much = _amount(event.value, field(self.field).unit, event.subject)
        return f"{self.name}: {self.field}{_of(event)} {much}".rstrip()

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """The tier that is met."""
        del view
        side = "above" if self.above is not None else "below"
        for rung in self._ladder.rungs:
            if rung.severity == event.after:
                yield f"{event.after.label} is {side} {_amount(rung.enter, field(self.field).unit, event.subject)}"
        if event.note:
            yield event.note


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
            return f"{self.name}: {self.field}{_of(event)}"
        how = _amount(event.value, {"%": RATIO, "$": USD}.get(self._unit, field(self.field).unit), event.subject)
        if self._unit == "%":
            nothing = event.value >= FROM_NOTHING or event.note.startswith("0 →")
            how = "from nothing" if nothing else text.percent(event.value)
        return f"{self.name}: {self.field}{_of(event)} {verb} {how} in {text.span(self.over)}"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """From how much to how much, and what it is worth."""
        unit = field(self.field).unit
        if not event.note:
            return
        if unit != COIN:
            yield f"{event.note}{' USD' if unit == USD else ''}"
            return
        balance = view.snapshot.balances.get(event.subject)
        worth = _worth(balance.amount(self.field.removeprefix("details.")) * balance.price) if balance else ""
        yield f"{event.note} {event.subject}{worth}"


class Blind(Rule, kind="blind"):
    """The account can't be seen: polls fail, the key is dead, or a rule has had no number that it should have.

    Always on; it can be tuned, not switched off. `after`: how long polls may fail before it is told (as critical while
    an alert is open or the account owes); `near_danger`: the same while an alert of warning or worse is open;
    `emergency_after`: blind that long with a critical alert open. `rule_after`: a rule without data. `frozen_after`:
    the exchange repeats one answer (its `uTime` stands still) for so long; 0: not looked at.
    """

    ALWAYS_ON = True
    SEES_OUTAGE = True
    DANGER = False

    EXAMPLE = """
[[rules]]
name = "eyes"
kind = "blind"
after = "30s"
near_danger = "10s"
"""

    after: Duration = Field(15.0, le=3600, description="How long polls may fail.")
    near_danger: Duration = Field(10.0, le=3600, description="The same while a warning or worse is open.")
    emergency_after: Duration = Field(300.0, le=3600, description="Blind so long with a critical alert open.")
    rule_after: Duration = Field(30.0, le=3600, description="How long a rule may be without data.")
    frozen_after: Duration = Field(0.0, le=86400, description="How long OKX may repeat one answer; 0s: for ever.")
    enabled: Literal[True] = Field(True, description="It can't be switched off.")

    def ladder(self) -> Ladder:
        """What it measures is a severity already."""
        return self.ladder_of_severities()

    def readings(self, view: View) -> Iterator[Reading]:
        """The account as a whole, then each rule that is, or was told to be, without data."""
        severity, why = self._outage(view)
        yield Reading(Decimal(severity), note=why)
        if view.outage:
            return  # one alert stands in for all
        told = view.alerts.alerts.get(self.name, {})
        for name in sorted({*view.alerts.blind, *(subject for subject in told if subject)}):
            blind = view.alerts.blind.get(name)
            late = blind is not None and view.now - blind.since >= self.rule_after
            yield Reading(Decimal(Severity.CRITICAL if late else 0), name, blind.why if blind else "")

    def _outage(self, view: View) -> tuple[Severity, str]:
        outage = view.outage
        if outage is None:
            return Severity.OK, ""
        blind_for = view.now - outage.since
        harmless = view.harmless | {self.name}  # being blind is no danger by itself
        exposed = view.alerts.exposed or view.alerts.near(Severity.INFO, harmless)
        near = view.alerts.near(Severity.WARNING, harmless)
        told = view.alerts.alerts.get(self.name, {}).get("", Alert())
        severity = max(told.level, outage.severity)  # while nothing is seen, nothing gets better
        if blind_for >= max(outage.stale_after, min(self.after, self.near_danger if near else self.after)):
            severity = max(severity, Severity.CRITICAL if exposed else Severity.WARNING)
        if blind_for >= self.emergency_after and view.alerts.open(Severity.CRITICAL, besides=harmless):
            severity = Severity.EMERGENCY
        return severity, outage.why

    def covers(self, ccy: str) -> bool:
        """Of every subject: a rule's name is no currency."""
        del ccy
        return True

    def keeps(self, subject: str, rules: Collection[str]) -> bool:
        """That a rule has no data is over with the rule."""
        return not subject or subject in rules

    def say(self, event: Event) -> str:
        """`can't see the account`, or `rule "x" is blind`."""
        if event.cause is Cause.RULE_CHANGED and event.subject and event.value is None:
            return f'rule "{event.subject}" is gone'
        if event.subject:
            return f'rule "{event.subject}" ' + ("has no data" if event.after else "has data again")
        return "can't see the account" if event.after else "sees the account again"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """Why, and as of when everything else is known."""
        if event.note:
            yield event.note
        if event.after and view.outage:
            since = text.clock(view.outage.since)
            yield f"never seen yet, tried since {since}" if view.outage.never else f"last seen {since}"


def _ratio(value: Decimal) -> str:
    number = text.number(value)
    return number if "." in number else f"{number}.0"


def _of(event: Event) -> str:
    return f" {event.subject}" if event.subject else ""


def _amount(value: Decimal | None, unit: str, ccy: str) -> str:
    return "" if value is None else text.amount(value, unit, ccy)


def _worth(value: Decimal) -> str:
    return f" ({text.usd(value)})" if value.is_finite() else ""


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The stock kinds."""
    return [MarginRatio, Level, Change, Threshold, Blind]
