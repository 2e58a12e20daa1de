"""A connection on a line without a network, and the bytes of a WebSocket peer."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.uri import parse_uri
from websockets.utils import accept_key

from rawlogs.wire.fast import BatchConnection

TEXT, BINARY, CONT, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
FINAL, RSV1 = 0x80, 0x40


class Line(asyncio.Transport):
    """A transport without a network: what is written is kept; the peer is whoever calls the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.paused = False
        self.ended = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        self.ended = True


def frame(first: int, payload: bytes = b"", *, width: int | None = None, mask: bool = False) -> bytes:
    """One frame as bytes. ``width`` is how many bytes the length takes, None for the shortest way."""
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 1 << 16 else 8
    bit = 0x80 if mask else 0
    length = {0: bytes([bit | size & 0x7F]), 2: struct.pack("!BH", bit | 126, size & 0xFFFF)}.get(width)
    head = bytes([first]) + (length or struct.pack("!BQ", bit | 127, size))
    return head + (b"\0\0\0\0" if mask else b"") + payload


def text(payload: bytes, **options: Any) -> bytes:
    return frame(FINAL | TEXT, payload, **options)


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(FINAL | CLOSE, struct.pack("!H", code) + reason)


def response(key: str, *more: bytes) -> bytes:
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_key(key).encode(),
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def connect(
    line: Line,
    kind: Any = BatchConnection,
    *,
    deflate: bool = False,
    max_size: int = 64 << 20,
    close_timeout: float | None = None,
) -> BatchConnection:
    """A connection of that kind (a class, or what makes one) that has sent its upgrade request into the line."""
    protocol = ClientProtocol(
        parse_uri("ws://127.0.0.1/api/logs/out"),
        extensions=[ClientPerMessageDeflateFactory()] if deflate else None,
        max_size=max_size,
    )
    connection = cast(
        BatchConnection,
        kind(protocol, ping_interval=None, ping_timeout=None, close_timeout=close_timeout, max_queue=None),
    )
    connection.connection_made(line)
    connection.request = protocol.connect()
    protocol.send_request(connection.request)
    connection.send_data()
    line.written = b""
    return connection


def key_of(connection: BatchConnection) -> str:
    assert connection.request is not None
    return connection.request.headers["Sec-WebSocket-Key"]
