"""The log of `riskbot run`: for people, for the journal, for machines; at the edge, and without a secret."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from riskbot.cli import logs
from riskbot.model import Cause, Event, Severity
from riskbot.redact import Redactor
from riskbot.service.logbook import MOST_REASONS, About, Edge, changed
from riskbot.source import SourceError
from tests.desk import Desk
from tests.stage import KEYS, Account, Program, exchange, phone, until, write_rules

SECRET = "hunter2/hunter2"
REDACTOR = Redactor([SECRET])


def line(form: str, level: int, words: str, *, journal: bool = False, error: Exception | None = None) -> str:
    """One line as it is written."""
    info = (type(error), error, None) if error else None
    record = logging.LogRecord("riskbot", level, __file__, 1, words, None, info)
    return logs.formatter(REDACTOR, form, journal=journal).format(record)


def test_a_line_for_people_has_its_time_and_its_level() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO watching", line("text", logging.INFO, "watching"))


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_the_journal_is_told_how_bad_a_line_is_and_adds_the_time_itself(level: int, priority: int) -> None:
    assert line("text", level, "told", journal=True) == f"<{priority}>{logging.getLevelName(level)} told"


def test_each_line_of_a_traceback_has_its_priority() -> None:
    lines = line("text", logging.ERROR, "it broke", journal=True, error=ValueError("a\nb")).split("\n")
    assert len(lines) == 3
    assert all(each.startswith("<3>") for each in lines)


def test_json_is_one_object_a_line_with_the_time_in_utc() -> None:
    said = line("json", logging.WARNING, "two\nlines")
    assert "\n" not in said
    found = json.loads(said)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.pop("time"))
    assert found == {"level": "warning", "logger": "riskbot", "message": "two\nlines"}


def test_json_for_the_journal_has_a_priority_too() -> None:
    said = line("json", logging.ERROR, "it broke", journal=True)
    assert said[:3] == "<3>"
    assert json.loads(said[3:])["message"] == "it broke"


@pytest.mark.parametrize("form", logs.FORMS)
def test_no_line_holds_a_secret_its_traceback_included(form: str) -> None:
    quoted = SECRET.replace("/", "%2F")
    said = line(form, logging.ERROR, f"asked https://host/{quoted}", error=ValueError(SECRET))
    assert "hunter2" not in said
    assert said.count("***") == 2


def test_the_journal_is_known_by_its_file_not_by_the_variable_alone(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        mine = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert logs.is_the_journal(file.fileno(), mine)
        assert not logs.is_the_journal(file.fileno(), {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"})
        assert not logs.is_the_journal(file.fileno(), {})


def test_a_line_about_an_account_says_so_to_people_and_to_machines(caplog: pytest.LogCaptureFixture) -> None:
    About("50% mine").error("%d polls failed", 3)
    assert caplog.messages == ["50% mine: 3 polls failed"]
    said = json.loads(logs.formatter(REDACTOR, "json", journal=False).format(caplog.records[0]))
    assert (said["account"], said["level"]) == ("50% mine", "error")


# At the edge.


class Book:
    """What an edge has written, by level."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG, "riskbot")

    def lines(self, least: int = logging.INFO) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.levelno >= least]


@pytest.fixture
def book(caplog: pytest.LogCaptureFixture) -> Book:
    return Book(caplog)


def test_what_fails_all_the_time_is_a_line_for_each_reason(book: Book) -> None:
    edge = Edge(logging.getLogger("riskbot"), "can't see", "seen again")
    for why in ("HTTP 502", "HTTP 502", "no answer", "HTTP 502", "no answer"):
        edge.fails(why)
    edge.works(10)
    edge.works(11)
    edge.fails("HTTP 502")
    first = ["can't see: HTTP 502", "can't see: no answer"]
    assert book.lines() == [*first, "seen again; failures: 5", "can't see: HTTP 502"]
    assert len(book.lines(logging.DEBUG)) == 7


def test_reasons_with_a_number_in_them_fill_no_log(book: Book) -> None:
    edge = Edge(logging.getLogger("riskbot"), "can't see", "seen again")
    for number in range(100):
        edge.fails(f"{number} s late")
    assert len(book.lines()) == MOST_REASONS


def test_what_fails_every_other_time_is_one_failing(book: Book) -> None:
    edge = Edge(logging.getLogger("riskbot"), "can't see", "seen again", calm=10)
    for now in range(0, 60, 2):
        edge.fails("HTTP 502")
        edge.works(now)
    assert book.lines() == ["can't see: HTTP 502"]
    edge.works(68)
    assert book.lines() == ["can't see: HTTP 502", "seen again; failures: 30"]


async def test_polls_that_fail_are_logged_once_and_that_they_work_again(book: Book) -> None:
    desk = await Desk().load()
    await desk.poll()
    for failing in (True, True, True, False, True, False, False, True):
        desk.market.error = SourceError("HTTP 502") if failing else None
        await desk.poll()
    desk.market.error = None
    for _ in range(12):
        await desk.poll()
    blind = [line for line in book.lines() if "see" in line]
    assert blind == ["main: can't see the account: HTTP 502", "main: seen again; failures: 5"]


