"""``HttpServer``: serves a Router's answers on one TCP port, and cuts, closes or refuses connections on request."""

from __future__ import annotations

import asyncio
import ssl

from rawlogs.testing.client_connection import ClientConnection
from rawlogs.testing.net.listener import Listener
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.router import Router

ENDING_TIMEOUT = 10.0
"""Seconds in which connections that were cut or closed have to be gone."""


class HttpServer:
    """One listening port. ``start`` and the coroutines run on one event loop."""

    def __init__(
        self, router: Router, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.router = router
        self._host = host
        self._scheme = "https" if tls else "http"
        self._listener = Listener(self._serve, host, port, tls)
        self._connections: set[ClientConnection] = set()

    @property
    def port(self) -> int:
        """Return the port; 0 before the start where none was chosen."""
        return self._listener.port

    @property
    def origin(self) -> str:
        """Return scheme, host and port as a URL has them."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    @property
    def sessions(self) -> list[WebSocketSession]:
        """Return the WebSockets that are open now."""
        return [session for connection in self._connections if (session := connection.session) is not None]

    def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._listener.bind()
        self._listener.listen()

    async def stop(self) -> None:
        """Close the port, cut all connections and end the tasks."""
        self._listener.close()
        await self._listener.end_connections()
        await self.router.state.stop()

    def check(self) -> None:
        """Raise the first error that was raised while a client was served, where there was one."""
        if self._listener.failures:
            raise self._listener.failures[0]

    def refuse(self, on: bool) -> None:
        """Refuse TCP connections on the same port, or accept them again."""
        self._listener.refuse() if on else self._listener.listen()

    async def drop_all(self, *, reset: bool = False) -> None:
        """Cut every WebSocket without a close frame, and wait until they have ended."""
        sessions = self.sessions
        for session in sessions:
            session.cut(reset=reset)
        await self._until_gone(sessions)

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every WebSocket with this close frame, and wait until they have ended."""
        sessions = self.sessions
        await asyncio.gather(*(session.leave(code, reason) for session in sessions))
        await self._until_gone(sessions)

    async def restart(self, downtime: float = 0.0, *, abrupt: bool = False) -> None:
        """Refuse connections for ``downtime`` seconds, after closing all with 1012, or cutting them (``abrupt``)."""
        self.refuse(True)
        await (self.drop_all() if abrupt else self.close_all(1012))
        await self._listener.end_connections()
        await asyncio.sleep(downtime)
        self.refuse(False)

    async def _until_gone(self, sessions: list[WebSocketSession]) -> None:
        # Other clients may connect meanwhile: only these are waited for.
        gone = self.router.state.until(lambda: not set(sessions) & set(self.sessions))
        await asyncio.wait_for(gone, ENDING_TIMEOUT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ClientConnection(self.router, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self.router.state.changed()
