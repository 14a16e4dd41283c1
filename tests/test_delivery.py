"""From events to what each receiver is told."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.builtin.rules import Level
from riskbot.delivery import Receiver, about_receiver, final_text, ongoing, plan
from riskbot.model import Alert, Alerts, Cause, Event, Reading, Severity, Told
from riskbot.rules import Measured, Rule
from riskbot.store import Message, Step

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
PHONE, PAGER = Receiver("phone"), Receiver("pager", EMERGENCY)
NOON = 43_200.0


def twap(**keys: Any) -> Level:
    tiers = {"warning": 2, "critical": 4, "emergency": 5}
    return Level.model_validate({"name": "twap", "kind": "level", "field": "details.twap", "at_least": tiers} | keys)


def event(before: Severity, after: Severity, seq: int = 1, episode: int = 7, **keys: Any) -> Event:
    event = Event(
        "main", "twap", "USDT", episode, seq, before, after, max(before, after), NOON + seq, NOON, Cause.BREACH
    )
    return replace(event, **keys)


def words(event: Event) -> tuple[str, Sequence[str]]:
    return f"headline {event.seq}", ["a line"]


def planned(
    events: Sequence[Event], receivers: Sequence[Receiver], alerts: Alerts | None = None
) -> tuple[Alerts, list[Message]]:
    """Plan event after event, as ticks do."""
    rules = {"twap": twap()}
    alerts, messages = alerts or Alerts(), []
    for one in events:
        made = plan(alerts, [one], rules, receivers, words)
        alerts, messages = made.alerts, [*messages, *made.messages]
    return alerts, messages


def course(messages: Sequence[Message], receiver: Receiver = PHONE) -> list[tuple[int, int]]:
    return [(m.before, m.after) for m in messages if m.receiver == receiver.name]


COURSE = [event(OK, WARNING, 1), event(WARNING, CRITICAL, 2), event(CRITICAL, EMERGENCY, 3)]
COURSE += [event(EMERGENCY, CRITICAL, 4), event(CRITICAL, OK, 5)]


def test_each_receiver_sees_an_alert_through_its_min_severity() -> None:
    receivers = [PHONE, Receiver("mail", CRITICAL), PAGER]

    _, messages = planned(COURSE, receivers)

    assert course(messages, PHONE) == [(0, 2), (2, 3), (3, 4), (4, 3), (3, 0)]
    assert course(messages, receivers[1]) == [(0, 3), (3, 4), (4, 3), (3, 0)]
    assert course(messages, PAGER) == [(0, 4), (4, 0)]


def test_a_receiver_that_heard_of_nothing_hears_of_no_end() -> None:
    assert planned([event(OK, WARNING), event(WARNING, OK, 2)], [PAGER])[1] == []


def test_a_fall_below_min_severity_is_told_as_what_it_is() -> None:
    _, messages = planned([event(OK, EMERGENCY), event(EMERGENCY, WARNING, 2)], [PAGER])

    assert messages[1].title == "NOW WARNING · main · headline 2"
    assert "warning is not told here" in messages[1].body
    assert messages[1].after == OK


def test_a_rule_tells_only_the_receivers_that_it_names() -> None:
    rules = {"twap": twap(receivers=("mail",))}

    made = plan(Alerts(), COURSE, rules, [PHONE, Receiver("mail")], words)

    assert course(made.messages) == []
    assert course(made.messages, Receiver("mail")) == [(0, 2), (2, 3), (3, 4), (4, 3), (3, 0)]


def test_a_receiver_is_not_told_that_it_can_not_be_reached() -> None:
    about = event(OK, CRITICAL, subject=about_receiver("phone"))

    assert [m.receiver for m in planned([about], [PHONE, PAGER, Receiver("mail")])[1]] == ["mail"]


def test_the_end_of_a_rule_that_is_gone_is_told() -> None:
    alerts, _ = planned([event(OK, CRITICAL)], [PHONE])

    made = plan(alerts, [event(CRITICAL, OK, 2, cause=Cause.RULE_REMOVED)], {}, [PHONE], words)

    assert course(made.messages) == [(3, 0)]
    assert "the rule was removed" in made.messages[0].body


def test_what_was_told_is_remembered_until_it_is_over() -> None:
    alerts, _ = planned(COURSE[:2], [PHONE, PAGER])
    assert alerts.told == {"phone": {"twap/USDT": Told(7, 2, CRITICAL)}}

    alerts, _ = planned(COURSE[2:], [PHONE, PAGER], alerts)
    assert alerts.told == {"phone": {}, "pager": {}}


def test_without_an_event_nothing_is_planned() -> None:
    alerts = Alerts(told={"phone": {"x/": Told(1, 1, INFO)}})

    assert plan(alerts, [], {}, [PHONE], words).alerts is alerts
    assert planned([event(OK, WARNING)], [PAGER], alerts) == (alerts, [])


def test_planning_leaves_what_it_was_given() -> None:
    alerts = Alerts(told={"phone": {"twap/USDT": Told(7, 1, WARNING)}})

    planned(COURSE[1:], [PHONE], alerts)

    assert alerts.told == {"phone": {"twap/USDT": Told(7, 1, WARNING)}}


def test_words_are_asked_once_an_event_and_only_if_somebody_is_told() -> None:
    asked: list[Event] = []

    def compose(event: Event) -> tuple[str, Sequence[str]]:
        asked.append(event)
        return "", ()

    plan(Alerts(), COURSE[:1], {}, [PHONE, Receiver("mail"), PAGER], compose)
    plan(Alerts(), COURSE[:1], {}, [PAGER], compose)

    assert asked == COURSE[:1]


def test_a_message_carries_its_event() -> None:
    (message,) = planned([event(OK, CRITICAL, peak=EMERGENCY)], [PHONE])[1]

    assert message == Message(
        id="main/twap/USDT-7-1@phone",
        receiver="phone",
        account="main",
        alert="main/twap/USDT",
        episode=7,
        seq=1,
        before=OK,
        after=CRITICAL,
        peak=EMERGENCY,
        at=NOON + 1,
        opened=NOON,
        cause=Cause.BREACH,
        title="CRITICAL · main · headline 1",
        body="a line\nsince 12:00:00 UTC\n#main twap USDT 7.1",
        due_at=NOON + 1,
    )


# ---------------------------------------------------------------- receivers that come and go


def remembered() -> Alerts:
    alert = Alert(level=CRITICAL, shown=CRITICAL, episode=7, seq=2, peak=EMERGENCY, opened=NOON)
    return Alerts({"twap": {"USDT": alert, "BTC": Alert(episode=3, seq=2, peak=INFO)}})


def test_a_new_receiver_is_told_of_what_is_open_once() -> None:
    alerts, messages = planned(ongoing("main", remembered(), NOON + 60), [PHONE, PAGER], remembered())

    assert [(m.receiver, m.alert, m.after, m.cause) for m in messages] == [
        ("phone", "main/twap/USDT", CRITICAL, Cause.ONGOING)
    ]
    assert messages[0].opened == NOON
    assert planned(ongoing("main", alerts, NOON + 90), [PHONE, PAGER], alerts)[1] == []


def test_a_receiver_that_was_out_of_the_file_hears_of_the_end_when_it_is_back() -> None:
    alerts, _ = planned([event(OK, CRITICAL)], [PHONE])
    alerts, _ = planned([event(CRITICAL, OK, 2)], [Receiver("mail")], alerts)
    alerts = replace(alerts, alerts={"twap": {"USDT": Alert(episode=7, seq=2, peak=CRITICAL, opened=NOON)}})

    alerts, messages = planned(ongoing("main", alerts, NOON + 60), [PHONE], alerts)

    assert course(messages) == [(3, 0)]
    assert "over, peak critical" in messages[0].body
    assert alerts.told["phone"] == {}


def test_a_new_episode_is_told_whatever_was_heard_of_an_earlier_one() -> None:
    stale = Alerts(told={"phone": {"twap/USDT": Told(7, 1, CRITICAL)}})

    alerts, messages = planned([event(OK, CRITICAL, 1, 8)], [PHONE], stale)

    assert course(messages) == [(0, 3)]
    assert "what was told before of this alert is over" in messages[0].body
    assert alerts.told["phone"]["twap/USDT"] == Told(8, 1, CRITICAL)


def test_a_receiver_that_wants_less_now_is_told_so() -> None:
    alerts, _ = planned([event(OK, CRITICAL, 2)], [PHONE], remembered())

    _, messages = planned(ongoing("main", alerts, NOON + 60), [Receiver("phone", EMERGENCY)], alerts)

    assert course(messages) == [(3, 0)]
    assert messages[0].title.startswith("NOW CRITICAL")


def test_an_alert_that_lost_its_tier_is_told_once_not_again_as_ongoing() -> None:
    alerts, _ = planned([event(OK, EMERGENCY)], [PHONE])
    alert = Alert(level=EMERGENCY, shown=EMERGENCY, episode=7, seq=1, peak=EMERGENCY, opened=NOON)
    alerts = replace(alerts, alerts={"twap": {"USDT": alert}})
    milder: list[Rule] = [twap(at_least={"warning": 2, "critical": 4})]

    done = engine.adopt("main", milder, alerts, NOON + 60)
    events = [*done.events, *ongoing("main", done.alerts, NOON + 60)]

    assert course(planned(events, [PHONE], done.alerts)[1]) == [(4, 3)]


# ---------------------------------------------------------------- how a message goes out


def message(before: Severity, after: Severity, *covers: Step, **keys: Any) -> Message:
    (made,) = planned(
        [event(before, after, 4, cause=Cause.BREACH if after else Cause.RECOVERED)],
        [PHONE],
        Alerts(told={"phone": {"twap/USDT": Told(7, 3, before)}}),
    )[1]
    return replace(made, covers=covers, **keys)


def covered(before: Severity, after: Severity, seq: int, episode: int = 7, *, maybe_sent: bool = False) -> Step:
    return Step(episode, seq, before, after, max(before, after), NOON + seq, NOON, maybe_sent)


def notes(message: Message, late: float = 0.0) -> list[str]:
    """What is said beside the body."""
    body = final_text(message, message.at + late)[1]
    assert body.startswith(message.body)
    return body.removeprefix(message.body).strip().splitlines()


def test_a_message_that_did_not_wait_goes_out_as_it_is() -> None:
    one = message(WARNING, CRITICAL)

    assert final_text(one, one.at + 59.0) == (one.title, one.body)


def test_what_a_message_overtook_is_listed() -> None:
    one = message(CRITICAL, EMERGENCY, covered(OK, WARNING, 1), covered(WARNING, CRITICAL, 2))

    assert notes(one) == [
        "meanwhile: ok → warning → critical → emergency at 12:00:01 UTC, 12:00:02 UTC",
    ]


def test_an_alert_that_ended_before_it_was_told_is_told_as_missed() -> None:
    one = message(CRITICAL, OK, covered(OK, CRITICAL, 1), peak=CRITICAL)

    assert final_text(one, one.at)[0] == "MISSED CRITICAL · main · headline 4"
    assert notes(one) == ["missed alert: critical, 12:00:00 UTC to 12:00:04 UTC"]


def test_an_alert_that_may_have_been_told_is_not_missed() -> None:
    maybe = covered(OK, CRITICAL, 1, maybe_sent=True)
    one = message(EMERGENCY, OK, maybe, covered(CRITICAL, EMERGENCY, 2), peak=EMERGENCY)

    assert final_text(one, one.at)[0].startswith("RESOLVED")
    assert notes(one) == ["meanwhile: critical → emergency → ok at 12:00:02 UTC"]
    assert notes(message(CRITICAL, OK, maybe)) == []


def test_an_alert_of_which_a_part_was_told_is_not_missed() -> None:
    one = message(EMERGENCY, OK, covered(WARNING, EMERGENCY, 2))

    assert final_text(one, one.at)[0].startswith("RESOLVED")


def test_an_earlier_episode_that_was_overtaken_is_named() -> None:
    one = message(OK, CRITICAL, covered(OK, WARNING, 1, 5), covered(WARNING, OK, 2, 5))

    assert notes(one) == ["previous episode ended 12:00:02 UTC, peak warning"]


def test_an_earlier_episode_that_may_have_been_closed_is_not_named() -> None:
    one = message(OK, CRITICAL, covered(WARNING, OK, 2, 5, maybe_sent=True))

    assert notes(one) == []


def test_what_is_late_repeated_or_unsaved_says_so() -> None:
    one = message(OK, CRITICAL, maybe_sent=True, unsaved=True)

    assert notes(one, 60.0) == [
        "as of 12:00:04 UTC, sent 1 min late",
        "(may be a repeat)",
        "(told from memory: the store is failing)",
    ]


@pytest.mark.parametrize(
    ("one", "urgency"),
    [
        (message(OK, WARNING), WARNING),
        (message(EMERGENCY, WARNING), EMERGENCY),
        (message(CRITICAL, OK), CRITICAL),
        (message(WARNING, OK, covered(OK, EMERGENCY, 1)), EMERGENCY),
    ],
)
def test_a_message_is_as_urgent_as_the_worst_it_says(one: Message, urgency: Severity) -> None:
    assert one.urgency == urgency


def test_a_tick_of_the_machine_goes_all_the_way_to_a_message() -> None:
    rule = twap()
    done = engine.step("main", [rule], Alerts(), {"twap": Measured((Reading(Decimal(5), "USDT"),))}, NOON)

    made = delivery.plan(done.alerts, done.events, {"twap": rule}, [PHONE, PAGER], words)

    assert [m.id for m in made.messages] == [f"main/twap/USDT-{int(NOON)}-1@{name}" for name in ("phone", "pager")]
    assert made.alerts.alerts == done.alerts.alerts
