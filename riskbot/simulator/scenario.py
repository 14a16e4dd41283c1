"""Scenarios: an account and what happens to it, as a small TOML. Pure: time is an argument.

An amount is a number, or keyframes `{ 0s = 60000, 10m = 41000 }` joined by straight lines; a level is a number, or
keyframes that hold until the next. Before the first and after the last keyframe the value stands still.

    title = "A dip"
    duration = "10m"
    mode = "3"                                  # acctLv: 1 Spot, 2 Futures, 3 Multi-currency, 4 Portfolio

    [coins.BTC]
    price = { 0s = 60000, 5m = 55000, 10m = 59000 }
    cash = 2
    discount = 0.95                             # the haircut: this share counts as margin

    [coins.USDT]
    price = 1
    cash = { 2m = -10000, 8m = -40000 }         # negative is borrowed
    twap = { 3m = 1, 6m = 0 }                   # a level; `conversion` is colBorrAutoConversion

    [[positions]]                               # linear, settled in USDT unless `settle` says otherwise
    coin = "BTC"
    size = 1.5                                  # negative is short
    entry = 58000

What is computed from this, and how, stands in `riskbot.simulator.ledger`.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path as File
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from riskbot.simulator.ledger import Moment, account_at
from riskbot.simulator.paths import ZERO, Level, Line, Number, Path, Seconds, still
from riskbot.snapshot import Mode


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Coin(_Strict):
    """One currency of the account. Amounts are in coin, prices in USD.

    cash: the balance; negative is borrowed. discount: share of the value that counts as margin, 0 to 1.
    bots: equity in trading bots. orders: margin frozen for open orders. cost: average price paid for the spot balance.
    borrow_rate: interest a year. twap, conversion: OKX's `twap` and `colBorrAutoConversion`.
    """

    price: Line
    cash: Line = still(0)
    discount: Annotated[Number, Field(ge=0, le=1)] = Decimal(1)
    bots: Line = still(0)
    orders: Line = still(0)
    cost: Annotated[Number, Field(gt=0)] | None = None
    borrow_rate: Number = ZERO
    twap: Level = still(0)
    conversion: Level = still(0)
    collateral: bool = True
    restricted: bool = False

    @model_validator(mode="after")
    def _has_a_price(self) -> Coin:
        if min(self.price.values) <= 0:
            raise ValueError("a price is above 0")
        return self


class Position(_Strict):
    """A linear derivative on `coin`, settled in `settle`. size: coin, negative is short. entry: USD.

    maintenance: maintenance margin as a share of notional.
    """

    coin: str
    size: Line
    entry: Number
    settle: str = "USDT"
    leverage: Annotated[Number, Field(gt=0)] = Decimal(10)
    maintenance: Number = Decimal("0.01")
    kind: Literal["swap", "futures"] = "swap"


class Scenario(_Strict):
    """A story that the simulator plays. See the head of this module for the language.

    mode: `acctLv` "1" to "4". borrow_maintenance, borrow_leverage: margin that a debt needs.
    """

    title: str
    about: str = ""
    mode: Mode = "3"
    duration: Annotated[Seconds, Field(gt=0)]
    coins: Annotated[dict[str, Coin], Field(min_length=1)]
    positions: tuple[Position, ...] = ()
    borrow_maintenance: Number = Decimal("0.02")
    borrow_leverage: Annotated[Number, Field(gt=0)] = Decimal(10)
    name: str = ""

    def __hash__(self) -> int:
        """By identity, so that a scenario can be the key of a cache."""
        return id(self)

    @model_validator(mode="after")
    def _names_only_its_coins(self) -> Scenario:
        named = {ccy for position in self.positions for ccy in (position.coin, position.settle)}
        if unknown := sorted(named - self.coins.keys()):
            raise ValueError(f"positions name coins that are not listed: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _ends_after_its_last_keyframe(self) -> Scenario:
        last = max(path.times[-1] for path in self.paths)
        if last > self.duration:
            raise ValueError(f"the last keyframe is at {last} s, after the end at {self.duration} s")
        return self

    @property
    def paths(self) -> list[Path]:
        """Everything in it that may move."""
        coins = [path for coin in self.coins.values() for path in vars(coin).values() if isinstance(path, Path)]
        return [*coins, *(position.size for position in self.positions)]

    def at(self, t: float | Decimal) -> Moment:
        """The account t seconds into the story, t to a hundredth; the ends hold before and after."""
        when = Decimal(str(t)).quantize(Decimal("0.01"))
        return account_at(self, min(max(when, ZERO), self.duration))


def scenario_names() -> list[str]:
    """The scenarios that come with riskbot."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def _shipped() -> Traversable:
    return resources.files("riskbot.simulator") / "scenarios"


def load_scenario(name_or_path: str | File) -> Scenario:
    """A shipped scenario by name (`crash`), or any by its path (`mine.toml`). Raises OSError or ValueError."""
    name = str(name_or_path)
    file = _shipped() / f"{name}.toml" if name in scenario_names() else File(name)
    return parse_scenario(file.read_text(encoding="utf-8"), name=File(file.name).stem)


def parse_scenario(text: str, name: str = "") -> Scenario:
    """A scenario from its TOML; raises ValueError that says where and what."""
    return Scenario.model_validate({**tomllib.loads(text, parse_float=Decimal), "name": name})
