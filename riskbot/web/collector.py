"""The metrics of a running service, read when somebody asks: between scrapes they cost nothing."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Iterator
from importlib.metadata import version

from riskbot import metrics
from riskbot.metrics import Sheet
from riskbot.model import Alert, Severity
from riskbot.notify import Outcome
from riskbot.rules import Measured, Rule
from riskbot.service import Service
from riskbot.service.judge import Judge
from riskbot.service.tally import REASONS
from riskbot.service.watch import Watch
from riskbot.store import Message

NOTHING = Measured()


async def fill(sheet: Sheet, service: Service, most: int) -> int:
    """Put all into the sheet, account by account: in between the polls go on.

    Gives how many readings and alerts beyond `most` were left out.
    """
    now, series = service.clock.now(), _Series(sheet, most)
    _itself(sheet, service, now)
    _receivers(sheet, service, now)
    for judge in service.judges():
        series.alerts(judge)
    for watch in list(service.watches.values()):
        sees = service.vitals.sees(watch, now)
        _account(sheet, watch, now, sees=sees)
        for rule in watch.judge.rules:
            _health(sheet, watch.judge, rule.name, now)
            if sees or rule.SEES_OUTAGE:
                series.readings(watch.judge, rule)
        await asyncio.sleep(0)
    sheet.put(metrics.LEFT_OUT, series.left_out)
    return series.left_out


def _itself(sheet: Sheet, service: Service, now: float) -> None:
    sheet.put(metrics.BUILD, 1, version("riskbot"), platform.python_version())
    sheet.put(metrics.HEALTHY, not service.vitals.reasons(now))
    sheet.put(metrics.READY, service.vitals.ready())
    sheet.put(metrics.STORE_FAILING, service.store.failing is not None)
    if room := service.host.room:
        sheet.put(metrics.DATABASE, room.used)
        sheet.put(metrics.DISK_FREE, room.free)
    sheet.put(metrics.LAG, service.host.lag.mean)
    for server, seconds in service.bundle.offsets().items():
        sheet.put(metrics.CLOCK_DRIFT, seconds, server)
    sheet.put(metrics.CLOCK_STEPS, service.clock.steps)


def _account(sheet: Sheet, watch: Watch, now: float, *, sees: bool) -> None:
    name, ratio = watch.account, watch.observer.snapshot.mgn_ratio
    if sees and ratio.is_finite():
        sheet.put(metrics.MGN_RATIO, float(ratio), name)
    sheet.put(metrics.ACCOUNT_UP, sees, name)
    if (age := watch.unseen_for(now)) is not None:
        sheet.put(metrics.SEEN_AGE, age, name)
    sheet.put(metrics.POLLS, watch.polls, name)
    sheet.put(metrics.POLLS_MISSED, watch.missed, name)
    for reason in REASONS:  # 0 too: else the first failure would be no increase
        sheet.put(metrics.POLLS_FAILED, watch.failed[reason], name, reason)
    sheet.put(metrics.POLL_TIME, (watch.took.reached(), watch.took.total), name)


def _receivers(sheet: Sheet, service: Service, now: float) -> None:
    waiting: dict[str, list[Message]] = {name: [] for name in service.couriers}
    for message in service.store.unsent():
        waiting.setdefault(message.receiver, []).append(message)
    for name, messages in waiting.items():
        sheet.put(metrics.QUEUE, len(messages), name)
        if messages:
            sheet.put(metrics.QUEUE_AGE, max(0.0, now - min(message.since for message in messages)), name)
    for name, courier in service.couriers.items():
        for outcome in Outcome:  # 0 too, as above
            sheet.put(metrics.DELIVERIES, courier.tries[outcome], name, outcome)
        sheet.put(metrics.DELIVERY_TIME, (courier.took.reached(), courier.took.total), name)


def _health(sheet: Sheet, judge: Judge, rule: str, now: float) -> None:
    had = judge.had_data.get(rule)
    sheet.put(metrics.HAD_DATA, had is not None, judge.account, rule)
    if had is not None:
        sheet.put(metrics.DATA_AGE, max(0.0, now - had), judge.account, rule)


def _open(judge: Judge) -> Iterator[tuple[str, str, Alert]]:
    """Rule, subject and alert of all that is told, or to be told."""
    return (known for known in judge.alerts.each() if known[2].shown)


class _Series:
    """Which readings and alerts are shown: so many at the most."""

    def __init__(self, sheet: Sheet, most: int) -> None:
        self._sheet, self._most = sheet, most
        self._shown: set[tuple[str, str, str]] = set()
        self.left_out = 0

    def alerts(self, judge: Judge) -> None:
        """Those that are open: to come first, so that they are shown whatever has to be left out."""
        for rule, subject, alert in _open(judge):
            if self._has_room((judge.account, rule, subject)):
                self._sheet.put(metrics.SEVERITY, alert.shown, judge.account, rule, subject)

    def readings(self, judge: Judge, rule: Rule) -> None:
        """What a rule measured; and that nothing is open of what was not shown yet."""
        answer = judge.measured.get(rule.name, NOTHING)
        for reading in answer.readings:
            key = (judge.account, rule.name, reading.ccy)
            if reading.value.is_finite() and self._has_room(key):
                self._sheet.put(metrics.READING, float(reading.value), *key)
                self._sheet.put(metrics.SEVERITY, Severity.OK, *key)

    def _has_room(self, key: tuple[str, str, str]) -> bool:
        if key not in self._shown and len(self._shown) >= self._most:
            self.left_out += 1
            return False
        self._shown.add(key)
        return True
