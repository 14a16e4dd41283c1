"""riskbot history: what happened, and what became of the messages about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import names, stored, times
from riskbot.cli.common import STYLES, config_option, console, echo_json, fail, json_option

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.model import Alerts, Event
    from riskbot.store import Message
    from riskbot.store.peek import Look

    Key = tuple[str, str, str, int]

LATE = 5.0
"""Seconds after which a message that arrived is said to be late."""


@click.command("history")
@config_option
@click.option("--since", default="7d", show_default=True, callback=times.duration, help="How far back: 90m, 12h, 7d.")
@click.option("--account", help="Only of this account; riskbot: its own alerts.")
@click.option("--rule", help="Only of this rule.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The newest so many.")
@click.option("--deliveries", is_flag=True, help="Every message and every try to send it.")
@json_option
def command(
    path: Path, since: float, account: str | None, rule: str | None, limit: int, *, deliveries: bool, as_json: bool
) -> None:
    """Show past alerts, newest first: their course, why they ended, and when each receiver was told.

    Alerts are remembered for three months, messages that were sent for eight days. Times are UTC, as in messages.
    No key is needed: of the rules file only [store] is looked at.

    Exit codes: 0 shown, 1 there is no database to read, 2 usage, or the rules file is wrong.
    """
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    seen = stored.look_into(stored.database(path), STATES)
    found = _episodes(seen, {"account": account, "rule": rule}, stored.now() - since)
    shown = found[:limit]
    _add_deliveries(shown, seen.rows)
    stored.add_labels(shown, path)
    if as_json:
        echo_json(shown)
    else:
        _show(shown, len(found) - len(shown), seen.pid, every=deliveries)


# What happened.


def _episodes(seen: Look, wanted: Mapping[str, str | None], since: float) -> list[dict[str, Any]]:
    """Those that lasted into the time since then, newest first."""
    courses: dict[Key, list[Event]] = {}
    for e in seen.events:
        courses.setdefault((e.account, e.rule, e.subject, e.episode), []).append(e)
    _check_names(wanted, courses, seen.alerts)
    rows = [_episode(key, sorted(course, key=lambda e: e.seq), seen.alerts) for key, course in courses.items()]
    chosen = [row for row in rows if all(row[name] == value for name, value in wanted.items() if value is not None)]
    lasting = [row for row in chosen if row["state"] == "open" or row["course"][-1]["at"] >= since]
    return sorted(lasting, key=lambda row: row["opened"], reverse=True)


def _check_names(wanted: Mapping[str, str | None], courses: Iterable[Key], alerts: Mapping[str, Alerts]) -> None:
    """An account or a rule that nothing is known of is a slip of the pen."""
    from riskbot.rules import suggest  # noqa: PLC0415 - see cli/__init__.py

    known: dict[str, Collection[str]] = {
        "account": {*alerts, *(account for account, *_ in courses)},
        "rule": {*(rule for _, rule, *_ in courses), *(rule for a in alerts.values() for rule in a.alerts)},
    }
    for name, value in wanted.items():
        if value is not None and value not in known[name]:
            fail(f"nothing is remembered of {name} {value!r}{suggest(value, sorted(known[name]))}", 2)


def _episode(key: Key, course: list[Event], alerts: Mapping[str, Alerts]) -> dict[str, Any]:
    account, rule, subject, episode = key
    last = course[-1]
    return {
        "account": account,
        "rule": rule,
        "subject": subject,
        "episode": episode,
        "state": _state(key, last, alerts),
        "severity": last.after.label,
        "peak": max(event.peak for event in course).label,
        "opened": last.opened,
        "ended": None if last.after else last.at,
        "cause": "" if last.after else last.cause.value,
        "course": [_step(event) for event in course],
        "deliveries": [],
    }


def _state(key: Key, last: Event, alerts: Mapping[str, Alerts]) -> str:
    """open, ended, or unknown: its end was not written down, or it goes on under another name of its rule."""
    account, rule, subject, episode = key
    if not last.after:
        return "ended"
    alert = alerts[account].alerts.get(rule, {}).get(subject) if account in alerts else None
    return "open" if alert and alert.shown and alert.episode == episode else "unknown"


def _step(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at,
        "severity": event.after.label,
        "cause": event.cause.value,
        "value": None if event.value is None else str(event.value),
        "note": event.note,
    }


def _add_deliveries(episodes: list[dict[str, Any]], rows: list[tuple[str, Message]]) -> None:
    """To each episode its messages, oldest first."""
    refs = names.refs(message.id for _, message in rows)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for state, message in reversed(rows):
        row = stored.as_row(state, message, refs[message.id])
        found.setdefault((message.alert, message.episode), []).append(row)
    for episode in episodes:
        alert = f"{episode['account']}/{episode['rule']}/{episode['subject']}"
        episode["deliveries"] = found.get((alert, episode["episode"]), [])


# For people.


def _show(episodes: list[dict[str, Any]], more: int, pid: int, *, every: bool) -> None:
    out = console()
    if not episodes:
        out.print("Nothing happened.", style="green")
        return
    stored.listing((), _lines(episodes, stored.now(), every=every), pid)
    if more:
        out.print(f"… and {more} more: give a higher --limit, or a shorter --since.", style="dim")


def _lines(episodes: list[dict[str, Any]], now: float, *, every: bool) -> Iterator[stored.Line]:
    """Under a line for each day."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    day = ""
    for episode in episodes:
        if (date := f"{stored.moment(episode['opened']):%a %d %b}") != day:
            yield (Text(date, "bold"), Text("" if day else "UTC", "dim"), Text(), Text(), Text()), ()
            day = date
        yield _line(episode, now), [*_why(episode), *_told(episode, now, every=every)]


