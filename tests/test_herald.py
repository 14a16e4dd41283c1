"""What systemd hears: ready, alive while all moves, reading the rules anew, ending, and the worst that there is."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from riskbot.redact import Redactor
from riskbot.service.herald import Herald, worst
from riskbot.service.notify_socket import LONGEST, NotifySocket
from riskbot.source import SourceError
from tests.desk import RATIO, Desk, rule
from tests.stage import KEYS, Account, Program, exchange, phone, put, until, write_rules


class Systemd:
    """The other end of the socket. heard: each datagram, as a dict."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address.replace("@", "\0"))
        self._sock.setblocking(False)
        self._heard: list[dict[str, str]] = []

    @property
    def heard(self) -> list[dict[str, str]]:
        while True:
            try:
                said = self._sock.recv(4096).decode()
            except BlockingIOError:
                return self._heard
            self._heard.append(dict(line.split("=", 1) for line in said.split("\n")))

    def all_of(self, name: str) -> list[str]:
        return [said[name] for said in self.heard if name in said]

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["a path", "a name in no folder"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Systemd]:
    with tempfile.TemporaryDirectory(prefix="sd") as folder:  # a path of a socket has 107 bytes at the most
        address = f"{folder}/notify" if request.param == "a path" else f"@riskbot-test-{os.getpid()}"
        found = Systemd(address)
        yield found
        found.close()


# The socket.


def test_all_values_are_said_at_once(systemd: Systemd) -> None:
    NotifySocket(env={"NOTIFY_SOCKET": systemd.address}).say(READY=1, STATUS="all is well")
    assert systemd.heard == [{"READY": "1", "STATUS": "all is well"}]


def test_a_value_stays_on_its_line_is_short_enough_and_holds_no_secret(systemd: Systemd) -> None:
    quiet = Redactor(["hunter2"]).redact
    NotifySocket(quiet, {"NOTIFY_SOCKET": systemd.address}).say(STATUS="a\nREADY=1\nhunter2 " + "long" * 999)
    (said,) = systemd.all_of("STATUS")
    assert said.startswith("a READY=1 *** long")
    assert len(said) == LONGEST
    assert systemd.all_of("READY") == []


def test_after_the_last_word_nothing_is_said(systemd: Systemd) -> None:
    notify = NotifySocket(env={"NOTIFY_SOCKET": systemd.address})
    notify.end()
    notify.say(WATCHDOG=1)
    assert [list(said) for said in systemd.heard] == [["STOPPING", "STATUS"]]


def test_a_systemd_that_does_not_listen_holds_up_nothing(systemd: Systemd) -> None:
    notify = NotifySocket(env={"NOTIFY_SOCKET": systemd.address})
    for _ in range(5000):  # more than its queue takes
        notify.say(WATCHDOG=1)
    assert 0 < len(systemd.heard) < 5000
    NotifySocket(env={"NOTIFY_SOCKET": "/nowhere/at/all"}).say(READY=1)
    NotifySocket(env={}).say(READY=1)


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0),
        ({"WATCHDOG_USEC": "soon"}, 0),
        ({}, 0),
    ],
)
def test_the_watchdog_is_fed_if_it_is_ours(env: dict[str, str], seconds: float) -> None:
    assert NotifySocket(env=env).watchdog == seconds


# The herald, with a clock that the test turns.


class Mouth:
    """Keeps what would be said. watchdog: as NotifySocket has it."""

    address, watchdog = "somewhere", 30.0

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def say(self, **values: object) -> None:
        self.said.append(values)


