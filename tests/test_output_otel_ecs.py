"""Logs in OpenTelemetry's data model and in the Elastic Common Schema."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import orjson
import pytest

from rawlogs.clock import SystemClock
from rawlogs.models import Log
from rawlogs.output.ecs import EcsFormat
from rawlogs.output.otel import OtelFormat, resource_of, severity_number, unix_nanos

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
    line = OtelFormat(**{"clock": StandingClock()} | options).encode(log)
    assert line.endswith(b"}\n")
    result: dict[str, Any] = orjson.loads(line)
    return result


def ecs(log: Log) -> dict[str, Any]:
    line = EcsFormat().encode(log)
    assert line.endswith(b"}\n")
    result: dict[str, Any] = orjson.loads(line)
    return result


def test_an_otel_record_has_the_data_models_fields() -> None:
    """Times are nanoseconds as text; no trace id is invented."""
    assert otel(make_log()) == {
        "Timestamp": "1767323045678901000",
        "ObservedTimestamp": "1767225600000000000",
        "SeverityNumber": 13,
        "SeverityText": "WARNING",
        "Body": "hello",
        "InstrumentationScope": {"Name": "prefect.flow_runs"},
        "Attributes": {
            "log.record.uid": LOG_ID,
            "prefect.flow_run.id": FLOW_RUN,
            "prefect.run.id": FLOW_RUN,
            "prefect.run.type": "flow",
        },
        "Resource": {"service.name": "prefect"},
    }


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
    assert otel(make_log(**fields))["Attributes"] == {"log.record.uid": LOG_ID} | expected


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
    assert unix_nanos(moment) == nanos


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
    assert otel(make_log(), resource=resource)["Resource"] == resource


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
