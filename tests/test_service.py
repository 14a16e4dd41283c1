"""The loops, each on its own: with a clock that the test turns, and sources and notifiers that do as told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from riskbot import plugins
from riskbot.delivery import Receiver, about_receiver
from riskbot.health import Problem, Problems
from riskbot.model import AccountInfo, Severity
from riskbot.notify import Outcome, Text, Verdict
from riskbot.rules import Rule
from riskbot.service import HEALTH, Clock, Courier, Journal, Judge, Pacer, SelfWatch, Service, Watch, steady
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError
from riskbot.store import Fenced, Message, State
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore

KINDS = plugins.kinds(plugins.manager())


def rule(kind: str, **keys: Any) -> Rule:
    return KINDS[kind].model_validate({"name": kind, "kind": kind, **keys})


RATIO = rule("margin_ratio", below={"warning": 5, "critical": 3})
DEBT = rule("change", field="details.liab", rises_by={"warning": "10%"}, over="1h")
BLIND = rule("blind")


class Hands:
    """The hands of a clock: turned by the test."""

    def __init__(self) -> None:
        self.wall = self.monotonic = 1_000_000.0
        self.clock = Clock(lambda: self.wall, lambda: self.monotonic)

    def turn(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


class Market:
    """A source that gives what the test puts in."""

    def __init__(self, ratio: str = "12", liab: str = "0") -> None:
        self.ratio, self.liab = ratio, liab
        self.error: Exception | None = None
        self.info_error: SourceError | None = None
        self.extra: dict[str, Any] = {}
        self.closed = False
        self.hang = False

    async def fetch(self) -> Snapshot:
        if self.hang:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        row = {"ccy": "USDT", "eq": "1000", "eqUsd": "1000", "liab": self.liab, "mgnRatio": ""}
        return Snapshot({"mgnRatio": self.ratio, "adjEq": "50000", "details": [row], **self.extra})

    async def info(self) -> AccountInfo:
        if self.info_error:
            raise self.info_error
        return AccountInfo("77", "3", permissions=("read_only",))

    async def close(self) -> None:
        self.closed = True


class Desk:
    """A watch on its own, and what it wrote."""

    def __init__(self, *rules: Rule, store: Any = None) -> None:
        self.hands, self.market, self.problems = Hands(), Market(), Problems()
        self.store = store or MemoryStore()
        self.woken: list[str] = []
        self.judge = Judge("main", rules or (RATIO, DEBT, BLIND), [Receiver("phone")], self.store, self.woken.append)
        self.watch = Watch(self.judge, self.market, self.hands.clock, self.problems, 1.0)

    async def load(self) -> Desk:
        await self.watch.load(self.store)
        return self

    async def poll(self, seconds: float = 1.0) -> None:
        self.hands.turn(seconds)
        await self.watch.poll()

    async def titles(self) -> list[str]:
        rows = await self.store.outbox(("queued", "sending", "sent", "superseded", "dead"))
        return [message.title for _, message in reversed(rows)]


@pytest.fixture
async def desk() -> Desk:
    return await Desk().load()


# ---------------------------------------------------------------- the clock


def test_the_clock_goes_on_when_the_machines_clock_jumps_back() -> None:
    hands = Hands()
    before = hands.clock.now()
    hands.monotonic += 5
    hands.wall -= 3600
    assert hands.clock.now() == before + 5
    hands.turn(7)
    assert hands.clock.now() == before + 12


def test_the_clock_follows_a_jump_ahead_and_what_was_remembered() -> None:
    hands = Hands()
    hands.wall += 3600
    assert hands.clock.now() == 1_003_600
    hands.clock.not_before(1_010_000)
    assert hands.clock.now() == 1_010_000


async def test_a_fast_clock_lets_its_seconds_pass_faster() -> None:
    hands = Hands()
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=30)
    hands.turn(2)
    assert clock.now() == 1_000_060
    before = asyncio.get_running_loop().time()
    await clock.sleep(0.3)
    assert asyncio.get_running_loop().time() - before < 0.2


# ---------------------------------------------------------------- the watch


async def test_a_breach_is_committed_with_its_message_and_wakes_the_courier(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert desk.woken == ["phone"]
    state = await desk.store.load("main")
    assert state.value is not None
    assert b"margin_ratio" in state.value


async def test_a_quiet_tick_writes_nothing(desk: Desk) -> None:
    await desk.poll()
    before = (await desk.store.load("main")).rev
    for _ in range(20):
        await desk.poll()
    assert (await desk.store.load("main")).rev == before


async def test_a_restart_tells_nothing_again(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    again = await Desk(store=desk.store).load()
    again.market.ratio = "2.5"
    await again.poll()
    assert len(await again.titles()) == 1


async def test_a_rule_that_is_gone_has_its_alert_closed_at_the_start(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    await Desk(DEBT, store=desk.store).load()
    rows = await desk.store.outbox(("queued",))
    assert [(m.title, m.after, m.cause) for _, m in rows] == [("RESOLVED · main · margin_ratio", 0, "rule_removed")]


async def test_growth_is_measured_over_a_restart(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    await Journal([desk.watch], SurvivingStore(desk.store), desk.hands.clock).write()
    again = await Desk(store=desk.store).load()
    again.hands.turn(600)
    again.market.liab = "1200"
    await again.poll()
    assert await again.titles() == ["WARNING · main · change: details.liab USDT rose 20 % in 1 h"]


async def test_failing_polls_are_told_when_they_last_and_once(desk: Desk) -> None:
    await desk.poll()
    desk.market.error = SourceError("no answer within 5 s")
    for _ in range(14):
        await desk.poll()
    assert await desk.titles() == []
    for _ in range(20):
        await desk.poll()
    assert await desk.titles() == ["WARNING · main · can't see the account"]
    desk.market.error = None
    for _ in range(40):
        await desk.poll()
    assert (await desk.titles())[1:] == ["RESOLVED · main · sees the account again"]


async def test_blindness_is_critical_while_the_account_owes(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    desk.market.error = SourceError("no answer within 5 s")
    for _ in range(20):
        await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · can't see the account"]


async def test_a_dead_key_is_told_when_it_is_said_twice_and_then_asked_about_slowly(desk: Desk) -> None:
    await desk.poll()
    desk.market.error = SourceError("OKX does not know this API key", Remedy.SLOW, Severity.CRITICAL)
    await desk.poll()
    assert await desk.titles() == []
    desk.watch.beat()
    await asyncio.sleep(0)
    await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · can't see the account"]
    polls = desk.watch.polls
    desk.hands.turn(20)
    desk.watch.beat()
    await asyncio.sleep(0.01)
    assert desk.watch.polls == polls
    desk.hands.turn(20)
    desk.watch.beat()
    await asyncio.sleep(0.01)
    assert desk.watch.polls == polls + 1


async def test_that_the_exchange_has_frozen_the_account_is_told_at_once(desk: Desk) -> None:
    await desk.poll()
    desk.market.error = SourceError("OKX has frozen the account: stop-out", Remedy.SLOW, Severity.EMERGENCY)
    await desk.poll()
    assert await desk.titles() == ["EMERGENCY · main · can't see the account"]


async def test_blindness_is_told_in_time_though_polls_are_far_between(desk: Desk) -> None:
    await desk.poll()
    desk.market.error = SourceError("OKX is busy", Remedy.BACK_OFF)
    for _ in range(5):
        await desk.poll(0)
    desk.watch._resume = desk.hands.clock.now() + 60
    polls = desk.watch.polls
    desk.hands.turn(16)
    desk.watch.beat()
    assert desk.watch._task
    await desk.watch._task
    assert desk.watch.polls == polls
    assert await desk.titles() == ["WARNING · main · can't see the account"]


@pytest.mark.parametrize(("owes", "longest"), [("0", 60.0), ("1000", 10.0)])
async def test_it_backs_off_but_not_far_when_danger_is_near(owes: str, longest: float) -> None:
    desk = await Desk().load()
    desk.market.liab = owes
    await desk.poll()
    desk.market.error = SourceError("OKX is busy", Remedy.BACK_OFF)
    for _ in range(12):
        await desk.poll()
    assert longest / 2 <= desk.watch._resume - desk.hands.clock.now() <= longest


async def test_a_fetch_that_never_ends_is_blindness_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.service.TURN_DEADLINE", 0.02)
    desk = await Desk().load()
    desk.market.hang = True
    for _ in range(3):
        await desk.poll(10)
    assert await desk.titles() == ["WARNING · main · can't see the account"]
    rows = await desk.store.outbox(("queued",))
    assert "never seen yet, tried since" in rows[0][1].body


async def test_a_configuration_that_hangs_holds_up_no_poll(desk: Desk) -> None:
    async def hang() -> AccountInfo:
        await asyncio.Event().wait()
        raise AssertionError

    desk.market.info = hang  # type: ignore[method-assign]
    desk.market.ratio = "2.5"
    await desk.poll()
    assert len(await desk.titles()) == 1
    await desk.watch.close()


async def test_a_state_that_can_not_be_read_is_kept_aside_and_the_watch_begins_anew(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    rev = (await desk.store.load("main")).rev
    await desk.store.commit("main", rev, "x", b'{"alerts": 3}', ())
    again = Desk(store=desk.store)
    await again.load()
    again.market.ratio = "2.5"
    await again.poll()
    assert len(await again.titles()) == 1
    assert "can't be read" in caplog.text
    assert (await desk.store.load("main unreadable 1000000")).value == b'{"alerts": 3}'


async def test_a_beat_is_left_out_while_the_last_poll_hangs(desk: Desk) -> None:
    desk.market.hang = True
    desk.watch.beat()
    await asyncio.sleep(0)
    desk.watch.beat()
    assert desk.watch.missed == 1
    await desk.watch.close()
    assert desk.market.closed


async def test_what_is_known_of_the_account_stays_known_when_asking_fails(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "riskbot"):
        await desk.poll()
        await asyncio.sleep(0)
        desk.market.info_error = SourceError("OKX is busy")
        for _ in range(3):
            await desk.poll(400)
            await asyncio.sleep(0)
    assert "main: uid 77, mode 3, may read_only" in caplog.messages
    assert caplog.messages.count("main: can't read the account's configuration: OKX is busy") == 1
    assert desk.watch._info == AccountInfo("77", "3", permissions=("read_only",))


async def test_odd_and_new_fields_are_logged_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.market.extra = {"frpType": "1", "adjEq": "a lot"}
    with caplog.at_level(logging.INFO, "riskbot"):
        for _ in range(3):
            await desk.poll()
    assert caplog.messages.count("main: OKX has new fields: frpType") == 1
    assert caplog.messages.count("main: odd fields in the reply: adjEq") == 1
    assert desk.watch.defects == {"adjEq": 3}


async def test_a_mistake_of_riskbot_itself_is_told_and_the_watch_goes_on(desk: Desk) -> None:
    desk.market.error = ZeroDivisionError("a mistake")
    await desk.poll()
    assert "watching main" in desk.problems
    desk.market.error = None
    desk.market.ratio = "2"
    await desk.poll()
    assert "watching main" not in desk.problems
    assert len(await desk.titles()) == 1


class Thief(MemoryStore):
    """Somebody else writes the account once."""

    def __init__(self) -> None:
        super().__init__()
        self.stolen = False

    async def commit(self, account: str, rev: int, commit_id: str, value: bytes, messages: tuple[Message, ...]) -> int:
        if rev and not self.stolen:
            self.stolen = True
            await super().commit(account, rev, "theirs", b"{}", ())
            raise Fenced("somebody else has written it")
        return await super().commit(account, rev, commit_id, value, messages)


async def test_a_fenced_watch_takes_up_the_others_state_and_goes_on() -> None:
    desk = await Desk(store=Thief()).load()
    desk.market.ratio = "2.5"
    await desk.poll()
    await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]


# ---------------------------------------------------------------- the pacer


class Beats:
    """Stands in for a watch; counts."""

    def __init__(self, poll_every: float) -> None:
        self.poll_every = poll_every
        self.at: list[float] = []

    def beat(self) -> None:
        self.at.append(asyncio.get_running_loop().time())


async def _pace(*beats: Beats, seconds: float) -> list[float]:
    late: list[float] = []
    pacer = Pacer(beats, Clock(), late.append)  # type: ignore[arg-type] # all that it asks of a watch
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await pacer.run()
    return late


async def test_polls_of_many_accounts_are_spread_over_the_interval() -> None:
    beats = [Beats(0.4) for _ in range(20)]
    late = await _pace(*beats, seconds=0.39)
    firsts = sorted(beat.at[0] for beat in beats)
    assert [len(beat.at) for beat in beats] == [1] * 20
    assert firsts[-1] - firsts[0] > 0.25
    assert len({round(at, 2) for at in firsts}) <= 12
    assert min(late) >= -0.002


async def test_each_account_keeps_its_own_interval() -> None:
    quick, slow = Beats(0.1), Beats(0.4)
    await _pace(quick, slow, seconds=0.79)
    assert len(quick.at) in (7, 8)
    assert len(slow.at) == 2


async def test_beats_that_could_not_be_kept_are_left_out_never_bunched() -> None:
    class Blocking(Beats):
        def beat(self) -> None:
            super().beat()
            if len(self.at) == 1:
                import time  # noqa: PLC0415

                time.sleep(0.5)  # the loop stands still

    beats = Blocking(0.1)
    await _pace(beats, seconds=0.85)
    assert len(beats.at) <= 5


# ---------------------------------------------------------------- the courier


class Postman:
    """A notifier that answers as told."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.verdicts = list(verdicts)
        self.sent: list[Text] = []
        self.closed = False

    async def send(self, text: Text) -> Verdict:
        self.sent.append(text)
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict(Outcome.SENT)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def close(self) -> None:
        self.closed = True


