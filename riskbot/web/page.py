"""The status page: all that a tired trader wants to see at once, worst first. No script, and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from riskbot.delivery import about_receiver
from riskbot.model import Severity
from riskbot.notify import Outcome
from riskbot.rules import Measured, Rule, Rung
from riskbot.service import Service
from riskbot.service.judge import Judge
from riskbot.service.watch import Watch
from riskbot.snapshot import MODES
from riskbot.store import Message
from riskbot.text import clock as moment
from riskbot.text import cut, number, percent, printable, span, usd
from riskbot.web.chart import chart

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")
CONTENT_POLICY = (
    "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
"""What a browser may do with any answer: nothing but draw it, in that one style."""

MOST_ACCOUNTS, MOST_ROWS = 30, 200
"""That there are more is told."""
LONGEST = 300
"""Signs of one text."""
NOTHING = Measured()
REFRESH = 5
"""Seconds after which a browser asks again."""


class Page:
    """Draws it. redact: takes out of a text what nobody may see."""

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        def shown(value: object) -> object:
            """Every single value goes through here, and is escaped after."""
            if isinstance(value, Markup):
                return value
            return cut(printable(redact(str(value))), LONGEST)

        drawing = Environment(
            loader=FileSystemLoader(HERE),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = drawing.get_template("page.html")

    def draw(self, facts: dict[str, Any]) -> str:
        """The whole page. Touches nothing but the facts, so it may happen in a thread."""
        style = Markup(STYLE)  # noqa: S704 - our own file
        return self._template.render(facts, style=style, chart=chart, refresh=REFRESH)


Rows = tuple[list[dict[str, Any]], int]
"""Rows of a table, and how many more there are."""


def facts(service: Service) -> dict[str, Any]:
    """What stands on the page."""
    now = service.clock.now()
    reasons = service.vitals.reasons(now)
    alerts = sorted(_alerts(service, now), key=lambda row: (-row["severity"], row["opened"]))
    worst = alerts[0]["severity"] if alerts else Severity.OK
    return {
        "now": now,
        "moment": moment(now),
        "version": version("riskbot"),
        "reasons": reasons,
        "ready": service.vitals.ready(),
        "worst": worst.label,
        "headline": worst.label if worst else "no alert",
        "accounts": _accounts(service, now),
        "alerts": _cut(alerts),
        "receivers": _cut(_receivers(service, now)),
        "silent": _cut(_silent(service, now)),
    }


def _cut(rows: Iterable[dict[str, Any]], most: int = MOST_ROWS) -> Rows:
    every = list(rows)
    return every[:most], max(0, len(every) - most)


def _worst(judge: Judge) -> Severity:
    return max((alert.shown for _, _, alert in judge.alerts.each()), default=Severity.OK)


# Accounts.


def _accounts(service: Service, now: float) -> Rows:
    """Those in danger first."""
    watches = sorted(service.watches.values(), key=lambda watch: -_worst(watch.judge))
    chosen = [_account(service, watch, now) for watch in watches[:MOST_ACCOUNTS]]
    return chosen, len(watches) - len(chosen)


def _account(service: Service, watch: Watch, now: float) -> dict[str, Any]:
    seen = watch.observer.snapshot
    return {
        "name": watch.account,
        "mode": MODES.get(watch.info.mode, "") if watch.info else "",
        "sees": service.vitals.sees(watch, now),
        "seen": "never" if (age := watch.unseen_for(now)) is None else f"{span(age)} ago",
        "why": watch.why,
        "worst": _worst(watch.judge).label,
        "ratio": number(seen.mgn_ratio) if seen.mgn_ratio.is_finite() else "",
        "percent": percent(seen.mgn_ratio),
        "equity": usd(seen.adj_eq) if seen.adj_eq.is_finite() else "",
        "course": watch.history.course("mgnRatio"),
        "rungs": _tiers(watch.judge.rules),
    }


def _tiers(rules: Iterable[Rule]) -> list[Rung]:
    """Those of the rules about the ratio that is drawn."""
    return [rung for rule in rules if rule.kind == "margin_ratio" for rung in rule.compiled.ladder.rungs]


# Alerts.


def _alerts(service: Service, now: float) -> Iterator[dict[str, Any]]:
    for judge in service.judges():
        for event in judge.open(now):
            yield {
                "severity": event.after,
                "level": event.after.label,
                "account": judge.account,
                "says": judge.say(event),
                "note": event.note,
                "opened": event.opened,
                "lasted": span(now - event.opened),
            }


# Receivers.


def _receivers(service: Service, now: float) -> Iterator[dict[str, Any]]:
    waiting: dict[str, list[Message]] = {name: [] for name in service.couriers}
    for message in service.store.unsent():
        waiting.setdefault(message.receiver, []).append(message)
    for name, messages in waiting.items():
        problem = service.problems.of(about_receiver(name))
        courier = service.couriers.get(name)
        yield {
            "name": name,
            "failing": f"for {span(now - problem.since)}: {problem.why}" if problem else "",
            "told": courier.tries[Outcome.SENT] if courier else 0,
            "waiting": len(messages),
            "oldest": span(now - min(message.since for message in messages)) if messages else "",
        }


# Rules without data.


def _silent(service: Service, now: float) -> Iterator[dict[str, Any]]:
    """A rule that has nothing to judge says nothing: the most dangerous mistake in a rules file."""
    for watch in service.watches.values():
        judge = watch.judge
        for rule in judge.rules:
            answer = judge.measured.get(rule.name, NOTHING)
            if not answer.has_number:
                had = judge.had_data.get(rule.name)
                last = f"{span(now - had)} ago" if had is not None else "never since the start"
                yield {"account": watch.account, "rule": rule.name, "last": last, "why": answer.missing}
