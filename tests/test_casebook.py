"""Cases: what their words do to the account, to the receivers and to riskbot itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from riskbot import plugins, settings
from riskbot.casebook.books import Book, open_books
from riskbot.casebook.coverage import covered
from riskbot.casebook.expectations import Finding, moment
from riskbot.casebook.mutants import mutants
from riskbot.casebook.play import Played, play
from riskbot.casebook.suite import Result, found_in
from riskbot.casebook.timeline import Row, Timeline
from riskbot.plugins import Plugins
from riskbot.settings import Config, ConfigError
from riskbot.settings.feeds import Gap
from tests.desk import rule

RULES = """
[[accounts]]
name = "main"
api_key = "${{OKX_API_KEY}}"
api_secret = "${{OKX_API_SECRET}}"
passphrase = "${{OKX_API_PASSPHRASE}}"
poll_every = "{every}"

[receivers.phone]
url = "${{RISKBOT_PHONE}}"
{phone}

[[rules]]
name = "repayment"
kind = "level"
field = "details.twap"
at_least = {{ warning = 2, critical = {critical} }}
{more}
"""


class Desk:
    """A folder with rules and cases."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rules()

    def rules(
        self, name: str = "rules.toml", more: str = "", critical: int = 4, every: str = "1s", phone: str = ""
    ) -> None:
        text = RULES.format(more=more, critical=critical, every=every, phone=phone)
        (self.folder / name).write_text(text)

    def book(self, case: str) -> Book:
        (self.folder / "cases.toml").write_text(f'[[cases]]\nname = "it"\n{case}')
        return open_books([self.folder / "cases.toml"], self.folder / "rules.toml", load)[0]

    def play(self, case: str, **how: Any) -> Played:
        return play(self.book(case).pages[0].setup, **how)

    def heard(self, case: str) -> list[str]:
        """Each message as `5s phone fire warning`, about the rule `repayment` without its name."""
        return [told(one) for one in self.play(case).heard]


def told(one: Any) -> str:
    about = "" if one.rule == "repayment" else f" {one.rule} {one.subject}".rstrip()
    return f"{round(one.t, 1):g} {one.receiver} {one.what}{about}{' again' if one.repeat else ''}"


def load(path: Path) -> tuple[Config, Plugins]:
    found = plugins.load(settings.find_plugins(path, {}))
    return settings.load(path, found.kinds, {}, keyless=True), found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


TWAP = 'feed."details.twap/USDT" = '

# ---------------------------------------------------------------- the account


def test_polls_come_as_often_as_the_account_says(desk: Desk) -> None:
    desk.rules(every="5s")

    assert desk.heard(f'{TWAP}"0*2 2*3 2*10s 4"') == ["10 phone fire warning", "35 phone rise warning>critical"]


def test_several_feeds_run_side_by_side_and_the_shorter_one_stays(desk: Desk) -> None:
    desk.rules(more='[[rules]]\nname = "ratio"\nkind = "margin_ratio"\nbelow = { warning = 5 }')
    feeds = f'{TWAP}"0*2 2"\nfeed.mgnRatio = "9..1/9"'

    assert desk.heard(feeds) == ["2 phone fire warning", "5 phone fire warning ratio"]
    assert desk.play(feeds, sampled=True).samples[-1].values["repayment", "USDT"] == 2


def test_no_value_is_never_zero(desk: Desk) -> None:
    course = '"2*3 {}*40 2*3"'

    for gap in ("na", "gone"):
        assert desk.heard(TWAP + course.format(gap)) == ["0 phone fire warning"]
    assert desk.heard(TWAP + course.format("miss")) == [
        "0 phone fire warning",
        "33 phone fire critical blind repayment",
    ]
    assert desk.heard(TWAP + course.format("down"))[:2] == ["0 phone fire warning", "12 phone fire critical blind"]


