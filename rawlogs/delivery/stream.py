"""``LogStream``: what a reader holds. It is entered and iterated over; ``Supervisor`` does the work behind it."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING
from uuid import UUID

from rawlogs import durations
from rawlogs.batch import Batch
from rawlogs.clock import Clock, SystemClock
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.ledger import Ledger
from rawlogs.delivery.merge import Merger
from rawlogs.delivery.outbox import Outbox
from rawlogs.delivery.position import Position
from rawlogs.delivery.schedule import Schedule
from rawlogs.delivery.supervisor import FINISH_WITHIN, Supervisor
from rawlogs.entering import AsyncOnly
from rawlogs.models import Log
from rawlogs.notices import OnNotice
from rawlogs.options import Options
from rawlogs.seen import SeenIds
from rawlogs.status.notifier import Notifier
from rawlogs.status.stats import Stats
from rawlogs.status.vitals import Vitals
from rawlogs.subscription import Subscription
from rawlogs.wire.connection import Target

if TYPE_CHECKING:
    from typing_extensions import Self

    from rawlogs.config.settings import Settings
    from rawlogs.cursor import Resume
    from rawlogs.rest.client import RestClient
    from rawlogs.rest.names import NameLookup, RunNames
    from rawlogs.selection import Selection

LIVE_ONLY_IDS = 16_384
"""How many ids the socket alone remembers: the server never sends a log twice, so only reconnects need them."""


class LogStream(AsyncOnly):
    """An endless, complete sequence of logs; made by ``rawlogs.stream(...)``.

    Use it as an async context manager and iterate over it: log by log, or with ``batches()`` by sequences, which
    costs less. One task may iterate. ``stats`` is the account; notices go to ``on_notice``, and what that raises ends
    the stream.
    """

    called = "rawlogs.stream"
    """What it is made by, for errors that say what to write."""

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
        self._options = options
        self.entered = False
        self._resume: Resume | None = None
        self._fetched: deque[Log] = deque()  # read of the last batch, and not given out by ``__anext__`` yet
        self._reading = False
        self._names: NameLookup | None = None
        self._outbox = Outbox(options.buffer)
        notifier = Notifier(on_notice, clock, self.fail)
        self._subscription = Subscription(settings, selection, options, notifier, reload)
        self._context = StreamContext(
            options,
            self._subscription,
            notifier,
            # Until the list has told where the stream begins; a cursor saved by then must not skip ``since``.
            Ledger(options.since or clock.now(), overlap=options.overlap, settle=options.settle),
            Schedule(clock, options.settle),
            Stats(count_gaps=lambda: self._supervisor.open_gaps()),
            clock,
            rng if rng is not None else random.Random(),
        )
        seen = SeenIds(LIVE_ONLY_IDS) if options.live_only else SeenIds()
        self._merger = Merger(self._context, self._outbox, seen)
        self._supervisor = Supervisor(self._context, self._merger, self._outbox)
        self._position = Position(lambda: self._context.now().timestamp()) if options.track else None
        self.notify = notifier.notify
        self.events_target: Callable[[], Target] = self._subscription.events_target
        self.refresh: Callable[[Settings], bool] = self._subscription.refresh

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
        return self._context.stats

    def vitals(self) -> Vitals:
        """Return how the stream stands now."""
        outbox, rest, last = self._outbox, self.rest, self._outbox.last
        auditor, socket, now = self._supervisor.auditor, self._supervisor.socket, self._context.now()
        answered = auditor.client.answered_at if auditor is not None else None
        return Vitals(
            self.stats,
            connected=socket.connected,
            polling=self._supervisor.polling,
            live_only=self._options.live_only,
            ended=outbox.closed.is_set(),
            audit=self._options.audit,
            answered_ago=None if answered is None else self._clock.monotonic() - answered,
            behind=(now - self.low_water()).total_seconds(),
            waiting=len(outbox),
            full=outbox.full,
            last=last.newest if last is not None else None,
            answers=rest.answers if rest is not None else {},
        )

    @property
    def rest(self) -> RestClient | None:
        """The stream's access to the list, by the settings as they are now; None with ``live_only``."""
        return self._subscription.rest

    # Opening and closing

    async def __aenter__(self) -> Self:
        self._loop = self.check_loop()
        if self.entered:
            raise RuntimeError(f"a stream is entered once; call {self.called}() again")
        self.entered = True
        for note in (*self.settings.notes, *self.selection.notes):
            self.notify("warning", note)
        try:
            await self._supervisor.open(self._options.started_at or self._clock.now(), self._resume)
        except BaseException:
            await self._supervisor.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._supervisor.close()

    async def finish(self, seconds: float = FINISH_WITHIN) -> None:
        """Stop reading the socket, list once more what nothing has listed yet, and let the iteration end.

        Takes ``seconds`` at most; what could not be listed by then stays an open gap in ``stats``.
        """
        await self._supervisor.finish(durations.seconds(seconds, name="seconds"))

    def fail(self, error: BaseException) -> None:
        """End the iteration with this error."""
        self._outbox.close(error)

    # Reading

    def __aiter__(self) -> LogStream:
        return self

    async def __anext__(self) -> Log:
        while not self._fetched:
            batch = await self.next_batch()
            if batch is None:
                raise StopAsyncIteration
            self._fetched.extend(batch)
        log = self._fetched.popleft()
        if self._position is not None:
            self._position.hand(Batch([log]))
        return log

    async def batches(self) -> AsyncIterator[Sequence[Log]]:
        """Yield the logs as sequences, one for each time something came; never empty."""
        while True:
            batch: Batch | None
            if self._fetched:  # by ``__anext__``, which was used before
                batch, self._fetched = Batch(list(self._fetched)), deque()
            elif (batch := await self.next_batch()) is None:
                return
            if self._position is not None:
                self._position.hand(batch)
            yield batch

    async def next_batch(self) -> Batch | None:
        """Return what has come since the last time, at least one log; None at the end. Raises what ended the stream."""
        if not self.entered:
            raise RuntimeError(f"enter the stream first: async with {self.called}(...) as logs")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("a stream belongs to the event loop in which it was entered")
        if self._reading:
            raise RuntimeError("one task at a time may read a stream")
        self._reading = True
        try:
            return await self._outbox.take()
        finally:
            self._reading = False

    def write_through(self, write: Callable[[Batch], bool]) -> None:
        """Give ``write`` each batch that comes while the reader waits for one, in the turn that read it.

        It must not wait. Where it returns False the reader gets the batch, in its turn; what it raises ends the
        iteration. A stream that keeps a position (options track=True) gives everything to the reader.
        """

        def through(batch: Batch) -> bool:
            try:
                return write(batch)
            except Exception as error:
                self.fail(error)
                return True

        if self._position is None:
            self._outbox.through = through

    async def names(self, log: Log) -> RunNames:
        """Return the names of a log's flow run, flow and deployment: at most three requests, each sent once.

        Only the caller waits for the answers; the stream is read meanwhile. What could not be asked is None, as all is
        with ``live_only``.
        """
        from rawlogs.rest.flow_runs import Runs
        from rawlogs.rest.names import NameLookup, RunNames

        if self.rest is None:
            return RunNames()
        if self._names is None:
            self._names = NameLookup(Runs(self.rest))
        return await self._names.of_run(log.flow_run_id)

    # Going on later

    def resume(self, resume: Resume | None) -> None:
        """Go on where a cursor says; to be called before the stream is entered."""
        self._resume = resume
        if resume is not None and self._position is not None:
            self._position.load(resume)

    def commit(self, *, but: int = 0) -> None:
        """Note that everything handed out so far, but the last so many logs, has been flushed by the reader.

        Only then the cursor moves over it.
        """
        if self._position is not None:
            self._position.commit(but)

    def position(self) -> tuple[datetime, Sequence[tuple[float, str]]]:
        """Return (low-water mark, what was flushed at or after it) for a cursor; see ``rawlogs.cursor``."""
        if self._position is None:
            raise RuntimeError("the stream was not asked to keep a position (options track=True)")
        low = self.low_water()
        return low, self._position.flushed_after(low)

    @property
    def started(self) -> datetime | None:
        """For a cursor: rows created before this are not the stream's; None where their timestamps decide."""
        beginning = self._merger.beginning
        return beginning.started if beginning.since is None else None

    def low_water(self) -> datetime:
        """Return up to when every log was handed out, and flushed where the stream keeps a position."""
        waiting = [log.timestamp for log in self._fetched]
        if self._position is not None:
            waiting += self._position.oldest()
        if (oldest := self._outbox.oldest()) is not None:
            waiting.append(oldest)
        return min([self._context.ledger.low_water, *waiting])

    async def listed_again(self) -> None:
        """Wait until the list has been read since this was called last: the low-water mark may have moved."""
        await self._supervisor.listed.wait()
        self._supervisor.listed.clear()

    # Following runs

    async def follow_runs(self, runs: Iterable[UUID], added: Iterable[UUID]) -> None:
        """Deliver the logs of these flow runs from now on; of those in ``added``, all that is stored already, too."""
        auditor = self._supervisor.auditor
        assert auditor is not None
        self._subscription.use_runs(runs)
        auditor.reader.forget_filter()
        await self._supervisor.socket.reopen()
        if wanted := list(added):
            await auditor.sweep(wanted)

    async def sweep(self, runs: Iterable[UUID]) -> int:
        """Make sure that everything stored of these flow runs was delivered. Return how many logs that brought."""
        auditor = self._supervisor.auditor
        assert auditor is not None
        return await auditor.sweep(list(runs))

    def __repr__(self) -> str:
        supervisor = self._supervisor
        how = "polling" if supervisor.polling else "live" if supervisor.socket.connected else "idle"
        return f"<LogStream {how} {self.settings.api_url} delivered={self.stats.delivered}>"
