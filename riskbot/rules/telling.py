"""A message in a rule's own words, or in the trader's."""

from __future__ import annotations

from itertools import islice

from riskbot import template, text
from riskbot.model import Event, View
from riskbot.rules.asking import blame
from riskbot.rules.base import Rule

_MOST_LINES, _LONGEST_LINE = 50, 1000
"""Lines of a message that a rule writes, and characters of each. The rest is cut."""


def tell(rule: Rule | None, view: View, event: Event) -> tuple[str, list[str]]:
    """Headline and lines of a message, in the rule's own words or those of its `message`; None: it is gone."""
    if rule is None:
        return f"{event.rule} {event.subject}".rstrip(), []
    headline, lines = _own_words(rule, view, event)
    if rule.compiled.template is not None:
        first, *more = template.render(rule.compiled.template, _facts(rule, view, event, headline))
        headline, lines = first or headline, [*more, *lines]
    if rule.labels:
        lines.append(", ".join(f"{name}: {word}" for name, word in rule.labels.items()))
    if event.after and not rule.SEES_OUTAGE:
        lines += _unseen(view, event)
    return headline, lines


def _own_words(rule: Rule, view: View, event: Event) -> tuple[str, list[str]]:
    """As its kind says it. A rule that fails at its words is told in plain ones."""
    try:
        return _said(rule, view, event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a plugin may raise anything; nothing is awaited here
        return Rule.say(rule, event), [blame(error, rule.readings)]


def stumbles(rule: Rule, view: View, event: Event) -> str:
    """Why the rule fails at its words for that event, or ""; `tell` goes on without them."""
    try:
        _said(rule, view, event)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return blame(error, rule.readings)
    return ""


def _said(rule: Rule, view: View, event: Event) -> tuple[str, list[str]]:
    lines = rule.explain(view, event)
    said = [lines] if isinstance(lines, str) else islice(lines, _MOST_LINES)
    return _line(rule.say(event)), [_line(words) for words in said]


def _line(words: object) -> str:
    return text.cut(text.encodable(str(words)), _LONGEST_LINE)


def _facts(rule: Rule, view: View, event: Event, headline: str) -> template.Facts:
    rungs = rule.compiled.ladder.rungs
    tier = next((rung.enter for rung in rungs if rung.severity == event.after), None)
    return template.Facts(view, event, headline, rule.labels, tier)


def _unseen(view: View, event: Event) -> list[str]:
    """As of when the message is, where what it tells can't be seen now."""
    if view.outage:
        return [f"as last seen {text.clock(view.outage.since)}, blind since"]
    blind = view.alerts.blind.get(event.rule)
    return [f"no data since {text.clock(blind.since)}: {blind.why}"] if blind else []
