"""Asks all rules of one account, and of each no more than has moved. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, compress
from operator import ne
from typing import Any

from msgspec.structs import replace

from riskbot import snapshot
from riskbot.model import AccountInfo, Reading, View
from riskbot.rules import Measured, Rule, is_calm, measure


class Asker:
    """Asks all rules of one account, and keeps an answer as long as what it was made of has not moved."""

    def __init__(self, rules: Iterable[Rule], ask: Callable[[Rule, View], Measured] = measure) -> None:
        self._ask, self._asked = ask, [_Asked(rule, ask) for rule in rules]
        self._before: snapshot.Snapshot | None = None
        self._info: AccountInfo | None = None

    def __call__(self, view: View) -> dict[str, Measured]:
        """The answers by rule. During an outage only of the rules that see one."""
        if view.outage:
            # What they do not mention now is unknown, not gone.
            answers = (
                (asked.rule.name, self._ask(asked.rule, view)) for asked in self._asked if asked.rule.SEES_OUTAGE
            )
            return {name: replace(answer, complete=False) for name, answer in answers}
        moved = _Moved(self._before if view.info is self._info else None, view.snapshot)
        self._before, self._info = view.snapshot, view.info
        return {asked.rule.name: asked.answer(view, moved) for asked in self._asked}


class _Asked:
    """One rule and its last answer, which stands while its columns have not moved and its windows are still."""

    __slots__ = ("ask", "by_row", "columns", "known", "last", "rule", "settled", "wants")

    def __init__(self, rule: Rule, ask: Callable[[Rule, View], Measured]) -> None:
        self.ask = ask
        self.rule, self.columns, self.wants = rule, _columns(rule), rule.compiled.wants
        self.by_row = rule.BY_ROW and _is_of_its_readings(rule, "BY_ROW") and _are_of_rows(self.columns)
        self.last = Measured(complete=False)
        self.known: dict[str, Reading] = {}
        """The last answer by subject, where it can be patched."""
        self.settled = False
        """The last answer was made while its windows were still; so it does not change with time alone."""

    def answer(self, view: View, moved: _Moved) -> Measured:
        if self.columns is None:
            return self.ask(self.rule, view)
        still = self._still(view)
        if not (self.settled and still) or self.last.failed or moved.any(self.columns):
            self.last = self._asked(view, moved, self.columns)
            self.settled = still
        return self.last

    def _asked(self, view: View, moved: _Moved, columns: tuple[str, ...]) -> Measured:
        """Anew; if it will do, only of the currencies that have moved."""
        if self.known and not moved.rows:
            rows = moved.within(columns).union(*(view.history.restless(want.path) for want in self.wants))
            if 2 * len(rows) < len(self.known):
                part = self.ask(self.rule, moved.part(view, rows))
                if part.complete and not part.missing:
                    return self._patched(part, rows)
        answer = self.ask(self.rule, view)
        whole = self.by_row and answer.complete and not answer.missing
        self.known = {reading.ccy: reading for reading in answer.readings} if whole else {}
        return answer

    def _patched(self, part: Measured, rows: frozenset[str]) -> Measured:
        """The last answer, with what is said now of some; of those that are not mentioned now nothing is."""
        said = {reading.ccy: reading for reading in part.readings}
        for ccy in rows - said.keys():
            self.known.pop(ccy, None)
        self.known |= said
        readings = tuple(self.known.values())
        return Measured(readings, calm=part.calm and (self.last.calm or is_calm(self.rule, readings)))

    def _still(self, view: View) -> bool:
        for want in self.wants:  # noqa: SIM110 - a generator costs more than all that it asks
            if not view.history.is_still(want, view.now):
                return False
        return True


def _columns(rule: Rule) -> tuple[str, ...] | None:
    """The rule's `columns`, if they can be trusted: a word amiss in them would keep its old answer for ever."""
    try:
        columns = rule.columns()
        for path in columns or ():
            snapshot.field(path)
    except (Exception, SystemExit):  # noqa: BLE001 - a plugin may raise anything; then it is asked every time
        return None
    return columns if columns and _is_of_its_readings(rule, "columns") else None


def _is_of_its_readings(rule: Rule, name: str) -> bool:
    """Does what the kind declares belong to its `readings`? It may be its parent's, for other readings."""
    kinds = type(rule).__mro__
    measures, declares = (next(i for i, kind in enumerate(kinds) if n in vars(kind)) for n in ("readings", name))
    return declares <= measures


def _are_of_rows(columns: tuple[str, ...] | None) -> bool:
    return all(path.startswith(snapshot.Balance.PREFIX) for path in columns or ("",))


class _Moved:
    """What has moved between two snapshots? Each field is compared once. rows: other currencies than before."""

    def __init__(self, before: snapshot.Snapshot | None, now: snapshot.Snapshot) -> None:
        self.before, self.now = before, now
        self.known: dict[str, bool] = {}
        self.within_known: dict[tuple[str, ...], frozenset[str]] = {}
        self.parts: dict[frozenset[str], View] = {}
        self.rows = before is None or before.column("ccy") != now.column("ccy")

    def any(self, paths: tuple[str, ...]) -> bool:
        """Any of these?"""
        for path in paths:
            moved = self.known.get(path)
            if moved is None:
                moved = self.known[path] = self._compare(path)
            if moved:
                return True
        return False

    def _compare(self, path: str) -> bool:
        before, now = self.before, self.now
        if before is None:
            return True
        if not path.startswith("details."):
            return before.said(path) != now.said(path)
        key = path[8:]
        return self.rows or before.column(key) != now.column(key)

    def within(self, paths: tuple[str, ...]) -> frozenset[str]:
        """The currencies in which any of these fields of theirs has moved, where they are the same as before."""
        found = self.within_known.get(paths)
        if found is None and self.before is not None:
            ccys: list[Any] = self.now.column("ccy")
            before, now = self.before.column, self.now.column
            found = frozenset(chain(*(compress(ccys, map(ne, before(path[8:]), now(path[8:]))) for path in paths)))
            self.within_known[paths] = found
        return found or frozenset()

    def part(self, view: View, ccys: frozenset[str]) -> View:
        """What there is to see of these currencies alone."""
        found = self.parts.get(ccys)
        if found is None:
            found = self.parts[ccys] = replace(view, snapshot=view.snapshot.only(ccys))
        return found
