"""Batches of logs from the socket or the list to the reader, with ids and times in columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import overload

import orjson

from rawlogs.log_values import parse_timestamp
from rawlogs.models import Log, Row


class Batch(Sequence[Log]):
    """Logs in order, never changed once made.

    ``ids`` are their canonical id texts; ``seconds``, ``oldest`` and ``newest`` are of their timestamps. What only
    deduplicates, counts or skips uses these and reads no log. All but ``ids`` are worked out when they are asked for.

    A batch made ``of_rows`` makes its logs when they are first read. ``frames`` are then the payloads, each of them
    proven to be one valid log in the form in which servers write them, ``rows`` their fields, and ``stamps`` their
    timestamps as texts of one width, in UTC; all three are None for other batches.
    """

    __slots__ = ("_keep", "_made", "_oldest", "_seconds", "frames", "ids", "rows", "stamps")

    def __init__(self, logs: Sequence[Log]) -> None:
        self._made: Sequence[Log] | None = logs
        self._seconds: list[float] | None = None
        self._oldest: datetime | None = None
        self.ids: Sequence[str] = [log.id_text for log in logs]
        self.frames: Sequence[bytes] | None = None
        self.rows: Sequence[Row] | None = None
        self.stamps: Sequence[str] | None = None
        self._keep = False

    @classmethod
    def of_rows(cls, rows: Sequence[Row], frames: Sequence[bytes], *, keep: bool = False) -> Batch:
        """Return a batch of payloads that were proven to be canonical, at least one, and of their fields.

        ``keep`` keeps the bytes with the logs.
        """
        batch = cls.__new__(cls)
        batch._made = batch._seconds = batch._oldest = None
        batch.rows, batch.frames, batch._keep = rows, frames, keep
        batch.ids, _, _, _, batch.stamps, _, _ = zip(*rows, strict=True)
        return batch

    @property
    def seconds(self) -> Sequence[float]:
        """Timestamps as seconds since 1970, UTC, in the order of the logs."""
        if self._seconds is None:
            if self.stamps is None:
                self._seconds = [log.timestamp.timestamp() for log in self._logs]
            else:
                self._seconds = stamps_to_seconds(self.stamps)
        return self._seconds

    @property
    def oldest(self) -> datetime:
        """The smallest timestamp. ValueError for an empty batch."""
        if self._oldest is None:
            if self.stamps is None:
                self._oldest = min([log.timestamp for log in self._logs])
            else:  # the order of the texts is that of the moments
                self._oldest = parse_timestamp(min(self.stamps))
        return self._oldest

    @property
    def newest(self) -> datetime:
        """The greatest timestamp. ValueError for an empty batch."""
        if self.stamps is not None:  # as above
            return parse_timestamp(max(self.stamps))
        return max(log.timestamp for log in self._logs)

    def keep(self, positions: Sequence[int]) -> Batch:
        """Return a batch of the logs at these positions; this one where that is all of them."""
        if len(positions) == len(self):
            return self
        if self.rows is None or self.frames is None or not positions:
            return Batch([self._logs[n] for n in positions] if positions else [])
        rows, frames = self.rows, self.frames
        kept = Batch.of_rows([rows[n] for n in positions], [frames[n] for n in positions], keep=self._keep)
        if self._made is not None:  # what was read stays read
            kept._made = [self._made[n] for n in positions]
        return kept

    @classmethod
    def joined(cls, batches: Iterable[Batch]) -> Batch:
        """Return one batch of all logs of these, in order."""
        parts = [batch for batch in batches if batch]
        if len(parts) == 1:
            return parts[0]
        if not parts or any(batch.rows is None or batch._keep != parts[0]._keep for batch in parts):
            return cls([log for batch in parts for log in batch])
        rows = [row for batch in parts for row in batch.rows or ()]
        frames = [frame for batch in parts for frame in batch.frames or ()]
        return cls.of_rows(rows, frames, keep=parts[0]._keep)

    @property
    def _logs(self) -> Sequence[Log]:
        if self._made is None:
            made = Log.from_row
            if self._keep:
                self._made = [
                    made(row, raw) for row, raw in zip(self.rows or (), self.frames or (), strict=True)
                ]
            else:
                self._made = [made(row) for row in self.rows or ()]
        return self._made

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Log]:
        return iter(self._logs)

    @overload
    def __getitem__(self, index: int) -> Log: ...
    @overload
    def __getitem__(self, index: slice) -> Batch: ...
    def __getitem__(self, index: int | slice) -> Log | Batch:
        if isinstance(index, slice):
            return self.keep(range(len(self))[index])
        return self._logs[index]

    def __repr__(self) -> str:
        return f"<Batch of {len(self)} logs>"


def stamps_to_seconds(stamps: Sequence[str]) -> list[float]:
    """Return a batch's ``stamps``, at least one, in seconds since 1970, as ``datetime.timestamp()`` gives them."""
    text = ",".join(stamps)
    for second in {stamp[:19] for stamp in stamps}:
        since_1970 = int(parse_timestamp(second).timestamp())
        if since_1970 < 0:  # the fraction would count the wrong way
            return [parse_timestamp(stamp).timestamp() for stamp in stamps]
        text = text.replace(second, str(since_1970))
    seconds: list[float] = orjson.loads(f"[{text.replace('Z', '')}]")
    return seconds
