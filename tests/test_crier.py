"""At a start that is news, and once a day, riskbot says unasked how it is: once, whatever kills it in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from riskbot.cli import wiring
from riskbot.delivery import Receiver
from riskbot.model import Severity
from riskbot.service import Bundle, Service
from riskbot.service.bulletins import Daily
from riskbot.service.clock import Clock
from riskbot.service.crier import Crier
from riskbot.settings import DailySettings, ReceiverSettings
from riskbot.source import SourceError
from riskbot.store import State
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, DEBT, RATIO, Hands, Market
from tests.stage import Account, Program, exchange, phone, put, until, write_rules

UTC = ZoneInfo("UTC")
DAILY = Daily(time(14), UTC, ("phone",))
"""The hands of the clock stand at 13:46:40 at first."""


class Named:
    """An account as the service needs it."""

    name, poll_every = "main", 1.0

    def __repr__(self) -> str:
        return "main"


class Square:
    """A riskbot that lives by the second, may be killed, and starts again with what the store remembers."""

    def __init__(self, **changes: Any) -> None:
        self.hands, self.memory, self.market = Hands(), MemoryStore(), Market()
        receivers = (Receiver("phone"),)
        nobody: Any = None  # is hired here
        self.bundle = Bundle(
            (Named(),), (RATIO, BLIND), receivers, {}, lambda _: self.market, nobody, greeted=("phone",)
        )
        self.bundle = replace(self.bundle, **changes)

    async def begin(self) -> Square:
        self.store = SurvivingStore(self.memory)  # type: ignore[arg-type] # enough here
        self.service = Service(self.bundle, self.store, self.hands.clock)
        self.crier = Crier(self.service, self.store)
        await self.service._open(Named())
        sight = self.service.watches["main"].sight
        self.service.seen_before = sight.seen if sight.ever_seen else 0.0
        await self.crier.load()
        return self

    async def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.hands.turn(1)
            await self.service.watches["main"].poll()
            self.service._self_watch.pulse.beat()
            await self.crier.look()

    async def stop(self) -> None:
        await self.service._journal.write()

    async def told(self) -> list[tuple[str, str]]:
        """Kind and title of each bulletin, oldest first."""
        rows = await self.memory.outbox(("queued", "superseded"))
        return [(m.alert.split("/")[1], m.title) for _, m in reversed(rows) if m.account == "riskbot"]

    async def body(self) -> str:
        return (await self.memory.outbox(("queued",)))[0][1].body


# ---------------------------------------------------------------- a start


FIRST = ("start", "WATCHING · riskbot · 1 account, 2 rules")


async def test_a_first_start_names_what_is_watched() -> None:
    here = await Square().begin()
    await here.live(3)
    assert await here.told() == [FIRST]
    assert await here.body() == "nothing is open\nmain: margin_ratio, blind\ntold: phone (from info)"


@pytest.mark.parametrize(
    "change",
    [
        {"rules": (RATIO, BLIND, DEBT)},
        {"rules": (RATIO.model_copy(update={"for_": 5.0}), BLIND)},
        {"receivers": (Receiver("phone", Severity.CRITICAL),)},
    ],
)
async def test_another_start_says_nothing_unless_what_is_watched_has_changed(change: dict[str, Any]) -> None:
    here = await Square().begin()
    await here.live(3)
    await here.stop()
    await here.begin()
    await here.live(3)
    assert await here.told() == [FIRST]
    await here.stop()
    here.bundle = replace(here.bundle, **change)
    await here.begin()
    await here.live(3)
    assert [kind for kind, _ in await here.told()] == ["start", "start"]


async def test_a_file_that_is_taken_up_while_riskbot_runs_is_no_news_at_the_next_start() -> None:
    here = await Square().begin()
    await here.live(3)
    here.service.bundle = here.bundle = replace(here.bundle, receivers=(Receiver("phone"), Receiver("mail")))
    await here.live(1)
    await here.stop()
    await here.begin()
    await here.live(3)
    assert await here.told() == [FIRST]


async def test_a_start_after_a_blind_gap_says_how_long_and_what_is_open_once() -> None:
    here = await Square().begin()
    here.market.ratio = "4"
    await here.live(3)
    await here.stop()
    here.hands.turn(251)
    await here.begin()
    await here.live(1)
    assert (await here.told())[1:] == [("start", "BACK · riskbot · after 4 min 12 s blind")]
    assert await here.body() == "WARNING main · margin ratio 4 (400 %), for 4 min 14 s"
    await here.begin()  # killed, before it was written down that the account was seen
    await here.live(3)
    assert len(await here.told()) == 2


async def test_a_short_gap_is_no_news() -> None:
    here = await Square().begin()
    await here.live(3)
    await here.stop()
    here.hands.turn(170)
    await here.begin()
    await here.live(3)
    assert await here.told() == [FIRST]


async def test_an_account_that_can_not_be_asked_is_told_after_a_minute() -> None:
    here = await Square().begin()
    for _ in range(59):
        here.hands.turn(1)
        await here.crier.look()
    assert await here.told() == []
    here.hands.turn(1)
    await here.crier.look()
    assert await here.told() == [FIRST]
    assert (await here.body()).startswith("not well: main: never seen\n")


async def test_its_courier_is_woken() -> None:
    here = await Square().begin()
    woken: list[str] = []
    here.service.wake = woken.append  # type: ignore[method-assign]
    await here.live(1)
    assert woken == ["phone"]


async def test_who_wants_to_hear_of_no_start_does_not() -> None:
    here = await Square(greeted=()).begin()
    await here.live(3)
    assert await here.told() == []


# ---------------------------------------------------------------- once a day


async def test_once_a_day_it_is_said_how_all_is() -> None:
    here = await Square(greeted=(), daily=DAILY).begin()
    here.service.almanac.on = True
    await here.live(5)
    here.market.ratio = "6"
    await here.live(5)
    here.market.ratio = "12"
    await here.live(789)
    assert await here.told() == []
    await here.live(1)
    assert await here.told() == [("daily", "ALL WELL · riskbot · 1 account, 2 rules")]
    assert "nearest: main: margin ratio 6 (600 %), 20 % from warning, at 13:46:46 UTC" in await here.body()
    await here.live(4000)
    assert len(await here.told()) == 1
    here.hands.turn(86400 - 4000)
    await here.live(1)
    assert len(await here.told()) == 2
    assert "nearest: main: margin ratio 12 (1,200 %), 140 % from warning" in await here.body()


@pytest.mark.parametrize("saved", [True, False])
async def test_over_a_kill_it_is_said_once_and_the_day_before_is_not_forgotten(*, saved: bool) -> None:
    here = await Square(greeted=(), daily=DAILY).begin()
    here.service.almanac.on = True
    await here.live(2)
    here.market.ratio = "6"
    await here.live(700 if saved else 3)
    here.market.ratio = "12"
    await here.begin()
    here.service.almanac.on = True
    await here.live(98 if saved else 795)
    assert len(await here.told()) == 1
    assert ("margin ratio 6 (" in await here.body()) == saved
    await here.begin()
    await here.live(100)
    assert len(await here.told()) == 1


async def test_a_day_is_not_told_of_before_the_first_polls_are_over() -> None:
    here = Square(greeted=(), daily=DAILY)
    here.hands.turn(800)
    await here.begin()
    await here.crier.look()
    assert await here.told() == []
    await here.live(1)
    assert len(await here.told()) == 1


async def test_what_is_watched_no_more_is_forgotten_with_the_day() -> None:
    here = await Square(daily=DAILY).begin()
    here.service.almanac.on = True
    await here.live(5)
    await here.service.watches["main"].use((BLIND,), here.bundle.receivers, here.store)
    here.hands.turn(800)
    await here.live(1)
    assert b"margin_ratio" not in ((await here.memory.load("@daily")).value or b"")


async def test_a_day_that_nobody_was_there_to_tell_of_is_left_out_after_an_hour() -> None:
    here = await Square(greeted=(), daily=DAILY).begin()
    here.hands.turn(800 + 3600)
    await here.live(5)
    assert await here.told() == []
    late = await Square(greeted=(), daily=DAILY).begin()
    late.hands.turn(800 + 3500)
    await late.live(5)
    assert len(await late.told()) == 1


async def test_a_value_that_has_not_moved_since_yesterday_is_of_today_too_but_not_of_an_account_unseen() -> None:
    here = await Square(greeted=(), daily=DAILY).begin()
    here.market.ratio = "6"
    await here.live(1)  # before note was taken
    here.service.almanac.on = True
    here.market.error = SourceError("down")
    await here.live(800)
    assert "nearest" not in await here.body()
    here.market.error = None
    here.hands.turn(86400)
    await here.live(2)
    assert "nearest: main: margin ratio 6 (600 %)" in await here.body()


async def test_what_is_remembered_but_can_not_be_read_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    here = Square(greeted=(), daily=DAILY)
    here.memory.states["@daily"] = State(b"no json", 1, "x")
    await here.begin()
    here.hands.turn(800)
    await here.live(1)
    assert len(await here.told()) == 1
    assert "@daily can't be read; beginning anew" in caplog.text


async def test_if_somebody_else_has_written_it_theirs_counts() -> None:
    here, there = Square(greeted=(), daily=DAILY), Square(greeted=(), daily=DAILY)
    there.memory = here.memory
    await here.begin()
    await there.begin()
    for riskbot in (there, here):
        riskbot.hands.turn(800)
        for _ in range(3):
            await riskbot.crier.look()
            riskbot.hands.turn(1)
    assert len(await here.told()) == 1


@pytest.mark.parametrize("fenced", [False, True])
async def test_the_loop_loads_looks_and_saves_at_the_end(*, fenced: bool) -> None:
    here = await Square(daily=DAILY).begin()
    running = asyncio.create_task(here.crier.run())
    await here.service.watches["main"].poll()
    woken = asyncio.Event()
    here.service.wake = lambda _: woken.set()  # type: ignore[method-assign]
    await asyncio.wait_for(woken.wait(), 20)
    here.service.almanac.note("main", RATIO, here.service.watches["main"].judge.measured["margin_ratio"], 1.0)
    if fenced:
        await here.memory.commit("@daily", (await here.memory.load("@daily")).rev, "theirs", b"{}")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (b'"nearest":{"main"' in ((await here.memory.load("@daily")).value or b"")) != fenced


# ---------------------------------------------------------------- who hears of it


def receivers(*severities: str) -> dict[str, ReceiverSettings]:
    return {s: ReceiverSettings.model_validate({"url": "json://x", "min_severity": s}) for s in severities}


@pytest.mark.parametrize(("chosen", "told"), [(None, ("warning",)), ([], ()), (["critical"], ("critical",))])
def test_those_hear_of_it_that_are_told_of_the_mildest_or_that_are_named(
    chosen: Sequence[str] | None, told: tuple[str, ...]
) -> None:
    settings = DailySettings.model_validate({"at": "8:00", "receivers": chosen, "timezone": "Europe/Berlin"})
    found = wiring.daily(settings, receivers("critical", "warning"))
    assert found == Daily(time(8), ZoneInfo("Europe/Berlin"), told)
    assert wiring.daily(None, receivers("info")) is None


# ---------------------------------------------------------------- the built program


async def test_the_program_says_what_it_watches_and_once_how_all_is(tmp_path: Path) -> None:
    async with exchange(Account(ratio="12")) as market, phone() as receiver:
        at = twenty_minutes_ago()
        more: dict[str, Any] = {"start": {}, "daily": {"at": at, "timezone": "UTC"}}
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": receiver.url}}, **more))
        program.start()
        told = await receiver.waits_for("WATCHING · riskbot")
        assert "main: margin ratio, forced repayment, conversion, debt grows" in told.body
        told = await receiver.waits_for("ALL WELL · riskbot · 1 account, 6 rules")
        assert "nearest: main: margin ratio 12 (1,200 %), 20 % from info" in told.body
        await until(lambda: program.says("told phone: ALL WELL"))
        program.kill()
        put(program.rules, program.rules.read_text().replace("margin ratio", "the ratio"))
        program.start()
        await receiver.waits_for("main: the ratio, forced repayment")
        assert len(receiver.all_of("ALL WELL")) == 1
        assert len(receiver.all_of("WATCHING")) == 2
        await program.stop()


def twenty_minutes_ago() -> str:
    return datetime.fromtimestamp(Clock().now() - 1200, UTC).strftime("%H:%M")
