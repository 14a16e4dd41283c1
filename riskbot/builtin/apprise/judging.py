"""What became of a failed try, told from what Apprise logged of it. Pure."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterable

from msgspec import Struct

from riskbot.notify import Outcome, Verdict, of_status


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
