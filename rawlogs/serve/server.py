"""The page's own web server: uvicorn, with what a page of endless answers needs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    from starlette.applications import Starlette

LAST_WORDS = 3.0
"""Seconds from a signal until streams that still run are cut."""


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one. ConfigError where it cannot be had."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
            listening.listen(128)
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


def serve(app: Starlette, listening: socket.socket, *, started: Callable[[], None] = lambda: None) -> None:
    """Answer requests until a signal ends it."""
    make_server(app, started=started).run(sockets=[listening])


def make_server(app: Starlette, *, started: Callable[[], None] = lambda: None) -> uvicorn.Server:
    """The server, not yet running. Requests are not logged: one of them may carry the token."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=int(LAST_WORDS),
    )
    return _Server(config, started)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._told()
