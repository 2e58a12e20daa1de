"""Real Prefect servers for the tests of this folder, all of which are marked `real`.

A server is started once for each (version, options) and shared: give your logs a flow run id of their own,
and look at no others. A test that changes a server for others makes a PrefectServer itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import prefect_env
from .prefect_server import PrefectServer

CHOSEN = os.environ.get("RAWLOGS_PREFECT_VERSIONS", "").split()
VERSIONS = CHOSEN or list(prefect_env.DEFAULT_VERSIONS)
NEWEST = max(VERSIONS, key=lambda version: tuple(map(int, version.split("."))))
AUTH_STRING = "admin:correct-horse"


class ServerPool:
    """Shared servers by version and options, at most `limit` of them running.

    The one that was asked for longest ago is stopped for a new one. A server that was stopped, here or by a
    test, runs again with its stored logs when it is asked for.
    """

    def __init__(self, limit: int = 2) -> None:
        self._limit = limit
        self._servers: dict[tuple[str, str], PrefectServer] = {}

    def get(self, version: str, **options: Any) -> PrefectServer:
        """A running server; the options are those of PrefectServer."""
        key = (version, repr(sorted(options.items())))
        server = self._servers.pop(key, None) or PrefectServer(version, **options)
        self._servers[key] = server
        running = [other for other in self._servers.values() if other.running and other is not server]
        for other in running[: max(0, len(running) + 1 - self._limit)]:
            other.stop()
        if not server.running:
            server.start()
        return server

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is here `real`, and leave most of the older versions to the matrix."""
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.real)
        version = item.callspec.params.get("prefect_version", NEWEST) if hasattr(item, "callspec") else NEWEST
        # fixtures/ holds what the older version does; so most tests with it wait until somebody chooses versions.
        if not CHOSEN and version != NEWEST and not item.get_closest_marker("every_version"):
            item.add_marker(pytest.mark.matrix)


@pytest.fixture(scope="session")
def prefect_versions() -> list[str]:
    """The versions to test with, from RAWLOGS_PREFECT_VERSIONS."""
    return VERSIONS


# Session scope makes pytest run the tests of one version together.
@pytest.fixture(scope="session", params=VERSIONS)
def prefect_version(request: pytest.FixtureRequest) -> str:
    """Each of the versions in turn."""
    version: str = request.param
    return version


@pytest.fixture(scope="session")
def newest_version() -> str:
    return NEWEST


@pytest.fixture(scope="session")
def servers() -> Iterator[ServerPool]:
    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture
def server(servers: ServerPool, prefect_version: str) -> PrefectServer:
    """A server that streams logs; each version in turn."""
    return servers.get(prefect_version)


@pytest.fixture
def auth_server(servers: ServerPool, prefect_version: str) -> PrefectServer:
    """A server that streams logs to those who know its auth string; each version in turn."""
    return servers.get(prefect_version, auth_string=AUTH_STRING)


@pytest.fixture
def default_server(servers: ServerPool) -> PrefectServer:
    """A server as it comes, with streaming off; the newest version."""
    return servers.get(NEWEST, streaming=False)


@pytest.fixture
def csrf_server(servers: ServerPool) -> PrefectServer:
    """A server that wants a CSRF token with every POST; the newest version."""
    return servers.get(NEWEST, csrf=True)
