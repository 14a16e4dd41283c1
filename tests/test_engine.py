"""The alert state machine, step by step.

A feed is written as `value*seconds`, one observation a second: `0*5 2*10 na*60 miss*3 gone*2 fail down*20 5`.
na: does not apply; miss: no value; gone: no row; fail: the rule raised; down: nobody asked; hole*N: N seconds pass.
"""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from riskbot import engine
from riskbot.builtin.blind import Blind as BlindRule
from riskbot.builtin.level import Level
from riskbot.builtin.margin_ratio import MarginRatio
from riskbot.builtin.threshold import Threshold
from riskbot.model import Alert, Alerts, Blind, Cause, Event, Reading, Severity, Told
from riskbot.rules import Measured, Rule
from tests.kinds import answer

START = 1_700_000_000
OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity


def twap(**keys: Any) -> Level:
    """The ladder of the specification's example: 2, 4, 5."""
    tiers = {"warning": 2, "critical": 4, "emergency": 5}
    return Level.model_validate({"name": "twap", "kind": "level", "field": "details.twap", "at_least": tiers} | keys)


def ratio(**keys: Any) -> MarginRatio:
    tiers = {"info": 10, "warning": 5, "critical": 3, "emergency": 1.5}
    return MarginRatio.model_validate({"name": "ratio", "kind": "margin_ratio", "below": tiers} | keys)


class Feed:
    """Plays feeds to one rule, and keeps what came of it."""

    def __init__(self, rule: Rule, *, restarts: bool = False) -> None:
        self.rule, self.restarts = rule, restarts
        self.now = 0
        self.alerts = Alerts()
        self.events: list[Event] = []

    @property
    def alert(self) -> Alert:
        return self.alerts.alerts.get(self.rule.name, {}).get("USDT", Alert())

    def play(self, feed: str) -> list[str]:
        """The events as `from>to cause @second`."""
        found = []
        for token in feed.split():
            word, _, count = token.partition("*")
            if word == "hole":
                self.now += int(count)
                continue
            for _ in range(int(count or 1)):
                found += [_show(event) for event in self.tick(answer(word, "USDT"))]
        return found

    def tick(self, answer: Measured | None) -> tuple[Event, ...]:
        measured = {} if answer is None else {self.rule.name: answer}
        done = engine.step("main", [self.rule], self.alerts, measured, START + self.now)
        again = engine.step("main", [self.rule], self.alerts, measured, START + self.now)
        assert again == done
        self.alerts = done.alerts
        if self.restarts:
            self.alerts = msgspec.json.decode(msgspec.json.encode(self.alerts), type=Alerts)
        self.events += done.events
        self.now += 1
        return done.events


def _show(event: Event) -> str:
    return f"{int(event.before)}>{int(event.after)} {event.cause} @{event.at - START:.0f}"


