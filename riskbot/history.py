"""The past of the fields that rules ask about: windows of growth, the pace, charts. Bounded memory, no clock.

A series is kept as its changes: a value holds from one snapshot until the next one that differs. A debt that does
not move costs nothing, however long the window. A hole counts as time in which the old value held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from math import inf
from typing import Literal

from msgspec import Struct

from riskbot.fields import MISSING, RATIO, ZERO
from riskbot.snapshot import Balance, Snapshot, field

RESOLUTION = 256
"""A window is exact to this part of its length; that bounds what it keeps, whatever the series does."""

COURSE_SPAN, COURSE_STEP = 900.0, 5.0
"""The account's ratio and equity are kept for charts and the pace: 15 minutes, a point every 5 seconds."""

GONE_HOLD, GONE_COUNT = 60.0, 3
"""A currency that is not listed any more counts as 0 after so many seconds, missed at least so often."""

HOLE = 90.0
"""Seconds, more than between two polls: what changed in a longer pause may have changed slowly."""

SAMPLES = 25
"""The course of a field within a window is given as so many points in equal steps, its two ends included."""

Side = Literal["low", "high"]


class Want(Struct, frozen=True):
    """What a rule needs of the past: the lowest or highest value of a field within the last `over` seconds.

    Or its course there, as `samples`.
    """

    path: str
    over: float
    side: Side | Literal["samples"]


class Point(Struct, frozen=True):
    """One value of the past: a field (`details.liab`) of a currency ("" for the account) from `at` on."""

    field: str
    ccy: str
    at: float
    value: str


class _Window:
    """The extreme of a series within a sliding window: a monotonic queue of (held until, value)."""

    __slots__ = ("over", "past", "sign")

    def __init__(self, want: Want) -> None:
        self.over = want.over
        self.sign = 1 if want.side == "low" else -1
        self.past: deque[tuple[float, Decimal]] = deque()

    def leave(self, value: Decimal, at: float) -> None:
        """The series held `value` until `at`, and now holds another."""
        past, sign = self.past, self.sign
        while past and (past[-1][1] - value) * sign >= 0:
            past.pop()
        if not past or at - past[-1][0] >= self.over / RESOLUTION:
            past.append((at, value))
        self.forget(at)

    def forget(self, now: float) -> None:
        """Let go of what is older than the window."""
        past = self.past
        while past and past[0][0] < now - self.over:
            past.popleft()

    def extreme(self, current: Decimal, now: float) -> Decimal:
        """The extreme of the window that ends now."""
        self.forget(now)
        past = self.past
        if not past or (past[0][1] - current) * self.sign >= 0:
            return current
        return past[0][1]


class _Course:
    """The course of a series within a sliding window: points that a line joins, in bounded number.

    A value that held is two points, so that a jump stays a jump; what changed while nobody looked is a slope.
    """

    __slots__ = ("over", "points", "step")

    def __init__(self, over: float, since: float, value: Decimal) -> None:
        self.over, self.step = over, over / (SAMPLES - 1)
        self.points: deque[tuple[float, Decimal]] = deque([(since, value)])

    def move(self, held: Decimal, until: float, value: Decimal, at: float) -> None:
        """The series was last seen to hold `held` at `until`, and now, at `at`, holds `value`."""
        self._put(until if at - until > HOLE else at, held)
        self._put(at, value)
        while len(self.points) > 1 and self.points[1][0] <= at - self.over:
            self.points.popleft()

    def _put(self, at: float, value: Decimal) -> None:
        """Of each step of time the first and the last point are kept."""
        points, cell = self.points, at // self.step
        if len(points) > 1 and points[-1][0] // self.step == points[-2][0] // self.step == cell:
            points.pop()
        points.append((at, value))

    def samples(self, now: float) -> list[tuple[float, Decimal]]:
        """(moment, value) in equal steps, oldest first; none unless the whole window is known."""
        start = now - self.over
        if self.points[0][0] > start:
            return []
        return list(_along(list(self.points), [start + self.step * i for i in range(SAMPLES)]))


def _along(points: list[tuple[float, Decimal]], moments: Iterable[float]) -> Iterator[tuple[float, Decimal]]:
    """The values at these moments, in order, of the line that joins the points; it holds after the last one."""
    i, last = 0, len(points) - 1
    for moment in moments:
        while i < last and points[i + 1][0] <= moment:
            i += 1
        (at, value), (later, next_) = points[i], points[min(i + 1, last)]
        if value != next_:
            value += (next_ - value) * Decimal((moment - at) / (later - at))
        yield moment, value


