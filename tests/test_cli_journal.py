"""riskbot journal: how much there is, out of it, into it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from riskbot.cli import main
from riskbot.cli.progress import steps
from riskbot.model import Observation
from riskbot.recording import BadRecording, Look, decode
from riskbot.replay import exporting, importing
from riskbot.snapshot import Snapshot
from riskbot.store import archive
from riskbot.store import sqlite_recording as recording
from riskbot.store.sqlite import SqliteStore
from riskbot.store.visit import visit
from riskbot.verify import Verdict, verify_stored
from tests.desk import KINDS
from tests.lives import crashed

T = 1_700_000_000_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a crash of the account `main`."""
    return asyncio.run(crashed(tmp_path_factory.mktemp("journal") / "riskbot.db"))


@pytest.fixture
def folder(tmp_path: Path, recorded: Path) -> Path:
    """A folder with a rules file, of which only [store] counts, and that database."""
    shutil.copy(recorded, tmp_path / "riskbot.db")
    (tmp_path / "rules.toml").write_text('[store]\npath = "riskbot.db"\n[[accounts]]\nname = 3\n')
    return tmp_path


def journal(folder: Path, *words: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, ["journal", *words], env={"COLUMNS": "120", "STATE_DIRECTORY": ""})


def told(result: Result) -> str:
    """What it said as it failed."""
    assert result.exit_code == 1, result.output
    return result.stderr.strip()


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def looks(path: Path, account: str = "main") -> list[Look]:
    batches = archive.batches(path, archive.segments(path, account))
    return [entry for entry in decode(batches) if isinstance(entry, Look)]


def put(path: Path, *found: dict[str, Any] | str) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in found))
    return path


def reply(t: int, ratio: str = "12") -> dict[str, Any]:
    return {"t": t, "body": {"mgnRatio": ratio, "adjEq": "5", "details": [{"ccy": "USDT", "eq": "1", "twap": ""}]}}


# How much it is.


def test_the_size_is_shown_for_each_account(folder: Path) -> None:
    bring = put(folder / "a.jsonl", *(reply(T + 1000 * i) for i in range(100)))
    assert journal(folder, "import", str(bring), "--account", "spare").exit_code == 0

    result = journal(folder, "size")

    head, first, second, last = (line.split() for line in result.stdout.splitlines())
    assert head == ["account", "from", "span", "looks", "size", "a", "look", "a", "day"]
    assert first[:9] == ["main", "14", "Nov", "22:13", "1", "h", "10", "min", "84"]
    assert second[0] == "spare"
    assert last[:2] == ["In", "all"]


def test_the_size_for_machines(folder: Path) -> None:
    (row,) = json.loads(journal(folder, "size", "--json").stdout)

    assert row["account"] == "main"
    assert row["looks"] == 84
    assert row["to"] - row["from"] == pytest.approx(4231, abs=40)
    assert row["segments"] == len(archive.segments(folder / "riskbot.db"))
    assert row["bytes"] == sum(s.bytes for s in archive.segments(folder / "riskbot.db"))
    assert row["bytes_per_look"] == round(row["bytes"] / 84, 1)


