"""How the rows of an outbox move: one algorithm for every backend, which only finds rows and puts them.

    commit ──▶ queued ──take──▶ sending ──ack──▶ sent
                ▲││               ││
                │││               │└─────dead──▶ dead ──retry (by hand)──▶ queued
                ││└─newer commit  │              │  └───drop (by hand)───▶ dropped ◀── a queued one too
                ││  ▼             │              │ newer commit
                ││  superseded ◀──┤ ◀────────────┘
                ││                │ if a newer row of the alert waits: it covers this one
                └┴────────────────┘ else: nack, lease ran out, release

Laws:
1. Per receiver and alert at most one row is queued and one is sending.
2. What a superseded row had to say is covered by the row that overtook it. A reminder had nothing to say.
3. What was sent is `sent`, whatever was thought of it meanwhile.
4. A `dead` row is still owed: the next row of its alert covers it, as it would a queued one, so that nobody is told
   that something ended who was never told that it began. So dead rows are the newest of their alert.
5. What a person dropped is never told, neither by itself nor as missed, with all that it covered.
6. A reminder is no news while any row of its alert waits: it is left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from riskbot.model import Severity
from riskbot.store import Attempt, Message

QUEUED, SENDING, SENT, SUPERSEDED, DEAD, DROPPED = "queued", "sending", "sent", "superseded", "dead", "dropped"
WAITING = (QUEUED, SENDING)
STANDING = (*WAITING, DEAD)
"""Rows that still have something to say."""
STATES = (*WAITING, SENT, SUPERSEDED, DEAD, DROPPED)

FAILED, AMBIGUOUS, AGAIN = "failed", "ambiguous", "again"
"""Outcomes of an attempt, besides `sent`, `dead` and `dropped`."""

Key = tuple[str, float]
Place = tuple[str, str]


def key(message: Message) -> Key:
    """What tells rows apart.

    The moment belongs to it: one step of an alert may have to be told twice, as when it is closed for a receiver that
    the rule does not name any more, and the second telling must not be taken for the first.
    """
    return message.id, message.at


def place(message: Message) -> Place:
    """Receiver and alert: where rows overtake one another."""
    return message.receiver, message.alert


MOST_STEPS = 40
"""What a message that waited for weeks can tell at the most."""

MOST_ATTEMPTS = 20
"""The newest tries that a message remembers."""


def cover(newer: Message, older: Message) -> Message:
    """The newer row, telling also what the older one had to tell; of very many steps the worst."""
    own = () if older.reminder else (older.as_step(),)
    steps = (*older.covers, *own, *newer.covers)
    if len(steps) > MOST_STEPS:
        worst = sorted(steps, key=lambda step: -step.peak)[:MOST_STEPS]  # of equals the first: sorting is stable
        steps = tuple(step for step in steps if step in worst)
    return replace(newer, covers=steps)


def noted(message: Message, at: float, outcome: str, why: str = "") -> Message:
    """The message, remembering one more attempt."""
    return replace(message, attempts=(*message.attempts, Attempt(at, outcome, why))[-MOST_ATTEMPTS:])


class Row(Struct, frozen=True):
    """A message and where it stands.

    moment: queued: due then; sending: leased until then; sent, superseded, dead, dropped: since then.
    """

    message: Message
    state: str
    moment: float


def queued(message: Message) -> Row:
    """A row that waits to be taken."""
    return Row(message, QUEUED, message.due_at)


class Outbox(ABC):
    """The rows' movements, over the few things that a backend must be able to do.

    The caller sees to it that each call is one transaction.
    """

    @abstractmethod
    def find(self, message: Message) -> Row | None:
        """The row of a message, as it stands now."""

    @abstractmethod
    def standing(self, receiver: str, alert: str) -> list[Row]:
        """The queued, sending and dead rows of an alert, oldest first."""

    @abstractmethod
    def all_standing(self) -> list[Row]:
        """The queued, sending and dead rows of all, oldest first."""

    @abstractmethod
    def leased(self, receiver: str | None, until: float) -> list[Row]:
        """Rows in flight whose lease ends by then; receiver None: everybody's."""

    @abstractmethod
    def due(self, receiver: str, n: int, now: float, least: Severity, account: str) -> list[Message]:
        """Up to n queued rows that are due and have no row of their alert in flight; most urgent, then oldest first.

        least, account: as for `Store.take`.
        """

    @abstractmethod
    def put(self, row: Row) -> None:
        """Write the row, new or in place of what there is under its key."""

    def queued(self, receiver: str, alert: str) -> Message | None:
        """The queued row of an alert."""
        return next((row.message for row in self.standing(receiver, alert) if row.state == QUEUED), None)

    def waits(self, message: Message) -> bool:
        """Is any row of its alert queued or in flight?"""
        return any(row.state in WAITING for row in self.standing(*place(message)))

    def add(self, message: Message) -> None:
        """Queue a new event; queued and dead rows of its alert are superseded. One already there is left alone."""
        if self.find(message) is not None or (message.reminder and self.waits(message)):
            return
        older = [row.message for row in self.standing(*place(message)) if row.state != SENDING]
        for row in reversed(older):
            self.put(Row(row, SUPERSEDED, message.at))
            message = cover(message, row)
        self.put(queued(message))

    def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """Lease up to n due rows until now + lease."""
        self.expire(receiver, now)
        messages = self.due(receiver, n, now, least, account)
        for message in messages:
            self.put(Row(message, SENDING, now + lease))
        return messages

    def expire(self, receiver: str, now: float) -> None:
        """Queue what is in flight for too long: whoever held it may have sent it."""
        for row in self.leased(receiver, now):
            self._stand(queued(replace(row.message, due_at=row.moment, maybe_sent=True)))

    def release(self) -> None:
        """Queue all that is in flight: whoever held it is gone and may have sent it. All that waits is due at once."""
        for row in self.leased(None, inf):
            self._stand(queued(replace(row.message, due_at=0.0, maybe_sent=True)))
        self.hasten()

    def hasten(self, receiver: str = "") -> None:
        """All that waits is due at once; of one receiver, or of all."""
        for row in self.all_standing():
            if row.state == QUEUED and receiver in ("", row.message.receiver):
                self.put(queued(replace(row.message, due_at=0.0)))

    def rename(self, old: str, new: str) -> None:
        """What stands under one alert stands under another one."""
        rows = [row for row in self.all_standing() if row.message.alert == old]
        for row in rows:
            self.put(Row(row.message, SUPERSEDED, row.moment))  # leaves its place
            self.put(replace(row, message=replace(row.message, alert=new)))

    def ack(self, message: Message, now: float) -> None:
        """It was sent. Also a row that was overtaken after its lease ran out becomes `sent`: that is the truth."""
        row = self.find(message)
        if row and row.state != SENT:
            self.put(Row(noted(row.message, now, SENT), SENT, now))

    def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again. A row that no longer waits stays as it is."""
        row = self.find(message)
        if row and row.state in WAITING:
            old = noted(row.message, now, AMBIGUOUS if maybe_sent else FAILED, why)
            maybe_sent = old.maybe_sent or maybe_sent
            self._stand(queued(replace(old, due_at=due_at, tries=old.tries + 1, error=why, maybe_sent=maybe_sent)))

    def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent. A row that no longer waits stays as it is."""
        row = self.find(message)
        if row and row.state in WAITING:
            self._stand(Row(noted(replace(row.message, error=why), now, DEAD, why), DEAD, now))

    def retry(self, message: Message, now: float) -> bool:
        """By hand: queue a dead row again, due now, as if never tried. False: it is not dead, or newer news waits."""
        row = self.find(message)
        if row is None or row.state != DEAD or self.waits(message):
            return False
        self.put(queued(noted(replace(row.message, due_at=now, tries=0), now, AGAIN)))
        return True

    def drop(self, message: Message, now: float) -> bool:
        """By hand: a queued or dead row will never be told. False: it is neither."""
        row = self.find(message)
        if row is None or row.state not in {QUEUED, DEAD}:
            return False
        self.put(Row(noted(row.message, now, DROPPED), DROPPED, now))
        return True

    def restore(self, rows: Iterable[Row]) -> None:
        """Write rows exactly as they stand. Those that leave the queue go first: never two queued of one alert."""
        for row in sorted(rows, key=lambda row: STATES.index(row.state), reverse=True):
            self.put(row)

    def _stand(self, row: Row) -> None:
        """Put a row that was in flight, unless a newer one of its alert is queued: that one covers it."""
        newer = self.queued(*place(row.message))
        if newer is None or key(newer) == key(row.message):
            self.put(row)
        else:
            self.put(Row(row.message, SUPERSEDED, newer.at))
            self.put(queued(cover(newer, row.message)))