def test_what_is_not_fed_is_as_a_scenario_has_it(desk: Desk) -> None:
    desk.rules(more='[[rules]]\nname = "ratio"\nkind = "margin_ratio"\nbelow = { emergency = 1.5 }')
    heard = desk.heard(f'scenario = "crash"\n{TWAP}"0*2 2*2"')

    assert heard == ["2 phone fire warning"]
    assert any(line.endswith("fire emergency ratio") for line in desk.heard('scenario = "crash"'))


def test_an_account_at_rest_tells_nothing_but_what_is_fed(desk: Desk) -> None:
    stock = (Path(__file__).parents[1] / "rules.example.toml").read_text().partition("# Do they tell")[0]
    (desk.folder / "rules.toml").write_text(stock)

    for mode in "1234":
        assert desk.heard(f'mode = "{mode}"\n{TWAP}"0*40"') == []


def test_the_mode_may_be_fed(desk: Desk) -> None:
    desk.rules(more='[[rules]]\nname = "mode"\nkind = "becomes"\nfield = "acctLv"\nleaves = { critical = 3 }')

    assert desk.heard('feed.acctLv = "3*5 4*10m"') == [
        "301 phone fire critical mode",
        "301 phone fire warning key_safety account mode",
    ]


def test_a_case_may_be_about_another_account(desk: Desk) -> None:
    second = '[[accounts]]\nname = "two"\napi_key = "k"\napi_secret = "k"\npassphrase = "k"\npoll_every = "2s"'
    desk.rules(more=f'accounts = ["two"]\n{second}')

    assert desk.heard(f'account = "two"\n{TWAP}"0*2 2"') == ["4 phone fire warning"]
    assert desk.heard(f'{TWAP}"0*2 2"') == []


# ---------------------------------------------------------------- recordings


def write_recording(folder: Path, *replies: tuple[int, object]) -> None:
    noon = 1_767_355_200_000  # 2 Jan 2026, 12:00 UTC
    known = json.dumps({"t": noon + 1000, "config": {"uid": "7", "acctLv": "3"}})
    lines = [json.dumps({"t": noon + 1000 * at, "body": body}) for at, body in replies]
    (folder / "incident.jsonl").write_text("\n".join([lines[0], known, *lines[1:]]) + "\n")


def reply(**row: object) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": [{"mgnRatio": "", "details": [{"ccy": "USDT", **row}]}]}


def test_a_feed_may_be_what_was_recorded(desk: Desk) -> None:
    refused = {"code": "50001", "msg": "", "data": []}
    other = {"code": "0", "msg": "", "data": [{"details": []}]}
    write_recording(
        desk.folder,
        (0, reply(twap="0")),
        (3, reply(twap="2")),
        (4, reply(twap="")),
        (5, reply()),
        (6, other),
        (7, refused),
    )
    (page,) = desk.book(f'{TWAP}"@incident.jsonl#12:00:01..12:00:10 4*2"').pages
    fed = [page.setup.course.values(poll)["details.twap/USDT"] for poll in range(11)]

    assert [getattr(value, "value", value) for value in fed] == [
        "0", "0", "2", "na", "miss", "gone", "down", "down", "down", "4", "4",
    ]  # fmt: skip


def test_a_flag_is_recorded_too_and_what_is_older_than_five_seconds_is_not_seen(desk: Desk) -> None:
    write_recording(desk.folder, (0, reply(collateralRestrict=False)), (20, reply(collateralRestrict=True)))
    (page,) = desk.book('feed."details.collateralRestrict/USDT" = "@incident.jsonl#12:00..12:00:22"').pages
    fed = [page.setup.course.values(poll)["details.collateralRestrict/USDT"] for poll in (4, 5, 19, 20)]

    assert [getattr(value, "value", value) for value in fed] == ["false", "down", "down", "true"]


