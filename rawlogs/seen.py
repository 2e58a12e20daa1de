"""Ids of the delivered logs, kept as long as a list may still return them, in little memory. Pure.

The youngest ids stand in a dictionary. A full dictionary is packed into a chunk, sorted by timestamp, of 24 bytes a
log. A log is looked up by its own timestamp first, so that chunks of other times cost one comparison.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import NamedTuple, cast

from rawlogs.batch import Batch, stamps_to_seconds
from rawlogs.cursor import Entries
from rawlogs.models import Log

CHUNK = 8192


class _Chunk(NamedTuple):
    stamps: array[float]  # sorted
    ids: bytes  # 16 bytes each, in the same order
    arrived: float  # server time, in seconds, at which the youngest of them was delivered

    def has(self, stamp: float, packed: bytes) -> bool:
        stamps = self.stamps
        if not stamps[0] <= stamp <= stamps[-1]:
            return False
        first, last = bisect_left(stamps, stamp), bisect_right(stamps, stamp)
        block = self.ids[first * 16 : last * 16]
        position = block.find(packed)
        while position >= 0:
            # A match may begin inside of one id and end in the next.
            if position % 16 == 0:
                return True
            position = block.find(packed, position + 1)
        return False


class SeenIds:
    """A set of delivered logs. ``limit`` bounds it: beyond it the oldest arrivals are forgotten."""

    def __init__(self, limit: int = 2_000_000) -> None:
        # A batch's stamps stay texts until their seconds are needed.
        self._young: dict[str, float | str] = {}
        self._chunks: deque[_Chunk] = deque()
        self._newest = float("-inf")  # the largest timestamp in any chunk
        self._limit = limit
        self.forgotten: float | None = None
        """Server time up to which arrivals have been forgotten for want of room; None while none were."""

    def __len__(self) -> int:
        return len(self._young) + sum(len(chunk.stamps) for chunk in self._chunks)

    def __contains__(self, log: Log) -> bool:
        if log.id_text in self._young:
            return True
        stamp = log.timestamp.timestamp()
        return stamp <= self._newest and self._packed(log.id_text, stamp)

    def admit_batch(self, batch: Batch, now: Callable[[], float]) -> list[int]:
        """Return the positions of the logs that had not been delivered, in order; from now on they have been.

        now: gives the server's time in seconds; it is asked only when ids are packed.
        """
        ids, young = batch.ids, self._young
        new = list(range(len(ids)))
        # The usual case in one step: nothing came twice, and all is younger than every chunk.
        if (
            young.keys().isdisjoint(ids)
            and (len(ids) == 1 or len(set(ids)) == len(ids))
            and ids
            and batch.oldest.timestamp() > self._newest
        ):
            young.update(zip(ids, batch.stamps or batch.seconds, strict=True))
        else:
            new = [index for index in new if self._admit_one(ids[index], batch.seconds[index])]
        if len(young) >= CHUNK:
            self._pack(now())
        return new

    def _admit_one(self, log_id: str, stamp: float) -> bool:
        if log_id in self._young or (stamp <= self._newest and self._packed(log_id, stamp)):
            return False
        self._young[log_id] = stamp
        return True

    def count(self, after: datetime, before: datetime) -> int:
        """Return how many delivered logs are stamped from ``after`` up to, not including, ``before``."""
        low, high = after.timestamp(), max(after, before).timestamp()
        packed = sum(bisect_left(c.stamps, high) - bisect_left(c.stamps, low) for c in self._chunks)
        return packed + sum(low <= stamp < high for stamp in self._young_seconds().values())

    def forget(self, stamped_before: datetime, arrived_before: datetime, now: float) -> None:
        """Drop the chunks in which every log is stamped and has arrived before these times."""
        stamp, arrived = stamped_before.timestamp(), arrived_before.timestamp()
        if any(c.stamps[-1] < stamp and c.arrived < arrived for c in self._chunks):
            self._chunks = deque(c for c in self._chunks if c.stamps[-1] >= stamp or c.arrived >= arrived)
            self._newest = max((c.stamps[-1] for c in self._chunks), default=float("-inf"))
        if len(self._young) > 256:
            # An id stays young for as long as its chunk is not full, which may be for ever on a quiet stream;
            # what is old there is cheap, and dropped when it is the greater part.
            old = sum(value < stamp for value in self._young_seconds().values())
            if old * 2 > len(self._young):
                self._pack(now)

    def after(self, low: datetime) -> Entries:
        """Return the logs stamped at or after ``low``, for a cursor."""
        stamp = low.timestamp()
        young = [(log_id, at) for log_id, at in self._young_seconds().items() if at >= stamp]
        stamps = array("d", [at for _, at in young])
        ids = bytearray.fromhex("".join([log_id for log_id, _ in young]).replace("-", ""))
        for chunk in self._chunks:
            first = bisect_left(chunk.stamps, stamp)
            stamps += chunk.stamps[first:]
            ids += chunk.ids[first * 16 :]
        return Entries(stamps, ids)

    def load(self, entries: Iterable[tuple[float, str]], now: float) -> None:
        """Take up what ``after`` gave in an earlier process; entries that are known already change nothing."""
        for stamp, text in entries:
            self._admit_one(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}", stamp)
            if len(self._young) >= CHUNK:
                self._pack(now)

    def _packed(self, log_id: str, stamp: float) -> bool:
        packed = bytes.fromhex(log_id.replace("-", ""))
        return any(chunk.has(stamp, packed) for chunk in self._chunks)

    def _young_seconds(self) -> dict[str, float]:
        young = self._young
        texts = [(log_id, stamp) for log_id, stamp in young.items() if type(stamp) is str]
        if texts:
            seconds = stamps_to_seconds([stamp for _, stamp in texts])
            young.update(zip([log_id for log_id, _ in texts], seconds, strict=True))
        return cast("dict[str, float]", young)

    def _pack(self, now: float) -> None:
        young = self._young_seconds()
        ids, seconds = list(young), list(young.values())
        if seconds != sorted(seconds):  # they seldom are not
            order = sorted(range(len(ids)), key=seconds.__getitem__)
            ids, seconds = [ids[index] for index in order], [seconds[index] for index in order]
        stamps, packed = array("d", seconds), bytes.fromhex("".join(ids).replace("-", ""))
        self._chunks.append(_Chunk(stamps, packed, now))
        self._newest = max(self._newest, stamps[-1])
        self._young = {}
        while len(self) > self._limit and len(self._chunks) > 1:
            self.forgotten = self._chunks.popleft().arrived


def seconds(moment: float) -> datetime:
    """Return the aware datetime of a number of seconds since 1970."""
    return datetime.fromtimestamp(moment, timezone.utc)
