"""riskbot reload: what a changed rules file would do to what is open; then, do it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from riskbot.cli.reload import command
from riskbot.model import Alert, Alerts
from tests.stage import Account, Program, exchange, phone, write_rules
from tests.story import Story, run, story


@pytest.fixture
async def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Story]:
    """Margin ratio critical and told, a forced repayment told to phone."""
    async with story(tmp_path) as found:
        await found.tick(-300, "margin ratio", 2)
        await found.tick(-300, "forced repayment", 1, "BTC")
        await found.judge("riskbot", -300)
        for name in ("phone", "mail"):
            await found.carry(-299, name)
        yield found


def edit(life: Story, *changes: tuple[str, str]) -> None:
    text = life.rules.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    life.rules.write_text(text)


async def plan(life: Story) -> dict[str, Any]:
    result = await life.run(command, "--plan", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)  # type: ignore[no-any-return]


async def shown(life: Story) -> list[str]:
    result = await life.run(command, "--plan", columns="300")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == f"{life.rules} is right."
    return result.stdout.splitlines()[1:]


CALM = "Nothing is remembered of margin left, blind, key_safety: new in the file, or calm so far."


async def test_an_unchanged_file_changes_nothing(life: Story) -> None:
    assert await shown(life) == [CALM, "Nothing changes for what is open."]
    found = await plan(life)
    assert found.pop("rules_without_memory") == ["margin left", "blind", "key_safety"]
    assert found == {key: [] for key in found}


async def test_a_rule_that_is_gone_closes_what_it_had_open_and_who_was_told_hears_of_it(life: Story) -> None:
    edit(life, ('kind = "margin_ratio"', 'kind = "margin_ratio"\nenabled = false'))

    assert await shown(life) == [
        "closes      CRITICAL main · margin ratio: its rule is gone",
        "tells       phone: CLOSED · main · margin ratio",
        "tells       mail: CLOSED · main · margin ratio",
        "rule        margin ratio: not in the file any more, or off",
        CALM,
    ]


async def test_a_currency_that_a_rule_is_not_about_any_more_is_closed(life: Story) -> None:
    edit(life, ('kind = "level"', 'kind = "level"\nexcept_ccy = ["BTC"]'))

    lines = await shown(life)

    assert lines[0] == "closes      WARNING main · forced repayment BTC: its rule is not about it any more"
    assert lines[1].startswith("tells       phone: CLOSED · main · forced repayment BTC")


async def test_a_rule_that_was_renamed_takes_its_alerts_along(life: Story) -> None:
    edit(life, ('name = "margin ratio"', 'name = "ratio"\nrenamed_from = "margin ratio"'))

    assert (await shown(life))[0] == "renames     main · margin ratio → ratio: its alerts move along"
    assert (await plan(life))["told"] == (await plan(life))["closed"] == []


async def test_a_rule_that_was_changed_judges_by_the_next_value(life: Story) -> None:
    edit(life, ("warning = 5, critical = 3, emergency = 1.5", "warning = 4, critical = 1"))

    assert (await shown(life))[0] == (
        "re-judges   CRITICAL main · margin ratio: its rule was changed; the next value decides"
    )


async def test_a_rule_that_was_changed_judges_what_is_pending_anew(life: Story) -> None:
    await life.tick(-200, "margin left", 4000)
    edit(life, ("below = { warning = 5000 }", "below = { warning = 4500 }"))

    assert "re-judges   pending main · margin left: its rule was changed; the next value decides" in await shown(life)


async def test_a_new_receiver_is_told_of_what_is_open_and_one_that_left_is_named(life: Story) -> None:
    edit(life, ("[receivers.mail]", "[receivers.pager]"))

    found = await shown(life)

    assert "tells       pager: CRITICAL · main · margin ratio" in found
    assert any(line.startswith("receiver    mail: not in the file any more") for line in found)


async def test_an_account_that_left_is_closed_and_a_new_one_named(life: Story) -> None:
    edit(life, ('name = "main"', 'name = "other"'))

    found = await plan(life)

    assert {row["rule"] for row in found["closed"]} == {"margin ratio", "forced repayment"}
    assert (found["accounts_gone"], found["accounts_new"]) == (["main"], ["other"])
    assert "account     other: new, watched from now on" in await shown(life)


async def test_riskbots_own_alert_about_a_receiver_that_left_is_closed(life: Story) -> None:
    await life.ail(-100, "delivery to mail", "HTTP 500")
    edit(life, ("[receivers.mail]", "[receivers.pager]"))

    assert "closes      WARNING riskbot · delivery to mail: its rule is not about it any more" in await shown(life)


@pytest.mark.parametrize(
    "change",
    [('kind = "level"', 'kind = "levle"'), ("json://localhost", "telegramm://secret-token")],
    ids=["kind", "url"],
)
async def test_a_wrong_file_is_told_with_exit_code_2_and_nothing_is_done(
    life: Story, change: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("it was asked to"))
    edit(life, change)

    result = await life.run(command)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing was started" in result.stderr
    assert "secret-token" not in result.stderr


@pytest.mark.parametrize("as_json", [False, True], ids=["people", "machine"])
async def test_the_running_riskbot_is_asked_to_take_it_up(
    life: Story, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *args: signals.append(args))

    result = await life.run(command, *["--json"] * as_json)

    assert (result.exit_code, result.stderr) == (0, "")
    assert signals == [(os.getpid(), signal.SIGHUP)]
    assert as_json or f"riskbot (process {os.getpid()}) takes up" in result.stdout


async def test_a_riskbot_of_another_user_can_not_be_asked(life: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)

    result = await life.run(command)

    assert result.exit_code == 1
    assert "belongs to another user" in result.stderr


async def test_a_riskbot_that_does_not_run_can_not_be_asked_but_the_plan_is_shown(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        await life.tick(-300, "margin ratio", 2)
    edit(life, ('kind = "margin_ratio"', 'kind = "margin_ratio"\nenabled = false'))

    result = run(command, life.rules)

    assert result.exit_code == 1
    assert "closes      CRITICAL main · margin ratio" in result.stdout
    assert result.stderr == "riskbot is not running: it takes up the file when it starts.\n"


async def test_without_a_database_there_is_nothing_to_plan_for(tmp_path: Path) -> None:
    async with story(tmp_path) as life:
        pass
    life.rules.with_name("riskbot.db").unlink()

    result = run(command, life.rules, "--plan")

    assert result.exit_code == 1
    assert "not there yet" in result.stderr


async def test_a_rule_that_has_had_something_open_is_not_said_to_be_new(life: Story) -> None:
    await life.tick(-200, "margin left", 4000)
    await life.tick(-200, "margin ratio", 1)
    value = msgspec.json.encode(
        Alerts(
            {
                "blind": {"": Alert(episode=1)},
                "margin left": {"": Alert(episode=1)},
                "key_safety": {"trade": Alert(episode=1)},
            }
        )
    )
    await life.store.commit("spare", 0, "c", value)

    assert (await plan(life))["rules_without_memory"] == []
    assert not any("Nothing is remembered" in line for line in await shown(life))


async def test_names_stand_as_they_are(life: Story) -> None:
    edit(life, ('name = "margin ratio"', 'name = "[/] :fire:"\nrenamed_from = "margin ratio"'))

    assert (await shown(life))[0] == "renames     main · margin ratio → [/] :fire:: its alerts move along"


async def test_the_program_takes_it_up(tmp_path: Path) -> None:
    async with exchange(Account(ratio="2")) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules)
        program.start()
        try:
            await mine.waits_for("CRITICAL · main · margin ratio 2")
            rules.write_text(
                rules.read_text().replace('name = "margin ratio"', 'name = "margin ratio"\nenabled = false')
            )

            result = await asyncio.to_thread(run, command, rules)

            assert result.exit_code == 0, result.stderr
            assert "closes      CRITICAL main · margin ratio: its rule is gone" in result.stdout
            await mine.waits_for("CLOSED · main · margin ratio", "taken out of the rules file")
        finally:
            assert await program.stop() == 0
        assert "rules.toml: taken up" in program.log.read_text()
