"""The hub: one upstream for as long as somebody reads, and what it yields to every reader that wants it.

The upstream is opened with the first reader and closed ``linger`` seconds after the last one has left. The hub never
waits for a reader. With many readers it hands on what came in pulses, so that a reader is woken a few times a second
and not once for each log.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rawlogs.backoff import delay
from rawlogs.batch import Batch
from rawlogs.clock import Clock, SystemClock
from rawlogs.errors import AuthError, ConfigError, GaveUp, RawlogsError
from rawlogs.relay.cursor import Cursor
from rawlogs.relay.dispatch import FilterCache, SubscriberIndex
from rawlogs.relay.events import LogEvent, encoded
from rawlogs.relay.prefect import PrefectSource
from rawlogs.relay.query import BadQuery, Query, earliest
from rawlogs.relay.queue import Ring
from rawlogs.relay.reader import Feed, Reader
from rawlogs.relay.rounds import Rounds
from rawlogs.relay.source import SLOW, Source, SourceBatch, Trouble
from rawlogs.relay.unexpected import UnexpectedErrors
from rawlogs.relay.watch import RunWatch
from rawlogs.seen import SeenIds

OVERLAP = timedelta(seconds=60)
"""How far before its first reader the sequence begins: logs may be readable so long after their timestamp."""
KEEP = timedelta(seconds=600)
PULSE = 0.0003
"""Seconds between two rounds for each reader there is, and at most ``LONGEST_PULSE`` in all.

