"""The list read for truth: takes the looks that the window asks for, within the REST budget. It knows no socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from rawlogs.clock import Clock
from rawlogs.delivery.budget import Budget
from rawlogs.delivery.provisional import Provisional
from rawlogs.delivery.shown import Shown
from rawlogs.delivery.window import Look, Range, Window
from rawlogs.models import END, MICROSECOND, Log
from rawlogs.rest.history import History, Moved, Poster

Deliver = Callable[[list[Log]], Awaitable[int]]
"""Takes rows that were not delivered before, waits for room, answers how many passed the local filter."""


class Server(Poster, Protocol):
    """What a lister needs of the REST client."""

    def server_now(self) -> datetime: ...


class _Metered:
    """A REST client that waits for the budget before each request."""

    def __init__(self, rest: Poster, budget: Budget, clock: Clock) -> None:
        self._rest = rest
        self._budget = budget
        self._clock = clock

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        while (seconds := self._budget.wait(self._clock.monotonic())) > 0:
            await self._clock.sleep(seconds)
        self._budget.spend(self._clock.monotonic())
        return await self._rest.post(path, body)


@dataclass(slots=True)
class _Read:
    """A list on its way. Rows stamped before ``edge`` are settled; those from ``recent`` on are kept as provisional."""

    edge: datetime
    recent: datetime | None = None
    rows: int = 0
    settled: int = 0
    shown: int = 0
    """Settled rows that have been delivered by now."""
    brought: int = 0
    """Rows that had not been delivered before."""


class Lister:
    """Reads ranges of the list, hands on what is new, and tells the window what it has seen.

    ``by_run``: also count the rows of each flow run, for sweeps.
    """

    def __init__(
        self,
        rest: Server,
        window: Window,
        budget: Budget,
        *,
        clock: Clock,
        deliver: Deliver,
        progress: Any,
        by_run: bool = False,
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._budget = budget
        self._deliver = deliver
        self._progress = progress
        self.window = window
        self._by_run = by_run
        self.shown = Shown()
        self._provisional = Provisional()
        self.unsettled = False
        """A list since this was last set to False did not show yet what had come live."""
        self.history = History(_Metered(rest, budget, clock))

    def distrust(self) -> None:
        """The filter has changed: nothing that was counted or shown before tells what a list shows now."""
        self.window.distrust_counts()
        self._provisional = Provisional()

    async def take(self, look: Look, wire: Mapping[str, Any]) -> int:
        """One look; how many logs it brought. Raises HistoryError, AuthError, RedirectRefused."""
        span = look.range
        if look.kind == "count":
            began = self._begin()
            if await self._beyond(span, look.expect, wire) == 0:
                self.window.counted(span, self._no_later(began))
                return 0
        if not self._may_count(span):
            return await self.read(span, wire)
        began = self._begin()
        rows, brought = self._known(span), 0
        if await self._beyond(span, rows, wire) != 0:
            rows, brought = await self._search(span, wire)
        self._listed(span, rows, began)
        return brought

    async def read(self, span: Range, wire: Mapping[str, Any], *, confirm: bool = False) -> int:
        """Read all rows of a range; how many logs that brought."""
        began = self._begin()
        edge = self.window.edge(span, began)
        ahead = span.after <= self.window.fresh < span.before
        read = _Read(edge, began - self.window.overlap if ahead else None)
        try:
            if not self._adjoins(span):
                raise Moved
            await self._read_behind(span, wire, read)
        except Moved:
            read = _Read(edge, read.recent, brought=read.brought)
            await self._read_rows(span, wire, read, confirm=confirm)
        after = max(span.after, self.window.fresh)
        missing = self.window.seen.count(span.after, edge) - read.shown if after < edge else 0
        self._listed(span, read.settled, began, missing=max(missing, 0))
        if ahead:
            self._provisional.finish(self.window.fresh, began)
        return read.brought

    async def read_all(self, wire: Mapping[str, Any], since: datetime) -> None:
        """Read all that a filter shows, without moving the window."""
        await self._read_rows(Range(since, END + MICROSECOND), wire, _Read(END))

    async def sweep(self, run: UUID, wire: Mapping[str, Any], since: datetime) -> int:
        """Make sure that every stored row of a flow run was listed; how many of them were new.

        Where as many rows are stored as lists have shown, and those beyond were not shown yet, that is one request.
        """
        read = _Read(END)
        try:
            known = self.shown.rows(run)
            if not known:
                raise Moved
            async for page in self.history.behind(wire, since, END, known, self.shown.__contains__):
                await self._take_page(page, read)
        except Moved:
            await self._read_rows(Range(since, END + MICROSECOND), wire, read)
        return read.brought

    async def beyond(self, span: Range, wire: Mapping[str, Any]) -> int:
        """How many more rows are stored in a range than were delivered: -1 for fewer, at most a page."""
        return await self._beyond(span, self._known(span), wire)

    def affords(self, span: Range) -> bool:
        """Whether the budget pays for reading all of a range."""
        pages = self._pages(self._known(span))
        return pages <= 2 or self._budget.covers(pages, self._clock.monotonic())

    def _adjoins(self, span: Range) -> bool:
        """Whether a list of that range need not begin at its beginning, and that saves a request."""
        return span.after == self.window.fresh and len(self._provisional.known()) >= self.history.page

    async def _read_behind(self, span: Range, wire: Mapping[str, Any], read: _Read) -> None:
        known = self._provisional.known()
        for stamp, own in known.values():
            read.settled += stamp < read.edge
            read.shown += own and stamp < read.edge
        before = min(span.before - MICROSECOND, END)
        async for page in self.history.behind(
            wire, span.after, before, len(known), lambda log: log.id_text in known
        ):
            await self._take_page(page, read)

    async def _read_rows(
        self, span: Range, wire: Mapping[str, Any], read: _Read, *, confirm: bool = False
    ) -> None:
        before = min(span.before - MICROSECOND, END)
        async for page in self.history.pages(wire, span.after, before, confirm=confirm):
            await self._take_page(page, read)
            self._progress(read.rows, page[-1].timestamp)

    async def _search(self, span: Range, wire: Mapping[str, Any]) -> tuple[int, int]:
        """Read only where other rows are stored than were delivered, found by halving: (rows, how many were new).

        What is lost is mostly lost at one time. Where it is not, the rest is read without asking for its halves.
        """
        rows = brought = 0
        asks = 8 + self._pages(self._known(span)) // 8
        parts = [span]
        while parts:
            part = parts.pop()
            middle = part.after + (part.before - part.after) / 2
            if asks <= 0 or self._pages(self._known(part)) <= 2 or middle == part.after:
                read = _Read(part.before)
                await self._read_rows(part, wire, read)
                rows, brought = rows + read.rows, brought + read.brought
                continue
            younger, older = Range(middle, part.before), Range(part.after, middle)
            asks -= 1
            known = self._known(older)
            if await self._beyond(older, known, wire) == 0:
                rows += known
                parts.append(younger)
                continue
            asks -= 1
            known = self._known(younger)
            if await self._beyond(younger, known, wire) == 0:
                rows += known
            else:
                parts.append(younger)
            parts.append(older)
        return rows, brought

    async def _take_page(self, page: list[Log], read: _Read) -> None:
        read.brought += await self._hand_on(page)
        read.rows += len(page)
        seen = self.window.seen
        settled = [log for log in page if log.timestamp < read.edge]
        read.settled += len(settled)
        read.shown += sum(log in seen for log in settled)
        if read.recent is not None:
            recent = read.recent
            self._provisional.add((log, log in seen) for log in page if log.timestamp >= recent)
        if self._by_run:
            self.shown.add(page, self._rest.server_now().timestamp())

    async def _hand_on(self, page: list[Log]) -> int:
        window, now = self.window, self._rest.server_now()
        own = [log for log in page if not window.is_past(log) and not window.vouched(log, now)]
        new = window.seen.admit(own, now.timestamp())
        if not new:
            return 0
        self._budget.refund()
        try:
            return await self._deliver(new)
        except BaseException:
            window.seen.withdraw(new)  # a later list has to bring them
            raise

    def _begin(self) -> datetime:
        """A list begins now, by the server's clock."""
        self.window.reading()
        return self._rest.server_now()

    def _no_later(self, began: datetime) -> datetime:
        """When a list began, told after its answer: where our clock was set on meanwhile, the answer has said so."""
        return min(began, self._rest.server_now())

    def _listed(self, span: Range, rows: int, began: datetime, *, missing: int = 0) -> None:
        sure = self._no_later(began)
        if not self.window.listed(span, rows if sure == began else None, sure, missing=missing):
            self.unsettled = True

    async def _beyond(self, span: Range, rows: int, wire: Mapping[str, Any]) -> int:
        return await self.history.beyond(wire, span.after, span.before - MICROSECOND, rows)

    def _known(self, span: Range) -> int:
        return self.window.seen.count(span.after, span.before)

    def _pages(self, rows: int) -> int:
        return rows // self.history.page + 1

    def _may_count(self, span: Range) -> bool:
        """Whether to compare counts first, because reading all pages would cost more than the budget has.

        A count can be fooled where logs were streamed whose transaction was then rolled back and as many others were
        lost, so rows are read wherever the budget allows it (docs/delivery.md).
        """
        if span.before > self.window.edge(span, self._rest.server_now()):
            return False
        pages = self._pages(self._known(span))
        return pages > 2 and not self._budget.covers(pages, self._clock.monotonic())
