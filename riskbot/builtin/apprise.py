"""Any Apprise URL as a receiver: Telegram, Slack, e-mail and a hundred more.

Apprise says only "failed"; why it failed stands in what it logs. So the log of each try is captured, never shown,
and read: the outcome is decided by the status or the broken connection found there (`judge`), and only a redacted
line of it leaves this module. Apprise blocks while it sends, therefore every receiver has a thread of its own.

One option is ours: `tgram://TOKEN/CHAT?api=http://127.0.0.1:8081`, for a Bot API server of one's own.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import re
import threading
import warnings
from ast import literal_eval
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from riskbot.model import Severity
from riskbot.notify import Outcome, Text, Verdict, of_status
from riskbot.redact import Redactor, secrets_of
from riskbot.settings.model import LOOPBACK
from riskbot.text import cut

if TYPE_CHECKING:
    from apprise import Apprise, AppriseAsset, NotifyBase
    from apprise.result import AppriseResult

DEADLINE = 14.0
"""Seconds for one try, below the 15 that the contract allows."""

WHY_LENGTH = 200
"""Characters of a reason at most."""

_CONNECT, _READ, _MAIL = 5.0, 10.0, 10.0
"""Seconds to connect, to wait for an answer, and for each step of SMTP. Apprise's own 4 make slow sends ambiguous."""

_MAX_GAP, _MAIL_GAP = 1.0, 0.2
"""Seconds Apprise may sleep between two messages. Its default of 5.5 would hold up an alert that gets worse."""

_KINDS = {Severity.OK: "success", Severity.INFO: "info", Severity.WARNING: "warning"}
"""Apprise's kinds of a message; all severities above are `failure`."""


class BadUrl(ValueError):  # noqa: N818 - reads as what is wrong: raise BadUrl
    """An Apprise URL that cannot be used. Its text is for people and holds no part of the URL but the schema."""


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
        self._app = _open(url, self._redactor)
        self._plain_app: Apprise | None = None
        self._schema = _schema(url)
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
            self._plain_app = _open(self._url, self._redactor, format="text")
        return self._plain_app

    def _clean(self, why: str) -> str:
        """One line of printable text without secrets. Redacted before it is cut: half a secret would not be found."""
        return _one_line(self._redactor.redact(why))


def _one_line(text: str) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return cut(line, WHY_LENGTH)


def _schema(url: str) -> str:
    """Return the schema; nothing of a text that has none, or an odd one, for it may be a misplaced secret."""
    match = re.match(r"\s*([a-z][a-z0-9+.-]{1,15})://", url, re.IGNORECASE)
    return match[1].lower() if match else ""


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


# Opening a URL


def _open(url: str, redactor: Redactor, **forced: str) -> Apprise:
    """Return an Apprise object with this one service, so that it sends in the calling thread. Raises BadUrl."""
    _load()
    from apprise import Apprise  # noqa: PLC0415 - costs a tenth of a second, and `riskbot --help` needs none of it

    service = _service(url, redactor, forced)
    app = Apprise(asset=service.asset)
    app.add(service)
    return app


def _service(url: str, redactor: Redactor, forced: dict[str, str]) -> NotifyBase:
    """Build the service; `from None` everywhere: the chained error of Apprise would show parts of the URL."""
    from apprise.exception import AppriseImproperlyConfigured  # noqa: PLC0415 - see _open

    try:
        service = _instance(url, forced)
    except BadUrl:
        raise
    except AppriseImproperlyConfigured as error:
        raise BadUrl(f"{_schema(url)}://: {_reason(error, redactor)}") from None
    except Exception:  # noqa: BLE001 - what a service raises over a malformed URL is anything
        raise BadUrl(_unknown(url)) from None
    if service is None:
        raise BadUrl(_unknown(url))
    if len(service) == 0:
        raise BadUrl(f"{_schema(url)}://: the URL names no valid receiver")
    return service


