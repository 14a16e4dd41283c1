"""One receiver's messages, carried: with a clock that the test turns, and a notifier that does as told."""

from __future__ import annotations

import asyncio

import pytest

from riskbot.model import Severity
from riskbot.notify import Outcome, Text, Verdict
from tests.desk import BLIND, Post, rule


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
    monkeypatch.setattr("riskbot.service.courier.SEND_DEADLINE", 0.05)
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
