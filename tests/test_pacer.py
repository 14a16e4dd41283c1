"""When each account is polled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from riskbot.service.clock import Clock
from riskbot.service.pacer import Pacer, _leave_out


class Beats:
    """Stands in for a watch; counts."""

    def __init__(self, poll_every: float) -> None:
        self.poll_every = poll_every
        self.at: list[float] = []
        self.missed = 0

    def miss(self, beats: int) -> None:
        self.missed += beats

    def beat(self) -> None:
        self.at.append(asyncio.get_running_loop().time())


async def _pace(*beats: Beats, seconds: float) -> list[float]:
    late: list[float] = []
    pacer = Pacer(beats, Clock(), late.append)  # type: ignore[arg-type] # all that it asks of a watch
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await pacer.run()
    return late


async def test_polls_of_many_accounts_are_spread_over_the_interval() -> None:
    beats = [Beats(0.4) for _ in range(20)]
    late = await _pace(*beats, seconds=0.39)
    firsts = sorted(beat.at[0] for beat in beats)
    assert [len(beat.at) for beat in beats] == [1] * 20
    assert firsts[-1] - firsts[0] > 0.25
    assert len({round(at, 2) for at in firsts}) <= 12
    assert min(late) >= -0.002


async def test_each_account_keeps_its_own_interval() -> None:
    quick, slow = Beats(0.1), Beats(0.4)
    await _pace(quick, slow, seconds=0.79)
    assert len(quick.at) in (7, 8)
    assert len(slow.at) == 2


async def test_beats_that_could_not_be_kept_are_left_out_never_bunched() -> None:
    class Blocking(Beats):
        def beat(self) -> None:
            super().beat()
            if len(self.at) == 1:
                import time  # noqa: PLC0415

                time.sleep(0.5)  # the loop stands still

    beats = Blocking(0.1)
    await _pace(beats, seconds=0.85)
    assert len(beats.at) <= 5
    assert beats.missed >= 3


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("turns", range(12))
def test_each_account_counts_the_beats_that_were_left_out_of_its_slot(turn: int, turns: int) -> None:
    beats = [Beats(1.0) for _ in range(4)]
    slots: Any = [beats[:2], beats[2:3], beats[3:]]
    _leave_out(slots, turn, turns)
    skipped = [k % 3 for k in range(turn, turn + turns)]
    assert [beat.missed for beat in beats] == [skipped.count(slot) for slot in (0, 0, 1, 2)]
