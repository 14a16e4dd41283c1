"""What a text says once it is not escaped any more: for URLs, JSON, HTML or Python, in any mixture. Pure, no I/O."""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_right
from math import inf
from urllib.parse import unquote_to_bytes

from msgspec import Struct

_ESCAPE = re.compile(
    r"(?P<url>(?:%[0-9a-f]{2})+)"
    r"|(?P<bytes>(?:\\x[0-9a-f]{2})+)"
    r"|(?P<json>(?:\\u[0-9a-f]{4})+)"
    r"|(?P<html>&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});)"
    r"|\r?\n[ \t]*|\\[nrt]?",
    re.IGNORECASE,
)
"""The last say nothing: where a long line was broken; and a backslash, whatever it is before."""

_ROUNDS = 4
"""As often as a text is escaped once more. A bound, for time's sake: `%252525…` has no end."""


class Reading(Struct, frozen=True):
    """A text without its escapes. cuts: for each, where it stands now and where it stood, (start, stop) of both."""

    text: str
    cuts: list[tuple[int, int, int, int]]

    def stood(self, start: int, stop: int) -> tuple[int, int]:
        """Where that part of it stood in the text from before."""
        return self._sign(start)[0], self._sign(stop - 1)[1]

    def _sign(self, at: int) -> tuple[int, int]:
        i = bisect_right(self.cuts, (at, inf))
        if i == 0:
            return at, at + 1
        _, end, start, stop = self.cuts[i - 1]
        return (start, stop) if at < end else (stop + at - end, stop + at - end + 1)


def readings(text: str) -> list[Reading]:
    """The text with one level of escapes less each time, each made of the one before; none where there are none."""
    found: list[Reading] = []
    while len(found) < _ROUNDS and (next_ := _once(text)):
        found.append(next_)
        text = next_.text
    return found


def plainly(text: str) -> str:
    """Without any escapes."""
    found = readings(text)
    return found[-1].text if found else text


def _once(text: str) -> Reading | None:
    parts, cuts = list[str](), list[tuple[int, int, int, int]]()
    end = length = 0
    for match in _ESCAPE.finditer(text):
        start, stop = match.span()
        meant = _meant(match)
        length += start - end
        cuts.append((length, length + len(meant), start, stop))
        parts += (text[end:start], meant)
        length, end = length + len(meant), stop
    return Reading("".join([*parts, text[end:]]), cuts) if cuts else None


def _meant(match: re.Match[str]) -> str:
    kind, said = match.lastgroup, match[0]
    if kind == "url":
        return _decoded(unquote_to_bytes(said))
    if kind == "bytes":
        return _decoded(bytes.fromhex(said.lower().replace("\\x", "")))
    if kind == "json":
        found: str = json.loads(f'"{said.lower()}"')
        return found
    return html.unescape(said) if kind == "html" else ""


def _decoded(raw: bytes) -> str:
    """Headers are latin-1, all else is UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
