"""All that is asked of one replay, and the report of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from riskbot.history import Point
from riskbot.playback import Entry, at_once
from riskbot.replay.diff import difference
from riskbot.replay.incidents import Incident, Spotter, false_alarms, leads
from riskbot.replay.report import summary
from riskbot.replay.run import Run, play
from riskbot.replay.sweep import Sweep
from riskbot.replay.tally import Episode, Tally


class Trial(Struct):
    """What is played at once.

    mine: the rules to be tried. base: those to compare with. swept: the rules with each value of a sweep.
    incidents: what should be told, by labels; spotter: by a condition.
    """

    mine: Run
    base: Run | None = None
    sweep: Sweep | None = None
    swept: Sequence[Run] = ()
    incidents: Sequence[Incident] = ()
    spotter: Spotter | None = None

    @property
    def runs(self) -> list[Run]:
        """All sets of rules."""
        return [self.mine, *([self.base] if self.base else []), *self.swept]

    def seed(self, points: Sequence[Point]) -> None:
        """Before all else: what is known of the past of watched fields."""
        if points:
            for run in self.runs:
                at_once(run.player.seed(points, points[-1].at))

    def play(self, entries: Iterable[Entry]) -> None:
        """All of it. Raises what the recording raises."""
        play(entries, self.runs, self.spotter.look if self.spotter else None)

    def report(self) -> dict[str, Any]:
        """What came of it."""
        found = _judged(self.mine.tally, self._all_incidents())
        if self.base is not None:
            found["against"] = self._against(self.base.tally)
        if self.sweep is not None:
            runs = zip(self.sweep.values, self.swept, strict=True)
            tried = [{"value": value, **self._tried(run.tally, self.sweep)} for value, run in runs]
            found["sweep"] = {**self.sweep.names(), "tried": tried}
        return found

    def _all_incidents(self) -> list[Incident] | None:
        """None: nobody asks for any."""
        if not self.incidents and self.spotter is None:
            return None
        spotted = self.spotter.incidents if self.spotter else []
        return sorted([*self.incidents, *spotted], key=lambda incident: incident.at)

    def _against(self, base: Tally) -> dict[str, Any]:
        found = difference(base, self.mine.tally)
        incidents = self._all_incidents()
        if incidents is not None:
            found["incidents"] = [_told(incident, base.episodes) for incident in incidents]
        return found

    def _tried(self, tally: Tally, sweep: Sweep) -> dict[str, Any]:
        """Of the rule alone. lead: the shortest of all incidents, of the tier that is tried; None if one lacked it."""
        name, incidents = sweep.rule.name, self._all_incidents()
        rule = next(rule for rule in _judged(tally, incidents)["rules"] if rule["rule"] == name)
        found = {key: rule[key] for key in ("episodes", "worst", "tiers", "flaps")}
        found["messages"] = sum(rule["messages"].values())
        if incidents is not None:
            told = [leads(incident, _of(tally.episodes, name)).get(name, {}) for incident in incidents]
            in_time = [lead[sweep.tier] for lead in told if sweep.tier in lead]
            found["lead"] = min(in_time) if in_time and len(in_time) == len(told) else None
            found["missed"] = sum(not lead for lead in told)
            found["false_alarms"] = rule["false_alarms"]
        return found


def _judged(tally: Tally, incidents: Sequence[Incident] | None) -> dict[str, Any]:
    found = summary(tally)
    if incidents is None:
        return found
    found["incidents"] = [_told(incident, tally.episodes) for incident in incidents]
    about_danger = [episode for episode in tally.episodes if tally.rules[episode.rule].DANGER]
    wrong = false_alarms(about_danger, incidents)
    found["false_alarms"] = len(wrong)
    for rule in found["rules"]:
        rule["false_alarms"] = len(_of(wrong, rule["rule"]))
    return found


def _of(episodes: Iterable[Episode], rule: str) -> list[Episode]:
    return [episode for episode in episodes if episode.rule == rule]


def _told(incident: Incident, episodes: Iterable[Episode]) -> dict[str, Any]:
    """Who told of it, how long before; lead: of the first word, 0 if there was none in time."""
    found = leads(incident, episodes)
    return {
        "name": incident.name,
        "at": incident.at,
        "missed": not found,
        "lead": max((max(lead.values()) for lead in found.values()), default=0.0),
        "leads": {
            rule: {tier.label: round(lead[tier], 3) for tier in sorted(lead)} for rule, lead in sorted(found.items())
        },
    }
