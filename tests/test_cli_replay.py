"""`riskbot replay`: recordings played through rules, as a person sees it."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskbot.cli.replay import command
from riskbot.replay.replies import Replies
from riskbot.replay.stories import Story
from riskbot.simulator import load_scenario

T = 1_767_225_600
RULES = """
[[accounts]]
name = "main"
api_key = "${A_KEY_THAT_NOBODY_HAS}"
api_secret = "credential:okx"
passphrase = "file:/nowhere"

[receivers.phone]
url = "${NO_URL}"

[[rules]]
name = "ratio"
kind = "margin_ratio"
below = { warning = 5, critical = 3 }

[[rules]]
name = "debt"
kind = "level"
field = "details.twap"
at_least = { warning = 2, critical = 3 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


def line(second: float, ratio: str = "12", **what: Any) -> str:
    row = {"ccy": "USDT", "liab": "9", "twap": "1", "eq": "1", "eqUsd": "1", "mgnRatio": ""}
    body = {"mgnRatio": ratio, "adjEq": "5000", "details": [row]}
    return json.dumps({"t": round((T + second) * 1000), **(what or {"body": body})}) + "\n"


def write(folder: Path, *lines: str) -> str:
    path = folder / "day.jsonl"
    path.write_text("".join(lines))
    return str(path)


def dip(folder: Path) -> str:
    """A minute at 12, one at 4, one at 5.5, blind for 20 s."""
    course = [(0, "12"), (60, "4"), (120, "5.5")]
    lines = [line(start + i, ratio) for start, ratio in course for i in range(60)]
    return write(folder, *lines, *(line(180 + i, error="no answer") for i in range(20)), line(200, "5.5"))


def replay(folder: Path, *words: str) -> Result:
    env = {"COLUMNS": "200", "STATE_DIRECTORY": ""}
    return CliRunner().invoke(command, [words[0], "-c", str(folder / "rules.toml"), *words[1:]], env=env)


def report(folder: Path, *words: str) -> dict[str, Any]:
    shown = replay(folder, *words, "--json")
    assert shown.exit_code == 0, shown.output
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_it_says_for_each_rule_what_it_would_have_done(folder: Path) -> None:
    found = report(folder, dip(folder))
    assert (found["recording"], found["account"], found["looks"], found["left_out"]) == ("day.jsonl", "main", 201, 0)
    assert (found["from"], found["to"], found["holes"]) == (T, T + 200, 0)
    ratio, debt, blind, _ = found["rules"]
    assert (ratio["episodes"], ratio["worst"], ratio["open"], ratio["flaps"]) == (1, "warning", 0, 0)
    assert ratio["tiers"] == {"warning": 90}  # left at 5.25, for half a minute
    assert ratio["messages"] == {"phone": 2}
    assert ratio["blind"] == pytest.approx(20 / 200)
    assert (ratio["near"]["tier"], ratio["near"]["value"]) == ("critical", "4")
    assert ratio["near"]["off"] == pytest.approx(1 / 3)
    assert (debt["episodes"], debt["near"]["tier"], debt["near"]["subject"]) == (0, "warning", "USDT")
    assert (blind["episodes"], blind["blind"], blind["near"]) == (1, 0, None)
    assert found["messages"] == {"phone": {"total": 3, "days": {"2026-01-01": 3}}}


def test_it_needs_no_key_and_shows_a_table(folder: Path) -> None:
    shown = replay(folder, dip(folder))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert [line.rstrip() for line in shown.stdout.splitlines()] == [
        "day.jsonl: 3 min 20 s of main from Thu 01 Jan 2026 00:00:00 UTC, 201 looks",
        "rule   alerts    worst     time told           messages  blind",
        "ratio  1         WARNING   warning 1 min 30 s  phone 2   10.0%",
        "blind  1 (open)  CRITICAL  critical 6 s        phone 1   -",
        "silent: debt (blind 10.0%)",
        "never had data: key_safety",
        "messages to phone: 3",
        "counted as if every receiver took every message; milder ones of one moment come together",
        "nothing could be seen in 10.0% of the time",
        "near miss: critical of ratio, 33.3% off: margin ratio 4 (400 %) at 00:01:00",
        "near miss: warning of debt, 50.0% off: debt USDT: level 1 of 5 at 00:00:00",
    ]


def test_messages_are_shown_with_their_moments(folder: Path) -> None:
    shown = replay(folder, dip(folder), "--messages")
    assert "phone · 00:01:00" in shown.stdout
    assert "WARNING · main · margin ratio 4 (400 %)" in shown.stdout
    sent = report(folder, dip(folder), "--messages")["sent"]
    assert [(m["at"] - T, m["receiver"], m["title"].partition(" ")[0]) for m in sent] == [
        (60, "phone", "WARNING"),
        (150, "phone", "RESOLVED"),
        (194, "phone", "CRITICAL"),
    ]
    assert sent[0]["body"].startswith("a further loss of")


def test_what_is_shown_can_be_markdown(folder: Path) -> None:
    shown = replay(folder, dip(folder), "--format", "md").stdout
    assert "\n| rule | alerts | worst | time told | messages | blind |\n| --- |" in shown
    assert "\n| ratio | 1 | WARNING | warning 1 min 30 s | phone 2 | 10.0% |\n" in shown


def test_a_scenario_is_played_at_the_pace_of_the_account(folder: Path) -> None:
    found = report(folder, "crash")
    assert (found["recording"], found["looks"], found["to"] - found["from"]) == ("crash", 1201, 1200)
    assert found["rules"][0]["worst"] == "critical"
    story = folder / "mine.toml"
    story.write_text('title = "A dip"\nduration = "1m"\n[coins.BTC]\nprice = 9\ncash = 1\n')
    assert report(folder, str(story))["looks"] == 61


def test_only_the_time_that_is_asked_for_is_counted(folder: Path) -> None:
    found = report(folder, dip(folder), "--from", "2026-01-01T00:01:30", "--to", "2026-01-01T00:02:00Z")
    assert (found["from"], found["to"], found["looks"]) == (T + 90, T + 120, 31)
    assert (found["rules"][0]["open"], found["rules"][0]["tiers"]) == (1, {"warning": 30})
    assert found["messages"] == {}
    shown = replay(folder, dip(folder), "--from", "yesterday")
    assert shown.exit_code == 2
    assert "write 2026-03-01" in shown.output


def test_what_was_open_before_the_time_asked_for_and_ended_is_not_counted(folder: Path) -> None:
    found = report(folder, dip(folder), "--from", "2026-01-01T00:02:50", "--to", "2026-01-01T00:02:59")
    assert [rule["episodes"] for rule in found["rules"]] == [0, 0, 0, 0]


def test_a_pause_in_which_nobody_looked_is_told(folder: Path) -> None:
    lines = [*(line(i) for i in range(10)), *(line(3600 + i) for i in range(10))]
    found = report(folder, write(folder, *lines))
    assert (found["holes"], found["blind"]) == (3591, 0)
    assert "nobody looked for 59 min 51 s in all" in replay(folder, write(folder, *lines)).stdout


def test_messages_are_counted_by_day(folder: Path) -> None:
    noon = [
        line(day * 86400 + i, "4" if 100 < i < 100 + 60 * (1 + day % 2) else "9")
        for day in range(3)
        for i in range(500)
    ]
    found = report(folder, write(folder, *noon))
    assert found["messages"]["phone"]["days"] == {"2026-01-01": 2, "2026-01-02": 2, "2026-01-03": 2}
    shown = replay(folder, write(folder, *noon)).stdout
    assert "messages to phone: 6, 2.99 a day, most on 2026-01-01: 2" in shown
    assert "margin ratio 4 (400 %) at 01 Jan 00:01:41" in shown


def test_flaps_are_counted(folder: Path) -> None:
    (folder / "rules.toml").write_text(RULES.replace('"margin_ratio"', '"margin_ratio"\nkeep_firing_for = "1s"'))
    lines = [line(i, "4" if i // 5 % 2 else "9") for i in range(300)]
    found = report(folder, write(folder, *lines))
    assert (found["flaps"], found["rules"][0]["flaps"], found["rules"][0]["episodes"]) == (1, 1, 3)


def test_a_near_miss_that_did_not_last_is_told(folder: Path) -> None:
    (folder / "rules.toml").write_text(RULES.replace('"margin_ratio"', '"margin_ratio"\nfor = "5s"'))
    shown = replay(folder, write(folder, *(line(i, "4" if i == 30 else "9") for i in range(60)))).stdout
    assert "near miss: warning of ratio, not long enough: margin ratio 4 (400 %) at 00:00:30" in shown


# ---------------------------------------------------------------- bad input


def test_bad_lines_end_it_with_their_number_unless_they_may_be_left_out(folder: Path) -> None:
    path = write(folder, line(0), "hello\n", line(1), line(0.5), *("x\n" for _ in range(9)), line(2))
    shown = replay(folder, path)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("day.jsonl:2: not JSON; a line is")
    assert "--skip-bad leaves out" in shown.stderr
    shown = replay(folder, path, "--skip-bad")
    assert shown.exit_code == 0
    assert shown.stderr.count("left out: day.jsonl:") == 5
    assert "left out: day.jsonl:4: t goes back, by 0.5 s" in shown.stderr
    assert "left out, as it can't be read: 11 lines or parts" in shown.stdout
    assert ", 3 looks" in shown.stdout


def test_a_recording_that_is_not_there_is_told_with_what_there_is(folder: Path) -> None:
    for word in ("crahs", "nowhere.toml"):
        shown = replay(folder, word)
        assert shown.exit_code == 1
        assert shown.stderr.startswith(f"{word}: No such file or directory; give a file of replies, or a scenario: ")
    bad = folder / "bad.toml"
    bad.write_text("title = 5")
    assert replay(folder, str(bad)).exit_code == 1


def test_an_account_that_the_file_does_not_have_is_a_slip_of_the_pen(folder: Path) -> None:
    shown = replay(folder, "crash", "--account", "mian")
    assert shown.exit_code == 2
    assert 'did you mean "main"?' in shown.stderr
    assert report(folder, "crash", "--account", "main")["account"] == "main"


def test_a_rules_file_that_is_wrong_is_told_with_its_line(folder: Path) -> None:
    (folder / "rules.toml").write_text(RULES.replace("warning = 5", "warnig = 5"))
    shown = replay(folder, "crash")
    assert shown.exit_code == 2
    assert "rules.toml:14: unknown severity" in shown.stderr


# ---------------------------------------------------------------- incidents

LABELS = """
[[incidents]]
name = "the dip"
at = 2026-01-01T00:02:00Z

[[incidents]]
name = "the debt"
at = 2026-01-01T00:02:30
rules = ["debt*"]
severity = "critical"
"""


def label(folder: Path, text: str = LABELS) -> str:
    path = folder / "incidents.toml"
    path.write_text(text)
    return str(path)


def test_incidents_have_a_lead_or_were_missed(folder: Path) -> None:
    found = report(folder, dip(folder), "--labels", label(folder))
    dipped, debt = found["incidents"]
    assert (dipped["missed"], dipped["lead"], dipped["leads"]) == (False, 60, {"ratio": {"info": 60, "warning": 60}})
    assert (debt["missed"], debt["lead"], debt["leads"]) == (True, 0, {})
    assert found["false_alarms"] == 0
    shown = replay(folder, dip(folder), "--labels", label(folder)).stdout
    assert "the dip, 00:02:00: told before" in shown
    assert re.search(r"how long before +warning *\nratio +1 min", shown)
    assert "the debt, 00:02:30: MISSED" in shown


def test_an_alert_about_no_incident_is_a_false_alarm(folder: Path) -> None:
    late = "at = 2026-01-01T00:03:15Z\nsince = 2026-01-01T00:03:00Z\n"
    found = report(folder, dip(folder), "--labels", label(folder, f'[[incidents]]\nname = "later"\n{late}'))
    assert (found["false_alarms"], found["rules"][0]["false_alarms"]) == (1, 1)  # that it is blind is none
    within = report(folder, dip(folder), "--lead-to", "adjEq < 1", "--within", "10s")
    assert (within["incidents"], within["false_alarms"]) == ([], 1)
    assert "no incident: it never came to that" in replay(folder, dip(folder), "--lead-to", "adjEq < 1").stdout


def test_an_incident_may_be_where_a_condition_comes_to_hold(folder: Path) -> None:
    found = report(folder, dip(folder), "--lead-to", "mgnRatio < 5 and details.twap >= 1", "--from", "2026-01-01")
    assert [(i["at"] - T, i["missed"], i["lead"]) for i in found["incidents"]] == [(60, False, 0)]
    lines = [line(i, "4" if i in (10, 11, 15, 50) else "") for i in range(60)]
    found = report(folder, write(folder, *lines), "--lead-to", "mgnRatio < 5", "--within", "20s")
    assert [i["at"] - T for i in found["incidents"]] == [10, 50]  # 15 belongs to the first


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "incidents.toml:1: incidents is missing"),
        ('[[incidents]]\nname = "x"\n', "incidents.toml:1: at is missing"),
        ('[[incidents]]\nname = "x"\nat = "today"\n', "incidents.toml:3: at: write a moment, without quotes"),
        ('[[incidents]]\nname = "x"\nat = 2026-01-01T00:00:00Z\nrule = 5\n', 'incidents.toml:4: unknown key "rule"'),
        ("[[incidents]\n", "incidents.toml:1: not valid TOML"),
    ],
)
def test_a_bad_file_of_incidents_is_told_with_its_line(text: str, why: str, folder: Path) -> None:
    shown = replay(folder, "crash", "--labels", label(folder, text))
    assert shown.exit_code == 2
    assert why in shown.stderr


