"""Records as OTLP's protobuf messages, and what a receiver answers to them. Needs the extra ``otlp``; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rawlogs.errors import ConfigError
from rawlogs.otlp.record import Record

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

try:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsPartialSuccess,
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
    )
except ImportError as missing:
    raise ConfigError(
        "OTLP needs the package opentelemetry-proto",
        setting="--to",
        hint="Install it with: pip install 'rawlogs[otlp]'",
    ) from missing


def encode_request(records: Iterable[Record], resource: Mapping[str, str]) -> bytes:
    """Return an ExportLogsServiceRequest of these records, one scope a logger; without records an empty one."""
    request = ExportLogsServiceRequest()
    scopes: dict[str, Any] = {}
    for record in records:
        if not scopes:
            described = request.resource_logs.add()
            for key, value in resource.items():
                described.resource.attributes.add(key=key).value.string_value = value
        scope = scopes.get(record.logger)
        if scope is None:
            scope = scopes[record.logger] = described.scope_logs.add()
            scope.scope.name = record.logger
        entry = scope.log_records.add(
            time_unix_nano=record.time,
            observed_time_unix_nano=record.observed,
            severity_number=record.severity,
            severity_text=record.severity_text,
        )
        entry.body.string_value = record.body
        for key, value in record.attributes.items():
            _set(entry.attributes.add(key=key).value, value)
    return request.SerializeToString()


def read_response(body: bytes) -> tuple[int, str]:
    """Return how many records an ExportLogsServiceResponse rejects, and its message. Raises ValueError."""
    try:
        partial = ExportLogsServiceResponse.FromString(body).partial_success
    except DecodeError:
        raise ValueError("it is no ExportLogsServiceResponse") from None
    return max(partial.rejected_log_records, 0), partial.error_message


def read_status(body: bytes) -> str:
    """Return the message of a google.rpc.Status, which tells of a failure. Raises ValueError."""
    try:
        # A Status is in no package of OpenTelemetry; this message has a number and a text in the same two fields.
        return ExportLogsPartialSuccess.FromString(body).error_message
    except DecodeError:
        raise ValueError("it is no Status") from None


def _set(target: AnyValue, value: Any) -> None:
    """Write what JSON holds into an AnyValue; null is one in which nothing is set."""
    if isinstance(value, str):
        target.string_value = value
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, list):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    elif isinstance(value, dict):
        target.kvlist_value.SetInParent()
        for key, item in value.items():
            _set(target.kvlist_value.values.add(key=key).value, item)
