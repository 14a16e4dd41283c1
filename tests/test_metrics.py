"""The declared metrics, and the text that is made of them."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from riskbot import metrics
from riskbot.cli.metrics import command
from riskbot.metrics import ALL, LONGEST_LABEL, Sheet
from riskbot.service.tally import Tally
from tests.lookout import series

LISTED = Path(__file__).parent / "data" / "metrics.txt"
BUCKETS = [(0.1, 3), (1.0, 4), (inf, 5)]


def text(sheet: Sheet) -> str:
    return sheet.encoded()[0].decode()


def test_the_metrics_are_those_that_dashboards_out_there_know() -> None:
    """Who renames one breaks them: then say so in the changelog, and `riskbot metrics > tests/data/metrics.txt`."""
    listed = CliRunner().invoke(command, env={"COLUMNS": "160"}).stdout
    assert [line.rstrip() for line in listed.splitlines()] == LISTED.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_each_metric_is_named_as_prometheus_wants_it(metric: metrics.Declared) -> None:
    assert re.fullmatch(r"riskbot_[a-z_]+", metric.name)
    assert metric.help.endswith(".")
    assert not metric.name.endswith(("_total", "_bucket", "_sum", "_count"))
    assert (metric.unit == "s") == metric.name.endswith("_seconds")
    assert (metric.kind == "histogram") == metric.series.endswith("_bucket")
    assert (metric.kind == "counter") == metric.series.endswith("_total")


def test_all_names_differ() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL)


def test_a_sheet_gives_gauges_counters_and_histograms_in_both_forms() -> None:
    sheet = Sheet()
    sheet.put(metrics.MGN_RATIO, 1.5, "main")
    sheet.put(metrics.POLLS, 7, "main")
    sheet.put(metrics.POLL_TIME, (BUCKETS, 2.5), "main")
    expected = {
        'riskbot_mgn_ratio{account="main"}': 1.5,
        'riskbot_polls_total{account="main"}': 7,
        'riskbot_poll_duration_seconds_bucket{account="main",le="0.1"}': 3,
        'riskbot_poll_duration_seconds_bucket{account="main",le="1.0"}': 4,
        'riskbot_poll_duration_seconds_bucket{account="main",le="+Inf"}': 5,
        'riskbot_poll_duration_seconds_count{account="main"}': 5,
        'riskbot_poll_duration_seconds_sum{account="main"}': 2.5,
    }
    assert series(text(sheet)) == expected
    assert sheet.encoded()[1].startswith("text/plain; version=0.0.4")

    newer, kind = sheet.encoded(openmetrics=True)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert newer.endswith(b"# EOF\n")
    found = {sample.name for family in openmetrics_families(newer.decode()) for sample in family.samples}
    assert found == {name.partition("{")[0] for name in expected}


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "a\nb", 'x"} 1\nriskbot_mgn_ratio{account="y', "é—₿", "\u202e", "{}", "", "\\n", "\r"]
)
def test_no_name_breaks_out_of_its_label(name: str) -> None:
    sheet = Sheet()
    sheet.put(metrics.MGN_RATIO, 2, name)
    samples = [line for line in text(sheet).split("\n") if line and not line.startswith("#")]
    assert len(samples) == 1
    assert series(text(sheet)) == {f'riskbot_mgn_ratio{{account="{name}"}}': 2}


def test_half_a_surrogate_is_sent_as_a_question_mark() -> None:
    sheet = Sheet()
    sheet.put(metrics.MGN_RATIO, 2, "a\ud800b")
    assert series(text(sheet)) == {'riskbot_mgn_ratio{account="a?b"}': 2}


def test_long_labels_are_cut_and_series_that_look_alike_then_are_one() -> None:
    sheet = Sheet()
    for end, value in (("1", 1), ("2", 2)):
        sheet.put(metrics.MGN_RATIO, value, "x" * LONGEST_LABEL + end)
    assert series(text(sheet)) == {f'riskbot_mgn_ratio{{account="{"x" * LONGEST_LABEL}"}}': 1}


def test_labels_are_redacted_before_they_are_cut() -> None:
    sheet = Sheet(lambda word: word.replace("Zk9vQ2", "***"))
    sheet.put(metrics.QUEUE, 1, "x" * (LONGEST_LABEL - 3) + "Zk9vQ2")
    assert "Zk9" not in text(sheet)
    assert "***" in text(sheet)


def test_what_was_not_put_has_no_series() -> None:
    assert series(text(Sheet())) == {}
    assert text(Sheet()).count("# HELP") == len(ALL)


def test_a_tally_counts_by_upper_bounds_that_are_included() -> None:
    tally = Tally(0.1, 1.0)
    for seconds in (0.05, 0.1, 0.5, 7.0):
        tally.add(seconds)
    assert tally.reached() == [(0.1, 2), (1.0, 3), (inf, 4)]
    assert tally.total == pytest.approx(7.65)
