"""riskbot check: is the rules file right, and what would be watched?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from riskbot.cli.common import STYLES, config_option, console, fail, json_option, load

if TYPE_CHECKING:
    from riskbot.rules import Rule
    from riskbot.settings import Config


@click.command("check")
@config_option
@json_option
def command(path: Path, *, as_json: bool) -> None:
    """Validate the rules file and say what would be watched. Nothing is sent, nothing is asked.

    Exit codes: 0 it is right, 2 it is not.
    """
    config = load(path)
    _check_receivers(path, config)
    if as_json:
        click.echo(json.dumps(_document(config), indent=2, ensure_ascii=False))
    else:
        _show(path, config)


def _check_receivers(path: Path, config: Config) -> None:
    from riskbot.builtin.apprise import BadUrl, check_url  # noqa: PLC0415 - see cli/__init__.py
    from riskbot.lines import Lines  # noqa: PLC0415 - see cli/__init__.py

    mistakes = []
    for name, receiver in config.receivers.items():
        try:
            check_url(receiver.url.get_secret_value())
        except BadUrl as error:
            line = Lines(path.read_text(encoding="utf-8")).of(("receivers", name, "url"))
            mistakes.append(f"{path}:{line}: url: {error}")
    if mistakes:
        fail("\n".join(mistakes), 2)


def _document(config: Config) -> dict[str, Any]:
    return {
        "accounts": [
            {"name": a.name, "region": a.base_url or a.region, "poll_every": a.poll_every} for a in config.accounts
        ],
        "receivers": [{"name": name, "min_severity": r.min_severity} for name, r in config.receivers.items()],
        "rules": [
            {
                "name": rule.name,
                "kind": rule.kind,
                "enabled": rule.enabled,
                "tiers": {r.severity.label: str(r.enter) for r in rule.ladder().rungs},
            }
            for rule in config.rules
        ],
        "store": str(config.db),
        "warnings": [str(warning) for warning in config.warnings],
    }


def _show(path: Path, config: Config) -> None:
    from rich.table import Table  # noqa: PLC0415 - see cli/__init__.py

    out = console()
    who = ", ".join(f"{a.name} ({a.base_url or a.region}, every {a.poll_every:g} s)" for a in config.accounts)
    told = ", ".join(f"{name} (from {r.min_severity})" for name, r in config.receivers.items())
    out.print(f"[bold]{path}[/] is right.\n  accounts   {who}\n  receivers  {told}\n  state in   {config.db}\n")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("rule", "kind", "of", "tiers", "for", "falls after"):
        table.add_column(column)
    for rule in config.rules:
        table.add_row(*_row(rule))
    out.print(table)


def _row(rule: Rule) -> tuple[str, ...]:
    from riskbot import text  # noqa: PLC0415 - see cli/__init__.py

    ladder = rule.ladder()
    tiers = "  ".join(f"[{STYLES[r.severity.label]}]{r.severity.label}[/] {text.number(r.enter)}" for r in ladder.rungs)
    if rule.ALWAYS_ON:
        tiers = "always on"
    elif not rule.enabled:
        tiers = "off"
    return rule.name, rule.kind, getattr(rule, "field", ""), tiers, text.span(ladder.hold), text.span(ladder.keep)
