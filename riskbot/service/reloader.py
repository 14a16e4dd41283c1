"""A changed rules file, taken up while riskbot runs. A bad one never replaces a good one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from riskbot.health import Problem
from riskbot.service import Bundle, Service, footprint
from riskbot.service.clock import steady
from riskbot.settings import ConfigError, Stamps

log = logging.getLogger("riskbot")

LOOK_EVERY = 2.0
"""Seconds between two looks at the files. They are read when they have changed, and stayed so for one look."""


class Reloader:
    """Reads the rules file anew when it, one that it includes, or a plugin has changed or somebody asks (SIGHUP).

    It hands them to the service whole.

    read: the valid bundle; runs in a thread, for it may take a second. Raises ConfigError: the old one stays, and
    that is told until a good one comes. used: the `Stamps` of the files that are in use. around: entered while it
    is at it.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[], Bundle],
        service: Service,
        used: object = None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._path, self._read, self._service, self._around = path, read, service, around
        self._asked = asyncio.Event()
        self._stamp = Stamps(path)
        self._used = self._looked = used or self._stamp()
        service.problems.clear(path.name)  # riskbot would not run without a good one

    def ask(self) -> None:
        """Read it now, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        await steady(self._turn, "reloader", self._service.clock)

    async def _turn(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), LOOK_EVERY)
        now = await asyncio.to_thread(self._stamp)
        settled = now == self._looked and now != self._used
        self._looked = now
        if self._asked.is_set() or settled:
            self._asked.clear()
            self._used = now
            with self._around():
                await self.reload()
            footprint.tidy()

    async def reload(self) -> None:
        """Validate all of it; only then use it."""
        before = self._service.bundle
        try:
            await self._service.apply(await asyncio.to_thread(self._read))
        except ConfigError as error:
            more = len(error.problems) - 1
            self._refused(f"{error.problems[0]}{f' (and {more} more)' if more else ''}")
        except Exception as error:  # a mistake of riskbot or of a plugin: the old rules must go on
            log.exception("%s can't be used", self._path.name)
            if self._service.bundle is before:
                self._refused(type(error).__name__)
            else:
                self._tell(f"{type(error).__name__}; it was taken up in part only: restart riskbot")
        else:
            self._service.problems.clear(self._path.name)
            log.info("%s: taken up", self._path.name)

    def _refused(self, why: str) -> None:
        log.error("%s can't be used; the rules from before stay in force: %s", self._path.name, why)
        self._tell(f"{why}; the rules from before stay in force")

    def _tell(self, told: str) -> None:
        self._service.problems.happened(self._path.name, Problem(self._service.clock.now(), told, 0.0, 0.0))
