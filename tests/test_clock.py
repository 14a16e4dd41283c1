"""Where time enters."""

from __future__ import annotations

import asyncio

import pytest

from riskbot.service.clock import Clock, steady
from tests.desk import Hands


def test_the_clock_goes_on_when_the_machines_clock_jumps_back() -> None:
    hands = Hands()
    before = hands.clock.now()
    hands.monotonic += 5
    hands.wall -= 3600
    assert hands.clock.now() == before + 5
    hands.turn(7)
    assert hands.clock.now() == before + 12


def test_the_clock_follows_a_jump_ahead_and_what_was_remembered() -> None:
    hands = Hands()
    hands.wall += 3600
    assert hands.clock.now() == 1_003_600
    hands.clock.not_before(1_010_000)
    assert hands.clock.now() == 1_010_000


async def test_a_fast_clock_lets_its_seconds_pass_faster() -> None:
    hands = Hands()
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=30)
    hands.turn(2)
    assert clock.now() == 1_000_060
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
    assert "the journal stumbled" in caplog.messages
