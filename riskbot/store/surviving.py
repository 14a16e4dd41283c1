"""A store that outlives the trouble of the one it stands on: watching goes on and alerts are told from memory.

It keeps a mirror of all that waits to be sent or was given up, and of each account's value. While the primary is well,
every call goes to the primary first and then into the mirror. From its first failure on, everything happens in the
mirror alone; `heal`, called now and then, writes what changed meanwhile back, whole accounts at a time.

Laws:
1. No call but `heal`'s own fails because of the primary; only Fenced is passed on.
2. What the primary had queued when it broke is sent from the mirror; what was sent from the mirror is not sent again.
3. Messages committed in trouble are marked `unsaved`, until they are saved.
4. The trouble can be seen: `failing` and `since`.
5. A watch never sees Fenced because of the trouble: it is given revisions of its own.
6. What was recorded is kept in memory within bounds: of a long trouble the oldest part is lost.
7. Nothing is deleted: a damaged file is moved aside by `reopen`, and the new one is given all that the mirror knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import Event, Severity
from riskbot.recording import Batch
from riskbot.store import Broken, Fenced, Kept, Message, Room, State, Store, StoreError, Unavailable
from riskbot.store.memory import event_key, window
from riskbot.store.mirror import KNOWN, Mirror
from riskbot.store.outbox import DEAD, SENDING, STATES, WAITING, Outbox, Row, key

T = TypeVar("T")

LAST_TRY = 2.0
"""Seconds that `close` spends on bringing a failing store up to date."""


class Primary(Store, Protocol):
    """A store that can be brought up to date after an outage."""

    async def restore(
        self,
        account: str,
        rev: int,
        state: State,
        rows: list[Row],
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """Write an account's value (None: leave it), rows exactly as they stand, events and batches, all or nothing.

        Gives the revision. Raises Fenced if the account is not at `rev`, Unavailable.
        """

    async def touched(self) -> bool:
        """Has another program written since this was last asked? At first: perhaps. Raises Unavailable."""

    async def room(self) -> Room:
        """What it takes of its disk, and what is left there. Raises Unavailable."""


class SurvivingStore:
    """The contract of `riskbot.store.Store` over a primary that may fail, or is not there yet.

    primary: None if it could not be opened; `reason` then says why, for people.
    reopen: opens the primary anew, moving a damaged file aside (`SqliteStore.reopen`). Raises StoreError.

    failing: what is wrong, for people; None: all is well. since: the moment when the trouble was first seen, as far
    as is known (seconds since 1970; 0: not known).
    """

    def __init__(
        self,
        primary: Primary | None,
        reopen: Callable[[], Awaitable[Primary]] | None = None,
        reason: str = "the store could not be opened",
    ) -> None:
        self.failing: str | None = None if primary else reason
        self.since = 0.0
        self._primary = primary
        self._reopen = reopen
        self._mirror = Mirror()
        self._now = 0.0  # the newest moment that a caller spoke of
        self._released = False  # the primary has no rows in flight from an earlier process
        self._readable = True  # worth asking a failing primary
        self._healing = False
        self._changed: set[str] = set()  # accounts whose mirror is ahead of the primary
        self._known: dict[str, int] = {}  # the primary's revision as last seen
        self._ahead: dict[str, int] = {}  # the watch's revision less the primary's
        self._tried: dict[str, str] = {}  # the commit last tried on the primary

    async def accounts(self) -> list[str]:
        """All accounts that have a value, by name, from wherever they are known."""
        theirs = await self._read(lambda store: store.accounts()) or []
        return sorted({*theirs, *await self._mirror.accounts()})

    async def load(self, account: str) -> State:
        """The account's last committed value; without a primary that can be read, what memory has."""
        if self.failing is None:
            with suppress(_Down):
                return self._loaded(account, await self._ask(lambda store: store.load(account)))
        if account not in self._mirror.states:
            await self._load_in_trouble(account)
        return self._mirror.states[account]

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
        """Write all of it, in the primary or, messages marked `unsaved`, in memory. Raises Fenced.

        A caller that is cancelled does not tear it in two: what the primary has done, the mirror does.
        """
        return await asyncio.shield(self._commit(account, rev, commit_id, value, messages, events, batches))

    async def _commit(
        self,
        account: str,
        rev: int,
        commit_id: str,
        value: bytes,
        messages: tuple[Message, ...],
        events: tuple[Event, ...],
        batches: tuple[Batch, ...],
    ) -> int:
        ahead = self._ahead.get(account, 0)
        if self.failing is None:
            self._tried[account] = commit_id
            with suppress(_Down):
                at = await self._ask(
                    lambda store: store.commit(account, rev - ahead, commit_id, value, messages, events, batches)
                )
                self._known[account] = at
                self._committed(account, State(value, at + ahead, commit_id), messages)
                return at + ahead
        self._mirror.states.setdefault(account, State(rev=rev))
        unsaved = tuple(replace(message, unsaved=True) for message in messages)
        self._changed |= {account, *(message.account for message in messages)}
        return await self._mirror.commit(account, rev, commit_id, value, unsaved, events, batches)

    async def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """Up to n due messages, from the primary or the mirror."""
        self._now = max(self._now, now)
        rows = self._mirror.rows
        if self.failing is None:
            with suppress(_Down):
                taken = await self._ask(lambda store: store.take(receiver, n, now, lease, least, account))
                rows.expire(receiver, now)
                rows.restore(Row(message, SENDING, now + lease) for message in taken)
                self._forget_done()
                return taken
        taken = rows.take(receiver, n, now, lease, least, account)
        self._changed |= {message.account for message in taken}
        return taken

    async def ack(self, message: Message, now: float) -> None:
        """It was sent. If the primary can't note it, this process remembers and notes it later."""
        self._now = max(self._now, now)

        def sent(rows: Outbox) -> None:
            if self.failing is not None and rows.find(message) is None:
                rows.put(Row(message, SENDING, now))  # taken before there was a mirror of it
            rows.ack(message, now)

        await self._judge(message, lambda store: store.ack(message, now), sent)

    async def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again."""
        self._now = max(self._now, now)
        await self._judge(
            message,
            lambda store: store.nack(message, now, due_at, why, maybe_sent=maybe_sent),
            lambda rows: rows.nack(message, now, due_at, why, maybe_sent=maybe_sent),
        )

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent."""
        self._now = max(self._now, now)
        await self._judge(
            message, lambda store: store.dead(message, now, why), lambda rows: rows.dead(message, now, why)
        )

    async def release(self) -> None:
        """At start: what an earlier process left is due again, and is mirrored, so that no trouble can silence it."""
        self._released = await self._save(lambda store: store.release())
        self._learn(await self._read(lambda store: store.outbox(KNOWN)) or [])
        self._mirror.rows.release()

    async def hasten(self, receiver: str) -> None:
        """All that waits for a receiver is due at once."""
        await self._save(lambda store: store.hasten(receiver))
        self._mirror.rows.hasten(receiver)
        self._changed |= self._in_trouble()

    async def rename(self, old: str, new: str) -> None:
        """What waits of one alert is of another one from now on."""
        await self._save(lambda store: store.rename(old, new))
        self._mirror.rows.rename(old, new)
        self._changed |= self._in_trouble()

    def _in_trouble(self) -> set[str]:
        """The accounts whose rows have to be written when the trouble is over."""
        rows = self._mirror.rows.all_standing() if self.failing is not None else ()
        return {row.message.account for row in rows}

    async def next_due(self, receiver: str, least: Severity = Severity.OK) -> float | None:
        """When `take` has something, None: nothing waits."""
        if self.failing is None:
            with suppress(_Down):
                return await self._ask(lambda store: store.next_due(receiver, least))
        return self._mirror.rows.next_due(receiver, least)

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state, newest first: the primary's if it can be read, and what memory knows better."""
        if self.failing is None:
            with suppress(_Down):
                return await self._ask(lambda store: store.outbox(states))
        theirs = await self._read(lambda store: store.outbox(STATES)) or []
        rows = {key(message): (state, message) for state, message in theirs}
        rows |= {name: (row.state, row.message) for name, row in self._mirror.rows.rows.items()}
        chosen = [row for row in rows.values() if row[0] in states]
        return sorted(chosen, key=lambda row: row[1].at, reverse=True)

    async def room(self) -> Room | None:
        """What the primary takes of its disk, and what is left there; None while it fails, or that can't be told."""
        with suppress(StoreError):
            return await self._there().room() if self.failing is None else None
        return None

    def unsent(self) -> list[Message]:
        """All that waits to be sent, as memory has it: without a look at the primary."""
        return [row.message for row in self._mirror.rows.all_standing() if row.state in WAITING]

    def given_up(self) -> list[Message]:
        """All that will not be sent by itself any more, and that no newer message has replaced, in the same way."""
        return [row.message for row in self._mirror.rows.all_standing() if row.state == DEAD]

    async def history(self, since: float) -> list[Event]:
        """Events since then, oldest first, from wherever they are known."""
        theirs = await self._read(lambda store: store.history(since)) or []
        ours = await self._mirror.history(since)
        events = {event_key(event): event for event in (*ours, *theirs)}
        return [events[name] for name in sorted(events)]

    async def record(self, batches: Sequence[Batch]) -> None:
        """Append to the journal, or to its newest part in memory."""
        if not await self._save(lambda store: store.record(batches)):
            await self._mirror.record(batches)

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The points since then, and when the account was last seen, from wherever it is known."""
        theirs = await self._read(lambda store: store.recall(account, since)) or ([], 0.0)
        ours = await self._mirror.recall(account, since)
        points = {(point.field, point.ccy, point.at): point for point in (*theirs[0], *ours[0])}
        return window(points.values(), since), max(theirs[1], ours[1])

    async def recorded(self, account: str, since: float = 0.0) -> list[Batch]:
        """The account's batches, oldest first, from wherever they are known."""
        theirs = await self._read(lambda store: store.recorded(account, since)) or []
        known = {(batch.segment, batch.index) for batch in theirs}
        ours = await self._mirror.recorded(account, since)
        return [*theirs, *(batch for batch in ours if (batch.segment, batch.index) not in known)]

    async def keep(self, kept: Kept) -> None:
        """From now on this configuration is in force; it is remembered for a primary that fails, or is a new one."""
        await self._mirror.keep(kept)
        if await self._save(lambda store: store.keep(kept)):
            del self._mirror.bundles[:-1]

    async def kept(self) -> list[Kept]:
        """The configurations that were in force, from wherever they are known."""
        theirs = await self._read(lambda store: store.kept()) or []
        found = {kept.since: kept for kept in (*self._mirror.bundles, *theirs)}
        return [found[since] for since in sorted(found)]

    async def prune(self, before: float) -> None:
        """Forget what is old."""
        await self._save(lambda store: store.prune(before))
        await self._mirror.prune(before)

    async def trim(self, before: float, size: int) -> None:
        """Forget what was recorded long ago."""
        await self._save(lambda store: store.trim(before, size))
        await self._mirror.trim(before, size)

    async def close(self) -> None:
        """Bring a failing primary up to date if that works at once, and let go."""
        if self.failing is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_TRY):
                    await self.heal(self._now)
        if self._primary is not None:
            await self._primary.close()

    async def heal(self, now: float) -> None:
        """To be called every few seconds: try to end the trouble; if there is none, see what people did.

        Raises nothing.
        """
        self._now = max(self._now, now)
        if self.failing is None:
            await self._notice_hands()
        if self.failing is None or self._healing:
            return
        self.since = self.since or now
        self._healing, self._readable = True, True
        try:
            await self._heal()
        except StoreError:
            pass  # the trouble goes on; its first reason is the one to tell
        finally:
            self._healing = False

    # The primary, and what to do when it fails.

    async def _ask(self, call: Callable[[Primary], Awaitable[T]]) -> T:
        """The primary's answer. Raises Fenced, and _Down once its failing is noted."""
        try:
            return await call(self._there())
        except Fenced:
            raise
        except StoreError as error:
            self._fail(str(error))
            raise _Down from error

    async def _save(self, call: Callable[[Primary], Awaitable[None]]) -> bool:
        """Let the primary do this, unless it fails."""
        if self.failing is None:
            with suppress(_Down):
                await self._ask(call)
                return True
        return False

    async def _read(self, call: Callable[[Primary], Awaitable[T]]) -> T | None:
        """The primary's answer if it can be read: a full disk can, and then the past is not lost. Else None."""
        if self.failing is None:
            with suppress(_Down):
                return await self._ask(call)
        if self._readable:
            with suppress(StoreError):
                return await call(self._there())
            self._readable = False  # it may hang: not to be waited for again before the next healing
        return None

    def _there(self) -> Primary:
        if self._primary is None:
            raise Unavailable(self.failing or "the store is not open")
        return self._primary

    def _fail(self, why: str) -> None:
        if self.failing is None:
            self.failing, self.since = why, self._now

    # The mirror.

    def _loaded(self, account: str, state: State) -> State:
        self._known[account] = state.rev
        mine = replace(state, rev=state.rev + self._ahead.get(account, 0))
        self._mirror.states[account] = mine
        return mine

    async def _load_in_trouble(self, account: str) -> None:
        """What the primary still gives, else nothing: watching begins anew rather than not at all."""
        state = await self._read(lambda store: store.load(account))
        if state is not None:
            self._loaded(account, state)
        else:
            self._mirror.states[account] = State()
            self._changed.add(account)

    def _committed(self, account: str, state: State, messages: tuple[Message, ...]) -> None:
        """Do in the mirror what the primary has done."""
        if self._mirror.states.get(account) != state:  # else it was a repeat
            self._mirror.states[account] = state
            for message in messages:
                self._mirror.rows.add(message)
        self._forget_done()

    async def _judge(
        self, message: Message, call: Callable[[Primary], Awaitable[None]], verdict: Callable[[Outbox], None]
    ) -> None:
        """Note what became of a message, in the primary and in the mirror."""
        saved = True  # if this is cancelled: the primary finishes what it has begun
        try:
            saved = await self._save(call)
        finally:
            if not saved:
                self._changed.add(message.account)
            verdict(self._mirror.rows)
            self._forget_done()

    async def _notice_hands(self) -> None:
        """A person may have queued a message again or dropped it (`hand.py`): memory must not know it better."""
        with suppress(_Down):
            if await self._ask(lambda store: store.touched()):
                self._learn(await self._ask(lambda store: store.outbox(KNOWN)))
                self._forget_done()

    def _learn(self, theirs: list[tuple[str, Message]]) -> None:
        self._changed |= self._mirror.learn(theirs)

    def _forget_done(self) -> None:
        self._mirror.forget_done(well=self.failing is None)

    # Healing.

    async def _heal(self) -> None:
        try:
            await self._bring_up_to_date()
        except Broken:
            if self._reopen is None or self._primary is None:
                raise
            broken, self._primary = self._primary, None
            await broken.close()
            await self._bring_up_to_date()

    async def _bring_up_to_date(self) -> None:
        if self._primary is None:
            await self._begin_anew()
        store = self._there()
        if not self._released:
            await store.release()
            self._released = True
        self._learn(await store.outbox(KNOWN))
        for kept in self._mirror.bundles:
            await store.keep(kept)
        while self._changed or self._mirror.behind:
            await self._mend_all(store)
            await self._replay(store)
        self._recovered()  # nothing was awaited since the mirror was seen to be written

    async def _begin_anew(self) -> None:
        """Open the primary. It may be another file than before: it is given all that the mirror has."""
        if self._reopen is None:
            raise Unavailable(self.failing or "the store is not open")
        self._primary = await self._reopen()
        self._released = False
        rows = self._mirror.rows.rows.values()
        self._changed |= {*self._mirror.states, *(row.message.account for row in rows)}

    async def _replay(self, store: Primary) -> None:
        """Give the primary the journal's part that it missed."""
        for account in self._mirror.behind:
            batches = self._mirror.journal(account)
            await store.record(batches)
            self._mirror.forget_journal(batches)

    async def _mend_all(self, store: Primary) -> None:
        while self._changed:
            account = self._changed.pop()
            try:
                await self._mend(store, account)
            except BaseException:
                self._changed.add(account)
                raise

    async def _mend(self, store: Primary, account: str) -> None:
        """Bring one account up to date in the primary."""
        theirs = await store.load(account)
        if self._is_foreign(account, theirs):
            await self._let_go(store, account, theirs)
            return
        mine = self._mirror.states.get(account, State())
        rows, events = self._mirror.rows_of(account), self._mirror.events_of(account)
        batches = self._mirror.journal(account)
        self._known[account], self._tried[account] = theirs.rev, mine.commit_id
        saved = [_saved(row) for row in rows]
        rev = await store.restore(account, theirs.rev, mine, saved, events, tuple(batches))
        self._known[account] = rev
        self._mirror.forget_events(events)
        self._mirror.forget_journal(batches)
        if account in self._mirror.states:  # else nobody holds a revision of it
            self._ahead[account] = mine.rev - rev
        for row in rows:
            if self._mirror.rows.find(row.message) is row:
                self._mirror.rows.put(_saved(row))

    def _is_foreign(self, account: str, theirs: State) -> bool:
        """Has somebody else written it? The last commit from here may have gone through although it failed."""
        known = self._known.get(account, theirs.rev)
        return theirs.rev > known and theirs.commit_id != self._tried.get(account)

    async def _let_go(self, store: Primary, account: str, theirs: State) -> None:
        """Another owner judges this account now, and tells what is to be told; only what was done is noted."""
        rows = self._mirror.rows_of(account)
        done = [row for row in rows if row.state not in WAITING and not row.message.unsaved]
        await store.restore(account, theirs.rev, State(), done)
        self._mirror.rows.forget(key(row.message) for row in rows)
        self._mirror.forget_events(self._mirror.events_of(account))
        self._mirror.forget_batches(account)
        held = self._mirror.states.pop(account, State()).rev
        self._known[account], self._ahead[account] = theirs.rev, held + 1  # what the watch holds is now Fenced

    def _recovered(self) -> None:
        self.failing, self.since = None, 0.0
        self._forget_done()


class _Down(Exception):  # noqa: N818 - no error, but the turn to the mirror
    """The primary failed, and this was noted."""


def _saved(row: Row) -> Row:
    """The row as it is written after the trouble: only what was sent in it stays marked."""
    return replace(row, message=replace(row.message, unsaved=False)) if row.state in WAITING else row
