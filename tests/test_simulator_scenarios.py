"""Scenarios: the language, the numbers, and the five stories that come with riskbot."""

import textwrap
from decimal import Decimal
from itertools import pairwise
from pathlib import Path as File

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.fields import LEVEL, NOT_APPLICABLE, Amount, Flag, Row, Time
from riskbot.simulator import Scenario, load_scenario, parse_scenario, scenario_names
from riskbot.simulator.limits import Window
from riskbot.simulator.paths import Path, seconds
from riskbot.simulator.payload import render
from riskbot.simulator.scenario import __doc__ as language
from riskbot.snapshot import MODES, Balance, Mode, Snapshot

EVERYTHING = """
title = "Everything at once"
about = "Each field has a value other than 0 where it can."
duration = "10m"
borrow_maintenance = 0.03
borrow_leverage = 5

[coins.BTC]
price = { 1m = 60000, 5m = 54321.5, 10m = 50000 }
cash = 2
discount = 0.95
cost = 40000
orders = 0.5
bots = { 0s = 0.25, 10m = 0.5 }
conversion = { 0s = 0, 2m = 3 }

[coins.ETH]
price = 3000
cash = -1.5
borrow_rate = 0.1
twap = { 0s = 1, 2m = 4 }
restricted = true

[coins.OKB]
price = 50
cash = 10
collateral = false

[coins.USDT]
price = 0.9995
cash = 12000
discount = 0.99

[[positions]]
coin = "BTC"
size = { 0s = 1, 10m = 2 }
entry = 60000

[[positions]]
coin = "ETH"
size = -3
entry = 2900
leverage = 3
maintenance = 0.02
kind = "futures"
"""
NO_MARGIN = """
title = "Nothing owed"
duration = "1m"
[coins]
USDT = { price = 1, cash = 5 }
"""
SPOT = ("spotBal", "openAvgPx", "accAvgPx", "spotUpl", "totalPnl")
STORIES = {name: load_scenario(name) for name in scenario_names()} | {"everything": parse_scenario(EVERYTHING)}


def snapshot(story: Scenario, t: float, mode: Mode = "3") -> Snapshot:
    return Snapshot({"uTime": "0", **render(story.at(t), mode, lambda at: int(at * 1000))}, t)


def moments(story: Scenario, count: int = 50) -> list[float]:
    return [float(story.duration) * i / (count - 1) for i in range(count)]


def series(name: str, key: str, ccy: str = "", step: int = 1) -> dict[int, Decimal]:
    """One field, second by second."""
    story, values = STORIES[name], {}
    for t in range(0, int(story.duration) + 1, step):
        seen = snapshot(story, t)
        values[t] = seen.balances[ccy].amount(key) if ccy else seen.amount(key)
    return values


def test_five_stories_come_with_riskbot_and_say_what_they_are_about() -> None:
    assert scenario_names() == ["calm-week", "collateral-conversion", "crash", "forced-repayment", "runaway-borrowing"]
    assert all(STORIES[name].title and STORIES[name].about for name in scenario_names())
    assert all(STORIES[name].name == name for name in scenario_names())


@pytest.mark.parametrize("name", STORIES)
def test_the_numbers_of_each_currency_hang_together(name: str) -> None:
    story = STORIES[name]
    for t in moments(story):
        for ccy, row in snapshot(story, t).balances.items():
            coin = story.coins[ccy]
            price = coin.price.at(Decimal(str(t)).quantize(Decimal("0.01")))
            assert row.eq == row.cash_bal + row.upl + row.stgy_eq
            assert row.eq_usd == row.eq * price
            haircut = Decimal(0) if not coin.collateral else coin.discount
            assert row.dis_eq == row.eq_usd * (haircut if row.eq > 0 else 1)
            assert row.liab == row.cross_liab == max(0, -row.cash_bal, -row.eq)
            assert row.upl_liab == row.liab - max(0, -row.cash_bal)
            assert row.frozen_bal == row.ord_frozen + row.stgy_eq
            assert row.interest >= 0 <= row.max_loan
            assert (row.interest > 0) == (row.liab > 0 and coin.borrow_rate > 0 and t % 3600 > 0)


