"""Logs in OpenTelemetry's data model and in the Elastic Common Schema."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from rawlogs.clock import SystemClock
from rawlogs.models import Log
from rawlogs.otlp.protobuf import encode_request
from rawlogs.otlp.record import record_of as otlp_record
from rawlogs.otlp.record import resource_of, severity_number, unix_nanos
from rawlogs.output.ecs import EcsFormat
from rawlogs.output.otel import OtelFormat

FLOW_RUN = "11111111-2222-4333-8444-555555555555"
TASK_RUN = "66666666-7777-4888-9999-aaaaaaaaaaaa"
LOG_ID = "00000000-0000-4000-8000-000000000001"


class StandingClock(SystemClock):
    """A clock that always says the same."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=timezone.utc)


def make_log(**fields: Any) -> Log:
    """A log as the wire gives it."""
    wire = {
        "id": LOG_ID,
        "name": "prefect.flow_runs",
        "level": 30,
        "message": "hello",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "flow_run_id": FLOW_RUN,
        "task_run_id": None,
    }
    return Log.from_wire(wire | fields)


def otel(log: Log, **options: Any) -> dict[str, Any]:
    """The one resourceLogs object of the line."""
    line = OtelFormat(**{"clock": StandingClock()} | options).encode(log)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    (resource_logs,) = orjson.loads(line)["resourceLogs"]
    result: dict[str, Any] = resource_logs
    return result


def record_of(log: Log) -> dict[str, Any]:
    (scope_logs,) = otel(log)["scopeLogs"]
    (record,) = scope_logs["logRecords"]
    result: dict[str, Any] = record
    return result