class Post:
    """A courier on its own, with one critical message to carry."""

    def __init__(self, *verdicts: Verdict | Exception) -> None:
        self.hands, self.problems, self.store = Hands(), Problems(), MemoryStore()
        self.postman = Postman(*verdicts)
        notifier: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        notifier.set_result(self.postman)
        self.courier = Courier("phone", notifier, self.store, self.hands.clock, self.problems)

    async def write(self, ratio: str = "2.5", rules: tuple[Rule, ...] = (RATIO, BLIND)) -> None:
        judge = Judge("main", rules, [Receiver("phone")], self.store, lambda _: None)
        market = Market(ratio)
        watch = Watch(judge, market, self.hands.clock, self.problems, 1.0)
        await watch.load(self.store)
        await watch.poll()

    async def carry(self) -> None:
        """Until nothing is due."""
        while await self.courier._next(self.postman):
            self.hands.turn(0.01)

    async def rows(self) -> list[tuple[str, Message]]:
        return await self.store.outbox(("queued", "sending", "sent", "superseded", "dead"))

    def severity(self, part: str = about_receiver("phone")) -> Severity:
        readings = self.problems.measured(self.hands.clock.now()).readings
        return Severity(int(next((r.value for r in readings if r.ccy == part), 0)))


async def test_a_message_is_done_only_when_it_was_sent() -> None:
    post = Post(Verdict(Outcome.RETRY, "busy"))
    await post.write()
    await post.carry()
    assert [state for state, _ in await post.rows()] == ["queued"]
    post.hands.turn(5)
    await post.carry()
    assert [state for state, _ in await post.rows()] == ["sent"]
    assert [text.severity for text in post.postman.sent] == [Severity.CRITICAL] * 2
    assert post.severity() is Severity.OK


