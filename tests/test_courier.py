"""One receiver's messages, carried: with a clock that the test turns, and a notifier that does as told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from msgspec.structs import replace

from riskbot.delivery import Receiver, about_receiver
from riskbot.health import about_refusal
from riskbot.model import Cause, Severity
from riskbot.notify import Outcome, Text, Verdict
from riskbot.service.courier import Budget, together
from riskbot.store import Message
from tests.desk import BLIND, Post, rule

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
DAY = 86400.0
BUSY, BROKEN, REFUSED = (
    Verdict(Outcome.RETRY, "busy"),
    Verdict(Outcome.BROKEN, "401"),
    Verdict(Outcome.PERMANENT, "400"),
)


def letter(subject: str, after: Severity = WARNING, account: str = "main", **keys: Any) -> Message:
    """Of an alert of its own, written when the hands stand at the beginning."""
    told: dict[str, Any] = {
        "before": OK,
        "peak": after,
        "at": 1_000_000.0,
        "title": f"{after.name} · {account} · {subject}",
        "body": f"#{account} {subject} 1.1",
        **keys,
    }
    alert = f"{account}/rule/{subject}"
    return Message(
        id=f"{alert}-1-1@phone",
        receiver="phone",
        account=account,
        alert=alert,
        episode=1,
        seq=1,
        after=after,
        opened=told["at"],
        cause=Cause.BREACH,
        **told,
    )


def titles(post: Post) -> list[str]:
    return [text.title for text in post.postman.sent]


async def states(post: Post) -> dict[str, str]:
    """Of each row, by its alert's subject."""
    return {message.alert.rpartition("/")[2]: state for state, message in await post.rows()}


async def due_in(post: Post) -> float | None:
    due = await post.courier._due()
    return None if due is None else due - post.hands.clock.now()


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
    post.postman.verdicts = []
    await post.put(letter("USDT"), letter("BTC"))
    await post.carry()
    assert titles(post)[20:] == ["WARNING · main · 2 alerts"]


async def test_refusals_of_a_milder_step_do_not_count_for_a_worse_one() -> None:
    post = Post(*[REFUSED] * 20)
    await post.put(letter("USDT", CRITICAL))
    for _ in range(9):
        await post.carry()
        post.hands.turn(61)
    worse = replace(letter("USDT", Severity.EMERGENCY), id="worse", seq=2, at=post.hands.wall)
    await post.put(worse)
    await post.carry()
    assert [state for state, m in await post.rows() if m.seq == 2] == ["queued"]


@pytest.mark.parametrize(
    ("titles", "word"),
    [
        (["RESOLVED · main · a", "MISSED WARNING · main · b"], "MISSED WARNING"),
        (["CLOSED · main · a", "RESOLVED · main · b"], "RESOLVED"),
        (["RESOLVED · main · a", "EASED TO INFO · main · b"], "EASED TO INFO"),
    ],
)
def test_several_messages_as_one_begin_with_the_worst_word(titles: list[str], word: str) -> None:
    texts = [Text(title, "", OK) for title in titles]
    assert together(texts, "main").title == f"{word} · main · 2 alerts"


async def test_tries_that_failed_otherwise_are_no_refusals() -> None:
    failed, refused = Verdict(Outcome.RETRY, "HTTP 503"), Verdict(Outcome.PERMANENT, "HTTP 400")
    post = Post(*[failed] * 12, refused, refused)
    await post.write()
    for _ in range(13):
        await post.carry()
        post.hands.turn(400)
    ((state, message),) = await post.rows()
    assert (state, message.tries) == ("queued", 13)


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


# Waiting between tries


