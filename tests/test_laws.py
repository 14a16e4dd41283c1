"""The laws of the alert machine and of delivery, over random histories.

The numbers I1 to I12 are the invariants of the specification. Each law is checked from what was fed in, never from
the timers that the machine keeps.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from riskbot import delivery, engine
from riskbot.builtin.threshold import Threshold
from riskbot.delivery import Receiver
from riskbot.model import Alert, Alerts, Event, Reading, Severity
from riskbot.rules import Measured, Rule
from riskbot.store import Message
from tests.kinds import answer

MAX_GAP = 10.0
START = 1_700_000_000.0
NAMES = [s.label for s in Severity if s]


@st.composite
def rules(draw: st.DrawFn, name: str = "r") -> Threshold:
    """A ladder of one to four tiers, in either direction, some around zero; with any timers."""
    names = sorted(draw(st.sets(st.sampled_from(NAMES), min_size=1)), key=NAMES.index)
    enters = sorted(draw(st.sets(st.integers(-6, 6), min_size=len(names), max_size=len(names))))
    worse = draw(st.sampled_from(["above", "below"]))
    tiers = dict(zip(names, enters if worse == "above" else enters[::-1], strict=True))
    keys = {
        "name": name,
        "kind": "threshold",
        "field": "adjEq",
        worse: tiers,
        "for": draw(st.sampled_from([0, 3, 12])),
        "keep_firing_for": draw(st.sampled_from([0, 0, 5, 30])),
        "hysteresis": draw(st.sampled_from(["0", "0.05", "0.5", "1"])),
        "flap": draw(
            st.sampled_from([{}, {"changes": 3, "calm": "20s"}, {"changes": 3, "within": "60s", "calm": "5s"}])
        ),
    }
    return Threshold.model_validate(keys)


values = st.integers(-8, 8).map(str)
words = st.one_of(values, values, values, st.sampled_from(["na", "gone", "miss", "fail", "down"]))
pauses = st.sampled_from([1, 1, 1, 2, 9, 10, 11, 40])
# A word is said several times, so that timers run out as often as not.
feeds = st.lists(st.tuples(words, pauses, st.sampled_from([1, 1, 2, 4, 8, 70])), max_size=25)
Feed = list[tuple[str, int, int]]


class Tick(Struct):
    """One observation, and what became of it."""

    at: float
    word: str
    before: Alert
    after: Alert
    events: tuple[Event, ...]

    @property
    def value(self) -> Decimal | None:
        return Decimal(self.word) if self.word.lstrip("-").isdigit() else None

    @property
    def applies_not(self) -> bool:
        return self.word in ("na", "gone")

    @property
    def seen(self) -> bool:
        return self.value is not None or self.applies_not


def saved(alerts: Alerts) -> Alerts:
    return msgspec.json.decode(msgspec.json.encode(alerts), type=Alerts)


def play(rule: Rule, feed: Feed, *, restarts: bool = False) -> list[Tick]:
    """All ticks of a feed."""
    alerts, now, ticks = Alerts(), START, []
    for word, pause, times in feed:
        for _ in range(times):
            now += pause
            given_ = answer(word)
            measured = {} if given_ is None else {rule.name: given_}
            done = engine.step("main", [rule], saved(alerts) if restarts else alerts, measured, now, MAX_GAP)
            before, after = (a.alerts.get(rule.name, {}).get("", Alert()) for a in (alerts, done.alerts))
            ticks.append(Tick(now, word, before, after, done.events))
            alerts = done.alerts
    return ticks


def unbroken(ticks: Sequence[Tick]) -> list[Tick]:
    """The observations at the end of a history that have no hole between them, newest first."""
    seen = [tick for tick in reversed(ticks) if tick.seen]
    for i in range(1, len(seen)):
        if seen[i - 1].at - seen[i].at > MAX_GAP:
            return seen[:i]
    return seen


def earned(ticks: Sequence[Tick], good: Any, seconds: float, count: int) -> bool:
    """Did the newest observations say so, without a hole, for that long and that often?"""
    run = []
    for tick in unbroken(ticks):
        if not good(tick):
            break
        run.append(tick)
    return len(run) >= count and run[0].at - run[-1].at >= seconds


@settings(max_examples=300)
@given(rules(), feeds)
def test_a_rise_is_told_in_the_tick_that_saw_it(rule: Threshold, feed: Feed) -> None:
    """I5, and the other half of I12: no rise before its `for`."""
    ladder = rule.compiled.ladder
    met_since: dict[Severity, float] = {}
    odd, seen_at = 0, START
    for tick in play(rule, feed):
        if tick.seen:
            odd = (odd if tick.at - seen_at <= MAX_GAP else 0) + 1 if tick.applies_not else 0
            seen_at = tick.at
        if odd > 1:  # one alone is believed only where it is no comfort
            met_since.clear()
        if (value := tick.value) is not None:
            met = [r.severity for r in ladder.rungs if ladder.met(value, r.enter)]
            met_since = {s: met_since.get(s, tick.at) for s in met}
            due = max((s for s, at in met_since.items() if tick.at - at >= ladder.hold), default=Severity.OK)
            assert tick.after.shown >= tick.after.level >= due
            if tick.after.level > tick.before.level:
                assert tick.after.level == due
        else:
            assert tick.after.level <= tick.before.level
        told = tick.after.shown != tick.before.shown
        assert [(e.before, e.after) for e in tick.events] == [(tick.before.shown, tick.after.shown)] * told
        assert tick.after.shown >= tick.after.level


@settings(max_examples=200)
@given(rules(), feeds)
def test_blindness_moves_nothing(rule: Threshold, feed: Feed) -> None:
    """I6."""
    for tick in play(rule, feed):
        if not tick.seen:
            assert tick.after is tick.before or tick.after == tick.before
            assert not tick.events


@settings(max_examples=200)
@given(rules(), feeds)
def test_the_order_of_what_is_told_never_goes_back(rule: Threshold, feed: Feed) -> None:
    """I7; and an episode goes from nothing to nothing, with its true peak."""
    last, shown, peak = (0, 0), Severity.OK, Severity.OK
    for tick in play(rule, feed):
        for event in tick.events:
            assert (event.episode, event.seq) > last
            assert (event.episode != last[0]) == (shown == Severity.OK) == (event.seq == 1)
            assert event.before == shown
            peak = max(peak, event.after) if shown else event.after
            assert event.peak == peak
            last, shown = (event.episode, event.seq), event.after
        assert (tick.after.episode, tick.after.seq) >= (tick.before.episode, tick.before.seq)


@settings(max_examples=200)
@given(rules(), feeds)
def test_a_restart_is_not_an_event(rule: Threshold, feed: Feed) -> None:
    """I9."""
    assert play(rule, feed, restarts=True) == play(rule, feed)


@settings(max_examples=400)
@given(rules(), feeds)
def test_falls_are_earned(rule: Threshold, feed: Feed) -> None:
    """I12: what speaks for a fall was seen all the time, without a hole."""
    ladder = rule.compiled.ladder
    high, low = ("100", "-100") if ladder.met(Decimal(100), ladder.rungs[0].enter) else ("-100", "100")
    flaps = [(high, 1, 14), (low, 1, 32), (high, 2, 7), (low, 1, 32)]  # then it must be calm in the random rest
    ticks = play(rule, [*flaps, *feed, (low, 1, 9), *feed])
    for i, tick in enumerate(ticks):
        past = ticks[: i + 1]
        if tick.after.level < tick.before.level and tick.value is not None:
            for rung in ladder.rungs:
                if tick.after.level < rung.severity <= tick.before.level:

                    def left(t: Tick, exit_: Decimal = rung.exit) -> bool:
                        return t.value is not None and ladder.passed(t.value, exit_)

                    assert earned(past, left, ladder.keep, 2)
        elif tick.after.level < tick.before.level:
            assert tick.after.level == Severity.OK
            assert earned(past, lambda t: t.applies_not, engine.NA_HOLD, engine.NA_COUNT)
        if tick.before.flapping and tick.after.shown < tick.before.shown:
            assert earned(past, lambda t, level=tick.after.level: t.after.level == level, ladder.flap.calm, 2)


@settings(max_examples=200)
@given(rules(), feeds)
def test_what_is_over_ends(rule: Threshold, feed: Feed) -> None:
    """I3: whatever came before, a calm minute tells the truth."""
    ladder = rule.compiled.ladder
    calm = "-100" if ladder.met(Decimal(100), ladder.rungs[0].enter) else "100"

    assert play(rule, [*feed, (calm, 1, 300)])[-1].after.shown == Severity.OK
    assert play(rule, [*feed, ("na", 1, 300)])[-1].after.shown == Severity.OK


@settings(max_examples=200)
@given(rules(), st.lists(st.decimals() | st.integers(-5, 5).map(Decimal), max_size=20))
def test_any_number_is_judged_and_the_arguments_are_left_alone(rule: Threshold, numbers: list[Decimal]) -> None:
    alerts = Alerts()
    for i, value in enumerate(numbers):
        measured = {"r": Measured((Reading(value), Reading(value, "A")))}
        kept = copy.deepcopy(alerts)
        done = engine.step("main", [rule], alerts, measured, START + i, MAX_GAP)
        assert engine.step("main", [rule], alerts, measured, START + i, MAX_GAP) == done
        assert alerts == kept
        alerts = done.alerts


# ---------------------------------------------------------------- what each receiver hears


def compose(event: Event) -> tuple[str, list[str]]:
    return event.key, []


class Ears:
    """What each receiver heard, held against the laws as it comes."""

    def __init__(self) -> None:
        self.heard: dict[tuple[str, str], Message] = {}
        self.keys: set[tuple[str, float]] = set()
        self.ids: set[str] = set()

    def take(self, messages: Sequence[Message], *, anew: bool) -> None:
        for message in messages:
            last = self.heard.get((message.receiver, message.alert))
            if last and last.after and message.episode != last.episode:
                # It was out of the file when that episode ended: the end is told now, or the new one says so.
                assert anew
                assert not message.after or delivery.EARLIER in message.body
            else:
                assert message.before == (last.after if last else Severity.OK)
            assert message.after != message.before
            if last:
                assert (message.episode, message.seq) >= (last.episode, last.seq)
            assert (message.id, message.at) not in self.keys
            assert anew or message.id not in self.ids
            self.keys.add((message.id, message.at))
            self.ids.add(message.id)
            self.heard[message.receiver, message.alert] = message

    def last(self, receiver: Receiver, alert: str) -> Severity:
        message = self.heard.get((receiver.name, alert))
        return message.after if message else Severity.OK


severities = st.sampled_from(list(Severity)[1:])


@settings(max_examples=200)
@given(rules(), feeds, st.lists(severities, min_size=1, max_size=3))
def test_every_receiver_hears_openings_and_endings_in_turn(rule: Threshold, feed: Feed, minima: list[Severity]) -> None:
    """I1, I3, Law 5: who was told of an opening is told of its end, once; who was not hears nothing."""
    receivers = [Receiver(f"r{i}", least) for i, least in enumerate(minima)]
    alerts, ears, by_name = Alerts(), Ears(), {"r": rule}
    for tick in play(rule, feed):
        made = delivery.plan(alerts, tick.events, by_name, receivers, compose)
        alerts = made.alerts
        ears.take(made.messages, anew=False)
        for receiver in receivers:
            shown = tick.after.shown
            assert ears.last(receiver, "main/r/") == (shown if shown >= receiver.min_severity else Severity.OK)
            assert bool(alerts.told.get(receiver.name)) == bool(ears.last(receiver, "main/r/"))


# A start: which rules and receivers the file has from now on, and what happens until the next one.
starts = st.lists(
    st.tuples(
        st.lists(rules(), max_size=1),
        st.dictionaries(st.sampled_from(["a", "b"]), severities, max_size=2),
        feeds,
    ),
    max_size=5,
)


@settings(max_examples=200)
@given(starts)
def test_the_last_word_is_true_whatever_changes_in_the_file(
    course: list[tuple[list[Threshold], dict[str, Severity], Feed]],
) -> None:
    """I1, I3, I10: receivers, their severities and rules come and go; nobody keeps a false last word."""
    alerts, ears, now = Alerts(), Ears(), START
    for chosen, minima, feed in course:
        receivers = [Receiver(name, least) for name, least in minima.items()]
        by_name: dict[str, Rule] = {rule.name: rule for rule in chosen}

        def tell(step: engine.Step, *more: Event, anew: bool) -> None:
            nonlocal alerts
            made = delivery.plan(step.alerts, (*step.events, *more), by_name, receivers, compose)  # noqa: B023 - at once
            alerts = saved(made.alerts)
            ears.take(made.messages, anew=anew)

        for repeat in range(2):  # a start with an unchanged file says nothing
            now += 1
            said = len(ears.keys)
            adopted = engine.adopt("main", chosen, alerts, now)
            tell(adopted, *delivery.ongoing("main", adopted.alerts, now), anew=True)
            assert not repeat or len(ears.keys) == said
        for word, pause, times in feed:
            for _ in range(times):
                now += pause
                given_ = answer(word)
                measured = {name: given_ for name in by_name if given_ is not None}
                tell(engine.step("main", chosen, alerts, measured, now, MAX_GAP), anew=True)
        shown = alerts.alerts.get("r", {}).get("", Alert()).shown
        for receiver in receivers:
            assert ears.last(receiver, "main/r/") == (shown if shown >= receiver.min_severity else Severity.OK)
