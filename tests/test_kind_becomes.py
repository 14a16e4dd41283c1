"""The kind `becomes`: flags, words and the account's mode."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from riskbot import engine, snapshot
from riskbot.asker import Asker
from riskbot.builtin.becomes import MODE, WORDS, Becomes
from riskbot.fields import Flag, Word
from riskbot.model import Alerts
from riskbot.rules import measure, tell
from tests.kinds import CRITICAL, INFO, MODES, OK, WARNING, event, read, snap, view

RESTRICT, LEND, ENABLED = "details.collateralRestrict", "details.autoLendStatus", "details.collateralEnabled"


def becomes(field: str = LEND, **keys: Any) -> Becomes:
    return Becomes.model_validate({"name": "lending", "kind": "becomes", "field": field} | keys)


def test_each_tier_has_its_words() -> None:
    rule = becomes(becomes={"info": "pending", "critical": ["active", "unsupported"]})
    words = {"A": "off", "B": "pending", "C": "active", "D": "unsupported"}

    seen = snap({ccy: {"autoLendStatus": word} for ccy, word in words.items()})

    assert read(rule, view(seen)) == {"A": OK, "B": INFO, "C": CRITICAL, "D": CRITICAL}


def test_what_leaves_its_value_is_trouble_whatever_it_becomes() -> None:
    rule = becomes(leaves={"warning": ["off", "pending"], "info": "off"})
    words = {"A": "off", "B": "pending", "C": "active", "D": "a word that OKX has added"}

    seen = snap({ccy: {"autoLendStatus": word} for ccy, word in words.items()})

    assert read(rule, view(seen)) == {"A": OK, "B": INFO, "C": WARNING, "D": WARNING}


@pytest.mark.parametrize(("written", "met"), [(True, True), (False, False), ("true", True), ("false", False)])
def test_a_flag_is_true_or_false_however_it_is_written(written: object, met: object) -> None:
    seen = snap({"A": {"collateralRestrict": met}, "B": {"collateralRestrict": str(met).lower()}})

    assert read(becomes(RESTRICT, becomes={"critical": written}), view(seen)) == {"A": CRITICAL, "B": CRITICAL}
    assert read(becomes(RESTRICT, leaves={"critical": written}), view(seen)) == {"A": OK, "B": OK}


def test_a_word_that_is_not_there_is_missing_and_an_empty_one_does_not_apply() -> None:
    seen = snap({"A": {"autoLendStatus": ""}, "B": {}, "C": {"autoLendStatus": 5}, "D": {"autoLendStatus": "off"}})
    rule = becomes(leaves={"warning": "off"})

    assert read(rule, view(seen)) == {"A": "na", "B": "missing", "C": "missing", "D": OK}
    assert measure(rule, view(seen)).missing == f"B {LEND}"


def test_a_flag_means_nothing_in_a_mode_that_does_not_carry_it() -> None:
    """Real accounts in Futures mode send collateralEnabled false all the same."""
    seen = snap({"USDT": {"collateralEnabled": False}})
    rule = becomes(ENABLED, becomes={"warning": False})

    assert read(rule, view(seen, info=MODES["2"])) == {"USDT": "na"}
    assert read(rule, view(seen, info=MODES["3"])) == {"USDT": WARNING}
    assert read(rule, view(seen)) == {"USDT": WARNING}


@pytest.mark.parametrize("written", [3, "3"])
def test_the_account_s_mode_is_watched_too(written: object) -> None:
    rule = becomes(MODE, leaves={"critical": written})

    assert read(rule, view(info=MODES["3"])) == {"": OK}
    assert read(rule, view(info=MODES["2"])) == {"": CRITICAL}
    assert read(rule, view()) == {"": "missing"}
    assert rule.columns() is None


def test_an_alert_lasts_as_long_as_the_word() -> None:
    rule = becomes(RESTRICT, becomes={"warning": True}, keep_firing_for=2)
    ask, alerts, told = Asker([rule]), Alerts(), []
    for now, flag in enumerate([False, True, True, True, False, False, False, False]):
        seen = view(snap({"BTC": {"collateralRestrict": flag}}), float(now))
        step = engine.step("main", [rule], alerts, ask(seen), float(now))
        alerts = step.alerts
        told += [(now, e.after, rule.say(e)) for e in step.events]

    assert told == [
        (1, WARNING, f"lending: {RESTRICT} BTC is true"),
        (6, OK, f"lending: {RESTRICT} BTC is false"),
    ]


def test_it_is_told_what_the_word_means_and_which_it_should_be() -> None:
    rule = becomes(MODE, leaves={"critical": 3, "warning": [3, 4]})

    assert tell(rule, view(), event(3, after=CRITICAL, note="2")) == (
        "lending: acctLv is 2",
        ["2: Futures", "it should be 3"],
    )
    assert tell(rule, view(), event(2, note="2"))[1] == ["2: Futures", "it should be 3 or 4"]
    assert tell(rule, view(), event(0, after=OK, note="3"))[1] == ["3: Multi-currency margin"]
    assert tell(rule, view(), event(None, after=OK, note=MODE)) == ("lending: acctLv", [])
    assert tell(becomes(becomes={"info": "active"}), view(), event(1, "BTC", note="active")) == (
        f"lending: {LEND} BTC is active",
        ["active: auto lend has lent it out: to get it back may take a while"],
    )
    assert tell(becomes(leaves={"info": "off"}), view(), event(1, "BTC", INFO, note="new"))[1] == ["it should be off"]


def test_every_flag_and_word_of_the_exchange_can_be_watched() -> None:
    kinds = (Flag, Word)
    paths = {path for path in snapshot.field_paths() if isinstance(snapshot.field(path), kinds)}

    assert WORDS.keys() == paths - {"details.ccy"} | {MODE}
    for path in WORDS:
        assert becomes(path, leaves={"info": next(iter(WORDS[path]))})


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "give either becomes"),
        ({"becomes": {"info": "off"}, "leaves": {"info": "off"}}, "give either becomes"),
        ({"becomes": {}}, "no tier"),
        ({"becomes": {"info": "of"}}, f'{LEND} never is that; did you mean "off"'),
        ({"becomes": {"info": "zzz"}}, f"{LEND} never is that; it is one of unsupported, off, pending, active"),
        ({"field": MODE, "becomes": {"info": 5}}, "acctLv never is that; it is one of 1, 2, 3, 4"),
        ({"field": RESTRICT, "becomes": {"info": 1}}, "it is one of true, false"),
        ({"field": "acctlv", "leaves": {"info": 3}}, '"acctlv" is no flag and no word; did you mean "acctLv"'),
        ({"field": "collateralRestrict", "leaves": {"info": 3}}, f'; did you mean "{RESTRICT}"'),
        ({"field": "adjEq", "leaves": {"info": 3}}, '"adjEq" is no flag and no word: this kind takes acctLv, details'),
    ],
)
def test_what_can_not_be_judged_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        becomes(**keys)

    assert said in str(error.value)
