"""What an account is worth and owes at one moment of a scenario. Pure Decimal arithmetic.

The numbers hang together as OKX's do:

    eq       = cashBal + upl + stgyEq                                    coin
    liab     = crossLiab = max(0, -cashBal, -eq)                         coin; uplLiab is the part that upl made
    disEq    = eqUsd x discount, a debt in full                          USD
    adjEq    = sum of disEq                                              USD
    mmr      = maintenance x notional + borrow_maintenance x debt        USD
    imr      = notional / leverage + debt / borrow_leverage + orders     USD
    availEq  = adjEq - imr, not below 0                                  USD
    mgnRatio = adjEq / (mmr + 0.0005 x notionalUsd)                      none while mmr is 0

Interest is shown as it accrues within the hour. When it is charged, the debt does not grow: the scenario's `cash` is
the whole truth about that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TYPE_CHECKING

from riskbot.simulator.paths import COIN, ZERO

if TYPE_CHECKING:
    from riskbot.simulator.scenario import Coin, Position, Scenario

Value = Decimal | bool | str | None
"""What a field holds before it is written: an amount, a flag, a word, or None where there is no value."""

FEE = Decimal("0.0005")
"""Closing fee as a share of notional; the ratios of real replies contain it."""

_YEAR = Decimal(365 * 86400)
_HOUR = Decimal(3600)
_RATIO = Decimal("1e-12")
_SPOT = ("spotBal", "openAvgPx", "accAvgPx", "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio")


@dataclass(frozen=True, slots=True)
class Moment:
    """The account at one moment by OKX's names, before a mode blanks some. A field that is not here is 0.

    account: without uTime, which is the moment of asking. rows: one for each currency that has cash or equity.
    changed: by currency, when its balance last changed, seconds of the scenario.
    """

    account: dict[str, Value]
    rows: dict[str, dict[str, Value]]
    changed: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class _Held:
    """A position at one moment, in USD."""

    position: Position
    notional: Decimal
    upl: Decimal
    imr: Decimal
    mmr: Decimal


@dataclass(frozen=True, slots=True)
class _Funds:
    """A currency at one moment, in coin; price in USD. upl: of the positions that settle in it."""

    coin: Coin
    price: Decimal
    cash: Decimal
    bots: Decimal
    orders: Decimal
    upl: Decimal

    @property
    def eq(self) -> Decimal:
        return self.cash + self.upl + self.bots

    @property
    def liab(self) -> Decimal:
        return max(ZERO, -self.cash, -self.eq)

    @property
    def dis_eq(self) -> Decimal:
        """Equity as margin, USD: the haircut lessens what one owns, never what one owes."""
        usd = self.eq * self.price
        if usd < 0:
            return usd
        return usd * self.coin.discount if self.coin.collateral else ZERO


def account_at(story: Scenario, when: Decimal) -> Moment:
    """The account `when` seconds into the story."""
    with localcontext(prec=60, rounding=ROUND_HALF_EVEN):  # eqUsd = eq x price holds exactly, whatever the amounts
        held = [_held(position, story, when) for position in story.positions]
        funds = {ccy: _funds(ccy, story, held, when) for ccy in story.coins}
        account = _account(story, list(funds.values()), held)
        free = max(ZERO, account["adjEq"] - account["imr"])
        ratio = _ratio(account["adjEq"], account["mmr"], account["notionalUsd"])
        rows = {
            ccy: _row(ccy, f, story, when) | _margin(f, _settled(ccy, held)) | {"maxLoan": _coins(free / f.price)}
            for ccy, f in funds.items()
            if f.cash or f.eq
        }
    return Moment(
        {**account, "availEq": free, "mgnRatio": ratio}, rows, {ccy: _changed(ccy, story, when) for ccy in rows}
    )


def _held(position: Position, story: Scenario, when: Decimal) -> _Held:
    size, price = position.size.at(when), story.coins[position.coin].price.at(when)
    notional = abs(size) * price
    upl = size * (price - position.entry)
    return _Held(position, notional, upl, notional / position.leverage, notional * position.maintenance)


def _funds(ccy: str, story: Scenario, held: list[_Held], when: Decimal) -> _Funds:
    coin = story.coins[ccy]
    price = coin.price.at(when)
    upl = _coins(_total(h.upl for h in _settled(ccy, held)) / price)
    return _Funds(coin, price, coin.cash.at(when), coin.bots.at(when), coin.orders.at(when), upl)


def _settled(ccy: str, held: list[_Held]) -> list[_Held]:
    """The open positions whose profit and margin are in this currency."""
    return [h for h in held if h.position.settle == ccy and h.notional]


def _account(story: Scenario, funds: list[_Funds], held: list[_Held]) -> dict[str, Decimal]:
    """The account's own sums, USD."""
    kinds = {kind: _total(h.notional for h in held if h.position.kind == kind) for kind in ("swap", "futures")}
    notional = kinds["swap"] + kinds["futures"]
    debt = _total(f.liab * f.price for f in funds)
    orders = _total(f.orders * f.price for f in funds)
    return {
        "totalEq": _total(f.eq * f.price for f in funds),
        "adjEq": _total(f.dis_eq for f in funds),
        "ordFroz": orders,
        "imr": _total(h.imr for h in held) + debt / story.borrow_leverage + orders,
        "mmr": _total(h.mmr for h in held) + debt * story.borrow_maintenance,
        "borrowFroz": debt / story.borrow_leverage,
        "notionalUsd": notional,
        "notionalUsdForSwap": kinds["swap"],
        "notionalUsdForFutures": kinds["futures"],
        "notionalUsdForBorrow": debt,
        "upl": _total(h.upl for h in held),
    }


