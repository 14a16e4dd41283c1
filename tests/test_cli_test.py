"""`riskbot test`, as a trader runs it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from riskbot.casebook.disk import Disk
from riskbot.cli import main

ROOT = Path(__file__).parents[1]
RULES = """
[[accounts]]
name = "main"
api_key = "${OKX_API_KEY}"
api_secret = "file:no-such-file"
passphrase = "credential:okx"

[receivers.phone]
url = "${RISKBOT_PHONE}"

[receivers.mail]
url = "${RISKBOT_MAIL}"
min_severity = "critical"

[[rules]]
name = "repayment"
kind = "level"
field = "details.twap"
at_least = { info = 2, critical = 4, emergency = 5 }
flap = { changes = 20 }
"""
WEAK = """
[suite]
config = "../rules.toml"

[[cases]]
name = "5 and back"
feed."details.twap/USDT" = "0*5 5*20 0*40"
expect = [
  { t = "5s", event = "fire emergency", rule = "repayment", subject = "USDT" },
  { t = "55s", event = "resolve", rule = "repayment" },
]
"""
STRONG = (
    WEAK
    + """
[[cases]]
name = "Up and down, level by level: one alert"
feed."details.twap/USDT" = "0*5 1*5 2*5 3*5 4*10 5*20 4*35 3*35 2*35 1*35"
expect = [
  { t = "10s", receivers = "phone", event = "fire info" },
  { t = "20s", receivers = "phone", event = "rise info>critical", text = ["USDT", "level 4"] },
  { t = "20s", receivers = "mail", event = "fire critical" },
  { t = "30s", event = "rise critical>emergency" },
  { t = "80s", event = "fall emergency>critical" },
  { t = "115s", receivers = "phone", event = "fall critical>info" },
  { t = "115s", receivers = "mail", event = "resolve" },
  { t = "185s", receivers = "phone", event = "resolve info" },
]

[[cases]]
name = "What is not seen ends nothing"
feed."details.twap/USDT" = "2*10 na*40 2*5 miss*5 2*5 down*8 2*5"
do = [{ t = "60s", kill = true }]
expect = [{ t = "0s", receivers = "phone", event = "fire" }]

[[cases.never]]
event = "resolve"
during = "na"
"""
)

HARD = """
[suite]
config = "../rules.toml"

[[cases]]
name = "5 and back, but mail is hard to reach, and then loses its answer"
feed."details.twap/USDT" = "0*5 5*20 0*60"
receiver.mail = "ok 429(7s)*2 ok?lost-answer"
expect = [
  { t = "5s", event = "fire emergency" },
  { t = "55s", receivers = "phone", event = "resolve" },
  { t = "55s..75s", receivers = "mail", event = "resolve", repeat = false },
  { t = "55s..80s", receivers = "mail", event = "resolve", repeat = true },
]
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "rules.toml").write_text(RULES)
    (tmp_path / "tests").mkdir()
    write(tmp_path, STRONG)
    return tmp_path


def write(desk: Path, cases: str) -> None:
    (desk / "tests/twap.toml").write_text(cases)


def run(desk: Path, *words: object, columns: str = "200") -> Result:
    given = [str(word) for word in words] or ["--quick"]
    return CliRunner().invoke(main, ["test", str(desk / "tests"), *given], env={"COLUMNS": columns})


def told(desk: Path, *words: object) -> dict[str, Any]:
    result = run(desk, "--json", *words)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# ---------------------------------------------------------------- cases


def test_cases_that_come_as_expected_are_counted(desk: Path) -> None:
    result = run(desk)

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == f"3 cases of {desk}/rules.toml: as expected"
    assert result.stdout.splitlines()[1].split()[1:] == [
        "3",
        "fire",
        "rise",
        "fall",
        "resolve",
        "na",
        "gap",
        "kill",
        "-",
    ]


