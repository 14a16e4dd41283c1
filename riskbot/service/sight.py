"""What can be seen of an account: its replies and failures as they come, and what they amount to. No clock.

The watch fills it with what the exchange answers; playback with what it answered once.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from msgspec import Struct

from riskbot import text
from riskbot.model import AccountInfo, Observation, Outage, Severity
from riskbot.rules import Rule
from riskbot.snapshot import Snapshot
from riskbot.source import SourceError

STALE_AFTER = 5.0
"""Seconds, or three polls: until then a poll that fails is no outage yet."""
LONGEST_GAP = 10.0
"""Seconds, or ten polls: a longer pause between two looks is a hole."""
RAISE_ONLY = -1.0
"""As the longest gap: then every look comes after a hole, and nothing falls."""
_MOST_FAILURES = 100


class Failure(Struct, frozen=True):
    """What is remembered of a failed poll. Not the error itself: its traceback holds the whole reply, megabytes even.

    why, severity: see `SourceError`.
    """

    why: str
    severity: Severity


class Sight:
    """One account's replies and failed polls, as observations for its rules. poll_every: seconds.

    seen: when the account was last seen, or when riskbot began to look. ever_seen: it was.
    failures: the newest of those since then, oldest first.
    """

    def __init__(self, poll_every: float, seen: float = 0.0, *, ever_seen: bool = False) -> None:
        self.poll_every = poll_every
        self.seen, self.ever_seen = seen, ever_seen
        self.failures: list[Failure] = []
        self._stamp: object = None
        self._stamp_moved = 0.0

    def stale(self, snapshot: Snapshot, rules: Iterable[Rule]) -> SourceError | None:
        """The failure that a reply is, if the exchange repeats an old answer: its `uTime` moves on a quiet account too.

        rules: those about blindness say for how long it may.
        """
        now, stamp = snapshot.fetched_at, snapshot.raw.get("uTime")
        if stamp != self._stamp or not stamp:
            self._stamp, self._stamp_moved = stamp, now
        frozen_after = (getattr(rule, "frozen_after", 0.0) for rule in rules if rule.SEES_OUTAGE)
        if now - self._stamp_moved <= min(filter(None, frozen_after), default=inf):
            return None
        self.seen = self._stamp_moved
        return SourceError(f"OKX's answers have not changed since {text.clock(self._stamp_moved)}")

    def answered(self, now: float) -> None:
        """A good reply has come."""
        self.seen, self.ever_seen, self.failures = now, True, []

    def failed(self, error: SourceError) -> None:
        """A poll has failed."""
        self.failures = [*self.failures[1 - _MOST_FAILURES :], Failure(error.why, error.severity)]

    def shift(self, seconds: float) -> None:
        """The clock was set ahead by so much, and no time passed."""
        self.seen += seconds
        self._stamp_moved += seconds

    def at(
        self, now: float, snapshot: Snapshot | None = None, info: AccountInfo | None = None, *, sure: bool = True
    ) -> Observation:
        """What there is to see now. snapshot: a reply that has just come.

        sure: it is of the account that is remembered. Until that is known numbers may raise, and nothing else.
        """
        outage = self._outage() if self.failures else None
        max_gap = max(LONGEST_GAP, 10 * self.poll_every) if sure else RAISE_ONLY
        return Observation(now, snapshot, outage, info, max_gap)

    def _outage(self) -> Outage:
        """A dead key is believed when it is said twice; that the exchange has frozen the account, at once."""
        failure = self.failures[-1]
        twice = len(self.failures) > 1 and self.failures[-2].severity >= failure.severity
        severity = failure.severity if twice or failure.severity is Severity.EMERGENCY else Severity.OK
        stale_after = max(STALE_AFTER, 3 * self.poll_every)
        return Outage(self.seen, failure.why, severity, never=not self.ever_seen, stale_after=stale_after)
