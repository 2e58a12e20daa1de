"""A TCP proxy between one reader and the server: it counts requests from outside, and cuts connections when told."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass

_REQUEST = re.compile(rb"(?:GET|POST) /api(\S*) HTTP/1\.1\r\n")
_SOCKETS = ("/logs/out", "/events/out")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request that passed; `at` is of the clock of `time.time()`."""

    at: float
    path: str

    @property
    def is_rest(self) -> bool:
        """Whether it is no WebSocket's upgrade."""
        return not self.path.startswith(_SOCKETS)


class Gate:
    """A context manager that listens on a port of its own while it is open; runs in a thread.

    ``refuse_every``: each so many-th request for the list of logs is answered with 503; 0: none.
    """

    def __init__(self, server_port: int, refuse_every: int = 0) -> None:
        self._server_port = server_port
        self._refuse_every = refuse_every
        self._lists = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self.requests: list[Request] = []
        self.port = 0

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def __enter__(self) -> Gate:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection that is open now."""
        self._loop.call_soon_threadsafe(self._abort)

    def rest_requests(self, since: float, until: float) -> Counter[str]:
        """The REST requests that passed from then to then, counted by path."""
        passed = (request for request in self.requests if request.is_rest and since <= request.at < until)
        return Counter(request.path for request in passed)

    def upgrades(self) -> int:
        """How many WebSockets were asked for."""
        return sum(not request.is_rest for request in self.requests)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._pump_requests(reader, back, writer), self._pump(there, writer))
        except OSError:
            pass
        finally:
            self._writers -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    async def _pump_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        """Count requests, answer those that are to be refused, and hand on the others."""
        while data := await reader.read(1 << 18):
            found = _REQUEST.findall(data)
            self.requests.extend(Request(time.time(), path.decode()) for path in found)
            if self._refuse_every and b"/logs/filter" in found:
                self._lists += 1
                if self._lists % self._refuse_every == 0:
                    head, _, body = data.partition(b"\r\n\r\n")
                    length = re.search(rb"(?i)content-length: (\d+)", head)
                    await reader.readexactly(int(length[1]) - len(body) if length else 0)
                    client.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                    continue
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
