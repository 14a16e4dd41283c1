"""What the watch records, and when it is written down."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from riskbot.recording import (
    Adopted,
    Again,
    Checkpoint,
    Drained,
    Encoder,
    Entry,
    Learnt,
    Look,
    Shifted,
    Started,
    Taken,
    decode,
)
from riskbot.service import recorder as recorder_module
from riskbot.service.journal import AT_ONCE, Journal
from riskbot.service.recorder import SEGMENT
from riskbot.service.watch import INFO_EVERY
from riskbot.settings import StoreSettings
from riskbot.source import SourceError
from riskbot.store import Store, Unavailable
from riskbot.store.memory import MemoryStore
from riskbot.store.surviving import SurvivingStore
from tests.desk import BLIND, RATIO, Desk, Thief


@pytest.fixture
async def desk() -> Desk:
    return await Desk().load()


async def recorded(store: Store) -> list[Entry]:
    """All but what was learnt of the key, at the first poll."""
    return [entry for entry in decode(await store.recorded("main")) if not isinstance(entry, Learnt)]


async def written(desk: Desk) -> list[Entry]:
    await journal(desk).write()
    return await recorded(desk.store)


def journal(desk: Desk, **more: Any) -> Journal:
    return Journal({"main": desk.watch}, SurvivingStore(desk.store), desk.hands.clock, **more)


def kinds(entries: list[Entry]) -> list[type]:
    return [type(entry) for entry in entries]


async def test_a_look_that_changes_nothing_is_written_with_the_journal_as_it_was(desk: Desk) -> None:
    await desk.poll()
    before = await recorded(desk.store)
    desk.market.extra = {"strange": "new", "upl": ""}
    await desk.poll()
    assert await recorded(desk.store) == before

    entries = await written(desk)

    assert kinds(entries) == [Started, Look, Look, Drained]
    look = entries[2]
    assert isinstance(look, Look)
    assert look.seen.snapshot is not None
    assert look.seen.snapshot.raw["strange"] == "new"
    assert look.seen.snapshot.raw["upl"] == ""
    assert look.seen.info == await desk.market.info()
    assert entries[-1] == Drained(desk.watch.sight.seen, desk.watch.sight.seen)


async def test_what_the_key_may_do_is_recorded_when_it_is_learnt(desk: Desk) -> None:
    await desk.poll()
    desk.market.permissions = ("read_only", "trade")
    await desk.poll(INFO_EVERY)
    await asyncio.sleep(0)  # it is learnt beside the poll
    await written(desk)

    learnt = [entry for entry in decode(await desk.store.recorded("main")) if isinstance(entry, Learnt)]

    assert [entry.uid for entry in learnt] == ["77", "77"]
    assert learnt[-1].gate == desk.watch.alerts.gate
    assert learnt[-1].gate.info.permissions == ("read_only", "trade")


async def test_what_led_to_a_commit_is_written_with_it(desk: Desk) -> None:
    await desk.poll()
    await desk.poll()
    desk.market.ratio = "2.5"
    await desk.poll()

    looks = [entry.seen for entry in await recorded(desk.store) if isinstance(entry, Look)]

    assert [look.snapshot and look.snapshot.raw["mgnRatio"] for look in looks] == ["12", "12", "2.5"]


async def test_what_was_sealed_and_is_not_yet_written_goes_with_the_next_commit(desk: Desk) -> None:
    await desk.poll()
    sealed = await desk.watch.drained()
    desk.market.ratio = "2.5"
    await desk.poll()

    assert kinds(await recorded(desk.store)) == [Started, Look, Drained, Look]
    assert (await desk.store.recall("main", 0.0))[1] == desk.watch.sight.seen - 1.0
    await desk.store.record(sealed)
    assert kinds(await recorded(desk.store)) == [Started, Look, Drained, Look]


async def test_what_was_written_is_not_given_again(desk: Desk) -> None:
    await desk.poll()
    await written(desk)

    assert desk.recorder.sealed() == ()
    assert len(await desk.watch.drained()) == 1


async def test_points_are_written_in_the_batch_that_says_so(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()

    (*_, last) = await desk.watch.drained()

    assert [(point.field, point.value) for point in last.points] == [("details.liab", "1000")]
    assert last.seen == desk.watch.sight.seen
    assert kinds(list(decode([*await desk.store.recorded("main"), last])))[-1] is Drained


async def test_an_account_that_was_never_seen_is_recorded_too(desk: Desk) -> None:
    desk.market.error = SourceError("no answer")
    await desk.poll()
    entries = await written(desk)

    assert kinds(entries) == [Started, Look]
    assert isinstance(entries[1], Look)
    assert entries[1].seen.outage is not None
    assert entries[1].seen.outage.why == "no answer"
    assert entries[1].seen.outage.never


async def test_a_clock_set_ahead_and_changed_rules_are_recorded_once(desk: Desk) -> None:
    await desk.poll()
    desk.hands.wall += 60.0
    await desk.poll()
    await desk.watch.use((RATIO, BLIND), (), desk.store, "b2")
    await desk.poll()
    entries = await written(desk)

    assert kinds(entries) == [Started, Look, Shifted, Look, Drained, Adopted, Look, Drained]
    shifted, adopted = entries[2], entries[5]
    assert isinstance(shifted, Shifted)
    assert isinstance(adopted, Adopted)
    assert shifted.seconds == pytest.approx(60.0)
    assert adopted.bundle == desk.recorder.bundle == "b2"


async def test_moments_of_looks_are_whole_milliseconds(desk: Desk) -> None:
    await desk.poll(1.23456789)
    look = (await written(desk))[1]

    assert isinstance(look, Look)
    assert look.seen.at == 1_000_001.235


async def test_a_look_that_somebody_elses_writing_undid_did_not_happen() -> None:
    desk = await Desk(store=Thief()).load()
    await desk.poll()
    desk.market.ratio = "2.5"
    await desk.poll()
    await desk.poll()
    entries = await written(desk)

    assert kinds(entries) == [Started, Checkpoint, Look, Taken, Again, Look, Look, Drained]
    assert isinstance(entries[1], Checkpoint)
    assert entries[1].resumes, "what was learnt before it is left out"


async def test_points_outlive_a_look_that_did_not_happen(desk: Desk) -> None:
    desk.market.liab = "1000"
    await desk.poll()
    await desk.watch.drained()
    with pytest.raises(ZeroDivisionError), desk.recorder.noting(Shifted(1.0, 1.0), desk.watch.alerts):
        raise ZeroDivisionError
    await desk.store.record(desk.recorder.sealed())

    assert [point.value for point in (await desk.store.recall("main", 0.0))[0]] == ["1000"]
    assert kinds(await recorded(desk.store)) == [Started, Look], "and not that it was drained"


async def test_a_new_segment_begins_after_half_an_hour_or_when_it_is_large(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        await desk.poll(SEGMENT / 3)
    monkeypatch.setattr(recorder_module, "SEGMENT_BYTES", 10)
    await written(desk)
    await desk.poll()
    entries = await written(desk)

    checkpoints = [entry for entry in entries if isinstance(entry, Checkpoint)]
    assert kinds(entries)[3:5] == [Checkpoint, Look]
    assert [entry.resumes for entry in checkpoints] == [False, False]
    first = checkpoints[0]
    assert first.snapshot is not None
    assert (first.bundle, first.snapshot.fetched_at) == ("b1", 1_000_000 + 2 * SEGMENT / 3)
    assert first.alerts.uid == "77"
    assert len({batch.segment for batch in await desk.store.recorded("main")}) == 3


async def test_what_cannot_be_recorded_is_logged_once_and_hinders_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.poll()
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "add", _fails)
        desk.market.ratio = "2.5"
        await desk.poll()
        await desk.poll()
    assert await desk.titles() == ["CRITICAL · main · margin ratio 2.5 (250 %)"]
    assert caplog.text.count("what is seen can't be recorded") == 1
    await desk.poll()

    entries = await written(desk)
    assert kinds(entries) == [Started, Checkpoint, Look, Drained]
    assert isinstance(entries[1], Checkpoint)
    assert entries[1].resumes


def _fails(*_: Any) -> None:
    raise RecursionError("a reply within itself")


async def test_a_store_that_fails_gets_what_it_missed_but_for_the_look_that_failed() -> None:
    class Failing(MemoryStore):
        fails = False

        async def commit(self, *args: Any, **keys: Any) -> int:
            if self.fails:
                raise Unavailable("full")
            return await super().commit(*args, **keys)

    store = Failing()
    desk = await Desk(store=store).load()
    store.fails = True
    desk.market.ratio = "2.5"
    await desk.poll()
    store.fails = False
    await desk.poll()

    assert kinds(await recorded(store)) == [Started, Checkpoint, Look]


async def test_that_an_account_is_seen_at_last_is_written_at_once_and_then_every_ten_seconds(desk: Desk) -> None:
    mine = journal(desk)

    async def seen() -> float:
        await mine.look()
        return (await desk.store.recall("main", 0.0))[1]

    assert await seen() == 0.0
    await desk.poll()
    first = await seen()
    assert first == desk.hands.clock.now()
    await desk.poll(8)
    assert await seen() == first
    await desk.poll(3)
    assert await seen() == first + 11


async def test_many_accounts_are_written_in_several_transactions() -> None:
    desks = {f"account {i}": await Desk().load() for i in range(AT_ONCE + 1)}
    store = Counting()
    for desk in desks.values():
        await desk.poll()
    watches = {name: desk.watch for name, desk in desks.items()}
    await Journal(watches, SurvivingStore(store), next(iter(desks.values())).hands.clock).write()

    assert store.sizes == [AT_ONCE, 1]


class Counting(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.trims: list[tuple[float, int]] = []

    async def record(self, batches: Any) -> None:
        self.sizes.append(len(batches))

    async def trim(self, before: float, size: int) -> None:
        self.trims.append((before, size))


async def test_the_recording_is_trimmed_by_age_and_size_as_the_file_says() -> None:
    store = Counting()
    desk = await Desk(store=store).load()
    keep = StoreSettings(journal_days=2, journal_mb=70)
    await journal(desk, settings=lambda: keep).write()
    now = desk.hands.clock.now()

    assert store.trims == [(now - 2 * 86400.0, 70_000_000)]


async def test_a_rule_that_raises_within_the_machine_leaves_no_look_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    await desk.poll()
    with monkeypatch.context() as patch:
        patch.setattr(desk.judge, "judge", _fails)
        await desk.poll()
    await desk.poll()

    assert kinds(await written(desk)) == [Started, Checkpoint, Look, Drained]
