"""Who may look, over real HTTP, and how little harm strangers can do."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import logging
import socket
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from riskbot.settings import WebSettings
from riskbot.source import SourceError
from riskbot.web import PART, Web, server
from tests.lookout import Lookout, get, series

TOKEN = "0123456789abcdef-token"
PATHS = ("", "healthz", "readyz", "metrics")


async def seen() -> Lookout:
    here = await Lookout().open()
    await here.poll()
    return here


async def raw(url: str, request: bytes, seconds: float = 20) -> bytes:
    """What is answered to these very bytes, until it closes; within so many seconds."""
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    found = await asyncio.wait_for(reader.read(), seconds)
    writer.close()
    return found


# ---------------------------------------------------------------- what it answers


async def test_health_is_200_while_all_is_well_and_503_with_reasons_when_blind() -> None:
    here = await seen()
    async with here.served() as url:
        assert await get(f"{url}healthz") == (200, '{"healthy": true, "reasons": []}')
        here.market.error = SourceError("the passphrase is wrong")
        for _ in range(20):
            await here.poll()
        status, text = await get(f"{url}healthz")
        assert status == 503
        assert json.loads(text) == {"healthy": False, "reasons": ["main: not seen for 20 s: the passphrase is wrong"]}


async def test_health_is_503_while_a_critical_message_is_unsent() -> None:
    here = await Lookout().open()
    here.market.ratio = "2.5"
    async with here.served() as url:
        for _ in range(70):
            await here.poll()
        status, text = await get(f"{url}healthz")
        assert status == 503
        assert "phone: a critical message is unsent for" in text


async def test_health_is_503_while_a_courier_is_stuck() -> None:
    here = await seen()
    async with here.served() as url:
        for _ in range(40):
            await here.poll()
            here.courier.pulse._at = 0.0
        status, text = await get(f"{url}healthz")
        assert (status, "the courier of phone stood still" in text) == (503, True)


async def test_it_is_ready_once_each_account_was_polled() -> None:
    here = await Lookout().open()
    async with here.served() as url:
        assert await get(f"{url}readyz") == (503, '{"ready": false}')
        await here.poll()
        assert await get(f"{url}readyz") == (200, '{"ready": true}')


async def test_metrics_come_as_text_or_as_openmetrics_whatever_is_asked_for() -> None:
    here = await seen()
    async with here.served() as url:
        status, text = await get(f"{url}metrics")
        assert status == 200
        assert series(text)['riskbot_mgn_ratio{account="main"}'] == 12
        odd = "application/openmetrics-text; version=9.x.9; escaping=nonsense, */*"
        assert (await get(f"{url}metrics", headers={"Accept": odd}))[1].endswith("# EOF\n")


async def test_those_who_scrape_within_a_second_are_given_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    here = await seen()
    async with here.served() as url:
        first = await asyncio.gather(*(get(f"{url}metrics") for _ in range(20)))
        await here.poll()
        assert {*first, await get(f"{url}metrics")} == {first[0]}
        monkeypatch.setattr(server, "KEPT", 0.0)
        assert 'riskbot_polls_total{account="main"} 2.0' in (await get(f"{url}metrics"))[1]


async def test_that_series_are_left_out_is_logged_once_for_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [3, 3, 0, 5]

    async def fill(*_: Any) -> int:
        return left.pop(0)

    monkeypatch.setattr(server, "fill", fill)
    monkeypatch.setattr(server, "KEPT", 0.0)
    here = await seen()
    async with here.served() as url:
        for _ in range(4):
            await get(f"{url}metrics")
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert [line.split()[1] for line in said] == ["3", "5"]


async def test_every_answer_tells_browsers_to_keep_out_and_not_to_keep_it() -> None:
    here = await seen()
    async with here.served() as url, aiohttp.ClientSession() as session:
        for path in (*PATHS, "nowhere"):
            async with session.get(url + path) as answer:
                assert answer.headers["Server"] == "riskbot"
                assert answer.headers["Connection"] == "close"
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert not any(name.startswith("Access-Control") for name in answer.headers)


async def test_a_mistake_of_riskbots_shows_no_visitor_what_is_in_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await seen()

    def fail(_: float) -> list[str]:
        raise RuntimeError("Zk9vQ2x7LmP4wT8s")

    monkeypatch.setattr(here.service.vitals, "reasons", fail)
    async with here.served() as url:
        for path in ("healthz", "metrics", ""):
            assert await get(url + path) == (500, "riskbot stumbled over this; its log says more.\n")
    assert [record.name for record in caplog.records] == ["riskbot"] * 3


# ---------------------------------------------------------------- who may look


def basic(user: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


@pytest.mark.parametrize("path", [*PATHS, "nowhere", "healthz/", "?token=" + TOKEN, "metrics?token=" + TOKEN])
async def test_without_the_token_there_is_nothing_to_see(path: str) -> None:
    here = await seen()
    async with here.served(token=TOKEN) as url:
        status, text = await get(url + path)
        assert status == 401
        assert "main" not in text
        assert TOKEN not in text


@pytest.mark.parametrize(
    "given",
    [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} ", basic("", TOKEN), basic("me", TOKEN)],
)
async def test_with_the_token_all_is_shown_under_any_name(given: str) -> None:
    here = await seen()
    async with here.served(token=TOKEN) as url:
        for path in PATHS:
            asked = {"Authorization": given, "Host": "riskbot.example.com"}
            assert (await get(url + path, headers=asked))[0] == 200


@pytest.mark.parametrize(
    "given",
    [
        "", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Bearer {TOKEN.upper()}", TOKEN,
        f"Token {TOKEN}", f"Bearer {TOKEN},{TOKEN}", basic(TOKEN, ""), basic("me", TOKEN + "x"), "Basic", "Basic !!!",
        "Basic " + base64.b64encode(TOKEN.encode()).decode(), f"Basic {TOKEN}", "Bearer \u00e9", "Basic \u00e9\u00e9",
        "Bearer " + "x" * 7000,
    ],
)  # fmt: skip
async def test_with_anything_else_there_is_nothing_to_see(given: str) -> None:
    here = await seen()
    async with here.served(token=TOKEN) as url:
        asked = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + given.encode() + b"\r\n\r\n"
        answer = await raw(url, asked)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b'WWW-Authenticate: Basic realm="riskbot"' in answer


async def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def compare(given: bytes, token: bytes) -> bool:
        compared.append((given, token))
        return False

    monkeypatch.setattr(server.hmac, "compare_digest", compare)
    here = await seen()
    async with here.served(token=TOKEN) as url:
        for given in (f"Bearer {TOKEN}", basic("me", TOKEN)):
            assert (await get(url, headers={"Authorization": given}))[0] == 401
    assert compared == [(TOKEN.encode(), TOKEN.encode())] * 2


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:9105", 200), ("127.0.0.1:1", 200), ("127.8.8.8", 200), ("[::1]:9105", 200),
        ("", 200), ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421),
        ("192.168.1.7:9105", 421), ("0.0.0.0:1", 421), ("evil.example@127.0.0.1", 200),
        ("[::1", 421), ("2130706433", 421),
    ],
)  # fmt: skip
async def test_without_a_token_only_who_means_this_machine_is_answered(host: str, status: int) -> None:
    """A page on the net may point a name of its own to 127.0.0.1; the browser then names it as the host."""
    here = await seen()
    async with here.served() as url:
        answer = await raw(url, f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())
        assert (b"riskbot_" in answer) == (status == 200)


# ---------------------------------------------------------------- what strangers may try


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/metrics/../../x", "/page.html", "/page.css",
     "/static/page.css", "/\\..\\x", "/%00", "/<script>", "/healthz%0d%0aX-Bad:1", "/favicon.ico"],
)  # fmt: skip
async def test_there_is_nothing_but_the_four_pages(path: str) -> None:
    here = await seen()
    async with here.served() as url:
        answer = await raw(url, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
        assert b"script" not in answer.partition(b"\r\n\r\n")[2]
        assert b"X-Bad" not in answer.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
async def test_nothing_can_be_changed(method: str) -> None:
    here = await seen()
    async with here.served() as url:
        target = "localhost:80" if method == "CONNECT" else "/metrics"
        answer = await raw(url, f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert answer[9:12] in {b"405", b"404", b"400"}


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n", b"nonsense\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"],
)  # fmt: skip
async def test_what_is_no_request_is_refused_and_not_logged(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    here = await seen()
    async with here.served() as url:
        with suppress(ConnectionError):
            answer = await raw(url, request_)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 200 ")) or answer == b""
        assert (await get(url))[0] == 200
    assert caplog.records == []


async def test_a_client_that_does_not_end_its_request_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LONGEST", 0.3)
    here = await seen()
    async with here.served() as url:
        assert await raw(url, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") == b""


async def test_a_client_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LONGEST", 0.5)
    here = await seen()

    async def long(*_: Any, **__: Any) -> tuple[bytes, str]:
        return b"x" * 30_000_000, "text/plain"

    monkeypatch.setattr(server.Scrape, "answer", long)
    async with here.served() as url:
        with socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))) as lazy:
            lazy.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            lazy.settimeout(10)
            await asyncio.sleep(1.0)
            got = 0
            with suppress(ConnectionResetError):
                while part := lazy.recv(1 << 20):
                    got += len(part)
            assert got < 30_000_000


async def test_a_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LONGEST", 60.0)
    here = await seen()
    async with here.served() as url:
        head = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\nx"
        assert (await raw(url, head, 5)).startswith(b"HTTP/1.1 200 ")


async def test_so_many_connections_that_only_wait_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST", 8)
    here = await seen()
    async with here.served() as url:
        port = int(url.rstrip("/").rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        assert (await get(f"{url}readyz"))[0] == 200
        ends = [asyncio.wait_for(reader.read(), 5) for reader, _ in idle[:32]]
        cut = await asyncio.gather(*ends, return_exceptions=True)
        assert [end for end in cut if end != b"" and not isinstance(end, ConnectionError)] == []
        for _, writer in idle:
            writer.close()


async def test_connections_that_are_over_leave_nothing_behind() -> None:
    here = await seen()
    async with here.served() as url:
        for _ in range(30):
            await get(url)
        gc.collect()
        assert [one for one in gc.get_objects() if type(one) is server._Visitor and one._visitors] == []


async def test_a_server_that_is_closed_leaves_nothing_behind() -> None:
    here = await seen()
    for _ in range(3):
        async with here.served() as url:
            assert [(await get(url + path))[0] for path in ("", "metrics", "nowhere")] == [200, 200, 404]
    gc.collect()
    assert [one for one in gc.get_objects() if type(one) is server.Server and one._service is here.service] == []


# ---------------------------------------------------------------- where it listens


def listening(here: Lookout, **settings: Any) -> None:
    web = WebSettings.model_validate(settings) if settings else None
    here.service.bundle = replace(here.service.bundle, web=web)


async def test_without_a_section_nothing_listens() -> None:
    here = await seen()
    web = Web(here.service)
    await web.look()
    assert web.url is None
    assert PART not in here.service.problems


async def test_a_changed_section_is_taken_up_whole_and_one_that_is_gone_ends_it() -> None:
    here = await seen()
    web = Web(here.service)
    listening(here, listen="127.0.0.1:0")
    await web.look()
    first = web.url
    assert first
    assert (await get(first))[0] == 200
    await web.look()
    assert web.url == first

    port = first.rstrip("/").rpartition(":")[2]
    listening(here, listen=f"127.0.0.1:{port}", token=TOKEN)
    await web.look()
    assert web.url == first
    assert (await get(first))[0] == 401

    listening(here)
    await web.look()
    assert web.url is None
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(first)


async def test_a_port_in_use_is_told_tried_again_and_the_watch_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    here = await seen()
    web = Web(here.service)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listening(here, listen=f"127.0.0.1:{port}")
        for _ in range(3):
            await web.look()
        assert web.url is None
        problem = here.service.problems.of(PART)
        assert problem
        assert problem.why == f"can't listen at 127.0.0.1:{port}: address already in use"
        await here.service._self_watch.tick()
        rows = await here.store.outbox(("queued",))
        assert [message.title for _, message in rows] == ["WARNING · riskbot · the status page is failing"]
        assert [record.levelname for record in caplog.records].count("ERROR") == 1
    await web.look()
    assert web.url
    assert PART not in here.service.problems
    await web._close()


async def test_a_failing_page_that_is_not_wanted_any_more_is_no_problem() -> None:
    here = await seen()
    web = Web(here.service)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listening(here, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        await web.look()
        assert PART in here.service.problems
        listening(here)
        await web.look()
        assert PART not in here.service.problems


async def test_an_address_that_is_not_this_machines_is_told() -> None:
    here = await seen()
    web = Web(here.service)
    listening(here, listen="192.0.2.1:9105", token=TOKEN)
    await web.look()
    problem = here.service.problems.of(PART)
    assert problem
    assert problem.why == "can't listen at 192.0.2.1:9105: cannot assign requested address"


async def test_the_loop_listens_until_it_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    here = await seen()
    listening(here, listen="[::1]:0")
    web = Web(here.service)
    running = asyncio.create_task(web.run())
    async with asyncio.timeout(20):
        while not web.url:
            await asyncio.sleep(0.01)
    url = web.url
    assert url.startswith("http://[::1]:")
    assert (await get(url))[0] == 200
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(url)
    assert [record.getMessage() for record in caplog.records if "page" in record.getMessage()] == [
        f"status page, /metrics and /healthz at {url}",
        "status page closed",
    ]
