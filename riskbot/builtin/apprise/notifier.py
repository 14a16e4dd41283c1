"""One Apprise URL as a receiver: it sends in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from riskbot.builtin.apprise.judging import Entry, judge
from riskbot.builtin.apprise.opening import in_short, opened, schema_of
from riskbot.model import Severity
from riskbot.notify import Outcome, Text, Verdict
from riskbot.redact import Redactor, secrets_of

if TYPE_CHECKING:
    from apprise import Apprise, NotifyBase
    from apprise.result import AppriseResult

DEADLINE = 14.0
"""Seconds for one try, below the 15 that the contract allows."""

_KINDS = {Severity.OK: "success", Severity.INFO: "info", Severity.WARNING: "warning"}
"""Apprise's kinds of a message; all severities above are `failure`."""


def check_url(url: str) -> None:
    """Check an Apprise URL without sending anything. Raises BadUrl."""
    AppriseNotifier(url)


class AppriseNotifier:
    """One Apprise URL as a `Notifier`. Raises BadUrl. deadline: seconds for one try.

    The first one loads all services of Apprise: about 0.7 s of processor time, to be spent at the start.
    """

    def __init__(self, url: str, *, deadline: float = DEADLINE) -> None:
        self._url = url
        self._redactor = Redactor(secrets_of(url))
        self._deadline = deadline
        self._app = opened(url, self._redactor)
        self._plain_app: Apprise | None = None
        self._schema = schema_of(url)
        self._hand = _Hand(f"apprise-{self._schema}")
        self._try: Future[Verdict] | None = None

    def __repr__(self) -> str:
        return f"<AppriseNotifier {self._schema}>"

    @property
    def service(self) -> NotifyBase:
        """Apprise's own object for the URL, to be looked at."""
        service: NotifyBase = self._app[0]
        return service

    async def send(self, text: Text) -> Verdict:
        """Carry it in the receiver's own thread. Past the deadline the outcome is ambiguous, and the thread goes on."""
        if self._try is not None and not self._try.done():
            return Verdict(Outcome.RETRY, "the previous send has not ended")
        self._try = self._hand.give(lambda: self._carry(text))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._try), self._deadline)
        except TimeoutError:
            return Verdict(Outcome.AMBIGUOUS, f"no result within {self._deadline:g} s")

    async def close(self) -> None:
        """Let the thread end when it is idle; a hung send is left alone and does not keep the process alive."""
        self._hand.dismiss()

    def _carry(self, text: Text) -> Verdict:
        """Send in this thread. A failure of any kind becomes a verdict: an open future would block the receiver."""
        try:
            with _notify(self._app_for(text), text) as result:
                entries = [Entry(entry.level, entry.message) for entry in result.logs()]
                verdict = Verdict(Outcome.SENT) if result else judge(entries)
        except BaseException as error:  # noqa: BLE001 - the services are other people's code, SystemExit included
            verdict = Verdict(Outcome.RETRY, f"{type(error).__name__}: {error}")
        return Verdict(verdict.outcome, self._clean(verdict.why), verdict.after)

    def _app_for(self, text: Text) -> Apprise:
        if not text.plain:
            return self._app
        if self._plain_app is None:
            self._plain_app = opened(self._url, self._redactor, format="text")
        return self._plain_app

    def _clean(self, why: str) -> str:
        """One line without secrets."""
        return in_short(self._redactor.redact(why))


def _notify(app: Apprise, text: Text) -> AppriseResult:
    """Send through Apprise, blocking. It refuses an empty body, so a lone title becomes the body.

    The body is declared as text, always: undeclared, `<1.5>` would go out as a tag of HTML and be refused.
    A service without titles of its own (Telegram) gets it in bold above the body; plain text has no bold.
    """
    title, body = text.title, text.body
    if not body.strip() or (text.plain and app[0].title_maxlen <= 0):
        title, body = "", f"{title}\n{body}".strip()
    kind = _KINDS.get(text.severity, "failure")
    return app.notify(body, title=title, notify_type=kind, body_format="text", log_level=logging.DEBUG)


class _Hand:
    """One daemon thread that does one thing after another.

    Not a ThreadPoolExecutor: the interpreter waits for its threads at the exit, a hung send would hold it up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: _Tasks | None = None

    def give(self, work: Callable[[], Verdict]) -> Future[Verdict]:
        """Hand over `work`, which must not raise; starts the thread when there is none."""
        if self._queue is None:
            self._queue = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._queue,), name=self._name, daemon=True).start()
        job: Future[Verdict] = Future()
        self._queue.put((job, work))
        return job

    def dismiss(self) -> None:
        """End the thread once it is idle. A later `give` starts another."""
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None


_Tasks = queue.SimpleQueue[tuple[Future[Verdict], Callable[[], Verdict]] | None]


def _work(tasks: _Tasks) -> None:
    while (task := tasks.get()) is not None:
        job, work = task
        if job.set_running_or_notify_cancel():
            job.set_result(work())
