"""What is counted of polls and deliveries, for whoever looks."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import inf

from riskbot.source import Remedy, SourceError


class Tally:
    """Counts by upper bounds, seconds: what a histogram is made of. To add to it costs next to nothing."""

    def __init__(self, *bounds: float) -> None:
        self.total = 0.0
        """Seconds, of all together."""
        self._bounds = (*bounds, inf)
        self._counts = [0] * len(self._bounds)

    def add(self, seconds: float) -> None:
        """One took so long."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def reached(self) -> list[tuple[float, int]]:
        """(bound, how many took at most so long), shortest first; the last one is all."""
        return list(zip(self._bounds, accumulate(self._counts), strict=True))


REASONS = NETWORK, EXCHANGE, REFUSED, CLOCK, INTERNAL = "network", "exchange", "refused", "clock", "internal"
"""Why polls fail. refused: the key, this address or this account; internal: a mistake of riskbot."""

_BY_REMEDY = {Remedy.RESYNC: CLOCK, Remedy.SLOW: REFUSED, Remedy.BACK_OFF: EXCHANGE}


def reason(error: SourceError) -> str:
    """Which of `REASONS` it is."""
    return _BY_REMEDY.get(error.remedy) or (EXCHANGE if error.code else NETWORK)
