"""The ladder of tiers that a rule's numbers climb."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from riskbot.model import Severity
from riskbot.rules.values import Duration, TierName, Worse


class Rung(Struct, frozen=True):
    """One tier: entered when `enter` is met, left when `exit` is passed."""

    severity: Severity
    enter: Decimal
    exit: Decimal


class Flap(BaseModel):
    """When an alert flaps: so many changes within so long. It is over after `calm` without a change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    changes: int = Field(6, ge=3, description="So many changes")
    within: Duration = Field(600.0, description="within so long.")
    calm: Duration = Field(120.0, description="Over after so long without one.")


class Ladder(Struct, frozen=True):
    """The tiers of a rule, mildest first, and their timers. `engine.py` has the machine.

    met(value, enter), passed(value, exit): the comparisons. hold: `for`, keep: `keep_firing_for`, seconds.
    flap: when it flaps. mark: another one for every rule that judges otherwise. plain: what it compares is an amount,
    not a severity already.
    """

    rungs: tuple[Rung, ...]
    met: Callable[[Decimal, Decimal], bool]
    passed: Callable[[Decimal, Decimal], bool]
    hold: float = 0.0
    keep: float = 30.0
    flap: Flap = Flap()
    mark: str = ""
    plain: bool = True

    def lower(self, severity: Severity) -> Severity:
        """The next milder tier of this ladder, or OK."""
        return max((r.severity for r in self.rungs if r.severity < severity), default=Severity.OK)


def climb(
    tiers: dict[TierName, Decimal], worse: Worse, *, hysteresis: Decimal, step: Decimal | None = None
) -> tuple[Rung, ...]:
    """The rungs of a ladder. Left at `hysteresis` of the entry away from it, or a whole `step` away (levels)."""
    back = -1 if worse == "above" else 1
    return tuple(
        Rung(Severity[name.upper()], enter, enter + back * (step if step is not None else abs(enter) * hysteresis))
        for name, enter in tiers.items()
    )