Most of what a delivery costs is the system call that sends a round to one reader, whatever the round's size.
"""
LONGEST_PULSE = 0.3
SHORTEST_PULSE = 0.005
"""With so few readers nothing has to wait."""


class Hub:
    """One for each workspace and process; it belongs to the event loop in which it is first joined.

    source: where the logs come from; None: the Redis of RAWLOGS_REDIS_URL where that is set, else
        ``PrefectSource(**access)``, by Prefect's own settings.
    linger: seconds that the upstream outlives its last reader.
    queue: events that wait for a slow reader before they are dropped and listed instead.
    ring: how many of the youngest logs are kept for readers that come back.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        linger: float = 10.0,
        queue: int = 1000,
        ring: int = 20_000,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        **access: Any,
    ) -> None:
        if source is not None and access:
            raise ConfigError(f"give either a source or {', '.join(sorted(access))}", setting="source")
        for name, value in (("queue", queue), ("ring", ring)):
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1", setting=name)
        self.clock: Clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self.source: Source = source or _own_source(clock, access)
        self.queue = queue
        self._linger = linger
        self._ring = Ring(ring)
        self._rounds = Rounds()
        self._readers: SubscriberIndex[Reader] = SubscriberIndex()
        self._feed = Feed(
            source=self.source,
            ring=self._ring,
            rounds=self._rounds,
            filters=FilterCache(),
            queue=queue,
            clock=self.clock,
            rng=self._rng,
            low=lambda: self.low,
            leave=self._leave,
        )
        self._watch = RunWatch(self.source, clock=self.clock, rng=self._rng)
        self._low: datetime | None = None
        self._seq = 0
        self._pending: list[SourceBatch] = []
        self._pulse: asyncio.Task[None] | None = None
        self._seen = SeenIds()
        self._trouble: tuple[Trouble, float | None] | None = None
        self._failed = False
        self._unexpected = UnexpectedErrors("reading the upstream")
        self._upstream: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def readers(self) -> int:
        """Return how many read now."""
        return len(self._readers)

    @property
    def reading(self) -> bool:
        """Return whether the upstream is open, or being opened."""
        return self._upstream is not None

    @property
    def trouble(self) -> Trouble | None:
        """Return why nothing comes from the upstream; None while it works."""
        return self._trouble[0] if self._trouble else None

    @property
    def low(self) -> datetime:
        """Return the moment before which every log of the sequence has been handed to the readers."""
        # What was taken from the source and waits for the pulse is not complete yet.
        low = self.source.low() if not self._pending else None
        if low is not None and (self._low is None or low > self._low):
            self._low = low
        return self._low if self._low is not None else self.source.now() - OVERLAP

    async def join(self, query: Query | None = None, *, cursor: Cursor | str | None = None) -> Reader:
        """Return a reader for that query, which goes on behind the cursor where one is given.

        Raises BadQuery for what cannot be asked for (a cursor that is none, a deployment that there is not), and only
        where deployments have to be looked up, HistoryError, AuthError and the like.
        """
        query = query or Query()
        if isinstance(cursor, str):
            try:
                cursor = Cursor.parse(cursor)
            except ValueError as error:
                raise BadQuery({"Last-Event-ID": str(error)}) from None
        selection = query.selection()
        deployments = await self._deployments(query)
        looked = self.source.now()
        runs = await self._belonging(deployments, earliest(query, cursor, looked))
        if self._closed:
            raise RawlogsError("the hub is closed")
        # From here on without a pause: what the hub hands on meanwhile must not pass the reader by.
        self._open()
        reader = Reader(self._feed, query, selection, cursor)
        if deployments:
            reader.follow(deployments, runs, looked)
        self._enter(reader)
        return reader

    def _leave(self, reader: Reader) -> None:
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        self._watch.remove(reader)
        self._maybe_end()

    async def close(self) -> None:
        """End all readers' iterations and the upstream."""
        self._closed = True
        for reader in list(self._readers):
            reader.close()
        for task in (self._ending, self._upstream, self._stopping, self._pulse):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._ending = self._upstream = self._pulse = None
        await self._watch.close()
        await self.source.close()

    async def __aenter__(self) -> Hub:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Joining

    async def _deployments(self, query: Query) -> tuple[UUID, ...]:
        if not query.deployment:
            return ()
        runs = self.source.runs()
        if runs is None:
            raise BadQuery({"deployment": "this relay cannot look up deployments"})
        found = []
        for name in query.deployment:
            try:
                found.append(UUID(name))
            except ValueError:
                try:
                    found.append(await runs.deployment(name))
                except ConfigError:
                    # Its hint has the names of other deployments, which are not this reader's to know.
                    raise BadQuery({"deployment": f"there is no deployment {name[:80]!r}"}) from None
        return tuple(found)

    async def _belonging(self, deployments: Iterable[UUID], since: datetime) -> list[UUID]:
        runs = self.source.runs()
        if runs is None:
            return []
        return [run.id for item in deployments for run in await runs.by_deployment(item, since=since)]

    def _enter(self, reader: Reader) -> None:
        self._readers.add(reader, reader.indexed())
        if self._trouble is not None:
            reader.tell_trouble(*self._trouble)
        if reader.watched_runs or reader.watched_deployments:
            self._watch.add(reader)

    # The upstream

    def _open(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._upstream is None:
            # After so long without a reader, the ring is no use and the sequence would begin too far back.
            if self._low is None or self._low < self.source.now() - KEEP:
                self._low = self.source.now() - OVERLAP
                self._ring.clear()
            self._upstream = asyncio.get_running_loop().create_task(self._read())

    def _maybe_end(self) -> None:
        if not self._readers and self._upstream is not None and self._ending is None and not self._closed:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        await self.clock.sleep(self._linger)
        self._stopping, self._upstream = self._upstream, None
        self._ending = self._trouble = None
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)

    async def _read(self) -> None:
        """Read the source for ever; what ends it is told to the readers and tried again."""
        if self._stopping is not None:
            await asyncio.gather(self._stopping, return_exceptions=True)
        failures = 0
        while True:
            count = self._seq
            trouble: Trouble = "failed"
            try:
                async with aclosing(self.source.read(self.low, self._tell)) as batches:
                    async for batch in batches:
                        self._take(batch)
                self._flush()
            except RawlogsError as error:
                trouble = _trouble(error)
                self._flush()
            except Exception as error:  # of a source, or of a user's callback: readers must not wait for ever
                self._unexpected.tell(error)
            # A source that has brought something works again: the pauses begin anew.
            failures = 1 if self._seq > count else failures + 1
            seconds = delay(failures, SLOW if trouble == "denied" else 0.5, self._rng)
            self._failed = True
            self._tell(trouble, seconds)
            await self.clock.sleep(seconds)

    def _tell(self, trouble: Trouble | None, retry: float | None = None) -> None:
        before, self._trouble = self._trouble, (trouble, retry) if trouble is not None else None
        if before is not None or self._trouble is not None:
            for reader in self._readers:
                reader.tell_trouble(trouble, retry)

    def _take(self, batch: SourceBatch) -> None:
        """Hand a batch on, at once or with the next pulse."""
        if self._failed:
            self._failed = False
            self._tell(None)
        # The mark before these logs: from here on the source's own one vouches for what waits for the pulse.
        if not self._pending:
            self._low = self.low
        self._pending.append(batch)
        pulse = min(len(self._readers) * PULSE, LONGEST_PULSE)
        if pulse < SHORTEST_PULSE:
            self._flush()
        elif self._pulse is None:
            self._pulse = asyncio.get_running_loop().create_task(self._flush_after(pulse))

    async def _flush_after(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self._pulse = None
        self._flush()

    def _flush(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        low, pending = self._low, self._pending
        if low is None or not pending:
            return
        logs = Batch.joined(
            batch.logs if isinstance(batch.logs, Batch) else Batch(batch.logs) for batch in pending
        )
        places = [place for batch in pending for place in batch.places]
        self._hand_on(logs, places, low)
        self._pending = []

    def _hand_on(self, logs: Batch, places: list[str], low: datetime) -> None:
        arrived = self.clock.monotonic()
        # A sequence that is read again begins at its low-water mark, so some of it has been handed on.
        now = self.source.now()
        positions = self._seen.admit_batch(logs, now.timestamp)
        if not positions:
            return
        new = logs.keep(positions)
        events = []
        for log, position, json in zip(new, positions, encoded(new), strict=True):
            self._seq += 1
            event = LogEvent(log, Cursor(low, log.id_text, places[position]), self._seq, json)
            self._ring.add(event, arrived)
            events.append(event)
        self._rounds.clear()
        self._readers.offer(events)
        self._seen.forget(low, now - KEEP, now.timestamp())

    def __repr__(self) -> str:
        return f"<Hub readers={self.readers} reading={self.reading} {self.source!r}>"


def _trouble(error: RawlogsError) -> Trouble:
    cause = error.__cause__ if isinstance(error, GaveUp) else error
    if isinstance(cause, AuthError):
        return "denied"
    return "failed" if isinstance(cause, ConfigError) else "unreachable"


def _own_source(clock: Clock | None, access: dict[str, Any]) -> Source:
    if not os.environ.get("RAWLOGS_REDIS_URL"):
        return PrefectSource(clock=clock, **access)
    from rawlogs.relay.redis.source import source_from_environment

    return source_from_environment(clock=clock, **access)
