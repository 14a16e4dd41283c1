"""Asking about the currencies that have moved, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.asker import Asker
from riskbot.builtin.change import Change
from riskbot.builtin.level import Level
from riskbot.builtin.threshold import Threshold
from riskbot.history import History
from riskbot.model import AccountInfo, Reading, View
from riskbot.rules import Measured, Rule
from riskbot.snapshot import Snapshot

CCYS = "ABCDEFG"
INFO = AccountInfo("1", "3")


def rules() -> list[Rule]:
    tiers = {"info": "10%", "critical": "50%"}
    kinds: list[tuple[type[Rule], dict[str, Any]]] = [
        (Level, {"field": "details.twap", "at_least": {"warning": 1, "critical": 4}}),
        (Level, {"field": "details.twap", "at_least": {"warning": 1}, "except_ccy": ["A", "B"]}),
        (Threshold, {"field": "details.eqUsd", "below": {"warning": 2}}),
        (Threshold, {"field": "details.eqUsd / details.eq", "above": {"warning": 2}}),
        (Change, {"field": "details.liab", "rises_by": tiers, "over": "10s"}),
        (Change, {"field": "details.liab", "rises_by": tiers, "over": "5m", "min_usd": 3}),
        (Change, {"field": "details.eqUsd", "falls_by": {"info": "$1"}, "over": "20s"}),
        (Change, {"field": "adjEq", "falls_by": {"info": 1}, "over": "20s"}),
    ]
    return [kind.model_validate({"name": f"{i}", "kind": kind.KIND, **keys}) for i, (kind, keys) in enumerate(kinds)]


class Life:
    """An account of seven currencies, a field of which changes now and then."""

    def __init__(self, asked: list[Rule]) -> None:
        self.fields = {ccy: {"twap": "0", "liab": "5", "eq": "2", "eqUsd": "4"} for ccy in CCYS}
        self.past = History(want for rule in asked for want in rule.wants())
        self.now = 100.0

    def look(self, seconds: float) -> View:
        self.now += seconds
        rows = [{"ccy": ccy, **fields} for ccy, fields in self.fields.items()]
        seen = Snapshot({"adjEq": "7", "details": rows}, self.now)
        self.past.add(seen)
        return View("main", self.now, seen, self.past, INFO)


def words(answers: dict[str, Measured]) -> list[str]:
    """Without the notes of readings at rest, which may be old."""
    return [
        f"{name} {answer.missing} {answer.complete} {answer.calm} "
        f"{sorted((r.ccy, str(r.value.normalize())) for r in answer.readings)}"
        for name, answer in answers.items()
    ]


values = st.sampled_from(["0", "1", "2.5", "5", "6", "", "x", None])
changes = st.tuples(st.sampled_from(CCYS), st.sampled_from(["twap", "liab", "eq", "eqUsd"]), values)
steps = st.tuples(st.lists(changes, max_size=3), st.sampled_from([1, 1, 1, 8, 40]), st.sampled_from([*CCYS, ""]))


@settings(max_examples=150)
@given(st.lists(steps, max_size=12))
def test_asking_about_what_has_moved_is_asking_about_all(course: list[tuple[list[Any], float, str]]) -> None:
    asker, life = Asker(rules()), Life(rules())
    for moves, seconds, gone in course:
        for ccy, key, value in moves:
            life.fields.setdefault(ccy, {})[key] = value
        if len(moves) == 3:
            life.fields.pop(gone, None)
        seen = life.look(seconds)

        assert words(asker(seen)) == words(Asker(rules())(seen))


class Noted(Threshold, kind="noted"):
    """Notes about which currencies it is asked."""

    BY_ROW = True
    asked: list[str] = []  # noqa: RUF012 - pydantic copies it

    def columns(self) -> tuple[str, ...] | None:
        return (self.field,)

    def readings(self, view: View) -> Iterator[Reading]:
        self.asked.append("".join(view.snapshot.balances))
        yield from super().readings(view)


def asked(kind: type[Noted], **moves: str) -> list[str]:
    """About which currencies, by and by: at first, and after one of them has moved."""
    rule = kind.model_validate({"name": "n", "kind": "n", "field": "details.liab", "above": {"info": 5}})
    rule.asked.clear()
    asker, life = Asker([rule]), Life([])
    asker(life.look(1))
    for ccy, liab in moves.items():
        life.fields[ccy]["liab"] = liab
    answer = asker(life.look(1))["n"]
    assert {r.ccy: r.value for r in answer.readings} == {ccy: Decimal(moves.get(ccy, "5")) for ccy in CCYS}
    assert not answer.calm
    return rule.asked


def test_only_the_currency_that_has_moved_is_asked_about() -> None:
    assert asked(Noted, C="6") == [CCYS, "C"]
    assert asked(Noted, A="6", G="7") == [CCYS, "AG"]


def test_a_currency_that_a_rule_has_nothing_to_say_about_any_more_is_not_remembered() -> None:
    class Owed(Noted, kind="owed"):
        BY_ROW = True

        def columns(self) -> tuple[str, ...] | None:
            return (self.field,)

        def readings(self, view: View) -> Iterator[Reading]:
            yield from (reading for reading in Noted.readings(self, view) if reading.value)

    rule = Owed.model_validate({"name": "n", "kind": "n", "field": "details.liab", "above": {"info": 5}})
    asker, life = Asker([rule]), Life([])
    asker(life.look(1))
    life.fields["C"]["liab"] = "0"
    answer = asker(life.look(1))["n"]
    assert rule.asked[-1] == "C"
    assert [reading.ccy for reading in answer.readings] == [*"ABDEFG"]


def test_where_most_have_moved_all_are_asked_about() -> None:
    assert asked(Noted, A="6", B="6", C="6", D="6") == [CCYS, CCYS]


def test_a_kind_that_changes_the_readings_of_its_parent_is_asked_about_all() -> None:
    class Whole(Noted, kind="whole"):
        def columns(self) -> tuple[str, ...] | None:
            return (self.field,)

        def readings(self, view: View) -> Iterator[Reading]:
            self.asked.append("".join(view.snapshot.balances))
            yield from Threshold.readings(self, view)

    assert asked(Whole, C="6") == [CCYS, CCYS]


@pytest.mark.parametrize("odd", ["x", None])
def test_a_number_that_is_missing_in_one_of_them_is_told_at_every_look(odd: str | None) -> None:
    rule = Threshold.model_validate({"name": "n", "kind": "n", "field": "details.liab", "above": {"info": 50}})
    asker, life = Asker([rule]), Life([])
    asker(life.look(1))
    life.fields["B"]["liab"] = odd  # type: ignore[assignment] # as it may come
    assert asker(life.look(1))["n"].missing == "B details.liab"
    life.fields["C"]["liab"] = "7"
    assert asker(life.look(1))["n"].missing == "B details.liab"
    life.fields["B"]["liab"] = "8"
    assert asker(life.look(1))["n"].missing == ""