@pytest.mark.parametrize(
    ("severity", "danger", "bounds"),
    [
        (WARNING, False, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]),
        (WARNING, True, [1, 2, 4, 8, 16, 30, 30]),
        (CRITICAL, False, [1, 2, 4, 8, 16, 30, 30]),
    ],
)
@pytest.mark.parametrize("luck", [0.0, 0.5, 1.0])
async def test_waits_are_any_up_to_a_bound_that_doubles_and_stays_short_while_it_is_urgent(
    monkeypatch: pytest.MonkeyPatch, severity: Severity, danger: bool, bounds: list[float], luck: float
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low + luck * (high - low))
    post = Post(*[BUSY] * len(bounds))
    post.danger = danger
    await post.put(letter("USDT", severity))
    for bound in bounds:
        assert await post.courier._next(post.postman)
        assert await due_in(post) == pytest.approx(max(0.1, luck * bound))
        post.hands.turn((await due_in(post) or 0.0) + 0.001)
    await post.carry()
    assert await states(post) == {"USDT": "sent"}


async def test_waits_of_a_group_are_those_of_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _, high: high)
    post = Post(BUSY, BUSY, BUSY)
    await post.put(letter("USDT"))
    await post.carry()
    post.hands.turn(1)
    await post.put(letter("BTC"))
    await post.carry()
    assert titles(post) == ["WARNING · main · USDT", "WARNING · main · 2 alerts"]
    assert await due_in(post) == pytest.approx(2, abs=0.1)


async def test_patience_that_a_receiver_asks_for_holds_for_all_its_messages() -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=7.0))
    await post.write()
    await post.carry()
    assert [message.due_at for _, message in await post.rows()] == [1_000_007]  # whatever becomes of the process
    await post.write(rules=(rule("margin_ratio", name="another", below={"critical": 3}), BLIND))
    post.hands.turn(6)
    await post.carry()
    assert len(post.postman.sent) == 1
    post.hands.turn(2)
    await post.carry()
    assert len(post.postman.sent) == 3


async def test_patience_that_is_asked_for_after_a_group_holds_for_all_messages_too() -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=7.0))
    await post.put(letter("USDT"), letter("BTC"))
    await post.put(letter("ETH", account="other"))
    await post.carry()
    assert (len(post.postman.sent), await due_in(post)) == (1, pytest.approx(7, abs=0.1))
    post.hands.turn(6.9)
    await post.carry()
    assert len(post.postman.sent) == 1
    post.hands.turn(0.2)
    await post.carry()
    assert sorted(titles(post)[1:]) == ["WARNING · main · 2 alerts", "WARNING · other · ETH"]


async def test_patience_has_bounds_and_a_closer_one_once_something_critical_waits() -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=9999.0), Verdict(Outcome.RETRY, "429", after=9999.0))
    await post.put(letter("USDT"))
    await post.carry()
    assert await due_in(post) == pytest.approx(300, abs=0.1)
    post.hands.turn(50)
    await post.put(letter("BTC", CRITICAL))
    assert await due_in(post) == pytest.approx(10, abs=0.1)
    await post.carry()
    assert len(post.postman.sent) == 1
    post.hands.turn(10)
    await post.carry()
    assert titles(post)[1:] == ["CRITICAL · main · BTC"]
    assert await due_in(post) == pytest.approx(60, abs=0.1)


async def test_patience_outlives_another_failure() -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=300.0), BUSY)
    await post.put(letter("USDT"))
    await post.carry()
    await post.put(letter("BTC", CRITICAL))
    post.hands.turn(61)
    assert await post.courier._next(post.postman)
    await post.store.dead(letter("BTC", CRITICAL), 0, "dropped")
    post.hands.turn(200)
    await post.carry()
    assert len(post.postman.sent) == 2
    post.hands.turn(40)
    await post.carry()
    assert len(post.postman.sent) == 3


# A receiver that takes nothing


@pytest.mark.parametrize(
    ("severity", "danger", "every"), [(WARNING, False, 300), (WARNING, True, 60), (CRITICAL, False, 60)]
)
async def test_a_broken_receiver_is_left_alone_and_probed_now_and_then(
    severity: Severity, danger: bool, every: float
) -> None:
    post = Post(BROKEN, BROKEN)
    post.danger = danger
    await post.put(letter("USDT", severity))
    await post.put(letter("BTC", account="other"))
    await post.carry()
    assert post.severity() is CRITICAL
    for probes in (1, 2):
        post.hands.turn(every - 1)
        await post.carry()
        assert len(post.postman.sent) == probes
        post.hands.turn(1)
        await post.carry()
    assert titles(post) == [f"{severity.name} · main · USDT"] * 3 + ["WARNING · other · BTC"]
    assert post.severity() is OK


