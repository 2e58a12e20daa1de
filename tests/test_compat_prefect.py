"""The drop-in for Prefect's log subscriber: its names, its arguments, its endings, and code that was written for it.

The cases are those of Prefect's own tests of its subscriber, and what a complete one adds.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.testing import ApplicationCommunicator
from django_site import configure
from streaming import DEADLINE, QuickClock, ThreadedServer, serving, threaded, within
from streaming import no_settings as no_settings
from websockets.exceptions import ConnectionClosedError

import rawlogs
from rawlogs.compat.prefect import (
    Log,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTaskRunId,
    LogFilterTextSearch,
    LogFilterTimestamp,
    PrefectCloudLogsSubscriber,
    PrefectLogsSubscriber,
    SubscriberGaveUp,
    get_logs_subscriber,
    http_to_ws,
    logs_out_socket_from_api_url,
)
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import AuthFailure, Close, Drop, Http, Serve

RUN = UUID("0d88f0a1-0000-4000-8000-000000000001")
CLOUD = "https://api.prefect.cloud/api/accounts/{0}/workspaces/{0}".format(
    "0d88f0a1-0000-4000-8000-0000000000ff"
)
SCRIPTS = Path(__file__).with_name("compat")


def subscriber(server: FakeServer, **arguments: Any) -> PrefectLogsSubscriber:
    """One on the server's clock."""
    return PrefectLogsSubscriber(server.api_url, clock=server.state._clock, **arguments)


async def messages(logs: PrefectLogsSubscriber, count: int | None = None) -> list[str]:
    """Those of the next so many logs; None: of all until the iteration ends."""
    found: list[str] = []

    async def read() -> None:
        async for log in logs:
            found.append(log.message)
            if len(found) == count:
                return

    await within(read())
    return found


# The pure functions.


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://example.com/api", "ws://example.com/api"),
        ("https://example.com/api/", "wss://example.com/api"),
        ("https://example.com/api/v1/", "wss://example.com/api/v1"),
    ],
)
def test_urls_become_those_of_the_socket(url: str, socket: str) -> None:
    assert http_to_ws(url) == socket
    assert logs_out_socket_from_api_url(url) == f"{socket}/logs/out"


# What is chosen, and what is refused before anything is opened.


def test_a_server_and_cloud_have_their_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "https://locally/api")
    server = get_logs_subscriber()
    assert (type(server), server.client_name) == (PrefectLogsSubscriber, "PrefectLogsSubscriber")
    monkeypatch.setenv("PREFECT_API_URL", CLOUD)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_howdydoody")
    cloud = get_logs_subscriber(LogFilter(level=LogFilterLevel(ge_=20)), 3)
    assert (type(cloud), cloud.client_name) == (PrefectCloudLogsSubscriber, "PrefectCloudLogsSubscriber")
    monkeypatch.setenv("PREFECT_API_URL", "https://cloudy/api/accounts/1/workspaces/2")
    monkeypatch.setenv("PREFECT_CLOUD_API_URL", "https://cloudy/api")
    assert type(get_logs_subscriber()) is PrefectCloudLogsSubscriber


def test_without_an_api_url_no_server_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")
    for make in (get_logs_subscriber, PrefectLogsSubscriber):
        with pytest.raises(ValueError, match="PREFECT_API_URL") as caught:
            make()
        assert isinstance(caught.value, rawlogs.ConfigError)


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({}, "api_url"),
        ({"api_url": "http://example.com/api"}, "api_key"),
        ({"api_key": "pnu_key"}, "api_url"),
        ({"api_url": "", "api_key": ""}, "api_url"),
    ],
)
def test_cloud_wants_a_url_and_a_key(
    given: dict[str, str], setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "")
    with pytest.raises(ValueError, match="must be provided or set") as caught:
        PrefectCloudLogsSubscriber(**given)
    assert isinstance(caught.value, rawlogs.ConfigError)
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    ("kind", "access"),
    [
        (PrefectLogsSubscriber, {"api_url": "http://127.0.0.1:4200/api"}),
        (PrefectCloudLogsSubscriber, {"api_url": CLOUD, "api_key": "pnu_key"}),
    ],
)
@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"reconnection_attempts": -1}, "non-negative"), ({"filter": {"lvl": 1}}, "lvl")],
)
def test_what_cannot_work_is_refused_before_anything_is_opened(
    kind: Any, access: dict[str, str], arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        kind(**access, **arguments)


async def test_it_is_entered_before_it_is_read() -> None:
    with pytest.raises(RuntimeError, match="async with get_logs_subscriber"):
        await PrefectLogsSubscriber("http://127.0.0.1:4200/api").__anext__()


# What comes.


@pytest.mark.parametrize("complete", [True, False])
async def test_a_clean_close_ends_the_iteration(complete: bool) -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=2), Close(1000))
        async with subscriber(server, complete=complete) as logs:
            await server.until_subscribed()
            server.post(["one", "two"])
            assert await messages(logs) == ["one", "two"]
        assert len(server.connections) == 1
        assert server.connections[0].path == "/api/logs/out"


