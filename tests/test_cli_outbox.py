"""riskbot outbox: messages that wait or were given up, and a person's hand on them."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from riskbot.cli import names
from riskbot.cli.outbox import command
from riskbot.model import Alerts, Cause, Severity
from riskbot.service import bulletins
from riskbot.store import Message
from riskbot.store.outbox import STATES
from tests.story import NOW, Story, run, story


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """One message in each state: mail has given up, phone is in flight, fails, waits, has sent."""
    monkeypatch.setattr("riskbot.cli.stored.now", lambda: NOW)
    async with story(tmp_path) as found:
        await found.tick(-300, "margin ratio", 4)
        await found.carry(-299, "phone")
        await found.tick(-200, "margin ratio", 2)
        await found.carry(-199, "phone", "failed", "HTTP 500", wait=240)
        await found.carry(-199, "mail", "dead", "chat not found")
        await found.tick(-100, "forced repayment", 1, "BTC")
        await found.carry(-1, "phone", "sending")
        await found.tick(-50, "forced repayment", 1, "ETH")
        yield found


async def rows(life: Story, *args: str) -> list[dict[str, Any]]:
    result = await life.run(command, "--json", *args)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)  # type: ignore[no-any-return]


async def state(life: Story, message_id: str) -> str:
    return next(state for state, message in await life.store.outbox(STATES) if message.id == message_id)


async def given_up(life: Story) -> dict[str, Any]:
    return next(row for row in await rows(life) if row["state"] == "dead")


async def test_what_was_given_up_stands_first_then_what_fails_then_what_waits(life: Story) -> None:
    shown = [line.split(None, 1) for line in (await life.run(command)).stdout.splitlines()]

    assert [" ".join(rest.split()) for _, rest in shown] == [
        "severity receiver state tries next message",
        "CRITICAL mail given up main · margin ratio 2 (200 %)",
        "not found",
        "CRITICAL phone failing 1 in 41 s main · margin ratio 2 (200 %)",
        "500",
        "WARNING phone waits now main · forced repayment ETH: level 1 of 5",
        "WARNING phone being sent main · forced repayment BTC: level 1 of 5",
    ]
    assert shown[0][0] == "id"


async def test_what_riskbot_says_unasked_is_no_end_of_an_alert(life: Story) -> None:
    watched = bulletins.message("start", 1, "phone", ("WATCHING · riskbot · 1 account, 3 rules", ["all is well"]), NOW)
    await life.store.commit("riskbot", 0, "start", b"{}", (watched,))
    shown = next(line for line in (await life.run(command)).stdout.splitlines() if "3 rules" in line)

    assert " ".join(shown.split()[1:]) == "WATCHING phone waits now riskbot · 1 account, 3 rules"
    assert [row["rule"] for row in await rows(life) if row["news"]] == ["start"]


async def test_with_all_also_what_is_done_is_shown(life: Story) -> None:
    assert sorted(row["state"] for row in await rows(life, "--all")) == ["dead", "queued", "queued", "sending", "sent"]
    assert "sent" in (await life.run(command, "--all")).stdout


async def test_a_machine_gets_everything(life: Story) -> None:
    row = next(row for row in await rows(life) if row["error"] == "HTTP 500")

    assert row.pop("attempts") == [{"at": NOW - 199, "outcome": "failed", "why": "HTTP 500"}]
    assert len(row.pop("ref")) == 4
    episode = int(NOW - 300)
    assert row == {
        "id": f"main/margin ratio/-{episode}-2@phone",
        "short": f"#main margin ratio {episode:x}.2",
        "account": "main",
        "rule": "margin ratio",
        "subject": "",
        "receiver": "phone",
        "severity": "critical",
        "before": "warning",
        "urgency": "critical",
        "news": False,
        "title": "CRITICAL · main · margin ratio 2 (200 %)",
        "state": "queued",
        "at": NOW - 200,
        "tries": 1,
        "next_try": NOW + 41,
        "error": "HTTP 500",
        "maybe_sent": False,
        "unsaved": False,
        "reminder": 0,
        "covers": 0,
    }


@pytest.mark.parametrize("name", ["ref", "id", "short", "bare", "all"])
async def test_what_was_given_up_is_sent_again_by_any_of_its_names(life: Story, name: str) -> None:
    dead = await given_up(life)
    word = {"bare": dead["short"].removeprefix("#"), "all": "--all"}.get(name) or dead[name]

    result = await life.run(command, "retry", word)

    if name in {"short", "bare"}:  # it is the name of the event, and phone's message about it only waits
        assert (result.exit_code, result.stderr.count("it waits, and is tried by itself")) == (1, 1)
    else:
        assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "sent again: CRITICAL · main · margin ratio 2 (200 %) (to mail)\nriskbot takes them up within ten seconds.\n"
    )
    assert await state(life, dead["id"]) == "queued"


async def test_to_be_sent_again_there_must_be_something_that_was_given_up(life: Story) -> None:
    sent = next(row for row in await rows(life, "--all") if row["state"] == "sent")

    refused = await life.run(command, "retry", sent["ref"])
    await life.run(command, "retry", "--all")
    again = await life.run(command, "retry", "--all")

    assert (refused.exit_code, refused.stdout) == (1, "Nothing was done.\n")
    assert refused.stderr == f"not sent again: {sent['id']}: it was sent\n"
    assert (again.exit_code, again.stdout, again.stderr) == (0, "Nothing was done.\n", "")


async def test_something_is_dropped_only_with_a_yes(life: Story) -> None:
    dead = await given_up(life)

    asked = await life.run(command, "drop", dead["ref"])
    assert asked.exit_code == 2
    assert dead["ref"] in asked.stdout
    assert asked.stderr == "Nothing was dropped. With --yes these are never told, nor what they cover.\n"
    assert await state(life, dead["id"]) == "dead"

    done = await life.run(command, "drop", dead["ref"], "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("dropped: CRITICAL · main · margin ratio 2 (200 %) (to mail)\n")
    assert await state(life, dead["id"]) == "dropped"


async def test_all_that_are_dropped_are_those_given_up_and_one_that_waits_only_by_its_name(life: Story) -> None:
    assert (await life.run(command, "drop", "--all", "--yes")).exit_code == 0
    assert sorted(row["state"] for row in await rows(life)) == ["queued", "queued", "sending"]

    waiting = next(row for row in await rows(life) if row["state"] == "queued")
    done = await life.run(command, "drop", waiting["id"], "--yes", "--json")

    assert [row["id"] for row in json.loads(done.stdout)] == [waiting["id"]]
    assert await state(life, waiting["id"]) == "dropped"


@pytest.mark.parametrize("hand", [["retry"], ["drop", "--yes"]], ids=["retry", "drop"])
async def test_an_unknown_id_names_the_nearest_and_nothing_is_done(life: Story, hand: list[str]) -> None:
    dead = await given_up(life)

    wrong = await life.run(command, *hand, dead["id"], dead["id"].replace("margin", "mragin"))

    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert f"the nearest is {dead['id']!r}" in wrong.stderr
    assert "Nothing was done." in wrong.stderr
    assert await state(life, dead["id"]) == "dead"


@pytest.mark.parametrize("words", [["retry"], ["drop", "--yes"], ["retry", "abcd", "--all"]], ids=" ".join)
async def test_it_must_be_said_which_messages_are_meant(life: Story, words: list[str]) -> None:
    result = await life.run(command, *words)

    assert result.exit_code == 2
    assert "Name messages by their ID, or give --all." in result.stderr


async def test_a_ref_that_may_be_several_lists_them(life: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "digest", lambda message_id: "abcd" + str(len(message_id)).rjust(12, "0"))

    result = await life.run(command, "retry", "abcd")

    assert result.exit_code == 2
    assert "'abcd' may be any of main/" in result.stderr


async def test_the_rules_file_may_be_named_before_the_subcommand(life: Story) -> None:
    words = ["-c", str(life.rules), "retry", "--all"]

    result = CliRunner().invoke(command, words, env={"STATE_DIRECTORY": ""})

    assert result.exit_code == 0
    assert "sent again" in result.stdout


async def test_names_stand_as_they_are_and_can_be_named(life: Story) -> None:
    odd = message("[/] a/b :fire:", receiver="[bold] ☎")
    await life.store.commit("two", 0, "c", msgspec.json.encode(Alerts()), (odd,))
    (taken,) = await life.store.take("[bold] ☎", 1, NOW, 30)
    await life.store.dead(taken, NOW, "[red]no\x1b[2J\nrow")

    shown = (await life.run(command)).stdout
    done = await life.run(command, "retry", "#two [/] a/b :fire: 1.1")

    assert "[bold] ☎" in shown
    assert "[red]no [2J row" in shown
    assert "\x1b" not in shown
    assert done.exit_code == 0


async def test_two_thousand_messages_are_shown_and_named_quickly(life: Story) -> None:
    many = tuple(message(f"rule {i}") for i in range(2000))
    await life.store.commit("two", 0, "c", msgspec.json.encode(Alerts()), many)
    before = time.process_time()

    found = await rows(life, "--all")
    shown = (await life.run(command)).stdout
    unknown = await life.run(command, "retry", "two/rule 1777/-1-1@phnoe")

    assert time.process_time() - before < 12
    assert len({row["ref"] for row in found}) == len(found) == 2005
    assert len(shown.splitlines()) > 2000
    assert "the nearest is" in unknown.stderr


async def test_nothing_is_said_in_words_and_a_riskbot_that_does_not_run_is_named(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        empty = await life.run(command)
        await life.tick(-10, "margin ratio", 2)
        await life.carry(-9, "mail", "dead", "chat not found")
    shown, done = run(command, life.rules), run(command, life.rules, "retry", "--all")

    assert empty.stdout == "Nothing waits, nothing was given up.\n"
    assert "riskbot is not running" in shown.stdout
    assert "riskbot is not running: it sends them when it does.\n" in done.stdout


def message(rule: str, receiver: str = "phone") -> Message:
    return Message(
        id=f"two/{rule}/-1-1@{receiver}",
        receiver=receiver,
        account="two",
        alert=f"two/{rule}/",
        episode=1,
        seq=1,
        before=Severity.OK,
        after=Severity.WARNING,
        peak=Severity.WARNING,
        at=NOW - 10,
        opened=NOW - 10,
        cause=Cause.BREACH,
        title=f"WARNING · two · {rule}",
        body="",
    )
