"""The source over real HTTP: how it asks, and that whatever comes back is a snapshot or one clear error."""

import asyncio
import base64
import gzip
import logging
import re
import socket
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web
from pydantic import SecretStr

from riskbot.builtin.okx.exchange import BALANCE, CONFIG, TIME, Exchange
from riskbot.builtin.okx.source import CCY_LIMIT, Credentials, OkxSource
from riskbot.model import AccountInfo, Severity
from riskbot.simulator import SimAccount, Simulator
from riskbot.simulator.errors import ERRORS
from riskbot.source import Remedy, SourceError

KEY, SECRET, PHRASE = "k3y-of-Ann/+=", "s3cret of Ann &?", "phr4se of Ann %#"
COINS = [f"C{i}" for i in range(60)]
GOOD = b'{"code":"0","data":[{"details":[{"ccy":"BTC","eq":"1"}]}],"msg":""}'


def play(_: float) -> dict[str, Any]:
    return {"totalEq": "1", "mgnRatio": "5", "details": [{"ccy": ccy, "eq": ccy[1:]} for ccy in COINS]}


ANN = SimAccount(KEY, SECRET, PHRASE, uid="77", play=play, label="watch")


def credentials(key: str = KEY, secret: str = SECRET, phrase: str = PHRASE) -> Credentials:
    return Credentials(SecretStr(key), SecretStr(secret), SecretStr(phrase))


@asynccontextmanager
async def asking(
    url: str,
    *,
    wall: Callable[[], float] = time.time,  # noqa: TID251 - the machine's clock, as in a real run
    deadline: float = 5.0,
    **options: Any,
) -> AsyncIterator[OkxSource]:
    """A source of Ann's account. Whatever happened: no connection is left in use."""
    exchange = Exchange(wall, deadline)
    try:
        yield OkxSource(exchange, url, credentials(), **options)
        connector: Any = exchange.session.connector
        assert not connector._acquired
    finally:
        await exchange.close()


async def failure(source: OkxSource) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await source.fetch()
    await asyncio.sleep(0)  # coverage loses sight of frames that an exception woke, until they are woken again
    return caught.value


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit has tests of its own."""
    monkeypatch.setattr("riskbot.builtin.okx.exchange.WINDOW", 0.0)


@pytest.fixture
async def okx() -> AsyncIterator[Simulator]:
    async with Simulator([ANN]) as simulator:
        yield simulator


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server of our own that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def sending(raw: bytes) -> AsyncIterator[str]:
    """A server that answers everything with these bytes, HTTP or not."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


# ---------------------------------------------------------------- what it sends


async def test_the_simulator_accepts_the_signature_and_the_account_is_read(okx: Simulator) -> None:
    async with asking(okx.url + "/") as source:
        snapshot = await source.fetch()
        assert list(snapshot.balances) == COINS
        assert await source.info() == AccountInfo("77", "3", "watch", ("read_only",), ("127.0.0.0/8", "::1"), "77")
        await source.close()


async def test_the_timestamp_is_utc_with_milliseconds_and_the_exact_path_is_signed() -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.raw_path, dict(request.headers)))
        return web.Response(body=GOOD)

    moment = 1_700_000_000.0
    async with (
        serving(handler) as url,
        asking(url, wall=lambda: moment, ccys=("BTC", "ETH", "Ö,\r\nX: 1 &+#")) as source,
    ):
        await source.fetch()
    [(path, headers)] = seen
    assert path == BALANCE + "?ccy=BTC,ETH,%C3%96,%0D%0AX:+1+%26%2B%23"
    assert headers["OK-ACCESS-TIMESTAMP"] == "2023-11-14T22:13:20.000Z"
    assert (headers["OK-ACCESS-KEY"], headers["OK-ACCESS-PASSPHRASE"]) == (KEY, PHRASE)
    assert "x-simulated-trading" not in headers
    assert SECRET not in str(headers)


async def test_the_signature_is_the_one_of_the_guide() -> None:
    signs = []

    async def handler(request: web.Request) -> web.Response:
        signs.append(request.headers["OK-ACCESS-SIGN"])
        return web.Response(body=GOOD)

    async with serving(handler) as url, asking(url, wall=lambda: 1_700_000_000.5, ccys=("BTC", "ETH")) as source:
        await source.fetch()
    # printf %s '2023-11-14T22:13:20.500ZGET/api/v5/account/balance?ccy=BTC,ETH' | openssl dgst -sha256 -hmac … -binary
    assert signs == ["QxQQX/Gmeurx0OgHCVzE0hh7FJby73usU6X57FDA7Fo="]


