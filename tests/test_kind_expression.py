"""The kind `expression`: a trader's own condition."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from riskbot.builtin.conditions import NoValueError, UnfitError
from riskbot.builtin.conditions import read as condition
from riskbot.builtin.expression import Expression
from riskbot.fields import is_missing
from riskbot.rules import measure, no_data, tell
from tests.kinds import CRITICAL, INFO, OK, WARNING, event, read, snap, view


def expression(when: object, **keys: Any) -> Expression:
    return Expression.model_validate({"name": "thin", "kind": "expression", "when": when} | keys)


def judged(text: str, row: dict[str, Any] | None = None, **fields: Any) -> object:
    """True, False, "na" or "missing"."""
    seen = snap({"X": row} if row is not None else {}, **fields)
    try:
        return condition(text).holds(seen, seen.balances.get("X"))
    except NoValueError as error:
        return "missing" if is_missing(error.lacking) else "na"


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("mgnRatio < 5 and adjEq < 10000", True),
        ("mgnRatio < 4.2", False),
        ("mgnRatio <= 4.2 and mgnRatio == 4.2", True),
        ("not (mgnRatio < 5) or adjEq > 100", True),
        ("adjEq / mmr <= 2.5", True),
        ("$abs(upl) > 49 and -upl == 50", True),
        ("$max([mgnRatio, 7]) == 7 and $min([mgnRatio, 7]) < 7", True),
        ("adjEq - mmr > 599.9 ? mgnRatio < 5 : false", True),
        ("0.1 + 0.2 == 0.3 and mgnRatio > 0", True),
        ("adjEq % 300 == 100", True),
    ],
)
def test_a_condition_is_judged_exactly(text: str, holds: bool) -> None:
    assert judged(text, mgnRatio="4.2", adjEq="1000", mmr="400", upl="-50") is holds


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("details.liab > 0 and details.twap >= 1", True),
        ("details.liab * 2 == 20.2", True),
        ("details.collateralRestrict and not details.collateralEnabled", True),
        ('details.autoLendStatus == "off"', False),
        ('details.autoLendStatus in ["pending", "active"]', True),
        ('details.ccy == "X" and adjEq > 5', True),
    ],
)
def test_a_condition_may_name_the_fields_of_a_currency(text: str, holds: bool) -> None:
    row = {"liab": "10.1", "twap": "1", "collateralRestrict": True, "collateralEnabled": "false"}

    assert judged(text, row | {"autoLendStatus": "pending"}, adjEq="6") is holds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mgnRatio < 5", "na"),
        ("adjEq < 5", "missing"),
        ("upl < 5", "missing"),
        ("mmr < 5", True),
        ("mmr < 5 and mgnRatio < 5", "na"),
        ("mmr > 5 and mgnRatio < 5", False),
        ("mmr < 5 or adjEq < 5", True),
        ("adjEq < 5 or mmr < 5", "missing"),
        ("mgnRatio * 0 < 5", "na"),
        ("$abs(adjEq) > 5", "missing"),
        ("not (mgnRatio < 5)", "na"),
        ("imr / mmr < 5", "na"),
    ],
)
def test_a_field_without_a_value_makes_it_neither_true_nor_false(text: str, found: object) -> None:
    assert judged(text, mgnRatio="", adjEq="x", mmr="0", imr="4") == found


def test_a_word_or_flag_without_a_value_is_told_as_one() -> None:
    assert judged("details.collateralRestrict", {"collateralRestrict": ""}) == "na"
    assert judged("details.collateralRestrict", {}) == "missing"
    assert judged("not details.collateralRestrict", {"collateralRestrict": 7}) == "missing"


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mgnratio < 5", 'OKX has no field "mgnratio"; did you mean "mgnRatio"?'),
        ("liab > 5", 'OKX has no field "liab"; did you mean "details.liab"?'),
        ("details.liap > 5", 'OKX has no field "details.liap"; did you mean "details.liab"?'),
        ("zzzzz > 5", "it names a field that OKX does not have"),
        ("uTime > 5", "uTime is a time: a condition can't name it"),
        ("mgnRatio < 'a'", "it compares or calculates with things of different kinds: numbers, words, true or false"),
        ("details.liab + details.ccy > 5", "it compares or calculates with things of different kinds: "),
        ("mgnRatio == 'a'", "it compares a number with a word: that is never so"),
        ("mgnRatio in ['a']", "it compares a number with a word: that is never so"),
        ("details == details and mgnRatio < 5", "it compares no value with no value"),
        ("details.autoLendStatus == 'of'", 'details.autoLendStatus never is that; did you mean "off"?'),
        ("'zz' != details.autoLendStatus", "details.autoLendStatus never is that; it is one of unsupported, off, pend"),
        ("details.autoLendStatus in ['off', 'penndig']", 'did you mean "pending"?'),
        ("mgnRatio", "mgnRatio is a number, not true or false: compare it"),
        ("mgnRatio + 1", "a part of it is a number, not true or false: compare it"),
        ("mgnRatio and adjEq > 5", "mgnRatio is a number, not true or false: compare it"),
        ("not details.liab", "details.liab is a number, not true or false: compare it"),
        ("details", "a part of it is no value, not true or false"),
        ("1 < 2", "it names no field of OKX, so it would always be the same"),
        ("mgnRatio = 5", "it can't be read from sign 10 on; equal is written =="),
        ("1 < mgnRatio < 5", "it can't be read from sign 14 on"),
        ("mgnRatio <", "it ends too soon: a value or a ) is missing"),
        ("(mgnRatio < 5", "it ends too soon: a value or a ) is missing"),
        ("", "it ends too soon: a value or a ) is missing"),
        ("mgnRatio < 300%", "it can't be read: a percentage is written as a number, 300% as 3"),
        ("details.ccy =~ '(a+)+b'", "no patterns"),
        ("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' =~ '(a+)+b'", "no patterns"),
        ("details.ccy !~~ 'a'", "no patterns"),
        ("$abss(mgnRatio) < 5", 'no such function; did you mean "abs"?'),
        ("$random() < 0.5 and mgnRatio < 5", "no such function: there are $abs(…), $max(…), $min(…)"),
        ("$now > d'2020-01-01'", "only fields, numbers, words, true, false, and or not, $abs(…), $max(…), $min(…)"),
        ("$pi < mgnRatio", "no such function"),
        ("mgnRatio != null", "only fields, numbers, words"),
        ("[x for x in [1, 2]] == [mgnRatio]", "only fields, numbers, words"),
        ("mgnRatio ** 2 > 5", "no powers: write mgnRatio * mgnRatio"),
        ("mgnRatio & 1 == 1", "only fields, numbers, words"),
        ("details.ccy[0] == 'B'", "only fields, numbers, words"),
        ("details.liab.ceiling > 1", "only details has parts: write details.liab"),
        ("d'not a date' > mgnRatio", "it can't be read"),
    ],
)
def test_what_can_not_be_judged_is_refused_and_told_in_words(text: str, why: str) -> None:
    with pytest.raises(UnfitError) as error:
        condition(text)
    assert str(error.value).startswith(why) or why in str(error.value)

    with pytest.raises(ValidationError) as invalid:
        expression(text)
    assert why in str(invalid.value)


WORDS = "mgnRatio details.liab details . < == + * ( ) 5 'off' $abs $now null [ ] , ? : true in =~ d'' ** %"
CONDITIONS = ["mgnRatio < 5", "details.liab / mgnRatio > 1", "details.ccy == 'X'", "not details.collateralRestrict"]
SOUND = st.sampled_from(CONDITIONS)
PIECES = st.sampled_from([*CONDITIONS, *CONDITIONS, "and", "or", "and", "or", "not", "(", ")", *WORDS.split()])


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=9) | st.tuples(SOUND, st.sampled_from(["and", "or"]), SOUND))
def test_any_text_is_a_condition_or_refused(words: Sequence[str]) -> None:
    try:
        read_ = condition(" ".join(words))
    except UnfitError:
        return
    for seen in (snap({"X": {"liab": "1"}}, mgnRatio="2"), snap({"X": {"liab": ""}})):
        try:
            assert read_.holds(seen, seen.balances["X"]) in (True, False)
        except NoValueError:
            continue


def test_the_language_is_loaded_only_where_a_rule_uses_it() -> None:
    code = (
        "import sys; from riskbot import plugins; plugins.kinds(plugins.manager()); print('rule_engine' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "False\n"


# ---------------------------------------------------------------- the rule


def test_one_condition_is_a_warning_unless_it_says_how_bad_it_is() -> None:
    seen = view(snap(mgnRatio="4"))

    assert read(expression("mgnRatio < 5"), seen) == {"": WARNING}
    assert read(expression("mgnRatio < 5", severity="info"), seen) == {"": INFO}
    assert read(expression("mgnRatio > 5"), seen) == {"": OK}
    for keys in ({"when": {"info": "mgnRatio < 5"}, "severity": "info"}, {"when": {}}, {"when": 5}):
        with pytest.raises(ValidationError):
            expression(**{"when": "", **keys})
    with pytest.raises(ValidationError):
        Expression.model_validate("no table")


def test_the_worst_condition_that_holds_counts() -> None:
    rule = expression({"critical": "mgnRatio < 3", "info": "mgnRatio < 10", "warning": "mgnRatio < 5"})

    assert [read(rule, view(snap(mgnRatio=ratio)))[""] for ratio in ("2", "4", "9", "11")] == [
        CRITICAL, WARNING, INFO, OK,
    ]  # fmt: skip


def test_a_field_of_a_currency_makes_it_a_condition_of_each_currency() -> None:
    rule = expression({"warning": "mgnRatio < 5", "critical": "details.twap >= 1"})
    seen = snap({"A": {"twap": "1"}, "B": {"twap": "0"}, "C": {"twap": ""}, "D": {}}, mgnRatio="9")

    assert read(rule, view(seen)) == {"A": CRITICAL, "B": OK, "C": "na", "D": "missing"}
    assert measure(rule, view(seen)).missing == "D details.twap"


def test_a_worse_condition_that_can_not_be_judged_eases_nothing() -> None:
    rule = expression({"warning": "mgnRatio < 5", "critical": "adjEq < 1000"})

    assert read(rule, view(snap(mgnRatio="4"))) == {"": "missing"}
    assert read(rule, view(snap(mgnRatio="9"))) == {"": "missing"}
    assert read(rule, view(snap(mgnRatio="4", adjEq=""))) == {"": WARNING}
    assert read(rule, view(snap(mgnRatio="9", adjEq=""))) == {"": "na"}
    assert read(rule, view(snap(adjEq="9"))) == {"": CRITICAL}


def test_it_is_asked_again_when_any_of_its_fields_moves() -> None:
    rule = expression({"info": "mgnRatio < 5 and details.liab > adjEq", "critical": "details.liab > 9"})

    assert rule.columns() == ("details.liab", "mgnRatio", "adjEq")


def test_it_has_data_in_the_modes_that_carry_all_fields_of_a_condition() -> None:
    assert expression("details.mgnRatio < 2").modes() == "2"
    assert expression("details.mgnRatio < 2 and mgnRatio < 2").modes() == ""
    assert expression({"info": "details.mgnRatio < 2", "warning": "mgnRatio < 2 and totalEq > 5"}).modes() == "234"
    assert no_data(expression("details.mgnRatio < 2 and mgnRatio < 2"), "3") == (
        "would have no data in Multi-currency margin mode: what it reads is carried in no mode"
    )


def test_it_is_told_with_the_condition_and_the_values_of_its_fields() -> None:
    rule = expression({"warning": "mgnRatio < 5 and adjEq < 10000", "info": "mgnRatio < 9"})
    seen = view(snap(mgnRatio="4.2", adjEq="9300"))

    assert tell(rule, seen, event(2)) == ("thin: mgnRatio < 5 and adjEq < 10000", ["mgnRatio 4.2, adjEq $9,300"])
    assert tell(rule, view(snap(mgnRatio="")), event(2, after=INFO)) == ("thin: mgnRatio < 9", [])
    assert tell(rule, seen, event(0, after=OK)) == ("thin", [])


def test_the_values_of_a_currency_are_told_in_its_unit() -> None:
    rule = expression("details.liab > 5 and details.collateralRestrict and details.autoLendStatus == 'off'")
    row = {"liab": "7.5", "collateralRestrict": True, "autoLendStatus": "off"}

    assert tell(rule, view(snap({"BTC": row})), event(2, "BTC")) == (
        "thin BTC: details.liab > 5 and details.collateralRestrict and details.autoLendStatus == 'off'",
        ["details.liab 7.5 BTC, details.collateralRestrict true, details.autoLendStatus off"],
    )
    assert tell(rule, view(snap()), event(2, "BTC"))[1] == []


def test_numbers_of_more_digits_than_arithmetic_has_are_compared_exactly() -> None:
    big = "1234567890123456789012345678901234.5"

    assert judged(f"adjEq == {big}", adjEq=big) is True
    assert judged(f"adjEq > {big}", adjEq=str(Decimal(big)).replace(".5", ".6")) is True
