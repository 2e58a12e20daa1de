"""uvicorn's HTTP protocol, with an end to whatever a client may take its time for."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rawlogs.serve.limits import Limits
from rawlogs.serve.middleware import HEADERS

log = logging.getLogger("rawlogs.serve")
FULL = "Too many connections are open here; try again later.\n"
_NO_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
SLOW = "The request took too long to arrive.\n"


class Door:
    """What the connections of one server share: the limits, and who has not asked for anything yet."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.silent: dict[LimitedProtocol, None] = {}
        """Connections whose request's head is not complete, the oldest first."""
        self.turned_away: set[LimitedProtocol] = set()

    def protocol(self) -> type[H11Protocol]:
        """Return the protocol class for ``uvicorn.Config(http=...)``."""
        return type("LimitedProtocol", (LimitedProtocol,), {"door": self})

    def makes_room(self) -> bool:
        """Cut the oldest connection that has not asked for anything; False where all have."""
        oldest = next(iter(self.silent), None)
        if oldest is None:
            return False
        del self.silent[oldest]
        oldest.cut()
        return True


class LimitedProtocol(H11Protocol):
    """One connection. ``door`` is set by ``Door.protocol``.

    Only what asyncio calls is overridden, and ``handle_events``, behind which each part of a request is known.
    """

    door: Door

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waits_for = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        door, limits = self.door, self.door.limits
        # Whatever waits to be sent counts as writing, so that no half-open connection stays for ever.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) >= limits.connections and not door.makes_room():
            self.transport = transport
            log.warning("%d connections are open: further ones are answered with 503", limits.connections)
            if len(door.turned_away) >= limits.turned_away:
                self.cut()
                return
            door.turned_away.add(self)
            # Not before it has asked: an answer to nothing is lost when the connection is closed.
            self._deadline = self.loop.call_later(limits.refusal, self.cut)
            return
        super().connection_made(transport)
        self._wait_for("head")

    def data_received(self, data: bytes) -> None:
        if self.flow is not None:  # None: turned away
            super().data_received(data)
        elif self in self.door.turned_away and not self.transport.is_closing():
            self._say(503, "Service Unavailable", FULL, "retry-after: 5\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_for("")
        self._set_writing(None)
        self.door.turned_away.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self.flow is not None:
            super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._set_writing(self.cut)
        if self.flow is not None:
            super().pause_writing()

    def resume_writing(self) -> None:
        self._set_writing(None)
        if self.flow is not None:
            super().resume_writing()

    # What uvicorn calls

    def handle_events(self) -> None:
        super().handle_events()
        state = self.conn.their_state
        self._wait_for("head" if state is h11.IDLE else "body" if state is h11.SEND_BODY else "")

    # The ends

    def cut(self) -> None:
        """End the connection at once, and drop whatever is still to be sent, the system's part of it, too."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _wait_for(self, part: str) -> None:
        """Start the time for this part of a request; it does not start again with each byte."""
        if part == self._waits_for:
            return
        self._waits_for = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part == "head":
            self.door.silent[self] = None
        else:
            self.door.silent.pop(self, None)
        if part:
            limits = self.door.limits
            seconds = limits.head if part == "head" else limits.body
            self._deadline = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        cycle, asked = self.cycle, self._waits_for == "body" or bool(self.conn.trailing_data[0])
        if asked and (cycle is None or cycle.response_complete or not cycle.response_started):
            self._say(408, "Request Timeout", SLOW)
        else:  # nothing was asked yet, or the answer has begun
            self.cut()

    def _say(self, status: int, phrase: str, text: str, more: str = "") -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n"
            f"connection: close\r\n{more}{fields}content-length: {len(text)}\r\n\r\n"
        )
        self.transport.write((head + text).encode("ascii"))
        self.transport.close()

    def _set_writing(self, done: Callable[[], None] | None) -> None:
        if self._writing is not None:
            self._writing.cancel()
        self._writing = None if done is None else self.loop.call_later(self.door.limits.write, done)
