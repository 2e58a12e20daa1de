"""A reader's events as the bytes of a ``text/event-stream``; the same for every web framework. No request is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from rawlogs.relay.reader import Reader

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}
"""No cache and no proxy may keep the stream (nginx holds it back until a buffer is full)."""
RETRY = 3.0
"""Seconds after which a browser comes back."""


async def chunks(reader: Reader, *, retry: float = RETRY) -> AsyncGenerator[bytes, None]:
    """Yield how soon to come back, and where; then the events, joined as they come."""
    async with aclosing(reader.rounds()) as rounds:
        yield b"retry: %d\n%s\n" % (retry * 1000, id_line(reader))
        async for one in rounds:
            for chunk in one.chunks():
                yield chunk


async def with_heartbeat(
    reader: Reader, seconds: float, *, retry: float = RETRY
) -> AsyncGenerator[bytes, None]:
    """Yield the same, with a comment whenever nothing was sent for that long (for frameworks that send none)."""
    source = chunks(reader, retry=retry)
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait({upcoming}, timeout=seconds)
            if not done:
                yield heartbeat(reader)
                continue
            try:
                chunk = upcoming.result()
            except StopAsyncIteration:
                return
            upcoming = None
            yield chunk
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)
        await source.aclose()
        reader.close()


def heartbeat(reader: Reader) -> bytes:
    """Return a comment with the position: a quiet reader that comes back has less to list."""
    return b": keep-alive\n" + id_line(reader) + b"\n"


def id_line(reader: Reader) -> bytes:
    """Return the reader's position as a field of its own; empty where it has none yet."""
    cursor = reader.cursor
    return b"id: %s\n" % cursor.text.encode() if cursor is not None else b""
