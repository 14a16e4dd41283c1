"""Where time enters."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.service.clock import Clock, Step, steady, uptime
from tests.desk import Hands

HOUR = 3600.0


def test_a_clock_that_is_set_back_goes_on_slower_until_it_has_been_caught_up() -> None:
    hands = Hands()
    before = hands.clock.now()
    hands.turn(10)
    hands.wall -= HOUR
    assert hands.clock.now() == pytest.approx(before + 9)
    assert hands.clock.lead == pytest.approx(HOUR - 1)
    assert (hands.clock.steps, hands.clock.jumped) == (1, 0)
    assert hands.clock.step == Step(before + 9, -HOUR)
    hands.turn(10 * HOUR - 20)
    assert hands.clock.now() == pytest.approx(hands.wall + 1)
    hands.turn(20)
    assert hands.clock.now() == hands.wall
    assert (hands.clock.lead, hands.clock.steps) == (0, 1)


def test_a_clock_that_is_set_ahead_is_followed_at_once() -> None:
    hands = Hands()
    hands.turn(10)
    hands.wall += HOUR
    assert hands.clock.now() == hands.wall
    assert (hands.clock.steps, hands.clock.step) == (1, Step(hands.wall, HOUR))
    assert (hands.clock.lead, hands.clock.jumped) == (0, HOUR)


def test_a_clock_that_is_set_ahead_and_right_again_leaves_the_future_in_the_end() -> None:
    hands = Hands()
    hands.wall += HOUR
    hands.clock.now()
    hands.turn(600)
    ahead = hands.clock.now()
    hands.wall -= HOUR
    hands.turn(1)
    assert hands.clock.now() == pytest.approx(ahead + 0.9)
    assert hands.clock.step == Step(hands.clock.now(), -HOUR)
    assert (hands.clock.steps, hands.clock.jumped) == (2, HOUR)
    hands.turn(10 * HOUR)
    assert hands.clock.now() == hands.wall


def test_a_step_ahead_that_only_makes_up_for_one_back_is_counted_but_leaves_nothing_out() -> None:
    hands = Hands()
    hands.wall -= HOUR
    before = hands.clock.now()
    hands.turn(10)
    hands.wall += HOUR / 2
    assert hands.clock.now() == before + 9
    assert (hands.clock.steps, hands.clock.jumped) == (2, 0)
    assert hands.clock.step == Step(before + 9, HOUR / 2)
    hands.wall += HOUR
    assert hands.clock.now() == hands.wall
    assert hands.clock.jumped == pytest.approx(HOUR / 2 + 1)


def test_small_corrections_are_followed_and_not_counted() -> None:
    hands = Hands()
    for correction in (1.9, -1.9, -1.9, 0.5, -0.5) * 20:
        before = hands.clock.now()
        hands.wall += correction
        assert hands.clock.now() >= before
        hands.turn(60)
        assert hands.clock.now() == hands.wall
    assert (hands.clock.steps, hands.clock.step, hands.clock.jumped) == (0, None, 0)


def test_a_machine_that_was_suspended_has_aged_and_its_clock_was_not_set() -> None:
    hands = Hands()
    hands.turn(8 * HOUR)
    assert hands.clock.now() == hands.wall
    assert hands.clock.steps == 0
    before = uptime()
    assert before <= time.clock_gettime(time.CLOCK_BOOTTIME) <= uptime()


def test_the_clock_goes_on_from_what_was_remembered_until_it_has_been_caught_up() -> None:
    hands = Hands()
    hands.turn(5)
    hands.clock.not_before(hands.wall - 100)
    assert hands.clock.now() == hands.wall
    hands.turn(5)
    hands.clock.not_before(hands.wall + HOUR)
    assert hands.clock.now() == hands.wall + HOUR
    assert (hands.clock.lead, hands.clock.steps, hands.clock.jumped) == (HOUR, 0, 0)
    hands.turn(10 * HOUR - 10)
    assert hands.clock.now() == pytest.approx(hands.wall + 1)
    hands.turn(10)
    assert hands.clock.now() == hands.wall


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e5)), max_size=30), st.sampled_from([1.0, 30.0]))
def test_whatever_is_done_to_the_machines_clock_the_time_never_goes_back(
    course: list[tuple[float, float]], speed: float
) -> None:
    hands = Hands()
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed)
    last = clock.now()
    for set_by, passed in course:
        hands.turn(passed)
        hands.wall += set_by
        now = clock.now()
        assert now >= last
        assert clock.lead >= 0
        last = now


async def test_a_fast_clock_lets_its_seconds_pass_faster() -> None:
    hands = Hands()
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=30)
    hands.turn(2)
    assert clock.now() == 1_000_060
    hands.wall += 1.5
    assert clock.now() == 1_000_105
    assert clock.steps == 0
    hands.wall += 10
    assert clock.now() == 1_000_405
    assert clock.step == Step(1_000_405, 300)
    hands.wall -= 10
    hands.turn(1)
    assert clock.now() == 1_000_432
    before = asyncio.get_running_loop().time()
    await clock.sleep(0.3)
    assert asyncio.get_running_loop().time() - before < 0.2


async def test_a_loop_that_stumbles_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise ZeroDivisionError
        if turns == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await steady(turn, "journal", Clock(speed=1000))
    assert turns == 3
    assert "the journal stumbled: ZeroDivisionError" in caplog.messages


async def test_a_loop_ends_when_it_is_done() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1

    await steady(turn, "journal", Clock(), lambda: turns == 3)
    assert turns == 3
