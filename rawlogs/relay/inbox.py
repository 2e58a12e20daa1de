"""What waits for one reader, and what of it was sent before. Pure: the moments are the hub's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from rawlogs.models import Log
from rawlogs.relay.events import LogEvent
from rawlogs.relay.listing import Listed, Listing
from rawlogs.relay.match import Sieve
from rawlogs.relay.ring import Ring


class Inbox:
    """A bounded queue of live events behind a filter.

    since: logs stamped before are not the reader's, unless they were stored after ``joined``.
    done: the number of the last live event that was taken (-1: none); everything wanted before it was sent, too.
    runs: the flow runs of its deployments; None where it has none.
    overflowed: from when on the list has to be read, because the queue was dropped; None while it was not.
    """

    def __init__(self, sieve: Sieve, size: int, since: datetime, joined: datetime) -> None:
        self._sieve = sieve
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
        """Whether it is chosen, and not one of those stored before the reader's time."""
        return self._sieve.matches(log) and self._is_ours(log)

    def _is_ours(self, log: Log) -> bool:
        if self.runs is not None and log.data.get("flow_run_id") not in self.runs:
            return False
        if log.timestamp >= self.since:
            return True
        created = log.created
        return created is None or created >= self._joined

    def offer(self, events: list[LogEvent]) -> bool:
        """Live events, in order; whether any was of interest. A full queue is dropped.

        One batch may go beyond the size: who takes at once shall not fall behind by one burst.
        """
        if not self._collecting:
            return False
        wanted, oldest = self._sieve.sift(events)
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
        """Only these flow runs."""
        self.runs = {str(run) for run in runs}
        self._early = [event for event in self._early if self.wants(event.log)]

    def attach(self, listing: Listing, young: Iterable[LogEvent]) -> frozenset[str]:
        """Before a list is read: collect from here on, and those ``young`` ones that the list may not show yet.

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

    def lacks(self, log: Log, listing: Listing, ring: Ring) -> bool:
        """Whether a listed row is wanted and was not sent yet, as far as is known."""
        if not self.wants(log) or log.id_text in self._listed:
            return False
        if listing.runs is not None:
            return log.flow_run_id in listing.runs
        seq = ring.seq_of(log.id_text)
        return seq is None or seq > self.done

    def sent(self, log: Log) -> None:
        """A listed row that may come live as well."""
        self._listed.add(log)

    def take(self, low: Callable[[], datetime]) -> list[LogEvent]:
        """What waits, without what was listed. ``low`` tells, where it matters, what the sequence vouches for."""
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