TABLE = {
    "a tier met is told in the tick that saw it": ("0*5 2", {}, ["0>2 breach @5"]),
    "a worse tier is told at once": ("2*3 4*3 5", {}, ["0>2 breach @0", "2>3 breach @3", "3>4 breach @6"]),
    "tiers may be skipped upwards in one event": ("0*2 5", {}, ["0>4 breach @2"]),
    "a fall waits until the tier was left for keep_firing_for": (
        "4 0*31",
        {},
        ["0>3 breach @0", "3>0 recovered @31"],
    ),
    "tiers may be skipped downwards in one event": ("5*2 0*31", {}, ["0>4 breach @0", "4>0 recovered @32"]),
    "a tier met again during keep drops the fall": ("4 0*29 4 0*30", {}, ["0>3 breach @0"]),
    "an alert falls to the tier that is still met": ("5 4*31", {}, ["0>4 breach @0", "4>3 recovered @31"]),
    "between entry and exit an alert stays": ("2 1.5*100", {}, ["0>2 breach @0"]),
    "for holds a rise back": ("2*10", {"for": "5s"}, ["0>2 breach @5"]),
    "for begins anew when the tier is left": ("2*4 0 2*5 2", {"for": "5s"}, ["0>2 breach @10"]),
    "each tier has its own for": ("2*3 4*2 4*4", {"for": "5s"}, ["0>2 breach @5", "2>3 breach @8"]),
    "a tier runs up through a hole": ("2 hole*60 2", {"for": "5s"}, ["0>2 breach @61"]),
    "a tier runs up through missing values": ("2 miss*9 2", {"for": "5s"}, ["0>2 breach @10"]),
    "a number that does not apply twice drops what was on its way up": ("2*4 na*2 2*5", {"for": "5s"}, []),
    "one empty field drops nothing that is on its way up": ("2*4 na 2*5", {"for": "5s"}, ["0>2 breach @5"]),
    "a value that comes and goes still fires": ("2 na 2 na 2 na 2", {"for": "5s"}, ["0>2 breach @6"]),
    "one empty field drops what is on its way down": ("4 0*20 na 0*31", {}, ["0>3 breach @0", "3>0 recovered @52"]),
    "without keep a fall is still seen twice": (
        "4 0 0",
        {"keep_firing_for": 0},
        ["0>3 breach @0", "3>0 recovered @2"],
    ),
    "a fall begins anew after a hole": ("4 0*20 hole*11 0*30", {}, ["0>3 breach @0"]),
    "after a hole the whole keep is earned": ("4 0*20 hole*11 0*31", {}, ["0>3 breach @0", "3>0 recovered @62"]),
    "a short hole does not stop a fall": ("4 0*20 hole*9 0*2", {}, ["0>3 breach @0", "3>0 recovered @31"]),
    "missing values longer than a hole make a fall begin anew": ("4 0*20 miss*11 0*30", {}, ["0>3 breach @0"]),
    "a missing value never ends an alert": ("4 miss*1000", {}, ["0>3 breach @0"]),
    "an outage never ends an alert": ("4 down*1000", {}, ["0>3 breach @0"]),
    "a failing rule never ends an alert": ("4 fail*1000", {}, ["0>3 breach @0"]),
    "one empty field does not end an alert": ("4 na 4*100", {}, ["0>3 breach @0"]),
    "a number that lastingly does not apply ends an alert": (
        "4 na*61",
        {},
        ["0>3 breach @0", "3>0 not_applicable @61"],
    ),
    "a currency that is not listed any more counts as not applicable": (
        "4 gone*61",
        {},
        ["0>3 breach @0", "3>0 not_applicable @61"],
    ),
    "a value in between starts the count of not applicable anew": ("4 na*50 4 na*60", {}, ["0>3 breach @0"]),
    "a hole starts the count of not applicable anew": ("4 na*50 hole*11 na*60", {}, ["0>3 breach @0"]),
    "a missing value stops neither count nor clock of not applicable": (
        "4 na*30 miss*5 na*26",
        {},
        ["0>3 breach @0", "3>0 not_applicable @61"],
    ),
    "not applicable from the start says nothing": ("na*100 gone*100", {}, []),
    "missing from the start says nothing here": ("miss*100", {}, []),
}


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted at every tick"])
@pytest.mark.parametrize("name", TABLE)
def test_step_table(name: str, restarts: bool) -> None:
    feed, keys, expected = TABLE[name]

    assert Feed(twap(**keys), restarts=restarts).play(feed) == expected


def test_not_applicable_must_be_seen_three_times_however_long_it_lasts() -> None:
    feed = Feed(twap())
    feed.play("4 na hole*9 na")
    feed.now += 5000

    assert feed.play("na") == []  # the hole made it begin anew

    ladder, slow = twap().compiled.ladder, [Alert(level=CRITICAL, shown=CRITICAL)]
    for now in (1.0, 62.0, 63.0):
        slow.append(engine.advance(ladder, slow[-1], Reading.not_applicable(), now, 100.0))
    assert [alert.shown for alert in slow[1:]] == [CRITICAL, CRITICAL, OK]


