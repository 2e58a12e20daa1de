"""What is counted, as metrics with Prometheus' names; values only, no library.

Labels take few values each: none is made of a log, a run, a URL or an error's text.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rawlogs.health.report import Health
from rawlogs.status.vitals import Vitals
from rawlogs.version import version


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: ``values`` by the values of its ``labels``, in their order.

    ``name`` has neither the prefix ``rawlogs_`` nor the ``_total`` of a counter.
    """

    name: str
    kind: Literal["counter", "gauge"]
    text: str
    values: Mapping[tuple[str, ...], float]
    labels: tuple[str, ...] = ()


def counter(name: str, text: str, value: float) -> Metric:
    """Return a metric that only grows, without labels."""
    return Metric(name, "counter", text, {(): value})


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a metric that goes up and down, without labels."""
    return Metric(name, "gauge", text, {(): value})


def common_metrics(health: Health) -> list[Metric]:
    """Return what every command has."""
    labels, values = ("version", "python"), (version(), platform.python_version())
    return [
        Metric("build_info", "gauge", "The version of rawlogs and of Python.", {values: 1.0}, labels),
        gauge("ready", "Whether /readyz answers 200.", float(health.ready)),
    ]


def stream_metrics(vitals: Vitals) -> list[Metric]:
    """Return the metrics of a stream."""
    stats = vitals.stats
    metrics = [
        counter("logs_delivered", "Logs that went to the reader.", stats.delivered),
        counter("logs_recovered", "Of the delivered logs those that only the list brought.", stats.recovered),
        counter(
            "logs_duplicate", "Live logs that were dropped, having been delivered already.", stats.duplicates
        ),
        counter("frames_unreadable", "WebSocket frames that could not be read.", stats.bad_frames),
        counter(
            "buffer_overflows", "Times that the buffer was full; its logs are listed later.", stats.overflows
        ),
        gauge("open_gaps", "Ranges of time in which logs are, or may be, missing now.", stats.open_gaps),
        gauge(
            "behind_seconds",
            "Seconds since the low-water mark: every older log was delivered. 60 to 90 at rest.",
            max(vitals.behind, 0.0),
        ),
        gauge("outbox_logs", "Logs that wait for the reader.", vitals.waiting),
        gauge("websocket_connected", "Whether the WebSocket is open.", float(vitals.connected)),
        gauge(
            "polling", "Whether the list is followed because there is no WebSocket.", float(vitals.polling)
        ),
        counter("websocket_connections", "WebSocket connections that were opened.", stats.connections),
        Metric(
            "websocket_reconnects",
            "counter",
            "WebSocket connections after one that was lost, by its close code or error.",
            {(cause,): count for cause, count in sorted(stats.reconnect_causes.items())},
            ("cause",),
        ),
        Metric(
            "rest_requests",
            "counter",
            'REST requests by the status of the answer; "none" where none came.',
            {(status,): count for status, count in sorted(vitals.answers.items())},
            ("status",),
        ),
    ]
    if vitals.answered_ago is not None:
        text = "Seconds since the list answered last."
        metrics.append(gauge("list_answer_age_seconds", text, vitals.answered_ago))
    if vitals.last is not None:
        text = "When the log that was delivered last was written, in seconds since 1970."
        metrics.append(gauge("last_log_timestamp_seconds", text, vitals.last.timestamp()))
    return metrics
