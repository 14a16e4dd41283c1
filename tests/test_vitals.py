"""Whether riskbot can be relied on: judged by polls, messages, commits and loops that really moved."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from riskbot.delivery import Receiver
from riskbot.health import Problem
from riskbot.model import Severity
from riskbot.notify import Outcome, Verdict
from riskbot.service.clock import Clock, Pulse
from riskbot.service.courier import Courier
from riskbot.service.vitals import STANDS_STILL, Vitals
from riskbot.source import Remedy, SourceError
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, Desk, Hands, Postman, rule

REFUSES = Verdict(Outcome.RETRY, "HTTP 503")


class Ward:
    """One account and one receiver, and what is said of them."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.store = SurvivingStore(MemoryStore())  # type: ignore[arg-type] # enough here
        self.desk = Desk(store=self.store)
        self.hands, self.watch = self.desk.hands, self.desk.watch
        self.postman = Postman(*verdicts)
        self.making: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.courier = Courier(Receiver("phone"), self.making, self.store, self.hands.clock, self.desk.problems)
        self.loop = Pulse(self.hands.clock, 30)
        self.vitals = Vitals(
            {"main": self.watch},
            {"phone": self.courier},
            self.store,
            self.hands.clock,
            {"the self-watch": self.loop},
            self.desk.problems,
        )

    async def live(self, seconds: float = 0, *, carry: bool = True) -> None:
        """All that should move does, every second."""
        await self.desk.poll(0)
        for _ in range(int(seconds)):
            await self.desk.poll()
            self.loop.beat()
            self.courier.pulse.beat()
            while carry and await self.courier._next(self.postman):
                self.hands.turn(0.001)

    def reasons(self) -> list[str]:
        return self.vitals.reasons(self.hands.clock.now())

    def stuck(self) -> list[str]:
        return self.vitals.stuck(self.hands.clock.now())


async def ward(*verdicts: Verdict) -> Ward:
    found = Ward(*verdicts)
    await found.desk.load()
    return found


async def test_while_all_moves_there_is_nothing_to_say() -> None:
    here = await ward()
    await here.live(100)
    assert here.reasons() == []


async def test_it_is_ready_once_each_account_was_polled_and_each_courier_has_what_it_sends_with() -> None:
    here = await ward()
    assert not here.vitals.ready()
    here.desk.market.error = SourceError("down")
    await here.live()
    assert not here.vitals.ready()
    running = asyncio.create_task(here.courier.run())
    here.making.set_result(here.postman)
    while not here.courier.hired:
        await asyncio.sleep(0)
    assert here.vitals.ready()
    here.courier.retire()
    await running
    assert not Vitals({}, {}, here.store, here.hands.clock, {}, here.desk.problems).ready()


async def test_an_account_without_a_good_answer_for_15_s_is_not_watched() -> None:
    here = await ward()
    await here.live(5)
    here.desk.market.error = SourceError("no answer within 5 s")
    await here.live(14)
    assert here.reasons() == []
    await here.live(2)
    assert here.reasons() == ["main: not seen for 16 s: no answer within 5 s"]
    here.desk.market.error = None
    await here.live(1)
    assert here.reasons() == []


async def test_an_account_that_is_polled_seldom_may_be_seen_as_seldom() -> None:
    here = await ward()
    await here.live()
    here.watch.sight.poll_every = 60.0
    here.hands.turn(180)
    assert not [why for why in here.reasons() if "not seen" in why]
    here.hands.turn(1)
    assert "main: not seen for 3 min 1 s" in here.reasons()


async def test_that_the_machine_s_clock_was_set_makes_no_account_unseen() -> None:
    here = await ward()
    await here.live()
    here.hands.wall += 3600
    assert here.reasons() == []
    assert here.vitals.sees(here.watch, here.hands.clock.now())
    here.desk.market.error = SourceError("down")
    await here.live(16)
    assert here.reasons() == ["main: not seen for 16 s: down"]


async def test_an_account_that_was_never_seen_is_not_watched() -> None:
    here = await ward()
    assert here.reasons() == ["main: never seen"]
    here.desk.market.error = SourceError("the passphrase is wrong", Remedy.SLOW)
    await here.live()
    assert here.reasons() == ["main: never seen: the passphrase is wrong"]


async def test_an_account_that_was_added_just_now_is_no_news_before_its_first_poll() -> None:
    here, new = await ward(), await ward()
    watches = here.vitals._watches = {"main": here.watch, "new": new.watch}
    assert here.reasons() == ["main: never seen", "new: never seen"]
    await here.live()
    assert here.reasons() == []
    assert not here.vitals.ready()
    new.desk.market.error = SourceError("the passphrase is wrong", Remedy.SLOW)
    await new.live()
    assert here.reasons() == ["new: never seen: the passphrase is wrong"]
    del watches["new"]
    assert here.reasons() == []


