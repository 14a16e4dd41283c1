"""Every metric, declared once: what is scraped, listed, alerted on and drawn is made of these.

What does not apply, or can't be seen at present, has no series; it is never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import Any, Literal, cast

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

LONGEST_LABEL = 200
"""Signs of a label's value. The rest is cut."""

OPENMETRICS = "application/openmetrics-text"
"""The newer form of the text, for scrapers that ask for it."""

Buckets = list[tuple[float, int]]
"""(upper bound, how many took at most so long), shortest first; the last bound is infinity."""


class Declared(Struct, frozen=True):
    """One metric. name: without the endings that a counter and a histogram get. unit: of its values, for dashboards."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter", "histogram"] = "gauge"
    unit: Literal["", "s", "ratio", "flag", "bytes"] = ""

    @property
    def listed(self) -> str:
        """How it is called in /metrics."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def series(self) -> str:
        """What its series are called; of a histogram those that a quantile is made of."""
        return f"{self.name}_bucket" if self.kind == "histogram" else self.listed


ALL: list[Declared] = []
"""In the order in which they are shown."""


def _declare(name: str, help_: str, *labels: str, kind: str = "gauge", unit: str = "") -> Declared:
    found = Declared(f"riskbot_{name}", help_, labels, kind, unit)  # type: ignore[arg-type] # written below, and tested
    ALL.append(found)
    return found


BUILD = _declare("build_info", "Always 1; the version of riskbot and of Python.", "version", "python")
HEALTHY = _declare("healthy", "1: all is watched and told; 0: /healthz says why not.", unit="flag")
READY = _declare("ready", "1: every account was polled and every receiver is loaded since the start.", unit="flag")

MGN_RATIO = _declare(
    "mgn_ratio", "The account's mgnRatio; 1 is liquidation. None without debt.", "account", unit="ratio"
)
ACCOUNT_UP = _declare(
    "account_up", "1: the account's last answer is fresh; 0: riskbot is blind.", "account", unit="flag"
)
SEEN_AGE = _declare(
    "account_seen_age_seconds", "Since the account's last good answer. None before the first.", "account", unit="s"
)
READING = _declare("reading", "What a rule measured last, as it compares with its tiers.", "account", "rule", "ccy")
SEVERITY = _declare(
    "alert_severity",
    "Of each reading's alert: 0 none, 1 info, 2 warning, 3 critical, 4 emergency.",
    "account",
    "rule",
    "ccy",
)
LEFT_OUT = _declare("series_left_out", "Readings and alerts beyond [web] max_series, which are not shown.")
HAD_DATA = _declare(
    "rule_had_data", "1: the rule had a number to judge since the start; 0: never.", "account", "rule", unit="flag"
)
DATA_AGE = _declare(
    "rule_data_age_seconds", "Since the rule last had a number. None if it never had.", "account", "rule", unit="s"
)

POLLS = _declare("polls", "Polls that ended.", "account", kind="counter")
POLLS_FAILED = _declare(
    "polls_failed",
    "Polls that saw nothing. reason: network, exchange, refused (key, address), clock, internal.",
    "account",
    "reason",
    kind="counter",
)
POLLS_MISSED = _declare("polls_missed", "Polls left out since the one before had not ended.", "account", kind="counter")
POLL_TIME = _declare(
    "poll_duration_seconds", "A poll from asking to the commit.", "account", kind="histogram", unit="s"
)

QUEUE = _declare("queue_messages", "Messages that wait to be sent.", "receiver")
QUEUE_AGE = _declare("queue_oldest_age_seconds", "Since the oldest of them was due to be told.", "receiver", unit="s")
DELIVERIES = _declare(
    "deliveries",
    "Tries to send. outcome: sent, retry, ambiguous (no answer), permanent (refused), broken (address, secret).",
    "receiver",
    "outcome",
    kind="counter",
)
DELIVERY_TIME = _declare(
    "delivery_duration_seconds", "From something to tell until it was told.", "receiver", kind="histogram", unit="s"
)

STORE_FAILING = _declare("store_failing", "1: alerts are told from memory, the database can't be used.", unit="flag")
DATABASE = _declare("database_bytes", "What the database takes of its disk. None before the first look.", unit="bytes")
DISK_FREE = _declare("disk_free_bytes", "What is free on that disk. None before the first look.", unit="bytes")
LAG = _declare("lag_seconds", "How late what is due starts, on the average of half a minute.", unit="s")
CLOCK_DRIFT = _declare(
    "clock_drift_seconds", "How far the exchange's clock is ahead of the machine's, as last learnt.", "server", unit="s"
)
CLOCK_STEPS = _declare("clock_steps", "How often the machine's clock was set.", kind="counter")


class Sheet(Collector):
    """The values of one scrape; each series has one. Filling it is quick, since the polls wait for it."""

    def __init__(self, clean: Callable[[str], str] = str) -> None:
        """clean: takes out of a label's value what nobody may see."""
        self._clean: dict[str, str] = {}
        self._redact = clean
        self._values: dict[Declared, dict[tuple[str, ...], float | tuple[Buckets, float]]] = {one: {} for one in ALL}

    def put(self, metric: Declared, value: float | tuple[Buckets, float], *labels: str) -> None:
        """One value; of a histogram its buckets and their sum. Of two that look alike the first one stays."""
        self._values[metric].setdefault(tuple([self._cleaned(label) for label in labels]), value)

    def _cleaned(self, label: str) -> str:
        found = self._clean.get(label)
        if found is None:
            text = self._redact(label).encode("utf-8", "replace").decode()  # half a surrogate can't be sent
            found = self._clean[label] = text[:LONGEST_LABEL]
        return found

    def collect(self) -> Iterator[Metric]:
        """As the client library of Prometheus has them."""
        for metric, values in self._values.items():
            yield _family(metric, values.items())

    def encoded(self, *, openmetrics: bool = False) -> tuple[bytes, str]:
        """The whole answer, as text or as OpenMetrics, and its content type."""
        registry = CollectorRegistry()
        registry.register(self)
        encode, content_type = choose_encoder(OPENMETRICS if openmetrics else "")
        return encode(registry), content_type


def _family(metric: Declared, values: Iterable[tuple[tuple[str, ...], float | tuple[Buckets, float]]]) -> Metric:
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        if isinstance(value, tuple):
            family.add_metric(
                labels, [("+Inf" if bound == inf else str(bound), count) for bound, count in value[0]], value[1]
            )
        else:
            family.add_metric(labels, value)
    return cast("Metric", family)


_FAMILIES: dict[str, Any] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}
