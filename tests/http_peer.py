"""A scripted HTTP/1.1 peer on the loopback, byte for byte: it cuts, resets and stays silent on demand."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Request:
    """What a client sent. ``connection`` numbers the TCP connections from 1; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    connection: int = 0

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Step:
    """The bytes that answer one request, and what becomes of the connection after them."""

    data: bytes = b""
    then: Literal["keep", "close", "reset", "hang"] = "keep"


def reply(
    body: Any = None, status: int = 200, headers: Mapping[str, str] | None = None, *, then: Any = "keep"
) -> Step:
    """A whole answer; a ``body`` that is not bytes goes out as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
    head = f"HTTP/1.1 {status} Because\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
    return Step(head.encode() + content, then)


def cut(step: Step, size: int) -> Step:
    """The same answer without its last ``size`` bytes, and the connection closed."""
    return replace(step, data=step.data[:-size], then="close")


RESET = Step(then="reset")
"""No answer: the connection is reset."""
CLOSE = Step(then="close")
"""No answer: the connection is closed."""
HANG = Step(then="hang")
"""No answer, and the connection stays open until the peer is closed."""


class HttpPeer:
    """Answers the requests with these steps, one after the other, or with what ``respond`` makes of each.

    ``requests`` holds what came, in order. A request beyond the script is answered with 418.
    """

    def __init__(
        self,
        *steps: Step,
        respond: Callable[[Request], Step] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._steps = list(steps)
        self._respond = respond or self._next
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Request] = []
        self.connections = 0
        self.asked = asyncio.Event()

    def then(self, *steps: Step) -> None:
        """Add to the script."""
        self._steps += steps

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.origin}/api"

    @property
    def paths(self) -> list[str]:
        """Method and path of every request so far."""
        return [f"{request.method} {request.path}" for request in self.requests]

    async def __aenter__(self) -> HttpPeer:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _next(self, request: Request) -> Step:
        return self._steps.pop(0) if self._steps else reply({"detail": "the script is over"}, 418)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            request = await _read(reader, number)
            self.requests.append(request)
            step = self._respond(request)
            self.asked.set()
            writer.write(step.data)
            await writer.drain()
            if step.then == "hang":
                await asyncio.Event().wait()
            if step.then == "reset":
                connection = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            if step.then == "close":
                writer.close()
                await writer.wait_closed()
                return


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body, connection)