async def test_a_send_that_was_cut_off_as_riskbot_stood_still_makes_no_failing_receiver() -> None:
    post = Post()

    async def send(_: Text) -> Verdict:
        post.hands.turn(60)
        return Verdict(Outcome.AMBIGUOUS, "no answer within 15 s")

    post.postman.send = send  # type: ignore[method-assign]
    await post.put(letter("USDT", CRITICAL))
    assert await post.courier._next(post.postman)
    assert post.severity() is OK
    post.hands.turn(5)
    assert post.severity() is CRITICAL


async def test_a_broken_receiver_is_probed_sooner_with_what_is_critical_and_came_meanwhile() -> None:
    post = Post(BROKEN)
    await post.put(letter("USDT"), letter("ETH"))
    await post.carry()
    post.hands.turn(30)
    await post.put(letter("BTC", CRITICAL))
    await post.carry()
    assert len(post.postman.sent) == 1
    post.hands.turn(31)
    await post.carry()
    assert titles(post)[1:] == ["CRITICAL · main · BTC", "WARNING · main · 2 alerts"]


# How its failing is told


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


async def test_a_receiver_has_failed_since_its_first_try_began() -> None:
    post = Post()

    async def slow(_: Text) -> Verdict:
        post.hands.turn(14)
        return Verdict(Outcome.AMBIGUOUS, "no answer")

    post.postman.send = slow  # type: ignore[method-assign]
    await post.put(letter("USDT", CRITICAL))
    for _ in range(2):
        assert await post.courier._next(post.postman)
        post.hands.turn(5.99)
    problem = post.problems.of(about_receiver("phone"))
    assert problem
    assert problem.since == 1_000_000
    assert not problem.hands_over(None, 1_000_019.9)
    assert problem.hands_over(None, 1_000_020)


@pytest.mark.parametrize("danger", [False, True])
async def test_a_receiver_that_fails_is_told_sooner_from_when_it_is_urgent(danger: bool) -> None:
    post = Post(Verdict(Outcome.RETRY, "429", after=300.0))
    await post.put(letter("USDT"))
    await post.carry()
    post.hands.turn(30)
    await post.carry()
    assert post.severity() is OK
    if danger:
        post.danger = True
    else:
        await post.put(letter("BTC", CRITICAL))
    await post.carry()
    assert len(post.postman.sent) == 1
    assert post.severity() is CRITICAL


async def test_a_receiver_that_fails_is_well_only_when_a_message_went_through() -> None:
    post = Post(BROKEN, REFUSED, REFUSED, BUSY)
    await post.put(letter("USDT", CRITICAL))
    for _ in range(3):
        await post.carry()
        assert post.severity() is CRITICAL
        post.hands.turn(61)
    await post.carry()
    assert post.severity() is OK
    assert await states(post) == {"USDT": "sent"}
    post.danger = True
    await post.carry()
    assert about_receiver("phone") not in post.problems


# Several messages as one


async def test_mild_messages_of_an_account_go_out_as_one_the_worst_first() -> None:
    post = Post()
    await post.put(letter("USDT", INFO), letter("BTC"), letter("ETH", OK, before=WARNING, peak=WARNING, title="OVER"))
    await post.put(letter("SOL", account="other"))
    await post.carry()
    assert sorted(titles(post)) == ["WARNING · main · 3 alerts", "WARNING · other · SOL"]
    one = next(text for text in post.postman.sent if "main" in text.title)
    assert one.severity is WARNING
    assert one.body.split("\n\n") == [
        "WARNING · main · BTC\n#main BTC 1.1",
        "INFO · main · USDT\n#main USDT 1.1",
        "OVER\n#main ETH 1.1",
    ]
    assert set((await states(post)).values()) == {"sent"}