async def test_an_answer_that_is_frozen_is_not_fresh() -> None:
    here = await ward()
    here.desk.judge.use((BLIND.model_copy(update={"frozen_after": 20.0}),), [Receiver("phone")])
    here.watch.observer._take_rules()
    here.desk.market.extra = {"uTime": "1700000000000"}
    await here.live(20)
    assert here.reasons() == []
    await here.live(2)
    assert here.reasons() == ["main: not seen for 22 s: OKX's answers have not changed since 13:46:40 UTC"]


async def test_a_critical_message_may_not_be_unsent_for_more_than_a_minute() -> None:
    here = await ward(*[REFUSES] * 99)
    here.desk.market.ratio = "2.5"
    await here.live(9)
    assert here.reasons() == []
    await here.live(50)
    assert here.reasons() == ["phone: nothing is delivered for 58 s: HTTP 503"]
    await here.live(2)
    assert here.reasons() == ["phone: a critical message is unsent for 1 min 1 s: HTTP 503"]
    assert here.stuck() == []
    here.postman.verdicts.clear()
    await here.live(400)
    assert here.reasons() == []


async def test_a_milder_message_may_wait_until_it_is_told_that_the_receiver_fails() -> None:
    here = await ward(*[REFUSES] * 999)
    here.desk.market.ratio = "4"
    await here.live(115)
    assert here.postman.sent
    assert here.reasons() == []
    await here.live(15)
    assert here.reasons() == ["phone: nothing is delivered for 2 min 9 s: HTTP 503"]
    here.postman.verdicts.clear()
    await here.live(400)
    assert here.reasons() == []


async def test_a_message_that_was_not_tried_yet_is_unsent_for_the_reason_of_those_before_it() -> None:
    here = await ward(*[Verdict(Outcome.BROKEN, "HTTP 401")] * 999)
    here.desk.market.ratio = "4"
    await here.live(5)
    here.desk.market.ratio = "2.5"
    await here.live(62, carry=False)
    assert here.reasons() == ["phone: a critical message is unsent for 1 min 7 s: HTTP 401"]


async def test_a_rule_without_data_is_a_reason_as_soon_as_it_is_told() -> None:
    here = await ward()
    await here.live(5)
    here.desk.market.ratio = "?"
    await here.live(29)
    assert here.reasons() == []
    await here.live(3)
    assert here.reasons() == ['main: rule "margin_ratio" has had no data for 32 s: mgnRatio']
    here.desk.market.ratio = "12"
    await here.live(60)
    assert here.reasons() == []


async def test_what_a_waiting_message_covers_has_waited_too() -> None:
    here = await ward()
    here.desk.market.ratio = "2.5"
    await here.live(50, carry=False)
    here.desk.market.ratio = "20"
    await here.live(50, carry=False)
    assert len(here.store.unsent()) == 1
    assert here.reasons() == ["phone: a critical message is unsent for 1 min 40 s"]


async def test_what_was_given_up_is_unsent_until_newer_news_is_told() -> None:
    here = await ward(*[Verdict(Outcome.PERMANENT, "HTTP 400")] * 22)
    here.desk.judge.use((rule("margin_ratio", below={"emergency": 2}),), [Receiver("phone")])
    here.watch.observer._take_rules()
    here.desk.market.ratio = "1.2"
    await here.live(560)
    assert [state for state, _ in await here.store.outbox(("queued", "dead"))] == ["dead"]
    assert here.reasons() == ["phone: an emergency message is unsent for 9 min 20 s: HTTP 400"]
    here.postman.verdicts.clear()
    here.desk.market.ratio = "20"
    await here.live(60)
    assert here.reasons() == []


async def test_that_something_told_is_over_need_not_be_told_once_it_was_given_up() -> None:
    here = await ward()
    here.desk.market.ratio = "2.5"
    await here.live(2)
    here.postman.verdicts = [REFUSES] * 9999
    here.desk.market.ratio = "20"
    await here.live(100)
    (closing,) = here.store.unsent()
    assert "a critical message is unsent" in here.reasons()[0]
    await here.store.dead(closing, here.hands.clock.now(), "older than a day")
    assert here.reasons() == ["phone: nothing is delivered for 1 min 10 s: HTTP 503"]


async def test_a_receiver_that_has_left_is_owed_nothing() -> None:
    here = await ward(*[REFUSES] * 99)
    here.desk.market.ratio = "2.5"
    await here.live(61)
    assert here.reasons()
    here.vitals._couriers = {}
    assert here.reasons() == []


async def test_a_store_that_fails_is_a_reason() -> None:
    here = await ward()
    here.store.failing = "the disk is full"
    await here.live()
    assert here.reasons() == ["the store is failing: the disk is full"]


# ---------------------------------------------------------------- what has not moved


async def test_polls_that_hang_are_stuck_after_their_deadline() -> None:
    here = await ward()
    await here.live(3)
    here.hands.turn(30)
    assert here.stuck() == []
    here.hands.turn(2)
    assert here.stuck()[0] == "the watch of main stood still for 32 s"
    assert here.stuck()[0] in here.reasons()


