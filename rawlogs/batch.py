"""A batch: logs that travel together from the socket or the list to the reader, with their ids and times in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import overload

from rawlogs.models import Log


class Batch(Sequence[Log]):
    """Logs in order, never changed once made.

    ``ids`` are their canonical id texts; ``seconds``, ``oldest`` and ``newest`` are of their timestamps. What only
    deduplicates, counts or skips uses these and reads no log.
    """

    __slots__ = ("_logs", "_seconds", "ids")

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs
        self._seconds: list[float] | None = None
        self.ids: list[str] = [log.id_text for log in logs]

    @property
    def seconds(self) -> list[float]:
        """Timestamps as seconds since 1970, UTC, in the order of the logs."""
        if self._seconds is None:
            self._seconds = [log.timestamp.timestamp() for log in self._logs]
        return self._seconds

    @property
    def oldest(self) -> datetime:
        """The smallest timestamp. ValueError for an empty batch."""
        return min(log.timestamp for log in self._logs)

    @property
    def newest(self) -> datetime:
        """The greatest timestamp. ValueError for an empty batch."""
        return max(log.timestamp for log in self._logs)

    def keep(self, positions: Sequence[int]) -> Batch:
        """Return a batch of the logs at these positions; this one where that is all of them."""
        if len(positions) == len(self._logs):
            return self
        return Batch([self._logs[n] for n in positions])

    @classmethod
    def joined(cls, batches: Iterable[Batch]) -> Batch:
        """Return one batch of all logs of these, in order."""
        return cls([log for batch in batches for log in batch])

    def __len__(self) -> int:
        return len(self._logs)

    def __iter__(self) -> Iterator[Log]:
        return iter(self._logs)

    @overload
    def __getitem__(self, index: int) -> Log: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> Log | Batch:
        if isinstance(index, slice):
            return Batch(self._logs[index])
        return self._logs[index]

    def __repr__(self) -> str:
        return f"<Batch of {len(self._logs)} logs>"
