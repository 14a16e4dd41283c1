"""The kind `key_safety`: the API key may do more than a watchman needs, or works from every address."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import ClassVar, Literal, get_args

from pydantic import Field

from riskbot.hookspecs import hookimpl
from riskbot.model import AccountInfo, Event, Reading, Severity, View
from riskbot.rules import Ladder, Repeat, Rule, TierName

DAY = 86400.0
NO_IP = "no IP binding"
READ = "read_only"
Tuned = Literal["info", "warning", "critical", "emergency", "off"]


class KeySafety(Rule, kind="key_safety"):
    """The API key can trade or withdraw, or is bound to no IP address. riskbot only ever reads.

    Always on. `trade`: how bad it is that the key can trade, or `"off"` if it must. `no_ip`: how bad it is that it
    works from every address, or `"off"`. That it can withdraw is critical. As long as OKX does not say what the key
    may do, this rule has no data, and `blind` tells that.
    """

    ALWAYS_ON = True
    DANGER = False

    EXAMPLE = """
[[rules]]
name = "key"
kind = "key_safety"
trade = "off"
no_ip = "warning"
"""

    trade: Tuned = Field("warning", description="How bad it is that the key can trade.")
    no_ip: Tuned = Field("info", description="How bad it is that it works from every address.")
    repeat_every: Repeat | None = Field(
        dict.fromkeys(get_args(TierName), DAY), description="When what lasts is told again (1d); 0s: never."
    )
    enabled: Literal[True] = Field(True, description="It can't be switched off.")

    HARM: ClassVar[dict[str, str]] = {
        "trade": "who gets hold of it can trade: make a key with the Read permission alone",
        "withdraw": "who gets hold of it can take everything: delete it, make a key with the Read permission alone",
        NO_IP: "who gets hold of it can use it from everywhere: bind it to this machine's address",
    }

    def ladder(self) -> Ladder:
        """What it measures is a severity already."""
        return self.ladder_of_severities()

    def readings(self, view: View) -> Iterator[Reading]:
        """One for each fact: how bad it is if it is so, else 0."""
        if view.info is None:
            yield Reading.missing("OKX has not said yet what the key may do")
            return
        for fact, so in _facts(view.info).items():
            yield Reading(Decimal(self._severity(fact) if so else 0), fact)

    def _severity(self, fact: str) -> Severity:
        tuned: Tuned = {"withdraw": "critical", "trade": self.trade, NO_IP: self.no_ip}.get(fact, "warning")
        return Severity.OK if tuned == "off" else Severity[tuned.upper()]

    def covers(self, ccy: str) -> bool:
        """Of every subject: a fact is no currency."""
        del ccy
        return True

    def keeps(self, subject: str, rules: Collection[str]) -> bool:
        """Every fact stays this rule's."""
        del subject, rules
        return True

    def say(self, event: Event) -> str:
        """`the API key can withdraw`."""
        if event.subject == NO_IP:
            return f"the API key is bound to {'no' if event.after else 'an'} IP address"
        return f"the API key can {event.subject}" if event.after else f"the API key can't {event.subject} any more"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """What that means, and what to do."""
        del view
        if event.after:
            yield self.HARM.get(event.subject, "riskbot needs the Read permission alone")


def _facts(info: AccountInfo) -> dict[str, bool]:
    """What is so of the key, and what is not. A permission that OKX may add is a fact too."""
    rights = {"trade", "withdraw", *info.permissions} - {READ}
    return {right: right in info.permissions for right in sorted(rights)} | {NO_IP: not info.ips}


@hookimpl
def register_rules() -> list[type[Rule]]:
    """What a rules file calls `key_safety`."""
    return [KeySafety]
