"""What a Prefect server does, as checks that FakeServer and real servers must both pass, so that the fake cannot lie.

Each check takes a Site: an API, how to post to it, and how to ask its REST side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

import rawlogs
from rawlogs.config.settings import resolve
from rawlogs.errors import AuthError, ConnectionLost, UpgradeRefused
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.frames import LogFrame, decode, filter_message

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Site:
    """One server under test."""

    api_url: str
    post: Callable[[Rows], Awaitable[None]]
    request: Callable[[str, str, Any], Awaitable[Any]]
    auth_string: str | None = None

    def target(self, path: str | None = None, token: str | None = None) -> Target:
        address = resolve(api_url=self.api_url, environ={}).address
        url = address.logs_url if path is None else address.logs_url.replace("/logs/out", path)
        return Target(url=url, token=token if token is not None else self.auth_string)

    async def open(self, wire: dict[str, Any] | None = None) -> Connection:
        return await open_connection(self.target(), filter_message(wire or {}))

    def stream(self, **options: Any) -> rawlogs.LogStream:
        return rawlogs.stream(api_url=self.api_url, auth_string=self.auth_string, **options)


def rows(count: int, **fields: Any) -> Rows:
    from datetime import datetime, timedelta, timezone

    now = datetime.now(timezone.utc)
    return [
        {
            "name": "contract",
            "level": 20,
            "message": f"row {number}",
            "timestamp": (now + timedelta(microseconds=number)).isoformat(),
            **fields,
        }
        for number in range(count)
    ]


async def receive(connection: Connection, count: int, quiet: float = 1.0) -> list[rawlogs.Log]:
    """At least ``count`` logs, then what else comes until it is quiet."""
    logs: list[rawlogs.Log] = []
    while True:
        try:
            batch = await asyncio.wait_for(connection.batch(), 10.0 if len(logs) < count else quiet)
        except asyncio.TimeoutError:
            return logs
        logs.extend(frame.log for frame in map(decode, batch) if isinstance(frame, LogFrame))


async def check_a_live_log_is_the_stored_one(site: Site) -> None:
    """The same id live and over REST; created and updated come over REST only."""
    run = str(uuid4())
    async with await site.open({"flow_run_id": {"any_": [run]}}) as connection:
        await site.post(rows(1, flow_run_id=run))
        (live,) = await receive(connection, 1, quiet=0.2)
    (stored,) = await site.request("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
    assert (live.id_text, live.message, live.level_name) == (stored["id"], "row 0", "INFO")
    assert (live.created, live.updated) == (None, None)
    assert stored["created"] is not None
    assert live.id.version == 7


async def check_a_burst_loses_what_exceeds_256(site: Site) -> None:
    """One POST of 300: the first 256 arrive, and nothing tells."""
    run = str(uuid4())
    async with await site.open({"flow_run_id": {"any_": [run]}}) as connection:
        await site.post(rows(300, flow_run_id=run))
        logs = await receive(connection, 256)
    assert [log.message for log in logs] == [f"row {number}" for number in range(256)]


async def check_a_stream_delivers_the_whole_burst(site: Site) -> None:
    """What the socket loses, the list brings, once."""
    run = str(uuid4())
    received: list[str] = []
    async with site.stream(flow_run_id=run, settle=0.5) as logs:
        await site.post(rows(300, flow_run_id=run))
        async for log in logs:
            received.append(log.message)
            if len(received) == 300:
                break
    assert sorted(received) == sorted(f"row {number}" for number in range(300))
    assert (logs.stats.live, logs.stats.recovered) == (256, 44)


async def check_a_rejected_filter_is_a_drop(site: Site) -> None:
    """An unknown field: the line is cut without a close frame."""
    async with await site.open({"name": {"any_": ["x"]}}) as connection:
        with pytest.raises(ConnectionLost) as lost:
            await asyncio.wait_for(connection.batch(), 60)
    assert lost.value.code == 1006


async def check_the_socket_ignores_or(site: Site) -> None:
    """Live reads or_ as and_; the list honours it."""
    run, other = str(uuid4()), str(uuid4())
    wire = {"operator": "or_", "level": {"ge_": 40}, "flow_run_id": {"any_": [run]}}
    async with await site.open(wire) as connection:
        posted = rows(1, flow_run_id=run) + rows(1, flow_run_id=other, level=40)
        await site.post([*posted, *rows(1, flow_run_id=run, level=50)])
        live = await receive(connection, 1, quiet=0.3)
    assert [(log.level, str(log.flow_run_id)) for log in live] == [(50, run)]
    listed = await site.request("POST", "/logs/filter", {"logs": wire, "sort": "TIMESTAMP_DESC", "limit": 3})
    assert {row["level"] for row in listed} == {20, 40, 50}


async def check_an_unknown_path_is_403(site: Site) -> None:
    """Never 404: that is what an upgrade to no WebSocket gets."""
    for path in ("/logs/out/", "/nothing/here"):
        with pytest.raises(UpgradeRefused) as refused:
            await open_connection(site.target(path), filter_message({}))
        assert refused.value.status == 403


async def check_a_page_is_200_rows(site: Site) -> None:
    """A larger limit is refused with the number in the text."""
    from rawlogs.errors import HistoryError
    from rawlogs.rest.client import RestClient
    from rawlogs.rest.responses import page_limit

    settings = resolve(api_url=site.api_url, auth_string=site.auth_string, environ={})
    async with RestClient(settings) as rest:
        with pytest.raises(HistoryError) as refused:
            await rest.post("/logs/filter", {"limit": 201})
    assert page_limit(refused.value) == 200


async def check_filters(site: Site) -> None:
    """Level bounds are inclusive; task_run_id can be asked for null; an empty list matches nothing."""
    run, task = str(uuid4()), str(uuid4())
    posted = [
        row | {"level": level} for level, row in zip((10, 20, 30), rows(3, flow_run_id=run), strict=True)
    ]
    posted += rows(1, flow_run_id=run, task_run_id=task, message="of a task")
    base = {"flow_run_id": {"any_": [run]}}
    table: list[tuple[dict[str, Any], list[str]]] = [
        ({"level": {"ge_": 20}}, ["row 1", "row 2", "of a task"]),
        ({"level": {"le_": 20}}, ["row 0", "row 1", "of a task"]),
        ({"task_run_id": {"is_null_": True}}, ["row 0", "row 1", "row 2"]),
        ({"task_run_id": {"any_": [task]}}, ["of a task"]),
        ({"task_run_id": {"any_": []}}, []),
    ]
    connections = [await site.open(base | extra) for extra, _ in table]
    try:
        await site.post(posted)
        for connection, (extra, expected) in zip(connections, table, strict=True):
            live = await receive(connection, len(expected), quiet=0.3)
            assert [log.message for log in live] == expected, extra
            listed = await site.request("POST", "/logs/filter", {"logs": base | extra})
            assert sorted(row["message"] for row in listed) == sorted(expected), extra
    finally:
        for connection in connections:
            await connection.close()


async def check_denials(site: Site) -> None:
    """A wrong token and none are closed with 1008 and these words."""
    for token, reason in (("admin:wrong", "Invalid token"), ("", "Auth required but no token provided")):
        with pytest.raises(AuthError) as denied:
            await open_connection(site.target(token=token), filter_message({}))
        assert (denied.value.code, denied.value.reason) == (1008, reason)


OPEN = (
    check_a_live_log_is_the_stored_one,
    check_a_burst_loses_what_exceeds_256,
    check_a_stream_delivers_the_whole_burst,
    check_a_rejected_filter_is_a_drop,
    check_the_socket_ignores_or,
    check_an_unknown_path_is_403,
    check_a_page_is_200_rows,
    check_filters,
)
WITH_AUTH = (check_a_live_log_is_the_stored_one, check_a_stream_delivers_the_whole_burst, check_denials)
