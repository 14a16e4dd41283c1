"""Numbers, spans and moments as a person reads them on a phone, and the text of a message. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from riskbot.fields import COIN, USD
from riskbot.model import Cause, Event, Severity

NO_VALUE = "no value"

_LONGEST = 18
"""Digits beyond which a number is written with an exponent: nobody counts its zeros."""

_MAGNITUDES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

_ENDINGS = {
    Cause.RECOVERED: "back to normal",
    Cause.NOT_APPLICABLE: "closed: the number no longer applies",
    Cause.CALM: "calm again",
    Cause.RULE_REMOVED: "closed: taken out of the rules file",
    Cause.RULE_CHANGED: "closed: the rule was changed",
}


def number(value: Decimal, digits: int = 4) -> str:
    """Few significant digits, thousands with commas: `1,234`, `1.42`, `0.00001234`."""
    if not value.is_finite():
        return NO_VALUE
    if not value:
        return "0"
    if not -_LONGEST < value.adjusted() < _LONGEST:
        return f"{value:.{digits}g}"
    places = max(0, digits - 1 - value.adjusted())
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(value: Decimal) -> str:
    """`$16,300`: three significant digits, since it is an estimate; cents only below $100."""
    if not value.is_finite():
        return NO_VALUE
    size, minus = value.copy_abs(), "-" if value < 0 else ""
    if size < 100:
        return f"{minus}${size:,.2f}"
    return f"{minus}${number(Decimal(f'{size:.3g}'), 3)}"


def percent(value: Decimal) -> str:
    """`142 %` for 1.42."""
    return f"{number(value * 100, 3)} %" if value.is_finite() else NO_VALUE


def amount(value: Decimal, unit: str, ccy: str = "") -> str:
    """A field's value in its unit: `$16,300`, `0.25 BTC`, `1.42`. unit: as in the table of fields."""
    if unit == USD:
        return usd(value)
    return f"{number(value)} {ccy}".rstrip() if unit == COIN else number(value)


def count(number: int, word: str) -> str:
    """`1 rule`, `14 rules`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """`45 s`, `7 min`, `3 h 20 min`, `2 d 4 h`: two parts at the most."""
    rest = max(0, round(seconds) if seconds < 3600 else round(seconds / 60) * 60)
    parts = []
    for size, unit in _MAGNITUDES:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def clock(at: float) -> str:
    """`12:00:03 UTC`."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def cut(words: str, most: int) -> str:
    """No more than so many signs. That it was cut shows: by that the half of a secret is recognised, see `Redactor`."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def printable(words: str) -> str:
    """With a blank for each sign that a terminal would obey, or could not show."""
    return words if words.isprintable() else "".join(sign if sign.isprintable() else " " for sign in words)


def one_line(words: str) -> str:
    """The same, without gaps."""
    return " ".join(printable(words).split())


def encodable(words: str) -> str:
    """Without halves of surrogates, as text that was cut or decoded badly may hold: they can't be saved or sent."""
    return words if words.isascii() else words.encode("utf-8", "replace").decode()


def title(event: Event, headline: str, still: Severity = Severity.OK) -> str:
    """The first line: how bad, which account, what and how much.

    event: as its receiver sees it. still: how bad it is all the same, where that receiver is told only of worse.
    """
    word = event.after.name
    if not event.after:
        word = f"EASED TO {still.name}" if still else "CLOSED" if _is_lost(event) else "RESOLVED"
    return f"{word} · {event.account} · {headline}"


def _is_lost(event: Event) -> bool:
    """Does it end with its rule, whatever became of the danger?"""
    return event.cause is Cause.RULE_REMOVED or (event.cause is Cause.RULE_CHANGED and event.value is None)


def body(event: Event, lines: Iterable[str], still: Severity = Severity.OK, again: str = "") -> str:
    """The lines under the title: the rule's own, then the course of the alert, then its short name.

    again: which reminder it is: `r2`.
    """
    return "\n".join([*lines, _course(event, still), short_id(event) + again])


def short_id(event: Event) -> str:
    """Names the event for people: `#main margin ratio 6921f3a1.4`, the fourth change of that episode."""
    name = f"{event.account} {event.rule} {event.subject}".rstrip()
    return f"#{name} {event.episode:x}.{event.seq}"


def _course(event: Event, still: Severity) -> str:
    lasted, opened = span(event.at - event.opened), clock(event.opened)
    if not event.after:
        return _end(event, still, lasted)
    if event.cause is Cause.REMINDER:
        return f"still, for {lasted}, since {opened}, peak {event.peak.label}"
    if event.before:
        way = "down" if event.after < event.before else "up"
        return f"{way} from {event.before.label}, since {opened} ({lasted})"
    return f"since {opened}"


def _end(event: Event, still: Severity, lasted: str) -> str:
    if still:
        told = f"no more is told here: {still.label} is below this receiver's min_severity"
        return f"{told}; since {clock(event.opened)} ({lasted}), peak {event.peak.label}"
    if event.cause is Cause.ONGOING:
        return f"over, peak {event.peak.label}, since {clock(event.opened)}"
    return f"{_ENDINGS.get(event.cause, 'over')} after {lasted}, peak {event.peak.label}"


def arrow(severities: Iterable[Severity]) -> str:
    """`warning → critical → ok`."""
    return " → ".join(severity.label for severity in severities)
