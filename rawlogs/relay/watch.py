"""The states of the flow runs that readers asked for, and the runs of their deployments. One watch serves a hub."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from rawlogs.backoff import delay
from rawlogs.clock import Clock
from rawlogs.errors import RawlogsError
from rawlogs.relay.unexpected import UnexpectedErrors
from rawlogs.runs.events import RunEvents
from rawlogs.runs.follower import POLL, POLL_BESIDE_EVENTS, SETTLE
from rawlogs.waiting import wait_until_set

if TYPE_CHECKING:
    from rawlogs.relay.source import Source
    from rawlogs.rest.flow_runs import FlowRun, Runs
    from rawlogs.wire.connection import Target


class Watcher(Protocol):
    """Who is told."""

    watched_runs: frozenset[UUID]
    watched_deployments: tuple[UUID, ...]
    watched_since: datetime

    def tell_state(self, run: FlowRun) -> None: ...

    def tell_runs(self, runs: Iterable[UUID], looked: datetime) -> None:
        """Take all runs of the deployments that there were at ``looked``."""
        ...


class RunWatch:
    """Asks REST for states every 15 s, and at once when an event says that something happened; works while watched."""

    def __init__(self, source: Source, *, clock: Clock, rng: random.Random) -> None:
        self._source = source
        self._clock = clock
        self._rng = rng
        self._watchers: set[Watcher] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._events: RunEvents | None = None
        self._interesting: set[UUID] = set()
        self._unexpected = UnexpectedErrors("watching flow runs")

    def add(self, watcher: Watcher) -> None:
        """Tell this one from now on; its runs' states as soon as they are known."""
        self._watchers.add(watcher)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def remove(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """End it, whoever watches."""
        self._watchers.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        listening: asyncio.Task[None] | None = None
        failures = 0
        try:
            while True:
                self._changed.clear()
                try:
                    runs = self._source.runs()
                    if runs is None:
                        return
                    listening = listening or self._listen()
                    await self._look(runs)
                    failures = 0
                except RawlogsError:
                    # The list's own trouble is told by whoever reads it; states are only late.
                    failures += 1
                except Exception as error:  # of a source, or of a watcher: the others must not wait for ever
                    failures += 1
                    self._unexpected.tell(error)
                await self._wait(delay(failures, 1.0, self._rng) if failures else self._pause())
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    def _listen(self) -> asyncio.Task[None] | None:
        if self._source.events_target() is None:
            return None
        self._events = RunEvents(self._target, self._on_event, clock=self._clock, rng=self._rng)
        return asyncio.get_running_loop().create_task(self._hear(self._events))

    async def _hear(self, events: RunEvents) -> None:
        """Read events for as long as they can be had; without them states are asked for more often."""
        while True:
            try:
                return await events.run()
            except Exception as error:
                self._unexpected.tell(error)
                await self._clock.sleep(POLL_BESIDE_EVENTS)

    def _target(self) -> Target:
        target = self._source.events_target()
        assert target is not None  # a source has events or it has none
        return target

    def _pause(self) -> float:
        return POLL_BESIDE_EVENTS if self._events is not None and self._events.usable else POLL

    def _on_event(self, run: UUID, state: str | None, child: bool) -> None:
        wanted = any(watcher.watched_deployments for watcher in self._watchers)
        if state is not None and (wanted or run in self._interesting):
            self._changed.set()

    async def _look(self, runs: Runs) -> None:
        watchers = list(self._watchers)
        looked = self._source.now()
        self._interesting = {run for watcher in watchers for run in watcher.watched_runs}
        if self._interesting:
            for run in await runs.by_ids(self._interesting):
                for watcher in watchers:
                    if run.id in watcher.watched_runs:
                        watcher.tell_state(run)
        deployments = {item for watcher in watchers for item in watcher.watched_deployments}
        since = min((w.watched_since for w in watchers if w.watched_deployments), default=None)
        belonging = {item: await runs.by_deployment(item, since=since) for item in deployments}
        for watcher in watchers:
            if watcher.watched_deployments:
                found = [run.id for item in watcher.watched_deployments for run in belonging[item]]
                watcher.tell_runs(found, looked)

    async def _wait(self, seconds: float) -> None:
        if await wait_until_set(self._changed, seconds):
            await self._clock.sleep(SETTLE)
