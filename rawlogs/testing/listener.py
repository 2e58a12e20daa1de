"""The listening socket: a port that can refuse for a while and be the same port afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

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
        self._accepting: Callable[[], object] | None = None
        self._lines: set[asyncio.Task[None]] = set()
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
        if self._accepting is None and self._socket is not None:
            self._socket.listen(1024)
            self._accepting = self._start(self._socket)

    def refuse(self) -> None:
        """Refuse connections from now on; those that are up stay up."""
        if self._accepting is not None:
            self.close()
            self.bind()

    def close(self) -> None:
        """Give the port back."""
        if self._accepting is not None:
            self._accepting()
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

    def _start(self, listening: socket.socket) -> Callable[[], object]:
        """Accept from now on; what is returned ends it at once.

        Not a cancelled ``sock_accept``: where a connection is waiting at that moment, its callback still runs, on a
        socket that is closed by then.
        """
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(listening, self._accept, listening, loop)
        except NotImplementedError:  # Windows, whose loop takes a cancellation well
            return loop.create_task(self._accept_on_windows(listening, loop)).cancel
        return partial(loop.remove_reader, listening)

    def _accept(self, listening: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):  # the client has left already
            return
        except OSError as failure:  # too many open files: the server cannot go on
            self.failures.append(failure)
            self.close()
            return
        connection.setblocking(False)
        self._take(connection, loop)

    async def _accept_on_windows(self, listening: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            connection, _ = await loop.sock_accept(listening)
            self._take(connection, loop)

    def _take(self, connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        line = loop.create_task(self._line(connection))
        self._lines.add(line)
        line.add_done_callback(partial(self._ended, connection))

    def _ended(self, connection: socket.socket, line: asyncio.Task[None]) -> None:
        self._lines.discard(line)
        if line.cancelled():  # perhaps before its first step, which would have taken the connection over
            connection.close()

    async def _line(self, connection: socket.socket) -> None:
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