def test_a_group_that_only_ends_alerts_says_so() -> None:
    texts = [Text("RESOLVED · main · a", "x", OK, plain=True), Text("RESOLVED · main · b", "y", OK, plain=True)]
    body = "RESOLVED · main · a\nx\n\nRESOLVED · main · b\ny"
    assert together(texts, "main") == Text("RESOLVED · main · 2 alerts", body, OK, plain=True)


async def test_what_is_critical_goes_first_and_alone_and_so_does_its_end() -> None:
    post = Post()
    await post.put(letter("USDT"), letter("BTC", CRITICAL), letter("ETH", EMERGENCY), letter("SOL"))
    await post.put(letter("XRP", OK, before=CRITICAL, title="RESOLVED · main · XRP"))
    await post.carry()
    assert titles(post) == [
        "EMERGENCY · main · ETH",
        "CRITICAL · main · BTC",
        "RESOLVED · main · XRP",
        "WARNING · main · 2 alerts",
    ]


async def test_a_lone_message_goes_out_as_it_is() -> None:
    post = Post()
    await post.put(letter("USDT"))
    await post.carry()
    assert post.postman.sent == [Text("WARNING · main · USDT", "#main USDT 1.1", WARNING)]


async def test_no_more_than_ten_go_out_as_one() -> None:
    post = Post()
    await post.put(*(letter(f"C{i}") for i in range(23)))
    await post.carry()
    assert titles(post) == ["WARNING · main · 10 alerts"] * 2 + ["WARNING · main · 3 alerts"]


async def test_a_group_shares_its_verdict() -> None:
    post = Post(Verdict(Outcome.AMBIGUOUS, "no answer"))
    await post.put(letter("USDT"), letter("BTC"))
    assert await post.courier._next(post.postman)
    rows = [message for _, message in await post.rows()]
    assert [(m.maybe_sent, m.tries, m.error) for m in rows] == [(True, 1, "no answer")] * 2
    assert len({m.due_at for m in rows}) == 1
    post.hands.turn(1)
    await post.carry()
    assert post.postman.sent[1].body.count("(may be a repeat)") == 2


async def test_of_a_refused_group_each_goes_alone_at_once_so_that_a_bad_one_blocks_none() -> None:
    post = Post(REFUSED, REFUSED, REFUSED, REFUSED)
    await post.put(letter("BAD", at=999_999.0), letter("BTC"), letter("ETH"))
    await post.carry()
    assert [(text.title.rpartition(" · ")[2], text.plain) for text in post.postman.sent] == [
        ("3 alerts", False),
        ("3 alerts", True),
        ("BAD", False),
        ("BAD", True),
        ("BTC", False),
        ("ETH", False),
    ]
    assert await states(post) == {"BAD": "queued", "BTC": "sent", "ETH": "sent"}
    assert post.severity(about_refusal("phone")) is CRITICAL


async def test_while_a_refused_message_waits_those_of_its_account_go_alone() -> None:
    post = Post(REFUSED, REFUSED)
    await post.put(letter("BAD"))
    await post.carry()
    await post.put(letter("SOL"), letter("XRP"))
    await post.put(letter("SOL", account="other"), letter("XRP", account="other"))
    await post.carry()
    assert titles(post)[2:] == ["WARNING · main · SOL", "WARNING · main · XRP", "WARNING · other · 2 alerts"]
    post.hands.turn(61)
    await post.carry()
    await post.put(letter("ADA"), letter("DOT"))
    await post.carry()
    assert titles(post)[5:] == ["WARNING · main · BAD", "WARNING · main · 2 alerts"]


async def test_a_refused_group_that_nobody_refuses_alone_is_no_alert() -> None:
    post = Post(REFUSED, REFUSED)
    await post.put(letter("USDT"), letter("BTC"))
    await post.carry()
    assert set((await states(post)).values()) == {"sent"}
    assert post.severity(about_refusal("phone")) is OK


async def test_messages_share_their_way_again_once_what_was_refused_is_gone() -> None:
    post = Post(REFUSED, REFUSED)
    await post.put(letter("BAD"))
    await post.carry()
    await post.store.dead(letter("BAD"), 0, "dropped by hand")
    assert await due_in(post) is None
    await post.put(letter("USDT"), letter("BTC"))
    await post.carry()
    assert titles(post)[2:] == ["WARNING · main · 2 alerts"]


