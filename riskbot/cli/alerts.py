"""riskbot alerts: what is open, and who was told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli import names, stored
from riskbot.cli.common import config_option, console, echo_json, json_option

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.text import Text

    from riskbot.model import Alert, Alerts, Told
    from riskbot.rules import Rule
    from riskbot.store import Message
    from riskbot.store.peek import Look

    Rows = Mapping[tuple[str, str, int, int], list[tuple[str, Message]]]


@click.command("alerts")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Show open and pending alerts, who was told, whether that has arrived, and what people acknowledged or silenced.

    Reads the database of a running riskbot. No key is needed: of the rules file only [store] is looked at, and how
    long a pending alert still has. Under systemd, give the service's $STATE_DIRECTORY.

    Exit codes: 0 shown, 1 there is no database to read, 2 the rules file is wrong.
    """
    from riskbot.store.outbox import STATES  # noqa: PLC0415 - see cli/__init__.py

    seen = stored.look_into(stored.database(path), STATES)
    said = _by_step(seen.rows)
    rows = _worst_first([row for account, alerts in seen.alerts.items() for row in _rows(account, alerts, said)])
    _foresee(path, rows, seen.alerts)
    _add_quiet(rows, seen, stored.now())
    stored.add_labels(rows, path)
    if as_json:
        echo_json(rows)
    else:
        _show(rows, seen.pid)


def _by_step(rows: list[tuple[str, Message]]) -> Rows:
    """The messages of each receiver about one step of an alert, newest first."""
    found: dict[tuple[str, str, int, int], list[tuple[str, Message]]] = {}
    for state, m in rows:
        found.setdefault((m.receiver, m.alert, m.episode, m.seq), []).append((state, m))
    return found