def plain(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes as the Collector reads them: 64-bit integers are texts in OTLP/JSON."""

    def value(any_value: dict[str, Any]) -> Any:
        for kind, held in any_value.items():
            if kind == "arrayValue":
                return [value(item) for item in held["values"]]
            if kind == "kvlistValue":
                return plain(held["values"])
            assert kind != "intValue" or isinstance(held, str)
            return int(held) if kind == "intValue" else held
        return None

    return {pair["key"]: value(pair["value"]) for pair in pairs}


def ecs(log: Log) -> dict[str, Any]:
    line = EcsFormat().encode(log)
    assert line.endswith(b"}\n")
    result: dict[str, Any] = orjson.loads(line)
    return result


def test_an_otel_line_is_otlp_json() -> None:
    """64-bit integers are texts, enumerations are numbers, keys are in lowerCamelCase; no trace id is invented."""
    assert otel(make_log()) == {
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "prefect"}}]},
        "scopeLogs": [
            {
                "scope": {"name": "prefect.flow_runs"},
                "logRecords": [
                    {
                        "timeUnixNano": "1767323045678901000",
                        "observedTimeUnixNano": "1767225600000000000",
                        "severityNumber": 13,
                        "severityText": "WARNING",
                        "body": {"stringValue": "hello"},
                        "attributes": [
                            {"key": "log.record.uid", "value": {"stringValue": LOG_ID}},
                            {"key": "prefect.flow_run.id", "value": {"stringValue": FLOW_RUN}},
                            {"key": "prefect.run.id", "value": {"stringValue": FLOW_RUN}},
                            {"key": "prefect.run.type", "value": {"stringValue": "flow"}},
                        ],
                    }
                ],
            }
        ],
    }


def test_an_otel_line_is_read_by_the_official_messages() -> None:
    """As one LogsData, field by field; of the deviations of OTLP/JSON no log of Prefect has a trace id."""
    log = make_log(n={"a": [1, 1.5, True, None, "x"]}, big=2**70)
    line = OtelFormat(clock=StandingClock()).encode(log)
    read = json_format.Parse(line, LogsData(), ignore_unknown_fields=False)
    (record,) = read.resource_logs[0].scope_logs[0].log_records
    assert record.time_unix_nano == 1767323045678901000
    assert record.body.string_value == "hello"
    sent = encode_request([otlp_record(log, StandingClock().now())], {"service.name": "prefect"})
    assert LogsData.FromString(sent) == read, "what is shipped is the same"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {"task_run_id": TASK_RUN},
            {
                "prefect.flow_run.id": FLOW_RUN,
                "prefect.task_run.id": TASK_RUN,
                "prefect.run.id": TASK_RUN,
                "prefect.run.type": "task",
            },
            id="a task run within a flow run",
        ),
        pytest.param({"flow_run_id": None}, {}, id="no run"),
        pytest.param(
            {"flow_run_id": None, "worker_id": "w-1", "n": {"a": 1}},
            {"prefect.log.worker_id": "w-1", "prefect.log.n": {"a": 1}},
            id="unknown fields",
        ),
        pytest.param(
            {"flow_run_id": None, "created": "2026-01-01T00:00:00Z", "updated": None},
            {},
            id="REST's own dates",
        ),
    ],
)
def test_otel_attributes_name_runs_and_unknown_fields(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Only what the log has."""
    assert plain(record_of(make_log(**fields))["attributes"]) == {"log.record.uid": LOG_ID} | expected


@pytest.mark.parametrize(
    ("level", "number"),
    [
        *[(-5, 0), (0, 0), (1, 1), (5, 1), (9, 1), (10, 5), (15, 7), (19, 8), (20, 9), (25, 11), (29, 12)],
        *[(30, 13), (39, 16), (40, 17), (49, 20), (50, 21), (55, 23), (60, 24), (10**9, 24)],
    ],
)
def test_levels_map_into_otels_ranges(level: int, number: int) -> None:
    """Python's five are the first of their range; what is between is a step within it."""
    assert severity_number(level) == number


@pytest.mark.parametrize(
    ("moment", "nanos"),
    [
        (datetime(1970, 1, 1, tzinfo=timezone.utc), "0"),
        (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=timezone.utc), "1000"),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=timezone.utc), "0"),
        (datetime(2500, 1, 1, 0, 0, 0, 999999, tzinfo=timezone.utc), "16725225600999999000"),
        (datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc), "0"),
    ],
)
def test_nanoseconds_are_exact(moment: datetime, nanos: str) -> None:
    """No float rounds them; what 64 bits cannot hold is unknown to OTel."""
    assert unix_nanos(moment) == int(nanos)


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        pytest.param("http://127.0.0.1:4200/api", {"server.address": "127.0.0.1"}, id="own server"),
        pytest.param(
            f"https://api.prefect.cloud/api/accounts/{FLOW_RUN}/workspaces/{TASK_RUN}",
            {
                "server.address": "api.prefect.cloud",
                "prefect.account.id": FLOW_RUN,
                "prefect.workspace.id": TASK_RUN,
            },
            id="Cloud",
        ),
        pytest.param("", {}, id="no URL"),
    ],
)
def test_the_resource_tells_where_logs_come_from(api_url: str, expected: dict[str, str]) -> None:
    """Host, account and workspace, taken from the API URL; never a port or a path."""
    resource = resource_of(api_url)
    assert resource == {"service.name": "prefect"} | expected
    assert plain(otel(make_log(), resource=resource)["resource"]["attributes"]) == resource


def test_an_ecs_record_has_the_schemas_fields_in_its_order() -> None:
    """Elastic's loggers begin with these four, in this order."""
    record = ecs(make_log())
    assert list(record)[:4] == ["@timestamp", "log.level", "message", "ecs.version"]
    assert record == {
        "@timestamp": "2026-01-02T03:04:05.678901Z",
        "log.level": "warning",
        "message": "hello",
        "ecs.version": "1.6.0",
        "log.logger": "prefect.flow_runs",
        "event.id": LOG_ID,
        "event.severity": 30,
        "event.dataset": "prefect.log",
        "service.name": "prefect",
        "labels": {"prefect_flow_run_id": FLOW_RUN},
    }


def test_ecs_labels_are_flat_text() -> None:
    """Elasticsearch refuses nested labels and misreads dots in their names."""
    log = make_log(
        **{"task_run_id": TASK_RUN, "a.b*c\\d": "x", "n": 5, "o": {"k": ["\ud800é"]}, "t": True, "none": None}
    )
    assert ecs(log)["labels"] == {
        "prefect_flow_run_id": FLOW_RUN,
        "prefect_task_run_id": TASK_RUN,
        "prefect_a_b_c_d": "x",
        "prefect_n": "5",
        "prefect_o": '{"k":["\ufffdé"]}',
        "prefect_t": "true",
    }


def test_ecs_has_no_empty_labels() -> None:
    """A log of no run has none."""
    assert "labels" not in ecs(make_log(flow_run_id=None))
