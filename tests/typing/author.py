"""A plugin as its author writes it, with the typos that mypy must see. It is checked (`make check`), never run.

Each `type: ignore[…]` is a typo: mypy fails for one that it does not find there.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import riskbot
from riskbot import AccountInfo, AccountSettings, Event, Notifier, Outcome, Reading, Rule, Severity, Snapshot, Source
from riskbot import Sevrity  # type: ignore[attr-defined]
from riskbot import Text, Verdict, View, hookimpl


class Right(Rule, kind="right", worse="above"):
    """All of it is right."""

    share: Decimal = Decimal(1)

    def readings(self, view: View) -> Iterator[Reading]:
        yield Reading(view.snapshot.mgn_ratio * self.share)
        for ccy, balance in view.snapshot.balances.items():
            yield Reading(balance.liab, ccy) if balance.liab.is_finite() else Reading.missing("no debt", ccy)

    def say(self, event: Event) -> str:
        return f"{event.subject} {event.value}" if event.after >= Severity.WARNING else self.name


class Typos(Rule, kind="typos", worse="above"):
    def readings(self, view: View) -> Iterator[Reading]:
        yield Reading(view.snapshot.margin_ratio)  # type: ignore[attr-defined]
        yield Reading(view.snapshot.balances["BTC"].libe)  # type: ignore[attr-defined]
        yield Reading("1.5")  # type: ignore[arg-type]
        yield Reading(Decimal(1), currency="BTC")  # type: ignore[call-arg]
        yield Reading.missing(view.now)  # type: ignore[arg-type]
        yield view.snapshot.mgn_ratio  # type: ignore[misc]

    def say(self, event: Event) -> int:  # type: ignore[override]
        return event.sevrity  # type: ignore[attr-defined, no-any-return]


class Async(Rule, kind="async", worse="above"):
    async def readings(self, view: View) -> list[Reading]:  # type: ignore[override]
        return []


class GoodSource:
    def __init__(self, account: AccountSettings) -> None:
        self.name = account.name

    async def fetch(self) -> Snapshot:
        return Snapshot({"details": []})

    async def info(self) -> AccountInfo:
        return AccountInfo("1", "3")

    async def close(self) -> None:
        pass


class NoClose:
    def __init__(self, url: str) -> None:
        self.url = url

    async def send(self, text: Text) -> Verdict:
        return Verdict(Outcome.SEND if text.title else Outcome.SENT)  # type: ignore[attr-defined]


right: list[type[Rule]] = [Right]
good: dict[str, type[Source]] = {"good": GoodSource}


@hookimpl
def register_rules() -> list[type[Rule]]:
    return [GoodSource]  # type: ignore[list-item]


@hookimpl
def register_sources() -> dict[str, type[Source]]:
    return {"bad": NoClose}  # type: ignore[dict-item]


@hookimpl
def register_notifiers() -> dict[str, type[Notifier]]:
    return {"bad": NoClose}  # type: ignore[dict-item]


riskbot.Rule.watchez  # type: ignore[attr-defined]
