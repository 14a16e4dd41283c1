"""What carries the messages of one receiver."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from contextlib import suppress

from riskbot import delivery
from riskbot.health import Problem, Problems
from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict
from riskbot.service.clock import Clock, steady
from riskbot.store import Message, Store

log = logging.getLogger("riskbot")

LEASE, SEND_DEADLINE = 30.0, 15.0
RETRY_FROM, RETRY_TO, RETRY_TO_URGENT = 1.0, 300.0, 30.0
BROKEN_EVERY = 60.0
LONGEST_WAIT, LONGEST_WAIT_URGENT = 300.0, 60.0
"""A receiver that asks for patience is given so many seconds at the most."""
LOOK_EVERY = 10.0
REFUSED_EVERY, REFUSED_TRIES = 60.0, 10
"""A message that is refused is tried again so often before it is given up: perhaps the service was at fault."""
REFUSED_TOLD = 600.0
"""That a receiver has refused a message for good is shown for so many seconds."""
TOLD_AFTER, TOLD_URGENT_AFTER = 120.0, 20.0
"""A receiver that fails is told to the others after so many seconds; the second if something critical waits."""


class Courier:
    """Carries the messages of one receiver, in order, until they are told or can never be."""

    def __init__(
        self, receiver: str, notifier: Awaitable[Notifier], store: Store, clock: Clock, problems: Problems
    ) -> None:
        self.receiver = receiver
        self.idle = True
        self._making = notifier
        self._store, self._clock, self._problems = store, clock, problems
        self._wake = asyncio.Event()
        self._resume = 0.0
        self._failing = ""
        self._part_refused = f"a message to {receiver}"
        self._refused_at: float | None = None

    def wake(self) -> None:
        """There is something new to send."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        notifier = await self._making
        try:
            await steady(lambda: self._turn(notifier), f"courier of {self.receiver}", self._clock)
        finally:
            await notifier.close()

    async def _turn(self, notifier: Notifier) -> None:
        self._wake.clear()
        if not await self._next(notifier):
            await self._rest()

    async def _next(self, notifier: Notifier) -> bool:
        """Send the most urgent message; False: none is due."""
        now = self._clock.now()
        messages = [] if now < self._resume else await self._store.take(self.receiver, 1, now, LEASE)
        self.idle = not messages
        for message in messages:
            await self._carry(notifier, message)
        return bool(messages)

    async def _rest(self) -> None:
        due = await self._store.next_due(self.receiver)
        wait = LOOK_EVERY if due is None else max(0.05, max(due, self._resume) - self._clock.now())
        with suppress(TimeoutError):  # a store that has healed may have rows that nobody woke us for
            await asyncio.wait_for(self._wake.wait(), min(wait, LOOK_EVERY) / self._clock.speed)

    async def _carry(self, notifier: Notifier, message: Message) -> None:
        verdict = await self._send(notifier, message, plain=False)
        if verdict.outcome is Outcome.PERMANENT:  # perhaps only the markup is refused
            verdict = await self._send(notifier, message, plain=True)
        now = self._clock.now()
        if verdict.outcome is Outcome.SENT:
            await self._store.ack(message, now)
            log.info("told %s: %s", self.receiver, message.title)
            self._works()
        elif verdict.outcome is Outcome.PERMANENT:
            await self._refused(message, verdict, now)
        else:
            await self._later(message, verdict, now)

    async def _send(self, notifier: Notifier, message: Message, *, plain: bool) -> Verdict:
        title, body = delivery.final_text(message, self._clock.now())
        text = Text(title, body, message.after, plain)
        try:
            return await asyncio.wait_for(notifier.send(text), SEND_DEADLINE)
        except TimeoutError:
            return Verdict(Outcome.AMBIGUOUS, f"no answer within {SEND_DEADLINE:.0f} s")
        except Exception as error:  # noqa: BLE001 - a plugin's notifier may raise anything; the message must not be lost
            return Verdict(Outcome.RETRY, f"the notifier failed: {type(error).__name__}")

    async def _later(self, message: Message, verdict: Verdict, now: float) -> None:
        urgent = message.urgency >= Severity.CRITICAL
        wait = min(RETRY_FROM * 2 ** min(message.tries, 10), RETRY_TO_URGENT if urgent else RETRY_TO)
        due = now + random.uniform(0.2, 1.0) * wait
        if verdict.outcome is Outcome.BROKEN:
            due = now + BROKEN_EVERY
        if verdict.after is not None:  # the receiver asked for patience: for all its messages
            due = self._resume = now + min(verdict.after, LONGEST_WAIT_URGENT if urgent else LONGEST_WAIT)
        maybe = verdict.outcome is Outcome.AMBIGUOUS
        await self._store.nack(message, due, verdict.why, maybe_sent=maybe)
        self._fails(verdict.why, now, urgent=urgent, at_once=verdict.outcome is Outcome.BROKEN)

    def _fails(self, why: str, now: float, *, urgent: bool = False, at_once: bool = False) -> None:
        if not self._failing:
            log.warning("%s: can't deliver: %s", self.receiver, why)
        self._failing = why
        after = 0.0 if at_once else TOLD_URGENT_AFTER if urgent else TOLD_AFTER
        urgent_after = after if urgent or at_once else 10 * TOLD_AFTER
        self._problems.fail(delivery.about_receiver(self.receiver), Problem(now, why, after, urgent_after))

    async def _refused(self, message: Message, verdict: Verdict, now: float) -> None:
        """One message is not taken: told to all, this receiver included, whatever else it takes."""
        if message.tries + 1 < REFUSED_TRIES:
            await self._store.nack(message, now + REFUSED_EVERY, verdict.why, maybe_sent=False)
        else:
            await self._store.dead(message, now, verdict.why)
        log.error("%s: refuses (%s): %s", self.receiver, verdict.why, message.title)
        why = f"refused ({verdict.why}): {message.title}"
        self._problems.fail(self._part_refused, Problem(now, why, 0.0, 0.0))
        self._refused_at = now

    def _works(self) -> None:
        if self._refused_at is not None and self._clock.now() - self._refused_at >= REFUSED_TOLD:
            self._problems.clear(self._part_refused)
            self._refused_at = None
        if self._failing:
            log.info("%s: delivers again", self.receiver)
        self._failing = ""
        self._problems.clear(delivery.about_receiver(self.receiver))
