# pyright: strict
"""The public API as a type checker sees it: ``mypy --strict`` reads this file, nothing runs it.

Each line stands for what a user may write; a wrong type here is a break for them. Every public name is used here
(tests/test_typing_api.py). CONTRIBUTING says how pyright reads it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

from typing_extensions import assert_type

import rawlogs
from rawlogs import (
    Log,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTaskRunId,
    LogFilterTextSearch,
    LogFilterTimestamp,
    LogStream,
    Notice,
    RunNames,
    RunStream,
    Stats,
    SyncLogStream,
    SyncRunStream,
)
from rawlogs.compat import prefect
from rawlogs.contrib import django
from rawlogs.durations import parse_duration, parse_moment
from rawlogs.logging import forward
from rawlogs.relay import (
    BadQuery,
    Batch,
    Cursor,
    EndEvent,
    Event,
    GapEvent,
    Hub,
    LogEvent,
    NotKept,
    PrefectSource,
    Query,
    Reader,
    RedisSource,
    Source,
    SourceBatch,
    StateEvent,
    Tell,
    Trouble,
    source_from_environment,
)
from rawlogs.testing import (
    Behaviour,
    Cassette,
    CassetteError,
    Connection,
    FakeServer,
    Recorder,
    Recording,
    RestRequest,
    use_cassette,
)

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
        exclude="debug",
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
        assert_type(runs.run_names, Mapping[UUID, str])
        async for log in runs:
            names = await runs.names(log)
            assert_type(names, RunNames)
            assert_type(names.deployment_name, str | None)
        await runs.finish(1.0)
    assert_type(logs, LogStream)
    async with logs as entered:
        assert_type(entered, LogStream)
        async for log in entered:
            assert_type(log, Log)
            fields(log)
        async for batch in entered.batches():
            assert_type(batch, Sequence[Log])
        if (some := await entered.next_batch()) is not None:
            assert_type(some[0], Log)
        assert_type(entered.settings.api_url, str)
        account(entered.stats)


def account(stats: Stats) -> None:
    assert_type(stats.delivered, int)
    assert_type(stats.open_gaps, int)
    assert_type(stats.as_dict(), dict[str, int])
    assert_type(stats.line(), str)


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
    assert_type(chosen.matches(Log.model_validate("{}")), bool)


def seen(event: rawlogs.WireEvent) -> None:
    assert_type(event.data, str | bytes | None)


async def one_conversation() -> None:
    connecting = rawlogs.connect(filter={"level": {"ge_": 20}}, compress=True, open_timeout="5s", tap=seen)
    assert_type(connecting, rawlogs.FrameStream)
    async with connecting as frames:
        async for frame in frames:
            if isinstance(frame, rawlogs.LogFrame):
                assert_type(frame.log, Log)
            elif isinstance(frame, rawlogs.BadFrame):
                assert_type(frame.problem, str)
            elif isinstance(frame, rawlogs.UnknownFrame):
                assert_type(frame.type, str)


def without_async() -> None:
    with rawlogs.stream_sync(level=20, deployment="etl/prod", audit=5.0) as logs:
        assert_type(logs, SyncLogStream)
        for log in logs:
            assert_type(log, Log)
            assert_type(logs.names(log), RunNames)
        for batch in logs.batches():
            assert_type(batch, Sequence[Log])
        logs.finish(1.0)
        assert_type(logs.settings.api_url, str)
        account(logs.stats)
    with rawlogs.follow_sync("brave-otter", children=False, level="INFO") as runs:
        assert_type(runs, SyncRunStream)
        for log in runs:
            assert_type(log, Log)
        assert_type(runs.states, dict[UUID, str | None])
        assert_type(runs.run_names, Mapping[UUID, str])
        assert_type(runs.outcome, str | None)
        assert_type(runs.exit_code, int)


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


def failures(error: rawlogs.RawlogsError) -> None:
    assert_type(error.text, str)
    assert_type(error.hint, str | None)
    if isinstance(error, rawlogs.ConfigError):
        assert_type(error.setting, str | None)
        _: ValueError = error
    elif isinstance(error, rawlogs.CertificateError):
        assert_type(error.url, str)
    elif isinstance(error, rawlogs.ConnectError):
        assert_type(error.phase, str)
    elif isinstance(error, rawlogs.AuthError):
        assert_type(error.code, int | None)
    elif isinstance(error, rawlogs.RedirectRefused):
        assert_type(error.location, str)
    elif isinstance(error, rawlogs.UpgradeRefused):
        assert_type(error.retry_after, float | None)
        assert_type(error.status, int)
    elif isinstance(error, rawlogs.FilterRejected):
        assert_type(error.reason, str)
    elif isinstance(error, rawlogs.ProtocolError):
        assert_type(error.frame, str | None)
    elif isinstance(error, rawlogs.ConnectionLost):
        assert_type(error.clean, bool)
        assert_type(error.code, int)
    elif isinstance(error, rawlogs.HistoryError):
        assert_type(error.transient, bool)
    elif isinstance(error, rawlogs.GaveUp):
        assert_type(error.attempts, int)
    elif isinstance(error, rawlogs.DataLoss):
        assert_type(error.since, datetime | None)
    elif isinstance(error, rawlogs.CursorError):
        assert_type(error.problem, str)
    elif isinstance(error, rawlogs.SinkError):
        assert_type(error.path, str)


async def moments_as_text() -> None:
    rawlogs.stream(since="10m", until=timedelta(minutes=1))
    rawlogs.stream(since=timedelta(hours=1), until="2026-11-20T10:00:00Z", overlap="2m")
    assert_type(parse_moment("10m"), datetime | timedelta)
    assert_type(parse_duration("10m"), timedelta)


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
            assert_type(log, prefect.Log)
        assert_type(subscriber, prefect.PrefectLogsSubscriber)
        assert_type(subscriber.stats, Stats)
        assert_type(subscriber.client_name, str)
    prefect.PrefectCloudLogsSubscriber("https://example.com/api", "key", chosen, 3, True)
    prefect.LogFilter(
        timestamp=prefect.LogFilterTimestamp(before_=datetime.now(timezone.utc)),
        flow_run_id=prefect.LogFilterFlowRunId(any_=[RUN]),
        task_run_id=prefect.LogFilterTaskRunId(any_=[RUN]),
        text=prefect.LogFilterTextSearch(query="error"),
    )
    assert_type(prefect.http_to_ws("http://127.0.0.1:4200/api"), str)
    assert_type(prefect.logs_out_socket_from_api_url("http://127.0.0.1:4200/api"), str)


def drop_in_failures(error: Exception) -> None:
    if isinstance(error, prefect.SubscriberUnreachable):
        _: OSError = error
        assert_type(error.phase, str)
    elif isinstance(error, prefect.SubscriberGaveUp):
        assert_type(error.code, int)
        assert_type(error.reason, str)
        assert_type(error.attempts, int)


async def relay() -> None:
    async with Hub(linger=5.0, api_url="http://127.0.0.1:4200/api") as hub:
        try:
            reader = await hub.join(Query(flow_run_id=(RUN,), since=timedelta(hours=1)), cursor="")
        except BadQuery as problem:
            assert_type(problem.setting, str | None)
            return
        assert_type(reader, Reader)
        async for events in reader.batches():
            for event in events:
                told_of(event)
    assert_type(hub.trouble, Trouble | None)
    sources: list[Source] = [PrefectSource(on_notice=told), RedisSource("redis://127.0.0.1"), OneLog()]
    sources.append(source_from_environment({}))


def told_of(event: Event) -> None:
    assert_type(event.cursor, Cursor | None)
    if isinstance(event, LogEvent):
        assert_type(event.log, Log)
    elif isinstance(event, GapEvent):
        assert_type(event.open, bool)
    elif isinstance(event, StateEvent):
        assert_type(event.terminal, bool)
    else:
        assert_type(event, EndEvent)
    assert_type(Cursor.parse("x").text, str)


class OneLog(PrefectSource):
    """A source of somebody's own."""

    async def read(self, since: datetime, tell: Tell) -> AsyncGenerator[SourceBatch, None]:
        tell("unreachable")
        yield Batch([Log.model_validate("{}")], ["1"])
        raise NotKept(since)


