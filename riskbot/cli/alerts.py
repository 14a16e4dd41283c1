"""riskbot alerts: what is open, and who was told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import STYLES, config_option, console, fail, json_option, mistakes_told, table

if TYPE_CHECKING:
    from rich.text import Text

    from riskbot.model import Alert, Alerts
    from riskbot.store import Message


@click.command("alerts")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Show open and pending alerts and who was told. Reads the database of a running riskbot.

    Of the rules file only [store] is looked at: no key is needed. Under systemd, give the service's $STATE_DIRECTORY.

    Exit codes: 0 shown, 1 there is no database to read, 2 the rules file is wrong.
    """
    from riskbot.settings import find_db  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store.peek import peek  # noqa: PLC0415 - see cli/__init__.py

    with mistakes_told():
        db = find_db(path)
    try:
        accounts, waiting = peek(db, ("queued", "sending", "dead"))
    except StoreError as error:
        fail(str(error), 1)
    rows = _worst_first([row for account, alerts in accounts.items() for row in _rows(account, alerts, waiting)])
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _show(rows)


def _worst_first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Then those that last longest."""
    from riskbot.model import Severity  # noqa: PLC0415 - see cli/__init__.py

    return sorted(rows, key=lambda row: (-Severity[row["severity"].upper() or "OK"], row["since"]))


def _rows(account: str, alerts: Alerts, waiting: list[tuple[str, Message]]) -> list[dict[str, Any]]:
    """One for each alert that is open or on its way, and for each rule without data."""
    found = [
        _row(account, rule, subject, alert, _told(account, f"{rule}/{subject}", alerts, waiting))
        for rule, subjects in alerts.alerts.items()
        for subject, alert in subjects.items()
        if alert.shown or alert.up
    ]
    blind = [
        {**_row(account, rule, "", None, {}), "state": "blind", "since": b.since, "why": b.why}
        for rule, b in alerts.blind.items()
    ]
    return found + blind


def _row(account: str, rule: str, subject: str, alert: Alert | None, told: dict[str, str]) -> dict[str, Any]:
    row = {"account": account, "rule": rule, "subject": subject, "state": "", "severity": "", "peak": "", "since": 0.0}
    if alert and alert.shown:
        row["state"] = "flapping" if alert.flapping else "firing"
        row |= {"severity": alert.shown.label, "peak": alert.peak.label, "since": alert.opened}
    elif alert:
        row |= {"state": "pending", "since": min(alert.up.values())}
    return {**row, "told": told, "why": ""}


def _told(account: str, key: str, alerts: Alerts, waiting: list[tuple[str, Message]]) -> dict[str, str]:
    """What each receiver was last told; with the state of the message if it has not arrived."""
    states = {(m.receiver, m.alert, m.episode, m.seq): f" ({state})" for state, m in waiting}
    return {
        name: last.level.label + states.get((name, f"{account}/{key}", last.episode, last.seq), "")
        for name, keys in alerts.told.items()
        if (last := keys.get(key))
    }


def _show(rows: list[dict[str, Any]]) -> None:
    out = console()
    if not rows:
        out.print("No alert is open or pending.", style="green")
        return
    now = time.time()  # noqa: TID251 - for how long, as a person asks
    drawn = table("severity", "account", "alert", "state", "for", "peak", "told")
    for row in rows:
        drawn.add_row(*_cells(row, now))
    out.print(drawn)


def _cells(row: dict[str, Any], now: float) -> tuple[Text, ...]:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    from riskbot.text import span  # noqa: PLC0415 - see cli/__init__.py

    alert = f"{row['rule']} {row['subject']}".rstrip()
    lasts = span(max(0.0, now - row["since"]))
    told = row["why"] or ", ".join(f"{name}: {what}" for name, what in row["told"].items())
    severity = Text(row["severity"].upper() or "-", STYLES.get(row["severity"], "dim"))
    return severity, *map(Text, (row["account"], alert, row["state"], lasts, row["peak"], told))
