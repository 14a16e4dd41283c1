"""riskbot check --live: the exchange, the key, each rule and each receiver, asked by the built program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from riskbot.setup import gate
from riskbot.simulator import SimAccount, Simulator, load_scenario
from riskbot.store.peek import look
from tests.notifier_contract import free_address
from tests.stage import KEYS, RULES, Account, Program, exchange, phone, put, write_rules

PROGRAM = Path(sys.executable).with_name("riskbot")


async def check(rules: Path, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the lines for machines, and all that was said."""
    command = [PROGRAM, "check", "--live", "--json", "-c", rules, *words]
    env = {**os.environ, "no_proxy": "*"}
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, env=env)
    assert run.stdout, run.stderr
    return run.returncode, json.loads(run.stdout)["things"], run.stdout + run.stderr


def of(things: list[dict[str, Any]], kind: str, name: str) -> list[tuple[str, str]]:
    """State and words of one thing."""
    return [(thing["state"], thing["says"]) for thing in things if (thing["kind"], thing["name"]) == (kind, name)]


@asynccontextmanager
async def crash(**options: Any) -> AsyncIterator[Simulator]:
    """A calm exchange in multi-currency mode, unless said otherwise."""
    account = SimAccount(*KEYS.values(), uid="77", scenario=load_scenario("crash"), **options)
    async with Simulator([account], speed=0) as found:
        yield found


async def test_each_rule_says_what_it_would_say_now(tmp_path: Path) -> None:
    story = Account(ratio="2", twap="1")
    async with exchange(story) as market, phone() as mine:
        code, things, _ = await check(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))

    assert code == 0
    assert of(things, "rule", "main · margin ratio") == [("alert", "would say now: CRITICAL margin ratio 2 (200 %)")]
    assert of(things, "rule", "main · forced repayment") == [
        ("alert", "would say now: WARNING forced repayment USDT: level 1 of 5")
    ]
    assert of(things, "rule", "main · conversion") == [("ok", "quiet: USDT level 0")]
    assert of(things, "rule", "main · debt grows") == [("ok", "quiet: it compares with the last 10 s, from now on")]
    assert of(things, "account", "main") == [("ok", "equity $60,000, margin ratio 2, debt in USDT")]
    assert of(things, "clock", "main") == [("ok", "this machine's clock is right to the second")]
    assert of(things, "key", "main") == [
        ("ok", "uid 77, Multi-currency margin mode, read_only, bound to 127.0.0.0/8, ::1")
    ]
    assert mine.tries == 0
    (severity,) = {thing["severity"] for thing in things if thing.get("rule") == "margin ratio"}
    assert severity == "critical"


async def test_a_rule_without_data_in_this_mode_would_not_work(tmp_path: Path) -> None:
    async with crash(mode="1") as market, phone() as mine:
        code, things, _ = await check(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))

    assert code == 1
    said = "would have no data in Spot mode: what it reads is carried in Multi-currency margin or Portfolio margin mode"
    assert of(things, "rule", "main · forced repayment") == [("wrong", said)]
    assert of(things, "rule", "main · blind") == [("ok", "quiet")]
    assert things[0]["kind"] == "file"
    assert [thing["state"] for thing in things[1:4]] == ["wrong"] * 3


async def test_how_to_keep_an_account_out_of_a_rule_of_others_is_told(tmp_path: Path) -> None:
    async with crash(mode="1") as market, phone() as mine:
        accounts = [{"name": name, **KEYS, "base_url": market.url} for name in ("main", "käthe", "bob")]
        path = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, accounts=accounts)
        _, things, _ = await check(path)

    ((_, said),) = of(things, "rule", "main · forced repayment")
    assert said.endswith(' margin mode; to keep main out of it: accounts = ["käthe", "bob"]')
    ((_, quiet),) = of(things, "rule", "main · blind")
    assert quiet == "quiet"


async def test_a_key_that_can_withdraw_is_wrong_and_one_that_can_trade_is_looked_at(tmp_path: Path) -> None:
    async with crash(permissions=("read_only", "withdraw", "trade"), ips=()) as market, phone() as mine:
        code, things, _ = await check(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))

    assert code == 1
    said = sorted((state, says.partition(":")[0]) for state, says in of(things, "key", "main"))
    assert said == [
        ("ok", "uid 77, Multi-currency margin mode, read_only, withdraw, trade, bound to no IP address"),
        ("warning", "it can trade"),
        ("warning", "it has no IP binding"),
        ("wrong", "it can withdraw"),
    ]


async def test_what_the_file_allows_a_key_is_not_told(tmp_path: Path) -> None:
    allowed = {"name": "key", "kind": "key_safety", "trade": "off", "no_ip": "off"}
    async with crash(permissions=("read_only", "trade"), ips=()) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, rules=[allowed])
        code, things, _ = await check(rules)

    assert (code, len(of(things, "key", "main"))) == (0, 1)


async def test_a_refused_key_is_told_with_what_to_do_and_without_its_secrets(tmp_path: Path) -> None:
    async with crash() as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        rules.write_text(rules.read_text().replace(KEYS["passphrase"], "planted-passphrase"))
        code, things, said = await check(rules)

    assert code == 1
    todo = gate.ADVICE["50105"][0]  # as init says it
    assert of(things, "account", "main") == [("wrong", f"can't be seen: the passphrase is wrong (code 50105). {todo}")]
    assert not any(thing["kind"] == "rule" for thing in things)
    assert not any(secret in said for secret in ("planted", KEYS["api_secret"], KEYS["api_key"]))


