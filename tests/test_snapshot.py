"""What the exchange says, typed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot import snapshot
from riskbot.fields import (
    COIN,
    LEVEL,
    MISSING,
    NOT_APPLICABLE,
    RATIO,
    USD,
    Amount,
    Field,
    Flag,
    Magnitude,
    Row,
    Time,
    Word,
    is_missing,
)
from riskbot.snapshot import Balance, Snapshot


def account(**fields: Any) -> Snapshot:
    return Snapshot({"details": [], **fields})


def currency(**fields: Any) -> Balance:
    return Snapshot({"details": [{"ccy": "USDT", **fields}]}).balances["USDT"]


ALL_FIELDS = [
    pytest.param(row, field, id=f"{row.PREFIX}{key}")
    for row in (Snapshot, Balance)
    for key, field in row.FIELDS.items()
]
GOOD: dict[type, list[tuple[object, object]]] = {
    Amount: [("1.50", Decimal("1.50")), ("-3", Decimal(-3)), ("1e-8", Decimal("1e-8")), (7, Decimal(7))],
    Magnitude: [("1.50", Decimal("1.50")), ("-3", Decimal(3))],
    Flag: [(True, True), (False, False), ("true", True), ("false", False)],
    Word: [("pending", "pending")],
    Time: [("1597026383085", datetime(2020, 8, 10, 2, 26, 23, 85000, UTC))],
}
BAD: dict[type, list[object]] = {
    Amount: [
        True,
        1.5,
        [],
        {},
        "abc",
        " 12 ",
        "1_000",
        "0" * 101,
        "NaN",
        "sNaN",
        "Infinity",
        "-inf",
        "1e400",
        "1e-400",
        "٣",
        "½",
        "+",
        *("1" * 41, 10**40, "0x10", "1,5", "e5", "1e", "--1", "1.2.3", "1e99999999999999999999", "."),
    ],
    Magnitude: ["x"],
    Flag: ["yes", 1, 0, "True", []],
    Word: [5, True, []],
    Time: ["12.5", "-1", "٣", " 1", "9" * 15, 10**14, -1, 10**5000, True, 1.5],
}


def same(a: object, b: object) -> bool:
    """Equal, also for values that are none: a NaN equals nothing."""
    if isinstance(a, Decimal) and a.is_nan():
        return str(a) == str(b)
    return a == b and type(a) is type(b)


@pytest.mark.parametrize(("row", "field"), ALL_FIELDS)
def test_every_field_reads_as_its_type_or_as_no_value(row: type[Row], field: Field[Any]) -> None:
    def read(**raw: object) -> tuple[object, set[str]]:
        defects: set[str] = set()
        return getattr(row(raw, defects) if row is Balance else account(**raw), field.name), defects

    nothing, absent = (NOT_APPLICABLE, MISSING) if isinstance(field, Amount) else (None, None)
    assert same(read(**{field.key: ""})[0], nothing)
    assert same(read(**{field.key: None})[0], absent)
    assert same(read()[0], absent)
    for raw, value in GOOD[type(field)]:
        assert same(read(**{field.key: raw})[0], value), raw
    for raw in BAD[type(field)]:
        assert same(read(**{field.key: raw})[0], absent), raw
    assert row.field(field.key) is field
    assert getattr(row, field.name) is field


def test_a_field_of_no_known_type_can_not_be_read() -> None:
    with pytest.raises(NotImplementedError):
        Field("x", "X.").parse("1", currency())


def test_what_is_malformed_is_named_once_as_okx_spells_it() -> None:
    snap = Snapshot(
        {"mgnRatio": "x", "adjEq": "", "details": [{"ccy": "USDT", "liab": "y"}, {"ccy": "BTC", "liab": "z"}]}
    )

    assert [is_missing(snap.mgn_ratio), is_missing(snap.adj_eq), is_missing(snap.imr)] == [True, False, True]
    assert [is_missing(row.liab) for row in snap.balances.values()] == [True, True]
    assert snap.defects == {"mgnRatio", "details.liab"}


def test_a_debt_s_size_counts_and_its_minus_is_noted() -> None:
    row = currency(liab="-50.5", interest="0.5")

    assert (row.liab, row.interest, row.defects) == (Decimal("50.5"), Decimal("0.5"), {"details.liab (negative)"})


def test_amounts_are_exact_beyond_the_precision_of_arithmetic() -> None:
    digits = "1234567890123456789012345678901234.56789"

    assert str(account(adjEq=digits).adj_eq) == digits
    assert str(currency(liab=digits).liab) == digits
    assert str(currency(liab=f"-{digits}").liab) == digits


@pytest.mark.parametrize("zero", ["0", "-0", "0.000", "0e999999", "0e-999999", 0])
def test_any_zero_is_plain_zero(zero: object) -> None:
    assert str(account(adjEq=zero).adj_eq) == "0"


def test_no_value_spreads_through_arithmetic_and_does_not_compare() -> None:
    assert not is_missing(NOT_APPLICABLE * 2 + 1)
    assert is_missing(-(MISSING / 3))
    assert is_missing(Decimal("NaN"))
    assert not is_missing(Decimal(0))
    with pytest.raises(ArithmeticError):
        _ = NOT_APPLICABLE < 1


@given(st.text() | st.integers() | st.floats() | st.booleans() | st.none() | st.text("0123456789.eE+-", max_size=60))
def test_no_reply_makes_reading_a_field_fail(raw: object) -> None:
    snap = Snapshot({"details": [dict.fromkeys(Balance.FIELDS, raw) | {"ccy": "USDT"}]})
    snap.raw.update(dict.fromkeys(Snapshot.FIELDS, raw))
    rows: list[Row] = [snap, *snap.balances.values()]
    values = [getattr(row, field.name) for row in rows for field in row.FIELDS.values()]

    assert all(v is None or isinstance(v, Decimal | bool | str | datetime) for v in values)
    numbers = [v for v in values if isinstance(v, Decimal) and not v.is_nan()]
    assert all(abs(v.adjusted()) < 40 and (v * v + v).is_finite() for v in numbers)


def test_times_reach_from_1970_as_far_as_fourteen_digits() -> None:
    assert account(uTime="0").u_time == datetime(1970, 1, 1, tzinfo=UTC)
    assert account(uTime=1).u_time == datetime(1970, 1, 1, 0, 0, 0, 1000, UTC)
    last = account(uTime="9" * 14).u_time
    assert last is not None
    assert last.year == 5138


def test_a_price_is_what_the_reply_implies() -> None:
    assert currency(eq="2", eqUsd="10").price == 5
    assert currency(eq="-2", eqUsd="-10").price == 5
    assert currency(eq="2", eqUsd="0").price == 0
    for unknown in ({"eq": "0", "eqUsd": "0"}, {"eqUsd": "1"}, {"eq": "2", "eqUsd": "-10"}, {"eq": "2", "eqUsd": "x"}):
        assert is_missing(currency(**unknown).price), unknown
    assert currency(eq="", eqUsd="1").price.is_nan()


def test_currencies_are_found_by_name_and_columns_are_gathered_once() -> None:
    snap = Snapshot({"details": [{"ccy": "A", "liab": "1"}, {"ccy": "B"}]})

    assert list(snap.balances) == ["A", "B"]
    assert snap.balances is snap.balances
    assert snap.column("liab") == ["1", None]
    assert snap.column("liab") is snap.column("liab")
    assert snap.balances["A"].amount("liab") == 1


def test_new_fields_of_the_exchange_are_named_and_kept() -> None:
    snap = Snapshot({"adjEq": "1", "delta": "2", "details": [{"ccy": "A", "frpType": "0"}]})

    assert snap.unknown() == {"delta", "details.frpType"}
    assert snap.balances["A"].unknown() == {"frpType"}
    assert snap.raw["delta"] == "2"
    assert account().unknown() == set()


def test_a_rule_names_fields_as_okx_does() -> None:
    assert snapshot.field("mgnRatio") is Snapshot.mgn_ratio
    assert snapshot.field("details.mgnRatio") is Balance.mgn_ratio
    for path in (
        "nothing",
        "details.nothing",
        "other.liab",
        "details",
        "details.",
        ".liab",
        "details.details.liab",
        "",
    ):
        with pytest.raises(KeyError):
            snapshot.field(path)
    assert all(snapshot.field(path).key == path.rpartition(".")[2] for path in snapshot.field_paths())
    assert len(set(snapshot.field_paths())) == len(Snapshot.FIELDS) + len(Balance.FIELDS)


# OKX's own table of the fields that each account mode carries ("Get balance"): modes by field.
ACCOUNT = {
    "uTime": "1234", "totalEq": "1234", "isoEq": "234", "adjEq": "34", "availEq": "34", "ordFroz": "34", "imr": "34",
    "mmr": "34", "mgnRatio": "34", "notionalUsd": "34", "notionalUsdForSwap": "34", "notionalUsdForFutures": "34",
    "notionalUsdForOption": "134", "notionalUsdForBorrow": "134", "upl": "34",
}  # fmt: skip
DETAILS = {
    "ccy": "1234", "eq": "1234", "cashBal": "1234", "uTime": "1234", "isoEq": "234", "availEq": "234", "disEq": "134",
    "availBal": "1234", "frozenBal": "1234", "ordFrozen": "1234", "liab": "34", "upl": "234", "uplLiab": "34",
    "crossLiab": "34", "isoLiab": "34", "mgnRatio": "2", "interest": "34", "twap": "34", "maxLoan": "134",
    "eqUsd": "1234", "notionalLever": "2", "stgyEq": "1234", "isoUpl": "234", "spotInUseAmt": "4", "spotIsoBal": "12",
    "imr": "2", "mmr": "2", "spotBal": "1234", "openAvgPx": "1234", "accAvgPx": "1234", "spotUpl": "1234",
    "spotUplRatio": "1234", "totalPnl": "1234", "totalPnlRatio": "1234",
}  # fmt: skip
ACCOUNT_IN_WORDS = {"borrowFroz": "34"}
"""Documented, but not in that table: from the words beside the field."""
DETAILS_IN_WORDS = {
    "fixedBal": "1234", "borrowFroz": "34", "collateralEnabled": "3", "collateralRestrict": "1234",
    "colBorrAutoConversion": "1234", "autoLendStatus": "1234", "autoLendMtAmt": "1234",
}  # fmt: skip
UNDOCUMENTED = {"clSpotInUseAmt", "maxSpotInUse", "smtSyncEq", "spotCopyTradingEq", "rewardBal"}


def test_the_modes_of_every_field_are_those_of_okx() -> None:
    account_modes = {key: field.modes for key, field in Snapshot.FIELDS.items()}
    details_modes = {key: field.modes for key, field in Balance.FIELDS.items() if key not in UNDOCUMENTED}

    assert account_modes == ACCOUNT | ACCOUNT_IN_WORDS
    assert details_modes == DETAILS | DETAILS_IN_WORDS
    assert Balance.FIELDS.keys() >= UNDOCUMENTED


def test_every_field_says_what_it_is() -> None:
    for path in snapshot.field_paths():
        field = snapshot.field(path)
        assert field.__doc__, path
        assert field.unit in {"", USD, COIN, RATIO, LEVEL}, path
        assert bool(field.unit) == isinstance(field, Amount), path
        assert field.worse in {"", "above", "below"}, path


def test_what_lacks_a_value_does_not_apply_or_is_missing() -> None:
    row = snapshot.Balance({"twap": "", "liab": "x"}, set())

    assert not is_missing(row.lacks("twap"))
    assert is_missing(row.lacks("liab"))
    assert is_missing(row.lacks("eq"))


@pytest.mark.parametrize(
    ("paths", "modes"),
    [
        (("mgnRatio",), "34"),
        (("mgnRatio", "details.mgnRatio"), "234"),
        (("details.spotIsoBal",), "12"),
        (("totalEq", "mgnRatio"), "1234"),
        ((), "1234"),
    ],
)
def test_the_modes_that_carry_any_of_some_fields_are_known(paths: tuple[str, ...], modes: str) -> None:
    assert snapshot.carried(paths) == modes


# ---------------------------------------------------------------- ratios


@pytest.mark.parametrize(
    ("top", "bottom", "ratio"),
    [("3", "4", "0.75"), ("0", "4", "0"), ("3", "0", "na"), ("0", "0", "na"), ("", "4", "na"), ("3", "", "na"),
     ("x", "4", "missing"), ("3", None, "missing"), ("x", "0", "missing"), ("", "0", "na")],
)  # fmt: skip
def test_a_ratio_has_a_value_where_both_fields_have_one(top: str, bottom: str | None, ratio: str) -> None:
    row = snapshot.Balance({"disEq": top, "eqUsd": bottom}, set())
    value = row.amount("disEq / eqUsd")

    assert ("missing" if is_missing(value) else "na" if value.is_nan() else f"{value:f}") == ratio


def test_a_ratio_is_of_two_fields_of_one_level() -> None:
    haircut = snapshot.field("details.disEq / details.eqUsd")

    assert (haircut.unit, haircut.modes, haircut.worse) == (RATIO, "134", "below")
    assert snapshot.field("details.eqUsd / details.disEq").modes == "134"
    assert snapshot.Snapshot({"adjEq": "6", "mmr": "4", "details": []}).amount("adjEq / mmr") == Decimal("1.5")
    for path in ("details.eqUsd / totalEq", "totalEq / details.eqUsd", "adjEq / nonsense"):
        with pytest.raises(KeyError):
            snapshot.field(path)


def test_a_ratio_has_moved_when_one_of_its_fields_has() -> None:
    rows = [{"ccy": "A", "disEq": "3", "eqUsd": "4"}, {"ccy": "B"}]
    seen = snapshot.Snapshot({"adjEq": "6", "mmr": "4", "details": rows})

    assert seen.column("disEq / details.eqUsd") == [("3", "4"), (None, None)]
    assert seen.said("adjEq / mmr") == ("6", "4")
    assert seen.said("adjEq") == "6"
