"""What the account of a case is at each moment: its feeds over a whole, plausible reply."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from decimal import Decimal
from itertools import accumulate, chain
from types import MappingProxyType
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from riskbot.settings.cases import Case
from riskbot.settings.feeds import MODE, Feed, Gap, Item, Value
from riskbot.simulator import Scenario, parse_scenario
from riskbot.simulator.payload import render
from riskbot.simulator.scenario import Coin
from riskbot.snapshot import Mode

EPSILON = 1e-6
"""Seconds; moments that are sums of others are as good as these."""

AT_REST = """
title = "An account at rest"
duration = "1s"

[coins.BTC]
price = 60000
cash = 1
discount = 0.98

[coins.USDT]
price = 1
cash = 50000
"""
"""What is not fed, where a case names no scenario."""

_PLACES = Decimal("1e-8")

Recorded = Mapping[tuple[str, str], tuple[Value, ...]]
"""What a word that names a recording stands for, poll by poll, by the feed's key and the word."""
NOTHING: Recorded = MappingProxyType({})


class Span(Struct, frozen=True):
    """One word of a feed where it stands in time. start, polls: in polls."""

    item: Item
    start: int
    polls: int
    recorded: tuple[Value, ...] = ()

    def at(self, poll: int) -> Value:
        """What it is at that poll, counted from the beginning of the case; its last one holds."""
        i = min(poll - self.start, self.polls - 1)
        if self.recorded:
            return self.recorded[i]
        if self.item.line is not None:
            return _on(self.item.line, i, self.polls)
        return self.item.value or Gap.MISS

    def without_gaps(self, value: str) -> Span:
        """The same, with that value in place of none."""
        recorded = tuple(value if isinstance(one, Gap) else one for one in self.recorded)
        item = replace(self.item, value=value) if isinstance(self.item.value, Gap) else self.item
        return replace(self, item=item, recorded=recorded)


def _on(line: tuple[Decimal, Decimal], i: int, polls: int) -> str:
    """The value at one of so many polls that lead from one end to the other."""
    first, last = line
    share = Decimal(i) / (polls - 1) if polls > 1 else Decimal(1)
    value = (first + (last - first) * share).quantize(_PLACES).normalize()
    return f"{value:f}"


class Path:
    """One feed laid out in time."""

    def __init__(self, feed: Feed, every: float, recorded: Recorded) -> None:
        """every: seconds between two polls."""
        lasts = [item.lasts(every) for item in feed.items]
        self._starts = [0, *accumulate(lasts)][:-1]
        self.polls = sum(lasts)
        self.spans = [
            Span(item, start, polls, recorded.get((feed.key, item.word), ()))
            for item, start, polls in zip(feed.items, self._starts, lasts, strict=True)
        ]

    def at(self, poll: int) -> Value:
        """What it is at that poll; after its end the last one holds."""
        return self.spans[bisect_right(self._starts, poll) - 1].at(poll)

    def without_gaps(self) -> Path:
        """The same, with its first value wherever it has none."""
        calm = copy(self)
        first = next((value for span in self.spans if not isinstance(value := span.at(span.start), Gap)), None)
        if first is not None:
            calm.spans = [span.without_gaps(first) for span in self.spans]
        return calm


class Course:
    """The account of a case. every: seconds between two polls."""

    def __init__(self, case: Case, every: float, story: Scenario | None = None, recorded: Recorded = NOTHING) -> None:
        """story: what is not fed; None: an account at rest."""
        self.every, self.feeds = every, case.feed
        self.paths = {key: Path(feed, every, recorded) for key, feed in case.feed.items()}
        self._moves = story is not None
        self._story = _with_coins(story or parse_scenario(AT_REST), (feed.ccy for feed in case.feed.values()))
        self._mode, self._start = case.mode, case.start.timestamp()
        lasts = [path.polls for path in self.paths.values()]
        self.polls = max(lasts, default=0) or int(float(self._story.duration) / every)
        self._rest: dict[str, Any] | None = None

    @property
    def length(self) -> float:
        """Seconds."""
        return self.polls * self.every

    def poll(self, t: float) -> int:
        """The poll of that moment, or the last one before it."""
        return int(t / self.every + EPSILON)

    def without_gaps(self) -> Course:
        """The same account, but wherever a feed has no value it has its first one."""
        calm = copy(self)
        calm.paths = {key: path.without_gaps() for key, path in self.paths.items()}
        return calm

    def values(self, poll: int) -> dict[str, Value]:
        """What is fed, by feed."""
        return {key: path.at(poll) for key, path in self.paths.items()}

    def gaps(self, poll: int) -> set[str]:
        """The sorts of no value at that poll: `down`, `na`, …"""
        return {value.value for value in self.values(poll).values() if isinstance(value, Gap)}

    def mode(self, t: float) -> Mode:
        """The account's mode as it is configured then."""
        said = self.paths[MODE].at(self.poll(t)) if MODE in self.paths else self._mode
        return self._mode if isinstance(said, Gap) else cast("Mode", said)

    def reply(self, t: float) -> dict[str, Any] | None:
        """What the exchange sends then; None: nothing."""
        values = self.values(self.poll(t))
        if Gap.DOWN in values.values():
            return None
        whole = self._whole(t)
        rows = {row["ccy"]: dict(row) for row in whole["details"]}
        account: dict[str, Any] = {**whole, "uTime": str(int((self._start + t) * 1000))}
        for key, value in values.items():
            feed = self.feeds[key]
            if feed.ccy and value is Gap.GONE:
                rows.pop(feed.ccy, None)
            elif feed.path != MODE:
                _put(rows.get(feed.ccy, {}) if feed.ccy else account, feed.path.removeprefix("details."), value)
        return {**account, "details": list(rows.values())}

    def _whole(self, t: float) -> dict[str, Any]:
        if self._moves or self._rest is None:
            self._rest = render(self._story.at(t), self.mode(t), lambda at: int((self._start + at) * 1000))
        return self._rest


def _with_coins(story: Scenario, named: Iterable[str]) -> Scenario:
    """The story, in which every currency that is fed is listed."""
    more = {ccy: Coin.model_validate({"price": 1, "cash": 1000}) for ccy in named if ccy and ccy not in story.coins}
    return story.model_copy(update={"coins": {**story.coins, **more}}) if more else story


def _put(place: dict[str, Any], key: str, value: Value) -> None:
    if value in (Gap.MISS, Gap.GONE):
        place.pop(key, None)
    else:
        place[key] = "" if value is Gap.NA else value


def words(course: Course) -> Iterator[tuple[int, str]]:
    """(poll, feed) wherever a word of a feed begins: what happens in the case, in order."""
    found = chain.from_iterable(((span.start, key) for span in path.spans) for key, path in course.paths.items())
    return iter(sorted(found))
