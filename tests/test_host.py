"""What riskbot stands on is told while it is lacking: the machine keeps up, the disk has room, the clock is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from riskbot.builtin.okx.exchange import Exchange
from riskbot.cli import wiring
from riskbot.cli.common import load
from riskbot.health import Problems
from riskbot.model import Severity
from riskbot.service.host import FINE, Finding, Host, Lag, busy, drifted, large, left_out, short
from riskbot.source import SourceError
from riskbot.store import Room
from riskbot.store.memory import MemoryStore
from riskbot.store.sqlite import SqliteStore
from riskbot.store.sqlite_file import size
from riskbot.store.surviving import SurvivingStore
from tests.desk import Desk
from tests.stage import Account, Program, exchange, phone, post, write_rules

OK, _, WARNING, CRITICAL, EMERGENCY = Severity
MB = 10**6


# ---------------------------------------------------------------- what is lacking


def after(*lates: float) -> float:
    lag = Lag()
    for late in lates:
        lag.note(late)
    return lag.mean


def test_a_machine_that_is_late_for_long_is_too_busy_once_is_no_matter() -> None:
    assert busy(after(*[0.01] * 600), OK) == FINE
    assert busy(after(*[0.01] * 60, 300.0), OK) == FINE
    assert busy(after(*[0.5] * 15), OK) == FINE
    assert busy(after(*[0.5] * 300), OK).severity == WARNING
    assert busy(after(*[0.5] * 300), OK).why.startswith("what is due starts 0.5 s late: ")


def test_a_busy_machine_keeps_up_again_only_when_it_is_clearly_better() -> None:
    assert busy(0.24, OK) == FINE
    assert busy(0.24, WARNING).severity == WARNING
    assert busy(0.2, WARNING) == FINE


@pytest.mark.parametrize(
    ("missed", "polls", "told"),
    [(0, 300, False), (149, 150, False), (150, 150, False), (151, 149, True), (5, 0, False)],
)
def test_polls_are_missed_if_most_of_them_are(missed: int, polls: int, *, told: bool) -> None:
    assert bool(left_out(missed, polls).severity) == told


@pytest.mark.parametrize(
    ("free", "total", "severity"),
    [
        (501, 100_000, OK),
        (499, 100_000, WARNING),
        (101, 100_000, WARNING),
        (99, 100_000, CRITICAL),
        (13, 64, OK),
        (12, 64, WARNING),
        (6, 64, CRITICAL),
    ],
)
def test_a_disk_is_short_by_bytes_or_if_it_is_small_by_its_share(free: int, total: int, severity: Severity) -> None:
    assert short(Room(1, free * MB, total * MB), OK).severity == severity


def test_a_disk_has_room_again_only_when_it_has_clearly_more() -> None:
    assert short(Room(1, 550 * MB, 10**12), WARNING).severity == WARNING
    assert short(Room(1, 601 * MB, 10**12), WARNING) == FINE
    assert short(Room(1, 110 * MB, 10**12), CRITICAL) == Finding(
        CRITICAL, "only 110 MB are left on the disk that holds the database"
    )
    assert short(Room(1, 121 * MB, 10**12), CRITICAL).severity == WARNING


def test_a_database_is_large_beyond_max_mb() -> None:
    assert large(2000 * MB, 2000, OK) == FINE
    found = large(2001 * MB, 2000, OK)
    assert found.severity == WARNING
    assert found.why.startswith("2,001 MB, and max_mb in [store] is 2000: ")
    assert large(1700 * MB, 2000, WARNING).severity == WARNING
    assert large(1600 * MB, 2000, WARNING) == FINE


def test_a_clock_that_drifts_is_told_long_before_okx_takes_no_signature() -> None:
    assert drifted({}, OK) == FINE
    assert drifted({"okx": 9.9, "eea": -10.0}, OK) == FINE
    assert drifted({"okx": 1.0, "eea": -12.0}, OK).why == (
        "the machine's clock is 12 s ahead of OKX's: have NTP set it"
    )
    assert "11 s behind OKX's" in drifted({"okx": 11.0}, OK).why
    assert drifted({"okx": 9.0}, WARNING).severity == WARNING
    assert drifted({"okx": 8.0}, WARNING) == FINE


# ---------------------------------------------------------------- looked at every second


class Disk(MemoryStore):
    """A store on a disk as the test has it."""

    def __init__(self) -> None:
        super().__init__()
        self.here = Room(1 * MB, 10**12, 10**13)
        self.asked = 0

    async def room(self) -> Room:
        self.asked += 1
        return self.here


class Place:
    """One account on a host."""

    def __init__(self) -> None:
        self.desk, self.problems, self.disk = Desk(), Problems(), Disk()
        self.offsets: dict[str, float] = {}
        self.max_mb = 100
        self.store = SurvivingStore(self.disk)  # type: ignore[arg-type] # enough here
        watches = {"main": self.desk.watch}
        self.host = Host(watches, self.store, self.problems, lambda: self.offsets, lambda: self.max_mb)

    async def live(self, seconds: int, late: float = 0.0, *, polls: int = 1, missed: int = 0) -> None:
        for _ in range(seconds):
            self.desk.watch.polls += polls
            self.desk.watch.missed += missed
            await self.host.look(self.desk.hands.clock.now(), late)
            self.desk.hands.turn(1)

    def told(self) -> dict[str, Severity]:
        readings = self.problems.measured(self.desk.hands.clock.now()).readings
        return {r.ccy: Severity(int(r.value)) for r in readings if r.value}


async def test_while_nothing_is_lacking_nothing_is_told() -> None:
    here = Place()
    await here.live(700)
    assert here.told() == {}
    readings = here.problems.measured(here.desk.hands.clock.now()).readings
    assert {r.ccy for r in readings} == {"the machine", "the disk", "the database", "the time", "polls of main"}
    assert here.disk.asked == 12


async def test_a_busy_machine_is_told_and_its_end_too() -> None:
    here = Place()
    await here.live(100, 0.6)
    assert here.told() == {"the machine": WARNING}
    await here.live(100)
    assert here.told() == {}


async def test_polls_that_are_left_out_are_told_after_five_minutes() -> None:
    here = Place()
    await here.live(10)
    await here.live(290, polls=0, missed=1)
    assert here.told() == {}
    await here.live(1)
    assert here.told() == {"polls of main": WARNING}
    problem = here.problems.of("polls of main")
    assert problem is not None
    assert problem.why.startswith("290 of the last 300: ")
    await here.live(300)
    assert here.told() == {}


async def test_polls_of_an_account_that_is_not_seen_are_none_of_that() -> None:
    here = Place()
    here.desk.watch.sight.failed(SourceError("no answer within 5 s"))
    await here.live(302, polls=0, missed=1)
    assert here.told() == {}


async def test_polls_that_were_left_out_as_riskbot_stood_still_have_no_cause_of_their_own() -> None:
    here = Place()
    await here.live(50)
    await here.live(1, 200.0, polls=0)
    await here.live(1, missed=200)  # the pacer came to it after the self-watch
    await here.live(400)
    assert here.told() == {}
    await here.live(400, polls=0, missed=1)
    assert here.told() == {"polls of main": WARNING}


async def test_a_disk_that_fills_is_told_worse_and_better() -> None:
    here = Place()
    here.disk.here = Room(1 * MB, 400 * MB, 10**12)
    await here.live(61)
    assert here.told() == {"the disk": WARNING}
    here.disk.here = Room(1 * MB, 50 * MB, 10**12)
    await here.live(61)
    assert here.told() == {"the disk": CRITICAL}
    here.disk.here = Room(1 * MB, 400 * MB, 10**12)
    await here.live(61)
    assert here.told() == {"the disk": WARNING}
    here.disk.here = Room(1 * MB, 900 * MB, 10**12)
    await here.live(61)
    assert here.told() == {}


async def test_a_database_that_grows_is_told_and_another_limit_counts_at_once() -> None:
    here = Place()
    here.disk.here = Room(101 * MB, 10**12, 10**13)
    await here.live(61)
    assert here.told() == {"the database": WARNING}
    here.max_mb = 1000
    await here.live(61)
    assert here.told() == {}


async def test_the_room_of_a_store_that_fails_is_not_asked_for() -> None:
    here = Place()
    here.store.failing = "the disk is full"
    await here.live(61)
    assert here.disk.asked == 0
    assert await here.store.room() is None


async def test_a_clock_that_is_wrong_is_told() -> None:
    here = Place()
    here.offsets["https://www.okx.com"] = 20.0
    await here.live(1)
    assert here.told() == {"the time": WARNING}


async def test_the_clock_of_a_server_that_is_not_asked_any_more_is_forgotten(tmp_path: Path) -> None:
    okx = Exchange(lambda: 0.0)
    okx.offsets |= {"http://127.0.0.1:1": 20.0, "http://127.0.0.1:2": -1.0}
    for url in okx.offsets:
        path = write_rules(tmp_path, f"{url}/", {"phone": {"url": "json://127.0.0.1"}})
        assert wiring.bundle(load(path), okx).offsets() == {url: okx.offsets[url]}


# ---------------------------------------------------------------- of a real disk


async def test_a_database_knows_its_size_and_the_room_on_its_disk(tmp_path: Path) -> None:
    path = tmp_path / "riskbot.db"
    store = await SqliteStore.open(path)
    try:
        await store.commit("main", 0, "a", b"x" * 100_000)
        room = await store.room()
        assert room.used == size(path) == path.stat().st_size + path.with_name("riskbot.db-wal").stat().st_size
        assert room.used > 100_000
        assert 0 < room.free < room.total
        path.rename(tmp_path / "gone.db")
        assert await SurvivingStore(store).room() is None
    finally:
        await store.close()


async def test_the_program_tells_that_this_machine_s_time_is_wrong(tmp_path: Path) -> None:
    async with exchange(Account()) as market, phone() as receiver:
        await post(f"{market.url}/simulator/faults", "skew=20s")
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": receiver.url}}))
        program.start()
        told = await receiver.waits_for("the time of this machine is wrong")
        assert told.title == "WARNING · riskbot · the time of this machine is wrong"
        assert "the machine's clock is 20 s behind OKX's: have NTP set it" in told.body
        await program.stop()
