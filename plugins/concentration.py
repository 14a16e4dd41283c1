"""The share of the account that sits in one currency."""

from collections.abc import Iterator

from riskbot import Reading, Rule, View, hookimpl


class Concentration(Rule, kind="concentration", worse="above"):
    """Share of total equity held in each currency, 0 to 1."""

    def readings(self, view: View) -> Iterator[Reading]:
        """One for each currency. An empty account has no shares."""
        total = view.snapshot.total_eq
        for ccy, balance in view.snapshot.balances.items():
            if total == 0:
                yield Reading.not_applicable("no equity", ccy)
            else:
                yield Reading(balance.eq_usd / total, ccy)


@hookimpl
def register_rules() -> list[type[Rule]]:
    """One kind."""
    return [Concentration]