@pytest.mark.parametrize("complete", [True, False])
async def test_a_clean_close_is_followed_by_a_new_connection_where_that_is_asked_for(complete: bool) -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=1), Close(1000), connection=0)
        async with subscriber(server, complete=complete, reconnect_on_clean_close=True) as logs:
            await server.until_subscribed()
            server.post("one")
            assert await messages(logs, 1) == ["one"]
            await server.until(lambda: [bool(one.envelope) for one in server.connections] == [True, True])
            server.post("two")
            assert await messages(logs, 1) == ["two"]


@pytest.mark.parametrize("complete", [True, False])
async def test_a_lost_connection_is_opened_anew(complete: bool) -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=1), Drop(), connection=0)
        async with subscriber(server, complete=complete, reconnection_attempts=2) as logs:
            await server.until_subscribed()
            server.post("one")
            assert await messages(logs, 1) == ["one"]
            await server.until(lambda: [bool(one.envelope) for one in server.connections] == [True, True])
            server.post("two")
            assert await messages(logs, 1) == ["two"]


async def test_logs_come_once_and_only_those_of_the_filter() -> None:
    chosen = LogFilter(
        level=LogFilterLevel(any_=["INFO", "ERROR"]), flow_run_id=LogFilterFlowRunId(any_=[RUN])
    )
    async with serving() as server, subscriber(server, filter=chosen) as logs:
        await server.until_subscribed()
        server.post([{"message": f"{level}", "level": level} for level in (20, 30, 40)], flow_run_id=RUN)
        server.post("another run's")
        server.send({"type": "log", "log": server.logs[0]})
        server.post("last", flow_run_id=RUN)
        assert await messages(logs, 3) == ["20", "40", "last"]
        assert logs.stats.delivered == 3


def test_prefects_filters_are_all_here() -> None:
    whole = LogFilter(
        level=LogFilterLevel(ge_=20, le_=40),
        timestamp=LogFilterTimestamp(after_="2026-11-20T00:00:00Z", before_="2026-11-21T00:00:00Z"),
        flow_run_id=LogFilterFlowRunId(any_=[str(RUN)]),
        task_run_id=LogFilterTaskRunId(is_null_=True),
        text=LogFilterTextSearch(query="error -debug"),
    )
    assert LogFilter.model_validate(whole.model_dump(mode="json")) == whole


@pytest.mark.parametrize("complete", [True, False])
async def test_a_range_of_timestamps_holds(complete: bool) -> None:
    async with serving() as server:
        now = server.state.now()
        chosen = LogFilter(
            timestamp=LogFilterTimestamp(after_=now - timedelta(minutes=5), before_=now + timedelta(days=1))
        )
        async with subscriber(server, filter=chosen, complete=complete) as logs:
            await server.until_subscribed()
            server.post("old", timestamp=now - timedelta(hours=1))
            server.post("new")
            assert await messages(logs, 1) == ["new"]


async def test_a_log_that_comes_equals_the_one_that_was_sent() -> None:
    """As tests of programs make them: by Prefect's fields, with timestamps of a class of Prefect's own."""

    class Moment(datetime):
        pass

    sent = [
        Log(name="etl", level=20, message="one", timestamp=Moment.now(timezone.utc), flow_run_id=uuid4()),
        Log(id=uuid4(), name="etl", level=30, message="two", timestamp=Moment(2026, 11, 20), task_run_id=RUN),
    ]
    async with serving() as server:
        server.fault("logs", Serve(logs=2), Close(1000))
        async with subscriber(server, complete=False) as logs:
            await server.until_subscribed()
            for log in sent:
                server.send({"type": "log", "log": log.model_dump(mode="json")})
            assert [await within(logs.__anext__()) for _ in sent] == sent


