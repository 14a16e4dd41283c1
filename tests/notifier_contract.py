"""What every notifier that speaks HTTP must do. A notifier's tests subclass `NotifierContract` and say how to make it.

class TestMine(NotifierContract):
    secrets = ("S3CRET-TOKEN",)

    def make(self, address: str, deadline: float) -> Notifier:
        return Mine(f"http://{address}/{self.secrets[0]}", deadline=deadline)
"""

from __future__ import annotations

import asyncio
import html
import io
import json
import logging
import re
import socket
import struct
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum
from typing import Self
from urllib.parse import quote, quote_plus

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict

TEXT = Text("riskbot: margin low", "mgnRatio <1.5> & co", Severity.CRITICAL)

OUTCOMES = {
    # 1xx: nothing was done yet, and no answer follows. (100 only asks for patience: see ANSWERS.)
    **dict.fromkeys((101, 102, 103), Outcome.RETRY),
    # 2xx: taken
    **dict.fromkeys((200, 201, 202, 203, 204), Outcome.SENT),
    # 3xx: not followed: a POST arrives as a GET at a page whose 200 is no delivery
    **dict.fromkeys((300, 301, 302, 303, 304, 305, 307, 308), Outcome.BROKEN),
    # 4xx: the address or its secret is wrong
    **dict.fromkeys((401, 402, 403, 404, 405, 407, 410), Outcome.BROKEN),
    # 4xx: later
    **dict.fromkeys((408, 421, 425, 429), Outcome.RETRY),
    # 4xx: this message is not wanted
    **dict.fromkeys((400, 406, 409, 411, 412, 413, 414, 415, 417, 418, 422, 423, 424, 426), Outcome.PERMANENT),
    **dict.fromkeys((428, 431, 444, 451, 499), Outcome.PERMANENT),
    # 5xx: a gateway has lost the answer
    **dict.fromkeys((502, 504, 520, 524, 598), Outcome.AMBIGUOUS),
    # 5xx: later
    **dict.fromkeys((500, 501, 503, 505, 506, 507, 508, 510, 511, 521, 522, 523, 525, 526, 529, 599), Outcome.RETRY),
}
"""What each HTTP status means."""

ANSWERS = {
    b"": Outcome.AMBIGUOUS,
    b"HTTP/1.1 20": Outcome.AMBIGUOUS,
    b"HTTP/1.1 100 Continue\r\n\r\n": Outcome.AMBIGUOUS,
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok": Outcome.AMBIGUOUS,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n63\r\nok": Outcome.AMBIGUOUS,
    b"220 mail.example.com ESMTP\r\n": Outcome.AMBIGUOUS,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": Outcome.SENT,
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": Outcome.SENT,
}
"""What a service says, to the byte, before it closes the connection."""


class Mode(StrEnum):
    """How a receiver behaves once it has read the request."""

    ANSWER = "answer"
    HANG = "hang"
    CLOSE = "close"
    RESET = "reset"


class HttpReceiver:
    """A fake HTTP service on a free loopback port; `answer` and `mode` may change at any time."""

    def __init__(self) -> None:
        self.mode = Mode.ANSWER
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, bytes]] = []
        self.arrived = asyncio.Event()
        self.released = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server(access_log=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.released.set()
        await self._server.close()

    @property
    def address(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.status, self.body, self.headers, self.mode = status, body, headers, Mode.ANSWER

    async def _handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.path, await request.read()))
        self.arrived.set()
        if self.mode is Mode.HANG:
            await self.released.wait()
        if self.mode in {Mode.CLOSE, Mode.RESET} and request.transport is not None:
            if self.mode is Mode.RESET:
                peer = request.transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return web.Response(status=self.status, body=self.body or None, headers=self.headers)


