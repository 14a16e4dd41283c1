"""From events to what each receiver should be told. Pure.

A reconciler: for each receiver it compares what it was last told of an alert with what it should be told now, seen
through its `min_severity` and the rule's `receivers`, and writes one message if they differ. So a receiver that never
heard of an alert never hears of its end, and one that heard always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from riskbot import text
from riskbot.model import Alert, Alerts, Cause, Event, Quiet, Severity, Told
from riskbot.rules import Measured, Rule
from riskbot.store import Message

NEWS = -1.0
"""In place of when something was told: there is more to say of it, at once. Finite: JSON has no infinity."""
NOTHING: Mapping[str, Any] = MappingProxyType({})
LOUD = Quiet()

EARLIER = "(what was told before of this alert is over; this is a new course)"

Compose = Callable[[Event], tuple[str, Sequence[str]]]
"""Gives an event's headline and the lines under it."""


class Receiver(Struct, frozen=True):
    """Whom to tell, and from which severity on.

    fallback: who is told in its place while it can't be reached. fallback_after: seconds until then; None: as long as
    it takes until its failing is told (20 s with something critical to say, else 2 min). per_minute: messages that
    its service takes.
    """

    name: str
    min_severity: Severity = Severity.INFO
    fallback: tuple[str, ...] = ()
    fallback_after: float | None = None
    per_minute: int = 20


class Plan(Struct, frozen=True):
    """The messages to send, and the alerts with what is told after them; to be committed together."""

    alerts: Alerts
    messages: tuple[Message, ...] = ()


def plan(
    alerts: Alerts,
    events: Iterable[Event],
    rules: Mapping[str, Rule],
    receivers: Sequence[Receiver],
    compose: Compose,
    failing: Mapping[str, str] = NOTHING,
    quiet: Quiet = LOUD,
) -> Plan:
    """What each receiver should be told of these events. An event of cause REMINDER is told to those who heard of it.

    rules: one that is gone still has its alerts closed, so it may be missing here. failing: receivers that can't be
    reached by now, and why; their fallbacks are told in their place, and of those episodes to the end. quiet: what is
    not to be told now.
    """
    told = {name: dict(keys) for name, keys in alerts.told.items()}
    messages: list[Message] = []
    by_name = {receiver.name: receiver for receiver in receivers}
    stand_ins = {name: _stands_in_for(name, by_name, failing) for name in by_name}
    for event in events:
        rule, words = rules.get(event.rule), cache(partial(compose, event))
        held_back = quiet.holds_back(event)
        for name, receiver in by_name.items():
            last = told.get(name, {}).get(event.key)
            word = _word(receiver, by_name, rule, event, last, stand_ins[name])
            if word is None or (held_back and _is_worse(word, last, event)):
                continue  # when the silence is over, the difference is told
            headline, lines = words()
            said = (headline, [*lines, *_remarks(event, last, word, failing)])
            message = _message(event, receiver, _heard(last, event, word.level), word, said)
            news = last is not None and last.at == NEWS  # it must overtake what waits, not give way to it
            messages.append(replace(message, reminder=0) if news else message)
            told.setdefault(name, {})[event.key] = word
    if not messages:
        return Plan(alerts)
    return Plan(replace(alerts, told={name: _open(keys) for name, keys in told.items()}), tuple(messages))


def _is_worse(word: Told, last: Told | None, event: Event) -> bool:
    """Worse than the receiver believes, or nothing new; that it gets better is never held back."""
    return event.cause is Cause.REMINDER or word.level > _heard(last, event, word.level)


def _stands_in_for(name: str, receivers: Mapping[str, Receiver], failing: Mapping[str, str]) -> list[str]:
    """Those that fail and have it as their fallback; also over others that fail as well."""
    found, reached = list[str](), {name}
    for _ in receivers:  # the longest chain there can be
        more = [
            r.name
            for r in receivers.values()
            if r.name in failing and r.name not in reached and reached & {*r.fallback}
        ]
        found += more
        reached |= {*more}
    return found


def _word(
    receiver: Receiver,
    receivers: Mapping[str, Receiver],
    rule: Rule | None,
    event: Event,
    last: Told | None,
    stands_in_for: Sequence[str],
) -> Told | None:
    """What the receiver is to be told of the event; None: nothing."""
    if event.cause is Cause.REMINDER:
        return _again(last, rule, event)
    via = last.via if last and last.episode == event.episode else ""  # who stood in for another does so to the end
    if not via and not seen_by(receiver, rule, event):
        via = next((name for name in stands_in_for if seen_by(receivers[name], rule, event)), "")
    after = seen_by(receiver, rule, event)
    if via:  # who has left the file since would see all
        after = max(after, seen_by(receivers.get(via, Receiver(via)), rule, event))
    if event.subject == about_receiver(receiver.name):
        after = Severity.OK  # that it can't be reached is for the others
    return None if after == _heard(last, event, after) else Told(event.episode, event.seq, after, event.at, via=via)


def _again(last: Told | None, rule: Rule | None, event: Event) -> Told | None:
    """The reminder, if it is time for one."""
    if not (last and rule and last.level and last.episode == event.episode and is_due(last, rule, event.at)):
        return None
    return replace(last, at=event.at, reminders=last.reminders + 1)


def is_due(told: Told, rule: Rule, now: float) -> bool:
    """Is it time to say again what lasts?"""
    every = rule.compiled.repeats.get(told.level, 0.0)
    return bool(every) and now - told.at >= every


def _heard(last: Told | None, event: Event, after: Severity) -> Severity:
    """What the receiver believes. An earlier episode that was never closed for it says nothing about this one."""
    if last is None or (after and last.episode != event.episode):
        return Severity.OK
    return last.level