def test_the_built_program_needs_no_secret_and_leaves_nothing_behind(desk: Path) -> None:
    riskbot = str(Path(sys.executable).parent / "riskbot")
    before = sorted(desk.rglob("*"))
    ran = subprocess.run([riskbot, "test", "tests", "--quick"], cwd=desk, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 cases of rules.toml: as expected" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert sorted(desk.rglob("*")) == before


@pytest.mark.timeout(600)
def test_the_example_passes_its_own_cases_and_no_mutant_lives() -> None:
    riskbot = str(Path(sys.executable).parent / "riskbot")
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    words = ["test", "-c", "rules.example.toml", "--mutants", "100%", "--require", "fire,resolve"]
    ran = subprocess.run([riskbot, *words], cwd=ROOT, env=unmeasured, capture_output=True, text=True, check=False)

    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "no case" not in ran.stdout


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('t = "30s"', 't = "31s"', "expected at 31s: phone: rise critical>emergency; it came at 30s"),
        ('t = "30s"', 't = "31s..40s"', "expected at 31s..40s: phone: rise critical>emergency; it came at 30s"),
        ('"level 4"', '"level 5"', 'rise info>critical; it came without "level 5" in its text'),
        ("fall emergency>critical", "fall emergency>info", "fall emergency>info; got phone: fall emergency>critical"),
        ('  { t = "80s", event = "fall emergency>critical" },\n', "", "not expected: at 1m20s phone: fall emergency>"),
        ('"0*5 5*20', '"0*25', "expected at 5s: phone: fire emergency (repayment USDT); it never came"),
        ('{ t = "30s", event', '{ t = "30s", repeat = true, event', 'it does not say "may be a repeat"'),
        ('during = "na"', 'during = "na"\n[[cases.never]]\nevent = "fire info"', "never fire info, but at 0s: phone"),
        ('{ t = "60s", kill = true }', '{ t = "60s", ack = "payment" }', 'ack = "payment": nothing of that name is'),
    ],
)  # fmt: skip
def test_whatever_comes_otherwise_fails(desk: Path, old: str, new: str, why: str) -> None:
    assert old in STRONG
    write(desk, STRONG.replace(old, new, 1))
    result = run(desk)

    assert result.exit_code == 1, result.output
    assert why in result.stdout
    assert "not as expected" in result.stdout.splitlines()[-1]


def test_a_failure_shows_one_line_of_time(desk: Path) -> None:
    write(desk, STRONG.replace('t = "115s", receivers = "mail"', 't = "110s", receivers = "mail"'))
    lines = run(desk).stdout.splitlines()

    assert lines[0] == f"{desk}/tests/twap.toml:13: Up and down, level by level: one alert"
    assert lines[1] == "  expected at 1m50s: mail: resolve; it came at 1m55s"
    table = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[2:] if line[:1].isdigit()}
    assert table["5s"] == "1"
    assert table["10s"] == "2 2 INFO phone: fire info phone: fire info"
    assert table["50s"] == "4 4 EMERGENCY, falling 0 s of 30 s"
    assert table["1m50s"].endswith("✗ mail: resolve")
    assert "✗ mail: resolve critical" in "\n".join(lines)


def test_a_case_may_stand_in_the_rules_file_and_in_what_it_includes(desk: Path) -> None:
    cases = STRONG.partition("[[cases]]")[2].split("[[cases]]")
    (desk / "rules.toml").write_text(f'include = ["more.toml"]\n{RULES}\n[[cases]]{cases[0]}')
    (desk / "more.toml").write_text(f"[[cases]]{cases[1]}")
    here = CliRunner().invoke(main, ["test", "--json", "--quick", "-c", str(desk / "rules.toml")])
    named = CliRunner().invoke(main, ["test", "--json", "--quick", str(desk / "rules.toml"), str(desk / "tests")])

    assert [case["where"] for case in json.loads(here.stdout)["cases"]] == [
        f"{desk}/rules.toml:23",
        f"{desk}/more.toml:1",
    ]
    assert len(json.loads(named.stdout)["cases"]) == 5


