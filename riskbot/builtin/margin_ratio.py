"""The kind `margin_ratio`: how far liquidation is, wherever the account's mode says so."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import ClassVar

from riskbot import text
from riskbot.builtin.words import subject_of
from riskbot.fields import is_missing
from riskbot.hookspecs import hookimpl
from riskbot.model import Event, Reading, View
from riskbot.rules import Rule

PACE_OVER = 600.0
"""Seconds over which a message says how fast the equity falls."""


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
        what = f"margin ratio{subject_of(event)}"
        if event.value is None:
            return what
        return f"{what} {text.number(event.value, 3)} ({text.percent(event.value)})"

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
        rungs = self.compiled.ladder.rungs
        back = next((rung.enter for rung in reversed(rungs) if rung.severity < event.after), rungs[0].enter)
        if event.after and ratio < back:
            yield f"adding ≈ {text.usd(needed * back - equity)} brings it back to {_ratio(back)}"

    @staticmethod
    def _pace(view: View, equity: Decimal, loss: Decimal) -> Iterator[str]:
        pace = view.history.pace("adjEq", PACE_OVER, equity, view.now)
        if pace is not None and pace < 0 and loss < -pace * 86400:
            yield f"at the last {PACE_OVER / 60:.0f} min's pace: ≈ {text.span(float(loss / -pace))}"


def _ratio(value: Decimal) -> str:
    number = text.number(value)
    return number if "." in number else f"{number}.0"


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kind `margin_ratio`."""
    return [MarginRatio]