async def test_a_try_that_may_have_arrived_is_repeated_and_says_so() -> None:
    post = Post(Verdict(Outcome.AMBIGUOUS, "no answer"))
    await post.write()
    await post.carry()
    post.hands.turn(5)
    await post.carry()
    assert "may be a repeat" not in post.postman.sent[0].body
    assert "may be a repeat" in post.postman.sent[1].body


async def test_a_refused_message_is_tried_as_plain_text_and_told_and_tried_again_later() -> None:
    post = Post(Verdict(Outcome.PERMANENT, "400"), Verdict(Outcome.PERMANENT, "400"))
    await post.write()
    await post.carry()
    assert [text.plain for text in post.postman.sent] == [False, True]
    assert [state for state, _ in await post.rows()] == ["queued"]
    assert post.severity("a message to phone") is Severity.CRITICAL
    assert post.severity() is Severity.OK  # the next message may well be taken
    post.hands.turn(61)
    await post.carry()
    assert [state for state, _ in await post.rows()] == ["sent"]
    assert post.severity("a message to phone") is Severity.CRITICAL  # told, whatever else it takes
    post.hands.turn(700)
    await post.write(rules=(rule("margin_ratio", name="another", below={"critical": 3}), BLIND))
    await post.carry()
    assert post.severity("a message to phone") is Severity.OK