def _why(episode: dict[str, Any]) -> list[Text]:
    """What riskbot said of its own trouble; of an account's, the messages say it."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.settings import SELF  # noqa: PLC0415 - see cli/__init__.py

    notes = [step["note"] for step in episode["course"] if step["note"]]
    return [Text(notes[-1])] if notes and episode["account"] == SELF else []


def _line(episode: dict[str, Any], now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    name = stored.named(episode)
    cells = (Text(f"{stored.moment(episode['opened']):%H:%M:%S}"), stored.badge(episode["peak"]))
    return *cells, Text(f"{episode['account']} · {name}"), _lasted(episode, now), _course(episode)


def _lasted(episode: dict[str, Any], now: float) -> Text:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    if episode["state"] == "unknown":
        return Text("end unknown", "dim")
    if episode["ended"] is None:
        return Text(f"open, {span(now - episode['opened'])}", STYLES.get(episode["severity"], ""))
    return Text(span(episode["ended"] - episode["opened"]))


MOST_STEPS = 8
"""Steps of a course that people are shown; the first and the last of a longer one."""


def _course(episode: dict[str, Any]) -> Text:
    """`warning → critical 14:22:20 → ok 14:35:01, recovered`. The first step is at the time of the line."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    steps = episode["course"]
    words = [Text(steps[0]["severity"], STYLES[steps[0]["severity"]])] if steps[0]["at"] == episode["opened"] else []
    words += [
        Text.assemble((step["severity"], STYLES[step["severity"]]), f" {_clock(step['at'], episode['opened'])}")
        for step in steps[len(words) :]
    ]
    if len(words) > MOST_STEPS:
        half = MOST_STEPS // 2
        words[half:-half] = [Text(f"{len(words) - 2 * half} more", "dim")]
    cause = _CAUSES.get(episode["cause"], "")
    return Text.assemble(Text(" → ").join(words), f", {cause}" if cause else "")


def _clock(at: float, opened: float) -> str:
    """The time, with the day if it is not the one of the line."""
    then = stored.moment(at)
    return f"{then:%H:%M:%S}" if then.date() == stored.moment(opened).date() else f"{then:%d %b %H:%M:%S}"


_CAUSES = {
    "recovered": "recovered",
    "not_applicable": "the number no longer applies",
    "calm": "calm again",
    "rule_removed": "taken out of the rules file",
    "rule_changed": "the rule was changed",
}
"""Why an alert ended."""


def _told(episode: dict[str, Any], now: float, *, every: bool) -> Iterator[Text]:
    """Each receiver, and what it was told; every: message by message."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    by_receiver: dict[str, list[dict[str, Any]]] = {}
    for row in episode["deliveries"]:
        by_receiver.setdefault(row["receiver"], []).append(row)
    for name, rows in by_receiver.items():
        if every:
            yield Text(name)
            yield from (line for row in rows for line in _tries(row, episode["opened"], now))
        else:
            yield Text.assemble(f"{name}: ", Text(", ").join(_in_brief(rows, now)))


def _in_brief(rows: list[dict[str, Any]], now: float) -> Iterator[Text]:
    """`warning`, `critical 58 s late`, `ok given up: chat not found`, `2 reminders`."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    news = [row for row in rows if row["state"] != "superseded"]
    arrived = [row for row in news if row["reminder"] and row["state"] == "sent"]
    for row in news:
        if row not in arrived:
            word = f"{_word(row)} {_outcome(row, now)}".rstrip()
            yield Text(word, stored.style(row))
    if arrived:
        yield Text(f"{len(arrived)} reminder{'s' if len(arrived) > 1 else ''}", "dim")


def _word(row: dict[str, Any]) -> str:
    return f"reminder {row['reminder']}" if row["reminder"] else str(row["severity"])


def _outcome(row: dict[str, Any], now: float) -> str:
    """Nothing if it arrived in time."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    if row["state"] != "sent":
        return stored.standing(row, now)
    late = max((a["at"] for a in row["attempts"] if a["outcome"] == "sent"), default=row["at"]) - row["at"]
    maybe = "(may be a repeat)" if row["maybe_sent"] else ""
    return f"{f'{span(late)} late' if late >= LATE else ''} {maybe}".strip()


def _tries(row: dict[str, Any], opened: float, now: float) -> Iterator[Text]:
    """One message with all that was tried, each on a line if there is more than one."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    lines = [_try(attempt, opened) for attempt in row["attempts"]]
    if not lines or row["attempts"][-1]["outcome"] != row["state"]:
        lines.append(f"next try {stored.due(row, now)}" if stored.fails(row) else stored.standing(row, now))
    elif row["maybe_sent"]:
        lines[-1] += " (may be a repeat)"
    head = f"  {_word(row)} {_clock(row['at'], opened)}: "
    yield Text(head + (lines[0] if len(lines) == 1 else ""), stored.style(row))
    yield from (Text(f"    {line}", stored.style(row)) for line in lines if len(lines) > 1)


def _try(attempt: dict[str, Any], opened: float) -> str:
    """`failed 14:22:06: HTTP 500`."""
    why = f": {attempt['why']}" if attempt["why"] else ""
    return f"{_OUTCOMES.get(attempt['outcome'], attempt['outcome'])} {_clock(attempt['at'], opened)}{why}"


_OUTCOMES = {
    "failed": "failed",
    "ambiguous": "perhaps sent",
    "dead": "given up",
    "again": "again by hand",
    "dropped": "dropped by hand",
}
