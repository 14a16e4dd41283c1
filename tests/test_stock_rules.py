"""The stock kinds of rules: what they measure, and what they say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import ValidationError

from riskbot import engine, snapshot
from riskbot.asker import Asker
from riskbot.builtin.blind import Blind
from riskbot.builtin.change import FROM_NOTHING, Change, Growth, parse_growth
from riskbot.builtin.level import Level
from riskbot.builtin.margin_ratio import MarginRatio
from riskbot.builtin.threshold import Threshold
from riskbot.fields import LEVEL
from riskbot.history import History
from riskbot.model import (
    Alert,
    Alerts,
    Cause,
    Event,
    Outage,
    Severity,
    View,
)
from riskbot.model import Blind as BlindSince
from riskbot.rules import Rule, measure, tell
from riskbot.snapshot import Snapshot
from tests.kinds import CRITICAL, EMERGENCY, INFO, MODES, OK, WARNING, read, snap, view


def event(
    value: str | Decimal | None, subject: str = "", after: Severity = EMERGENCY, note: str = "", before: Severity = OK
) -> Event:
    number = None if value is None else Decimal(value)
    return Event("main", "r", subject, 7, 1, before, after, max(before, after), 9.0, 9.0, Cause.BREACH, number, note)


# ---------------------------------------------------------------- margin_ratio


def ratio(**keys: Any) -> MarginRatio:
    tiers = {"info": 10, "warning": 5, "critical": "300%", "emergency": 1.5}
    return MarginRatio.model_validate({"name": "margin ratio", "kind": "margin_ratio", "below": tiers} | keys)


EMPTY, FILLED = {"USDT": {"mgnRatio": ""}}, {"USDT": {"mgnRatio": "1.2"}, "BTC": {"mgnRatio": ""}}


@pytest.mark.parametrize(
    ("mode", "seen", "expected"),
    [
        ("3", snap(EMPTY, mgnRatio="1.42"), {"": Decimal("1.42")}),
        ("4", snap(EMPTY, mgnRatio="1.42"), {"": Decimal("1.42")}),
        ("3", snap(FILLED, mgnRatio=""), {"": "na", "USDT": Decimal("1.2")}),  # has the mode changed meanwhile?
        ("3", snap(EMPTY, mgnRatio="x"), {"": "missing"}),
        ("1", snap(EMPTY, mgnRatio=""), {"": "na"}),
        ("2", snap(FILLED, mgnRatio="5"), {"USDT": Decimal("1.2"), "BTC": "na"}),
        ("2", snap({"USDT": {}}, mgnRatio=""), {"USDT": "missing"}),
        (None, snap(EMPTY, mgnRatio="1.42"), {"": Decimal("1.42")}),
        (None, snap(FILLED, mgnRatio=""), {"": "na", "USDT": Decimal("1.2")}),
        (None, snap({"USDT": {"mgnRatio": "x"}}, mgnRatio=""), {"": "na", "USDT": "missing"}),
        (None, snap(mgnRatio=""), {"": "na"}),
    ],
)
def test_the_ratio_is_read_where_the_mode_has_it(mode: str | None, seen: Snapshot, expected: dict[str, object]) -> None:
    info = MODES[mode] if mode else None

    assert read(ratio(), view(seen, info=info)) == expected


def test_a_ratio_that_can_not_be_read_names_its_field() -> None:
    assert measure(ratio(), view(snap(mgnRatio="x"))).missing == "mgnRatio"
    futures = view(snap({"USDT": {"mgnRatio": "x"}}), info=MODES["2"])
    assert measure(ratio(), futures).missing == "USDT details.mgnRatio"


def test_the_ratio_is_told_with_what_reaches_liquidation_and_what_would_help() -> None:
    seen = snap(mgnRatio="1.4212", adjEq="54864")

    headline, lines = tell(ratio(), view(seen), event("1.4212"))

    assert headline == "margin ratio 1.42 (142 %)"
    assert lines == [
        "a further loss of $16,300, 29.6 % of adjusted equity, reaches liquidation",
        "adding ≈ $60,900 brings it back to 3.0",
    ]


def test_the_distance_is_exact_from_the_reply() -> None:
    """adjEq - adjEq / mgnRatio: 40,000 - 40,000 / 1.6 = 15,000; back to 3: 25,000 x 3 - 40,000 = 35,000."""
    assert tell(ratio(), view(snap(adjEq="40000")), event("1.6"))[1] == [
        "a further loss of $15,000, 37.5 % of adjusted equity, reaches liquidation",
        "adding ≈ $35,000 brings it back to 3.0",
    ]


@pytest.mark.parametrize(
    ("after", "value", "help_"),
    [
        (EMERGENCY, "1.25", "adding ≈ $56,000 brings it back to 3.0"),
        (CRITICAL, "2", "adding ≈ $60,000 brings it back to 5.0"),
        (WARNING, "4", "adding ≈ $60,000 brings it back to 10.0"),
        (INFO, "8", "adding ≈ $10,000 brings it back to 10.0"),
    ],
)
def test_what_would_help_leads_to_the_next_milder_tier(after: Severity, value: str, help_: str) -> None:
    assert tell(ratio(), view(snap(adjEq="40000")), event(value, after=after))[1][-1] == help_


def test_a_single_tier_is_what_would_help_leads_back_to() -> None:
    rule = ratio(below={"critical": "1.25"})

    assert tell(rule, view(snap(adjEq="40000")), event("1.2", after=CRITICAL))[1][-1] == (
        "adding ≈ $1,670 brings it back to 1.25"
    )


def test_an_alert_that_fell_or_ended_asks_for_nothing() -> None:
    said = ["a further loss of $38,000, 95 % of adjusted equity, reaches liquidation"]

    assert tell(ratio(), view(snap(adjEq="40000")), event("20", after=OK))[1] == []
    assert tell(ratio(), view(snap(adjEq="40000")), event("20", after=INFO))[1] == said


@pytest.mark.parametrize(
    ("value", "equity", "lines"),
    [
        ("1", "40000", ["the exchange may be liquidating now", "adding ≈ $80,000 brings it back to 3.0"]),
        ("0.8", "40000", ["the exchange may be liquidating now", "adding ≈ $110,000 brings it back to 3.0"]),
        ("0", "0", ["the exchange may be liquidating now"]),
        ("-0.5", "-100", ["the exchange may be liquidating now"]),
        ("0.9", "", ["the exchange may be liquidating now"]),
        ("1.4", "x", []),
    ],
)
def test_at_and_below_one_it_may_be_too_late(value: str, equity: str, lines: list[str]) -> None:
    assert tell(ratio(), view(snap(adjEq=equity)), event(value))[1] == lines


def test_a_currency_s_ratio_is_told_with_its_name() -> None:
    assert tell(ratio(), view(snap(adjEq="5")), event("1.2", "USDT")) == ("margin ratio USDT 1.2 (120 %)", [])
    assert tell(ratio(), view(snap(adjEq="5")), event("0.9", "USDT"))[1] == ["the exchange may be liquidating now"]
    assert tell(ratio(), view(snap(adjEq="5")), event(None, "USDT")) == ("margin ratio USDT", [])
    assert tell(ratio(), view(snap(adjEq="5")), event(None)) == ("margin ratio", [])


def test_the_pace_says_how_soon() -> None:
    past = History()
    for at in range(0, 605, 5):
        past.add(snap(at=at, adjEq=str(70_000 - 25 * at)))

    lines = tell(ratio(), view(snap(adjEq="55000"), 600.0, past), event("1.375"))[1]

    assert lines[1] == "at the last 10 min's pace: ≈ 10 min"  # 15,000 at 25 a second


@pytest.mark.parametrize("slope", [1, 0])
def test_no_pace_is_told_of_equity_that_does_not_fall(slope: int) -> None:
    past = History()
    for at in range(0, 605, 5):
        past.add(snap(at=at, adjEq=str(40_000 + slope * at)))

    lines = tell(ratio(), view(snap(adjEq="40600"), 600.0, past), event("1.4"))[1]

    assert not any("pace" in line for line in lines)


def test_no_pace_is_told_of_more_than_a_day() -> None:
    past = History()
    for at in range(0, 605, 5):
        past.add(snap(at=at, adjEq=f"{40_000 - at / 10_000:f}"))

    assert not any("pace" in s for s in tell(ratio(), view(snap(adjEq="39999.94"), 600.0, past), event("1.4"))[1])


# ---------------------------------------------------------------- level


def level(field: str = "details.twap", **tiers: object) -> Level:
    keys = {
        "name": "forced repayment",
        "kind": "level",
        "field": field,
        "at_least": tiers or {"warning": 1, "critical": 3},
    }
    return Level.model_validate(keys)


def test_a_level_is_read_of_each_currency() -> None:
    seen = snap({"USDT": {"twap": "3"}, "BTC": {"twap": ""}, "ETH": {}})

    assert read(level(), view(seen)) == {"USDT": 3, "BTC": "na", "ETH": "missing"}
    assert measure(level(), view(seen)).missing == "ETH details.twap"


def test_a_level_is_told_with_its_meaning_and_the_debt() -> None:
    seen = snap({"USDT": {"twap": "3", "liab": "21625.64", "eq": "-20000", "eqUsd": "-20010"}})

    assert tell(level(), view(seen), event("3", "USDT", CRITICAL)) == (
        "forced repayment USDT: level 3 of 5",
        [
            "OKX may repay this debt by selling your other coins; independent of the margin ratio",
            "debt 21,626 USDT ($21,600)",
        ],
    )


def test_a_level_that_ended_is_told_without_its_meaning() -> None:
    seen = snap({"USDT": {"liab": "5", "eq": "0", "eqUsd": "0"}})

    assert tell(level(), view(seen), event("0", "USDT", OK)) == ("forced repayment USDT: level 0 of 5", ["debt 5 USDT"])
    assert tell(level(), view(snap({"USDT": {"liab": "0"}})), event(None, "USDT", OK)) == ("forced repayment USDT", [])
    assert tell(level(), view(snap()), event(None, "USDT", OK)) == ("forced repayment USDT", [])


def test_every_level_of_the_exchange_has_a_meaning() -> None:
    levels = [p for p in snapshot.field_paths() if snapshot.field(p).unit == LEVEL]

    assert sorted(Level.MEANING) == sorted(levels)
    for path in levels:
        assert tell(level(path), view(snap()), event("5", "USDT"))[1] == [Level.MEANING[path]]


@pytest.mark.parametrize("tiers", [{"warning": 0}, {"emergency": 6}, {"warning": -1, "critical": 3}])
def test_a_level_that_is_never_or_always_reached_is_refused(tiers: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="levels go from 1 to 5"):
        level(**tiers)


# ---------------------------------------------------------------- threshold


def threshold(field: str = "adjEq", **keys: Any) -> Threshold:
    return Threshold.model_validate({"name": "equity", "kind": "threshold", "field": field} | keys)


@pytest.mark.parametrize(
    ("keys", "value", "after"),
    [
        ({"below": {"warning": 0}}, "-0.01", WARNING),
        ({"below": {"warning": 0}}, "0", OK),
        ({"below": {"warning": -100}}, "-100.1", WARNING),
        ({"below": {"warning": -100}}, "-99", OK),
        ({"above": {"warning": 0}}, "0.01", WARNING),
        ({"above": {"warning": -5, "critical": 5}}, "0", WARNING),
        ({"above": {"warning": -5, "critical": 5}}, "6", CRITICAL),
        ({"above": {"warning": -5}}, "-6", OK),
    ],
)
def test_a_threshold_is_met_in_its_direction(keys: dict[str, Any], value: str, after: Severity) -> None:
    rule = threshold(**keys)
    answer = {rule.name: measure(rule, view(snap(adjEq=value)))}

    events = engine.step("main", [rule], Alerts(), answer, 5.0).events

    assert [e.after for e in events] == ([after] if after else [])


@pytest.mark.parametrize("keys", [{}, {"above": {"info": 1}, "below": {"info": 0}}])
def test_a_threshold_has_one_direction(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give either above"):
        threshold(**keys)


def test_a_threshold_reads_the_account_or_each_currency() -> None:
    seen = snap({"A": {"upl": "-5"}, "B": {"upl": ""}, "C": {}}, adjEq="7")

    assert read(threshold(below={"info": 1}), view(seen)) == {"": 7}
    assert read(threshold(below={"info": 1}), view(snap())) == {"": "missing"}
    assert read(threshold("details.upl", below={"info": 1}), view(seen)) == {"A": -5, "B": "na", "C": "missing"}
    assert measure(threshold("details.upl", below={"info": 1}), view(seen)).missing == "C details.upl"


@pytest.mark.parametrize(
    ("field", "value", "subject", "said"),
    [
        ("adjEq", "12345", "", "equity: adjEq $12,300"),
        ("adjEq", None, "", "equity: adjEq"),
        ("mgnRatio", "1.42", "", "equity: mgnRatio 1.42"),
        ("details.liab", "1234.5", "USDT", "equity: details.liab USDT 1,234 USDT"),
        ("details.eqUsd", "12.5", "USDT", "equity: details.eqUsd USDT $12.50"),
    ],
)
def test_a_threshold_is_told_in_the_field_s_unit(field: str, value: str | None, subject: str, said: str) -> None:
    assert tell(threshold(field, below={"info": 1}), view(), event(value, subject)) == (said, [])


# ---------------------------------------------------------------- change


@pytest.mark.parametrize(
    ("written", "size", "unit"),
    [
        ("10%", "0.1", "%"),
        (500, "500", ""),
        ("500", "500", ""),
        ("$500", "500", "$"),
        ("500 usd", "500", "$"),
        (0.5, "0.5", ""),
    ],
)
def test_growth_is_a_share_an_amount_or_usd(written: object, size: str, unit: str) -> None:
    growth = parse_growth(written)

    assert (growth.size, growth.unit) == (Decimal(size), unit)
    assert growth > Growth(Decimal(0), "")


@pytest.mark.parametrize("written", [0, -5, "-10%", "abc", "$", "$5%", None, True, "10 USDT", "NaN"])
def test_what_is_no_growth_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="not an amount of growth"):
        parse_growth(written)


def change(field: str = "details.liab", *, over: str = "1h", **keys: Any) -> Change:
    return Change.model_validate({"name": "debt grows", "kind": "change", "field": field, "over": over} | keys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "give either rises_by"),
        ({"rises_by": {"info": "1%"}, "falls_by": {"info": "1%"}}, "give either rises_by"),
        ({"rises_by": {"info": "1%", "warning": 5}}, "tiers of different units"),
        ({"rises_by": {"info": "5%", "warning": "4%"}}, "tiers out of order"),
        ({"rises_by": {}}, "no tier"),
        ({"rises_by": {"info": "$5"}, "field": "mgnRatio"}, "mgnRatio has no worth in USD"),
        ({"rises_by": {"info": 1}, "field": "details.twap", "min_usd": 5}, "min_usd needs an amount of money"),
        ({"rises_by": {"info": 1}, "over": "5s"}, "greater than or equal to 10"),
        ({"rises_by": {"info": 1}, "over": "8d"}, "less than or equal to 604800"),
        ({"rises_by": {"info": 1}, "min_usd": -1}, "greater than or equal to 0"),
    ],
)
def test_a_change_that_can_not_be_measured_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        change(**keys)


Rows = dict[str, dict[str, str]]


def moved(rule: Change, *course: Rows | dict[str, str], every: float = 60.0) -> tuple[dict[str, object], View]:
    """The readings at the end of a course of currencies, or of the account's fields; and the view."""
    past, seen, at = History(rule.wants()), snap(), 0.0
    for i, rows in enumerate(course):
        at = i * every
        seen = snap(rows, at) if rule.field.startswith("details.") else snap(at=at, **rows)  # type: ignore[arg-type] # told by the field
        past.add(seen)
    return read(rule, view(seen, at, past)), view(seen, at, past)


