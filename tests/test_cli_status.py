"""riskbot status: is all well? One line for each thing, worst first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from riskbot.cli.status import command
from riskbot.model import Alerts, Blind, Quiet, Severity, Silence
from riskbot.settings import SELF
from riskbot.store.hand import hush
from riskbot.text import clock
from tests.story import NOW, Story, firing, run, story


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as found:
        await found.tick(-100, "margin ratio", 12)
        await found.see(-3)
        yield found


async def said(life: Story, code: int) -> dict[str, str]:
    """What is said of each thing, after its state."""
    result = await life.run(command, columns="300")
    assert (result.exit_code, result.stderr) == (code, "")
    lines = [re.split("  +", line.strip()) for line in result.stdout.splitlines()]
    return {name: f"{state}: {' '.join(rest)}" for state, name, *rest in lines}


async def test_all_is_well(life: Story) -> None:
    db = life.rules.with_name("riskbot.db")
    size = sum(db.with_name(f"riskbot.db{end}").stat().st_size for end in ("", "-wal"))
    assert await said(life, 0) == {
        "riskbot": f"ok: running, process {os.getpid()}",
        "account main": "ok: seen 3 s ago; no alert",
        "receiver phone": "ok: nothing was sent to it yet",
        "receiver mail": "ok: nothing was sent to it yet",
        "store": f"ok: {db}, {size / 1e6:.1f} MB",
    }


async def test_an_open_alert_is_shown_and_is_no_fault_of_riskbot(life: Story) -> None:
    await life.tick(-60, "margin ratio", 2)
    await life.tick(-60, "forced repayment", 1, "BTC")
    await life.carry(-59, "phone")

    found = await said(life, 0)

    assert found["account main"] == "alert: seen 3 s ago; CRITICAL margin ratio for 1 min and 1 more"
    assert found["receiver phone"] == "ok: works; last delivered 59 s ago"
    assert found["receiver mail"] == "ok: nothing was sent to it yet; 1 waits"
    assert next(iter(found)) == "account main"


async def test_a_receiver_that_fails_says_since_when_and_why(life: Story) -> None:
    await life.tick(-600, "margin ratio", 4)
    await life.carry(-599, "phone")
    await life.tick(-300, "margin ratio", 2)
    await life.carry(-299, "phone", "failed", "HTTP 500")
    await life.carry(-200, "phone", "failed", "HTTP 503")
    await life.carry(-299, "mail", "dead", "chat not found")
    await life.ail(-100, "delivery to phone", "HTTP 500")

    found = await said(life, 1)

    assert found["receiver phone"] == "WRONG: failing for 4 min 59 s: HTTP 503; 1 waits; last delivered 9 min 59 s ago"
    assert found["receiver mail"] == "WRONG: 1 given up, see riskbot outbox"
    assert "riskbot delivery to phone" not in found


async def test_a_receiver_that_was_not_tried_since_still_fails_if_riskbot_says_so(life: Story) -> None:
    await life.ail(-100, "delivery to phone", "HTTP 401")
    await life.ail(-90, "the clock", "it jumps", Severity.WARNING)
    for at in (-80, -20):
        await life.ail(at, "the clock", "", Severity.OK)

    found = await said(life, 1)
    assert found["receiver phone"] == "WRONG: failing for 1 min 40 s: HTTP 401; 1 waits"
    assert "the clock" not in found


async def test_a_silence_is_not_forgotten(life: Story) -> None:
    over, in_force = Silence(NOW - 1, rule="old"), Silence(NOW + 60, rule="margin*")
    hush(life.rules.with_name("riskbot.db"), lambda _: Quiet((over, in_force)))

    found = await said(life, 0)

    assert found["silence margin*"] == f"alert: hides margin* up to critical until {clock(NOW + 60)}"
    assert not any("old" in name for name in found)


async def test_riskbots_own_troubles_have_their_lines(life: Story) -> None:
    await life.ail(-100, "the clock", "the machine's clock was set back by 1 h")
    await life.ail(-50, "the store", "the disk is full", Severity.CRITICAL)

    found = await said(life, 1)

    assert found["the clock"] == "WRONG: since 1 min 40 s ago: the machine's clock was set back by 1 h"
    assert found["store"] == "WRONG: failing: the disk is full"


async def test_an_account_that_is_not_seen_or_a_rule_without_data_is_blind(life: Story, tmp_path: Path) -> None:
    await life.see(-60, "spare")
    blind = Alerts(blind={"melt": Blind(NOW - 30, "no adjEq")})
    await life.store.commit("third", 0, "c", msgspec.json.encode(blind))
    await life.see(-3, "third")
    entry = '[[accounts]]\nname = "{}"\npoll_every = {}\n'
    more = entry.format("spare", '"1s"') + entry.format("third", "2") + entry.format("new", '"soon"')
    life.rules.write_text(more + life.rules.read_text())

    found = await said(life, 1)

    assert found["account spare"] == "WRONG: blind: last seen 1 min ago; no alert"
    assert found["account third"] == 'WRONG: seen 3 s ago; rule "melt" has no data: no adjEq; no alert'
    assert found["account new"] == "WRONG: never seen; no alert"


async def test_an_account_that_is_rarely_polled_is_not_blind_for_that(life: Story) -> None:
    await life.see(-150, "slow")
    life.rules.write_text('[[accounts]]\nname = "slow"\npoll_every = "1m"\n')

    found = await said(life, 0)

    assert found["account slow"] == "ok: seen 2 min 30 s ago; no alert"
    assert "account main" not in found  # it has left the file


async def test_a_receiver_that_has_left_the_file_is_named_while_something_is_owed_to_it(life: Story) -> None:
    await life.tick(-60, "margin ratio", 2)
    await life.carry(-59, "phone")
    await life.carry(-59, "mail", "dead", "chat not found")
    sent = replace(
        (await life.store.outbox(("sent",)))[0][1], id="main/x/-1-1@pager", receiver="pager", alert="main/x/"
    )
    await life.store.commit("two", 0, "c", msgspec.json.encode(Alerts()), (sent,))
    for message in await life.store.take("pager", 1, NOW, 30):
        await life.store.ack(message, NOW)
    life.rules.write_text(re.sub(r"(?s)\[receivers.mail\].*?\n\n", "", life.rules.read_text()))

    found = await said(life, 1)

    assert "receiver pager" not in found
    assert found["receiver mail"] == "WRONG: 1 given up, see riskbot outbox; not in the rules file any more"


async def test_without_names_in_the_file_those_of_the_database_are_shown(life: Story) -> None:
    await life.tick(-60, "margin ratio", 2)
    await life.store.commit(SELF, 0, "c", msgspec.json.encode(Alerts({"health": {"x": firing(Severity.INFO, NOW)}})))
    life.rules.write_text("")

    assert list(await said(life, 1)) == ["x", "account main", "riskbot", "receiver mail", "receiver phone", "store"]


async def test_a_machine_gets_the_facts(life: Story) -> None:
    await life.tick(-60, "margin ratio", 2)
    await life.carry(-59, "mail", "dead", "chat not found")

    result = await life.run(command, "--json")

    found = json.loads(result.stdout)
    assert (result.exit_code, found["well"], found["pid"]) == (1, False, os.getpid())
    things: dict[str, dict[str, Any]] = {thing["name"]: thing for thing in found["things"]}
    assert {thing["kind"] for thing in things.values()} == {"riskbot", "account", "receiver", "store"}
    assert (things["main"]["open"], things["main"]["seen"], things["main"]["blind"]) == (1, NOW - 3, False)
    assert (things["mail"]["dead"], things["mail"]["waiting"], things["mail"]["delivered"]) == (1, 0, None)
    assert things["store"]["path"] == str(life.rules.with_name("riskbot.db"))


async def test_a_riskbot_that_does_not_run_is_the_first_thing_said(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        await life.see(-3)

    result = run(command, life.rules)

    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].split(None, 2)[:2] == ["WRONG", "riskbot"]
    assert "not running: nothing is watched, nothing is sent" in result.stdout


async def test_names_stand_as_they_are(life: Story) -> None:
    life.rules.write_text('[[accounts]]\nname = "[red] :fire:"\n[receivers."[/] ☎"]\nurl = "json://localhost"\n')

    found = await said(life, 1)

    assert {"account [red] :fire:", "receiver [/] ☎"} <= set(found)


def test_without_a_database_or_with_a_wrong_file_it_is_not_well(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("")
    missing = run(command, rules)
    rules.write_text("[store]\npath = 3\n")
    wrong = run(command, rules)

    assert (missing.exit_code, wrong.exit_code) == (1, 2)
    assert "not there yet" in missing.stderr
