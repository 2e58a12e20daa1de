"""Health and metrics of a shipper."""

from __future__ import annotations

from collections.abc import Callable

from rawlogs.health.metrics import Metric, counter, gauge, stream_metrics
from rawlogs.health.report import Health, stream_health
from rawlogs.ship.stats import ShipStats
from rawlogs.status.vitals import Vitals


class ShipSubject:
    """Stream and the shipper that its logs go to. ``vitals`` returns None before the stream is made."""

    def __init__(self, vitals: Callable[[], Vitals | None], stats: ShipStats) -> None:
        self._vitals = vitals
        self._stats = stats

    def health(self) -> Health:
        """Return whether logs come, and the receiver takes them."""
        health = stream_health(self._vitals())
        if health.ready and self._stats.trouble is not None:
            # Not the receiver's own text, which may quote anything.
            return Health(False, "the receiver does not take what is sent")
        return health

    def metrics(self) -> list[Metric]:
        """Return the stream's metrics, then the shipper's."""
        vitals = self._vitals()
        return [*(stream_metrics(vitals) if vitals is not None else ()), *ship_metrics(self._stats)]


def ship_metrics(stats: ShipStats) -> list[Metric]:
    """Return what a shipper counts."""
    metrics = [
        counter("ship_logs_acknowledged", "Logs that the receiver took.", stats.acknowledged),
        counter("ship_logs_rejected", "Logs that the receiver took and threw away.", stats.rejected),
        counter("ship_logs_poison", "Logs that the receiver refused for good.", stats.poison),
        gauge("ship_logs_in_flight", "Logs that were sent and are not settled.", stats.in_flight),
        gauge("ship_logs_waiting", "Logs that wait to be sent.", stats.waiting),
        counter("ship_requests", "Requests to the receiver.", stats.requests),
        counter("ship_retries", "Requests that were sent again.", stats.retried),
        counter("ship_bytes", "Bytes of requests, as they were sent.", stats.bytes),
        gauge("ship_failing", "Whether the receiver takes nothing now.", float(stats.trouble is not None)),
    ]
    if stats.last_acknowledged is not None:
        text = "When the receiver acknowledged something last, in seconds since 1970."
        at = stats.last_acknowledged.timestamp()
        metrics.append(gauge("ship_last_acknowledged_timestamp_seconds", text, at))
    return metrics