def debt(liab: str, eq: str = "10", usd: str = "20") -> Rows:
    return {"USDT": {"liab": liab, "eq": eq, "eqUsd": usd}}


def test_growth_is_measured_from_the_lowest_within_the_window() -> None:
    rule = change(rises_by={"info": "10%"})

    assert moved(rule, debt("100"), debt("80"), debt("120"))[0] == {"USDT": Decimal("0.5")}
    assert moved(rule, debt("80"), debt("120"), every=3601)[0] == {"USDT": Decimal("0.5")}
    assert moved(rule, debt("80"), debt("120"), debt("120"), every=3601)[0] == {"USDT": 0}
    assert moved(rule, debt("80"), debt("60"))[0] == {"USDT": 0}


def test_growth_is_measured_in_the_unit_of_its_tiers() -> None:
    course = debt("100"), debt("150")

    assert moved(change(rises_by={"info": 10}), *course)[0] == {"USDT": 50}
    assert moved(change(rises_by={"info": "$10"}), *course)[0] == {"USDT": 100}


def test_growth_from_nothing_is_beyond_every_share() -> None:
    rule = change(rises_by={"info": "10%", "critical": "99999%"})

    assert moved(rule, {}, debt("3"))[0] == {"USDT": FROM_NOTHING}
    assert moved(rule, debt("0"), debt("3"))[0] == {"USDT": FROM_NOTHING}
    assert moved(rule, debt("3"))[0] == {"USDT": 0}


