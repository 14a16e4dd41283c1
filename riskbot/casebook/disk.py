"""A store that outlives kills, and brings them about: before or after any of its writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import msgspec

from riskbot.model import Event, Quiet, Severity
from riskbot.recording import Batch
from riskbot.store import QUIET, Message
from riskbot.store.memory import MemoryStore
from riskbot.store.outbox import SENDING

T = TypeVar("T")


async def for_ever() -> NoReturn:
    """Never goes on: whoever awaits it was killed."""
    while True:
        await asyncio.Event().wait()


class Disk(MemoryStore):
    """What riskbot writes in a case. It begins and ends within one loop.

    fuse: so many moments, before or after a write, until the process is killed; None: it is not. moments: how many
    there were.
    """

    def __init__(self, fuse: int | None = None) -> None:
        super().__init__()
        self.moments = 0
        self.gone = False
        """The process is killed: nothing it still asks for is done."""
        self.bell = asyncio.Event()
        """Rings when that happens."""
        self.where = ""
        """Before or after which write it was."""
        self._fuse = fuse

    def in_flight(self, receiver: str = "") -> list[Message]:
        """What is being sent: to one, or to all."""
        rows = self.rows.rows.values()
        return [r.message for r in rows if r.state == SENDING and receiver in ("", r.message.receiver)]

    def revive(self) -> None:
        """Another process has begun."""
        self.gone = False

    async def hush(self, change: Callable[[Quiet], Quiet]) -> None:
        """Somebody else, not the process, changes what nobody wants to be told."""
        state = await self.load(QUIET)
        quiet = change(msgspec.json.decode(state.value or b"{}", type=Quiet))
        await super().commit(QUIET, state.rev, f"by hand {state.rev}", msgspec.json.encode(quiet))

    async def live(self) -> None:
        """Go on only while the process lives."""
        if self.gone:
            await for_ever()

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
        """As its contract has it, unless the process is killed."""
        work = super().commit(account, rev, commit_id, value, messages, events, batches)
        return await self._written(work, f"the commit of {account}")

    async def take(
        self, receiver: str, n: int, now: float, lease: float, least: Severity = Severity.OK, account: str = ""
    ) -> list[Message]:
        """As its contract has it, unless the process is killed. To take nothing is no write."""
        await self.live()
        taken = await super().take(receiver, n, now, lease, least, account)
        if taken:
            await self._pass(f"after a message was taken for {receiver}")
        return taken

    async def ack(self, message: Message, now: float) -> None:
        """As its contract has it, unless the process is killed."""
        await self._written(super().ack(message, now), f"noting what was sent to {message.receiver}")

    async def nack(self, message: Message, now: float, due_at: float, why: str, *, maybe_sent: bool) -> None:
        """As its contract has it, unless the process is killed."""
        work = super().nack(message, now, due_at, why, maybe_sent=maybe_sent)
        await self._written(work, f"noting what was not sent to {message.receiver}")

    async def dead(self, message: Message, now: float, why: str) -> None:
        """As its contract has it, unless the process is killed."""
        await self._written(super().dead(message, now, why), f"giving up a message to {message.receiver}")

    async def _written(self, work: Coroutine[Any, Any, T], what: str) -> T:
        try:
            await self._pass(f"before {what}")
            done = await work
        finally:
            work.close()
        await self._pass(f"after {what}")
        return done

    async def _pass(self, where: str) -> None:
        """One moment at which a process may be killed."""
        await self.live()
        self.moments += 1
        if self.moments - 1 == self._fuse:
            self.where, self.gone = where, True
            self.bell.set()
            await for_ever()
