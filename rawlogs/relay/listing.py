"""What a reader has to read from the list: one range, read to its end whatever fails meanwhile. No cursor, no queue."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from rawlogs.errors import RawlogsError
from rawlogs.models import END, Log
from rawlogs.relay.source import NotKept

if TYPE_CHECKING:
    from rawlogs.relay.source import Source
    from rawlogs.selection import Selection

Why = Literal["backlog", "gap", "runs", "sweep"]
MOST_LISTED_RUNS = 500
"""Beyond so many runs the whole range is read and chosen from here: a URL, or a body, has its limits."""
MOST_TAIL_ROWS = 100_000
"""How many rows a tail looks through at most, where only few of them are chosen."""


@dataclass(slots=True)
class Listing:
    """A range: from ``after`` on; with ``tail`` only so many of the newest that are chosen.

    ``runs``: those alone, of which nothing was sent before. ``brought`` counts what was sent.
    """

    why: Why
    after: datetime
    tail: int | None = None
    runs: frozenset[UUID] | None = None
    brought: int = 0


async def read(
    source: Source, selection: Selection, listing: Listing, chosen: Callable[[Log], bool]
) -> AsyncGenerator[list[Log] | RawlogsError, None]:
    """Yield the chosen rows of a range, in order of time, page by page (pages may be empty).

    A failure is yielded, not raised: the caller waits as it sees fit, and asks on. What was read is not read again.
    After NotKept nothing is left to ask for: the range is read as far as it is there.
    """
    if listing.tail is not None:
        async for outcome in _tail(source, selection, listing, listing.tail, chosen):
            yield outcome
        return
    at: set[str] = set()  # the rows stamped exactly ``listing.after`` that were read
    while True:
        try:
            async with aclosing(_pages(source, selection, listing.after)) as pages:
                async for page in pages:
                    rows = [log for log in page if log.id_text not in at and chosen(log)]
                    last = page[-1].timestamp
                    if last != listing.after:
                        listing.after, at = last, set()
                    at.update(log.id_text for log in page if log.timestamp == last)
                    yield rows
            return
        except RawlogsError as error:
            failure = error
        yield failure
        if isinstance(failure, NotKept):
            return


async def _tail(
    source: Source, selection: Selection, listing: Listing, tail: int, chosen: Callable[[Log], bool]
) -> AsyncGenerator[list[Log] | RawlogsError, None]:
    while True:
        kept: list[Log] = []
        looked = 0
        try:
            async with aclosing(_pages(source, selection, listing.after, newest_first=True)) as pages:
                async for page in pages:
                    kept += [log for log in page if chosen(log)]
                    looked += len(page)
                    if len(kept) >= tail or looked >= MOST_TAIL_ROWS:
                        break
            yield kept[:tail][::-1]
            return
        except NotKept as error:
            yield error
            yield kept[:tail][::-1]
            return
        except RawlogsError as error:
            failure = error
        yield failure


async def _pages(
    source: Source, selection: Selection, after: datetime, *, newest_first: bool = False
) -> AsyncGenerator[list[Log], None]:
    async for page in source.history(selection, after, END, newest_first=newest_first):
        if page:
            yield page


class Listed:
    """Ids of rows that the live sequence may still bring: those stamped at or after its low-water mark."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._youngest: datetime | None = None

    def __contains__(self, log_id: str) -> bool:
        return log_id in self._ids

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, log: Log) -> None:
        self._ids.add(log.id_text)
        if self._youngest is None or log.timestamp > self._youngest:
            self._youngest = log.timestamp

    def settle(self, low: datetime) -> None:
        """Forget all when the sequence has brought whatever it will bring of them."""
        if self._youngest is not None and self._youngest < low:
            self._ids, self._youngest = set(), None
