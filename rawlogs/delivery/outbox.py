"""Where delivered logs wait for the reader: bounded, in order, never the reason for the socket to wait."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from rawlogs.models import Log


class Outbox:
    """Batches of logs between the stream's tasks and its one reader. ``size`` is in logs."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._batches: deque[list[Log]] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._closed = False
        self._error: BaseException | None = None

    def __len__(self) -> int:
        return self._waiting

    @property
    def full(self) -> bool:
        return self._waiting >= self._size

    @property
    def roomy(self) -> bool:
        """At least half empty: worth filling again."""
        return self._waiting * 2 <= self._size

    def put(self, logs: list[Log]) -> None:
        """Add a batch; whether there is room is the caller's to ask."""
        if logs:
            self._batches.append(logs)
            self._waiting += len(logs)
            self._filled.set()
            if not self.roomy:
                self._emptied.clear()

    async def room(self) -> None:
        """Wait until it is half empty."""
        await self._emptied.wait()

    def close(self, error: BaseException | None = None) -> None:
        """No more will come; the reader gets what waits, then the error or the end."""
        if not self._closed:
            self._closed, self._error = True, error
            self._filled.set()

    async def take(self) -> list[Log] | None:
        """The next batch; None at the end. Raises what the box was closed with."""
        while not self._batches:
            if self._closed:
                if self._error is not None:
                    raise self._error
                return None
            self._filled.clear()
            await self._filled.wait()
        batch = self._batches.popleft()
        self._waiting -= len(batch)
        if self.roomy:
            self._emptied.set()
        return batch

    def oldest(self) -> datetime | None:
        """The smallest timestamp that waits here."""
        return min((log.timestamp for batch in self._batches for log in batch), default=None)
