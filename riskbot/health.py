"""riskbot's own state, judged and told by the same machine as an account's: the store, each receiver."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from decimal import Decimal
from fnmatch import fnmatchcase

from msgspec import Struct
from msgspec.structs import replace
from pydantic import Field

from riskbot.delivery import about_receiver
from riskbot.model import Cause, Event, Reading, Severity, View
from riskbot.rules import Ladder, Measured, Rule

STORE, CLOCK, WATCH, HEARTBEAT = "the store", "the clock", "the watch", "the heartbeat"
"""The subjects of riskbot's own alerts that are about riskbot as a whole."""
MACHINE, DISK, DATABASE, TIME = "the machine", "the disk", "the database", "the time"
"""And those about what it stands on."""


def about_refusal(name: str) -> str:
    """The subject of riskbot's own alert that a receiver does not take a message."""
    return f"a message to {name}"


def about_watch(account: str) -> str:
    """The subject of riskbot's own alert that it stumbles over an account."""
    return f"watching {account}"


def about_key(account: str) -> str:
    """The subject of riskbot's own alert that it can't look any more what an account's key may do."""
    return f"the key of {account}"


def about_plugin(name: str) -> str:
    """The subject of riskbot's own alert that something is wrong with a plugin."""
    return f"plugin {name}"


def about_polls(account: str) -> str:
    """The subject of riskbot's own alert that most polls of an account are left out."""
    return f"polls of {account}"


_OWNED = tuple(
    about("") for about in (about_receiver, about_refusal, about_watch, about_polls, about_key, about_plugin)
)
"""What precedes the name of a receiver, an account or a plugin in a subject."""

_WORDS = (
    (about_refusal("*"), "{} was refused", "{}: no refusal for ten minutes"),
    (CLOCK, "{} has jumped", "{} is steady"),
    (WATCH, "riskbot stood still", "riskbot is awake"),
    (about_key("*"), "{} can't be checked", "{} is checked again"),
    (about_polls("*"), "{} are left out", "{} are in time again"),
    (MACHINE, "{} is too busy", "{} keeps up again"),
    (DISK, "{} is nearly full", "{} has room again"),
    (DATABASE, "{} has grown large", "{} is no larger than it should be"),
    (TIME, "{} of this machine is wrong", "{} of this machine is right again"),
    ("*.toml", "{} can't be used", "{} is in use again"),
    ("*", "{} is failing", "{} works again"),
)
"""For the subjects that match: what is said while it fails, and after."""


class Health(Rule, kind="health"):
    """What it measures is a severity already. Made by the service, not written in a rules file."""

    names: tuple[str, ...] = Field((), exclude=True)
    """Of the receivers, accounts and plugins that there are. It judges alike whatever they are."""

    def ladder(self) -> Ladder:
        """A tier for each severity."""
        return self.ladder_of_severities()

    def readings(self, view: View) -> Iterable[Reading]:
        """None from a view: `Problems` has them."""
        del view
        return ()

    def say(self, event: Event) -> str:
        """`the store is failing`."""
        if event.cause is Cause.RULE_CHANGED:
            return f"{event.subject}: not in the rules file any more"
        fails, works = next((bad, good) for like, bad, good in _WORDS if fnmatchcase(event.subject, like))
        return (fails if event.after else works).format(event.subject)

    def keeps(self, subject: str, rules: Collection[str]) -> bool:
        """A receiver, an account or a plugin that has left the file does not fail any more."""
        del rules
        owners = [subject.removeprefix(owned) for owned in _OWNED if subject.startswith(owned)]
        return not owners or owners[0] in self.names


class Problem(Struct, frozen=True):
    """One part of riskbot that fails. since: when the first try that failed began.

    after, urgent_after: seconds until it is a warning, and critical.
    """

    since: float
    why: str
    after: float
    urgent_after: float

    def severity(self, now: float) -> Severity:
        """How bad it is by now."""
        if now - self.since >= self.urgent_after:
            return Severity.CRITICAL
        return Severity.WARNING if now - self.since >= self.after else Severity.OK

    def hands_over(self, after: float | None, now: float) -> bool:
        """Is it time for a fallback? after: seconds until then; None: when it is bad enough to be told."""
        return self.severity(now) >= Severity.WARNING if after is None else now - self.since >= after


class Problems:
    """What fails at present, by part."""

    def __init__(self) -> None:
        self._open: dict[str, Problem] = {}
        self._known: set[str] = set()
        self.news: set[str] = set()
        """Parts of which there is something to say that was not said yet; whoever says it takes them out."""

    def happened(self, part: str, problem: Problem) -> None:
        """Take in a failing with news of its own: it is said also if the part was failing before."""
        self._open.pop(part, None)
        self.fail(part, problem)
        self.news.add(part)

    def fail(self, part: str, problem: Problem) -> None:
        """Take in that a part fails; how long it has is kept from the first time."""
        first = self._open.get(part)
        self._open[part] = (
            problem
            if first is None
            else Problem(
                first.since, problem.why, min(first.after, problem.after), min(first.urgent_after, problem.urgent_after)
            )
        )
        self._known.add(part)

    def clear(self, part: str) -> None:
        """Take in that a part works."""
        self._open.pop(part, None)
        self._known.add(part)

    def shift(self, seconds: float, now: float) -> None:
        """The clock was set ahead by so much: nothing has failed for longer by that."""
        for part, problem in self._open.items():
            self._open[part] = replace(problem, since=min(problem.since + seconds, now))

    def forget(self, part: str) -> None:
        """There is no such part any more, or nobody knows how it is."""
        self._open.pop(part, None)
        self._known.discard(part)

    def of(self, part: str) -> Problem | None:
        """What is wrong with the part, told or not yet; None: it works."""
        return self._open.get(part)

    def __contains__(self, part: str) -> bool:
        return part in self._open

    def measured(self, now: float) -> Measured:
        """A reading for every part that has shown whether it works; of the others nobody knows since the start."""
        readings = []
        for part in sorted(self._known):
            problem = self._open.get(part)
            severity = problem.severity(now) if problem else Severity.OK
            readings.append(Reading(Decimal(severity), part, problem.why if problem else ""))
        return Measured(tuple(readings), complete=False)
