"""Real servers pass the checks that FakeServer passes (tests/test_contract.py runs the same ones)."""

from __future__ import annotations

import asyncio
from typing import Any

import contract
import pytest

from .conftest import AUTH_STRING
from .prefect_server import PrefectServer

pytestmark = pytest.mark.every_version


async def run(check: Any, server: PrefectServer, auth_string: str | None = None) -> None:
    async def post(rows: contract.Rows) -> None:
        await asyncio.to_thread(server.request, "POST", "/logs/", rows)

    async def request(method: str, path: str, body: Any) -> Any:
        return await asyncio.to_thread(server.request, method, path, body)

    await check(contract.Site(server.api_url, post, request, auth_string))


@pytest.mark.parametrize("check", contract.OPEN, ids=lambda check: check.__name__)
async def test_open(check: Any, server: PrefectServer) -> None:
    """Server authentication off."""
    await run(check, server)


@pytest.mark.parametrize("check", contract.WITH_AUTH, ids=lambda check: check.__name__)
async def test_with_auth(check: Any, auth_server: PrefectServer) -> None:
    """Server authentication on."""
    await run(check, auth_server, AUTH_STRING)
