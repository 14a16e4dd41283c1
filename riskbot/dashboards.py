"""Alerts for Prometheus and a dashboard for Grafana, made of the declared metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from riskbot import metrics as m
from riskbot.metrics import Declared
from riskbot.settings import SELF

SCRAPE_GAP = "5m"
"""A rate is taken over so long: a scrape or two may be missed."""


class Watched(Struct, frozen=True):
    """One alert of Prometheus. lasts: how long `expr` must hold before it fires."""

    name: str
    expr: str
    severity: str
    says: str
    lasts: str = "1m"


def _rate(metric: Declared) -> str:
    return f"sum by (account) (rate({metric.series}[{SCRAPE_GAP}]))"


ALERTS = (
    Watched("RiskbotDown", f"absent({m.BUILD.series})", "critical", "Prometheus can't see riskbot: is it running?"),
    Watched("RiskbotUnhealthy", f"{m.HEALTHY.series} == 0", "critical", "riskbot can't be relied on: see /healthz."),
    Watched("RiskbotBlind", f"{m.ACCOUNT_UP.series} == 0", "critical", "riskbot can't see {account}.", "30s"),
    Watched(
        "RiskbotAlert", f"{m.SEVERITY.series} >= 3", "critical", "{account}: {rule} {ccy} is critical or worse.", "0s"
    ),
    Watched("RiskbotMarginRatio", f"{m.MGN_RATIO.series} < 3", "critical", "{account}: margin ratio {value}.", "30s"),
    Watched(
        "RiskbotMessagesWait",
        f"{m.QUEUE_AGE.series} > 300",
        "critical",
        "{receiver}: the oldest message waits {value} s.",
    ),
    Watched(
        "RiskbotReceiverBroken",
        f'increase({m.DELIVERIES.series}{{outcome=~"broken|permanent"}}[10m]) > 0',
        "warning",
        "{receiver} refuses messages ({outcome}).",
        "0s",
    ),
    Watched("RiskbotStoreFailing", f"{m.STORE_FAILING.series} == 1", "critical", "The database can't be used."),
    Watched(
        "RiskbotPollsFail",
        f"{_rate(m.POLLS_FAILED)} / {_rate(m.POLLS)} > 0.2",
        "warning",
        "{account}: {value} of all polls fail (1 is all).",
        "5m",
    ),
    Watched(
        "RiskbotPollsSlow",
        f"histogram_quantile(0.99, sum by (account, le) (rate({m.POLL_TIME.series}[{SCRAPE_GAP}]))) > 2.5",
        "warning",
        "{account}: one poll in a hundred takes {value} s.",
        "10m",
    ),
    Watched(
        "RiskbotRuleNeverHadData",
        f"{m.HAD_DATA.series} == 0",
        "warning",
        "{account}: {rule} never had a number to judge: wrong mode, or misspelt currency?",
        "15m",
    ),
    Watched(
        "RiskbotRuleLostData",
        f"{m.DATA_AGE.series} > 600 and on (account) {m.ACCOUNT_UP.series} == 1",
        "info",
        "{account}: {rule} has had nothing to judge for {value} s.",
        "5m",
    ),
    Watched(
        "RiskbotItself",
        f'{m.SEVERITY.series}{{account="{SELF}"}} >= 2',
        "warning",
        "riskbot is not well: {ccy}. It has told its receivers, or tries to.",
        "0s",
    ),
    Watched(
        "RiskbotSeriesLeftOut",
        f"{m.LEFT_OUT.series} > 0",
        "info",
        "{value} readings or alerts are not in /metrics: raise [web] max_series.",
        "10m",
    ),
)


def alert_rules() -> dict[str, Any]:
    """What stands in a rule file of Prometheus."""
    return {"groups": [{"name": "riskbot", "rules": [_alert_rule(alert) for alert in ALERTS]}]}


def _alert_rule(alert: Watched) -> dict[str, Any]:
    """Names in braces become Prometheus' own placeholders."""
    labels = ("account", "rule", "ccy", "receiver", "outcome")
    said = alert.says.replace("{value}", '{{ printf "%.3g" $value }}')
    for label in labels:
        said = said.replace(f"{{{label}}}", f"{{{{ $labels.{label} }}}}")
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": said},
    }


# ---------------------------------------------------------------- Grafana