@pytest.mark.parametrize("name", STORIES)
def test_the_numbers_of_the_account_hang_together(name: str) -> None:
    story = STORIES[name]
    for t in moments(story):
        seen = snapshot(story, t)
        rows = seen.balances
        debt = sum(row.liab * row.price for row in rows.values())
        assert seen.total_eq == sum(row.eq_usd for row in rows.values())
        assert seen.adj_eq == sum(row.dis_eq for row in rows.values())
        assert seen.notional_usd == seen.notional_usd_for_swap + seen.notional_usd_for_futures
        assert float(seen.notional_usd_for_borrow) == pytest.approx(float(debt))
        assert float(seen.upl) == pytest.approx(float(sum(row.upl * row.price for row in rows.values())), abs=1e-3)
        assert seen.avail_eq == max(0, seen.adj_eq - seen.imr)
        assert seen.imr > seen.mmr > 0
        ratio = seen.adj_eq / (seen.mmr + Decimal("0.0005") * seen.notional_usd)
        assert float(seen.mgn_ratio) == pytest.approx(float(ratio), rel=1e-9)
        assert seen.borrow_froz == sum(row.borrow_froz for row in rows.values())
        assert not seen.defects


def test_margin_is_made_of_positions_debts_and_orders() -> None:
    seen = snapshot(STORIES["everything"], 600)

    debt = seen.notional_usd_for_borrow
    assert float(debt) == pytest.approx(1.5 * 3000 + 2 * 10000 + 3 * 100 - 12000 * 0.9995)
    assert seen.notional_usd_for_swap == 2 * 50000
    assert seen.notional_usd_for_futures == 3 * 3000
    assert seen.ord_froz == Decimal("0.5") * 50000
    assert seen.imr == 10000 + 3000 + debt / 5 + seen.ord_froz
    assert seen.mmr == 2 * 50000 * Decimal("0.01") + 3 * 3000 * Decimal("0.02") + debt * Decimal("0.03")
    assert seen.upl == 2 * (50000 - 60000) - 3 * (3000 - 2900)


def test_debt_made_by_an_unrealised_loss_is_told_apart() -> None:
    seen = snapshot(STORIES["everything"], 600).balances["USDT"]

    assert seen.cash_bal == 12000
    assert seen.eq < 0
    assert seen.liab == seen.upl_liab == -seen.eq


def not_carried(table: type[Row], mode: str) -> set[str]:
    return {key for key, field in table.FIELDS.items() if mode not in field.modes}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_sends_every_field_and_blanks_exactly_what_does_not_apply(mode: Mode) -> None:
    account = {"uTime": "0", **render(STORIES["everything"].at(0), mode, int)}
    rows = {row["ccy"]: row for row in account.pop("details")}
    # USDT has a position, BTC a cost: together they have every value that a currency can have.
    full = rows["USDT"] | {key: value for key, value in rows["BTC"].items() if key.startswith(SPOT)}

    assert account.keys() == Snapshot.FIELDS.keys()
    assert {key for key, value in account.items() if value == ""} == not_carried(Snapshot, mode)
    assert {key for key, value in full.items() if value == ""} == not_carried(Balance, mode)
    for row in rows.values():
        assert row.keys() == Balance.FIELDS.keys()
        assert all(row[key] == "" for key in not_carried(Balance, mode))


@pytest.mark.parametrize("name", STORIES)
def test_numbers_are_plain_text_and_flags_are_booleans(name: str) -> None:
    sent = render(STORIES[name].at(123.45), "3", int)
    for table, place in ((Snapshot, sent), *((Balance, row) for row in sent["details"])):
        for key, field in table.FIELDS.items():
            value = place.get(key, "")
            if isinstance(field, Flag):
                assert isinstance(value, bool)
            else:
                assert isinstance(value, str)
            if isinstance(field, (Amount, Time)) and value != "":
                assert set(value) <= set("0123456789.-")
                assert value == "0" or ("." not in value and value[0] != "0") or value[-1] not in "0."
                assert value != "-0"


