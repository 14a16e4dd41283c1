"""What the exchange says: one reply of `GET /api/v5/account/balance`, typed when it is read.

The class bodies of `Snapshot` and `Balance` ARE the table of OKX's fields: spelling, unit, direction of danger
and the account modes that carry each one ("Get balance", response parameters and applicability table). Rules,
`riskbot check` and the simulator all read that one table.

A field is kept as the text that came over the wire and becomes a Decimal, bool or datetime when somebody reads
it: typing all fields of a 50-currency account costs more than the whole fetch, and a rule reads a handful.

**No value is never zero.** An amount without a value is one of two quiet NaNs, so that it spreads through
arithmetic by itself and a comparison with it raises instead of silently being false:

- `NOT_APPLICABLE`: OKX sent `""`, "inapplicable under the current account level".
- `MISSING`: the key is absent or its value is malformed; the field cannot be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar, overload

NOT_APPLICABLE = Decimal("NaN1")
MISSING = Decimal("NaN2")
ZERO = Decimal(0)

Mode = Literal["1", "2", "3", "4"]
MODES: dict[str, str] = {"1": "Spot", "2": "Futures", "3": "Multi-currency margin", "4": "Portfolio margin"}
"""`acctLv` of `GET /api/v5/account/config` and what OKX calls it."""

USD, COIN, RATIO, LEVEL = "USD", "coin", "ratio", "level"
OVER = " / "
"""Between two fields of one row, for their ratio: `details.disEq / details.eqUsd`."""

_NUMBER = "0123456789.eE+-"
_LONGEST = 100  # characters; 25 are the most that were seen
_MAX_EXPONENT = 40  # beyond 1e±40 it is no amount of money, and arithmetic with it may overflow

NO_WORDS: Mapping[str, str] = MappingProxyType({})

T = TypeVar("T")
_ABSENT = object()


def is_missing(value: Decimal) -> bool:
    """True for `MISSING` and whatever arithmetic made of it; False for a number and for `NOT_APPLICABLE`."""
    return value.is_nan() and value.as_tuple().digits != (1,)


class Malformed(ValueError):  # noqa: N818 - reads as what it says of the value
    """A field's value is not of its type; the field counts as missing."""


class Field(Generic[T]):
    """One field of the reply. On an instance it reads as its typed value, on the class as itself.

    key: OKX's spelling. unit: `USD`, `COIN`, `RATIO`, `LEVEL` or "". modes: the account modes that carry it.
    worse: "above" or "below" where one direction is danger. words: those that it may be, and what each of them means.
    """

    nothing: Any = None
    absent: Any = None

    def __init__(
        self,
        key: str,
        doc: str,
        unit: str = "",
        *,
        modes: str = "1234",
        worse: str = "",
        words: Mapping[str, str] = NO_WORDS,
    ) -> None:
        self.key, self.unit, self.modes, self.worse, self.words = key, unit, modes, worse, words
        self.__doc__ = doc
        self.name = key

    def __set_name__(self, owner: type[Row], name: str) -> None:
        self.name = name
        owner.FIELDS = {**owner.FIELDS, self.key: self}

    @overload
    def __get__(self, row: None, owner: type) -> Field[T]: ...
    @overload
    def __get__(self, row: Row, owner: type) -> T: ...
    def __get__(self, row: Row | None, owner: type) -> Field[T] | T:
        if row is None:
            return self
        raw = row.raw.get(self.key, _ABSENT)
        if raw == "":
            return self.nothing  # type: ignore[no-any-return]
        if raw is _ABSENT or raw is None:
            return self.absent  # type: ignore[no-any-return]
        try:
            return self.parse(raw, row)
        except Malformed:
            row.defects.add(f"{row.PREFIX}{self.key}")
            return self.absent  # type: ignore[no-any-return]

    def parse(self, raw: object, row: Row) -> T:
        """The typed value of what stood in the reply; raises Malformed."""
        raise NotImplementedError


class Amount(Field[Decimal]):
    """A number that OKX writes as text. Exact; `NOT_APPLICABLE` or `MISSING` where there is none."""

    nothing = NOT_APPLICABLE
    absent = MISSING

    def parse(self, raw: object, row: Row) -> Decimal:  # noqa: ARG002 - one signature for all fields
        """An exact Decimal."""
        if type(raw) is not str and type(raw) is not int:
            raise Malformed(self.key)
        try:
            return _exact(raw)
        except ValueError:
            raise Malformed(self.key) from None


