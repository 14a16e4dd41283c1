"""The nouns."""

from __future__ import annotations

import msgspec
import pytest

from riskbot.model import Alert, Alerts, Blind, Severity, Told

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity


def test_severities_are_named_as_a_trader_types_them_mildest_first() -> None:
    assert [s.label for s in sorted(Severity)] == ["ok", "info", "warning", "critical", "emergency"]


@pytest.mark.parametrize(
    ("least", "besides", "found"),
    [
        (INFO, "", True),
        (CRITICAL, "", True),
        (EMERGENCY, "", False),
        (CRITICAL, "b", False),
        (WARNING, "b", True),
        (INFO, "ab", False),
    ],
)
def test_an_account_knows_what_is_open(least: Severity, besides: str, found: bool) -> None:
    alerts = Alerts(
        {"a": {"": Alert(shown=WARNING), "X": Alert()}, "b": {"": Alert(level=INFO, shown=CRITICAL)}, "c": {}}
    )

    assert alerts.open(least, frozenset(besides)) is found


@pytest.mark.parametrize(
    ("least", "besides", "found"),
    [(CRITICAL, "", True), (EMERGENCY, "", False), (CRITICAL, "a", False), (INFO, "a", True), (WARNING, "a", False)],
)
def test_what_is_near_is_open_or_on_its_way(least: Severity, besides: str, found: bool) -> None:
    alerts = Alerts({"a": {"": Alert(shown=INFO, up={WARNING: 1.0, CRITICAL: 2.0})}, "b": {"": Alert(shown=INFO)}})

    assert alerts.near(least, frozenset(besides)) is found


def test_nothing_is_open_or_near_at_first() -> None:
    assert not Alerts().open()
    assert not Alerts().near(INFO)


def test_all_that_is_remembered_survives_being_written() -> None:
    alert = Alert(
        CRITICAL, EMERGENCY, 7, 3, EMERGENCY, 1.1, {INFO: 0.1}, {CRITICAL: 2.2}, 3.3, 4.4, 5, (6.6, 7.7), True, 8.8
    )
    alerts = Alerts({"r": {"": alert}}, {"phone": {"r/": Told(7, 3, CRITICAL)}}, {"r": Blind(9.9, "why")}, 10.1, True)

    assert msgspec.json.decode(msgspec.json.encode(alerts), type=Alerts) == alerts


def test_an_alert_at_rest_is_written_as_nothing() -> None:
    assert msgspec.json.encode(Alert()) == b"{}"