def _instance(url: str, forced: dict[str, str]) -> NotifyBase | None:
    """Build the service with our defaults, where the URL does not say otherwise; None if Apprise cannot."""
    from apprise import Apprise  # noqa: PLC0415 - see _open
    from apprise.plugins import url_to_dict  # noqa: PLC0415 - see _open

    tokens = url_to_dict(url.strip())  # type: ignore[no-untyped-call]  # apprise left it without types
    if tokens is None:
        return None
    asked = {key.lower() for key in tokens.get("qsd", ())}
    off = {f"include_{key}": False for key in ("image", "footer") if key not in asked and f"include_{key}" in tokens}
    tokens = {"overflow": "split", **tokens, **off, **forced}
    service = Apprise.instantiate(tokens, asset=_asset(asked), suppress_exceptions=False)
    if service is not None and "api" in asked and _schema(url) == "tgram":
        service.notify_url = f"{bot_api(tokens['qsd']['api'])}/bot"  # type: ignore[attr-defined] # Telegram's own
    return None if service is None else _tuned(service, asked)


def bot_api(base: str) -> str:
    """The address of a Bot API server of one's own, without its last slash. Raises BadUrl."""
    found = re.fullmatch(
        r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:\d{1,5})?(/[\w./~-]*)?", base, re.ASCII | re.IGNORECASE
    )
    if not found:
        raise BadUrl("tgram://: api: write https://host, or http://127.0.0.1:8081")
    if found[1].lower() == "http" and "." in found[2] and found[2] not in LOOPBACK:
        raise BadUrl("tgram://: api: the bot's token would travel in the clear: write https://")
    return base.rstrip("/")


def _asset(asked: set[str]) -> AppriseAsset:
    """Return what all services print about us. No pictures from the web, no deadline of Apprise's own.

    That deadline would move the send to a pool shared by all receivers. Redirects are off: a POST that is redirected
    arrives as a GET at some login page, whose 200 would look like a delivery, and takes its token along.
    """
    from apprise import AppriseAsset  # noqa: PLC0415 - see _open

    icons: dict[str, Any] = {} if asked & {"image", "avatar"} else {"image_url_mask": "", "image_url_logo": ""}
    about: dict[str, Any] = {"app_id": "riskbot", "app_desc": "riskbot", "app_url": "", "http_redirects": False}
    return AppriseAsset(service_timeout=0, storage_mode="memory", **about, **icons)


def _tuned(service: NotifyBase, asked: set[str]) -> NotifyBase:
    """Set what no URL may change (our outbox repeats, and a failure is a failure), and the waiting times."""
    service.retry = 0
    service.optional = False
    mail = hasattr(service, "smtp_host")
    if "cto" not in asked:
        service.socket_connect_timeout = _MAIL if mail else _CONNECT
    if "rto" not in asked:
        service.socket_read_timeout = _READ
    service.request_rate_per_sec = min(service.request_rate_per_sec, _MAIL_GAP if mail else _MAX_GAP)
    return service


@cache
def _load() -> Any:
    """Load all services of Apprise and return what knows them. Once, and without the noise that it makes.

    Nothing of the sending may reach our logs: at DEBUG it holds whole URLs. Apprise must still write it, for us.
    """
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.propagate = False
        # Without any handler logging prints warnings to stderr.
        logger.addHandler(logging.NullHandler())
    logging.getLogger("apprise").setLevel(logging.DEBUG)
    with warnings.catch_warnings():
        # Its e-mail imports a deprecated module for the sake of PGP.
        warnings.simplefilter("ignore", DeprecationWarning)
        from apprise.manager_plugins import NotificationManager  # noqa: PLC0415 - see _open

        known: Any = NotificationManager()  # type: ignore[no-untyped-call]  # apprise left it without types
        known.load_modules()
    return known


def _reason(error: Exception, redactor: Redactor) -> str:
    """Return Apprise's reason without what it quotes in brackets: the part of the URL that it dislikes."""
    return _one_line(redactor.redact(re.sub(r"\s*\([^()]*\)", "", str(error))).rstrip(" :"))


def _unknown(url: str) -> str:
    """Say why Apprise has no service for this URL."""
    schema, known = _schema(url), _load()
    if not schema:
        return "not an Apprise URL: it begins with a service, such as tgram:// or mailto://"
    if schema in known:
        off = "it needs a Python package that is not installed"
        return f"{schema}://: {'the URL is incomplete or malformed' if known[schema].enabled else off}"
    if schema in {"http", "https"}:
        return "no service knows this web address; for a webhook of your own write json:// or jsons://"
    near = [f"{name}://" for name in get_close_matches(schema, known.schemas(), n=3)]
    return f"unknown service {schema}://" + (f"; did you mean {' or '.join(near)}?" if near else "")


# Reading the log of a failed try


