"""riskbot metrics: what /metrics offers, and what to make of it in Prometheus and Grafana."""

from __future__ import annotations

from typing import Any

import click

from riskbot.cli.common import console, echo_json, json_option, table


@click.command("metrics")
@click.argument("what", type=click.Choice(["list", "prometheus", "grafana"]), default="list")
@json_option
def command(what: str, *, as_json: bool) -> None:
    """Show the metrics that [web] offers at /metrics, or write what Prometheus and Grafana want to read.

    prometheus: a file of alerts for its rule_files. grafana: a dashboard to import.

    Exit codes: 0 shown or written, 2 usage.
    """
    from riskbot import dashboards  # noqa: PLC0415 - see cli/__init__.py

    if what == "grafana":
        echo_json(dashboards.dashboard())
    elif what == "prometheus":
        _write_alerts(dashboards.alert_rules(), as_json=as_json)
    elif as_json:
        echo_json(_rows())
    else:
        _show(_rows())


def _write_alerts(rules: dict[str, Any], *, as_json: bool) -> None:
    import yaml  # noqa: PLC0415 - see cli/__init__.py

    if as_json:
        echo_json(rules)
    else:
        click.echo(yaml.safe_dump(rules, sort_keys=False, width=1000, allow_unicode=True), nl=False)


def _rows() -> list[dict[str, Any]]:
    from riskbot.metrics import ALL  # noqa: PLC0415 - see cli/__init__.py

    return [
        {"name": one.listed, "type": one.kind, "labels": list(one.labels), "unit": one.unit, "meaning": one.help}
        for one in ALL
    ]


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.text import Text  # noqa: PLC0415 - see cli/__init__.py

    lines = table("metric", "type", "labels", "meaning")
    for row in rows:
        lines.add_row(*map(Text, (row["name"], row["type"], " ".join(row["labels"]), row["meaning"])))
    console().print(lines)
