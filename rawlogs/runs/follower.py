"""Following flow runs: which runs belong together, in which states they are, and when all has been delivered.

A run that has ended still sends: its last lines carry a timestamp after its end, and senders batch for about 2 s
(seen on 3.8.8). So after the end of a run the list is swept until a sweep finds nothing new.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from rawlogs.clock import Clock, SystemClock
from rawlogs.config.urls import parse
from rawlogs.delivery.stream import LogStream
from rawlogs.errors import AuthError, ConfigError, HistoryError
from rawlogs.rest.flow_runs import FlowRun, Runs
from rawlogs.runs.events import RunEvents
from rawlogs.waiting import first_of

STRAGGLERS = 3.0
"""Seconds after a run's end before it is swept; Prefect's own watcher waits as long."""
POLL = 2.0
"""Seconds between looks at the states without events."""
POLL_BESIDE_EVENTS = 15.0
SETTLE = 0.2
"""Seconds between an event and the question to REST: several events come at once, and it should know the last."""

_CANDIDATES = 10
"""How many runs of an ambiguous name are shown."""

WORST_FIRST = ("CRASHED", "FAILED", "CANCELLED", "DELETED", "COMPLETED")
Outcome = Literal["completed", "failed", "running"]
OnFound = Callable[[Sequence[FlowRun]], Awaitable[None]]


class RunSource(Protocol):
    """Where the followed runs come from: named once, or asked again for those that start later."""

    endless: bool

    async def find(self, runs: Runs) -> list[FlowRun]: ...


@dataclass(slots=True)
class NamedRuns:
    """Runs given one by one; the following ends when all have ended."""

    found: list[FlowRun]
    endless: bool = False

    async def find(self, runs: Runs) -> list[FlowRun]:
        return self.found


@dataclass(slots=True)
class DynamicRuns:
    """The runs of a flow, a deployment or a tag, those that start later included."""

    ask: Callable[[Runs], Awaitable[list[FlowRun]]]
    endless: bool = True

    async def find(self, runs: Runs) -> list[FlowRun]:
        return await self.ask(runs)


@dataclass(slots=True)
class _Followed:
    run: FlowRun
    root: bool
    ended_at: float | None = None
    swept: bool = False
    gone: bool = False


class Follower:
    """Keeps a LogStream on the right flow runs and finishes it when they are done.

    ``names`` maps each run's id to its name, for prefixes. ``begin()`` finds what there is, ``run(stream)`` goes on
    beside the reading of the stream. ``on_found`` is awaited with new runs before their logs are read.
    """

    def __init__(
        self,
        runs: Runs,
        roots: RunSource,
        *,
        children: bool = True,
        follow: bool = True,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        notify: Callable[..., None] = lambda kind, text, **facts: None,
        on_found: OnFound | None = None,
    ) -> None:
        self._runs = runs
        self._roots = roots
        self._children = children
        self._follow = follow
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._notify = notify
        self._on_found = on_found
        self._followed: dict[UUID, _Followed] = {}
        self._streamed: set[UUID] = set()
        self._changed = asyncio.Event()
        self._ask_states = self._ask_births = True
        self._asked_at = self._clock.monotonic()
        self._denied = False
        self.names: dict[UUID, str] = {}

    @property
    def outcome(self) -> Outcome:
        """Of the runs that were asked for: all completed, one failed (or was deleted), or one still running."""
        roots = [item for item in self._followed.values() if item.root]
        if not all(item.run.terminal or item.gone for item in roots):
            return "running"
        return "completed" if all(item.run.state_type == "COMPLETED" for item in roots) else "failed"

    @property
    def worst_end(self) -> str | None:
        """Of the runs that were asked for, the worst state type in which they ended; None while one has not."""
        roots = [item for item in self._followed.values() if item.root]
        ends = {"DELETED" if item.gone else item.run.state_type for item in roots}
        if not all(item.run.terminal or item.gone for item in roots):
            return None
        return next((end for end in WORST_FIRST if end in ends), None)

    @property
    def states(self) -> dict[UUID, str | None]:
        """The name of the last state that is known of each run."""
        return {run_id: item.run.state_name or item.run.state_type for run_id, item in self._followed.items()}

    async def begin(self) -> list[UUID]:
        """Find the runs that there are now. Return the ids that the stream starts with."""
        for run in await self._roots.find(self._runs):
            self._add(run, root=True)
        if self._children:
            await self._find_children()
        self._streamed = set(self._followed)
        await self._tell_found(self._followed)
        return list(self._followed)

    async def _tell_found(self, run_ids: Iterable[UUID]) -> None:
        found = [self._followed[run_id].run for run_id in run_ids]
        if found and self._on_found is not None:
            await self._on_found(found)

    async def run(self, stream: LogStream) -> None:
        """Follow until every run has ended and was swept; without an end for a flow, a deployment or a tag."""
        self._stream = stream
        if stream.rest is not None:
            self._runs = Runs(stream.rest)  # it is told when a key was rotated
        if not self._follow:
            return
        events = RunEvents(
            stream.events_target,
            self._on_event,
            clock=self._clock,
            rng=self._rng,
            on_open=self._on_events_opened,
        )
        listening = asyncio.create_task(events.run())
        try:
            while not self._done():
                await self._look()
                if not self._done():
                    await self._wait(events.usable)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        await self._stream.finish()

    def _done(self) -> bool:
        return not self._roots.endless and all(item.swept for item in self._followed.values())

    async def _look(self) -> None:
        """Ask REST for states, births and ends, and sweep what has ended."""
        used = self._stream.settings
        try:
            added = await self._refresh()
            if added:
                await self._tell_found(added)
                await self._stream.follow_runs(self._current(), added)
                self._streamed.update(added)
            await self._sweep()
            self._denied = False
        except AuthError:
            # The first refusal may be of a key that was rotated; with the present one it is asked once more.
            if self._denied:
                raise
            self._denied = True
            self._stream.refresh(used)
            self._changed.set()
        except HistoryError as error:
            if not error.transient:
                raise
            self._notify("warning", f"{error.text}; asking again")

    async def _refresh(self) -> list[UUID]:
        """Ask what has to be asked. Return the runs that the stream does not read yet."""
        self._changed.clear()
        try:
            if self._ask_states or any(self._due_in(item) == 0.0 for item in self._followed.values()):
                self._ask_states = False  # before asking: what an event tells meanwhile is asked for again
                await self._find_states()
            if self._ask_births:
                self._ask_births = False
                if self._roots.endless:
                    for run in await self._roots.find(self._runs):
                        self._add(run, root=True)
                if self._children:
                    await self._find_children()
        except BaseException:
            # Which of the questions was answered is not known: all are asked again.
            self._ask_states = self._ask_births = True
            raise
        return [run_id for run_id in self._followed if run_id not in self._streamed]

    async def _find_states(self) -> None:
        open_runs = [
            run_id for run_id, item in self._followed.items() if not item.run.terminal or not item.swept
        ]
        if open_runs:
            # By ids the server leaves out what it does not know, where one run alone would be a 404.
            found = {run.id: run for run in await self._runs.by_ids(open_runs)}
            for run_id in open_runs:
                if run_id in found:
                    self._update(found[run_id])
                else:
                    self._mark_deleted(run_id)

    async def _find_children(self) -> None:
        """Find subflow runs at any depth, one level a request."""
        # A run that was swept starts no subflow any more.
        parents = [run_id for run_id, item in self._followed.items() if not item.swept]
        while parents:
            found = [run for run in await self._runs.children(parents) if run.id not in self._followed]
            for run in found:
                self._add(run, root=False)
            parents = [run.id for run in found]

    def _due_in(self, item: _Followed) -> float | None:
        """Return the seconds until a run is swept; None where it has not ended, or was swept."""
        if item.swept or item.ended_at is None:
            return None
        return max(item.ended_at + STRAGGLERS - self._clock.monotonic(), 0.0)

    async def _sweep(self) -> None:
        """Sweep the runs that are due, all with one request where nothing was missing."""
        now = self._clock.monotonic()
        due = {run_id: item for run_id, item in self._followed.items() if self._due_in(item) == 0.0}
        if not due:
            return
        # What a sweep still brought may not have been the last: look once more after a while.
        swept = not await self._stream.sweep(due)
        for item in due.values():
            item.swept = swept
            item.ended_at = now - STRAGGLERS + 1.0

    def _current(self) -> list[UUID]:
        """Return the runs that the stream reads: all, or in an endless following those that are not swept."""
        return [run_id for run_id, item in self._followed.items() if not (self._roots.endless and item.swept)]

    def _add(self, run: FlowRun, *, root: bool) -> None:
        if run.id in self._followed:
            return
        item = _Followed(run, root)
        if run.terminal:
            # What ended long ago has no stragglers to wait for.
            item.ended_at = self._clock.monotonic() - self._age_of_end(run)
        self._followed[run.id] = item
        self.names[run.id] = run.name
        self._tell_state(run)

    def _age_of_end(self, run: FlowRun) -> float:
        end = run.end_time
        return max((self._clock.now() - end).total_seconds(), 0.0) if end is not None else 0.0

    def _update(self, run: FlowRun) -> None:
        item = self._followed[run.id]
        if run.state_type != item.run.state_type or run.state_name != item.run.state_name:
            self._tell_state(run)
        if run.terminal and not item.run.terminal:
            item.ended_at = self._clock.monotonic()
            self._ask_births = True  # an event that told of a child may have been lost
        elif not run.terminal:
            item.ended_at, item.swept = None, False  # a retry brings a run back
        item.run, item.gone = run, False

    def _tell_state(self, run: FlowRun) -> None:
        text = f"{run.name} is {run.state_name or run.state_type}"
        self._notify("state", text, run=str(run.id), state=run.state_type)

    def _mark_deleted(self, run_id: UUID) -> None:
        """Count a run as ended that the server does not know any more: nothing will ever tell of its end."""
        item = self._followed[run_id]
        if not item.gone:
            item.gone = True
            self._notify("state", f"{item.run.name} was deleted", run=str(run_id), state=None)
        if item.ended_at is None:
            item.ended_at = self._clock.monotonic()

    def _on_event(self, run: UUID, state: str | None, child: bool) -> None:
        if run in self._followed:
            self._ask_states |= state is not None
        # A run that is not followed matters where it may be a subflow, or one more of those that are asked for.
        elif child or self._roots.endless:
            self._ask_births = True
        if self._ask_states or self._ask_births:
            self._changed.set()

    def _on_events_opened(self) -> None:
        """Ask once more soon: what happened before the first event comes was not told."""
        self._asked_at = self._clock.monotonic() + POLL - POLL_BESIDE_EVENTS
        self._changed.set()

    async def _wait(self, events: bool) -> None:
        period = POLL_BESIDE_EVENTS if events else POLL
        now = self._clock.monotonic()
        due = [self._due_in(item) for item in self._followed.values()]
        sweeps = [max(seconds, 0.1) for seconds in due if seconds is not None]
        await first_of(self._clock.sleep(min([self._asked_at + period - now, *sweeps])), self._changed.wait())
        if self._changed.is_set():
            await self._clock.sleep(SETTLE)
        if self._clock.monotonic() >= self._asked_at + period:
            self._ask_states = self._ask_births = True
            self._asked_at = self._clock.monotonic()


async def named(runs: Runs, given: Iterable[str]) -> list[FlowRun]:
    """Return the flow runs of ids, names or URLs of pages. Raises ConfigError for what there is no run of."""
    found: list[FlowRun] = []
    for text in given:
        wanted = await _pasted(runs, text) if "://" in text else text
        try:
            matches = await runs.find([wanted])
        except HistoryError as error:
            if error.status != 404:
                raise
            raise ConfigError(error.text, setting="RUN", hint=error.hint) from error
        if len(matches) > 1:
            shown = "".join(f"\n  {_described(run)}" for run in matches[:_CANDIDATES])
            more = f"\n  and {len(matches) - _CANDIDATES} more" if len(matches) > _CANDIDATES else ""
            how = "are named" if all(run.name == text for run in matches) else "have an id that begins with"
            raise ConfigError(
                f"{len(matches)} flow runs {how} {text!r}",
                setting="RUN",
                hint=f"Give an id:{shown}{more}",
            )
        found.extend(matches)
    return list({run.id: run for run in found}.values())


def _described(run: FlowRun) -> str:
    began = run.began.isoformat(" ", "seconds").replace("+00:00", "Z") if run.began else "not begun"
    return f"{run.id}  {run.name}  {run.state_name or run.state_type}  {began}"


async def _pasted(runs: Runs, url: str) -> UUID:
    address = parse(url, setting="RUN")
    if address.run_id is None:
        raise ConfigError(f"{url} names no run", setting="RUN", hint="Paste the URL of a run's page.")
    if address.run_kind != "task-run":
        return address.run_id
    flow_run = await runs.task_run(address.run_id)
    if flow_run is None:
        raise ConfigError(
            f"The task run {address.run_id} belongs to no flow run",
            setting="RUN",
            hint=f"Its logs: rawlogs tail --task-run {address.run_id}",
        )
    return flow_run
