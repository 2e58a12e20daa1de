"""Saves the cursor file while a stream runs: at the start, after each flush, and when the low-water mark moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from rawlogs.cursor import CursorFile
from rawlogs.delivery.stream import LogStream
from rawlogs.errors import CursorError
from rawlogs.waiting import first_of

EVERY = 1.0
"""Seconds: a save follows each flush no later than this."""
SHARE = 20
"""A save that takes long is followed by at least so many times as long without one."""
TELL_AGAIN = 60.0


class CursorSaver:
    """Keeps one cursor file up to date. ``flush`` makes sure that what was written can be read by others.

    ``tell`` gets a problem when it begins, and every minute while it lasts. ``problem`` is the present one.
    ``every`` is the least number of seconds between two saves.
    """

    def __init__(
        self,
        cursor: CursorFile,
        logs: LogStream,
        flush: Callable[[], Awaitable[object]],
        tell: Callable[[CursorError], None],
    ) -> None:
        self._cursor = cursor
        self._logs = logs
        self._flush = flush
        self._tell = tell
        self._written = asyncio.Event()
        self._saving = asyncio.Lock()
        self._told_at: float | None = None
        self._cost = 0.0
        self.every = EVERY
        self.problem: CursorError | None = None

    def written(self) -> None:
        """Note that logs were written and committed, and save the cursor soon."""
        self._written.set()

    async def run(self) -> None:
        """Save now and whenever something has changed, until cancelled."""
        await self.save()
        while True:
            await first_of(self._written.wait(), self._logs.listed_again())
            await self.save()
            await asyncio.sleep(max(self.every, SHARE * self._cost))

    async def save(self) -> None:
        """Save the present position. The file is written in a thread, so that nothing waits for the disk."""
        async with self._saving:
            self._written.clear()
            # The cursor must never be ahead of what others can read.
            await self._flush()
            began = time.monotonic()
            low, entries = self._logs.position()
            try:
                await asyncio.to_thread(self._cursor.save, low, entries, self._logs.started)
                self.problem = None
            except CursorError as error:
                if self.problem is None or self._told_at is None or began - self._told_at > TELL_AGAIN:
                    self._told_at = began
                    self._tell(error)
                self.problem = error
            self._cost = time.monotonic() - began
