"""A loop whose time does not pass by itself."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from riskbot import virtual


def test_a_night_passes_at_once_and_in_order() -> None:
    course: list[tuple[str, float]] = []

    async def tick(name: str, every: float, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(every)
            course.append((name, asyncio.get_running_loop().time()))

    async def night() -> float:
        await asyncio.gather(tick("slow", 3600.0, 8), tick("quick", 1000.0, 3))
        return asyncio.get_running_loop().time()

    before = time.monotonic()
    assert virtual.run(night()) == 8 * 3600
    assert time.monotonic() - before < 60
    assert course[:4] == [("quick", 1000.0), ("quick", 2000.0), ("quick", 3000.0), ("slow", 3600.0)]


def test_a_timeout_comes_at_its_time() -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15.5):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert virtual.run(wait()) == 15.5


def test_what_is_given_to_a_thread_takes_no_time() -> None:
    async def work() -> tuple[int, float]:
        sleeping = asyncio.create_task(asyncio.sleep(60))
        found = await asyncio.to_thread(lambda: 41 + 1)
        at = asyncio.get_running_loop().time()
        await sleeping
        return found, at

    assert virtual.run(work()) == (42, 0.0)


def test_what_a_thread_raises_is_raised() -> None:
    async def work() -> None:
        await asyncio.to_thread(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        virtual.run(work())


def test_what_another_thread_asks_for_is_done_at_the_present_moment() -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        other = threading.Thread(target=loop.call_soon_threadsafe, args=(asked.set,))
        other.start()
        other.join()
        await asyncio.gather(asked.wait(), asyncio.sleep(0))
        return loop.time()

    assert virtual.run(work()) == 0.0


def test_a_standstill_is_told_instead_of_waiting_for_ever() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual.StandstillError, match="all tasks wait"):
        virtual.run(wait())
