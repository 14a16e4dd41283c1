"""What every notifier that speaks HTTP must do. A notifier's tests subclass `NotifierContract` and say how to make it.

class TestMine(NotifierContract):
    secrets = ("S3CRET-TOKEN",)

    def make(self, address: str, deadline: float) -> Notifier:
        return Mine(f"http://{address}/{self.secrets[0]}", deadline=deadline)
"""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict

TEXT = Text("riskbot: margin low", "mgnRatio <1.5> & co", Severity.CRITICAL)

OUTCOMES = {
    **dict.fromkeys((200, 201, 204), Outcome.SENT),
    **dict.fromkeys((408, 421, 425, 429, 500, 501, 503, 507, 599), Outcome.RETRY),
    **dict.fromkeys((502, 504), Outcome.AMBIGUOUS),
    **dict.fromkeys((400, 406, 409, 411, 413, 414, 415, 418, 422, 423, 431, 451), Outcome.PERMANENT),
    **dict.fromkeys((301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 407, 410), Outcome.BROKEN),
}
"""Redirects are not followed: a POST arrives as a GET at a page whose 200 is no delivery."""


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


def free_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def assert_readable(verdict: Verdict, secrets: tuple[str, ...]) -> None:
    """A reason is one short line without any secret; a failure has one."""
    assert (verdict.outcome is Outcome.SENT) or verdict.why
    assert len(verdict.why) <= 200
    assert "\n" not in verdict.why
    assert not [secret for secret in secrets if secret.lower() in verdict.why.lower()]


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

    `taken`: the statuses by which the service says that it took a message; another 2xx is ambiguous.
    """

    secrets: tuple[str, ...] = ()
    taken: frozenset[int] = frozenset({200, 201, 204})

    def make(self, address: str, deadline: float) -> Notifier:
        """Make the notifier for an HTTP service at `address` (host:port), with a deadline in seconds."""
        raise NotImplementedError

    @pytest.fixture
    async def receiver(self) -> AsyncIterator[HttpReceiver]:
        async with HttpReceiver() as receiver:
            yield receiver

    async def _send(self, address: str, text: Text = TEXT, deadline: float = 5.0) -> Verdict:
        notifier = self.make(address, deadline)
        try:
            verdict = await notifier.send(text)
        finally:
            await notifier.close()
        assert_readable(verdict, self.secrets)
        return verdict

    @pytest.mark.parametrize(("status", "outcome"), sorted(OUTCOMES.items()))
    async def test_each_status_has_its_outcome(self, receiver: HttpReceiver, status: int, outcome: Outcome) -> None:
        receiver.answer(status, b"ok" if status == 200 else b"", **({"Location": "/login"} if status < 400 else {}))
        expected = Outcome.AMBIGUOUS if status < 300 and status not in self.taken else outcome
        assert (await self._send(receiver.address)).outcome is expected
        assert len(receiver.seen) == 1

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

    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
    async def test_no_secret_is_told_even_if_the_receiver_repeats_it(self, receiver: HttpReceiver, status: int) -> None:
        receiver.answer(status, "; ".join(self.secrets).encode())
        with root_log() as told:
            notifier = self.make(receiver.address, 5.0)
            assert_readable(await notifier.send(TEXT), self.secrets)
            await notifier.close()
        assert not [secret for secret in self.secrets if secret in repr(notifier) + str(notifier) + told.getvalue()]
