"""The bench's rules: 20 that a careful trader may have, each over all currencies where its field is one of theirs."""

from __future__ import annotations

from typing import Any

from riskbot import plugins
from riskbot.rules import Rule

RULES: list[dict[str, Any]] = [
    {"kind": "margin_ratio", "below": {"info": 10, "warning": 5, "critical": 3, "emergency": "150%"}},
    *({"kind": "level", "field": f"details.{f}", "at_least": {"warning": 1, "critical": 3, "emergency": 5}}
      for f in ("twap", "colBorrAutoConversion")),
    *({"kind": "change", "field": f"details.{f}", "over": over, "rises_by": {"warning": "10%", "critical": "50%"},
       "min_usd": 500} for f in ("liab", "crossLiab", "interest") for over in ("10m", "1h", "7d")),
    *({"kind": "threshold", "field": f"details.{f}", "above": {"warning": 10**9}}
      for f in ("liab", "interest", "frozenBal", "ordFrozen", "borrowFroz")),
    {"kind": "threshold", "field": "details.eqUsd", "below": {"warning": 1}},
    {"kind": "threshold", "field": "adjEq", "below": {"warning": 1}},
    {"kind": "change", "field": "adjEq", "over": "10m", "falls_by": {"warning": "20%"}},
]  # fmt: skip


def rules() -> list[Rule]:
    """The 20 and the one about blindness that is always on."""
    kinds = plugins.kinds(plugins.manager())
    found = [kinds[r["kind"]].model_validate({"name": f"rule {i}", **r}) for i, r in enumerate(RULES)]
    assert len(found) == 20
    return [*found, kinds["blind"].model_validate({"name": "blind", "kind": "blind"})]
