"""The loops and the clocks; all else is called from here. Watches and couriers share nothing but the store.

Pacer ──▶ Watch.poll: fetch ▸ ask the rules ▸ judge ▸ plan ▸ commit      (one per account)
                                                        │ wake
Courier: take ▸ send ▸ done | later | dead               ◀┘               (one per receiver)
SelfWatch: what fails in riskbot itself ▸ judge ▸ plan ▸ commit           (every second)
Journal: the past of watched fields ▸ store; heals the store              (every ten seconds)
Crier: a start that is news, and each day how all is ▸ outbox             (every second)
Heartbeat: while all of this works ▸ ping an outside service              (every minute)
Reloader: a changed rules file ▸ a new Bundle ▸ Service.apply             (every two seconds)
Herald: whether all moves, and the worst that is open ▸ systemd           (every second)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace

from riskbot.delivery import Receiver, about_receiver
from riskbot.health import Health, Problems, about_key, about_polls, about_watch
from riskbot.model import Event, Severity, View
from riskbot.notify import Notifier
from riskbot.rules import Measured, Rule
from riskbot.service.almanac import Almanac
from riskbot.service.bundle import Account, Bundle
from riskbot.service.clock import Clock
from riskbot.service.courier import Courier, Pick, by_chance
from riskbot.service.heartbeat import Heartbeat
from riskbot.service.host import Host
from riskbot.service.hush import Hush
from riskbot.service.journal import Journal
from riskbot.service.judge import Judge
from riskbot.service.logbook import changed
from riskbot.service.minder import Minder
from riskbot.service.pacer import Pacer
from riskbot.service.recorder import Recorder
from riskbot.service.selfwatch import SelfWatch, health
from riskbot.service.vitals import Vitals
from riskbot.service.watch import Watch
from riskbot.settings import SELF
from riskbot.store import Fenced, Kept, Message
from riskbot.store.outbox import WAITING
from riskbot.store.surviving import SurvivingStore
from riskbot.text import span

__all__ = ["Account", "Bundle", "Service"]

log = logging.getLogger("riskbot")

DRAIN = 3.0
"""Seconds that the couriers have to empty the outbox when riskbot ends."""


class Service:
    """All of riskbot, running."""

    def __init__(
        self,
        bundle: Bundle,
        store: SurvivingStore,
        clock: Clock | None = None,
        late: Callable[[float], None] = lambda _: None,
        pick: Pick = by_chance,
    ) -> None:
        """late: told by how much each poll is. pick: see `Courier`."""
        self.clock = clock or Clock()
        self.problems = Problems()
        self.bundle = bundle
        self.almanac = Almanac()
        self.seen_before = 0.0
        """When any of the accounts was seen last before the start; 0: none was."""
        self.couriers: dict[str, Courier] = {}
        self.watches: dict[str, Watch] = {}
        self._store, self._late, self._pick = store, late, pick
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        self._left: dict[str, str] = {}
        self._hash = ""
        self._hush = Hush(store)
        self._minder = Minder(self.clock, self.problems)
        self._minder.use(bundle.plugins, bundle.redact)
        self._self_judge = self._judge(SELF, [_health(bundle)])
        self._self_watch = SelfWatch(
            self._self_judge, store, self.clock, self.problems, self._hush, self._exposed, self._look
        )
        self.host = Host(self.watches, store, self.problems, self._offsets, lambda: self.bundle.store.max_mb)
        self._journal = Journal(self.watches, store, self.clock, lambda: self.bundle.store)
        loops = {"the self-watch": self._self_watch.pulse}
        self.vitals = Vitals(self.watches, self.couriers, store, self.clock, loops, self.problems)
        self._heartbeat = Heartbeat(lambda: self.bundle.heartbeat, self.vitals, self.clock, self.problems)

    async def run(self, stop: asyncio.Event, *others: Coroutine[Any, Any, Any]) -> None:
        """Watch until `stop` is set; then deliver what waits, for three seconds at the most, and let go.

        others: loops that live as long.
        Raises what a loop raised, after letting go: a loop that ends is a mistake of riskbot, not of its user.
        """
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._store.release()
        await self._hush.look()
        await self._hire(self.bundle.receivers)
        await self._keep()
        for account in self.bundle.accounts:
            await self._open(account)
        sights = [watch.sight for watch in self.watches.values()]
        self.seen_before = max((sight.seen for sight in sights if sight.ever_seen), default=0.0)
        await self._self_judge.load(self.clock.now())
        await self._close_strangers()
        for loop in (self._self_watch.run(), self._journal.run(), self._heartbeat.run(), *others):
            self._start(loop, loop)
        self._pace()
        self._start("stop", stop.wait())
        try:
            await self._ended
        finally:
            await self._end()

    async def apply(self, bundle: Bundle) -> None:
        """Go over to another bundle. What is the same in both goes on as if nothing had happened.

        Raises what a notifier raises that can't be made; then nothing has changed. Whatever else it raises is a mistake
        of riskbot: `bundle` is the new one by then, and what is watched goes on being watched.
        """
        ready = await self._made_notifiers(bundle)
        old, self.bundle = self.bundle, replace(bundle, notifier=ready.__getitem__)
        try:
            await self._go_over(old, bundle)
        finally:
            self._pace()

    async def _go_over(self, old: Bundle, bundle: Bundle) -> None:
        self._minder.use(bundle.plugins, bundle.redact)
        await self._journal.write()
        await self._keep()
        await self._hire(bundle.receivers)
        kept = [a.name for a in bundle.accounts if a in old.accounts and a.name in self.watches]
        leaving = {name: self.watches.pop(name) for name in self.watches.keys() - {*kept}}
        self._pace()  # a watch that is closed is not polled once more
        for name, watch in leaving.items():
            await watch.close()
            for part in (about_watch(name), about_polls(name), about_key(name)):
                self.problems.forget(part)
        for account in bundle.accounts:
            if account.name not in kept:
                await self._open(account)
        await self._take_leave(old)
        for name in kept:
            await self.watches[name].use(bundle.rules, bundle.receivers, self._store, self._hash)
        await self._self_watch.use(_health(bundle), bundle.receivers)
        await self._close_strangers()

    async def _keep(self) -> None:
        """Remember what is watched from now on: what is recorded names it."""
        book = self.bundle.rulebook
        self._hash = book.hash
        await self._store.keep(Kept(self.clock.now(), book.hash, book.text))

    # Accounts.

    def _judge(self, account: str, rules: Sequence[Rule], recorder: Recorder | None = None) -> Judge:
        receivers, store = self.bundle.receivers, self._store
        telling = (self.wake, self._failing, self._hush.at, self._minder.compose, self._heard)
        return Judge(account, rules, receivers, store, *telling, recorder)

    def _heard(self, event: Event) -> None:
        """An alert has changed: for the log, and for plugins."""
        changed(event)
        self._minder.heard(event)

    async def _open(self, account: Account) -> None:
        bundle = self.bundle
        judge = self._judge(account.name, bundle.rules, Recorder(account.name, self._hash))
        watch = Watch(judge, bundle.source(account), self.clock, self.problems, account.poll_every, self._ask)
        await _though_overtaken(lambda: watch.load(self._store))
        self.watches[account.name] = watch

    def _ask(self, rule: Rule, view: View) -> Measured:
        answer = self._minder.ask(rule, view)
        self.almanac.note(view.account, rule, answer, view.now)
        return answer

    async def _close_strangers(self) -> None:
        """What is remembered of accounts, and waits for receivers, that the file does not have any more."""
        names = {account.name for account in self.bundle.accounts} | {SELF}
        for name in await self._store.accounts():
            if name not in names and not name.startswith("@"):
                await self._close_stranger(name)
        for _, message in await self._store.outbox(WAITING):
            if message.receiver not in self.couriers:
                await self._give_up(message)

    async def _close_stranger(self, name: str) -> None:
        judge = self._judge(name, [], Recorder(name, self._hash))
        await _though_overtaken(lambda: judge.load(self.clock.now()))

    async def _give_up(self, message: Message) -> None:
        """Its receiver is not there any more. Should it come back, it is told anew, and of this as missed."""
        why = "the receiver is not in the rules file any more"
        log.error("never sent to %s, %s: %s", message.receiver, why, message.title)
        await self._store.dead(message, self.clock.now(), why)
        if judge := self._judge_of(message.account):
            async with judge.lock:
                await judge.unsay(message)

    @property
    def store(self) -> SurvivingStore:
        """What is remembered."""
        return self._store

    def judges(self) -> list[Judge]:
        """Of each account, and of riskbot itself."""
        return [*(watch.judge for watch in self.watches.values()), self._self_judge]

    def _judge_of(self, account: str) -> Judge | None:
        if account == SELF:
            return self._self_judge
        return self.watches[account].judge if account in self.watches else None

    def _pace(self) -> None:
        self._cancel("pacer")
        self._start("pacer", Pacer(tuple(self.watches.values()), self.clock, self._late).run())

    # Receivers.

    async def _hire(self, receivers: Sequence[Receiver]) -> None:
        """A courier for each receiver; those that have left, or moved, finish what they carry."""
        addresses = self.bundle.addresses
        for name in [name for name, courier in self.couriers.items() if courier.address != addresses.get(name)]:
            self.couriers.pop(name).retire()
            await self._store.hasten(name)
        for receiver in receivers:
            if courier := self.couriers.get(receiver.name):
                courier.settings = receiver
                continue
            making = self.bundle.notifier(receiver.name)
            courier = Courier(receiver, making, self._store, self.clock, self.problems, self._danger, self._pick)
            courier.address = addresses.get(receiver.name)
            self.couriers[receiver.name] = courier
            self._start(courier, courier.run())

    async def _made_notifiers(self, bundle: Bundle) -> dict[str, asyncio.Future[Notifier]]:
        """Those for receivers that are new or have moved."""
        here = {name: courier.address for name, courier in self.couriers.items()}
        moved = [name for name, address in bundle.addresses.items() if here.get(name) != address]
        making: dict[str, asyncio.Future[Notifier]] = {n: asyncio.ensure_future(bundle.notifier(n)) for n in moved}
        made = await asyncio.gather(*making.values(), return_exceptions=True)
        for wrong in [notifier for notifier in made if isinstance(notifier, BaseException)]:
            await asyncio.gather(*(n.close() for n in made if not isinstance(n, BaseException)))
            raise wrong
        return making

    async def _take_leave(self, old: Bundle) -> None:
        """Receivers that are gone from the file with messages they were not sent: their fallbacks are told instead."""
        waiting = [message for _, message in await self._store.outbox(WAITING)]
        owed = {message.receiver for message in waiting}
        leaving = {r.name: r for r in old.receivers if r.name in owed and r.name not in self.couriers}
        if not leaving:
            return
        receivers = (*self.bundle.receivers, *leaving.values())
        self._left = dict.fromkeys(leaving, "it is not in the rules file any more")
        for watch in self.watches.values():
            await watch.use(self.bundle.rules, receivers, self._store, self._hash)
        await self._self_watch.use(_health(self.bundle), receivers)
        self._left = {}
        for message in waiting:
            judge = self._judge_of(message.account)
            if message.receiver in leaving and not message.after and judge:
                names = [name for name in leaving[message.receiver].fallback if name in self.couriers]
                async with judge.lock:
                    await judge.forward(message, names, self.clock.now())

    def wake(self, receiver: str) -> None:
        """There is something new for it."""
        if courier := self.couriers.get(receiver):
            courier.wake()

    async def _look(self, now: float, late: float) -> None:
        """What the self-watch looks at besides its own."""
        self._minder.look(now)
        self.vitals.tell(now)
        await self.host.look(now, late)

    def _failing(self, now: float) -> dict[str, str]:
        """Receivers that can't be reached by now and have a fallback, and why."""
        found = dict(self._left)
        for receiver in self.bundle.receivers:
            problem = self.problems.of(about_receiver(receiver.name)) if receiver.fallback else None
            if problem and problem.hands_over(receiver.fallback_after, now):
                found[receiver.name] = f"{problem.why}, for {span(now - problem.since)}"
        return found

    def _offsets(self) -> Mapping[str, float]:
        return self.bundle.offsets()

    def _danger(self) -> bool:
        """Is anything critical open, of any account?"""
        return any(watch.alerts.open(Severity.CRITICAL) for watch in self.watches.values())

    def _exposed(self) -> bool:
        """Does any account owe, or is any alert open?"""
        return any(watch.alerts.exposed or watch.alerts.near(Severity.INFO) for watch in self.watches.values())

    # Beginning and end.

    def _start(self, name: object, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work, name=str(name))
        self._tasks[name] = task
        task.add_done_callback(partial(self._over, name))

    def _over(self, name: object, task: asyncio.Task[Any]) -> None:
        """The wish to stop ends all; so does a loop that failed."""
        if self._tasks.get(name) is task:  # a pacer may have a successor by now
            del self._tasks[name]
        if task.cancelled():
            return
        error = task.exception()  # is asked for always, or asyncio complains that nobody did
        if self._ended.done():
            return
        if error:
            self._ended.set_exception(error)
        elif name == "stop":
            self._ended.set_result(None)

    def _cancel(self, name: object) -> None:
        if task := self._tasks.pop(name, None):
            task.cancel()

    async def _end(self) -> None:
        self._cancel("pacer")
        await asyncio.gather(*(watch.close() for watch in self.watches.values()), return_exceptions=True)
        await self._drain()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._journal.write()

    async def _drain(self) -> None:
        """Wait until nothing is due any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while not await self._drained():
                    await asyncio.sleep(0.05)

    async def _drained(self) -> bool:
        now = self.clock.now()
        due = [await self._store.next_due(name) for name in self.couriers]
        return all(courier.idle for courier in self.couriers.values()) and all(at is None or at > now for at in due)


async def _though_overtaken(load: Callable[[], Awaitable[object]]) -> None:
    """Load what an account's former watch has written. A turn of it that did not end in time may write once more."""
    try:
        await load()
    except Fenced:
        await load()


def _health(bundle: Bundle) -> Health:
    return health([r.name for r in bundle.receivers], [a.name for a in bundle.accounts], bundle.plugins.names())