def test_what_riskbot_logs_is_heard_again_afterwards(desk: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(desk)
    assert not caplog.records
    logging.getLogger("riskbot").warning("here")
    assert [record.message for record in caplog.records] == ["here"]


# ---------------------------------------------------------------- what cases show


def test_weak_cases_let_mutants_live_and_each_is_named(desk: Path) -> None:
    write(desk, WEAK)
    (rule,) = told(desk)["rules"]
    (desk / "tests/twap.toml").write_text(WEAK)
    result = run(desk, "--mutants", "90%")

    assert result.exit_code == 3
    assert rule["survivors"] == [
        "info is entered at 3 instead of 2",
        "info is left at 2 instead of 1",
        "info is entered at 1 instead of 2",
        "info is left at 0 instead of 1",
        "critical is entered at 5 instead of 4",
        "critical is left at 4 instead of 3",
        "critical is entered at 3 instead of 4",
        "critical is left at 2 instead of 3",
        "emergency is entered at 4 instead of 5",
        "emergency is left at 3 instead of 4",
        "info is missing",
        "critical is missing",
        "what does not apply reads as 0",
    ]
    assert "no case finds out: repayment: critical is missing" in result.stdout.splitlines()


def test_the_same_rules_with_stronger_cases_leave_none(desk: Path) -> None:
    result = run(desk, "--mutants", "100%", "--require", "fire,rise,fall,resolve,na,gap,kill")

    assert result.exit_code == 0, result.output
    assert "20 of 20 mutants killed" in result.stdout
    assert "no case finds out" not in result.stdout


def test_what_is_owed_and_not_shown_is_told(desk: Path) -> None:
    write(desk, WEAK.replace("[suite]", '[suite]\nrequire = ["fire", "kill"]'))
    by_suite, by_hand = run(desk), run(desk, "--quick", "--require", "gap")

    assert (by_suite.exit_code, by_hand.exit_code) == (3, 3)
    assert "fire resolve not kill" in by_suite.stdout
    assert "fire resolve not gap not kill" in by_hand.stdout


def test_a_never_that_can_not_fail_is_told(desk: Path) -> None:
    write(desk, STRONG + '[[cases.never]]\nevent = "missed"\n')
    result = run(desk, "--mutants", "0%")

    assert result.exit_code == 3
    assert f"can't fail, so it shows nothing: never missed ({desk}/tests/twap.toml:27)" in result.stdout
    assert "never resolve" not in result.stdout


def test_mutants_are_left_alone_while_a_case_fails(desk: Path) -> None:
    write(desk, STRONG.replace('t = "30s"', 't = "31s"'))

    assert [rule["mutants"] for rule in told(desk)["rules"]] == [0]


def test_a_kill_at_each_moment_changes_nothing(desk: Path) -> None:
    write(desk, HARD)
    result = run(desk, "--quick", "--kill", "each")

    assert result.exit_code == 0, result.output
    moments = int(result.stdout.partition("a kill at each of ")[2].split()[0])
    assert moments > 80


def test_a_message_that_a_kill_loses_is_found(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that forgets its outbox in a kill: what was not sent yet never comes."""
    monkeypatch.setattr(Disk, "revive", forgetful(Disk.revive))
    result = run(desk, "--quick", "--kill", "each")

    assert result.exit_code == 1
    assert "  killed after the commit of main" in result.stdout
    assert "it never came" in result.stdout


def forgetful(revive: Any) -> Any:
    def revived(disk: Any) -> None:
        for row in disk.rows.all_standing():
            disk.rows.forget([(row.message.id, row.message.at)])
        revive(disk)

    return revived


# ---------------------------------------------------------------- for machines


def test_a_ci_reads_what_failed(desk: Path) -> None:
    write(desk, STRONG.replace('t = "30s"', 't = "31s"'))
    assert run(desk, "--quick", "--junit", desk / "junit.xml").exit_code == 1
    suite = ET.fromstring((desk / "junit.xml").read_text())[0]  # noqa: S314 - it is ours

    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("3", "1")
    assert [(case.attrib["name"], case.attrib["line"], len(case)) for case in suite] == [
        ("5 and back", "5", 0),
        ("Up and down, level by level: one alert", "13", 1),
        ("What is not seen ends nothing", "27", 0),
    ]
    assert "it came at 30s" in suite[1][0].attrib["message"]


def test_json_has_all_of_it(desk: Path) -> None:
    write(desk, WEAK.replace('t = "5s"', 't = "6s"'))
    found = told(desk, "--quick")

    assert found["ok"] is False
    assert found["cases"][0]["findings"][0] == {
        "at": 6.0,
        "why": "expected at 6s: phone: fire emergency (repayment USDT); it came at 5s",
    }
    assert found["rules"][0]["covered"] == ["fire", "resolve"]


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"5s", event', '"5s", evnt', '9: unknown key "evnt"; did you mean "event"?'),
        ('"fire emergency"', '"fires"', "9: event: not an event: write"),
        ('"fire emergency"', '"fire emergancy"', 'unknown severity; did you mean "emergency"?'),
        ('"fire emergency"', '"rise emergency>info"', "rise from emergency to info is none: the worse one stands"),
        ('t = "5s"', 't = "5x"', '9: t: not a time of the case: write "15s"'),
        ('t = "5s"', 't = "5s..2s"', "9: t: ends before it begins"),
        ("0*5 5*20", "0*5 5x20", '7: details.twap/USDT: at sign 5, "5x20": is no value'),
        ('rule = "repayment" }', 'rule = "repaiment" }', '10: rule: no rule "repaiment"; did you mean "repayment"?'),
        ('t = "55s"', 't = "55s", receivers = "fone"', '10: no receiver "fone"; did you mean "phone"?'),
        ("../rules.toml", "../rule.toml", "rule.toml: not found"),
        ("expect = [", 'do = [{ t = "2m", kill = true }]\nexpect = [', "8: t: the case is over after 65 s"),
        ("expect = [", 'do = [{ t = "2s" }]\nexpect = [', "8: do: one thing at a time: kill, reload, ack, silence"),
        (
            "expect = [",
            'do = [{ t = "2s", kill = true, for = "3s" }]\nexpect = [',
            "8: do: for goes with ack and silence",
        ),
        ("expect = [", 'do = [{ t = "2s", reload = "x.toml" }]\nexpect = [', "8: reload: there is no file"),
        ("expect = [", 'account = "man"\nexpect = [', '8: no account "man"; did you mean "main"?'),
        ("expect = [", 'receiver.fone = "ok"\nexpect = [', '8: no receiver "fone"; did you mean "phone"?'),
        ("expect = [", 'receiver.phone = "nok"\nexpect = [', '8: phone: at sign 1, "nok": write ok, ok(3s)'),
        ("expect = [", 'scenario = "crush"\nexpect = [', "8: scenario: No such file or directory; shipped are"),
        ("[suite]", '[suite]\nrules = ["repaiment"]', '3: no rule "repaiment"; did you mean "repayment"?'),
        ("[suite]", '[suite]\nrequire = ["fires"]', "3: require: unknown value; did you mean"),
        ("feed.", "feeed.", 'unknown key "feeed"; did you mean "feed"?'),
        ('feed."details.twap/USDT" = "0*5 5*20 0*40"', "", 'nothing happens: give feed."FIELD" = "…"'),
        ("0*5 5*20", "@none.jsonl#12:00..12:20 5*20", "can't read"),
        ('feed."details.twap/USDT" = "0*5 5*20 0*40"', "feed = 3", "7: feed: write"),
        ('"0*5 5*20 0*40"', "3", '7: details.twap/USDT: write a text in "quotes"'),
        ("[[cases]]", "[cases]", "cases: write [[cases]] and its keys below it"),
        ("[suite]", "x = 1\n[suite]", '2: unknown key "x"; known are suite, cases'),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write(desk: Path, old: str, new: str, told: str) -> None:
    assert old in WEAK
    write(desk, WEAK.replace(old, new, 1))
    result = run(desk)

    assert result.exit_code == 2, result.output
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_usage_is_told(desk: Path) -> None:
    for words, why in (
        (["--quick", "--mutants", "90%"], "leave --quick out"),
        (["--mutants", "many"], "write a share: 90%"),
        (["--mutants", "900%"], "write a share: 90%"),
        (["--require", "fire,fell"], "no class 'fell'"),
        (["--kill", "some"], "is not 'each'"),
    ):
        result = run(desk, *words)
        assert (result.exit_code, why in result.stderr) == (2, True), result.stderr


def test_a_report_that_can_not_be_written_is_told(desk: Path) -> None:
    result = run(desk, "--quick", "--junit", desk / "no/such/folder.xml")

    assert (result.exit_code, "No such file or directory" in result.stderr) == (2, True)


def test_a_broken_plugin_is_a_warning(desk: Path) -> None:
    (desk / "own").mkdir(mode=0o700)
    (desk / "own/bad.py").write_text("import nothing_of_that_name\n")
    (desk / "rules.toml").write_text('plugins = ["own"]\n' + RULES)
    result = run(desk)

    assert result.exit_code == 1  # it is told to the receivers as well
    assert f"warning: {desk}/own/bad.py" in result.stderr
    assert "phone: fire warning (health plugin bad)" in result.stdout


def test_no_case_at_all_is_told(desk: Path) -> None:
    result = CliRunner().invoke(main, ["test", "-c", str(desk / "rules.toml")])

    assert result.exit_code == 2
    assert "there is no case: write [[cases]] beside the rules" in result.stderr


# ---------------------------------------------------------------- --update

COURSE = 'feed."details.twap/USDT" = "0*5 2*5 5*20 0*40"\n'
TABLES = f"""
[suite]
config = "../rules.toml"

# the first
[[cases]]
name = "in tables"  # of its own
{COURSE}
# it opens
[[cases.expect]]
t = "5s"
receivers = "phone"
event = "fire"

# it climbs
[[cases.expect]]
t = "11s"
event = "rise"

# never
[[cases.never]]
event = "still"

[[cases]]
name = "on one line"
{COURSE}expect = [{{ t = "5s", receivers = "phone", event = "fire" }}]  # more?

[[cases]]
name = "on many lines"
{COURSE}expect = [
  # it opens
  {{ t = "5s", event = "fire", text = ["level 2"], receivers = "phone" }}, # so early
  {{ t = "9s", event = "rise" }},
  # it is over
  {{ t = "1m", event = "resolve" }}
]
"""
CAME = (
    '  { t = "10s", receivers = ["mail"], event = "fire emergency", rule = "repayment", subject = "USDT" },\n'
    '  { t = "10s", receivers = ["phone"], event = "rise info>emergency", rule = "repayment", subject = "USDT" },\n'
)
OVER = '  { t = "1m", event = "resolve emergency", rule = "repayment", subject = "USDT" },\n'
FIRE = '  { t = "5s", receivers = "phone", event = "fire" },\n'
UPDATED = f"""
[suite]
config = "../rules.toml"

# the first
[[cases]]
name = "in tables"  # of its own
{COURSE}expect = [
{FIRE}{CAME}{OVER}]

# it opens

# it climbs

# never
[[cases.never]]
event = "still"

[[cases]]
name = "on one line"
{COURSE}expect = [
{FIRE}{CAME}{OVER}]  # more?

[[cases]]
name = "on many lines"
{COURSE}expect = [
  # it opens
  {{ t = "5s", event = "fire", text = ["level 2"], receivers = "phone" }}, # so early
{CAME}  # it is over
  {{ t = "1m", event = "resolve" }},
]
"""


def test_update_writes_what_came_and_leaves_the_rest_as_it_is(desk: Path) -> None:
    write(desk, TABLES)
    result = run(desk, "--quick", "--update")

    assert result.exit_code == 0, result.output
    assert (desk / "tests/twap.toml").read_text() == UPDATED
    assert f"--- {desk}/tests/twap.toml\n+++ {desk}/tests/twap.toml\n@@" in result.stdout
    assert "3 cases of" in result.stdout


def test_update_changes_nothing_where_all_is_as_expected(desk: Path) -> None:
    result = run(desk, "--quick", "--update")

    assert (result.exit_code, "---" in result.stdout) == (0, False)
    assert (desk / "tests/twap.toml").read_text() == STRONG


def test_update_takes_away_what_never_comes(desk: Path) -> None:
    write(desk, WEAK.replace("5*20", "0*20"))

    assert run(desk, "--quick", "--update").exit_code == 0
    assert (desk / "tests/twap.toml").read_text().endswith('"0*5 0*20 0*40"\nexpect = [\n]\n')


def test_what_must_never_come_is_not_written_down(desk: Path) -> None:
    never = '\n[[cases.never]]\nevent = "resolve"\n'
    write(desk, WEAK + never)
    result = run(desk, "--quick", "--update")

    assert result.exit_code == 1
    assert "never resolve, but at 55s: phone: resolve emergency (repayment USDT)" in result.stdout
    assert (desk / "tests/twap.toml").read_text() == WEAK + never


def test_update_is_for_people(desk: Path) -> None:
    result = run(desk, "--json", "--update")

    assert (result.exit_code, "leave --json out" in result.stderr) == (2, True)
