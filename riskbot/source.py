"""The contract of a source: where an account's snapshots come from."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from riskbot.model import AccountInfo, Severity
from riskbot.snapshot import Snapshot


class Remedy(Enum):
    """What the watch does after a failed fetch."""

    RETRY = "ask again at the next poll"
    BACK_OFF = "ask less and less often"
    RESYNC = "set the clock offset anew, then ask again"
    SLOW = "tell at once, keep asking slowly"


class SourceError(Exception):
    """No snapshot this time. The only error that `fetch` may raise.

    why: for people, without any secret. severity: told at once at this severity; OK: only if it lasts.
    code: the exchange's own code, "HTTP 502" where it sent none, "" where it sent nothing that names the failure.
    """

    def __init__(
        self, why: str, remedy: Remedy = Remedy.RETRY, severity: Severity = Severity.OK, *, code: str = ""
    ) -> None:
        super().__init__(why)
        self.why, self.remedy, self.severity, self.code = why, remedy, severity, code


class Source(Protocol):
    """One account at one exchange."""

    async def fetch(self) -> Snapshot:
        """The account as it is. Raises SourceError, nothing else; keeps a deadline of its own."""

    async def info(self) -> AccountInfo:
        """Who the key belongs to and what it may do. Raises SourceError."""

    async def close(self) -> None:
        """Give back what it holds."""
