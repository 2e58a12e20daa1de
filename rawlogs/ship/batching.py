"""Fill batches: one is due with enough logs, enough bytes, or a first log that waited long enough. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rawlogs.models import Log

RECORDS = 512
"""As many as OpenTelemetry's SDKs put into one request."""
BYTES = 1 << 20
AGE = 1.0
OVERHEAD = 500
"""About how many bytes a record has beside its message: its ids, its times and the names of its run."""


class Received(NamedTuple):
    """Log, and when it was received."""

    log: Log
    at: datetime


class Batcher:
    """The batch that is being filled.

    records: how many logs it has at most. size: how many bytes, about, and uncompressed; a log that is larger is a
    batch of its own. age: how many seconds its first log waits at most. ``now`` is monotonic, in seconds.
    """

    def __init__(self, *, records: int = RECORDS, size: int = BYTES, age: float = AGE) -> None:
        self._records = records
        self._size = size
        self._age = age
        self._filled: list[Received] = []
        self._bytes = 0
        self._began = 0.0
        self._full = False

    def __len__(self) -> int:
        return len(self._filled)

    def add(self, received: Received, now: float) -> bool:
        """Put a log in. Return whether there was room for it; where there was none, the batch is due."""
        size = size_of(received.log)
        # An empty batch takes a log of any size, or a large one would never be sent.
        if self._filled and (len(self._filled) >= self._records or self._bytes + size > self._size):
            self._full = True
            return False
        if not self._filled:
            self._began = now
        self._filled.append(received)
        self._bytes += size
        self._full = len(self._filled) >= self._records or self._bytes >= self._size
        return True

    def due_in(self, now: float) -> float | None:
        """Return in how many seconds the batch is to be sent, 0 for now; None for an empty one."""
        if not self._filled:
            return None
        return 0.0 if self._full else max(self._began + self._age - now, 0.0)

    def close(self) -> list[Received]:
        """Return the batch, and begin a new one."""
        filled, self._filled, self._bytes, self._full = self._filled, [], 0, False
        return filled


def size_of(log: Log) -> int:
    """Return about how many bytes the record of a log has."""
    return len(log.message.encode("utf-8", "replace")) + OVERHEAD