async def test_a_demo_key_needs_the_demo_header() -> None:
    async with Simulator([replace(ANN, demo=True)]) as okx:
        async with asking(okx.url, demo=True) as source:
            assert (await source.fetch()).details
        async with asking(okx.url) as source:
            assert (await failure(source)).code == "50101"


async def test_45_currencies_are_three_requests_put_together_in_order(okx: Simulator) -> None:
    asked = tuple(COINS[:45])
    async with asking(okx.url, ccys=asked) as source:
        snapshot = await source.fetch()
        assert tuple(snapshot.balances) == asked
        assert [row["ccy"] for row in snapshot.details] == list(asked)
        assert len(okx.requests) == 3
        assert [request.status for request in okx.requests] == [200] * 3


async def test_a_currency_that_comes_twice_is_counted_once() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=GOOD.replace(b'"1"', b'"%d"' % (len(request.query["ccy"]) < 9)))

    ccys = ("BTC", *COINS[:CCY_LIMIT], "BTC")
    async with serving(handler) as url, asking(url, ccys=ccys) as source:
        assert [row["eq"] for row in (await source.fetch()).details] == ["1"]


async def test_one_request_of_several_that_fails_fails_all() -> None:
    async def handler(request: web.Request) -> web.Response:
        first = COINS[0] in request.query["ccy"].split(",")
        return web.Response(body=GOOD if first else b'{"code":"50009","msg":""}')

    async with serving(handler) as url, asking(url, ccys=tuple(COINS[:25])) as source:
        assert (await failure(source)).code == "50009"


# ---------------------------------------------------------------- the clock


@pytest.mark.parametrize("ahead", [-300.0, 90.0])
async def test_info_learns_the_clock_offset_and_it_is_applied(okx: Simulator, ahead: float) -> None:
    async with asking(okx.url, wall=lambda: time.time() + ahead) as source:  # noqa: TID251 - this machine's clock is off
        await source.info()
        assert (await source.fetch()).details
        assert [request.status for request in okx.requests] == [200] * 3


async def test_50102_sets_the_offset_anew_and_asks_once_more(okx: Simulator) -> None:
    async with asking(okx.url) as source:
        okx.inject("skew=90s")
        assert (await source.fetch()).details
        assert [(request.path, request.code) for request in okx.requests] == [
            (BALANCE, "50102"),
            (TIME, "0"),
            (BALANCE, "0"),
        ]


async def test_50102_again_is_told_and_not_tried_a_third_time(okx: Simulator) -> None:
    okx.inject("code=50102")
    async with asking(okx.url) as source:
        error = await failure(source)
        assert (error.remedy, error.code) == (Remedy.RESYNC, "50102")
        assert "NTP" in error.why
        assert [request.path for request in okx.requests] == [BALANCE, TIME, BALANCE]
        assert (await failure(source)).remedy is Remedy.RESYNC
        assert [request.path for request in okx.requests].count(TIME) == 1  # not twice within a second


@pytest.mark.parametrize("fault", ["html=403", "reset", "code=50001", "no-data", "missing=ts", "empty-body"])
async def test_without_the_exchanges_time_the_clock_is_still_what_is_told(okx: Simulator, fault: str) -> None:
    okx.inject("skew=90s")
    okx.inject(f"{fault} on=time")
    async with asking(okx.url) as source:
        assert (await failure(source)).remedy is Remedy.RESYNC


@pytest.mark.parametrize("ts", ["1e13", "9" * 30, "9" * 5000, "-1", "NaN", "", None, [], True, "\u0661" * 13, 1.5])
async def test_an_odd_time_never_spoils_the_offset(ts: object) -> None:
    async def handler(request: web.Request) -> web.Response:
        return (
            web.json_response({"code": "0", "data": [{"ts": ts}]}) if request.path == TIME else web.Response(body=GOOD)
        )

    async with serving(handler) as url, asking(url) as source:
        with pytest.raises(SourceError, match="without its time"):
            await source._exchange.sync(url, 0.0)
        assert source._exchange.offsets == {}
        assert (await source.fetch()).details


# ---------------------------------------------------------------- what comes back


@pytest.mark.parametrize("code", ["50001", "50011", "50101", "50105", "50009", "50017", "51008_1000", "50119/200"])
async def test_a_code_is_understood_at_any_status(okx: Simulator, code: str) -> None:
    okx.inject(f"code={code}")
    async with asking(okx.url) as source:
        assert (await failure(source)).code == re.split("[_/]", code)[0]
        okx.clear_faults()
        okx.seek(0)


