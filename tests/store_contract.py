"""What every store must do. A store's tests subclass `StoreContract` and give a fixture `store`: an empty one.

class TestMine(StoreContract):
    @pytest.fixture
    async def store(self) -> Store:
        return Mine()
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import Cause, Event, Severity
from riskbot.recording import Batch, points_only
from riskbot.recording.wire import compressed
from riskbot.store import KEEP_LONG, Attempt, Fenced, Kept, Message, State, Store
from riskbot.store.outbox import MOST_ATTEMPTS, STATES

OK, INFO, WARNING, CRITICAL, EMERGENCY = Severity


def message(
    seq: int = 1,
    *,
    alert: str = "main/twap/USDT",
    receiver: str = "phone",
    account: str = "main",
    before: Severity = OK,
    after: Severity = WARNING,
    peak: Severity | None = None,
    at: float | None = None,
    due_at: float = 0.0,
    reminder: int = 0,
) -> Message:
    """A message of episode 1 of an alert, at the moment `seq` if none is given."""
    return Message(
        id=f"{alert}-1-{seq}@{receiver}",
        receiver=receiver,
        account=account,
        alert=alert,
        episode=1,
        seq=seq,
        before=before,
        after=after,
        peak=after if peak is None else peak,
        at=float(seq) if at is None else at,
        opened=1.0,
        cause=Cause.BREACH,
        title="twap 2",
        body="as seen 12:00:03\n≈ 9 min",
        due_at=due_at,
        reminder=reminder,
    )


def event(seq: int = 1, *, account: str = "main", at: float | None = None, value: str | None = "1.5") -> Event:
    """An event of episode 1 of the alert `twap/USDT`, at the moment `seq` if none is given."""
    return Event(
        account,
        "twap",
        "USDT",
        1,
        seq,
        OK,
        WARNING,
        WARNING,
        float(seq) if at is None else at,
        1.0,
        Cause.BREACH,
        None if value is None else Decimal(value),
        "as seen",
    )


def batch(
    index: int = 0, *, segment: str = "s1", account: str = "main", at: float = 1.0, data: bytes = b"\x01\x90"
) -> Batch:
    """A batch of one look, at the moment `at` + index. Its data are not looked at, but as a store may compress them."""
    moment = at + index
    return Batch(account, segment, index, moment, moment, 1, compressed(data))


async def queue(store: Store, *messages: Message, account: str = "main") -> None:
    """Commit messages, whatever the account's revision is."""
    rev = (await store.load(account)).rev
    await store.commit(account, rev, f"{account}-{rev}", b"value", messages)


async def states(store: Store, *, receiver: str = "phone") -> dict[str, str]:
    """The state of each row of a receiver, by alert and sequence: `main/twap/USDT-1-1`."""
    rows = await store.outbox(STATES)
    return {m.id.partition("@")[0]: state for state, m in rows if m.receiver == receiver}


def plain(messages: list[Message]) -> list[Message]:
    """Without the mark that they were told from memory."""
    return [replace(m, unsaved=False) for m in messages]


