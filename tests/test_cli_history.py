"""riskbot history: what happened, and what became of the messages about it."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from riskbot.cli.history import command
from riskbot.model import Alerts, Cause, Event, Severity
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite import SqliteStore
from tests.story import NOW, Story, run, story


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as found:
        yield found


async def bad_night(life: Story) -> None:
    """A warning that becomes critical and ends; mail is slow, then leaves one guessing."""
    await life.tick(-7200, "margin ratio", 4)
    await life.carry(-7199, "phone")
    await life.tick(-7100, "margin ratio", 2)
    await life.carry(-7099, "phone")
    await life.carry(-7099, "mail", "failed", "HTTP 500")
    await life.carry(-7060, "mail", "ambiguous", "no answer within 15 s")
    await life.carry(-7000, "mail")
    for at in (-6840, -6800):
        await life.tick(at, "margin ratio", 12)
    await life.carry(-6799, "phone")
    await life.carry(-6799, "mail", "dead", "chat not found")


async def found(life: Story, *args: str) -> list[dict[str, Any]]:
    result = await life.run(command, "--json", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)  # type: ignore[no-any-return]


async def test_a_night_is_read_in_a_line_for_each_alert_and_each_receiver(life: Story) -> None:
    await bad_night(life)
    await life.tick(-60, "forced repayment", 3, "USDT")
    await life.carry(-50, "mail", "failed", "HTTP 502", wait=62)

    shown = (await life.run(command)).stdout.splitlines()

    assert [line.rstrip() for line in shown] == [
        "Tue 14 Nov  UTC",
        "22:12:20    CRITICAL  main · forced repayment USDT  open, 1 min  critical",
        "            phone: critical waits",
        "            mail: critical failing (1 try, next in 12 s): HTTP 502",
        "20:13:20    CRITICAL  main · margin ratio           6 min 40 s",
        "            warning → critical 20:15:00 → ok 20:20:00, recovered",
        "            phone: warning, critical, ok",
        "            mail: critical 1 min 40 s late (may be a repeat), ok given up: chat not found",
    ]


async def test_with_deliveries_every_message_and_every_try_is_told(life: Story) -> None:
    await bad_night(life)

    shown = (await life.run(command, "--deliveries")).stdout.splitlines()

    assert [line.strip() for line in shown[3:]] == [
        "phone",
        "warning 20:13:20: sent 20:13:21",
        "critical 20:15:00: sent 20:15:01",
        "ok 20:20:00: sent 20:20:01",
        "mail",
        "critical 20:15:00:",
        "failed 20:15:01: HTTP 500",
        "perhaps sent 20:15:40: no answer within 15 s",
        "sent 20:16:40 (may be a repeat)",
        "ok 20:20:00: given up 20:20:01: chat not found",
    ]


async def test_what_a_later_message_told_too_is_said_so(life: Story) -> None:
    await life.tick(-60, "margin ratio", 4)
    await life.tick(-50, "margin ratio", 2)
    await life.carry(-49, "phone", "failed", "HTTP 500", wait=50)

    assert "phone: critical failing" in (await life.run(command)).stdout
    every = (await life.run(command, "--deliveries")).stdout
    assert "warning 22:12:20: covered by a later message" in every
    assert "next try in 1 s" in every


async def test_reminders_are_counted_and_told_one_by_one_with_deliveries(life: Story) -> None:
    await life.tick(-3000, "margin ratio", 2)
    for at in (-2999, -2000, -1000):
        await life.tick(at, "margin ratio", 2)
        await life.carry(at, "phone")

    assert "phone: critical, 2 reminders" in (await life.run(command)).stdout
    assert "reminder 2 21:56:40: sent 21:56:40" in (await life.run(command, "--deliveries")).stdout


async def test_a_machine_gets_everything(life: Story) -> None:
    await bad_night(life)

    (episode,) = await found(life)

    deliveries = episode.pop("deliveries")
    assert episode == {
        "account": "main",
        "rule": "margin ratio",
        "subject": "",
        "episode": int(NOW - 7200),
        "state": "ended",
        "severity": "ok",
        "peak": "critical",
        "opened": NOW - 7200,
        "ended": NOW - 6800,
        "cause": "recovered",
        "course": [
            {"seq": 1, "at": NOW - 7200, "severity": "warning", "cause": "breach", "value": "4", "note": ""},
            {"seq": 2, "at": NOW - 7100, "severity": "critical", "cause": "breach", "value": "2", "note": ""},
            {"seq": 3, "at": NOW - 6800, "severity": "ok", "cause": "recovered", "value": "12", "note": ""},
        ],
        "labels": {},
    }
    mail = [row for row in deliveries if row["receiver"] == "mail"]
    assert [row["state"] for row in mail] == ["sent", "dead"]
    assert mail[0]["short"] == f"#main margin ratio {int(NOW - 7200):x}.2"
    assert [attempt["outcome"] for attempt in mail[0]["attempts"]] == ["failed", "ambiguous", "sent"]


async def test_what_lasted_into_the_time_asked_for_is_shown(life: Story) -> None:
    await bad_night(life)
    await life.tick(-90000, "forced repayment", 1, "BTC")

    assert [row["rule"] for row in await found(life, "--since", "1h")] == ["forced repayment"]
    assert [row["rule"] for row in await found(life, "--since", "1h55m")] == ["margin ratio", "forced repayment"]


async def test_account_rule_and_limit_choose(life: Story) -> None:
    await bad_night(life)
    for at, ccy in ((-500, "BTC"), (-400, "ETH")):
        await life.tick(at, "forced repayment", 1, ccy)
    await life.ail(-300, "delivery to mail", "HTTP 500")

    assert [row["account"] for row in await found(life, "--account", "riskbot")] == ["riskbot"]
    assert [row["subject"] for row in await found(life, "--rule", "forced repayment")] == ["ETH", "BTC"]
    assert [row["account"] for row in await found(life, "--limit", "2")] == ["riskbot", "main"]
    shown = (await life.run(command, "--limit", "1")).stdout
    assert re.search(r"riskbot · delivery to mail .*\n +HTTP 500\n", shown)
    assert "… and 3 more: give a higher --limit" in shown


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--rule", "margn ratio"], "nothing is remembered of rule 'margn ratio'; did you mean \"margin ratio\"?"),
        (["--account", "mian"], "nothing is remembered of account 'mian'; did you mean \"main\"?"),
        (["--since", "yesterday"], 'not a duration: write "90s", "1h30m" or "7d"'),
        (["--limit", "0"], "0 is not in the range x>=1"),
    ],
    ids=["rule", "account", "since", "limit"],
)
async def test_a_slip_of_the_pen_ends_with_exit_code_2(life: Story, args: list[str], said: str) -> None:
    await life.tick(-60, "margin ratio", 2)

    result = await life.run(command, *args)

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


async def test_a_long_course_is_cut_in_the_middle(life: Story) -> None:
    value = msgspec.json.encode(Alerts())
    severities = [Severity(1 + i % 3) for i in range(20)]
    events = tuple(_event("many", i + 1, severity) for i, severity in enumerate(severities))
    await life.store.commit("two", 0, "c", value, (), events)

    shown = (await life.run(command, "--account", "two", columns="300")).stdout

    assert "→ 12 more →" in shown
    assert shown.count("→") == 8


async def test_an_end_that_was_not_written_down_is_said_to_be_unknown(life: Story) -> None:
    await life.store.commit("two", 0, "c", msgspec.json.encode(Alerts()), (), (_event("gone", 1, Severity.WARNING),))

    assert "end unknown" in (await life.run(command)).stdout
    assert [(row["state"], row["ended"]) for row in await found(life)] == [("unknown", None)]


async def test_another_day_stands_with_its_time(life: Story) -> None:
    await life.tick(-90000, "margin ratio", 4)
    await life.tick(-60, "margin ratio", 2)

    assert "warning → critical 14 Nov 22:12:20" in (await life.run(command, columns="200")).stdout


async def test_names_stand_as_they_are(life: Story) -> None:
    await life.store.commit(
        "[red]a", 0, "c", msgspec.json.encode(Alerts()), (), (_event("[/] :fire:/x", 1, Severity.WARNING, "[red]a"),)
    )

    assert "[red]a · [/] :fire:/x BTC" in (await life.run(command)).stdout


async def test_nothing_is_said_in_words(life: Story) -> None:
    assert (await life.run(command)).stdout == "Nothing happened.\n"
    assert await found(life) == []


async def test_two_thousand_alerts_are_shown_quickly(life: Story) -> None:
    events = tuple(_event(f"rule {i}", 1, Severity.WARNING, at=NOW - i) for i in range(2000))
    await life.store.commit("two", 0, "c", msgspec.json.encode(Alerts()), (), events)
    before = time.process_time()

    shown = (await life.run(command, "--limit", "2000")).stdout

    assert time.process_time() - before < 5
    assert shown.count("end unknown") == 2000


def test_a_database_of_an_older_riskbot_is_told_with_exit_code_1(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("")
    with sqlite3.connect(tmp_path / "riskbot.db") as db:
        db.executescript(f"{MIGRATIONS[0]}; PRAGMA application_id = 1919513451; PRAGMA user_version = 1;")
    db.close()
    older = run(command, rules)

    assert older.exit_code == 1
    assert "is of an older riskbot: start this one once" in older.stderr


async def test_of_a_store_without_events_nothing_is_shown(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path / "riskbot.db")).close()
    (tmp_path / "rules.toml").write_text("")

    assert run(command, tmp_path / "rules.toml").stdout == "Nothing happened.\n"


def _event(rule: str, seq: int, after: Severity, account: str = "two", at: float = 0.0) -> Event:
    opened = at or NOW - 3000
    moment = at or NOW - 3000 + seq
    return Event(account, rule, "BTC", 1, seq, Severity.OK, after, after, moment, opened, Cause.BREACH)
