"""Keeps secrets out of whatever people read: log lines, error texts, reasons of a failed delivery. Pure, no I/O."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from unicodedata import normalize
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from riskbot.escapes import Reading, plainly, readings

MASK = "***"
SHORTEST = 4
"""Characters. Shorter secrets are not looked for: every text would be full of holes, and guessable ones."""

PART = 8
"""Characters. So many of a secret that was made by chance are not shown either."""

HEX_PART = 16
"""The same in hex."""

_CUT = re.compile(r"…|\.{3,}")
"""Where a text says that there was more of it."""

_LONGEST_CUT = 100
"""Characters. A longer part of a secret than that is made by chance, and recognised by any part of it."""

_BY_CHANCE = 12
"""Characters at least of such a secret; it has digits and letters."""

_TELLING = re.compile(r"\d|[a-z].*[A-Z]|[A-Z].*[a-z].*[A-Z]")
"""A part that is no plain word, such as could stand in any text."""

_LONG_VALUE = 8
"""Characters. A shorter value of an ordinary query key is a setting such as `yes`."""

_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"
"""What HTTP clients leave as it is when they quote a path once more."""

_OPEN_HOSTS = frozenset(
    plain + secure for plain in ("apprise", "form", "gotify", "http", "json", "mailto", "xml") for secure in ("", "s")
)
"""Schemas whose host is an address. In all others (`tgram`, `slack`, `discord`) a token stands there."""

_OPEN_HOST = re.compile(r"(?:localhost|127(?:\.\d+){3}|\[[0-9a-f:.]+\])(?::\d+)?", re.IGNORECASE)

_OPEN_KEYS = frozenset({"emojis", "footer", "format", "image", "mode", "overflow", "redirect", "tz", "verify"})
"""Query keys whose values are settings of the sending, never secrets."""

_SECRET_KEY = re.compile(r"[-+: ]|.*(?:pass|pwd|token|key|secret|user|auth|login|pin|sign|hook)", re.IGNORECASE)
"""Query keys (`+X-Auth` is a header of Apprise) whose values are secrets even when short."""


_SECRET_NAME = re.compile(
    r"PASS|PWD|TOKEN|SECRET|CREDENTIAL|API_?KEY|(?<![A-Z])KEY(?![A-Z])|WEBHOOK|DSN", re.IGNORECASE
)
"""Variables of the environment whose values are secrets; a value that begins as a path only says where one is."""

_LOGIN = re.compile(r"://([^/?#@\s]*:[^/?#\s]+)@")
"""User and password in a URL: of a database, of a proxy."""


def secrets_of(url: str) -> frozenset[str]:
    """Return the parts of an Apprise or HTTP URL that nobody else may see: login, token, path and query values.

    A text without `://` is one secret as a whole. Host and port stay visible where they are only an address.
    """
    schema, colon, rest = url.strip().partition("://")
    if not colon:
        return frozenset({url.strip()})
    front, _, query = rest.partition("?")
    authority, _, path = front.partition("/")
    login, _, host = authority.rpartition("@")
    found = [*_login_parts(login), *re.split("[/@]", path), *_query_values(query)]
    if schema.lower() not in _OPEN_HOSTS and not _OPEN_HOST.fullmatch(host):
        found += [host, *host.split(":")]
    return frozenset(clean for raw in found for clean in _cleaned(raw) if len(clean) >= SHORTEST)


def secrets_in(env: Mapping[str, str]) -> frozenset[str]:
    """Return the values of an environment that are secrets by their names: plugins may know them, and name them.

    So are logins in URLs, whatever their names.
    """
    named = {
        value
        for name, value in env.items()
        if _SECRET_NAME.search(name) and len(value) >= _BY_CHANCE and value[0] != "/"
    }
    logins = {login for value in env.values() for login in _LOGIN.findall(value)}
    passwords = {clean for login in logins for clean in _cleaned(login.partition(":")[2]) if len(clean) >= SHORTEST}
    return frozenset(named | logins | passwords)


def _login_parts(login: str) -> Iterator[str]:
    """`user:password` itself too: its base64 is what travels in the header `Authorization`."""
    yield from {login, *login.partition(":")}


def _query_values(query: str) -> Iterator[str]:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if "://" in (meant := unquote_plus(value)):
            yield from secrets_of(meant)  # not its host: it stands in many a line
            continue
        least = SHORTEST if _SECRET_KEY.match(unquote(key)) else _LONG_VALUE
        if key.lower() not in _OPEN_KEYS and len(value) >= least:
            yield from (value, meant)


def _cleaned(raw: str) -> set[str]:
    """The part as written and as meant, with and without the sign that marks a channel (`#general`) or a person."""
    meant = unquote(raw)
    return {raw, meant, meant.lstrip("#@")}


def _forms(secret: str) -> tuple[set[str], set[str], set[str]]:
    """Return how a secret may look once it went through a URL, JSON, HTML, a header or a `repr`.

    Then so within something in base64, then in hex.
    """
    raws = {secret.encode("utf-8", "surrogatepass"), secret.encode("latin-1", "replace")}  # headers are latin-1
    quoted = [
        form for raw in raws for form in (quote(raw), quote(raw, safe=""), quote(raw, safe=_URL_SAFE), quote_plus(raw))
    ]
    quoted += [quote(form, safe="") for form in quoted]  # a URL within a URL
    texts = [
        secret,
        secret.replace("/", "\\/"),
        html.escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ]
    shown = [part for text in texts for part in (repr(text)[1:-1], repr(text.encode("utf-8", "surrogatepass"))[2:-1])]
    plain = {*quoted, *texts, *shown, secret.upper()}  # ß is SS then
    plain |= {plainly(form).replace("+", " ") for form in plain}
    plain |= {form for raw in raws for form in _base64(raw)}
    sent = {form for text in (*texts, *quoted) for form in _base64(text.encode("utf-8", "surrogatepass"))}
    return plain, sent, {raw.hex() for raw in raws}


def _base64(raw: bytes) -> Iterator[str]:
    """By itself; and in a longer text, at each third byte: the signs that nothing but the secret decides."""
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        yield code(raw).decode().rstrip("=")
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode()
        sure = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(sure) >= SHORTEST:
            yield from (sure, sure.translate(_URL_SAFE_BASE64))


_URL_SAFE_BASE64 = str.maketrans("+/", "-_")


def _parts(secret: str, plain: Iterable[str], in_hex: Iterable[str]) -> Iterator[str]:
    """By which a secret made by chance is recognised though it was cut, by a service that quotes the half of it.

    Of a URL there are none: its host may be seen, and what is secret in it is registered by itself.
    """
    if "://" in secret or len(secret) < _BY_CHANCE or not (re.search(r"\d", secret) and re.search(r"[^\W\d]", secret)):
        return
    for forms, length in ((plain, PART), (in_hex, HEX_PART)):
        for form in forms:
            parts = (form[i : i + length] for i in range(len(form) - length + 1))
            yield from (part for part in parts if _TELLING.search(part))


class _Fold(dict[int, str]):
    """Each sign as it is compared: in lower case, and one sign for one, so that all stays where it stands."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        folded = self[code] = next((low for low in (sign.casefold(), sign.lower()) if len(low) == 1), sign.lower()[:1])
        return folded