def test_the_ratio_is_blank_while_no_margin_is_required() -> None:
    seen = snapshot(parse_scenario(NO_MARGIN), 0)

    assert seen.mmr == 0
    assert seen.mgn_ratio is NOT_APPLICABLE


def test_a_currency_has_margin_numbers_of_its_own_in_futures_mode_with_a_position_and_not_without() -> None:
    rows = snapshot(STORIES["everything"], 0, "2").balances

    eq, mmr, notional = rows["USDT"].eq, rows["USDT"].mmr, (60000 + 9000) / Decimal("0.9995")
    assert float(mmr) == pytest.approx(float((600 + 180) / Decimal("0.9995")))
    assert float(rows["USDT"].imr) == pytest.approx(float((6000 + 3000) / Decimal("0.9995")))
    assert float(rows["USDT"].mgn_ratio) == pytest.approx(float(eq / (mmr + Decimal("0.0005") * notional)))
    assert float(rows["USDT"].notional_lever) == pytest.approx(float(notional / eq))
    assert rows["USDT"].avail_eq == eq - rows["USDT"].imr
    assert all(rows["BTC"].amount(key) is NOT_APPLICABLE for key in ("mgnRatio", "imr", "mmr", "notionalLever"))


def test_a_position_without_equity_has_no_leverage() -> None:
    assert snapshot(STORIES["everything"], 600, "2").balances["USDT"].notional_lever is NOT_APPLICABLE


def test_a_position_of_size_zero_is_no_position() -> None:
    story = parse_scenario(NO_MARGIN + '[[positions]]\ncoin="USDT"\nentry=1\nsize={ 0s = 0, 1m = 2 }')

    assert snapshot(story, 0, "2").balances["USDT"].mgn_ratio is NOT_APPLICABLE
    assert snapshot(story, 60, "2").balances["USDT"].mgn_ratio > 0


def test_the_profit_of_the_spot_balance_needs_its_cost() -> None:
    rows = snapshot(STORIES["everything"], 600).balances

    assert (rows["BTC"].spot_bal, rows["BTC"].open_avg_px, rows["BTC"].spot_upl) == (2, 40000, 2 * (50000 - 40000))
    assert rows["BTC"].spot_upl_ratio == Decimal("0.25")
    assert rows["USDT"].spot_upl is NOT_APPLICABLE


def test_nothing_lost_on_nothing_held_is_plain_zero() -> None:
    story = parse_scenario(NO_MARGIN.replace("cash = 5", "cash = -5, cost = 2"))

    assert render(story.at(0), "3", int)["details"][0]["spotUpl"] == "0"


def test_a_currency_is_left_out_while_it_has_neither_cash_nor_equity() -> None:
    story = parse_scenario("""
        title = "Comings and goings"
        duration = "10m"
        [coins]
        USDT = { price = 1, cash = { 1m = 5, 2m = 0 } }
        BTC = { price = 50000, cash = { 1m = 0, 2m = 1 } }
        ETH = { price = 3000, cash = -1, bots = 1 }
    """)

    assert list(snapshot(story, 0).balances) == ["USDT", "ETH"]
    assert list(snapshot(story, 90).balances) == ["USDT", "BTC", "ETH"]
    assert list(snapshot(story, 120).balances) == ["BTC", "ETH"]
    assert snapshot(story, 0).balances["ETH"].eq == 0


def test_a_balance_changes_with_cash_bots_and_the_positions_that_settle_in_it() -> None:
    story = STORIES["everything"]

    assert story.at(0).changed == {"BTC": 0, "ETH": 0, "OKB": 0, "USDT": 0}
    assert story.at(120).changed == {"BTC": 120, "ETH": 0, "OKB": 0, "USDT": 120}
    assert load_scenario("forced-repayment").at(600).changed == {"BTC": 0, "USDT": 0}
    assert load_scenario("forced-repayment").at(900).changed == {"BTC": 720, "USDT": 720}


