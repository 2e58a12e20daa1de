"""Where delivered logs wait for the reader: bounded, in order, never the reason for the socket to wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime

from rawlogs.batch import Batch


class Outbox:
    """Batches between the stream's tasks and its one reader. ``size`` is in logs."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.error: BaseException | None = None
        """What the reader gets after the last log, instead of an end."""
        self._reader_waits = False
        self.last: Batch | None = None
        """What was put here last."""
        self.through: Callable[[Batch], bool] | None = None
        """Is given a batch while the reader waits and nothing else does; True: taken, nobody has to be woken."""
        self.closed = asyncio.Event()
        """Set when no more will come."""

    def __len__(self) -> int:
        return self._waiting

    @property
    def full(self) -> bool:
        return self._waiting >= self._size

    @property
    def roomy(self) -> bool:
        """Whether it is at least half empty: worth filling again."""
        return self._waiting * 2 <= self._size

    def put(self, batch: Batch) -> None:
        """Add a batch, also where it is full: the caller asks for room."""
        count = len(batch.ids)
        if not count:
            return
        self.last = batch
        if self._reader_waits and self.through is not None and not self._batches and self.through(batch):
            return
        self._batches.append(batch)
        self._waiting += count
        self._filled.set()
        if not self.roomy:
            self._emptied.clear()

    async def room(self) -> None:
        """Wait until it is half empty."""
        await self._emptied.wait()

    def close(self, error: BaseException | None = None) -> None:
        """Take no more; the reader gets what waits, then the error or the end. Only the first call counts."""
        if not self.closed.is_set():
            self.error = error
            self.closed.set()
            self._filled.set()

    async def take(self) -> Batch | None:
        """Return the next batch; None at the end. Raises what the box was closed with."""
        while not self._batches:
            if self.closed.is_set():
                if self.error is not None:
                    raise self.error
                return None
            self._filled.clear()
            self._reader_waits = True
            try:
                await self._filled.wait()
            finally:
                self._reader_waits = False
        batch = self._batches.popleft()
        self._waiting -= len(batch)
        if self.roomy:
            self._emptied.set()
        return batch

    def oldest(self) -> datetime | None:
        """Return the smallest timestamp that waits here; None where nothing does."""
        return min((batch.oldest for batch in self._batches), default=None)
