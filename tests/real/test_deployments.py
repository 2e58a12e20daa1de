"""Servers as they are run in earnest: every stored log arrives once, whatever stands in between.

Marked `matrix`: they need programs that only `make system-matrix` installs, so `make test-matrix` runs them.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from streaming import eventually

import rawlogs
from tests.redis_server import RedisServer

from .conftest import AUTH_STRING
from .prefect_server import PrefectServer
from .services import Haproxy, Microsocks, Nginx, Postgres, own_authority

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]

ARRIVAL = 150.0
"""Seconds within which all logs have to come; those that only the list has come with the next look at it."""
IDLE = 5


@dataclass
class Site:
    """What a reader sees: an API URL and how to be let in; logs are written to `server` itself, or as `post` does."""

    server: PrefectServer
    api_url: str
    access: dict[str, Any] = field(default_factory=dict)
    post: Callable[..., None] | None = None


@dataclass
class Reader:
    """An open stream of one run's logs; `got` holds the ids that came, in order."""

    run: str
    logs: rawlogs.LogStream
    got: list[str]
    kinds: list[str]

    async def until_noted(self, kind: str, times: int = 1) -> None:
        await eventually(lambda: self.kinds.count(kind) >= times, ARRIVAL)


@asynccontextmanager
async def reading(site: Site) -> AsyncIterator[Reader]:
    """Read one run while the block writes; afterwards every stored log must have come, once."""
    run, got, kinds = str(uuid4()), list[str](), list[str]()
    stream = rawlogs.stream(
        api_url=site.api_url,
        flow_run_id=run,
        since=datetime.now(timezone.utc),
        on_notice=lambda notice: kinds.append(notice.kind),
        **site.access,
    )
    async with stream as logs:

        async def read() -> None:
            async for log in logs:
                got.append(log.id_text)

        task = asyncio.create_task(read())
        yield Reader(run, logs, got, kinds)
        stored = [
            row["id"] for row in await asyncio.to_thread(site.server.list_logs, flow_run_id={"any_": [run]})
        ]
        with suppress(asyncio.TimeoutError):  # the comparison says what is missing
            await eventually(lambda: task.done() or set(got) >= set(stored), ARRIVAL)
        early = set(got)
        await logs.finish()
        await task
    assert Counter(got) == Counter(stored), kinds
    assert early >= set(stored), "only the last list brought the rest"


async def write(site: Site, run: str, n: int) -> None:
    """Store logs with one POST."""
    await asyncio.to_thread(site.post or site.server.post_logs, n=n, flow_run_id=run)


async def expect_all_once(site: Site) -> None:
    """From the start, one by one, and more in one go than a server streams."""
    async with reading(site) as reader:
        await write(site, reader.run, 5)
        for _ in range(5):
            await write(site, reader.run, 1)
        await write(site, reader.run, 600)
        await write(site, reader.run, 3)


def on_postgres(postgres: Postgres) -> dict[str, str]:
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url}


def with_redis(redis: RedisServer) -> dict[str, str]:
    return {
        "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_URL": redis.url,
        "PREFECT_SERVER_DOCKET_URL": redis.url,
    }


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as service:
        assert isinstance(service, Postgres)
        yield service


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


async def test_postgres(newest_version: str, postgres: Postgres) -> None:
    """Instead of SQLite."""
    with PrefectServer(newest_version, env=on_postgres(postgres)) as server:
        await expect_all_once(Site(server, server.api_url))


async def test_postgres_and_the_redis_broker(
    newest_version: str, postgres: Postgres, redis: RedisServer
) -> None:
    """Logs go through Redis to whoever streams them."""
    with PrefectServer(newest_version, env=on_postgres(postgres) | with_redis(redis)) as server:
        await expect_all_once(Site(server, server.api_url))


async def test_two_workers(newest_version: str, postgres: Postgres, redis: RedisServer) -> None:
    """A log is often taken in by another process than the one that streams."""
    env = on_postgres(postgres) | with_redis(redis)
    with PrefectServer(newest_version, env=env, arguments=["--workers", "2"]) as server:
        await expect_all_once(Site(server, server.api_url))


