"""The page served for a test, by the server that users run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rawlogs.serve.access import open_gate
from rawlogs.serve.app import make_app
from rawlogs.serve.limits import Limits
from rawlogs.serve.server import make_server, open_socket


@asynccontextmanager
async def serving(
    api_url: str,
    *,
    token: str | None = None,
    behind_proxy: bool = False,
    port: int = 0,
    limits: Limits | None = None,
    **access: Any,
) -> AsyncIterator[str]:
    """The page's server in this loop; its URL."""
    with open_socket("127.0.0.1", port) as listening:
        port = listening.getsockname()[1]
        gate = open_gate("127.0.0.1", port, token=token, behind_proxy=behind_proxy)
        started = asyncio.Event()
        app = make_app(gate, {"api_url": api_url, **access})
        server = make_server(app, started=started.set, limits=limits)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if running.done():
                await running
            yield f"http://127.0.0.1:{port}/"
        finally:
            waiting.cancel()
            server.should_exit = True
            await running