def test_dust_is_left_alone_and_growth_from_dust_is_measured_from_min_usd() -> None:
    rule = change(rises_by={"info": "10%"}, min_usd=500)  # a coin is worth 2

    assert moved(rule, debt("1"), debt("249"))[0] == {"USDT": 0}
    assert moved(rule, debt("0"), debt("500"))[0] == {"USDT": 2}
    assert moved(rule, debt("1000"), debt("1500"))[0] == {"USDT": Decimal("0.5")}


def test_what_is_worth_less_than_nothing_is_no_dust() -> None:
    rule = change("details.eq", falls_by={"info": "10%"}, min_usd=500)

    assert moved(rule, debt("0", "-1000", "-2000"), debt("0", "-3000", "-6000"))[0] == {"USDT": 2}


@pytest.mark.parametrize("row", [debt("150", "0", "0"), debt("150", "", ""), debt("150", "5", "-5")])
def test_without_a_price_growth_is_judged_all_the_same(row: Rows) -> None:
    before = debt("100", "0", "0")
    rule = change(rises_by={"info": "10%"}, min_usd=500)
    now, at = moved(rule, before, row)

    assert now == {"USDT": Decimal("0.5")}
    note = measure(rule, at).readings[0].note
    assert note == "100 → 150, worth unknown: no USD price"
    assert moved(change(rises_by={"info": 10}), before, row)[0] == {"USDT": 50}
    assert moved(change(rises_by={"info": "10%"}), debt("0"), row)[0] == {"USDT": FROM_NOTHING}