class StoreContract:
    # An account's value.

    async def test_an_account_that_was_never_committed_is_at_revision_zero(self, store: Store) -> None:
        assert await store.load("main") == State(None, 0, "")

    async def test_a_commit_is_loaded_with_its_revision_and_id(self, store: Store) -> None:
        rev = await store.commit("main", 0, "c1", b"\x00value", ())

        assert await store.load("main") == State(b"\x00value", rev, "c1")
        assert await store.load("other") == State()

    async def test_each_commit_gives_a_new_revision(self, store: Store) -> None:
        first = await store.commit("main", 0, "c1", b"1", ())
        second = await store.commit("main", first, "c2", b"2", ())

        assert second > first > 0
        assert (await store.load("main")).value == b"2"

    async def test_a_commit_from_an_old_revision_is_fenced_and_writes_nothing(self, store: Store) -> None:
        rev = await store.commit("main", 0, "c1", b"1", ())

        with pytest.raises(Fenced, match="account main is at revision"):
            await store.commit("main", 0, "c2", b"2", (message(),))

        assert await store.load("main") == State(b"1", rev, "c1")
        assert await store.outbox(("queued",)) == []

    async def test_a_repeated_commit_gives_its_revision_and_writes_nothing_twice(self, store: Store) -> None:
        rev = await store.commit("main", 0, "c1", b"1", (message(),))
        assert await store.commit("main", 0, "c1", b"1", (message(),)) == rev

        assert await states(store) == {"main/twap/USDT-1-1": "queued"}
        assert (await store.load("main")).rev == rev

    async def test_the_accounts_are_those_that_have_a_value_by_name(self, store: Store) -> None:
        await store.load("never")
        await store.commit("spare", 0, "c1", b"1")
        await store.commit("main", 0, "c1", b"1")

        assert await store.accounts() == ["main", "spare"]

    # Events.

    async def test_events_are_written_with_their_commit_and_given_whole_and_oldest_first(self, store: Store) -> None:
        late, early = event(3, value=None), event(1, value="0.000000001")
        await store.commit("main", 0, "c1", b"1", (), (late, early))
        await store.commit("spare", 0, "c1", b"1", events=(event(2, account="spare"),))

        assert await store.history(0.0) == [early, event(2, account="spare"), late]
        assert await store.history(2.0) == [event(2, account="spare"), late]
        assert await store.history(3.1) == []

    async def test_an_event_is_there_once_however_often_it_is_committed(self, store: Store) -> None:
        rev = await store.commit("main", 0, "c1", b"1", (), (event(1),))
        await store.commit("main", 0, "c1", b"1", (), (event(1),))
        await store.commit("main", rev, "c2", b"2", (), (event(1), event(1, at=9.0)))

        assert await store.history(0.0) == [event(1), event(1, at=9.0)]

    async def test_a_fenced_commit_writes_no_event(self, store: Store) -> None:
        await store.commit("main", 0, "c1", b"1")
        with pytest.raises(Fenced):
            await store.commit("main", 0, "c2", b"2", (), (event(),))

        assert await store.history(0.0) == []

    async def test_an_event_is_kept_for_much_longer_than_a_message(self, store: Store) -> None:
        await store.commit("main", 0, "c1", b"1", (), (event(1), event(2)))
        await store.prune(2.0 + KEEP_LONG)

        assert await store.history(0.0) == [event(2)]

    # The queue.

    async def test_a_committed_message_is_taken_as_it_was_given(self, store: Store) -> None:
        await queue(store, message())

        assert plain(await store.take("phone", 10, 5.0, 30.0)) == [message()]

    async def test_a_message_is_for_its_receiver_only(self, store: Store) -> None:
        await queue(store, message(receiver="phone"), message(receiver="mail"))

        assert plain(await store.take("phone", 10, 5.0, 30.0)) == [message(receiver="phone")]
        assert await store.take("nobody", 10, 5.0, 30.0) == []

    async def test_a_message_is_not_taken_before_it_is_due(self, store: Store) -> None:
        await queue(store, message(due_at=10.0))

        assert await store.take("phone", 10, 9.9, 30.0) == []
        assert len(await store.take("phone", 10, 10.0, 30.0)) == 1

    async def test_a_taken_message_is_not_taken_again_while_its_lease_lasts(self, store: Store) -> None:
        await queue(store, message())
        await store.take("phone", 10, 5.0, 30.0)

        assert await store.take("phone", 10, 34.9, 30.0) == []

    async def test_a_message_whose_lease_ran_out_is_due_again_and_may_have_been_sent(self, store: Store) -> None:
        await queue(store, message())
        await store.take("phone", 10, 5.0, 30.0)

        (again,) = await store.take("phone", 10, 35.0, 30.0)

        assert (again.id, again.maybe_sent, again.tries) == (message().id, True, 0)

    async def test_the_most_urgent_message_comes_first_then_the_oldest(self, store: Store) -> None:
        await queue(
            store,
            message(5, alert="a", after=WARNING),
            message(3, alert="b", after=EMERGENCY),
            message(4, alert="c", after=WARNING),
            message(2, alert="d", after=EMERGENCY),
            message(2, alert="e", after=EMERGENCY),
        )

        assert [m.alert for m in await store.take("phone", 2, 9.0, 30.0)] == ["d", "e"]
        assert [m.alert for m in await store.take("phone", 9, 9.0, 30.0)] == ["b", "c", "a"]

    async def test_a_closing_that_covers_an_untold_critical_is_as_urgent_as_that(self, store: Store) -> None:
        await queue(store, message(1, alert="a", after=CRITICAL))
        await queue(store, message(2, alert="a", after=OK, peak=CRITICAL), message(1, alert="b", after=WARNING))

        assert [m.alert for m in await store.take("phone", 1, 9.0, 30.0)] == ["a"]

    async def test_no_message_of_an_alert_is_taken_while_one_is_in_flight(self, store: Store) -> None:
        await queue(store, message(1))
        await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2), message(1, alert="other"))

        assert [m.alert for m in await store.take("phone", 10, 6.0, 30.0)] == ["other"]

    async def test_the_next_message_of_an_alert_follows_once_the_first_is_done(self, store: Store) -> None:
        await queue(store, message(1))
        (first,) = await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))
        await store.ack(first, 6.0)

        (second,) = await store.take("phone", 10, 6.0, 30.0)

        assert (second.seq, second.covers) == (2, ())

    async def test_only_messages_that_are_urgent_enough_are_taken_if_so_asked(self, store: Store) -> None:
        await queue(store, message(1, alert="a", after=CRITICAL), message(1, alert="b", after=WARNING))

        assert [m.alert for m in await store.take("phone", 9, 5.0, 30.0, CRITICAL)] == ["a"]
        assert await store.take("phone", 9, 5.0, 30.0, CRITICAL) == []
        assert [m.alert for m in await store.take("phone", 9, 5.0, 30.0, WARNING)] == ["b"]

    async def test_only_messages_of_one_account_are_taken_if_so_asked(self, store: Store) -> None:
        await queue(store, message(1, alert="main/a"))
        await queue(store, message(1, alert="spare/a", account="spare"), account="spare")

        taken = await store.take("phone", 9, 5.0, 30.0, account="spare")

        assert [m.alert for m in taken] == ["spare/a"]
        assert [m.alert for m in await store.take("phone", 9, 5.0, 30.0)] == ["main/a"]

    # Overtaking.

    async def test_a_message_is_superseded_by_a_newer_one_of_its_alert_that_covers_it(self, store: Store) -> None:
        await queue(store, message(1))
        await queue(store, message(2, before=WARNING, after=CRITICAL))
        await queue(store, message(3, before=CRITICAL, after=WARNING))

        (told,) = await store.take("phone", 10, 5.0, 30.0)

        assert told.seq == 3
        assert [(s.seq, s.before, s.after, s.at) for s in told.covers] == [
            (1, OK, WARNING, 1.0),
            (2, WARNING, CRITICAL, 2.0),
        ]
        assert set((await states(store)).values()) == {"superseded", "sending"}

    async def test_two_messages_of_an_alert_in_one_commit_become_one(self, store: Store) -> None:
        await queue(store, message(1), message(2))

        (told,) = await store.take("phone", 10, 5.0, 30.0)

        assert (told.seq, [s.seq for s in told.covers]) == (2, [1])

    async def test_messages_of_other_alerts_and_receivers_are_not_superseded(self, store: Store) -> None:
        await queue(store, message(1), message(1, alert="other"), message(1, receiver="mail"))
        await queue(store, message(2))

        assert await states(store) == {
            "main/twap/USDT-1-1": "superseded",
            "main/twap/USDT-1-2": "queued",
            "other-1-1": "queued",
        }
        assert await states(store, receiver="mail") == {"main/twap/USDT-1-1": "queued"}

    async def test_a_message_that_is_already_there_is_left_alone(self, store: Store) -> None:
        await queue(store, message(1))
        await queue(store, message(2))
        await queue(store, message(1), message(2))

        assert await states(store) == {"main/twap/USDT-1-1": "superseded", "main/twap/USDT-1-2": "queued"}

    async def test_a_step_that_is_told_once_more_later_is_not_taken_for_the_first_telling(self, store: Store) -> None:
        await queue(store, message(1))
        (first,) = await store.take("phone", 10, 5.0, 30.0)
        await store.ack(first, 5.0)
        await queue(store, message(1, at=50.0))

        (second,) = await store.take("phone", 10, 60.0, 30.0)
        await store.ack(second, 61.0)

        assert [state for state, _ in await store.outbox(("sent", "sending"))] == ["sent", "sent"]

    async def test_a_step_that_may_have_been_sent_is_covered_as_such(self, store: Store) -> None:
        await queue(store, message(1))
        (first,) = await store.take("phone", 10, 5.0, 30.0)
        await store.nack(first, 6.0, 90.0, "no answer", maybe_sent=True)
        await queue(store, message(2))

        (told,) = await store.take("phone", 10, 6.0, 30.0)

        assert [(s.seq, s.maybe_sent) for s in told.covers] == [(1, True)]

    async def test_a_message_whose_lease_ran_out_is_covered_by_the_newer_one_that_waits(self, store: Store) -> None:
        await queue(store, message(1))
        await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))

        (told,) = await store.take("phone", 10, 35.0, 30.0)

        assert (told.seq, told.maybe_sent, [(s.seq, s.maybe_sent) for s in told.covers]) == (2, False, [(1, True)])

    # What was given up.

    async def test_a_dead_message_is_covered_by_the_next_of_its_alert_as_a_queued_one_is(self, store: Store) -> None:
        await queue(store, message(1))
        (opening,) = await store.take("phone", 1, 5.0, 30.0)
        await store.dead(opening, 6.0, "400")
        await queue(store, message(2, before=WARNING, after=OK, peak=WARNING))

        (closing,) = await store.take("phone", 1, 7.0, 30.0)

        assert [(s.seq, s.before, s.after, s.maybe_sent) for s in closing.covers] == [(1, OK, WARNING, False)]
        assert (await states(store))["main/twap/USDT-1-1"] == "superseded"

    async def test_a_dead_message_hands_on_what_it_covered_itself(self, store: Store) -> None:
        for seq in (1, 2, 3):
            await queue(store, message(seq))
            (told,) = await store.take("phone", 1, 5.0, 30.0)
            await store.dead(told, 6.0, "400")
        await queue(store, message(4))

        (told,) = await store.take("phone", 1, 7.0, 30.0)

        assert [s.seq for s in told.covers] == [1, 2, 3]
        assert await store.outbox(("dead",)) == []

    async def test_a_message_that_dies_while_a_newer_one_waits_is_covered_by_it(self, store: Store) -> None:
        await queue(store, message(1))
        (opening,) = await store.take("phone", 1, 5.0, 30.0)
        await queue(store, message(2))
        await store.dead(opening, 6.0, "400")

        (told,) = await store.take("phone", 1, 7.0, 30.0)

        assert (told.seq, [s.seq for s in told.covers]) == (2, [1])
        ((state, row),) = await store.outbox(("superseded",))
        assert (state, row.error, [a.outcome for a in row.attempts]) == ("superseded", "400", ["dead"])

    async def test_what_was_covered_and_told_is_not_covered_again(self, store: Store) -> None:
        await queue(store, message(1))
        (told,) = await store.take("phone", 1, 5.0, 30.0)
        await store.dead(told, 6.0, "400")
        await queue(store, message(2))
        (told,) = await store.take("phone", 1, 7.0, 30.0)
        await store.ack(told, 8.0)
        await queue(store, message(3))

        assert [m.covers for m in await store.take("phone", 1, 9.0, 30.0)] == [()]

    async def test_dead_messages_of_other_alerts_and_receivers_are_not_covered(self, store: Store) -> None:
        await queue(store, message(1, alert="other"), message(1, receiver="mail"))
        for receiver in ("phone", "mail"):
            (told,) = await store.take(receiver, 1, 5.0, 30.0)
            await store.dead(told, 6.0, "400")
        await queue(store, message(2))

        assert [m.covers for m in await store.take("phone", 9, 7.0, 30.0)] == [()]
        assert len(await store.outbox(("dead",))) == 2

    # Reminders.

    @pytest.mark.parametrize("flies", [False, True])
    async def test_a_reminder_is_left_out_while_a_message_of_its_alert_waits(self, store: Store, flies: bool) -> None:
        await queue(store, message(1))
        if flies:
            await store.take("phone", 1, 5.0, 30.0)
        await queue(store, message(1, at=9.0, reminder=1), message(1, at=9.0, reminder=1, alert="other"))

        assert [m.alert for _, m in await store.outbox(STATES) if m.reminder] == ["other"]
        assert [m.covers for _, m in await store.outbox(STATES) if not m.reminder] == [()]

    async def test_a_reminder_is_told_once_nothing_of_its_alert_waits(self, store: Store) -> None:
        await queue(store, message(1))
        (told,) = await store.take("phone", 1, 5.0, 30.0)
        await store.ack(told, 6.0)
        await queue(store, message(1, at=9.0, reminder=1))

        assert [m.reminder for m in await store.take("phone", 1, 9.0, 30.0)] == [1]

    async def test_a_reminder_that_is_overtaken_had_nothing_to_say(self, store: Store) -> None:
        await queue(store, message(1, at=9.0, reminder=1))
        await queue(store, message(2, at=10.0))

        assert [(m.seq, m.covers) for m in await store.take("phone", 1, 11.0, 30.0)] == [(2, ())]
        assert sorted((await states(store)).values()) == ["sending", "superseded"]

    @pytest.mark.parametrize("fails", ["nack", "dead", "lease"])
    async def test_a_reminder_that_fails_while_news_waits_had_nothing_to_say(self, store: Store, fails: str) -> None:
        await queue(store, message(1, at=9.0, reminder=1))
        (told,) = await store.take("phone", 1, 9.0, 30.0)
        await queue(store, message(2, at=10.0))
        if fails == "nack":
            await store.nack(told, 11.0, 12.0, "503", maybe_sent=True)
        elif fails == "dead":
            await store.dead(told, 11.0, "400")

        assert [(m.seq, m.covers) for m in await store.take("phone", 1, 40.0, 30.0)] == [(2, ())]

    async def test_a_reminder_covers_what_was_given_up_and_hands_it_on(self, store: Store) -> None:
        await queue(store, message(1))
        (told,) = await store.take("phone", 1, 5.0, 30.0)
        await store.dead(told, 6.0, "400")
        await queue(store, message(1, at=9.0, reminder=1))
        (told,) = await store.take("phone", 1, 9.0, 30.0)
        assert [s.seq for s in told.covers] == [1]
        await store.dead(told, 9.0, "400")
        await queue(store, message(2, at=10.0))

        (told,) = await store.take("phone", 1, 11.0, 30.0)

        assert [(s.seq, s.at) for s in told.covers] == [(1, 1.0)]

    # Verdicts.

    async def test_an_acknowledged_message_is_sent_and_never_taken_again(self, store: Store) -> None:
        await queue(store, message())
        (taken,) = await store.take("phone", 10, 5.0, 30.0)
        await store.ack(taken, 6.0)
        await store.ack(taken, 7.0)

        assert await states(store) == {"main/twap/USDT-1-1": "sent"}
        assert await store.take("phone", 10, 99.0, 30.0) == []

    async def test_what_was_sent_is_sent_even_if_it_was_overtaken_meanwhile(self, store: Store) -> None:
        await queue(store, message(1))
        (late,) = await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))
        await store.take("phone", 10, 35.0, 30.0)
        await store.ack(late, 36.0)

        assert await states(store) == {"main/twap/USDT-1-1": "sent", "main/twap/USDT-1-2": "sending"}

    async def test_a_failed_message_is_queued_again_for_later_with_its_error(self, store: Store) -> None:
        await queue(store, message())
        (taken,) = await store.take("phone", 10, 5.0, 30.0)
        await store.nack(taken, 6.0, 20.0, "503", maybe_sent=False)

        assert await store.take("phone", 10, 19.0, 30.0) == []
        (again,) = await store.take("phone", 10, 20.0, 30.0)
        assert (again.tries, again.error, again.maybe_sent, again.due_at) == (1, "503", False, 20.0)

    async def test_that_a_try_may_have_arrived_is_never_forgotten(self, store: Store) -> None:
        await queue(store, message())
        (first,) = await store.take("phone", 10, 5.0, 30.0)
        await store.nack(first, 6.0, 6.0, "no answer", maybe_sent=True)
        (second,) = await store.take("phone", 10, 6.0, 30.0)
        await store.nack(second, 6.0, 7.0, "refused", maybe_sent=False)

        (third,) = await store.take("phone", 10, 7.0, 30.0)

        assert (third.tries, third.maybe_sent) == (2, True)

    async def test_a_failed_message_is_covered_by_the_newer_one_that_waits(self, store: Store) -> None:
        await queue(store, message(1))
        (first,) = await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))
        await queue(store, message(3))
        await store.nack(first, 6.0, 90.0, "503", maybe_sent=True)

        (told,) = await store.take("phone", 10, 6.0, 30.0)

        assert (told.seq, [(s.seq, s.maybe_sent) for s in told.covers]) == (3, [(1, True), (2, False)])
        assert (await states(store))["main/twap/USDT-1-1"] == "superseded"

    async def test_a_message_that_was_queued_again_meanwhile_can_still_fail(self, store: Store) -> None:
        await queue(store, message(1), message(1, alert="b", after=EMERGENCY))
        await store.take("phone", 10, 5.0, 30.0)
        await store.take("phone", 1, 35.0, 30.0)
        await store.nack(message(1), 6.0, 90.0, "late", maybe_sent=False)

        (row,) = [m for state, m in await store.outbox(("queued",))]

        assert (row.error, row.due_at, row.maybe_sent) == ("late", 90.0, True)

    async def test_a_dead_message_is_kept_with_its_error_and_never_taken(self, store: Store) -> None:
        await queue(store, message())
        (taken,) = await store.take("phone", 10, 5.0, 30.0)
        await store.dead(taken, 6.0, "403 bot was blocked")

        ((state, row),) = await store.outbox(("dead",))
        assert (state, row.error) == ("dead", "403 bot was blocked")
        assert await store.take("phone", 10, 99.0, 30.0) == []

    async def test_a_verdict_on_a_message_that_is_done_changes_nothing(self, store: Store) -> None:
        await queue(store, message())
        (taken,) = await store.take("phone", 10, 5.0, 30.0)
        await store.ack(taken, 6.0)
        await store.nack(taken, 6.0, 7.0, "late", maybe_sent=True)
        await store.dead(taken, 7.0, "late")

        assert [m.error for _, m in await store.outbox(("sent",))] == [""]
        assert await store.outbox(("queued", "sending", "dead", "superseded")) == []

    async def test_a_message_remembers_how_each_try_ended(self, store: Store) -> None:
        await queue(store, message())
        for now, maybe_sent in ((6.0, False), (7.0, True), (8.0, False)):
            (taken,) = await store.take("phone", 1, now, 30.0)
            await store.nack(taken, now + 0.5, 0.0, f"{now:g}", maybe_sent=maybe_sent)
        (taken,) = await store.take("phone", 1, 9.0, 30.0)
        await store.ack(taken, 10.0)

        ((_, row),) = await store.outbox(("sent",))

        assert row.attempts == (
            Attempt(6.5, "failed", "6"),
            Attempt(7.5, "ambiguous", "7"),
            Attempt(8.5, "failed", "8"),
            Attempt(10.0, "sent"),
        )

    async def test_a_message_remembers_that_it_was_given_up_and_why(self, store: Store) -> None:
        await queue(store, message())
        (taken,) = await store.take("phone", 1, 5.0, 30.0)
        await store.dead(taken, 6.0, "400")

        assert [m.attempts for _, m in await store.outbox(("dead",))] == [(Attempt(6.0, "dead", "400"),)]

    async def test_a_message_remembers_only_its_newest_tries(self, store: Store) -> None:
        await queue(store, message())
        for n in range(MOST_ATTEMPTS + 3):
            (taken,) = await store.take("phone", 1, float(n), 30.0)
            await store.nack(taken, float(n), 0.0, "503", maybe_sent=False)

        ((_, row),) = await store.outbox(("queued",))

        assert [a.at for a in row.attempts] == [float(n) for n in range(3, MOST_ATTEMPTS + 3)]
        assert row.tries == MOST_ATTEMPTS + 3

    # Starting, waiting, looking.

    async def test_at_start_every_message_in_flight_is_due_at_once_and_may_have_been_sent(self, store: Store) -> None:
        await queue(store, message(1), message(1, receiver="mail"), message(1, alert="waits", due_at=50.0))
        await store.take("phone", 10, 5.0, 1e9)
        await store.take("mail", 10, 5.0, 1e9)
        await store.release()

        told = await store.take("phone", 10, 6.0, 30.0)

        assert {(m.alert, m.maybe_sent) for m in told} == {("main/twap/USDT", True), ("waits", False)}
        assert len(await store.take("mail", 10, 6.0, 30.0)) == 1

    async def test_all_that_waits_for_a_receiver_can_be_made_due_at_once(self, store: Store) -> None:
        await queue(store, message(1, due_at=50.0), message(1, receiver="mail", due_at=50.0))

        await store.hasten("phone")

        assert len(await store.take("phone", 10, 6.0, 30.0)) == 1
        assert await store.take("mail", 10, 6.0, 30.0) == []

    async def test_what_waits_moves_along_with_a_renamed_rule(self, store: Store) -> None:
        await queue(store, message(1))
        (flying,) = await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))
        await store.rename("main/twap/USDT", "main/repayment/USDT")
        await queue(store, message(3, alert="main/repayment/USDT"))
        await store.nack(flying, 6.0, 6.0, "failed", maybe_sent=False)

        (told,) = await store.take("phone", 10, 7.0, 30.0)

        assert (told.seq, told.alert, [step.seq for step in told.covers]) == (3, "main/repayment/USDT", [1, 2])
        assert await store.next_due("phone") == 37.0

    async def test_a_reminder_comes_after_all_news(self, store: Store) -> None:
        reminder = message(1, alert="a", reminder=1, before=Severity.EMERGENCY, after=Severity.EMERGENCY)
        await queue(store, reminder, message(1, alert="b", before=Severity.OK, after=Severity.INFO))

        assert [m.alert for m in await store.take("phone", 10, 5.0, 30.0)] == ["b", "a"]

    async def test_at_start_a_message_in_flight_is_covered_by_the_newer_one_that_waits(self, store: Store) -> None:
        await queue(store, message(1))
        await store.take("phone", 10, 5.0, 30.0)
        await queue(store, message(2))
        await store.release()

        (told,) = await store.take("phone", 10, 6.0, 30.0)

        assert (told.seq, [(s.seq, s.maybe_sent) for s in told.covers]) == (2, [(1, True)])

    async def test_the_next_due_moment_is_that_of_the_first_message_that_can_be_taken(self, store: Store) -> None:
        assert await store.next_due("phone") is None
        await queue(store, message(1, due_at=7.0), message(1, alert="b", due_at=20.0), message(1, receiver="mail"))
        assert await store.next_due("phone") == 7.0

        (first,) = await store.take("phone", 10, 8.0, 5.0)
        assert await store.next_due("phone") == 13.0

        await queue(store, message(2, due_at=9.0))
        assert await store.next_due("phone") == 13.0, "it can't be taken before the one in flight is done"

        await store.ack(first, 10.0)
        assert await store.next_due("phone") == 9.0

    async def test_the_next_due_moment_counts_only_what_is_urgent_enough(self, store: Store) -> None:
        await queue(store, message(1, alert="a", due_at=7.0), message(1, alert="b", after=CRITICAL, due_at=9.0))

        assert await store.next_due("phone", WARNING) == 7.0
        assert await store.next_due("phone", CRITICAL) == 9.0
        assert await store.next_due("phone", EMERGENCY) is None

    async def test_what_is_urgent_waits_for_the_lease_of_what_is_not_of_the_same_alert(self, store: Store) -> None:
        await queue(store, message(1))
        await store.take("phone", 1, 5.0, 30.0)
        assert await store.next_due("phone", CRITICAL) is None
        await queue(store, message(2, before=WARNING, after=CRITICAL))

        assert await store.next_due("phone", CRITICAL) == 35.0
        assert await store.take("phone", 1, 34.0, 30.0, CRITICAL) == []
        assert [m.seq for m in await store.take("phone", 1, 35.0, 30.0, CRITICAL)] == [2]

    async def test_people_see_the_rows_of_the_states_they_ask_for_newest_first(self, store: Store) -> None:
        await queue(store, message(1, alert="a"), message(2, alert="b"), message(3, alert="c"))
        (taken,) = await store.take("phone", 1, 9.0, 30.0)
        await store.ack(taken, 9.0)

        assert [(s, m.alert) for s, m in await store.outbox(("queued", "sent"))] == [
            ("queued", "c"),
            ("queued", "b"),
            ("sent", "a"),
        ]
        assert [m.alert for _, m in await store.outbox(("sent",))] == ["a"]
        assert await store.outbox(()) == []

    # The journal.

    async def test_the_journal_gives_what_was_recorded_oldest_first(self, store: Store) -> None:
        late, early = Point("details.liab", "BTC", 20.0, "0.3"), Point("mgnRatio", "", 10.0, "12.5")
        await store.record(
            [points_only("main", [late, early], 21.0), points_only("other", [Point("adjEq", "", 1.0, "1")], 5.0)]
        )

        assert await store.recall("main", 0.0) == ([early, late], 21.0)
        assert await store.recall("nobody", 0.0) == ([], 0.0)

    async def test_a_window_begins_with_the_last_value_before_it_of_each_series(self, store: Store) -> None:
        points = [Point("a", ccy, at, f"{at}") for ccy in ("BTC", "ETH") for at in (1.0, 2.0, 3.0)]
        await store.record([points_only("main", [*points, Point("b", "", 1.0, "1")], 3.0)])

        found, _ = await store.recall("main", 2.5)

        assert [(p.field, p.ccy, p.at) for p in found] == [
            ("b", "", 1.0),
            ("a", "BTC", 2.0),
            ("a", "ETH", 2.0),
            ("a", "BTC", 3.0),
            ("a", "ETH", 3.0),
        ]

    async def test_a_value_at_the_beginning_of_the_window_needs_none_before_it(self, store: Store) -> None:
        await store.record([points_only("main", [Point("a", "", 1.0, "1"), Point("a", "", 2.0, "2")], 2.0)])

        assert [p.at for p in (await store.recall("main", 2.0))[0]] == [1.0, 2.0]
        assert [p.at for p in (await store.recall("main", 1.0))[0]] == [1.0, 2.0]

    async def test_what_is_recorded_twice_is_there_once_and_the_last_sight_only_moves_on(self, store: Store) -> None:
        await store.record([points_only("main", [Point("a", "", 1.0, "1")], 9.0)])
        await store.record([points_only("main", [Point("a", "", 1.0, "1")], 4.0)])
        await store.record([])

        assert await store.recall("main", 0.0) == ([Point("a", "", 1.0, "1")], 9.0)

    async def test_old_done_messages_are_forgotten_but_none_that_waits(self, store: Store) -> None:
        await queue(store, *(message(1, alert=alert) for alert in ("sent", "dead", "flies", "young")))
        await queue(store, message(1, alert="waits", due_at=1.0), message(1, alert="old"))
        await queue(store, message(2, alert="old"))
        for m in await store.take("phone", 9, 0.5, 1.0):
            match m.alert:
                case "sent":
                    await store.ack(m, 5.0)
                case "young":
                    await store.ack(m, 10.0)
                case "dead":
                    await store.dead(m, 5.0, "why")

        await store.prune(10.0)
        assert set(await states(store)) == {"flies-1-1", "waits-1-1", "young-1-1", "old-1-2", "dead-1-1"}

        await store.prune(5.0 + KEEP_LONG)
        assert "dead-1-1" in await states(store), "it is still owed"
        await store.prune(5.1 + KEEP_LONG)
        assert set(await states(store)) == {"flies-1-1", "waits-1-1", "old-1-2"}

    async def test_a_window_is_the_same_after_older_points_are_forgotten(self, store: Store) -> None:
        points = [Point("a", "", at, f"{at}") for at in (1.0, 2.0, 3.0, 4.0)]
        await store.record([points_only("main", [*points, Point("gone", "X", 1.0, "1")], 4.0)])
        before = await store.recall("main", 3.0)

        await store.prune(3.0)

        assert await store.recall("main", 3.0) == before
        assert [p.at for p in (await store.recall("main", 0.0))[0]] == [1.0, 2.0, 3.0, 4.0]

    # The recording.

    async def test_batches_are_given_as_they_were_recorded_whatever_the_clock_did(self, store: Store) -> None:
        mine = [batch(0, at=9.0), batch(1, at=9.0), batch(0, segment="s2", at=3.0), batch(1, segment="s2", at=3.0)]
        await store.record([mine[0], batch(account="spare")])
        await store.record(mine[1:])

        assert await store.recorded("main") == mine
        assert await store.recorded("spare") == [batch(account="spare")]
        assert await store.recorded("nobody") == []

    async def test_batches_come_with_the_commit_that_they_led_to_or_not_at_all(self, store: Store) -> None:
        points = (Point("a", "", 1.0, "1"),)
        await store.commit("main", 0, "c1", b"1", batches=(batch(0), replace(batch(1), points=points, seen=2.0)))
        with pytest.raises(Fenced):
            await store.commit("main", 0, "c2", b"2", batches=(batch(2),))

        assert await store.recorded("main") == [batch(0), batch(1)]
        assert await store.recall("main", 0.0) == (list(points), 2.0)

    async def test_a_batch_that_is_recorded_twice_is_there_once(self, store: Store) -> None:
        await store.record([batch(0), batch(1)])
        await store.commit("main", 0, "c1", b"1", batches=(batch(0), batch(1), batch(2)))
        await store.record([batch(2), batch(2)])

        assert await store.recorded("main") == [batch(0), batch(1), batch(2)]

    async def test_reading_begins_with_the_segment_that_was_under_way(self, store: Store) -> None:
        late, early = [batch(i, segment="s2", at=10.0) for i in (0, 1)], [batch(i) for i in (0, 1)]
        await store.record([*early, *late])

        assert await store.recorded("main") == [*early, *late]
        assert await store.recorded("main", 2.0) == [*early, *late]
        assert await store.recorded("main", 10.5) == late
        assert await store.recorded("main", 11.5) == []

    async def test_whole_segments_are_forgotten_when_they_are_old(self, store: Store) -> None:
        old, late = [batch(0), batch(1)], [batch(0, segment="s2", at=10.0)]
        await store.record([*old, *late, batch(account="gone")])

        await store.trim(2.0, 10**6)
        assert await store.recorded("main") == [*old, *late]
        assert await store.recorded("gone") == []

        await store.trim(2.1, 10**6)
        assert await store.recorded("main") == late

    async def test_of_too_much_the_oldest_segments_of_all_accounts_are_forgotten_but_no_newest(
        self, store: Store
    ) -> None:
        big = {name: replace(batch(segment=name, at=at), data=compressed(b"\x01" + name.encode() * 9_000_000))
               for name, at in (("a", 1.0), ("b", 3.0), ("c", 5.0))}  # fmt: skip
        size = len(big["a"].data)
        spare = replace(big["a"], account="spare", segment="z", first=2.0, last=2.0)
        await store.record([big["a"], spare, big["b"], big["c"]])

        await store.trim(0.0, 4 * size + 1000)
        assert await store.recorded("main") == [big["a"], big["b"], big["c"]]
        await store.trim(0.0, 3 * size + 1000)
        assert await store.recorded("main") == [big["b"], big["c"]]
        await store.trim(0.0, 1)
        assert await store.recorded("main") == [big["c"]]
        assert await store.recorded("spare") == [spare]

    async def test_a_configuration_is_remembered_from_when_on_it_is_in_force(self, store: Store) -> None:
        course = [Kept(1.0, "a", "{}"), Kept(3.0, "b", '{"x":1}'), Kept(4.0, "a", "{}")]
        for kept in (course[0], Kept(2.0, "a", "{}"), *course[1:]):
            await store.keep(kept)

        assert await store.kept() == course

    async def test_configurations_that_nothing_left_refers_to_are_forgotten(self, store: Store) -> None:
        course = [Kept(float(at), str(at), "{}") for at in range(1, 6)]
        for kept in course:
            await store.keep(kept)
        await store.trim(0.0, 10**6)
        assert await store.kept() == course, "nothing was recorded yet"

        await store.record([batch(at=1.5), batch(segment="s2", at=3.5)])
        await store.trim(0.0, 10**6)
        assert await store.kept() == course
        await store.trim(3.0, 10**6)
        assert await store.kept() == course[2:]

    async def test_a_store_can_be_closed_twice(self, store: Store) -> None:
        await store.close()
        await store.close()
