"""The simulator: OKX's `GET /api/v5/account/balance` over real HTTP, with scenarios and with faults on command.

It serves `/api/v5/account/config` and `/api/v5/public/time` too, checks key, signature, timestamp, passphrase, address
and demo header as OKX does, and counts its sliding limits. Which fields an account mode carries is read from the
tables in `riskbot.snapshot`.

Where the specification contradicts itself or is silent, it does this:

- The sample has a trailing comma: replies are valid JSON.
- The sample's account `availEq` is larger than its `totalEq`: here it is adjEq - imr, not below 0.
- The sample has a profit in `details` and `upl` "0" in the account: here the account's is the sum.
- `details` is blank for Spot and Futures in the table of modes, its children are not: it is always sent.
- `ordFroz` is "only Multi-currency" in the text and Portfolio too in the table, `ordFrozen` has no Portfolio in the
  text: the table counts.
- `disEq` and `maxLoan` need enabled borrowing in Spot by the text: the table counts, they are always sent there.
- `borrowFroz`, `collateralEnabled` and `spotInUseAmt`'s two undocumented sisters are not in the table: the text counts
  (multi-currency and Portfolio; Multi-currency; Portfolio). Everything else that is not in it is in all modes.
- A field that does not apply is "", booleans too: the spec makes no exception (real replies show false there).
- A field that applies and has no value is "" as in the sample: `mgnRatio` while `mmr` is 0, the currency's `mgnRatio`,
  `imr`, `mmr` and `notionalLever` without a cross position, the spot profit of a currency whose cost is not known.
- `mgnRatio` is "in USD": it is a plain ratio, and as in real replies mmr + 0.05 % of notionalUsd is what it divides by.
- `colBorrAutoConversion` has "levels 1-5, default 0", `twap` 0-5: both are 0 to 5.
- `liab` is positive and the same as `crossLiab`; `uplLiab` is the part of it that an unrealised loss made.
- The account's `uTime` is the moment of asking, a currency's the last change of its balance.
- More than 20 currencies: 51000 with HTTP 400. Unknown currencies are left out, and the account's totals never change.
- A request that is refused with 50011 does not count for the limit. 50011 is HTTP 429, 50119 is HTTP 401.
- Checks come in this order: the four headers, timestamp, key, demo header, address, passphrase, signature, limit, ccy.
- Codes of the gateway (50011, 50100 to 50121, 50001, 50013) have a body without `data`, all others `"data":[]`.
"""

from riskbot.simulator.auth import SimAccount
from riskbot.simulator.faults import Fault
from riskbot.simulator.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from riskbot.simulator.server import Simulator

__all__ = ["Fault", "Scenario", "SimAccount", "Simulator", "load_scenario", "parse_scenario", "scenario_names"]