def test_a_bad_condition_is_told(folder: Path) -> None:
    for condition, why in (("mgnRatoi < 1", "--lead-to: OKX has no field"), ("mgnRatio <", "--lead-to: it ends too")):
        shown = replay(folder, "crash", "--lead-to", condition)
        assert (shown.exit_code, shown.stderr.startswith(why)) == (2, True), shown.stderr
    shown = replay(folder, "crash", "--within", "soon")
    assert shown.exit_code == 2


# ---------------------------------------------------------------- other rules


def test_rules_to_be_tried_are_compared_with_those_in_force(folder: Path) -> None:
    new = folder / "new.toml"
    new.write_text(RULES.replace("warning = 5, critical = 3", "warning = 8, critical = 4.5").replace("= 2,", "= 1,"))
    lines = [line(i, str(9 - i / 40)) for i in range(240)]
    words = [write(folder, *lines), "--rules", str(new), "--against", "current", "--lead-to", "mgnRatio < 3.2"]
    found = report(folder, *words)["against"]
    assert {what: found[what] for what in ("new", "gone", "earlier", "later", "worse", "milder")} == {
        "new": 1, "gone": 0, "earlier": 1, "later": 0, "worse": 0, "milder": 0,
    }  # fmt: skip
    debt, ratio = found["episodes"]
    assert (debt["what"], debt["rule"], debt["subject"], debt["peak"]) == ("new", "debt", "USDT", "warning")
    assert (ratio["what"], ratio["moved"], ratio["peak_before"]) == (
        "earlier",
        {"warning": -120, "info": -120},
        "warning",
    )
    assert found["messages"] == {"phone": [1, 3]}
    assert [i["lead"] for i in found["incidents"]] == [72]
    shown = replay(folder, *words).stdout
    assert "against current: 1 new, 1 earlier; messages to phone 1 → 3" in shown
    assert re.search(r"earlier +ratio +warning 2 min earlier, WARNING → CRITICAL +00:00:41", shown)
    assert re.search(r"new +debt USDT +WARNING +00:00:00", shown)
    assert re.search(r"\nratio +3 min 12 s +52 s *\n  with current +1 min 12 s +- *\n", shown)


