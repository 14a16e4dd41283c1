"""An event loop whose time does not pass by itself: when all wait, it goes on to the next moment at once.

What runs in it is the real thing, with its timers, timeouts and pauses; a night takes seconds, and the same input gives
the same course, always. Nothing in it may wait for the world outside: there is no network, and work that is given to a
thread is done on the spot.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")


class StandstillError(RuntimeError):
    """All wait, and for nothing that time would bring."""


class _Skipping(selectors.SelectSelector):
    """Instead of waiting it moves the loop's time."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise StandstillError("all tasks wait, and no moment is set at which one of them goes on")
        if not ready:
            self.passed += max(0.0, timeout or 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0, in seconds."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds since its beginning."""
        return self._skipping.passed

    def run_in_executor(  # type: ignore[override] # the arguments of `func` are not spelt out
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Done at once, while time stands still."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it
            done.set_exception(error)
        return done


def run(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, in a virtual loop of its own."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
