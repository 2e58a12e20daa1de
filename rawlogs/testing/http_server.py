"""``HttpServer``: serves a Router's answers on one TCP port, and cuts, closes or refuses connections on request."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress

from rawlogs.testing.client_connection import ClientConnection
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.router import Router
from rawlogs.waiting import within

ENDING_TIMEOUT = 10.0
"""Seconds in which connections that were cut or closed have to be gone."""


class HttpServer:
    """One port; each TCP connection to it is served in a task of its own, on the event loop that called ``start``.

    While it refuses, the port stays bound without listening: clients get ECONNREFUSED, and no other program gets the
    port.
    """

    def __init__(
        self, router: Router, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.router = router
        self._address = (host, port)
        self._tls = tls
        self._socket: socket.socket | None = None
        self._listening = False
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._unserved: set[socket.socket] = set()
        self._connections: set[ClientConnection] = set()
        self._failures: list[BaseException] = []

    @property
    def port(self) -> int:
        """The port; 0 before the start where none was chosen."""
        return self._address[1]

    @property
    def origin(self) -> str:
        """The scheme, the host and the port as a URL has them."""
        host = self._address[0]
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def sessions(self) -> list[WebSocketSession]:
        """The WebSockets that are open now."""
        return [session for connection in self._connections if (session := connection.session) is not None]

    def start(self) -> None:
        """Listen. Raises OSError where the port is taken."""
        self._bind()
        self.refuse(False)

    async def stop(self) -> None:
        """Close the port, cut all connections and end the tasks."""
        self._close()
        await self._end_connections()
        await self.router.state.stop()

    def check(self) -> None:
        """Raise the first error that was raised while a client was served, where there was one."""
        if self._failures:
            raise self._failures[0]

    def refuse(self, on: bool) -> None:
        """Refuse TCP connections on the same port, or accept them again; open ones stay open."""
        if on and self._listening:
            self._close()
            self._bind()
        elif not on and not self._listening and self._socket is not None:
            loop = asyncio.get_running_loop()
            self._listening = True
            self._socket.listen(1024)
            try:
                # A task that is cancelled in the turn in which a connection came would leave that one open.
                loop.add_reader(self._socket, self._accept_one, self._socket)
            except NotImplementedError:  # Windows
                self._accepting = loop.create_task(self._accept(self._socket))

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
        await self._end_connections()
        await asyncio.sleep(downtime)
        self.refuse(False)

    async def _until_gone(self, sessions: list[WebSocketSession]) -> None:
        # Other clients may connect meanwhile: only these are waited for.
        gone = self.router.state.until(lambda: not set(sessions) & set(self.sessions))
        await within(ENDING_TIMEOUT, gone)

    def _bind(self) -> None:
        """Take the port without listening yet. Raises OSError where it is taken."""
        host = self._address[0]
        taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would let two servers share the port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(self._address)
        except OSError:
            taken.close()
            raise
        taken.setblocking(False)
        self._socket = taken
        self._address = (host, taken.getsockname()[1])

    def _close(self) -> None:
        """Release the port."""
        if self._socket is None:  # it was never started
            return
        if self._listening:
            # Otherwise a callback that is already queued would run on the closed socket.
            with suppress(NotImplementedError):  # Windows has no such callback
                asyncio.get_running_loop().remove_reader(self._socket)
            self._listening = False
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        self._socket.close()
        self._socket = None

    async def _end_connections(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._unserved:  # their tasks were cancelled before the first step
            connection.close()
        self._unserved.clear()

    def _accept_one(self, listening: socket.socket) -> None:
        # The client may be gone again, or an earlier callback of the same turn has accepted it.
        with suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            self._begin(connection)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._run(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._unserved.add(connection)

    async def _run(self, connection: socket.socket) -> None:
        self._unserved.discard(connection)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
        except (OSError, asyncio.CancelledError):  # such as a TLS handshake that the client gave up
            connection.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._serve(ClientConnection(self.router, reader, writer))
            await writer.wait_closed()
        except OSError:  # the client is gone
            pass
        except Exception as failure:
            self._failures.append(failure)
        finally:
            transport.abort()  # a server that ends waits for no slow reader

    async def _serve(self, connection: ClientConnection) -> None:
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self.router.state.changed()