def test_rules_that_do_the_same_are_said_to(folder: Path) -> None:
    shown = replay(folder, dip(folder), "--against", str(folder / "rules.toml"))
    assert f"against {folder / 'rules.toml'}: the same alerts; messages to phone 3 → 3" in shown.stdout


def test_a_rule_with_another_name_is_compared_with_what_it_was(folder: Path) -> None:
    new = folder / "new.toml"
    text = RULES.replace('name = "ratio"', 'name = "margin"\nrenamed_from = "ratio"')
    new.write_text(text.replace("critical = 3 }\n\n", "critical = 4.1 }\n\n"))
    found = report(folder, dip(folder), "--rules", str(new), "--against", "current")["against"]
    assert [(row["what"], row["rule"], row["peak_before"]) for row in found["episodes"]] == [
        ("worse", "margin", "warning")
    ]
    back = report(folder, dip(folder), "--against", str(new))["against"]
    assert [row["what"] for row in back["episodes"]] == ["gone", "new"]


# ---------------------------------------------------------------- a sweep, and a verdict


def test_a_number_is_tried_at_several_values(folder: Path) -> None:
    words = [dip(folder), "--sweep", "ratio.below.warning=3.5:6.5:1", "--lead-to", "mgnRatio < 4.2"]
    found = report(folder, *words)["sweep"]
    assert (found["rule"], found["key"], found["tier"]) == ("ratio", "below.warning", "warning")
    tried = [(row["value"], row["episodes"], row["messages"], row["missed"]) for row in found["tried"]]
    assert tried == [("3.5", 0, 0, 1), ("4.5", 1, 2, 0), ("5.5", 1, 1, 0), ("6.5", 1, 1, 0)]
    shown = replay(folder, *words).stdout
    assert re.search(r"\nratio, below.warning:\nvalue +alerts +worst +told for +messages +lead of warning", shown)
    assert re.search(r"\n4.5 +1 +WARNING +1 min 30 s +2 +█{24} +0 s +-", shown)
    assert re.search(r"\n3.5 +- +- +- +0 +- +1\n", shown)


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("ratio.for=0s:10s:5s", ["0s", "5s", "10s"]),
        ("ratio.hysteresis=5%:15%:10%", ["5%", "15%"]),
        ("debt.flap.changes=3:4:1", ["3", "4"]),
        ("blind.after=10s:15s:5s", ["10s", "15s"]),
    ],
)
def test_a_sweep_takes_whatever_a_rule_takes(word: str, values: list[str], folder: Path) -> None:
    assert [row["value"] for row in report(folder, dip(folder), "--sweep", word)["sweep"]["tried"]] == values


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("ratoi.for=1s:2s:1s", "no rule's name begins 'ratoi.for'; did you mean \"ratio\"?"),
        ("ratio.for=1s:2s", "'1s:2s' is no range of one unit"),
        ("ratio.for=1s:2:1s", "'1s:2:1s' is no range of one unit"),
        ("ratio.for=2s:1s:1s", "'2s:1s:1s' has 0 values: give 1 to 50"),
        ("ratio.for=1s:2s:0s", "'1s:2s:0s' has 0 values: give 1 to 50"),
        ("ratio.for=1s:99s:1s", "'1s:99s:1s' has 99 values: give 1 to 50"),
        ("ratio.below.worning=1:2:1", "ratio.below.worning = 1: unknown severity"),
        ("ratio.below.critical=5:6:1", "ratio.below.critical = 5: below: tiers out of order"),
        ("ratio.name.x=1:2:1", "name of ratio is no table"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_told(word: str, why: str, folder: Path) -> None:
    shown = replay(folder, "crash", "--sweep", word)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert f"--sweep: {why}" in shown.stderr


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("missed > 0", 1),
        ("missed > 1 or messages_per_day.phone > 3", 0),
        ("messages_per_day.phone >= 3", 1),
        ("lead < 60 and episodes == 2", 1),
        ("false_alarms > 0 or flaps > 0 or holes > 1 or blind > 0.2 or messages > 3", 0),
    ],
)
def test_what_came_of_it_decides_the_exit_code(condition: str, code: int, folder: Path) -> None:
    shown = replay(folder, dip(folder), "--labels", label(folder), "--fail-if", condition)
    assert shown.exit_code == code
    assert shown.stdout.startswith("day.jsonl: ")
    assert (f"it is so: {condition}" in shown.stderr) == bool(code)


