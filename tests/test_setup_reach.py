"""Can a receiver's service be reached, without sending anything?"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from riskbot.builtin.apprise.notifier import AppriseNotifier
from riskbot.setup import reach
from riskbot.setup.reach import Address

BOT = "123456789:AAbcdefghijklmnopqrstuvwxyz_012345678"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)


@pytest.mark.parametrize(
    ("url", "there"),
    [
        (f"tgram://{BOT}/1", Address("api.telegram.org", 443, tls=True)),
        (f"tgram://{BOT}/1?api=http://127.0.0.1:8081", Address("127.0.0.1", 8081, tls=False)),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", Address("hooks.slack.com", 443, tls=True)),
        ("mailtos://me:secret@example.com?smtp=mx.example.com", Address("mx.example.com", 587, tls=False)),
        ("mailtos://me:secret@example.com:465?smtp=mx.example.com&mode=ssl", Address("mx.example.com", 465, tls=True)),
        ("json://example.com", Address("example.com", 80, tls=False)),
        ("jsons://example.com:8443/x?verify=no", Address("example.com", 8443, tls=True, verify=False)),
        ("ntfy://topic", None),
        ("pagerduty://planted-token@planted-key", None),
    ],
)
def test_where_a_service_listens_is_known_where_it_can_be(url: str, there: Address | None) -> None:
    assert reach.address(AppriseNotifier(url)) == there


def test_a_plugins_notifier_and_one_behind_a_proxy_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    notifier: Any = object()
    assert reach.address(notifier) is None

    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy:3128"})
    assert reach.address(AppriseNotifier(f"tgram://{BOT}/1")) is None
    assert reach.address(AppriseNotifier("json://example.com")) is not None


async def test_a_door_that_opens_is_reached_and_nothing_is_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = Address("127.0.0.1", server.getsockname()[1], tls=False)
        assert await reach.connect(there) == ""
        heard, _ = server.accept()
        with heard:
            assert await asyncio.to_thread(heard.recv, 100) == b""
    assert (await reach.connect(there)).startswith(f"{there} can't be reached (")


async def test_one_that_does_not_encrypt_is_told() -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 mail ready\r\n" * 20)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
        there = Address("127.0.0.1", server.sockets[0].getsockname()[1], tls=True)
        assert await reach.connect(there) == f"{there}: no encrypted connection (WRONG_VERSION_NUMBER)"


async def test_one_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "DEADLINE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = Address("127.0.0.1", server.getsockname()[1], tls=True)
        assert await reach.connect(there) == f"no connection to {there} within 0.05 s"


def test_a_certificate_is_checked_unless_the_url_says_otherwise() -> None:
    assert reach._context(Address("h", 443, tls=True)).verify_mode == ssl.CERT_REQUIRED
    assert reach._context(Address("h", 443, tls=True, verify=False)).verify_mode == ssl.CERT_NONE
