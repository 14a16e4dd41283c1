"""What a rule would say of an account just now."""

from __future__ import annotations

from typing import Any

import pytest

from riskbot import plugins
from riskbot.model import AccountInfo, Severity
from riskbot.rules import Rule
from riskbot.setup import outlook
from riskbot.setup.live import CLOCK_OFF, clock, identity, standing
from riskbot.setup.outlook import Prospect
from riskbot.testing import coin, snapshot

KINDS = plugins.kinds(plugins.manager())
NOW = 1_700_000_000.0


def rule(kind: str, **keys: Any) -> Rule:
    return KINDS[kind].model_validate({"name": kind, "kind": kind, **keys})


def look(measured: Rule, mode: str = "3", **account: Any) -> outlook.Outlook:
    return outlook.look(measured, "main", snapshot(**account), AccountInfo("1", mode), NOW)


def test_the_worst_of_all_currencies_is_told() -> None:
    level = rule("level", field="details.twap", at_least={"warning": 1, "critical": 3})
    rows = [coin("BTC", twap="1"), coin("ETH", twap="4"), coin("XRP", twap="2")]
    found = look(level, details=rows)

    assert (found.prospect, found.severity, found.works) == (Prospect.ALERT, Severity.CRITICAL, True)
    assert found.says == "would say now: CRITICAL level ETH: level 4 of 5"


def test_of_falling_numbers_the_lowest_is_the_worst() -> None:
    found = look(
        rule("margin_ratio", below={"warning": 5}), "2", details=[coin("BTC", mgnRatio="9"), coin("ETH", mgnRatio="7")]
    )

    assert (found.prospect, found.says) == (Prospect.QUIET, "quiet: 7 ETH")


def test_a_level_is_not_taken_for_an_amount_of_the_coin() -> None:
    level = rule("level", field="details.twap", at_least={"warning": 1})

    assert look(level, details=[coin("BTC", twap="0")]).says == "quiet: BTC level 0"


def test_money_is_told_as_money() -> None:
    assert look(rule("threshold", field="adjEq", below={"warning": 1}), adjEq="1234.5").says == "quiet: $1,234.5"


def test_what_does_not_apply_is_no_trouble_and_what_is_missing_is_told() -> None:
    ratio = rule("margin_ratio", below={"warning": 5})

    assert look(ratio, mgnRatio="").says == "no data now: mgnRatio does not apply"
    assert look(ratio).prospect is Prospect.MISSING
    assert look(ratio).says == "is blind now: mgnRatio"
    assert look(rule("level", field="details.twap", at_least={"info": 1})).says == (
        "no data now: there is nothing to measure"
    )


def test_a_rule_for_another_mode_would_never_have_data() -> None:
    found = look(rule("threshold", field="adjEq", below={"warning": 1}), "2", adjEq="")

    assert (found.prospect, found.works) == (Prospect.NEVER, False)
    assert found.says.startswith("would have no data in Futures mode: ")


def test_a_condition_that_holds_is_told_and_one_that_does_not_is_quiet() -> None:
    condition = rule("expression", when="mgnRatio < 5")

    assert look(condition, mgnRatio="4").says == "would say now: WARNING expression: mgnRatio < 5"
    assert look(condition, mgnRatio="6").says == "quiet"


@pytest.mark.parametrize(
    ("offset", "says"),
    [
        (0.4, "this machine's clock is right to the second"),
        (CLOCK_OFF, "this machine's clock is 2 s behind the exchange's"),
        (-65.0, "this machine's clock is 1 min 5 s ahead of the exchange's"),
    ],
)
def test_the_clock_is_told_with_its_direction(offset: float, says: str) -> None:
    assert clock(offset) == says


def test_who_an_account_is_stands_in_one_line() -> None:
    assert identity(AccountInfo("7", "9", "desk")) == (
        'uid 7 "desk", a mode that is new to riskbot (9), no rights, bound to no IP address'
    )
    assert standing(snapshot()) == "it is empty"
