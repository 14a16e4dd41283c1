"""What the exchange says: one reply of `GET /api/v5/account/balance`, typed when it is read.

The class bodies of `Snapshot` and `Balance` ARE the table of OKX's fields: spelling, unit, direction of danger
and the account modes that carry each one ("Get balance", response parameters and applicability table). Rules,
`riskbot check` and the simulator all read that one table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, Literal

from riskbot.fields import COIN, LEVEL, MISSING, OVER, RATIO, USD, Amount, Field, Flag, Magnitude, Row, Time, Word

Mode = Literal["1", "2", "3", "4"]
MODES: dict[str, str] = {"1": "Spot", "2": "Futures", "3": "Multi-currency margin", "4": "Portfolio margin"}
"""`acctLv` of `GET /api/v5/account/config` and what OKX calls it."""


class Balance(Row):
    """One currency of the account: an element of `details`."""

    __slots__ = ()
    PREFIX = "details."

    ccy = Word("ccy", "Currency.")
    eq = Amount("eq", "Equity.", COIN)
    cash_bal = Amount("cashBal", "Cash balance.", COIN)
    u_time = Time("uTime", "When this currency's balance last changed; may be years ago.")
    iso_eq = Amount("isoEq", "Isolated margin equity.", COIN, modes="234")
    avail_eq = Amount("availEq", "Available equity.", COIN, modes="234")
    dis_eq = Amount("disEq", "Equity after the collateral haircut.", USD, modes="134", worse="below")
    fixed_bal = Amount("fixedBal", "Frozen for Dip Sniper and Peak Sniper.", COIN)
    avail_bal = Amount("availBal", "Available balance.", COIN)
    frozen_bal = Amount("frozenBal", "Frozen balance.", COIN)
    ord_frozen = Amount("ordFrozen", "Margin frozen for open orders.", COIN)
    liab = Magnitude("liab", "Debt.", COIN, modes="34", worse="above")
    upl = Amount("upl", "Unrealised profit and loss of margin and derivatives.", COIN, modes="234", worse="below")
    upl_liab = Magnitude("uplLiab", "Debt due to unrealised loss.", COIN, modes="34", worse="above")
    cross_liab = Magnitude("crossLiab", "Cross debt.", COIN, modes="34", worse="above")
    iso_liab = Magnitude("isoLiab", "Isolated debt.", COIN, modes="34", worse="above")
    mgn_ratio = Amount("mgnRatio", "Cross maintenance margin ratio of the currency.", RATIO, modes="2", worse="below")
    imr = Amount("imr", "Cross initial margin requirement.", COIN, modes="2", worse="above")
    mmr = Amount("mmr", "Cross maintenance margin requirement.", COIN, modes="2", worse="above")
    interest = Magnitude("interest", "Interest accrued and not yet charged.", COIN, modes="34", worse="above")
    twap = Amount("twap", "Risk of forced repayment, 0 to 5.", LEVEL, modes="34", worse="above")
    max_loan = Amount("maxLoan", "Still borrowable.", COIN, modes="134", worse="below")
    eq_usd = Amount("eqUsd", "Equity in USD.", USD, worse="below")
    borrow_froz = Amount("borrowFroz", "Potential borrowing's initial margin.", USD, modes="34", worse="above")
    notional_lever = Amount("notionalLever", "Leverage.", RATIO, modes="2", worse="above")
    stgy_eq = Amount("stgyEq", "Equity in trading bots; part of eq.", COIN)
    iso_upl = Amount("isoUpl", "Isolated unrealised profit and loss.", COIN, modes="234", worse="below")
    spot_in_use_amt = Amount("spotInUseAmt", "Spot in use.", COIN, modes="4")
    cl_spot_in_use_amt = Amount("clSpotInUseAmt", "Spot in use set by the user.", COIN, modes="4")
    max_spot_in_use = Amount("maxSpotInUse", "Most spot that can be in use.", COIN, modes="4")
    spot_iso_bal = Amount("spotIsoBal", "Spot isolated balance (copy trading).", COIN, modes="12")
    spot_bal = Amount("spotBal", "Spot balance.", COIN)
    open_avg_px = Amount("openAvgPx", "Average cost of the spot balance.", USD)
    acc_avg_px = Amount("accAvgPx", "Accumulated average cost of the spot balance.", USD)
    spot_upl = Amount("spotUpl", "Unrealised profit and loss of the spot balance.", USD, worse="below")
    spot_upl_ratio = Amount("spotUplRatio", "The same as a ratio.", RATIO, worse="below")
    total_pnl = Amount("totalPnl", "Accumulated spot profit and loss.", USD, worse="below")
    total_pnl_ratio = Amount("totalPnlRatio", "The same as a ratio.", RATIO, worse="below")
    collateral_enabled = Flag(
        "collateralEnabled",
        "Counts as collateral.",
        modes="3",
        words={"true": "it counts as collateral", "false": "it does not count as collateral"},
    )
    collateral_restrict = Flag(
        "collateralRestrict",
        "Borrowing against it is restricted platform-wide.",
        words={"true": "OKX restricts borrowing against it, platform-wide", "false": "it can be borrowed against"},
    )
    col_borr_auto_conversion = Amount(
        "colBorrAutoConversion", "Forced conversion of collateral: 0 none, 4 imminent, 5 running.", LEVEL, worse="above"
    )
    auto_lend_status = Word(
        "autoLendStatus",
        "unsupported, off, pending or active.",
        words={
            "unsupported": "auto lend does not take it",
            "off": "auto lend is off",
            "pending": "auto lend is on, and nobody has borrowed it yet",
            "active": "auto lend has lent it out: to get it back may take a while",
        },
    )
    auto_lend_mt_amt = Amount("autoLendMtAmt", "Amount lent out by auto lend.", COIN)
    smt_sync_eq = Amount("smtSyncEq", "Equity of smart sync copy trading.", COIN)
    spot_copy_trading_eq = Amount("spotCopyTradingEq", "Equity of spot copy trading.", COIN)
    reward_bal = Amount("rewardBal", "Trial fund balance.", COIN)

    @property
    def price(self) -> Decimal:
        """USD per coin as the reply implies it, eqUsd / eq; `MISSING` where eq is 0 or their signs contradict."""
        eq = self.eq
        price = self.eq_usd / eq if eq else MISSING
        return price if price.is_nan() or price >= 0 else MISSING


class Snapshot(Row):
    """The whole account at one moment.

    fetched_at: when it was taken in, seconds since 1970 UTC on the watch's clock.
    defects: fields that were read and found malformed, as OKX spells them (`details.liab`).
    """

    __slots__ = ("_amounts", "_balances", "_columns", "fetched_at")

    u_time = Time("uTime", "When OKX last updated the account's information.")
    total_eq = Amount("totalEq", "Total equity, without haircuts.", USD)
    iso_eq = Amount("isoEq", "Isolated margin equity.", USD, modes="234")
    adj_eq = Amount("adjEq", "Equity that counts as margin, after haircuts.", USD, modes="34", worse="below")
    avail_eq = Amount("availEq", "Available equity.", USD, modes="34", worse="below")
    ord_froz = Amount("ordFroz", "Cross margin frozen for pending orders.", USD, modes="34", worse="above")
    imr = Amount("imr", "Initial margin requirement.", USD, modes="34", worse="above")
    mmr = Amount("mmr", "Maintenance margin requirement.", USD, modes="34", worse="above")
    borrow_froz = Amount("borrowFroz", "Potential borrowing's initial margin.", USD, modes="34", worse="above")
    mgn_ratio = Amount(
        "mgnRatio",
        "Maintenance margin ratio: 1.0 is 100 %, at 1.0 liquidation starts.",
        RATIO,
        modes="34",
        worse="below",
    )
    notional_usd = Amount("notionalUsd", "Notional value of positions.", USD, modes="34", worse="above")
    notional_usd_for_borrow = Amount(
        "notionalUsdForBorrow", "Notional value of borrowing.", USD, modes="134", worse="above"
    )
    notional_usd_for_swap = Amount(
        "notionalUsdForSwap", "Notional value of perpetuals.", USD, modes="34", worse="above"
    )
    notional_usd_for_futures = Amount(
        "notionalUsdForFutures", "Notional value of futures.", USD, modes="34", worse="above"
    )
    notional_usd_for_option = Amount(
        "notionalUsdForOption", "Notional value of options.", USD, modes="134", worse="above"
    )
    upl = Amount("upl", "Cross unrealised profit and loss.", USD, modes="34", worse="below")

    def __init__(self, raw: dict[str, Any], fetched_at: float = 0.0) -> None:
        super().__init__(raw, set())
        self.fetched_at = fetched_at
        self._balances: dict[str, Balance] | None = None
        self._columns: dict[str, list[object]] = {}
        self._amounts: dict[str, dict[str, Decimal]] = {}

    @property
    def details(self) -> list[dict[str, Any]]:
        """The currencies as they came."""
        rows: list[dict[str, Any]] = self.raw["details"]
        return rows

    @property
    def balances(self) -> dict[str, Balance]:
        """The currencies of the account by name. One that has neither cash nor equity is not listed."""
        if self._balances is None:
            self._balances = {row["ccy"]: Balance(row, self.defects) for row in self.details}
        return self._balances

    def only(self, ccys: Collection[str]) -> Snapshot:
        """The account with these of its currencies; what is odd in them is noted here too."""
        part = Snapshot({**self.raw, "details": [row for row in self.details if row["ccy"] in ccys]}, self.fetched_at)
        part.defects = self.defects
        return part

    def amounts(self, key: str) -> dict[str, Decimal]:
        """The value of one amount in every currency; kept, so that it is typed once a snapshot."""
        amounts = self._amounts.get(key)
        if amounts is None:
            read = Balance.field(key).__get__
            amounts = self._amounts[key] = {ccy: read(row, Balance) for ccy, row in self.balances.items()}
        return amounts

    def column(self, key: str) -> list[object]:
        """The raw value of one field in every row, in order; kept, so that it is gathered once a snapshot.

        Two snapshots with the same columns `ccy` and `key` give every rule over that field the same readings.
        """
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = self._gathered(key)
        return column

    def _gathered(self, key: str) -> list[object]:
        if OVER not in key:
            return [row.get(key) for row in self.details]
        top, bottom = Balance.keys(key)
        return [(row.get(top), row.get(bottom)) for row in self.details]

    def unknown(self) -> set[str]:
        """New fields of the exchange, `details.` before those of a currency."""
        rows: set[str] = set().union(*(row.keys() for row in self.details)) if self.details else set()
        return (super().unknown() - {"details"}) | {f"details.{key}" for key in rows - Balance.FIELDS.keys()}


def field(path: str) -> Field[Any]:
    """The field a rule names: `mgnRatio` of the account, `details.liab` of each currency. Raises KeyError.

    Or the ratio of two of one level: `adjEq / mmr`, `details.disEq / details.eqUsd`.
    """
    rows = [path.startswith(Balance.PREFIX) for path in path.split(OVER)]
    if len(set(rows)) > 1:
        raise KeyError(path)
    return Balance.field(path.removeprefix(Balance.PREFIX)) if rows[0] else Snapshot.field(path)


def field_paths() -> list[str]:
    """Every field a rule can name, as a trader types it."""
    return [*Snapshot.FIELDS, *(f"details.{key}" for key in Balance.FIELDS)]


def carried(paths: Iterable[str]) -> str:
    """The account modes that carry any of these fields, by the table above: `"34"`. Of no field: every mode."""
    fields = [field(path).modes for path in paths]
    return "".join(mode for mode in MODES if not fields or any(mode in modes for modes in fields))
