"""A small HTTP/1.1 server for probes and Prometheus: GET and HEAD, one request a connection, no body is read."""

from __future__ import annotations

import asyncio
import os
import socket

import h11

from rawlogs.errors import ConfigError
from rawlogs.health.address import ListenAddress
from rawlogs.health.page import Page, Pages
from rawlogs.host import is_loopback, only_host
from rawlogs.waiting import within

PATIENCE = 10.0
"""Seconds from the connection to the end of its answer."""
CONNECTIONS = 32
"""Connections at once; more than that is no set of probes and scrapers, and is cut."""
LONGEST_HEAD = 16 << 10
_CHUNK = 4096
_METHODS = (b"GET", b"HEAD")


class HealthServer:
    """Answers requests for ``pages``, in the event loop in which it is entered, until it is left.

    Entering raises ConfigError, which names --listen, where the address cannot be had.
    """

    def __init__(self, pages: Pages, address: ListenAddress, *, patience: float = PATIENCE) -> None:
        self._pages = pages
        self._patience = patience
        self._connections: set[asyncio.Task[None]] = set()
        self.address = address
        """Where it listens; once it is entered, with the port that was free."""

    async def __aenter__(self) -> HealthServer:
        address = self.address
        try:
            self._server = await asyncio.start_server(self._accepted, address.host, address.port)
        except OSError as error:  # also that of a name that there is not
            # asyncio's own text repeats the address.
            reason = os.strerror(error.errno) if error.errno else str(error)
            if isinstance(error, socket.gaierror):
                reason = "there is no such address"
            raise ConfigError(
                f"--listen {address} cannot be used: {reason}",
                setting="--listen",
                hint="Give another ADDR:PORT, or port 0 for any that is free.",
            ) from None
        bound, port = self._server.sockets[0].getsockname()[:2]
        self.address = ListenAddress(address.host, port)
        self._only_loopback = is_loopback(bound)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) <= CONNECTIONS:
                await within(self._patience, self._talk(reader, writer))
        except (OSError, TimeoutError):
            writer.transport.abort()  # the client went away, or took too long
        finally:
            self._connections.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
        head_only = False
        try:
            event = connection.next_event()
            while event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_CHUNK))
                event = connection.next_event()
            if not isinstance(event, h11.Request):  # it closed without a word
                return
            head_only = event.method == b"HEAD"
            page = self._page(event)
        except h11.RemoteProtocolError as error:
            page = Page(error.error_status_hint, b"This is no request.\n")
        headers = [
            ("content-type", page.content_type),
            ("content-length", str(len(page.content))),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("connection", "close"),
        ]
        if page.status == 405:
            headers.append(("allow", "GET, HEAD"))
        answer = connection.send(h11.Response(status_code=page.status, headers=headers)) or b""
        if not head_only:
            answer += connection.send(h11.Data(data=page.content)) or b""
        writer.write(answer)
        await writer.drain()

    def _page(self, request: h11.Request) -> Page:
        host = only_host([value.decode("latin-1") for name, value in request.headers if name == b"host"])
        if host is None:
            return Page(400, b"A request needs one Host header: a name or an address, and perhaps a port.\n")
        # Any website can point a name of its own at loopback, and read the answers as its own pages.
        if self._only_loopback and not host.is_loopback:
            return Page(421, b"This answers to localhost only.\n")
        if request.method not in _METHODS:
            return Page(405, b"GET and HEAD are answered here.\n")
        return self._pages.page(request.target.decode("latin-1").partition("?")[0])
