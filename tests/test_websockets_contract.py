"""Each name inside `websockets` that the wire uses, so that a release that changes one fails with that name.

The fast way subclasses `ClientConnection`: it overrides and calls methods that are not documented. What the library
exports in its public interface (`connect`, `recv`, exceptions) is held by the tests of the wire themselves.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, OPEN

WIRE = Path(__file__).parents[1] / "rawlogs" / "wire"


class Watched(ClientConnection):
    """A connection that keeps what the library hands to the methods which the wire overrides."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.events: list[Any] = []
        self.reads: list[bytes] = []
        self.made: Any = None
        self.lost: list[Exception | None] = []
        super().__init__(*args, **options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made = transport
        super().connection_made(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        self.reads.append(bytes(data))
        super().data_received(data)

    def process_event(self, event: Any) -> None:
        self.events.append(event)
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)
        super().connection_lost(exc)


@asynccontextmanager
async def connected() -> AsyncIterator[Watched]:
    """Open a connection to a server that says "one", and closes with 1001 when it hears anything."""

    async def talk(peer: ServerConnection) -> None:
        await peer.send("one")
        await peer.recv()
        await peer.close(1001, "enough")

    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await connect(
            f"ws://127.0.0.1:{port}/",
            create_connection=Watched,
            compression=None,
            proxy=None,
            max_queue=None,
            close_timeout=2.5,
        )
        assert isinstance(connection, Watched), "create_connection is not what makes the connection"
        try:
            assert await connection.recv() == "one"
            yield connection
        finally:
            await connection.close()


def bound_method(connection: Watched, name: str) -> bool:
    return inspect.ismethod(getattr(connection, name))


OPENED: dict[str, Callable[[Watched], object]] = {
    "close": lambda c: list(inspect.signature(c.close).parameters) == ["code", "reason"],
    "close_timeout": lambda c: c.close_timeout == 2.5,
    "connection_lost": lambda c: bound_method(c, "connection_lost"),
    "connection_lost_waiter": lambda c: (
        isinstance(c.connection_lost_waiter, asyncio.Future) and not c.connection_lost_waiter.done()
    ),
    "connection_made": lambda c: c.made is not None,
    "data_received": lambda c: b"".join(c.reads).endswith(b"\x81\x03one"),
    "loop": lambda c: c.loop is asyncio.get_running_loop(),
    "process_event": lambda c: (
        isinstance(c.events[0], Response) and c.events[1] == Frame(Opcode.TEXT, b"one")
    ),
    "protocol": lambda c: c.protocol is not None,
    "protocol.close_rcvd": lambda c: c.protocol.close_rcvd is None,
    "protocol.extensions": lambda c: list(c.protocol.extensions) == [],
    "protocol.handshake_exc": lambda c: c.protocol.handshake_exc is None,
    "protocol.state": lambda c: c.protocol.state is OPEN,
    "request": lambda c: isinstance(c.request, Request) and c.request.path == "/",
    "response": lambda c: isinstance(c.response, Response) and c.response.status_code == 101,
    "subprotocol": lambda c: c.subprotocol is None,
    "transport": lambda c: c.transport is c.made,
    "transport.abort": lambda c: callable(c.transport.abort),
    "transport.pause_reading": lambda c: callable(c.transport.pause_reading),
    "transport.resume_reading": lambda c: callable(c.transport.resume_reading),
}
"""Each name, and what has to be true of it on an open connection."""

CLOSED_BY_PEER: dict[str, Callable[[Watched], object]] = {
    "connection_lost": lambda c: c.lost == [None],
    "connection_lost_waiter": lambda c: c.connection_lost_waiter.done(),
    "protocol.close_exc": lambda c: (
        (c.protocol.close_exc.rcvd, c.protocol.close_exc.rcvd_then_sent) == (Close(1001, "enough"), True)
    ),
    "protocol.close_rcvd": lambda c: c.protocol.close_rcvd == Close(1001, "enough"),
    "protocol.state": lambda c: c.protocol.state is CLOSED,
}
"""The same, where the server has closed with 1001."""

CLASSES: dict[str, Callable[[], object]] = {
    "connect.process_redirect": lambda: (
        list(inspect.signature(connect.process_redirect).parameters) == ["self", "exc"]
    ),
    "connect.uri": lambda: connect("ws://127.0.0.1:1/").uri == "ws://127.0.0.1:1/",
}
"""What the wire takes from the class `connect`."""


@pytest.mark.parametrize("name", OPENED)
async def test_name_on_an_open_connection(name: str) -> None:
    async with connected() as connection:
        assert OPENED[name](connection), f"websockets: {name} of a ClientConnection has changed"


@pytest.mark.parametrize("name", CLOSED_BY_PEER)
async def test_name_on_a_closed_connection(name: str) -> None:
    async with connected() as connection:
        await connection.send("end")
        await connection.wait_closed()
        assert CLOSED_BY_PEER[name](connection), (
            f"websockets: {name} of a closed ClientConnection has changed"
        )


@pytest.mark.parametrize("name", CLASSES)
def test_name_of_the_class(name: str) -> None:
    assert CLASSES[name](), f"websockets: {name} has changed"


async def test_a_paused_connection_is_not_read() -> None:
    """max_queue=None leaves pausing to the wire: the library does it for its own queue only."""
    async with connected() as connection:
        assert connection.transport.is_reading()
        connection.transport.pause_reading()
        assert not connection.transport.is_reading()
        connection.transport.resume_reading()


# -- whether the tables are complete


def inner_names() -> Iterator[str]:
    """Yield what the wire's subclasses of `websockets` take from it: `NAME`, `protocol.NAME`, `transport.NAME`."""
    for path in sorted(WIRE.glob("*.py")):
        classes = [
            node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)
        ]
        for node in classes:
            bases = {ast.unparse(base) for base in node.bases}
            if bases & {"ClientConnection", "BatchConnection"}:
                yield from names_in(node)
            elif "connect" in bases:
                yield from (f"connect.{name}" for name in names_in(node))


def names_in(node: ast.ClassDef) -> Iterator[str]:
    own = {each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    overridden = {
        ast.unparse(each.func).removeprefix("super().")
        for each in ast.walk(node)
        if isinstance(each, ast.Call) and ast.unparse(each.func).startswith("super().")
    }
    yield from overridden - {"__init__"}
    stored = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and is_stored(each)}
    annotated = {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)} | {
        ast.unparse(target) for each in node.body if isinstance(each, ast.Assign) for target in each.targets
    }
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            name = ast.unparse(each)
            first, *rest = name.removeprefix("self.").split(".")
            if name.startswith("self.") and "(" not in name and "[" not in name and not first.startswith("_"):
                if first in ("protocol", "transport") and rest:
                    yield f"{first}.{rest[0]}"
                elif first not in own | stored | annotated:
                    yield first


def is_stored(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


def test_every_inner_name_is_in_a_table() -> None:
    """Whoever uses one more writes down here what it has to be."""
    assert set(inner_names()) - {*OPENED, *CLOSED_BY_PEER, *CLASSES, *SUBCLASSES} == set()


SUBCLASSES = {"batch", "bytes_read", "bytes_written"}
"""What one class of the wire takes from another."""