async def fake_server() -> None:
    behaviour = Behaviour(version="3.9.1", auth_string="user:password")
    async with FakeServer(behaviour, recording="recorded.jsonl") as server:
        run = server.add_run("brave-otter", flow="etl")
        server.post("hello", level=20, flow_run_id=run)
        assert_type(server.connections, list[Connection])
        assert_type(server.requests, list[RestRequest])
        await server.until_subscribed()
    with FakeServer() as blocking:
        assert_type(blocking.api_url, str)
    with use_cassette("run.jsonl", mode="none") as cassette:
        assert_type(cassette, Cassette)
        try:
            cassette.check()
        except CassetteError as error:
            assert_type(error.asked, tuple[str, ...])
    with Recorder("recorded.jsonl", redact=True) as recorder:
        rawlogs.connect(tap=recorder)


def recorded(recording: Recording) -> None:
    assert_type(recording.events, tuple[rawlogs.WireEvent, ...])


async def django_bridge() -> None:
    class Logs(django.PrefectLogsConsumer):
        async def authorize(self, scope: Mapping[str, Any], query: Query) -> bool:
            return RUN in query.flow_run_id

    django.prefect_logs_view(authorize=lambda request, query: True)
    assert_type(django.get_hub(), Hub)
    await django.close_hub()
    repr(Logs)


def mistakes(log: Log) -> None:
    """What a type checker must refuse: each of these comments would be reported if it were not needed."""
    rawlogs.stream(levle="INFO")  # type: ignore[call-arg]
    rawlogs.stream_sync(levle="INFO")  # type: ignore[call-arg]
    rawlogs.follow("name", flow_run_id=RUN)  # type: ignore[call-arg]
    rawlogs.follow_sync("name", live_only=True)  # type: ignore[call-arg]
    rawlogs.stream(transport="carrier pigeon")  # type: ignore[arg-type]
    LogFilter(operator="xor_")  # type: ignore[arg-type]
    log.message = "other"  # type: ignore[misc]
