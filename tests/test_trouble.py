"""The built program in trouble: receivers, disk, clock and rules file fail under it, and it is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import deepcopy
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from riskbot.store import Message
from riskbot.store.outbox import WAITING
from riskbot.store.peek import look
from tests.stage import RULES, Account, Phone, Program, end_all, exchange, phone, polls, put, until, write_rules

KILLS = int(os.environ.get("RISKBOT_KILLS", "6"))
"""How often the program is killed in the last test; more by hand: RISKBOT_KILLS=200 pytest tests/test_trouble.py"""

SEED = int(os.environ.get("RISKBOT_SEED", "20261123"))

BOT = "123456789:AAbcdefghijklmnopqrstuvwxyz_012345678"


@pytest.fixture(autouse=True)
def _no_program_is_left() -> Iterator[None]:
    yield
    end_all()


# Receivers.


async def test_a_receiver_that_hangs_holds_up_neither_the_others_nor_the_watch(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone(delay=60) as hung, phone() as mail:
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": hung.url}, "mail": {"url": mail.url}}))
        program.start()
        story.ratio = "2"
        await mail.waits_for("CRITICAL · main · margin ratio 2")
        await until(lambda: hung.tries)
        asked = len(market.requests)
        await polls(market, 12)
        story.twap = "5"
        await mail.waits_for("EMERGENCY · main · forced repayment")
        assert (hung.tries, hung.heard) == (1, [])  # all of this while it hung
        moments = [request.at for request in list(market.requests)[asked:]]
        gaps = sorted(later - before for before, later in pairwise(moments))
        assert gaps[len(gaps) // 2] < 0.4  # polled every 0.2 s, most of the time

        await until(lambda: [m.receiver for state, m in program.rows() if state == "sent"] == ["mail", "mail"])
        program.kill()
        hung.delay = 0
        program.start()
        told = await hung.waits_for("CRITICAL · main · margin ratio 2")
        assert told.maybe
        assert not (await hung.waits_for("EMERGENCY · main · forced repayment")).maybe
        await polls(market, 5)
        assert await program.stop() == 0
        assert len(mail.heard) == len(hung.heard) == 2
        _assert_clean(program)


@pytest.mark.parametrize("service", ["webhook", "telegram"])
async def test_a_receiver_that_asks_for_patience_is_not_hammered_and_hears_it_once(
    tmp_path: Path, service: str
) -> None:
    story, refusals = Account(), iter([429, 429])
    async with exchange(story) as market, phone(answer=lambda: next(refusals, 200), retry_after=1) as mine:
        program, url = Program(tmp_path / "rules.toml"), mine.url
        if service == "telegram":
            base = mine.url.replace("json://", "http://").replace("/hook", "/bot")
            program.prelude = f"from apprise.plugins.telegram import NotifyTelegram as n; n.notify_url = {base!r}"
            url = f"tgram://{BOT}/987654321"
        write_rules(tmp_path, market.url, {"phone": {"url": url}})
        program.start()
        story.ratio = "2"
        await until(lambda: mine.tries)
        story.twap = "5"  # more comes while it wants to be left alone
        await mine.waits_for("CRITICAL · main · margin ratio 2")
        await mine.waits_for("EMERGENCY · main · forced repayment")
        await polls(market, 5)
        assert await program.stop() == 0
        assert len(mine.heard) == 2
        assert mine.tries == 4
        assert not any(heard.maybe for heard in mine.heard)
        if service == "telegram":  # of a webhook's Retry-After Apprise says nothing
            first, second, third, _ = mine.tried
            assert second - first >= 1
            assert third - second >= 1
        _assert_clean(program)


async def test_a_receiver_that_says_429_for_seconds_is_tried_ever_less_often(tmp_path: Path) -> None:
    story = Account(ratio="2")
    async with exchange(story) as market, phone(answer=lambda: 429) as mine:
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}))
        program.start()
        await until(lambda: mine.tries)
        await polls(market, 25)
        assert mine.tries <= 12
        mine.answer = lambda: 200
        told = await mine.waits_for("CRITICAL · main · margin ratio 2", seconds=40)
        assert not told.maybe
        assert await program.stop() == 0
        assert len(mine.heard) == 1
        _assert_clean(program)


async def test_while_a_receiver_is_broken_its_fallback_hears_all_of_it_to_the_end(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone(answer=lambda: 401) as mine, phone() as mail:
        receivers = {"phone": {"url": mine.url, "fallback": ["mail"]}, "mail": {"url": mail.url}}
        rules = [{**rule, "receivers": ["phone"]} for rule in _rules()]
        program = Program(
            write_rules(tmp_path, market.url, receivers, rules=rules), _with("courier.BROKEN_EVERY_URGENT")
        )
        program.start()
        story.ratio = "1.2"
        told = await mail.waits_for("EMERGENCY · main · margin ratio 1.2")
        assert "told here since phone can't be reached: " in told.body
        assert "401" in told.body
        await mail.waits_for("riskbot · delivery to phone is failing")
        assert not mine.heard

        mine.answer = lambda: 200
        late = await mine.waits_for("EMERGENCY · main · margin ratio 1.2")
        assert not late.maybe
        story.calm()
        await mine.waits_for("RESOLVED · main · margin ratio")
        await mail.waits_for("RESOLVED · main · margin ratio")
        story.twap = "5"  # and what begins now is its own again
        await mine.waits_for("EMERGENCY · main · forced repayment")
        await polls(market, 5)
        assert await program.stop() == 0
        assert [heard.title.split(" ")[0] for heard in mine.heard] == ["EMERGENCY", "RESOLVED", "EMERGENCY"]
        assert len(mail.all_of(" · main · ")) == 2
        _assert_clean(program)


# The store.


async def test_a_locked_database_is_told_and_when_the_lock_goes_nothing_is_lost_or_repeated(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules, _with("journal.JOURNAL_EVERY"))
        program.start()
        await until(lambda: program.knows("main"))
        with _locked(program.db):
            story.ratio = "2"
            told = await mine.waits_for("CRITICAL · main · margin ratio 2")
            assert "told from memory" in told.body
            failing = await mine.waits_for("CRITICAL · riskbot · the store is failing")
            assert "another program holds it locked" in failing.body
            story.twap = "5"
            await mine.waits_for("EMERGENCY · main · forced repayment", "told from memory")
        await until(lambda: program.knows("main", "forced repayment"))
        program.kill()
        program.start()
        story.ratio = "1.2"
        told = await mine.waits_for("EMERGENCY · main · margin ratio", "up from critical")
        assert "told from memory" not in told.body
        story.calm()
        await mine.waits_for("RESOLVED · main · margin ratio")
        await mine.waits_for("RESOLVED · main · forced repayment")
        assert await program.stop() == 0
        _assert_true_courses(mine)
        assert len(mine.all_of(" · main · ")) == len({heard.id for heard in mine.all_of(" · main · ")}) == 5
        _assert_clean(program)


async def test_it_begins_on_a_locked_database_and_takes_up_what_is_open_there(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules, _with("journal.JOURNAL_EVERY"))
        program.start()
        story.ratio = "4"
        await mine.waits_for("WARNING · main · margin ratio 4")
        await until(lambda: program.rows()[0][0] == "sent")
        program.kill()
        with _locked(program.db):
            program.start()
            story.ratio = "2"
            told = await mine.waits_for("CRITICAL · main · margin ratio 2", "up from warning", seconds=30)
            assert "told from memory" in told.body
            await mine.waits_for("CRITICAL · riskbot · the store is failing")
        story.ratio = "1.2"
        await mine.waits_for("EMERGENCY · main · margin ratio 1.2")
        await until(lambda: any(message.seq == 3 for _, message in program.rows()))
        assert await program.stop() == 0
        _assert_true_courses(mine)
        assert len(mine.all_of(" · main · ")) == 3
        _assert_clean(program)


async def test_a_second_riskbot_is_refused_also_while_the_first_has_its_hands_full(tmp_path: Path) -> None:
    async with exchange(Account(ratio="1.2", twap="5", conversion="5")) as market, phone(delay=0.3) as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        first, second = Program(rules), Program(rules)
        first.start()
        await until(lambda: mine.tries)
        second.start()
        assert second.process
        assert await asyncio.to_thread(second.process.wait, 15) == 1
        assert first.process
        assert f"another riskbot (process {first.process.pid}) is using {first.db}: stop it or" in first.log.read_text()
        await until(lambda: len(mine.heard) == 3)
        assert await first.stop() == 0
        assert not any(heard.maybe for heard in mine.heard)
        _assert_clean(first)


# Time.


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_set_is_told_and_changes_nothing_else(tmp_path: Path, hours: int) -> None:
    story, offset = Account(), put(tmp_path / "offset", "0")
    async with exchange(story) as market, phone() as mine:
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}), _clock(offset))
        program.start()
        story.ratio = "4"
        await mine.waits_for("WARNING · main · margin ratio 4")
        put(offset, str(hours * 3600))
        told = await mine.waits_for("WARNING · riskbot · the clock has jumped")
        assert f"set {'ahead' if hours > 0 else 'back'} by 1 h" in told.body
        await polls(market, 12)
        story.ratio, story.twap = "2", "5"
        await mine.waits_for("CRITICAL · main · margin ratio 2", "up from warning")
        await mine.waits_for("EMERGENCY · main · forced repayment")
        if hours < 0:
            await until(lambda: all(state == "sent" for state, _ in program.rows()))
            program.kill()
            program.start()
            await polls(market, 12)
            story.conversion = "5"
            await mine.waits_for("EMERGENCY · main · conversion")
        assert not mine.all_of("RESOLVED")
        story.calm()
        for rule in ("margin ratio", "forced repayment", "conversion")[: 2 if hours > 0 else 3]:
            await mine.waits_for("RESOLVED · main", rule)
        assert await program.stop() == 0
        assert not mine.all_of("can't see")
        assert not any(heard.maybe for heard in mine.heard)
        _assert_true_courses(mine)
        await mine.waits_for("WARNING · riskbot · the time of this machine is wrong", "1 h")
        assert len(mine.heard) == (7 if hours > 0 else 9)
        _assert_clean(program)


async def test_what_waits_is_told_after_a_restart_though_the_clock_was_set_back(tmp_path: Path) -> None:
    story, offset = Account(), put(tmp_path / "offset", "0")
    async with exchange(story) as market, phone(answer=lambda: 500) as mine:
        program = Program(write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}), _clock(offset))
        program.start()
        await polls(market, 3)
        put(offset, "-3600")
        story.ratio = "1.2"
        await until(lambda: any(state == "queued" and _is_far_off(message) for state, message in program.rows()))
        program.kill()
        mine.answer = lambda: 200
        program.start()
        await mine.waits_for("EMERGENCY · main · margin ratio", seconds=8)


async def test_what_stood_still_is_told_and_ends_or_repeats_nothing(tmp_path: Path) -> None:
    story = Account(ratio="2")
    async with exchange(story) as market, phone() as mine, phone() as slow:
        receivers = {"phone": {"url": mine.url}, "slow": {"url": slow.url}}
        program = Program(write_rules(tmp_path, market.url, receivers))
        program.start()
        await mine.waits_for("CRITICAL · main · margin ratio 2")
        await slow.waits_for("CRITICAL · main · margin ratio 2")
        slow.delay = 5
        story.twap = "5"
        await mine.waits_for("EMERGENCY · main · forced repayment")
        await until(lambda: slow.tries == 2)
        market.inject("latency=2s")
        await polls(market, 1)
        program.signal(signal.SIGSTOP)  # while a message is on its way, and a poll
        await asyncio.sleep(20)
        slow.delay = 0
        market.clear_faults()
        program.signal(signal.SIGCONT)
        told = await mine.waits_for("CRITICAL · riskbot · riskbot stood still")
        assert "nothing was watched for " in told.body
        await polls(market, 10)
        assert not mine.all_of("RESOLVED")
        assert not mine.all_of("can't see")
        story.calm()
        await mine.waits_for("RESOLVED · main · margin ratio")
        await mine.waits_for("RESOLVED · main · forced repayment")
        await slow.waits_for("RESOLVED · main · forced repayment")
        assert await program.stop() == 0
        assert len(mine.all_of(" · main · ")) == 4
        _assert_true_courses(mine, slow)
        _assert_clean(program)


# The rules file.


async def test_a_bad_rules_file_is_told_and_a_good_one_takes_over(tmp_path: Path) -> None:
    story = Account()
    async with exchange(story) as market, phone() as mine:

        def write(*rules: dict[str, Any]) -> str:
            return write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, rules=list(rules)).read_text()

        margin, twap, conversion, debt = _rules()
        good = write(margin, twap, conversion, debt)
        program = Program(tmp_path / "rules.toml", _with("reloader.LOOK_EVERY"))
        program.start()
        story.ratio, story.conversion = "4", "1"
        await mine.waits_for("WARNING · main · margin ratio 4")
        await mine.waits_for("WARNING · main · conversion")

        bad = good.replace('kind = "level"', 'kind = "lever"', 1)
        put(program.rules, bad)
        line = bad[: bad.index('"lever"')].count("\n") + 1
        told = await mine.waits_for("CRITICAL · riskbot · rules.toml can't be used")
        assert f"rules.toml:{line}: " in told.body
        assert "the rules from before stay in force" in told.body
        story.twap = "2"
        await mine.waits_for("WARNING · main · forced repayment")

        margin["below"] = {"warning": 5, "critical": 4.5}
        write(margin, twap, conversion, debt)  # a good one: it is taken up by itself
        told = await mine.waits_for("CRITICAL · main · margin ratio 4", "up from warning")

        heard = len(mine.heard)
        program.signal(signal.SIGHUP)
        await until(lambda: program.says("rules.toml: taken up") == 2)
        await polls(market, 8)
        assert len(mine.heard) == heard  # nothing changed, so nothing is said

        margin["below"] = {"warning": 5, "critical": 4.6, "emergency": 4.2}
        write(margin, twap, debt)
        program.signal(signal.SIGHUP)
        await mine.waits_for("EMERGENCY · main · margin ratio 4", "up from critical")
        await mine.waits_for("CLOSED · main · conversion", "closed: taken out of the rules file")
        await polls(market, 15)
        assert await program.stop() == 0
        assert len(mine.all_of(" · main · ")) == 6
        _assert_true_courses(mine)
        _assert_clean(program)


async def test_a_kill_in_the_middle_of_a_reload_loses_nothing(tmp_path: Path) -> None:
    dice, story = random.Random(7), Account(ratio="4", conversion="1")
    async with exchange(story) as market, phone() as mine:

        def write(*rules: dict[str, Any]) -> Path:
            return write_rules(tmp_path, market.url, {"phone": {"url": mine.url}}, rules=list(rules))

        margin, twap, conversion, debt = _rules()
        program = Program(write(margin, twap, conversion, debt))
        program.start()
        await mine.waits_for("WARNING · main · margin ratio 4")
        await mine.waits_for("WARNING · main · conversion")
        for tier in ("critical", "emergency"):
            await polls(market, 2)
            margin["below"] = {**margin["below"], tier: 4.6 if tier == "critical" else 4.2}
            write(margin, twap, debt)
            program.signal(signal.SIGHUP)
            await asyncio.sleep(dice.uniform(0, 0.3))
            program.kill()
            program.start()
            await mine.waits_for(f"{tier.upper()} · main · margin ratio 4")
            await mine.waits_for("CLOSED · main · conversion", "closed: taken out of the rules file")
        await polls(market, 5)
        assert await program.stop() == 0
        assert len({heard.id for heard in mine.heard}) == 5
        _assert_true_courses(mine)
        _assert_clean(program)


async def test_a_file_that_was_mended_while_riskbot_was_down_is_told_as_mended(tmp_path: Path) -> None:
    async with exchange(Account()) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program, good = Program(rules, QUICK_TO_RESOLVE + _with("reloader.LOOK_EVERY")), rules.read_text()
        program.start()
        await polls(market, 3)
        put(rules, good.replace('kind = "level"', 'kind = "lever"', 1))
        await mine.waits_for("CRITICAL · riskbot · rules.toml can't be used")
        program.kill()
        put(rules, good)
        program.start()
        await mine.waits_for("RESOLVED · riskbot · rules.toml is in use again", seconds=8)


# All at once.


async def test_random_kills_reloads_and_failing_receivers_lose_nothing(tmp_path: Path) -> None:
    """Crisis after crisis; the phone fails, hangs or asks for patience; the rules change to and fro; kill -9."""
    dice, story, crises = random.Random(SEED), Account(), [0]
    async with exchange(story) as market, phone(retry_after=1) as mine, phone() as mail:
        mine.answer = partial(_any_answer, mine, dice)
        receivers = {
            "phone": {"url": mine.url, "fallback": ["mail"], "fallback_after": "1s", "per_minute": 600},
            "mail": {"url": mail.url, "per_minute": 600},
        }
        margin, twap, conversion, debt = _rules()  # of the first both hear
        twap["receivers"] = conversion["receivers"] = debt["receivers"] = ["phone"]
        other = {**margin, "below": {"warning": 6, "critical": 4.5, "emergency": 2}}
        versions = [
            write_rules(tmp_path, market.url, receivers, rules=rules).read_text()
            for rules in ([other, twap, debt], [margin, twap, conversion, debt])
        ]
        program = Program(tmp_path / "rules.toml")
        troubles = [
            asyncio.create_task(_crisis_after_crisis(story, dice, crises)),
            asyncio.create_task(_edit(program, versions, dice)),
        ]
        for _ in range(KILLS):
            program.start()
            await asyncio.sleep(dice.uniform(0.8, 4))
            program.kill()
        for trouble in troubles:
            trouble.cancel()
        story.calm()
        mine.answer, mine.delay = lambda: 200, 0
        put(program.rules, versions[1])
        program.start()
        await until(lambda: program.knows("main") and _at_rest(program), 60)
        assert await program.stop() == 0

    rows = program.rows()
    counted = Counter(state for state, _ in rows)
    assert counted.keys() <= {"sent", "superseded"}, counted
    assert counted["sent"]
    _assert_each_step_was_told(rows, {"phone": mine, "mail": mail})
    _assert_true_courses(mine, mail, rows=rows)
    for rule, least in (("margin ratio", crises[0] // 3), ("forced repayment", crises[0] // 3), ("conversion", 0)):
        about = mine.all_of(f" · main · {rule}")
        assert len({heard.step[0] for heard in about if "EMERGENCY" in heard.title}) >= least
        assert not about or about[-1].title.startswith(("RESOLVED", "MISSED", "CLOSED"))
    repeats = sum(heard.maybe for heard in (*mine.heard, *mail.heard))
    assert repeats <= 2 * KILLS
    _assert_clean(program)
    told = f"{len(mine.heard)} + {len(mail.heard)} told, {repeats} perhaps again, {counted}"
    print(f"{KILLS} kills, {crises[0]} crises, {told}")  # noqa: T201


def _any_answer(one: Phone, dice: random.Random) -> int:
    one.delay, one.early = dice.choice((0, 0, 0, 0.3, 2)), dice.random() < 0.5
    return dice.choice((200, 200, 200, 429, 500, 503))


async def _crisis_after_crisis(story: Account, dice: random.Random, crises: list[int]) -> None:
    """Each lasts longer than a restart takes, so each must be told, at its worst, and its end too."""
    while True:
        story.calm()
        await asyncio.sleep(dice.uniform(2.5, 4))
        story.ratio, story.twap = "4", "1"
        await asyncio.sleep(dice.uniform(0.1, 1))
        story.ratio, story.twap, story.conversion = "1.2", "5", "5"
        await asyncio.sleep(dice.uniform(4, 6))
        crises[0] += 1


async def _edit(program: Program, versions: list[str], dice: random.Random) -> None:
    """Now this rules file, now that one; often riskbot is asked to take it up at once, if it runs by then."""
    while True:
        await asyncio.sleep(dice.uniform(1, 3))
        put(program.rules, dice.choice(versions))
        if dice.random() < 0.7 and program.is_up:
            program.signal(signal.SIGHUP)


def _at_rest(program: Program) -> bool:
    """Is no alert of the account open, or on its way, and nothing left to be sent?"""
    seen = look(program.db, WAITING)
    alerts = [alert for subjects in seen.alerts["main"].alerts.values() for alert in subjects.values()]
    return not seen.rows and not any(alert.shown or alert.up for alert in alerts)


def _assert_each_step_was_told(rows: list[tuple[str, Message]], phones: dict[str, Phone]) -> None:
    """Each step that was ever written was sent, or is covered by one that was; and what was sent was heard."""
    written = {(m.receiver, m.alert, m.episode, m.seq) for _, m in rows}
    sent = [message for state, message in rows if state == "sent"]
    told = {(m.receiver, m.alert, m.episode, m.seq) for m in sent}
    assert written == told | {(m.receiver, m.alert, step.episode, step.seq) for m in sent for step in m.covers}
    for message in sent:
        assert [heard for heard in phones[message.receiver].heard if heard.id == _id(message)], message.id


def _id(message: Message) -> str:
    again = f"r{message.reminder}" if message.reminder else ""
    return f"#{message.alert.replace('/', ' ').rstrip()} {message.episode:x}.{message.seq}{again}"


def _assert_true_courses(*phones: Phone, rows: list[tuple[str, Message]] | None = None) -> None:
    """In order, never back; what is told again says so; only what was told as firing is told as over.

    rows: the outbox. A message that was cut off may have been heard or not, and then its end is told all the same.
    """
    maybe = {_id(m) for _, m in rows or () if any(step.maybe_sent for step in m.covers)}
    for one in phones:
        for alert in {heard.alert for heard in one.heard}:
            before = (0, 0, 0)
            for heard in one.heard:
                if heard.alert != alert:
                    continue
                assert heard.step >= before, (heard, before)
                assert heard.maybe or heard.step > before, heard
                if heard.title.startswith("RESOLVED") and heard.step[0] != before[0]:
                    assert heard.id in maybe or heard.maybe, f"the end of something that was never told: {heard}"
                before = heard.step


def _assert_clean(program: Program) -> None:
    """It never stumbled, and gave away no secret."""
    log = program.log.read_text(encoding="utf-8")
    for word in ("Traceback", "stumbled", "secret-of-test", "passphrase-of-test", BOT):
        assert word not in log


def _rules() -> list[dict[str, Any]]:
    """The four rules of the stage, to be changed; they fall after half a second."""
    return [deepcopy({"keep_firing_for": "500ms", "flap": {"within": "1s", "calm": "1s"}, **rule}) for rule in RULES]


QUICK_TO_RESOLVE = """
from riskbot import health, service
quick = {"name": "health", "kind": "health", "keep_firing_for": "500ms"}
service.health = lambda *of: health.Health.model_validate({**quick, "names": sum(map(tuple, of), ())})
"""
"""What riskbot tells of itself is over half a second after it is over, not half a minute."""


def _is_far_off(message: Message) -> bool:
    """Is it of the account, and will it be tried again only in a while?"""
    return message.account == "main" and message.due_at > time.time() + 0.5  # noqa: TID251 - the clock that was set back goes on


def _with(wait: str) -> str:
    """One of the service's waits is a second."""
    return f"from riskbot.service import {wait.partition('.')[0]}; {wait} = 1.0"


def _clock(offset: Path) -> str:
    """A machine whose clock is off by as many seconds as stand in that file."""
    return f"import time; real = time.time; time.time = lambda: real() + float(open({str(offset)!r}).read())"


@contextmanager
def _locked(db: Path) -> Iterator[None]:
    """Another program (this one) holds the database."""
    with closing(sqlite3.connect(db, isolation_level=None, timeout=10)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