async def test_a_message_that_is_refused_again_and_again_is_given_up() -> None:
    post = Post(*[Verdict(Outcome.PERMANENT, "400")] * 20)
    await post.write()
    for _ in range(10):
        await post.carry()
        post.hands.turn(61)
    assert [state for state, _ in await post.rows()] == ["dead"]


async def test_a_message_that_is_taken_as_plain_text_is_sent() -> None:
    post = Post(Verdict(Outcome.PERMANENT, "400"), Verdict(Outcome.SENT))
    await post.write()
    await post.carry()
    assert [state for state, _ in await post.rows()] == ["sent"]
    assert post.severity() is Severity.OK


async def test_a_broken_receiver_is_told_at_once() -> None:
    post = Post(Verdict(Outcome.BROKEN, "401"))
    await post.write()
    await post.carry()
    assert [state for state, _ in await post.rows()] == ["queued"]
    assert post.severity() is Severity.CRITICAL


async def test_patience_that_a_receiver_asks_for_holds_for_all_its_messages() -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=7.0))
    await post.write()
    await post.carry()
    await post.write(rules=(rule("margin_ratio", name="another", below={"critical": 3}), BLIND))
    post.hands.turn(6)
    await post.carry()
    assert len(post.postman.sent) == 1
    post.hands.turn(2)
    await post.carry()
    assert len(post.postman.sent) >= 2


