"""What a scrape tells of a running service; what can't be known has no series."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from riskbot.health import Problem
from riskbot.model import Reading, Severity
from riskbot.notify import Outcome, Verdict
from riskbot.redact import Redactor
from riskbot.rules import Rule
from riskbot.source import Remedy, SourceError
from riskbot.store import Room
from tests.desk import BLIND, DEBT, RATIO, rule
from tests.lookout import Lookout

MAIN = 'account="main"'


class Crowd(Rule, kind="crowd", worse="above"):
    """So many subjects as the market says, each of its number; the seventh has none."""

    def readings(self, view: Any) -> Any:
        for i in range(int(view.snapshot.raw["crowd"])):
            yield Reading.missing("gone", f"C{i}") if i == 7 else Reading(i, f"C{i}")  # type: ignore[arg-type]


CROWD = Crowd.model_validate({"name": "crowd", "kind": "crowd", "above": {"warning": 100, "critical": 1000}})


async def test_an_account_that_is_seen_shows_its_ratio_readings_and_health() -> None:
    here = await Lookout(RATIO, DEBT, BLIND).open()
    await here.poll()
    here.hands.turn(0.5)
    found = await here.metrics()
    assert found[f"riskbot_mgn_ratio{{{MAIN}}}"] == 12
    assert found[f"riskbot_account_up{{{MAIN}}}"] == 1
    assert found[f"riskbot_account_seen_age_seconds{{{MAIN}}}"] == pytest.approx(0.5)
    assert found[f'riskbot_reading{{{MAIN},ccy="",rule="margin_ratio"}}'] == 12
    assert found[f'riskbot_alert_severity{{{MAIN},ccy="",rule="margin_ratio"}}'] == 0
    assert found[f'riskbot_rule_had_data{{{MAIN},rule="change"}}'] == 1
    assert found[f'riskbot_rule_data_age_seconds{{{MAIN},rule="change"}}'] == pytest.approx(0.5)
    assert found[f"riskbot_polls_total{{{MAIN}}}"] == 1
    assert found[f'riskbot_poll_duration_seconds_bucket{{{MAIN},le="+Inf"}}'] == 1
    assert found["riskbot_healthy"] == found["riskbot_ready"] == 1
    assert found["riskbot_store_failing"] == found["riskbot_series_left_out"] == 0
    assert [name for name in found if name.startswith("riskbot_build_info{python=")]


async def test_nothing_is_said_of_an_account_before_its_first_answer_but_that_it_is_blind() -> None:
    here = await Lookout().open()
    found = await here.metrics()
    assert found[f"riskbot_account_up{{{MAIN}}}"] == 0
    assert found["riskbot_healthy"] == found["riskbot_ready"] == 0
    for name in ("mgn_ratio", "account_seen_age_seconds", "reading", "alert_severity", "rule_data_age_seconds"):
        assert not [key for key in found if key.startswith(f"riskbot_{name}{{")]
    assert found[f'riskbot_rule_had_data{{{MAIN},rule="margin_ratio"}}'] == 0


@pytest.mark.parametrize("ratio", ["", "null"])
async def test_a_ratio_that_does_not_apply_is_absent_and_no_0(ratio: str) -> None:
    here = await Lookout().open()
    here.market.ratio = ratio
    await here.poll()
    found = await here.metrics()
    assert not [
        key for key in found if "mgn_ratio{" in key or ("riskbot_reading" in key and 'rule="margin_ratio"' in key)
    ]
    assert found[f"riskbot_account_up{{{MAIN}}}"] == 1
    assert found[f'riskbot_rule_had_data{{{MAIN},rule="margin_ratio"}}'] == 0
    assert f'riskbot_rule_data_age_seconds{{{MAIN},rule="margin_ratio"}}' not in found


async def test_readings_of_an_account_that_is_not_seen_any_more_are_gone_and_its_alerts_stay() -> None:
    here = await Lookout().open()
    here.market.ratio = "2.5"
    await here.poll()
    here.market.error = SourceError("down", code="HTTP 502")
    for _ in range(60):
        await here.poll()
    found = await here.metrics()
    assert found[f"riskbot_account_up{{{MAIN}}}"] == found["riskbot_healthy"] == 0
    assert f"riskbot_mgn_ratio{{{MAIN}}}" not in found
    assert f'riskbot_reading{{{MAIN},ccy="",rule="margin_ratio"}}' not in found
    assert found[f'riskbot_alert_severity{{{MAIN},ccy="",rule="margin_ratio"}}'] == 3
    assert found[f'riskbot_alert_severity{{{MAIN},ccy="",rule="blind"}}'] >= 3
    assert found[f'riskbot_reading{{{MAIN},ccy="",rule="blind"}}'] >= 3
    assert found[f"riskbot_account_seen_age_seconds{{{MAIN}}}"] == pytest.approx(60)
    assert found[f'riskbot_rule_data_age_seconds{{{MAIN},rule="margin_ratio"}}'] == pytest.approx(60)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (SourceError("no answer"), "network"),
        (SourceError("timed out", code="50004"), "exchange"),
        (SourceError("busy", Remedy.BACK_OFF), "exchange"),
        (SourceError("its time", Remedy.RESYNC), "clock"),
        (SourceError("the key", Remedy.SLOW), "refused"),
        (ValueError("a mistake"), "internal"),
    ],
)
async def test_polls_that_fail_are_counted_by_reason(error: Exception, reason: str) -> None:
    here = await Lookout().open()
    here.market.error = error
    await here.poll()
    found = await here.metrics()
    failed = {key: value for key, value in found.items() if "polls_failed" in key}
    assert {key: value for key, value in failed.items() if value} == {
        f'riskbot_polls_failed_total{{{MAIN},reason="{reason}"}}': 1
    }
    assert len(failed) == 5


async def test_polls_that_were_left_out_are_counted() -> None:
    here = await Lookout().open()
    here.watch.missed = 3
    assert (await here.metrics())[f"riskbot_polls_missed_total{{{MAIN}}}"] == 3


async def test_the_queue_of_a_receiver_and_what_became_of_each_try() -> None:
    here = await Lookout().open()
    here.market.ratio = "2.5"
    await here.poll()
    here.hands.turn(5)
    here.postman.verdicts = [Verdict(Outcome.RETRY, "HTTP 503")]
    found = await here.metrics()
    assert found['riskbot_queue_messages{receiver="phone"}'] == 1
    assert found['riskbot_queue_oldest_age_seconds{receiver="phone"}'] == pytest.approx(5)
    assert found['riskbot_deliveries_total{outcome="sent",receiver="phone"}'] == 0
    await here.carry()
    here.hands.turn(60)
    await here.carry()
    found = await here.metrics()
    assert found['riskbot_queue_messages{receiver="phone"}'] == 0
    assert 'riskbot_queue_oldest_age_seconds{receiver="phone"}' not in found
    assert found['riskbot_deliveries_total{outcome="retry",receiver="phone"}'] == 1
    assert found['riskbot_deliveries_total{outcome="sent",receiver="phone"}'] == 1
    assert found['riskbot_delivery_duration_seconds_sum{receiver="phone"}'] == pytest.approx(65, abs=0.5)
    assert found['riskbot_delivery_duration_seconds_bucket{le="60.0",receiver="phone"}'] == 0
    assert found['riskbot_delivery_duration_seconds_bucket{le="300.0",receiver="phone"}'] == 1


async def test_what_waits_for_a_receiver_that_is_gone_is_counted_too() -> None:
    here = await Lookout().open()
    here.market.ratio = "2.5"
    await here.poll()
    here.service.couriers.clear()
    assert (await here.metrics())['riskbot_queue_messages{receiver="phone"}'] == 1


async def test_riskbots_own_alerts_are_among_the_alerts() -> None:
    here = await Lookout().open()
    here.service.problems.fail("a part", Problem(here.hands.clock.now(), "why", 0.0, 0.0))
    await here.service._self_watch.tick()
    assert (await here.metrics())['riskbot_alert_severity{account="riskbot",ccy="a part",rule="health"}'] == 3


async def test_a_clock_that_was_set_is_counted() -> None:
    here = await Lookout().open()
    here.hands.wall -= 100
    assert (await here.metrics())["riskbot_clock_steps_total"] == 1


async def test_what_riskbot_stands_on_is_shown_once_it_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    here = await Lookout().open()
    found = await here.metrics()
    assert found["riskbot_lag_seconds"] == 0
    assert not {"riskbot_database_bytes", "riskbot_disk_free_bytes"} & found.keys()
    assert not [key for key in found if "clock_drift" in key]

    async def room() -> Room:
        return Room(12_000_000, 5_000_000_000, 10**11)

    monkeypatch.setattr(here.store, "room", room)
    here.service.bundle = replace(here.service.bundle, offsets=lambda: {"https://okx.example": -1.5})
    for _ in range(90):
        here.hands.turn(1)
        await here.service.host.look(here.hands.clock.now(), 0.1)
    found = await here.metrics()
    assert found["riskbot_lag_seconds"] == pytest.approx(0.1, abs=0.01)
    assert (found["riskbot_database_bytes"], found["riskbot_disk_free_bytes"]) == (12_000_000, 5_000_000_000)
    assert found['riskbot_clock_drift_seconds{server="https://okx.example"}'] == -1.5


async def test_what_is_only_on_its_way_is_no_alert_yet() -> None:
    here = await Lookout(rule("margin_ratio", below={"critical": 3}, **{"for": "1m"})).open()
    here.market.ratio = "2.5"
    await here.poll()
    assert (await here.metrics())[f'riskbot_alert_severity{{{MAIN},ccy="",rule="margin_ratio"}}'] == 0
    for _ in range(70):
        await here.poll()
    assert (await here.metrics())[f'riskbot_alert_severity{{{MAIN},ccy="",rule="margin_ratio"}}'] == 3


# ---------------------------------------------------------------- how many


async def crowd(size: int) -> Lookout:
    here = await Lookout(CROWD).open()
    here.market.extra = {"crowd": str(size)}
    await here.poll()
    return here


@pytest.mark.parametrize(("size", "shown", "left"), [(101, 100, 0), (102, 100, 1), (5001, 100, 4900 + 4800)])
async def test_series_are_bounded_and_that_some_are_left_out_is_said(size: int, shown: int, left: int) -> None:
    here = await crowd(size)
    found = await here.metrics(most=100)
    assert len([key for key in found if key.startswith("riskbot_reading{")]) <= shown
    assert len([key for key in found if key.startswith("riskbot_alert_severity{")]) == shown
    assert found["riskbot_series_left_out"] == left


async def test_open_alerts_are_shown_whatever_is_left_out() -> None:
    here = await crowd(200)
    await here.poll()
    found = await here.metrics(most=100)
    alerts = {key: value for key, value in found.items() if key.startswith("riskbot_alert_severity{")}
    assert len(alerts) == 100
    assert sum(value >= Severity.WARNING for value in alerts.values()) == 99
    assert found[f'riskbot_alert_severity{{{MAIN},ccy="C199",rule="crowd"}}'] == Severity.WARNING
    assert found[f'riskbot_reading{{{MAIN},ccy="C199",rule="crowd"}}'] == 199


async def test_open_alerts_are_bounded_too() -> None:
    here = await crowd(500)
    found = await here.metrics(most=100)
    assert len([key for key in found if key.startswith("riskbot_alert_severity{")]) == 100
    assert found["riskbot_series_left_out"] > 300


async def test_no_secret_is_in_any_label_not_even_in_a_strangers_subject() -> None:
    class Loud(Rule, kind="loud", worse="above"):
        """Says what it should not."""

        def readings(self, view: Any) -> Any:
            del view
            yield Reading(1, "the key is Zk9vQ2x7LmP4wT8s")  # type: ignore[arg-type]

    here = await Lookout(Loud.model_validate({"name": "loud", "kind": "loud", "above": {"warning": 3}})).open()
    await here.poll()
    found = await here.metrics(redact=Redactor(["Zk9vQ2x7LmP4wT8s"]).redact)
    assert f'riskbot_reading{{{MAIN},ccy="the key is ***",rule="loud"}}' in found
    assert not [key for key in found if "Zk9v" in key]


async def test_a_rule_that_is_changed_counts_anew() -> None:
    here = await Lookout().open()
    await here.poll()
    other = rule("margin_ratio", below={"warning": 6})
    here.watch.judge.use([other], [])
    found = await here.metrics()
    assert found[f'riskbot_rule_had_data{{{MAIN},rule="margin_ratio"}}'] == 0