def _worst_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Then those that last longest."""
    from riskbot.model import Severity  # noqa: PLC0415 - see cli/__init__.py

    return sorted(rows, key=lambda row: (-Severity[row["severity"].upper() or "OK"], row["since"]))


def _rows(account: str, alerts: Alerts, said: Rows) -> list[dict[str, Any]]:
    """One for each alert that is open or on its way, and for each rule without data."""
    found = [
        _row(account, rule, subject, alert, _told(account, f"{rule}/{subject}", alerts, said))
        for rule, subject, alert in alerts.each()
        if alert.shown or alert.up
    ]
    blind = [
        {**_row(account, rule, "", None, {}), "state": "blind", "since": b.since, "why": b.why}
        for rule, b in alerts.blind.items()
    ]
    return found + blind


def _row(account: str, rule: str, subject: str, alert: Alert | None, told: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"ref": "", "id": "", "short": "", "account": account, "rule": rule, "subject": subject}
    row |= {"state": "", "severity": "", "peak": "", "since": 0.0}
    if alert and alert.shown:
        row["state"] = "flapping" if alert.flapping else "firing"
        row |= {"severity": alert.shown.label, "peak": alert.peak.label, "since": alert.opened}
    elif alert:
        row |= {"state": "pending", "since": min(alert.up.values())}
    return {**row, "next": None, "acknowledged": None, "silenced": None, "told": told, "why": ""}


# Who was told.


def _told(account: str, key: str, alerts: Alerts, said: Rows) -> dict[str, dict[str, Any]]:
    """What each receiver was last told, and what became of it."""
    return {
        name: _word(last, said.get((name, f"{account}/{key}", last.episode, last.seq), []))
        for name, keys in alerts.told.items()
        if (last := keys.get(key))
    }


def _word(told: Told, rows: list[tuple[str, Message]]) -> dict[str, Any]:
    """arrived: the level is known to the receiver. The rest is about the newest message, which may be a reminder.

    Of what is not in the outbox any more nothing is left to say: it was sent long ago.
    """
    standing = [(state, message) for state, message in rows if state != "superseded"]
    state, message = standing[0] if standing else ("sent", None)
    return {
        "level": told.level.label,
        "at": told.at,
        "arrived": not standing or any(state == "sent" for state, _ in standing),
        "state": state,
        "tries": message.tries if message else 0,
        "next_try": message.due_at if message and state == "queued" else None,
        "error": message.error if message and state != "sent" else "",
        "maybe_sent": bool(message and message.maybe_sent),
        "reminders": told.reminders,
        "via": told.via,
    }


# What is on its way.


def _foresee(path: Path, rows: list[dict[str, Any]], alerts: dict[str, Alerts]) -> None:
    """When the next tier is told, should its value stay; known where the file has the rule that judged it last."""
    waiting = [(row, alert) for row in rows if (alert := _of(row, alerts)) and _rising(alert)]
    rules = stored.rules_in(path) if waiting else {}
    for row, alert in waiting:
        rule = rules.get(row["rule"])
        if rule and rule.compiled.ladder.mark == alert.mark:
            row["next"] = _next(rule, alert)


def _of(row: dict[str, Any], alerts: dict[str, Alerts]) -> Alert | None:
    return alerts[row["account"]].alerts.get(row["rule"], {}).get(row["subject"])


def _rising(alert: Alert) -> dict[int, float]:
    return {severity: since for severity, since in alert.up.items() if severity > max(alert.level, alert.shown)}


def _next(rule: Rule, alert: Alert) -> dict[str, Any]:
    from riskbot.model import Severity  # noqa: PLC0415 - see cli/__init__.py

    severity, since = min(_rising(alert).items(), key=lambda tier: (tier[1], -tier[0]))
    return {"severity": Severity(severity).label, "at": since + rule.for_}


# What nobody wants to be told.


def _add_quiet(rows: list[dict[str, Any]], seen: Look, now: float) -> None:
    """To what is open its names, and until when its reminders, or all news of it up to a severity, are held back."""
    from riskbot.text import short_id  # noqa: PLC0415 - see cli/__init__.py

    quiet, opened = seen.quiet.at(now), stored.open_alerts(seen, now)
    by_key = {(event.account, event.rule, event.subject): event for event in opened}
    refs = names.refs(map(stored.id_of, opened))
    for row in rows:
        if row["severity"]:
            event = by_key[row["account"], row["rule"], row["subject"]]
            alert = stored.id_of(event)
            row |= {"ref": refs[alert], "id": alert, "short": short_id(event)}
            row["acknowledged"] = max((ack.until for ack in quiet.acks if ack.quiets(event)), default=None)
            row["silenced"] = max((s.until for s in quiet.silences if s.hides(event)), default=None)


# For people.


def _show(rows: list[dict[str, Any]], pid: int) -> None:
    if not rows:
        out = console()
        out.print("No alert is open or pending.", style="green")
        stored.not_running(out, pid)
        return
    now = stored.now()
    head = ("id", "severity", "account", "alert", "state", "for", "peak")
    stored.listing(head, [(_cells(row, now), _below(row, now)) for row in rows], pid)


def _cells(row: dict[str, Any], now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    alert = stored.named(row)
    lasts = span(max(0.0, now - row["since"]))
    rest = map(Text, (row["account"], alert, _state(row, now), lasts, row["peak"]))
    return Text(row["ref"]), stored.badge(row["severity"]), *rest


def _state(row: dict[str, Any], now: float) -> str:
    """`pending, warning in 12 s`."""
    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    if not row["next"]:
        return str(row["state"])
    wait = row["next"]["at"] - now
    return f"{row['state']}, {row['next']['severity']} {f'in {span(wait)}' if wait > 0 else 'due'}"


def _below(row: dict[str, Any], now: float) -> list[Text]:
    """Whom it has reached on one line, each of the others on its own; what is held back; or why a rule is blind."""
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    if row["why"]:
        return [Text(row["why"], "red")]
    words = [(word, _words(name, word, now)) for name, word in row["told"].items()]
    well = [said for word, said in words if word["state"] == "sent"]
    lines = [Text(", ".join(well), "dim")] if well else []
    lines += [Text(said, stored.style(word)) for word, said in words if word["state"] != "sent"]
    lines = lines or [Text("nobody was told", "dim")] * bool(row["severity"])
    asked = [word for word in ("acknowledged", "silenced") if row[word] is not None]
    return lines + [Text(f"{word} {stored.until(row[word], now)}", "cyan") for word in asked]


def _words(name: str, word: dict[str, Any], now: float) -> str:
    """`phone: critical (2 reminders)`, `mail: critical (for phone), failing (3 tries, next in 12 s): HTTP 500`."""
    count = word["reminders"] if word["arrived"] else 0  # while the first word waits there is none
    more = [f"for {word['via']}"] if word["via"] else []
    more += [f"{count} reminder{'s' if count > 1 else ''}"] if count else []
    said = f"{name}: {word['level']}{' (' + ', '.join(more) + ')' if more else ''}"
    if word["state"] == "sent":
        return said
    return f"{said}, {'reminder ' if word['arrived'] else ''}{stored.standing(word, now)}"