def test_a_recording_may_go_past_midnight(desk: Desk) -> None:
    write_recording(desk.folder, (0, reply(twap="0")), (43_200, reply(twap="4")))
    (page,) = desk.book(f'{TWAP}"@incident.jsonl#00:00..00:00:02"').pages

    assert page.setup.course.values(0)["details.twap/USDT"] == "4"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "incident.jsonl is empty"),
        ("[1]\n", "incident.jsonl:1: not an object; a line is"),
        ('{"t": 1767355200000, "body": {}}\n', "incident.jsonl:1: no reply of account/balance"),
        ('{"t": 1767355200000, "error": "x"}\n{"t": 1767355100000, "error": "x"}\n', "incident.jsonl:2: t goes back"),
        ('{"t": 1767350000000, "error": "x"}\n', "incident.jsonl has no reply of that time"),
    ],
)
def test_a_recording_that_can_not_be_used_is_told(desk: Desk, text: str, said: str) -> None:
    (desk.folder / "incident.jsonl").write_text(text)

    with pytest.raises(ConfigError) as caught:
        desk.book(f'{TWAP}"@incident.jsonl#12:00..12:01"')

    assert str(caught.value).startswith(
        f'{desk.folder}/cases.toml:3: details.twap/USDT: "@incident.jsonl#12:00..12:01": '
    )
    assert said in str(caught.value)


# ---------------------------------------------------------------- receivers


def test_receivers_answer_by_their_script(desk: Desk) -> None:
    script = 'receiver.phone = "429(7s)*2 ok?lost-answer ok"\n'

    assert desk.heard(f'{script}{TWAP}"0*5 4*30"') == [
        "19 phone fire critical",
        "23 phone fire critical again",
    ]


def test_what_waited_is_told_as_its_receiver_sees_it(desk: Desk) -> None:
    over = f'receiver.phone = "503(20s) ok"\n{TWAP}"0*5 2*5 4*5 2*60 0*60"'
    missed = f'receiver.phone = "503(2m) ok"\n{TWAP}"0*5 4*5 0*150"'
    down = f'receiver.phone = "ok 503(2m) ok"\n{TWAP}"2*5 4*5 2*150"'

    assert desk.heard(over)[:2] == ["25 phone fire critical", "45 phone fall critical>warning"]
    assert [line for line in desk.heard(missed) if "delivery" not in line] == ["65 phone missed critical"]
    assert "65 phone still warning" in desk.heard(down)


def test_a_message_may_take_its_time_or_be_lost(desk: Desk) -> None:
    assert desk.heard(f'receiver.phone = "ok(3s)"\n{TWAP}"0*5 4*30"') == ["8 phone fire critical"]
    assert desk.heard(f'receiver.phone = "lost"\n{TWAP}"0*5 4*30"') == ["6 phone fire critical again"]
    assert desk.heard(f'receiver.phone = "hang"\n{TWAP}"0*5 4*30"') == ["21 phone fire critical again"]


def test_several_mild_alerts_in_one_message_are_heard_one_by_one(desk: Desk) -> None:
    feeds = f'{TWAP}"0*5 2*5"\nfeed."details.twap/BTC" = "0*5 3*5"'
    heard = desk.play(feeds).heard

    assert [(one.subject, one.t) for one in heard] == [("BTC", 5.0), ("USDT", 5.0)]
    assert {one.text.title for one in heard} == {"WARNING · main · 2 alerts"}


def test_another_receiver_stands_in(desk: Desk) -> None:
    desk.rules(
        phone='fallback = ["mail"]\nfallback_after = "10s"\n[receivers.mail]\nurl = "x"\nmin_severity = "emergency"'
    )
    heard = desk.heard(f'receiver.phone = "503*"\n{TWAP}"0*5 4*30"')

    assert "15 mail fire critical" in heard


def test_a_receiver_may_be_well_again(desk: Desk) -> None:
    do = '[[cases.do]]\nt = "60s"\nreceiver.phone = "ok"'

    assert desk.heard(f'receiver.phone = "503(5s)*"\n{TWAP}"0*5 4*90"\n{do}') == ["65 phone fire critical"]


# ---------------------------------------------------------------- what somebody does


