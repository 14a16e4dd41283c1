"""Two times: the wall's, and the scenarios', which may run faster, stand still or jump."""

from __future__ import annotations

from collections.abc import Callable

from riskbot.simulator.paths import seconds


class StoryClock:
    """How far the scenarios are. wall: seconds since 1970. speed: seconds of scenario in a second."""

    def __init__(self, wall: Callable[[], float], speed: float) -> None:
        self.wall = wall
        self._speed = speed
        self._since, self._from = wall(), 0.0

    @property
    def now(self) -> float:
        """Seconds of the scenarios."""
        return self._from + (self.wall() - self._since) * self._speed

    @property
    def speed(self) -> float:
        """Seconds of scenario in a second; 0 stands still."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not 0 <= speed < float("inf"):
            raise ValueError(f"a speed is 0 or more, not {speed}")
        self.seek(self.now)
        self._speed = speed

    def seek(self, at: float | str) -> None:
        """Go to a moment: seconds, or words like `10m`. Raises ValueError."""
        self._from, self._since = float(seconds(at)), self.wall()

    def wall_ms(self, at: float) -> int:
        """Milliseconds since 1970 at a moment of the scenarios, as if they had always run at this speed."""
        passed = (at - self._from) / self._speed if self._speed else 0.0
        return int((self._since + passed) * 1000)
