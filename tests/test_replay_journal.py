"""`riskbot replay` of what riskbot itself has seen: its journal."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot import rulebook
from riskbot.cli.replay import command
from riskbot.delivery import Receiver
from riskbot.health import Problems
from riskbot.replay.journal import Journal as Recorded
from riskbot.rulebook import Account
from riskbot.service.clock import Clock
from riskbot.service.journal import Journal
from riskbot.service.judge import Judge
from riskbot.service.recorder import Recorder
from riskbot.service.watch import Watch
from riskbot.source import SourceError
from riskbot.store import Kept, StoreError, archive
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, DEBT, RATIO, Hands, Market

RULES = """
[[accounts]]
name = "main"
api_key = "${A_KEY_THAT_NOBODY_HAS}"
api_secret = "x"
passphrase = "x"

[receivers.phone]
url = "${NO_URL}"

[[rules]]
name = "margin_ratio"
kind = "margin_ratio"
below = { warning = 5, critical = 3 }

[[rules]]
name = "change"
kind = "change"
field = "details.liab"
rises_by = { warning = "10%" }
over = "1h"
"""


class Life:
    """A watch over a real database."""

    def __init__(self, folder: Path) -> None:
        self.hands, self.market, self.db = Hands(), Market(), folder / "riskbot.db"
        self.hands.turn(1_767_225_600 - self.hands.wall)

    async def begin(self) -> None:
        rules, phone, clock = [RATIO, DEBT, BLIND], [Receiver("phone")], self.clock()
        book = rulebook.of([Account("main", 1.0)], rules, phone, [])
        self.store = SurvivingStore(await SqliteStore.open(self.db))
        await self.store.keep(Kept(clock.now(), book.hash, book.text))
        recorder = Recorder("main", book.hash)
        judge = Judge("main", rules, phone, self.store, lambda _: None, recorder=recorder)
        self.watch = Watch(judge, self.market, clock, Problems(), 1.0)
        self.journal = Journal({"main": self.watch}, self.store, clock)
        await self.watch.load(self.store)

    def clock(self) -> Clock:
        return Clock(lambda: self.hands.wall, lambda: self.hands.monotonic)

    async def poll(self, ratio: str, times: int) -> None:
        self.market.error = SourceError("no answer") if ratio == "error" else None
        self.market.ratio = ratio
        for _ in range(times):
            await self.watch.poll()
            self.hands.turn(1.0)

    async def end(self) -> None:
        await self.watch.close()
        await self.journal.write()
        await self.store.close()


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A minute at 12, one at 4, blind for 20 s, a restart of five minutes, a minute at 12."""
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "rules.toml").chmod(0o600)
    life = Life(tmp_path)
    await life.begin()
    await life.poll("12", 60)
    await life.poll("4", 60)
    await life.poll("error", 20)
    await life.end()
    life.hands.turn(300)
    await life.begin()
    await life.poll("12", 60)
    await life.end()
    return tmp_path


def replay(folder: Path, *words: str) -> Result:
    env = {"COLUMNS": "200", "STATE_DIRECTORY": ""}
    return CliRunner().invoke(command, ["-c", str(folder / "rules.toml"), *words], env=env)


def report(folder: Path, *words: str) -> dict[str, Any]:
    shown = replay(folder, *words, "--json")
    assert shown.exit_code == 0, shown.output
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def change(folder: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "riskbot.db")) as db:
        assert db.execute(sql, values).rowcount > 0
        db.commit()


async def test_the_journal_is_played_with_its_holes_and_its_blindness(folder: Path) -> None:
    found = report(folder, "--messages")
    assert (found["recording"], found["looks"], found["holes"]) == ("riskbot.db", 200, 301)
    assert found["blind"] == pytest.approx(20 / 199, abs=0.01)
    titles = [message["title"] for message in found["sent"]]
    assert titles == [
        "INFO · main · the API key is bound to no IP address",
        "WARNING · main · margin ratio 4 (400 %)",
        "CRITICAL · main · can't see the account",
        "RESOLVED · main · margin ratio 12 (1,200 %)",
        "RESOLVED · main · sees the account again",
    ]


async def test_other_rules_may_be_tried_on_it(folder: Path) -> None:
    new = folder / "new.toml"
    new.write_text(RULES.replace("warning = 5", "warning = 13"))
    found = report(folder, "--rules", str(new), "--against", "current", "--journal", str(folder / "riskbot.db"))
    assert [(row["what"], row["rule"]) for row in found["against"]["episodes"]] == [("earlier", "margin_ratio")]


async def test_only_the_parts_that_are_asked_for_are_read(folder: Path) -> None:
    assert report(folder, "--from", "2026-01-01T00:05")["looks"] == 60
    shown = replay(folder, "--from", "2026-01-02")
    assert (shown.exit_code, shown.stderr) == (1, f"{folder / 'riskbot.db'}: nothing was recorded in that time\n")


