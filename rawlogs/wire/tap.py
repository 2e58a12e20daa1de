"""A connection that tells every wire event to a listener: what ``trace`` shows and ``record`` writes."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable
from typing import Any

from websockets.frames import Frame, Opcode

from rawlogs.wire.events import WireEvent
from rawlogs.wire.fast import BatchConnection

Tap = Callable[[WireEvent], None]

_KINDS = {
    Opcode.TEXT: "text",
    Opcode.BINARY: "binary",
    Opcode.CONT: "continuation",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping",
    Opcode.PONG: "pong",
}


class TappedConnection(BatchConnection):
    """A BatchConnection that takes the library's way only, and reports each frame of both sides.

    ``bytes_read`` and ``bytes_written`` count what crossed the wire after the upgrade, compressed where it was.
    """

    def __init__(self, *args: Any, tap: Tap, number: int = 0, **options: Any) -> None:
        super().__init__(*args, **{**options, "fast": False})
        self._tap = tap
        self._number = number
        self._accepted = False
        self._answers: list[tuple[Any, bool, bytes]] | None = None
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self.bytes_read = 0
        self.bytes_written = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = _Outgoing(transport, self._client_bytes)
        super().connection_made(self._line)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        if self.response is not None:
            self.bytes_read += len(data)
        # The library answers a ping or a close before it hands the frame out; told is what came first.
        self._answers = []
        super().data_received(data)
        answers, self._answers = self._answers, None
        for opcode, fin, payload in answers:
            self._frame("client", Frame(opcode, payload, fin))

    def process_event(self, event: Any) -> None:
        if self.response is None:
            super().process_event(event)
            self._answered(event)
            return
        if isinstance(event, Frame):
            self._frame("server", event)
        super().process_event(event)

    def _answered(self, response: Any) -> None:
        self._accepted = accepted = response.status_code == 101 and self.protocol.handshake_exc is None
        self._tell(
            "server",
            "upgrade_ok" if accepted else "refused",
            bytes(response.body) if response.body else None,
            status=response.status_code,
            headers=_pairs(response),
            subprotocol=self.subprotocol if accepted else None,
            extensions=[extension.name for extension in self.protocol.extensions],
        )

    def connection_lost(self, exc: Exception | None) -> None:
        closed = self.protocol.close_rcvd is not None
        super().connection_lost(exc)
        if self._accepted and not closed:
            side = "client" if self._line.aborted else "server"
            self._tell(side, "drop", None, error=type(exc).__name__ if exc else "")

    def _client_bytes(self, data: bytes) -> None:
        if self.request is None or not data:
            return
        if self.response is None:
            self._tell("client", "upgrade", None, path=self.request.path, headers=_pairs(self.request))
            return
        self.bytes_written += len(data)
        frames = _client_frames(data, self._inflate)
        if self._answers is not None:
            self._answers.extend(frames)
            return
        for opcode, fin, payload in frames:
            self._frame("client", Frame(opcode, payload, fin))

    def _frame(self, direction: Any, frame: Frame) -> None:
        kind = _KINDS[frame.opcode]
        data: bytes | str = bytes(frame.data)
        facts: dict[str, Any] = {"size": len(data), "fin": frame.fin}
        if frame.opcode is Opcode.TEXT and frame.fin:
            data = bytes(frame.data).decode("utf-8", "backslashreplace")
        elif frame.opcode is Opcode.CLOSE:
            payload = bytes(frame.data)
            facts["code"] = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            data = payload[2:].decode("utf-8", "backslashreplace")
        self._tell(direction, kind, data, **facts)

    def _tell(self, direction: Any, kind: str, data: bytes | str | None, **facts: Any) -> None:
        self._tap(WireEvent(time.monotonic(), self._number, direction, kind, data, facts))


class _Outgoing:
    """A transport that shows what is written to it."""

    def __init__(self, transport: asyncio.BaseTransport, seen: Callable[[bytes], None]) -> None:
        self._transport = transport
        self._seen = seen
        self.aborted = False

    def write(self, data: bytes) -> None:
        self._seen(bytes(data))
        self._transport.write(data)  # type: ignore[attr-defined]

    def abort(self) -> None:
        self.aborted = True
        self._transport.abort()  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _pairs(message: Any) -> list[tuple[str, str]]:
    return list(message.headers.raw_items())


def _client_frames(data: bytes, inflate: Any) -> list[tuple[Any, bool, bytes]]:
    """Return the frames in one write of the library, which writes whole, masked frames only."""
    frames = []
    position = 0
    while position + 2 <= len(data):
        first, second = data[position], data[position + 1]
        position += 2
        size = second & 0x7F
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[position : position + width], "big")
            position += width
        mask = data[position : position + 4]
        position += 4
        payload = bytes(byte ^ mask[i & 3] for i, byte in enumerate(data[position : position + size]))
        position += size
        if first & 0x40:  # compressed, and without the last four bytes of a sync flush (RFC 7692)
            payload = inflate.decompress(payload + b"\x00\x00\xff\xff")
        opcode = next((code for code in _KINDS if code == first & 0x0F), None)
        if opcode is not None:
            frames.append((opcode, bool(first & 0x80), payload))
    return frames
