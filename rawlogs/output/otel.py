"""Logs in OpenTelemetry's log data model, one JSON object a line, for a collector that reads files or pipes.

Nothing is sent anywhere. A Prefect log carries no trace or span id, so none is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from rawlogs.clock import Clock, SystemClock
from rawlogs.models import FIELDS, Log
from rawlogs.output.json import encode_object

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WORKSPACE = re.compile(r"/accounts/([0-9a-fA-F-]{36})/workspaces/([0-9a-fA-F-]{36})(?:/|$)")


def severity_number(level: int) -> int:
    """OpenTelemetry's SeverityNumber of a level.

    0 is unspecified, 1 TRACE, 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR, 21 FATAL. A level between two of Python's
    is a step within the lower one's range of four: 25 is 11 (INFO3).
    """
    if level <= 0:
        return 0
    if level < 10:
        return 1
    step = min(level // 10, 5)
    return 1 + 4 * step + min((level - 10 * step) * 4 // 10, 3)


def unix_nanos(moment: datetime) -> str:
    """Nanoseconds since 1970 as text (JSON numbers are too short); "0", unknown, outside of 1970 to 2554."""
    since = moment - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    nanos = micros * 1000
    return str(nanos if 0 <= nanos < 2**64 else 0)


def resource_of(api_url: str) -> dict[str, str]:
    """The Resource attributes that an API URL tells: its host and, on Cloud, account and workspace."""
    parts = urlsplit(api_url)
    resource = {"service.name": "prefect"}
    if parts.hostname:
        resource["server.address"] = parts.hostname
    workspace = _WORKSPACE.search(parts.path)
    if workspace:
        resource["prefect.account.id"], resource["prefect.workspace.id"] = workspace.groups()
    return resource


class OtelFormat:
    """A LogRecord with the data model's own field names. ``resource`` None: just ``service.name``.

    Run ids stand twice: as ``prefect.flow_run.id`` and ``prefect.task_run.id``, and as the ``prefect.run.id``
    and ``prefect.run.type`` that Prefect 3.8 puts on its spans. ``ObservedTimestamp`` is when the line is
    made.
    """

    def __init__(self, *, resource: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        self._resource = dict(resource) if resource is not None else {"service.name": "prefect"}
        self._clock: Clock = clock or SystemClock()

    def encode(self, log: Log) -> bytes:
        """The log as one line of JSON that ends in a newline."""
        data = log.data
        attributes: dict[str, Any] = {"log.record.uid": log.id_text}
        flow_run, task_run = data.get("flow_run_id"), data.get("task_run_id")
        if flow_run is not None:
            attributes["prefect.flow_run.id"] = flow_run
        if task_run is not None:
            attributes["prefect.task_run.id"] = task_run
        if flow_run is not None or task_run is not None:
            attributes["prefect.run.id"] = flow_run if task_run is None else task_run
            attributes["prefect.run.type"] = "flow" if task_run is None else "task"
        for key, value in data.items():
            if key not in FIELDS:
                attributes[f"prefect.log.{key}"] = value
        record = {
            "Timestamp": unix_nanos(log.timestamp),
            "ObservedTimestamp": unix_nanos(self._clock.now()),
            "SeverityNumber": severity_number(log.level),
            "SeverityText": log.level_name,
            "Body": log.message,
            "InstrumentationScope": {"Name": log.name},
            "Attributes": attributes,
            "Resource": self._resource,
        }
        return encode_object(record) + b"\n"
