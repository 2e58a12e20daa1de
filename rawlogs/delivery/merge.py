"""Where live and listed logs meet: each is deduplicated, filtered, counted and queued here, and nowhere else.

A live batch never waits: it is delivered, held back while older logs are listed, or dropped where the reader is slower;
then the ledger is told to list its range again. A listed page waits for room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rawlogs.batch import Batch
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.outbox import Outbox
from rawlogs.models import END, MICROSECOND, Log
from rawlogs.seen import SeenIds
from rawlogs.seen import seconds as moment

MANY = 200
"""So many live logs within a second, and the server's queue for this subscriber may have overflowed."""
QUEUE = 256
"""What that queue holds (all versions to 3.9.1); beyond it logs are dropped without a word."""
HOLD = 1.9
"""Seconds that live logs wait for a list that brings nothing; then they are delivered first, within 2 s."""
LATE_PAUSE = 5.0
"""Late logs seldom come alone: one list for those of some seconds."""
EARLY = 0.4
"""Seconds: when the server's queue was full within a second, logs are most likely lost; list soon, and again later."""
TAIL_PART = 1000
"""Logs that are queued at once of a long tail."""
RETENTION = timedelta(seconds=600)
"""How long an id is kept after its log was delivered; rows stored longer ago and long final were delivered before."""
DOUBT = timedelta(seconds=30)
"""Arrivals are dated here and rows by the server: an id is kept for longer than its row is doubted."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Which listed rows are the stream's own: created since it ``started``, or stamped at ``since`` or later.

    since: None: nothing that was stored before the start.
    started: by the server's clock; where that is not known exactly, the earliest moment that it can have been.
    before: ids of rows that the first answer showed, which are not the stream's where ``started`` is not exact.
    """

    started: datetime
    since: datetime | None = None
    before: frozenset[str] = frozenset()

    def owns(self, log: Log) -> bool:
        if self.since is not None and log.timestamp >= self.since:
            return True
        created = log.created
        # Every server sends `created` over REST; where one does not, the timestamp is the next best.
        return (created or log.timestamp) >= self.started and log.id_text not in self.before


class Bursts:
    """Counts live logs by the second."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._count = 0
        self.oldest: datetime | None = None
        """The smallest timestamp of the present second's logs; None before the first."""

    def note(self, now: float, count: int, oldest: datetime) -> Literal["calm", "many", "full"]:
        """Count logs that came at ``now`` (monotonic seconds). Return "full" for what fills the server's queue."""
        if self.oldest is None or now - self._began > 1.0:
            self._began, self._count, self.oldest = now, 0, oldest
        self._count += count
        self.oldest = min(self.oldest, oldest)
        return "full" if self._count >= QUEUE else "many" if self._count >= MANY else "calm"