# How many a minute


def test_a_budget_fills_again_and_keeps_a_quarter_for_what_is_critical() -> None:
    budget = Budget(20)
    for _ in range(15):
        assert budget.wait(1000, OK) == 0
        budget.spend(1000)
    assert budget.wait(1000, WARNING) == pytest.approx(3)
    assert budget.wait(1002, WARNING) == pytest.approx(1)
    assert budget.wait(1003, WARNING) == pytest.approx(0)
    for _ in range(5):
        assert budget.wait(1000, CRITICAL) == 0
        budget.spend(1000)
    assert budget.wait(1000, EMERGENCY) == pytest.approx(3)
    assert budget.wait(1000, OK) == pytest.approx(18)


def test_a_budget_is_never_fuller_than_full_and_may_be_overdrawn() -> None:
    budget = Budget(4)
    budget.spend(0)
    for _ in range(5):
        assert budget.wait(5000, CRITICAL) == (0 if _ < 4 else 15)
        budget.spend(5000)
    assert budget.wait(5000, CRITICAL) == 30


@pytest.mark.parametrize(("per_minute", "mild"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (600, 450)])
def test_a_small_budget_is_divided_too_but_lets_something_mild_go(per_minute: int, mild: int) -> None:
    budget = Budget(per_minute)
    for _ in range(mild):
        assert budget.wait(0, OK) == 0
        budget.spend(0)
    assert budget.wait(0, OK) > 0


async def test_what_the_budget_does_not_allow_waits_and_only_what_is_critical_goes_before() -> None:
    post = Post(receiver=Receiver("phone", per_minute=4))
    for number in range(5):
        await post.put(letter("USDT", account=f"account {number}"))
    await post.carry()
    assert len(post.postman.sent) == 3
    assert await due_in(post) == pytest.approx(15, abs=0.1)
    await post.put(letter("BTC", CRITICAL))
    assert await due_in(post) == pytest.approx(0, abs=0.1)
    await post.carry()
    assert titles(post)[3:] == ["CRITICAL · main · BTC"]
    for _ in range(2):
        post.hands.turn(await due_in(post) or 0.0)
        before = len(post.postman.sent)
        assert await post.courier._next(post.postman)
        assert not await post.courier._next(post.postman)
        assert len(post.postman.sent) == before + 1
    assert set((await states(post)).values()) == {"sent"}


async def test_a_try_as_plain_text_counts_as_well() -> None:
    post = Post(REFUSED, receiver=Receiver("phone", per_minute=3))
    await post.put(letter("USDT"))
    await post.put(letter("USDT", account="other"))
    await post.carry()
    assert len(post.postman.sent) == 2
    assert await due_in(post) == pytest.approx(20, abs=0.1)


async def test_a_courier_that_has_to_wait_does_not_turn_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    post = Post(receiver=Receiver("phone", per_minute=1))
    waits: list[float] = []

    def timeout(seconds: float) -> Any:
        waits.append(seconds)
        post.hands.turn(seconds)
        raise TimeoutError

    await post.put(letter("USDT"))
    await post.put(letter("USDT", account="other"))
    await post.carry()
    monkeypatch.setattr("asyncio.timeout", timeout)
    while sum(waits) < 59.9:
        await post.courier._turn(post.postman)
    assert waits == [10, 10, 10, 10, 10, pytest.approx(10, abs=0.1)]
    monkeypatch.undo()
    assert await post.courier._next(post.postman)


# What need not be told any more


async def test_an_end_is_told_for_a_day_and_a_beginning_for_ever() -> None:
    post = Post()
    over = {"before": WARNING, "peak": WARNING}
    await post.put(letter("OLD", OK, **over), letter("YOUNG", OK, at=1_000_100.0, **over), letter("OPEN"))
    post.hands.turn(DAY + 50)
    await post.carry()
    assert await states(post) == {"OLD": "dead", "YOUNG": "sent", "OPEN": "sent"}
    assert titles(post) == ["WARNING · main · 2 alerts"]
    assert next(m.error for state, m in await post.rows() if state == "dead") == "older than a day"


