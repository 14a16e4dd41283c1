"""riskbot's own state, judged by the same machine."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from riskbot import engine
from riskbot.health import Health, Problem, Problems
from riskbot.history import History
from riskbot.model import Alerts, Cause, Event, Severity, View
from riskbot.rules import measure, tell
from riskbot.snapshot import Snapshot

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity
HEALTH = Health.model_validate({"name": "health", "kind": "health"})


def said(problems: Problems, now: float) -> dict[str, tuple[int, str]]:
    return {r.ccy: (int(r.value), r.note) for r in problems.measured(now).readings}


@pytest.mark.parametrize(
    ("now", "severity"), [(99, OK), (119.9, OK), (120, WARNING), (299.9, WARNING), (300, CRITICAL)]
)
def test_a_problem_gets_worse_while_it_lasts(now: float, severity: Severity) -> None:
    assert Problem(100, "why", 20, 200).severity(now) == severity


def test_a_problem_that_comes_again_has_lasted_since_the_first_time() -> None:
    problems = Problems()
    problems.fail("store", Problem(100, "disk full", 60, 200))
    problems.fail("store", Problem(150, "read-only", 20, 300))

    assert said(problems, 119) == {"store": (OK, "read-only")}
    assert said(problems, 120) == {"store": (WARNING, "read-only")}
    assert said(problems, 300) == {"store": (CRITICAL, "read-only")}
    assert "store" in problems


def test_a_clock_that_is_set_ahead_makes_nothing_worse_nor_hides_it() -> None:
    problems = Problems()
    problems.fail("store", Problem(100, "disk full", 60, 200))
    problems.fail("mail", Problem(3700, "401", 60, 200))  # the clock was set already
    problems.shift(3600, 3705)

    assert said(problems, 3759)["store"] == (OK, "disk full")
    assert said(problems, 3760)["store"] == (WARNING, "disk full")
    assert said(problems, 3765)["mail"] == (WARNING, "401")


def test_what_works_again_reads_as_well() -> None:
    problems = Problems()
    problems.fail("store", Problem(100, "disk full", 0, 0))
    problems.clear("store")
    problems.clear("never failed")

    assert said(problems, 500) == {"never failed": (OK, ""), "store": (OK, "")}
    assert "store" not in problems
    problems.fail("store", Problem(500, "again", 10, 20))
    assert said(problems, 505)["store"] == (OK, "again")


@pytest.mark.parametrize(
    ("after", "now", "handed"), [(None, 119, False), (None, 120, True), (50, 149, False), (50, 150, True)]
)
def test_a_fallback_takes_over_when_it_is_told_or_when_the_file_says(
    after: float | None, now: float, handed: bool
) -> None:
    assert Problem(100, "401", 20, 200).hands_over(after, now) is handed


def test_what_is_wrong_is_known_from_the_first_moment_until_it_works() -> None:
    problems, problem = Problems(), Problem(100, "401", 20, 200)
    problems.fail("delivery to phone", problem)

    assert problems.of("delivery to phone") == problem
    problems.clear("delivery to phone")
    assert problems.of("delivery to phone") is None


def test_nothing_is_said_of_a_part_that_was_forgotten() -> None:
    problems = Problems()
    problems.fail("delivery to phone", Problem(100, "401", 0, 0))
    problems.forget("delivery to phone")
    problems.forget("never failed")
    assert said(problems, 500) == {}


@pytest.mark.parametrize(
    ("subject", "kept"),
    [
        ("delivery to phone", True),
        ("delivery to gone", False),
        ("a message to phone", True),
        ("a message to gone", False),
        ("watching main", True),
        ("watching gone", False),
        ("the store", True),
        ("rules.toml", True),
    ],
)
def test_who_has_left_the_file_does_not_fail_any_more(subject: str, kept: bool) -> None:
    health = Health.model_validate({"name": "health", "kind": "health", "names": ("phone", "main")})
    assert health.keeps(subject, ()) is kept


@pytest.mark.parametrize(
    ("subject", "fails", "works"),
    [
        ("the store", "the store is failing", "the store works again"),
        ("the clock", "the clock has jumped", "the clock is steady"),
        ("the watch", "riskbot stood still", "riskbot is awake"),
        ("/etc/rules.toml", "/etc/rules.toml can't be used", "/etc/rules.toml is in use again"),
        ("delivery to the clock", "delivery to the clock is failing", "delivery to the clock works again"),
    ],
)
def test_each_part_fails_and_works_again_in_words_of_its_own(subject: str, fails: str, works: str) -> None:
    event = Event("riskbot", "health", subject, 1, 1, OK, WARNING, WARNING, 0, 0, Cause.BREACH)
    assert HEALTH.say(event) == fails
    assert HEALTH.say(replace(event, before=WARNING, after=OK)) == works


def test_what_was_failing_before_a_restart_is_not_well_until_it_has_worked() -> None:
    problems, alerts = Problems(), Alerts()
    problems.fail("delivery to phone", Problem(1000, "401", 0, 0))
    alerts = engine.step("riskbot", [HEALTH], alerts, {"health": problems.measured(1000)}, 1000).alerts

    anew = Problems()
    for now in range(1001, 1200):
        done = engine.step("riskbot", [HEALTH], alerts, {"health": anew.measured(now)}, now)
        assert done.events == ()
        alerts = done.alerts
    anew.clear("delivery to phone")
    events = []
    for now in range(1200, 1240):
        done = engine.step("riskbot", [HEALTH], alerts, {"health": anew.measured(now)}, now)
        alerts, events = done.alerts, [*events, *done.events]
    assert [event.after for event in events] == [OK]


def test_a_failing_part_is_told_and_so_is_its_recovery() -> None:
    problems, alerts, told = Problems(), Alerts(), []
    problems.fail("the store", Problem(1000, "disk full", 0, 5))
    for now in range(1000, 1060):
        if now == 1010:
            problems.clear("the store")
        done = engine.step("riskbot", [HEALTH], alerts, {"health": problems.measured(now)}, now)
        alerts = done.alerts
        told += [(e.at, e.after, HEALTH.say(e)) for e in done.events]

    assert told == [
        (1000, WARNING, "the store is failing"),
        (1005, CRITICAL, "the store is failing"),
        (1040, OK, "the store works again"),
    ]


def test_its_words_carry_the_reason_and_nothing_is_read_from_an_account() -> None:
    problems = Problems()
    problems.fail("the store", Problem(0, "disk full", 0, 5))
    view = View("riskbot", 0, Snapshot({"details": []}), History())
    event = engine.step("riskbot", [HEALTH], Alerts(), {"health": problems.measured(0)}, 0).events[0]

    assert tell(HEALTH, view, event) == ("the store is failing", ["disk full"])
    assert measure(HEALTH, view).readings == ()


def test_it_judges_alike_whoever_is_in_the_file() -> None:
    one, two = (Health.model_validate({"name": "health", "kind": "health", "names": n}) for n in (("a",), ("b", "c")))

    assert one.compiled.ladder.mark == two.compiled.ladder.mark
    assert two.names == ("b", "c")