async def test_nothing_recorded_is_said(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("")
    assert "riskbot.db: not there yet" in told(journal(tmp_path, "size"))

    await (await SqliteStore.open(tmp_path / "riskbot.db")).close()

    assert journal(tmp_path, "size").stdout == "Nothing was recorded yet.\n"
    assert journal(tmp_path, "size", "--json").stdout == "[]\n"
    assert told(journal(tmp_path, "export")).endswith("riskbot.db: nothing was recorded yet")


# Out of it.


def test_what_was_seen_is_written_as_lines_of_replies(folder: Path) -> None:
    found = lines(journal(folder, "export"))

    bodies = [line["body"] for line in found if "body" in line]
    assert len(bodies) == 84
    assert bodies == [look.seen.snapshot.raw for look in looks(folder / "riskbot.db") if look.seen.snapshot]
    assert found[0]["config"] == {
        "uid": "77", "acctLv": "3", "label": "", "perm": "read_only", "ip": "", "mainUid": "",
    }  # fmt: skip
    assert found[1]["t"] == T + 2000
    assert [line["t"] for line in found] == sorted(line["t"] for line in found)


def test_only_a_part_of_it_can_be_written(folder: Path) -> None:
    found = lines(journal(folder, "export", "main", "--from", "2023-11-14T22:16:40", "--to", "2023-11-14T22:26:40"))

    bodies = [line["t"] for line in found if "body" in line]
    assert (min(bodies), max(bodies)) == (T + 208_300, T + 748_300)
    assert "nothing was recorded of account 'main' in that time" in told(
        journal(folder, "export", "--from", "2026-01-01")
    )
    assert journal(folder, "export", "--from", "noon").exit_code == 2


def test_a_file_is_packed_by_its_name_and_nobody_else_may_read_it(folder: Path) -> None:
    assert journal(folder, "export", "-o", "plain.jsonl").exit_code == 0
    assert journal(folder, "export", "-o", "packed.jsonl.gz").exit_code == 0

    plain, packed = folder / "plain.jsonl", folder / "packed.jsonl.gz"
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert packed.stat().st_size < plain.stat().st_size / 5
    assert plain.stat().st_mode & 0o077 == packed.stat().st_mode & 0o077 == 0


def test_an_account_must_be_named_if_there_are_several(folder: Path) -> None:
    bring = put(folder / "a.jsonl", reply(T))
    journal(folder, "import", str(bring), "--account", "spare")

    assert "name the account: main, spare" in journal(folder, "export").stderr
    assert len(lines(journal(folder, "export", "spare"))) == 1
    wrong = journal(folder, "export", "mian")
    assert wrong.exit_code == 2
    assert "nothing was recorded of account 'mian'; did you mean \"main\"?" in wrong.stderr


def test_what_is_damaged_is_told_and_can_be_left_out(folder: Path) -> None:
    first, *_ = archive.segments(folder / "riskbot.db")
    with visit(folder / "riskbot.db", writing=True) as db:
        db.execute("UPDATE batches SET data = x'78010203' WHERE n = ?", (first.key * recording.MOST_BATCHES + 1,))

    why = "main: the recording from 2023-11-14 22:13:2"
    assert why in told(journal(folder, "export"))

    result = journal(folder, "export", "--skip-bad")
    assert f"left out: {why}" in result.stderr
    assert 60 < len(lines(result)) < 85
    with pytest.raises(BadRecording):
        looks(folder / "riskbot.db")


def test_an_output_that_cannot_be_written_is_told(folder: Path) -> None:
    assert told(journal(folder, "export", "-o", "nowhere/a.jsonl")) == "nowhere/a.jsonl: No such file or directory"


def test_a_look_at_nothing_is_no_line() -> None:
    assert list(exporting.plain([Look(Observation(1.0, None, None, None, 10.0))])) == []


def test_a_clock_that_was_set_back_stands_still() -> None:
    course = [Look(Observation(at, Snapshot({"details": []}, at), None, None, 10.0)) for at in (T / 1000, T / 1000 - 5)]

    assert [line["t"] for line in exporting.plain(course)] == [T, T]


def test_an_exact_export_of_a_part_has_the_alerts_of_that_part(folder: Path) -> None:
    found = lines(journal(folder, "export", "--exact", "--to", "2023-11-14T22:13:21"))

    assert [line["event"]["at"] for line in found if "event" in line] == [T / 1000 + at for at in (2, 4, 6)]


# Into it.


def test_a_file_of_replies_is_recorded_as_if_it_had_been_watched(folder: Path) -> None:
    course = [reply(T), reply(T + 1000, "2.5"), {"t": T + 2000, "error": "no answer"}, reply(T + 3000)]
    config = {"t": T, "config": {"uid": "7", "acctLv": "4", "perm": "read_only,trade", "ip": "1.2.3.4"}}
    result = journal(folder, "import", str(put(folder / "a.jsonl", config, *course)), "--account", "crash")

    assert result.stdout == "crash: 4 looks, 14 Nov 2023 22:13:20 to 14 Nov 2023 22:13:23 UTC.\n"
    found = [look.seen for look in looks(folder / "riskbot.db", "crash")]
    assert [(seen.at, seen.snapshot and seen.snapshot.raw) for seen in found] == [
        (line["t"] / 1000, line.get("body")) for line in course
    ]
    assert [seen.outage and seen.outage.why for seen in found] == [None, None, "no answer", None]
    assert {seen.info and seen.info.permissions for seen in found} == {("read_only", "trade")}
    verdict = verify_stored(folder / "riskbot.db", "crash", KINDS)
    assert verdict == Verdict(4, 0, ())
    assert [line for line in lines(journal(folder, "export", "crash")) if "config" not in line] == course


def test_what_was_exported_can_be_imported_and_exported_the_same(folder: Path) -> None:
    journal(folder, "export", "-o", "a.jsonl.gz")
    assert journal(folder, "import", "a.jsonl.gz", "--account", "copy").exit_code == 0

    assert lines(journal(folder, "export", "copy")) == lines(journal(folder, "export", "main"))


def test_an_exact_export_brings_back_the_very_same_journal(folder: Path) -> None:
    assert journal(folder, "export", "--exact", "-o", "exact.jsonl").exit_code == 0
    result = journal(folder, "import", "exact.jsonl", "--journal", "new.db")

    assert result.stdout == "main: 84 looks, 14 Nov 2023 22:13:20 to 14 Nov 2023 23:23:48 UTC.\n"
    both = [folder / "riskbot.db", folder / "new.db"]
    segments = [archive.segments(path) for path in both]
    batches = [list(archive.batches(path, found)) for path, found in zip(both, segments, strict=True)]
    assert batches[0] == batches[1]
    assert len({tuple(archive.kept(path)) for path in both}) == 1
    verdicts = [verify_stored(path, "main", KINDS) for path in both]
    assert verdicts[0] == verdicts[1] == Verdict(84, 4, ())


def test_what_is_of_an_earlier_time_is_read_before_what_there_is(folder: Path) -> None:
    spare = put(folder / "late.jsonl", *(reply(T + 1000 * i) for i in range(3)))
    early = put(folder / "early.jsonl", *(reply(T - 7_200_000 + 1000 * i) for i in range(5000)))
    later = put(folder / "later.jsonl", *(reply(T + 7_200_000 + 1000 * i) for i in range(3)))
    for file in (spare, early, later):
        assert journal(folder, "import", str(file), "--account", "spare").exit_code == 0

    found = [look.seen.at for look in looks(folder / "riskbot.db", "spare")]

    assert len(found) == 5006
    assert found == sorted(found)


@pytest.mark.parametrize("shift", [-3_900_000, -1000, 0, 4_200_000])
def test_nothing_is_brought_into_a_time_that_is_known(folder: Path, shift: int) -> None:
    course = [reply(T + 1000 * i) for i in range(4000)]
    journal(folder, "import", str(put(folder / "a.jsonl", *course[::100])), "--account", "spare")
    before = archive.segments(folder / "riskbot.db")
    journal(folder, "import", str(put(folder / "b.jsonl", *course)), "--account", "other")
    shifted = put(folder / "c.jsonl", *(reply(line["t"] + shift) for line in course))

    result = journal(folder, "import", str(shifted), "--account", "spare")

    if shift == 4_200_000:
        assert result.exit_code == 0
        return
    assert told(result) == "the journal has something of spare in that time already"
    assert [s for s in archive.segments(folder / "riskbot.db") if s.account != "other"] == before


def test_a_wrong_line_ends_it_with_its_number_and_nothing_is_brought_in(folder: Path) -> None:
    course = [reply(T + 1000 * i) for i in range(3000)]
    bad = put(folder / "bad.jsonl", *course[:2500], '{"t": 5}', "junk", *course[2500:])

    why = told(journal(folder, "import", str(bad), "--account", "crash"))

    assert why.startswith('bad.jsonl:2501: "t" is 5')
    assert "--skip-bad leaves out what can't be read." in why
    assert archive.segments(folder / "riskbot.db", "crash") == []

    result = journal(folder, "import", str(bad), "--account", "crash", "--skip-bad")
    assert result.exit_code == 0
    assert result.stderr.count("left out: bad.jsonl:250") == 2
    assert len(looks(folder / "riskbot.db", "crash")) == 3000


def test_very_many_wrong_lines_are_counted(folder: Path) -> None:
    bad = put(folder / "bad.jsonl", reply(T), *(["junk"] * 9))

    result = journal(folder, "import", str(bad), "--account", "crash", "--skip-bad")

    assert result.stderr.count("left out: bad.jsonl:") == 5
    assert "left out: 9 parts in all" in result.stderr


EXACT = [
    ("{", "not a JSON object"),
    ('{"strange": 1}', "a line of an exact export is one of batch, bundle, event"),
    ('{"batch": {"segment": "s", "data": "!"}}', "damaged: "),
    ('{"batch": {"segment": "s", "data": "eAECAw=="}}', "damaged: "),
    ('{"batch": {"segment": "s", "data": "AZA="}}', "damaged: Object missing required field"),
    ('{"bundle": {"since": 1}}', "damaged: Object missing required field"),
    ('{"event": {"rule": 3}}', "damaged: "),
]


@pytest.mark.parametrize(("line", "why"), EXACT, ids=[why for _, why in EXACT])
def test_a_wrong_line_of_an_exact_export_is_told_with_its_number(folder: Path, line: str, why: str) -> None:
    good = journal(folder, "export", "--exact").stdout.splitlines()
    put(folder / "bad.jsonl", *good[:4], line, *good[4:])

    assert f"bad.jsonl:5: {why}" in told(journal(folder, "import", "bad.jsonl", "--journal", "new.db"))
    assert archive.segments(folder / "new.db") == []
    assert archive.kept(folder / "new.db") == []
    assert archive.events(folder / "new.db", "main", 0.0) == []

    assert journal(folder, "import", "bad.jsonl", "--journal", "new.db", "--skip-bad").exit_code == 0
    assert verify_stored(folder / "new.db", "main", KINDS) == Verdict(84, 4, ())


def test_a_long_exact_export_is_brought_in_part_by_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 7)
    journal(folder, "export", "--exact", "-o", "exact.jsonl.gz")

    assert journal(folder, "import", "exact.jsonl.gz", "--journal", "new.db").exit_code == 0
    assert verify_stored(folder / "new.db", "main", KINDS) == Verdict(84, 4, ())


