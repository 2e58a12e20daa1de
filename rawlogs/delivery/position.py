"""What the reader of a stream was given, and what it has flushed: the position that a cursor holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rawlogs.batch import Batch
from rawlogs.cursor import Entries, Resume
from rawlogs.seen import SeenIds


class Position:
    """Batches that were handed out and are not flushed yet, and the ids of those that are.

    now: gives the server's time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._flushed = SeenIds()
        self._handed: list[Batch] = []

    def load(self, resume: Resume) -> None:
        """Go on from a cursor."""
        self._flushed.load(resume.entries, self._now())

    def hand(self, batch: Batch) -> None:
        """Add logs that the reader is given."""
        self._handed.append(batch)

    def commit(self, but: int) -> None:
        """Count everything that was handed out, but the last so many logs, as flushed."""
        if not self._handed:
            return
        parts, self._handed = self._handed, []
        if but:
            handed = Batch.joined(parts)
            done = len(handed) - but
            parts, self._handed = [handed[:done]], [handed[done:]]
        for part in parts:
            self._flushed.admit_batch(part, self._now)

    def oldest(self) -> list[datetime]:
        """Return the smallest timestamp of each batch that is not flushed."""
        return [batch.oldest for batch in self._handed if batch]

    def flushed_after(self, low: datetime) -> Entries:
        """Return what was flushed at or after the low-water mark, and forget what was flushed before it."""
        self._flushed.forget(low, low, self._now())
        return self._flushed.after(low)
