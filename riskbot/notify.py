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
    """This message will never be taken (HTTP 400): once more as plain text, then given up and told elsewhere."""
    BROKEN = "broken"
    """The receiver takes nothing (HTTP 401, 403, 404): the address or its secret is wrong."""


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
