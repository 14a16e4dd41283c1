"""The kind `blind`: the account, or what a rule needs, can't be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Literal

from pydantic import Field

from riskbot import text
from riskbot.hookspecs import hookimpl
from riskbot.model import Alert, Cause, Event, Reading, Severity, View
from riskbot.rules import Duration, Ladder, Rule


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


@hookimpl
def register_rules() -> list[type[Rule]]:
    """The kind `blind`."""
    return [Blind]
