"""Reads what the ledger asks for, and yields it page by page. It knows no socket and delivers nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rawlogs.batch import Batch
from rawlogs.delivery.ledger import Ledger, ListRequest, Range
from rawlogs.models import BEGINNING, END, MICROSECOND, Log
from rawlogs.rest.history import DEFAULT_PAGE, History, Poster, RowsShifted
from rawlogs.seen import SeenIds

Wire = Mapping[str, Any]
FEW_PAGES = 2
"""Reading so many pages is always worth more than comparing counts, which can be fooled (docs/delivery.md)."""

LAG = timedelta(seconds=0.5)
"""When a list is read, rows older than this seldom become readable in front of others that it has shown."""
UNSETTLED_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and what is known to be read completely with them.

    covered: all rows of this range were shown by now; None: that is not known yet.
    began: when the request was sent that showed it (server time).
    count: tells how many rows are stored in a part of ``covered``.
    recheck: no row was added since the range was listed; it was counted, not read.
    """

    rows: Batch
    covered: Range | None
    began: datetime
    count: Callable[[datetime, datetime], int]
    recheck: bool = False


class UnsettledRows:
    """Young rows by id, with their timestamps."""

    def __init__(self) -> None:
        self._stamps: dict[str, datetime] = {}
        self._read_at = BEGINNING

    def add(self, rows: Iterable[Log]) -> None:
        """Add rows that a list showed."""
        self._stamps.update((log.id_text, log.timestamp) for log in rows)

    def finish(self, frontier: datetime, began: datetime) -> None:
        """Forget the rows before the frontier, which are settled: the list that began then was read."""
        self._read_at = began
        self._stamps = {log_id: stamp for log_id, stamp in self._stamps.items() if stamp >= frontier}
        if len(self._stamps) > UNSETTLED_LIMIT:
            self._stamps = {}

    def known(self, after: datetime) -> dict[str, datetime]:
        """Return those from ``after`` on behind which hardly any row will still appear."""
        end = self._read_at - LAG
        return {log_id: stamp for log_id, stamp in self._stamps.items() if after <= stamp < end}


class RowsPerRun:
    """Rows by flow run, each counted once however often it was listed. 24 bytes a row, beside what SeenIds keeps."""

    def __init__(self) -> None:
        self._ids = SeenIds()
        self._rows: Counter[UUID | None] = Counter()

    def __contains__(self, log: Log) -> bool:
        return log in self._ids

    def add(self, page: Batch, now: Callable[[], float]) -> None:
        """Count the rows of a page that was delivered; ``now`` gives the server's time in seconds."""
        self._rows.update(page[n].flow_run_id for n in self._ids.admit_batch(page, now))

    def count(self, runs: Iterable[UUID]) -> int:
        """Return how many rows of these runs were shown; 0 once ids had to be forgotten, as it may be too few then."""
        return 0 if self._ids.forgotten is not None else sum(self._rows[run] for run in runs)