def test_growth_in_usd_without_a_price_is_missing_and_says_so() -> None:
    rule = change(rises_by={"info": "$10"})
    _, at = moved(rule, debt("100"), debt("150", "0", "0"))

    assert measure(rule, at).missing == "USDT no USD price of USDT: details.liab can't be judged in USD"


def test_a_price_of_zero_is_a_price() -> None:
    assert moved(change(rises_by={"info": "$10"}), debt("100"), debt("150", "5", "0"))[0] == {"USDT": 0}
    assert moved(change(rises_by={"info": "10%"}), debt("100"), debt("150", "5", "0"))[0] == {"USDT": Decimal("0.5")}


def test_an_amount_without_a_value_is_no_growth() -> None:
    assert moved(change(rises_by={"info": 10}), debt("100"), debt(""))[0] == {"USDT": "na"}
    assert moved(change(rises_by={"info": 10}), debt("100"), debt("x"))[0] == {"USDT": "missing"}


def test_growth_of_amounts_of_more_digits_than_arithmetic_has_is_seen() -> None:
    big = "1234567890123456789012345678901234.5"

    assert moved(change(rises_by={"info": 1}), debt(big), debt(f"{big[:-3]}5.5"))[0] == {"USDT": 1}


def test_the_account_s_equity_that_falls_is_measured_from_its_highest() -> None:
    rule = change("adjEq", falls_by={"info": "15%"}, over="10m")
    course = {"adjEq": "900"}, {"adjEq": "1000"}, {"adjEq": "700"}

    assert moved(rule, *course)[0] == {"": Decimal("0.3")}
    assert moved(change("adjEq", falls_by={"info": 5}), *course)[0] == {"": 300}
    assert moved(change("adjEq", falls_by={"info": "$5"}, min_usd=5), *course)[0] == {"": 300}
    assert moved(rule, {"adjEq": "900"}, {"adjEq": ""})[0] == {"": "na"}


