"""The list read for truth: takes the looks that the window asks for, within the REST budget. It knows no socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from rawlogs.clock import Clock
from rawlogs.delivery.budget import Budget
from rawlogs.delivery.window import Look, Range, Window
from rawlogs.models import END, MICROSECOND, Log
from rawlogs.rest.history import History, Poster

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


class Lister:
    """Reads ranges of the list, hands on what is new, and tells the window what it has seen."""

    def __init__(
        self, rest: Server, window: Window, budget: Budget, *, clock: Clock, deliver: Deliver, progress: Any
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._budget = budget
        self._deliver = deliver
        self._progress = progress
        self.window = window
        self.unsettled = False
        """The last list did not show yet what had come live."""
        self.history = History(_Metered(rest, budget, clock))

    async def take(self, look: Look, wire: Mapping[str, Any]) -> int:
        """One look; how many logs it brought. Raises HistoryError, AuthError, RedirectRefused."""
        began = self._rest.server_now()
        if look.kind == "count":
            span = look.range
            more = await self.history.beyond(wire, span.after, span.before - MICROSECOND, look.expect)
            if more == 0:
                self.window.counted(span, began)
                return 0
        elif self._may_count(look.range, began):
            more = await self.history.beyond(
                wire, look.range.after, look.range.before - MICROSECOND, self._known(look.range)
            )
            if more == 0:
                self.window.listed(look.range, self._known(look.range), began)
                return 0
        return await self.read(look.range, wire)

    async def read(self, span: Range, wire: Mapping[str, Any], *, confirm: bool = False) -> int:
        """Read all rows of a range; how many logs that brought."""
        began = self._rest.server_now()
        edge = self.window.edge(span, began)
        settled = brought = total = shown = 0
        async for page in self.history.pages(
            wire, span.after, min(span.before - MICROSECOND, END), confirm=confirm
        ):
            total += len(page)
            settled += sum(log.timestamp < edge for log in page)
            brought += await self._hand_on(page)
            shown += sum(log.timestamp < edge and log in self.window.seen for log in page)
            self._progress(total, page[-1].timestamp)
        after = max(span.after, self.window.fresh)
        missing = self.window.seen.count(span.after, edge) - shown if after < edge else 0
        self.unsettled = not self.window.listed(span, settled, began, missing=max(missing, 0))
        return brought

    async def read_runs(self, wire: Mapping[str, Any], since: datetime) -> tuple[int, int]:
        """Read all that a filter shows, without moving the window: (rows, how many of them were new)."""
        brought = total = 0
        async for page in self.history.pages(wire, since, END):
            total += len(page)
            brought += await self._hand_on(page)
            self._progress(total, page[-1].timestamp)
        return total, brought

    async def _hand_on(self, page: list[Log]) -> int:
        window, now = self.window, self._rest.server_now()
        own = [log for log in page if not window.is_past(log)]
        unknown = [log for log in own if log in window.seen or not window.vouched(log, now)]
        new = window.seen.admit(unknown, now.timestamp())
        if not new:
            return 0
        self._budget.refund()
        return await self._deliver(new)

    def _known(self, span: Range) -> int:
        return self.window.seen.count(span.after, span.before)

    def _may_count(self, span: Range, now: datetime) -> bool:
        """Whether to compare counts first, because reading all pages would cost more than the budget has.

        A count can be fooled where logs were streamed whose transaction was then rolled back and as many others were
        lost, so rows are read wherever the budget allows it (docs/delivery.md).
        """
        if span.before > self.window.edge(span, now):
            return False
        pages = self._known(span) // self.history.page + 1
        return pages > 2 and not self._budget.covers(pages, self._clock.monotonic())
