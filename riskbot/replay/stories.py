"""A scenario of the simulator as a recording: what a watch would have seen of it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import AccountInfo
from riskbot.playback import Entry, Known, Reply
from riskbot.replay.replies import Skip
from riskbot.simulator import Scenario
from riskbot.simulator.payload import render
from riskbot.snapshot import Snapshot

START = 1767225600.0
"""When a scenario begins: midnight UTC, 1 January 2026, so that a message's time of day is the scenario's own."""
INFO = AccountInfo("simulated", "3", permissions=("read_only",), ips=("127.0.0.1",))


class Story:
    """A scenario, looked at every so many seconds."""

    def __init__(self, scenario: Scenario, every: float) -> None:
        self.name = scenario.name or scenario.title
        self.knows = True
        self._scenario, self._every = scenario, every
        self._looks, self._read = int(float(scenario.duration) / every) + 1, 0

    @property
    def part(self) -> float:
        """How much of it has been played, 0 to 1."""
        return self._read / self._looks

    def past(self, span: float) -> list[Point]:
        """Nothing is known of what was before."""
        del span
        return []

    def entries(self, skip: Skip) -> Iterator[Entry]:
        """What was seen. Nothing in it is bad."""
        del skip
        yield Known(START, replace(INFO, mode=self._scenario.mode))
        for i in range(self._looks):
            self._read = i
            yield Reply(snapshot(self._scenario, i * self._every))


def snapshot(story: Scenario, t: float) -> Snapshot:
    """What the exchange says of it t seconds into the scenario."""
    raw = render(story.at(t), story.mode, _millis)
    return Snapshot({"uTime": str(_millis(t)), **raw}, START + t)


def _millis(t: float) -> int:
    return round((START + t) * 1000)
