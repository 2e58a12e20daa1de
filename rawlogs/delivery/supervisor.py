"""Opens the socket and the list of a stream side by side, supervises their tasks, and ends them.

Live logs: ``ReconnectingSocket`` -> ``Merger``. Listed logs: ``HistoryReader`` -> ``Auditor`` -> ``Merger``. What any
of their tasks raises is raised to the reader.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rawlogs import advice
from rawlogs.batch import Batch
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.live import Connected, Lost, ReconnectingSocket
from rawlogs.delivery.merge import HOLD, Merger
from rawlogs.delivery.outbox import Outbox
from rawlogs.errors import DataLoss, RawlogsError
from rawlogs.retrying.retry import socket_only
from rawlogs.waiting import first_of, within

if TYPE_CHECKING:
    from rawlogs.cursor import Resume
    from rawlogs.delivery.audit import Auditor

LAST_TRIES = 3
"""How often the list is tried again once a stream with ``until`` is over."""
SETTINGS_TIMEOUT = 5.0
"""Seconds that the question whether the server streams may take; then the list is read without its answer."""
FINISH_WITHIN = 3.0
"""Seconds that the list may take at the end of a stream."""


class Supervisor:
    """Owns the tasks of one stream, its socket, and its auditor (None before it is opened, and with ``live_only``)."""

    def __init__(self, context: StreamContext, merger: Merger, outbox: Outbox) -> None:
        self._context, self._options, self._notifier = context, context.options, context.notifier
        self._ledger, self._clock = context.ledger, context.clock
        self._merger = merger
        self._outbox = outbox
        self._tasks: list[asyncio.Task[None]] = []
        self._live_task: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()  # the stream has begun: entering it returns
        self._asked = asyncio.Event()  # whether the server streams was asked, and answered or not
        self.auditor: Auditor | None = None
        self.socket = ReconnectingSocket(context, list_answers=self._list_answers)
        self.polling = self._options.transport == "poll"
        """Whether the list alone is followed."""
        self.listed = asyncio.Event()
        """Set by each reading of the list."""

    async def open(self, entered: datetime, resume: Resume | None) -> None:
        """Start everything, and wait until the stream has begun. Raises what keeps it from beginning."""
        options = self._options
        self.spawn(self._merger.end_holds())
        if not options.live_only:
            # Imported here: ``live_only`` needs nothing of REST, and starts sooner without it.
            from rawlogs.delivery.opening import open_auditor

            self.auditor = open_auditor(
                self._context,
                self._merger,
                entered=entered,
                resume=resume,
                alone=self._lists_alone,
                tries=self._list_tries,
            )
            if self.polling:
                self.auditor.poll()
            self.spawn(self._run_auditor(self.auditor))
            self.spawn(self._ask_streaming(self.auditor))
        if options.follow and not self.polling:
            self._live_task = self.spawn(self._run_live())
        # With a tail and without following, the reader waits for the logs themselves.
        if options.follow or options.tail is None:
            await first_of(self._ready.wait(), self._outbox.closed.wait())
            if isinstance(self._outbox.error, DataLoss) and self._live_task is not None:
                # With ``strict`` the list may have ended the stream before the socket had its chance to begin it.
                await first_of(self._ready.wait(), self._live_task)
        if not self._ready.is_set() and self._outbox.error is not None:
            raise self._outbox.error  # it never began

    async def close(self) -> None:
        """Close everything, also where whoever waits for that is cancelled meanwhile."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def finish(self, seconds: float) -> None:
        """End the tasks, list once more what nothing has listed yet, and close the outbox."""
        if self._finishing is None:
            self._finishing = asyncio.create_task(self._finish(seconds))
        # What goes wrong there is the reader's, who may leave and so end it; here it is only waited for.
        await asyncio.wait({self._finishing})

    def open_gaps(self) -> int:
        """Return in how many ranges logs are, or may be, missing now."""
        failing = self.auditor is not None and self.auditor.client.failing
        return max(self._ledger.open_gaps, int(failing))

    # Tasks

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task; what it raises is the reader's."""

        async def supervised() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._outbox.close(error)

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

    async def _close(self) -> None:
        if self._finishing is not None:
            self._finishing.cancel()
            await asyncio.gather(self._finishing, return_exceptions=True)
        await self._cancel_tasks()
        self._outbox.close()  # another task may still be reading
        await self.socket.close()
        if (rest := self._context.subscription.rest) is not None:
            await rest.close()

    async def _finish(self, seconds: float) -> None:
        try:
            await self._cancel_tasks()
            closing = asyncio.ensure_future(self.socket.close())
            self._merger.release()
            if self.auditor is not None and self._options.follow:
                self._ledger.doubt(self._context.now())
                # What is not listed by then is an open gap.
                with contextlib.suppress(RawlogsError, TimeoutError):
                    await within(seconds, self.auditor.finish())
            await closing
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._outbox.close(error)
        self._end()

    def _end(self) -> None:
        self._merger.release()
        self._outbox.close()

    # The list

    async def _run_auditor(self, auditor: Auditor) -> None:
        if not self._options.follow:
            self.spawn(self._ready_when_answered(auditor))
        async with aclosing(auditor.rounds()) as rounds:  # type: ignore[type-var]
            async for round in rounds:
                self.listed.set()
                if self.polling:
                    self._ready.set()
                    # After an outage the server may be another one, which streams.
                    if round.recovered and self._options.transport == "auto":
                        self._live_task = self.spawn(self._run_live())
                elif round.recovered:
                    self.socket.try_now()
                if round.clock_jumped:
                    await self.socket.check()
        self._end()

    async def _ready_when_answered(self, auditor: Auditor) -> None:
        await auditor.client.first_answer.wait()
        self._ready.set()

    async def _ask_streaming(self, auditor: Auditor) -> None:
        """Ask the server whether it streams: by default it does not, accepts the socket, and stays silent."""
        from rawlogs.rest.server import log_streaming

        options, streaming = self._options, None
        if options.transport == "auto" and options.follow:
            # What goes wrong here goes wrong for the socket or the list, too, and is told by them.
            with contextlib.suppress(RawlogsError, TimeoutError):
                streaming = await within(SETTINGS_TIMEOUT, log_streaming(auditor.client.rest))
        if streaming is not None and not all(streaming):
            await self._poll_instead(auditor, advice.streaming_is_off())
            if auditor.client.answered:
                self._ready.set()
        self._asked.set()

    async def _poll_instead(self, auditor: Auditor, text: str) -> None:
        """Follow the list alone from now on."""
        self.polling = True
        self._notifier.say_once("live_off", "live_off", text)
        task, self._live_task = self._live_task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.socket.close()
        self._merger.release()
        auditor.poll()

    def _list_answers(self) -> bool:
        return self.auditor is not None and self.auditor.client.answered

    def _lists_alone(self) -> bool:
        return self.polling or not self._options.follow

    def _list_tries(self) -> int | None:
        """Return how many requests to the list in a row may fail; None: any number."""
        options = self._options
        if self._lists_alone():
            return options.retries
        # Beside a socket the list is asked for ever; but a stream whose ``until`` has passed is to end.
        over = options.until is not None and options.until + self._ledger.settle < self._context.now()
        return LAST_TRIES if over else None

    # The socket

    async def _run_live(self) -> None:
        socket = self.socket = ReconnectingSocket(self._context, list_answers=self._list_answers)
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
        self._finishing = asyncio.create_task(self._finish(FINISH_WITHIN))

    def _take_live(self, batch: Batch, bad: int) -> None:
        self._merger.live(batch)
        if bad and self.auditor is not None:
            self.auditor.frame_unreadable()

    async def _note_connected(self, event: Connected) -> None:
        began = self._clock.monotonic()
        if not self._ready.is_set() and self.auditor is not None:
            # The server may be about to say that it does not stream. What arrives meanwhile waits in the connection.
            await first_of(self._asked.wait(), self._clock.sleep(HOLD))
        self.polling = False
        self._notifier.notify("connected", f"connected to {event.url}", url=event.url, again=event.again)
        if self.auditor is not None:
            # What waited for that answer waits no longer for a list than it would have without.
            self._merger.hold(max(HOLD - (self._clock.monotonic() - began), 0.0))
            self.auditor.connected(again=event.again)
        self._ready.set()

    def _note_lost(self, event: Lost) -> None:
        error = event.error
        code = getattr(error, "code", None)
        self._notifier.notify("lost", error.text, error=type(error).__name__, code=code)
        if self.auditor is not None:
            self._ledger.doubt(self._context.now())
        self._merger.release()

    async def _list_instead(self, error: RawlogsError) -> bool:
        """Follow the list where the socket cannot be had but REST answers. Return False where that is no way out."""
        from rawlogs.rest.server import version

        auditor = self.auditor
        if self._options.transport != "auto" or auditor is None or not socket_only(error):
            return False
        await auditor.client.contact.wait()
        if not auditor.client.answered:
            return False
        await self._poll_instead(auditor, advice.socket_refused(error, await version(auditor.client.rest)))
        self._ready.set()
        return True
