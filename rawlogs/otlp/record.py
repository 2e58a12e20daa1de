"""Logs as records of OpenTelemetry's log data model, before they are encoded. Pure.

A Prefect log carries no trace or span id, so none is invented.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rawlogs.log_values import micros
from rawlogs.models import FIELDS, Log

_WORKSPACE = re.compile(r"/accounts/([0-9a-fA-F-]{36})/workspaces/([0-9a-fA-F-]{36})(?:/|$)")
_DEEPEST = 20
"""Protobuf's readers give up 100 messages deep, and an object within an object takes three."""


class RunLabels(NamedTuple):
    """Names of a flow run and of what it belongs to; None and empty for what is not known."""

    run: str | None = None
    flow: str | None = None
    deployment: str | None = None
    work_pool: str | None = None
    tags: tuple[str, ...] = ()


class Record(NamedTuple):
    """Log record. The times are nanoseconds since 1970, 0 for unknown; ``logger`` is its instrumentation scope."""

    time: int
    observed: int
    severity: int
    severity_text: str
    body: str
    logger: str
    attributes: Mapping[str, Any]


def record_of(log: Log, observed: datetime, names: RunLabels | None = None) -> Record:
    """Return the record of a log that was received at ``observed``; texts of it can be written as UTF-8.

    Run ids stand twice: as ``prefect.flow_run.id`` and ``prefect.task_run.id``, and as the ``prefect.run.id`` and
    ``prefect.run.type`` that Prefect 3.8 puts on its spans.
    """
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
    if names is not None:
        attributes.update(_named(names))
    for key, value in data.items():
        if key not in FIELDS:
            attributes[_text(f"prefect.log.{key}")] = _value(value, 0)
    return Record(
        time=unix_nanos(log.timestamp),
        observed=unix_nanos(observed),
        severity=severity_number(log.level),
        severity_text=log.level_name,
        body=_text(log.message),
        logger=_text(log.name),
        attributes=attributes,
    )


def severity_number(level: int) -> int:
    """Return OpenTelemetry's SeverityNumber of a level.

    0 is unspecified, 1 TRACE, 5 DEBUG, 9 INFO, 13 WARN, 17 ERROR, 21 FATAL. A level between two of Python's
    is a step within the lower one's range of four: 25 is 11 (INFO3).
    """
    if level <= 0:  # NOTSET
        return 0
    if level < 10:
        return 1
    step = min(level // 10, 5)
    return 1 + 4 * step + min((level - 10 * step) * 4 // 10, 3)


def unix_nanos(moment: datetime) -> int:
    """Return nanoseconds since 1970; 0, unknown, outside of 1970 to 2554."""
    nanos = micros(moment) * 1000
    return nanos if 0 <= nanos < 2**64 else 0


def resource_of(api_url: str) -> dict[str, str]:
    """Return the resource attributes that an API URL tells: its host and, on Cloud, account and workspace."""
    parts = urlsplit(api_url)
    resource = {"service.name": "prefect"}
    if parts.hostname:
        resource["server.address"] = parts.hostname
    workspace = _WORKSPACE.search(parts.path)
    if workspace:
        resource["prefect.account.id"], resource["prefect.workspace.id"] = workspace.groups()
    return resource


def _named(names: RunLabels) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prefect.flow_run.name": names.run,
        "prefect.flow.name": names.flow,
        "prefect.deployment.name": names.deployment,
        "prefect.work_pool.name": names.work_pool,
        "prefect.tags": list(names.tags),
    }
    return {key: _value(value, 0) for key, value in found.items() if value}


def _value(value: Any, depth: int) -> Any:
    """Return a JSON value as an attribute can hold it."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (dict, list)) and depth >= _DEEPEST:
        return "[nested too deep]"
    if isinstance(value, dict):
        return {_text(key): _value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_value(item, depth + 1) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)  # an attribute's integer has 64 bits
    return value


def _text(text: str) -> str:
    """Return the text without lone surrogates, which neither JSON nor protobuf can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
