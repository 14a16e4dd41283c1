"""Every message of a rule, made once of sample data."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from riskbot import plugins
from riskbot.model import Event, Severity
from riskbot.plugins import Hook
from riskbot.setup import sample

KINDS = plugins.kinds(plugins.manager())
RATIO = KINDS["margin_ratio"].model_validate(
    {"name": "ratio", "kind": "margin_ratio", "below": {"warning": 5, "critical": 3}}
)


def hook(function: Callable[..., Any]) -> tuple[Hook, ...]:
    return (Hook("mine", "mine.py", "render", function, ("event",)),)


@pytest.mark.parametrize("kind", KINDS)
def test_every_stock_kind_stands_the_sample(kind: str) -> None:
    example = KINDS[kind].EXAMPLE
    entry = tomllib.loads(example)["rules"][0] if example else {"name": kind, "kind": kind}
    assert list(sample.mistakes(KINDS[kind].model_validate(entry))) == []


def test_each_tier_and_the_end_are_told() -> None:
    told: list[Event] = []
    assert list(sample.mistakes(RATIO, hook(told.append))) == []

    assert [event.after for event in told] == [Severity.WARNING, Severity.CRITICAL, Severity.OK]
    assert [event.value for event in told] == [5, 3, None]


def test_a_render_that_raises_or_gives_nonsense_is_named_once() -> None:
    def broken(event: Event) -> None:
        raise KeyError(event.rule)

    assert list(sample.mistakes(RATIO, hook(broken))) == ["plugin mine: KeyError: 'ratio'"]
    nonsense = hook(lambda _: 7)
    assert list(sample.mistakes(RATIO, nonsense)) == ["plugin mine: render gave int, not (headline, lines)"]


def test_ctrl_c_ends_it() -> None:
    def stop(_: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(sample.mistakes(RATIO, hook(stop)))
