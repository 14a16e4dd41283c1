"""A plugin that misbehaves while riskbot watches hurts no other rule's alert, and is told of once, with its line."""

from __future__ import annotations

import logging
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from riskbot import plugins
from riskbot.health import about_plugin
from riskbot.model import Severity
from riskbot.plugins import Trouble
from riskbot.redact import Redactor
from riskbot.rules import Rule
from riskbot.service import leash
from riskbot.service.minder import LONGEST_REST, WELL_AFTER
from tests.desk import BLIND, RATIO, Desk

HEAD = """
import asyncio, sys, time
from decimal import Decimal
from riskbot import *

class Mine(Rule, kind="mine", worse="above"):
    def readings(self, view):
"""
TAIL = """

@hookimpl
def register_rules():
    return [Mine]
"""


class Stage:
    """A watch with the stock rules and a plugin's, whose text is given. took: seconds that its next call takes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.took = folder, 0.0
        folder.mkdir(mode=0o700)

    def open(self, body: str, *, count: int = 1, head: str = HEAD, tail: str = TAIL) -> Desk:
        path = self.folder / "mine.py"
        path.write_text(head + body + tail)
        path.chmod(0o600)
        found = plugins.load([self.folder])
        assert found.troubles == ()
        own = [self.rule(found.kinds["mine"], f"mine {i}") for i in range(count)] if "mine" in found.kinds else []
        self.desk = Desk(*own, RATIO, BLIND, stopwatch=self.stopwatch)
        self.desk.minder.use(found)
        return self.desk

    @staticmethod
    def rule(kind: type[Rule], name: str) -> Rule:
        return kind.model_validate({"name": name, "kind": "mine", "above": {"warning": 5}})

    def stopwatch(self) -> float:
        """Looked at before and after each call, so half of `took` each time; no test sleeps."""
        self.desk.hands.monotonic += self.took / 2
        self.desk.hands.wall += self.took / 2
        return self.desk.hands.monotonic

    @property
    def told(self) -> str:
        """What is told of the plugin."""
        problem = self.desk.problems.of(about_plugin("mine"))
        return problem.why if problem and problem.hands_over(None, self.desk.hands.clock.now()) else ""


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "plugins")


MISBEHAVES = {
    "raises": ("        raise KeyError('liab')", "KeyError: 'liab' (mine.py:8)"),
    "raises midway": ("        yield Reading(1)\n        1/0", "ZeroDivisionError: division by zero (mine.py:9)"),
    "calls sys.exit": ("        sys.exit(3)", "SystemExit: 3 (mine.py:8)"),
    "gives an infinity": ("        yield Reading(Decimal('inf'))", "gave a reading of Decimal Infinity (mine.py:7)"),
    "gives words": ("        return ['x']", "gave a str where a Reading is due"),
    "gives no list": ("        return 5", "TypeError: 'int' object is not iterable"),
    "gives too many": (
        "        while True: yield Reading(1, ccy='x' + str(time.time_ns()))",
        "gave more than 10,000 readings",
    ),
    "allocates wildly": ("        yield Reading(len([0] * 2**60))", "MemoryError"),
    "gives a novel": (
        "        yield Reading(Decimal(1), note='x' * 10**6)",
        "whose ccy or note is longer than 100 or 1000",
    ),
    "recurses": ("        return self.readings(view)", "RecursionError"),
    "cancels": ("        raise asyncio.CancelledError", "CancelledError"),
}


@pytest.mark.parametrize("how", MISBEHAVES)
async def test_no_other_rule_is_hurt_by_one_that(how: str, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    body, said = MISBEHAVES[how]
    desk = stage.open(body)
    await desk.load()
    desk.market.ratio = "2.5"
    with caplog.at_level(logging.ERROR, "riskbot"):
        for _ in range(3):
            await desk.poll()

    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert stage.told.startswith('rule "mine 0": the rule failed: ')
    assert said in stage.told
    assert len([line for line in caplog.messages if line.startswith("plugin mine: ")]) == 1
    for _ in range(30):
        await desk.poll()
    assert (await desk.titles())[1:] == ['CRITICAL · main · rule "mine 0" has no data']


async def test_nan_is_a_reading_without_a_value_and_told_as_blindness(stage: Stage) -> None:
    desk = stage.open("        yield Reading(float('nan'))")
    await desk.load()
    desk.market.ratio = "2.5"
    for _ in range(40):
        await desk.poll()

    assert await desk.titles() == [
        "CRITICAL · main · margin ratio 2.5 (250 %)",
        'CRITICAL · main · rule "mine 0" has no data',
    ]
    assert stage.told == ""


async def test_a_rule_that_fails_in_nine_of_ten_polls_is_told_as_blind(stage: Stage) -> None:
    desk = stage.open("        if int(view.now) % 10: raise KeyError('liab')\n        yield Reading(1)")
    await desk.load()
    for _ in range(100):
        await desk.poll()

    assert await desk.titles() == ['CRITICAL · main · rule "mine 0" has no data']


async def test_a_rule_that_takes_two_seconds_is_told_and_left_alone_for_a_while(stage: Stage) -> None:
    desk = stage.open("        yield Reading(9)")
    await desk.load()
    stage.took, desk.market.ratio = 4.0, "2.5"
    await desk.poll()
    stage.took = 0.0

    assert sorted(await desk.titles()) == ["CRITICAL · main · margin ratio 2.5 (250 %)", "WARNING · main · mine 0 9"]
    why = "rule mine 0 took 2.0 s, and all accounts wait for it: it is asked only every 40 s"
    assert "took 2.0 s" in stage.told
    view = desk.watch.observer.view(desk.watch._sight())
    assert desk.minder.ask(desk.judge.rules[0], view).missing == why
    desk.hands.turn(41)
    assert desk.minder.ask(desk.judge.rules[0], view).missing == ""


async def test_a_rule_that_stands_still_for_ages_rests_five_minutes_at_most(stage: Stage) -> None:
    desk = stage.open("        yield Reading(9)")
    await desk.load()
    stage.took = 4000.0
    await desk.poll()
    stage.took = 0.0
    desk.hands.turn(LONGEST_REST + 1)

    assert desk.minder.ask(desk.judge.rules[0], desk.watch.observer.view(desk.watch._sight())).missing == ""


async def test_the_time_of_stock_rules_is_not_minded(stage: Stage) -> None:
    desk = stage.open("", head="from riskbot import *\n@hookimpl\ndef on_transition(event): pass\n", tail="")
    await desk.load()
    stage.took, desk.market.ratio = 4.0, "2.5"
    for _ in range(3):
        await desk.poll()

    assert (await desk.titles())[0] == "CRITICAL · main · margin ratio 2.5 (250 %)"
    assert desk.watch.polls == 3


async def test_a_plugin_works_again_when_it_has_not_failed_for_ten_minutes(stage: Stage) -> None:
    desk = stage.open(f"        if view.now < {1_000_010}: raise KeyError('liab')\n        yield Reading(1)")
    await desk.load()
    for _ in range(20):
        await desk.poll()
    failed_last = 1_000_009.0

    desk.minder.look(failed_last + WELL_AFTER)
    assert stage.told
    desk.minder.look(failed_last + WELL_AFTER + 1)
    assert not stage.told


async def test_a_rule_that_failed_is_asked_again_though_its_columns_stand_still(stage: Stage) -> None:
    body = "        if view.now < 1_000_003: raise KeyError('liab')\n        yield Reading(1)\n"
    desk = stage.open(body + "    def columns(self):\n        return ('mgnRatio',)")
    await desk.load()
    for _ in range(5):
        await desk.poll()

    assert not desk.watch.observer._ask._asked[0].last.failed


# ---------------------------------------------------------------- secrets


SECRET = "correct horse battery staple"
"""Plain words: nothing of it is recognised but the whole, and its beginning where a text was cut."""

BLURTS = {
    "in its note": "        yield Reading(9, note=f'with {SECRET}')",
    "in the note of a number that is missing": "        yield Reading.missing(f'with {SECRET}')",
    "as what it measures": "        yield Reading(9, ccy=SECRET)",
    "as a number": "        yield Reading(SECRET)",
    "as it raises": "        raise KeyError(SECRET)",
    "as it raises a long story": "        raise KeyError('x' * 105 + SECRET)",
    "in its words": "        yield Reading(9)\n    def say(self, event): return f'with {SECRET}'",
    "in more words": "        yield Reading(9)\n    def explain(self, view, event): yield f'with {SECRET}'",
    "in a long line": "        yield Reading(9)\n    def explain(self, view, event): yield 'x' * 985 + SECRET",
    "as it fails at its words": "        yield Reading(9)\n    def say(self, event): raise KeyError(SECRET)",
}


@pytest.mark.parametrize("how", BLURTS)
async def test_what_a_plugin_says_is_told_and_remembered_without_secrets(
    how: str, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    desk = stage.open(BLURTS[how], head=f"SECRET = {SECRET!r}\n{HEAD}")
    desk.minder.use(desk.minder._plugins, Redactor([SECRET]).redact)
    await desk.load()
    with caplog.at_level(logging.DEBUG, "riskbot"):
        for _ in range(40):
            await desk.poll()

    recorded = b"".join(batch.data for batch in await desk.watch.drained())
    told = [stage.told, *map(repr, await desk.store.outbox(("queued", "superseded")))]
    kept = [repr(await desk.store.load("main")), repr(recorded)]
    assert "***" in "".join([*told, *kept]) or "a reading whose ccy holds a secret" in stage.told
    assert not [text for text in (*told, *kept, *caplog.messages) for word in SECRET.split() if word in text]


# ---------------------------------------------------------------- endless calls


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(9)", "while True:\n            time.sleep(0.001)"])
async def test_a_rule_that_does_not_end_is_cut_off(stage: Stage, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(leash, "LENGTH", 0.05)
    desk = stage.open(f"        {body}")
    await desk.load()
    desk.market.ratio = "2.5"
    await desk.poll()

    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert "Overdue: it did not end within 0.05 s (mine.py:" in stage.told


async def test_words_that_do_not_end_are_cut_off_and_the_message_goes_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leash, "LENGTH", 0.05)
    desk = stage.open("        yield Reading(9)\n    def explain(self, view, event):\n        while True: pass")
    await desk.load()
    await desk.poll()

    assert await desk.titles() == ["WARNING · main · mine 0 9"]


def test_a_timer_that_was_set_before_goes_on() -> None:
    rung: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    timer = signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with leash.leash():
            pass
        while not rung:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_in_another_thread_there_is_no_leash() -> None:
    ended: list[int] = []

    def call() -> None:
        with leash.leash():
            ended.append(1)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert ended == [1]


# ---------------------------------------------------------------- words, and what has changed


RENDER = "from riskbot import *\n@hookimpl\ndef render(event, headline, lines):\n    "
WATCH = "from riskbot import *\nheard = []\n@hookimpl\ndef on_transition(event):\n    "


async def test_a_plugin_may_give_a_message_other_words(stage: Stage) -> None:
    desk = stage.open("return f'{headline}!', [*lines, 'call the desk']", head=RENDER, tail="\n")
    await desk.load()
    desk.market.ratio = "2.5"
    await desk.poll()

    rows = await desk.store.outbox(("queued",))
    assert [m.title for _, m in rows] == ["CRITICAL · main · margin ratio 2.5 (250 %)!"]
    assert "call the desk" in rows[0][1].body
    assert stage.told == ""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return None", ""),
        ("1/0", "mine.py:4: render: ZeroDivisionError: division by zero"),
        ("raise SystemExit", "mine.py:4: render: SystemExit"),
        ("return headline", "mine.py: render gave str, not (headline, lines) or None"),
        ("return headline, lines, 5", "render gave tuple, not"),
        ("return 5, lines", "render gave tuple, not"),
        ("return headline, [5]", "render gave tuple, not"),
        ("lines.clear()", ""),
    ],
)
async def test_words_that_are_none_leave_the_message_as_it_was(stage: Stage, body: str, said: str) -> None:
    desk = stage.open(body, head=RENDER, tail="\n")
    await desk.load()
    desk.market.ratio = "0.5"
    await desk.poll()

    rows = await desk.store.outbox(("queued",))
    assert [m.title for _, m in rows] == ["CRITICAL · main · margin ratio 0.5 (50 %)"]
    assert "the exchange may be liquidating now" in rows[0][1].body
    assert said in stage.told
    assert bool(said) == bool(stage.told)


async def test_a_plugin_hears_of_each_change_after_it_is_saved(stage: Stage) -> None:
    desk = stage.open("heard.append((event.rule, event.after))", head=WATCH, tail="\n")
    heard: list[Any] = desk.minder._plugins.watchers[0].function.__globals__["heard"]
    await desk.load()
    desk.market.ratio = "2.5"
    await desk.poll()
    await desk.poll()

    assert heard == [("margin_ratio", Severity.CRITICAL)]


async def test_a_plugin_that_fails_as_it_hears_or_takes_long_stops_nothing(stage: Stage) -> None:
    desk = stage.open("1/0", head=WATCH, tail="\n")
    await desk.load()
    stage.took, desk.market.ratio = 4.0, "2.5"
    await desk.poll()
    stage.took = 0.0
    assert "mine.on_transition took 2.0 s" in stage.told

    desk.market.ratio = "4"
    for _ in range(35):
        await desk.poll()
    assert await desk.titles() == [
        "CRITICAL · main · margin ratio 2.5 (250 %)",
        "WARNING · main · margin ratio 4 (400 %)",
    ]


async def test_a_rule_whose_words_take_long_is_told_in_plain_ones_meanwhile(stage: Stage) -> None:
    desk = stage.open("        yield Reading(9)\n    def say(self, event):\n        return 'my words'")
    await desk.load()
    event = desk.minder
    stage.took = 4.0
    rule, view = desk.judge.rules[0], desk.watch.observer.view(desk.watch._sight())
    said = next(iter(_changes()))
    assert event.compose(rule, view, said)[0] == "my words"
    stage.took = 0.0
    assert event.compose(rule, view, said) == ("mine 0", [])
    assert event.compose(None, view, said) == ("mine 0", [])


def _changes() -> list[Any]:
    from riskbot.model import Cause, Event  # noqa: PLC0415 - only here

    warning = Severity.WARNING
    return [Event("main", "mine 0", "", 1, 1, Severity.OK, warning, warning, 1.0, 1.0, Cause.BREACH)]


# ---------------------------------------------------------------- going over to others


async def test_what_was_wrong_at_load_is_told_until_it_is_right(stage: Stage) -> None:
    desk = stage.open("        yield Reading(1)")
    found = desk.minder._plugins
    wrong = Trouble("mine", "plugins/mine.py:3", "not valid Python")
    desk.minder.use(plugins.Plugins(troubles=(wrong, Trouble("other", "plugins/other.py:1", "KeyError"))))
    assert stage.told == "plugins/mine.py:3: not valid Python"
    desk.minder._failed("mine", "it raised as well")
    desk.minder.look(desk.hands.clock.now() + 9999)
    assert stage.told

    desk.minder.use(found)
    assert stage.told == ""
    readings = {reading.ccy: int(reading.value) for reading in desk.problems.measured(0).readings}
    assert readings == {"plugin mine": 0}