def test_the_example_of_the_specification_is_one_alert_and_one_episode() -> None:
    feed = Feed(twap())

    told = feed.play("0 2 2 4 5 4*31 0*30 0")

    assert told == ["0>2 breach @1", "2>3 breach @3", "3>4 breach @4", "4>3 recovered @35", "3>0 recovered @66"]
    assert {event.episode for event in feed.events} == {START + 1}
    assert [event.seq for event in feed.events] == [1, 2, 3, 4, 5]
    assert feed.events[-1].peak == EMERGENCY
    assert {event.opened for event in feed.events} == {START + 1}


def test_a_second_course_is_a_new_episode_even_within_the_same_second() -> None:
    ladder = twap(keep_firing_for=0).compiled.ladder
    alert, episodes = Alert(), []
    for i, value in enumerate((4, 0, 0, 4, 0, 0, 4)):
        alert = engine.advance(ladder, alert, Reading(Decimal(value)), START + i / 100, 10.0)
        episodes.append(alert.episode)

    assert episodes == [START] * 3 + [START + 1] * 3 + [START + 2]


def test_a_ratio_falls_into_its_tiers_and_leaves_them_a_little_above() -> None:
    feed = Feed(ratio())

    assert feed.play("11 10 9.9") == ["0>1 breach @2"]
    assert feed.play("2.9") == ["1>3 breach @3"]
    assert feed.play("3.14*100") == []  # 3 x 1.05 is not passed
    assert feed.play("3.15*31") == ["3>2 recovered @134"]
    assert feed.play("10.5*31") == ["2>0 recovered @165"]


FLAPS = "4 0 0 4 0 0 4"


def test_an_alert_that_changes_too_often_stays_told_until_it_is_calm() -> None:
    feed = Feed(twap(keep_firing_for=0))

    assert feed.play(FLAPS) == [
        "0>3 breach @0",
        "3>0 recovered @2",
        "0>3 breach @3",
        "3>0 recovered @5",
        "0>3 breach @6",
    ]
    assert feed.play("0 0") == []  # the sixth change: it flaps
    assert feed.alert.flapping
    assert (feed.alert.level, feed.alert.shown) == (OK, CRITICAL)
    assert feed.play("4 0 0") == []
    assert feed.play("0*119") == []
    assert feed.play("0") == ["3>0 calm @131"]
    assert feed.alert.changes == ()


def test_a_rise_passes_the_flap_latch_at_once() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play(FLAPS + " 0 0")

    assert feed.play("5") == ["3>4 breach @9"]


def test_a_hole_is_not_calm() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play(FLAPS + " 0 0 0*100 hole*30")

    assert feed.play("0*120") == []
    assert feed.play("0") == [f"3>0 calm @{feed.now - 1}"]


def test_missing_values_are_not_calm() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play(FLAPS + " 0 0")

    assert feed.play("miss*300 down*300 0*119") == []
    assert feed.play("0 0") == ["3>0 calm @729"]


def test_a_flapping_alert_whose_number_no_longer_applies_ends_calm() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play(FLAPS + " 0 0")

    assert feed.play("na*119") == []
    assert feed.play("na") == ["3>0 calm @128"]
    assert feed.play("na*100") == []
    assert not feed.alert.na_count


def test_changes_that_are_long_ago_do_not_make_it_flap() -> None:
    feed = Feed(twap(keep_firing_for=0))
    for _ in range(6):
        feed.play("4 0 0 0*300")

    assert not feed.alert.flapping
    assert len(feed.events) == 12


def test_flapping_is_remembered_in_bounded_space() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play("4 0 0 " * 100)

    assert len(feed.alert.changes) == 6