def _row(ccy: str, f: _Funds, story: Scenario, when: Decimal) -> dict[str, Value]:
    """One element of `details`, but for what depends on positions and on the whole account."""
    return {
        "ccy": ccy,
        "eq": f.eq,
        "eqUsd": f.eq * f.price,
        "disEq": f.dis_eq,
        "cashBal": f.cash,
        "upl": f.upl,
        "stgyEq": f.bots,
        "availBal": max(ZERO, f.cash - f.orders),
        "frozenBal": f.bots + f.orders,
        "ordFrozen": f.orders,
        "liab": f.liab,
        "crossLiab": f.liab,
        "uplLiab": f.liab - max(ZERO, -f.cash),
        "interest": _coins(f.liab * f.coin.borrow_rate * (when % _HOUR) / _YEAR),
        "borrowFroz": f.liab * f.price / story.borrow_leverage,
        "twap": f.coin.twap.at(when),
        "colBorrAutoConversion": f.coin.conversion.at(when),
        "collateralEnabled": f.coin.collateral,
        "collateralRestrict": f.coin.restricted,
        "autoLendStatus": "off",
        **_spot(f),
    }


def _margin(f: _Funds, held: list[_Held]) -> dict[str, Value]:
    """The currency's own margin, in coin; without a cross position all but `availEq` is None."""
    free = f.eq - f.bots - f.orders
    if not held:
        return {"availEq": max(ZERO, free), "imr": None, "mmr": None, "mgnRatio": None, "notionalLever": None}
    notional = _total(h.notional for h in held) / f.price
    imr, mmr = (_coins(_total(part) / f.price) for part in ((h.imr for h in held), (h.mmr for h in held)))
    return {
        "availEq": max(ZERO, free - imr),
        "imr": imr,
        "mmr": mmr,
        "mgnRatio": _ratio(f.eq, mmr, notional),
        "notionalLever": (notional / f.eq).quantize(_RATIO) if f.eq > 0 else None,
    }


def _spot(f: _Funds) -> dict[str, Value]:
    """Profit of the spot balance; None throughout where no cost is known, as in OKX's own sample."""
    if f.coin.cost is None:
        return dict.fromkeys(_SPOT)
    cost, balance = f.coin.cost, max(ZERO, f.cash)
    gain, ratio = balance * (f.price - cost), (f.price / cost - 1).quantize(_RATIO)
    return dict(zip(_SPOT, (balance, cost, cost, gain, ratio, gain, ratio), strict=True))


def _changed(ccy: str, story: Scenario, when: Decimal) -> Decimal:
    """A balance changes with its cash, its bots, and the positions that settle in it."""
    paths = [story.coins[ccy].cash, story.coins[ccy].bots]
    for position in story.positions:
        if position.settle == ccy:
            paths += [position.size, story.coins[position.coin].price]
    return max(path.changed(when) for path in paths)


def _ratio(equity: Decimal, mmr: Decimal, notional: Decimal) -> Decimal | None:
    return (equity / (mmr + FEE * notional)).quantize(_RATIO) if mmr else None


def _total(items: Iterable[Decimal]) -> Decimal:
    return sum(items, ZERO)


def _coins(amount: Decimal) -> Decimal:
    return amount.quantize(COIN)
