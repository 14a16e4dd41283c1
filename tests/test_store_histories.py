"""Random histories: every store answers every call alike, and the queue keeps its laws throughout."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from riskbot.history import Point
from riskbot.model import Severity
from riskbot.recording import points_only
from riskbot.store import Fenced, Message, Store, Unavailable, hand
from riskbot.store.memory import MemoryStore
from riskbot.store.outbox import STATES, key, place
from riskbot.store.sqlite import SqliteStore
from riskbot.store.surviving import SurvivingStore
from tests.store_contract import event, message, plain

ACCOUNTS, ALERTS, RECEIVERS = ("main", "spare"), ("a", "b"), ("phone", "mail")

Op = tuple[Any, ...]

commits = st.tuples(
    st.just("commit"),
    st.sampled_from(ACCOUNTS),
    st.integers(0, 1),  # revisions behind
    st.lists(
        st.tuples(
            st.sampled_from(ALERTS), st.sampled_from(RECEIVERS), st.sampled_from(Severity), st.sampled_from([0, 0, 1])
        ),
        max_size=3,
    ),
)
takes = st.tuples(
    st.just("take"),
    st.sampled_from(RECEIVERS),
    st.integers(1, 3),
    st.sampled_from([0.0, 5.0, 50.0]),
    st.sampled_from([Severity.OK, Severity.OK, Severity.CRITICAL]),
    st.sampled_from(["", "", *ACCOUNTS]),
)
verdicts = st.tuples(st.sampled_from(["ack", "nack", "dead"]), st.integers(0, 9), st.booleans())
pauses = st.tuples(st.just("wait"), st.sampled_from([1.0, 10.0]))
others = st.tuples(st.sampled_from(["release", "repeat", "prune"]))
points = st.tuples(st.just("record"), st.sampled_from(ACCOUNTS), st.sampled_from(["BTC", ""]), st.integers(0, 9))
hands = st.tuples(st.just("hand"), st.sampled_from(["retry", "drop"]), st.integers(0, 9))
ops = st.lists(st.one_of(commits, takes, takes, verdicts, verdicts, pauses, others, points, hands), max_size=30)

Hand = Callable[[str, str, float], Awaitable[list[Message]]]
"""`retry` or `drop`, by the id of a message and at a moment."""


def hand_in_memory(store: MemoryStore) -> Hand:
    async def do(name: str, chosen: str, now: float) -> list[Message]:
        found = [m for _, m in await store.outbox(STATES) if m.id == chosen]
        return [m for m in found if getattr(store.rows, name)(m, now)]

    return do


def hand_in_file(path: Path) -> Hand:
    async def do(name: str, chosen: str, now: float) -> list[Message]:
        return getattr(hand, name)(path, [chosen], now)  # type: ignore[no-any-return] # one of two functions

    return do


class Player:
    """Plays a history on a store and notes what can be seen of it."""

    def __init__(self, store: Store, hand: Hand) -> None:
        self.store, self.hand = store, hand
        self.now = 100.0
        self.revs: Counter[str] = Counter()
        self.taken: list[Message] = []
        self.last: tuple[Any, ...] = ("main", 0, "none", b"", ())
        self.made = 0

    async def play(self, op: Op) -> Any:
        if op[0] in {"ack", "nack", "dead"}:
            return await self.do_verdict(*op)
        return await getattr(self, f"do_{op[0]}")(*op[1:])

    async def look(self) -> Any:
        accounts = {a: await self.store.load(a) for a in ACCOUNTS}
        rows = sorted((state, m.id, m) for state, m in await self.store.outbox(STATES))
        due = [await self.store.next_due(r, least) for r in RECEIVERS for least in (Severity.OK, Severity.CRITICAL)]
        past = [await self.store.recall(a, 3.0) for a in ACCOUNTS]
        known = await self.store.accounts(), await self.store.history(0.0)
        return accounts, [(state, plain([m])[0]) for state, _, m in rows], due, past, known

    async def do_commit(self, account: str, behind: int, parts: list[tuple[str, str, Severity, int]]) -> Any:
        messages, events = [], []
        for alert, receiver, after, reminder in parts:
            self.made += 1
            messages.append(
                message(
                    self.made,
                    account=account,
                    alert=f"{account}/{alert}",
                    receiver=receiver,
                    after=after,
                    at=self.now,
                    reminder=reminder,
                )
            )
            events.append(event(self.made, account=account, at=self.now))
        commit_id = f"c{self.now}-{self.made}-{account}-{self.revs[account]}"
        value = commit_id.encode()
        self.last = account, self.revs[account] - behind, commit_id, value, tuple(messages), tuple(events)
        try:
            self.revs[account] = await self.store.commit(*self.last)
        except Fenced:
            return "fenced"
        return self.revs[account]

    async def do_repeat(self) -> Any:
        try:
            return await self.store.commit(*self.last)
        except Fenced:
            return "fenced"

    async def do_take(self, receiver: str, n: int, lease: float, least: Severity, account: str) -> Any:
        due = await self.store.next_due(receiver, least)
        taken = await self.store.take(receiver, n, self.now, lease, least, account)
        # of one account there may be nothing; and an urgent reminder may have made way for news that is not
        exact = not account and least == Severity.OK
        assert bool(taken) <= (due is not None and due <= self.now), "next_due says when take has something"
        assert not exact or bool(taken) == (due is not None and due <= self.now)
        self.taken += taken
        return plain(taken)

    async def do_verdict(self, name: str, which: int, maybe: bool) -> None:
        if not self.taken:
            return
        m = self.taken[which % len(self.taken)]
        if name == "nack":
            await self.store.nack(m, self.now, self.now + which, "503", maybe_sent=maybe)
        else:
            await (self.store.ack(m, self.now) if name == "ack" else self.store.dead(m, self.now, "403"))

    async def do_hand(self, name: str, which: int) -> Any:
        rows = sorted((m for _, m in await self.store.outbox(("dead", "queued"))), key=key)
        if not rows:
            return None
        changed = await self.hand(name, rows[which % len(rows)].id, self.now)
        if isinstance(self.store, SurvivingStore):
            await self.store.heal(self.now)
        return [m.id for m in changed]

    async def do_wait(self, seconds: float) -> None:
        self.now += seconds

    async def do_release(self) -> None:
        await self.store.release()

    async def do_prune(self) -> None:
        await self.store.prune(self.now - 15.0)

    async def do_record(self, account: str, ccy: str, at: int) -> None:
        await self.store.record([points_only(account, [Point("liab", ccy, float(at), f"{self.now}")], float(at))])


def assert_lawful(rows: list[tuple[str, Message]]) -> None:
    """Per receiver and alert one queued, one in flight; what is news is there, or covered by what overtook it.

    No more than one is dead, and nothing newer waits or was sent: else it would have been covered.
    """
    waiting = Counter((state, m.receiver, m.alert) for state, m in rows if state in {"queued", "sending"})
    assert not waiting or max(waiting.values()) == 1
    covered = {(m.receiver, m.alert, step.seq) for _, m in rows for step in m.covers}
    for state, m in rows:
        assert state != "superseded" or m.reminder or (m.receiver, m.alert, m.seq) in covered
        newer = [other for other, o in rows if place(o) == place(m) and o.seq > m.seq]
        assert state != "dead" or {*newer} <= {"dropped"}


@given(ops)
@settings(max_examples=60, deadline=None)
def test_every_store_answers_every_history_alike(history: list[Op]) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            sqlite = await SqliteStore.open(Path(directory) / "a.db")
            over = await SqliteStore.open(Path(directory) / "b.db")
            memory, a, b = MemoryStore(), Path(directory) / "a.db", Path(directory) / "b.db"
            players = [
                Player(memory, hand_in_memory(memory)),
                Player(sqlite, hand_in_file(a)),
                Player(SurvivingStore(over), hand_in_file(b)),
            ]
            try:
                for op in history:
                    first, *rest = [(await player.play(op), await player.look()) for player in players]
                    assert [answer == first for answer in rest] == [True, True], (op, first, rest)
                    assert_lawful(await memory.outbox(STATES))
            finally:
                await sqlite.close()
                await over.close()

    asyncio.run(run())


class Failing(MemoryStore):
    """A memory that fails for a while, before or after doing what it was asked."""

    mode = "well"

    async def touched(self) -> bool:
        if self.mode == "down":
            raise Unavailable("down")
        return True

    async def _maybe(self, call: Awaitable[Any]) -> Any:
        if self.mode == "down":
            call.close()  # type: ignore[attr-defined] # a coroutine that is not to run
            raise Unavailable("down")
        result = await call
        if self.mode == "late":
            raise Unavailable("late")
        return result


for _name in ("commit", "take", "ack", "nack", "dead", "release", "record", "prune", "restore", "load", "next_due"):

    def _failing(name: str) -> Any:
        inner = getattr(MemoryStore, name)

        async def call(self: Failing, *args: Any, **kwargs: Any) -> Any:
            return await self._maybe(inner(self, *args, **kwargs))

        return call

    setattr(Failing, _name, _failing(_name))

moods = st.tuples(st.just("mood"), st.sampled_from(["well", "down", "late"]))
heals = st.tuples(st.just("heal"))
troubled = st.lists(
    st.one_of(commits, takes, verdicts, pauses, moods, heals, hands, st.tuples(st.just("repeat"))), max_size=40
)


@given(troubled)
@settings(max_examples=300, deadline=None)
def test_through_any_trouble_the_same_is_told_as_without_it(history: list[Op]) -> None:
    async def run() -> None:
        primary, memory = Failing(), MemoryStore()
        calm = Player(memory, hand_in_memory(memory))
        store = SurvivingStore(primary)
        await store.release()
        for account in ACCOUNTS:
            await store.load(account)
        troubled = Player(store, hand_in_memory(primary))
        for op in history:
            if op[0] == "mood":
                primary.mode = op[1]
            elif op[0] == "heal":
                await store.heal(troubled.now)
            elif op[0] == "hand" and (store.failing or primary.mode != "well"):
                continue  # nobody can write it
            else:
                assert await troubled.play(op) == await calm.play(op), op
        primary.mode = "well"
        await store.heal(troubled.now)
        assert store.failing is None
        rows = await primary.outbox(STATES)
        assert_lawful(rows)
        assert sorted((s, m.id) for s, m in rows) == sorted((s, m.id) for s, m in await calm.store.outbox(STATES))
        assert await primary.history(0.0) == await memory.history(0.0)
        for account in ACCOUNTS:
            assert (await primary.load(account)).value == (await calm.store.load(account)).value

    asyncio.run(run())