def test_what_flapping_means_is_the_rule_s_own() -> None:
    feed = Feed(twap(keep_firing_for=0, flap={"changes": 3, "calm": "10s"}))

    assert feed.play("4 0 0 4 0 0") == ["0>3 breach @0", "3>0 recovered @2", "0>3 breach @3"]
    assert feed.play("0*10") == ["3>0 calm @15"]


def test_a_quiet_tick_gives_back_the_very_same_alerts() -> None:
    feed = Feed(twap())
    for quiet in ("0", "na", "gone", "down"):
        before = feed.alerts
        feed.play(quiet)
        assert feed.alerts is before, quiet

    feed.play("4")
    for quiet in ("4", "4.5", "down"):
        before = feed.alerts
        feed.play(quiet)
        assert feed.alerts is before, quiet

    feed.play("0*31")
    for quiet in ("0", "na", "gone", "1"):
        before = feed.alerts
        feed.play(quiet)
        assert feed.alerts is before, quiet


def test_what_is_pending_survives_a_restart() -> None:
    feed = Feed(twap(**{"for": "30s"}), restarts=True)
    feed.play("5*20")
    assert feed.alert == Alert(up={2: START, 3: START, 4: START}, mark=feed.rule.compiled.ladder.mark)

    feed.now += 300  # riskbot was down
    assert feed.play("5") == ["0>4 breach @320"]


def test_the_arguments_are_left_as_they_were() -> None:
    feed = Feed(twap())
    feed.play("4 0 0")
    before, measured = feed.alerts, {"twap": answer("5", "USDT"), "gone": Measured((), "failed")}
    kept = copy.deepcopy((before, measured))

    engine.step("main", [feed.rule], before, measured, START + 5.0)  # type: ignore[arg-type] # none of them is None

    assert (before, measured) == kept


def test_each_currency_has_an_alert_of_its_own_and_the_worst_is_told_first() -> None:
    answer = Measured(tuple(Reading(Decimal(v), c) for c, v in (("A", 2), ("B", 5), ("C", 0), ("D", 4))))

    done = engine.step("main", [twap()], Alerts(), {"twap": answer}, START)

    assert [(event.subject, event.after) for event in done.events] == [
        ("B", EMERGENCY),
        ("D", CRITICAL),
        ("A", WARNING),
    ]
    assert "C" not in done.alerts.alerts["twap"]


def test_a_currency_that_a_failing_rule_did_not_reach_is_unknown_not_gone() -> None:
    feed = Feed(twap())
    feed.play("4")
    half = Measured((Reading(Decimal(2), "BTC"),), "the rule failed", complete=False)

    for _ in range(200):
        feed.tick(half)

    assert feed.alert.shown == CRITICAL
    assert [event.subject for event in feed.events] == ["USDT", "BTC"]


def test_an_event_says_what_was_read() -> None:
    reading = Reading(Decimal("4.5"), "USDT", "a note")

    event = engine.step("main", [twap()], Alerts(), {"twap": Measured((reading,))}, START + 0.5).events[0]

    assert event == Event(
        "main",
        "twap",
        "USDT",
        START,
        1,
        OK,
        CRITICAL,
        CRITICAL,
        START + 0.5,
        START + 0.5,
        Cause.BREACH,
        Decimal("4.5"),
        "a note",
    )
    assert event.key == "twap/USDT"


# ---------------------------------------------------------------- rules without a number


def test_since_when_a_rule_is_blind_is_kept_from_the_first_miss_to_the_first_number() -> None:
    feed = Feed(twap())
    feed.play("0 miss*5")
    assert feed.alerts.blind == {"twap": Blind(START + 1, "USDT absent", 5)}
    feed.play("miss*5")
    before = feed.alerts
    feed.play("miss fail down*50")
    assert feed.alerts is before

    feed.play("0*2")
    assert feed.alerts.blind == {"twap": Blind(START + 1, "USDT absent", 3)}
    feed.play("0")
    assert feed.alerts.blind == {}


