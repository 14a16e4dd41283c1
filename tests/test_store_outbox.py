"""How rows move, where the contract of a store can't show it: people's hand, and several dead rows of one alert."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from msgspec.structs import replace

from riskbot.delivery import final_text
from riskbot.store import Attempt, Message
from riskbot.store.memory import MemoryOutbox
from riskbot.store.outbox import DEAD, DROPPED, QUEUED, SENDING, SENT, Outbox, Row
from riskbot.store.schema import MIGRATIONS
from riskbot.store.sqlite_outbox import SqliteOutbox
from tests.store_contract import CRITICAL, OK, WARNING, message


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request: pytest.FixtureRequest) -> Iterator[Outbox]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for step in MIGRATIONS:
            db.executescript(step)
        yield MemoryOutbox() if request.param == "memory" else SqliteOutbox(db)


def given_up(outbox: Outbox, told: Message, why: str = "400") -> Message:
    outbox.add(told)
    (taken,) = outbox.take("phone", 1, 5.0, 30.0)
    outbox.dead(taken, 6.0, why)
    return taken


def row(outbox: Outbox, told: Message) -> Row:
    found = outbox.find(told)
    assert found is not None
    return found


# What was given up.


def test_several_dead_rows_are_covered_in_the_order_of_their_events(outbox: Outbox) -> None:
    outbox.restore([Row(message(seq), DEAD, 9.0) for seq in (2, 1)])
    outbox.put(Row(message(3), QUEUED, 0.0))
    outbox.add(message(4))

    (told,) = outbox.take("phone", 1, 5.0, 30.0)

    assert [s.seq for s in told.covers] == [1, 2, 3]
    assert outbox.standing(*("phone", told.alert)) == [row(outbox, told)]


def test_an_alert_whose_opening_was_refused_for_good_ends_as_missed(outbox: Outbox) -> None:
    given_up(outbox, message(1, after=CRITICAL))
    closing_row = message(2, before=CRITICAL, after=OK, peak=CRITICAL)
    outbox.add(replace(closing_row, title="RESOLVED · twap"))
    (told,) = outbox.take("phone", 1, 7.0, 30.0)

    assert final_text(told, 7.0)[0] == "MISSED CRITICAL · twap"


# Tried again by hand.


def test_a_dead_message_can_be_tried_again_at_once_and_anew(outbox: Outbox) -> None:
    outbox.add(message(1, due_at=3.0))
    (taken,) = outbox.take("phone", 1, 5.0, 30.0)
    outbox.nack(taken, 6.0, 6.0, "400", maybe_sent=False)
    (taken,) = outbox.take("phone", 1, 6.0, 30.0)
    outbox.dead(taken, 7.0, "400")

    assert outbox.retry(taken, 50.0)

    assert outbox.take("phone", 1, 49.0, 30.0) == []
    (again,) = outbox.take("phone", 1, 50.0, 30.0)
    assert (again.tries, again.error) == (0, "400")
    assert [a.outcome for a in again.attempts] == ["failed", "dead", "again"]
    assert again.attempts[-1] == Attempt(50.0, "again")


@pytest.mark.parametrize("state", [QUEUED, SENDING])
def test_a_dead_message_is_not_tried_again_while_newer_news_of_its_alert_waits(outbox: Outbox, state: str) -> None:
    outbox.restore([Row(message(1), DEAD, 5.0), Row(message(2), state, 90.0)])

    assert not outbox.retry(message(1), 9.0)
    assert row(outbox, message(1)).state == DEAD


def test_only_a_dead_message_can_be_tried_again(outbox: Outbox) -> None:
    outbox.add(message(1))
    (taken,) = outbox.take("phone", 1, 5.0, 30.0)
    outbox.ack(taken, 6.0)

    assert not outbox.retry(taken, 9.0)
    assert not outbox.retry(message(7), 9.0)
    assert row(outbox, taken).state == SENT


# Dropped by hand.


def test_a_dropped_message_is_never_told_nor_covered(outbox: Outbox) -> None:
    outbox.add(message(1))
    outbox.add(message(2))
    assert outbox.drop(message(2), 9.0)
    assert outbox.take("phone", 1, 99.0, 30.0) == []
    outbox.add(message(3))

    (told,) = outbox.take("phone", 1, 99.0, 30.0)

    assert (told.seq, told.covers) == (3, ())
    dropped = row(outbox, message(2))
    assert (dropped.state, dropped.moment, dropped.message.attempts) == (DROPPED, 9.0, (Attempt(9.0, "dropped"),))


def test_a_dead_message_can_be_dropped_and_then_not_be_tried_again(outbox: Outbox) -> None:
    dead = given_up(outbox, message(1))

    assert outbox.drop(dead, 9.0)
    assert not outbox.drop(dead, 10.0)
    assert not outbox.retry(dead, 11.0)
    outbox.add(message(2, before=WARNING, after=OK))
    assert [m.covers for m in outbox.take("phone", 1, 99.0, 30.0)] == [()]


def test_a_message_in_flight_can_not_be_dropped(outbox: Outbox) -> None:
    outbox.add(message(1))
    outbox.take("phone", 1, 5.0, 30.0)

    assert not outbox.drop(message(1), 6.0)
    assert not outbox.drop(message(7), 6.0)
    assert row(outbox, message(1)).state == SENDING


def test_a_dropped_message_that_was_sent_after_all_is_sent_and_else_stays_dropped(outbox: Outbox) -> None:
    outbox.add(message(1))
    (late,) = outbox.take("phone", 1, 5.0, 10.0)
    outbox.expire("phone", 20.0)
    outbox.drop(late, 21.0)

    outbox.nack(late, 22.0, 22.0, "503", maybe_sent=False)
    outbox.dead(late, 22.0, "400")
    outbox.add(message(1))
    assert row(outbox, late).state == DROPPED
    outbox.ack(late, 23.0)
    assert row(outbox, late).state == SENT
