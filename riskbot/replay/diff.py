"""What one set of rules did otherwise than another, with the same recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from riskbot.model import Severity
from riskbot.replay.report import messages
from riskbot.replay.tally import Episode, Tally

SAME = 1.0
"""Seconds within which two alerts opened at the same time."""


def difference(before: Tally, after: Tally) -> dict[str, Any]:
    """By alert: new, gone, a tier of it told earlier or later, worse, milder. messages: how many, before and after."""
    names = {rule.renamed_from or rule.name: rule.name for rule in after.rules.values()}
    old, new = _by_alert(before.episodes, names), _by_alert(after.episodes, {})
    rows = [row for alert in sorted({*old, *new}) for row in _rows(old.get(alert, []), new.get(alert, []))]
    counts = {
        what: sum(row["what"] == what for row in rows)
        for what in ("new", "gone", "earlier", "later", "worse", "milder")
    }
    return {**counts, "episodes": rows, "messages": _messages(before, after)}


def _by_alert(episodes: Iterable[Episode], names: Mapping[str, str]) -> dict[tuple[str, str], list[Episode]]:
    found: dict[tuple[str, str], list[Episode]] = {}
    for episode in episodes:
        found.setdefault((names.get(episode.rule, episode.rule), episode.subject), []).append(episode)
    return found


def _rows(old: Sequence[Episode], new: Sequence[Episode]) -> list[dict[str, Any]]:
    """Two courses of one alert are the same one if they overlap."""
    left, rows = list(old), list[dict[str, Any]]()
    for episode in new:
        twin = next((other for other in left if _overlap(other, episode)), None)
        if twin is None:
            rows.append(_row("new", episode, {}))
        else:
            left.remove(twin)
            rows += _moved(twin, episode)
    return rows + [_row("gone", episode, {}) for episode in left]


def _overlap(a: Episode, b: Episode) -> bool:
    return a.opened <= _end(b) and b.opened <= _end(a)


def _end(episode: Episode) -> float:
    return inf if episode.ended is None else episode.ended


def _moved(old: Episode, new: Episode) -> Iterator[dict[str, Any]]:
    """Its worst tier that was told at another time says whether it was earlier or later."""
    by = {tier: new.reached[tier] - at for tier, at in old.reached.items() if tier in new.reached}
    moved = {tier: by[tier] for tier in sorted(by, reverse=True) if abs(by[tier]) >= SAME}
    if moved or old.peak != new.peak:
        first = next(iter(moved.values()), 0.0)
        what = "earlier" if first < 0 else "later" if first else "worse" if new.peak > old.peak else "milder"
        yield _row(what, new, moved) | {"peak_before": old.peak.label}


def _row(what: str, episode: Episode, moved: Mapping[Severity, float]) -> dict[str, Any]:
    return {
        "what": what,
        "rule": episode.rule,
        "subject": episode.subject,
        "opened": episode.opened,
        "peak": episode.peak.label,
        "moved": {tier.label: round(seconds, 3) for tier, seconds in moved.items()},
    }


def _messages(before: Tally, after: Tally) -> dict[str, Any]:
    counts = [{name: sent["total"] for name, sent in messages(tally).items()} for tally in (before, after)]
    return {name: [count.get(name, 0) for count in counts] for name in sorted({*counts[0], *counts[1]})}
