"""The store in memory: for tests, and what `SurvivingStore` falls back on. Gone when the process ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from riskbot.history import Point
from riskbot.model import Event, Severity
from riskbot.recording import Batch, points_only
from riskbot.store import KEEP_LONG, Fenced, Kept, Message, Room, State
from riskbot.store.outbox import DEAD, SENDING, STANDING, WAITING, Key, Outbox, Place, Row, key, place
from riskbot.store.tail import Tail


class MemoryOutbox(Outbox):
    """Rows in a dict, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self._standing: dict[Place, dict[Key, None]] = {}
        self._done: dict[Key, None] = {}

    def find(self, message: Message) -> Row | None:  # noqa: D102 - see Outbox
        return self.rows.get(key(message))

    def standing(self, receiver: str, alert: str) -> list[Row]:  # noqa: D102 - see Outbox
        rows = (self.rows[name] for name in self._standing.get((receiver, alert), ()))
        return sorted(rows, key=lambda row: key(row.message)[::-1])

    def all_standing(self) -> list[Row]:  # noqa: D102 - see Outbox
        rows = (self.rows[name] for names in self._standing.values() for name in names)
        return sorted(rows, key=lambda row: key(row.message)[::-1])

    def leased(self, receiver: str | None, until: float) -> list[Row]:  # noqa: D102 - see Outbox
        return [row for row in self._waiting(receiver) if row.state == SENDING and row.moment <= until]

    def due(self, receiver: str, n: int, now: float, least: Severity, account: str) -> list[Message]:  # noqa: D102 - see Outbox
        flying = self._flying(receiver)
        messages = [
            row.message
            for row in self._waiting(receiver)
            if row.moment <= now
            and place(row.message) not in flying
            and row.message.urgency >= least
            and account in ("", row.message.account)
        ]
        return sorted(messages, key=lambda message: (-message.urgency, message.at, message.id))[:n]

    def put(self, row: Row) -> None:  # noqa: D102 - see Outbox
        name = key(row.message)
        self._leave(name, place(row.message))
        self.rows[name] = row
        if row.state in STANDING:
            self._standing.setdefault(place(row.message), {})[name] = None
        if row.state not in WAITING:
            self._done[name] = None

    def next_due(self, receiver: str, least: Severity) -> float | None:
        """When the first row of a receiver can be taken. A row behind one in flight waits for that one's lease."""
        flying = self._flying(receiver)
        moments = (
            flying.get(place(row.message), row.moment)
            for row in self._waiting(receiver)
            if row.message.urgency >= least
        )
        return min(moments, default=None)

    def forget(self, names: Iterable[Key]) -> None:
        """Drop rows."""
        for name in [name for name in names if name in self.rows]:
            self._leave(name, place(self.rows[name].message))
            del self.rows[name]

    def done(self) -> list[Row]:
        """Rows that no longer wait, in the order in which they were done."""
        return [self.rows[name] for name in self._done]

    def prune(self, before: float) -> None:
        """Forget rows that were done before then, dead ones much later."""
        patience = {DEAD: KEEP_LONG}
        self.forget(key(row.message) for row in self.done() if row.moment < before - patience.get(row.state, 0.0))

    def _waiting(self, receiver: str | None) -> Iterator[Row]:
        """A receiver's queued and sending rows; None: everybody's."""
        for (name, _), keys in self._standing.items():
            if receiver in (None, name):
                yield from (row for row in map(self.rows.__getitem__, keys) if row.state in WAITING)

    def _flying(self, receiver: str) -> dict[Place, float]:
        """Until when a row of an alert is in flight."""
        return {place(row.message): row.moment for row in self._waiting(receiver) if row.state == SENDING}

    def _leave(self, name: Key, where: Place) -> None:
        self._done.pop(name, None)
        names = self._standing.get(where, {})
        names.pop(name, None)
        if not names:
            self._standing.pop(where, None)


EventKey = tuple[float, str, str, str, int, int]


def event_key(event: Event) -> EventKey:
    """What tells events apart, and orders them: oldest first."""
    return event.at, event.account, event.rule, event.subject, event.episode, event.seq


def window(points: Iterable[Point], since: float) -> list[Point]:
    """Points since then, oldest first, with the last one before it for each series."""
    last: dict[tuple[str, str], Point] = {}
    kept = []
    for point in sorted(points, key=lambda point: (point.at, point.field, point.ccy)):
        if point.at < since:
            last[point.field, point.ccy] = point
        else:
            kept.append(point)
    return [*sorted(last.values(), key=lambda point: (point.at, point.field, point.ccy)), *kept]


