"""What `SurvivingStore` remembers of its primary, to go on without it: a store in memory that learns and forgets."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from riskbot.model import Event
from riskbot.store import Message
from riskbot.store.memory import MemoryStore, event_key
from riskbot.store.outbox import (
    AGAIN,
    DEAD,
    DROPPED,
    QUEUED,
    SENT,
    STANDING,
    SUPERSEDED,
    WAITING,
    Row,
    cover,
    key,
    place,
)

MAX_POINTS = 200_000
"""Points of the journal that are kept in memory while the store fails; about 50 MB."""

MAX_BYTES = 1 << 25
"""Bytes of what was recorded that are kept to be written down later: 32 MiB are hours of a busy account."""

MAX_EVENTS = 10_000
"""Events of the trouble that are kept to be written down later."""

MAX_DONE = 10_000
"""Messages done in memory that are remembered to be written down later, and dead ones that are still owed."""

KNOWN = (*STANDING, DROPPED)
"""The states of rows that it learns from."""

HAND = (AGAIN, DROPPED)
"""What a person may have done with a row."""


class Mirror(MemoryStore):
    """All that waits or is owed, each account's value, and in trouble also what is done and the past."""

    def __init__(self) -> None:
        super().__init__(MAX_POINTS, MAX_EVENTS, MAX_BYTES)

    def learn(self, theirs: list[tuple[str, Message]]) -> set[str]:
        """Take over the primary's rows, given newest first; give accounts whose rows are now ahead of it."""
        told = {place(row.message) for row in self.rows.rows.values() if row.state in {*WAITING, SENT}}
        ahead = set()
        for state, message in reversed(theirs):
            mine = self.rows.find(message)
            if mine is not None:
                self._obey(Row(message, state, message.due_at), mine)
            elif state in STANDING and (place(message) in told or self._owes_newer(message)):
                self._overtake(message)
                ahead.add(message.account)
            elif state in STANDING:
                self.rows.put(Row(message, state, message.due_at))
        return ahead

    def _obey(self, theirs: Row, mine: Row) -> None:
        """A person may have changed a row behind the back of this process."""
        attempts = theirs.message.attempts
        by_hand = bool(attempts) and attempts[-1].outcome in HAND and attempts[-1] not in mine.message.attempts
        if by_hand and mine.state in STANDING:
            self.rows.put(theirs)

    def _owes_newer(self, message: Message) -> bool:
        rows = self.rows.standing(*place(message))
        return any(row.state == DEAD and row.message.at > message.at for row in rows)

    def _overtake(self, message: Message) -> None:
        """A row that stood unknown, while memory had news of its alert: never an old level after a new one."""
        self.rows.put(Row(message, SUPERSEDED, message.at))
        rows = reversed(self.rows.standing(*place(message)))
        if newer := next((row for row in rows if row.state in {QUEUED, DEAD}), None):
            self.rows.put(replace(newer, message=cover(newer.message, message)))

    def forget_done(self, *, well: bool) -> None:
        """While all is well the primary remembers what is done, but dead rows are owed; in trouble this must.

        Within bounds: in trouble only rows the primary never had are given up, the others would be sent again.
        """
        done = self.rows.done()
        kept = [row for row in done if row.state == DEAD] if well else done
        surplus = [row for row in kept if well or row.message.unsaved][: max(0, len(kept) - MAX_DONE)]
        self.rows.forget(key(row.message) for row in surplus)
        if well:
            self.rows.forget(key(row.message) for row in done if row.state != DEAD)

    def rows_of(self, account: str) -> list[Row]:
        """All rows of an account."""
        return [row for row in self.rows.rows.values() if row.message.account == account]

    def events_of(self, account: str) -> tuple[Event, ...]:
        """All events of an account."""
        return tuple(event for event in self.events.values() if event.account == account)

    def forget_events(self, events: Iterable[Event]) -> None:
        """They are written down elsewhere."""
        for event in events:
            self.events.pop(event_key(event), None)

    def forget_batches(self, account: str) -> None:
        """What was recorded of it led to alerts that are another owner's by now."""
        for batch in self.batches.of(account):
            self.batches.drop(account, batch)

    @property
    def behind(self) -> set[str]:
        """The accounts whose journal is not all written down."""
        return {*self.seen, *self.batches.accounts()}
