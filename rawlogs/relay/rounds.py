"""Rounds: what a reader is handed at once. Readers that are handed the same events share one round and its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby

from rawlogs.relay.cursor import Cursor
from rawlogs.relay.events import Event, LogEvent

CHUNK = 64 * 1024
"""Bytes after which a chunk is full: one that does not read keeps it."""
MOST_KEPT = 4 * CHUNK
"""Bytes of a round that stay joined; what is larger is most likely the backlog of one slow reader, and its alone."""
MOST_EVENTS = 2000
"""Events in the rounds that are kept for others."""


class Round(tuple[Event, ...]):
    """Events in order, at least one."""

    _kept: tuple[bytes, ...] | None = None

    def chunks(self) -> Iterable[bytes]:
        """Return the events as Server-Sent Events, joined to chunks of about ``CHUNK`` bytes."""
        if self._kept is not None:
            return self._kept
        parts = [event.sse for event in self]
        if sum(map(len, parts)) > MOST_KEPT:
            return joined(parts)
        self._kept = tuple(joined(parts))
        return self._kept


class Rounds:
    """Live events with bounded moments in their cursors, each round made once for all readers that want it about now.

    A reader that has just joined bounds the moments to its own time, for a minute or two; so do all that join with it.
    """

    __slots__ = ("_count", "_events", "_rounds")

    def __init__(self) -> None:
        self._rounds: dict[tuple[tuple[LogEvent, ...], datetime, datetime | None], Round] = {}
        self._events: dict[datetime, dict[int, LogEvent]] = {}
        self._count = 0

    def get(self, events: Sequence[LogEvent], since: datetime, looked: datetime | None) -> Round:
        """Return these events, at least one, with the moments of their cursors ``bounded``."""
        key = tuple(events), since, looked
        found = self._rounds.get(key)
        if found is None:
            if self._count > MOST_EVENTS:
                self.clear()
            self._count += len(events)
            found = self._rounds[key] = Round(self._bounded(events, since, looked))
        return found

    def _bounded(
        self, events: Iterable[LogEvent], since: datetime, looked: datetime | None
    ) -> Iterator[LogEvent]:
        for low, group in groupby(events, key=lambda event: event.cursor.low):
            moment = bounded(low, since, looked)
            if moment == low:
                yield from group
                continue
            made = self._events.setdefault(moment, {})
            for event in group:
                # Readers with other filters may be handed it in another round: it is encoded once.
                if event.seq not in made:
                    made[event.seq] = event.at(Cursor(moment, event.cursor.log_id, event.cursor.place))
                yield made[event.seq]

    def clear(self) -> None:
        """Forget all, with each round of new events: the readers that keep up have taken the old ones."""
        self._rounds.clear()
        self._events.clear()
        self._count = 0


def bounded(low: datetime, since: datetime, looked: datetime | None) -> datetime:
    """Return ``low``, but not before a reader's time, and not behind a run of its deployments that is not known yet.

    looked: when the runs of its deployments were last looked up; None where it asked for no deployment.
    """
    low = max(low, since)
    return low if looked is None else min(low, looked)


def joined(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Yield parts joined to chunks of about ``CHUNK`` bytes; a part is never cut, so that one may be longer alone."""
    start = size = 0
    for end, part in enumerate(parts, 1):
        size += len(part)
        if size >= CHUNK:
            yield b"".join(parts[start:end])
            start, size = end, 0
    if start < len(parts):
        yield b"".join(parts[start:])
