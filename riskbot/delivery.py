"""From events to what each receiver should be told. Pure.

A reconciler: for each receiver it compares what it was last told of an alert with what it should be told now, seen
through its `min_severity` and the rule's `receivers`, and writes one message if they differ. So a receiver that never
heard of an alert never hears of its end, and one that heard always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from riskbot import text
from riskbot.model import Alerts, Cause, Event, Severity, Told
from riskbot.rules import Rule
from riskbot.store import Message

EARLIER = "(what was told before of this alert is over; this is a new course)"

Compose = Callable[[Event], tuple[str, Sequence[str]]]
"""Gives an event's headline and the lines under it."""


class Receiver(Struct, frozen=True):
    """Whom to tell, and from which severity on."""

    name: str
    min_severity: Severity = Severity.INFO


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
) -> Plan:
    """What each receiver should be told of these events.

    A rule that is gone still has its alerts closed, so `rules` may lack it.
    """
    told = {name: dict(keys) for name, keys in alerts.told.items()}
    messages: list[Message] = []
    for event in events:
        rule = rules.get(event.rule)
        words: tuple[str, Sequence[str]] | None = None
        for receiver in receivers:
            last = told.get(receiver.name, {}).get(event.key)
            heard = last.level if last else Severity.OK
            after = seen_by(receiver, rule, event)
            stale = last is not None and after and last.episode != event.episode
            if stale:  # what was heard of an earlier episode, and never closed, says nothing about this one
                heard = Severity.OK
            if after == heard:
                continue
            headline, lines = words = words or compose(event)
            lines = [*lines, EARLIER] if stale else lines
            messages.append(_message(event, receiver, heard, after, (headline, lines)))
            told.setdefault(receiver.name, {})[event.key] = Told(event.episode, event.seq, after)
    if not messages:
        return Plan(alerts)
    return Plan(replace(alerts, told={name: _open(keys) for name, keys in told.items()}), tuple(messages))


def seen_by(receiver: Receiver, rule: Rule | None, event: Event) -> Severity:
    """The severity of an event as one receiver is to see it; OK: nothing."""
    if event.after < receiver.min_severity:
        return Severity.OK
    if rule is not None and rule.receivers is not None and receiver.name not in rule.receivers:
        return Severity.OK
    if event.subject == about_receiver(receiver.name):
        return Severity.OK  # that it can't be reached is for the others
    return event.after


def about_receiver(name: str) -> str:
    """The subject of riskbot's own alert that a receiver can't be reached."""
    return f"delivery to {name}"


def _open(keys: dict[str, Told]) -> dict[str, Told]:
    return {key: told for key, told in keys.items() if told.level}


def _message(
    event: Event, receiver: Receiver, before: Severity, after: Severity, words: tuple[str, Sequence[str]]
) -> Message:
    headline, lines = words
    seen = replace(event, before=before, after=after)
    return Message(
        id=f"{event.account}/{event.key}-{event.episode}-{event.seq}@{receiver.name}",
        receiver=receiver.name,
        account=event.account,
        alert=f"{event.account}/{event.key}",
        episode=event.episode,
        seq=event.seq,
        before=seen.before,
        after=after,
        peak=event.peak,
        at=event.at,
        opened=event.opened,
        cause=event.cause,
        title=text.title(seen, headline, event.after),
        body=text.body(seen, lines, event.after),
        due_at=event.at,
    )


def ongoing(account: str, alerts: Alerts, now: float) -> list[Event]:
    """Every alert as it stands, for receivers whose last word about it is another: at start, or new in the file.

    One that is over is among them: a receiver may have been out of the file when it ended.
    """
    return [
        Event(account, rule, subject, a.episode, a.seq, Severity.OK, a.shown, a.peak, now, a.opened, Cause.ONGOING)
        for rule, subjects in alerts.alerts.items()
        for subject, a in subjects.items()
    ]


def final_text(message: Message, now: float) -> tuple[str, str]:
    """Title and body as they go out, with what became of the message while it waited.

    What it overtook is listed. An alert that ended before this receiver heard of it is told as missed, once.
    """
    title, notes = message.title, []
    untold = [step for step in message.covers if not step.maybe_sent]
    own = [step for step in untold if step.episode == message.episode]
    if not message.after and own and own[0].before == Severity.OK and not _maybe(message, message.episode):
        title = f"MISSED {message.peak.name} · {title.partition(' · ')[2]}"
        notes.append(f"missed alert: {message.peak.label}, {text.clock(message.opened)} to {text.clock(message.at)}")
    elif own:
        course = [own[0].before, *(step.after for step in own), message.after]
        notes.append(f"meanwhile: {text.arrow(course)} at {', '.join(text.clock(s.at) for s in own)}")
    notes += [
        f"previous episode ended {text.clock(step.at)}, peak {step.peak.label}"
        for step in untold
        if step.episode != message.episode and not step.after
    ]
    if now - message.at >= 60:
        notes.append(f"as of {text.clock(message.at)}, sent {text.span(now - message.at)} late")
    if message.maybe_sent:
        notes.append("(may be a repeat)")
    if message.unsaved:
        notes.append("(told from memory: the store is failing)")
    return title, "\n".join([message.body, *notes])


def _maybe(message: Message, episode: int) -> bool:
    return any(step.maybe_sent for step in message.covers if step.episode == episode)
