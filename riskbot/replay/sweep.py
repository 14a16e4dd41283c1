"""One number of one rule, tried at several values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from decimal import Decimal
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from riskbot.model import Severity
from riskbot.replay.replies import BadInput
from riskbot.rules import Rule, suggest
from riskbot.settings.mistakes import explain

MOST = 50
"""Values of one sweep: each is a replay of its own."""

HOW = "write RULE.KEY=FROM:TO:STEP, such as 'margin ratio.below.critical=2:4:0.5' or 'margin ratio.for=0s:10s:2s'"
_VALUE = re.compile(r"\s*(\$?)([0-9]+(?:\.[0-9]+)?)(%|ms|s|m|h|d)?\s*")


class Sweep(Struct, frozen=True):
    """values: as a trader writes them. keys: the way to the number within the rule."""

    rule: Rule
    keys: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def what(self) -> str:
        """`margin ratio.below.critical`."""
        return ".".join((self.rule.name, *self.keys))

    @property
    def tier(self) -> Severity:
        """The one that the number is of; else the rule's mildest."""
        named = {severity.label: severity for severity in Severity}
        return named.get(self.keys[-1], self.rule.compiled.ladder.rungs[0].severity)

    def names(self) -> dict[str, str]:
        """For the report."""
        return {"rule": self.rule.name, "key": ".".join(self.keys), "tier": self.tier.label}


def read(word: str, rules: Iterable[Rule]) -> Sweep:
    """What a person means. Raises BadInput."""
    place, _, span = word.rpartition("=")
    named = {rule.name: rule for rule in rules}
    name = max((name for name in named if place.startswith(f"{name}.")), key=len, default=None)
    if name is None:
        raise BadInput(f"--sweep: no rule's name begins {place!r}{suggest(place.partition('.')[0], named)}; {HOW}")
    keys = tuple(part.strip() for part in place.removeprefix(f"{name}.").split("."))
    return Sweep(named[name], keys, _values(span))


def _values(span: str) -> tuple[str, ...]:
    parts = [_VALUE.fullmatch(part) for part in span.split(":")]
    found = [part for part in parts if part is not None]
    if len(found) != 3 or len(parts) != 3 or len({(part[1], part[3]) for part in found}) > 1:
        raise BadInput(f"--sweep: {span!r} is no range of one unit; {HOW}")
    first, last, step = (Decimal(part[2]) for part in found)
    count = int((last - first) / step) + 1 if step and last >= first else 0
    if not 1 <= count <= MOST:
        raise BadInput(f"--sweep: {span!r} has {count} values: give 1 to {MOST}")
    dollar, unit = found[0][1], found[0][3] or ""
    return tuple(f"{dollar}{first + i * step}{unit}" for i in range(count))


def tried(sweep: Sweep, value: str, entry: Mapping[str, Any]) -> Rule:
    """The rule with that value. entry: as it stands in the rules file. Raises BadInput."""
    changed = deepcopy(dict(entry))
    place: Any = changed
    for key in sweep.keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise BadInput(f"--sweep: {key} of {sweep.rule.name} is no table; {HOW}")
    place[sweep.keys[-1]] = Decimal(value) if value[-1].isdigit() and value[0].isdigit() else value
    try:
        return type(sweep.rule).model_validate(changed)
    except ValidationError as error:
        why = "; ".join(explain(detail, type(sweep.rule)) for detail in error.errors(include_url=False))
        raise BadInput(f"--sweep: {sweep.what} = {value}: {why}") from None
