"""The past of the fields that rules ask about."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.fields import is_missing
from riskbot.history import COURSE_SPAN, RESOLUTION, SAMPLES, History, Side, Want
from riskbot.snapshot import Snapshot

LIAB = "details.liab"
SIDES: tuple[Side, Side] = ("low", "high")


def snap(at: float, rows: Mapping[str, str | None] | None = None, **fields: str) -> Snapshot:
    details = [
        {"ccy": ccy, "eq": "2", "eqUsd": "6"} | ({} if v is None else {"liab": v}) for ccy, v in (rows or {}).items()
    ]
    return Snapshot({"details": details, **fields}, at)


def history(over: float = 100.0, path: str = LIAB) -> History:
    return History([Want(path, over, "low"), Want(path, over, "high")])


def extremes(past: History, ccy: str, now: float, over: float = 100.0) -> tuple[Decimal, Decimal]:
    return past.extreme(LIAB, ccy, over, "low", now), past.extreme(LIAB, ccy, over, "high", now)


def test_a_window_gives_the_lowest_and_highest_and_forgets() -> None:
    past = history()
    for at, value in ((0, "5"), (10, "3"), (20, "9"), (30, "6")):
        past.add(snap(at, {"USDT": value}))

    assert extremes(past, "USDT", 30) == (3, 9)
    assert extremes(past, "USDT", 120) == (3, 9)
    assert extremes(past, "USDT", 121) == (6, 9)
    assert extremes(past, "USDT", 131) == (6, 6)


def test_a_value_counts_until_it_was_left_however_long_it_held() -> None:
    past = history()
    past.add(snap(0, {"USDT": "1"}))
    past.add(snap(5000, {"USDT": "7"}))

    assert extremes(past, "USDT", 5100) == (1, 7)
    assert extremes(past, "USDT", 5101) == (7, 7)


def test_what_has_never_had_a_value_is_missing() -> None:
    past = history()
    past.add(snap(0, {"USDT": None}))

    assert is_missing(past.extreme(LIAB, "USDT", 100.0, "low", 0))
    past.add(snap(1, {"USDT": "1"}))
    with pytest.raises(KeyError):
        past.extreme(LIAB, "USDT", 55.0, "low", 0)


@pytest.mark.parametrize("nothing", ["", "x", None])
def test_no_value_leaves_the_last_one_standing(nothing: str | None) -> None:
    past = history()
    past.add(snap(0, {"USDT": "5"}))
    past.add(snap(10, {"USDT": nothing}))
    past.add(snap(20, {"USDT": "6"}))

    assert extremes(past, "USDT", 20) == (5, 6)


def test_a_currency_that_is_listed_later_had_nothing_before() -> None:
    past = history()
    past.add(snap(0, {"USDT": "5"}))
    past.add(snap(10, {"USDT": "5", "BTC": "2"}))

    assert extremes(past, "USDT", 10) == (5, 5)
    assert extremes(past, "BTC", 10) == (0, 2)
    assert extremes(past, "BTC", 111) == (2, 2)


def test_a_currency_that_was_listed_without_a_value_is_not_new() -> None:
    past = history()
    past.add(snap(0, {"USDT": ""}))
    past.add(snap(10, {"USDT": "5"}))

    assert extremes(past, "USDT", 10) == (5, 5)


def test_an_account_without_currencies_has_a_past_too() -> None:
    past = history()
    past.add(snap(0))
    past.add(snap(10, {"BTC": "2"}))

    assert extremes(past, "BTC", 10) == (0, 2)


def test_a_currency_that_is_not_listed_any_more_has_nothing() -> None:
    past = history()
    past.add(snap(0, {"USDT": "5", "BTC": "2"}))
    for at in (10, 40, 71):
        past.add(snap(at, {"USDT": "5"}))
    assert extremes(past, "BTC", 71) == (0, 2)
    assert past.unlisted(LIAB) == {"BTC": 3}  # its last price

    past.add(snap(80, {"BTC": "4", "USDT": "5"}))
    assert extremes(past, "BTC", 80) == (0, 4)
    assert past.unlisted(LIAB) == {}
    assert history().unlisted(LIAB) == {}


def test_that_a_currency_with_nothing_is_not_listed_any_more_is_a_move_too() -> None:
    past = History([Want(LIAB, 10.0, "low")])
    past.add(snap(0, {"BTC": "0"}))
    for at in (1, 40, 70):
        past.add(snap(at))

    assert past.unlisted(LIAB) == {"BTC": 3}
    assert not past.is_still(Want(LIAB, 10.0, "low"), 80)
    assert past.is_still(Want(LIAB, 10.0, "low"), 81)


def test_a_reply_that_lacks_a_row_is_no_proof_that_a_debt_is_gone() -> None:
    past = history()
    past.add(snap(0, {"USDT": "5", "BTC": "2"}))
    for at in range(1, 59):
        past.add(snap(at, {"USDT": "5"}))
    past.add(snap(59, {"USDT": "5", "BTC": "2"}))
    past.add(snap(60, {}))
    past.add(snap(61, {"USDT": "5", "BTC": "2"}))

    assert extremes(past, "BTC", 61) == (2, 2)
    assert extremes(past, "USDT", 61) == (5, 5)
    assert past.unlisted(LIAB) == {}


def test_an_account_s_own_field_has_a_window() -> None:
    past = history(path="adjEq")
    for at, value in ((0, "5"), (10, ""), (20, "3"), (30, "3")):
        past.add(snap(at, adjEq=value))

    assert past.extreme("adjEq", "", 100.0, "high", 30) == 5
    assert past.extreme("adjEq", "", 100.0, "low", 30) == 3


moves = st.lists(
    st.tuples(
        st.floats(0.1, 40).map(lambda x: round(x, 1)),
        st.one_of(st.integers(-5, 5), st.integers(-(10**33), 10**33)),
    ),
    min_size=1,
    max_size=60,
)


@given(moves, st.sampled_from([10.0, 60.0, 1000.0]))
def test_a_window_is_exact_to_a_part_of_its_length(steps: list[tuple[float, int]], over: float) -> None:
    past, at, held = history(over), 0.0, []
    for pause, value in steps:
        at += pause
        past.add(snap(at, {"USDT": str(value)}))
        if held:
            held[-1] = (at, held[-1][1])
        held.append((at, abs(value)))
        for side, pick in zip(SIDES, (min, max), strict=True):
            got = past.extreme(LIAB, "USDT", over, side, at)
            whole = pick(v for until, v in held if until >= at - over)
            less = pick(v for until, v in held if until >= at - over * (1 - 1 / RESOLUTION))
            assert pick(got, less) == got
            assert pick(got, whole) == whole


@settings(max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("ABC"), st.sampled_from(["0", "1", "2", "3", "-1"]), max_size=3),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_what_was_journaled_gives_the_same_past(rows: list[dict[str, str]], cut: int) -> None:
    past, journal = history(), []
    again = None
    for at, listed in enumerate(rows):
        if at >= cut and journal and again is None:  # riskbot starts anew
            again = history()
            again.restore(journal)
        past.add(snap(at, listed))
        journal += past.drain()
        if again is not None:
            again.add(snap(at, listed))
    if again is None:
        again = history()
        again.restore(journal)
    for ccy in "ABC":
        known = [value for _, name, _, value in journal if name == ccy]
        if known:
            now = float(len(rows) - 1)
            assert extremes(again, ccy, now)[0] == extremes(past, ccy, now)[0]
            assert extremes(again, ccy, now)[1] == extremes(past, ccy, now)[1]


def test_the_journal_has_only_what_changed_since_it_was_last_asked() -> None:
    past = history()
    past.add(snap(0, {"USDT": "5"}))
    assert past.drain() == [(LIAB, "USDT", 0, "5")]
    past.add(snap(1, {"USDT": "5"}))
    assert past.drain() == []
    past.add(snap(2, {"USDT": "6", "BTC": "1"}))
    assert past.drain() == [(LIAB, "BTC", 1.999, "0"), (LIAB, "USDT", 2, "6"), (LIAB, "BTC", 2, "1")]
    assert past.drain() == []


def test_what_is_restored_is_not_journaled_again() -> None:
    past = history()
    past.restore([(LIAB, "USDT", 0.0, "5"), (LIAB, "USDT", 5.0, "6"), ("adjEq", "", 5.0, "6")])

    assert past.drain() == []
    assert extremes(past, "USDT", 6.0) == (5, 6)


def test_what_was_not_listed_before_a_restart_had_nothing() -> None:
    past = history()
    past.restore([(LIAB, "USDT", 0.0, "5")])
    for at in (50, 80, 111):
        past.add(snap(at, {"BTC": "3"}))

    assert extremes(past, "BTC", 111) == (0, 3)
    assert extremes(past, "USDT", 111) == (0, 5)
    assert is_missing(past.unlisted(LIAB)["USDT"])  # the price was not journaled


def test_a_rule_that_is_new_after_a_restart_invents_no_growth() -> None:
    past = History([Want(LIAB, 100.0, "low"), Want("details.eq", 100.0, "low")])
    past.restore([(LIAB, "USDT", 0.0, "5")])

    past.add(snap(50, {"USDT": "5"}))

    assert past.extreme("details.eq", "USDT", 100.0, "low", 50) == 2


def test_a_series_that_only_rises_takes_bounded_space() -> None:
    week = 7 * 86400.0
    past = history(week)
    for at in range(0, 2 * 604800, 61):
        past.add(snap(float(at), {"USDT": str(at)}))

    windows = past._series[LIAB, "USDT"].windows
    assert all(len(window.past) <= RESOLUTION + 2 for window in windows.values())
    low = past.extreme(LIAB, "USDT", week, "low", float(at))
    assert at - week <= low <= at - week * (1 - 1 / RESOLUTION)


def test_every_second_of_a_rising_series_counts_as_long_as_the_window() -> None:
    past = history(256.0)  # exact to a second
    for at in range(600):
        past.add(snap(float(at), {"USDT": str(at)}))
        assert max(0, at - 257) <= past.extreme(LIAB, "USDT", 256.0, "low", at) <= max(0, at - 255)


def test_a_currency_that_never_had_a_value_leaves_without_a_trace() -> None:
    past = history()
    past.add(snap(0, {"USDT": ""}))
    past.add(snap(1))

    assert past.drain() == []
    assert past.unlisted(LIAB) == {}


def test_columns_that_did_not_move_cost_nothing() -> None:
    past = history()
    rows = {f"C{i}": "1" for i in range(50)}
    past.add(snap(0, rows))
    quiet = snap(1, rows)
    quiet.column("ccy")
    quiet.column("liab")
    calls = 0

    def count(*_: object) -> None:  # pragma: no cover - it runs as the profiler, unseen by coverage
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    past.add(quiet)
    sys.setprofile(None)

    assert calls < 60  # not one for each row
    assert quiet._balances is None  # nobody made a row for it


def test_the_columns_of_a_snapshot_are_left_as_they_are() -> None:
    past = history()
    first = snap(0, {"USDT": "5"})
    past.add(first)
    past.restore([(LIAB, "BTC", 1.0, "5")])
    past.add(snap(2, {"USDT": "6"}))

    assert first.column("ccy") == ["USDT"]
    assert first.column("liab") == ["5"]


# ---------------------------------------------------------------- the course of a field within a window


def course(over: float = 240.0) -> History:
    return History([Want("adjEq", over, "samples")])


def values(past: History, now: float, over: float = 240.0) -> list[Decimal]:
    """The values of the samples, whose moments are told by the window."""
    found = past.samples("adjEq", "", over, now)
    assert [at for at, _ in found] == [now - over + over * i / (SAMPLES - 1) for i in range(SAMPLES)][: len(found)]
    return [round(value, 6) for _, value in found]


def test_a_course_is_given_in_equal_steps_once_all_of_the_window_is_known() -> None:
    past = course()
    for at in range(0, 1000, 5):
        past.add(snap(at, adjEq=str(at)))
        found = values(past, at)
        assert len(found) == (SAMPLES if at >= 240 else 0)
        assert all(0 <= at - 240 + 10 * i - value <= 5 for i, value in enumerate(found))  # true to a poll


def test_what_stands_still_has_a_course_too() -> None:
    past = course()
    past.add(snap(0, adjEq="5"))
    assert past.samples("adjEq", "", 240.0, 239) == []
    assert values(past, 240) == [5] * SAMPLES
    past.add(snap(240, adjEq="5"))
    past.add(snap(241, adjEq="6"))
    assert values(past, 241) == [5] * (SAMPLES - 1) + [6]
    assert values(past, 481) == [6] * SAMPLES


def test_a_jump_stays_a_jump_and_a_hole_is_a_slope() -> None:
    jump, hole = course(), course()
    for past in (jump, hole):
        past.add(snap(0, adjEq="0"))
    for at in range(1, 240):
        jump.add(snap(at, adjEq="0"))
    for past in (jump, hole):
        past.add(snap(240, adjEq="24"))

    assert values(jump, 240) == [0] * 24 + [24]
    assert values(hole, 240) == list(range(25))


def test_a_course_takes_bounded_space_and_is_true_to_a_step() -> None:
    past = course()
    for tenth in range(20_000):
        past.add(snap(tenth / 10, adjEq=str(tenth)))

    course_ = past._series["adjEq", ""].courses[240.0]
    assert len(course_.points) <= 2 * (SAMPLES + 1)
    for at, value in past.samples("adjEq", "", 240.0, 1999.9):
        assert abs(value - Decimal(at * 10)) < 1


def test_a_course_is_the_same_after_a_restart() -> None:
    past, journal = course(), []
    for at in range(400):
        past.add(snap(at, adjEq=str(at * at)))
        if at % 10 == 0:  # as often as it is written down
            journal += past.drain()
    again = course()
    again.restore(journal, 390.0)
    again.add(snap(510, adjEq="0"))

    for at, value in again.samples("adjEq", "", 240.0, 510):
        lived = at * at if at <= 390 else 390 * 390 * (1 - (at - 390) / 120)  # the hole is a slope
        assert abs(value - Decimal(lived)) <= 8000  # as far as it moves between two points of the journal
    assert len(again.samples("adjEq", "", 240.0, 510)) == SAMPLES


def test_what_stood_still_before_a_restart_stood_until_it_was_last_seen() -> None:
    past = course()
    past.restore([("adjEq", "", 0.0, "5"), ("adjEq", "", 200.0, "6")], 400.0)
    assert values(past, 240) == [5] * 20 + [6] * 5

    past.add(snap(510, adjEq="0"))
    assert values(past, 510)[:14] == [6] * 14
    assert values(past, 510)[14] < 6


def test_a_course_that_nobody_asked_for_is_not_kept() -> None:
    past = history(path="adjEq")
    past.add(snap(0, adjEq="5"))

    with pytest.raises(KeyError):
        past.samples("adjEq", "", 100.0, 5)
    assert course().samples("adjEq", "", 240.0, 5) == []


# ---------------------------------------------------------------- the course of the account


def test_the_course_has_a_point_every_five_seconds_and_fifteen_minutes_at_most() -> None:
    past = History()
    for at in range(2000):
        past.add(snap(at, adjEq=str(at), mgnRatio=""))

    course = past.course("adjEq")
    assert course[-1] == (1995, 1995)
    assert {b[0] - a[0] for a, b in pairwise(course)} == {5}
    assert len(course) == COURSE_SPAN / 5
    assert past.course("mgnRatio") == []


def test_the_pace_is_the_change_per_second_over_the_window() -> None:
    past = History()
    for at in range(0, 700, 5):
        past.add(snap(at, adjEq=str(10_000 - 2 * at)))

    assert past.pace("adjEq", 600.0, Decimal(10_000 - 2 * 695), 695.0) == -2
    assert past.pace("adjEq", 300.0, Decimal(0), 695.0) == Decimal(-(10_000 - 2 * 395)) / 300


def test_no_pace_is_told_of_less_than_a_minute() -> None:
    past = History()
    assert past.pace("adjEq", 600.0, Decimal(1), 0.0) is None
    past.add(snap(0, adjEq="5"))

    assert past.pace("adjEq", 600.0, Decimal(1), 59.0) is None
    assert past.pace("adjEq", 600.0, Decimal(5), 60.0) == 0
    assert past.pace("adjEq", 600.0, Decimal(1), 700.0) is None  # too long ago