class Panel(Struct, frozen=True):
    """One panel. legend: names a line. width: of 24."""

    title: str
    expr: str
    unit: str
    legend: str = ""
    kind: str = "timeseries"
    width: int = 12
    log: bool = False


UNITS = {"s": "s", "ratio": "none", "flag": "bool_yes_no", "bytes": "bytes", "": "short"}
"""Grafana's words for ours."""


def _of(metric: Declared) -> str:
    """The series of the accounts that were chosen."""
    return metric.series + ('{account=~"$account"}' if "account" in metric.labels else "")


def _panel(title: str, metric: Declared, legend: str = "", **more: Any) -> Panel:
    return Panel(title, more.pop("expr", _of(metric)), UNITS[metric.unit], legend, **more)


def _quantile(metric: Declared, by: str) -> str:
    return f"histogram_quantile(0.99, sum by ({by}, le) (rate({_of(metric)}[$__rate_interval])))"


def _per_second(metric: Declared, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({_of(metric)}[$__rate_interval]))"


PANELS = (
    _panel("Can be relied on", m.HEALTHY, kind="stat", width=4),
    _panel("Worst alert", m.SEVERITY, kind="stat", width=4, expr=f"max({_of(m.SEVERITY)})"),
    _panel("Margin ratio now", m.MGN_RATIO, "{{account}}", kind="stat", width=8),
    _panel("Messages waiting", m.QUEUE, "{{receiver}}", kind="stat", width=8),
    _panel("Margin ratio", m.MGN_RATIO, "{{account}}", width=24, log=True),
    _panel("Alerts", m.SEVERITY, "{{account}} {{rule}} {{ccy}}", expr=f"{_of(m.SEVERITY)} > 0"),
    _panel("Readings", m.READING, "{{account}} {{rule}} {{ccy}}"),
    _panel("Age of the last answer", m.SEEN_AGE, "{{account}}"),
    _panel("Polls, 99 % within", m.POLL_TIME, "{{account}}", expr=_quantile(m.POLL_TIME, "account")),
    _panel(
        "Polls that failed, a second",
        m.POLLS_FAILED,
        "{{account}} {{reason}}",
        expr=_per_second(m.POLLS_FAILED, "account", "reason"),
    ),
    _panel("Polls left out, a second", m.POLLS_MISSED, "{{account}}", expr=_per_second(m.POLLS_MISSED, "account")),
    _panel("Told, 99 % within", m.DELIVERY_TIME, "{{receiver}}", expr=_quantile(m.DELIVERY_TIME, "receiver")),
    _panel(
        "Tries to send, a second",
        m.DELIVERIES,
        "{{receiver}} {{outcome}}",
        expr=_per_second(m.DELIVERIES, "receiver", "outcome"),
    ),
    _panel("Age of the oldest message", m.QUEUE_AGE, "{{receiver}}"),
    _panel("Lateness of what is due", m.LAG),
    _panel("Clock of the exchange, ahead", m.CLOCK_DRIFT, "{{server}}"),
    _panel("Database", m.DATABASE),
    _panel("Free disk", m.DISK_FREE),
    _panel("Rules that never had data", m.HAD_DATA, "{{account}} {{rule}}", expr=f"{_of(m.HAD_DATA)} == 0"),
)


def dashboard() -> dict[str, Any]:
    """What Grafana imports. It asks which Prometheus, and which accounts."""
    accounts = f"label_values({m.ACCOUNT_UP.series}, account)"
    return {
        "title": "riskbot",
        "uid": "riskbot",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                {
                    "name": "account",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {"query": accounts, "refId": "accounts"},
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "refresh": 2,
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": list(_drawn()),
    }


SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = 8


def _drawn() -> Iterator[dict[str, Any]]:
    """The panels, from left to right and from above down."""
    x = y = 0
    for number, panel in enumerate(PANELS, 1):
        if x + panel.width > 24:
            x, y = 0, y + HEIGHT
        scale = {"custom": {"scaleDistribution": {"type": "log", "log": 10}}} if panel.log else {}
        yield {
            "id": number,
            "type": panel.kind,
            "title": panel.title,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": panel.unit, **scale}, "overrides": []},
            "targets": [
                {"refId": "A", "datasource": SOURCE, "expr": panel.expr, "legendFormat": panel.legend or "__auto"}
            ],
        }
        x += panel.width
