"""What was seen once is judged again as it was: the watch and the player say the same of the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
import pytest

from riskbot.delivery import Receiver
from riskbot.model import AccountInfo, Alerts, Observation
from riskbot.playback import Entry, Failure, Known, Player, Reply, at_once
from riskbot.recording import Adopted, Again, Checkpoint, Look, Shifted, decode
from riskbot.replay import replies
from riskbot.service.clock import Clock
from riskbot.service.recorder import Recorder
from riskbot.service.watch import Watch
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError
from riskbot.store import Message
from riskbot.store.memory import MemoryStore
from tests.desk import BLIND, DEBT, RATIO, Desk, Hands, rule

START = 1_767_225_600.0
RULES = (
    RATIO,
    DEBT,
    BLIND,
    rule("level", field="details.twap", at_least={"warning": 1, "emergency": 4}),
    rule("time_to", field="mgnRatio", reaches=1, within={"critical": "20m"}, over=["1m", "3m"]),
    rule("key_safety"),
)


class Market:
    """A source with a life of its own, and all that it answered, as lines of a recording."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = START
        self.ratio, self.liab, self.twap = 8.0, 1000.0, 0
        self.trouble, self.well = 0, False
        self.lines: list[bytes] = []

    async def fetch(self) -> Snapshot:
        dice = self.dice
        self.trouble = self.trouble - 1 if self.trouble else dice.choice([0] * 60 + [2, 30])
        if self.trouble and not self.well:
            return self.refuse()
        self.ratio = max(0.5, self.ratio + dice.uniform(-0.4, 0.38))
        self.liab *= dice.choice([1, 1, 1, 1.01, 1.04, 0.98])
        self.twap = min(5, max(0, self.twap + dice.choice([0] * 20 + [1, -1])))
        row = {"ccy": "USDT", "eq": "1000", "eqUsd": "1000", "liab": f"{self.liab:.2f}", "twap": str(self.twap)}
        ratio = dice.choice([f"{self.ratio:.3f}"] * 30 + ["", "odd"])
        raw: dict[str, Any] = {"mgnRatio": ratio, "adjEq": "50000", "details": [row] * dice.choice([1] * 40 + [0])}
        self.note(body=raw)
        return Snapshot(orjson.loads(orjson.dumps(raw)))

    def refuse(self) -> Snapshot:
        why = self.dice.choice(["no answer within 5 s", "the connection broke"])
        self.note(error=why)
        raise SourceError(why, self.dice.choice([Remedy.RETRY, Remedy.BACK_OFF]))

    async def info(self) -> AccountInfo:
        self.note(config={"uid": "77", "acctLv": "3", "perm": "read_only,trade", "ip": "10.0.0.1"})
        return AccountInfo("77", "3", "", ("read_only", "trade"), ("10.0.0.1",))

    async def close(self) -> None:
        pass

    def note(self, **what: Any) -> None:
        self.lines.append(orjson.dumps({"t": round(self.now * 1000), **what}) + b"\n")


class Life:
    """A watch's life on the virtual clock. lines: what its source answered. restarts: it is begun anew now and then."""

    def __init__(self, seed: int, *, restarts: bool = False) -> None:
        self.market, self.hands, self.store = Market(seed), Hands(), MemoryStore()
        self.hands.turn(START - self.hands.wall)
        self.dice, self.restarts = random.Random(seed), restarts

    async def begin(self) -> None:
        desk = Desk(*RULES, store=self.store)
        desk.hands, desk.judge.recorder = self.hands, Recorder("main", "a bundle")
        clock = self.hands.clock = Clock(lambda: self.hands.wall, lambda: self.hands.monotonic)
        self.watch = Watch(desk.judge, self.market, clock, desk.problems, 1.0, desk.minder.ask)
        await self.watch.load(self.store)

    async def last(self, seconds: int) -> list[Any]:
        """Live so long; gives all that was told."""
        await self.begin()
        for second in range(seconds):
            self.market.well = second > seconds - 90  # its last polls succeed
            await self.second(second)
        await self.watch.close()
        rows = await self.store.outbox(("queued", "sending", "sent", "superseded", "dead"))
        return [said(message) for _, message in reversed(rows)]

    async def second(self, second: int) -> None:
        now = self.market.now = self.hands.wall
        await (self.watch.poll() if self.watch._resume <= now else self.watch.wait())
        for message in await self.store.take("phone", 99, now, 30.0):
            await self.store.ack(message, now)
        if second % 10 == 0 and self.watch.sight.ever_seen:
            await self.store.record(self.watch.observer.drained(now, self.watch.sight.seen))
        self.hands.turn(1.0)
        if not self.market.trouble and self.dice.random() < 0.005:
            self.hands.turn(self.dice.choice([5.0, 60.0, 900.0]))  # the machine slept
        if self.restarts and self.dice.random() < 0.005:
            await self.watch.close()
            self.hands.turn(self.dice.choice([0.0, 3.0, 300.0]))
            await self.begin()


def said(message: Message) -> Any:
    return message.id, message.receiver, message.at, message.title, message.body, message.cause


