"""The store in memory: for tests, and what `SurvivingStore` falls back on. Gone when the process ends."""

from __future__ import annotations

from collections.abc import Iterable

from riskbot.store import Fenced, Message, Point, State
from riskbot.store.outbox import QUEUED, SENDING, WAITING, Key, Outbox, Row, key


class MemoryOutbox(Outbox):
    """Rows in a dict, in the order in which they came."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self._waiting: dict[str, dict[tuple[str, str], Key]] = {QUEUED: {}, SENDING: {}}
        self._done: dict[Key, None] = {}

    def find(self, message: Message) -> Row | None:  # noqa: D102 - see Outbox
        return self.rows.get(key(message))

    def queued(self, receiver: str, alert: str) -> Message | None:  # noqa: D102 - see Outbox
        found = self._waiting[QUEUED].get((receiver, alert))
        return None if found is None else self.rows[found].message

    def leased(self, receiver: str | None, until: float) -> list[Row]:  # noqa: D102 - see Outbox
        rows = (self.rows[found] for found in self._waiting[SENDING].values())
        return [row for row in rows if receiver in (None, row.message.receiver) and row.moment <= until]

    def due(self, receiver: str, n: int, now: float) -> list[Message]:  # noqa: D102 - see Outbox
        messages = [
            self.rows[found].message
            for place, found in self._waiting[QUEUED].items()
            if place[0] == receiver and self.rows[found].moment <= now and place not in self._waiting[SENDING]
        ]
        return sorted(messages, key=lambda message: (-message.urgency, message.at, message.id))[:n]

    def put(self, row: Row) -> None:  # noqa: D102 - see Outbox
        name, place = key(row.message), (row.message.receiver, row.message.alert)
        self._leave(name, place)
        self.rows[name] = row
        if row.state in WAITING:
            self._waiting[row.state][place] = name
        else:
            self._done[name] = None

    def next_due(self, receiver: str) -> float | None:
        """When the first row of a receiver can be taken. A row behind one in flight waits for that one's lease."""
        first = {**self._waiting[QUEUED], **self._waiting[SENDING]}
        moments = (self.rows[found].moment for place, found in first.items() if place[0] == receiver)
        return min(moments, default=None)

    def forget(self, names: Iterable[Key]) -> None:
        """Drop rows."""
        for name in [name for name in names if name in self.rows]:
            message = self.rows[name].message
            self._leave(name, (message.receiver, message.alert))
            del self.rows[name]

    def done(self) -> list[Row]:
        """Rows that no longer wait, in the order in which they were done."""
        return [self.rows[name] for name in self._done]

    def _leave(self, name: Key, place: tuple[str, str]) -> None:
        self._done.pop(name, None)
        for places in self._waiting.values():
            if places.get(place) == name:
                del places[place]


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

    max_points: the journal forgets its oldest points beyond so many.
    """

    def __init__(self, max_points: int = 1_000_000) -> None:
        self.states: dict[str, State] = {}
        self.rows = MemoryOutbox()
        self.points: dict[tuple[str, str, str, float], tuple[str, Point]] = {}
        self.seen: dict[str, float] = {}
        self._max_points = max_points

    async def load(self, account: str) -> State:
        """The account's last committed value."""
        return self.states.get(account, State())

    async def commit(self, account: str, rev: int, commit_id: str, value: bytes, messages: tuple[Message, ...]) -> int:
        """Write value and messages; give the new revision. Raises Fenced."""
        state = self.states.get(account, State())
        if state.rev and state.commit_id == commit_id:
            return state.rev
        if state.rev != rev:
            raise Fenced(f"account {account} is at revision {state.rev}, not {rev}: somebody else has written it")
        self.states[account] = State(value, rev + 1, commit_id)
        for message in messages:
            self.rows.add(message)
        return rev + 1

    async def restore(self, account: str, rev: int, state: State, rows: list[Row]) -> int:
        """As `SqliteStore.restore`."""
        at = self.states.get(account, State()).rev
        if at != rev:
            raise Fenced(f"account {account} is at revision {at}, not {rev}: somebody else has written it")
        self.rows.restore(rows)
        if state.value is None:
            return rev
        self.states[account] = State(state.value, rev + 1, state.commit_id)
        return rev + 1

    async def take(self, receiver: str, n: int, now: float, lease: float) -> list[Message]:
        """Up to n due messages, leased until now + lease."""
        return self.rows.take(receiver, n, now, lease)

    async def ack(self, message: Message, now: float) -> None:
        """It was sent."""
        self.rows.ack(message, now)

    async def nack(self, message: Message, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """Queue it again."""
        self.rows.nack(message, due_at, why, maybe_sent=maybe_sent)

    async def dead(self, message: Message, now: float, why: str) -> None:
        """It will never be sent."""
        self.rows.dead(message, now, why)

    async def release(self) -> None:
        """Every leased row is due again."""
        self.rows.release()

    async def next_due(self, receiver: str) -> float | None:
        """When `take` has something, None: nothing waits."""
        return self.rows.next_due(receiver)

    async def outbox(self, states: tuple[str, ...]) -> list[tuple[str, Message]]:
        """Rows with their state, newest first."""
        return [(row.state, row.message) for row in reversed(self.rows.rows.values()) if row.state in states]

    async def record(self, entries: list[tuple[str, list[Point], float]]) -> None:
        """Append to the journal."""
        for account, points, seen in entries:
            for point in points:
                self.points[account, point.field, point.ccy, point.at] = account, point
            self.seen[account] = max(seen, self.seen.get(account, seen))
        while len(self.points) > self._max_points:
            del self.points[next(iter(self.points))]

    async def recall(self, account: str, since: float) -> tuple[list[Point], float]:
        """The journal since then, and when the account was last seen (0: never)."""
        mine = (point for owner, point in self.points.values() if owner == account)
        return window(mine, since), self.seen.get(account, 0.0)

    def drain(self) -> list[tuple[str, list[Point], float]]:
        """All of the journal, as entries for `record`; here it is forgotten."""
        entries: dict[str, list[Point]] = {account: [] for account in self.seen}
        for account, point in self.points.values():
            entries[account].append(point)
        seen, self.points, self.seen = self.seen, {}, {}
        return [(account, points, seen[account]) for account, points in entries.items()]

    async def prune(self, before: float) -> None:
        """Forget old done rows, and points that no window from `before` on can need."""
        self.rows.forget(key(row.message) for row in self.rows.done() if row.moment < before)
        accounts = {account for account, _ in self.points.values()}
        kept = {account: (await self.recall(account, before))[0] for account in accounts}
        self.points = {(a, p.field, p.ccy, p.at): (a, p) for a, points in kept.items() for p in points}

    async def close(self) -> None:
        """Nothing is pending."""
