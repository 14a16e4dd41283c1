"""riskbot explain: from what was written down, why a rule fires or does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot.cli import stored
from riskbot.cli.explain import command
from tests.test_replay_journal import RULES, Life

T0 = 1_767_225_600.0


async def lived(folder: Path, *polls: tuple[str, int]) -> Life:
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    life = Life(folder)
    await life.begin()
    for ratio, times in polls:
        await life.poll(ratio, times)
    await life.journal.write()
    return life


def explain(life: Life, *words: str) -> Result:
    return CliRunner().invoke(command, [*words, "-c", str(life.db.parent / "rules.toml")])


def row(life: Life, *words: str) -> Any:
    (found,) = json.loads(explain(life, *words, "--json").stdout)
    return found


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "now", lambda: T0 + 100)


async def test_a_quiet_rule_says_how_far_each_tier_is(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 20))
    await life.store.close()
    found = row(life, "margin_ratio")

    assert (found["severity"], found["value"], found["since"]) == ("ok", "12", None)
    tiers = {tier["severity"]: tier for tier in found["tiers"]}
    assert (tiers["warning"]["met"], tiers["warning"]["away"]) == (False, "7")
    assert tiers["warning"]["share"] == pytest.approx(7 / 12)
    assert tiers["critical"]["away"] == "9"
    said = explain(life, "margin_ratio").stdout
    assert said.startswith("QUIET main · margin_ratio\n")
    assert "5: not met, 7 away (58.3 % of the value)" in said


async def test_what_is_open_says_since_when_and_every_try_to_tell_it(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5), ("2.5", 20))
    (message,) = await life.store.take("phone", 1, T0 + 30, 15.0)
    await life.store.nack(message, T0 + 31, T0 + 40, "HTTP 500", maybe_sent=False)
    (message,) = await life.store.take("phone", 1, T0 + 41, 15.0)
    await life.store.ack(message, T0 + 42)
    await life.store.close()
    found = row(life, "margin_ratio")

    assert (found["severity"], found["peak"], found["since"]) == ("critical", "critical", T0 + 5)
    assert [tier["met_since"] for tier in found["tiers"]] == [T0 + 5, T0 + 5]
    (receiver,) = found["receivers"]
    assert (receiver["receiver"], receiver["from"], receiver["told"]) == ("phone", "info", True)
    (told,) = receiver["messages"]
    assert [attempt["why"] for attempt in told["attempts"]][:1] == ["HTTP 500"]
    assert told["state"] == "sent"
    said = explain(life, "margin_ratio").stdout
    assert said.startswith("CRITICAL main · margin_ratio, since 00:00:05 UTC (1 min 35 s), peak critical\n")
    assert "5: met since 00:00:05 UTC; left beyond 5.25 for 30 s" in said
    assert "HTTP 500" in said


async def test_a_moment_of_the_past_is_judged_as_it_was(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5), ("4", 20), ("12", 60))
    await life.store.close()

    then = row(life, "margin_ratio", "--at", "2026-01-01T00:00:10")
    assert (then["value"], then["severity"], then["seen_at"]) == ("4", "warning", T0 + 10)
    before = row(life, "margin_ratio", "--at", "2026-01-01T00:00:03")
    assert (before["value"], before["severity"]) == ("12", "ok")
    now = row(life, "margin_ratio")
    assert (now["value"], now["severity"]) == ("12", "ok")


async def test_that_nothing_was_seen_is_said(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("4", 5), ("error", 10))
    await life.store.close()
    assert row(life, "margin_ratio")["blind"] == "the account could not be seen"
    assert "blind" in explain(life, "margin_ratio").stdout


async def test_a_time_of_which_nothing_is_known_is_told_plainly(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    run = explain(life, "margin_ratio", "--at", "2025-01-01")
    assert (run.exit_code, run.stdout) == (1, "")
    assert "nothing was recorded in that time" in run.stderr


async def test_each_currency_stands_for_itself_and_one_can_be_asked_for(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    assert row(life, "change", "--ccy", "usdt")["subject"] == "USDT"
    run = explain(life, "change", "--ccy", "BTC")
    assert (run.exit_code, run.stderr) == (1, "change had nothing to say about BTC then\n")


async def test_a_slip_of_the_pen_is_answered_with_what_was_meant(tmp_path: Path) -> None:
    life = await lived(tmp_path, ("12", 5))
    await life.store.close()
    run = explain(life, "margin_ration")
    assert (run.exit_code, run.stderr) == (2, 'no rule "margin_ration"; did you mean "margin_ratio"?\n')
    run = explain(life, "margin_ratio", "--account", "mian")
    assert (run.exit_code, run.stderr) == (2, 'no account "mian"; did you mean "main"?\n')
