"""The stream: the socket for speed, the list for truth, one outbox for the reader.

Two tasks work for one reader. The *live* task (``live``, ``intake``) keeps the socket open and never waits. The *list*
task (``auditor``, ``lister``) reads what the ``window`` asks for: after each connect, every ``audit`` seconds, and soon
after a suspicion. Without a usable socket the list task polls. This file opens them, ends them, and is the reader's
face.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.clock import Clock, SystemClock
from rawlogs.delivery.auditor import LIVE_OFF, Auditor
from rawlogs.delivery.beginning import begin, begin_blind, note_old_cursor
from rawlogs.delivery.core import Core
from rawlogs.delivery.intake import Intake
from rawlogs.delivery.live import LiveLoop
from rawlogs.delivery.options import Options
from rawlogs.delivery.outbox import Outbox
from rawlogs.delivery.retry import delay, is_transient, socket_only, unreachable
from rawlogs.delivery.schedule import Schedule
from rawlogs.delivery.seen import SeenIds
from rawlogs.delivery.stats import Stats
from rawlogs.delivery.window import Window
from rawlogs.errors import ConfigError, RawlogsError
from rawlogs.models import BEGINNING, Log
from rawlogs.notices import OnNotice
from rawlogs.waiting import within
from rawlogs.wire.connection import Target

if TYPE_CHECKING:
    from rawlogs.delivery.cursor import Resume
    from rawlogs.rest.client import RestClient
    from rawlogs.selection import Selection
    from rawlogs.settings import Settings

LIVE_ONLY_IDS = 16_384
"""How many ids the socket alone remembers: the server never sends a log twice, so only reconnects need them."""


class LogStream:
    """An endless, complete sequence of logs; made by ``rawlogs.stream(...)``.

    Use it as an async context manager and iterate over it: log by log, or with ``batches()`` by lists, which costs
    less. One task may iterate. ``stats`` is the account; notices go to ``on_notice``.
    """

    def __init__(
        self,
        settings: Settings,
        selection: Selection,
        options: Options,
        *,
        on_notice: OnNotice | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        reload: Callable[[], Settings] | None = None,
    ) -> None:
        clock = clock if clock is not None else SystemClock()
        self.entered = False
        self._reload = reload
        self._resume: Resume | None = None
        self._flushed = SeenIds() if options.track else None
        self._handed: list[Log] = []
        self._current: deque[Log] = deque()
        self._iterating: object = None
        self._live: LiveLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._error: BaseException | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._core = Core(
            settings,
            selection,
            options,
            clock,
            rng if rng is not None else random.Random(),
            Stats(),
            Outbox(options.buffer),
            Window(
                clock.now(),
                overlap=options.overlap,
                settle=options.settle,
                keep_all=options.keep_ids,
                seen=SeenIds(LIVE_ONLY_IDS) if options.live_only else None,
            ),
            on_notice,
        )
        self._schedule = Schedule(clock)
        self._started = asyncio.Event()
        self._intake = Intake(self._core, self._schedule, self._started.set)
        self.notify = self._core.notify
        self.events_target: Callable[[], Target] = self._intake.events_target

    @property
    def settings(self) -> Settings:
        """Where the stream is read from."""
        return self._core.settings

    @property
    def selection(self) -> Selection:
        """Which logs it delivers."""
        return self._core.selection

    @property
    def stats(self) -> Stats:
        """The account so far."""
        return self._core.stats

    @property
    def rest(self) -> RestClient | None:
        """The stream's access to the list, by the settings as they are now; None with ``live_only``."""
        return self._core.rest

    @property
    def low(self) -> datetime:
        """Every stored log stamped before it has been delivered, or waits for the reader."""
        return self._core.window.late

    # Opening and closing

    async def __aenter__(self) -> LogStream:
        if self.entered:
            raise RuntimeError("a stream is entered once; call rawlogs.stream() again")
        self.entered = True
        self._loop = asyncio.get_running_loop()
        self._core.warn((*self.settings.notes, *self.selection.notes))
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _open(self) -> None:
        options, core = self._core.options, self._core
        core.polling = options.transport == "poll"
        if not options.live_only:
            await self._open_history()
        if options.follow and not core.polling:
            self._start_live()
            await self._started.wait()
            if self._error is not None:
                raise self._error
        if core.rest is not None and self._finishing is None:
            self._spawn(self._list())
        if not options.follow and options.tail is None:
            await self._started.wait()
            if self._error is not None:
                raise self._error

    async def _close(self) -> None:
        if self._finishing is not None and self._finishing is not asyncio.current_task():
            self._finishing.cancel()
        await self._cancel_tasks()
        if self._live is not None:
            await asyncio.shield(self._live.close())
        if self._core.rest is not None:
            await self._core.rest.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """A task of the stream; what it raises is the reader's."""

        async def guarded() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self.fail(error)

        task = asyncio.create_task(guarded())
        task.add_done_callback(lambda _: work.close())  # for a task that was cancelled before it began
        self._tasks.append(task)

    async def _cancel_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The list

    async def _open_history(self) -> None:
        """Learn the page limit, the server's clock, what was stored before, and whether the server streams at all."""
        from rawlogs.rest.client import RestClient

        core, options = self._core, self._core.options
        core.rest = RestClient(
            core.settings,
            clock=core.clock,
            rng=core.rng,
            timeout=30.0,
            retries=1,
            on_request=self._count_request,
        )
        self._auditor = Auditor(
            core,
            self._schedule,
            self._intake,
            core.rest,
            revive=self._revive,
            ping=self._ping,
            refresh=self.reload,
            on_answer=self._started.set,
        )
        history = self._auditor.lister.history
        attempt = 0
        while True:
            try:
                await self._ask_streaming()
                await begin(core, history, self._resume, self._flushed)
                if self._resume is not None:
                    await note_old_cursor(core, history, self._resume)
                core.history_ok = core.stats.requests > 0
                return
            except RawlogsError as error:
                if not (options.transport == "poll" or not options.follow or core.polling):
                    # The socket may still work, and its refusal says more than REST's.
                    begin_blind(core, self._resume, self._flushed)
                    return
                if not (options.wait and is_transient(error)):
                    raise unreachable(error, core.settings.api_url) from error
                await core.clock.sleep(delay(attempt, 0.0, core.rng))
                attempt += 1

    async def _ask_streaming(self) -> None:
        """A default server costs no guess: it says that it does not stream."""
        from rawlogs.rest.server import log_streaming

        core, options = self._core, self._core.options
        if core.rest is None or options.transport != "auto" or not options.follow or core.polling:
            return
        streaming = await log_streaming(core.rest)
        if streaming is not None and not all(streaming):
            self._go_polling("its log streaming is off, which is Prefect's default")

    async def _list(self) -> None:
        if self._core.options.follow:
            await self._auditor.run()
        elif self._core.options.tail is None:
            await self._auditor.read_stored()
        self._end()

    def _go_polling(self, why: str) -> None:
        self._core.polling = True
        self._core.say_once("live_off", "live_off", LIVE_OFF.format(why=why))
        self._schedule.bring_forward(0.0)

    # The socket

    def _start_live(self) -> None:
        core, options = self._core, self._core.options
        poll_instead = options.transport == "auto" and core.history_ok
        self._live = LiveLoop(
            self._intake,
            clock=core.clock,
            rng=core.rng,
            retries=options.retries,
            first_retries=min(2, options.retries or 2) if poll_instead else None,
            wait=options.wait,
            end_on_clean_close=not options.reconnect_on_clean_close,
            refresh=self.reload,
        )
        self._spawn(self._run_live(self._live))

    async def _run_live(self, live: LiveLoop) -> None:
        core = self._core
        try:
            await live.run()
        except RawlogsError as error:
            core.socket_up = False
            if core.options.transport != "auto" or not core.history_ok or not socket_only(error):
                raise
            self._intake.release()
            self._go_polling(error.text)
            self._started.set()
            return
        self._finishing = asyncio.create_task(self._finish(3.0))

    def _revive(self) -> None:
        """The list answers again after an outage: the server may be another one, which streams."""
        if self._core.options.transport == "auto" and self._live is not None:
            self._core.polling = False
            self._start_live()

    async def _ping(self) -> None:
        connection = self._live.connection if self._live is not None else None
        if connection is None:
            return
        try:
            await within(5.0, connection.ping())
        except (RawlogsError, TimeoutError):
            connection.abort()

    def reload(self) -> None:
        """Use the settings as they are now, from now on; as they were, where they cannot be read."""
        if self._reload is None:
            return
        with contextlib.suppress(ConfigError):
            self._core.settings = self._reload()
            if self._core.rest is not None:
                self._core.rest.use(self._core.settings)

    # The reader's side

    def __aiter__(self) -> LogStream:
        return self

    async def __anext__(self) -> Log:
        while not self._current:
            batch = await self.next_batch()
            if batch is None:
                raise StopAsyncIteration
            self._current.extend(batch)
        log = self._current.popleft()
        if self._flushed is not None:
            self._handed.append(log)
        return log

    async def batches(self) -> AsyncIterator[list[Log]]:
        """The logs as lists, one for each time something came; never empty."""
        while (batch := list(self._current) or await self.next_batch()) is not None:
            self._current.clear()
            if self._flushed is not None:
                self._handed.extend(batch)
            yield batch

    async def next_batch(self) -> list[Log] | None:
        """What has come since the last time, at least one log; None at the end. Raises what ended the stream."""
        if not self.entered:
            raise RuntimeError("enter the stream first: async with rawlogs.stream(...) as logs")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream belongs to the event loop in which it was entered")
        if self._iterating is not None:
            raise RuntimeError("one task at a time may read a stream")
        self._iterating = asyncio.current_task()
        try:
            return await self._core.outbox.take()
        finally:
            self._iterating = None

    def fail(self, error: BaseException) -> None:
        """End the iteration with this error."""
        self._error = error
        self._core.outbox.close(error)
        self._started.set()

    def _end(self) -> None:
        self._intake.release()
        self._core.outbox.close()
        self._started.set()

    async def finish(self, seconds: float = 3.0) -> None:
        """Stop reading the socket, list once more what nothing has listed yet, and let the iteration end.

        Takes ``seconds`` at most; what could not be listed by then stays an open gap in ``stats``.
        """
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(seconds))
        await asyncio.shield(self._finishing)

    async def _finish(self, seconds: float) -> None:
        core = self._core
        await self._cancel_tasks()
        core.socket_up = False
        closing = asyncio.ensure_future(self._live.close()) if self._live is not None else None
        self._intake.release()
        if core.rest is not None and core.history_ok and core.options.follow:
            core.stats.open_gaps = 1
            with contextlib.suppress(RawlogsError, TimeoutError):
                await within(seconds, self._list_the_rest())
        if closing is not None:
            await closing
        self._end()

    async def _list_the_rest(self) -> None:
        await self._auditor.catch_up()
        self._core.stats.open_gaps = 0
        await self._auditor.last_look()

    # Going on later

    def resume(self, resume: Resume | None) -> None:
        """Before entering: go on where a cursor says."""
        self._resume = resume

    def commit(self, *, but: int = 0) -> None:
        """Everything handed out so far, but the last so many logs, has been flushed by the reader.

        Only then the cursor moves over it.
        """
        if self._flushed is not None and self._handed:
            done = len(self._handed) - but
            self._flushed.admit(self._handed[:done], self._core.now().timestamp())
            self._handed = self._handed[done:]

    def position(self) -> tuple[datetime, list[tuple[float, str]]]:
        """For a cursor: (low-water timestamp, what was flushed at or after it); see ``rawlogs.delivery.cursor``."""
        if self._flushed is None:
            raise RuntimeError("the stream was not asked to keep a position (options track=True)")
        waiting = [log.timestamp for log in (*self._handed, *self._current)]
        if (oldest := self._core.outbox.oldest()) is not None:
            waiting.append(oldest)
        low = min([self._core.window.late, *waiting])
        self._flushed.forget(low, low, self._core.now().timestamp())
        return low, self._flushed.after(low)

    # Following runs

    async def follow_runs(self, runs: Iterable[UUID], added: Iterable[UUID]) -> None:
        """From now on these flow runs; of those in ``added``, everything that is stored already, too."""
        core = self._core
        core.selection = core.selection.with_runs(runs)
        self._auditor.lister.distrust()
        if self._live is not None:
            await self._live.reopen()
        if wanted := list(added):
            await self._auditor.lister.read_all(core.selection.with_runs(wanted).wire, self._since)

    async def sweep(self, run: UUID) -> int:
        """Make sure that everything stored of this flow run was listed; how many logs that still brought."""
        return await self._auditor.lister.sweep(run, self._core.selection.with_runs([run]).wire, self._since)

    @property
    def _since(self) -> datetime:
        return self._core.options.since or BEGINNING

    def _count_request(self) -> None:
        self._core.stats.requests += 1

    def __repr__(self) -> str:
        core = self._core
        how = "polling" if core.polling else "live" if core.socket_up else "idle"
        return f"<LogStream {how} {core.settings.api_url} delivered={core.stats.delivered}>"
