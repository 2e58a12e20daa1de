"""A plain client of the fake server: the libraries themselves, nothing of rawlogs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from rawlogs.testing import FakeServer

AUTH = '{"type":"auth","token":null}'
EVERYTHING = '{"type":"filter","filter":{}}'
DROPPED = (None, "")
"""The ending of a conversation without a close frame."""


@asynccontextmanager
async def socket(
    server: FakeServer,
    *frames: str | bytes,
    path: str = "/logs/out",
    subprotocols: Any = ("prefect",),
    **options: Any,
) -> AsyncIterator[ClientConnection]:
    """A WebSocket that has sent these frames."""
    url = server.api_url.replace("http", "ws", 1) + path
    options = {"compression": None, "proxy": None, "subprotocols": subprotocols} | options
    async with connect(url, **options) as ws:
        for frame in frames:
            await ws.send(frame)
        yield ws


@asynccontextmanager
async def subscriber(
    server: FakeServer, filter: Any = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A WebSocket that is authenticated and subscribed."""
    number = len(server.connections)
    async with socket(server, AUTH, json.dumps({"type": "filter", "filter": filter or {}}), **options) as ws:
        assert await ws.recv() == '{"type":"auth_success"}'
        await server.until(lambda: server.connections[number].state == "subscribed")
        yield ws


def api(server: FakeServer, **options: Any) -> httpx.AsyncClient:
    """A REST client."""
    return httpx.AsyncClient(base_url=server.api_url, trust_env=False, **options)


async def ending(ws: ClientConnection) -> tuple[int | None, str]:
    """How the server ends the conversation."""
    try:
        while True:
            await ws.recv()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else DROPPED


async def messages(ws: ClientConnection, count: int) -> list[str]:
    """The messages of the next so many log frames."""
    return [json.loads(await ws.recv())["log"]["message"] for _ in range(count)]
