"""A thread that does one thing after the other, so that a slow disk never holds the event loop.

Not a ThreadPoolExecutor: that one's threads are joined when the interpreter ends, so a disk that hangs would keep the
program from ending.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Does the work given to it in order. Work that was begun is always finished; cancelled before, it is not begun."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do this after all that was given before."""
        job: Future[T] = Future()
        self._jobs.put((job, work))
        return job

    def stop(self) -> None:
        """End after all that was given before. Doesn't wait."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            _do(*job)
            del job  # an idle worker holds on to nothing


def _do(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits, and the thread must live on
        future.set_exception(error)
    else:
        future.set_result(result)
