"""The listening socket: a port that can refuse connections for a while, and stays the same port."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Accepts TCP connections on one address, and hands each to ``serve`` in a task of its own.

    While it refuses, the port stays bound without listening: clients get ECONNREFUSED, and no other program gets the
    port. ``failures`` are the errors that ``serve`` raised, but for those of a client that is gone.
    """

    def __init__(self, serve: Serve, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._serve = serve
        self._tls = tls
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while it listens
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._untouched: set[socket.socket] = set()
        self.failures: list[BaseException] = []

    @property
    def port(self) -> int:
        """Return the port; 0 before ``bind`` where none was chosen."""
        return self._address[1]

    def bind(self) -> None:
        """Take the port without listening yet. Raises OSError where it is taken."""
        self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would let two servers share the port
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(self._address)
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._address = (self._address[0], self._socket.getsockname()[1])

    def listen(self) -> None:
        """Accept connections from now on."""
        if self._loop is None and self._socket is not None:
            self._loop = asyncio.get_running_loop()
            self._socket.listen(1024)
            try:
                # A task that is cancelled in the turn in which a connection came would leave that one open.
                self._loop.add_reader(self._socket, self._accept_one, self._socket)
            except NotImplementedError:  # Windows
                self._accepting = self._loop.create_task(self._accept(self._socket))

    def refuse(self) -> None:
        """Refuse connections from now on; open ones stay open."""
        if self._loop is not None:
            self.close()
            self.bind()

    def close(self) -> None:
        """Release the port."""
        if self._loop is not None and self._socket is not None:
            # Otherwise a callback that is already queued would run on the closed socket.
            with suppress(NotImplementedError):  # Windows has no such callback
                self._loop.remove_reader(self._socket)
            self._loop = None
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def end_connections(self) -> None:
        """Cut every connection that is still open."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._untouched:  # their tasks were cancelled before the first step
            connection.close()
        self._untouched.clear()

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
        self._untouched.add(connection)

    async def _run(self, connection: socket.socket) -> None:
        self._untouched.discard(connection)
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
            await self._serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        except OSError:  # the client is gone
            pass
        except Exception as failure:
            self.failures.append(failure)
        finally:  # a server that ends waits for no slow reader
            transport.abort()