def _remarks(event: Event, last: Told | None, word: Told, failing: Mapping[str, str]) -> Iterator[str]:
    if last is not None and last.level and last.episode != event.episode and word.level:
        yield EARLIER
    if word.via in failing:
        yield f"told here since {word.via} can't be reached: {failing[word.via]}"


def seen_by(receiver: Receiver, rule: Rule | None, event: Event) -> Severity:
    """The severity of an event as one receiver is to see it by itself; OK: nothing."""
    if event.after < receiver.min_severity:
        return Severity.OK
    if rule is not None and rule.receivers is not None and receiver.name not in rule.receivers:
        return Severity.OK
    return event.after


def about_receiver(name: str) -> str:
    """The subject of riskbot's own alert that a receiver can't be reached."""
    return f"delivery to {name}"


def _open(keys: dict[str, Told]) -> dict[str, Told]:
    return {key: told for key, told in keys.items() if told.level}


def _message(
    event: Event, receiver: Receiver, before: Severity, word: Told, words: tuple[str, Sequence[str]]
) -> Message:
    headline, lines = words
    seen = replace(event, before=before, after=word.level)
    reminder = word.reminders if event.cause is Cause.REMINDER else 0
    again = f"r{reminder}" if reminder else ""
    return Message(
        id=f"{event.account}/{event.key}-{event.episode}-{event.seq}{again}@{receiver.name}",
        receiver=receiver.name,
        account=event.account,
        alert=f"{event.account}/{event.key}",
        episode=event.episode,
        seq=event.seq,
        before=before,
        after=word.level,
        peak=event.peak,
        at=event.at,
        opened=event.opened,
        cause=event.cause,
        title=text.title(seen, headline, event.after),
        body=text.body(seen, lines, event.after, again),
        due_at=event.at,
        reminder=reminder,
    )


def ongoing(account: str, alerts: Alerts, now: float, measured: Mapping[str, Measured] = NOTHING) -> list[Event]:
    """Every alert as it stands, for receivers whose last word about it is another: at start, or new in the file.

    One that is over is among them: a receiver may have been out of the file when it ended.
    measured: the last answers, for the numbers.
    """
    return [
        _as_it_stands(account, rule, subject, alert, now, Cause.ONGOING, measured)
        for rule, subject, alert in alerts.each()
    ]


def reminders(
    account: str, alerts: Alerts, rules: Mapping[str, Rule], now: float, measured: Mapping[str, Measured] = NOTHING
) -> list[Event]:
    """What was told and lasts, where somebody has not heard of it for so long that it is time to say it again."""
    return [
        _as_it_stands(account, name, subject, alert, now, Cause.REMINDER, measured)
        for name, subject, alert in alerts.each()
        if alert.shown and name in rules and _is_due_somewhere(f"{name}/{subject}", alerts, rules[name], now)
    ]


def _is_due_somewhere(key: str, alerts: Alerts, rule: Rule, now: float) -> bool:
    return any(key in keys and is_due(keys[key], rule, now) for keys in alerts.told.values())


def _as_it_stands(
    account: str, rule: str, subject: str, alert: Alert, now: float, cause: Cause, measured: Mapping[str, Measured]
) -> Event:
    before = alert.shown if cause is Cause.REMINDER else Severity.OK
    answers = measured[rule].readings if rule in measured else ()
    reading = next((r for r in answers if r.ccy == subject and not r.value.is_nan()), None)
    value, note = (reading.value, reading.note) if reading else (None, "")
    a = alert
    return Event(account, rule, subject, a.episode, a.seq, before, a.shown, a.peak, now, a.opened, cause, value, note)


def final_text(message: Message, now: float) -> tuple[str, str]:
    """Title and body as they go out, with what became of the message while it waited.

    What it overtook is listed. An alert that ended before this receiver heard of it is told as missed, once.
    """
    title, notes = message.title, []
    untold = [step for step in message.covers if not step.maybe_sent]
    own = [step for step in untold if step.episode == message.episode]
    if is_missed(message):
        title = f"MISSED {message.peak.name} · {title.partition(' · ')[2]}"
        notes.append(f"missed alert: {message.peak.label}, {text.clock(message.opened)} to {text.clock(message.at)}")
    elif own:
        course = _changes([own[0].before, *(step.after for step in own), message.after])
        notes.append(f"meanwhile: {text.arrow(course)} at {', '.join(text.clock(s.at) for s in own)}")
    notes += [
        f"previous episode ended {text.clock(step.at)}, peak {step.peak.label}"
        for step in untold
        if step.episode != message.episode and step.peak and not step.after
    ]
    if now - message.at >= 60:
        notes.append(f"as of {text.clock(message.at)}, sent {text.span(now - message.at)} late")
    if message.maybe_sent:
        notes.append("(may be a repeat)")
    if message.unsaved:
        notes.append("(told from memory: the store is failing)")
    return title, "\n".join([message.body, *notes])


def is_missed(message: Message) -> bool:
    """Is it over, before its receiver ever heard of it?"""
    own = [step for step in message.covers if step.episode == message.episode]
    return not message.after and bool(own) and not any(s.maybe_sent for s in own) and own[0].before == Severity.OK


def loudness(message: Message) -> Severity:
    """How loud it goes out: as bad as it is, and what was missed as bad as it was."""
    return message.peak if is_missed(message) else message.after


def _changes(course: Sequence[Severity]) -> list[Severity]:
    return [severity for severity, before in zip(course, (None, *course), strict=False) if severity != before]
