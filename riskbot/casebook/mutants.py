"""Rules that are wrong in one small way each. A case that passes with such a rule does not show that it is right.

A rule's ladder is changed, or what it reads: a tier is entered or left one step to either side, `for` and
`keep_firing_for` are one poll shorter or longer, a tier is taken away, what does not apply is read as 0, the direction
is the other one, a number in a condition is another one. One step is as far as a tier's exit lies from its entry.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from riskbot.builtin.expression import Expression
from riskbot.fields import ZERO, is_missing
from riskbot.model import Reading, View
from riskbot.rules import Ladder, Rule, Rung
from riskbot.spelling import duration
from riskbot.text import number

STEP = Decimal("0.05")
"""Of its entry, where a tier is left where it is entered."""


class Mutant(Struct, frozen=True):
    """A rule that is wrong, and in which way."""

    rule: Rule
    how: str


def mutants(rule: Rule, every: float) -> list[Mutant]:
    """All of a rule. every: seconds between two polls."""
    ladder = rule.compiled.ladder
    ladders = [*_steps(ladder), *_timers(ladder, every), *_removed(ladder), _flipped(ladder)]
    changed = [Mutant(_with(rule, compiled=replace(rule.compiled, ladder=made)), how) for made, how in ladders]
    changed += _conditions(rule)
    off = [Mutant(rule.model_copy(update={"enabled": False}), "it is off")] if len(ladder.rungs) == 1 else []
    return [*changed, *off, Mutant(_with(rule, readings=_never_na(rule.readings)), "what does not apply reads as 0")]


def _with(rule: Rule, **parts: Any) -> Rule:
    """A copy with other parts than its class would give it: an instance's own come first. None: to be made anew."""
    copy = rule.model_copy()
    copy.__dict__.update(parts)
    for name in [name for name, part in parts.items() if part is None]:
        del copy.__dict__[name]
    return copy


Made = tuple[Ladder, str]


def _steps(ladder: Ladder) -> Iterator[Made]:
    """Each tier entered, or left, one step to either side. Severities have no steps between them."""
    if not ladder.plain:
        return
    for rung in ladder.rungs:
        step = abs(rung.enter - rung.exit) or abs(rung.enter) * STEP
        for by in (step, -step) if step else ():
            for part, at in (("enter", rung.enter), ("exit", rung.exit)):
                verb = "entered" if part == "enter" else "left"
                how = f"{rung.severity.label} is {verb} at {number(at + by)} instead of {number(at)}"
                yield _replaced(ladder, rung, replace(rung, **{part: at + by})), how


_NUMBER = re.compile(r"""(?<![\w.'"])\d+(\.\d+)?(?![\w.'"])""")
SMALL = 10
"""Whole numbers up to that are levels, or as good as: one step is 1."""


def _conditions(rule: Rule) -> Iterator[Mutant]:
    """Each number in a condition one step to either side."""
    if not isinstance(rule, Expression):
        return
    for tier, condition in rule.when.items():
        for found in _NUMBER.finditer(condition):
            now = Decimal(found[0])
            step = Decimal(1) if now == int(now) <= SMALL else now * STEP
            for at in (now + step, now - step):
                text = f"{condition[: found.start()]}{at:f}{condition[found.end() :]}"
                how = f"{tier} is {text} instead of {condition}"
                yield Mutant(_with(rule, when={**rule.when, tier: text}, _conditions=None, _fields=None), how)


def _replaced(ladder: Ladder, old: Rung, *new: Rung) -> Ladder:
    rungs = [part for rung in ladder.rungs for part in (new if rung is old else (rung,))]
    return replace(ladder, rungs=tuple(rungs))


def _timers(ladder: Ladder, every: float) -> Iterator[Made]:
    for key, name in (("hold", "for"), ("keep", "keep_firing_for")):
        now = getattr(ladder, key)
        for seconds in (now + every, max(0.0, now - every)) if now else (every,):
            yield replace(ladder, **{key: seconds}), f"{name} is {duration(seconds)} instead of {duration(now)}"


def _removed(ladder: Ladder) -> Iterator[Made]:
    if len(ladder.rungs) > 1:
        for rung in ladder.rungs:
            yield _replaced(ladder, rung), f"{rung.severity.label} is missing"


_OTHER: dict[Callable[..., Any], Callable[..., Any]] = {
    operator.gt: operator.lt,
    operator.lt: operator.gt,
    operator.ge: operator.le,
    operator.le: operator.ge,
}


def _flipped(ladder: Ladder) -> Made:
    """Danger lies on the other side of each tier."""
    rungs = tuple(Rung(rung.severity, rung.enter, 2 * rung.enter - rung.exit) for rung in ladder.rungs)
    met, passed = (_OTHER.get(compare, compare) for compare in (ladder.met, ladder.passed))
    return replace(ladder, rungs=rungs, met=met, passed=passed), "the direction is the other one"


def _never_na(readings: Callable[[View], Iterable[Reading]]) -> Callable[[View], Iterable[Reading]]:
    def read(view: View) -> Iterator[Reading]:
        for reading in readings(view):
            lacks = reading.value.is_nan() and not is_missing(reading.value)
            yield Reading(ZERO, reading.ccy, reading.note) if lacks else reading

    return read