@pytest.mark.parametrize(("feed", "blind"), [("miss*9 0", True), ("miss*5 0", True), ("miss 0", False)])
def test_a_rule_that_fails_nearly_always_is_blind_all_the_time(feed: str, blind: bool) -> None:
    rule = Feed(twap())
    for _ in range(10):
        rule.play(feed)

    assert ("twap" in rule.alerts.blind) is blind
    if blind:
        assert rule.alerts.blind["twap"].since == START


def test_a_number_that_does_not_apply_is_not_blindness() -> None:
    feed = Feed(twap())
    feed.play("na*100 gone*100")

    assert feed.alerts.blind == {}


def test_blindness_of_one_rule_leaves_the_others_alone() -> None:
    rules = [twap(), ratio()]
    one = engine.step("main", rules, Alerts(), {"twap": Measured((), "x"), "ratio": Measured((), "y")}, 5.0)

    two = engine.step("main", rules, one.alerts, {"twap": Measured(), "ratio": Measured((), "z")}, 6.0)

    assert two.alerts.blind == {"ratio": Blind(5.0, "y", 2)}


# ---------------------------------------------------------------- fitting memory to the rules


def _remembered(**keys: Any) -> Feed:
    feed = Feed(twap(**keys))
    feed.play("0 5")
    return feed


def test_rules_that_did_not_change_leave_the_very_same_alerts() -> None:
    feed = _remembered()

    assert engine.adopt("main", [feed.rule], feed.alerts, START + 9.0) == engine.Step(feed.alerts)
    assert engine.adopt("main", [feed.rule], feed.alerts, START + 9.0).alerts is feed.alerts


@pytest.mark.parametrize(
    "rules",
    [[], [twap(enabled=False)], [twap(accounts=("other",))], [ratio()]],
    ids=["gone", "switched off", "about others", "renamed"],
)
def test_an_open_alert_without_its_rule_is_closed_once(rules: list[Rule]) -> None:
    feed = _remembered()

    first = engine.adopt("main", rules, feed.alerts, START + 9.0)
    second = engine.adopt("main", rules, first.alerts, START + 10.0)

    assert [_show(event) for event in first.events] == ["4>0 rule_removed @9"]
    assert first.events[0].seq == 2
    assert second == engine.Step(first.alerts)
    assert second.alerts is first.alerts


def test_a_rule_that_comes_back_begins_a_new_episode() -> None:
    feed = _remembered()
    first = feed.events[0].episode
    feed.alerts = engine.adopt("main", [], feed.alerts, START + 2.0).alerts

    feed.play("5")

    assert feed.events[-1].episode > first