class Merger:
    """Two inputs, ``live`` and ``listed``, and one output, ``take``. ``now`` is the server's time."""

    def __init__(self, context: StreamContext, outbox: Outbox, seen: SeenIds) -> None:
        self._options, self._subscription = context.options, context.subscription
        self._notifier = context.notifier
        self._ledger, self._schedule, self._stats = context.ledger, context.schedule, context.stats
        self._clock, self._now = context.clock, context.now
        self._outbox = outbox
        self._bursts = Bursts()
        self.beginning = Beginning(context.clock.now(), context.options.since)
        """Decides which listed rows are the stream's own; ``Start`` knows better once a list has answered."""
        self._held: list[Batch] = []
        self._holding = asyncio.Event()
        self._hold_until = 0.0
        self.seen = seen
        self.received = 0
        """Live logs so far, delivered or not."""

    # Live

    def live(self, batch: Batch) -> None:
        """Take what the socket brought. Never waits."""
        count = len(batch.ids)
        if not count:
            return
        self.received += count
        self._watch_rate(batch, count)
        if not self._holding.is_set():
            self._deliver(batch)
            return
        self._held.append(batch)
        if sum(map(len, self._held)) > self._options.buffer:
            held, self._held = self._held, []
            self._drop(Batch.joined(held))

    def hold(self, at_most: float = HOLD) -> None:
        """Keep live logs back until ``release``, or until nothing was listed for so many seconds."""
        self._hold_until = self._clock.monotonic() + at_most
        self._holding.set()

    def release(self) -> None:
        """Deliver what was held back."""
        self._holding.clear()
        held, self._held = self._held, []
        for batch in held:
            self._deliver(batch)

    async def end_holds(self) -> None:
        """Release live logs when a hold has lasted long enough, whatever else hangs. Runs beside, until cancelled."""
        while True:
            await self._holding.wait()
            left = self._hold_until - self._clock.monotonic()
            if left > 0:
                await self._clock.sleep(left)
            elif self._outbox.full:
                await self._clock.sleep(HOLD)  # released now, they would be dropped
            else:
                self.release()

    def _deliver(self, batch: Batch) -> None:
        if self._outbox.full:
            self._drop(batch)
            return
        new = self._new(batch)
        self._stats.duplicates += len(batch.ids) - len(new.ids)
        if not new.ids:
            return
        # With `live_only` there is no list in which others could be looked for.
        if self._subscription.rest is not None and self._ledger.mark_late(new.oldest):
            age = (self._now() - new.oldest).total_seconds()
            text = f"a log came {age:.0f} s after its timestamp"
            self._notifier.say_once("late", "late", text, stamp=new.oldest)
            self._schedule.suspect(pause=LATE_PAUSE)
        accepted = self._accepted(new)
        self._stats.live += len(accepted.ids)
        self._outbox.put(accepted)

    def _new(self, batch: Batch) -> Batch:
        """Return the logs of a batch that had not been delivered; from now on they have been."""
        return batch.keep(self.seen.admit_batch(batch, lambda: self._now().timestamp()))

    def _drop(self, batch: Batch) -> None:
        """Forget logs for which there is no room, as the reader is slower; their range is listed when there is some."""
        self._stats.overflows += 1
        for after, before in _clusters(batch.seconds, self._options.overlap):
            self._ledger.mark_unread(after, before)
        if self._subscription.rest is None:
            text = f"the reader is slower than the stream: {len(batch)} logs lost"
            self._notifier.notify("behind", text, lost=len(batch))
            return
        text = "the reader is slower than the stream; the rest is listed when there is room"
        self._notifier.say_once("behind", "behind", text)
        self._schedule.catch_up_now()

    def _watch_rate(self, batch: Batch, count: int) -> None:
        """Suspect a loss where many logs come at once, from the oldest timestamp among them on."""
        rate = self._bursts.note(self._clock.monotonic(), count, batch.oldest)
        oldest = self._bursts.oldest
        if rate == "calm" or oldest is None or self._subscription.rest is None:
            return
        frontier = self._ledger.frontier
        # A POST of thousands is streamed seconds after its timestamps, which a list may have passed by then.
        if oldest < frontier and not self._ledger.mark_late(oldest):
            self._ledger.mark_unread(oldest, frontier)
        # Followed runs are read again at their end, so a second list in between is not worth its requests.
        early = rate == "full" and not self._options.keep_ids
        self._schedule.suspect(soon=EARLY if early else None)

    # Listed

    async def listed(self, page: Batch) -> int:
        """Take a page of the list, as soon as there is room. Return how many of its rows are new and the stream's own.

        A caller that is cancelled meanwhile has delivered nothing of it.
        """
        if self._holding.is_set():
            self.hold()  # it moves on: live logs may wait a while longer
        own = page.keep([n for n, log in enumerate(page) if self._owns(log)])
        if all(log in self.seen for log in own):
            return 0
        if not self._outbox.roomy:
            await self._outbox.room()
        new = self._new(own)  # live logs may have come while it waited
        accepted = self._accepted(new)
        self._stats.recovered += len(accepted)
        self._outbox.put(accepted)
        return len(new)

    def is_earlier(self, log: Log) -> bool:
        """Return whether a stored log is not the stream's own but could be of the ``tail``: it passes every filter."""
        return not self.beginning.owns(log) and bool(self._accepted(Batch([log])))

    async def deliver_tail(self, logs: list[Log]) -> None:
        """Deliver the newest logs that were stored before the start."""
        for first in range(0, len(logs), TAIL_PART):
            if self._holding.is_set():
                self.hold()
            await self._outbox.room()
            part = self._new(Batch(logs[first : first + TAIL_PART]))
            self._stats.recovered += len(part)
            self._outbox.put(part)

    def prune(self) -> None:
        """Forget the ids of rows that no list can return any more, and those that ``_owns`` recognizes without them."""
        if not self._options.keep_ids:
            now = self._now()
            self.seen.forget(self._ledger.low_water, now - RETENTION - DOUBT, now.timestamp())

    def _owns(self, log: Log) -> bool:
        return self.beginning.owns(log) and not self._delivered_earlier(log)

    def _delivered_earlier(self, log: Log) -> bool:
        """Return whether a row whose id is not known was delivered so long ago that the id was forgotten."""
        created = log.created
        # Ids are only forgotten below the low-water mark (``prune``). Without ``created`` nothing can be told.
        if log.timestamp >= self._ledger.low_water or created is None:
            return False
        if self._options.keep_ids:  # then only for want of room
            forgotten = self.seen.forgotten
            return forgotten is not None and created.timestamp() < forgotten
        # A row that the stream has not listed since it began cannot have been delivered and forgotten.
        return created < self._now() - RETENTION

    # Out

    def _accepted(self, batch: Batch) -> Batch:
        """Return the logs that pass what is decided here, the same for live and listed ones."""
        until, selection = self._options.until, self._subscription.selection
        if until is None and not selection.local:
            return batch
        limit = until or END
        passed = [n for n, log in enumerate(batch) if log.timestamp <= limit and selection.accepts(log)]
        return batch.keep(passed)

    async def room(self) -> None:
        """Wait until half of the queue is free."""
        await self._outbox.room()


def _clusters(seconds: Sequence[float], gap: float) -> list[tuple[datetime, datetime]]:
    """Return ranges that hold these timestamps, cut where none is for ``gap`` seconds: one clock may be wrong."""
    ordered = sorted(seconds)
    found: list[tuple[datetime, datetime]] = []
    first = last = ordered[0]
    for second in [*ordered[1:], float("inf")]:
        if second - last > gap:
            found.append((moment(first), moment(last) + MICROSECOND))
            first = second
        last = second
    return found