def test_a_kill_is_not_noticed_and_a_long_one_is_made_up_for(desk: Desk) -> None:
    course = f'{TWAP}"0*5 2*10 4*10"\n'

    assert desk.heard(course) == ["5 phone fire warning", "15 phone rise warning>critical"]
    assert desk.heard(course + 'do = [{ t = "10s", kill = true }]') == desk.heard(course)
    assert desk.heard(course + 'do = [{ t = "10s", kill = "8s" }]') == [
        "5 phone fire warning",
        "18 phone rise warning>critical",
    ]
    assert desk.play(course + 'do = [{ t = "10s", kill = "8s" }, { t = "12s", kill = true }]').kills == [10.001]


def test_a_kill_in_the_middle_of_a_send_repeats_it_once(desk: Desk) -> None:
    played = desk.play(f'receiver.phone = "ok(4s)*"\n{TWAP}"0*5 4*20"\ndo = [{{ t = "6s", kill = true }}]')

    assert [told(one) for one in played.heard] == ["11 phone fire critical again"]


def test_another_file_is_taken_up(desk: Desk) -> None:
    desk.rules("strict.toml", critical=3)
    do = 'do = [{ t = "10s", reload = "strict.toml" }, { t = "20s", kill = true }]'

    assert desk.heard(f'{TWAP}"0*5 3*40"\n{do}') == ["5 phone fire warning", "10 phone rise warning>critical"]


def test_a_file_that_was_changed_while_riskbot_was_down_is_found_at_its_start(desk: Desk) -> None:
    desk.rules("strict.toml", critical=3)
    do = 'do = [{ t = "10s", kill = "20s" }, { t = "15s", reload = "strict.toml" }]'

    assert desk.heard(f'{TWAP}"0*5 3*40"\n{do}') == ["5 phone fire warning", "30 phone rise warning>critical"]


def test_a_bad_file_changes_nothing_and_is_told(desk: Desk) -> None:
    (desk.folder / "bad.toml").write_text("[[rules]]\n")
    heard = desk.heard(f'{TWAP}"0*5 3*40"\ndo = [{{ t = "10s", reload = "bad.toml" }}]')

    assert heard == ["5 phone fire warning", "11 phone fire critical health rules.toml"]


def test_an_acknowledgement_stops_the_reminders(desk: Desk) -> None:
    course = f'{TWAP}"0*5 4*25m"\n'

    assert desk.heard(course) == ["5 phone fire critical", "605 phone still critical", "1205 phone still critical"]
    for name in ("repayment", "repayment/USDT"):
        assert desk.heard(f'{course}do = [{{ t = "10s", ack = "{name}" }}]') == ["5 phone fire critical"]
    late = desk.heard(f'{course}do = [{{ t = "10s", ack = "repayment", for = "15m" }}]')
    assert late == ["5 phone fire critical", "911 phone still critical"]


def test_a_silence_holds_back_the_telling(desk: Desk) -> None:
    heard = desk.heard(f'{TWAP}"0*5 4*60"\ndo = [{{ t = "2s", silence = "repay*", for = "30s" }}]')

    assert heard == ["33 phone fire critical"]


# ---------------------------------------------------------------- rules of plugins, and mistakes of riskbot

PLUGIN = """
from riskbot.hookspecs import hookimpl
from riskbot.model import Reading
from riskbot.rules import Rule

class Coins(Rule, kind="coins", worse="above"):
    "Counts the currencies."

    def readings(self, view):
        yield Reading(len(view.snapshot.balances))

@hookimpl
def register_rules():
    return [Coins]
"""


def test_a_plugins_rule_is_tested_as_any_other(desk: Desk) -> None:
    (desk.folder / "own").mkdir(mode=0o700)
    (desk.folder / "own/coins.py").write_text(PLUGIN)
    (desk.folder / "own/coins.py").chmod(0o600)
    desk.rules(more='[[rules]]\nname = "coins"\nkind = "coins"\nabove = { warning = 2 }')
    rules = desk.folder / "rules.toml"
    rules.write_text('plugins = ["own"]\n' + rules.read_text())

    assert desk.heard('feed."details.twap/ETH" = "gone*5 0*5"') == ["5 phone fire warning coins"]


