"""Probes and metrics of ``rawlogs serve`` and ``rawlogs relay``."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser.serving import serving
from redis_server import RedisServer, RelayProcess
from streaming import DEADLINE, eventually
from streaming import no_settings as no_settings

from rawlogs.testing import FakeServer
from rawlogs.testing.faults import Drop

TOKEN = "correct-horse-battery-staple"


@asynccontextmanager
async def visiting(fake: FakeServer, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(fake.api_url, **options) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=DEADLINE) as client,
    ):
        yield client


async def test_the_page_without_readers_is_ready() -> None:
    async with FakeServer() as fake, visiting(fake) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready: nobody reads\n")


async def test_the_page_is_not_ready_while_its_upstream_is_away() -> None:
    async with FakeServer() as fake:
        fake.fault("logs", Drop())
        fake.fault("rest", Drop())
        async with visiting(fake) as client, client.stream("GET", "/logs"):

            async def unready() -> bool:
                return (await client.get("/readyz")).status_code == 503

            while not await unready():
                pass
            assert "upstream" in (await client.get("/readyz")).text


async def test_the_metrics_of_the_page_are_those_of_its_stream() -> None:
    async with FakeServer() as fake, visiting(fake) as client, client.stream("GET", "/logs"):
        await fake.until_subscribed()
        text = (await client.get("/metrics")).text
    assert "rawlogs_readers 1.0" in text
    assert "rawlogs_websocket_connections_total 1.0" in text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/livez", {}, 200),
        ("/readyz", {}, 200),
        ("/metrics", {}, 401),
        ("/metrics", {"authorization": f"Bearer {TOKEN}"}, 200),
        ("/metrics", {"authorization": "Bearer another-one-altogether"}, 401),
        ("/api/about", {"authorization": f"Bearer {TOKEN}"}, 401),
    ],
)
async def test_with_a_token_probes_need_none_and_prometheus_shows_it(
    path: str, headers: dict[str, str], status: int
) -> None:
    async with FakeServer() as fake, visiting(fake, token=TOKEN) as client:
        assert (await client.get(path, headers=headers)).status_code == status


async def test_of_two_relays_both_are_ready_and_one_writes(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    redis.start()
    relays: list[RelayProcess] = []
    try:
        async with FakeServer() as fake, httpx.AsyncClient(trust_env=False) as client:

            async def metrics_of_new_relay(text: str) -> str:
                name = f"relay{len(relays)}"
                relay = RelayProcess(
                    tmp_path / name, redis.url, fake.api_url, "--name", "x", "--listen", ":0"
                )
                relays.append(relay)
                await eventually(lambda: text in relay.said)
                origin = re.findall(r"http://[\d.]+:\d+", relay.said)[0]
                while (await client.get(f"{origin}/readyz")).status_code != 200:
                    pass
                return (await client.get(f"{origin}/metrics")).text

            assert "rawlogs_relay_writing 1.0" in await metrics_of_new_relay("writing to Redis")
            assert "rawlogs_relay_writing 0.0" in await metrics_of_new_relay("standing by")
    finally:
        for relay in relays:
            relay.kill()
        redis.kill()
