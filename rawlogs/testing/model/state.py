"""The modelled server's state: what is stored, who is subscribed, what time it is. No socket."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from rawlogs.clock import Clock
from rawlogs.log_values import micros, rfc3339
from rawlogs.testing.model import events
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.logs import Entry, LogStore, in_utc, uuid7
from rawlogs.testing.model.runs import RunStore
from rawlogs.testing.model.schemas import LogCreate
from rawlogs.testing.model.subscriptions import Outgoing, Subscriptions

LogLike = Mapping[str, Any] | str
LOGS = TypeAdapter(list[LogCreate])


class ServerState:
    """One server's state. A restart keeps what is stored and ends the subscriptions."""

    def __init__(self, behaviour: Behaviour, clock: Clock, rng: random.Random) -> None:
        self.behaviour = behaviour
        self.rng = rng
        self.logs = LogStore()
        self.log_subscribers = Subscriptions[Entry](lambda entry: Outgoing(entry.id, entry.frame()))
        self.runs = RunStore(self.now, self.new_id)
        self.events: list[events.Event] = []
        self.event_subscribers = Subscriptions[events.Event](events.outgoing)
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._ingesting: set[asyncio.Task[None]] = set()
        self._watchers: set[asyncio.Event] = set()

    def now(self) -> datetime:
        """Return the time on the server's clock."""
        return self._clock.now() + timedelta(seconds=self.behaviour.clock_skew)

    def new_id(self) -> UUID:
        """Return a new id that carries the server's time."""
        return uuid7(self.now(), self.rng)

    def entries(self, logs: Iterable[LogLike], defaults: Mapping[str, Any] | None = None) -> list[Entry]:
        """Turn a sender's logs into rows: with ids, dates and normalised times.

        A str is a message. Unlike Prefect's API this takes an ``id``. Raises pydantic's ValidationError.
        """
        given = []
        for log in logs:
            fields: dict[str, Any] = {"name": "prefect.flow_runs", "level": 20, "timestamp": self.now()}
            own = {"message": log} if isinstance(log, str) else log
            given.append({**fields, **(defaults or {}), **own})
        ids = [fields.pop("id", None) for fields in given]  # the API's own schema rejects it
        return [self._entry(log, id) for log, id in zip(LOGS.validate_python(given), ids, strict=True)]

    def _entry(self, log: LogCreate, id: object) -> Entry:
        created = rfc3339(self.now())
        # Postgres cannot store NUL in a text.
        strip = self.behaviour.strips_nul
        row = {
            "id": str(id or self.new_id()),
            "created": created,
            "updated": created,
            "name": log.name.replace("\0", "") if strip else log.name,
            "level": log.level,
            "message": log.message.replace("\0", "") if strip else log.message,
            "timestamp": rfc3339(in_utc(log.timestamp)),
            "flow_run_id": log.flow_run_id and str(log.flow_run_id),
            "task_run_id": log.task_run_id and str(log.task_run_id),
        }
        return Entry(row, micros(log.timestamp), rfc3339(log.timestamp))

    def ingest(self, entries: Sequence[Entry]) -> None:
        """Publish and store the logs of one POST, in parts as Prefect does: the first now, a task does the rest."""
        size = self.behaviour.batch
        self._ingest_part(entries[:size])
        if len(entries) > size:
            task = self.spawn(self._ingest_rest(entries[size:]))
            self._ingesting.add(task)
            task.add_done_callback(self._ingesting.discard)

    async def ingested(self) -> None:
        """Wait until all parts of all POSTs are ingested."""
        if self._ingesting:
            await asyncio.wait(self._ingesting)

    async def _ingest_rest(self, entries: Sequence[Entry]) -> None:
        size = self.behaviour.batch
        for start in range(0, len(entries), size):
            for _ in range(3):  # stands for the database's write, during which the senders run
                await asyncio.sleep(0)
            self._ingest_part(entries[start : start + size])

    def _ingest_part(self, entries: Sequence[Entry]) -> None:
        self.publish(entries)
        delay = self.behaviour.commit_delay
        if delay == 0.0:  # in this turn: the answer to a POST comes after its logs are stored
            self.store(entries)
        elif delay is not None:  # None: the transaction is rolled back
            self.spawn(self._store_later(entries, delay))

    async def _store_later(self, entries: Sequence[Entry], delay: float) -> None:
        await asyncio.sleep(delay)
        self.store(entries)

    def publish(self, entries: Iterable[Entry]) -> None:
        """Offer logs to the subscribers without storing them."""
        if self.behaviour.streaming and self.behaviour.publishing:
            self.log_subscribers.publish(entries)

    def store(self, entries: Iterable[Entry]) -> None:
        """Make logs readable over REST without publishing them."""
        self.logs.add(entries)
        self.changed()

    def set_state(self, run_id: str, type: str, name: str | None, message: str | None) -> None:
        """Move a flow run to a state, and store and publish the event of it. Raises KeyError for an unknown run."""
        run = self.runs.flow_runs[run_id]
        previous = self.runs.set_state(run, type, name, message)
        event = events.run_event(run, previous)
        event |= {"related": self.runs.related(run), "id": str(self.new_id())}
        event["follows"] = events.latest(self.events, run_id) if previous else None
        event["received"] = rfc3339(self.now())
        self.events.append(event)
        if self.behaviour.events:
            self.event_subscribers.publish([event])
        self.changed()

    def changed(self) -> None:
        """Let every waiting ``until`` check its condition again."""
        # One event for each: a condition that still fails clears its own alone.
        for watcher in self._watchers:
            watcher.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is checked after every ``changed()``."""
        watcher = asyncio.Event()
        self._watchers.add(watcher)
        try:
            while not condition():
                watcher.clear()
                await watcher.wait()
        finally:
            self._watchers.discard(watcher)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a task that is cancelled when the server stops."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel the tasks that still run."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