class MemoryStore:
    """The contract of `riskbot.store.Store` in dicts.

    max_points, max_events, max_bytes (of what was recorded): the oldest are forgotten beyond so many.
    """

    def __init__(self, max_points: int = 1_000_000, max_events: int = 10_000, max_bytes: int = 1 << 26) -> None:
        self.states: dict[str, State] = {}
        self.rows = MemoryOutbox()
        self.points: Tail[tuple[str, str, float], Point] = Tail(max_points)
        self.seen: dict[str, float] = {}
        self.events: dict[EventKey, Event] = {}
        self.batches: Tail[tuple[str, int], Batch] = Tail(max_bytes, lambda batch: len(batch.data))
        self.bundles: list[Kept] = []
        self._max_events = max_events

    async def accounts(self) -> list[str]:
        """All accounts that have a value, by name."""
        return sorted(account for account, state in self.states.items() if state.value is not None)

    async def load(self, account: str) -> State:
        """The account's last committed value."""
        return self.states.get(account, State())

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
        """Write value, messages, events and batches; give the new revision. Raises Fenced."""
        state = self.states.get(account, State())
        if state.rev and state.commit_id == commit_id:
            return state.rev
        if state.rev != rev:
            raise Fenced(f"account {account} is at revision {state.rev}, not {rev}: somebody else has written it")
        self.states[account] = State(value, rev + 1, commit_id)
        self._remember(events)
        await self.record(batches)
        for message in messages:
            self.rows.add(message)
        return rev + 1

    async def restore(
        self,
        account: str,
        rev: int,
        state: State,
        rows: list[Row],
        events: tuple[Event, ...] = (),
        batches: tuple[Batch, ...] = (),
    ) -> int:
        """As `SqliteStore.restore`."""
        at = self.states.get(account, State()).rev
        if at != rev:
            raise Fenced(f"account {account} is at revision {at}, not {rev}: somebody else has written it")
        self.rows.restore(rows)
        self._remember(events)
        await self.record(batches)
        if state.value is None:
            return rev
        self.states[account] = State(state.value, rev + 1, state.commit_id)
        return rev + 1

    async def room(self) -> Room:
        """Memory is no disk: it takes nothing, and none of it is short."""
        return Room(0, 1, 1)

    async def touched(self) -> bool:
        """Nobody else can write here."""
        return False

    async def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """Up to n due messages, leased until now + lease."""
        return self.rows.take(receiver, n, now, lease, least, account)

    async def ack(self, message: Message, now: float) -> None:
        """It was sent."""
        self.rows.ack(message, now)

    async def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again."""
        self.rows.nack(message, now, due_at, why, maybe_sent=maybe_sent)

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent."""
        self.rows.dead(message, now, why)

    async def release(self) -> None:
        """Every leased row is due again, and all that waits is due at once."""
        self.rows.release()

    async def hasten(self, receiver: str) -> None:
        """All that waits for a receiver is due at once."""
        self.rows.hasten(receiver)

    async def rename(self, old: str, new: str) -> None:
        """What waits of one alert is of another one from now on."""
        self.rows.rename(old, new)

    async def next_due(self, receiver: str, least: Severity = Severity.OK) -> float | None:
        """When `take` has something, None: nothing waits."""
        return self.rows.next_due(receiver, least)

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state, newest first."""
        return [(row.state, row.message) for row in reversed(self.rows.rows.values()) if row.state in states]

    async def history(self, since: float) -> list[Event]:
        """Events since then, oldest first."""
        return sorted((event for event in self.events.values() if event.at >= since), key=event_key)

    async def record(self, batches: Sequence[Batch]) -> None:
        """Append to the journal."""
        for batch in batches:
            account, key = batch.account, (batch.segment, batch.index)
            for point in batch.points:
                self.points.put(account, (point.field, point.ccy, point.at), point)
            if batch.points or batch.seen:
                self.seen[account] = max(batch.seen, self.seen.get(account, batch.seen))
            if batch.data and (account, key) not in self.batches:
                self.batches.put(account, key, replace(batch, points=(), seen=0.0))

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The points since then, and when the account was last seen (0: never)."""
        return window(self.points.of(account).values(), since), self.seen.get(account, 0.0)

    async def recorded(self, account: str, since: float = 0.0) -> list[Batch]:
        """The account's batches, in the order of writing; of segments that did not end before then."""
        segments: dict[str, list[Batch]] = {}
        for batch in self.batches.of(account).values():
            segments.setdefault(batch.segment, []).append(batch)
        wanted = [mine for mine in segments.values() if max(batch.last for batch in mine) >= since]
        return [batch for mine in wanted for batch in sorted(mine, key=lambda batch: batch.index)]

    async def keep(self, kept: Kept) -> None:
        """From now on this configuration is in force."""
        if not self.bundles or self.bundles[-1].hash != kept.hash:
            self.bundles.append(kept)

    async def kept(self) -> list[Kept]:
        """The configurations that were in force, oldest first."""
        return list(self.bundles)

    def journal(self, account: str) -> list[Batch]:
        """All of an account's journal, as batches for `record` elsewhere."""
        batches = list(self.batches.of(account).values())
        if account in self.seen:
            batches.append(points_only(account, self.points.of(account).values(), self.seen[account]))
        return batches

    def forget_journal(self, batches: Iterable[Batch]) -> None:
        """They are written down elsewhere."""
        for batch in batches:
            self.batches.drop(batch.account, (batch.segment, batch.index))
            for point in batch.points:
                self.points.drop(batch.account, (point.field, point.ccy, point.at))
            if self.seen.get(batch.account) == batch.seen:
                del self.seen[batch.account]

    async def prune(self, before: float) -> None:
        """Forget old done rows and events, and points that no window from `before` on can need."""
        self.rows.prune(before)
        self.events = {name: event for name, event in self.events.items() if event.at >= before - KEEP_LONG}
        for account in self.points.accounts():
            kept = set((await self.recall(account, before))[0])
            for series_at, point in self.points.of(account).items():
                if point not in kept:
                    self.points.drop(account, series_at)

    async def trim(self, before: float, size: int) -> None:
        """Forget old segments, and the oldest beyond so many bytes."""
        ends = {(batch.account, batch.segment): batch.last for batch in self.batches}
        newest = dict(ends.keys())
        for (account, segment), end in sorted(ends.items(), key=lambda item: item[1]):
            if end < before or (self.batches.weight > size and newest[account] != segment):
                for batch_key in [k for k in self.batches.of(account) if k[0] == segment]:
                    self.batches.drop(account, batch_key)
        first = min((batch.first for batch in self.batches), default=0.0)
        needed = sum(kept.since <= first for kept in self.bundles) - 1
        self.bundles = self.bundles[max(0, needed) :]

    async def close(self) -> None:
        """Nothing is pending."""

    def _remember(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.setdefault(event_key(event), event)
        while len(self.events) > self._max_events:
            del self.events[next(iter(self.events))]
