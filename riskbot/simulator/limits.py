"""The sliding rate limit."""

from __future__ import annotations

from collections import deque


class Window:
    """Counts what happened within the last `span` seconds.

    busiest: the most that ever happened within any `span` seconds.
    """

    def __init__(self, span: float = 2.0) -> None:
        self._span = span
        self._times: deque[float] = deque()
        self.busiest = 0

    def count(self, now: float) -> int:
        """How many happened after `now - span`."""
        while self._times and self._times[0] <= now - self._span:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        """One more happened at `now`."""
        self._times.append(now)
        self.busiest = max(self.busiest, self.count(now))
