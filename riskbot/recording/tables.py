"""The last reply as tables of fields in numbered slots, and what has changed since."""

from __future__ import annotations

from itertools import chain, compress, count, islice
from operator import ne, sub
from typing import Any

from riskbot.recording import wire


class Tables:
    """The last reply: the keys of its tables, and all their values in one row of slots.

    This is the greater part of what recording costs, so that the work is left to loops that Python itself makes.
    """

    def __init__(self) -> None:
        self._keys: list[list[str]] = [["details"]]
        self._values: list[Any] = []
        self._names: list[str] = []
        self._hot: list[int] = []
        """Slots that moved lately. If all else is the same, only these need a look."""
        self._odd: list[int] = []
        """Where something stands that is no text: 1 == 1.0 == True, but they are not the same."""

    def fit(self, raw: dict[str, Any]) -> bool:
        """Has this reply the same tables with the same keys, in the same order?"""
        rows = raw["details"]
        return self._names == [row["ccy"] for row in rows] and self._keys == [[*raw], *map(list, rows)]

    def lay_out(self, raw: dict[str, Any]) -> wire.Layout:
        """Go over to the tables of this reply; what is new has its values with it."""
        keys, values, names = self._keys, self._cut(), {name: i for i, name in enumerate(self._names, 1)}
        tables: list[dict[str, Any]] = [_top(raw), *raw["details"]]
        self._names = [row["ccy"] for row in raw["details"]]
        self._keys = [[*raw], *map(list, raw["details"])]
        places = [0, *(names.get(name, 0) for name in self._names)]
        self._values, layout = [], list[int | dict[str, Any]]()
        for i, (place, table) in enumerate(zip(places, tables, strict=True)):
            kept = keys[place] == self._keys[i] and (place > 0 or not i)
            self._values += values[place] if kept else table.values()
            layout.append(place - 1 if kept else plain(table))
        self._odd, self._hot = _odd(self._values), []
        top, *rows = layout
        return wire.Layout(top if isinstance(top, dict) else None, rows)

    def changes(self, raw: dict[str, Any]) -> tuple[list[int], list[Any]]:
        """The slots that hold something else now, and what."""
        now = [*_top(raw).values(), *chain.from_iterable(map(dict.values, raw["details"]))]
        before, self._values = self._values, now
        slots = self._moved(now, before)
        found = [now[slot] for slot in slots]
        if not {*map(type, found), *map(type, map(before.__getitem__, slots))} <= _TEXT:
            self._odd = _odd(now)
            found = [plain(value) for value in found]
        return [*map(sub, slots, [0, *slots])], found

    def _moved(self, now: list[Any], before: list[Any]) -> list[int]:
        rest = before.copy()
        for slot in self._hot:
            rest[slot] = now[slot]
        if rest == now:
            slots = [slot for slot in self._hot if now[slot] != before[slot]]
        else:
            slots = [*compress(count(), map(ne, now, before))]
            self._hot = slots if len(self._hot) > MOST_HOT * len(slots) else sorted({*self._hot, *slots})
        if odd := [slot for slot in self._odd if _differ(now[slot], before[slot])]:
            slots = sorted({*slots, *odd})
        return slots

    def _cut(self) -> list[list[Any]]:
        """The values of each table."""
        values = iter(self._values)
        return [list(islice(values, len(keys) - (not i))) for i, keys in enumerate(self._keys)]


MOST_HOT = 4
"""So many times as many slots as have just moved are thought to move; then it is begun anew."""
_TEXT = {str}


def _top(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key != "details"}


def _odd(values: list[Any]) -> list[int]:
    return [i for i, value in enumerate(values) if type(value) is not str]


def _differ(a: Any, b: Any) -> bool:
    return a is not b and repr(a) != repr(b)


_PLAIN = (str, bool, float, type(None))
_BIGGEST = 2**63


def plain(value: Any) -> Any:
    """As JSON has it. What a plugin's source puts in besides is judged as malformed; so is what it becomes here."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if abs(value) < _BIGGEST else str(value)  # which is judged the same
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return [kind.__name__, str(value)]
