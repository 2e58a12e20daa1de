"""Metrics as Prometheus' text format, written by prometheus-client (the extra ``metrics``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rawlogs.health.metrics import Metric

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

MISSING = "The metrics need rawlogs[metrics]: pip install 'rawlogs[metrics]'\n"


class Exposition:
    """The metrics that ``read`` returns when they are scraped, and those of the process.

    Raises ModuleNotFoundError where the extra is not installed.
    """

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        self.content_type = CONTENT_TYPE_LATEST
        self._read = read
        # A registry of its own: the default one belongs to the application that rawlogs may be a part of.
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return the page that Prometheus reads."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def describe(self) -> list[Family]:
        """Return nothing: which metrics there are is known when they are scraped."""
        return []

    def collect(self) -> Iterator[Family]:
        """Yield what is counted now; prometheus-client calls this."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for metric in self._read():
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = make(f"rawlogs_{metric.name}", metric.text, labels=metric.labels)
            for values, value in metric.values.items():
                family.add_metric(values, value)
            yield family
