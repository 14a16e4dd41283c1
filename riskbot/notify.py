"""The contract of a notifier: what carries a message to one receiver."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from riskbot.model import Severity


class Outcome(StrEnum):
    """What became of one try."""

    SENT = "sent"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    """It may have arrived: no answer after the request was written. It is sent again, marked as a possible repeat."""
    PERMANENT = "permanent"
    """The message itself is refused (HTTP 400). Each try is made once more as plain text; if ten, a minute apart, are
    refused, it is given up. That it is refused is told to all receivers."""
    BROKEN = "broken"
    """The receiver takes nothing (HTTP 401, 403, 404): the address or its secret is wrong."""


_AGAIN = frozenset({408, 421, 425, 429})
_BROKEN = frozenset({401, 402, 403, 404, 405, 407, 410})
_GATEWAY = frozenset({502, 504, 520, 524, 598})
"""A gateway has lost the answer; the service behind it may have taken the message."""


def of_status(code: int) -> Outcome:
    """What an HTTP status by itself says of a try."""
    if code in _GATEWAY:
        return Outcome.AMBIGUOUS
    if code in _AGAIN or code >= 500 or code < 200:
        return Outcome.RETRY
    if code in _BROKEN or 300 <= code < 400:
        return Outcome.BROKEN
    return Outcome.PERMANENT if code >= 400 else Outcome.SENT


class Verdict(Struct, frozen=True):
    """The outcome of a try. why: for people, without any secret. after: the receiver asked to wait, seconds."""

    outcome: Outcome
    why: str = ""
    after: float | None = None


class Text(Struct, frozen=True):
    """What is sent. Plain text: the notifier escapes it for its service. `plain`: send without any markup at all."""

    title: str
    body: str
    severity: Severity
    plain: bool = False


class Notifier(Protocol):
    """One receiver. Calls of one notifier never overlap."""

    async def send(self, text: Text) -> Verdict:
        """Carry it. Never raises for a failed delivery; keeps a deadline of its own below 15 seconds."""

    async def close(self) -> None:
        """Give back what it holds; must not wait for a hung send."""
