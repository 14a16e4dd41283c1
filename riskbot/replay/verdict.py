"""A condition on what came of a replay: `missed > 0 or messages_per_day.phone > 20`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import rule_engine
from rule_engine import DataType, errors

from riskbot.replay.replies import BadInput
from riskbot.rules import suggest

PER_DAY = "messages_per_day"
"""Of each receiver, on the day with the most."""
NAMES = ("missed", "false_alarms", "episodes", "messages", "flaps", "lead", "blind", "holes")
"""Numbers. lead: the shortest of all incidents, seconds; 0 if one was missed. blind: a share. holes: seconds."""


def facts(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a condition may name, from a report."""
    incidents = found.get("incidents", ())
    days = {name: max(sent["days"].values()) for name, sent in found["messages"].items()}
    return {
        "missed": sum(incident["missed"] for incident in incidents),
        "false_alarms": found.get("false_alarms", 0),
        "episodes": found["episodes"],
        "messages": sum(sent["total"] for sent in found["messages"].values()),
        "flaps": found["flaps"],
        "lead": min((incident["lead"] for incident in incidents), default=0.0),
        "blind": found["blind"],
        "holes": found["holes"],
        PER_DAY: days,
    }


class Verdict:
    """A condition that was read. receivers: those that it may name. Raises BadInput."""

    def __init__(self, text: str, receivers: tuple[str, ...]) -> None:
        self.text = text
        per_day = DataType.OBJECT("receivers", dict.fromkeys(receivers, DataType.FLOAT), accessor=_of_receiver)
        types = {**dict.fromkeys(NAMES, DataType.FLOAT), PER_DAY: per_day}
        context = rule_engine.Context(resolver=_resolve, type_resolver=types, default_timezone="utc")
        try:
            self._rule = rule_engine.Rule(text, context=context)
        except errors.EngineError as error:
            raise BadInput(f"--fail-if: {_explain(error, receivers)}") from None
        if self._rule.statement.expression.result_type != DataType.BOOLEAN:
            raise BadInput("--fail-if: it must be true or false: compare something, as in missed > 0")

    def holds(self, found: Mapping[str, Any]) -> bool:
        """Is it so of this report?"""
        try:
            return bool(self._rule.matches(facts(found)))
        except errors.EngineError as error:
            raise BadInput(f"--fail-if: it can't be judged: {type(error).__name__}") from None


def _resolve(found: Mapping[str, Any], name: str) -> Any:
    return found[name]


def _of_receiver(days: Mapping[str, int], name: str) -> int:
    """One who was told nothing has no day."""
    return days.get(name, 0)


def _explain(error: Any, receivers: tuple[str, ...]) -> str:
    match error:
        case errors.SymbolResolutionError():
            return f"there is no {_near(error.symbol_name, (*NAMES, PER_DAY))}"
        case errors.ObjectAttributeError():
            return f"there is no receiver {_near(error.attribute_name, receivers)}"
    return "it can't be read; write missed > 0 or messages_per_day.phone > 20"


def _near(word: str, known: tuple[str, ...]) -> str:
    return f'"{word}"' + (suggest(word, known) or f": there is {', '.join(known)}")
