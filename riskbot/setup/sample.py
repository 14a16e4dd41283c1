"""Every message that a rule can make, made once of sample data: one that fails is found before the night it is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from riskbot.history import History
from riskbot.model import AccountInfo, Cause, Event, Severity, View
from riskbot.plugins import Hook
from riskbot.rules import Measured, Rule, measure, stumbles
from riskbot.service.leash import Overdue, leash
from riskbot.service.minder import are_words
from riskbot.simulator import load_scenario
from riskbot.simulator.payload import render
from riskbot.snapshot import Mode, Snapshot

MODE: Mode = "3"
"""Multi-currency margin: it carries most fields."""
NOW = 1_700_000_000.0
BEFORE = 60.0


def view(rule: Rule) -> View:
    """A leveraged account in the middle of the shipped crash, as that rule would see it."""
    story = load_scenario("crash")
    raw = render(story.at(story.duration / 2), MODE, lambda _: int(NOW * 1000))
    snapshot = Snapshot({**raw, "uTime": str(int(NOW * 1000))}, NOW)
    history = History(rule.wants())
    history.add(snapshot)
    return View("main", NOW, snapshot, history, AccountInfo("1", MODE, "sample", ("read_only",), ("127.0.0.1",)))


def mistakes(rule: Rule, renders: tuple[Hook, ...] = ()) -> Iterator[str]:
    """What fails as it measures sample data, or as a message of it is made; each once. renders: plugins' words."""
    seen = view(rule)
    answer = Measured()

    def ask() -> str:
        nonlocal answer
        answer = measure(rule, seen)
        return answer.missing if answer.failed else ""

    if why := _leashed(ask):
        yield why
        return
    found = (why for event in _events(rule, answer) for why in _told(rule, seen, event, renders))
    yield from dict.fromkeys(found)


def _events(rule: Rule, answer: Measured) -> Iterator[Event]:
    """Each tier met, and the end, about the first subject that it measured."""
    subject = next((reading.ccy for reading in answer.readings), "")
    rungs = rule.ladder().rungs
    steps = [(rung.severity, rung.enter, Cause.BREACH) for rung in rungs]
    for after, value, cause in (*steps, (Severity.OK, None, Cause.RECOVERED)):
        before = Severity.OK if after else rungs[-1].severity
        yield Event(
            "main", rule.name, subject, 1, 1, before, after, rungs[-1].severity, NOW, NOW - BEFORE, cause, value
        )


def _told(rule: Rule, seen: View, event: Event, renders: tuple[Hook, ...]) -> Iterator[str]:
    if why := _leashed(lambda: stumbles(rule, seen, event)):
        yield why
    for hook in renders:
        if why := _leashed(partial(_render, hook, seen, event)):
            yield f"plugin {hook.plugin}: {why}"


def _render(hook: Hook, seen: View, event: Event) -> str:
    given = hook(event=event, view=seen, headline="sample", lines=["sample"])
    return "" if given is None or are_words(given) else f"render gave {type(given).__name__}, not (headline, lines)"


def _leashed(call: Callable[[], str]) -> str:
    """What it gives; of what it raises, the words."""
    try:
        with leash():
            return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; nothing is awaited here
        return str(error) if isinstance(error, Overdue) else f"{type(error).__name__}: {error}"