class Court:
    """A herald, and what it looks at."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.mouth = desk, Mouth()
        self.is_ready, self.reasons, self.stuck = True, list[str](), list[str]()
        vitals = SimpleNamespace(
            ready=lambda: self.is_ready, reasons=lambda _: self.reasons, stuck=lambda _: list(self.stuck)
        )
        bundle = SimpleNamespace(
            accounts=("main",), rules=(RATIO, rule("blind"), rule("margin_ratio", below={"warning": 5}, enabled=False))
        )
        service: Any = SimpleNamespace(
            clock=desk.hands.clock, vitals=vitals, bundle=bundle, judges=lambda: [desk.judge]
        )
        self.herald = Herald(service, self.mouth)  # type: ignore[arg-type] # enough here

    def tick(self) -> dict[str, Any]:
        """What is said now."""
        self.mouth.said.clear()
        self.herald.tick()
        return self.mouth.said[0] if self.mouth.said else {}


@pytest.fixture
async def court() -> Court:
    return Court(await Desk().load())


async def test_ready_is_said_once_and_the_watchdog_is_fed_at_each_look(court: Court) -> None:
    assert court.tick() == {"READY": 1, "WATCHDOG": 1, "STATUS": "all is well: 1 account, 2 rules"}
    assert court.tick() == {"WATCHDOG": 1}
    court.mouth.watchdog = 0.0
    assert court.tick() == {}


async def test_a_start_that_takes_long_is_given_more_time_unless_it_is_stuck(court: Court) -> None:
    court.is_ready = False
    assert court.tick() == {"EXTEND_TIMEOUT_USEC": 30_000_000, "WATCHDOG": 1, "STATUS": "starting"}
    court.stuck = ["the watch of main stood still for 40 s"]
    assert court.tick() == {"STATUS": "the watch of main stood still for 40 s"}


async def test_nobody_feeds_the_watchdog_while_anything_is_stuck_and_the_log_says_so_once(
    court: Court, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "riskbot")
    court.tick()
    for seconds in (31, 32, 33):
        court.stuck = court.reasons = [f"the courier of phone stood still for {seconds} s"]
        assert court.tick() == {"STATUS": f"the courier of phone stood still for {seconds} s"}
    court.stuck = court.reasons = []
    assert court.tick() == {"WATCHDOG": 1, "STATUS": "all is well: 1 account, 2 rules"}
    said = "the courier of phone stood still for 31 s; if that lasts systemd restarts riskbot"
    assert caplog.messages == [said, "all moves again"]


async def test_the_status_is_the_worst_alert_as_it_stands(court: Court) -> None:
    court.desk.market.ratio = "4"
    await court.desk.poll()
    assert court.tick()["STATUS"] == "WARNING main margin ratio 4 (400 %)"
    court.desk.market.ratio = "1.42"
    await court.desk.poll()
    assert court.tick()["STATUS"] == "CRITICAL main margin ratio 1.42 (142 %)"
    court.desk.market.error = SourceError("HTTP 502")
    court.reasons = ["main: not seen for 20 s: HTTP 502"]
    for _ in range(30):
        await court.desk.poll()
    said = court.tick()["STATUS"]
    assert said == "CRITICAL main margin ratio 1.42 (142 %) and 1 more; main: not seen for 20 s: HTTP 502"


async def test_of_two_that_are_equally_bad_the_older_is_told_and_riskbots_own_stand_for_themselves() -> None:
    one = await Desk(
        rule("margin_ratio", name="b", below={"critical": 3}),
        rule("threshold", field="adjEq", below={"critical": 60000}),
    ).load()
    one.market.extra = {"adjEq": "70000"}
    one.market.ratio = "2"
    await one.poll()
    one.market.extra = {}
    await one.poll()
    now = one.hands.clock.now()
    assert worst([one.judge], now) == "CRITICAL main margin ratio 2 (200 %) and 1 more"
    one.judge.account = "riskbot"
    assert worst([one.judge], now) == "CRITICAL margin ratio 2 (200 %) and 1 more"
    one.judge.use([], [])
    assert worst([one.judge], now) == "CRITICAL b and 1 more"


async def test_a_plugin_is_not_asked_for_its_words(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    court.desk.market.ratio = "2"
    await court.desk.poll()
    monkeypatch.setattr(type(RATIO), "PLUGIN", "mine")
    monkeypatch.setattr(type(RATIO), "say", lambda *_: 1 / 0)
    assert court.tick()["STATUS"] == "CRITICAL main margin_ratio 2"


async def test_a_reload_is_told_from_its_beginning_to_its_end_whatever_comes_of_it(court: Court) -> None:
    court.tick()
    court.mouth.said.clear()
    before = time.monotonic_ns() // 1000
    with suppress(ZeroDivisionError), court.herald.reloading():
        assert [said["RELOADING"] for said in court.mouth.said] == [1]
        raise ZeroDivisionError
    first, second = court.mouth.said
    assert before <= first["MONOTONIC_USEC"] <= time.monotonic_ns() // 1000
    assert second == {"READY": 1, "STATUS": "all is well: 1 account, 2 rules"}


async def test_a_reload_before_it_is_ready_says_nothing_of_being_ready(court: Court) -> None:
    court.is_ready = False
    court.tick()
    court.mouth.said.clear()
    with court.herald.reloading():
        pass
    assert court.mouth.said == []


async def test_without_systemd_it_ends_at_once(court: Court) -> None:
    court.mouth.address = ""
    await court.herald.run()
    assert court.mouth.said == []


# The built program.


async def test_systemd_hears_the_whole_life_of_the_program(systemd: Systemd, tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="600000")
        program.start()
        await until(lambda: systemd.all_of("READY") == ["1"])
        assert market.request_count
        await until(lambda: len(systemd.all_of("WATCHDOG")) > 3)
        await until(lambda: "all is well: 1 account, 6 rules" in systemd.all_of("STATUS"))

        story.ratio = "1.42"
        await until(lambda: systemd.all_of("STATUS")[-1] == "EMERGENCY main margin ratio 1.42 (142 %)")

        before = time.monotonic_ns() // 1000
        program.signal(signal.SIGHUP)
        await until(lambda: len(systemd.all_of("READY")) == 2)
        (said,) = [said for said in systemd.heard if "RELOADING" in said]
        assert said["RELOADING"] == "1"
        assert before <= int(said["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert systemd.all_of("STATUS")[-1] == "EMERGENCY main margin ratio 1.42 (142 %)"

        assert await program.stop() == 0
        assert systemd.heard[-1].keys() == {"STOPPING", "STATUS"}
    assert not [said for said in systemd.heard for value in said.values() for key in KEYS.values() if key in value]


HANGS = """
import signal, time
from riskbot import Reading, Rule, hookimpl

