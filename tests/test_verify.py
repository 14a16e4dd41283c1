"""What was recorded, judged again, gives what was committed, byte for byte: whatever happened or was killed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from riskbot.service import recorder as recorder_module
from riskbot.store import archive
from riskbot.store import sqlite_recording as recording
from riskbot.store.visit import visit
from riskbot.verify import Verdict, verify_stored
from tests.desk import KINDS
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