def test_a_currency_that_is_gone_has_fallen_to_nothing() -> None:
    rule = change("details.eq", falls_by={"info": "50%"}, min_usd=15)
    held = {"USDT": {"eq": "10", "eqUsd": "20"}, "DUST": {"eq": "1", "eqUsd": "2"}}

    gone: list[dict[str, dict[str, str]]] = [{}] * 4

    assert moved(rule, held, *gone, every=25)[0] == {"USDT": 1, "DUST": 0}
    assert moved(change("details.eq", falls_by={"info": "$5"}), held, *gone, every=25)[0] == {"USDT": 20, "DUST": 2}
    assert moved(change("details.eqUsd", falls_by={"info": 5}), held, *gone, every=25)[0] == {"USDT": 20, "DUST": 2}
    assert moved(rule, held, *gone, every=3601)[0] == {"USDT": 0, "DUST": 0}
    assert moved(change("details.eq", rises_by={"info": "50%"}), held, *gone, every=25)[0] == {}
    assert moved(rule, held, {}, every=25)[0] == {}  # one reply that lacks the rows


def test_a_past_that_was_never_kept_is_missing_not_an_error() -> None:
    rule = change("adjEq", falls_by={"info": 1})

    assert read(rule, view(snap(adjEq="5"), past=History(rule.wants()))) == {"": "missing"}


