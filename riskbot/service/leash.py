"""Cuts off a call that does not end: a plugin's endless loop, or its wait for a server, would hold up all else."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from riskbot.source import SourceError

T = TypeVar("T")

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


async def asked(asking: Awaitable[T], deadline: float) -> T | SourceError:
    """What a source answers within so many seconds, or why it does not."""
    try:
        async with asyncio.timeout(deadline):
            return await asking
    except TimeoutError:
        return SourceError(f"no answer within {deadline:.0f} s")
    except SourceError as error:
        return error