def test_a_mistake_of_riskbot_itself_is_no_finding_of_a_case(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ArithmeticError("a mistake")

    monkeypatch.setattr("riskbot.service.Service._hire", broken)

    with pytest.raises(ArithmeticError, match="a mistake"):
        desk.play(f'{TWAP}"0*5"')


# ---------------------------------------------------------------- expectations


def found(desk: Desk, case: str) -> list[Finding]:
    setup = desk.book(case).pages[0].setup
    return found_in(setup, play(setup))


def test_each_message_is_taken_for_one_expectation_only(desk: Desk) -> None:
    feeds = f'{TWAP}"0*5 2*5"\nfeed."details.twap/BTC" = "0*5 3*5"\n'
    loose, strict = '{ t = "0s..9s", event = "fire" }', '{ t = "5s", event = "fire", subject = "BTC" }'

    assert found(desk, f"{feeds}expect = [{loose}, {strict}]") == []
    assert found(desk, f"{feeds}expect = [{strict}, {loose}]") == []
    (one,) = found(desk, f"{feeds}expect = [{strict}, {strict}]")
    assert one.why == "expected at 5s: phone: fire (BTC); got phone: fire warning (repayment USDT)"


def test_never_may_be_for_a_time_a_gap_a_receiver_or_a_rule(desk: Desk) -> None:
    course = f'{TWAP}"0*5 2*5 down*8 2*2"\nexpect = [{{ t = "5s", event = "fire" }}]\n[[cases.never]]\nevent = "fire"\n'

    assert len(found(desk, course)) == 1
    assert len(found(desk, f'{course}during = "4s..6s"')) == 1
    assert len(found(desk, f'{course}receivers = "phone"\nrule = "repayment"\nsubject = "USDT"')) == 1
    for more in (
        "receivers = []",
        'during = "6s..20s"',
        'during = "down"',
        'during = "na"',
        'rule = "blind"',
        'subject = "BTC"',
    ):
        assert found(desk, course + more) == []


# ---------------------------------------------------------------- what a failure shows


def rows(desk: Desk, case: str) -> dict[str, Row]:
    page = desk.book(case).pages[0]
    played = play(page.setup, sampled=True)
    return {moment(row.t): row for row in Timeline(Result(page, played, tuple(found_in(page.setup, played)))).rows()}


def test_the_line_of_time_tells_what_runs_and_what_was_done(desk: Desk) -> None:
    desk.rules(more='for = "10s"\nflap = { changes = 3 }')
    desk.rules("other.toml")
    do = """do = [
      { t = "3s", receiver.phone = "ok" }, { t = "17s", silence = "x" }, { t = "18s", ack = "repayment" },
      { t = "20s", reload = "other.toml" }, { t = "22s", kill = "4s" }, { t = "30s", kill = true },
    ]"""
    course = f'{TWAP}"0*5 2*60 0*35 2*12 0*35 2*12"\n'
    shown = rows(desk, course)
    done = {t: row.done for t, row in rows(desk, course + do).items()}

    assert shown["5s"].alerts == ("2 warning pending 0 s of 10 s",)
    assert shown["15s"].alerts == ("2 WARNING",)
    assert shown["1m5s"].alerts == ("0 WARNING, falling 0 s of 30 s",)
    assert "flapping" in shown["1m50s"].alerts[0]
    assert [done[t] for t in ("3s", "17s", "18s", "20s", "22s", "30s")] == [
        ("phone answers otherwise",),
        ("silence x",),
        ("ack repayment",),
        ("reload other.toml",),
        ("kill 4s",),
        ("kill",),
    ]


def test_several_alerts_are_named_in_each_row(desk: Desk) -> None:
    shown = rows(
        desk, f'{TWAP}"0*5 2*5"\nfeed."details.twap/BTC" = "0*2 3*8"\nexpect = [{{ t = "8s..9s", event = "rise" }}]'
    )

    assert shown["2s"].alerts == ("repayment BTC: 3 WARNING",)
    assert shown["5s"].fed == ("2", "3")
    assert [entry.text for entry in shown["5s"].got] == ["phone: fire warning (repayment USDT)"]
    assert [(entry.text, entry.wrong) for entry in shown["8s"].expected] == [("rise (8s..9s)", True)]


# ---------------------------------------------------------------- mutants


def ways(**keys: Any) -> list[str]:
    return [mutant.how for mutant in mutants(rule(**keys), 2.0)]


def test_a_number_has_steps_as_long_as_its_exit_is_away() -> None:
    assert ways(kind="threshold", field="adjEq", below={"warning": 1000}, **{"for": "5s", "keep_firing_for": "0s"}) == [
        "warning is entered at 1,050 instead of 1,000",
        "warning is left at 1,100 instead of 1,050",
        "warning is entered at 950 instead of 1,000",
        "warning is left at 1,000 instead of 1,050",
        "for is 7s instead of 5s",
        "for is 3s instead of 5s",
        "keep_firing_for is 2s instead of 0s",
        "the direction is the other one",
        "it is off",
        "what does not apply reads as 0",
    ]
    assert "warning is entered at 1,050 instead of 1,000" in ways(
        kind="threshold", field="adjEq", below={"warning": 1000}, hysteresis=0
    )


def test_a_tier_at_nothing_has_no_steps_and_severities_have_none() -> None:
    assert not [how for how in ways(kind="threshold", field="upl", below={"warning": 0}) if "entered" in how]
    flags = ways(kind="becomes", field="details.collateralRestrict", becomes={"warning": True})
    assert flags == [
        "for is 2s instead of 0s",
        "keep_firing_for is 32s instead of 30s",
        "keep_firing_for is 28s instead of 30s",
        "the direction is the other one",
        "it is off",
        "what does not apply reads as 0",
    ]


def test_levels_that_count_as_severities_do_are_moved_all_the_same() -> None:
    found = ways(kind="level", field="details.twap", at_least={"info": 1, "warning": 2, "critical": 3})
    assert "critical is entered at 4 instead of 3" in found


def test_a_mutant_leaves_the_rule_as_it_is() -> None:
    right = rule("level", field="details.twap", at_least={"warning": 2})
    ladder = right.compiled.ladder
    wrong = mutants(right, 1.0)

    assert right.compiled.ladder is ladder
    assert all(one.rule is not right for one in wrong)


# ---------------------------------------------------------------- what else may be


def test_a_store_may_be_killed_while_it_gives_up_a_message(desk: Desk) -> None:
    case = f'receiver.phone = "400*40"\n{TWAP}"0*5 4*12m"'
    moments = reversed(range(desk.play(case).moments))
    killed = (desk.play(case, fuse=moment).killed for moment in moments)

    assert next(where for where in killed if "giving up" in where) == "after giving up a message to phone"


def test_an_account_that_is_not_seen_at_the_start_is_seen_later(desk: Desk) -> None:
    assert desk.heard(f'{TWAP}"down*5 2*40"') == ["5 phone fire warning"]


def test_a_feed_that_never_has_a_value_has_none_to_stand_in(desk: Desk) -> None:
    course = desk.book(f'{TWAP}"down*5"\nfeed.mgnRatio = "na 3 down"').pages[0].setup.course.without_gaps()

    assert course.values(2) == {"details.twap/USDT": Gap.DOWN, "mgnRatio": "3"}


def test_a_moment_without_a_zone_is_utc(desk: Desk) -> None:
    (here,) = desk.book(f'start = 2026-03-01T12:00:00\n{TWAP}"0"').pages

    assert here.case.start == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_scenario_of_ones_own_lies_beside_the_case(desk: Desk) -> None:
    (desk.folder / "dip.toml").write_text('title = "A dip"\nduration = "9s"\n[coins.BTC]\nprice = 60000\ncash = 2\n')
    (page,) = desk.book('scenario = "dip.toml"').pages
    assert page.setup.course.length == 9

    (desk.folder / "dip.toml").write_text('title = "A dip"\n')
    with pytest.raises(ConfigError, match="scenario: 2 validation errors for Scenario"):
        desk.book('scenario = "dip.toml"')


def test_the_numbers_of_a_condition_have_steps_too(desk: Desk) -> None:
    when = "details.twap >= 2 and details.liab > 1000.5 and details.autoLendStatus != 'off'"
    found = mutants(rule("expression", when=when), 1.0)
    changed = [one.rule.when["warning"] for one in found if "instead of details" in one.how]  # type: ignore[attr-defined] # an Expression

    assert changed == [
        when.replace("2", "3"),
        when.replace("2", "1"),
        when.replace("1000.5", "1050.525"),
        when.replace("1000.5", "950.475"),
    ]


def test_a_condition_that_is_another_tells_otherwise(desk: Desk) -> None:
    desk.rules(more='[[rules]]\nname = "both"\nkind = "expression"\nwhen = "details.twap >= 1 and details.liab > 5000"')
    setup = desk.book(f'{TWAP}"1*5"\nfeed."details.liab/USDT" = "4900 5000 5001 6000"').pages[0].setup
    (both,) = (found for found in setup.config.rules if found.name == "both")

    fired = {
        m.how: [one.t for one in play(setup.having(m.rule)).heard] for m in mutants(both, 1.0) if "details" in m.how
    }
    assert list(fired.values()) == [[], [2.0], [3.0], [0.0]]


def test_a_receiver_that_moves_finishes_what_it_carries(desk: Desk) -> None:
    desk.rules("moved.toml")
    moved = desk.folder / "moved.toml"
    moved.write_text(moved.read_text().replace('"${RISKBOT_PHONE}"', '"json://elsewhere"'))
    feeds = f'{TWAP}"0*5 4*20"\nfeed."details.twap/BTC" = "0*7 5*18"\nreceiver.phone = "ok(10s) ok(5s)"'
    heard = desk.play(f'{feeds}\ndo = [{{ t = "6s", reload = "moved.toml" }}]').heard

    assert [(round(one.t, 1), one.subject) for one in heard] == [(12.0, "BTC"), (15.0, "USDT")]


@pytest.mark.parametrize(
    ("course", "words"),
    [
        ("0*5 2*5 0*40", {"fire", "resolve"}),
        ("2*5 4*5 2*40", {"fire", "rise", "fall"}),
        ("2*5 down*8 2*5", {"fire", "gap"}),
        ("2*5 miss*8 2*5", {"fire", "gap"}),
        ("2*5 na*8 2*5", {"fire", "na"}),
        ("na*8 down*8 2*5", {"fire"}),
    ],
)
def test_what_a_rule_was_through_counts_while_its_alert_is_open(desk: Desk, course: str, words: set[str]) -> None:
    assert covered("repayment", desk.play(f'{TWAP}"{course}"', sampled=True)) == words


@pytest.mark.parametrize(("at", "words"), [("2s", {"fire"}), ("8s", {"fire", "kill"})])
def test_a_kill_counts_while_its_alert_is_open(desk: Desk, at: str, words: set[str]) -> None:
    played = desk.play(f'{TWAP}"0*5 2*10"\ndo = [{{ t = "{at}", kill = true }}]', sampled=True)

    assert covered("repayment", played) == words


def test_a_kill_while_nothing_is_seen_may_delay_what_is_good_news(desk: Desk) -> None:
    course = f'{TWAP}"2*3 down*14 0*44"\n'
    setup = desk.book(course).pages[0].setup
    came = [f'{{ t = "{moment(one.t)}", event = "{one.what}", rule = "{one.rule}" }}' for one in play(setup).heard]
    setup = desk.book(f"{course}expect = [{', '.join(came)}]").pages[0].setup
    killed = [play(setup, fuse) for fuse in range(play(setup).moments)]

    assert len(came) == 4
    assert [found_in(setup, played, killed=True) for played in killed] == [[]] * len(killed)
    assert any("it came at" in one.why for played in killed for one in found_in(setup, played))
