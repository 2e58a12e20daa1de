"""The page's own web server: uvicorn, with what a page of endless answers needs."""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from rawlogs.errors import ConfigError
from rawlogs.serve.limits import Limits, limits_for
from rawlogs.serve.protocol import Door
from rawlogs.serve.quiet import OnceAMinute

if TYPE_CHECKING:
    from starlette.types import ASGIApp

SHUTDOWN_TIMEOUT = 3.0
"""Seconds from a signal until streams that still run are cut."""
BACKLOG = 128
"""Connections that the system keeps until they are accepted."""
SEND_BUFFER = 128 * 1024
"""Bytes that the system keeps for one reader (it doubles this); by itself it would go up to megabytes for each."""
ACCEPTED_AT_ONCE = 16
"""How many are accepted before the first of them is looked at: so many may be too many for a moment."""
_LOGGERS = ("uvicorn.error", "asyncio", "rawlogs.serve", "rawlogs.relay")
_NO_DESCRIPTORS = "socket.accept() out of system resource"


def open_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. ConfigError where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            listening.bind(address)
            listening.listen(BACKLOG)
        except BaseException:
            listening.close()
            raise
    except socket.gaierror as error:
        raise ConfigError(f"there is no address {host}: {error.strerror}", setting="--host") from None
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{host} port {port} cannot be used: {reason}",
            setting="--port",
            hint="Give another one with --port, or 0 for any.",
        ) from None
    return listening


def serve(app: ASGIApp, listening: socket.socket, *, started: Callable[[], None] = lambda: None) -> None:
    """Answer requests until a signal ends it."""
    make_server(app, started=started).run(sockets=[listening])


def make_server(
    app: ASGIApp, *, started: Callable[[], None] = lambda: None, limits: Limits | None = None
) -> uvicorn.Server:
    """Return the server, not yet running. Requests are not logged: one of them may carry the token.

    ``limits``: None takes those that fit this process's descriptors.
    """
    config = uvicorn.Config(
        app,
        http=Door(limits or limits_for(_descriptors())).protocol(),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=int(SHUTDOWN_TIMEOUT),
    )
    return _Server(config, started)


def _descriptors() -> int | None:
    """Return how many files and sockets this process may have open; None where the system has no such bound."""
    try:
        resource = importlib.import_module("resource")
    except ModuleNotFoundError:  # Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else int(soft)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started
        self._quiet = OnceAMinute()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self._quiet)
        asyncio.get_running_loop().set_exception_handler(_on_exception)
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(BACKLOG)  # to asyncio the backlog is also how many it accepts at once
        self._told()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        asyncio.get_running_loop().set_exception_handler(None)
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self._quiet)


def _on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log one line where asyncio has no descriptors left, which it tells with a traceback for each connection."""
    if context.get("message") == _NO_DESCRIPTORS:
        logging.getLogger("rawlogs.serve").error("no descriptors are left: no connection can be accepted")
    else:
        loop.default_exception_handler(context)