@pytest.mark.parametrize(
    ("fault", "why", "remedy"),
    [
        ("html=502", "an answer that is not OKX's (HTTP 502)", Remedy.BACK_OFF),
        ("html=403", "forbidden; is this machine's address or country blocked? (HTTP 403)", Remedy.SLOW),
        ("html=404", "not there; check region or base_url (HTTP 404)", Remedy.SLOW),
        ("html=429", "too many requests (HTTP 429)", Remedy.BACK_OFF),
        ("empty-body", "an answer that is not OKX's (HTTP 200)", Remedy.BACK_OFF),
        ("bad-json", "an answer that is not OKX's (HTTP 200)", Remedy.BACK_OFF),
        ("truncate", "the answer broke off (ClientPayloadError)", Remedy.RETRY),
        ("no-data", "OKX answers without data", Remedy.BACK_OFF),
        ("missing=data", "OKX answers without data", Remedy.BACK_OFF),
        ("missing=code", "an answer that is not OKX's (HTTP 200)", Remedy.BACK_OFF),
        ("missing=details", "OKX answers without a list of currencies", Remedy.BACK_OFF),
        ("missing=details.ccy", "OKX answers with currencies unnamed or named twice", Remedy.BACK_OFF),
        ("wrong-types=details.ccy", "OKX answers with currencies unnamed or named twice", Remedy.BACK_OFF),
        ("wrong-types=details", "OKX answers without a list of currencies", Remedy.BACK_OFF),
        ("reset", "the connection broke (ClientOSError)", Remedy.RETRY),
        ("hang", "no answer within 0.3 s", Remedy.RETRY),
        ("latency=2s", "no answer within 0.3 s", Remedy.RETRY),
        ("huge=50MB", "the answer is larger than 4 MiB", Remedy.BACK_OFF),
    ],
)
async def test_whatever_goes_wrong_is_one_clear_error_and_the_next_poll_is_good(
    okx: Simulator, fault: str, why: str, remedy: Remedy
) -> None:
    async with asking(okx.url, deadline=0.3 if "0.3" in why else 5.0) as source:
        okx.inject(fault)
        error = await failure(source)
        assert (error.why, error.remedy) == (why, remedy)
        okx.clear_faults()
        assert (await source.fetch()).details


async def test_a_redirect_is_not_followed_and_the_key_stays_here(okx: Simulator) -> None:
    async with Simulator([ANN]) as elsewhere, asking(okx.url) as source:
        okx.inject(f"redirect={elsewhere.url}{BALANCE} on=all")
        assert (await failure(source)).why == "redirected elsewhere; check region or base_url (HTTP 302)"
        with pytest.raises(SourceError):
            await source.info()
        assert not elsewhere.requests


def http(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


def zipped(body: bytes) -> tuple[bytes, bytes]:
    return body, b"Content-Encoding: gzip"


@pytest.mark.parametrize(
    "raw",
    [
        http(GOOD),
        http(*zipped(gzip.compress(GOOD))),
        http(zlib.compress(GOOD), b"Content-Encoding: deflate"),
        http(GOOD, b"Content-Encoding: klingon"),
        http(GOOD, b"Content-Type: application/json; charset=klingon"),
        http(GOOD, b"Set-Cookie: =;;\xff;a=b", b"X: \xff"),
        http(GOOD, b"Content-Length: %d" % len(GOOD)) * 2,
    ],
    ids=range(7),
)
async def test_an_unusual_reply_is_still_read(raw: bytes) -> None:
    async with sending(raw) as url, asking(url, deadline=1.0) as source:
        assert list((await source.fetch()).balances) == ["BTC"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"<html>hi</html>",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        http(b"", status=b"204 No Content"),
        http(b"", status=b"304 Not Modified"),
        http(GOOD, b"Upgrade: websocket", b"Connection: upgrade", status=b"101 Switching Protocols"),
        http(GOOD, b"Content-Length: 5", b"Content-Length: 6"),
        http(GOOD, b"Content-Length: 99999999999999999999999"),
        http(GOOD, b"Content-Length: 4000"),
        http(b"zz\r\nabc", b"Transfer-Encoding: chunked"),
        http(b"ff\r\nabc", b"Transfer-Encoding: chunked"),
        http(GOOD, b"X: " + b"a" * 100_000),
        http(*zipped(GOOD)),
        http(*zipped(gzip.compress(GOOD)[:-12])),
        http(*zipped(gzip.compress(GOOD)[:-8] + b"x" * 8)),
        http(*zipped(gzip.compress(b"") * 3000)),
        http(GOOD, b"Content-Encoding: br"),
        http(b"", b"Location: http://[::1", status=b"302 Found"),
    ],
    ids=range(21),
)
async def test_a_reply_that_is_hardly_http_is_one_clear_error(raw: bytes) -> None:
    async with sending(raw) as url, asking(url, deadline=1.0) as source:
        assert re.fullmatch(
            r"(the connection broke|the answer broke off) \(\w+\)|.* \(HTTP \d+\)", (await failure(source)).why
        )


