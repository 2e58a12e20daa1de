"""The listening socket: a port that can refuse for a while and be the same port afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Accepts TCP connections on one address and hands each to ``serve`` in a task of its own.

    While it refuses, the port stays bound without listening: clients get ECONNREFUSED, and nobody else gets
    the port.
    """

    def __init__(self, serve: Serve, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._serve = serve
        self._tls = tls
        self._address = (host, port)
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # while it listens
        self._accepting: asyncio.Task[None] | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self._untouched: set[socket.socket] = set()
        self.failures: list[BaseException] = []

    @property
    def port(self) -> int:
        return self._address[1]

    def bind(self) -> None:
        """Take the port, without listening yet."""
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
                # No task: one that is cancelled in the turn in which a connection came would leave that open.
                self._loop.add_reader(self._socket, self._accept_one, self._socket)
            except NotImplementedError:  # Windows
                self._accepting = self._loop.create_task(self._accept(self._socket))

    def refuse(self) -> None:
        """Refuse connections from now on; those that are up stay up."""
        if self._loop is not None:
            self.close()
            self.bind()

    def close(self) -> None:
        """Give the port back."""
        if self._loop is not None and self._socket is not None:
            # A connection that waits at this moment has its callback queued, which would run on a closed socket.
            with suppress(NotImplementedError):  # Windows, where there is no such callback
                self._loop.remove_reader(self._socket)
            self._loop = None
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def end_lines(self) -> None:
        """Cut every connection that is still up."""
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)
        for connection in self._untouched:  # their tasks were cancelled before the first step
            connection.close()
        self._untouched.clear()

    def _accept_one(self, listening: socket.socket) -> None:
        # Gone again, or taken by an earlier callback of the same turn.
        with suppress(BlockingIOError, InterruptedError, ConnectionAbortedError):
            connection, _ = listening.accept()
            connection.setblocking(False)
            self._begin(connection)

    async def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listening)
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        line = asyncio.get_running_loop().create_task(self._line(connection))
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        self._untouched.add(connection)

    async def _line(self, connection: socket.socket) -> None:
        self._untouched.discard(connection)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
        except (OSError, asyncio.CancelledError):  # also a TLS handshake that the client gave up
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
        finally:  # also when the server ends, which waits for no slow reader
            transport.abort()
