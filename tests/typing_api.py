"""The public API as a type checker sees it: ``mypy --strict`` reads this file, nothing runs it.

Each line stands for what a user may write; a wrong type here is a break for them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from typing_extensions import assert_type

import rawlogs
from rawlogs import (
    AuthError,
    ConfigError,
    ConnectionLost,
    GaveUp,
    Log,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTaskRunId,
    LogFilterTextSearch,
    LogFilterTimestamp,
    LogStream,
    Notice,
    RawlogsError,
    RunStream,
    Stats,
    UpgradeRefused,
)
from rawlogs.compat import prefect
from rawlogs.durations import parse_moment
from rawlogs.logging import forward

RUN = UUID("60802438-10f0-48d7-b87a-390fcef3654e")


def told(notice: Notice) -> None:
    assert_type(notice.text, str)
    assert_type(notice.at, datetime)


async def streaming() -> None:
    logs = rawlogs.stream(
        level="INFO",
        max_level=40,
        flow_run_id=[RUN, str(RUN)],
        task_run_id=RUN,
        text="error -timeout",
        include=["^task"],
        exclude=("x", "y"),
        logger="prefect.*",
        since=timedelta(minutes=5),
        until=datetime.now(timezone.utc),
        tail=10,
        follow=False,
        transport="auto",
        live_only=True,
        on_notice=told,
        audit=5.0,
        api_url="http://127.0.0.1:4200/api",
        api_key="pnu_key",
        auth_string="user:password",
        profile="local",
        headers={"X-Name": "value"},
        ssl_cert_file="ca.pem",
        insecure=False,
    )
    assert_type(rawlogs.stream(ssl_cert_file=Path("ca.pem")), LogStream)
    assert_type(rawlogs.stream(deployment="etl/prod", overlap="2m", retries=None, strict=True), LogStream)
    async with rawlogs.follow([RUN, "name"], children=False, level="INFO", audit=5.0) as runs:
        assert_type(runs, RunStream)
        assert_type(runs.exit_code, int)
        assert_type(runs.outcome, str | None)
        assert_type(runs.states, dict[UUID, str | None])
    rawlogs.connect(ssl_cert_file=Path("ca.pem"))
    assert_type(logs, LogStream)
    async with logs as entered:
        assert_type(entered, LogStream)
        async for log in entered:
            assert_type(log, Log)
            fields(log)
        async for batch in entered.batches():
            assert_type(batch, Sequence[Log])
        assert_type(entered.stats, Stats)


async def with_filters(theirs: Any) -> None:
    rawlogs.stream(filter=LogFilter(operator="or_", level=LogFilterLevel(ge_=20, le_=None, any_=[20, 40])))
    rawlogs.stream(filter={"flow_run_id": {"any_": [str(RUN)]}})
    rawlogs.stream(filter=theirs)
    chosen = LogFilter(
        timestamp=LogFilterTimestamp(after_=datetime.now(timezone.utc)),
        flow_run_id=LogFilterFlowRunId(any_=[RUN]),
        task_run_id=LogFilterTaskRunId(is_null_=True),
        text=LogFilterTextSearch(query="error"),
    )
    assert_type(chosen.to_wire(), dict[str, Any])
    assert_type(LogFilter.coerce({"level": {"ge_": 20}}), LogFilter)


async def one_conversation() -> None:
    async with rawlogs.connect(filter={"level": {"ge_": 20}}, compress=True) as frames:
        async for frame in frames:
            repr(frame)


def without_async() -> None:
    with rawlogs.stream_sync(level=20) as logs:
        for log in logs:
            assert_type(log, Log)
        for batch in logs.batches():
            assert_type(batch, Sequence[Log])


def fields(log: Log) -> None:
    assert_type(log.id, UUID)
    assert_type(log.id_text, str)
    assert_type(log.created, datetime | None)
    assert_type(log.updated, datetime | None)
    assert_type(log.name, str)
    assert_type(log.level, int)
    assert_type(log.level_name, str)
    assert_type(log.message, str)
    assert_type(log.timestamp, datetime)
    assert_type(log.flow_run_id, UUID | None)
    assert_type(log.task_run_id, UUID | None)
    assert_type(log.extra, dict[str, Any])
    assert_type(log.data, Mapping[str, Any])
    assert_type(log.raw, bytes | None)
    assert_type(
        log.model_dump(mode="json", include={"id"}, exclude=["name"], exclude_none=True), dict[str, Any]
    )
    assert_type(log.model_dump_json(indent=2), str)
    assert_type(Log.model_validate({"id": "x"}), Log)


def failures(error: RawlogsError) -> int:
    assert_type(error.hint, str | None)
    if isinstance(error, AuthError):
        assert_type(error.code, int | None)
        return 3
    if isinstance(error, UpgradeRefused):
        assert_type(error.retry_after, float | None)
        return error.status
    if isinstance(error, ConnectionLost):
        assert_type(error.clean, bool)
        return error.code
    if isinstance(error, GaveUp):
        return error.attempts
    if isinstance(error, ConfigError):
        assert_type(error.setting, str | None)
        _: ValueError = error
    return 1


async def moments_as_text() -> None:
    rawlogs.stream(since="10m", until=timedelta(minutes=1))
    rawlogs.stream(since=timedelta(hours=1), until="2026-11-20T10:00:00Z", overlap="2m")
    assert_type(parse_moment("10m"), datetime | timedelta)


async def records(log: Log) -> None:
    assert_type(log.to_record(), logging.LogRecord)
    async with rawlogs.stream() as logs:
        assert_type(await forward(logs, "remote"), int)
    with rawlogs.stream_sync() as sync_logs:
        assert_type(forward(sync_logs, logging.getLogger("remote")), int)


async def drop_in() -> None:
    chosen = prefect.LogFilter(level=prefect.LogFilterLevel(ge_=20))
    async with prefect.get_logs_subscriber(chosen, 100, complete=False) as subscriber:
        async for log in subscriber:
            assert_type(log, Log)
    prefect.PrefectCloudLogsSubscriber("https://example.com/api", "key", chosen, 3, True)
    assert_type(prefect.logs_out_socket_from_api_url("http://127.0.0.1:4200/api"), str)


def mistakes(log: Log) -> None:
    """What a type checker must refuse: each of these comments would be reported if it were not needed."""
    rawlogs.stream(levle="INFO")  # type: ignore[call-arg]
    rawlogs.stream(transport="carrier pigeon")  # type: ignore[arg-type]
    LogFilter(operator="xor_")  # type: ignore[arg-type]
    log.message = "other"  # type: ignore[misc]
