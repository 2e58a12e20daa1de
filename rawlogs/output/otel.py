"""Logs as OTLP/JSON lines, which the OpenTelemetry Collector reads from a file (``otlpjsonfile``). Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rawlogs.clock import Clock, SystemClock
from rawlogs.models import Log
from rawlogs.otlp.record import Record, record_of
from rawlogs.output.json import encode_object


class OtelFormat:
    """One ``LogsData`` object a line, with one log in it. ``resource`` None: just ``service.name``.

    The observed time is when the line is made.
    """

    def __init__(self, *, resource: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        self._resource = {"attributes": _key_values(resource or {"service.name": "prefect"})}
        self._clock: Clock = clock or SystemClock()

    def encode(self, log: Log) -> bytes:
        """Return the log as one line of JSON that ends in a newline."""
        record = record_of(log, self._clock.now())
        scope_logs = {"scope": {"name": record.logger}, "logRecords": [_log_record(record)]}
        return (
            encode_object({"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope_logs]}]}) + b"\n"
        )


def _log_record(record: Record) -> dict[str, Any]:
    """Return the log as OTLP/JSON, which writes 64-bit integers as texts, and enumerations as numbers."""
    return {
        "timeUnixNano": str(record.time),
        "observedTimeUnixNano": str(record.observed),
        "severityNumber": record.severity,
        "severityText": record.severity_text,
        "body": {"stringValue": record.body},
        "attributes": _key_values(record.attributes),
    }


def _key_values(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _key_values(value)}}
    return {}
