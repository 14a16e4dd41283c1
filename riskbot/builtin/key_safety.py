"""The kind `key_safety`: the API key may do more than a watchman needs, works from every address, or has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import ClassVar, Literal, get_args

from pydantic import Field

from riskbot.hookspecs import hookimpl
from riskbot.model import CHANGE_LASTS, AccountInfo, Event, Reading, Severity, View
from riskbot.rules import Ladder, Repeat, Rule, TierName
from riskbot.snapshot import MODES
from riskbot.text import span

DAY = 86400.0
NO_IP = "no IP binding"
CHANGES = ("account mode", "rights", "IP binding")
"""What must not change unnoticed: subjects of their own."""
READ = "read_only"
Tuned = Literal["info", "warning", "critical", "emergency", "off"]


class KeySafety(Rule, kind="key_safety"):
    """The API key can trade or withdraw, or is bound to no IP address. riskbot only ever reads.

    Always on. `trade`: how bad it is that the key can trade, or `"off"` if it must. `no_ip`: how bad it is that it
    works from every address, or `"off"`. `changed`: how bad it is that its rights, the addresses it is bound to or the
    account's mode changed, or `"off"`; that is told for an hour. That it can withdraw is critical. As long as OKX does
    not say what the key may do, this rule has no data, and `blind` tells that.
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
    changed: Tuned = Field("warning", description="How bad it is that rights, IP binding or the mode changed.")
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
        for subject, change in _changes(view).items():
            yield Reading(Decimal(_tuned(self.changed) if change else 0), subject, change)

    def _severity(self, fact: str) -> Severity:
        return _tuned({"withdraw": "critical", "trade": self.trade, NO_IP: self.no_ip}.get(fact, "warning"))

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
        if event.subject in CHANGES:
            whose = "account's mode" if event.subject == CHANGES[0] else f"API key's {event.subject}"
            if event.after:
                return f"the {whose} changed"
            back = event.at - event.opened < CHANGE_LASTS  # taken back, before it was told for long enough
            return f"the {whose}: {'as before again' if back else f'no further change for {span(CHANGE_LASTS)}'}"
        return f"the API key can {event.subject}" if event.after else f"the API key can't {event.subject} any more"

    def explain(self, view: View, event: Event) -> Iterator[str]:
        """What that means, and what to do."""
        del view
        if event.subject in CHANGES:
            if event.after and event.note:
                yield event.note
                yield "if nobody of you did that, somebody else is in your account: change its password, delete the key"
        elif event.after:
            yield self.harm(event.subject)

    def harm(self, fact: str) -> str:
        """What may come of that fact, and what to do about it."""
        return self.HARM.get(fact, "riskbot needs the Read permission alone")


def _tuned(word: Tuned) -> Severity:
    return Severity.OK if word == "off" else Severity[word.upper()]


def _changes(view: View) -> dict[str, str]:
    """What has changed lately: `Futures → Spot`; "" where nothing has. Empty as long as nothing ever has."""
    gate = view.alerts.gate
    if gate is None or gate.before is None:
        return {}
    before, now = (_words(info) for info in (gate.told_before(view.now) or gate.info, gate.info))
    return {
        subject: "" if was == becomes else f"{was} → {becomes}"
        for subject, was, becomes in zip(CHANGES, before, now, strict=True)
    }


def _words(info: AccountInfo) -> tuple[str, str, str]:
    """What must not change, for people, in an order of its own."""
    rights, ips = (", ".join(sorted(words)) or "none" for words in (info.permissions, info.ips))
    return MODES.get(info.mode, info.mode), rights, ips


def _facts(info: AccountInfo) -> dict[str, bool]:
    """What is so of the key, and what is not. A permission that OKX may add is a fact too."""
    rights = {"trade", "withdraw", *info.permissions} - {READ}
    return {right: right in info.permissions for right in sorted(rights)} | {NO_IP: not info.ips}


@hookimpl
def register_rules() -> list[type[Rule]]:
    """What a rules file calls `key_safety`."""
    return [KeySafety]