class HistoryReader:
    """``POST /logs/filter`` for one stream. ``now`` is the server's time; ``by_run``: rows are counted for sweeps."""

    def __init__(
        self, ledger: Ledger, delivered: SeenIds, now: Callable[[], datetime], *, by_run: bool
    ) -> None:
        self._ledger = ledger
        self._delivered = delivered
        self._now = now
        self._by_run = by_run
        self._rows_per_run = RowsPerRun()
        self._unsettled = UnsettledRows()
        self.page = DEFAULT_PAGE
        """How many rows the server gives at once, as far as it is known."""

    def forget_filter(self) -> None:
        """Forget what was counted and shown: the filter has changed, and a list shows other rows now."""
        self._ledger.forget_counts()
        self._unsettled = UnsettledRows()

    def pages_of(self, span: Range) -> int:
        """Return about how many pages reading a range takes, going by what was delivered."""
        return self._delivered.count(span.after, span.before) // self.page + 1

    async def read(
        self, rest: Poster, request: ListRequest, wire: Wire, *, compare: bool = False, confirm: bool = False
    ) -> AsyncIterator[Page]:
        """Yield the rows of a request, oldest first.

        compare: compare counts where that may do, instead of reading every page.
        confirm: read once more behind a short last page.
        Raises HistoryError, AuthError, ConnectError, RedirectRefused; what was yielded by then holds.
        """
        span, history = request.range, History(rest, page=self.page)
        try:
            if request.kind == "count":
                began = self._now()
                if await self._more(history, span, request.expect, wire) == 0:
                    yield Page(Batch([]), span, self._sure(began), _unknown, recheck=True)
                    return
            settled = span.before <= self._now() - self._ledger.settle
            if compare and settled and self.pages_of(span) > FEW_PAGES:
                pages = self._compare(history, span, wire)
            else:
                pages = self._read_span(history, span, wire, confirm)
            async for page in pages:
                yield page
        finally:
            self.page = history.page

    async def more_than_delivered(self, rest: Poster, span: Range, wire: Wire) -> int:
        """Return how many more rows are stored in a range than were delivered: -1 for fewer, at most a page."""
        history = History(rest, page=self.page)
        return await self._more(history, span, self._delivered.count(span.after, span.before), wire)

    async def newest(
        self, rest: Poster, wire: Wire, after: datetime, before: datetime
    ) -> AsyncIterator[list[Log]]:
        """Yield all rows stamped from ``after`` to ``before``, newest first, page by page."""
        history = History(rest, page=self.page)
        async for rows in history.pages(wire, after, before, newest_first=True):
            self.page = history.page
            yield rows

    async def oldest(self, rest: Poster, wire: Wire) -> datetime | None:
        """Return the timestamp of the oldest row; None where there is none."""
        async for rows in History(rest, page=self.page).pages(wire, BEGINNING, END):
            return rows[0].timestamp
        return None

    async def sweep(
        self, rest: Poster, runs: Iterable[UUID], wire: Wire, since: datetime
    ) -> AsyncIterator[Page]:
        """Yield the rows of these flow runs, of any time, that lists have not shown; ``wire`` asks for just these runs.

        Where as many rows are stored as were shown, and those behind them were not shown, that is one request.
        """
        history, began = History(rest, page=self.page), self._now()
        known = self._rows_per_run.count(runs)
        try:
            if known:
                shown = self._rows_per_run.__contains__
                async for rows in history.rows_after(wire, since, END, known, shown):
                    yield Page(Batch(rows), None, began, _unknown)
                return
        except RowsShifted:
            pass  # other rows than those that were shown lie in front: all of them are read
        async for rows in history.pages(wire, since, END):
            yield Page(Batch(rows), None, began, _unknown)

    async def _read_span(
        self, history: History, span: Range, wire: Wire, confirm: bool
    ) -> AsyncIterator[Page]:
        ahead = span.before > self._now() - self._ledger.settle
        began = self._now()
        try:
            # It pays where a page or more of what the last list has shown would be shown again.
            if span.after == self._ledger.frontier and len(self._unsettled.known(span.after)) >= self.page:
                async for page in self._read_behind(history, span, wire):
                    yield page
                return
        except RowsShifted:
            pass  # a row has come in between: the range is read from its beginning
        after, stamps = span.after, list[datetime]()
        asked = self._now()
        async for rows in history.pages(
            wire, span.after, min(span.before - MICROSECOND, END), confirm=confirm
        ):
            stamps += [log.timestamp for log in rows]
            # Ties of the last timestamp may stand on the next page.
            covered = Range(after, max(after, min(rows[-1].timestamp, span.before)))
            if ahead:
                self._unsettled.add(log for log in rows if log.timestamp >= began - self._ledger.overlap)
            yield Page(Batch(rows), covered, self._sure(asked), counting(stamps))
            after, asked = covered.before, self._now()
            stamps = [stamp for stamp in stamps if stamp >= after]
        yield Page(Batch([]), Range(after, span.before), self._sure(asked), counting(stamps))
        if ahead:
            self._unsettled.finish(self._ledger.frontier, began)

    async def _read_behind(self, history: History, span: Range, wire: Wire) -> AsyncIterator[Page]:
        """Read only what lies behind the unsettled rows of the last list. Raises RowsShifted."""
        known, began = self._unsettled.known(span.after), self._now()
        stamps = list(known.values())
        before = min(span.before - MICROSECOND, END)
        async for rows in history.rows_after(
            wire, span.after, before, len(known), lambda log: log.id_text in known
        ):
            stamps += [log.timestamp for log in rows]
            self._unsettled.add(rows)
            yield Page(Batch(rows), None, began, _unknown)
        yield Page(Batch([]), span, self._sure(began), counting(sorted(stamps)))
        self._unsettled.finish(self._ledger.frontier, began)

    async def _compare(self, history: History, span: Range, wire: Wire) -> AsyncIterator[Page]:
        """Read only where other rows are stored than were delivered, found by halving.

        What is lost is mostly lost at one time. Where it is not, the rest is read without asking for its halves.
        """
        asks = 9 + self.pages_of(span) // 8
        parts = [span]
        while parts:
            part = parts.pop()
            began = self._now()
            delivered = self._delivered.count(part.after, part.before)
            middle = part.after + (part.before - part.after) / 2
            if part is not span and (asks <= 0 or self.pages_of(part) <= FEW_PAGES or middle == part.after):
                async for page in self._read_span(history, part, wire, False):
                    yield page
                continue
            asks -= 1
            if await self._more(history, part, delivered, wire) == 0:
                yield Page(Batch([]), part, self._sure(began), self._delivered.count)
            else:
                parts += [Range(middle, part.before), Range(part.after, middle)]

    async def _more(self, history: History, span: Range, rows: int, wire: Wire) -> int:
        return await history.count_more_than(wire, span.after, span.before - MICROSECOND, rows)

    def _sure(self, began: datetime) -> datetime:
        """Return when a request was sent: its answer may have corrected the server's time since, to an earlier one."""
        return min(began, self._now())

    def note_delivered(self, page: Page) -> None:
        """Count the rows of a page that was delivered."""
        if self._by_run and page.rows:
            self._rows_per_run.add(page.rows, lambda: self._now().timestamp())


def counting(stamps: list[datetime]) -> Callable[[datetime, datetime], int]:
    """Return a function that counts the sorted timestamps in a part of their range."""
    return lambda after, before: bisect_left(stamps, before) - bisect_left(stamps, after)


def _unknown(after: datetime, before: datetime) -> int:
    return 0
