"""riskbot alerts: what is open and who was told, read from the database of a running riskbot."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from riskbot.cli import names, stored
from riskbot.cli.alerts import command
from riskbot.model import Acknowledgement, Alert, Alerts, Blind, Cause, Quiet, Severity, Silence, Told
from riskbot.store import Message
from riskbot.store.hand import hush
from riskbot.store.sqlite import SqliteStore
from tests.story import story

INFO, WARNING, CRITICAL, EMERGENCY = Severity.INFO, Severity.WARNING, Severity.CRITICAL, Severity.EMERGENCY
NOW = 1_700_000_000.0


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A file with a name that a URI has to quote; nothing but [store] is looked at."""
    folder = tmp_path / "50% #1?"
    folder.mkdir()
    path = folder / "rules.toml"
    path.write_text('[[accounts]]\napi_key = "${NOT_SET}"\n')
    return path


@pytest.fixture
async def store(rules: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(rules.with_name("riskbot.db"))
    yield store
    await store.close()


def alerts(rules: Path, *args: str, columns: str = "") -> Result:
    return CliRunner().invoke(command, ["-c", str(rules), *args], env={"COLUMNS": columns, "STATE_DIRECTORY": ""})


async def found(rules: Path) -> list[dict[str, Any]]:
    result = await asyncio.to_thread(alerts, rules, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def message(key: str, receiver: str, level: Severity, episode: int = 1, seq: int = 1) -> Message:
    return Message(
        id=f"main/{key}-{episode}-{seq}@{receiver}",
        receiver=receiver,
        account="main",
        alert=f"main/{key}",
        episode=episode,
        seq=seq,
        before=Severity.OK,
        after=level,
        peak=level,
        at=float(seq),
        opened=1.0,
        cause=Cause.BREACH,
        title="",
        body="",
    )


async def commit(store: SqliteStore, value: Alerts, *messages: Message, account: str = "main") -> None:
    await store.commit(account, 0, "c", msgspec.json.encode(value), messages)


def firing(level: Severity, opened: float = NOW - 65, **more: Any) -> Alert:
    return Alert(level=level, shown=level, episode=1, seq=1, peak=more.pop("peak", level), opened=opened, **more)


async def test_alerts_are_shown_worst_first_then_longest_first(rules: Path, store: SqliteStore) -> None:
    value = Alerts(
        alerts={
            "ratio": {"": firing(WARNING, NOW - 10, peak=CRITICAL)},
            "debt": {"BTC": firing(CRITICAL, NOW - 10), "ETH": firing(CRITICAL, NOW - 20, flapping=True)},
            "level": {"BTC": Alert(up={1: NOW - 4, 2: NOW - 2}), "ETH": Alert(episode=3)},
        },
        blind={"melt": Blind(NOW - 30, "no adjEq")},
    )
    await commit(store, value)
    await commit(store, Alerts(alerts={"key": {"": firing(EMERGENCY, NOW - 5)}}), account="two")

    said = [
        (row["account"], f"{row['rule']}/{row['subject']}", row["state"], row["severity"], row["peak"], row["why"])
        for row in await found(rules)
    ]
    assert said == [
        ("two", "key/", "firing", "emergency", "emergency", ""),
        ("main", "debt/ETH", "flapping", "critical", "critical", ""),
        ("main", "debt/BTC", "firing", "critical", "critical", ""),
        ("main", "ratio/", "firing", "warning", "critical", ""),
        ("main", "melt/", "blind", "", "", "no adjEq"),
        ("main", "level/BTC", "pending", "", "", ""),
    ]


async def test_a_machine_gets_the_same_keys_for_every_row(rules: Path, store: SqliteStore) -> None:
    told = {"phone": {"ratio/": Told(1, 1, WARNING)}}
    pending = {"level": {"BTC": Alert(up={1: 12.5})}}
    blind = {"melt": Blind(11.5, "no adjEq")}
    await commit(store, Alerts({"ratio": {"": firing(WARNING, 10.5)}, **pending}, told, blind))

    rows = await found(rules)

    assert len(rows[0].pop("ref")) == 4
    assert rows[0] == {
        "id": "main/ratio/-1",
        "short": "#main ratio 1.1",
        "account": "main",
        "rule": "ratio",
        "subject": "",
        "state": "firing",
        "severity": "warning",
        "peak": "warning",
        "since": 10.5,
        "next": None,
        "acknowledged": None,
        "silenced": None,
        "told": {
            "phone": {
                "level": "warning",
                "at": 0.0,
                "arrived": True,
                "state": "sent",
                "tries": 0,
                "next_try": None,
                "error": "",
                "maybe_sent": False,
                "reminders": 0,
                "via": "",
            }
        },
        "why": "",
        "labels": {},
    }
    assert {tuple(row) for row in rows[1:]} == {("ref", *rows[0])}
    assert [(row.get("ref"), row["id"], row["short"]) for row in rows[1:]] == [("", "", "")] * 2
    assert [row["since"] for row in rows] == [10.5, 11.5, 12.5]


async def test_a_machine_gets_the_labels_that_the_rule_has_in_the_file_or_one_it_includes(
    rules: Path, store: SqliteStore
) -> None:
    rules.write_text('include = ["more.toml"]\n[[rules]]\nname = "debt"\nlabels = { desk = "b", odd = 1.5 }\n')
    rules.with_name("more.toml").write_text('[[rules]]\nname = "ratio"\nlabels = { desk = "a" }\n')
    value = {name: {"": firing(WARNING)} for name in ("ratio", "debt", "gone")}
    await commit(store, Alerts(value))

    labels = {row["rule"]: row["labels"] for row in await found(rules)}

    assert labels == {"ratio": {"desk": "a"}, "debt": {"desk": "b", "odd": "1.5"}, "gone": {}}


async def test_who_was_told_comes_with_the_state_of_what_has_not_arrived(rules: Path, store: SqliteStore) -> None:
    receivers = ("arrived", "queued", "sending", "dead")
    told = {name: {"ratio/": Told(1, 2, CRITICAL)} for name in receivers}
    told["deaf"] = {"debt/": Told(1, 1, INFO)}
    new = [message("ratio/", name, CRITICAL, seq=2) for name in receivers]
    await commit(store, Alerts({"ratio": {"": firing(CRITICAL)}}, told), *new)
    for name in ("arrived", "sending", "dead"):
        (taken,) = await store.take(name, 1, NOW, 60)
        if name == "arrived":
            await store.ack(taken, NOW)
        elif name == "dead":
            await store.dead(taken, NOW, "chat not found")

    (row,) = await found(rules)

    assert {name: (word["level"], word["arrived"], word["state"]) for name, word in row["told"].items()} == {
        "arrived": ("critical", True, "sent"),
        "queued": ("critical", False, "queued"),
        "sending": ("critical", False, "sending"),
        "dead": ("critical", False, "dead"),
    }
    assert row["told"]["dead"]["error"] == "chat not found"
    assert row["told"]["queued"]["next_try"] == 0.0


async def test_a_message_that_died_long_ago_says_nothing_of_a_newer_one(rules: Path, store: SqliteStore) -> None:
    await commit(store, Alerts(), message("ratio/", "phone", CRITICAL))
    (taken,) = await store.take("phone", 1, NOW, 60)
    await store.dead(taken, NOW, "chat not found")
    value = Alerts({"ratio": {"": firing(WARNING)}}, {"phone": {"ratio/": Told(2, 1, WARNING)}})
    await store.commit("main", 1, "d", msgspec.json.encode(value), ())

    (row,) = await found(rules)
    assert (row["told"]["phone"]["level"], row["told"]["phone"]["state"]) == ("warning", "sent")


async def test_people_get_a_table_with_names_as_they_are(
    rules: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    key = "[/] ratio :fire:/BTC"
    told = {"[/] phone": {key: Told(1, 1, CRITICAL)}, "mail": {key: Told(1, 1, INFO)}}
    value = Alerts(
        alerts={"[/] ratio :fire:": {"BTC": firing(CRITICAL)}, "level": {"": Alert(up={1: NOW + 60})}},
        told=told,
        blind={"melt": Blind(NOW - 3600, "no adjEq")},
    )
    await commit(store, value)

    result = await asyncio.to_thread(alerts, rules)

    assert "\x1b" not in result.stdout
    lines = [re.split("  +", line.rstrip()) for line in result.stdout.splitlines()]
    assert lines == [
        ["id", "severity", "account", "alert", "state", "for", "peak"],
        [
            names.digest("main/[/] ratio :fire:/BTC-1")[:4],
            "CRITICAL",
            "main",
            key.replace("/BTC", " BTC"),
            "firing",
            "1 min 5 s",
            "critical",
        ],
        ["", "[/] phone: critical, mail: info"],
        ["", "-", "main", "melt", "blind", "1 h"],
        ["", "no adjEq"],
        ["", "-", "main", "level", "pending", "0 s"],
    ]


async def test_nothing_open_is_said_in_words(rules: Path, store: SqliteStore) -> None:
    await commit(store, Alerts(alerts={"level": {"ETH": Alert(episode=3)}}))

    assert (await asyncio.to_thread(alerts, rules)).stdout == "No alert is open or pending.\n"
    assert await found(rules) == []


@pytest.mark.parametrize("content", [b"no database at all " * 99, None], ids=["text", "directory"])
def test_what_is_no_database_is_told_with_exit_code_1(rules: Path, content: bytes | None) -> None:
    db = rules.with_name("riskbot.db")
    if content is None:
        db.mkdir()
    else:
        db.write_bytes(content)

    result = alerts(rules)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{db}: ")


def test_another_programs_database_is_told_with_exit_code_1(rules: Path) -> None:
    with sqlite3.connect(rules.with_name("riskbot.db")) as db:
        db.execute("CREATE TABLE accounts (account, value)")
    db.close()

    result = alerts(rules)

    assert result.exit_code == 1
    assert "is the database of another program" in result.stderr


def test_a_value_that_cannot_be_read_is_told_with_exit_code_1(rules: Path) -> None:
    async def spoil() -> None:
        store = await SqliteStore.open(rules.with_name("riskbot.db"))
        await store.commit("main", 0, "c", b"{no json", ())
        await store.close()

    asyncio.run(spoil())

    assert alerts(rules).exit_code == 1


def test_a_wrong_rules_file_ends_with_exit_code_2(rules: Path) -> None:
    rules.write_text("[store]\npath = 3\n")

    result = alerts(rules)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f'{rules}:2: path: write a text in "quotes"\n1 mistake; nothing was started.\n'


async def test_the_program_reads_while_riskbot_writes_and_changes_nothing(rules: Path, store: SqliteStore) -> None:
    await commit(store, Alerts({"ratio": {"": firing(CRITICAL)}}))
    program = Path(sys.executable).with_name("riskbot")
    rev, running = 1, True

    async def write() -> None:
        nonlocal rev
        while running:
            value = msgspec.json.encode(Alerts({"ratio": {"": firing(CRITICAL, float(rev))}}))
            rev = await store.commit("main", rev, f"c{rev}", value, ())

    writing = asyncio.create_task(write())

    def look() -> subprocess.CompletedProcess[str]:
        command = [str(program), "alerts", "-c", str(rules), "--json"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    results = [await asyncio.to_thread(look) for _ in range(2)]
    running = False
    await writing

    assert [(r.returncode, r.stderr) for r in results] == [(0, "")] * 2
    assert [json.loads(r.stdout)[0]["severity"] for r in results] == ["critical"] * 2
    assert (await store.load("main")).rev == rev


def test_a_stopped_riskbots_database_is_read_and_left_as_it_is(rules: Path) -> None:
    async def stopped() -> None:
        store = await SqliteStore.open(rules.with_name("riskbot.db"))
        await commit(store, Alerts({"ratio": {"": firing(CRITICAL)}}))
        await store.close()

    asyncio.run(stopped())
    before = {path.name: path.read_bytes() for path in rules.parent.iterdir()}

    assert alerts(rules).exit_code == 0
    after = {path.name: path.read_bytes() for path in rules.parent.iterdir()}
    assert {name: after[name] for name in before} == before


async def test_what_is_on_its_way_says_how_long_it_still_has_where_the_file_has_its_rule(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        await life.tick(-400, "margin left", 4000)
        pending = (await life.run(command)).stdout

        life.rules.write_text(life.rules.read_text().replace('for = "10m"', 'for = "20m"'))
        changed = (await life.run(command)).stdout

    assert re.search(r"pending, warning (due|in )", pending)
    assert "pending" in changed
    assert "pending, warning" not in changed


async def test_each_receiver_says_how_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as life:
        await life.tick(-60, "margin ratio", 2)
        await life.carry(-59, "phone", "failed", "HTTP 500")
        await life.carry(-30, "phone", "failed", "HTTP 503", wait=42)
        await life.carry(-50, "mail", "dead", "chat not found")
        shown = (await life.run(command)).stdout.splitlines()

    assert [line.strip() for line in shown[2:]] == [
        "phone: critical, failing (2 tries, next in 12 s): HTTP 503",
        "mail: critical, given up: chat not found",
    ]


async def test_a_reminder_that_fails_leaves_what_has_arrived_as_told(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        await life.tick(-1000, "margin ratio", 2)
        await life.carry(-999, "phone")
        await life.tick(-300, "margin ratio", 2)
        await life.carry(-299, "phone", "ambiguous", "no answer within 15 s")
        shown = (await life.run(command)).stdout

    assert "phone: critical (1 reminder), reminder failing (1 try, next now): no answer within 15 s" in shown


async def test_who_stands_in_for_another_is_shown_with_it_and_nobody_is_said(rules: Path, store: SqliteStore) -> None:
    value = Alerts(
        {"ratio": {"": firing(CRITICAL), "x": firing(INFO)}},
        {"mail": {"ratio/": Told(1, 1, CRITICAL, via="phone")}},
    )
    await commit(store, value)

    shown = (await asyncio.to_thread(alerts, rules)).stdout

    assert "mail: critical (for phone)" in shown
    assert "nobody was told" in shown


def test_of_a_riskbot_that_does_not_run_it_is_said_that_all_this_is_the_past(rules: Path) -> None:
    async def stopped() -> None:
        store = await SqliteStore.open(rules.with_name("riskbot.db"))
        await commit(store, Alerts({"ratio": {"": firing(CRITICAL)}}))
        await commit(store, Alerts(), account="two")
        await store.close()

    asyncio.run(stopped())

    assert "riskbot is not running: this is how it left things" in alerts(rules).stdout


async def test_a_rule_that_is_wrong_in_the_file_by_now_says_nothing_of_what_is_on_its_way(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        await life.tick(-400, "margin left", 4000)
        life.rules.write_text(life.rules.read_text().replace('field = "availEq"', 'field = "availeQ"'))
        result = await life.run(command)

    assert result.exit_code == 0
    assert "pending, " not in result.stdout


def test_of_a_file_that_is_gone_by_now_nothing_is_known(tmp_path: Path) -> None:
    assert stored.document(tmp_path / "rules.toml") == {}


async def test_what_is_acknowledged_or_silenced_says_until_when(
    rules: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    debt = {"": firing(CRITICAL), "ETH": Alert(up={1: NOW - 4})}
    await commit(store, Alerts({"ratio": {"": firing(EMERGENCY)}, "debt": debt}, blind={"debt": Blind(NOW, "?")}))
    acks = (
        Acknowledgement("main", "debt", "", 1, CRITICAL, NOW + 60),
        Acknowledgement("main", "debt", "", 9, CRITICAL, NOW + 99),  # of another course of it
        Acknowledgement("main", "ratio", "", 1, CRITICAL, NOW + 60),  # it got worse since
    )
    silences = (Silence(NOW + 600, rule="debt"), Silence(NOW + 120), Silence(NOW, rule="ratio", most=EMERGENCY))
    hush(rules.with_name("riskbot.db"), lambda _: Quiet(silences, acks))

    said = {(row["rule"], row["state"]): (row["acknowledged"], row["silenced"]) for row in await found(rules)}
    shown = (await asyncio.to_thread(alerts, rules)).stdout

    assert said == {
        ("ratio", "firing"): (None, None),
        ("debt", "firing"): (NOW + 60, NOW + 600),
        ("debt", "pending"): (None, None),
        ("debt", "blind"): (None, None),
    }
    assert "acknowledged until 22:14:20 UTC, in 1 min\n" in shown
    assert "silenced until 22:23:20 UTC, in 10 min\n" in shown
    assert shown.count(" until ") == 2
