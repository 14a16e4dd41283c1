"""One account, polled and judged: with a clock that the test turns, and a source that does as told."""

from __future__ import annotations

import asyncio
import gc
import logging
from contextlib import suppress
from weakref import WeakSet

import pytest

from riskbot.delivery import Receiver
from riskbot.model import AccountInfo, Gate, Severity
from riskbot.service.journal import Journal
from riskbot.service.watch import INFO_AGAIN, Watch
from riskbot.snapshot import Snapshot
from riskbot.source import Remedy, SourceError
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, DEBT, RATIO, Desk, Thief, rule


class Page(bytearray):
    """A reply that one can see go."""

    __hash__ = object.__hash__  # type: ignore[assignment] # a bytearray has none


@pytest.fixture
async def desk() -> Desk:
    return await Desk().load()


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


async def test_what_nobody_is_to_be_told_instead_writes_nothing(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    ((_, message),) = await desk.store.outbox(("queued",))
    before = await desk.store.load("main")

    await desk.judge.forward(message, [], desk.hands.clock.now())
    assert await desk.store.load("main") == before

    await desk.judge.forward(message, ["mail"], desk.hands.clock.now())
    assert {m.receiver for _, m in await desk.store.outbox(("queued",))} == {"phone", "mail"}


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
    assert [(m.title, m.after, m.cause) for _, m in rows] == [("CLOSED · main · margin_ratio", 0, "rule_removed")]


async def test_growth_is_measured_over_a_restart(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    await desk.poll()
    await Journal({"main": desk.watch}, SurvivingStore(desk.store), desk.hands.clock).write()
    again = await Desk(store=desk.store).load()
    again.hands.turn(600)
    again.market.liab = "1200"
    assert again.watch.history._seen == desk.watch.sight.seen
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


async def test_nothing_is_kept_of_a_reply_that_was_of_no_use(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred failures are remembered, of each account: with the pages they came of memory would run out."""
    pages = WeakSet[Page]()

    async def refuse() -> None:
        page = Page(b"<html>" * 1000)
        pages.add(page)
        try:
            page.index(b"{")
        except ValueError:
            raise SourceError("an answer that is not OKX's") from None

    monkeypatch.setattr(desk.market, "fetch", refuse)
    for _ in range(5):
        await desk.poll()
    gc.collect()
    assert len(desk.watch.sight.failures) == 5
    assert not pages


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


async def test_a_key_that_may_too_much_is_told_and_is_no_danger_that_hurries() -> None:
    desk = await Desk(RATIO, rule("key_safety"), BLIND).load()
    desk.market.permissions = ("read_only", "withdraw")
    for _ in range(2):
        await desk.poll()
        await asyncio.sleep(0)
    assert await desk.titles() == [
        "CRITICAL · main · the API key can withdraw",
        "INFO · main · the API key is bound to no IP address",
    ]
    desk.market.error = SourceError("OKX is busy", Remedy.BACK_OFF)
    for _ in range(20):
        await desk.poll()
    assert desk.watch._resume - desk.hands.clock.now() >= 30.0
    assert (await desk.titles())[2:] == ["WARNING · main · can't see the account"]


async def test_a_fetch_that_never_ends_is_blindness_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.service.watch.TURN_DEADLINE", 0.02)
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
    assert (await desk.store.load("@main unreadable 1000000")).value == b'{"alerts": 3}'


async def test_a_beat_is_left_out_while_the_last_poll_hangs(desk: Desk) -> None:
    desk.market.hang = True
    desk.watch.beat()
    await asyncio.sleep(0)
    desk.watch.beat()
    assert desk.watch.missed == 1
    await desk.watch.close()
    assert desk.market.closed


async def test_a_source_that_does_not_end_holds_up_no_reload(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("riskbot.service.watch.ENDS_WITHIN", 0.05)
    asked, end = asyncio.Event(), asyncio.Event()

    async def fetch() -> Snapshot:
        asked.set()
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()
        raise SourceError("at last")

    desk.market.fetch = fetch  # type: ignore[method-assign]
    desk.watch.beat()
    await asked.wait()
    await desk.watch.close()
    assert desk.market.closed
    assert caplog.messages == ["main: its source does not end, and is left alone"]
    end.set()
    assert desk.watch._task
    await desk.watch._task


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


async def test_numbers_of_another_account_are_not_judged_but_told(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    again = await Desk(store=desk.store).load()
    again.market.uid, again.market.ratio = "88", "50"
    for _ in range(3):
        await again.poll()
    assert (await again.titles())[1:] == ["CRITICAL · main · can't see the account"]
    assert again.watch.alerts.open(Severity.CRITICAL, besides=frozenset({"blind"}))
    rows = await again.store.outbox(("queued",))
    assert "the key belongs to another account of OKX (uid 88, before 77)" in rows[0][1].body
    assert "give [[accounts]] another name" in rows[0][1].body

    again.market.uid = "77"
    again.hands.turn(11)
    for _ in range(40):
        await again.poll()
        await asyncio.sleep(0)
    assert set((await again.titles())[2:]) == {
        "RESOLVED · main · sees the account again",
        "RESOLVED · main · margin ratio 50 (5,000 %)",
    }


async def test_answers_that_do_not_change_any_more_are_blindness_where_that_is_asked_for() -> None:
    desk = await Desk(RATIO, rule("blind", frozen_after="30s")).load()
    desk.market.extra["uTime"] = "1"
    for _ in range(31):
        await desk.poll()
    desk.market.ratio = "2.5"  # whatever it says now
    for _ in range(10):
        await desk.poll()
    ((_, told),) = await desk.store.outbox(("queued",))
    assert told.title == "WARNING · main · can't see the account"
    assert "OKX's answers have not changed since 13:46:41 UTC" in told.body
    desk.market.extra["uTime"] = "2"
    await desk.poll()
    assert (await desk.titles())[1:] == ["CRITICAL · main · margin ratio 2.5 (250 %)"]


async def test_answers_may_stand_still_where_nobody_asks(desk: Desk) -> None:
    desk.market.extra["uTime"] = "1"
    for _ in range(3):
        await desk.poll(3600)
    assert await desk.titles() == []


async def test_a_clock_that_is_set_ahead_is_no_blindness(desk: Desk) -> None:
    await desk.poll()
    desk.market.error = SourceError("no answer")
    desk.hands.wall += 3600
    await desk.poll()
    assert await desk.titles() == []
    for _ in range(15):
        await desk.poll()
    assert await desk.titles() == ["WARNING · main · can't see the account"]


async def test_a_clock_that_is_set_while_a_poll_is_under_way_is_no_blindness(desk: Desk) -> None:
    async def fetch() -> Snapshot:
        desk.hands.wall += 3600
        raise SourceError("no answer")

    await desk.poll()
    desk.market.fetch = fetch  # type: ignore[method-assign]
    await desk.poll()
    assert await desk.titles() == []


@pytest.mark.parametrize("last", [5.0, 40.0])
async def test_a_poll_that_was_cut_off_as_riskbot_stood_still_says_nothing_of_the_exchange_but_the_next_one_does(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, last: float
) -> None:
    monkeypatch.setattr("riskbot.service.watch.uptime", lambda: desk.hands.monotonic)
    desk.market.ratio = "4"
    await desk.poll()
    sees, still = desk.market.fetch, 40.0

    async def fetch() -> Snapshot:
        desk.hands.turn(still)
        raise SourceError("no answer within 5 s")

    for market in (fetch, sees, fetch):
        desk.market.fetch = market  # type: ignore[method-assign]
        await desk.poll()
        assert desk.watch.why == ""
    still = last
    await desk.poll()
    assert await desk.titles() == ["WARNING · main · margin ratio 4 (400 %)", "CRITICAL · main · can't see the account"]


async def test_a_clock_that_is_set_back_ends_nothing_and_repeats_nothing(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    desk.hands.wall -= 3600
    for _ in range(40):
        await desk.poll()
    assert len(await desk.titles()) == 1
    desk.market.ratio = "50"
    for _ in range(60):
        await desk.poll()
    assert (await desk.titles())[1:] == ["RESOLVED · main · margin ratio 50 (5,000 %)"]


async def test_polls_far_apart_are_not_blindness_when_one_fails() -> None:
    desk = Desk()
    desk.watch = Watch(desk.judge, desk.market, desk.hands.clock, desk.problems, 60.0)
    await desk.load()
    await desk.poll(60)
    desk.market.error = SourceError("no answer")
    await desk.poll(60)
    assert await desk.titles() == []
    await desk.poll(60)
    await desk.poll(60)
    assert await desk.titles() == ["WARNING · main · can't see the account"]


async def test_a_reminder_while_nothing_is_seen_says_as_of_when(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    desk.market.error = SourceError("no answer")
    for _ in range(11):
        await desk.poll(60)
    rows = await desk.store.outbox(("queued",))
    told = next(m for _, m in rows if m.alert == "main/margin_ratio/")
    assert told.title == "CRITICAL · main · margin ratio 2.5 (250 %)"
    await desk.store.ack(told, desk.hands.clock.now())
    await desk.poll(600)
    again = next(m for _, m in await desk.store.outbox(("queued",)) if m.alert == "main/margin_ratio/")
    assert again.reminder
    assert "as last seen 13:46:41 UTC, blind since" in again.body
    assert "still, for" in again.body


# ---------------------------------------------------------------- other rules, while it watches


async def test_a_changed_rule_judges_at_once_what_was_last_seen(desk: Desk) -> None:
    desk.market.ratio = "4"
    await desk.poll()
    harsher = rule("margin_ratio", below={"critical": 5})
    await desk.watch.use([harsher, BLIND], [Receiver("phone")], desk.store)
    assert await desk.titles() == [
        "WARNING · main · margin ratio 4 (400 %)",
        "CRITICAL · main · margin ratio 4 (400 %)",
    ]
    (_, message), *_ = await desk.store.outbox(("queued",))
    assert (message.cause, message.seq) == ("rule_changed", 2)


async def test_a_changed_rule_waits_while_nothing_is_seen(desk: Desk) -> None:
    desk.market.ratio = "4"
    await desk.poll()
    desk.market.error = SourceError("no answer")
    await desk.poll()
    await desk.watch.use([rule("margin_ratio", below={"info": 5}), BLIND], [Receiver("phone")], desk.store)
    await desk.poll()
    assert len(await desk.titles()) == 1
    desk.market.error = None
    await desk.poll()
    assert len(await desk.titles()) == 1  # one answer is no proof of a fall
    await desk.poll()
    assert (await desk.titles())[1:] == ["INFO · main · margin ratio 4 (400 %)"]


async def test_a_reload_is_no_second_look_at_one_odd_answer() -> None:
    brisk = rule("margin_ratio", below={"warning": 5, "critical": 3}, keep_firing_for="0s")
    desk = await Desk(brisk, BLIND).load()
    desk.market.ratio = "2.5"
    await desk.poll()
    desk.market.ratio = "50"
    await desk.poll()
    desk.hands.turn(31)
    await desk.watch.use([brisk, BLIND], [Receiver("phone")], desk.store)
    assert len(await desk.titles()) == 1


async def test_what_waits_of_a_renamed_rule_is_overtaken_by_its_end(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    renamed = rule("margin_ratio", name="ratio", renamed_from="margin_ratio", below={"warning": 5, "critical": 3})
    await desk.watch.use([renamed, BLIND], [Receiver("phone")], desk.store)
    desk.market.ratio = "50"
    for _ in range(40):
        await desk.poll()
    rows = await desk.store.outbox(("queued",))
    assert [(m.alert, len(m.covers)) for _, m in rows] == [("main/ratio/", 1)]


async def test_numbers_of_a_key_that_is_not_known_to_be_the_same_end_nothing(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    again = await Desk(store=desk.store).load()
    again.market.info_error, again.market.ratio = SourceError("no answer"), "50"
    for _ in range(100):
        await again.poll()
    assert len(await again.titles()) == 1
    again.market.ratio = "1"
    await again.poll()
    assert len(await again.titles()) == 1  # already critical, there is no worse tier
    again.market.info_error, again.market.ratio = None, "50"
    for _ in range(50):
        await again.poll()
        await asyncio.sleep(0)
    assert (await again.titles())[1:] == ["RESOLVED · main · margin ratio 50 (5,000 %)"]


async def test_that_nothing_is_owed_must_be_seen_twice(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    desk.market.liab = "0"
    await desk.poll()
    assert desk.watch.alerts.exposed
    await desk.poll()
    assert not desk.watch.alerts.exposed


async def test_a_reminder_of_a_rule_without_data_says_so(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    desk.market.ratio = "odd"
    await desk.poll(600)
    again = next(m for _, m in await desk.store.outbox(("queued",)) if m.alert == "main/margin_ratio/")
    assert not again.reminder  # one waits to be sent: it says all
    await desk.store.ack(again, desk.hands.clock.now())
    await desk.poll(600)
    again = next(m for _, m in await desk.store.outbox(("queued",)) if m.alert == "main/margin_ratio/")
    assert "no data since" in again.body


async def test_the_same_rules_again_change_and_tell_nothing(desk: Desk) -> None:
    desk.market.ratio, desk.market.liab = "4", "1000"
    await desk.poll()
    rev = (await desk.store.load("main")).rev
    history = desk.watch.history
    await desk.watch.use([RATIO, DEBT, BLIND], [Receiver("phone")], desk.store)
    assert (await desk.store.load("main")).rev == rev
    assert desk.watch.history is history


async def test_a_new_window_is_filled_from_what_was_journaled(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    await Journal({"main": desk.watch}, SurvivingStore(desk.store), desk.hands.clock).write()
    desk.market.liab = "1090"
    await desk.poll(600)
    wider = rule("change", field="details.liab", rises_by={"warning": "5%"}, over="2h")
    await desk.watch.use([wider, BLIND], [Receiver("phone")], desk.store)
    assert await desk.titles() == ["WARNING · main · change: details.liab USDT rose 9 % in 2 h"]


async def test_a_new_receiver_is_told_of_what_is_open(desk: Desk) -> None:
    desk.market.ratio = "2.5"
    await desk.poll()
    await desk.watch.use(desk.judge.rules, [Receiver("phone"), Receiver("mail")], desk.store)
    rows = await desk.store.outbox(("queued",))
    assert [(m.receiver, m.cause) for _, m in rows] == [("mail", "ongoing"), ("phone", "breach")]
    assert rows[0][1].title == "CRITICAL · main · margin ratio 2.5 (250 %)"


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


async def test_a_fenced_watch_takes_up_the_others_state_and_goes_on() -> None:
    desk = await Desk(store=Thief()).load()
    desk.market.ratio = "2.5"
    await desk.poll()
    await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]


# ---------------------------------------------------------------- the key


KEY = rule("key_safety", no_ip="off")


async def test_a_key_that_may_more_than_before_the_restart_is_told() -> None:
    desk = await Desk(KEY).load()
    await desk.poll()
    again = await Desk(KEY, store=desk.store).load()
    again.hands.turn(86400)
    again.market.permissions = ("read_only", "transfer")
    await again.poll()
    assert await again.titles() == [
        "WARNING · main · the API key can transfer",
        "WARNING · main · the API key's rights changed",
    ]


async def test_a_key_that_is_as_it_was_writes_nothing() -> None:
    desk = await Desk(KEY).load()
    await desk.poll()
    rev = (await desk.store.load("main")).rev
    for _ in range(3):
        await desk.poll(300)
        await asyncio.sleep(0)
    assert (await desk.store.load("main")).rev == rev


async def test_a_key_that_nobody_can_look_at_for_an_hour_is_told_until_it_can_be() -> None:
    desk = await Desk(KEY, BLIND).load()
    part = "the key of main"

    async def live(seconds: int) -> Severity:
        for _ in range(0, seconds, 10):
            await desk.poll(10)
            await asyncio.sleep(0)
        readings = desk.problems.measured(desk.hands.clock.now()).readings
        return Severity(int(next(r.value for r in readings if r.ccy == part)))

    assert await live(20) == Severity.OK
    desk.market.info_error = SourceError("OKX is busy", Remedy.BACK_OFF)
    assert await live(3500) == Severity.OK
    assert await live(400) == Severity.WARNING
    problem = desk.problems.of(part)
    assert problem is not None
    assert problem.why == "OKX is busy"
    desk.market.info_error = None
    assert await live(20) == Severity.OK


async def test_a_configuration_that_never_comes_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> AccountInfo:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("riskbot.service.watch.TURN_DEADLINE", 0.01)
    desk = await Desk(KEY, BLIND).load()
    await desk.poll()
    desk.market.info = hang  # type: ignore[method-assign]
    await desk.poll(300)
    assert desk.watch._learning
    await desk.watch._learning
    assert "the key of main" in desk.problems
    await desk.watch.close()


async def test_while_all_is_blind_the_key_is_no_news_of_its_own() -> None:
    desk = await Desk(KEY, BLIND).load()
    await desk.poll()
    desk.market.error = desk.market.info_error = SourceError("down")
    for _ in range(100):
        await desk.poll(60)
        await asyncio.sleep(0)
    assert "the key of main" not in desk.problems


async def test_the_key_is_looked_at_again_when_the_rules_file_is_taken_up() -> None:
    desk = await Desk(KEY).load()
    await desk.poll()
    desk.market.permissions = ("read_only", "trade")
    await desk.poll()
    assert await desk.titles() == []
    await desk.watch.use([KEY], [Receiver("phone")], desk.store)
    for _ in range(2):
        await desk.poll()
        await asyncio.sleep(0)
    assert "WARNING · main · the API key's rights changed" in await desk.titles()


async def test_what_the_key_may_do_is_asked_once_at_a_time() -> None:
    desk = await Desk(KEY).load()
    await desk.poll()
    asked, answer = 0, asyncio.Event()

    async def info() -> AccountInfo:
        nonlocal asked
        asked += 1
        await answer.wait()
        return AccountInfo("77", "3")

    desk.market.info = info  # type: ignore[method-assign]
    for _ in range(3):
        await desk.poll(400)
        await asyncio.sleep(0)
    assert asked == 1
    answer.set()
    await desk.watch.close()


async def test_a_mistake_as_the_key_is_looked_at_is_told_and_it_is_looked_at_again_soon(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await Desk(KEY).load()
    await desk.poll()
    with monkeypatch.context() as at_fault:
        at_fault.setattr(desk.watch, "_know", lambda _: 1 / 0)
        await desk.poll(300)
        await asyncio.sleep(0)
        assert desk.watch._learning
        assert desk.watch._learning.exception() is None
    problem = desk.problems.of("the key of main")
    assert problem
    assert problem.why == "ZeroDivisionError"
    assert "can't read the account's configuration: ZeroDivisionError" in caplog.text
    for _ in range(2):
        await desk.poll(INFO_AGAIN)
        await asyncio.sleep(0)
    assert "the key of main" not in desk.problems


async def test_a_key_whose_account_somebody_else_has_written_takes_up_theirs() -> None:
    desk = await Desk(KEY, store=Thief()).load()
    await desk.poll()
    desk.market.permissions = ("read_only", "trade")
    await desk.poll(300)
    await asyncio.sleep(0)
    assert desk.store.stolen
    assert desk.watch._learning
    assert desk.watch._learning.exception() is None
    for _ in range(2):
        await desk.poll(300)
        await asyncio.sleep(0)
    assert desk.watch.alerts.gate == Gate(AccountInfo("77", "3", permissions=("read_only", "trade")))
