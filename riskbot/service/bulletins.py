"""What riskbot says unasked: at a start that is news, and once a day. Texts and dates only; `crier.py` has the loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo

from msgspec import Struct

from riskbot import text
from riskbot.delivery import Receiver
from riskbot.model import Cause, Event, Severity
from riskbot.rules import Rule
from riskbot.service.almanac import Approach, Day, Lack
from riskbot.settings import SELF
from riskbot.store import Message
from riskbot.text import count

MOST = 10
"""Lines about one thing. More of them are counted."""
NEAREST = 5
LONG = 86400.0
"""Seconds without data that are worth telling."""
DAY = timedelta(days=1)


class Daily(Struct, frozen=True):
    """When the daily message is due, and who gets it. zone: None: the machine's own."""

    at: time
    zone: tzinfo | None
    receivers: tuple[str, ...]


class Watched(Struct, frozen=True):
    """All that is watched, and how it stands.

    rules: by account. open: what is open, with its words. reasons: why riskbot can't be relied on.
    """

    rules: Mapping[str, Sequence[Rule]]
    open: Sequence[tuple[Event, str]]
    reasons: Sequence[str]
    now: float

    def what(self) -> str:
        """`2 accounts, 14 rules`."""
        names = {rule.name for rules in self.rules.values() for rule in rules}
        return f"{count(len(self.rules), 'account')}, {count(len(names), 'rule')}"


def latest(daily: Daily, now: float) -> tuple[date, float]:
    """The day whose message was due last, and when that was: seconds since 1970."""
    today = datetime.fromtimestamp(now, daily.zone).date()
    days = [(day, datetime.combine(day, daily.at, daily.zone).timestamp()) for day in (today, today - DAY)]
    return days[0] if days[0][1] <= now else days[1]


def message(kind: str, number: int, receiver: str, words: tuple[str, Sequence[str]], now: float) -> Message:
    """A bulletin as a row of the outbox. number: grows with every one of that kind; the same one has the same id."""
    return Message(
        id=f"{SELF}/{kind}/-{number}-1@{receiver}",
        receiver=receiver,
        account=SELF,
        alert=f"{SELF}/{kind}/",
        episode=number,
        seq=1,
        before=Severity.OK,
        after=Severity.OK,
        peak=Severity.OK,
        at=now,
        opened=now,
        cause=Cause.ONGOING,
        title=words[0],
        body="\n".join(words[1]),
        due_at=now,
    )


# ---------------------------------------------------------------- at the start


def start(watched: Watched, receivers: Sequence[Receiver], blind: float, *, changed: bool) -> tuple[str, list[str]]:
    """Title and lines. blind: seconds that nothing was watched; 0: no time to speak of. changed: is it watched anew?"""
    back = f"BACK · {SELF} · after {text.span(blind)} blind"
    title = back if blind else f"WATCHING · {SELF} · {watched.what()}"
    lines = list(_open(watched))
    if changed:
        told = (f"{receiver.name} (from {receiver.min_severity.label})" for receiver in receivers)
        lines += [*_most(_rules(watched)), f"told: {', '.join(told)}"]
    return title, lines


def _rules(watched: Watched) -> Iterator[str]:
    for account, rules in watched.rules.items():
        yield f"{account}: {', '.join(_most(rule.name for rule in rules))}"


# ---------------------------------------------------------------- once a day


def daily(watched: Watched, day: Day, events: Iterable[Event]) -> tuple[str, list[str]]:
    """Title and lines. day: what was measured since the last one. events: what changed since then."""
    return _verdict(watched), [
        *_open(watched),
        _past(events),
        *_nearest(watched, day),
        *_most(_lacking(watched, day)),
    ]


def _verdict(watched: Watched) -> str:
    if watched.reasons:
        more = len(watched.reasons) - 1
        return f"NOT WELL · {SELF} · {watched.reasons[0]}{f' (and {more} more)' if more else ''}"
    if watched.open:
        worst = max(event.after for event, _ in watched.open)
        return f"OPEN · {SELF} · {count(len(watched.open), 'alert')}, the worst {worst.label}"
    return f"ALL WELL · {SELF} · {watched.what()}"


def _past(events: Iterable[Event]) -> str:
    peaks: dict[tuple[str, str, int], Severity] = {}
    for event in events:
        episode = (event.account, event.key, event.episode)
        peaks[episode] = max(peaks.get(episode, Severity.OK), event.peak)
    if not peaks:
        return "the last day: no alert"
    return f"the last day: {count(len(peaks), 'alert')}, the worst {max(peaks.values()).label}"


def _nearest(watched: Watched, day: Day) -> Iterator[str]:
    """The rules that came nearest to their mildest tier. What is open is told already."""
    named = {(event.account, event.rule) for event, _ in watched.open}
    every = ((account, rule) for account, rules in watched.rules.items() for rule in rules)
    by_name = {(account, rule.name): rule for account, rule in every if (account, rule.name) not in named}
    found = [
        (near, account, by_name[account, name])
        for account, rules in day.nearest.items()
        for name, near in rules.items()
        if (account, name) in by_name
    ]
    for near, account, rule in sorted(found, key=lambda item: item[0].distance)[:NEAREST]:
        yield f"nearest: {account}: {_words(account, rule, near)}, {_distance(rule, near)}, at {text.clock(near.at)}"


def _words(account: str, rule: Rule, near: Approach) -> str:
    """In the rule's own words; a plugin's are not asked for here, where nobody guards against them."""
    ok = Severity.OK
    event = Event(
        account, rule.name, near.subject, 0, 0, ok, ok, ok, near.at, near.at, Cause.ONGOING, near.value, near.note
    )
    return Rule.say(rule, event) if rule.PLUGIN else rule.say(event)


def _distance(rule: Rule, near: Approach) -> str:
    tier = rule.compiled.ladder.rungs[0].severity.label
    return f"{text.percent(near.distance)} from {tier}" if near.distance > 0 else f"as far as {tier}"


def _lacking(watched: Watched, day: Day) -> Iterator[str]:
    for account, rules in watched.rules.items():
        for rule in rules:
            lack = day.lacking.get(account, {}).get(rule.name)
            if lack and (lack.never or watched.now - lack.since >= LONG):
                yield f"{account}: {rule.name}: {_since(lack, watched.now)}"


def _since(lack: Lack, now: float) -> str:
    never = ", never yet" if lack.never else ""
    return f"{lack.why} for {text.span(now - lack.since)}{never}"


# ---------------------------------------------------------------- both


def _open(watched: Watched) -> Iterator[str]:
    """What can't be relied on, and what is open, the worst first."""
    yield from _most(f"not well: {reason}" for reason in watched.reasons)
    if not watched.open:
        yield "nothing is open"
    found = sorted(watched.open, key=lambda pair: -pair[0].after)
    yield from _most(
        f"{event.after.name} {event.account} · {words}, for {text.span(watched.now - event.opened)}"
        for event, words in found
    )


def _most(lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    yield from found[:MOST]
    if len(found) > MOST:
        yield f"… and {len(found) - MOST} more"
