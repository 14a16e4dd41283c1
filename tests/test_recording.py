"""What is recorded is read back as it was, in few bytes, and what is damaged is told."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from riskbot.fields import MISSING, NOT_APPLICABLE
from riskbot.history import Point
from riskbot.model import AccountInfo, Alert, Alerts, Gate, Observation, Outage, Severity
from riskbot.recording import (
    Adopted,
    Again,
    BadRecording,
    Batch,
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
from riskbot.recording.wire import compressed
from riskbot.snapshot import Snapshot

T0 = 1_700_000_000.0
OPEN = Alerts({"twap": {"USDT": Alert(level=Severity.WARNING, up={2: T0 - 1.5})}}, seen=T0 - 1.5, uid="77")
STARTED = Started(T0, OPEN, T0 - 1.5, "b1")
INFO = AccountInfo("77", "3", permissions=("read_only",))


def reply(*rows: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"uTime": "1", **top, "details": list(rows)}


def look(at: float, raw: dict[str, Any] | None = None, *, later: float = 0.0, **more: Any) -> Look:
    snapshot = None if raw is None else Snapshot(raw, at)
    return Look(Observation(at + later, snapshot, more.get("outage"), more.get("info"), more.get("max_gap", 10.0)))


def written(entries: Iterable[Entry], *, each: int = 1) -> list[Batch]:
    """Batches of so many entries, compressed as they are stored."""
    encoder, batches = Encoder("main", "life"), list[Batch]()
    for count, entry in enumerate(entries, 1):
        encoder.add(entry)
        if count % each == 0:
            batches += encoder.seal()
    return [replace(batch, data=compressed(batch.data)) for batch in [*batches, *encoder.seal()]]


def plain(entry: Entry) -> tuple[Any, ...]:
    """An entry that can be compared: a Snapshot is equal to itself only. `repr` tells 1 from True."""

    def simple(value: Any) -> Any:
        if isinstance(value, Snapshot):
            top = {key: item for key, item in value.raw.items() if key != "details"}
            return repr(top), repr(value.raw["details"]), value.fetched_at
        return tuple(map(simple, astuple(value))) if isinstance(value, Observation) else value

    return type(entry), *map(simple, astuple(entry))


def same(read: Iterable[Entry], given: Iterable[Entry]) -> None:
    assert [plain(entry) for entry in read] == [plain(entry) for entry in given]


values = st.one_of(
    st.sampled_from(["", "0", "1", "1.5", True, False, None, 0, 1, 1.0, [1], [True], {"a": "1"}]), st.text(max_size=3)
)
tables = st.dictionaries(st.sampled_from("abcdef"), values, max_size=4)
replies = st.builds(
    lambda top, rows: {**top, "details": [{"ccy": ccy, **row} for ccy, row in rows]},
    tables,
    st.lists(st.tuples(st.sampled_from(["BTC", "ETH", "USDT"]), tables), unique_by=lambda row: row[0]),
)
moments = st.one_of(st.integers(0, 10**6).map(lambda ms: T0 + ms / 1000), st.floats(0, 2e9))
outages = st.none() | st.builds(
    Outage, moments, st.sampled_from(["no answer", "a dead key"]), st.sampled_from(Severity)
)
snapshots = st.builds(Snapshot, replies, moments)


def seen(snapshots: st.SearchStrategy[Any]) -> st.SearchStrategy[Observation]:
    """Looks at such replies."""
    infos, gaps = st.sampled_from([None, INFO]), st.sampled_from([10.0, -1.0])
    return st.tuples(moments, snapshots, outages, infos, gaps).map(lambda parts: Observation(*parts))


observations, blind = seen(st.none() | snapshots), seen(st.none())
entries = st.one_of(
    st.builds(Look, observations),
    st.builds(Again, blind),
    st.builds(Adopted, blind, st.sampled_from(["b1", "b2"])),
    st.builds(Shifted, moments, st.floats(0, 1e6)),
    st.builds(Drained, moments, moments),
    st.builds(Learnt, moments, st.just("77"), st.just(Gate(INFO, INFO, T0))),
    st.builds(Taken, moments, st.just(OPEN)),
    st.builds(Started, moments, st.just(OPEN), moments, st.just("b1")),
    st.builds(Checkpoint, moments, st.just(OPEN), st.just("b2"), st.none() | snapshots),
)


@given(st.lists(entries, max_size=12), st.integers(1, 5))
def test_whatever_happened_is_read_back_as_it_was(course: list[Entry], each: int) -> None:
    same(decode(written([STARTED, *course], each=each)), [STARTED, *course])


def test_no_value_stays_no_value() -> None:
    raws = [reply({"ccy": "BTC", "liab": value}) for value in ("", "0", "1")] + [reply({"ccy": "BTC"})]
    course = [STARTED, *(look(T0 + i, raw) for i, raw in enumerate(raws))]
    read = [entry.seen.snapshot for entry in decode(written(course)) if isinstance(entry, Look)]
    assert [str(snapshot.balances["BTC"].liab) for snapshot in read if snapshot] == [
        str(value) for value in (NOT_APPLICABLE, Decimal(0), Decimal(1), MISSING)
    ]


def test_an_unchanged_reply_takes_a_few_bytes() -> None:
    rows = [{"ccy": f"C{i}", **{f"field{n}": f"{i}.{n}" for n in range(47)}} for i in range(20)]
    size = [
        sum(len(b.data) for b in written([STARTED, *(look(T0 + i, reply(*rows)) for i in range(n))], each=10))
        for n in (1, 1001)
    ]
    assert size[1] - size[0] < 1000 * 5


def test_what_a_look_was_seen_with_is_the_very_same_object_while_it_does_not_change() -> None:
    course = [STARTED, *(look(T0 + i, reply(), info=INFO) for i in range(3))]
    read = [entry.seen.info for entry in decode(written(course)) if isinstance(entry, Look)]
    assert read[0] == INFO
    assert read[0] is read[1] is read[2]


def test_a_currency_that_moves_to_another_place_is_not_written_again() -> None:
    rows = [{"ccy": name, "eq": name * 50} for name in ("BTC", "ETH", "USDT")]
    course = [STARTED, look(T0, reply(*rows)), look(T0 + 1, reply(*reversed(rows)))]
    *_, last = written(course)
    assert b"BTC" * 2 not in Encoder.__module__.encode() + last.data
    same(decode(written(course)), course)


@pytest.mark.parametrize("odd", [Decimal("1.5"), 10**30, {1: Decimal(2)}, (1, 2), {"a"}])
def test_what_only_a_plugin_would_put_in_is_judged_the_same_from_the_recording(odd: object) -> None:
    course = [STARTED, look(T0, reply(adjEq=odd)), look(T0 + 1, reply(adjEq="2")), look(T0 + 2, reply(adjEq=odd))]
    live = [str(e.seen.snapshot.adj_eq) for e in course if isinstance(e, Look) and e.seen.snapshot]
    assert [
        str(e.seen.snapshot.adj_eq) for e in decode(written(course)) if isinstance(e, Look) and e.seen.snapshot
    ] == live


def test_the_points_go_with_the_last_batch() -> None:
    encoder, points = Encoder("main", "life"), (Point("adjEq", "", T0, "1"),)
    for entry in (STARTED, Checkpoint(T0, OPEN, "b1", None), Drained(T0, T0)):
        encoder.add(entry)
    assert [(b.points, b.seen, b.index) for b in encoder.seal(points, T0)] == [((), 0.0, 0), (points, T0, 0)]
    assert encoder.seal(points, T0) == []


def test_a_batch_says_what_is_in_it() -> None:
    course = [STARTED, look(T0 + 1, reply()), look(T0 + 2), Drained(T0 + 2.5, T0 + 1)]
    (batch,) = written(course, each=9)
    assert (batch.account, batch.index, batch.first, batch.last, batch.looks) == ("main", 0, T0, T0 + 2.5, 2)


# What is lost or damaged.


def segments() -> list[Entry]:
    """Three segments of three batches."""
    found: list[Entry] = []
    for n in range(3):
        at = T0 + 10 * n
        found += [Checkpoint(at, OPEN, "b1", Snapshot(reply(adjEq=str(n)), at))]
        found += [look(at + i, reply(adjEq=f"{n}.{i}")) for i in (1, 2)]
    return found


def damaged(batch: Batch) -> Batch:
    return replace(batch, data=batch.data[:-1])


LOST = "the part before it is lost"


@pytest.mark.parametrize(
    ("change", "why", "left", "resumes"),
    [
        (lambda b: [*b[:4], damaged(b[4]), *b[5:]], "damaged", [0, 1, 2, 3, 6, 7, 8], [True, False, True]),
        (lambda b: [*b[:3], damaged(b[3]), *b[4:]], "damaged", [0, 1, 2, 6, 7, 8], [True, True]),
        (lambda b: [*b[:4], replace(b[4], data=b""), *b[5:]], "it is lost", [0, 1, 2, 3, 6, 7, 8], [True, False, True]),
        (lambda b: [*b[:4], replace(b[4], data=b"\x02"), *b[5:]], "newer", [0, 1, 2, 3, 6, 7, 8], [True, False, True]),
        (lambda b: [*b[:4], *b[5:]], LOST, [0, 1, 2, 3, 6, 7, 8], [True, False, True]),
        (lambda b: [*b[:5], *b[6:]], LOST, [0, 1, 2, 3, 4, 6, 7, 8], [True, False, True]),
        (lambda b: [*b[:3], *b[6:]], LOST, [0, 1, 2, 6, 7, 8], [True, True]),
        (lambda b: b[1:], LOST, [3, 4, 5, 6, 7, 8], [True, False]),
    ],
)
def test_what_is_damaged_is_told_once_and_the_rest_can_be_read(
    change: Any, why: str, left: list[int], resumes: list[bool]
) -> None:
    batches, told = change(written(segments())), list[str]()

    with pytest.raises(BadRecording, match=why):
        list(decode(batches))

    read = list(decode(batches, lambda error: told.append(str(error))))
    assert len(told) == 1
    assert told[0].startswith("main: the recording from 2023-11-14 22:13:")
    assert list(map(moment, read)) == [moment(segments()[i]) for i in left]
    assert [entry.resumes for entry in read if isinstance(entry, Checkpoint)] == resumes


def moment(entry: Entry) -> float:
    return entry.seen.at if isinstance(entry, Look) else entry.at  # type: ignore[union-attr]


def test_reading_can_begin_at_any_segment_and_says_so() -> None:
    read = list(decode(written(segments())[3:]))
    assert [e.resumes for e in read if isinstance(e, Checkpoint)] == [True, False]
    same(read[1:], segments()[4:])


def test_a_new_start_says_by_itself_that_nothing_is_known() -> None:
    same(decode(written([*segments()[:3], STARTED])[3:]), [STARTED])
