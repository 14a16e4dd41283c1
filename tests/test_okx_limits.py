"""Never more than 10 requests of one user in any 2 s, as the server counts them.

Most tests live twenty times faster: the simulator's clock and the limiters' window agree on that.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from pydantic import SecretStr

from riskbot.builtin.okx.exchange import BALANCE, CONFIG, LIMITS, TIME, WINDOW, Exchange, Limiter
from riskbot.builtin.okx.source import Credentials, OkxSource
from riskbot.simulator import SimAccount, Simulator
from riskbot.source import SourceError

SPEED = 20
START = 1_700_000_000.0


def fast() -> float:
    return START + time.monotonic() * SPEED


@pytest.fixture
def fast_window(monkeypatch: pytest.MonkeyPatch) -> float:
    window = WINDOW / SPEED
    monkeypatch.setattr("riskbot.builtin.okx.exchange.WINDOW", window)
    return window


def account(key: str, uid: str) -> SimAccount:
    return SimAccount(key, "secret", "phrase", uid=uid, play=lambda _: {"totalEq": "1", "details": []})


@asynccontextmanager
async def world(
    uids: Iterable[str], clock: Callable[[], float] = fast, deadline: float = 5.0
) -> AsyncIterator[tuple[Simulator, list[OkxSource]]]:
    """A simulator and one source for each key; a uid that comes twice has two keys."""
    accounts = [account(f"key-{i}", uid) for i, uid in enumerate(uids)]
    async with Simulator(accounts, clock=clock) as okx:
        exchange = Exchange(clock, deadline)
        keys = [Credentials(SecretStr(a.api_key), SecretStr("secret"), SecretStr("phrase")) for a in accounts]
        try:
            yield okx, [OkxSource(exchange, okx.url, key) for key in keys]
        finally:
            await exchange.close()


async def all_fetch(sources: Iterable[OkxSource]) -> int:
    """How many succeeded."""
    results = await asyncio.gather(*(source.fetch() for source in sources), return_exceptions=True)
    assert not [r for r in results if isinstance(r, BaseException) and not isinstance(r, SourceError)]
    return sum(not isinstance(result, BaseException) for result in results)


# ---------------------------------------------------------------- over real HTTP


async def test_in_real_time_one_poll_more_than_the_limit_waits_and_they_are_never_more_than_10_in_2_s() -> None:
    async with world(["77"], time.time) as (okx, [source]):  # noqa: TID251 - the window that OKX counts
        await source.info()
        begun = time.monotonic()
        assert await all_fetch([source] * (LIMITS[BALANCE][0] + 1)) == LIMITS[BALANCE][0] + 1
        assert time.monotonic() - begun >= WINDOW
        assert okx.busiest_window("77") == LIMITS[BALANCE][0] <= 10


@pytest.mark.usefixtures("fast_window")
@pytest.mark.parametrize("known", [True, False])
async def test_40_polls_at_once_are_never_more_than_10_in_2_s(known: bool) -> None:
    async with world(["77"]) as (okx, [source]):
        if known:
            await source.info()
        assert await all_fetch([source] * 40) == 40
        assert okx.busiest_window("77") <= 10
        assert {request.code for request in okx.requests} == {"0"}


@pytest.mark.usefixtures("fast_window")
@pytest.mark.parametrize("known", [[True, True], [False, False], [True, False]])
async def test_two_keys_of_one_user_share_its_limit(known: list[bool]) -> None:
    async with world(["77", "77"]) as (okx, sources):
        for source, is_known in zip(sources, known, strict=True):
            if is_known:
                await source.info()
        assert await all_fetch(sources * 15) == 30
        assert okx.busiest_window("77") <= 10


@pytest.mark.usefixtures("fast_window")
async def test_learning_who_it_is_in_the_midst_of_polling_does_not_double_the_limit() -> None:
    async with world(["77", "77", "77"]) as (okx, sources):
        polls = asyncio.create_task(all_fetch(sources * 8))
        for source in sources:
            await asyncio.sleep(0.06)
            await source.info()
            assert await all_fetch([source] * 9) == 9
        assert await polls == 24
        assert okx.busiest_window("77") <= 10


@pytest.mark.usefixtures("fast_window")
async def test_a_user_is_one_at_whichever_host() -> None:
    async with world(["77"]) as (okx, [source]):
        key = Credentials(SecretStr("key-0"), SecretStr("secret"), SecretStr("phrase"))
        other_way = OkxSource(source._exchange, okx.url.replace("127.0.0.1", "localhost"), key)
        await source.info()
        await other_way.info()
        assert await all_fetch([source, other_way] * 8) == 16
        assert okx.busiest_window("77") <= LIMITS[BALANCE][0]


def test_known_and_unknown_users_together_are_within_okxs_limit() -> None:
    assert {path: sum(shares) for path, shares in LIMITS.items()} == {BALANCE: 10, CONFIG: 5}


@pytest.mark.usefixtures("fast_window")
async def test_what_aiohttp_sends_again_by_itself_is_counted_too() -> None:
    async with world(["77"]) as (okx, [source]):
        await source.info()
        await all_fetch([source] * 7)  # connections to break
        okx.inject("reset chance=0.4")
        good = await all_fetch([source] * 40)
        assert good > 0
        assert sum(request.path == BALANCE for request in okx.requests) > 47  # some were sent again
        assert okx.busiest_window("77") <= LIMITS[BALANCE][0] <= 10
        assert not {request.code for request in okx.requests} - {"0", ""}  # each with a signature and time of its own


@pytest.mark.parametrize("fault", ["code=50011", "code=50011/200", "code=50040", "code=50061", "html=429"])
async def test_after_too_many_the_user_is_left_alone_for_2_s(fast_window: float, fault: str) -> None:
    async with world(["77", "77", "78"]) as (okx, [one, same, other]):
        for source in (one, same, other):
            await source.info()
        okx.inject(f"{fault} times=1")
        with pytest.raises(SourceError):
            await one.fetch()
        begun = time.monotonic()
        waiting, free = asyncio.create_task(same.fetch()), asyncio.create_task(other.fetch())
        await free
        assert not waiting.done()
        await waiting
        assert time.monotonic() - begun >= fast_window * 0.95


@pytest.mark.usefixtures("fast_window")
async def test_busy_is_not_too_many() -> None:
    async with world(["77"]) as (okx, [source]):
        okx.inject("code=50013 times=1")
        with pytest.raises(SourceError):
            await source.fetch()
        assert source._limiters[BALANCE]._resume == 0.0


@pytest.mark.usefixtures("fast_window")
async def test_after_polls_that_were_cancelled_or_timed_out_the_limit_still_holds() -> None:
    async with world(["77"], deadline=0.2) as (okx, [source]):
        await source.info()
        okx.inject("latency=0.08s")
        for _ in range(5):
            tasks = [asyncio.create_task(source.fetch()) for _ in range(12)]
            await asyncio.sleep(0.07)
            for task in tasks[::2]:
                task.cancel()
            with suppress(SourceError):
                await tasks[1]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert okx.busiest_window("77") <= 10
        okx.clear_faults()
        await asyncio.sleep(0.3)
        assert await all_fetch([source] * 7) == 7  # no slot is lost


async def test_different_users_do_not_wait_for_each_other() -> None:
    async with world([str(i) for i in range(12)], time.time, 1.5) as (_, sources):  # noqa: TID251 - the real window
        await asyncio.gather(*(source.info() for source in sources))
        assert await all_fetch(sources * 5) == 60  # none waited until its deadline


async def test_many_first_infos_do_not_wait_and_the_time_is_asked_once() -> None:
    async with world([str(i) for i in range(200)], time.time) as (okx, sources):  # noqa: TID251 - the real window
        await asyncio.gather(*(source.info() for source in sources))  # none waited until its deadline
        paths = [request.path for request in okx.requests]
        assert (paths.count(TIME), paths.count(CONFIG)) == (1, 200)


async def test_many_first_infos_do_not_wait_in_line_for_a_time_that_never_comes() -> None:
    async with world([str(i) for i in range(50)], time.time, 0.3) as (okx, sources):  # noqa: TID251 - the real window
        okx.inject("hang on=time")
        begun = time.monotonic()
        await asyncio.gather(*(source.info() for source in sources))
        assert time.monotonic() - begun < 1.0
        assert [request.path for request in okx.requests].count(TIME) == 1


@pytest.mark.usefixtures("fast_window")
async def test_too_many_infos_wait_too() -> None:
    async with world(["77"]) as (okx, [source]):
        await asyncio.gather(*(source.info() for _ in range(12)))
        assert {request.code for request in okx.requests} == {"0"}


# ---------------------------------------------------------------- the limiter alone


async def test_whatever_the_latency_the_server_counts_no_more_than_n() -> None:
    n, window, dice = 4, 0.08, random.Random(5)
    limiter, arrivals = Limiter(n, window), []

    async def request() -> None:
        async with limiter:
            await asyncio.sleep(dice.random() * window)
            arrivals.append(time.monotonic())
            await asyncio.sleep(dice.random() * window / 2)

    tasks = [asyncio.create_task(request()) for _ in range(40)]
    for task in tasks[::5]:
        asyncio.get_running_loop().call_later(dice.random() / 2, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(arrivals) >= 32
    assert all(later - first >= window for first, later in zip(arrivals, arrivals[n:], strict=False))


async def test_those_who_wait_are_served_in_order() -> None:
    limiter, served = Limiter(2, 0.01), []

    async def request(i: int) -> None:
        async with limiter:
            served.append(i)

    await asyncio.gather(*(request(i) for i in range(12)))
    assert served == list(range(12))


async def test_a_cancelled_wait_takes_no_slot_and_gives_none_back() -> None:
    limiter = Limiter(1, 0.05)
    async with limiter:
        waiting = [asyncio.create_task(enter(limiter)) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:4]:
            task.cancel()
        await asyncio.sleep(0.02)
        assert not waiting[4].done()
    begun = time.monotonic()
    await waiting[4]
    assert time.monotonic() - begun >= 0.045
    assert limiter._slots._value == 0
    await asyncio.sleep(0.06)
    assert limiter._slots._value == 1


async def test_a_wait_cancelled_in_the_pause_gives_its_slot_back_at_once() -> None:
    limiter = Limiter(1, 5.0)
    limiter.pause()
    task = asyncio.create_task(enter(limiter))
    await asyncio.sleep(0.02)
    assert not task.done()
    assert limiter._slots._value == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert limiter._slots._value == 1


async def test_a_pause_may_be_put_off_while_one_waits() -> None:
    limiter = Limiter(1, 0.08)
    limiter.pause()
    task = asyncio.create_task(enter(limiter))
    await asyncio.sleep(0.04)
    again = time.monotonic()
    limiter.pause()
    await task
    assert time.monotonic() - again >= 0.075


async def test_a_request_that_fails_or_is_cancelled_keeps_its_slot_for_the_window() -> None:
    limiter = Limiter(1, 0.05)
    with pytest.raises(ZeroDivisionError):
        async with limiter:
            1 / 0  # noqa: B018 - any failure
    begun = time.monotonic()
    task = asyncio.create_task(enter(limiter, 9.0))
    await asyncio.sleep(0.07)
    task.cancel()
    cancelled = time.monotonic()
    await enter(limiter)
    assert cancelled - begun >= 0.05
    assert time.monotonic() - cancelled >= 0.045


async def enter(limiter: Limiter, seconds: float = 0.0) -> Any:
    async with limiter:
        await asyncio.sleep(seconds)
