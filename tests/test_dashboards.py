"""Alerts for Prometheus and a dashboard for Grafana: they name what there is, and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from riskbot.cli import main
from riskbot.dashboards import ALERTS, PANELS, Panel, Watched, alert_rules, dashboard
from riskbot.metrics import ALL

WORDS = {
    "sum", "max", "rate", "increase", "by", "on", "and", "absent", "histogram_quantile", "le", "account", "m", "s",
    "rule", "ccy", "receiver", "outcome", "reason",
}  # fmt: skip
"""Of PromQL, and labels."""


def run(*words: str) -> Result:
    result = CliRunner().invoke(main, ["metrics", *words], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("one", [*ALERTS, *PANELS], ids=lambda one: one.name if isinstance(one, Watched) else one.title)
def test_every_expression_names_declared_metrics_and_their_labels(one: Watched | Panel) -> None:
    series = {metric.series: metric for metric in ALL}
    named = re.findall(r"riskbot_\w+", one.expr)
    assert named
    assert set(named) <= series.keys()
    matched = re.sub(r'"[^"]*"|\[[^]]*\]', "", one.expr)
    assert set(re.findall(r"[a-z_]\w*", matched)) - set(named) <= WORDS
    labels = {label for name in named for label in (*series[name].labels, "le")}
    assert set(re.findall(r"\b(account|rule|ccy|receiver|outcome|reason)\b", matched)) <= labels
    assert matched.count("(") == matched.count(")")
    assert matched.count("{") == matched.count("}")


def test_what_an_alert_says_names_labels_that_its_expression_has() -> None:
    series = {metric.series: metric for metric in ALL}
    for alert in ALERTS:
        said = {*re.findall(r"{(\w+)}", alert.says)} - {"value"}
        named = re.findall(r"riskbot_\w+", alert.expr)
        assert said <= {label for name in named for label in series[name].labels}, alert.name


def test_every_metric_a_trader_must_not_miss_is_alerted_on_or_drawn() -> None:
    used = " ".join(one.expr for one in (*ALERTS, *PANELS))
    unused = {metric.name for metric in ALL if metric.series not in used}
    assert unused == {"riskbot_ready", "riskbot_clock_steps"}


def test_the_alerts_are_yaml_as_prometheus_reads_it() -> None:
    read = yaml.safe_load(run("prometheus").stdout)
    assert read == alert_rules() == json.loads(run("prometheus", "--json").stdout)
    rules = read["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(ALERTS)
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        said = rule["annotations"]["summary"]
        assert not re.search(r"(?<!{){\w+}(?!})", said), said
    assert "'{{ $labels.account }}: margin ratio {{ printf \"%.3g\" $value }}.'" in run("prometheus").stdout


def test_the_dashboard_is_json_as_grafana_imports_it() -> None:
    read = json.loads(run("grafana").stdout)
    assert read == dashboard()
    panels: list[dict[str, Any]] = read["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        taken = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & places
        places |= taken
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"][0]["expr"]
    assert [variable["name"] for variable in read["templating"]["list"]] == ["datasource", "account"]
    assert read["templating"]["list"][1]["query"]["query"] == "label_values(riskbot_account_up, account)"


def test_the_margin_ratio_is_drawn_by_logarithm() -> None:
    drawn = next(panel for panel in dashboard()["panels"] if panel["title"] == "Margin ratio")
    assert drawn["fieldConfig"]["defaults"]["custom"] == {"scaleDistribution": {"type": "log", "log": 10}}
    assert drawn["targets"][0]["expr"] == 'riskbot_mgn_ratio{account=~"$account"}'


def test_the_metrics_are_listed_for_people_and_for_machines() -> None:
    listed = run().stdout.splitlines()
    assert listed[0].split() == ["metric", "type", "labels", "meaning"]
    assert len(listed) == len(ALL) + 1
    rows = json.loads(run("list", "--json").stdout)
    assert rows[3] == {
        "name": "riskbot_mgn_ratio",
        "type": "gauge",
        "labels": ["account"],
        "unit": "ratio",
        "meaning": "The account's mgnRatio; 1 is liquidation. None without debt.",
    }
    assert next(row["name"] for row in rows if row["type"] == "counter") == "riskbot_polls_total"


def test_another_word_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["metrics", "influx"])
    assert result.exit_code == 2
    assert "'influx' is not one of 'list', 'prometheus', 'grafana'" in result.stderr