def test_a_receiver_that_heard_nothing_has_no_message_a_day(folder: Path) -> None:
    path = write(folder, line(0), line(1))
    assert report(folder, path, "--fail-if", "messages_per_day.phone > 0")["failed"] is False


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ("mised > 0", 'there is no "mised"; did you mean "missed"?'),
        ("xyzzy > 0", 'there is no "xyzzy": there is missed, false_alarms'),
        ("messages_per_day.phoen > 0", 'there is no receiver "phoen"; did you mean "phone"?'),
        ("missed >", "it can't be read; write missed > 0"),
        ("missed + 1", "it must be true or false"),
        ("missed / 0 > 1", "it can't be judged: ArithmeticError"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_told(condition: str, why: str, folder: Path) -> None:
    shown = replay(folder, write(folder, line(0)), "--fail-if", condition)
    assert shown.exit_code == 2
    assert f"--fail-if: {why}" in shown.stderr


# ---------------------------------------------------------------- the built program


def test_the_built_program_replays(folder: Path) -> None:
    program = Path(sys.executable).parent / "riskbot"
    words = [str(program), "replay", dip(folder), "--fail-if", "episodes > 0"]
    shown = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert "\nratio " in shown.stdout
    assert shown.stderr == "it is so: episodes > 0\n"


def on_a_terminal(folder: Path, *words: str) -> str:
    """What the built program writes to stderr, if that is a terminal."""
    ours, theirs = pty.openpty()
    program = str(Path(sys.executable).parent / "riskbot")
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "STATE_DIRECTORY": ""}
    shown = subprocess.run(
        [program, "replay", *words], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=theirs, check=True
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # its other end is closed
        while part := os.read(ours, 4096):
            said += part
    os.close(ours)
    assert b"\x1b" not in shown.stdout
    return said.decode()


def test_on_a_terminal_it_shows_how_far_it_is(folder: Path) -> None:
    said = on_a_terminal(folder, dip(folder))
    assert "day.jsonl" in said
    assert "%" in said


def test_how_far_it_is_is_known_of_every_recording(folder: Path) -> None:
    for source in (Replies(Path(dip(folder))), Story(load_scenario("crash"), 60.0)):
        parts = [source.part for _ in source.entries(lambda _: None)]
        assert (parts[-1], sorted(parts)) == (pytest.approx(1, abs=0.05), parts)


def test_what_was_known_of_the_account_before_stays_known(folder: Path) -> None:
    config = {"uid": "7", "acctLv": "3", "perm": "withdraw", "ip": "10.0.0.1"}
    path = write(folder, line(0, config=config), *(line(7200 + i) for i in range(9)))
    found = report(folder, path, "--from", "2026-01-01T02:00:05")
    assert [(rule["worst"], rule["data"]) for rule in found["rules"] if rule["rule"] == "key_safety"] == [
        ("critical", True)
    ]