def test_before_the_beginning_and_after_the_end_the_account_stands_still() -> None:
    story = STORIES["crash"]

    assert story.at(-5) == story.at(0)
    assert story.at(5000) == story.at(1200)
    assert story.at(60.004) == story.at(60)


def test_the_crash_passes_its_tiers_in_order_and_each_once() -> None:
    ratio = series("crash", "mgnRatio")
    crossed = {
        tier: [t for t in range(1, 1201) if (ratio[t] <= tier) != (ratio[t - 1] <= tier)]
        for tier in (Decimal(10), Decimal(5), Decimal(3), Decimal("1.5"), Decimal(1))
    }

    assert crossed == {10: [230], 5: [492], 3: [770], Decimal("1.5"): [1002], 1: [1088]}
    assert all(12 < ratio[t] < Decimal("12.3") for t in range(121))
    assert ratio[1200] > 0


def test_the_crash_bounces_once_in_the_middle() -> None:
    ratio = series("crash", "mgnRatio")

    rising = [t for t in range(121, 1201) if ratio[t] > ratio[t - 1]]
    assert rising == list(range(541, 601))


def test_forced_repayment_rises_level_by_level_and_is_over_when_the_debt_is_sold_off() -> None:
    twap, liab = series("forced-repayment", "twap", "USDT"), series("forced-repayment", "liab", "USDT")

    jumps = {t: int(twap[t]) for t in range(1, 1201) if twap[t] != twap[t - 1]}
    assert jumps == {120: 1, 240: 2, 360: 3, 480: 4, 600: 5, 720: 0}
    assert twap[0] == 0
    assert (liab[0], liab[600], liab[720], liab[1200]) == (80000, 80000, 20000, 20000)
    assert min(series("forced-repayment", "mgnRatio").values()) > 100


def test_collateral_conversion_rises_level_by_level_and_sells_the_collateral() -> None:
    level = series("collateral-conversion", "colBorrAutoConversion", "SOL")
    cash = series("collateral-conversion", "cashBal", "SOL")

    jumps = {t: int(level[t]) for t in range(1, 1201) if level[t] != level[t - 1]}
    assert jumps == {120: 1, 240: 2, 360: 3, 480: 4, 600: 5, 720: 0}
    assert (cash[600], cash[720], cash[1200]) == (1000, 600, 600)
    assert min(series("collateral-conversion", "mgnRatio").values()) > 100


def test_runaway_borrowing_doubles_five_times_and_is_paid_back() -> None:
    liab = series("runaway-borrowing", "liab", "USDT")

    assert [int(liab[t]) for t in range(120, 721, 120)] == [10000, 20000, 40000, 80000, 160000, 320000]
    assert {liab[t] for t in range(121)} == {liab[t] for t in range(960, 1441)} == {10000}
    assert min(series("runaway-borrowing", "mgnRatio").values()) > 50


def test_in_a_calm_week_nothing_happens() -> None:
    ratio = series("calm-week", "mgnRatio", step=3600)
    adj_eq = series("calm-week", "adjEq", step=3600)
    liab = series("calm-week", "liab", "USDC", step=3600)
    levels = [key for key, field in Balance.FIELDS.items() if field.unit == LEVEL]

    assert min(ratio.values()) > 12
    assert all(abs(after / before - 1) < Decimal("0.005") for before, after in pairwise(adj_eq.values()))
    assert max(liab.values()) / min(liab.values()) < Decimal("1.02")
    for t in range(0, 7 * 86400, 3600):
        seen = snapshot(STORIES["calm-week"], t)
        assert all(row.amount(key) == 0 for row in seen.balances.values() for key in levels)
        assert [ccy for ccy, row in seen.balances.items() if row.liab] == ["USDC"]


@pytest.mark.parametrize("name", scenario_names())
def test_each_story_opens_calmly(name: str) -> None:
    first = snapshot(STORIES[name], 0)
    for t in range(121):
        seen = snapshot(STORIES[name], min(t, 119.9))
        assert seen.mgn_ratio / first.mgn_ratio == pytest.approx(Decimal(1), abs=Decimal("0.01"))
        for ccy, row in seen.balances.items():
            assert row.twap == row.col_borr_auto_conversion == 0
            assert abs(row.liab - first.balances[ccy].liab) <= first.balances[ccy].liab / 100