class _Series:
    """One field of one currency (or of the account): its value now and the windows over its past.

    since: when it was first seen. The windows are made when it first moves: most series of most accounts never do.
    """

    __slots__ = ("courses", "current", "since", "wants", "windows")

    def __init__(self, current: Decimal, wants: list[Want], since: float) -> None:
        self.current, self.wants, self.since = current, wants, since
        self.windows: dict[tuple[float, str], _Window] | None = None
        self.courses: dict[float, _Course] | None = None

    def change(self, value: Decimal, at: float, seen: float) -> None:
        """It holds another value now. seen: when it was last seen to hold the one before."""
        if self.windows is None or self.courses is None:
            self.windows = {(want.over, want.side): _Window(want) for want in self.wants if want.side != "samples"}
            lengths = {want.over for want in self.wants if want.side == "samples"}
            self.courses = {over: _Course(over, self.since, self.current) for over in lengths}
        for window in self.windows.values():
            window.leave(self.current, at)
        for course in self.courses.values():
            course.move(self.current, seen, value, at)
        self.current = value

    def samples(self, over: float, now: float) -> list[tuple[float, Decimal]]:
        course = _Course(over, self.since, self.current) if self.courses is None else self.courses[over]
        return course.samples(now)

    def extreme(self, over: float, side: Side, now: float) -> Decimal:
        return self.current if self.windows is None else self.windows[over, side].extreme(self.current, now)


