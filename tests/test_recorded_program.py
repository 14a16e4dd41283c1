"""The built program records what it judges: over reloads, and an account that comes and goes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from riskbot import rulebook
from riskbot.store import archive
from riskbot.verify import verify_stored
from tests.files import KINDS
from tests.stage import KEYS, RULES, Account, Program, exchange, phone, polls, until, write_rules


async def test_what_it_did_can_be_judged_again_over_reloads_and_accounts_that_come_and_go(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone() as mine:
        told = {"phone": {"url": mine.url}}
        one, two = ({"name": name, **KEYS, "base_url": market.url, "poll_every": "1s"} for name in ("main", "spare"))
        program = Program(write_rules(tmp_path, market.url, told, accounts=[one, two]))
        program.start()
        story.ratio = "2.5"
        await mine.waits_for("CRITICAL · main · margin ratio")
        await mine.waits_for("CRITICAL · spare · margin ratio")

        changed = [{**RULES[0], "below": {"warning": 5}, "keep_firing_for": "1s"}, *RULES[1:]]
        write_rules(tmp_path, market.url, told, accounts=[one], rules=changed)
        await mine.waits_for("CLOSED · spare · margin ratio")
        await mine.waits_for("WARNING · main · margin ratio")
        story.calm()
        await mine.waits_for("RESOLVED · main · margin ratio")

        write_rules(tmp_path, market.url, told, accounts=[one, {**two, "poll_every": "500ms"}], rules=changed)
        await until(lambda: program.says("taken up") == 2)
        story.ratio = "4"
        await mine.waits_for("WARNING · spare · margin ratio")
        await polls(market, 3)
        assert await program.stop() == 0

    for name, events in (("main", 3), ("spare", 3)):
        verdict = await asyncio.to_thread(verify_stored, program.db, name, KINDS)
        assert verdict.differences == ()
        assert verdict.exact
        assert verdict.events >= events
    books = [rulebook.read(kept.bundle) for kept in archive.kept(program.db)]
    assert [[account.name for account in book.accounts] for book in books] == [
        ["main", "spare"],
        ["main"],
        ["main", "spare"],
    ]
    stored = "".join(kept.bundle for kept in archive.kept(program.db))
    assert [secret for secret in (*KEYS.values(), mine.url) if secret in stored] == []
