"""A test message to a receiver, and what came of it."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from riskbot import text
from riskbot.model import Severity
from riskbot.notify import Notifier, Outcome, Text, Verdict
from riskbot.service.clock import stopwatch
from riskbot.service.courier import SEND_DEADLINE


class Trial(Struct, frozen=True):
    """What came of it. answer: the receiver's, for people, without any secret. seconds: until it came."""

    receiver: str
    outcome: Outcome
    answer: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Has the receiver taken it?"""
        return self.outcome is Outcome.SENT

    @property
    def says(self) -> str:
        """In a few words."""
        if self.ok:
            return f"sent in {self.seconds:.1f} s" + (f": {self.answer}" if self.answer else "")
        unsure = "it may have arrived: " if self.outcome is Outcome.AMBIGUOUS else ""
        return f"{unsure}{self.answer or self.outcome} (after {self.seconds:.1f} s)"


def message(receiver: str, now: float) -> Text:
    """A message that nobody takes for an alert. now: seconds since 1970 UTC."""
    lines = (
        "Only a test: nothing is wrong.",
        f'What riskbot has to say to "{receiver}" arrives here.',
        f"sent {text.clock(now)}",
    )
    return Text(f"TEST · riskbot · {receiver}", "\n".join(lines), Severity.INFO)


async def send(receiver: str, notifier: Notifier, said: Text) -> Trial:
    """Send it as an alert would be sent, within the same time. Closes the notifier."""
    began = stopwatch()
    try:
        verdict = await asyncio.wait_for(notifier.send(said), SEND_DEADLINE)
    except TimeoutError:
        verdict = Verdict(Outcome.AMBIGUOUS, f"no answer within {SEND_DEADLINE:g} s")
    finally:
        await notifier.close()
    return Trial(receiver, verdict.outcome, verdict.why, stopwatch() - began)
