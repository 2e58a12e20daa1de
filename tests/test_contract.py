"""FakeServer passes the checks that real servers pass (tests/real/test_contract.py runs the same ones)."""

from __future__ import annotations

from typing import Any

import contract
import pytest

from rawlogs.config.settings import resolve
from rawlogs.rest.client import RestClient
from rawlogs.testing import Behaviour, FakeServer


async def run(check: Any, behaviour: Behaviour) -> None:
    async with FakeServer(behaviour) as server:
        settings = resolve(api_url=server.api_url, auth_string=behaviour.auth_string, environ={})
        async with RestClient(settings) as rest:

            async def post(rows: contract.Rows) -> None:
                await rest.post("/logs/", rows)  # type: ignore[arg-type]

            async def request(method: str, path: str, body: Any) -> Any:
                return await rest.post(path, body)

            await check(contract.Site(server.api_url, post, request, behaviour.auth_string))


@pytest.mark.parametrize("version", ["3.8.8", "3.4.7"])
@pytest.mark.parametrize("check", contract.OPEN, ids=lambda check: check.__name__)
async def test_open(check: Any, version: str) -> None:
    """Server authentication off."""
    await run(check, Behaviour(version=version))


@pytest.mark.parametrize("check", contract.WITH_AUTH, ids=lambda check: check.__name__)
async def test_with_auth(check: Any) -> None:
    """Server authentication on."""
    await run(check, Behaviour(auth_string="admin:pass"))
