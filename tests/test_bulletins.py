"""What riskbot says unasked: which day is due, what stands in the message, and that nobody is told of nothing new."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest

from riskbot.delivery import Receiver, final_text, loudness
from riskbot.model import Cause, Event, Reading, Severity
from riskbot.rules import Measured, Rule
from riskbot.service.almanac import Almanac, nearest
from riskbot.service.bulletins import Daily, Watched, daily, latest, message, start
from riskbot.store.memory import MemoryStore
from tests.desk import rule

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
NOW = 1_700_000_000.0
"""14 Nov 2023, 22:13:20 UTC"""
HOUR, DAY = 3600.0, 86400.0
RATIO = rule("margin_ratio", name="margin ratio", below={"warning": 5, "critical": 3})
TWAP = rule("level", name="forced repayment", field="details.twap", at_least={"warning": 2})
LEFT = rule("threshold", name="margin left", field="availEq", below={"info": 5000})
ZERO = rule("threshold", name="zero", field="availEq", below={"info": 0})
LOSS = rule("threshold", name="loss", field="upl", below={"info": -100})


def reading(value: str, subject: str = "", note: str = "") -> Reading:
    return Reading(Decimal(value), subject, note)


def answer(*values: str) -> Measured:
    return Measured(tuple(reading(value, f"C{i}") for i, value in enumerate(values)))


# ---------------------------------------------------------------- when


BERLIN = ZoneInfo("Europe/Berlin")


def moment(text: str, zone: Any = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("now", "day", "due"),
    [
        ("2024-03-05 07:59:59", date(2024, 3, 4), "2024-03-04 08:00"),
        ("2024-03-05 08:00:00", date(2024, 3, 5), "2024-03-05 08:00"),
        ("2024-03-05 23:59:59", date(2024, 3, 5), "2024-03-05 08:00"),
        ("2024-03-31 08:00:00", date(2024, 3, 31), "2024-03-31 08:00"),
        ("2024-10-27 07:59:59", date(2024, 10, 26), "2024-10-26 08:00"),
    ],
)
def test_a_day_is_due_at_its_time_of_the_zone_in_summer_and_winter(now: str, day: date, due: str) -> None:
    assert latest(Daily(time(8), BERLIN, ()), moment(now)) == (day, moment(due))


def test_without_a_zone_it_is_the_machine_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import time as clock  # noqa: PLC0415 - `time` is a time of day here

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    clock.tzset()
    try:
        due = moment("2024-03-05 08:00", ZoneInfo("Asia/Tokyo"))
        assert latest(Daily(time(8), None, ()), due) == (date(2024, 3, 5), due)
        assert latest(Daily(time(8), None, ()), due - 1)[0] == date(2024, 3, 4)
    finally:
        monkeypatch.undo()
        clock.tzset()


# ---------------------------------------------------------------- how near, and what has no data


@pytest.mark.parametrize(
    ("chosen", "value", "distance"),
    [
        (RATIO, "10", "1"),
        (RATIO, "5.5", "0.1"),
        (RATIO, "4", "-0.2"),
        (RATIO, "-1", "-1.2"),
        (RATIO, "0", "-1"),
        (TWAP, "1", "0.5"),
        (TWAP, "2", "0"),
        (TWAP, "0", None),
        (LOSS, "-50", "0.5"),
        (LOSS, "-150", "-0.5"),
        (LOSS, "50", None),
        (LOSS, "0", None),
        (ZERO, "1", None),
        (ZERO, "-1", None),
    ],
)
def test_how_far_a_value_is_from_the_mildest_tier(chosen: Rule, value: str, distance: str | None) -> None:
    near = nearest(chosen, [reading(value)], NOW)
    assert (near.distance if near else None) == (Decimal(distance) if distance else None)


def test_the_nearest_of_all_subjects_and_of_the_day_is_kept() -> None:
    almanac = Almanac()
    almanac.on = True
    almanac.note("main", RATIO, answer("20", "12"), NOW)
    almanac.note("main", RATIO, answer("7", "9"), NOW + 1)
    almanac.note("main", RATIO, answer("15", "8"), NOW + 2)
    near = almanac.day.nearest["main"]["margin ratio"]
    assert (near.value, near.subject, near.at) == (7, "C0", NOW + 1)
    almanac.day = almanac.day.next("2023-11-14")
    assert (almanac.day.told, almanac.day.nearest) == ("2023-11-14", {})


def test_what_is_off_takes_no_note_nor_of_rules_that_say_nothing_about_money() -> None:
    almanac = Almanac()
    almanac.note("main", RATIO, answer("7"), NOW)
    almanac.on = True
    almanac.note("main", rule("blind"), answer("1"), NOW)
    assert almanac.day.nearest == {}
    assert almanac.day.had == {}


def test_since_when_a_rule_has_no_data_is_known_and_whether_it_ever_had() -> None:
    almanac = Almanac()
    almanac.on = True
    nothing = Measured((Reading.not_applicable(),))
    almanac.note("main", RATIO, nothing, NOW)
    almanac.note("main", RATIO, nothing, NOW + 60)
    lack = almanac.day.lacking["main"]["margin ratio"]
    assert (lack.since, lack.why, lack.never) == (NOW, "no applicable data", True)
    almanac.note("main", RATIO, Measured((Reading.not_applicable(), reading("7", "BTC"))), NOW + 61)
    assert almanac.day.lacking["main"] == {}
    almanac.note("main", RATIO, Measured((Reading.missing("mgnRatio"),)), NOW + 70)
    lack = almanac.day.lacking["main"]["margin ratio"]
    assert (lack.since, lack.why, lack.never) == (NOW + 70, "no data", False)


def test_what_is_watched_no_more_is_forgotten() -> None:
    almanac = Almanac()
    almanac.on = True
    for account in ("main", "gone"):
        for chosen in (RATIO, LEFT):
            almanac.note(account, chosen, answer("6000"), NOW)
        almanac.note(account, TWAP, Measured(), NOW)
    almanac.keep({"main": {"margin left", "forced repayment"}})
    assert {account: [*rules] for account, rules in almanac.day.nearest.items()} == {"main": ["margin left"]}
    assert {account: [*rules] for account, rules in almanac.day.lacking.items()} == {"main": ["forced repayment"]}
    assert almanac.day.had == {"main": {"margin left"}}


# ---------------------------------------------------------------- what is said


def event(after: Severity, opened: float, account: str = "main", **more: Any) -> Event:
    given: dict[str, Any] = {"peak": after, "episode": 1, "rule": "margin ratio", **more}
    return Event(
        account, subject="", seq=1, before=OK, after=after, at=NOW, opened=opened, cause=Cause.ONGOING, **given
    )


def watched(*opened: tuple[Event, str], reasons: tuple[str, ...] = (), rules: tuple[Rule, ...] = ()) -> Watched:
    return Watched({"main": rules or (RATIO, TWAP)}, opened, reasons, NOW)


def noted(*notes: tuple[Rule, Measured, float]) -> Almanac:
    almanac = Almanac()
    almanac.on = True
    for chosen, measured, at in notes:
        almanac.note("main", chosen, measured, at)
    return almanac


def test_a_day_on_which_all_was_well() -> None:
    almanac = noted((RATIO, Measured((reading("5.5"),)), NOW - HOUR), (TWAP, answer("0", "1"), NOW - 60))
    title, lines = daily(watched(), almanac.day, [])
    assert title == "ALL WELL · riskbot · 1 account, 2 rules"
    assert lines == [
        "nothing is open",
        "the last day: no alert",
        "nearest: main: margin ratio 5.5 (550 %), 10 % from warning, at 21:13:20 UTC",
        "nearest: main: forced repayment C1: level 1 of 5, 50 % from warning, at 22:12:20 UTC",
    ]


def test_a_day_on_which_something_is_open() -> None:
    opened = [
        (event(WARNING, NOW - 2 * HOUR), "margin ratio 4.2 (420 %)"),
        (event(CRITICAL, NOW - 60, "riskbot"), "delivery to phone is failing"),
    ]
    past = [
        event(WARNING, 0, episode=1, peak=WARNING),
        event(OK, 0, episode=1, peak=CRITICAL),
        event(INFO, 0, episode=2),
    ]
    almanac = noted((RATIO, Measured((reading("4.2"),)), NOW - 60), (TWAP, answer("2"), NOW - HOUR))
    title, lines = daily(watched(*opened), almanac.day, past)
    assert title == "OPEN · riskbot · 2 alerts, the worst critical"
    assert lines == [
        "CRITICAL riskbot · delivery to phone is failing, for 1 min",
        "WARNING main · margin ratio 4.2 (420 %), for 2 h",
        "the last day: 2 alerts, the worst critical",
        "nearest: main: forced repayment C0: level 2 of 5, as far as warning, at 21:13:20 UTC",
    ]


def test_a_day_on_which_riskbot_can_not_be_relied_on() -> None:
    reasons = ("main: not seen for 2 min", "the store is failing: the disk is full")
    title, lines = daily(watched(reasons=reasons), Almanac().day, [])
    assert title == "NOT WELL · riskbot · main: not seen for 2 min (and 1 more)"
    assert lines[:2] == [f"not well: {reason}" for reason in reasons]
    assert daily(watched(reasons=reasons[:1]), Almanac().day, [])[0].endswith("not seen for 2 min")


def test_rules_that_never_had_data_or_had_none_for_a_day_are_named() -> None:
    had, never = Measured((reading("9"),)), Measured((Reading.not_applicable(),))
    almanac = noted(
        (RATIO, had, NOW - 20 * DAY), (RATIO, never, NOW - 9 * DAY),
        (TWAP, never, NOW - HOUR),
        (LEFT, had, NOW - 20 * DAY), (LEFT, never, NOW - DAY + 1),
        (LOSS, Measured((reading("-9"),)), NOW - 20 * DAY), (LOSS, Measured(missing="upl"), NOW - DAY),
    )  # fmt: skip
    _, lines = daily(watched(rules=(RATIO, TWAP, LEFT, LOSS)), almanac.day.next("x"), [])
    assert lines[2:] == [
        "main: margin ratio: no applicable data for 9 d",
        "main: forced repayment: no applicable data for 1 h, never yet",
        "main: loss: no data for 1 d",
    ]


def test_a_plugin_s_rule_is_told_in_plain_words() -> None:
    class Told(type(RATIO)):  # type: ignore[misc] # a kind of the test's own
        PLUGIN = "basket"
        say: ClassVar[Any] = None  # not asked for here

    basket = Told.model_validate({"name": "basket", "kind": "margin_ratio", "below": {"warning": 5}})
    _, lines = daily(watched(rules=(basket,)), noted((basket, Measured((reading("6", "BTC"),)), NOW)).day, [])
    assert lines[2] == "nearest: main: basket BTC 6, 20 % from warning, at 22:13:20 UTC"


def test_of_very_much_only_the_nearest_and_the_first_are_told() -> None:
    rules = tuple(rule("margin_ratio", name=f"r{i}", below={"warning": 5}) for i in range(30))
    near = noted(*((chosen, Measured((reading(str(6 + i)),)), NOW) for i, chosen in enumerate(rules)))
    _, lines = daily(watched(rules=rules), near.day, [])
    assert [line.split()[2] for line in lines if line.startswith("nearest")] == ["margin"] * 5
    assert "margin ratio 6 " in lines[2]
    assert "margin ratio 10 " in lines[6]
    lacking = noted(*((chosen, Measured(), NOW) for chosen in rules))
    _, lines = daily(watched(rules=rules), lacking.day, [])
    assert lines[-1] == "… and 20 more"
    assert len(lines) == 13


def test_what_left_the_file_meanwhile_is_not_told_of() -> None:
    _, lines = daily(watched(rules=(LEFT,)), noted((RATIO, answer("6"), NOW), (TWAP, Measured(), NOW)).day, [])
    assert lines == ["nothing is open", "the last day: no alert"]


def test_a_start_names_what_is_watched_and_who_is_told() -> None:
    receivers = [Receiver("phone"), Receiver("mail", CRITICAL)]
    opened = (event(WARNING, NOW - 60), "margin ratio 4.2 (420 %)")
    title, lines = start(watched(opened), receivers, 0.0, changed=True)
    assert title == "WATCHING · riskbot · 1 account, 2 rules"
    assert lines == [
        "WARNING main · margin ratio 4.2 (420 %), for 1 min",
        "main: margin ratio, forced repayment",
        "told: phone (from info), mail (from critical)",
    ]


def test_a_start_after_a_blind_gap_says_how_long_and_what_is_open() -> None:
    title, lines = start(watched(), [Receiver("phone")], 252.0, changed=False)
    assert (title, lines) == ("BACK · riskbot · after 4 min 12 s blind", ["nothing is open"])


# ---------------------------------------------------------------- as messages


def test_the_same_bulletin_has_the_same_id_and_goes_out_as_nothing_bad() -> None:
    one, again = (message("daily", 738_000, "phone", ("ALL WELL · riskbot", ["a", "b"]), at) for at in (NOW, NOW + 1))
    assert one.id == again.id == "riskbot/daily/-738000-1@phone"
    assert final_text(one, NOW) == ("ALL WELL · riskbot", "a\nb")
    assert (loudness(one), one.urgency) == (OK, OK)


async def test_one_that_waited_too_long_is_overtaken_by_the_next_and_not_told_of() -> None:
    store = MemoryStore()
    for i in (1, 2):
        row = message("daily", i, "phone", (f"day {i}", []), NOW + i * DAY)
        await store.commit("@daily", i - 1, f"c{i}", b"{}", (row,))
    (taken,) = await store.take("phone", 9, NOW + 3 * DAY, 30)
    assert final_text(taken, NOW + 2 * DAY) == ("day 2", "")