class Entry(Struct, frozen=True):
    """A line that Apprise logged. level: `WARNING` and so on."""

    level: str
    message: str


class _Clue(Struct):
    """A warning with what was logged around it. cause: text of an exception. answer: body of the reply."""

    warning: str = ""
    cause: str = ""
    answer: str = ""


_LOUD = frozenset({"WARNING", "ERROR", "CRITICAL"})
_CAUSE = re.compile(r"(?!Notification |I/O )[\w. ]{1,30} Exception: (?P<text>.*)", re.DOTALL)
_ANSWER = re.compile(r"Response Details:\s*(?P<text>.*)", re.DOTALL)
_STATUS = re.compile(r"(?:.*\berror=|.* failed: (?=\d{3} - ))(?P<code>\d{3})\b", re.DOTALL)
_FAILED = re.compile(r"Failed to send\b[^:]*:\s*(?P<words>.*?)[.,\s]*\berror=\d{3}\.?", re.DOTALL)
_BYTES = re.compile(
    r"""b'(?:[^'\\\n]|\\(?:[\\'nrt]|x[0-9a-f]{2}))*'|b"(?:[^"\\\n]|\\(?:[\\nrt]|x[0-9a-f]{2}))*\"""", re.ASCII
)
_AFTER = re.compile(r"retry[ _-]?after\W{1,4}(?P<seconds>\d{1,6}(?:\.\d{1,6})?)", re.IGNORECASE)
_MAIL_CODE = re.compile(
    r"(?:\((?=\d+, b?['\"])|SMTP recipient .* was refused: )(?P<code>[45]\d\d),? (?P<text>.*)", re.DOTALL
)
_MAIL_NOT_BEGUN = "Connection error while submitting email"
_LONGEST_ANSWER = 500
"""Characters. A longer reply is a web page, or one that Apprise cut, perhaps in the middle of a secret."""

_ORDER = (Outcome.AMBIGUOUS, Outcome.RETRY, Outcome.PERMANENT, Outcome.BROKEN)
"""Of several failures the one whose message most wants to be sent again decides."""

_BROKEN_MAIL = frozenset({530, 534, 535, 538})
_BROKEN_WORDS = re.compile(
    r"chat not found|bot was (?:blocked|kicked)|user is deactivated|upgraded to a supergroup"  # Telegram, HTTP 400
    r"|invalid_auth|not_authed|account_inactive|token_(?:revoked|expired)|missing_scope"  # a bot of Slack, HTTP 200
    r"|channel_not_found|not_in_channel|is_archived",
    re.IGNORECASE,
)
_NOBODY = re.compile(r"\bno\b.* to notify|were no valid login credentials|no api key", re.IGNORECASE)
"""Apprise takes some URLs without a recipient or a key, and finds out only when it sends."""
_AGAIN_WORDS = re.compile(r"rate_?limited|too many requests", re.IGNORECASE)

_CAUSES = (
    (r"Connection refused", Outcome.RETRY, "the connection was refused"),
    (r"Failed to resolve|NameResolution|Errno -[235]\]|getaddrinfo", Outcome.RETRY, "the name was not found"),
    (r"ConnectTimeout|connect timeout=", Outcome.RETRY, "no connection in time"),
    (r"CERTIFICATE_VERIFY|CertificateError|certificate verify", Outcome.RETRY, "the certificate is not trusted"),
    (r"SSLEOF|SSLZeroReturn|EOF occurred", Outcome.AMBIGUOUS, "the encrypted connection broke"),
    (r"ProxyError|SSLError", Outcome.RETRY, "no encrypted connection, or none through the proxy"),
    (r"Max retries exceeded|NewConnectionError|unreachable", Outcome.RETRY, "no connection"),
    (r"timed out", Outcome.AMBIGUOUS, "no answer in time"),
    (r"aborted|closed|reset|prematurely|Incomplete", Outcome.AMBIGUOUS, "the connection broke before the answer"),
    (r"", Outcome.AMBIGUOUS, ""),
)
"""Words of requests, urllib3 and smtplib, most telling first. `Max retries` stands only over failed connections."""


