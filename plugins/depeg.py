"""Stablecoins that lose their peg, weighed by how much of them the account holds or owes."""

from collections.abc import Iterator

from riskbot import Currency, Event, Reading, Rule, View, hookimpl


class Depeg(Rule, kind="depeg", worse="above"):
    """USD at stake: how far a stablecoin's price is from one dollar, times what is held or owed of it."""

    coins: tuple[Currency, ...] = ("USDT", "USDC", "DAI", "PYUSD", "USDG")

    def readings(self, view: View) -> Iterator[Reading]:
        """One for each stablecoin, at the price that OKX's own numbers imply."""
        for ccy, balance in view.snapshot.balances.items():
            if ccy in self.coins and balance.eq:  # nothing of it: no price, and nothing at stake
                yield Reading(abs(balance.price - 1) * abs(balance.eq), ccy, f"price {balance.price:.4f}")

    def say(self, event: Event) -> str:
        """`USDC is off its peg: $1,200 at stake`."""
        return f"{event.subject} is off its peg: ${event.value or 0:,.0f} at stake"


@hookimpl
def register_rules() -> list[type[Rule]]:
    """One kind."""
    return [Depeg]
