"""The language of a feed: what a field of the account is from poll to poll. Pure.

    "0*5 2*10 na*3 down*40 1.8..1.05/60 @incident.jsonl#12:00..12:20"

One word after another, each `*N` for so many polls, or `*10m` for so long. A word is a value as OKX has it (`2`,
`true`, `pending`), a straight line (`12..1.05/60`), what was recorded (`@FILE#FROM..TO`, times of day in UTC), or no
value: `na` (OKX says that it does not apply), `miss` (it is not in the reply), `gone` (the currency is not listed),
`down` (no reply at all).
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum

from msgspec import Struct

from riskbot.fields import Amount
from riskbot.rules import parse_duration, parse_number, suggest
from riskbot.snapshot import MODES, field, field_paths

MODE = "acctLv"
"""No field of the balance, but of the account's configuration; it can be fed all the same."""

MOST_POLLS = 1_000_000


class FeedError(ValueError):
    """A word of a feed that says nothing. The text is for people."""


class Gap(Enum):
    """A poll without a value."""

    NA = "na"
    MISS = "miss"
    GONE = "gone"
    DOWN = "down"


Value = str | Gap
"""As it stands in the reply, or why it does not."""


class Recording(Struct, frozen=True):
    """Part of a file of replies. start, end: seconds since midnight UTC."""

    path: str
    start: float
    end: float


class Item(Struct, frozen=True):
    """One word of a feed. value: None: `line` or `recording` has it.

    polls, seconds: how long it lasts, one of them is set.
    """

    word: str
    value: Value | None
    polls: int = 0
    seconds: float = 0.0
    line: tuple[Decimal, Decimal] | None = None
    recording: Recording | None = None

    def lasts(self, every: float) -> int:
        """In polls."""
        return self.polls or max(1, round(self.seconds / every))


class Feed(Struct, frozen=True):
    """All that a field is in a case. path: of the field. ccy: "": of the account."""

    path: str
    ccy: str
    items: tuple[Item, ...]

    @property
    def key(self) -> str:
        """As it stands in the file: `details.twap/USDT`."""
        return f"{self.path}/{self.ccy}" if self.ccy else self.path


_ITEM = re.compile(r"\S+")
_LINE = re.compile(r"(.+?)\.\.(.+)/([^/]+)")
_RECORDING = re.compile(r"@(.+)#(\d\d?:\d\d(?::\d\d)?)\.\.(\d\d?:\d\d(?::\d\d)?)")
_EXAMPLES = "write it as 2*10 (ten polls), 2*10m, na*3, miss*2, down*40, gone*60 or 1.8..1.05/60"


def parse(key: str, text: str) -> Feed:
    """The feed of a field, `details.twap/USDT` or `mgnRatio`. Raises FeedError: which word, at which sign."""
    path, ccy = _target(key)
    items = []
    for found in _ITEM.finditer(text):
        try:
            items.append(_item(path, found[0]))
        except ValueError as error:
            raise FeedError(f'at sign {found.start() + 1}, "{found[0]}": {error}') from None
    if not items:
        raise FeedError(f"says nothing: {_EXAMPLES}")
    return Feed(path, ccy, tuple(items))


def _target(key: str) -> tuple[str, str]:
    path, _, ccy = key.partition("/")
    known = [MODE, *(name for name in field_paths() if isinstance(field(name), Amount) or field(name).words)]
    if path not in known:
        raise FeedError(f'OKX has no field "{path}" that could be fed{suggest(path, known)}')
    if path.startswith("details.") != bool(ccy):
        raise FeedError(
            f"say of which currency: {path}/USDT" if not ccy else f"{path} is of the account: without /{ccy}"
        )
    return path, ccy.upper()


def _item(path: str, word: str) -> Item:
    if word.startswith("@"):
        return _recorded(word)
    what, star, length = word.partition("*")
    if "/" in what:
        line = _LINE.fullmatch(what)
        if star or not line:
            raise FeedError("a straight line is written FROM..TO/POLLS: 1.8..1.05/60, or 12..3/10m")
        polls, seconds = _length(line[3])
        _value(path, line[1]), _value(path, line[2])
        if not _is_amount(path):
            raise FeedError(f"{path} is no number, so no line leads from one value to another")
        return Item(what, None, polls, seconds, line=(parse_number(line[1]), parse_number(line[2])))
    polls, seconds = _length(length) if star else (1, 0.0)
    return Item(what, _value(path, what), polls, seconds)


def _length(text: str) -> tuple[int, float]:
    """Polls, or seconds."""
    if text.isdecimal() and 1 <= int(text) <= MOST_POLLS:
        return int(text), 0.0
    try:
        seconds = parse_duration(text) if not text.isdecimal() else 0.0
    except ValueError:
        seconds = 0.0
    if not seconds or seconds > MOST_POLLS:
        raise FeedError(f"after the * stands for how many polls (*10) or how long (*10m): {_EXAMPLES}")
    return 0, seconds


def _value(path: str, word: str) -> Value:
    if word in {gap.value for gap in Gap}:
        return Gap(word)
    if path == MODE:
        if word not in MODES:
            raise FeedError(f"{MODE} is one of {', '.join(MODES)}")
        return word
    if _is_amount(path):
        return f"{_number(word):f}"
    words = field(path).words
    if words and word not in words:
        raise FeedError(f"{path} is one of {', '.join(words)}; or na, miss, gone, down")
    return word


def _number(word: str) -> Decimal:
    try:
        return parse_number(word)
    except ValueError:
        raise FeedError(f"is no value and none of na, miss, gone, down: {_EXAMPLES}") from None


def _is_amount(path: str) -> bool:
    return path != MODE and isinstance(field(path), Amount)


def _recorded(word: str) -> Item:
    found = _RECORDING.fullmatch(word)
    if not found:
        raise FeedError("a recording is written @FILE#FROM..TO, times of day in UTC: @incident.jsonl#12:00..12:20")
    start, end = _time_of_day(found[2]), _time_of_day(found[3])
    if end <= start:
        end += 86400.0
    return Item(word, None, seconds=end - start, recording=Recording(found[1], start, end))


def _time_of_day(text: str) -> float:
    hours, minutes, *rest = (int(part) for part in text.split(":"))
    if hours > 24 or minutes > 59 or (rest and rest[0] > 59):
        raise FeedError(f"{text} is no time of day")
    return hours * 3600.0 + minutes * 60 + sum(rest)