class History:
    """The past of one account. `wants`: what its rules need; nothing else is kept.

    Rules only read it. The watch adds each snapshot before the rules are asked.
    """

    def __init__(self, wants: Iterable[Want] = ()) -> None:
        self._wants: dict[str, list[Want]] = {}
        self._known: set[tuple[str, float, str]] = set()
        for want in wants:
            self._wants.setdefault(want.path, []).append(want)
            self._known.add((want.path, want.over, want.side))
        self._series: dict[tuple[str, str], _Series] = {}
        self._columns: dict[str, tuple[list[object], list[object]]] = {}
        self._listed: dict[str, set[str]] = {}
        self._gone: dict[str, dict[str, tuple[float, int, Decimal]]] = {}
        self._unlisted: dict[str, dict[str, Decimal]] = {}
        self._moved: dict[str, float] = {}
        self._restless: dict[str, set[str]] = {}
        self._before: Snapshot | None = None
        self._seen = 0.0
        self._unsaved: dict[tuple[str, str], tuple[float, Decimal]] = {}
        self._born: list[tuple[str, str, float, str]] = []
        self._courses: dict[str, deque[tuple[float, Decimal]]] = {
            "adjEq": deque(maxlen=int(COURSE_SPAN / COURSE_STEP)),
            "mgnRatio": deque(maxlen=int(COURSE_SPAN / COURSE_STEP)),
        }

    def renewed(self, wants: Iterable[Want]) -> History:
        """For changed rules: this one if they want the same, else a new one, whose points the caller restores."""
        new = History(wants)
        if new._known == self._known:
            return self
        new._courses = self._courses
        return new

    def add(self, snapshot: Snapshot) -> None:
        """Take in the newest snapshot."""
        at = snapshot.fetched_at
        for path in self._wants:
            if path.startswith("details."):
                self._add_column(path, snapshot, at)
            else:
                self._put(path, "", snapshot.amount(path), at)
        for path, course in self._courses.items():
            if not course or at - course[-1][0] >= COURSE_STEP:
                value = snapshot.amount(path)
                if value.is_finite():
                    course.append((at, value))
        self._before, self._seen = snapshot, at

    def _add_column(self, path: str, snapshot: Snapshot, at: float) -> None:
        key = path.removeprefix("details.")
        now, before = (snapshot.column("ccy"), snapshot.column(key)), self._columns.get(path)
        self._columns[path] = now
        if before is None or before[0] != now[0]:
            self._put_all(path, snapshot.amounts(key), at)
            self._miss(path, snapshot.balances, at)
            self._listed[path] = set(snapshot.balances)
            return
        if self._gone.get(path):
            self._miss(path, snapshot.balances, at)
        if before[1] != now[1]:  # else nothing moved: the usual case, and the whole cost of it
            for row, old, new in zip(snapshot.details, before[1], now[1], strict=True):
                if old != new:
                    self._put(path, row["ccy"], Balance(row, snapshot.defects).amount(key), at)

    def _put_all(self, path: str, amounts: Mapping[str, Decimal], at: float) -> None:
        listed = self._listed.get(path)
        for ccy, value in amounts.items():
            # A currency that was not listed before had nothing before; of the very first ones nobody knows.
            born = listed is not None and ccy not in listed and field(path).unit != RATIO  # of nothing there is none
            self._put(path, ccy, value, at, born=born)

    def _miss(self, path: str, listed: Mapping[str, Balance], at: float) -> None:
        """OKX leaves out a currency with neither cash nor equity. But one reply that lacks a row proves nothing."""
        if field(path).unit == RATIO:
            return  # of nothing there is no ratio, not one of 0
        gone = self._gone.setdefault(path, {})
        for ccy in self._listed.get(path, set()) - listed.keys():
            if (path, ccy) in self._series:
                row = self._before.balances.get(ccy) if self._before else None
                gone[ccy] = (at, 0, row.price if row else MISSING)
        for ccy, (since, count, price) in list(gone.items()):
            if ccy in listed:
                del gone[ccy]
            elif count + 1 >= GONE_COUNT and at - since >= GONE_HOLD:
                del gone[ccy]
                self._unlisted.setdefault(path, {})[ccy] = price
                self._moved[path] = at
                self._put(path, ccy, ZERO, at)
            else:
                gone[ccy] = (since, count + 1, price)
        unlisted = self._unlisted.get(path, {})
        for ccy in unlisted.keys() & listed.keys():
            del unlisted[ccy]

    def _put(self, path: str, ccy: str, value: Decimal, at: float, *, born: bool = False) -> None:
        if value.is_nan():
            return
        series = self._series.get((path, ccy))
        if series is None:
            series = self._series[path, ccy] = _Series(ZERO if born else value, self._wants[path], at)
            if born:
                self._born.append((path, ccy, at - 0.001, "0"))
        elif series.current == value:
            return
        if series.current != value:
            series.change(value, at, min(at, max(self._seen, series.since)))
            self._moved[path] = at
            self._restless.setdefault(path, set()).add(ccy)
        self._unsaved[path, ccy] = (at, value)

    def is_still(self, want: Want, now: float) -> bool:
        """Has the field not moved within the window, in any currency? Then every extreme is the present value."""
        return now - self._moved.get(want.path, -inf) > want.over

    def restless(self, path: str) -> Collection[str]:
        """The currencies in which the field has ever moved: in all others every extreme is the present value."""
        return self._restless.get(path, ())

    def extreme(self, path: str, ccy: str, over: float, side: Side, now: float) -> Decimal:
        """The lowest or highest value within the last `over` seconds, the present one included.

        `MISSING` where the field has never had a value. The window must be one of the `wants`; else KeyError.
        """
        if (path, over, side) not in self._known:
            raise KeyError(f"the window over {path} is none of the rule's wants")
        series = self._series.get((path, ccy))
        return MISSING if series is None else series.extreme(over, side, now)

    def samples(self, path: str, ccy: str, over: float, now: float) -> list[tuple[float, Decimal]]:
        """The course within the last `over` seconds: (moment, value) in equal steps, oldest first, ending now.

        Empty while not all of the window is known. The window must be one of the `wants`; else KeyError.
        """
        if (path, over, "samples") not in self._known:
            raise KeyError(f"the course of {path} is none of the rule's wants")
        series = self._series.get((path, ccy))
        return [] if series is None else series.samples(over, now)

    def unlisted(self, path: str) -> dict[str, Decimal]:
        """The currencies that were listed once and are not now, and their last price; `MISSING` if not known."""
        return dict(self._unlisted.get(path, {}))

    def course(self, path: str) -> list[tuple[float, Decimal]]:
        """The course of `mgnRatio` or `adjEq` in the last 15 minutes: (moment, value), oldest first."""
        return list(self._courses[path])

    def pace(self, path: str, over: float, current: Decimal, now: float) -> Decimal | None:
        """Change per second over the last `over` seconds; None while less than a minute is known."""
        for at, value in self._courses[path]:
            if at >= now - over:
                return (current - value) / Decimal(now - at) if now - at >= 60 else None
        return None

    def drain(self) -> list[tuple[str, str, float, str]]:
        """What changed since the last call, to be journaled: (path, ccy, moment, value)."""
        points = self._born + [(path, ccy, at, str(value)) for (path, ccy), (at, value) in self._unsaved.items()]
        self._unsaved, self._born = {}, []
        return points

    def restore(self, points: Iterable[tuple[str, str, float, str]], seen: float = 0.0) -> None:
        """Take back what was journaled, oldest first. Fields that no rule asks for any more are left out.

        seen: when the account was last seen.
        """
        for path, ccy, at, text in points:
            with suppress(InvalidOperation):  # a damaged point is left out
                if path in self._wants:
                    self._seen = at  # between two points of the journal a value held
                    self._put(path, ccy, Decimal(text), at)
                    self._listed.setdefault(path, set()).add(ccy)
        self._seen = max(self._seen, seen)
        self._unsaved.clear()