_FOLD = _Fold()


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_FOLD)


class Redactor:
    """Replaces every registered secret by `***`, in any of its forms and in any case. Safe to share by threads."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: frozenset[str] = frozenset()
        self._forms: dict[str, tuple[str, ...]] = {}
        """By their first signs; the longest one first."""
        self.add(*secrets)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._known)} secrets>"

    def add(self, *secrets: str) -> None:
        """Register secrets. Those shorter than `SHORTEST` characters are passed over."""
        stripped = (secret.strip() for secret in secrets)  # a file may end in \r\n
        new = {secret for secret in (*secrets, *stripped) if len(secret) >= SHORTEST} - self._known
        forms = dict[str, set[str]]()
        for form in {_folded(form) for secret in new for form in _all_forms(secret)}:
            forms.setdefault(form[:SHORTEST], set()).add(form)
        for head, some in forms.items():
            some.update(self._forms.get(head, ()))
        # Replaced, not changed: another thread may be at it.
        self._forms = self._forms | {head: tuple(sorted(some, key=len, reverse=True)) for head, some in forms.items()}
        self._known |= new

    def redact(self, text: str) -> str:
        """Return `text` without any registered secret."""
        if not self._forms:
            return text
        found, way = [*self._found(text)], list[Reading]()
        for reading in readings(text):
            way.insert(0, reading)
            spans = self._found(reading.text.replace("+", " "))
            found += [reduce(lambda span, step: step.stood(*span), way, span) for span in spans]
        parts: list[str] = []
        end = 0
        for start, stop in _merged(found):
            parts += (text[end:start], MASK)
            end = stop
        return "".join([*parts, text[end:]])

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets stand. Looked up by their first signs: a regular expression of all takes many times as long."""
        low, forms = _folded(text), self._forms
        yield from self._cut_off(low)
        for i in range(len(low) - SHORTEST + 1):
            for form in forms.get(low[i : i + SHORTEST], ()):
                if low.startswith(form, i):
                    yield i, i + len(form)
                    break

    def _cut_off(self, low: str) -> Iterator[tuple[int, int]]:
        """Where a text was cut, the beginnings of secrets, be they plain words."""
        before = 0
        for match in _CUT.finditer(low):
            end = match.start()
            for start in range(max(before, end - _LONGEST_CUT), end - SHORTEST + 1):
                if any(form.startswith(low[start:end]) for form in self._forms.get(low[start : start + SHORTEST], ())):
                    yield start, end
                    break
            before = match.end()


def _all_forms(secret: str) -> set[str]:
    """In letters with their accents as one sign and as two."""
    found = set[str]()
    for spelling in {secret, *(normalize(form, secret) for form in ("NFC", "NFD"))}:
        plain, sent, in_hex = _forms(spelling)
        found |= {*plain, *sent, *in_hex, *_parts(spelling, plain, in_hex)}
    return {form for form in found if len(form) >= SHORTEST}


def _merged(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where secrets stand. Overlapping ones become one span: else the tail of the second would show."""
    spans: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans
