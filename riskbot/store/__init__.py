"""The contract of a store: one value per account, committed together with the messages it causes.

Laws: alert state and outbox change together or not at all; a message is marked done only after it was sent; a
repeated commit says nothing twice, since a message's id follows from what it tells. The journal has what alerts were
made of (batches) and the past for windows (points): what led to a commit is written with it, the rest may lag. A store
may keep as much of the batches as it has room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from riskbot.history import Point
from riskbot.model import Cause, Event, Severity
from riskbot.recording import Batch

KEEP_LONG = 90 * 86400.0
"""Seconds that events, and messages that were given up, are kept beyond the rest of the past."""


QUIET = "@quiet"
"""Where silences and acknowledgements are kept, as an account's value is. No account's name begins with @."""


class StoreError(Exception):
    """The store can't be used. The text is for people and says what to do."""


class Fenced(StoreError):  # noqa: N818 - said as what happened: `except Fenced`
    """Another owner has written this account since the given revision: let go of it."""


class Unavailable(StoreError):  # noqa: N818 - as Fenced
    """Not known whether it was written: load again and compare `commit_id`."""


class Broken(Unavailable):
    """What is stored is damaged; waiting won't help."""


class State(Struct, frozen=True):
    """An account's value as last committed. `rev` 0: never."""

    value: bytes | None = None
    rev: int = 0
    commit_id: str = ""


class Step(Struct, frozen=True):
    """One step of an alert that was overtaken before its message went out."""

    episode: int
    seq: int
    before: Severity
    after: Severity
    peak: Severity
    at: float
    opened: float
    maybe_sent: bool = False


class Attempt(Struct, frozen=True):
    """One try to send a message, or what a person did with it.

    outcome: sent, failed, ambiguous, dead; by hand: again, dropped. A try that was cut off leaves only `maybe_sent`.
    """

    at: float
    outcome: str
    why: str = ""


class Message(Struct, frozen=True, kw_only=True):
    """One row of the outbox: one event for one receiver.

    id: `account/rule/subject-episode-seq@receiver`; the same event always gets the same id.
    reminder: its number, of those about what lasts ("still …"); 0: it is news.
    alert: `account/rule/subject`; per receiver at most one row of an alert is queued and one in flight.
    before, after: what the receiver was told and is now told (severities as it sees them, `OK`: nothing).
    covers: the steps this row replaced while it waited, oldest first.
    tries, maybe_sent, error: the course of delivery. maybe_sent: a try may have arrived. attempts: the newest tries.
    unsaved: told from memory, since the store could not write it.
    """

    id: str
    receiver: str
    account: str
    alert: str
    episode: int
    seq: int
    before: Severity
    after: Severity
    peak: Severity
    at: float
    opened: float
    cause: Cause
    title: str
    body: str
    due_at: float = 0.0
    covers: tuple[Step, ...] = ()
    tries: int = 0
    maybe_sent: bool = False
    error: str = ""
    unsaved: bool = False
    reminder: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def since(self) -> float:
        """When there was first something to tell that was not told yet."""
        return min((self.at, *(step.at for step in self.covers)))

    @property
    def urgency(self) -> Severity:
        """The worst this row has to say: also a closing that covers an untold critical is critical.

        A reminder has nothing to say: however bad it is, news goes first.
        """
        if self.reminder and not self.covers:
            return Severity.OK
        return max((self.before, self.after, *(step.peak for step in self.covers)))

    def as_step(self) -> Step:
        """The row as a step that a newer row covers."""
        return Step(self.episode, self.seq, self.before, self.after, self.peak, self.at, self.opened, self.maybe_sent)


class Kept(Struct, frozen=True):
    """A configuration that was in force from `since` on, as `riskbot.rulebook` writes it. hash: of its text."""

    since: float
    hash: str
    bundle: str


class Room(Struct, frozen=True):
    """What a store takes of its disk, what is free there for it, and how large the disk is: bytes."""

    used: int
    free: int
    total: int


class Store(Protocol):
    """What a watch and its couriers need. Every backend passes the one contract suite in `tests/`."""

    async def accounts(self) -> list[str]:
        """All that has a value, by name; accounts, and what begins with @."""

    async def load(self, account: str) -> State:
        """The account's last committed value. Raises Unavailable."""

    async def commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: tuple[Message, ...] = (),
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Write value, messages, events and batches, all or nothing; give the new revision.

        A row still queued for the same receiver and alert is superseded: the new row covers it; so is a dead one. A
        reminder is left out while any row of its alert waits, and overtaken it is not covered, only what it covers. A
        message that is already there (same id, same `at`) is left alone, as is an event or a batch. Durable against
        power loss if there are messages or events, else against a kill. Raises Fenced if the account is not at `rev`,
        Unavailable if it is not known whether it was written.
        """

    async def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """Up to n due messages, most urgent first, leased until now + lease. Of one alert only its oldest.

        least: only rows that are at least so urgent. account: only rows of that one; "": of all.
        A row whose lease ran out is due again with `maybe_sent` set: whoever held it may have sent it.
        """

    async def ack(self, message: Message, now: float) -> None:
        """It was sent: only now is it done."""

    async def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Not sent, or not known: queue it again, due at `due_at`.

        If a newer row of its alert was queued meanwhile, this one is superseded and covered by it instead.
        """

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It was given up. The row is kept for people to see, until the next row of its alert covers it.

        If a newer row of its alert was queued meanwhile, this one is superseded and covered by it at once.
        """

    async def release(self) -> None:
        """At start: every leased row is due again, `maybe_sent`; whoever held it is gone.

        All that waits is due at once. Whatever it waited for was of another time: the clock may have been set, the
        receiver mended.
        """

    async def hasten(self, receiver: str) -> None:
        """All that waits for a receiver is due at once: it is reached elsewhere now."""

    async def rename(self, old: str, new: str) -> None:
        """What waits of one alert, or was given up, is of another one from now on; the rule has another name."""

    async def next_due(self, receiver: str, least: Severity = Severity.OK) -> float | None:
        """When the earliest queued row of a receiver is due or its lease ends, None: nothing waits."""

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state (queued, sending, sent, superseded, dead, dropped), newest first, for people to see."""

    async def history(self, since: float) -> list[Event]:
        """Events since then, oldest first, for people to see."""

    async def record(self, batches: Sequence[Batch]) -> None:
        """Append to the journal what was recorded, each batch with its points, all or nothing.

        A batch that is already there (same account, segment and index) is left alone.
        """

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The points since then, oldest first, with the last value before it for each series; and when last seen."""

    async def recorded(self, account: str, since: float = 0.0) -> list[Batch]:
        """The account's batches, without points, in the order of writing; of segments that did not end before then."""

    async def keep(self, kept: Kept) -> None:
        """From now on this configuration is in force. What is in force already is left alone."""

    async def kept(self) -> list[Kept]:
        """The configurations that were in force, oldest first."""

    async def prune(self, before: float) -> None:
        """Forget done rows and points older than that, but of each series its last point, and no row that waits.

        Events and dead rows are kept for KEEP_LONG beyond that.
        """

    async def trim(self, before: float, size: int) -> None:
        """Forget segments that ended before then, and the oldest of all accounts beyond so many bytes.

        Of each account the newest one stays unless it is too old. Configurations that nothing left refers to go too.
        """

    async def close(self) -> None:
        """Write what is pending and let go."""