@lru_cache(4096)
def _exact(raw: str | int) -> Decimal:
    """Raises ValueError. Most values of an account are the same from one reply to the next."""
    # Decimal() alone would take "1_000", " 12 ", "NaN" and other scripts' digits.
    if type(raw) is str and (len(raw) > _LONGEST or raw.strip(_NUMBER)):
        raise ValueError("no number")
    try:
        value = Decimal(raw)
    except InvalidOperation:
        raise ValueError("no number") from None
    if not value:
        return ZERO  # "0e999999" is zero too, and would be a million digits in a message
    if not -_MAX_EXPONENT < value.adjusted() < _MAX_EXPONENT:
        raise ValueError("out of all proportion")
    return value


class Magnitude(Amount):
    """An amount that is documented positive but has been seen negative: its size is what counts."""

    def parse(self, raw: object, row: Row) -> Decimal:
        """Its size; a minus sign is noted."""
        value = super().parse(raw, row)
        if value >= 0:
            return value
        row.defects.add(f"{row.PREFIX}{self.key} (negative)")
        return value.copy_abs()  # abs() would round it to 28 digits


class Ratio(Amount):
    """One amount of a row divided by another; without a value where either has none, or the second is 0."""

    def __init__(self, top: Field[Any], bottom: Field[Any]) -> None:
        modes = "".join(mode for mode in top.modes if mode in bottom.modes)
        super().__init__(f"{top.key}{OVER}{bottom.key}", f"{top.key} for each {bottom.key}.", RATIO, modes=modes)
        self.top, self.bottom, self.worse = top, bottom, top.worse

    def __get__(self, row: Any, owner: type) -> Any:
        """The quotient; there is none on a class, as no class has it for a field."""
        top, bottom = self.top.__get__(row, owner), self.bottom.__get__(row, owner)
        return top / bottom if bottom or top.is_nan() else NOT_APPLICABLE


class Flag(Field["bool | None"]):
    """true or false; None where it does not apply or is missing."""

    def parse(self, raw: object, row: Row) -> bool:  # noqa: ARG002 - one signature for all fields
        """A JSON boolean, or the same as text."""
        if raw is True or raw == "true":
            return True
        if raw is False or raw == "false":
            return False
        raise Malformed(self.key)


class Word(Field["str | None"]):
    """One of a few words; None where it does not apply or is missing."""

    def parse(self, raw: object, row: Row) -> str:  # noqa: ARG002 - one signature for all fields
        """As it is."""
        if type(raw) is not str:
            raise Malformed(self.key)
        return raw


class Time(Field["datetime | None"]):
    """A moment, from milliseconds since 1970 to an aware datetime in UTC."""

    def parse(self, raw: object, row: Row) -> datetime:  # noqa: ARG002 - one signature for all fields
        """Milliseconds since 1970."""
        if type(raw) is str and raw.isascii() and raw.isdigit() and len(raw) <= 14:
            raw = int(raw)
        if type(raw) is not int or not 0 <= raw < 10**14:
            raise Malformed(self.key)
        seconds, millis = divmod(raw, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)


class Row:
    """A JSON object of the reply with typed fields over it."""

    __slots__ = ("defects", "raw")
    FIELDS: ClassVar[dict[str, Field[Any]]] = {}
    PREFIX: ClassVar[str] = ""

    def __init__(self, raw: dict[str, Any], defects: set[str]) -> None:
        self.raw = raw
        self.defects = defects

    @classmethod
    def field(cls, key: str) -> Field[Any]:
        """The field that OKX spells `key`, or the ratio of two; raises KeyError."""
        if OVER not in key:
            return cls.FIELDS[key]
        top, bottom = cls.keys(key)
        return Ratio(cls.FIELDS[top], cls.FIELDS[bottom])

    @classmethod
    def keys(cls, ratio: str) -> tuple[str, str]:
        """The two keys of a ratio."""
        top, _, bottom = ratio.partition(OVER)
        return top, bottom.removeprefix(cls.PREFIX)

    def amount(self, key: str) -> Decimal:
        """The value of the amount that OKX spells `key`."""
        value: Decimal = self.field(key).__get__(self, type(self))
        return value

    def said(self, key: str) -> object:
        """What stood in the reply under that key; of a ratio both."""
        if OVER not in key:
            return self.raw.get(key)
        top, bottom = self.keys(key)
        return self.raw.get(top), self.raw.get(bottom)

    def lacks(self, key: str) -> Decimal:
        """What a field without a value is: `NOT_APPLICABLE` where OKX sent `""`, else `MISSING`."""
        return NOT_APPLICABLE if self.raw.get(key) == "" else MISSING

    def unknown(self) -> set[str]:
        """Keys that came but are not in the table: new fields of the exchange. They stay in `raw`."""
        return self.raw.keys() - self.FIELDS.keys()


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
