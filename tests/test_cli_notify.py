"""riskbot notify: a test message through the production notifiers, by the built program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from riskbot.notify import Outcome, Text, Verdict
from riskbot.setup import trial
from tests.stage import phone, put, write_rules

PROGRAM = Path(sys.executable).with_name("riskbot")
TOKEN = "123456789:AAplanted-bot-token_0123456789abcdefg"
DESK = """
from riskbot import Notifier, Outcome, Verdict, hookimpl

class Desk:
    def __init__(self, url): self.url = url
    async def send(self, text): return Verdict(Outcome.BROKEN, f"no desk at {self.url}")
    async def close(self): pass

@hookimpl
def register_notifiers(): return {"desk": Desk}
"""


async def notify(rules: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "notify", "-c", rules, *words]
    env = {**os.environ, "COLUMNS": ""}
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, env=env)


async def test_all_receivers_get_a_message_that_nobody_takes_for_an_alert(tmp_path: Path) -> None:
    async with phone() as mine, phone() as other:
        receivers = {"phone": {"url": mine.url, "min_severity": "emergency"}, "mail": {"url": other.url}}
        run = await notify(write_rules(tmp_path, "https://127.0.0.1:1", receivers))

        assert (run.returncode, run.stderr) == (0, "")
        assert [line.split(" in ")[0] for line in run.stdout.splitlines()] == [
            "ok  receiver phone  sent",
            "ok  receiver mail   sent",
        ]
        assert mine.titles == ["TEST · riskbot · phone"]
        assert other.titles == ["TEST · riskbot · mail"]
        assert mine.heard[0].body.startswith("Only a test: nothing is wrong.\n")


async def test_only_the_receivers_that_are_named_get_one(tmp_path: Path) -> None:
    async with phone() as mine, phone() as other:
        rules = write_rules(tmp_path, "https://127.0.0.1:1", {"phone": {"url": mine.url}, "mail": {"url": other.url}})

        assert (await notify(rules, "mail", "mail")).returncode == 0
        assert (mine.messages, other.messages) == (0, 1)


async def test_what_a_receiver_answers_is_told_without_its_secrets(tmp_path: Path) -> None:
    async with phone(answer=lambda: 401) as mine:
        url = f"{mine.url}?+X-Auth={TOKEN}".replace("json://", f"json://user:{TOKEN}@")
        run = await notify(write_rules(tmp_path, "https://127.0.0.1:1", {"phone": {"url": url}}), "--json")

    (told,) = json.loads(run.stdout)
    assert run.returncode == 1
    assert (told["kind"], told["name"], told["state"], told["outcome"]) == ("receiver", "phone", "wrong", "broken")
    assert told["answer"] == "HTTP 401: Verification Failed"
    assert told["answer"] in told["says"]
    assert told["seconds"] >= 0
    assert TOKEN not in run.stdout + run.stderr


async def test_one_that_fails_is_shown_beside_those_that_work(tmp_path: Path) -> None:
    async with phone(answer=lambda: 500) as mine, phone() as other:
        rules = write_rules(tmp_path, "https://127.0.0.1:1", {"phone": {"url": mine.url}, "mail": {"url": other.url}})
        run = await notify(rules)

    assert run.returncode == 1
    first, second = run.stdout.splitlines()
    assert first.startswith("WRONG  receiver phone  ")
    assert "HTTP 500: Internal server error" in first
    assert second.startswith("ok     receiver mail   sent in ")


async def test_a_plugins_receiver_is_tried_too_and_its_words_hold_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    put(folder / "desk.py", DESK)
    url = "desk://planted-secret-of-desk"
    rules = write_rules(tmp_path, "https://127.0.0.1:1", {"desk": {"url": url}}, plugins=["plugins"])
    run = await notify(rules)

    assert run.returncode == 1, run.stderr
    assert run.stdout.startswith("WRONG  receiver desk  no desk at desk://***")
    assert "planted" not in run.stdout


async def test_a_receiver_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    rules = write_rules(tmp_path, "https://127.0.0.1:1", {"phone": {"url": "json://127.0.0.1:1"}})
    run = await notify(rules, "fone")

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == 'no receiver "fone"; did you mean "phone"?\n'


class Fake:
    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict, self.closed = verdict, False

    async def send(self, text: Text) -> Verdict:
        if self.verdict is None:
            await asyncio.Event().wait()
        assert self.verdict
        return self.verdict

    async def close(self) -> None:
        self.closed = True


async def test_a_receiver_that_never_answers_is_given_up_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SEND_DEADLINE", 0.01)
    fake: Any = Fake(None)
    found = await trial.send("phone", fake, trial.message("phone", 0.0))

    assert (found.ok, found.outcome, fake.closed) == (False, Outcome.AMBIGUOUS, True)
    assert found.says.startswith("it may have arrived: no answer within 0.01 s (after 0.")


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict(Outcome.SENT), "sent in 0."),
        (Verdict(Outcome.SENT, "id 7"), "sent in 0.0 s: id 7"),
        (Verdict(Outcome.RETRY), "retry (after 0."),
        (Verdict(Outcome.PERMANENT, "too long"), "too long (after 0."),
    ],
)
async def test_the_answer_is_told_in_a_few_words(verdict: Verdict, says: str) -> None:
    assert (await trial.send("phone", Fake(verdict), 0.0)).says.startswith(says)
