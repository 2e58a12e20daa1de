"""``LogStream``: opens the socket and the list side by side, supervises them, and hands their logs to the reader.

Live logs: ``ReconnectingSocket`` -> ``Merger``. Listed logs: ``HistoryReader`` -> ``Auditor`` -> ``Merger``. What any
of their tasks raises is raised to the reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs import advice
from rawlogs.batch import Batch
from rawlogs.clock import Clock, SystemClock
from rawlogs.delivery.ledger import Ledger
from rawlogs.delivery.live import Connected, Lost, ReconnectingSocket
from rawlogs.delivery.merge import HOLD, Merger
from rawlogs.delivery.notifier import Notifier
from rawlogs.delivery.options import Options
from rawlogs.delivery.outbox import Outbox
from rawlogs.delivery.retry import socket_only
from rawlogs.delivery.schedule import Schedule
from rawlogs.delivery.seen import SeenIds
from rawlogs.delivery.stats import Stats
from rawlogs.delivery.subscription import Subscription
from rawlogs.delivery.vitals import Vitals
from rawlogs.errors import DataLoss, RawlogsError
from rawlogs.models import BEGINNING, Log
from rawlogs.notices import OnNotice
from rawlogs.waiting import first_of, within
from rawlogs.wire.connection import Target

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings
    from rawlogs.delivery.audit import Auditor
    from rawlogs.delivery.cursor import Resume
    from rawlogs.delivery.patient import PatientClient
    from rawlogs.rest.client import RestClient
    from rawlogs.selection import Selection

LIVE_ONLY_IDS = 16_384
"""How many ids the socket alone remembers: the server never sends a log twice, so only reconnects need them."""
LAST_TRIES = 3
"""How often the list is tried again once a stream with ``until`` is over."""
SETTINGS_TIMEOUT = 5.0
"""Seconds that the question whether the server streams may take; then the list is read without its answer."""


class LogStream:
    """An endless, complete sequence of logs; made by ``rawlogs.stream(...)``.

    Use it as an async context manager and iterate over it: log by log, or with ``batches()`` by lists, which costs
    less. One task may iterate. ``stats`` is the account; notices go to ``on_notice``, and what that raises ends the
    stream.
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
        self._clock = clock = clock if clock is not None else SystemClock()
        self._rng = rng if rng is not None else random.Random()
        self._options = options
        self.entered = False
        self._resume: Resume | None = None
        self._flushed = SeenIds() if options.track else None
        self._handed: list[Batch] = []
        self._current: deque[Log] = deque()
        self._iterating = False
        self._tasks: list[asyncio.Task[None]] = []
        self._live_task: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._outbox = Outbox(options.buffer)
        self._notifier = Notifier(on_notice, clock, self.fail)
        self._subscription = Subscription(settings, selection, options, self._notifier, reload)
        # Until the list has told where the stream begins; a cursor that is saved by then must not skip ``since``.
        self._ledger = Ledger(options.since or clock.now(), overlap=options.overlap, settle=options.settle)
        self._schedule = Schedule(clock, options.settle)
        self._stats = Stats(count_gaps=self._open_gaps)
        self._merger = Merger(
            self._ledger,
            self._subscription,
            options,
            self._schedule,
            self._notifier,
            clock=clock,
            now=self._now,
            outbox=self._outbox,
            stats=self._stats,
            seen=SeenIds(LIVE_ONLY_IDS) if options.live_only else SeenIds(),
        )
        self._auditor: Auditor | None = None
        self._client: PatientClient | None = None
        self._socket = self._new_socket()
        self._polling = options.transport == "poll"
        self._ready = asyncio.Event()
        self._asked = asyncio.Event()
        self._listed = asyncio.Event()
        self.notify = self._notifier.notify
        self.events_target: Callable[[], Target] = self._subscription.events_target

    @property
    def settings(self) -> Settings:
        """Where the stream is read from."""
        return self._subscription.settings

    @property
    def selection(self) -> Selection:
        """Which logs it delivers."""
        return self._subscription.selection

    @property
    def stats(self) -> Stats:
        """The account so far."""
        return self._stats

    def vitals(self) -> Vitals:
        """Return how the stream stands now."""
        outbox, client, rest, last = self._outbox, self._client, self.rest, self._outbox.last
        answered = client.answered_at if client is not None else None
        return Vitals(
            self._stats,
            connected=self._socket.connected,
            polling=self._polling,
            live_only=self._options.live_only,
            ended=outbox.closed.is_set(),
            audit=self._options.audit,
            answered_ago=None if answered is None else self._clock.monotonic() - answered,
            behind=(self._now() - self.low_water()).total_seconds(),
            waiting=len(outbox),
            full=outbox.full,
            last=last.newest if last is not None else None,
            answers=rest.answers if rest is not None else {},
        )

    @property
    def rest(self) -> RestClient | None:
        """The stream's access to the list, by the settings as they are now; None with ``live_only``."""
        return self._subscription.rest

    @property
    def low(self) -> datetime:
        """The low-water mark: every log stamped before it was delivered, or waits for the reader."""
        return self._ledger.low_water

    # Opening and closing

    async def __aenter__(self) -> LogStream:
        if self.entered:
            raise RuntimeError("a stream is entered once; call rawlogs.stream() again")
        self.entered = True
        self._loop = asyncio.get_running_loop()
        for note in (*self.settings.notes, *self.selection.notes):
            self.notify("warning", note)
        try:
            await self._open(self._options.started_at or self._clock.now())
        except BaseException:
            await self._closed()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closed()

    async def _closed(self) -> None:
        """Close everything, also where whoever waits for that is cancelled meanwhile."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _open(self, entered: datetime) -> None:
        options = self._options
        self._spawn(self._merger.end_holds())
        if not options.live_only:
            self._auditor = self._new_auditor(entered)
            if self._polling:
                self._auditor.poll()
            self._spawn(self._run_auditor(self._auditor))
            self._spawn(self._ask_streaming(self._auditor))
        if options.follow and not self._polling:
            self._start_live()
        if options.follow or options.tail is None:
            await first_of(self._ready.wait(), self._outbox.closed.wait())
            if isinstance(self._outbox.error, DataLoss) and self._live_task is not None:
                # With ``strict`` the list may have ended the stream before the socket had its chance to begin it.
                waiting = asyncio.ensure_future(self._ready.wait())
                await asyncio.wait({waiting, self._live_task}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        if not self._ready.is_set() and self._outbox.error is not None:
            raise self._outbox.error  # it never began

    async def _close(self) -> None:
        if self._finishing is not None:
            self._finishing.cancel()
            await asyncio.gather(self._finishing, return_exceptions=True)
        await self._cancel_tasks()
        self._outbox.close()  # another task may still be reading
        await self._socket.close()
        if self.rest is not None:
            await self.rest.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of the stream; what it raises is the reader's."""

        async def supervised() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self.fail(error)

        task = asyncio.create_task(supervised())
        task.add_done_callback(lambda _: work.close())  # for a task that was cancelled before it began
        self._tasks.append(task)
        return task

    async def _cancel_tasks(self) -> None:
        tasks, self._tasks = self._tasks, []
        tasks = [task for task in tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The list

    def _new_auditor(self, entered: datetime) -> Auditor:
        """The list's side. Loads httpx, which ``live_only`` does not need."""
        from rawlogs.delivery.audit import Auditor
        from rawlogs.delivery.patient import PatientClient
        from rawlogs.delivery.reader import HistoryReader
        from rawlogs.delivery.start import Start
        from rawlogs.rest.body import MAX_SIZE
        from rawlogs.rest.client import RestClient

        options, clock = self._options, self._clock
        rest = RestClient(
            self.settings,
            clock=clock,
            rng=self._rng,
            timeout=30.0,
            retries=1,
            # A log that is too large for the socket comes by the list.
            max_size=max(options.max_size, MAX_SIZE),
            on_notice=self._notifier.hand_on,
            on_request=self._count_request,
        )
        self._subscription.open_rest(rest)
        self._client = PatientClient(
            rest,
            self._subscription,
            self._ledger,
            self._notifier,
            options,
            clock=clock,
            rng=self._rng,
            alone=self._lists_alone,
            tries=self._list_tries,
        )
        reader = HistoryReader(self._ledger, self._merger, self._now, by_run=options.keep_ids)
        start = Start(
            self._ledger,
            self._merger,
            reader,
            self._subscription,
            options,
            self._notifier,
            rest=rest,
            client=self._client,
            clock=clock,
            entered=entered,
            resume=self._resume,
        )
        return Auditor(
            start,
            self._ledger,
            self._merger,
            reader,
            self._schedule,
            self._client,
            self._subscription,
            options,
            self._notifier,
            self._stats,
            rest=rest,
            clock=clock,
        )

    async def _run_auditor(self, auditor: Auditor) -> None:
        assert self._client is not None
        if not self._options.follow:
            self._spawn(self._ready_when_answered(self._client))
        async with aclosing(auditor.rounds()) as rounds:  # type: ignore[type-var]
            async for round in rounds:
                self._listed.set()
                if self._polling:
                    self._ready.set()
                    # After an outage the server may be another one, which streams.
                    if round.recovered and self._options.transport == "auto":
                        self._start_live()
                elif round.recovered:
                    self._socket.try_now()
                if round.clock_jumped:
                    await self._socket.check()
        self._end()

    async def _ready_when_answered(self, client: PatientClient) -> None:
        await client.first_answer.wait()
        self._ready.set()

    async def _ask_streaming(self, auditor: Auditor) -> None:
        """Ask a default server, which accepts the socket and stays silent, whether it streams: it says so."""
        from rawlogs.rest.server import log_streaming

        options, rest = self._options, self.rest
        streaming = None
        if rest is not None and options.transport == "auto" and options.follow:
            # What goes wrong here goes wrong for the socket or the list, too, and is told by them.
            with contextlib.suppress(RawlogsError, TimeoutError):
                streaming = await within(SETTINGS_TIMEOUT, log_streaming(rest))
        if streaming is not None and not all(streaming):
            await self._poll_instead(auditor, advice.streaming_is_off())
            if self._client is not None and self._client.answered:
                self._ready.set()
        self._asked.set()

    async def _poll_instead(self, auditor: Auditor, text: str) -> None:
        """Follow the list alone from now on."""
        self._polling = True
        self._notifier.say_once("live_off", "live_off", text)
        task, self._live_task = self._live_task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._socket.close()
        self._merger.release()
        auditor.poll()

    # The socket

    def _new_socket(self) -> ReconnectingSocket:
        return ReconnectingSocket(
            self._subscription,
            self._options,
            self._notifier,
            self._stats,
            clock=self._clock,
            rng=self._rng,
            list_answers=lambda: self._client is not None and self._client.answered,
        )

    def _start_live(self) -> None:
        self._live_task = self._spawn(self._run_live())

    async def _run_live(self) -> None:
        socket = self._socket = self._new_socket()
        try:
            async with aclosing(socket.events(self._take_live)) as events:  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Connected):
                        await self._note_connected(event)
                    else:
                        self._note_lost(event)
        except RawlogsError as error:
            if not await self._list_instead(error):
                raise
            return
        self._finishing = asyncio.create_task(self._finish(3.0))

    def _take_live(self, batch: Batch, bad: int) -> None:
        self._merger.live(batch)
        if bad and self._auditor is not None:
            self._auditor.frame_unreadable()

    async def _note_connected(self, event: Connected) -> None:
        began = self._clock.monotonic()
        if not self._ready.is_set() and self._auditor is not None:
            # The server may be about to say that it does not stream. What arrives meanwhile waits in the connection.
            await first_of(self._asked.wait(), self._clock.sleep(HOLD))
        self._polling = False
        self.notify("connected", f"connected to {event.url}", url=event.url, again=event.again)
        if self._auditor is not None:
            # What waited for that answer waits no longer for a list than it would have without.
            self._merger.hold(max(HOLD - (self._clock.monotonic() - began), 0.0))
            self._auditor.connected(again=event.again)
        self._ready.set()

    def _note_lost(self, event: Lost) -> None:
        error = event.error
        self.notify("lost", error.text, error=type(error).__name__, code=getattr(error, "code", None))
        if self._auditor is not None:
            self._ledger.doubt(self._now())
        self._merger.release()

    async def _list_instead(self, error: RawlogsError) -> bool:
        """Follow the list where the socket cannot be had but REST answers; False where that is no way out."""
        from rawlogs.rest.server import version

        auditor, client, rest = self._auditor, self._client, self.rest
        if self._options.transport != "auto" or auditor is None or client is None or rest is None:
            return False
        if not socket_only(error):
            return False
        await client.contact.wait()
        if not client.answered:
            return False
        await self._poll_instead(auditor, advice.socket_refused(error, await version(rest)))
        self._ready.set()
        return True

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
            self._handed.append(Batch([log]))
        return log

    async def batches(self) -> AsyncIterator[Sequence[Log]]:
        """The logs as sequences, one for each time something came; never empty."""
        while (batch := self._fetched() or await self.next_batch()) is not None:
            if self._flushed is not None:
                self._handed.append(batch)
            yield batch

    def _fetched(self) -> Batch | None:
        """What ``__anext__`` has fetched and not given out."""
        if not self._current:
            return None
        current, self._current = self._current, deque()
        return Batch(list(current))

    async def next_batch(self) -> Batch | None:
        """What has come since the last time, at least one log; None at the end. Raises what ended the stream."""
        if not self.entered:
            raise RuntimeError("enter the stream first: async with rawlogs.stream(...) as logs")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream belongs to the event loop in which it was entered")
        if self._iterating:
            raise RuntimeError("one task at a time may read a stream")
        self._iterating = True
        try:
            return await self._merger.take()
        finally:
            self._iterating = False

    def write_through(self, write: Callable[[Batch], bool]) -> None:
        """From now on give ``write`` each batch that comes while the reader waits for one, in the turn that read it.

        It must not wait. Where it returns False the reader gets the batch, in its turn; what it raises ends the
        iteration. A stream that keeps a position (options track=True) gives everything to the reader.
        """

        def through(batch: Batch) -> bool:
            try:
                return write(batch)
            except Exception as error:
                self.fail(error)
                return True

        if self._flushed is None:
            self._outbox.through = through

    def fail(self, error: BaseException) -> None:
        """End the iteration with this error."""
        self._outbox.close(error)

    def _end(self) -> None:
        self._merger.release()
        self._outbox.close()

    async def finish(self, seconds: float = 3.0) -> None:
        """Stop reading the socket, list once more what nothing has listed yet, and let the iteration end.

        Takes ``seconds`` at most; what could not be listed by then stays an open gap in ``stats``.
        """
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(seconds))
        # What goes wrong there is the reader's, who may leave and so end it; here it is only waited for.
        await asyncio.wait({self._finishing})

    async def _finish(self, seconds: float) -> None:
        try:
            await self._cancel_tasks()
            closing = asyncio.ensure_future(self._socket.close())
            self._merger.release()
            if self._auditor is not None and self._options.follow:
                self._ledger.doubt(self._now())
                with contextlib.suppress(RawlogsError, TimeoutError):
                    await within(seconds, self._list_the_rest(self._auditor))
            await closing
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.fail(error)
        self._end()

    async def _list_the_rest(self, auditor: Auditor) -> None:
        await auditor.catch_up()
        await auditor.last_look()

    # Going on later

    def resume(self, resume: Resume | None) -> None:
        """Before entering: go on where a cursor says."""
        self._resume = resume
        if resume is not None and self._flushed is not None:
            self._flushed.load(resume.entries, self._clock.now().timestamp())

    def commit(self, *, but: int = 0) -> None:
        """Everything handed out so far, but the last so many logs, has been flushed by the reader.

        Only then the cursor moves over it.
        """
        if self._flushed is None or not self._handed:
            return
        parts, self._handed = self._handed, []
        if but:
            handed = Batch.joined(parts)
            done = len(handed) - but
            parts, self._handed = [handed[:done]], [handed[done:]]
        for part in parts:
            self._flushed.admit_batch(part, lambda: self._now().timestamp())

    def position(self) -> tuple[datetime, list[tuple[float, str]]]:
        """For a cursor: (low-water timestamp, what was flushed at or after it); see ``rawlogs.delivery.cursor``."""
        if self._flushed is None:
            raise RuntimeError("the stream was not asked to keep a position (options track=True)")
        low = self.low_water()
        self._flushed.forget(low, low, self._now().timestamp())
        return low, self._flushed.after(low)

    @property
    def started(self) -> datetime | None:
        """For a cursor: rows created before this are not the stream's; None where their timestamps decide."""
        return self._merger.started

    def low_water(self) -> datetime:
        """Every log stamped before this was handed out, and flushed where the stream keeps a position."""
        waiting = [batch.oldest for batch in self._handed if batch]
        waiting += [log.timestamp for log in self._current]
        if (oldest := self._outbox.oldest()) is not None:
            waiting.append(oldest)
        return min([self._ledger.low_water, *waiting])

    async def listed_again(self) -> None:
        """Wait until the list has been read since this was called last: the low-water mark may have moved."""
        await self._listed.wait()
        self._listed.clear()

    # Following runs

    async def follow_runs(self, runs: Iterable[UUID], added: Iterable[UUID]) -> None:
        """From now on these flow runs; of those in ``added``, everything that is stored already, too."""
        assert self._auditor is not None
        self._subscription.use_runs(runs)
        self._auditor.forget_filter()
        await self._socket.reopen()
        if wanted := list(added):
            await self._auditor.read_all(wanted, self._since)

    async def sweep(self, runs: Iterable[UUID]) -> int:
        """Make sure that everything stored of these flow runs was delivered. Return how many logs that brought."""
        assert self._auditor is not None
        return await self._auditor.sweep(list(runs), self._since)

    def refresh(self, used: Settings) -> bool:
        """Read the settings again after a refusal of ``used``. Return whether the credentials are others now."""
        return self._subscription.refresh(used)

    @property
    def _since(self) -> datetime:
        return self._options.since or BEGINNING

    def _now(self) -> datetime:
        """The server's time, as far as it is known."""
        return self.rest.server_now() if self.rest is not None else self._clock.now()

    def _open_gaps(self) -> int:
        failing = self._client is not None and self._client.failing
        return max(self._ledger.open_gaps, int(failing))

    def _lists_alone(self) -> bool:
        return self._polling or not self._options.follow

    def _list_tries(self) -> int | None:
        """How many requests to the list in a row may fail."""
        options = self._options
        if self._lists_alone():
            return options.retries
        # Beside a socket the list is asked for ever; but a stream whose ``until`` has passed is to end.
        over = options.until is not None and options.until + self._ledger.settle < self._now()
        return LAST_TRIES if over else None

    def _count_request(self) -> None:
        self._stats.requests += 1

    def __repr__(self) -> str:
        how = "polling" if self._polling else "live" if self._socket.connected else "idle"
        return f"<LogStream {how} {self.settings.api_url} delivered={self.stats.delivered}>"