async def test_a_receiver_that_fails_for_long_is_told_to_the_others_sooner_if_it_is_critical() -> None:
    urgent, mild = Post(Verdict(Outcome.RETRY, "busy")), Post(Verdict(Outcome.RETRY, "busy"))
    await urgent.write("2.5")
    await mild.write("4.5")
    for post in (urgent, mild):
        await post.carry()
        assert post.severity() is Severity.OK
        post.hands.turn(21)
    assert (urgent.severity(), mild.severity()) == (Severity.CRITICAL, Severity.OK)
    mild.hands.turn(100)
    assert mild.severity() is Severity.WARNING


async def test_waits_grow_but_stay_short_for_what_is_critical() -> None:
    post = Post(*[Verdict(Outcome.RETRY, "busy")] * 12)
    await post.write()
    for _ in range(12):
        await post.carry()
        (_, message) = (await post.rows())[0]
        assert message.due_at - post.hands.clock.now() <= 30
        post.hands.turn(31)


async def test_a_notifier_that_raises_loses_nothing() -> None:
    post = Post(ValueError("token 12345"))
    await post.write()
    await post.carry()
    ((state, message),) = await post.rows()
    assert state == "queued"
    assert message.error == "the notifier failed: ValueError"


async def test_a_notifier_past_its_deadline_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.service.SEND_DEADLINE", 0.05)
    post = Post()

    async def hang(_: Text) -> Verdict:
        await asyncio.Event().wait()
        raise AssertionError

    await post.write()
    post.postman.send = hang  # type: ignore[method-assign]
    await post.carry()
    ((state, message),) = await post.rows()
    assert (state, message.maybe_sent) == ("queued", True)


async def test_the_courier_sleeps_until_it_is_woken_and_closes_its_notifier() -> None:
    post = Post()
    running = asyncio.create_task(post.courier.run())
    await asyncio.sleep(0.02)
    assert post.courier.idle
    await post.write()
    post.courier.wake()
    async with asyncio.timeout(2):
        while not post.postman.sent:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert post.postman.closed


# ---------------------------------------------------------------- riskbot about itself


