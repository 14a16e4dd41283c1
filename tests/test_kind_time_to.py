"""The kind `time_to`: how long at this pace."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from riskbot import engine
from riskbot.asker import Asker
from riskbot.builtin.time_to import FAR, TimeTo, pace
from riskbot.history import History
from riskbot.model import Alert, Alerts, View
from riskbot.rules import measure, no_data, tell
from tests.kinds import CRITICAL, EMERGENCY, OK, WARNING, event, read, snap, view

TIERS = {"warning": "2h", "critical": "30m", "emergency": "10m"}
MINUTE, HOUR = 60.0, 3600.0


def time_to(field: str = "mgnRatio", **keys: Any) -> TimeTo:
    given_ = {"name": "liquidation", "kind": "time_to", "field": field, "reaches": 1, "within": TIERS}
    return TimeTo.model_validate(given_ | keys)


def lived(
    rule: TimeTo, ratio: Callable[[float], float], until: float = 2 * HOUR, every: float = 5.0, **keys: Any
) -> View:
    """What is seen after a life in which the ratio took that course."""
    past = History(rule.wants())
    for i in range(int(until / every) + 1):
        at = i * every
        seen = snap(at=at, mgnRatio=f"{ratio(at):.6f}")
        past.add(seen)
    return view(seen, at, past, **keys)


def seconds(rule: TimeTo, at: View) -> float:
    (reading,) = measure(rule, at).readings
    return float(reading.value)


def test_a_ratio_that_falls_evenly_is_told_to_the_second() -> None:
    """From 5 to 1.4 in two hours, 0.0005 a second: 0.4 is left, which takes 800 s."""
    at = lived(time_to(), lambda t: 5 - 0.0005 * t)
    (reading,) = measure(time_to(), at).readings

    assert float(reading.value) == pytest.approx(800, abs=1)
    assert reading.note == "13 min 20 s, by the pace of the last 5 min, 15 min and 1 h"


@pytest.mark.parametrize("rate", [0.0, 0.0005])
def test_a_ratio_that_stands_or_rises_takes_for_ever(rate: float) -> None:
    assert seconds(time_to(), lived(time_to(), lambda t: 2 + rate * t)) == FAR


def test_a_fall_that_gets_faster_is_never_less_urgent() -> None:
    def crash(t: float) -> float:
        return 5 - 0.0001 * t - max(0.0, t - 6600) ** 2 * 1e-6

    times = [seconds(time_to(), lived(time_to(), crash, until)) for until in range(6000, 8100, 60)]

    assert all(later <= sooner for sooner, later in pairwise(times))
    assert times[0] > 2 * HOUR
    assert times[-1] < 30 * MINUTE


def test_one_window_alone_is_not_believed() -> None:
    """It has stood for long and falls since eight minutes: the shortest window says 520 s, the next one more."""
    at = lived(time_to(), lambda t: 5 - 0.004 * max(0.0, t - 6720))
    (reading,) = measure(time_to(), at).readings

    assert 1.3 * 520 < float(reading.value) < 3 * 520
    assert reading.note.startswith("8 min 40 s to ")


def test_two_windows_that_fall_are_believed_though_the_shortest_has_eased() -> None:
    at = lived(time_to(), lambda t: max(5 - 0.0005 * t, 1.55))  # stands since 300 s
    (reading,) = measure(time_to(), at).readings

    assert 0.5 * 1100 < float(reading.value) < 3 * 1100
    assert reading.note.endswith("by the pace of the last 15 min and 1 h")


@settings(max_examples=60)
@given(
    age=st.integers(0, 4000),
    before=st.floats(1.5, 60),
    after=st.floats(1.01, 60),
    every=st.sampled_from([1.0, 7.0, 60.0]),
)
def test_a_single_jump_is_no_pace_however_large_and_whenever(
    age: int, before: float, after: float, every: float
) -> None:
    at = lived(time_to(), lambda t: before if t < 2 * HOUR - age else after, every=every)

    assert seconds(time_to(), at) == FAR


@given(st.lists(st.tuples(st.integers(0, 24), st.floats(-100, 100)), max_size=2))
def test_a_few_odd_values_hardly_move_the_pace(odd: list[tuple[int, float]]) -> None:
    course = [(float(i), Decimal(100 - i)) for i in range(25)]
    for i, value in odd:
        course[i] = (float(i), Decimal(value))

    assert pace(course) == -1


def test_noise_around_a_level_is_no_pace() -> None:
    noise = [(i * 7919 % 101 - 50) / 2500 for i in range(5000)]  # 2 % each way
    at = lived(time_to(), lambda t: 3 * (1 + noise[int(t / 5)]))

    assert seconds(time_to(), at) > 2 * HOUR


def test_what_has_reached_the_value_is_there() -> None:
    for ratio in ("1", "0.9"):
        assert read(time_to(), view(snap(mgnRatio=ratio))) == {"": 0}


def test_a_ratio_without_a_value_has_no_time() -> None:
    assert read(time_to(), view(snap(mgnRatio=""))) == {"": "na"}
    assert read(time_to(), view(snap())) == {"": "missing"}
    assert measure(time_to(), view(snap())).missing == "mgnRatio"


def test_too_little_known_is_calm_at_first_but_ends_no_alert() -> None:
    def falls(t: float) -> float:
        return 5 - 0.004 * t

    young = lived(time_to(), falls, 895)
    assert seconds(time_to(), young) == FAR
    assert seconds(time_to(), lived(time_to(), falls, 900)) == pytest.approx(100, abs=1)
    told = Alerts({"liquidation": {"": Alert(level=CRITICAL, shown=CRITICAL)}})
    answer = measure(time_to(), lived(time_to(), falls, 895, alerts=told))
    assert answer.missing == "too little is known yet of the course of mgnRatio"


def test_shorter_windows_speak_sooner() -> None:
    rule = time_to(over=["1m", "3m"])
    at = lived(rule, lambda t: 5 - 0.02 * t, 180)
    (reading,) = measure(rule, at).readings

    assert float(reading.value) == pytest.approx(20, abs=1)
    assert reading.note.endswith("by the pace of the last 1 min and 3 min")


def test_a_debt_that_grows_is_told_for_each_currency() -> None:
    rule = time_to("details.liab", reaches=1000)
    past = History(rule.wants())
    for at in range(0, 7205, 5):
        rows = {"USDT": {"liab": str(280 + at / 10), "eq": "-1"}, "BTC": {"liab": "5"}, "ETH": {"liab": ""}}
        past.add(snap(rows, at))
    at_end = view(snap(rows, at), at, past)

    assert read(rule, at_end) == {"USDT": 0, "BTC": FAR, "ETH": "na"}
    soon = view(snap(rows | {"USDT": {"liab": "999"}}, at), at, past)
    assert read(rule, soon)["USDT"] == pytest.approx(Decimal(10))


def test_danger_lies_where_it_is_said_to_lie() -> None:
    rising = time_to("totalEq", worse="above", reaches=5000)
    falling = time_to("totalEq", worse="below", reaches=5000)

    assert read(rising, view(snap(totalEq="5000"))) == {"": 0}
    assert read(falling, view(snap(totalEq="4000"))) == {"": 0}
    assert read(rising, view(snap(totalEq="4000"), past=History(rising.wants()))) == {"": FAR}


def test_an_alert_climbs_as_the_time_runs_out_and_ends_when_it_does_not() -> None:
    rule = time_to()
    ask, alerts, past, told = Asker([rule]), Alerts(), History(rule.wants()), []
    for at in range(0, 18000, 10):
        ratio = max(5 - 0.0005 * at, 1.2) if at < 9000 else 3
        seen = snap(at=at, mgnRatio=f"{ratio:.6f}")
        past.add(seen)
        step = engine.step("main", [rule], alerts, ask(view(seen, at, past, alerts=alerts)), at)
        alerts = step.alerts
        told += [e.after for e in step.events]

    assert told[:3] == [WARNING, CRITICAL, EMERGENCY]
    assert told[3:] == sorted(told[3:], reverse=True)
    assert told[-1] == OK


def test_it_is_told_with_its_spread_and_what_it_was_worth_before() -> None:
    at = lived(time_to(), lambda t: 5 - 0.0005 * t if t < 6000 else 2 - 0.0006 * (t - 6000))
    (reading,) = measure(time_to(), at).readings

    headline, lines = tell(time_to(), at, event(reading.value, note=reading.note))

    assert headline == "liquidation: mgnRatio reaches 1 in 7 min 47 s"
    assert lines[0].endswith(", by the pace of the last 5 min, 15 min and 1 h")
    assert lines[1] == "30 min ago the pace foresaw 1.402 for now; it is 1.28"


@pytest.mark.parametrize(
    ("value", "after", "said"),
    [
        ("480", CRITICAL, "liquidation: mgnRatio reaches 1 in 8 min"),
        ("9000", OK, "liquidation: mgnRatio reaches 1 in 2 h 30 min"),
        (str(FAR), OK, "liquidation: mgnRatio is not on its way to 1"),
        ("0", EMERGENCY, "liquidation: mgnRatio has reached 1"),
        (None, OK, "liquidation: mgnRatio"),
    ],
)
def test_it_is_told_in_how_long(value: str | None, after: Any, said: str) -> None:
    assert tell(time_to(), view(past=History(time_to().wants())), event(value, after=after)) == (said, [])


def test_amounts_are_told_in_their_unit() -> None:
    assert time_to("details.liab", reaches=1000).say(event("60", "USDT")) == (
        "liquidation: details.liab USDT reaches 1,000 USDT in 1 min"
    )
    assert time_to("adjEq", reaches=1000).say(event("60")) == "liquidation: adjEq reaches $1,000 in 1 min"


def test_it_knows_in_which_modes_it_has_data() -> None:
    assert "Spot" in no_data(time_to(), "1")
    assert time_to().columns() is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"over": ["5m"]}, "two windows or more must agree"),
        ({"over": ["5m", "10m"]}, "each window at least three times as long as the one before"),
        ({"over": ["15m", "5m", "1h"]}, "each window at least three times as long as the one before"),
        ({"over": ["30s", "5m"]}, 'windows go from "1m" to "1d"'),
        ({"over": ["5m", "2d"]}, 'windows go from "1m" to "1d"'),
        ({"within": {"warning": "10m", "critical": "1h"}}, "tiers out of order"),
        ({"within": {"warning": "0s"}}, "greater than or equal to 1"),
        ({"within": {}}, "no tier"),
        ({"field": "totalEq"}, 'totalEq may be bad both ways: add worse = "below" or worse = "above"'),
        ({"field": "uTime"}, "uTime is not a number"),
    ],
)
def test_what_can_not_be_foreseen_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        time_to(**keys)

    assert said in str(error.value)


def test_a_tier_is_left_at_half_as_much_again() -> None:
    assert [float(rung.exit) for rung in time_to(within={"info": "10m"}).compiled.ladder.rungs] == [900]
    assert time_to().compiled.ladder.keep == 120
