"""When the list is read, and what follows from what it brings: one round after the other.

Beside a socket a round is an *audit* (what has settled is compared with what was delivered) or a *catch-up* (everything
that no list has shown is read). Without a socket every round is a catch-up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from rawlogs.delivery.clock_watch import ClockWatch
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.coverage import SocketCoverage
from rawlogs.delivery.ledger import ListRequest, Range
from rawlogs.delivery.merge import Merger
from rawlogs.delivery.reader import HistoryReader, Page
from rawlogs.delivery.start import Start
from rawlogs.errors import GaveUp
from rawlogs.models import BEGINNING, END, MICROSECOND
from rawlogs.retrying.budget import Budget
from rawlogs.retrying.patient import REFUSALS, MeteredClient, PatientClient
from rawlogs.status.stats import Reading

POLL = 0.5
"""Seconds between two lists where only the list shows what comes; fewer while logs come closer together."""
POLL_FLOOR = 0.2
FIRST_AUDIT = 0.25
"""The first audit after a connection comes after this part of ``audit``, each later one after twice the time. So a
socket that shows nothing, or only a part, is found out within seconds."""
PROGRESS = 10_000
"""Rows between two notices of progress."""


def poll_interval(quiet: float, pause: float, audit: float) -> float:
    """Return the seconds to the next list where the list is all there is.

    quiet: since a list brought logs; pause: between the last two lists that did; audit: at most.
    """
    return min(max(quiet / 2, min(pause / 2, POLL), POLL_FLOOR), audit)


@dataclass(frozen=True, slots=True)
class Round:
    """One reading of the list.

    recovered: the list has answered after an outage: the server may be another one, which streams.
    clock_jumped: after a sleep of the machine the socket may be dead without a word.
    """

    recovered: bool = False
    clock_jumped: bool = False


class Auditor:
    """Reads the list after each connection, at intervals, after a suspicion; polls where there is no socket."""

    def __init__(
        self,
        context: StreamContext,
        start: Start,
        merger: Merger,
        reader: HistoryReader,
        client: PatientClient,
    ) -> None:
        self._options, self._notifier = context.options, context.notifier
        self._subscription, self._clock = context.subscription, context.clock
        self._ledger, self._schedule, self._stats = context.ledger, context.schedule, context.stats
        self._start, self._merger = start, merger
        self._rest = client.rest
        self.reader, self.client = reader, client
        self._budget = Budget(self._options.rest_budget, self._clock.monotonic())
        self._metered = MeteredClient(client, self._budget, self._clock)
        self._coverage = SocketCoverage(context, merger)
        self._polling = False
        self._caught_up = self._reconnected = False
        self._next_audit = FIRST_AUDIT * self._options.audit
        self._recovered = 0
        self._found = self._lags = self._unsettled = False
        self._quiet_since = self._clock.monotonic()
        self._pause = 2 * POLL
        self._clocks = ClockWatch(context, merger, client.rest)
        self._stored_before = END

    # What the stream tells

    def poll(self) -> None:
        """Follow the list alone from now on."""
        self._polling = True
        self._schedule.bring_forward(0.0)

    def connected(self, *, again: bool) -> None:
        """Read the list from where it ended: the socket is open, and nothing acknowledges its filter."""
        self._polling = False
        self._next_audit = FIRST_AUDIT * self._options.audit
        self._coverage.connected()
        self.client.goes_on()
        if again:
            self._reconnected = True
            self._ledger.doubt(self._rest.server_now())
            text = "listing what the live stream missed"
            self._notifier.notify("gap_opened", text, since=self._ledger.frontier)
        self._schedule.catch_up_now()

    def frame_unreadable(self) -> None:
        """Look for the log that may have been in a frame that could not be read."""
        now = self._rest.server_now()
        # It was stamped no longer ago than logs take to come.
        self._ledger.mark_unread(min(self._ledger.frontier, now - self._ledger.settle), now)
        self._schedule.suspect()

    # Rounds

    async def rounds(self) -> AsyncIterator[Round]:
        """Begin the stream, then yield what each reading of the list came to; ends with ``until`` or ``follow``.

        Raises what ends the stream, see ``PatientClient.post``.
        """
        while not await self._tried(self._place()):
            if self._until_end() == 0.0 and not self._alone:
                return
            await self._schedule.wait(self._until_end())
        yield Round()
        if not self._options.follow:
            until = self._options.until or self._rest.server_now() + self._ledger.overlap
            self._stored_before = min(until, END - MICROSECOND) + MICROSECOND
            while self._options.tail is None and not await self._tried(self._read_stored()):
                pass
            return
        while True:
            await self._schedule.wait(self._until_end())
            jumped = self._clocks.check_own(polling=self._polling)
            last = self._until_end() == 0.0
            if last or self._schedule.catch_up or self._asks_often or self._behind():
                if not last:  # rows for which there is no room would only wait here, and the answer grow old
                    await self._merger.room()
                work = self._catch_up()
            else:
                work = self._audit()
            if await self._tried(work):
                self._schedule.next_in(self._interval())
                if last and self._options.until is not None:
                    self._ledger.end_at(self._options.until + MICROSECOND)
            self._merger.release()
            self._merger.prune()
            yield Round(self.client.take_recovered(), jumped)
            if last:
                return

    def _behind(self) -> bool:
        """Return whether what was stored before the start is still to be read: no gap of the socket, not charged."""
        return not self._caught_up and bool(self._ledger.due(self._rest.server_now(), self.reader.page))

    async def finish(self) -> None:
        """List everything that no list has shown yet, then once more what was listed a short while ago.

        Raises what the list raises.
        """
        if not self._start.begun:  # the stream ends before the list has told where it begins
            await self._start.begin()
        await self._take_all(self._ledger.due(self._rest.server_now(), self.reader.page, ahead=True))
        await self._take_all(self._ledger.pending_rechecks())

    async def sweep(self, runs: list[UUID]) -> int:
        """Make sure that every stored row of these flow runs was delivered. Return how many still were not."""
        brought = 0
        wire = self._subscription.selection.with_runs(runs).wire
        async for page in self.reader.sweep(self.client, runs, wire, self._options.since or BEGINNING):
            brought += await self._deliver(page)
        return brought

    async def _read_stored(self) -> None:
        """Read everything that is stored, up to now or ``until``, and no more."""
        self._ledger.doubt(self._stored_before)
        span = Range(self._ledger.frontier, self._stored_before)
        await self._take(ListRequest("list", span), confirm=True)
        self._ledger.end_at(span.before)

    async def _catch_up(self) -> None:
        """List everything that no list has shown yet; live logs that are held come after it."""
        began, gap, again = self._clock.monotonic(), self._ledger.open_gaps > 0, self._reconnected
        self._schedule.catch_up = False  # what happens from now on asks for another one
        self._reconnected = False
        recovered = self._stats.recovered
        requests = self._ledger.due(self._rest.server_now(), self.reader.page, ahead=True)
        # Only polling is charged to the budget. The first round catches up with whatever was stored before, too.
        routine = self._caught_up and not (gap or again) and self._asks_often
        try:
            brought = await self._take_all(requests, routine=routine)
        except BaseException:
            self._reconnected |= again
            self._schedule.catch_up_now()  # it is still owed
            raise
        # Where another catch-up was asked for meanwhile, the gap is told as closed by that one.
        # A list that was on its way when the socket came back may have shown all of it already.
        if (gap or again) and not self._ledger.open_gaps and not self._schedule.catch_up:
            self._notifier.unsay("behind")
            found = self._stats.recovered - recovered
            if again or found:
                self._notifier.notify("gap_closed", f"recovered {found} logs from the list", recovered=found)
        self._caught_up = True
        self._conclude(began, brought)
        if self._coverage.partial and not self._polling:
            self._coverage.compare(brought)
            if not self._coverage.partial:
                self._next_audit = FIRST_AUDIT * self._options.audit

    async def _audit(self) -> None:
        """Compare the list with what was delivered, over everything that has settled since the last time."""
        began, suspected = self._clock.monotonic(), self._schedule.suspected_at is not None
        recovered, self._lags = self._stats.recovered, False
        brought = await self._take_all(await self._audit_requests(), routine=True)
        found = self._stats.recovered - recovered
        if found and not self._recovered:
            self._notifier.notify("gap_opened", "the live stream lost logs", since=None)
        self._recovered += found
        self._conclude(began, brought)
        # A suspicion has several lists; the gap is told as closed by the last of them.
        if self._recovered and (self._schedule.suspected_at is None or not brought):
            text = f"recovered {self._recovered} logs that the live stream lost"
            self._notifier.notify("gap_closed", text, recovered=self._recovered)
            self._recovered = 0
        if brought and not suspected:
            self._coverage.found_missing(brought)
        elif not brought:
            self._next_audit = min(2 * self._next_audit, self._options.audit)

    async def _audit_requests(self) -> list[ListRequest]:
        """Return the requests for what has settled; while logs are being lost, for everything that is stored by now."""
        page, now = self.reader.page, self._rest.server_now()
        suspected = self._schedule.suspected_at
        swept = self._options.keep_ids  # followed runs are read again at their end: settled is soon enough
        if suspected is None or swept or self._clock.monotonic() >= suspected + self._options.settle:
            return self._ledger.due(now, page)
        requests = self._ledger.due(now, page, ahead=True)
        if not requests or not all(self._affords(request.range) for request in requests):
            return self._ledger.due(now, page)
        if self._found:  # the list before brought logs, so there may be more
            return requests
        # One count tells whether reading the rows is worth it.
        wire = self._subscription.selection.wire
        more = await self.reader.more_than_delivered(self._metered, requests[0].range, wire)
        self._lags = more < 0  # logs came live that are not stored yet: others will follow
        return requests if more > 0 else requests[1:]

    def _affords(self, span: Range) -> bool:
        """Return whether the budget pays for reading the rows of a range."""
        pages = self.reader.pages_of(span)
        return pages <= 2 or self._budget.covers(pages, self._clock.monotonic())

    # Reading

    @contextmanager
    def _reading(self) -> Iterator[Reading]:
        """Keep the account's ``reading`` up to date; several requests one after the other count as one."""
        present = self._stats.reading
        if present is not None:
            yield present
            return
        self._stats.reading = Reading(self._clock.monotonic())
        try:
            yield self._stats.reading
        finally:
            self._stats.reading = None

    async def _place(self) -> None:
        with self._reading():
            await self._start.begin()

    async def _take_all(self, requests: list[ListRequest], *, routine: bool = False) -> int:
        with self._reading():
            return sum([await self._take(request, routine=routine) for request in requests])

    async def _take(self, request: ListRequest, *, routine: bool = False, confirm: bool = False) -> int:
        """Read one request and deliver what it brings. Return how many rows were new.

        routine: charge it to the budget, but for pages that bring something, and compare counts where the budget does
        not pay for reading the rows.
        confirm: read once more behind a short last page.
        """
        brought = 0
        marks = self._ledger.begin_list()
        compare = routine and not self._affords(request.range)
        client = self._metered if routine else self.client
        wire = self._subscription.selection.wire
        with self._reading() as reading:
            async for page in self.reader.read(client, request, wire, compare=compare, confirm=confirm):
                self._clocks.check_server()
                new = await self._deliver(page)
                if new and routine:
                    self._budget.refund()
                brought += new
                self._record(page, marks)
                if not page.rows:
                    continue
                reading.rows += len(page.rows)
                reading.newest = stamp = page.rows.newest
                if reading.rows % PROGRESS < len(page.rows):
                    text = f"{reading.rows} stored logs read, now at {stamp.isoformat()}"
                    self._notifier.notify("progress", text, rows=reading.rows)
        return brought

    async def _deliver(self, page: Page) -> int:
        new = await self._merger.listed(page.rows)
        self.reader.note_delivered(page)
        return new

    def _record(self, page: Page, marks: int) -> None:
        """Tell the ledger what was read completely by now."""
        span = page.covered
        if span is None or span.empty:
            return
        if page.recheck:
            self._ledger.counted(span, page.began, marks)
            return
        settled = min(span.before, page.began - self._ledger.settle)
        lagging = False
        # What is older than the overlap is final, whatever the socket shows.
        if settled > max(span.after, page.began - self._ledger.overlap):
            # Logs came live that this list does not show: their POST is being stored, and others of it may be lost.
            lagging = self._merger.seen.count(span.after, settled) > page.count(span.after, settled)
            self._unsettled |= lagging
        self._ledger.listed(span, page.began, page.count, marks, lagging=lagging)

    async def _tried(self, work: Awaitable[None]) -> bool:
        """Do one round's work. Return False where it was refused, or an answer could not be read: it is to be repeated.

        Beside a socket what is refused after ``until`` stays an open gap, with which the stream ends.
        """
        try:
            await work
        except (*REFUSALS, GaveUp) as error:
            if self._until_end() == 0.0 and not self._alone:
                return False
            seconds = self.client.refused(error, self._subscription.settings)
            self._schedule.next_in(seconds)
            if not self._options.follow:  # there is no schedule to wait for
                await self._clock.sleep(seconds)
            return False
        return True

    # Judging

    def _conclude(self, began: float, brought: int) -> None:
        """Note what a round that began then (monotonic seconds) has shown."""
        if self._unsettled:
            self._unsettled = False
            self._schedule.suspect()
        else:
            self._schedule.answered(began)
        self._found = brought > 0
        if brought:
            now = self._clock.monotonic()
            self._pause, self._quiet_since = now - self._quiet_since, now

    def _interval(self) -> float:
        """Return the seconds to the next list."""
        options = self._options
        if self._schedule.catch_up:
            return 0.0
        if self._asks_often:
            quiet = self._clock.monotonic() - self._quiet_since
            return poll_interval(quiet, self._pause, options.audit)
        suspected = self._schedule.suspected_at
        if suspected is not None:
            left = suspected + options.settle - self._clock.monotonic()
            # While lists bring something, or show fewer rows than came live, waiting for all to settle is too late.
            soon = (self._found or self._lags) and not options.keep_ids
            return min(POLL if soon else max(left, POLL), options.audit)
        return min(self._next_audit, options.audit)

    @property
    def _asks_often(self) -> bool:
        """Whether some logs come by the list alone."""
        return self._polling or self._coverage.partial

    @property
    def _alone(self) -> bool:
        """Whether the stream has nothing but the list."""
        return self._polling or not self._options.follow

    def _until_end(self) -> float | None:
        """Return the seconds until everything up to ``until`` has settled; None without an ``until``."""
        until = self._options.until
        if until is None:
            return None
        return max((until + self._ledger.settle - self._rest.server_now()).total_seconds(), 0.0)
