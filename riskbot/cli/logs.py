"""What `riskbot run` writes to stderr: lines for people, for the journal of systemd, or JSON for machines.

All of it goes through the root logger, also what plugins, libraries and Python itself have to say: no line may leave
the process with a secret in it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from riskbot.redact import Redactor

if TYPE_CHECKING:
    from types import TracebackType

FORMS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

log = logging.getLogger("riskbot")


def begin(redactor: Redactor, form: str = "text", level: str = "info") -> None:
    """From now on all that is logged goes to stderr, redacted. level: of riskbot's own lines; others' from warning."""
    handler = _Stderr(sys.stderr)
    handler.setFormatter(formatter(redactor, form, journal=is_the_journal(sys.stderr.fileno())))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    log.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    sys.excepthook = _ended
    threading.excepthook = _thread_ended
    sys.unraisablehook = _ignored


def formatter(redactor: Redactor, form: str, *, journal: bool) -> logging.Formatter:
    """How a line looks. journal: it adds the time by itself, and wants to be told how bad each line is."""
    if form == "json":
        lines: logging.Formatter = JsonFormatter(redactor)
    else:
        lines = RedactingFormatter(redactor, f"{'' if journal else '%(asctime)s '}%(levelname)s %(message)s")
    return JournalFormatter(lines) if journal else lines


def is_the_journal(fd: int, env: Mapping[str, str] = os.environ) -> bool:
    """Does what is written there go to the journal? A variable that is merely inherited does not say so."""
    found = os.fstat(fd)
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class RedactingFormatter(logging.Formatter):
    """A formatter whose finished text holds no secret, its traceback included.

    A filter would not do: it sees the record before the traceback is written, and none of a child logger's records.
    """

    def __init__(self, redactor: Redactor, fmt: str) -> None:
        super().__init__(fmt)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted as the last step."""
        return self._redactor.redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; account and exception where there is one."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor.redact

    def format(self, record: logging.LogRecord) -> str:
        """Each text is redacted before it is quoted: what is written is JSON, whatever the secrets are."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        if account := getattr(record, "account", ""):
            said["account"] = self._redact(account)
        if record.exc_info:
            said["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


class JournalFormatter(logging.Formatter):
    """Tells the journal how bad a line is: `<3>` before it, as syslog has it; before each line of a traceback."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        """The same lines, each with its priority."""
        priority = next((number for least, number in _PRIORITIES if record.levelno >= least), 7)
        return "\n".join(f"<{priority}>{line}" for line in self._lines.format(record).split("\n"))


_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""From which level on a line has which priority of syslog: crit, err, warning, info; below them debug, 7."""


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg] # of text
    """What can't be logged is told without its words: nothing has redacted them. A full disk or a closed pipe: not."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[0]
        with suppress(OSError, ValueError):
            self.stream.write(f"a line of {record.name} can't be logged ({error.__name__ if error else '?'})\n")


# Mistakes that nobody has caught: Python would print them as they are.


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.critical("riskbot ends by a mistake of its own", exc_info=(kind, error, trace))


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    log.error("a thread ended by a mistake", exc_info=(args.exc_type, error, args.exc_traceback))


def _ignored(args: sys.UnraisableHookArgs) -> None:
    error = args.exc_value or args.exc_type()
    log.warning(args.err_msg or "an exception was ignored", exc_info=(args.exc_type, error, args.exc_traceback))
