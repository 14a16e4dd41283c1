"""A bar that shows how far something is, on a terminal; nothing where stderr is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Tell(Protocol):
    """Is to be told how much is done, 0 to 1, and of what, if that changes."""

    def __call__(self, part: float, what: str = "") -> None:
        """So much."""


@contextmanager
def progress(name: str) -> Iterator[Tell]:
    """While it lasts. Gives what is to be told."""
    if not sys.stderr.isatty():
        yield _nobody
        return
    from rich.console import Console  # noqa: PLC0415 - see cli/__init__.py
    from rich.markup import escape  # noqa: PLC0415 - see cli/__init__.py
    from rich.progress import Progress  # noqa: PLC0415 - see cli/__init__.py

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda part, what="": bar.update(task, completed=part, description=escape(what or name))


@contextmanager
def steps(name: str, total: float) -> Iterator[Callable[[float], None]]:
    """The same. Gives what is to be told of each step; `total`: all of them together."""
    done = 0.0
    with progress(name) as tell:

        def advance(step: float) -> None:
            nonlocal done
            done += step
            tell(done / max(total, 1.0))

        yield advance


def _nobody(part: float, what: str = "") -> None:
    """Nobody looks."""
    del part, what