# what came before, what the rule is changed to, what comes after; and all that is told.
CHANGES = {
    "an unchanged rule says nothing and keeps its timers": (
        "4*5 0*20",
        {},
        "0*11",
        ["0>3 breach @0", "3>0 recovered @35"],
    ),
    "other receivers and reminders do not change how it judges": (
        "4*5 0*20",
        {"receivers": ["phone"], "repeat_every": "1m"},
        "0*11",
        ["0>3 breach @0", "3>0 recovered @35"],
    ),
    "an open alert takes the new tier at once, without a new for": (
        "4*5",
        {"at_least": {"warning": 2, "emergency": 4}, "for": "1m"},
        "4",
        ["0>3 breach @0", "3>4 rule_changed @5"],
    ),
    "it falls to the new tier at once, without keep_firing_for": (
        "4*5",
        {"at_least": {"info": 4, "emergency": 5}},
        "4*3",
        ["0>3 breach @0", "3>1 rule_changed @6"],
    ),
    "hysteresis still protects it": ("4 3.5*5", {"at_least": {"critical": 4}}, "3.5*60 4", ["0>3 breach @0"]),
    "it ends at once where no new tier is met": (
        "2*5",
        {"at_least": {"critical": 4}},
        "2*2",
        ["0>2 breach @0", "2>0 rule_changed @6"],
    ),
    "a tier that is gone becomes the next lower one": (
        "5*5",
        {"at_least": {"warning": 2, "critical": 4}},
        "5*2",
        ["0>4 breach @0", "4>3 rule_changed @6"],
    ),
    "while nothing is seen it waits for the next value": (
        "4*5",
        {"at_least": {"emergency": 4}},
        "miss*50 down*50 4",
        ["0>3 breach @0", "3>4 rule_changed @105"],
    ),
    "while the number does not apply it waits, or ends as ever": (
        "4*5",
        {"at_least": {"emergency": 4}},
        "na*61",
        ["0>3 breach @0", "3>0 not_applicable @65"],
    ),
    "one odd answer after a change ends nothing": (
        "4*5",
        {"at_least": {"critical": 3}},
        "0 4*60",
        ["0>3 breach @0"],
    ),
    "a closed alert must earn its for": ("1*5", {"at_least": {"warning": 1}, "for": "3s"}, "1*4", ["0>2 breach @8"]),
    "what was on its way up starts anew": (
        "2*5",
        {"for": "10s", "at_least": {"warning": 2}},
        "2*11",
        ["0>2 breach @15"],
    ),
    "a change that changes nothing for the present value says nothing": (
        "4*5",
        {"at_least": {"warning": 1, "critical": 3}},
        "4*60",
        ["0>3 breach @0"],
    ),
}


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted at every tick"])
@pytest.mark.parametrize("name", CHANGES)
def test_change_table(name: str, restarts: bool) -> None:
    before, keys, after, expected = CHANGES[name]
    first = {"for": "10s"} if name.startswith("what was on its way up") else {}
    feed = Feed(twap(**first), restarts=restarts)
    told = feed.play(before)
    feed.rule = twap(**keys)
    done = engine.adopt("main", [feed.rule], feed.alerts, START + feed.now)
    assert (done.alerts, done.events) == (feed.alerts, ())

    assert told + feed.play(after) == expected
    assert len({event.episode for event in feed.events}) == 1


def test_a_change_ends_the_flapping_of_an_alert() -> None:
    feed = Feed(twap(keep_firing_for=0))
    feed.play("5 0 0 5 0 0 5 0 0")
    assert (feed.alert.flapping, feed.alert.shown) == (True, EMERGENCY)
    gone = engine.adopt("main", [], feed.alerts, START + 20.0)
    assert [_show(event) for event in gone.events] == ["4>0 rule_removed @20"]

    feed.rule = twap(at_least={"warning": 2, "critical": 4})

    assert feed.play("2") == ["4>2 rule_changed @9"]
    assert not feed.alert.flapping


def test_an_alert_that_its_rule_is_no_longer_about_is_closed() -> None:
    feed = Feed(twap())
    feed.play("4")

    done = engine.adopt("main", [twap(except_ccy=["USDT"])], feed.alerts, START + 9.0)

    assert [_show(event) for event in done.events] == ["3>0 rule_changed @9"]


def test_an_alert_moves_along_with_a_rule_that_is_renamed() -> None:
    feed = Feed(twap())
    feed.play("4*3")
    told = Told(START, 1, CRITICAL)
    feed.alerts = replace(feed.alerts, told={"phone": {"twap/USDT": told}}, blind={"twap": Blind(1.0, "x")})
    renamed = twap(name="repayment", renamed_from="twap")

    done = engine.adopt("main", [renamed], feed.alerts, START + 9.0)

    assert done.events == ()
    assert done.alerts.alerts == {"repayment": feed.alerts.alerts["twap"]}
    assert done.alerts.told == {"phone": {"repayment/USDT": told}}
    assert done.alerts.blind == {"repayment": Blind(1.0, "x")}
    assert engine.adopt("main", [renamed], done.alerts, START + 10.0).alerts is done.alerts


