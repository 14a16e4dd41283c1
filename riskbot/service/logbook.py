"""Log lines about one account; and lines at the edge: when something begins to fail, and when it works again."""

from __future__ import annotations

import logging
from typing import Any

from riskbot import text
from riskbot.model import Event, Severity
from riskbot.settings import SELF

log = logging.getLogger("riskbot")
log.addHandler(logging.NullHandler())  # else Python prints to stderr what nobody has asked to see: see cli/logs.py

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

MOST_REASONS = 20
"""Reasons that are told while something fails; more of them only tell of a reason that has a number in it."""


class About(logging.LoggerAdapter[logging.Logger]):
    """A log whose lines are about an account: each begins with its name, and has it in `account` for machines."""

    def __init__(self, account: str) -> None:
        super().__init__(log, {"account": account})
        self._account = account

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        """All other methods come here."""
        super().log(level, f"%s: {msg}", self._account, *args, **options)


def changed(event: Event) -> None:
    """An alert has changed: `margin ratio 1.42: warning → critical`, at a level to match."""
    name, value = f"{event.rule} {event.subject}".rstrip(), ""
    if event.account == SELF:  # what it measures is how bad it is
        name = event.subject
    elif event.value is not None:
        value = f" {text.number(event.value)}"
    course, why = text.arrow((event.before, event.after)), f" ({event.note})" if event.note else ""
    About(event.account).log(_LEVELS[event.after], "%s%s: %s%s", name, value, course, why)


_LEVELS = {
    Severity.OK: logging.INFO,
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
    Severity.EMERGENCY: logging.CRITICAL,
}


class Edge:
    """Tells the log once that something fails, with each of its reasons, and once that it works again.

    What fails every second is a line, not a line a second; the others are there at the level debug.
    """

    def __init__(self, out: Log, fails: str, works: str, calm: float = 0.0) -> None:
        """calm: seconds without a failure until it is believed to work: what fails now and then is one failing."""
        self._log, self._fails, self._works, self._calm = out, fails, works, calm
        self._reasons: set[str] = set()
        self._count = 0
        self._well_since: float | None = None

    def fails(self, why: str, level: int = logging.WARNING, error: BaseException | None = None) -> None:
        """Take in a failure. error: its traceback is wanted."""
        self._well_since = None
        self._count += 1
        if why in self._reasons or len(self._reasons) == MOST_REASONS:
            level = logging.DEBUG
        else:
            self._reasons.add(why)
        self._log.log(level, "%s: %s", self._fails, why, exc_info=error)

    def works(self, now: float) -> None:
        """Take in that it did not fail this time."""
        if not self._count:
            return
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since >= self._calm:
            self._log.info("%s; failures: %d", self._works, self._count)
            self._reasons.clear()
            self._count, self._well_since = 0, None
