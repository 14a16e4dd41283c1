"""Cuts off a call that does not end: a plugin's endless loop, or its wait for a server, would hold up all else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LENGTH = 5.0
"""Seconds."""


class Overdue(BaseException):
    """The call took too long. No Exception, so that the plugin's own `except Exception` does not keep it."""


@contextmanager
def leash() -> Iterator[None]:
    """Raise Overdue in what is called within, should it take too long. Only the main thread can be held so.

    A timer and its handler that were set before are put back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGALRM, _pull)
    timer = signal.setitimer(signal.ITIMER_REAL, LENGTH)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _pull(*_: object) -> None:
    raise Overdue(f"it did not end within {LENGTH:g} s")
