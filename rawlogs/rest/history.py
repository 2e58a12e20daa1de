"""The REST list of logs, page by page, by time. It knows pages; which range to list is the ledger's decision.

Prefect sorts by timestamp alone, so equal timestamps have no promised order, and rows come and go while pages are
read. A page therefore begins at the last timestamp of the page before (inclusive) and skips, by offset, the rows of
that one timestamp that were read, except the last: that row must come again. Where it does not, or a row comes twice,
something moved, and that one timestamp is read on its own until as many rows are known as a whole pass shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from rawlogs.errors import HistoryError
from rawlogs.models import BEGINNING, END, MICROSECOND, Log
from rawlogs.rest.body import AnswerTooLarge
from rawlogs.rest.responses import page_limit

DEFAULT_PAGE = 200
"""Prefect's default and maximum (PREFECT_SERVER_API_DEFAULT_LIMIT); a server with a lower one says so with 422."""
SMALLEST = 2
PASSES = 50
LEAST_PASSES = 3


class RowsShifted(Exception):
    """The rows that were known are not the first of the range any more."""


class Poster(Protocol):
    """What a history needs of the REST client."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Any: ...


class History:
    """``POST /logs/filter`` of one API."""

    def __init__(self, rest: Poster, *, page: int = DEFAULT_PAGE) -> None:
        self._rest = rest
        self._most = page
        self._large = False
        self.page = page

    async def pages(
        self,
        wire: Mapping[str, Any],
        after: datetime,
        before: datetime,
        *,
        newest_first: bool = False,
        confirm: bool = False,
    ) -> AsyncIterator[list[Log]]:
        """Yield all rows stamped from ``after`` to ``before`` (both inclusive), in order, each once.

        ``confirm`` reads once more after a short last page. Raises HistoryError, AuthError, RedirectRefused.
        """
        step = -MICROSECOND if newest_first else MICROSECOND
        stamp = before if newest_first else after
        known: dict[str, None] = {}  # what was read of this timestamp
        anchor: str | None = None  # the last of them, which must come again
        while after <= stamp <= before:
            low, high = (after, stamp) if newest_first else (stamp, before)
            if self.page == 1:
                anchor = None  # a page of one row has no room for one that was read
            rows, asked = await self._read(wire, low, high, len(known) - (anchor is not None), newest_first)
            if asked == 1 and anchor is not None:
                continue  # the limit was lowered by this very request, which shows the known row alone
            full = len(rows) == asked
            moved = anchor is not None and (not rows or rows[0].id_text != anchor)
            rows = rows if anchor is None else rows[1:]
            if moved or any(row.id_text in known for row in rows):
                async for page in self._one_timestamp(wire, stamp, known):
                    yield page
                stamp, known, anchor = stamp + step, {}, None
                continue
            if rows:
                yield rows
            if not rows or not (full or confirm):
                return
            if rows[-1].timestamp != stamp:
                stamp, known = rows[-1].timestamp, {}
            known.update((row.id_text, None) for row in rows if row.timestamp == stamp)
            anchor = rows[-1].id_text

    async def _one_timestamp(
        self, wire: Mapping[str, Any], stamp: datetime, known: dict[str, None]
    ) -> AsyncIterator[list[Log]]:
        """Yield the rows of one timestamp that are not among ``known``, whatever order each request shows them in."""
        total = 0
        for attempt in range(PASSES):
            total, last, steady = 0, None, self.page > 1
            passed: set[str] = set()
            full = True
            while full:
                overlap = last is not None and self.page > 1
                rows, asked = await self._read(wire, stamp, stamp, total - overlap, False)
                if asked == 1 and overlap:
                    continue
                full = len(rows) == asked
                if overlap:
                    steady = steady and bool(rows) and rows[0].id_text == last
                    rows = rows[1:]
                steady = steady and not any(row.id_text in passed for row in rows)
                passed.update(row.id_text for row in rows)
                total += len(rows)
                # Where the offset is not honoured, the same rows come for ever.
                full = full and total <= 2 * (len(known) + self.page)
                last = rows[-1].id_text if rows else last
                if new := [row for row in rows if row.id_text not in known]:
                    known.update((row.id_text, None) for row in new)
                    yield new
            # A pass in which every page went on where the last one ended has seen all. Where no pass does, the
            # order changes with each request: then as many rows must be known as a pass shows.
            if steady or (attempt >= LEAST_PASSES and len(known) >= total):
                return
        raise HistoryError(
            f"The {total} logs stamped {stamp.isoformat()} come in another order with every request",
            transient=True,
        )

    async def newest(self, wire: Mapping[str, Any], before: datetime) -> list[Log]:
        """Return one page of the newest rows stamped at or before ``before``, newest first."""
        rows, _ = await self._read(wire, BEGINNING, before, 0, True)
        return rows

    async def count_more_than(
        self, wire: Mapping[str, Any], after: datetime, before: datetime, rows: int
    ) -> int:
        """Return how many more than ``rows`` rows there are in that range: -1 for fewer, and at most a page."""
        offset = max(rows - 1, 0)
        found, asked = await self._read(wire, after, before, offset, False)
        if found and rows and asked == 1:  # a page of one row has no room for the row that is known
            found, _ = await self._read(wire, after, before, rows, False)
            return len(found)
        return len(found) - (1 if rows else 0)

    async def rows_after(
        self,
        wire: Mapping[str, Any],
        after: datetime,
        before: datetime,
        rows: int,
        knows: Callable[[Log], bool],
    ) -> AsyncIterator[list[Log]]:
        """Yield the rows of that range after ``rows`` known ones (at least 1), page by page.

        When it ends, every row of the range is known or was shown: as many lie before as are known, and none of those
        lies after them. Raises RowsShifted where that is not so, however many pages it has shown by then.
        """
        offset, anchor = rows - 1, None
        passed: set[str] = set()
        while self.page > 1:
            page, asked = await self._read(wire, after, before, offset, False)
            if not page or not (knows(page[0]) if anchor is None else page[0].id_text == anchor):
                break
            found = page[1:]
            if any(row.id_text in passed or knows(row) for row in found):
                break
            if found:
                yield found
            if len(page) < asked:
                return
            passed.update(row.id_text for row in found)
            offset, anchor = offset + len(found), page[-1].id_text
        raise RowsShifted

    async def _read(
        self, wire: Mapping[str, Any], after: datetime, before: datetime, offset: int, newest_first: bool
    ) -> tuple[list[Log], int]:
        """Return one page, and how many rows were asked for: ``page`` may change while others read."""
        sort = "TIMESTAMP_DESC" if newest_first else "TIMESTAMP_ASC"
        stamps = {}
        if after > BEGINNING:
            stamps["after_"] = after.isoformat()
        if before < END:
            stamps["before_"] = before.isoformat()
        self._grow()
        while True:
            body = {
                "logs": {**wire, "timestamp": stamps},
                "sort": sort,
                "limit": (asked := self.page),
                "offset": offset,
            }
            try:
                return [_row(row) for row in _rows(await self._rest.post("/logs/filter", body))], asked
            except HistoryError as error:
                self._shrink(error, asked)

    def _shrink(self, error: HistoryError, asked: int) -> None:
        """Ask for fewer rows than ``asked`` from now on, where that may help; raises the error where it cannot."""
        if isinstance(error, AnswerTooLarge) and asked > SMALLEST:
            # Messages may have megabytes. One row of each page overlaps, so two are the fewest that get on.
            self.page = max(asked // 2, SMALLEST)
            self._large = True
            return
        lower = page_limit(error)
        if lower is None or lower >= asked:
            raise error
        self._most = min(self._most, lower)
        self.page = min(self.page, lower)

    def _grow(self) -> None:
        """Ask for more rows again after a page that was too large: it was one place of the list."""
        if self._large:
            self.page = min(self.page * 2, self._most)
            self._large = self.page < self._most


def _rows(answer: Any) -> list[Any]:
    if type(answer) is not list:
        raise HistoryError("The log list is not a JSON list", transient=True)
    return answer


def _row(row: Any) -> Log:
    try:
        return Log.from_wire(row)
    except ValueError as error:
        raise HistoryError(f"A row of the log list cannot be read: {error}", transient=True) from None
