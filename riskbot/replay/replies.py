"""Recorded replies: one JSON object on each line, gzip or not.

    {"t": 1767225600000, "body": {…}}           OKX's reply to `GET /api/v5/account/balance`: whole, or its `data[0]`
    {"t": 1767225601000, "error": "no answer"}  a poll that failed
    {"t": 1767225602000, "config": {…}}         the reply of `GET /api/v5/account/config`, where it is known

`t`: milliseconds since 1970, never less than on the line before. What a body says with another `code` than 0 is a poll
that failed. From an error until the next line the account can't be seen; after a pause without one nobody was looking.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, BinaryIO

import orjson

from riskbot.builtin.okx.replies import BODY_LIMIT, account, owner, unpacked
from riskbot.history import Point
from riskbot.playback import Entry, Failure, Known, Reply, moment_of
from riskbot.rules import suggest
from riskbot.source import SourceError

LONGEST = BODY_LIMIT
"""Bytes of a line."""
KINDS = ("body", "error", "config")
_FIRST, _LAST = 10**11, 10**14
"""Milliseconds: anything less is seconds, or no moment at all."""
_GZIP = b"\x1f\x8b"
_SAMPLE = 30
_BUFFER = 2**20


class BadInput(ValueError):  # noqa: N818 - said as what it is
    """A part of the input can't be used. Its words are for people: where, and why."""


Skip = Callable[[BadInput], None]
"""Told of each part that is left out; raises it if nothing may be."""


class Lines:
    """A file of lines, gzip or not. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path
        self._size, self._read = max(1, path.stat().st_size), 0

    @property
    def part(self) -> float:
        """How much of it has been read, 0 to 1."""
        return self._read / self._size

    def read(self, skip: Skip) -> Iterator[bytes]:
        """Line by line, in bounded memory; the rest of one that is too long is passed over."""
        number = 0
        with self._path.open("rb") as packed:
            file = _unpacked(packed) if packed.peek(2)[:2] == _GZIP else packed
            try:
                while line := file.readline(LONGEST):
                    number += 1
                    self._read = packed.tell()
                    yield line
                    while len(line) == LONGEST and not line.endswith(b"\n"):
                        line = file.readline(LONGEST)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                why = "the file is cut off or damaged from here on; what is before it is good"
                skip(BadInput(f"{self.name}:{number + 1}: {why}"))


class Replies:
    """A file of replies. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file = Lines(path)
        self.name = self._file.name
        head = self._head()
        self.knows = any(isinstance(entry, Known) for entry in head)
        """It says what the account's configuration was."""
        self.pace = median_low([b - a for a, b in pairwise(map(moment_of, head))] or [0.0])
        """Seconds between its first lines, as most of them are apart; 0: there are not two."""

    def _head(self) -> list[Entry]:
        return list(islice(self.entries(lambda _: None), _SAMPLE))

    @property
    def part(self) -> float:
        """How much of it has been read, 0 to 1."""
        return self._file.part

    def past(self, span: float) -> list[Point]:
        """Nothing is known of what was before."""
        del span
        return []

    def entries(self, skip: Skip) -> Iterator[Entry]:
        """What stands in it, in bounded memory."""
        return entries(self._file.read(skip), self.name, skip)


def _unpacked(file: BinaryIO) -> BinaryIO:
    return io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER)


def entries(lines: Iterable[bytes], name: str, skip: Skip) -> Iterator[Entry]:
    """The entries of these lines. name: of the file, for what is wrong with them."""
    last = 0
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            t, entry = _entry(line)
            if t < last:
                raise BadInput(f"t goes back, by {(last - t) / 1000:g} s")  # noqa: TRY301 - one way out
        except BadInput as error:
            skip(BadInput(f"{name}:{number}: {error}"))
        else:
            last = t
            yield entry


def _entry(line: bytes) -> tuple[int, Entry]:
    try:
        found = orjson.loads(line)
    except ValueError:
        why = "not JSON" if line.endswith(b"\n") else "not JSON: the line is cut off"
        raise BadInput(f'{why}; a line is {{"t": milliseconds, "body": {{…}}}}') from None
    if not isinstance(found, dict):
        raise BadInput('not an object; a line is {"t": milliseconds, "body": {…}}')
    t = _moment(found.pop("t", None))
    return t, _happened(t / 1000, found)


def _moment(t: object) -> int:
    if type(t) is not int:
        raise BadInput('no "t": when it was, in whole milliseconds since 1970')
    if not _FIRST <= t < _LAST:
        raise BadInput(f'"t" is {t}: no moment in milliseconds since 1970')
    return t


def _happened(at: float, found: dict[str, Any]) -> Entry:
    match found:
        case {"body": dict(body), **rest} if not rest:
            return _reply(at, body)
        case {"error": str(why), **rest} if not rest:
            return Failure(at, SourceError(why))
        case {"config": dict(config), **rest} if not rest:
            return _known(at, config)
    if strange := next((key for key in found if key not in KINDS), None):
        raise BadInput(f'unknown field "{strange:.40}"{suggest(strange, ["t", *KINDS])}')
    raise BadInput('besides "t" stands one of "body": {…}, "error": "…", "config": {…}')


def _reply(at: float, body: dict[str, Any]) -> Entry:
    try:
        snapshot = account(body if "details" in body else unpacked(body))
    except SourceError as error:
        if "code" in body:
            return Failure(at, error)
        raise BadInput(f"no reply of account/balance: {error}") from None
    snapshot.fetched_at = at
    return Reply(snapshot)


def _known(at: float, config: dict[str, Any]) -> Entry:
    try:
        return Known(at, owner(unpacked(config) if "data" in config else config))
    except SourceError as error:
        raise BadInput(f"no reply of account/config: {error}") from None
