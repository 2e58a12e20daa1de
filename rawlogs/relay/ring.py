"""The youngest logs of the hub's sequence, for readers that join and for the seam of list and live. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from rawlogs.relay.events import LogEvent


class Ring:
    """At most ``size`` events, numbered without a hole in the order in which they came."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._events: deque[tuple[LogEvent, float]] = deque()
        self._by_id: dict[str, int] = {}
        self._by_place: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    @property
    def place(self) -> str:
        """The place of the youngest event; empty where there is none."""
        return self._events[-1][0].cursor.place if self._events else ""

    def add(self, event: LogEvent, arrived: float) -> None:
        self._events.append((event, arrived))
        self._by_id[event.log.id_text] = event.seq
        self._by_place[event.cursor.place] = event.seq
        while len(self._events) > self.size:
            old, _ = self._events.popleft()
            for index, key in ((self._by_id, old.log.id_text), (self._by_place, old.cursor.place)):
                if index.get(key) == old.seq:
                    del index[key]

    def seq_of(self, log_id: str) -> int | None:
        """The number of the log with that id, None where it is not here."""
        return self._by_id.get(log_id)

    def seq_at(self, place: str) -> int | None:
        """The number of the event at that place, None where it is not here (any more)."""
        return self._by_place.get(place) if place else None

    def behind(self, seq: int) -> Iterator[LogEvent]:
        """The events after number ``seq``, which is here."""
        if self._events:
            for event, _ in islice(self._events, max(seq + 1 - self._events[0][0].seq, 0), None):
                yield event

    def since(self, arrived: float) -> list[LogEvent]:
        """The events that came at or after that moment of the monotonic clock."""
        young = []
        for event, moment in reversed(self._events):
            if moment < arrived:
                break
            young.append(event)
        return young[::-1]