@pytest.mark.parametrize(
    ("keys", "value", "subject", "said"),
    [
        ({"rises_by": {"info": "10%"}}, "0.6", "USDT", "debt grows: details.liab USDT rose 60 % in 1 h"),
        ({"rises_by": {"info": "10%"}}, FROM_NOTHING, "USDT", "debt grows: details.liab USDT rose from nothing in 1 h"),
        ({"rises_by": {"info": 10}}, "60", "USDT", "debt grows: details.liab USDT rose 60 USDT in 1 h"),
        ({"rises_by": {"info": "$10"}}, "60", "USDT", "debt grows: details.liab USDT rose $60.00 in 1 h"),
        ({"falls_by": {"info": "10%"}, "field": "adjEq"}, "0.3", "", "debt grows: adjEq fell 30 % in 1 h"),
        ({"falls_by": {"info": 10}, "field": "adjEq"}, "300", "", "debt grows: adjEq fell $300 in 1 h"),
        ({"rises_by": {"info": "10%"}}, None, "USDT", "debt grows: details.liab USDT"),
    ],
)
def test_a_change_is_told_with_its_size_and_window(keys: dict[str, Any], value: Any, subject: str, said: str) -> None:
    assert change(**keys).say(event(value, subject)) == said


def test_a_change_is_told_from_what_to_what_and_its_worth() -> None:
    rule = change(rises_by={"info": "10%"})
    _, at = moved(rule, debt("1000"), debt("1500"))
    note = measure(rule, at).readings[0].note

    assert tell(rule, at, event("0.5", "USDT", note=note))[1] == ["1,000 → 1,500 USDT ($3,000)"]
    assert tell(rule, at, event("0.5", "USDT"))[1] == []
    assert tell(rule, view(), event("0.5", "USDT", note=note))[1] == ["1,000 → 1,500 USDT"]
    assert tell(change("adjEq", falls_by={"info": 1}), at, event("5", note="9 → 4"))[1] == ["9 → 4 USD"]
    assert tell(change("mgnRatio", falls_by={"info": 1}), at, event("5", note="9 → 4"))[1] == ["9 → 4"]


HAIRCUT = "details.disEq / details.eqUsd"


def kept(worth: str, after_haircut: str) -> Rows:
    return {"BTC": {"disEq": after_haircut, "eqUsd": worth}}


def test_a_haircut_that_drifts_is_a_change_of_a_ratio() -> None:
    rule = change(HAIRCUT.replace(" ", ""), falls_by={"warning": "5%"}, over="1d")

    assert rule.field == HAIRCUT
    assert moved(rule, kept("100", "95"), kept("50", "47.5"))[0] == {"BTC": 0}
    fell, at = moved(rule, kept("100", "95"), kept("100", "90"), kept("200", "152"))
    assert fell == {"BTC": Decimal("0.2")}
    note = measure(rule, at).readings[0].note
    assert tell(rule, at, event("0.2", "BTC", note=note)) == (
        f"debt grows: {HAIRCUT} BTC fell 20 % in 1 d",
        ["0.95 → 0.76"],
    )
    assert rule.modes() == "134"


def test_a_currency_that_comes_or_goes_has_no_ratio_rather_than_one_of_0() -> None:
    falls = change(HAIRCUT, falls_by={"warning": "5%"})
    rises = change(HAIRCUT, rises_by={"warning": "5%"})
    nothing: Rows = {}

    assert moved(falls, kept("100", "95"), *[nothing] * 5)[0] == {}
    assert moved(rises, nothing, kept("100", "95"))[0] == {"BTC": 0}
    assert moved(falls, kept("100", "95"), kept("0", "0"))[0] == {"BTC": "na"}


def test_a_ratio_of_the_account_is_asked_again_when_one_of_its_fields_moves() -> None:
    rule = threshold("adjEq / mmr", below={"warning": 2})
    ask, seen = Asker([rule]), []
    for at, mmr in enumerate(["400", "400", "600"]):
        answer = ask(view(snap(adjEq="1000", mmr=mmr), float(at), info=MODES["3"]))
        seen.append(answer[rule.name].readings[0].value)

    assert [round(value, 2) for value in seen] == [Decimal("2.5"), Decimal("2.5"), Decimal("1.67")]
    assert rule.say(event("1.67")) == "equity: adjEq / mmr 1.67"