async def test_a_turn_that_only_waits_since_the_exchange_wants_patience_moves() -> None:
    here = await ward()
    await here.live(3)
    for _ in range(100):
        here.hands.turn(1)
        await here.watch.wait()
        here.loop.beat()
        here.courier.pulse.beat()
    assert here.stuck() == []


async def test_a_courier_that_waits_for_its_receiver_within_the_deadline_is_not_stuck_beyond_it_is() -> None:
    here = await ward()
    here.desk.market.ratio = "2.5"
    await here.live()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def send(_: object) -> Verdict:
        asked.set()
        await answer.wait()
        return Verdict(Outcome.SENT)

    here.postman.send = send  # type: ignore[method-assign]
    here.hands.turn(29)
    sending = asyncio.create_task(here.courier._next(here.postman))
    await asked.wait()
    here.hands.turn(30)
    assert not [why for why in here.stuck() if "phone" in why]
    here.hands.turn(1)
    assert "the courier of phone stood still for 31 s" in here.stuck()
    answer.set()
    await sending
    assert not [why for why in here.stuck() if "phone" in why]


async def test_a_courier_with_nothing_to_do_moves() -> None:
    here = await ward()
    here.making.set_result(here.postman)
    here.hands.turn(40)
    running = asyncio.create_task(here.courier.run())
    while not here.courier.hired:
        await asyncio.sleep(0)
    assert not [why for why in here.stuck() if "phone" in why]
    here.courier.retire()
    await running


async def test_a_courier_that_never_gets_what_it_sends_with_is_stuck() -> None:
    here = await ward()
    here.hands.turn(31)
    assert "the courier of phone stood still for 31 s" in here.stuck()


async def test_a_loop_that_does_not_move_is_stuck() -> None:
    here = await ward()
    here.hands.turn(31)
    assert "the self-watch stood still for 31 s" in here.stuck()


def told(here: Ward) -> dict[str, str]:
    """Riskbot's own problems by now, after a look that comes every second."""
    here.vitals.tell(here.hands.clock.now())
    parts = ("watching main", "delivery to phone")
    return {part: problem.why for part in parts if (problem := here.desk.problems.of(part))}


async def test_that_a_watch_or_a_courier_stands_still_is_told_until_it_moves() -> None:
    here = await ward()
    for _ in range(32):
        here.courier.pulse.beat()
        here.hands.turn(1)
        assert told(here) == {}
    here.courier.pulse.beat()
    here.hands.turn(1)
    assert told(here) == {"watching main": STANDS_STILL}
    assert here.desk.problems.measured(here.hands.clock.now()).readings[-1].value == Severity.CRITICAL
    here.watch.pulse.beat()
    here.hands.turn(1)
    assert told(here) == {}


async def test_what_failed_as_soon_as_it_moved_again_is_not_taken_to_work() -> None:
    here = await ward()
    for _ in range(32):
        here.watch.pulse.beat()
        here.hands.turn(1)
        found = told(here)
    assert found == {"delivery to phone": STANDS_STILL}
    here.courier.pulse.beat()
    here.desk.problems.fail("delivery to phone", Problem(here.hands.clock.now(), "HTTP 500", 120.0, 1200.0))
    assert told(here) == {"delivery to phone": "HTTP 500"}


async def test_after_riskbot_as_a_whole_stood_still_all_are_given_the_time_to_move_again() -> None:
    here = await ward()
    for seconds in [1] * 10 + [500] + [1] * 30:
        here.hands.turn(seconds)
        assert told(here) == {}
    here.hands.wall += 3600
    assert told(here) == {}
    for _ in range(3):
        here.hands.turn(1)
        found = told(here)
    assert found.keys() == {"watching main", "delivery to phone"}


async def test_what_a_courier_says_of_its_receiver_is_not_taken_back() -> None:
    here = await ward()
    told(here)
    here.desk.problems.fail("delivery to phone", Problem(here.hands.clock.now(), "HTTP 503", 0.0, 0.0))
    here.hands.turn(1)
    assert told(here) == {"delivery to phone": "HTTP 503"}


def test_that_the_machine_s_clock_was_set_is_no_standing_still() -> None:
    hands = Hands()
    pulse = Pulse(hands.clock, 30)
    hands.wall += 3600
    assert pulse.stuck_for(hands.clock.now()) == 0
    hands.turn(31)
    assert pulse.stuck_for(hands.clock.now()) == 31


def test_a_pulse_is_in_the_clock_s_own_seconds() -> None:
    hands = Hands()
    clock = Clock(lambda: hands.wall, lambda: hands.monotonic, speed=20)
    pulse = Pulse(clock, 30 * clock.speed)
    hands.turn(30)
    assert pulse.stuck_for(clock.now()) == 0
    hands.turn(1)
    assert pulse.stuck_for(clock.now()) == pytest.approx(620)
