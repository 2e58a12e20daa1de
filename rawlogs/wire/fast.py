"""A WebSocket connection that hands out whole messages in batches. No Prefect here.

`websockets` parses every frame in Python, which costs twice what decoding a log costs. A log stream is almost only
short, unmasked, final text frames, so those are cut out of each read here, and every other byte (the HTTP response,
control frames, fragments, compressed, masked, oversized or reserved frames) goes to the library unchanged, at
frame boundaries. Both ways end in one list, in order. ``fast=False`` sends everything through the library.

The list is read by a task (``batch``), or given to a callback within the read itself (``feed``): at the rates of a real
server most of a log's cost is waking up, not reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from rawlogs.waiting import wait_until_set

_FINAL_TEXT = 0x81
WAIT_FOR = 1 << 16
"""A frame up to this many bytes is waited for and cut; a larger one goes to the library as it comes, which also
holds it to ``max_size``. So the fast way is only for connections that allow at least this much."""
_STEADY = 8
"""So many small reads in a row, each within ``_SOON`` of the one before, are a stream: worth a delay, see ``_rest``."""
_SOON = 0.002  # seconds
_REST, _LONGEST_REST = 0.001, 0.004
"""Seconds for which a stream is left unread: first, and at most. A server takes some 40 ms to hand on such a stream."""
_SMALL = 8 << 10  # bytes; a larger read is worth waking up for
_HIGH_WATER = 32 << 20  # bytes of messages that wait for the reader before the socket is no longer read
_OPCODES = frozenset(Opcode)
_MESSAGE_OPCODES = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class BatchConnection(ClientConnection):
    """A ``ClientConnection`` whose messages are read with ``batch()``, or handed over by ``feed()``, not ``recv()``."""

    def __init__(self, *args: Any, fast: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self._fast = fast
        self._messages: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._arrived = asyncio.Event()
        self._fragments: list[bytes] = []
        self._held = b""  # the beginning of a frame that has not arrived whole
        self._owed = 0  # bytes of a frame that go to the library as they come
        self._fast_path = False
        self.fed = 0
        """How many messages were given to ``feed``'s callback."""
        self._take: Callable[[list[bytes]], None] | None = None
        self._problem: BaseException | None = None  # what ``_take`` raised
        self._read_at = float("-inf")  # loop time of the last read
        self._resting: asyncio.TimerHandle | None = None
        self._quick = 0  # small reads in a row that came soon after each other
        self._rested = 0.0  # seconds of the rest that the next read follows, if any

    async def feed(self, take: Callable[[list[bytes]], None]) -> None:
        """Call ``take`` with the messages of each read, at once, until the connection has ended.

        So a message is dealt with in the turn of the loop that read it, without waking a task. ``take`` must never
        wait. What it raises cuts the line and is raised here. Cancelled, it calls ``take`` no more.
        """
        self._take = take
        try:
            self._hand_over()
            self._resume()
            while not self.connection_lost_waiter.done():
                self._arrived.clear()
                await self._wait()
        finally:
            self._take = None
            self._read_on()
        if self._problem is not None:
            raise self._problem

    async def batch(self) -> list[bytes]:
        """Return the messages that arrived since the last call, at least one; none once the connection has ended."""
        while not self._messages:
            if self.connection_lost_waiter.done():
                return []
            self._arrived.clear()
            await self._wait()
        batch, self._messages, self._waiting = self._messages, [], 0
        self._resume()
        return batch

    async def _wait(self) -> None:
        if self.protocol.state is OPEN:
            await self._arrived.wait()
        elif not await wait_until_set(self._arrived, self.close_timeout):
            # This side has given up, and the peer takes no part in closing.
            self.transport.abort()
            await self._arrived.wait()

    def _hand_over(self) -> None:
        """Give what has arrived to ``feed``'s callback."""
        batch, self._messages, self._waiting = self._messages, [], 0
        if self._take is None or self._problem is not None or not batch:
            return
        self.fed += len(batch)
        try:
            self._take(batch)
        except BaseException as problem:
            self._problem = problem
            self.transport.abort()
            self._arrived.set()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        # The answer to the close frame stands after whatever has not been read.
        self._resume()
        self._read_on()
        await super().close(code, reason)

    def data_received(self, data: bytes) -> None:
        if self._fast_path:
            self._cut(data)
        elif self.response is not None or not self._fast:
            super().data_received(data)
        else:
            self._read_response(data)
        if self._take is not None:
            several = len(self._messages) > 1
            self._hand_over()
            if self.protocol.state is not OPEN:
                self._arrived.set()
            elif len(data) < _SMALL:
                self._rest(several)
        elif self._messages or self.protocol.state is not OPEN:
            self._arrived.set()
            if self._waiting > _HIGH_WATER and not self._paused and self.protocol.state is OPEN:
                self._paused = True
                self.transport.pause_reading()

    def _rest(self, several: bool) -> None:
        """Leave the socket unread for a moment where small reads go on following each other quickly.

        A server writes each log by itself. Waking up costs more than reading ten of them, and what waits in the
        system's buffer costs the server's queue nothing. The few logs of a small POST are not delayed. ``several``:
        the read brought more than one message, so that the rest before it was worth its timer, and a longer one may be.
        """
        now = self.loop.time()
        self._quick = self._quick + 1 if now - self._read_at < _SOON else 0
        self._read_at = now
        rested, self._rested = self._rested, 0.0
        if rested and not several:
            self._quick = 0
        elif self._resting is None and (rested or self._quick >= _STEADY):
            self._rested = min(2 * rested, _LONGEST_REST) or _REST
            self.transport.pause_reading()
            self._resting = self.loop.call_later(self._rested, self._read_on)

    def _read_on(self) -> None:
        """End the rest, if there is one."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._resting is not None:  # a TLS transport of Python 3.10 can no longer be asked for anything
            self._resting.cancel()
            self._resting = None
        super().connection_lost(exc)
        self._arrived.set()

    def process_event(self, event: Any) -> None:
        if self.response is None or not isinstance(event, Frame) or event.opcode not in _MESSAGE_OPCODES:
            super().process_event(event)
            return
        self._fragments.append(bytes(event.data))
        if event.fin:
            self._add(b"".join(self._fragments))
            self._fragments = []

    def _add(self, message: bytes) -> None:
        self._messages.append(message)
        self._waiting += len(message)

    def _read_response(self, data: bytes) -> None:
        """Give the library the HTTP response up to its blank line, and take the rest as frames."""
        held = len(self._held)
        end = (self._held + data).find(b"\r\n\r\n")
        if end < 0:
            self._held = (self._held + data)[-3:]
            super().data_received(data)
            return
        cut = end + 4 - held
        self._held = b""
        super().data_received(data[:cut])
        # A refusal may have a body, and a compressed frame has a reserved bit: both are the library's.
        self._fast_path = self.protocol.state is OPEN
        if rest := data[cut:]:
            self._cut(rest) if self._fast_path else super().data_received(rest)

    def _cut(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
            self._held = b""
        position, end = 0, len(data)
        while position < end:
            if self._owed:
                part = data[position : position + self._owed]
                self._owed -= len(part)
                position += len(part)
                super().data_received(part)
                if self.protocol.state is not OPEN:
                    # After a close frame nothing may be taken for a message.
                    self._fast_path = False
                    if position < end:
                        super().data_received(data[position:])
                    return
                continue
            if end - position < 2:
                break
            first, length = data[position], data[position + 1]
            if length >= 0x80 or (first != _FINAL_TEXT and first & 0x0F not in _OPCODES):
                # Masked, or of no known kind: the library ends the conversation, whatever follows.
                self._fast_path = False
                super().data_received(data[position:])
                return
            if length < 126:
                start, size = position + 2, length
            else:
                start = position + (4 if length == 126 else 10)
                if end < start:
                    break
                size = int.from_bytes(data[position + 2 : start], "big")
            after = start + size
            if first == _FINAL_TEXT and not self._fragments and after - position <= WAIT_FOR:
                if end < after:
                    break
                self._messages.append(data[start:after])
                self._waiting += size
                position = after
            else:
                self._owed = after - position
        self._held = data[position:]
