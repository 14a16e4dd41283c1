"""What is told of a replay, as plain values: for JSON, and for tables to be made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from riskbot.model import Cause, Event, Severity
from riskbot.replay.tally import DAY, Approach, Episode, Tally
from riskbot.rules import Rule


def summary(tally: Tally) -> dict[str, Any]:
    """All of it. Moments are seconds since 1970, spans seconds, shares 0 to 1."""
    lasted = tally.last - tally.first
    watched = max(0.0, lasted - tally.holes)
    return {
        "from": tally.first,
        "to": tally.last,
        "looks": tally.looks,
        "holes": round(tally.holes, 3),
        "blind": _share(tally.blind[""], watched),
        "episodes": len(tally.episodes),
        "flaps": tally.flaps.total(),
        "messages": messages(tally),
        "rules": [_rule(rule, tally, watched) for rule in tally.rules.values()],
    }


def messages(tally: Tally) -> dict[str, Any]:
    """By receiver: in all, and on each day."""
    found: dict[str, Any] = {}
    for (_, receiver, day), count in sorted(tally.sent.items()):
        mine = found.setdefault(receiver, {"total": 0, "days": Counter()})
        mine["total"] += count
        mine["days"][_date(day)] += count
    return found


def _rule(rule: Rule, tally: Tally, watched: float) -> dict[str, Any]:
    episodes = [episode for episode in tally.episodes if episode.rule == rule.name]
    sent: Counter[str] = Counter()
    for (name, receiver, _), count in tally.sent.items():
        sent[receiver] += count if name == rule.name else 0
    blind = tally.blind[rule.name] + (0.0 if rule.SEES_OUTAGE else tally.blind[""])
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "episodes": len(episodes),
        "open": sum(episode.ended is None for episode in episodes),
        "worst": max((episode.peak for episode in episodes), default=Severity.OK).label,
        "tiers": _times(episodes),
        "messages": {name: count for name, count in sent.items() if count},
        "flaps": tally.flaps[rule.name],
        "blind": _share(blind, watched),
        "data": rule.name in tally.nearest,
        "near": near(rule, episodes, tally.nearest.get(rule.name)),
    }


def _times(episodes: Iterable[Episode]) -> dict[str, float]:
    """Seconds in each tier, worst first."""
    found: Counter[Severity] = Counter()
    for episode in episodes:
        for severity, seconds in episode.times.items():
            found[severity] += seconds  # type: ignore[assignment] # seconds
    return {severity.label: round(found[severity], 3) for severity in sorted(found, reverse=True)}


def near(rule: Rule, episodes: Iterable[Episode], approach: Approach | None) -> dict[str, Any] | None:
    """The mildest tier that was never told, and how near the rule came to it.

    None where all were, where there was no number, and where what is measured is a severity already.
    """
    ladder = rule.compiled.ladder
    worst = max((episode.peak for episode in episodes), default=Severity.OK)
    rung = next((rung for rung in ladder.rungs if rung.severity > worst), None)
    if rung is None or approach is None or not ladder.plain:
        return None
    value = approach.reading.value
    return {
        "tier": rung.severity.label,
        "enter": str(rung.enter),
        "value": str(value),
        "subject": approach.reading.ccy,
        "at": approach.at,
        "met": ladder.met(value, rung.enter),
        "off": _off(value, rung.enter),
        "said": _said(rule, approach, rung.severity),
    }


def _off(value: Decimal, enter: Decimal) -> float | None:
    """How far away, as a share of the tier."""
    return float(abs(value - enter) / abs(enter)) if enter else None


def _said(rule: Rule, approach: Approach, severity: Severity) -> str:
    """In the rule's words."""
    reading, at = approach.reading, approach.at
    event = Event(
        "", rule.name, reading.ccy, 0, 0, Severity.OK, severity, severity, at, at, Cause.BREACH, reading.value
    )
    return rule.say(event)


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).date().isoformat()