def test_the_story_of_the_documentation_can_be_played() -> None:
    text = "\n".join(line for line in str(language).splitlines() if line.startswith("    "))

    assert snapshot(parse_scenario(textwrap.dedent(text)), 480).balances["USDT"].cash_bal == -40000


def test_a_story_of_ones_own_is_loaded_by_its_path(tmp_path: File) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(NO_MARGIN, encoding="utf-8")

    assert load_scenario(file).name == load_scenario(str(file)).name == "mine"
    with pytest.raises(FileNotFoundError):
        load_scenario("nowhere")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("price = 1", "price = 0"), "a price is above 0"),
        (("price = 1", "price = -1"), "a price is above 0"),
        (("price = 1", "price = {}"), "one or more keyframes"),
        (("price = 1", "price = { 60s = 1, 1m = 2 }"), "each at a time of its own"),
        (("price = 1", "price = { soon = 1 }"), "'soon' is no duration"),
        (("price = 1", "price = true"), "True is no number"),
        (("price = 1", 'price = "1"'), "'1' is no number"),
        (("price = 1", "price = nan"), "NaN is not below"),
        (("price = 1", "price = 1e15"), "is not below 1000000000000"),
        (("price = 1,", ""), "Field required"),
        (("cash = 5", "cash = { 2m = 5 }"), "the last keyframe is at 120 s, after the end at 60 s"),
        (("cash = 5", "cahs = 5"), "Extra inputs are not permitted"),
        (("cash = 5", "twap = 6"), "a level is 0, 1, 2, 3, 4 or 5"),
        (("cash = 5", "twap = 1.5"), "a level is 0, 1, 2, 3, 4 or 5"),
        (("cash = 5", "discount = 1.1"), "less than or equal to 1"),
        (('duration = "1m"', "duration = 0"), "greater than 0"),
        (('duration = "1m"', "duration = true"), "True is no duration"),
        (('duration = "1m"', 'duration = "1m "'), "'1m ' is no duration"),
        (('duration = "1m"', 'duration = "1m"\nmode = "5"'), "Input should be '1', '2', '3' or '4'"),
        (("USDT = { price = 1, cash = 5 }", ""), "at least 1 item"),
        (('title = "Nothing owed"', ""), "Field required"),
    ],
)
def test_a_story_that_is_wrong_is_refused_with_the_reason(change: tuple[str, str], why: str) -> None:
    text = NO_MARGIN.replace(*change)

    assert text != NO_MARGIN
    with pytest.raises(ValueError, match=why):
        parse_scenario(text)


def test_a_position_names_coins_of_the_story() -> None:
    with pytest.raises(ValueError, match="positions name coins that are not listed: BTC"):
        parse_scenario(NO_MARGIN + '[[positions]]\ncoin="BTC"\nentry=1\nsize=1')


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("1h30m", 5400), ("7d", 604800), ("250ms", "0.25"), ("1.5s", "1.5"), (10, 10), (2.5, "2.5")],
)
def test_a_duration_is_read_as_seconds(text: str | float, expected: str | int) -> None:
    assert seconds(text) == Decimal(expected)


def test_amounts_move_in_straight_lines_and_levels_jump() -> None:
    times, values = (Decimal(10), Decimal(20)), (Decimal(1), Decimal(5))
    line, steps = Path(times, values), Path(times, values, steps=True)

    at = [Decimal(t) for t in (0, 10, 15, 20, 30)]
    assert [line.at(t) for t in at] == [1, 1, 3, 5, 5]
    assert [steps.at(t) for t in at] == [1, 1, 1, 5, 5]


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=60))
def test_the_busiest_window_is_the_most_that_any_two_seconds_held(moments: list[float]) -> None:
    moments, window = sorted(moments), Window()
    for moment in moments:
        window.add(moment)

    assert window.busiest == max((sum(end - 2 < t <= end for t in moments) for end in moments), default=0)