async def test_a_failing_store_is_told_and_its_recovery_too() -> None:
    hands, problems = Hands(), Problems()
    primary = MemoryStore()

    async def reopen() -> MemoryStore:
        return primary

    store = SurvivingStore(None, reopen, reason="the disk is full")
    judge = Judge("riskbot", [HEALTH], [Receiver("phone")], store, lambda _: None)
    await judge.load(hands.clock.now())
    self_watch = SelfWatch(judge, store, hands.clock, problems)
    await self_watch.tick()
    rows = await store.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("CRITICAL · riskbot · the store is failing", True)]
    assert "the disk is full" in rows[0][1].body
    await store.heal(hands.clock.now())
    for _ in range(40):
        hands.turn(1)
        await self_watch.tick()
    rows = await primary.outbox(("queued",))
    assert [(m.title, m.unsaved) for _, m in rows] == [("RESOLVED · riskbot · the store works again", False)]


async def test_that_a_receiver_fails_is_told_to_the_others_only() -> None:
    hands, problems, store = Hands(), Problems(), SurvivingStore(MemoryStore())  # type: ignore[arg-type] # enough here
    judge = Judge("riskbot", [HEALTH], [Receiver("phone"), Receiver("mail")], store, lambda _: None)
    await judge.load(hands.clock.now())
    problems.fail(about_receiver("phone"), Problem(hands.clock.now(), "401", 0.0, 0.0))
    await SelfWatch(judge, store, hands.clock, problems).tick()
    rows = await store.outbox(("queued",))
    assert [(m.receiver, m.title) for _, m in rows] == [("mail", "CRITICAL · riskbot · delivery to phone is failing")]


async def test_a_loop_that_stumbles_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise ZeroDivisionError
        if turns == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await steady(turn, "journal", Clock(speed=1000))
    assert turns == 3
    assert "the journal stumbled" in caplog.messages


async def test_a_fenced_self_watch_takes_up_the_others_state() -> None:
    hands, store = Hands(), Thief()
    judge = Judge("riskbot", [HEALTH], [Receiver("phone")], store, lambda _: None)
    await judge.load(hands.clock.now())
    problems = Problems()
    problems.fail("a part", Problem(hands.clock.now(), "why", 0.0, 0.0))
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=1000)
    self_watch = SelfWatch(judge, SurvivingStore(store), clock, problems)  # type: ignore[arg-type] # enough here
    await self_watch._turn()
    await self_watch._turn()
    rows = await store.outbox(("queued",))
    assert [m.title for _, m in rows] == ["CRITICAL · riskbot · a part is failing"]


# ---------------------------------------------------------------- all together


class Named:
    def __init__(self, name: str) -> None:
        self.name, self.poll_every = name, 0.05


@pytest.fixture
async def memory() -> AsyncIterator[SurvivingStore]:
    store = SurvivingStore(None, reason="there is none")
    yield store
    await store.close()


async def test_the_service_watches_tells_and_lets_go(memory: SurvivingStore) -> None:
    post, market, stop = Postman(), Market("2.5"), asyncio.Event()
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_result(post)
    service = Service([Named("main")], [RATIO, BLIND], [Receiver("phone")], {"main": market}, {"phone": making}, memory)
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(5):
        while len(post.sent) < 2:
            await asyncio.sleep(0.01)
    stop.set()
    await running
    assert {text.title for text in post.sent} == {
        "CRITICAL · main · margin ratio 2.5 (250 %)",
        "CRITICAL · riskbot · the store is failing",
    }
    assert all("told from memory" in text.body for text in post.sent)
    assert market.closed
    assert post.closed


async def test_a_notifier_that_cannot_be_made_ends_the_service_with_its_reason(memory: SurvivingStore) -> None:
    making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    making.set_exception(ValueError("no such service"))
    service = Service([Named("main")], [RATIO], [Receiver("phone")], {"main": Market()}, {"phone": making}, memory)
    with pytest.raises(ValueError, match="no such service"):
        await asyncio.wait_for(service.run(asyncio.Event()), 10)


def test_a_state_is_what_a_fresh_store_gives() -> None:
    assert State() == State(None, 0, "")
