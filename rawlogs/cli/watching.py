"""``--listen`` and ``--health-file``: the commands that run for long, under watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rawlogs.clock import SystemClock
from rawlogs.host import is_loopback
from rawlogs.notices import Notice, OnNotice

if TYPE_CHECKING:
    from rawlogs.health.subject import Subject


@asynccontextmanager
async def watched(
    subject: Subject, on_notice: OnNotice, *, listen: str | None, health_file: str | None
) -> AsyncIterator[None]:
    """Let ``subject`` be watched as long as this is entered. Raises ConfigError, which names the option."""
    async with AsyncExitStack() as stack:
        if health_file is not None:
            from rawlogs.health import heartbeat

            path = Path(health_file)
            heartbeat.check(path)
            beating = asyncio.create_task(
                heartbeat.beat(path, subject, SystemClock(), lambda text: _tell(on_notice, "warning", text))
            )
            stack.push_async_callback(_cancelled, beating)
        if listen is not None:
            from rawlogs.health.address import parse_address
            from rawlogs.health.page import Pages
            from rawlogs.health.server import HealthServer

            server = await stack.enter_async_context(HealthServer(Pages(subject), parse_address(listen)))
            reach = "" if is_loopback(server.address.host) else ", for everybody who reaches this machine"
            text = f"health and metrics at http://{server.address}/readyz and /metrics{reach}"
            _tell(on_notice, "state", text)
        yield


def _tell(on_notice: OnNotice, kind: Any, text: str) -> None:
    on_notice(Notice(kind, text, datetime.now(timezone.utc)))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
