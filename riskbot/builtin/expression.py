"""The kind `expression`: a condition of one's own over OKX's fields holds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from riskbot import snapshot, spelling, text
from riskbot.fields import NOT_APPLICABLE, is_missing
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, Severity, View
from riskbot.rules import Ladder, Rule, TierName
from riskbot.snapshot import Balance

if TYPE_CHECKING:
    from riskbot.builtin.conditions import Condition


def _read(condition: str) -> Condition:
    """The condition; its language is imported only where a rule uses it. Raises ValueError."""
    from riskbot.builtin import conditions  # noqa: PLC0415 - a third of a second

    return conditions.read(condition)


def _fit(condition: str) -> str:
    try:
        _read(condition)
    except ValueError as error:
        raise PydanticCustomError("condition", "{why}", {"why": str(error)}) from None
    return condition


class Expression(Rule, kind="expression"):
    """A condition over fields holds: `mgnRatio < 5 and adjEq < 10000`, `details.liab > 0 and details.twap >= 1`.

    `when`: one condition, told as `severity`, or one for each tier. With any field of `details` it is judged for each
    currency, else for the account. A condition that needs a field without a value is not judged: `and` and `or` look
    at their right side only if the left one leaves it open.
    """

    EXAMPLE = """
[[rules]]
name = "small and near"
kind = "expression"
when = "mgnRatio < 5 and adjEq < 10000"
"""

    when: Annotated[dict[TierName, Annotated[str, AfterValidator(_fit)]], WithJsonSchema(spelling.CONDITIONS)] = Field(
        description="The condition, one for all or one for each tier."
    )
    severity: TierName | None = Field(None, description="How bad it is, where there is one condition.")

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_tier(cls, entry: Any) -> Any:
        """A single condition stands for the tier `severity`."""
        if isinstance(entry, dict) and isinstance(entry.get("when"), str):
            severity = entry.get("severity", "warning")
            known = severity if severity in get_args(TierName) else "warning"
            return {**entry, "when": {known: entry["when"]}}
        if isinstance(entry, dict) and "severity" in entry:
            raise PydanticCustomError("severity", 'severity goes with a single condition: when = "…"')
        return entry

    @cached_property
    def _conditions(self) -> dict[Severity, Condition]:
        """Worst first."""
        found = {Severity[tier.upper()]: _read(condition) for tier, condition in self.when.items()}
        return dict(sorted(found.items(), reverse=True))

    @cached_property
    def _fields(self) -> tuple[str, ...]:
        """All fields that any condition names."""
        paths = (path for condition in self._conditions.values() for path in condition.fields)
        return tuple(dict.fromkeys(paths))

    def ladder(self) -> Ladder:
        """What it measures is a severity already."""
        return self.ladder_of_severities(self.when)

    def columns(self) -> tuple[str, ...]:
        """All fields."""
        return self._fields

    def modes(self) -> str:
        """Those that carry all fields of any one condition."""
        tiers = [condition.fields for condition in self._conditions.values()]
        each = [[snapshot.field(path).modes for path in fields] for fields in tiers]
        return "".join(mode for mode in snapshot.MODES if any(all(mode in modes for modes in tier) for tier in each))

    def readings(self, view: View) -> Iterator[Reading]:
        """How bad it is, for the account or for each currency."""
        if not any(path.startswith("details.") for path in self._fields):
            yield self._reading(view, None, "")
            return
        for ccy, row in view.snapshot.balances.items():
            yield self._reading(view, row, ccy)

    def _reading(self, view: View, row: Balance | None, ccy: str) -> Reading:
        """The worst condition that holds. Where a worse one can't be judged it is missing: that must ease nothing."""
        from riskbot.builtin.conditions import NoValueError  # noqa: PLC0415 - see _read

        gap: NoValueError | None = None
        for severity, condition in self._conditions.items():
            try:
                if condition.holds(view.snapshot, row):
                    return Reading(Decimal(severity), ccy)
            except NoValueError as error:
                if is_missing(error.lacking):
                    return Reading(error.lacking, ccy, error.path)
                gap = gap or error
        return Reading(NOT_APPLICABLE, ccy, gap.path) if gap else Reading(Decimal(0), ccy)

    def say(self, event: Event) -> str:
        """`thin margin: mgnRatio < 5 and adjEq < 10000`."""
        about = f"{self.name} {event.subject}".rstrip()
        condition = self._conditions.get(event.after)
        return f"{about}: {condition.text}" if condition else about

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """The values of the fields that the condition names."""
        condition = self._conditions.get(event.after)
        row = view.snapshot.balances.get(event.subject)
        fields = condition.fields if condition else ()
        said = (f"{path} {told}" for path in fields if (told := _told(view, row, path)))
        yield from filter(None, [", ".join(said)])


def _told(view: View, row: Balance | None, path: str) -> str:
    """A field's value for people; "" where there is none."""
    key = path.removeprefix("details.")
    place = row if path.startswith("details.") else view.snapshot
    value = place.field(key).__get__(place, type(place)) if place else None
    if isinstance(value, Decimal):
        ccy = str(row.ccy) if row else ""
        return text.amount(value, snapshot.field(path).unit, ccy) if value.is_finite() else ""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@hookimpl
def register_rules() -> list[type[Rule]]:
    """What a rules file calls `expression`."""
    return [Expression]
