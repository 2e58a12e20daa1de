"""What waits for one reader and what of it was sent (``ReaderQueue``); the youngest of the hub (``Ring``). Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from uuid import UUID

from rawlogs.models import Log
from rawlogs.relay.dispatch import SharedFilter
from rawlogs.relay.events import LogEvent
from rawlogs.relay.listing import Listed, Listing


class Ring:
    """Keep the ``size`` youngest events of the hub, numbered without a hole in the order in which they came.

    They serve readers that join or come back, and events that a list may not show yet.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._events: deque[tuple[LogEvent, float]] = deque()
        self._by_id: dict[str, int] = {}
        self._by_place: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    def clear(self) -> None:
        """Forget all events."""
        self._events.clear()
        self._by_id.clear()
        self._by_place.clear()

    @property
    def place(self) -> str:
        """Return the place of the youngest event; empty where there is none."""
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
        """Return the number of the log with that id, None where it is not here."""
        return self._by_id.get(log_id)

    def seq_at(self, place: str) -> int | None:
        """Return the number of the event at that place, None where it is not here (any more)."""
        return self._by_place.get(place) if place else None

    def behind(self, seq: int) -> Iterator[LogEvent]:
        """Yield the events after number ``seq``, which is here."""
        if self._events:
            for event, _ in islice(self._events, max(seq + 1 - self._events[0][0].seq, 0), None):
                yield event

    def since(self, arrived: float) -> list[LogEvent]:
        """Return the events that came at or after that moment of the monotonic clock."""
        young = []
        for event, moment in reversed(self._events):
            if moment < arrived:
                break
            young.append(event)
        return young[::-1]


class ReaderQueue:
    """A bounded queue of live events behind a filter.

    since: logs stamped before are not the reader's, unless they were stored after ``joined``.
    done: the number of the last live event that was taken (-1: none); everything wanted before it was sent, too.
    runs: the flow runs of its deployments; None where it has none.
    overflowed: from when on the list has to be read, because the queue was dropped; None while it was not.
    """

    def __init__(self, shared: SharedFilter, size: int, since: datetime, joined: datetime) -> None:
        self._filter = shared
        self._size = size
        self._joined = joined
        self._queue: list[LogEvent] = []
        self._early: list[LogEvent] = []  # what came before the queue began, and may not be listed yet
        self._collecting = True
        self._listed = Listed()
        self.since = since
        self.done = -1
        self.runs: set[str] | None = None
        self.overflowed: datetime | None = None
        self.overflows = 0

    def __len__(self) -> int:
        return len(self._early) + len(self._queue)

    def wants(self, log: Log) -> bool:
        """Return whether it is chosen, and not one of those stored before the reader's time."""
        return self._filter.matches(log) and self._is_ours(log)

    def _is_ours(self, log: Log) -> bool:
        if self.runs is not None and log.data.get("flow_run_id") not in self.runs:
            return False
        if log.timestamp >= self.since:
            return True
        created = log.created
        return created is None or created >= self._joined

    def offer(self, events: list[LogEvent]) -> bool:
        """Take live events, in order; return whether any was of interest. A full queue is dropped.

        One batch may go beyond the size: who takes at once shall not fall behind by one burst.
        """
        if not self._collecting:
            return False
        wanted, oldest = self._filter.select(events)
        if oldest is not None and (oldest < self.since or self.runs is not None):
            wanted = [event for event in wanted if self._is_ours(event.log)]
        if not wanted:
            return False
        if len(self._queue) >= self._size:
            self.overflowed = self._queue[0].cursor.low
            self._queue = []
            self._collecting = False
            self.overflows += 1
        else:
            self._queue += wanted
        return True

    def resume(self, ring: Ring, seq: int) -> None:
        """Go on behind the event of that number."""
        self.done = seq
        self._early = [event for event in ring.behind(seq) if self.wants(event.log)]

    def follow(self, runs: Iterable[UUID]) -> None:
        """Want only these flow runs."""
        self.runs = {str(run) for run in runs}
        self._early = [event for event in self._early if self.wants(event.log)]

    def begin_listing(self, listing: Listing, young: Iterable[LogEvent]) -> frozenset[str]:
        """Collect from here on, and those ``young`` ones that the list may not show yet; called before a list is read.

        The ids of what waits already: what the list shows of it must not be sent twice.
        """
        self._collecting = True
        first = self._queue[0].seq if self._queue else None
        known = {event.seq for event in self._early}
        for event in young:
            if first is not None and event.seq >= first:
                break
            unsent = event.seq > self.done if listing.runs is None else event.log.flow_run_id in listing.runs
            if unsent and event.seq not in known and self.wants(event.log):
                self._early.append(event)
        return frozenset(event.log.id_text for event in (*self._early, *self._queue))

    def is_unsent(self, log: Log, listing: Listing, ring: Ring) -> bool:
        """Return whether a listed row is wanted and was not sent yet, as far as is known."""
        if not self.wants(log) or log.id_text in self._listed:
            return False
        if listing.runs is not None:
            return log.flow_run_id in listing.runs
        seq = ring.seq_of(log.id_text)
        return seq is None or seq > self.done

    def sent(self, log: Log) -> None:
        """Remember a listed row that may come live as well."""
        self._listed.add(log)

    def take(self, low: Callable[[], datetime]) -> list[LogEvent]:
        """Return what waits, without what was listed. ``low`` tells up to when the sequence is complete."""
        waiting = self._early + self._queue
        self._early, self._queue = [], []
        if waiting:
            self.done = max(self.done, waiting[-1].seq)
        if self._listed:
            waiting = [event for event in waiting if event.log.id_text not in self._listed]
            self._listed.settle(low())
        return waiting

    def close(self) -> None:
        """Keep nothing, take nothing more."""
        self._early, self._queue = [], []
        self._collecting = False
