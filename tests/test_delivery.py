"""From events to what each receiver is told."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from riskbot import delivery, engine
from riskbot.builtin.level import Level
from riskbot.delivery import Receiver, about_receiver, final_text, ongoing, plan, reminders
from riskbot.model import Alert, Alerts, Cause, Event, Reading, Severity, Told
from riskbot.rules import Measured
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

    assert messages[1].title == "EASED TO WARNING · main · headline 2"
    assert "no more is told here: warning is below" in messages[1].body
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
    assert "taken out of the rules file" in made.messages[0].body


def test_what_was_told_is_remembered_until_it_is_over() -> None:
    alerts, _ = planned(COURSE[:2], [PHONE, PAGER])
    assert alerts.told == {"phone": {"twap/USDT": Told(7, 2, CRITICAL, COURSE[1].at)}}

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
    assert alerts.told["phone"]["twap/USDT"] == Told(8, 1, CRITICAL, NOON + 1)


def test_a_receiver_that_wants_less_now_is_told_so() -> None:
    alerts, _ = planned([event(OK, CRITICAL, 2)], [PHONE], remembered())

    _, messages = planned(ongoing("main", alerts, NOON + 60), [Receiver("phone", EMERGENCY)], alerts)

    assert course(messages) == [(3, 0)]
    assert messages[0].title.startswith("EASED TO CRITICAL")


# ---------------------------------------------------------------- what lasts


def lasting(now: float, told: dict[str, Told], level: Severity = CRITICAL, **keys: Any) -> tuple[Alerts, list[Message]]:
    """The reminders at a moment, of one alert that opened at noon."""
    rule = twap(**keys)
    alert = Alert(level=level, shown=level, episode=7, seq=2, peak=EMERGENCY, opened=NOON)
    alerts = Alerts({"twap": {"USDT": alert}}, {name: {"twap/USDT": word} for name, word in told.items()})
    measured = {"twap": Measured((Reading(Decimal(4), "USDT"),))}
    events = reminders("main", alerts, {"twap": rule}, now, measured)
    made = plan(alerts, events, {"twap": rule}, [PHONE, PAGER], lambda event: (f"at {event.value}", ()))
    return made.alerts, list(made.messages)


def test_an_alert_that_lasts_is_told_again_when_it_is_time() -> None:
    told = Told(7, 2, CRITICAL, NOON)

    assert lasting(NOON + 599, {"phone": told}) == (lasting(NOON, {"phone": told})[0], [])
    alerts, (again,) = lasting(NOON + 600, {"phone": told})

    assert (again.id, again.reminder, again.before, again.after) == (
        "main/twap/USDT-7-2r1@phone",
        1,
        CRITICAL,
        CRITICAL,
    )
    assert again.title == "CRITICAL · main · at 4"
    assert again.body == "still, for 10 min, since 12:00:00 UTC, peak emergency\n#main twap USDT 7.2r1"
    assert alerts.told["phone"]["twap/USDT"] == Told(7, 2, CRITICAL, NOON + 600, reminders=1)


def test_each_receiver_is_reminded_of_what_it_was_told_itself() -> None:
    told = {"phone": Told(7, 2, CRITICAL, NOON + 500), "pager": Told(7, 1, EMERGENCY, NOON), "gone": Told(7, 1, INFO)}

    assert [m.receiver for m in lasting(NOON + 120, told, EMERGENCY)[1]] == ["pager"]
    assert [m.receiver for m in lasting(NOON + 1100, told, EMERGENCY)[1]] == ["phone", "pager"]


@pytest.mark.parametrize(
    ("repeat", "after"),
    [("1m", 60), ({"critical": "30s"}, 30), ({"emergency": "30s"}, 600), ("0s", None), ({"critical": 0}, None)],
)
def test_how_often_is_the_rule_s_own(repeat: Any, after: int | None) -> None:
    told = {"phone": Told(7, 2, CRITICAL, NOON)}

    if after is None:
        assert lasting(NOON + 1e9, told, repeat_every=repeat)[1] == []
    else:
        assert lasting(NOON + after - 1, told, repeat_every=repeat)[1] == []
        assert len(lasting(NOON + after, told, repeat_every=repeat)[1]) == 1


def test_nobody_is_reminded_of_what_is_over_or_was_an_earlier_episode() -> None:
    assert lasting(NOON + 1e6, {"phone": Told(7, 2, CRITICAL, NOON)}, OK)[1] == []
    assert lasting(NOON + 1e6, {"phone": Told(5, 2, CRITICAL, NOON)})[1] == []
    assert lasting(NOON + 1e6, {})[1] == []


# ---------------------------------------------------------------- who is told in another's place

MAIL, NURSE = Receiver("mail", EMERGENCY), Receiver("nurse", EMERGENCY, fallback=("mail",))
FRAIL = Receiver("phone", WARNING, fallback=("mail",))
DOWN = {"phone": "HTTP 429, for 23 s"}


def heard(alerts: Alerts, events: Sequence[Event], failing: dict[str, str], *receivers: Receiver) -> Any:
    made = plan(alerts, events, {}, receivers or (FRAIL, MAIL), words, failing)
    return made.alerts, [(m.receiver, int(m.before), int(m.after)) for m in made.messages]


def test_a_fallback_is_told_what_a_failing_receiver_would_see_and_why() -> None:
    made = plan(Alerts(), [event(OK, CRITICAL)], {}, [FRAIL, MAIL], words, DOWN)

    assert [m.receiver for m in made.messages] == ["phone", "mail"]
    assert "told here since phone can't be reached: HTTP 429, for 23 s" in made.messages[1].body
    assert "told here" not in made.messages[0].body
    assert heard(Alerts(), [event(OK, INFO)], DOWN)[1] == []


def test_a_fallback_hears_an_episode_to_its_end_though_the_other_works_again() -> None:
    alerts, _ = heard(Alerts(), [event(OK, WARNING)], DOWN)

    alerts, rise = heard(alerts, [event(WARNING, EMERGENCY, 2)], {})
    alerts, fall = heard(alerts, [event(EMERGENCY, CRITICAL, 3)], {})
    alerts, end = heard(alerts, [event(CRITICAL, OK, 4)], {})

    assert rise[1] == ("mail", 2, 4)
    assert fall[1] == ("mail", 4, 3)
    assert end[1] == ("mail", 3, 0)
    assert heard(alerts, [event(OK, WARNING, 1, 9)], {})[1] == [("phone", 0, 2)]


def test_a_fallback_is_told_of_what_is_open_when_the_other_begins_to_fail_and_once() -> None:
    alerts, _ = heard(remembered(), [event(OK, CRITICAL, 2)], {})

    alerts, told = heard(alerts, ongoing("main", alerts, NOON + 60), DOWN)

    assert told == [("mail", 0, 3)]
    assert heard(alerts, ongoing("main", alerts, NOON + 61), DOWN)[1] == []
    assert heard(alerts, ongoing("main", alerts, NOON + 62), {})[1] == []


def test_a_fallback_that_fails_too_hands_on() -> None:
    first = Receiver("phone", fallback=("nurse",))
    both = {"phone": "x", "nurse": "y"}

    assert heard(Alerts(), [event(OK, WARNING)], both, first, NURSE, MAIL)[1] == [
        ("phone", 0, 2),
        ("nurse", 0, 2),
        ("mail", 0, 2),
    ]
    assert [r for r, *_ in heard(Alerts(), [event(OK, WARNING)], {"nurse": "y"}, first, NURSE, MAIL)[1]] == ["phone"]


def test_receivers_that_are_each_others_fallback_do_not_go_round_for_ever() -> None:
    one, two = Receiver("one", fallback=("two",)), Receiver("two", EMERGENCY, fallback=("one",))

    told = heard(Alerts(), [event(OK, WARNING)], {"one": "x", "two": "y"}, one, two)[1]

    assert told == [("one", 0, 2), ("two", 0, 2)]


def test_that_a_fallback_fails_itself_is_not_told_to_it() -> None:
    broken = replace(event(OK, CRITICAL), subject=about_receiver("mail"))

    assert [r for r, *_ in heard(Alerts(), [broken], DOWN)[1]] == ["phone"]


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
