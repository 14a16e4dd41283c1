"""riskbot alerts: what is open, and who was told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import STYLES, config_option, console, fail, json_option, load

if TYPE_CHECKING:
    from riskbot.model import Alert, Alerts
    from riskbot.store import Message


@click.command("alerts")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Show open and pending alerts and who was told. Reads the database of a running riskbot.

    Exit codes: 0 shown, 1 there is no database to read, 2 the rules file is wrong.
    """
    from riskbot.store import StoreError  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.store.peek import peek  # noqa: PLC0415 - see cli/__init__.py

    config = load(path)
    try:
        accounts, waiting = peek(config.db, ("queued", "sending", "dead"))
    except StoreError as error:
        fail(str(error), 1)
    rows = [row for account, alerts in accounts.items() for row in _rows(account, alerts, waiting)]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _show(rows)


def _rows(account: str, alerts: Alerts, waiting: list[tuple[str, Message]]) -> list[dict[str, Any]]:
    """One for each alert that is open or on its way, worst first, and for each rule without data."""
    found = [
        _row(account, rule, subject, alert, alerts, waiting)
        for rule, subjects in alerts.alerts.items()
        for subject, alert in subjects.items()
        if alert.shown or alert.up
    ]
    blind = [
        {
            "account": account,
            "rule": rule,
            "subject": "",
            "state": "blind",
            "severity": "",
            "since": b.since,
            "why": b.why,
        }
        for rule, b in alerts.blind.items()
    ]
    return sorted(found, key=lambda row: row["since"]) + blind


def _row(
    account: str, rule: str, subject: str, alert: Alert, alerts: Alerts, waiting: list[tuple[str, Message]]
) -> dict[str, Any]:
    key = f"{rule}/{subject}"
    told = {name: keys[key].level.label for name, keys in alerts.told.items() if key in keys}
    for state, message in waiting:
        if message.alert == f"{account}/{key}":
            told[message.receiver] = f"{message.after.label} ({state})"
    return {
        "account": account,
        "rule": rule,
        "subject": subject,
        "state": "flapping" if alert.flapping else "firing" if alert.shown else "pending",
        "severity": alert.shown.label if alert.shown else "",
        "peak": alert.peak.label if alert.shown else "",
        "since": alert.opened if alert.shown else min(alert.up.values()),
        "told": told,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - see cli/__init__.py

    from riskbot import text  # noqa: PLC0415 - see cli/__init__.py

    out = console()
    if not rows:
        out.print("[green]No alert is open or pending.[/]")
        return
    now = time.time()  # noqa: TID251 - for how long, as a person asks
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("severity", "account", "alert", "state", "for", "peak", "told"):
        table.add_column(column)
    for row in rows:
        told = row.get("why") or ", ".join(f"{name}: {what}" for name, what in row["told"].items())
        table.add_row(
            f"[{STYLES.get(row['severity'], 'dim')}]{row['severity'].upper() or '-'}[/]",
            row["account"],
            f"{row['rule']} {row['subject']}".rstrip(),
            row["state"],
            text.span(max(0.0, now - row["since"])),
            row.get("peak", ""),
            told,
        )
    out.print(table)
