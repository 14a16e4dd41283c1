"""The kind `threshold`: any numeric field is above or below a tier."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field
from pydantic_core import PydanticCustomError

from riskbot.builtin.words import amount, one_of, subject_of
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, View
from riskbot.rules import Above, AmountPath, Below, Ladder, Rule
from riskbot.snapshot import field


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
        much = amount(event.value, field(self.field).unit, event.subject)
        return f"{self.name}: {self.field}{subject_of(event)} {much}".rstrip()

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """The tier that is met."""
        del view
        side = "above" if self.above is not None else "below"
        for rung in self.compiled.ladder.rungs:
            if rung.severity == event.after:
                yield f"{event.after.label} is {side} {amount(rung.enter, field(self.field).unit, event.subject)}"
        if event.note:
            yield event.note


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kind `threshold`."""
    return [Threshold]