def played(entries: Iterable[Entry]) -> list[Any]:
    heard: list[Message] = []
    player = Player("main", RULES, [Receiver("phone")], told=heard.append)
    for entry in entries:
        at_once(player.play(entry))
    return [said(message) for message in heard]


def _raised(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("seed", range(4))
async def test_replay_and_live_give_the_same_messages_for_the_same_input(seed: int) -> None:
    life = Life(seed)
    told = sorted(await life.last(1500))

    assert len(told) > 10
    assert sorted(played(replies.entries(life.market.lines, "life", _raised))) == told
    assert sorted(played(decode(await life.store.recorded("main")))) == told


@pytest.mark.parametrize("seed", range(4))
async def test_restarts_are_played_as_they_were(seed: int) -> None:
    life = Life(seed, restarts=True)
    told = sorted(await life.last(1500))

    again = played(decode(await life.store.recorded("main")))
    assert life.watch.polls < 1400
    assert sorted(again) == told


def calm(at: float, ratio: str = "12") -> Reply:
    return Reply(Snapshot({"mgnRatio": ratio, "adjEq": "50000", "details": []}, at))


def told(*rules: Any) -> tuple[Player, list[Message]]:
    heard: list[Message] = []
    player = Player("main", rules, [Receiver("phone")], told=heard.append)
    at_once(player.start(START))
    return player, heard


def test_from_an_error_on_blindness_grows_by_itself_until_the_next_line() -> None:
    player, heard = told(RATIO, BLIND)
    at_once(player.play(calm(START)))
    at_once(player.play(Failure(START + 1, SourceError("no answer"))))
    assert heard == []
    at_once(player.play(calm(START + 40)))
    assert [(m.at - START, m.title) for m in heard] == [(15.0, "WARNING · main · can't see the account")]


def test_long_after_an_error_nobody_was_looking() -> None:
    player, heard = told(rule("blind", emergency_after="50m"), RATIO)
    at_once(player.play(calm(START, "1.2")))
    at_once(player.play(Failure(START + 1, SourceError("no answer"))))
    at_once(player.play(calm(START + 9000, "1.2")))
    assert not [m for m in heard if m.title.startswith("EMERGENCY")]


def test_an_answer_that_is_repeated_is_no_sight() -> None:
    player, heard = told(rule("blind", frozen_after="20s"), RATIO)
    for second in range(60):
        at_once(player.play(Reply(Snapshot({"mgnRatio": "12", "uTime": "1", "details": []}, START + second))))
    assert [m.title for m in heard] == ["WARNING · main · can't see the account"]


def test_a_windows_past_outlives_a_restart() -> None:
    player, heard = told(DEBT)

    def owes(liab: str, at: float) -> Reply:
        return Reply(Snapshot({"details": [{"ccy": "BTC", "eq": "1", "eqUsd": "9", "liab": liab}]}, at))

    at_once(player.play(owes("100", START)))
    at_once(player.save(START + 1, START))
    at_once(player.play(owes("101", START + 2)))
    at_once(player.save(START + 3, START + 2))
    at_once(player.start(START + 100))
    at_once(player.play(owes("120", START + 101)))
    assert [m.title for m in heard] == ["WARNING · main · change: details.liab BTC rose 20 % in 1 h"]


def test_what_is_known_of_the_account_is_known_to_its_rules() -> None:
    player, heard = told(rule("key_safety"))
    at_once(player.play(Known(START, AccountInfo("77", "3", permissions=("withdraw",), ips=("10.0.0.1",)))))
    at_once(player.play(calm(START + 1)))
    assert [m.title.partition(" ")[0] for m in heard] == ["CRITICAL"]


def sight(at: float, snapshot: Snapshot | None = None) -> Observation:
    return Observation(at, snapshot, None, None, 10.0)


def test_where_reading_begins_in_the_midst_the_last_reply_is_known() -> None:
    player, heard = told(RATIO)
    at_once(player.play(Checkpoint(START + 5, Alerts(), "", calm(START + 4, "1.2").snapshot)))
    at_once(player.play(Again(sight(START + 6))))
    assert [(m.at - START, m.title) for m in heard] == [(4, "CRITICAL · main · margin ratio 1.2 (120 %)")]
    at_once(player.play(Checkpoint(START + 7, Alerts(), "", calm(START + 4, "20").snapshot)))  # it is known already
    assert player.observer.snapshot.mgn_ratio == Decimal("1.2")


def test_time_that_the_clock_was_set_ahead_by_has_not_passed() -> None:
    heard = []
    for jump in ([], [Shifted(START + 100, 95.0)]):
        player, said = told(rule("margin_ratio", below={"warning": 5}, **{"for": "10s"}))
        for entry in (Look(sight(START, calm(START, "4").snapshot)), *jump):
            at_once(player.play(entry))
        at_once(player.play(Look(sight(START + 101, calm(START + 101, "4").snapshot))))
        heard.append(len(said))
    assert heard == [1, 0]


def test_which_rules_were_in_force_does_not_matter() -> None:
    player, heard = told(RATIO)
    at_once(player.play(Adopted(sight(START + 1), "a bundle")))
    at_once(player.play(calm(START + 2, "1.2")))
    assert len(heard) == 1


def test_nothing_that_is_played_waits() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="would have to wait"):
        at_once(waits())
