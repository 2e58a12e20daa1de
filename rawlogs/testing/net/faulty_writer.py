"""Writes the bytes of one TCP connection, and spoils them on request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct


class Ended(Exception):
    """Raised where this side ended the connection; the rest of the script is skipped."""


class FaultyWriter:
    """Writes bytes as its settings say; None (0.0 for ``linger``) switches each off.

    slice, pause: write so many bytes at a time, and wait so many seconds after each slice.
    rate: write so many bytes a second.
    left: cut the connection after so many more bytes; ``reset`` resets it then.
    linger: wait so many seconds before the connection is closed.
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
        """Write all of it. Raises Ended where the connection is closed or ``left`` cuts it."""
        async with self._lock:  # slices of two frames must not mix
            if self._writer.transport.is_closing():
                raise Ended
            # Also with exactly as many bytes as are left: the next ones may never be written.
            cut = self.left is not None and len(data) >= self.left
            await self._write_slices(data[: self.left])
            if self.left is not None:
                self.left -= min(len(data), self.left)
        if cut:
            self.abort() if self.reset else await self.close()
            raise Ended

    async def _write_slices(self, data: bytes) -> None:
        if self.slice is None and self.rate is None:
            await self._write_one(data)
            return
        # A throttled connection still moves every tenth of a second.
        size = self.slice or max(1, int((self.rate or 0) / 10))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self._write_one(piece)
            await asyncio.sleep(len(piece) / self.rate if self.rate else self.pause)

    async def _write_one(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError:
            raise Ended from None

    async def finish(self) -> None:
        """Send the end of the stream and let the client close: nothing that was written is lost."""
        if self.linger or not self._writer.can_write_eof():  # TLS has no half-closed connections
            await self.close()
        elif not self._writer.transport.is_closing():
            self._writer.write_eof()

    async def close(self) -> None:
        """Close the connection after ``linger`` seconds; what was written still arrives."""
        if self.linger:
            await asyncio.sleep(self.linger)
        self._writer.close()

    def close_now(self) -> None:
        """Close the connection without waiting."""
        self._writer.close()

    def abort(self) -> None:
        """Reset the connection: the client sees ECONNRESET, and may lose what was written last."""
        connection = self._writer.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                # Lingering for 0 seconds makes close() send RST instead of FIN.
                linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()