async def test_a_watch_that_stumbles_at_each_poll_shows_its_traceback_once(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    desk = await Desk().load()
    desk.market.error = ZeroDivisionError()
    for _ in range(5):
        await desk.poll()
    assert [line for line in book.lines() if "stumbled" in line] == ["main: the watch stumbled: ZeroDivisionError"]
    assert next(r for r in caplog.records if "stumbled" in r.getMessage()).exc_info
    desk.market.error = None
    for _ in range(12):
        await desk.poll()
    assert book.lines()[-1] == "main: the watch goes on; failures: 5"


def event(account: str, after: Severity, value: str | None = "1.42") -> Event:
    from decimal import Decimal  # noqa: PLC0415 - here only

    number = None if value is None else Decimal(value)
    subject, note = ("delivery to phone", "HTTP 500") if account == "riskbot" else ("", "")
    cause = Cause.BREACH
    return Event(account, "margin ratio", subject, 1, 1, Severity.WARNING, after, after, 5.0, 1.0, cause, number, note)


@pytest.mark.parametrize(
    ("account", "after", "value", "level", "said"),
    [
        ("main", Severity.CRITICAL, "1.42", logging.CRITICAL, "main: margin ratio 1.42: warning → critical"),
        ("main", Severity.INFO, "8", logging.INFO, "main: margin ratio 8: warning → info"),
        ("main", Severity.OK, None, logging.INFO, "main: margin ratio: warning → ok"),
        (
            "riskbot",
            Severity.EMERGENCY,
            "4",
            logging.CRITICAL,
            "riskbot: delivery to phone: warning → emergency (HTTP 500)",
        ),
    ],
)
def test_each_change_of_an_alert_is_a_line_as_bad_as_it_is(
    account: str, after: Severity, value: str | None, level: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "riskbot")
    changed(event(account, after, value))
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(level, said)]


# The built program.


async def test_the_program_logs_json_and_nothing_else(tmp_path: Path) -> None:
    async with exchange(Account(ratio="2")) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        program = Program(rules, options=["--log-format", "json", "--log-level", "debug"])
        program.start()
        await mine.waits_for("CRITICAL · main · margin ratio")
        await until(lambda: program.says("told phone"))
        rules.write_text("[[accounts")
        program.signal(signal.SIGHUP)
        await mine.waits_for("rules.toml can't be used")
        assert await program.stop() == 0
    said = [json.loads(each) for each in program.log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= each.keys() for each in said)
    assert {"account": "main", "level": "critical", "message": "main: margin ratio 2: ok → critical"}.items() <= next(
        each for each in said if "margin ratio 2" in each["message"]
    ).items()
    assert any(each["level"] == "error" and "not valid TOML" in each["message"] for each in said)


async def test_the_journal_gets_priorities_and_no_second_time(tmp_path: Path) -> None:
    async with exchange(Account(ratio="2")) as market, phone() as mine:
        rules = write_rules(tmp_path, market.url, {"phone": {"url": mine.url}})
        log = tmp_path / "riskbot.log"
        log.touch()
        program = Program(rules, JOURNAL_STREAM=f"{log.stat().st_dev}:{log.stat().st_ino}")
        program.start()
        await mine.waits_for("CRITICAL · main · margin ratio")
        assert await program.stop() == 0
    said = log.read_text().splitlines()
    assert "<6>INFO stopped" in said
    assert "<2>CRITICAL main: margin ratio 2: ok → critical" in said
    assert all(re.match(r"<[2-7]>[A-Z]+ ", each) for each in said)


BREAKS = """
import threading
from riskbot.service import Service
from tests.stage import KEYS
class Leak:
    def __del__(self):
        raise OSError(KEYS["passphrase"])
def leak():
    raise ValueError(KEYS["api_key"])
async def run(*_):
    thread = threading.Thread(target=leak)
    thread.start()
    thread.join()
    Leak()
    import logging, warnings
    warnings.warn("old " + KEYS["api_secret"])
    logging.getLogger("riskbot").info("%d", KEYS["api_secret"])
    logging.getLogger("a.plugin").error("key %s", KEYS["api_key"])
    raise RuntimeError(KEYS["api_secret"])
Service.run = run
"""


@pytest.mark.parametrize("form", logs.FORMS)
async def test_whatever_breaks_in_the_program_is_told_without_a_secret(tmp_path: Path, form: str) -> None:
    rules = write_rules(tmp_path, "http://127.0.0.1:1", {"phone": {"url": "json://127.0.0.1:1"}})
    program = Program(rules, BREAKS, ["--log-format", form], PYTHONPATH=os.pathsep.join([str(Path.cwd()), *sys.path]))
    program.start()
    assert program.process
    await until(lambda: program.process and program.process.poll() is not None)
    assert program.process.returncode == 1
    log = program.log.read_text()
    for word in (
        "ValueError",
        "OSError",
        "UserWarning",
        "a line of riskbot can't be logged (TypeError)",
        "RuntimeError",
    ):
        assert word in log
    assert "key ***" in log
    for secret in KEYS.values():
        assert secret not in log


async def test_debug_shows_every_poll_that_fails(tmp_path: Path) -> None:
    rules = write_rules(tmp_path, "http://127.0.0.1:1", {"phone": {"url": "json://127.0.0.1:1"}})
    program = Program(rules, options=["--log-level", "debug"])
    program.start()
    await until(lambda: program.says("DEBUG main: can't see the account") > 2)
    assert await program.stop() == 0
    assert program.says("WARNING main: can't see the account") == 1