class Mine(Rule, kind="mine", worse="below"):
    def readings(self, view):
        if view.snapshot.mgn_ratio < 5:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # the leash does not reach it
            time.sleep(600)
        yield Reading(view.snapshot.mgn_ratio)

@hookimpl
def register_rules():
    return [Mine]
"""


async def test_nobody_feeds_the_watchdog_once_the_loop_hangs_and_its_bark_shows_where(tmp_path: Path) -> None:
    systemd, story = Systemd(f"@riskbot-hang-{os.getpid()}"), Account()
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    put(folder / "mine.py", HANGS)
    async with exchange(story) as market, phone() as mine:
        own = {"name": "own", "kind": "mine", "below": {"warning": 1}}
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, plugins=["plugins"], rules=[own])
        program = Program(rules, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="300000")
        program.start()
        await until(lambda: len(systemd.all_of("WATCHDOG")) > 3)

        story.ratio = "4"
        await until(lambda: market.request_count > 3)
        while await _grows(systemd):
            pass
        await asyncio.sleep(1.5)  # five times what systemd would wait
        assert not await _grows(systemd)

        program.signal(signal.SIGABRT)  # as systemd does then
        assert program.process
        assert await asyncio.to_thread(program.process.wait, 20) == -signal.SIGABRT
    systemd.close()
    assert "mine.py" in program.log.read_text().partition("Fatal Python error: Aborted")[2]


async def _grows(systemd: Systemd) -> bool:
    """Is the watchdog fed within half a second, nearly twice as long as it waits?"""
    before = len(systemd.all_of("WATCHDOG"))
    await asyncio.sleep(0.5)
    return len(systemd.all_of("WATCHDOG")) > before


NEVER_ENDS = """
from riskbot.service import courier
courier.LOOK_EVERY, courier.STILL, courier.SEND_DEADLINE = 0.1, 1.5, 600.0
"""


async def test_nobody_feeds_the_watchdog_while_a_send_does_not_end(tmp_path: Path) -> None:
    systemd, story = Systemd(f"@riskbot-send-{os.getpid()}"), Account()
    async with exchange(story) as market, phone(delay=600) as mine:
        # A receiver that keeps us waiting, and a courier that does not mind its deadline.
        rules = write_rules(tmp_path, market.url, {"phone": {"url": f"{mine.url}?rto=600&cto=600"}})
        program = Program(rules, NEVER_ENDS, NOTIFY_SOCKET=systemd.address, WATCHDOG_USEC="300000")
        program.start()
        await until(lambda: len(systemd.all_of("WATCHDOG")) > 3)
        story.ratio = "1.2"
        await until(lambda: "EMERGENCY" in systemd.all_of("STATUS")[-1])
        while await _grows(systemd):
            pass
        assert systemd.all_of("STATUS")[-1].startswith("EMERGENCY main margin ratio 1.2 (120 %)")
        assert "; the courier of phone stood still for" in systemd.all_of("STATUS")[-1]
        assert program.says("ERROR the courier of phone stood still for") >= 1
        assert await program.stop() == 0
    systemd.close()


async def test_a_rules_file_that_is_wrong_is_the_status(tmp_path: Path) -> None:
    systemd = Systemd(f"@riskbot-wrong-{os.getpid()}")
    rules = put(tmp_path / "rules.toml", "[accounts")
    program = Program(rules, NOTIFY_SOCKET=systemd.address)
    program.start()
    assert program.process
    assert await asyncio.to_thread(program.process.wait, 20) == 2
    assert systemd.heard == [{"STATUS": f"{rules}:1: not valid TOML: the section's ] is missing"}]
    systemd.close()