def test_progress_is_shown_on_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with steps("march.jsonl", 2.0) as advance:
        advance(1.0)
    assert "march.jsonl" in screen.getvalue()
    assert "50%" in screen.getvalue()

    screen.terminal, before = False, screen.getvalue()
    with steps("march.jsonl", 2.0) as advance:
        advance(1.0)
    assert screen.getvalue() == before


class Screen(io.StringIO):
    terminal = True

    def isatty(self) -> bool:
        return self.terminal


def test_an_exact_export_that_is_cut_off_is_told(folder: Path) -> None:
    (folder / "cut.jsonl").write_bytes(journal(folder, "export", "--exact").stdout_bytes[:5000])

    assert "not a JSON object: the line is cut off" in told(
        journal(folder, "import", "cut.jsonl", "--journal", "new.db")
    )


@pytest.mark.parametrize(
    ("lines", "words", "why"),
    [
        ([reply(T)], [], "give --account"),
        (['{"recording": 1, "account": "main"}'], ["--account", "other"], "this is an exact export of account 'main'"),
    ],
)
def test_whose_it_is_must_be_clear(folder: Path, lines: list[Any], words: list[str], why: str) -> None:
    result = journal(folder, "import", str(put(folder / "a.jsonl", *lines)), *words)

    assert result.exit_code == 2
    assert why in result.stderr


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "a.jsonl: there is nothing in it that could be brought in"),
        (["", ""], "a.jsonl: there is nothing in it that could be brought in"),
        (['{"recording": 1, "account": "main"}'], "a.jsonl: there is nothing in it that could be brought in"),
        (['{"recording": 9, "account": "main"}'], "a.jsonl:1: a newer riskbot has written it, or it is no export"),
        (["junk"], "a.jsonl:1: not JSON"),
    ],
)
def test_what_has_nothing_in_it_is_told(folder: Path, lines: list[str], why: str) -> None:
    words = [] if lines and "recording" in lines[0] else ["--account", "crash"]

    assert why in told(journal(folder, "import", str(put(folder / "a.jsonl", *lines)), *words))


def test_a_failing_disk_takes_nothing_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    calls = [0]

    def record(*args: Any) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise OSError(28, "No space left on device", "riskbot.db")
        plain(*args)

    plain = recording.record
    monkeypatch.setattr(recording, "record", record)
    bring = put(folder / "a.jsonl", *(reply(T + 1000 * i) for i in range(100)))

    assert "No space left" in told(journal(folder, "import", str(bring), "--account", "crash"))
    assert archive.segments(folder / "riskbot.db", "crash") == []


def test_the_built_program_passes_lines_on_and_ends_quietly_where_nobody_reads(folder: Path) -> None:
    program = str(Path(sys.executable).with_name("riskbot"))
    export = subprocess.run([program, "journal", "export"], cwd=folder, capture_output=True, check=True)
    assert len([line for line in export.stdout.splitlines() if "body" in orjson.loads(line)]) == 84

    reader = subprocess.Popen(
        [program, "journal", "export"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert reader.stdout is not None
    assert reader.stderr is not None
    reader.stdout.close()
    assert b"Traceback" not in reader.stderr.read()
    reader.stderr.close()
    assert reader.wait(20) == 1
