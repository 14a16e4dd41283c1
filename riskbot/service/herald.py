"""Tells systemd how riskbot is: ready, alive, reading its rules anew, ending; and the worst that there is to say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from riskbot.model import Event
from riskbot.service import Service
from riskbot.service import clock as clocks
from riskbot.service.clock import steady
from riskbot.service.judge import Judge
from riskbot.service.logbook import log
from riskbot.service.notify_socket import NotifySocket
from riskbot.settings import SELF
from riskbot.text import count

EVERY = 1.0
"""Real seconds between two looks."""
MORE_TIME = 30.0
"""Seconds by which the start is given longer, while it gets on."""


class Herald:
    """It says WATCHDOG=1 only while all that should move does: a riskbot that hangs is restarted."""

    def __init__(self, service: Service, systemd: NotifySocket) -> None:
        self._service, self._systemd = service, systemd
        self._every = min(EVERY, systemd.watchdog / 3 or EVERY)
        self._ready = False
        self._status, self._stuck = "", list[str]()

    async def run(self) -> None:
        """Until cancelled, or nobody listens."""
        await steady(self._turn, "herald", self._service.clock, lambda: not self._systemd.address)

    async def _turn(self) -> None:
        self.tick()
        await asyncio.sleep(self._every)

    def tick(self) -> None:
        """One look, and what there is to say after it."""
        now, said = self._service.clock.now(), dict[str, object]()
        self._look_for_stuck(now)
        if not self._ready and self._service.vitals.ready():
            self._ready = True
            said["READY"] = 1
        elif not (self._ready or self._stuck):
            said["EXTEND_TIMEOUT_USEC"] = int(MORE_TIME * 1e6)
        if self._systemd.watchdog and not self._stuck:
            said["WATCHDOG"] = 1
        if (status := self._worst(now)) != self._status:
            self._status = said["STATUS"] = status
        if said:
            self._systemd.say(**said)

    def _look_for_stuck(self, now: float) -> None:
        before, self._stuck = self._stuck, self._service.vitals.stuck(now)
        if self._stuck and not before:
            log.error("%s; if that lasts systemd restarts riskbot", "; ".join(self._stuck))
        elif before and not self._stuck:
            log.info("all moves again")

    def _worst(self, now: float) -> str:
        """`CRITICAL main margin ratio 1.42 (142 %)`, or what keeps riskbot from its work, or that all is well."""
        reasons = self._service.vitals.reasons(now) if self._ready else []
        told = [*filter(None, [worst(self._service.judges(), now)]), *self._stuck, *reasons]
        if not told and self._ready:
            bundle = self._service.bundle
            rules = sum(rule.enabled for rule in bundle.rules)
            told = [f"all is well: {count(len(bundle.accounts), 'account')}, {count(rules, 'rule')}"]
        return "; ".join(dict.fromkeys(told)) or "starting"

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """While the rules file is read anew."""
        if self._ready:
            usec = int(clocks.stopwatch() * 1e6)
            self._systemd.say(RELOADING=1, MONOTONIC_USEC=usec, STATUS="reading the rules file anew")
        try:
            yield
        finally:
            if self._ready:
                self._status = self._worst(self._service.clock.now())
                self._systemd.say(READY=1, STATUS=self._status)


def worst(judges: list[Judge], now: float) -> str:
    """The worst that is open, as it stands, and how many more there are; of equals what lasts longest. "": nothing."""
    found = [(event, judge) for judge in judges for event in judge.open(now)]
    if not found:
        return ""
    event, judge = min(found, key=lambda pair: (-pair[0].after, pair[0].opened))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{event.after.name} {_name(event)}{judge.say(event)}{more}"


def _name(event: Event) -> str:
    return "" if event.account == SELF else f"{event.account} "