async def test_what_the_socket_loses_comes_from_the_list() -> None:
    async with serving() as server, subscriber(server) as logs:
        await server.until_subscribed()
        server.store("lost live")
        assert await messages(logs, 1) == ["lost live"]


async def test_a_server_without_a_list_is_read_all_the_same() -> None:
    async with serving() as server:
        server.fault("rest", Http(426))
        server.fault("logs", Serve(logs=2), Close(1000))
        async with subscriber(server) as logs:
            await server.until_subscribed()
            server.post(["one", "two"])
            assert await messages(logs) == ["one", "two"]


async def test_the_socket_alone_asks_the_list_for_nothing() -> None:
    async with serving() as server, subscriber(server, complete=False) as logs:
        await server.until_subscribed()
        server.post("live")
        assert await messages(logs, 1) == ["live"]
        assert not server.requests


async def test_a_server_that_does_not_stream_is_followed_by_its_list(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(Behaviour(streaming=False)) as server, subscriber(server) as logs:
        server.post("stored")
        assert await messages(logs, 1) == ["stored"]
    told = [record for record in caplog.records if record.name == "rawlogs.compat.prefect"]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "PREFECT_SERVER_LOGS_STREAM" in told[0].getMessage()


async def test_it_can_be_entered_again() -> None:
    notices: list[rawlogs.Notice] = []
    async with serving() as server:
        logs = subscriber(server, on_notice=notices.append)
        for name in ("first", "second"):
            async with logs as entered:
                assert entered is logs
                await server.until_subscribed()
                server.post(name)
                assert await messages(logs, 1) == [name]
            await server.until(lambda: server.subscribed == 0)
    assert [notice.kind for notice in notices if notice.kind == "connected"] == ["connected"] * 2


# How it fails.


@pytest.mark.parametrize("attempts", [0, 1, 4])
@pytest.mark.parametrize("complete", [True, False])
async def test_it_gives_up_after_so_many_attempts(complete: bool, attempts: int) -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=1), Close(1011, "zonk"), connection=0)
        async with subscriber(server, complete=complete, reconnection_attempts=attempts) as logs:
            await server.until_subscribed()
            server.post("one")
            assert await messages(logs, 1) == ["one"]
            server.fault("logs", Http(503))
            server.fault("rest", Http(503))
            with pytest.raises(ConnectionClosedError) as caught:
                await messages(logs)
        assert isinstance(caught.value, rawlogs.GaveUp)
        assert len(server.connections) <= 1 + attempts


async def test_the_error_has_the_close_frame_and_our_facts() -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=1), Close(1011, "zonk"))
        async with subscriber(server, complete=False, reconnection_attempts=0) as logs:
            await server.until_subscribed()
            server.post("one")
            assert await messages(logs, 1) == ["one"]
            with pytest.raises(SubscriberGaveUp) as caught:
                await messages(logs)
    error = caught.value
    assert error.rcvd is not None
    assert (error.rcvd.code, error.rcvd.reason, error.sent) == (1011, "zonk", None)
    assert (error.code, error.reason, error.attempts) == (1011, "zonk", 0)
    assert isinstance(error.__cause__, rawlogs.ConnectionLost)
    assert "1011" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.text, again.code, again.attempts) == (error.text, 1011, 0)


async def test_an_end_without_a_close_frame_has_none() -> None:
    async with serving() as server:
        server.fault("logs", Serve(logs=1), Drop())
        async with subscriber(server, complete=False, reconnection_attempts=0) as logs:
            await server.until_subscribed()
            server.post("one")
            with pytest.raises(SubscriberGaveUp) as caught:
                await messages(logs)
    assert (caught.value.rcvd, caught.value.code, caught.value.reason) == (None, 1006, "")


