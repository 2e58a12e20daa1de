"""One reader of a hub: its query, its bounded queue, and how it is caught up from the list when that overflows.

    joins -> lists its backlog -> LIVE <-> behind: what waits is dropped, a gap is told, the list is read

The hub only ever appends to the queue. Everything else happens in ``batches()``, at the pace of whoever iterates:
lists are read no faster than they are sent, and a reader that sleeps costs nothing but its queue.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from rawlogs.backoff import delay
from rawlogs.errors import AuthError, RawlogsError
from rawlogs.models import Log
from rawlogs.relay.cursor import END_PLACE, Cursor
from rawlogs.relay.events import EndEvent, Event, GapEvent, LogEvent, StateEvent
from rawlogs.relay.listing import MOST_LISTED_RUNS, Listing, read
from rawlogs.relay.query import LEAD, earliest
from rawlogs.relay.queue import ReaderQueue, Ring
from rawlogs.relay.rounds import Round, Rounds, bounded
from rawlogs.relay.source import SLOW, NotKept
from rawlogs.runs.follower import STRAGGLERS
from rawlogs.waiting import wait_until_set

if TYPE_CHECKING:
    from rawlogs.clock import Clock
    from rawlogs.relay.dispatch import FilterCache
    from rawlogs.relay.query import Query
    from rawlogs.relay.source import Source, Trouble
    from rawlogs.rest.flow_runs import FlowRun
    from rawlogs.selection import Selection

COMMIT = 10.0
"""A log may be streamed before it can be listed (Prefect publishes first, then stores): for so many seconds."""
AGAIN = 1.0
"""Seconds between two sweeps of runs that have ended."""

TROUBLES: dict[Trouble, str] = {
    "unreachable": "Prefect cannot be reached; it is tried again, and what is missed is sent then",
    "denied": "Prefect refuses this relay; somebody has to look at its settings",
    "failed": "the logs cannot be read; it is tried again, and what is missed is sent then",
}


@dataclass(frozen=True, slots=True)
class Feed:
    """What a hub gives to each of its readers.

    queue: events that may wait for one reader. low: returns the moment before which every log was handed to the
    readers. leave: called once by a reader that is closed.
    """

    source: Source
    ring: Ring
    rounds: Rounds
    filters: FilterCache
    queue: int
    clock: Clock
    rng: random.Random
    low: Callable[[], datetime]
    leave: Callable[[Reader], None]


class Reader:
    """Made by ``Hub.join``. Iterate over ``batches()`` once; closing the iterator, or ``close()``, leaves the hub.

    ``cursor`` is the position behind what has been taken so far: all of a batch counts as taken when the next one is
    asked for. ``ended``: whether an ``EndEvent`` was sent.
    """

    def __init__(self, feed: Feed, query: Query, selection: Selection, cursor: Cursor | None) -> None:
        self._feed = feed
        self._clock = feed.clock
        self.query = query
        self._selection = selection
        if cursor is None and query.resumes is not None:
            cursor = Cursor(query.resumes)
        now = feed.source.now()
        self._queue = ReaderQueue(
            feed.filters.get(query, selection), feed.queue, earliest(query, cursor, now), now - LEAD
        )
        self._todo: list[Listing] = []
        self._notes: list[Event] = []
        self._gap: GapEvent | None = None
        self._not_kept: GapEvent | None = None
        self._trouble: Trouble | None = None
        self._recovered = 0
        self._failures = 0
        self._wake = asyncio.Event()
        self._leaving = asyncio.Event()
        self._iterating = self._out = self._quiet = False
        self._states: dict[UUID, FlowRun] = {}
        self._ended_at: float | None = None
        self._looked: datetime | None = None
        self.ended = False
        self.watched_runs = frozenset(query.flow_run_id)
        self.watched_deployments: tuple[UUID, ...] = ()
        self._cursor = self._start(cursor)
        self.watched_since = self._queue.since

    # Joining and leaving

    def _start(self, cursor: Cursor | None) -> Cursor:
        """Return where to begin: at a cursor's place, at its moment, with a backlog, or now."""
        query, ring = self.query, self._feed.ring
        since = self._queue.since
        if cursor is not None:
            seq = ring.seq_at(cursor.place)
            if seq is not None:
                self._queue.resume(ring, seq)
            else:
                self._todo.append(Listing("backlog", since))
            return cursor
        if query.tail != 0 and (query.tail or query.since is not None):
            self._todo.append(Listing("backlog", since, tail=query.tail))
        return Cursor(self._feed.source.now() - LEAD if query.tail else since)

    def follow(self, deployments: tuple[UUID, ...], runs: Iterable[UUID], looked: datetime) -> None:
        """Want only the runs of these deployments, which are ``runs`` at that moment; called before reading."""
        self.watched_deployments = deployments
        self._looked = looked
        self._queue.follow(runs)

    @property
    def cursor(self) -> Cursor | None:
        """Return where a reader that comes back goes on; moves on with the upstream also while nothing is sent.

        None before a ``tail`` was sent: then it has to be asked for once more.
        """
        if self._todo and self._todo[0].tail is not None:
            return None
        feed = self._feed
        # While something waits, or was handed out and not taken yet, the hub's mark is beyond what this reader has.
        if self._level and not self._queue and not self._out:
            low = max(self._bounded(feed.low()), self._cursor.low)
            return Cursor(low, self._cursor.log_id, feed.ring.place or self._cursor.place)
        return self._cursor

    @property
    def waiting(self) -> int:
        """Return how many events are in the queue."""
        return len(self._queue)

    @property
    def overflows(self) -> int:
        """Return how often the queue was full, and dropped."""
        return self._queue.overflows

    @property
    def _level(self) -> bool:
        return not self._todo and self._queue.overflowed is None

    def close(self) -> None:
        """Leave the hub; the iteration ends."""
        if not self._leaving.is_set():
            self._leaving.set()
            self._queue.close()
            self._feed.leave(self)
            self._wake.set()

    # What the hub tells

    def indexed(self) -> Iterable[str] | None:
        """Return the flow runs that alone can match; None where any may."""
        part = self._selection.wire.get("flow_run_id")
        return part["any_"] if part is not None else None

    def offer(self, events: list[LogEvent]) -> None:
        """Take live events, in order; never wait."""
        if self._queue.offer(events):
            self._wake.set()

    def tell_trouble(self, trouble: Trouble | None, retry: float | None) -> None:
        """Note that the upstream stands still, or goes on."""
        if trouble == self._trouble:
            return
        if trouble is None:
            self._notes.append(GapEvent(self.cursor, "upstream", False, "the upstream goes on"))
        else:
            self._notes.append(
                GapEvent(
                    self.cursor,
                    "upstream",
                    True,
                    TROUBLES[trouble],
                    since=self._cursor.low,
                    retry=retry,
                    trouble=trouble,
                )
            )
        self._trouble = trouble
        self._wake.set()

    def tell_state(self, run: FlowRun) -> None:
        known = self._states.get(run.id)
        self._states[run.id] = run
        if known is None or (known.state_type, known.state_name) != (run.state_type, run.state_name):
            self._notes.append(
                StateEvent(self.cursor, str(run.id), run.name, run.state_type, run.state_name, run.terminal)
            )
        states = self._states
        if all(run in states and states[run].terminal for run in self.watched_runs):
            if self._ended_at is None:
                self._ended_at = self._clock.monotonic() - self._age_of_end()
        else:
            self._ended_at, self._quiet = None, False
        self._wake.set()

    def tell_runs(self, runs: Iterable[UUID], looked: datetime) -> None:
        known = self._queue.runs
        if known is None:
            return
        self._looked = looked
        new = frozenset(run for run in runs if str(run) not in known)
        if new:
            known |= {str(run) for run in new}
            self._todo.append(Listing("runs", self._queue.since, runs=new))
            self._wake.set()

    def _age_of_end(self) -> float:
        ends = [run.end_time for run in self._states.values() if run.end_time is not None]
        return max((self._feed.source.now() - max(ends)).total_seconds(), 0.0) if ends else 0.0

    # The reader's side

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """Yield events as they come, in lists that are never empty; end after an ``EndEvent`` and on ``close()``."""
        async with aclosing(self.rounds()) as rounds:
            async for events in rounds:
                yield list(events)

    async def rounds(self) -> AsyncGenerator[Round, None]:
        """Yield what ``batches`` does, as rounds that readers share: for who passes on their bytes."""
        if self._iterating:
            raise RuntimeError("a reader is iterated over once; join the hub again")
        self._iterating = True
        try:
            async with aclosing(self._steps()) as steps:
                async for events in steps:
                    if events:
                        self._out = True
                        yield events if isinstance(events, Round) else Round(events)
                        self._out = False
                        self._cursor = events[-1].cursor or self._cursor
        finally:
            self.close()

    async def _steps(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yield what comes first: news, what the list has, what was dropped, what waits."""
        while not self._leaving.is_set():
            if self._notes:
                yield self._news()
            elif self._todo:
                async with aclosing(self._list(self._todo[0])) as lists:
                    async for events in lists:
                        yield events
            elif self._queue.overflowed is not None:
                yield self._fall_behind(self._bounded(self._queue.overflowed))
            elif self._queue:
                yield self._own(self._queue.take(self._feed.low))
            elif self._gap is not None:
                # Only here, where nothing waits any more: the gap is closed when its last log was sent.
                yield self._catch_up(self._gap)
            elif self._quiet:
                # The runs have ended, and a sweep of the list has brought nothing more of them.
                self.ended = True
                place = Cursor(self._cursor.low, self._cursor.log_id, END_PLACE)
                yield [EndEvent(place, {str(run): state.state_type for run, state in self._states.items()})]
                return
            elif self._sweep_due():
                self._todo.append(Listing("sweep", self._bounded(self._feed.low())))
            else:
                await self._wait()

    def _news(self) -> list[Event]:
        notes, self._notes = self._notes, []
        return notes

    def _own(self, events: list[LogEvent]) -> Sequence[Event]:
        """Return the events, with this reader's bounds in their cursors; in the long run those that all share."""
        return self._feed.rounds.get(events, self._queue.since, self._looked) if events else ()

    def _bounded(self, low: datetime) -> datetime:
        """Return ``low``, not before the reader's time, and not behind a deployment's run that is not known yet."""
        return bounded(low, self._queue.since, self._looked)

    def _fall_behind(self, since: datetime) -> list[Event]:
        self._queue.overflowed = None
        self._todo.append(Listing("gap", since))
        # It was told already, and is not closed yet: the second overflow belongs to the same gap.
        if self._gap is not None:
            return []
        self._recovered = 0
        text = "this reader is too slow; what it missed is listed now"
        self._gap = GapEvent(self.cursor, "behind", True, text, since=since)
        return [self._gap]

    def _catch_up(self, gap: GapEvent) -> list[Event]:
        self._gap = None
        text = "all that was missed has been sent"
        return [GapEvent(self._cursor, gap.reason, False, text, since=gap.since, recovered=self._recovered)]

    def _sweep_due(self) -> bool:
        return self._ended_at is not None and self._clock.monotonic() >= self._ended_at + STRAGGLERS

    async def _wait(self) -> None:
        self._wake.clear()
        seconds = None
        if self._ended_at is not None:
            seconds = max(self._ended_at + STRAGGLERS - self._clock.monotonic(), 0.0)
        await wait_until_set(self._wake, seconds)

    # The list

    async def _list(self, listing: Listing) -> AsyncGenerator[list[Event], None]:
        """Read one listing to its end; live events are collected meanwhile."""
        feed, queue, selection = self._feed, self._queue, self._selection
        early = queue.begin_listing(listing, feed.ring.since(self._clock.monotonic() - COMMIT))
        floor, stored = feed.low(), feed.source.now() - timedelta(seconds=COMMIT)
        began = listing.after
        runs = listing.runs if listing.runs is not None else queue.runs
        if runs is not None and len(runs) <= MOST_LISTED_RUNS:
            selection = selection.with_runs(UUID(str(run)) for run in runs)

        def chosen(log: Log) -> bool:
            return queue.is_unsent(log, listing, feed.ring)

        async with aclosing(read(feed.source, selection, listing, chosen)) as outcomes:
            async for outcome in outcomes:
                if isinstance(outcome, NotKept):
                    yield self._history_short(outcome, listing, began)
                    continue
                if isinstance(outcome, RawlogsError):
                    retry = self._retry(outcome)
                    yield self._history_off(outcome, retry)
                    await self._pause(retry)
                    if self._leaving.is_set():
                        return
                    continue
                yield self._history_on()
                yield self._news()
                for log in outcome:
                    young = log.created is None or log.created >= stored
                    if log.timestamp >= floor or young or log.id_text in early:
                        queue.sent(log)
                listing.brought += len(outcome)
                position = self._cursor.low if listing.runs is not None else floor
                yield [
                    LogEvent(log, Cursor(self._no_later(min(log.timestamp, position)), log.id_text))
                    for log in outcome
                ]
                if listing.tail is not None and len(outcome) == listing.tail and outcome:
                    queue.since = outcome[0].timestamp
        self._listed_all(listing, floor)

    def _listed_all(self, listing: Listing, floor: datetime) -> None:
        self._todo.remove(listing)
        if listing.why == "gap":
            self._recovered += listing.brought
        elif listing.why == "sweep" and self._ended_at is not None:
            # What a sweep still brought may not have been the last: look once more after a while.
            self._quiet = not listing.brought
            self._ended_at = self._clock.monotonic() - STRAGGLERS + AGAIN
        if listing.runs is None:
            self._cursor = Cursor(
                max(self._bounded(floor), self._cursor.low), self._cursor.log_id, self._cursor.place
            )

    def _no_later(self, low: datetime) -> datetime:
        return low if self._looked is None else min(low, self._looked)

    def _retry(self, error: RawlogsError) -> float:
        self._failures += 1
        floor = getattr(error, "retry_after", None) or 0.0
        transient = not isinstance(error, AuthError) and getattr(error, "transient", True)
        return delay(self._failures, floor if transient else max(floor, SLOW), self._feed.rng)

    def _history_off(self, error: RawlogsError, retry: float) -> list[Event]:
        if self._failures > 1:
            return []
        trouble: Trouble = "denied" if isinstance(error, AuthError) else "unreachable"
        since = self._todo[0].after
        return [
            GapEvent(
                self.cursor, "history", True, TROUBLES[trouble], since=since, retry=retry, trouble=trouble
            )
        ]

    def _history_short(self, error: NotKept, listing: Listing, began: datetime) -> list[Event]:
        """Tell that the list has less than was asked for. It stays so: neither gap is ever said to be closed."""
        self._failures = 0
        if listing.why == "gap":
            self._gap = None
        self._not_kept = GapEvent(self.cursor, "history", True, error.text, since=began)
        return [self._not_kept]

    def _history_on(self) -> list[Event]:
        if not self._failures:
            return []
        self._failures = 0
        if self._not_kept is not None:
            return [replace(self._not_kept, cursor=self.cursor)]
        return [GapEvent(self.cursor, "history", False, "the list answers again")]

    async def _pause(self, seconds: float) -> None:
        await wait_until_set(self._leaving, seconds)
