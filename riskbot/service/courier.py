"""What carries the messages of one receiver."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from riskbot import delivery
from riskbot.delivery import Receiver
from riskbot.health import Problem, Problems, about_refusal
from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict
from riskbot.service.clock import Clock, Pulse, steady
from riskbot.service.logbook import Edge
from riskbot.service.tally import Tally
from riskbot.store import Message, Store

log = logging.getLogger("riskbot")

LEASE, SEND_DEADLINE = 30.0, 15.0
RETRY_FROM, RETRY_TO, RETRY_TO_URGENT, RETRY_LEAST = 1.0, 300.0, 30.0, 0.1
BROKEN_EVERY, BROKEN_EVERY_URGENT = 300.0, 60.0
LONGEST_WAIT, LONGEST_WAIT_URGENT = 300.0, 60.0
"""A receiver that asks for patience is given so many seconds at the most: a wrong number must not silence a night."""
LOOK_EVERY = 10.0
STILL = 30.0
"""Real seconds after which it should have moved: a send within its deadline, and what a slow disk may take."""
REFUSED_EVERY, REFUSED_TRIES = 60.0, 10
"""A message that is refused is tried again so often before it is given up: perhaps the service was at fault."""
REFUSED_TOLD = 600.0
"""That a receiver has refused a message for good is shown for so many seconds."""
TOLD_AFTER, TOLD_URGENT_AFTER = 120.0, 20.0
"""A receiver that fails is told to the others after so many seconds; the second while it is urgent."""
GROUP = 10
"""Messages that are sent as one at the most."""
CLOSING_DIES = 86400.0
"""Seconds after which nobody needs to be told any more that something is over."""


class Budget:
    """How many messages a service takes: a bucket that fills again by so many tokens a minute.

    The last quarter of them is kept for what is critical.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._tokens, self._at = float(per_minute), 0.0

    def wait(self, now: float, least: Severity) -> float:
        """Seconds until a message that is at least so urgent may go; 0: at once."""
        # One a minute is not divided: with a reserve nothing else would ever go.
        reserve = min(max(1, self.per_minute // 4), self.per_minute - 1)
        wanted = 1 if least >= Severity.CRITICAL else 1 + reserve
        return max(0.0, wanted - self._left(now)) * 60 / self.per_minute

    def spend(self, now: float) -> None:
        """One was sent. Below zero if it had to be."""
        self._tokens, self._at = self._left(now) - 1, now

    def _left(self, now: float) -> float:
        return min(self.per_minute, self._tokens + (now - self._at) * self.per_minute / 60)


class _Pause(Struct, frozen=True):
    """The whole receiver is left alone for so many seconds; for fewer while it is urgent."""

    since: float
    seconds: float
    urgent_seconds: float

    def end(self, *, urgent: bool) -> float:
        return self.since + (self.urgent_seconds if urgent else self.seconds)


def _pause(verdict: Verdict, now: float) -> _Pause | None:
    """What a receiver needs that takes nothing, or asks for patience."""
    if verdict.outcome is Outcome.BROKEN:
        return _Pause(now, BROKEN_EVERY, BROKEN_EVERY_URGENT)
    if verdict.after is not None:
        return _Pause(now, min(verdict.after, LONGEST_WAIT), min(verdict.after, LONGEST_WAIT_URGENT))
    return None


Pick = Callable[[float, float], float]
"""Gives something between the two."""


def by_chance(least: float, most: float) -> float:
    """As likely here as there."""
    return random.uniform(least, most)


def _backoff(tries: int, pick: Pick, *, urgent: bool) -> float:
    """Seconds until the next try: any up to a bound that doubles, so that not all come back together."""
    bound = min(RETRY_FROM * 2 ** min(tries, 10), RETRY_TO_URGENT if urgent else RETRY_TO)
    return max(RETRY_LEAST, pick(0.0, bound))


def _rank(word: str) -> int:
    """Of words that are equally bad the first: what is open, what was missed, what only eased, what is over."""
    return next((i for i, start in enumerate(("MISSED", "EASED", "RESOLVED", "CLOSED")) if word.startswith(start)), -1)


def together(texts: Sequence[Text], account: str) -> Text:
    """Several messages of an account as one, the worst first."""
    ordered = sorted(texts, key=lambda text: -text.severity)
    worst = ordered[0].severity
    word = min((text.title.partition(" · ")[0] for text in ordered if text.severity == worst), key=_rank)
    title = f"{word} · {account} · {len(texts)} alerts"
    body = "\n\n".join(f"{text.title}\n{text.body}" for text in ordered)
    return Text(title, body, worst, ordered[0].plain)


class Courier:
    """Carries the messages of one receiver, in order, until they are told or can never be.

    danger: is anything critical open, of any account? pick: of the waits that are allowed until the next try.
    """

    def __init__(
        self,
        receiver: Receiver,
        notifier: Awaitable[Notifier],
        store: Store,
        clock: Clock,
        problems: Problems,
        danger: Callable[[], bool] = lambda: False,
        pick: Pick = by_chance,
    ) -> None:
        self.receiver = receiver.name
        self.address: object = None
        """Where it is reached, for whoever has to know whether that has changed."""
        self.idle = True
        self.hired = False
        """Has it what it sends with?"""
        self.pulse = Pulse(clock, STILL * clock.speed)
        """Moves with every turn, and before and after every send."""
        self.tries: Counter[Outcome] = Counter()
        """What became of each try to send."""
        self.took = Tally(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
        """How long messages took, from when there was first something to tell."""
        self._settings, self._making = receiver, notifier
        self._store, self._clock, self._problems, self._danger = store, clock, problems, danger
        self._wake = asyncio.Event()
        self._pick = pick
        self._retired = False
        self._budget = Budget(receiver.per_minute)
        self._paused: _Pause | None = None
        self._failing = ""
        self._undelivered = Edge(log, f"{self.receiver}: can't deliver", f"{self.receiver}: delivers again")
        self._refused_at: float | None = None
        self._refusals: Counter[str] = Counter()
        self._alone: dict[str, str] = {}
        """Alerts with a message that was refused, and their account: what may be bad is not put among the good."""

    @property
    def settings(self) -> Receiver:
        """How the receiver is to be treated; may be replaced at any time."""
        return self._settings

    @settings.setter
    def settings(self, settings: Receiver) -> None:
        self._settings = settings
        self._budget.per_minute = settings.per_minute
        self.wake()

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    def retire(self) -> None:
        """Finish what is being carried, take nothing more, and say nothing more of how the receiver is."""
        for part in (delivery.about_receiver(self.receiver), about_refusal(self.receiver)):
            self._problems.forget(part)
        self._problems = Problems()  # that nobody reads
        self._retired = True
        self.wake()

    async def run(self) -> None:
        """Until cancelled or retired."""
        notifier = await self._making
        self.hired = True
        name = f"courier of {self.receiver}"
        try:
            await steady(lambda: self._turn(notifier), name, self._clock, lambda: self._retired)
        finally:
            await notifier.close()

    async def _turn(self, notifier: Notifier) -> None:
        self._wake.clear()
        self.pulse.beat()
        if not await self._next(notifier):
            await self._rest()

    # What is next, and when.

    async def _next(self, notifier: Notifier) -> bool:
        """Send what is most urgent; False: nothing may be sent now."""
        messages = await self._take(self._clock.now())
        self.idle = not messages
        current = [message for message in messages if not await self._expired(message)]
        if current:
            await self._carry(notifier, current)
        return bool(messages)

    async def _take(self, now: float) -> list[Message]:
        """The most urgent message, with others that can share its way."""
        urgent = await self._is_urgent()
        if urgent:  # since its last try, perhaps: it is told sooner now
            self._fails(self._failing, now, urgent=True)
        least = next((s for s in (Severity.OK, Severity.CRITICAL) if self._opens(s, now, urgent=urgent) <= now), None)
        if least is None:
            return []
        messages = await self._store.take(self.receiver, 1, now, LEASE, least)
        if messages and messages[0].urgency < Severity.CRITICAL and messages[0].account not in self._alone.values():
            messages += await self._store.take(self.receiver, GROUP - 1, now, LEASE, account=messages[0].account)
        return messages

    def _opens(self, least: Severity, now: float, *, urgent: bool) -> float:
        """When the receiver may be sent a message that is at least so urgent."""
        affordable = now + self._budget.wait(now, least)
        return max(self._paused.end(urgent=urgent), affordable) if self._paused else affordable

    async def _is_urgent(self) -> bool:
        """Does it fail while there is danger, or while something critical waits?"""
        if not self._failing:
            return False
        return self._danger() or await self._store.next_due(self.receiver, Severity.CRITICAL) is not None

    async def _rest(self) -> None:
        now, due = self._clock.now(), await self._due()
        wait = LOOK_EVERY if due is None else max(0.05, due - now)
        with suppress(TimeoutError):  # a store that has healed may have rows that nobody woke us for
            async with asyncio.timeout(min(wait, LOOK_EVERY) / self._clock.speed):
                await self._wake.wait()

    async def _due(self) -> float | None:
        """When the next message may go; None: nothing waits."""
        now, urgent, moments = self._clock.now(), await self._is_urgent(), list[float]()
        for least in (Severity.OK, Severity.CRITICAL):
            due = await self._store.next_due(self.receiver, least)
            if due is not None:
                moments.append(max(due, self._opens(least, now, urgent=urgent)))
        if not moments:
            self._alone = {}  # what was refused is gone, by whatever way
            self._refusals.clear()
        return min(moments, default=None)

    async def _expired(self, message: Message) -> bool:
        """That something old is over needs no telling any more; what it covers was never told, and lives on."""
        now = self._clock.now()
        if message.after or message.covers or now - message.at <= CLOSING_DIES:
            return False
        await self._store.dead(message, now, "older than a day")
        about = {"account": message.account}
        log.warning("%s: given up, older than a day: %s", self.receiver, message.title, extra=about)
        return True

    # Sending, and what becomes of it.

    async def _carry(self, notifier: Notifier, messages: Sequence[Message]) -> None:
        began = self._clock.now()
        verdict = await self._send(notifier, messages, plain=False)
        if verdict.outcome is Outcome.PERMANENT:  # perhaps only the markup is refused
            verdict = await self._send(notifier, messages, plain=True)
        self.tries[verdict.outcome] += 1
        if verdict.outcome is Outcome.SENT:
            await self._told(messages)
        elif verdict.outcome is not Outcome.PERMANENT:
            await self._later(messages, verdict, began)
        elif len(messages) > 1:
            await self._apart(messages, verdict)
        else:
            await self._refused(messages[0], verdict)

    async def _send(self, notifier: Notifier, messages: Sequence[Message], *, plain: bool) -> Verdict:
        now = self._clock.now()
        self._budget.spend(now)
        self.pulse.beat()
        texts = [Text(*delivery.final_text(m, now), delivery.loudness(m), plain) for m in messages]
        text = texts[0] if len(texts) == 1 else together(texts, messages[0].account)
        try:
            async with asyncio.timeout(SEND_DEADLINE):
                return await notifier.send(text)
        except TimeoutError:
            return Verdict(Outcome.AMBIGUOUS, f"no answer within {SEND_DEADLINE:.0f} s")
        except Exception as error:  # noqa: BLE001 - a plugin's notifier may raise anything; the message must not be lost
            return Verdict(Outcome.RETRY, f"the notifier failed: {type(error).__name__}")
        finally:
            self.pulse.beat()

    async def _told(self, messages: Sequence[Message]) -> None:
        for message in messages:
            now = self._clock.now()
            await self._store.ack(message, now)
            self.took.add(now - message.since)
            self._alone.pop(message.alert, None)
            self._refusals.pop(message.id, None)
            log.info("told %s: %s", self.receiver, message.title, extra={"account": message.account})
        self._works()

    async def _later(self, messages: Sequence[Message], verdict: Verdict, began: float) -> None:
        now = self._clock.now()
        began = max(began, now - SEND_DEADLINE * self._clock.speed)  # no try takes longer: riskbot itself stood still
        urgent = self._danger() or any(message.urgency >= Severity.CRITICAL for message in messages)
        due = now + _backoff(max(message.tries for message in messages), self._pick, urgent=urgent)
        if pause := _pause(verdict, now):
            self._paused, due = pause, pause.end(urgent=True)
        maybe = verdict.outcome is Outcome.AMBIGUOUS
        for message in messages:
            await self._store.nack(message, now, due, verdict.why, maybe_sent=maybe)
        self._undelivered.fails(verdict.why)
        self._fails(verdict.why, began, urgent=urgent, at_once=verdict.outcome is Outcome.BROKEN)

    def _fails(self, why: str, began: float, *, urgent: bool, at_once: bool = False) -> None:
        self._failing = why
        after = 0.0 if at_once else TOLD_URGENT_AFTER if urgent else TOLD_AFTER
        urgent_after = after if urgent or at_once else 10 * TOLD_AFTER
        self._problems.fail(delivery.about_receiver(self.receiver), Problem(began, why, after, urgent_after))

    async def _apart(self, messages: Sequence[Message], verdict: Verdict) -> None:
        """One of them, or all together, is not taken: which of them, each will show by itself, at once."""
        log.warning("%s: refuses %d messages as one (%s)", self.receiver, len(messages), verdict.why)
        now = self._clock.now()
        for message in messages:
            self._alone[message.alert] = message.account
            await self._store.nack(message, now, now, verdict.why, maybe_sent=False)

    async def _refused(self, message: Message, verdict: Verdict) -> None:
        """One message is not taken: told to all, this receiver included, whatever else it takes."""
        now = self._clock.now()
        self._refusals[message.id] += 1
        if self._refusals[message.id] < REFUSED_TRIES:
            self._alone[message.alert] = message.account
            await self._store.nack(message, now, now + REFUSED_EVERY, verdict.why, maybe_sent=False)
        else:
            self._alone.pop(message.alert, None)
            del self._refusals[message.id]
            await self._store.dead(message, now, verdict.why)
        about = {"account": message.account}
        log.error("%s: refuses (%s): %s", self.receiver, verdict.why, message.title, extra=about)
        why = f"refused ({verdict.why}): {message.title}"
        self._problems.fail(about_refusal(self.receiver), Problem(now, why, 0.0, 0.0))
        self._refused_at = now

    def _works(self) -> None:
        if self._refused_at is None or self._clock.now() - self._refused_at >= REFUSED_TOLD:
            self._problems.clear(about_refusal(self.receiver))
            self._refused_at = None
        self._undelivered.works(self._clock.now())
        self._failing, self._paused = "", None
        self._problems.clear(delivery.about_receiver(self.receiver))