async def test_two_replicas_without_a_common_broker(newest_version: str, postgres: Postgres) -> None:
    """The socket brings what its own replica took in; the list has the rest."""
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(PrefectServer(newest_version, env=on_postgres(postgres))) for _ in range(2)
        )
        nginx = stack.enter_context(Nginx([one.port, two.port]))
        assert isinstance(nginx, Nginx)
        turns = 0

        def post(**logs: Any) -> None:
            nonlocal turns
            turns += 1
            (one, two)[turns % 2].post_logs(**logs)

        await expect_all_once(Site(one, nginx.api_url, post=post))


async def test_nginx_with_tls_an_own_authority_a_path_and_an_idle_timeout(
    newest_version: str, tmp_path: Path
) -> None:
    """Each idle time ends in a cut, which loses nothing; the command does the same."""
    certificate = own_authority(tmp_path)
    with (
        PrefectServer(newest_version) as server,
        Nginx([server.port], path="/sub/path", certificate=certificate, idle=IDLE) as nginx,
    ):
        assert isinstance(nginx, Nginx)
        site = Site(server, nginx.api_url, {"ssl_cert_file": str(certificate["ca"])})
        async with reading(site) as reader:
            await write(site, reader.run, 5)
            await reader.until_noted("lost")
            await write(site, reader.run, 400)
            await reader.until_noted("connected", 2)
            await write(site, reader.run, 5)
        stored = [row["id"] for row in server.list_logs(flow_run_id={"any_": [reader.run]})]
        command = [sys.executable, "-m", "rawlogs", "tail", "--no-follow", "--since", "1h", "-o", "json"]
        said = await asyncio.to_thread(
            subprocess.run,
            [*command, "--api-url", nginx.api_url, "--cacert", str(certificate["ca"])],
            cwd=tmp_path,
            env={"HOME": str(tmp_path)},
            capture_output=True,
            check=True,
        )
    printed = [json.loads(line)["id"] for line in said.stdout.splitlines()]
    assert Counter(printed) == Counter(stored)


async def test_haproxy_that_restarts(newest_version: str) -> None:
    """Once at once, with the port closed for a while, and once by handing the port to a new process."""
    with PrefectServer(newest_version) as server, Haproxy(server.port) as haproxy:
        assert isinstance(haproxy, Haproxy)
        site = Site(server, haproxy.api_url)
        async with reading(site) as reader:
            await write(site, reader.run, 5)
            await asyncio.to_thread(haproxy.stop)
            await reader.until_noted("lost")
            await write(site, reader.run, 300)
            await asyncio.to_thread(haproxy.start)
            await reader.until_noted("connected", 2)
            await write(site, reader.run, 5)
            await asyncio.to_thread(haproxy.reload)
            await write(site, reader.run, 5)
            await reader.until_noted("connected", 3)
            await write(site, reader.run, 5)


async def test_a_server_without_a_socket_for_logs_is_polled() -> None:
    """/logs/out came with 3.4.7; before it, the list is all there is."""
    with PrefectServer("3.4.0") as server:
        await expect_all_once(Site(server, server.api_url))


def test_a_socks_proxy(newest_version: str, tmp_path: Path) -> None:
    """Both the socket and REST go through it, with the packages that the error names when they are missing."""
    packages = ["python-socks[asyncio]==3.2.1", "socksio==1.0.0"]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    subprocess.run([*pip, "--target", str(tmp_path / "packages"), *packages], check=True)
    with PrefectServer(newest_version) as server, Microsocks() as proxy:
        assert isinstance(proxy, Microsocks)
        done = subprocess.run(
            [sys.executable, "-m", "rawlogs", "doctor", "--write-test", "-o", "json"],
            cwd=tmp_path,
            env={
                "HOME": str(tmp_path),
                "PYTHONPATH": str(tmp_path / "packages"),
                "PREFECT_API_URL": server.api_url,
                "ALL_PROXY": proxy.url,
            },
            capture_output=True,
            check=True,
        )
        said = proxy.log
    found = json.loads(done.stdout)
    assert found["logs"] == "live and complete", found
    assert said.count(f"connected to 127.0.0.1:{server.port}") >= 2, said


async def test_csrf_protection_and_a_password(newest_version: str) -> None:
    """Every request shows both."""
    with PrefectServer(newest_version, auth_string=AUTH_STRING, csrf=True) as server:
        await expect_all_once(Site(server, server.api_url, {"auth_string": AUTH_STRING}))