async def test_growth_is_measured_from_what_was_written_down_before(folder: Path) -> None:
    """The first part is forgotten, but the points of its windows are kept."""
    life = Life(folder)
    life.hands.turn(600)
    await life.begin()
    life.market.liab = "1000"
    await life.poll("12", 2)
    await life.journal.write()
    life.market.liab = "1300"
    await life.poll("12", 2)
    await life.end()
    change(folder, "DELETE FROM segments WHERE segment != (SELECT max(segment) FROM segments)")
    titles = [message["title"] for message in report(folder, "--messages")["sent"]]
    assert "WARNING · main · change: details.liab USDT rose from nothing in 1 h" in titles


async def test_what_is_damaged_ends_it_or_is_left_out(folder: Path) -> None:
    change(folder, "UPDATE batches SET data = x'00' WHERE n = (SELECT min(n) FROM batches)")
    shown = replay(folder)
    assert shown.exit_code == 1
    assert re.search(r"riskbot.db: main: the recording from 2026-01-01 00:00:00 on can't be read: ", shown.stderr)
    assert "--skip-bad" in shown.stderr
    found = report(folder, "--skip-bad")
    assert (found["left_out"], found["looks"]) == (1, 60)


async def test_an_account_of_which_nothing_was_recorded_is_told(folder: Path) -> None:
    (folder / "rules.toml").write_text(RULES.replace('name = "main"', 'name = "spare"'))
    shown = replay(folder)
    assert (shown.exit_code, shown.stderr) == (1, f"{folder / 'riskbot.db'}: nothing was recorded of account 'spare'\n")


def test_a_database_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    shown = replay(tmp_path)
    assert shown.exit_code == 1
    assert "riskbot.db: not there yet" in shown.stderr
    (tmp_path / "riskbot.db").write_bytes(b"not a database at all, truncated" * 100)
    for words in ([], ["--verify"]):
        shown = replay(tmp_path, *words)
        assert shown.exit_code == 1
        assert "riskbot.db" in shown.stderr
        assert "Traceback" not in shown.output


async def test_a_database_that_breaks_while_it_is_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = archive.batches, list[int]()

    def breaks(path: Path, segments: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise StoreError(f"{path} is damaged")
        return read(path, segments)

    monkeypatch.setattr(archive, "batches", breaks)
    found = report(folder, "--skip-bad")
    assert (found["looks"], found["left_out"]) == (140, 1)


async def test_how_much_of_it_is_read_is_known(folder: Path) -> None:
    source = Recorded(folder / "riskbot.db", "main", -inf, inf)
    parts = [source.part for _ in source.entries(lambda _: None)]
    assert (parts[0], parts[-1], source.part) == (0, 0.7, 1)


# ---------------------------------------------------------------- --verify


async def test_the_journal_is_judged_again_as_it_was(folder: Path) -> None:
    shown = replay(folder, "--verify")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == "main: exact; judged again: 200 looks, 4 events\n"
    found = json.loads(replay(folder, "--verify", "--account", "main", "--json").stdout)
    assert found == {"main": {"exact": True, "looks": 200, "events": 4, "differences": [], "strayed": []}}


async def test_what_is_not_the_same_is_shown(folder: Path) -> None:
    change(
        folder,
        """UPDATE events SET event = replace(event, '"value":"4"', '"value":"4.1"') WHERE rule = 'margin_ratio'""",
    )
    shown = replay(folder, "--verify")
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[:2] == [
        "main: NOT the same; judged again: 200 looks, 4 events",
        "  01 Jan 00:01:00 not the same",
    ]
    assert '"value":"4.1"' in shown.stdout.splitlines()[2]
    assert '"value":"4"' in shown.stdout.splitlines()[3]
    change(folder, "DELETE FROM events")
    assert "    recorded  nothing\n" in replay(folder, "--verify").stdout


async def test_of_many_differences_only_some_are_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.cli.verifying.MOST_SHOWN", 1)
    change(folder, "DELETE FROM events")
    assert "  … and 3 more; --json shows all\n" in replay(folder, "--verify").stdout


async def test_there_may_be_nothing_to_verify(folder: Path) -> None:
    shown = replay(folder, "--verify", "--account", "spare")
    assert (shown.exit_code, shown.stderr) == (1, f"{folder / 'riskbot.db'}: nothing was recorded of account 'spare'\n")
    change(folder, "DELETE FROM bundles")
    shown = replay(folder, "--verify")
    assert shown.exit_code == 1
    assert "is not remembered any more" in shown.stderr


@pytest.mark.parametrize("words", [["crash", "--verify"], ["crash", "--journal", "DB"]])
async def test_what_contradicts_itself_is_refused(words: list[str], folder: Path) -> None:
    shown = replay(folder, *(str(folder / "riskbot.db") if word == "DB" else word for word in words))
    assert shown.exit_code == 2
    assert "Usage:" in shown.stderr
