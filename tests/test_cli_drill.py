"""riskbot drill: a rehearsal through rules, planner, words and receivers, by the built program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stage import phone, write_rules

PROGRAM = Path(sys.executable).with_name("riskbot")
TIERS = {"info": 10, "warning": 5, "critical": 3, "emergency": 1.5}
RULES = [{"name": "ratio", "kind": "margin_ratio", "below": TIERS}]


async def drill(
    folder: Path, receivers: dict[str, Any], *words: str, **changes: Any
) -> subprocess.CompletedProcess[str]:
    rules = write_rules(folder, "https://127.0.0.1:1", receivers, **{"rules": RULES} | changes)
    env = {**os.environ, "COLUMNS": ""}
    command = [PROGRAM, "drill", "-c", rules, *words]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL
    )


async def test_each_receiver_hears_one_message_of_each_severity_that_is_for_it(tmp_path: Path) -> None:
    async with phone() as mine, phone() as pager:
        urls = {"phone": {"url": mine.url}, "pager": {"url": pager.url, "min_severity": "critical"}}
        run = await drill(tmp_path, urls)

        assert (run.returncode, run.stderr) == (0, "")
        assert [title.split(" · ")[:3] for title in mine.titles] == [
            ["DRILL", tier.upper(), "main"] for tier in ("info", "warning", "critical", "emergency")
        ]
        assert [title.split(" · ")[1] for title in pager.titles] == ["CRITICAL", "EMERGENCY"]
        assert mine.heard[0].body.startswith("Only a drill: nothing is wrong.\nPlayed from the scenario crash.\n")
    first, second = run.stdout.splitlines()
    assert first.startswith("ok  receiver phone  4 messages (info, warning, critical, emergency) taken in 0.")
    assert second.startswith("ok  receiver pager  2 messages (critical, emergency) taken in 0.")


async def test_nothing_is_remembered_of_a_drill(tmp_path: Path) -> None:
    async with phone() as mine:
        await drill(tmp_path, {"phone": {"url": mine.url}})
        assert mine.messages == 4
    assert [path.name for path in tmp_path.iterdir()] == ["rules.toml"]


async def test_all_messages_of_it_end_with_the_last(tmp_path: Path) -> None:
    level = [{"name": "twap", "kind": "level", "field": "details.twap", "at_least": {"warning": 2, "critical": 5}}]
    async with phone() as mine:
        urls = {"phone": {"url": mine.url}}
        run = await drill(tmp_path, urls, "--all", "--scenario", "forced-repayment", rules=level)
        assert run.returncode == 0
        assert [title.split(" · ")[1] for title in mine.titles] == ["WARNING", "CRITICAL", "RESOLVED"]


async def test_a_receiver_for_whom_there_is_nothing_is_named_and_why(tmp_path: Path) -> None:
    mild = [{"name": "ratio", "kind": "margin_ratio", "below": {"info": 10}}]
    async with phone() as mine, phone() as pager:
        urls = {"phone": {"url": mine.url}, "pager": {"url": pager.url, "min_severity": "critical"}}
        run = await drill(tmp_path, urls, rules=mild)
        assert pager.messages == 0

    assert run.returncode == 0
    assert "warning  receiver pager  nothing of it is for this receiver (min_severity critical)" in run.stdout


async def test_one_that_does_not_take_it_is_told_with_its_answer(tmp_path: Path) -> None:
    async with phone(answer=lambda: 401) as mine:
        run = await drill(tmp_path, {"phone": {"url": f"{mine.url}?+X-Auth=planted-secret"}}, "--json")

    (told,) = json.loads(run.stdout)
    assert run.returncode == 1
    assert (told["name"], told["state"], len(told["tries"])) == ("phone", "wrong", 4)
    assert told["says"].startswith("4 of 4 not taken: ")
    assert told["tries"][2]["severity"] == "critical"
    assert told["tries"][2]["outcome"] == "broken"
    assert "planted" not in run.stdout + run.stderr


async def test_what_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    urls = {"phone": {"url": "json://127.0.0.1:1"}}
    run = await drill(tmp_path, urls, "--scenario", "krash")
    assert run.returncode == 2
    assert run.stderr.startswith("no scenario 'krash': give one of ")

    run = await drill(tmp_path, urls, "--account", "mian")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == 'no account "mian"; did you mean "main"?\n'