@pytest.mark.parametrize("complete", [True, False])
async def test_where_nobody_answers_it_is_an_os_error_and_ours(complete: bool) -> None:
    async with serving() as server:
        server.refuse()
        with pytest.raises(OSError, match="refused") as caught:
            await subscriber(server, complete=complete).__aenter__()
    assert isinstance(caught.value, rawlogs.ConnectError)
    assert caught.value.url.endswith(("/api/logs/out", "/api"))


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("complete", [True, False])
async def test_a_wrong_key_is_refused_on_entering(soft: bool, complete: bool) -> None:
    async with serving(Behaviour(api_key="pnu_right")) as server:
        if soft:
            server.fault("logs", AuthFailure("nope"))
        logs = PrefectCloudLogsSubscriber(
            server.api_url, "pnu_bogus", None, 0, complete=complete, clock=server.state._clock
        )
        with pytest.raises(rawlogs.AuthError, match="Unable to authenticate") as caught:
            await within(logs.__aenter__())
        assert "pnu_bogus" not in str(caught.value)


async def test_the_key_of_the_argument_wins_over_prefects_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:wrong")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_wrong")
    async with serving(Behaviour(api_key="pnu_right")) as server:
        arguments: dict[str, Any] = {"clock": server.state._clock}
        async with PrefectCloudLogsSubscriber(server.api_url, "pnu_right", **arguments) as logs:
            await server.until_subscribed()
            server.post("for those who know the key")
            assert await messages(logs, 1) == ["for those who know the key"]


async def test_a_key_of_the_settings_wins_over_their_auth_string(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:wrong")
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_right")
    async with serving(Behaviour(api_key="pnu_right")) as server:
        logs = PrefectCloudLogsSubscriber(server.api_url, clock=server.state._clock)
        async with logs:
            await server.until_subscribed()
            server.post("for those who know the key")
            assert await messages(logs, 1) == ["for those who know the key"]


async def test_a_rotated_key_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_old")
    async with serving(Behaviour(api_key="pnu_old")) as server:
        logs = PrefectCloudLogsSubscriber(server.api_url, clock=server.state._clock)
        async with logs:
            await server.until_subscribed()
            server.post("before")
            assert await messages(logs, 1) == ["before"]
            server.state.behaviour = replace(server.behaviour, api_key="pnu_new")
            monkeypatch.setenv("PREFECT_API_KEY", "pnu_new")
            await server.close_all(1012)
            await server.until_subscribed()
            server.post("after")
            assert await messages(logs, 1) == ["after"]


# Code that was written for Prefect's subscriber, as whole programs.


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded(clock=QuickClock(1.0)) as running:
        yield running


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("print_all.py", ["[DEBUG] low", "[INFO] of the run", "[ERROR] another's"]),
        ("print_filtered.py", ["[INFO] of the run"]),
    ],
)
def test_scripts_for_prefects_subscriber_run(
    server: ThreadedServer, script: str, printed: list[str], no_settings: Path
) -> None:
    environ = {**os.environ, "PREFECT_API_URL": server.api_url, "RUN": str(RUN), "LOGS": str(len(printed))}
    command = [sys.executable, "-u", str(SCRIPTS / script)]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, text=True, cwd=no_settings
    ) as process:
        server.until_subscribed()
        server.post("low", level=10, flow_run_id=RUN)
        server.post("of the run", flow_run_id=RUN)
        server.post("another's", level=40)
        out = process.communicate(timeout=60)[0]
    assert out.splitlines() == printed
    assert process.returncode == 0


async def test_a_django_consumer_for_prefects_subscriber_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    configure()
    from compat.log_consumer import LogConsumer  # wants Django's settings

    async with serving(clock=QuickClock(1.0)) as server:
        monkeypatch.setenv("PREFECT_API_URL", server.api_url)
        query = f"flow_run_id={RUN}&level=INFO&level=ERROR"
        scope = {"type": "websocket", "path": "/logs", "query_string": query.encode()}
        browser = ApplicationCommunicator(LogConsumer.as_asgi(), scope)
        await browser.send_input({"type": "websocket.connect"})
        assert (await browser.receive_output(DEADLINE))["type"] == "websocket.accept"
        await server.until_subscribed()
        server.post([{"message": f"{level}", "level": level} for level in (20, 30, 40)], flow_run_id=RUN)
        sent = [json.loads((await browser.receive_output(DEADLINE))["text"]) for _ in range(2)]
        assert [(frame["level"], frame["message"]) for frame in sent] == [("INFO", "20"), ("ERROR", "40")]
        assert {frame["flow_run_id"] for frame in sent} == {str(RUN)}
        await browser.send_input({"type": "websocket.disconnect", "code": 1000})
        await server.until(lambda: server.subscribed == 0)
        await browser.wait(DEADLINE)
