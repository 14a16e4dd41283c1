"""What the rules should have told of: labelled by a person, or found by a condition; and what they made of it.

[[incidents]]
name = "liquidation"
at = 2026-03-01T14:30:00Z          # UTC; from then on it was too late
since = 2026-03-01T12:00:00Z       # alerts from before then are not about it; an hour before
until = 2026-03-01T15:00:00Z       # nor are those from after then; at
rules = ["margin*"]                # those that are meant to tell of it; all
severity = "critical"              # and how loud at least; info
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from riskbot.model import Severity
from riskbot.replay.tally import Episode
from riskbot.rules import TierName
from riskbot.settings.files import Source
from riskbot.settings.mistakes import explain
from riskbot.settings.model import ConfigError, Loc
from riskbot.snapshot import Snapshot

if TYPE_CHECKING:
    from riskbot.builtin.conditions import Condition

WITHIN = 3600.0
"""Seconds before an incident in which an alert is about it, unless it is said otherwise."""


class Incident(Struct):
    """Something that the rules should have told of. at: from then on it was too late."""

    name: str
    at: float
    since: float
    until: float
    rules: tuple[str, ...] = ("*",)
    severity: Severity = Severity.INFO

    def is_for(self, rule: str) -> bool:
        """Is that rule meant to tell of it?"""
        return any(fnmatchcase(rule, like) for like in self.rules)

    def lead(self, episode: Episode) -> dict[Severity, float]:
        """How long before it each tier was told, seconds; none if that alert was not about it."""
        if not self.is_for(episode.rule) or (episode.ended or self.at) < self.since:
            return {}
        return {tier: self.at - told for tier, told in episode.reached.items() if told <= self.at}

    def explains(self, episode: Episode) -> bool:
        """Is that alert no false alarm?"""
        return episode.opened <= self.until and (episode.ended is None or episode.ended >= self.since)


def leads(incident: Incident, episodes: Iterable[Episode]) -> dict[str, dict[Severity, float]]:
    """By rule and tier: how long before it was told first, if that was loud enough to be heard."""
    found: dict[str, dict[Severity, float]] = {}
    for episode in episodes:
        for tier, seconds in incident.lead(episode).items():
            mine = found.setdefault(episode.rule, {})
            mine[tier] = max(seconds, mine.get(tier, 0.0))
    return {rule: lead for rule, lead in found.items() if max(lead) >= incident.severity}


def false_alarms(episodes: Iterable[Episode], incidents: Sequence[Incident]) -> list[Episode]:
    """The alerts that were about none of them."""
    return [episode for episode in episodes if not any(incident.explains(episode) for incident in incidents)]


# ---------------------------------------------------------------- labels


def _moment(value: object) -> float:
    if not isinstance(value, datetime):
        raise PydanticCustomError("moment", "write a moment, without quotes: 2026-03-01T14:30:00Z")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


_Moment = Annotated[float, BeforeValidator(_moment)]


class _Label(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    at: _Moment
    since: _Moment | None = None
    until: _Moment | None = None
    rules: tuple[str, ...] = ("*",)
    severity: TierName = "info"

    def incident(self, within: float) -> Incident:
        since = self.at - within if self.since is None else self.since
        until = self.at if self.until is None else self.until
        return Incident(self.name, self.at, since, until, self.rules, Severity[self.severity.upper()])


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    incidents: tuple[_Label, ...] = Field(min_length=1)


def labelled(path: Path, within: float = WITHIN) -> list[Incident]:
    """The incidents of a file, in the order in which they happened. Raises ConfigError."""
    source = Source(path)
    try:
        labels = _Labels.model_validate(source.document)
    except ValidationError as error:
        details = error.errors(include_url=False)
        source.found += [Loc(detail["loc"], explain(detail, _Labels)) for detail in details]
        raise ConfigError(source.told()) from None
    return sorted((label.incident(within) for label in labels.incidents), key=lambda incident: incident.at)


# ---------------------------------------------------------------- a condition


class Spotter:
    """Finds the incidents that a condition makes: each time that it comes to hold, after it did not for `within`."""

    def __init__(self, condition: Condition, since: float = 0.0, within: float = WITHIN) -> None:
        self.incidents: list[Incident] = []
        self._condition, self._since, self._within = condition, since, within
        self._by_row = any(path.startswith("details.") for path in condition.fields)

    def look(self, snapshot: Snapshot) -> None:
        """The account is like this now."""
        now = snapshot.fetched_at
        if now < self._since or not self._holds(snapshot):
            return
        last = self.incidents[-1] if self.incidents else None
        if last is not None and now - last.until < self._within:
            last.until = now
        else:
            self.incidents.append(Incident(self._condition.text, now, now - self._within, now))

    def _holds(self, snapshot: Snapshot) -> bool:
        """Where a field that it needs has no value, it is not known to."""
        from riskbot.builtin.conditions import NoValueError  # noqa: PLC0415 - it is loaded only where it is used

        for row in self._rows(snapshot):
            try:
                if self._condition.holds(snapshot, row):
                    return True
            except NoValueError:
                continue
        return False

    def _rows(self, snapshot: Snapshot) -> Iterator[Any]:
        yield from snapshot.balances.values() if self._by_row else (None,)
