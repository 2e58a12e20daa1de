"""The fixture ``fake_prefect``: a fake Prefect server for one test, with PREFECT_API_URL pointing at it.

It is loaded only where it is asked for, in the top ``conftest.py`` or a test module::

    pytest_plugins = ["rawlogs.testing.plugin"]

    async def test_errors_are_forwarded(fake_prefect):
        fake_prefect.post("boom", level=40)
        ...

The server runs on the test's own event loop, so the test is a coroutine: run it with pytest-asyncio or with anyio.
Override ``fake_prefect_behaviour`` for another server::

    @pytest.fixture
    def fake_prefect_behaviour():
        return Behaviour(auth_string="admin:pass")

The environment's PREFECT_API_URL, PREFECT_API_AUTH_STRING and PREFECT_API_KEY match the server for the length of the
test; PREFECT_API_SSL_CERT_FILE and PREFECT_CLIENT_CUSTOM_HEADERS are taken away.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from rawlogs.testing.behaviour import Behaviour
from rawlogs.testing.server import FakeServer

try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:  # anyio runs coroutine fixtures that are declared the plain way
    _async_fixture: Any = pytest.fixture  # type: ignore[no-redef]


@pytest.fixture
def fake_prefect_behaviour() -> Behaviour:
    """Which server ``fake_prefect`` is; override it."""
    return Behaviour()


@_async_fixture
async def fake_prefect(
    fake_prefect_behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeServer]:
    """A running ``FakeServer``, which the environment's settings point at."""
    async with FakeServer(fake_prefect_behaviour) as server:
        wanted = settings(server)
        for name in [name for name in os.environ if name.upper() in wanted]:  # Prefect ignores their case
            monkeypatch.delenv(name)
        for name, value in wanted.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        yield server


def settings(server: FakeServer) -> Mapping[str, str | None]:
    """The settings with which a client reaches that server; None for what must not be set."""
    return {
        "PREFECT_API_URL": server.api_url,
        "PREFECT_API_AUTH_STRING": server.behaviour.auth_string,
        "PREFECT_API_KEY": server.behaviour.api_key,
        "PREFECT_API_SSL_CERT_FILE": None,
        "PREFECT_CLIENT_CUSTOM_HEADERS": None,
    }