def judge(entries: Iterable[Entry]) -> Verdict:
    """Tell from the log of a failed try what became of it. The reason is not redacted yet. Unknown means once more."""
    entries = list(entries)
    clues = _clues(entries)
    verdicts = [verdict for clue in clues if (verdict := _of_clue(clue)) is not None]
    if not verdicts:
        return Verdict(Outcome.RETRY, "; ".join(clue.warning for clue in clues) or "Apprise gave no reason")
    worst = min(verdicts, key=lambda verdict: _ORDER.index(verdict.outcome))
    partly = any(entry.level == "INFO" and entry.message.startswith("Sent ") for entry in entries)
    if partly and worst.outcome is Outcome.RETRY:
        # Another recipient, or the first half of a long text, has it already: once more is a repeat for them.
        return Verdict(Outcome.AMBIGUOUS, f"sent in part: {worst.why}", worst.after)
    return worst


def _clues(entries: Iterable[Entry]) -> list[_Clue]:
    """Put together what belongs together. An exception is logged after its warning; by SMTP before it."""
    clues: list[_Clue] = []
    for entry in entries:
        cause, answer = _CAUSE.match(entry.message), _ANSWER.match(entry.message)
        if entry.level in _LOUD:
            clues.append(_Clue(entry.message, cause["text"] if cause else ""))
        elif cause and clues and not clues[-1].cause:
            clues[-1].cause = cause["text"]
        elif cause:
            clues.append(_Clue(cause=cause["text"]))
        elif answer and clues:
            clues[-1].answer = answer["text"]
    return clues


def _of_clue(clue: _Clue) -> Verdict | None:
    mail = _MAIL_CODE.search(clue.cause or clue.warning)
    status = _STATUS.match(clue.warning)
    if mail:
        return _of_mail(int(mail["code"]), mail["text"], begun=not clue.warning.startswith(_MAIL_NOT_BEGUN))
    if clue.cause:
        return _of_cause(clue)
    if status:
        return _of_status(int(status["code"]), clue)
    return Verdict(Outcome.BROKEN, clue.warning) if _NOBODY.search(clue.warning) else None


def _of_mail(code: int, text: str, *, begun: bool) -> Verdict:
    """Judge a code of SMTP. 5xx before the message was begun (greeting, login) is about us, not about the message."""
    words = f"SMTP {code} {text}"
    if code < 500:
        return Verdict(Outcome.RETRY, words)
    return Verdict(Outcome.PERMANENT if begun and code not in _BROKEN_MAIL else Outcome.BROKEN, words)


def _of_cause(clue: _Clue) -> Verdict:
    """Judge a broken connection: was the request written? The path is cut out, it might hold any of the words."""
    cause = re.sub(r"with url: \S+", "", clue.cause)
    outcome, words = next((out, words) for pattern, out, words in _CAUSES if re.search(pattern, cause, re.IGNORECASE))
    if clue.warning.startswith(_MAIL_NOT_BEGUN):
        outcome = Outcome.RETRY
    return Verdict(outcome, " ".join(filter(None, (words or cause, clue.warning and f"({clue.warning})"))))


def _of_status(code: int, clue: _Clue) -> Verdict:
    said = f"{clue.warning} {clue.answer}"
    outcome = _outcome_of(code, said)
    after = _AFTER.search(said)
    seconds = float(after["seconds"]) if after and outcome is Outcome.RETRY else None
    return Verdict(outcome, ": ".join(filter(None, (*_told(code, clue.warning), _plain(clue.answer)))), seconds)


def _told(code: int, warning: str) -> tuple[str, ...]:
    """`HTTP 400`, `Bad Request: chat not found`; in another form than usual the warning as it is."""
    found = _FAILED.fullmatch(warning)
    return (f"HTTP {code}", found["words"]) if found else (warning,)


def _plain(answer: str) -> str:
    """What Apprise shows as `b'no such chat'`. Telegram's answer stands in the warning already."""
    if len(answer) > _LONGEST_ANSWER or "description" in answer:
        return ""
    return literal_eval(answer).decode("utf-8", "replace").strip() if _BYTES.fullmatch(answer) else answer


def _outcome_of(code: int, said: str) -> Outcome:
    """Judge an HTTP status. A failure in spite of 2xx: refused in the answer's words, or not understood by Apprise."""
    outcome = of_status(code)
    if (code < 300 or outcome is Outcome.PERMANENT) and _BROKEN_WORDS.search(said):
        return Outcome.BROKEN
    if code >= 300:
        return outcome
    return Outcome.RETRY if code < 200 or _AGAIN_WORDS.search(said) else Outcome.AMBIGUOUS