async def test_a_gzip_bomb_is_given_up_before_it_fills_the_memory(okx: Simulator) -> None:
    okx.inject("gzip-bomb=300MB")
    async with asking(okx.url) as source:
        tracemalloc.start()
        try:
            error = await failure(source)
            assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
        finally:
            tracemalloc.stop()
    assert error.why == "the answer is larger than 4 MiB"


async def test_a_dripping_body_ends_at_the_deadline() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.02)

    async with serving(handler) as url, asking(url, deadline=0.3) as source:
        begun = time.monotonic()
        assert (await failure(source)).why == "no answer within 0.3 s"
        assert time.monotonic() - begun < 0.6


async def test_a_closed_port_and_an_unknown_name_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        async with asking(f"http://127.0.0.1:{taken.getsockname()[1]}") as source:
            assert (await failure(source)).why == "can't connect to the exchange (ClientConnectorError)"

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with asking("https://okx.invalid") as source:
        error = await failure(source)
        assert error.why == "the exchange's name can't be resolved; is this machine online?"
        assert error.remedy is Remedy.RETRY


async def test_a_server_without_tls_is_told(okx: Simulator) -> None:
    async with asking(okx.url.replace("http:", "https:")) as source:
        assert (await failure(source)).why == "can't connect to the exchange (ClientConnectorSSLError)"


@pytest.mark.parametrize("odd", ["key\r\nX-Evil: 1", "key\n", "\x00", "key\ud800"])
async def test_a_key_that_cannot_be_a_header_is_told_and_not_sent(okx: Simulator, odd: str) -> None:
    exchange = Exchange(time.time)  # noqa: TID251 - the machine's clock
    hidden = SecretStr("")
    hidden._secret_value = odd
    for key, phrase in ((hidden, SecretStr("p")), (SecretStr("k"), hidden)):
        source = OkxSource(exchange, okx.url, Credentials(key, SecretStr("s"), phrase))
        error = await failure(source)
        assert "line break" in error.why
        assert (error.remedy, error.severity) == (Remedy.SLOW, Severity.CRITICAL)
    assert not okx.requests
    await exchange.close()


async def test_a_cancelled_fetch_stays_cancelled_and_lets_go_of_its_connection(okx: Simulator) -> None:
    okx.inject("hang")
    async with asking(okx.url) as source:
        task = asyncio.create_task(source.fetch())
        while not okx.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_it_works_in_one_event_loop_after_the_other() -> None:
    async def once() -> None:
        async with Simulator([ANN]) as okx, asking(okx.url) as source:
            await source.info()
            assert (await source.fetch()).details

    asyncio.run(once())
    asyncio.run(once())


def test_an_exchange_may_be_made_before_the_loop_and_closed_unused() -> None:
    exchange = Exchange(time.time)  # noqa: TID251 - the machine's clock
    OkxSource(exchange, "https://www.okx.com", credentials())
    asyncio.run(exchange.close())


# ---------------------------------------------------------------- secrets


def forms(secret: str) -> set[str]:
    raw = secret.encode()
    coded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *coded, repr(secret)[1:-1], raw.hex()}


async def test_no_failure_tells_a_secret(okx: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    async def echo(request: web.Request) -> web.Response:
        """A server that says everything it was sent, wherever it can."""
        sent = " ".join(request.headers.values())
        reply = {"code": next(codes), "msg": sent, "data": [{"details": [{"ccy": sent}] * 2}]}
        return web.json_response(reply, status=400, reason="Bad")

    codes = iter(["0", KEY, "50110", "59999", "51008_1000", f"50011 {PHRASE}"] * 2)
    faults = [f"code={code}" for code in (*ERRORS, "59999")]
    faults += ["html=401", "truncate", "bad-json", "reset", "hang", "empty-body", f"redirect={okx.url}/?key=x"]
    async with serving(echo) as url, asking(url) as source:
        for _ in range(6):
            said.extend(told(await failure(source), source))
    async with asking(okx.url, deadline=0.2) as source:
        for fault in faults:
            okx.clear_faults()
            okx.inject(fault)
            said.extend(told(await failure(source), source))
    for text in (*said, caplog.text):
        for secret in (KEY, SECRET, PHRASE):
            assert not [form for form in forms(secret) if form in text]


def told(error: SourceError, source: OkxSource) -> list[str]:
    """All that a log line, a message or a look at the objects may show."""
    shown = [source, source._exchange, source._credentials, source._limiters, vars(source._exchange), error.args]
    return [str(error), repr(error), error.why, error.code, *map(repr, shown)]


def test_the_paths_are_okxs() -> None:
    assert (BALANCE, CONFIG, TIME) == ("/api/v5/account/balance", "/api/v5/account/config", "/api/v5/public/time")
