"""The bytes of one TCP connection on their way out, and what a bad line does to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct


class Ended(Exception):
    """The line was ended from this side; nothing more is to be done on it."""


class FaultyWriter:
    """Writes bytes, in slices, slowly, or only so many, as its settings say.

    ``slice`` bytes go out at a time, with ``pause`` seconds between; ``rate`` is bytes a second; after
    ``left`` bytes the line is cut (reset where ``reset``); ``linger`` seconds pass before it is closed. None
    switches each off.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lock = asyncio.Lock()
        self.slice: int | None = None
        self.pause = 0.0
        self.rate: float | None = None
        self.left: int | None = None
        self.reset = False
        self.linger = 0.0

    async def write(self, data: bytes) -> None:
        """Write all of it. Raises Ended where the line is cut in the middle, or was gone."""
        async with self._lock:
            if self._writer.transport.is_closing():
                raise Ended
            if self.slice is None and self.rate is None and self.left is None:
                await self._put(data)
                return
            cut = self.left is not None and len(data) >= self.left
            await self._put_slowly(data[: self.left])
            if self.left is not None:
                self.left -= min(len(data), self.left)
        if cut:
            self.abort() if self.reset else await self.close()
            raise Ended

    async def _put_slowly(self, data: bytes) -> None:
        # A throttled line still moves in pieces of a tenth of a second.
        size = self.slice or max(1, int((self.rate or 0) / 10)) if self.rate else self.slice or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self._put(piece)
            await asyncio.sleep(len(piece) / self.rate if self.rate else self.pause)

    async def _put(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise Ended from None

    async def finish(self) -> None:
        """Say that nothing more comes, and leave the other side to end the line: nothing written is lost."""
        if self.linger or not self._writer.can_write_eof():
            await self.close()
        elif not self._writer.transport.is_closing():
            self._writer.write_eof()

    async def close(self) -> None:
        """End the line in order: what was written arrives."""
        if self.linger:
            await asyncio.sleep(self.linger)
        self._writer.close()

    def close_now(self) -> None:
        """End the line without waiting."""
        self._writer.close()

    def abort(self) -> None:
        """Reset the line: the other side sees ECONNRESET, and what was on its way may be lost."""
        connection = self._writer.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