async def test_a_key_that_is_known_and_a_balance_that_is_refused_are_both_told(tmp_path: Path) -> None:
    async with crash() as market, phone() as mine:
        market.inject("code=50011 on=balance")
        code, things, _ = await check(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))

    assert code == 1
    assert of(things, "key", "main")[0][0] == "ok"
    assert "there are too many requests" in of(things, "account", "main")[0][1]


async def test_a_clock_that_is_off_is_a_warning(tmp_path: Path) -> None:
    async with crash() as market, phone() as mine:
        market.inject("skew=45s")
        code, things, _ = await check(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))

    assert code == 0
    ((state, says),) = of(things, "clock", "main")
    assert state == "warning"
    assert says.startswith("this machine's clock is 4")
    assert says.endswith(" s behind the exchange's; riskbot allows for it, but set it right (NTP)")


async def test_another_account_than_riskbot_watched_before_is_wrong(tmp_path: Path) -> None:
    async with crash() as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules)
        program.start()
        async with asyncio.timeout(20):
            while not program.knows("main") or look(program.db, ()).alerts["main"].uid != "77":
                await asyncio.sleep(0.05)
        assert await program.stop() == 0
        assert (await check(rules))[0] == 0
        market.accounts[KEYS["api_key"]].uid = "78"
        code, things, _ = await check(rules)

    assert code == 1
    assert ("wrong", "it belongs to another account of OKX than before (uid 77)") in [
        (state, says.partition(";")[0]) for state, says in of(things, "key", "main")
    ]


async def test_a_receiver_that_does_not_listen_is_wrong_and_one_that_is_not_known_is_not_tried(tmp_path: Path) -> None:
    there = {"gone": {"url": f"json://{free_address()}"}, "push": {"url": "ntfy://topic"}}
    async with crash() as market:
        code, things, _ = await check(write_rules(tmp_path, market.url, there))

    assert code == 1
    ((state, says),) = of(things, "receiver", "gone")
    assert (state, says.partition(" ")[2]) == ("wrong", "can't be reached (Connection refused)")
    assert of(things, "receiver", "push") == [("ok", "not tried; see: riskbot notify push")]


PAPER = """
from riskbot import AccountInfo, Snapshot, hookimpl

class Paper:
    def __init__(self, account): pass
    async def fetch(self): return Snapshot({"totalEq": "5", "mgnRatio": "9", "details": []})
    async def info(self): return AccountInfo("5", "3", permissions=("read_only",), ips=("127.0.0.1",))
    async def close(self): pass

@hookimpl
def register_sources(): return {"paper": Paper}
"""


async def test_the_account_of_a_plugin_is_asked_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    put(folder / "paper.py", PAPER)
    account = {"accounts": [{"name": "main", "source": "paper"}], "plugins": ["plugins"], "rules": RULES[:1]}
    async with phone() as mine:
        code, things, _ = await check(write_rules(tmp_path, "", {"phone": {"url": mine.url}}, **account))

    assert code == 0
    assert of(things, "clock", "main") == []
    assert of(things, "account", "main") == [("ok", "equity $5.00, margin ratio 9")]
    assert of(things, "plugin", "paper") == [("ok", "source paper")]


DESK = """
from riskbot import Event, Notifier, Outcome, Reading, Rule, SourceError, Verdict, View, hookimpl

class Loud(Rule, kind="loud", worse="above"):
    def readings(self, view: View):
        yield Reading(1)
    def say(self, event: Event) -> str:
        return "loud " + event.nonsense

class Lame(Rule, kind="lame", worse="above"):
    def readings(self, view: View):
        raise ValueError("lame")

class Slow(Rule, kind="slow", worse="above"):
    def readings(self, view: View):
        yield Reading(1)
    def explain(self, view: View, event: Event):
        if event.after:
            while True:
                pass
        return ()

@hookimpl
def register_rules(): return [Loud, Lame, Slow]

@hookimpl
def render(event, headline): return headline
"""


async def test_messages_that_fail_are_found_before_the_night_they_are_due(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    put(folder / "desk.py", DESK)
    own = [{"name": kind, "kind": kind, "above": {"warning": 1}} for kind in ("loud", "lame", "slow")]
    async with crash() as market, phone() as mine:
        receivers = {"phone": {"url": mine.url}}
        rules = write_rules(tmp_path, market.url, receivers, plugins=["plugins"], rules=[*RULES, *own])
        code, things, _ = await check(rules)

    assert code == 1
    ((state, loud),) = of(things, "rule", "loud")
    assert state == "wrong"
    assert "AttributeError: 'Event' object has no attribute 'nonsense' (desk.py:8)" in loud
    assert of(things, "rule", "lame") == [
        ("wrong", "fails at sample data: the rule failed: ValueError: lame (desk.py:12)")
    ]
    assert "it did not end within 5 s" in of(things, "rule", "slow")[0][1]
    said = "fails at sample data: plugin desk: render gave str, not (headline, lines)"
    assert of(things, "rule", "margin ratio") == [("wrong", said)]
    assert of(things, "rule", "main · lame") == [("wrong", "the rule failed: ValueError: lame (desk.py:12)")]