def test_interest_that_runs_away_is_a_change_in_coin_or_usd() -> None:
    def accrued(interest: str) -> Rows:
        return {"USDT": {"interest": interest, "eq": "10", "eqUsd": "20"}}

    in_coin = change("details.interest", rises_by={"warning": 5})
    in_usd = change("details.interest", rises_by={"warning": "$5"})
    course = accrued("9"), accrued("1"), accrued("8")  # charged at the full hour

    assert moved(in_coin, *course)[0] == {"USDT": 7}
    assert moved(in_usd, *course)[0] == {"USDT": 14}


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("details.disEqq / details.eqUsd", 'OKX has no field "details.disEqq"; did you mean "details.disEq"?'),
        ("details.disEq/eqUsd", "a ratio is one of two fields, both of the account or both of details"),
        ("adjEq / mmr / imr", "a ratio is one of two fields, both"),
        ("adjEq / uTime", "uTime is not a number"),
        ("adjEq /", "OKX has no field"),
    ],
)
def test_a_ratio_that_can_not_be_is_refused(field: str, said: str) -> None:
    with pytest.raises(ValidationError) as error:
        threshold(field, below={"info": 1})

    assert said in str(error.value)


# ---------------------------------------------------------------- blind


def blind(**keys: Any) -> Blind:
    return Blind.model_validate({"name": "blind", "kind": "blind"} | keys)


def alerts(*, exposed: bool = False, **severities: Severity) -> Alerts:
    """Alerts with one open alert per rule."""
    open_ = {name: {"": Alert(level=s, shown=s, episode=1, seq=1, peak=s)} for name, s in severities.items()}
    return Alerts(open_, exposed=exposed)


@pytest.mark.parametrize(
    ("age", "remembered", "outage", "expected"),
    [
        (14.9, alerts(), OK, OK),
        (15.0, alerts(), OK, WARNING),
        (9999.0, alerts(), OK, WARNING),
        (14.9, alerts(exposed=True), OK, OK),
        (15.0, alerts(exposed=True), OK, CRITICAL),
        (15.0, alerts(ratio=INFO), OK, CRITICAL),
        (299.0, alerts(ratio=CRITICAL), OK, CRITICAL),
        (300.0, alerts(ratio=CRITICAL), OK, EMERGENCY),
        (9999.0, alerts(ratio=WARNING), OK, CRITICAL),
        (0.0, alerts(), CRITICAL, CRITICAL),
        (0.0, alerts(), EMERGENCY, EMERGENCY),
        (60.0, alerts(exposed=True), WARNING, CRITICAL),
        (60.0, alerts(blind=WARNING), OK, WARNING),
        (9999.0, alerts(blind=CRITICAL), OK, CRITICAL),
        (1.0, alerts(blind=EMERGENCY), OK, EMERGENCY),
    ],
)
def test_blindness_gets_worse_with_age_and_near_danger(
    age: float, remembered: Alerts, outage: Severity, expected: Severity
) -> None:
    seen = view(now=1000.0 + age, outage=Outage(1000.0, "timeout", outage), alerts=remembered)

    assert read(blind(), seen) == {"": Decimal(expected)}
    assert measure(blind(), seen).readings[0].note == "timeout"


def test_patience_can_be_tuned_but_not_switched_off() -> None:
    shrinks = blind(after="60s", near_danger="5s")

    assert read(shrinks, view(now=6.0, outage=Outage(0.0, "x"), alerts=alerts(ratio=WARNING))) == {"": CRITICAL}
    for calm in (alerts(), alerts(exposed=True), alerts(ratio=INFO)):
        assert read(shrinks, view(now=6.0, outage=Outage(0.0, "x"), alerts=calm)) == {"": OK}
    for keys in ({"enabled": False}, {"after": "2h"}, {"near_danger": "2h"}, {"after": float("inf")}):
        with pytest.raises(ValidationError):
            blind(**keys)


def test_a_poll_that_fails_is_no_outage_before_the_third() -> None:
    slow = Outage(0.0, "x", stale_after=180.0)

    assert read(blind(), view(now=179.0, outage=slow, alerts=alerts(ratio=CRITICAL))) == {"": OK}
    assert read(blind(), view(now=180.0, outage=slow, alerts=alerts(ratio=CRITICAL))) == {"": CRITICAL}


