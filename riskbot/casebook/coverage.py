"""What a rule has been through in a case."""

from __future__ import annotations

from collections.abc import Iterator

from riskbot.casebook.play import Played
from riskbot.casebook.scribe import Sample
from riskbot.fields import is_missing
from riskbot.model import Event
from riskbot.rules import Rule
from riskbot.settings.cases import CLASSES


def covered(rule: str, played: Played) -> set[str]:
    """Which classes: changes of its alert; and while that was open, no value, blindness, a kill."""
    changes = {_change(event) for event in played.events if event.rule == rule}
    states = (word for sample in played.samples for word in _while_open(rule, sample))
    open_at = [(sample.t, _is_open(rule, sample)) for sample in played.samples]
    killed = any(next((is_open for t, is_open in reversed(open_at) if t <= at), False) for at in played.kills)
    return {*changes, *states, *(("kill",) if killed else ())}


def owed(rule: Rule) -> tuple[str, ...]:
    """Those that it can be through: one with a single tier neither rises nor falls."""
    single = len(rule.compiled.ladder.rungs) == 1
    return tuple(word for word in CLASSES if not (single and word in ("rise", "fall")))


def is_about(rule: str, played: Played) -> bool:
    """Did anything become of it in that case?"""
    return any(event.rule == rule for event in played.events)


def _change(event: Event) -> str:
    if not event.before:
        return "fire"
    if not event.after:
        return "resolve"
    return "rise" if event.after > event.before else "fall"


def _is_open(rule: str, sample: Sample) -> bool:
    return any(alert.shown for (name, _), alert in sample.alerts.items() if name == rule)


def _while_open(rule: str, sample: Sample) -> Iterator[str]:
    for key, alert in sample.alerts.items():
        if key[0] == rule and alert.shown:
            value = sample.values.get(key)
            if sample.down or (value is not None and is_missing(value)):
                yield "gap"
            elif value is None or value.is_nan():
                yield "na"
