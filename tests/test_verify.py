"""What was recorded, judged again, gives what was committed, byte for byte: whatever happened or was killed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from riskbot.history import Point
from riskbot.model import Alerts, Cause, Observation
from riskbot.recording import Again, Checkpoint, Drained, Entry, Look, Started, Taken
from riskbot.service import recorder as recorder_module
from riskbot.service.journal import DAY, KEEP_PAST
from riskbot.snapshot import Snapshot
from riskbot.store import archive
from riskbot.store import sqlite_recording as recording
from riskbot.store.visit import visit
from riskbot.verify import Rerun, Verdict, verify, verify_stored
from tests.desk import DEBT, KINDS, RATIO
from tests.lives import Life, crashed


@pytest.mark.parametrize("seed", range(5))
async def test_ten_kills_later_the_recording_gives_the_same_events_byte_for_byte(tmp_path: Path, seed: int) -> None:
    life = Life(tmp_path / "riskbot.db", seed)
    await life.run(steps=400, kills=10)

    verdict = verify_stored(life.path, "main", KINDS)

    assert life.kills == 10
    assert verdict == Verdict(verdict.looks, verdict.events, ())
    assert verdict.exact
    assert verdict.looks > 200
    events = archive.events(life.path, "main", 0.0)
    assert verdict.events == len(events) > 20
    assert {event.rule for event in events} >= {"margin_ratio", "change", "equity"}


# What is found where it is not the same.


@pytest.fixture
async def crash(tmp_path: Path) -> Path:
    return await crashed(tmp_path / "riskbot.db")


def change(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(sql).rowcount > 0
        db.commit()


async def test_a_crash_is_judged_the_same_and_progress_is_told(crash: Path) -> None:
    told = list[int]()

    verdict = verify_stored(crash, "main", KINDS, told.append)

    assert (verdict.looks, verdict.events, verdict.exact) == (84, 4, True)
    assert sum(told) == 84
    assert len(told) == 4
    assert verify_stored(crash, "nobody", KINDS) == Verdict(0, 0, ())


@pytest.mark.parametrize(
    ("sql", "recorded", "replayed"),
    [
        ("DELETE FROM events WHERE seq = 2", False, True),
        (
            """INSERT INTO events SELECT at, account, rule, subject, episode, 9, replace(event, '"seq":2', '"seq":9')
            FROM events WHERE seq = 2""",
            True,
            False,
        ),
        ("""UPDATE events SET event = replace(event, '"value":"2.5"', '"value":"2.6"') WHERE seq = 2""", True, True),
    ],
)  # fmt: skip
async def test_an_event_that_is_not_the_same_is_shown_as_it_was_and_as_it_is(
    crash: Path, sql: str, recorded: bool, replayed: bool
) -> None:
    change(crash, sql)

    verdict = verify_stored(crash, "main", KINDS)

    assert not verdict.exact
    (difference,) = verdict.differences
    assert [bool(difference.recorded), bool(difference.replayed)] == [recorded, replayed]
    assert '"rule":"margin_ratio"' in difference.recorded + difference.replayed
    assert not difference.doubtful


async def test_other_rules_than_those_that_judged_are_found_out(crash: Path) -> None:
    change(crash, """UPDATE bundles SET bundle = replace(bundle, '"critical":"3"', '"critical":"2"')""")

    verdict = verify_stored(crash, "main", KINDS)

    assert verdict.differences
    assert verdict.strayed, "the checkpoints know it too"
    assert not verdict.exact


async def test_where_the_beginning_is_forgotten_the_rest_is_judged_from_its_checkpoint_on(crash: Path) -> None:
    first, second, *_ = archive.segments(crash, "main")
    with visit(crash, writing=True) as db:
        recording.forget(db, first.key)
        recording.forget(db, second.key)

    verdict = verify_stored(crash, "main", KINDS)

    assert (verdict.looks, verdict.events, verdict.differences) == (41, 0, ())
    assert verdict.exact


async def test_a_configuration_that_is_gone_is_told_of(crash: Path) -> None:
    change(crash, "DELETE FROM bundles")

    with pytest.raises(ValueError, match=r"the configuration [0-9a-f]{16} is not remembered any more"):
        verify_stored(crash, "main", KINDS)


@pytest.mark.parametrize("seed", range(3))
async def test_in_the_midst_of_a_life_only_what_hangs_on_older_windows_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(recorder_module, "SEGMENT", 45.0)
    life = Life(tmp_path / "riskbot.db", seed)
    await life.run(steps=400, kills=2)
    segments = archive.segments(life.path, "main")
    assert len(segments) > 12
    assert verify_stored(life.path, "main", KINDS).differences == ()

    with visit(life.path, writing=True) as db:
        for segment in segments[: len(segments) // 4]:
            recording.forget(db, segment.key)
    verdict = verify_stored(life.path, "main", KINDS)

    assert verdict.exact
    assert verdict.events > 10


# One step after the other.


def lately(at: float, ratio: str = "12", liab: str = "0") -> Look:
    row = {"ccy": "USDT", "eq": "1000", "eqUsd": "1000", "liab": liab, "mgnRatio": ""}
    return Look(Observation(at, Snapshot({"mgnRatio": ratio, "details": [row]}, at), None, None, 10.0))


def rerun(*entries: Entry, before: tuple[Point, ...] = ()) -> tuple[list[str], Rerun]:
    """What came of it, as `rule 2`, and the rerun."""
    found = Rerun("main", lambda _: [RATIO, DEBT], before)
    for entry in entries:
        found.play(entry)
    return [f"{event.rule} {event.after:d} at {event.at:g}" for event in found.events], found


def test_no_entries_are_nothing_to_be_wrong_about() -> None:
    assert verify("main", [], lambda _: [], []) == Verdict(0, 0, ())


def test_what_another_owner_had_written_is_taken_up_and_the_last_reply_judged_once_more() -> None:
    blind = Observation(3.0, None, None, None, 10.0)
    theirs = Alerts(seen=2.0)

    told, found = rerun(
        Started(0.0, Alerts(), 0.0, "b"), lately(1.0, "2.5"), Taken(2.0, theirs), Again(blind), lately(4.0, "2.5")
    )

    assert told == ["margin_ratio 3 at 1", "margin_ratio 3 at 1"], "the second is theirs to tell"
    assert found.looks == 2


def test_windows_are_filled_from_what_was_written_down_before() -> None:
    started = Started(100.0, Alerts(), 99.0, "b")
    before = (Point("details.liab", "USDT", 50.0, "100"),)

    told, found = rerun(started, lately(101.0, liab="150"), before=before)
    assert told == ["change 2 at 101"]
    assert found.sure_from == 0.0

    told, found = rerun(started, lately(101.0, liab="150"))
    assert told == []
    assert found.sure_from == 100.0 + 3600.0, "nobody knows what was in them"


def test_a_start_of_an_account_that_is_not_in_the_file_ends_what_it_had() -> None:
    found = Rerun("main", lambda bundle: [RATIO] if bundle == "b" else [])
    for entry in (Started(0.0, Alerts(), 0.0, "b"), lately(1.0, "2.5")):
        found.play(entry)
    found.play(Started(9.0, found.alerts, 1.0, "without it"))

    assert [(event.after, event.cause) for event in found.events[1:]] == [(0, Cause.RULE_REMOVED)]


def test_a_long_past_is_forgotten_as_the_watch_forgets_it() -> None:
    days = [
        entry for day in range(20) for entry in (lately(day * DAY, liab=str(day + 1)), Drained(day * DAY, day * DAY))
    ]

    _, found = rerun(Started(0.0, Alerts(), 0.0, "b"), *days)

    assert len(list(found.points)) == KEEP_PAST / DAY + 2
    assert DAY == 86400.0


def test_a_checkpoint_before_any_reply_is_where_to_begin() -> None:
    told, found = rerun(Checkpoint(5.0, Alerts(), "b", None, resumes=True), lately(6.0, "2.5"))

    assert told == ["margin_ratio 3 at 6"]
    assert found.sure_from == 5.0 + 3600.0


def test_a_checkpoint_that_knows_it_otherwise_is_told_and_believed() -> None:
    course = Started(0.0, Alerts(), 0.0, "b"), lately(1.0, "2.5"), Checkpoint(2.0, Alerts(seen=1.0), "b", None)

    told, found = rerun(*course, lately(3.0, "2.5"))

    assert found.strayed == [2.0]
    assert told == ["margin_ratio 3 at 1", "margin_ratio 3 at 3"]