def test_the_same_answer_looked_at_again_does_not_count_again() -> None:
    feed = Feed(twap())
    feed.play("4 na")
    gone = {"twap": Measured((Reading.not_applicable("", "USDT"),))}

    again = engine.step("main", [feed.rule], feed.alerts, gone, START + 1.0)

    assert again.alerts.alerts["twap"]["USDT"].na_count == feed.alert.na_count == 1


def test_a_name_that_was_used_before_does_not_hold_the_alert_back() -> None:
    feed = Feed(twap())
    feed.play("4*3")
    rest = Alert(episode=3, seq=2, peak=INFO)
    feed.alerts = replace(feed.alerts, alerts={**feed.alerts.alerts, "repayment": {"USDT": rest, "BTC": rest}})

    done = engine.adopt("main", [twap(name="repayment", renamed_from="twap")], feed.alerts, START + 9.0)

    assert done.events == ()
    assert done.alerts.alerts["repayment"] == {"USDT": feed.alert, "BTC": rest}


def test_that_a_rule_has_no_data_moves_along_with_its_new_name() -> None:
    alert = Alert(level=CRITICAL, shown=CRITICAL, episode=7, seq=1, peak=CRITICAL)
    told = {"phone": {"blind/twap": Told(7, 1, CRITICAL)}}
    alerts = Alerts({"blind": {"twap": alert}}, told, {"twap": Blind(1.0, "x")})
    eyes = BlindRule.model_validate({"name": "blind", "kind": "blind"})

    done = engine.adopt("main", [twap(name="repayment", renamed_from="twap"), eyes], alerts, START + 9.0)

    assert done.events == ()
    assert done.alerts.alerts["blind"] == {"repayment": alert}
    assert done.alerts.told == {"phone": {"blind/repayment": Told(7, 1, CRITICAL)}}


def test_when_the_clock_is_set_ahead_what_runs_moves_along() -> None:
    feed, other = Feed(twap(**{"for": "30s"})), Feed(twap(**{"for": "30s"}))
    feed.play("5*20")
    feed.alerts = engine.shifted(feed.alerts, 3600)
    feed.now += 3600
    other.play("5*20")

    assert feed.play("5*10 5") == ["0>4 breach @3630"]
    assert other.play("5*10 5") == ["0>4 breach @30"]
    feed.play("0*20")
    feed.alerts = engine.shifted(feed.alerts, 3600)
    feed.now += 3600
    assert feed.play("0*11") == ["4>0 recovered @7261"]


def test_a_new_name_takes_nothing_from_a_rule_that_is_still_there() -> None:
    feed = Feed(twap())
    feed.play("4*3")

    done = engine.adopt("main", [twap(name="other", renamed_from="twap"), twap()], feed.alerts, START + 9.0)

    assert done.alerts is feed.alerts


def test_a_rule_that_is_gone_is_not_blind_any_more() -> None:
    blind = Alerts(blind={"twap": Blind(1.0, "x"), "ratio": Blind(2.0, "y")})

    assert engine.adopt("main", [ratio()], blind, 5.0).alerts.blind == {"ratio": Blind(2.0, "y")}


def test_odd_numbers_are_judged_without_an_error() -> None:
    rule = Threshold.model_validate({"name": "t", "kind": "threshold", "field": "adjEq", "below": {"info": "-0.5"}})
    odd = ["0", "-0", "1E+999999", "-1E+999999", "1E-999999", "9" * 60, "NaN", "sNaN", "Infinity", "-Infinity"]

    shown = []
    for value in odd:
        done = engine.step("main", [rule], Alerts(), {"t": Measured((Reading(Decimal(value)),))}, START)
        shown.append(bool(done.events))

    assert [value for value, told in zip(odd, shown, strict=True) if told] == ["-1E+999999", "-Infinity"]
