"""riskbot explain: why a rule says what it says, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import names, stored
from riskbot.cli.common import config_option, console, echo_json, fail, json_option

if TYPE_CHECKING:
    from riskbot.model import Alert, Event, Reading
    from riskbot.replay.evidence import Evidence
    from riskbot.rules import Rule, Rung
    from riskbot.store.peek import Look

MOST_SHOWN = 5
"""Subjects of a rule that are shown, unless one is asked for; the worst first."""


@click.command("explain")
@click.argument("rule")
@config_option
@click.option("--account", help="Of which account; default: the first one.")
@click.option("--ccy", help="About this currency only.")
@click.option("--at", "moment", callback=stored.point, help="As of then: 2026-03-01T14:30:00, UTC. Default: now.")
@json_option
def command(
    rule: str, path: Path, account: str | None, ccy: str | None, moment: float | None, *, as_json: bool
) -> None:
    """Say why RULE fires or does not: its value, how far each tier is, what runs, who was told.

    From what riskbot has written down: the journal, judged again by the rules of the file up to that moment, the
    alerts' course, and every try to send a message. Nothing is asked of the exchange.

    Exit codes: 0 shown, 1 nothing is known of that time, 2 usage, or the rules file is wrong.
    """
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    db, found = stored.database(path), stored.rules_in(path)
    if rule not in found:
        _unknown("rule", rule, found)
    watched = stored.accounts_in(stored.document(path))
    if account not in (None, *watched):
        _unknown("account", str(account), watched)
    name = account or next(iter(watched))
    at = stored.now() if moment is None else moment
    seen = stored.look_into(db, STATES)
    evidence = _evidence(db, name, found[rule], watched[name], at)
    rows = _rows(found[rule], name, evidence, seen, at, path, past=moment is not None)
    if ccy is not None and not (rows := [row for row in rows if row["subject"] == ccy.upper()]):
        fail(f"{rule} had nothing to say about {ccy.upper()} then", 1)
    if as_json:
        echo_json(rows)
    else:
        _show(rows, at, 0 if moment is not None else seen.pid, past=moment is not None)


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> None:
    from riskbot.settings.mistakes import no_such  # noqa: PLC0415 - see cli/__init__.py

    fail(no_such(what, name, known), 2)


def _evidence(db: Path, account: str, rule: Rule, poll_every: float, at: float) -> Evidence:
    from riskbot.replay import evidence  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.replay.replies import BadInput  # noqa: PLC0415 - see cli/__init__.py

    try:
        return evidence.at_moment(db, account, [rule], poll_every, at)
    except BadInput as error:
        fail(str(error), 1)


# What is known.


def _rows(
    rule: Rule, account: str, evidence: Evidence, seen: Look, at: float, path: Path, *, past: bool
) -> list[dict[str, Any]]:
    """One for each subject, worst first; one in all where the rule said nothing."""
    from riskbot.replay.evidence import as_of  # noqa: PLC0415 - see cli/__init__.py

    answer = evidence.measured.get(rule.name)
    readings = {reading.ccy: reading for reading in (answer.readings if answer else ())}
    alerts = (evidence.alerts if past else seen.alerts.get(account, evidence.alerts)).alerts.get(rule.name, {})
    opened = {key[2]: event for key, event in as_of(seen.events, at).items() if key[:2] == (account, rule.name)}
    subjects = sorted({*readings, *opened} or {""}, key=lambda s: _badness(rule, readings.get(s), opened.get(s)))
    why = answer.missing if answer else "it was not asked"
    common = {"account": account, "rule": rule.name, "seen_at": evidence.at, "blind": _blindness(evidence, why)}
    return [
        {
            **common,
            "subject": subject,
            **_value(rule, readings.get(subject)),
            "tiers": list(_tiers(rule, readings.get(subject), alerts.get(subject))),
            **_course(opened.get(subject), alerts.get(subject)),
            **_quiet(opened.get(subject), seen, at),
            "receivers": list(_receivers(rule, account, subject, opened.get(subject), seen, at, path)),
        }
        for subject in subjects
    ]


def _badness(rule: Rule, reading: Reading | None, event: Event | None) -> tuple[int, float]:
    ladder = rule.ladder()
    value = reading.value if reading else None
    if value is None or not value.is_finite():
        return -(event.after if event else 0), float("inf")
    met = max((rung.severity for rung in ladder.rungs if ladder.met(value, rung.enter)), default=0)
    return -max(met, event.after if event else 0), float(abs(value - ladder.rungs[0].enter))


def _blindness(evidence: Evidence, why: str) -> str:
    if evidence.blind:
        return "the account could not be seen"
    return why


def _value(rule: Rule, reading: Reading | None) -> dict[str, Any]:
    """value: None where there is none; words: why, or what it was made of."""
    from riskbot.setup.tiers import unit  # noqa: PLC0415 - see cli/__init__.py

    if reading is None:
        return {"value": None, "unit": unit(rule), "words": "no such number"}
    if not reading.value.is_finite():
        word = "missing" if reading.is_missing else "does not apply"
        return {"value": None, "unit": unit(rule), "words": f"{word}{f': {reading.note}' if reading.note else ''}"}
    return {"value": f"{reading.value:f}", "unit": unit(rule), "words": reading.note}


def _tiers(rule: Rule, reading: Reading | None, alert: Alert | None) -> Iterator[dict[str, Any]]:
    """Each tier: met or not, since when, how far away, and when it is or was left."""
    ladder = rule.ladder()
    value = reading.value if reading and reading.value.is_finite() else None
    for rung in ladder.rungs:
        yield {
            "severity": rung.severity.label,
            "enter": f"{rung.enter:f}",
            "exit": f"{rung.exit:f}",
            "met": None if value is None else ladder.met(value, rung.enter),
            "away": None if value is None else f"{abs(value - rung.enter):f}",
            "share": _share(value, rung),
            "met_since": alert.up.get(rung.severity) if alert else None,
            "left_since": alert.down.get(rung.severity) if alert else None,
            "for": ladder.hold,
            "keep_firing_for": ladder.keep,
        }


def _share(value: Any, rung: Rung) -> float | None:
    """How far the value has to move to be there, as a share of itself."""
    return None if value is None or not value else float(abs((value - rung.enter) / value))


def _course(event: Event | None, alert: Alert | None) -> dict[str, Any]:
    return {
        "severity": event.after.label if event else "ok",
        "peak": event.peak.label if event else "",
        "since": event.opened if event else None,
        "flapping": bool(alert and alert.flapping),
        "not_applicable_since": (alert.na_since or None) if alert else None,
    }


def _quiet(event: Event | None, seen: Look, at: float) -> dict[str, Any]:
    """Until when it is held back."""
    quiet = seen.quiet.at(at)
    if event is None:
        return {"acknowledged": None, "silenced": None}
    return {
        "acknowledged": max((ack.until for ack in quiet.acks if ack.quiets(event)), default=None),
        "silenced": max((s.until for s in quiet.silences if s.hides(event)), default=None),
    }


def _receivers(
    rule: Rule, account: str, subject: str, event: Event | None, seen: Look, at: float, path: Path
) -> Iterator[dict[str, Any]]:
    """Who is told of it and from which severity on; of the course that is open each message and each try."""
    from riskbot.settings.model import named  # noqa: PLC0415 - see cli/__init__.py

    for name, entry in named(stored.document(path), "receivers").items():
        least, fallback = entry.get("min_severity", "info"), entry.get("fallback", [])
        told = not rule.receivers or name in rule.receivers
        key = f"{account}/{rule.name}/{subject}"
        rows = [
            (state, message)
            for state, message in reversed(seen.rows)
            if event and message.receiver == name and message.alert == key
            if message.episode == event.episode and message.at <= at
        ]
        messages = [stored.as_row(state, message, names.digest(message.id)) for state, message in rows]
        yield {"receiver": name, "told": told, "from": least, "fallback": list(fallback), "messages": messages}


# For people.


def _show(rows: Sequence[dict[str, Any]], at: float, pid: int, *, past: bool) -> None:
    out = console()
    for i, row in enumerate(rows[:MOST_SHOWN]):
        out.print(*([""] if i else []), _title(row, at), _section(row, at), sep="\n")
    if rest := rows[MOST_SHOWN:]:
        out.print(f"\n{len(rest)} more: {', '.join(row['subject'] for row in rest)}; --ccy shows one.")
    if not past:
        stored.not_running(out, pid)


def _title(row: dict[str, Any], at: float) -> Any:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    name = f" {row['account']} · {row['rule']} {row['subject']}".rstrip()
    if row["since"] is None:
        return Text.assemble(Text("QUIET", "green"), stored.plain(name))
    lasts = f", since {clock(row['since'])} ({span(max(0.0, at - row['since']))}), peak {row['peak']}"
    return Text.assemble(stored.badge(row["severity"]), stored.plain(name + lasts))


def _section(row: dict[str, Any], at: float) -> Any:
    from rich.table import Table  # noqa: PLC0415 - see `console`
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    drawn = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
    for head, words, look in _lines(row, at):
        drawn.add_row(Text(head, "dim"), Text(stored.plain(words), look))
    return drawn


def _lines(row: dict[str, Any], at: float) -> Iterator[tuple[str, str, str]]:
    """Head, words and style of each line."""
    from riskbot.text import clock, span  # noqa: PLC0415 - see cli/__init__.py

    ago = span(max(0.0, at - row["seen_at"]))
    words = f"{_amount(row['value'], row)}  {row['words']}".rstrip() if row["value"] is not None else row["words"]
    yield "value", f"{words}  (as of {clock(row['seen_at'])}, {ago} before)", ""
    if row["blind"]:
        yield "blind", row["blind"], "red"
    for tier in row["tiers"]:
        yield tier["severity"], _tier(tier, row, at), "yellow" if tier["met"] else ""
    if row["flapping"]:
        yield "flapping", "rises are told, falls wait for calm", "yellow"
    if row["not_applicable_since"]:
        yield "ending", f"it does not apply any more, since {clock(row['not_applicable_since'])}", ""
    for word in ("acknowledged", "silenced"):
        if row[word] is not None:
            yield word, stored.until(row[word], at), "cyan"
    for receiver in row["receivers"]:
        yield from _told(receiver, at)


def _tier(tier: dict[str, Any], row: dict[str, Any], at: float) -> str:
    """`5: met since 20:01:02 UTC; left beyond 5.25 for 30 s`, `3: not met, 1.2 away (28.6 %)`."""
    from decimal import Decimal  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import clock, percent, span  # noqa: PLC0415 - see cli/__init__.py

    enter = _amount(tier["enter"], row)
    if tier["met"] is None:
        return enter
    if not tier["met"]:
        share = f" ({percent(Decimal(str(tier['share'])))} of the value)" if tier["share"] is not None else ""
        held = f"; left since {clock(tier['left_since'])}" if tier["left_since"] else ""
        return f"{enter}: not met, {_amount(tier['away'], row)} away{share}{held}"
    since = f" since {clock(tier['met_since'])}" if tier["met_since"] else ""
    wait = (tier["met_since"] or 0) + tier["for"] - at
    due = f", told in {span(wait)}" if tier["met_since"] and wait > 0 else ""
    return f"{enter}: met{since}{due}; left beyond {_amount(tier['exit'], row)} for {span(tier['keep_firing_for'])}"


def _amount(value: str, row: dict[str, Any]) -> str:
    from decimal import Decimal  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.setup.tiers import amount  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.text import number  # noqa: PLC0415 - see cli/__init__.py

    found = Decimal(value)
    return amount(found, row["unit"]) if len(value) <= 6 else f"{'$' if row['unit'] == 'USD' else ''}{number(found)}"


def _told(receiver: dict[str, Any], at: float) -> Iterator[tuple[str, str, str]]:
    """What a receiver hears, then each of its messages with each try."""
    from riskbot.text import clock  # noqa: PLC0415 - see cli/__init__.py

    name, fallback = receiver["receiver"], ", ".join(receiver["fallback"])
    route = f"hears of {receiver['from']} and worse" if receiver["told"] else "is not among the rule's receivers"
    yield name, f"{route}{f'; else {fallback}' if fallback else ''}", ""
    for message in receiver["messages"]:
        yield "", f"{clock(message['at'])} {message['title']}: {stored.standing(message, at)}", stored.style(message)
        for attempt in message["attempts"]:
            why = f": {attempt['why']}" if attempt["why"] else ""
            yield "", f"  {clock(attempt['at'])} {attempt['outcome']}{why}", "dim"
