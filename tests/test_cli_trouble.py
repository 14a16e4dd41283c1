"""What the commands say that need the database and can't use it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from click import Command

from riskbot.cli.ack import command as ack
from riskbot.cli.alerts import command as alerts
from riskbot.cli.history import command as history
from riskbot.cli.outbox import command as outbox
from riskbot.cli.silence import command as silence
from riskbot.cli.status import command as status
from tests.story import run, story

WRITE = [
    (ack, ["--all"]),
    (outbox, ["retry", "--all"]),
    (outbox, ["drop", "--all", "--yes"]),
    (silence, ["--rule=a", "--for=1h"]),
    (silence, ["--end=all"]),
]
READ = [(ack, []), (ack, ["abcd"]), (alerts, []), (history, []), (outbox, []), (silence, []), (status, [])]


@pytest.mark.parametrize(("command", "words"), READ + WRITE)
def test_a_database_that_is_not_there_is_told_with_exit_code_1_and_not_made(
    tmp_path: Path, command: Command, words: list[str]
) -> None:
    rules, db = tmp_path / "rules.toml", tmp_path / "riskbot.db"
    rules.write_text("")

    result = run(command, rules, *words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{db}: not there yet; riskbot makes it when it runs")
    assert not db.exists()


@pytest.mark.parametrize(("command", "words"), WRITE)
async def test_a_database_that_is_held_locked_is_told_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, words: list[str]
) -> None:
    monkeypatch.setattr("riskbot.store.visit.BUSY_TIMEOUT", 0.1)
    async with story(tmp_path) as life:
        await life.tick(-300, "margin ratio", 2)
        await life.carry(-299, "mail", "dead", "chat not found")
        await life.run(silence, "--rule=b", "--for=1h")
        held = sqlite3.connect(life.rules.with_name("riskbot.db"), isolation_level=None)
        held.execute("BEGIN IMMEDIATE")

        result = await life.run(command, *words)

        held.close()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "another program holds it locked" in result.stderr
