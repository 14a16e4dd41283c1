"""`message` of a rule: a text with named values in braces, such as `{value:percent}` or `{details.liab}`.

Nothing is executed: a name is looked up as a whole among those below, or the file is wrong. So rendering can neither
fail nor reach anything but what stands here. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from string import Formatter
from typing import Any

from msgspec import Struct

from riskbot import snapshot, text
from riskbot.fields import COIN, LEVEL, RATIO, USD, Amount, Row
from riskbot.history import History
from riskbot.model import Cause, Event, Severity, View


class BadTemplateError(ValueError):
    """Why a text is no template. word: what may be misspelt; known: what it may have been meant for; if none: rest."""

    def __init__(self, why: str, word: str = "", known: Iterable[str] = (), rest: str = "") -> None:
        super().__init__(why)
        self.word, self.known, self.rest = word, list(known), rest


class Facts(Struct, frozen=True):
    """What a message is made of. headline: the rule's own. tier: the entry of the tier that is met."""

    view: View
    event: Event
    headline: str
    labels: Mapping[str, str]
    tier: Decimal | None = None


Piece = Callable[[Facts], str]
Template = tuple[tuple[Piece, ...], ...]
"""The pieces of each line."""

WORDS: dict[str, Piece] = {
    "headline": lambda facts: facts.headline,
    "account": lambda facts: facts.event.account,
    "rule": lambda facts: facts.event.rule,
    "subject": lambda facts: facts.event.subject,
    "severity": lambda facts: facts.event.after.label if facts.event.after else "resolved",
    "peak": lambda facts: facts.event.peak.label,
    "since": lambda facts: text.clock(facts.event.opened),
    "lasted": lambda facts: text.span(facts.event.at - facts.event.opened),
    "note": lambda facts: facts.event.note,
}
"""Values that are words."""

NUMBERS: dict[str, Callable[[Facts], Decimal | None]] = {
    "value": lambda facts: facts.event.value,
    "tier": lambda facts: facts.tier,
}
"""Values that are numbers, in whatever unit the rule measures."""

FORMS = {"number": text.number, "percent": text.percent, "usd": text.usd}
"""How a number may be written: `{value:percent}`."""
OF_ANY = ("number", "percent")
OF_UNIT = {USD: ("usd", "number"), COIN: ("number", "usd"), RATIO: ("number", "percent"), LEVEL: ("number",)}
"""The forms of a field by its unit, the usual one first. Coins in `usd` are what they are worth."""


def parse(source: str, labels: Iterable[str] = ()) -> Template:
    """Cut a text into pieces and try it once. Raises BadTemplateError, in words without the text."""
    if not source.strip():
        raise BadTemplateError("is empty")
    template = tuple(tuple(_pieces(line, list(labels))) for line in source.strip().splitlines())
    render(template, _SAMPLE)
    return template


def render(template: Template, facts: Facts) -> list[str]:
    """Its lines, each really on one line. Never fails: what is not there is `no value`."""
    return [text.one_line("".join(piece(facts) for piece in pieces)) for pieces in template]


def _pieces(line: str, labels: list[str]) -> Iterator[Piece]:
    try:
        parts = list(Formatter().parse(line))
    except ValueError:
        raise BadTemplateError("a { or } stands alone: write {{ or }} for one that is meant") from None
    for words, name, form, conversion in parts:
        yield _just(words)
        if name is not None:
            yield _value(name, f"!{conversion}" if conversion else form or "", labels)


def _just(words: str) -> Piece:
    return lambda _: words


def _value(name: str, form: str, labels: list[str]) -> Piece:
    """What stands in braces."""
    if name in NUMBERS:
        return _number(NUMBERS[name], _form(name, form, OF_ANY))
    if name in snapshot.field_paths():
        return _field(name, form)
    names = {**WORDS, **{f"labels.{label}": _label(label) for label in labels}}
    if name not in names:
        few = f"; known are {', '.join([*names, *NUMBERS])} and each field of OKX (riskbot fields)"
        raise BadTemplateError("no such value", name, [*names, *NUMBERS, *snapshot.field_paths()], few)
    _form(name, form, ())
    return names[name]


def _form(name: str, form: str, forms: tuple[str, ...]) -> str:
    """The form that is asked for, or the usual one."""
    if not form:
        return forms[0] if forms else ""
    if form not in forms:
        few = (
            f"can be written as {' or '.join(forms)}"
            if forms
            else "is always written the same: take away what follows its name"
        )
        raise BadTemplateError(f"{{{name}}} {few}", form, forms)
    return form


def _label(label: str) -> Piece:
    return lambda facts: facts.labels.get(label, text.NO_VALUE)


def _number(read: Callable[[Facts], Decimal | None], form: str) -> Piece:
    write = FORMS[form]

    def piece(facts: Facts) -> str:
        value = read(facts)
        return text.NO_VALUE if value is None else write(value)

    return piece


def _field(path: str, form: str) -> Piece:
    """A field of OKX: of the account, or of the currency that the alert is about."""
    field = snapshot.field(path)
    if not isinstance(field, Amount):
        _form(path, form, ())
        return lambda facts: _words(_read(path, facts))
    form = _form(path, form, OF_UNIT[field.unit])
    if form == "usd" and field.unit == COIN:
        return _number(lambda facts: _worth(path, facts), form)
    return _number(lambda facts: _read(path, facts), form)


def _row(path: str, facts: Facts) -> Row | None:
    shown = facts.view.snapshot
    return shown.balances.get(facts.event.subject) if path.startswith("details.") else shown


def _read(path: str, facts: Facts) -> Any:
    row = _row(path, facts)
    return None if row is None else snapshot.field(path).__get__(row, type(row))


def _worth(path: str, facts: Facts) -> Decimal | None:
    """In USD, by the price that the reply implies."""
    row = facts.view.snapshot.balances.get(facts.event.subject)
    return None if row is None else _read(path, facts) * row.price


def _words(value: object) -> str:
    """Of a flag, a word or a moment."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S UTC}"
    return text.NO_VALUE if value is None else str(value)


_SAMPLE = Facts(
    View("main", 60.0, snapshot.Snapshot({"details": [{"ccy": "BTC"}]}), History()),
    Event("main", "rule", "BTC", 1, 1, Severity.OK, Severity.INFO, Severity.INFO, 60.0, 0.0, Cause.BREACH, Decimal(1)),
    "headline",
    {},
)
"""Every template is tried with it when it is loaded."""
