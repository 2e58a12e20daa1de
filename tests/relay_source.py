"""A source for hubs that tests drive by hand: what is stored, what is sent, what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

from rawlogs.models import Log
from rawlogs.relay import Batch, NotKept, Reader, Tell
from rawlogs.relay.events import Event
from rawlogs.selection import Selection

NOW = datetime(2026, 5, 1, 12, tzinfo=timezone.utc)


def log(message: str, at: float = 0.0, *, run: UUID | None = None, level: int = 20, **more: Any) -> Log:
    """A log stamped that many seconds after NOW; ``created`` (seconds after NOW) makes it a stored row."""
    created = more.pop("created", None)
    return Log.from_wire(
        {
            "id": str(uuid4()),
            "name": "prefect.flow_runs",
            "level": level,
            "message": message,
            "timestamp": (NOW + timedelta(seconds=at)).isoformat(),
            "flow_run_id": str(run) if run else None,
            "task_run_id": None,
            **({"created": (NOW + timedelta(seconds=created)).isoformat()} if created is not None else {}),
            **more,
        }
    )


class HandSource:
    """Implements ``rawlogs.relay.Source``.

    In seconds after NOW: ``mark`` is up to when it is complete, ``kept_from`` where its list begins.
    """

    def __init__(self, name: str = "p", mark: float = -90.0) -> None:
        self.stored: list[Log] = []
        self.mark = mark
        self.clock = 0.0
        self.reads = 0
        self.open = 0
        self.lists: list[tuple[datetime, bool]] = []
        self.history_errors: list[Exception] = []
        self.kept_from = -1e6
        self.list_gate = asyncio.Event()
        self.list_gate.set()
        self.listing = asyncio.Event()
        self.tell: Tell | None = None
        self._name = name
        self._count = 0
        self._sent: asyncio.Queue[Batch | Exception] = asyncio.Queue()

    def send(self, *logs: Log, store: bool = True) -> None:
        """Logs that come live (and can be listed)."""
        if store:
            self.stored += logs
        self.hand_on(logs)

    def hand_on(self, logs: Sequence[Log]) -> None:
        """Logs that come live, in this very sequence."""
        places = [f"{self._name}{self._count + n}" for n in range(len(logs))]
        self._count += len(logs)
        self._sent.put_nowait(Batch(logs, places))

    def fail(self, error: Exception) -> None:
        self._sent.put_nowait(error)

    async def settled(self) -> None:
        """Until all that was sent has been handed on, and everybody had a turn."""
        for _ in range(20):
            await asyncio.sleep(0)
        assert self._sent.empty()

    async def read(self, since: datetime, tell: Tell) -> AsyncGenerator[Batch, None]:
        self.reads += 1
        self.open += 1
        self.since, self.tell = since, tell
        try:
            while True:
                item = await self._sent.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.open -= 1

    def low(self) -> datetime | None:
        return NOW + timedelta(seconds=self.mark)

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.clock)

    async def history(
        self, selection: Selection, after: datetime, before: datetime, *, newest_first: bool = False
    ) -> AsyncGenerator[list[Log], None]:
        self.lists.append((after, newest_first))
        self.listing.set()
        if self.history_errors:
            raise self.history_errors.pop(0)
        kept_from = NOW + timedelta(seconds=self.kept_from)
        rows = sorted(
            (row for row in self.stored if max(after, kept_from) <= row.timestamp <= before),
            key=lambda row: row.timestamp,
            reverse=newest_first,
        )
        for start in range(0, len(rows), 2):
            await self.list_gate.wait()
            yield rows[start : start + 2]
        if after < kept_from:
            raise NotKept(kept_from)

    def runs(self) -> None:
        return None

    def events_target(self) -> None:
        return None

    async def close(self) -> None:
        pass


class Taken:
    """What a reader is handed, taken by a task until that is told to stop."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.events: list[Event] = []
        self._came = asyncio.Event()
        self._task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        async for events in self.reader.batches():
            self.events += events
            self._came.set()
        self._came.set()

    async def until(self, condition: Any) -> None:
        """Until the condition holds for this object; TimeoutError after a minute."""

        async def wait() -> None:
            while not condition(self):
                self._came.clear()
                await self._came.wait()

        await asyncio.wait_for(wait(), 60.0)

    @property
    def messages(self) -> list[str]:
        return [event.log.message for event in self.events if event.kind == "log"]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def gaps(self) -> list[tuple[str, bool]]:
        return [(event.reason, event.open) for event in self.events if event.kind == "gap"]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