def test_that_a_rule_has_no_data_is_over_with_the_rule() -> None:
    assert blind().keeps("twap", {"twap": 1})
    assert not blind().keeps("twap", {"ratio": 1})
    assert blind().keeps("", {})
    assert blind().say(replace(event(None, "twap", OK), cause=Cause.RULE_CHANGED)) == 'rule "twap" is gone'


def test_a_rule_without_data_is_told_after_half_a_minute() -> None:
    remembered = Alerts(blind={"twap": BlindSince(100.0, "USDT details.twap")})

    assert read(blind(), view(now=129.9, alerts=remembered)) == {"": 0, "twap": 0}
    assert read(blind(), view(now=130.0, alerts=remembered)) == {"": 0, "twap": CRITICAL}
    assert tell(blind(), view(), event("3", "twap", note="USDT details.twap")) == (
        'rule "twap" has no data',
        ["USDT details.twap"],
    )
    assert blind().say(event("0", "twap", OK)) == 'rule "twap" has data again'


class Day:
    """An account and its rules, one poll a second."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.ask = Asker(rules)
        self.alerts = Alerts()
        self.now = 10_000.0
        self.seen = self.now
        self.events: list[str] = []

    def poll(self, seconds: int, twap: str | None = "0", *, fails: bool = False, severity: Severity = OK) -> list[str]:
        """What is told meanwhile."""
        told = []
        for _ in range(seconds):
            self.now += 1
            if not fails:
                self.seen = self.now
            outage = Outage(self.seen, "timeout", severity) if fails else None
            rows = {"USDT": {} if twap is None else {"twap": twap}}
            at = view(snap(rows), self.now, outage=outage, alerts=self.alerts, info=MODES["3"])
            done = engine.step("main", self.rules, self.alerts, self.ask(at), self.now)
            self.alerts = done.alerts
            told += [f"{e.rule}/{e.subject} {e.before:d}>{e.after:d}" for e in done.events]
        return told


def test_an_outage_is_one_alert_that_its_own_age_does_not_make_worse() -> None:
    day = Day(level(), blind())
    day.poll(5)

    assert day.poll(14, fails=True) == []
    assert day.poll(3000, fails=True) == ["blind/ 0>2"]
    assert day.poll(30) == []
    assert day.poll(1) == ["blind/ 2>0"]


def test_an_outage_near_danger_becomes_an_emergency_and_ends_nothing() -> None:
    day = Day(level(), blind())
    assert day.poll(5, "4") == ["forced repayment/USDT 0>3"]

    assert day.poll(299, fails=True) == ["blind/ 0>3"]
    assert day.poll(1000, fails=True) == ["blind/ 3>4"]
    assert day.poll(60, "4") == ["blind/ 4>0"]


def test_a_rule_that_was_blind_is_still_so_after_an_outage_that_told_for_all() -> None:
    day = Day(level(), blind())
    assert day.poll(32, None) == ["blind/forced repayment 0>3"]

    assert day.poll(500, fails=True) == ["blind/ 0>2"]
    assert day.poll(60, None) == ["blind/ 2>0"]
    assert day.poll(60) == ["blind/forced repayment 3>0"]


def test_a_rule_does_not_become_blind_during_an_outage() -> None:
    day = Day(level(), blind())
    day.poll(5, None)

    assert day.poll(100, fails=True) == ["blind/ 0>2"]


def test_an_account_that_is_lost_again_is_not_told_as_seen() -> None:
    day = Day(level(), blind(after="60s", near_danger="60s"))
    day.poll(1)
    assert day.poll(90, fails=True) == ["blind/ 0>2"]

    assert day.poll(5) == []
    assert day.poll(59, fails=True) == []  # short of its patience, and not seen either


def test_a_dead_key_is_told_at_once() -> None:
    assert Day(blind()).poll(1, fails=True, severity=EMERGENCY) == ["blind/ 0>4"]


def test_blindness_is_told_with_its_reason_and_when_it_last_saw() -> None:
    lost = view(now=43_260.0, outage=Outage(43_203.0, "timeout"))

    assert tell(blind(), lost, event("2", note="timeout")) == (
        "can't see the account",
        ["timeout", "last seen 12:00:03 UTC"],
    )
    assert tell(blind(), view(), event("0", after=OK)) == ("sees the account again", [])
    assert tell(blind(), view(), event(None)) == ("can't see the account", [])


def test_blindness_is_about_every_subject() -> None:
    assert blind(ccy=("BTC",)).covers("some rule")
