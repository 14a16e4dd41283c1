"""How the rows of an outbox move: one algorithm for every backend, which only finds rows and puts them.

    commit ──▶ queued ──take──▶ sending ──ack──▶ sent
                 ▲│               ││
                 │└─newer commit  │└─────dead──▶ dead
                 │  ▼             │
                 │  superseded ◀──┤ if a newer row of the alert waits: it covers this one
                 └────────────────┘ else: nack, lease ran out, release

Laws: per receiver and alert at most one row is queued and one is sending; what a superseded row had to say is
covered by the row that overtook it; what was sent is `sent`, whatever was thought of it meanwhile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from riskbot.store import Message

QUEUED, SENDING, SENT, SUPERSEDED, DEAD = "queued", "sending", "sent", "superseded", "dead"
WAITING = (QUEUED, SENDING)
STATES = (*WAITING, SENT, SUPERSEDED, DEAD)

Key = tuple[str, float]


def key(message: Message) -> Key:
    """What tells rows apart.

    The moment belongs to it: one step of an alert may have to be told twice, as when it is closed for a receiver that
    the rule does not name any more, and the second telling must not be taken for the first.
    """
    return message.id, message.at


MOST_STEPS = 40
"""What a message that waited for weeks can tell at the most."""


def cover(newer: Message, older: Message) -> Message:
    """The newer row, telling also what the older one had to tell; of very many steps the worst."""
    steps = (*older.covers, older.as_step(), *newer.covers)
    if len(steps) > MOST_STEPS:
        worst = sorted(steps, key=lambda step: -step.peak)[:MOST_STEPS]  # of equals the first: sorting is stable
        steps = tuple(step for step in steps if step in worst)
    return replace(newer, covers=steps)


class Row(Struct, frozen=True):
    """A message and where it stands.

    moment: queued: due then; sending: leased until then; sent, superseded, dead: since then.
    """

    message: Message
    state: str
    moment: float


def queued(message: Message) -> Row:
    """A row that waits to be taken."""
    return Row(message, QUEUED, message.due_at)


class Outbox(ABC):
    """The rows' movements, over the five things that a backend must be able to do.

    The caller sees to it that each call is one transaction.
    """

    @abstractmethod
    def find(self, message: Message) -> Row | None:
        """The row of a message, as it stands now."""

    @abstractmethod
    def queued(self, receiver: str, alert: str) -> Message | None:
        """The queued row of an alert."""

    @abstractmethod
    def leased(self, receiver: str | None, until: float) -> list[Row]:
        """Rows in flight whose lease ends by then; receiver None: everybody's."""

    @abstractmethod
    def due(self, receiver: str, n: int, now: float) -> list[Message]:
        """Up to n queued rows that are due and have no row of their alert in flight; most urgent, then oldest first."""

    @abstractmethod
    def put(self, row: Row) -> None:
        """Write the row, new or in place of what there is under its key."""

    def add(self, message: Message) -> None:
        """Queue a new event; a row of its alert that still waits is superseded. One already there is left alone."""
        if self.find(message) is not None:
            return
        if older := self.queued(message.receiver, message.alert):
            self.put(Row(older, SUPERSEDED, message.at))
            message = cover(message, older)
        self.put(queued(message))

    def take(self, receiver: str, n: int, now: float, lease: float) -> list[Message]:
        """Lease up to n due rows until now + lease."""
        self.expire(receiver, now)
        messages = self.due(receiver, n, now)
        for message in messages:
            self.put(Row(message, SENDING, now + lease))
        return messages

    def expire(self, receiver: str, now: float) -> None:
        """Queue what is in flight for too long: whoever held it may have sent it."""
        for row in self.leased(receiver, now):
            self._again(replace(row.message, due_at=row.moment, maybe_sent=True))

    def release(self) -> None:
        """Queue all that is in flight, due at once: whoever held it is gone and may have sent it."""
        for row in self.leased(None, inf):
            self._again(replace(row.message, due_at=0.0, maybe_sent=True))

    def ack(self, message: Message, now: float) -> None:
        """It was sent. Also a row that was overtaken after its lease ran out becomes `sent`: that is the truth."""
        row = self.find(message)
        if row and row.state != SENT:
            self.put(Row(row.message, SENT, now))

    def nack(self, message: Message, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again. A row that no longer waits stays as it is."""
        row = self.find(message)
        if row and row.state in WAITING:
            old = row.message
            maybe_sent = old.maybe_sent or maybe_sent
            self._again(replace(old, due_at=due_at, tries=old.tries + 1, error=why, maybe_sent=maybe_sent))

    def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent. A row that no longer waits stays as it is."""
        row = self.find(message)
        if row and row.state in WAITING:
            self.put(Row(replace(row.message, error=why), DEAD, now))

    def restore(self, rows: Iterable[Row]) -> None:
        """Write rows exactly as they stand. Those that leave the queue go first: never two queued of one alert."""
        for row in sorted(rows, key=lambda row: STATES.index(row.state), reverse=True):
            self.put(row)

    def _again(self, message: Message) -> None:
        newer = self.queued(message.receiver, message.alert)
        if newer is None or key(newer) == key(message):
            self.put(queued(message))
        else:
            self.put(Row(message, SUPERSEDED, newer.at))
            self.put(queued(cover(newer, message)))