async def test_an_end_that_is_too_old_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    post = Post()
    await post.put(letter("OLD", OK, before=CRITICAL, title="RESOLVED · main · OLD"))
    post.hands.turn(DAY + 50)
    await post.put(letter("NEW"))
    await post.carry()
    assert titles(post) == ["WARNING · main · NEW"]
    assert "phone: given up, older than a day: RESOLVED · main · OLD" in caplog.messages


# A change of the file


async def test_settings_can_be_replaced_while_it_runs() -> None:
    post = Post(BUSY, receiver=Receiver("phone", per_minute=1))
    await post.put(letter("USDT"))
    await post.put(letter("USDT", account="other"))
    await post.carry()
    assert await due_in(post) == pytest.approx(60, abs=1)
    post.courier._wake.clear()
    post.courier.settings = Receiver("phone", per_minute=60)
    assert post.courier._wake.is_set()
    assert post.courier.receiver == "phone"
    assert await due_in(post) == pytest.approx(16, abs=1)


async def test_a_courier_that_retires_finishes_what_it_carries_and_takes_nothing_more() -> None:
    post = Post(BROKEN)
    await post.put(letter("USDT", CRITICAL))
    await post.carry()
    assert post.severity() is CRITICAL
    carrying, verdict = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def send(_: Text) -> Verdict:
        carrying.set()
        return await verdict

    post.postman.send = send  # type: ignore[method-assign]
    post.hands.turn(61)
    running = asyncio.create_task(post.courier.run())
    await carrying.wait()
    await post.put(letter("BTC"))
    post.courier.retire()
    assert about_receiver("phone") not in post.problems
    verdict.set_result(BROKEN)
    await running
    assert post.postman.closed
    assert post.problems.measured(2_000_000).readings == ()
    assert await states(post) == {"USDT": "queued", "BTC": "queued"}


async def test_a_courier_that_retires_while_it_rests_ends_at_once() -> None:
    post = Post()
    running = asyncio.create_task(post.courier.run())
    await asyncio.sleep(0)
    post.courier.retire()
    async with asyncio.timeout(2):
        await running
    assert post.postman.closed


# Odd notifiers


async def test_a_notifier_that_raises_loses_nothing_and_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post = Post(ValueError("token 12345"))
    await post.write()
    await post.carry()
    ((state, message),) = await post.rows()
    assert state == "queued"
    assert message.error == "the notifier failed: ValueError"
    assert "12345" not in caplog.text
    assert "phone: can't deliver: the notifier failed: ValueError" in caplog.messages


async def test_a_notifier_past_its_deadline_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riskbot.service.courier.SEND_DEADLINE", 0.05)
    post = Post()

    async def hang(_: Text) -> Verdict:
        return await asyncio.get_running_loop().create_future()

    await post.write()
    post.postman.send = hang  # type: ignore[method-assign]
    await post.carry()
    ((state, message),) = await post.rows()
    assert (state, message.maybe_sent) == ("queued", True)


async def test_the_courier_sleeps_until_it_is_woken_and_closes_its_notifier() -> None:
    post = Post()
    running = asyncio.create_task(post.courier.run())
    for _ in range(10):
        await asyncio.sleep(0)  # it has looked, and sleeps
    assert post.courier.idle
    await post.put(letter("USDT"))
    async with asyncio.timeout(2):
        while not post.postman.sent:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert post.postman.closed


async def test_a_notifier_that_keeps_a_cancellation_for_itself_does_not_keep_the_courier() -> None:
    post = Post()
    sending = asyncio.Event()

    async def send(_: Text) -> Verdict:
        sending.set()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return Verdict(Outcome.SENT)

    post.postman.send = send  # type: ignore[method-assign]
    await post.put(letter("USDT"))
    running = asyncio.create_task(post.courier.run())
    await sending.wait()
    running.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait([running])
    assert running.cancelled()
    assert post.postman.closed
    assert await states(post) == {"USDT": "sent"}