@asynccontextmanager
async def saying(answer: bytes) -> AsyncIterator[str]:
    """The address of a service that reads the request, says these bytes and closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


def free_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def spellings(secret: str) -> set[str]:
    """How it may look once it went through a URL, JSON, HTML or a header."""
    coded = [code(secret.encode()).decode().rstrip("=") for code in (b64encode, urlsafe_b64encode)]
    quoted = [quote(secret), quote(secret, safe=""), quote_plus(secret)]
    return {secret, html.escape(secret), json.dumps(secret)[1:-1], *coded, *quoted}


def assert_unspoken(text: str, secrets: tuple[str, ...]) -> None:
    """The text has none of the secrets, however it is spelt."""
    assert not [form for secret in secrets for form in spellings(secret) if form.lower() in text.lower()]


def assert_readable(verdict: Verdict, secrets: tuple[str, ...]) -> None:
    """A reason is one short line without any secret; a failure has one."""
    assert (verdict.outcome is Outcome.SENT) or verdict.why
    assert len(verdict.why) <= 200
    assert "\n" not in verdict.why
    assert_unspoken(verdict.why, secrets)


@contextmanager
def root_log() -> Iterator[io.StringIO]:
    """All that reaches the log of the process. Not caplog: it listens also to loggers that were silenced on purpose."""
    root, told = logging.getLogger(), io.StringIO()
    handler, level = logging.StreamHandler(told), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield told
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


class NotifierContract:
    """The suite. `secrets`: all that the address of the made notifier holds and nobody else may see.

    No send may tell a secret in its verdict or in any log.
    `taken`: the statuses by which the service says that it took a message; another 2xx is ambiguous.
    """

    secrets: tuple[str, ...] = ()
    taken: frozenset[int] = frozenset(range(200, 300))

    def make(self, address: str, deadline: float) -> Notifier:
        """Make the notifier for an HTTP service at `address` (host:port), with a deadline in seconds."""
        raise NotImplementedError

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[HttpReceiver]:
        async with HttpReceiver() as receiver:
            yield receiver

    async def _send(self, address: str, text: Text = TEXT, deadline: float = 5.0) -> Verdict:
        with root_log() as told:
            notifier = self.make(address, deadline)
            try:
                verdict = await notifier.send(text)
            finally:
                await notifier.close()
        assert_readable(verdict, self.secrets)
        assert_unspoken(told.getvalue() + repr(notifier) + str(notifier), self.secrets)
        return verdict

    @pytest.mark.parametrize(("status", "outcome"), sorted(OUTCOMES.items()))
    async def test_each_status_has_its_outcome(self, receiver: HttpReceiver, status: int, outcome: Outcome) -> None:
        receiver.answer(status, b"ok" if status == 200 else b"", **({"Location": "/login"} if status < 400 else {}))
        expected = Outcome.AMBIGUOUS if 200 <= status < 300 and status not in self.taken else outcome
        assert (await self._send(receiver.address)).outcome is expected
        assert len(receiver.seen) == 1

    @pytest.mark.parametrize(("answer", "outcome"), ANSWERS.items())
    async def test_an_answer_that_is_cut_is_ambiguous(self, answer: bytes, outcome: Outcome) -> None:
        async with saying(answer) as address:
            assert (await self._send(address)).outcome is outcome

    @pytest.mark.parametrize(
        ("header", "after"),
        [(None, {None}), ("7", {None, 7.0}), ("soon", {None}), ("Wed, 21 Oct 2015 07:28:00 GMT", {None, 0.0})],
    )
    async def test_patience_that_is_asked_for_is_never_misread(
        self, receiver: HttpReceiver, header: str | None, after: set[float | None]
    ) -> None:
        receiver.answer(429, **({"Retry-After": header} if header else {}))
        verdict = await self._send(receiver.address)
        assert verdict.outcome is Outcome.RETRY
        assert verdict.after in after

    async def test_the_words_arrive(self, receiver: HttpReceiver) -> None:
        receiver.answer(200, b"ok")
        assert (await self._send(receiver.address)).outcome is Outcome.SENT
        assert b"mgnRatio" in receiver.seen[0][1]
        assert b"margin low" in receiver.seen[0][1]

    @pytest.mark.parametrize("severity", Severity)
    @pytest.mark.parametrize("plain", [False, True])
    @pytest.mark.parametrize("body", ["", " \n", "ladder up\n\ttwice"])
    async def test_any_text_is_carried(
        self, receiver: HttpReceiver, severity: Severity, plain: bool, body: str
    ) -> None:
        receiver.answer(200, b"ok")
        assert (await self._send(receiver.address, Text("a title", body, severity, plain))).outcome is Outcome.SENT
        assert b"a title" in receiver.seen[0][1]

    async def test_a_refused_connection_is_tried_again(self) -> None:
        assert (await self._send(free_address())).outcome is Outcome.RETRY

    @pytest.mark.parametrize("mode", [Mode.CLOSE, Mode.RESET])
    async def test_a_connection_that_breaks_after_the_request_is_ambiguous(
        self, receiver: HttpReceiver, mode: Mode
    ) -> None:
        receiver.mode = mode
        assert (await self._send(receiver.address)).outcome is Outcome.AMBIGUOUS
        assert len(receiver.seen) == 1

    async def test_a_hung_receiver_is_ambiguous(self, receiver: HttpReceiver) -> None:
        receiver.mode = Mode.HANG
        assert (await self._send(receiver.address, deadline=0.3)).outcome is Outcome.AMBIGUOUS

    async def test_a_slow_answer_is_waited_for(self, receiver: HttpReceiver) -> None:
        receiver.answer(200, b"ok")
        receiver.mode = Mode.HANG
        sending = asyncio.create_task(self._send(receiver.address))
        await receiver.arrived.wait()
        assert not sending.done()
        receiver.released.set()
        assert (await sending).outcome is Outcome.SENT

    async def test_closing_does_not_wait_for_a_hung_send(self, receiver: HttpReceiver) -> None:
        receiver.mode = Mode.HANG
        notifier = self.make(receiver.address, 5.0)
        sending = asyncio.create_task(notifier.send(TEXT))
        await receiver.arrived.wait()
        begun = time.monotonic()
        await notifier.close()
        assert time.monotonic() - begun < 0.5
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    async def test_a_hung_receiver_does_not_delay_another(self, receiver: HttpReceiver) -> None:
        receiver.mode = Mode.HANG
        slow = self.make(receiver.address, 5.0)
        sending = asyncio.create_task(slow.send(TEXT))
        await receiver.arrived.wait()
        async with HttpReceiver() as healthy:
            healthy.answer(200, b"ok")
            begun = time.monotonic()
            assert (await self._send(healthy.address)).outcome is Outcome.SENT
            assert time.monotonic() - begun < 2.0
        assert not sending.done()
        receiver.answer(200, b"ok")
        receiver.released.set()
        assert (await sending).outcome is Outcome.SENT
        await slow.close()

    @pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500, 502])
    async def test_no_secret_is_told_even_if_the_receiver_repeats_it(self, receiver: HttpReceiver, status: int) -> None:
        for secret in self.secrets:
            for form in sorted(spellings(secret)):
                receiver.answer(status, f"no: {form}!".encode())
                await self._send(receiver.address)
