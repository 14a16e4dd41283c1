"""The built program with plugins: a broken one at the start, one that is edited, one that is broken while it runs."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.stage import KEYS, RULES, Account, Program, exchange, phone, polls, put, until, write_rules

MINE = """
from riskbot import Reading, Rule, hookimpl

class Mine(Rule, kind="mine", worse="below"):
    def readings(self, view):
        yield Reading(view.snapshot.mgn_ratio)

    def say(self, event):
        return f"first words {event.value}"

@hookimpl
def register_rules():
    return [Mine]
"""
OWN = {"name": "own", "kind": "mine", "below": {"warning": 5, "critical": 3, "emergency": 1.5}}


async def test_plugins_are_watched_told_and_reloaded_and_hurt_nothing_else(tmp_path: Path) -> None:
    story = Account()
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    put(folder / "mine.py", MINE)
    put(folder / "bad.py", "1/0\n")
    async with exchange(story) as market, phone() as mine:
        rules = [*({"keep_firing_for": "500ms", **rule} for rule in RULES), OWN]
        changes = {"plugins": ["plugins"], "rules": rules}
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, **changes))
        program.start()
        await mine.waits_for("WARNING · riskbot · plugin bad is failing", "plugins/bad.py:1: ZeroDivisionError")
        story.ratio = "4"
        await mine.waits_for("WARNING · main · first words 4")
        await mine.waits_for("WARNING · main · margin ratio 4 (400 %)")

        # It is mended by taking it away, and riskbot finds that by itself.
        (folder / "bad.py").unlink()
        await mine.waits_for("CLOSED · riskbot · plugin bad")

        # Another is broken as it is edited: the old one goes on.
        put(folder / "mine.py", MINE.replace("yield Reading(", "yield Reading(("))
        program.signal(signal.SIGHUP)
        await mine.waits_for("CRITICAL · riskbot · rules.toml can't be used", "plugins/mine.py:6: not valid Python")
        story.ratio = "2.5"
        await mine.waits_for("CRITICAL · main · first words 2.5")

        # And is mended.
        taken_up = program.says("taken up")
        put(folder / "mine.py", MINE.replace("first words", "second words"))
        program.signal(signal.SIGHUP)
        await until(lambda: program.says("taken up") > taken_up)
        story.ratio = "1.2"
        await mine.waits_for("EMERGENCY · main · second words 1.2")
        await mine.waits_for("EMERGENCY · main · margin ratio 1.2 (120 %)")

        # It raises: only its own rule has no data.
        put(folder / "mine.py", MINE.replace("view.snapshot.mgn_ratio", "1 / 0"))
        program.signal(signal.SIGHUP)
        await mine.waits_for("WARNING · riskbot · plugin mine is failing", 'rule "own"', "(mine.py:6)")
        story.ratio = "9"
        await mine.waits_for("INFO · main · margin ratio 9 (900 %)")
        await polls(market, 2)
        assert not mine.all_of("RESOLVED", "words")
        assert await program.stop() == 0
    assert "Traceback" not in program.log.read_text()


ENDLESS = """
import asyncio
from riskbot import AccountInfo, Snapshot, hookimpl

async def never():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

class Source:
    async def info(self):
        return AccountInfo("9", "3", permissions=("read_only",), ips=("127.0.0.1",))

    async def fetch(self):
        await never()

    async def close(self):
        pass

class Notifier:
    async def send(self, text):
        await never()

    async def close(self):
        pass

@hookimpl
def register_sources():
    return {"endless": lambda account: Source()}

@hookimpl
def register_notifiers():
    return {"endless": lambda url: Notifier()}
"""

HASTY = """
from riskbot.service import courier, watch
courier.LOOK_EVERY, courier.STILL, watch.STILL = 0.1, 2.0, 2.0
"""


async def test_a_source_and_a_receiver_that_do_not_end_are_told_and_can_be_taken_away(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o700)
    put(folder / "endless.py", ENDLESS)
    async with exchange(Account(ratio="2")) as market, phone() as mine:
        main = {"name": "main", **KEYS, "base_url": market.url, "poll_every": "200ms"}
        other = {"name": "other", "source": "endless", "poll_every": "200ms"}
        receivers = {"phone": {"url": mine.url}}
        endless = receivers | {"slow": {"url": "endless://x", "fallback": ["phone"]}}
        rules = write_rules(tmp_path, market.url, endless, accounts=[main, other], plugins=["plugins"])
        program = Program(rules, HASTY)
        program.start()
        await mine.waits_for("CRITICAL · riskbot · watching other is failing", "it stands still")
        await mine.waits_for("CRITICAL · riskbot · delivery to slow is failing", "it stands still")
        write_rules(tmp_path, market.url, receivers, accounts=[main], plugins=["plugins"])
        await until(lambda: program.says("rules.toml: taken up"))
        assert program.says("other: its source does not end, and is left alone") == 1
        await program.stop()
        assert not mine.all_of("watching main")
