"""riskbot.testing: what a plugin's author is given."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from riskbot import Reading, Rule, Severity, View, Want
from riskbot.testing import START, coin, load, make, play, snapshot


class Ratio(Rule, kind="ratio", worse="below"):
    """The account's ratio; raises where it is 13."""

    def readings(self, view: View) -> Iterator[Reading]:
        if view.snapshot.mgn_ratio == 13:
            raise KeyError("13")
        yield Reading(view.snapshot.mgn_ratio, note=f"mode {view.mode}")


class Rise(Rule, kind="rise", worse="above"):
    """How much totalEq has risen within ten seconds."""

    def wants(self) -> list[Want]:
        return [Want("totalEq", 10.0, "low")]

    def readings(self, view: View) -> Iterator[Reading]:
        low = view.history.extreme("totalEq", "", 10.0, "low", view.now)
        yield Reading(view.snapshot.total_eq - low)


RATIO = make(Ratio, below={"warning": 5, "critical": "300%"}, keep_firing_for="2s")


def test_it_is_judged_and_told_as_in_life() -> None:
    played = play(RATIO, [snapshot(mgnRatio=ratio) for ratio in ("9", "4", "2.5", "9", "9", "9", "9")])

    assert played.values()[:3] == [9, 4, Decimal("2.5")]
    assert [event.after for event in played.events] == [Severity.WARNING, Severity.CRITICAL, Severity.OK]
    assert played.titles == ["WARNING · main · ratio 4", "CRITICAL · main · ratio 2.5", "RESOLVED · main · ratio 9"]
    assert "mode 3" in played.messages[0].body
    assert played.events[0].at == played.start + 1 == START + 1


def test_the_past_and_the_time_between_polls_count() -> None:
    rule = make(Rise, above={"info": 100})
    played = play(rule, [snapshot(totalEq=100 + i) for i in range(30)], every=2.0)

    assert played.values()[-1] == 6


def test_a_poll_that_failed_ends_nothing() -> None:
    played = play(RATIO, [snapshot(mgnRatio="4"), *[None] * 50], mode="4")

    assert len(played.readings) == 1
    assert len(played.events) == 1
    assert "mode 4" in played.messages[0].body


def test_a_rule_that_fails_fails_its_test_with_the_line() -> None:
    with pytest.raises(AssertionError, match=r"KeyError: '13' \(test_testing.py:\d+\)"):
        play(RATIO, [snapshot(mgnRatio=13)])


def test_keys_are_those_of_the_rules_file() -> None:
    rule = make(Ratio, name="mine", below={"info": 1}, for_="1m")

    assert (rule.name, rule.kind, rule.for_) == ("mine", "ratio", 60)
    with pytest.raises(ValueError, match="belwo"):
        make(Ratio, belwo={"info": 1})


def test_fields_are_those_of_okx() -> None:
    row = coin("BTC", liab=Decimal("1.50"), collateralEnabled=True)

    assert row == {"ccy": "BTC", "liab": "1.50", "collateralEnabled": True}
    assert snapshot(details=[row]).balances["BTC"].collateral_enabled is True
    with pytest.raises(AssertionError, match=r'no field "details[.]liability"; did you mean "details[.]'):
        coin("BTC", liability=1)
    with pytest.raises(AssertionError, match='no field "mgnratio"; did you mean "mgnRatio"'):
        snapshot(mgnratio=1)


def test_a_plugin_is_loaded_as_riskbot_loads_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    for path, text in ((good, "\n@hookimpl\ndef render(): pass\n"), (bad, "1/0\n")):
        path.write_text(f"from riskbot import hookimpl\n{text}")
        path.chmod(0o600)

    assert load(str(good)).render() is None
    with pytest.raises(AssertionError, match=r"bad.py:2: ZeroDivisionError"):
        load(bad)
