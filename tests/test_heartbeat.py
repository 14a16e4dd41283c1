"""The dead man's switch: pings go out only while riskbot can be relied on, and say why when it can't."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr, ValidationError
from yarl import URL

from riskbot.health import HEARTBEAT, Problems
from riskbot.model import Severity
from riskbot.service import heartbeat
from riskbot.service.heartbeat import Heartbeat, ping
from riskbot.settings import HeartbeatSettings
from tests.desk import Hands
from tests.stage import Account, Program, exchange, phone, post, until, write_rules

BLIND = ["main: not seen for 16 s: no answer", "the store is failing: the disk is full"]


@pytest.mark.parametrize(
    ("url", "well", "unwell"),
    [
        ("https://hc-ping.com/uuid", "https://hc-ping.com/uuid", "https://hc-ping.com/uuid/fail"),
        ("https://hc-ping.com/key/slug?create=1",) * 2 + ("https://hc-ping.com/key/slug/fail?create=1",),
        ("https://hc.example/ping/uuid/", "https://hc.example/ping/uuid/", "https://hc.example/ping/uuid/fail"),
    ],
)
def test_healthchecks_is_pinged_and_told_the_reasons(url: str, well: str, unwell: str) -> None:
    assert ping(URL(url), []) == ("GET", URL(well), "")
    assert ping(URL(url), BLIND) == ("POST", URL(unwell), "\n".join(BLIND))


def test_uptime_kuma_hears_status_and_reasons_in_the_query() -> None:
    url = URL("https://kuma.example/api/push/TOKEN?status=up&msg=OK&ping=")
    method, where, body = ping(url, [])
    assert (method, where.query.get("status"), where.query.get("msg"), body) == ("GET", "up", "OK", "")
    method, where, body = ping(url, BLIND)
    assert (method, where.path, body) == ("GET", "/api/push/TOKEN", "")
    assert dict(where.query) == {"status": "down", "msg": "; ".join(BLIND), "ping": ""}


def test_very_many_reasons_are_cut_off() -> None:
    assert len(ping(URL("https://hc-ping.com/uuid"), BLIND * 1000)[2]) == 10_000
    assert len(ping(URL("https://kuma.example/api/push/TOKEN"), BLIND * 1000)[1].query["msg"]) == 500


@pytest.mark.parametrize(
    "url",
    ["https://hc-ping.com/uuid", "http://127.0.0.1:8000/ping/x", "http://[::1]:1/x", "https://u:p@kuma.example/x"],
)
def test_an_url_that_is_safe_is_taken(url: str) -> None:
    assert HeartbeatSettings.model_validate({"url": url}).url.get_secret_value() == url


@pytest.mark.parametrize(
    "url",
    [
        "hc-ping.com/x",
        "ftp://hc-ping.com/x",
        "https://",
        "https:///x",
        "https://hc-ping.com/a b",
        "https://[x/y",
        "https://hc-ping.com:99999/x",
        "https://hc-ping.com:0/x",
        "https://hc-ping.com/ü",
        "http://192.168.1.2/x",
    ],
)
def test_any_other_is_not(url: str) -> None:
    with pytest.raises(ValidationError, match=r"write https://"):
        HeartbeatSettings.model_validate({"url": url})


def test_the_url_is_not_shown() -> None:
    settings = HeartbeatSettings(url=SecretStr("https://hc-ping.com/planted-uuid"))
    assert "planted" not in f"{settings!r} {settings} {settings.model_dump()}"
    with pytest.raises(ValidationError) as caught:
        HeartbeatSettings.model_validate({"url": "http://hc-ping.com/planted-uuid"})
    assert "planted" not in str(caught.value)


# ---------------------------------------------------------------- when


@dataclass
class Patient:
    """Stands for the vitals."""

    why: list[str] = field(default_factory=list)
    is_ready: bool = True

    def reasons(self, _: float) -> list[str]:
        return self.why

    def ready(self) -> bool:
        return self.is_ready


@dataclass
class Ear:
    """The outside service: what came, as `GET /ping` or `POST /ping/fail: the reasons`."""

    url: str = ""
    heard: list[str] = field(default_factory=list)
    status: int = 200
    answer: str = "OK"
    hang: bool = False

    async def hear(self, request: web.Request) -> web.Response:
        body = (await request.text()).replace("\n", "; ")
        self.heard.append(f"{request.method} {request.path_qs}" + (f": {body}" if body else ""))
        if self.hang:
            await asyncio.Event().wait()
        return web.Response(status=self.status, text=self.answer, headers={"Location": self.url + "/elsewhere"})


@asynccontextmanager
async def ear() -> AsyncIterator[Ear]:
    found = Ear()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", found.hear)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ping"
    try:
        yield found
    finally:
        await runner.cleanup()


class Bed:
    """A heartbeat on its own."""

    def __init__(self, url: str) -> None:
        self.hands, self.problems, self.patient = Hands(), Problems(), Patient()
        self.settings: HeartbeatSettings | None = HeartbeatSettings(url=SecretStr(url))
        vitals: Any = self.patient
        self.heart = Heartbeat(lambda: self.settings, vitals, self.hands.clock, self.problems)

    async def live(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.heart.look()
            self.hands.turn(1)

    def severity(self) -> Severity:
        readings = self.problems.measured(self.hands.clock.now()).readings
        return Severity(int(next((r.value for r in readings if r.ccy == HEARTBEAT), 0)))


async def test_it_pings_at_once_and_every_minute() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        await bed.live(1)
        assert outside.heard == ["GET /ping"]
        await bed.live(59)
        assert len(outside.heard) == 1
        await bed.live(121)
        assert outside.heard == ["GET /ping"] * 4


async def test_it_says_at_once_that_riskbot_can_not_be_relied_on_and_that_it_can_again() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        await bed.live(10)
        bed.patient.why = BLIND
        await bed.live(1)
        assert outside.heard == ["GET /ping", "POST /ping/fail: " + "; ".join(BLIND)]
        await bed.live(59)
        bed.patient.why = BLIND[:1]
        await bed.live(1)
        assert outside.heard[2:] == [f"POST /ping/fail: {BLIND[0]}"]
        bed.patient.why = []
        await bed.live(5)
        assert outside.heard[3:] == ["GET /ping"]


async def test_what_changes_every_second_does_not_ping_every_second() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        for _ in range(10):
            bed.patient.why = BLIND
            await bed.live(1)
            bed.patient.why = []
            await bed.live(1)
        assert 2 <= len(outside.heard) <= 4


async def test_at_the_start_nothing_is_said_before_the_first_polls_are_over() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        bed.patient.is_ready = False
        await bed.live(100)
        assert outside.heard == []
        bed.patient.is_ready = True
        await bed.live(1)
        assert outside.heard == ["GET /ping"]


async def test_at_the_start_it_is_no_news_for_a_while_that_riskbot_can_not_be_relied_on() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        bed.patient.why = ["main: never seen"]
        await bed.live(60)
        assert outside.heard == []
        await bed.live(1)
        assert outside.heard == ["POST /ping/fail: main: never seen"]


async def test_without_settings_nobody_is_pinged_and_new_ones_are_taken_up() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        bed.settings = None
        await bed.live(100)
        assert outside.heard == []
        bed.settings = HeartbeatSettings(url=SecretStr(outside.url + "/new"), every=30.0)
        await bed.live(31)
        assert outside.heard == ["GET /ping/new"] * 2


# ---------------------------------------------------------------- when nobody hears it


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (404, "not found", "HTTP 404; is heartbeat.url right?"),
        (301, "", "HTTP 301; is heartbeat.url right?"),
        (200, "OK (not found)", "the service does not know heartbeat.url"),
    ],
)
async def test_pings_that_fail_are_told_after_five_minutes(
    status: int, answer: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        outside.status, outside.answer = status, answer
        with caplog.at_level(logging.INFO, "riskbot"):
            await bed.live(299)
            assert bed.severity() == Severity.OK
            await bed.live(1)
            assert bed.severity() == Severity.WARNING
            problem = bed.problems.of(HEARTBEAT)
            assert problem is not None
            assert problem.why == why
            await bed.live(9999)
            assert bed.severity() == Severity.WARNING
            outside.status, outside.answer = 200, "OK"
            await bed.live(61)
        assert bed.severity() == Severity.OK
        assert caplog.messages == [f"the heartbeat fails: {why}", "the heartbeat works again"]
        assert all(line == "GET /ping" for line in outside.heard)


async def test_a_ping_that_failed_is_sent_again_soon() -> None:
    async with ear() as outside:
        bed = Bed(outside.url)
        bed.settings = HeartbeatSettings(url=SecretStr(outside.url), every=3600.0)
        await bed.live(10)
        outside.status, bed.patient.why = 503, BLIND[:1]
        await bed.live(1)
        outside.status = 200
        await bed.live(19)
        assert len(outside.heard) == 2
        await bed.live(1)
        assert outside.heard[1:] == [f"POST /ping/fail: {BLIND[0]}"] * 2
        await bed.live(3000)
        assert len(outside.heard) == 3


async def test_a_service_that_hangs_or_is_not_there_is_told_without_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "DEADLINE", 0.05)
    async with ear() as outside:
        outside.hang = True
        bed = Bed(outside.url + "/planted")
        await bed.live(1)
        problem = bed.problems.of(HEARTBEAT)
        assert problem is not None
        assert problem.why == "no answer within 0.05 s"
    bed.hands.turn(60)
    await bed.live(1)
    problem = bed.problems.of(HEARTBEAT)
    assert problem is not None
    assert problem.why == "the connection failed (ClientConnectorError)"


async def test_what_failed_is_forgotten_with_its_settings() -> None:
    async with ear() as outside:
        outside.status = 500
        bed = Bed(outside.url)
        await bed.live(1)
        assert HEARTBEAT in bed.problems
        bed.settings = None
        await bed.live(1)
        assert HEARTBEAT not in bed.problems


# ---------------------------------------------------------------- the built program


async def test_the_program_pings_while_it_sees_and_says_why_when_it_does_not(tmp_path: Path) -> None:
    async with ear() as outside, exchange(Account()) as market, phone() as receiver:
        beat = {"url": f"{outside.url}/planted-secret-uuid", "every": "10s"}
        rules = write_rules(tmp_path, market.url, {"phone": {"url": receiver.url}}, heartbeat=beat)
        program = Program(rules)
        program.start()
        await until(lambda: outside.heard)
        assert outside.heard == ["GET /ping/planted-secret-uuid"]
        await post(f"{market.url}/simulator/faults", "code=50119")
        await until(lambda: any(line.startswith("POST") for line in outside.heard), 40)
        failed = next(line for line in outside.heard if line.startswith("POST"))
        assert failed.startswith("POST /ping/planted-secret-uuid/fail: main: not seen for 1")
        assert "OKX does not know this API key" in failed
        await program.stop()
        assert program.says("planted-secret") == 0
