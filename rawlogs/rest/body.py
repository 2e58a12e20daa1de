"""Read the body of an answer: one known coding, unpacked in steps, never beyond a limit.

What a few bytes unpack to is known only once they are unpacked, so the limit is checked after each step and not at the
end. A long body is unpacked in a thread: the event loop has other readers to serve.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from rawlogs.errors import HistoryError

if TYPE_CHECKING:
    import httpx

MAX_SIZE = 64 << 20
"""How many bytes an answer may have, packed or not; a frame of the socket may have as many."""
IN_THREAD = 1 << 20
"""From this many unpacked bytes on the rest is unpacked in a thread."""
_STEP = 1 << 16
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15
_NAMES = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}


class TooLarge(Exception):
    """The body has more bytes than are taken."""


class Unreadable(ValueError):
    """The body cannot be unpacked: it is damaged, or cut off."""


class UnknownCoding(Exception):
    """The body is packed in a way that was not asked for, or more than once. The text is the header's."""


class AnswerTooLarge(HistoryError):
    """The answer to one request was larger than is taken; one for fewer rows may be small enough."""


async def read(response: httpx.Response, limit: int) -> bytes:
    """Return the body, unpacked. Raises TooLarge, Unreadable, UnknownCoding, and what httpx raises."""
    coding = coding_of(response.headers.get("content-encoding", ""))
    packed = bytearray()
    async for part in response.aiter_raw():
        packed += part
        if len(packed) > limit:
            raise TooLarge
    if coding is None or not packed:
        return bytes(packed)
    unpacking = Unpacking(packed, coding, limit)
    if not unpacking.run(IN_THREAD):
        await asyncio.to_thread(unpacking.run)
    return bytes(unpacking.content)


def coding_of(header: str) -> str | None:
    """Return ``gzip`` or ``deflate``, None where nothing is packed. Raises UnknownCoding for anything else."""
    names = [name for part in header.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return None
    # Twice packed, a few kilobytes unpack to gigabytes.
    if len(names) > 1 or names[0] not in _NAMES:
        raise UnknownCoding(header)
    return _NAMES[names[0]]


class Unpacking:
    """One body on its way from ``packed`` to ``content``."""

    def __init__(self, packed: bytes | bytearray, coding: str, limit: int) -> None:
        self.content = bytearray()
        self._packed = memoryview(packed)
        self._at = 0
        self._limit = limit
        self._tail = b""
        wbits = _GZIP
        if coding == "deflate":  # RFC 9110 means zlib's format; some servers send the bare one
            wbits = _ZLIB if _has_zlib_head(packed) else _RAW_DEFLATE
        self._inflate = zlib.decompressobj(wbits)

    def run(self, at_most: int | None = None) -> bool:
        """Go on to the end (True), or until ``content`` has ``at_most`` bytes (False; None: no such stop).

        Raises TooLarge and Unreadable.
        """
        while not self._inflate.eof:
            if at_most is not None and len(self.content) >= at_most:
                return False
            self._step()
        if self._inflate.unused_data or self._at < len(self._packed):
            raise Unreadable("something follows behind the end")
        return True

    def _step(self) -> None:
        source: bytes | memoryview = self._tail
        if not source:
            source = self._packed[self._at : self._at + _STEP]
            self._at += len(source)
            ended = not source
        else:
            ended = False
        try:
            part = self._inflate.decompress(source, _STEP)
        except zlib.error:
            raise Unreadable("it is damaged") from None
        self._tail = self._inflate.unconsumed_tail
        self.content += part
        if len(self.content) > self._limit:
            raise TooLarge
        if ended and not part and not self._inflate.eof:
            raise Unreadable("it is cut off")


def _has_zlib_head(packed: bytes | bytearray) -> bool:
    return len(packed) >= 2 and packed[0] & 0x0F == 8 and (packed[0] << 8 | packed[1]) % 31 == 0
