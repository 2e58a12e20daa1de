"""Cassettes: recorded once from a real server, replayed without it, and loud about what they do not know."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from streaming import no_settings as no_settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import rawlogs
from rawlogs.errors import ConfigError
from rawlogs.settings import resolve
from rawlogs.testing import Behaviour, CassetteError, FakeServer, use_cassette
from rawlogs.testing.recording import read

QUICK = {"settle": 0.05, "audit": 0.3, "rest_budget": 0}
RUN, OTHER = UUID(int=1), UUID(int=2)
AUTH = '{"type":"auth","token":"any"}'
DOWN = "http://127.0.0.1:9/api"
SECRET = "admin:correct-horse-battery"


@pytest.fixture
async def real() -> AsyncIterator[FakeServer]:
    """The server that is recorded."""
    async with FakeServer() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test.jsonl"


async def stream(api_url: str, count: int, server: FakeServer | None = None, **arguments: Any) -> list[rawlogs.Log]:
    """The application: a stream's first so many logs; where it is recorded, the server is told to send them."""
    async with rawlogs.stream(api_url=api_url, options=QUICK, **arguments) as logs:
        if server is not None:
            await server.until_subscribed()
            server.post([{"message": f"log {number}"} for number in range(count)], flow_run_id=str(RUN))
        return [await asyncio.wait_for(logs.__anext__(), 5) for _ in range(count)]


async def record(path: Path, server: FakeServer, count: int = 3, **arguments: Any) -> list[rawlogs.Log]:
    async with use_cassette(path, upstream=server.api_url) as cassette:
        return await stream(cassette.api_url, count, server, **arguments)


def ids(logs: list[rawlogs.Log]) -> list[str]:
    return sorted(log.id_text for log in logs)


async def ask(api_url: str, method: str, target: str, body: Any = None, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, api_url + target, json=body, **options)


def subscribe(api_url: str, filter: Any, path: str = "/logs/out") -> str:
    """What a plain client of a socket is told at the end, in the thread's own time."""
    url = api_url.replace("http", "ws", 1) + path
    with connect(url, subprotocols=["prefect"], proxy=None) as ws:  # type: ignore[list-item]
        ws.send(AUTH)
        ws.recv(timeout=5)
        ws.send(json.dumps({"type": "filter", "filter": filter}))
        try:
            return str(ws.recv(timeout=5))
        except ConnectionClosed as closed:
            return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "dropped"


# Once.


async def test_what_was_recorded_once_is_replayed_without_the_server(path: Path) -> None:
    async with FakeServer() as server:
        recorded = await record(path, server)
        connections = len(server.connections)
    assert [log.message for log in recorded] == ["log 0", "log 1", "log 2"]
    for _ in range(2):
        async with use_cassette(path, upstream=DOWN) as cassette:
            assert ids(await stream(cassette.api_url, 3)) == ids(recorded)
            assert cassette.recorded == 0
    assert connections == 1


async def test_the_settings_say_where_the_real_server_is(
    path: Path, real: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", real.api_url)
    async with use_cassette(path) as cassette:
        assert cassette.api_url != real.api_url
        assert (await ask(cassette.api_url, "GET", "/admin/version")).json() == "3.8.8"
    assert [request.path for request in real.requests] == ["/admin/version"]
    async with use_cassette(path) as cassette:
        assert (await ask(cassette.api_url, "GET", "/admin/version")).json() == "3.8.8"
    assert len(real.requests) == 1


async def test_nothing_is_written_where_nothing_was_asked(path: Path, real: FakeServer) -> None:
    async with use_cassette(path, upstream=real.api_url):
        pass
    assert not path.parent.exists()


async def test_a_run_is_followed_to_its_end_from_the_cassette(path: Path) -> None:
    async with FakeServer() as server:
        run = server.add_run(state="RUNNING")

        async def follow(api_url: str) -> list[str]:
            async with rawlogs.stream(api_url=api_url, follow=run, options=QUICK) as logs:
                if server.subscribed or not path.exists():
                    await server.until_subscribed()
                    server.post(["one", "two"], flow_run_id=str(run))
                    server.set_state(run, "COMPLETED")
                return [log.message async for log in logs]

        async with use_cassette(path, upstream=server.api_url) as cassette:
            assert await asyncio.wait_for(follow(cassette.api_url), 20) == ["one", "two"]
    async with use_cassette(path) as cassette:
        assert sorted(await asyncio.wait_for(follow(cassette.api_url), 20)) == ["one", "two"]


def test_a_cassette_serves_code_that_blocks(path: Path) -> None:
    """Without async, and while the test's thread waits."""
    with use_cassette(path, upstream=DOWN, mode="once") as cassette:
        assert cassette.api_url.startswith("http://127.0.0.1:")
        cassette.discard()
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "rawlogs-cassette"]
