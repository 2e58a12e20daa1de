"""One browser for all tests of a process here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from . import site


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def close_browser() -> AsyncIterator[None]:
    yield
    await site.close()
