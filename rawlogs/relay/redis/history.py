"""Stored logs: from Redis what is complete there, from Prefect's list what is older, younger, or too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from rawlogs.errors import ConnectError
from rawlogs.models import END, MICROSECOND, Log
from rawlogs.relay.redis.store import EntryId, State, Store
from rawlogs.relay.source import NotKept

if TYPE_CHECKING:
    from rawlogs.filters import Selection
    from rawlogs.relay.prefect import PrefectSource

MOST_ROWS = 5000
"""So many rows are read from Redis; more than that Prefect finds faster, as it can filter."""
READS = 4


class RedisHistory:
    """The list behind the stream in Redis; ``prefect`` is None where there is no access to it."""

    def __init__(self, store: Store, prefect: PrefectSource | None) -> None:
        self._store = store
        self._prefect = prefect
        self._gate = asyncio.Semaphore(READS)

    async def read(
        self, selection: Selection, after: datetime, before: datetime, newest_first: bool
    ) -> AsyncGenerator[list[Log], None]:
        """Yield what ``Source.history`` does. Redis has all from ``covered`` up to the low-water mark."""
        state = await self._state()
        top = before
        if self._prefect is not None:
            inside = state is not None and await self._worth_it(state, after, before)
            if state is None or not inside:
                async for page in self._listed(selection, after, before, newest_first):
                    yield page
                return
            top = min(before, state.low - MICROSECOND)
        if newest_first and top < before:
            async for page in self._listed(selection, top + MICROSECOND, before, True):
                yield page
        async for page in self._stored(selection, after, top, newest_first):
            yield page
        if not newest_first and top < before:
            async for page in self._listed(selection, max(after, top + MICROSECOND), before, False):
                yield page

    async def _state(self) -> State | None:
        try:
            return await self._store.state()
        except ConnectError:
            if self._prefect is None:
                raise
            return None

    async def _worth_it(self, state: State, after: datetime, before: datetime) -> bool:
        low, high = max(after, state.covered), min(before, state.low - MICROSECOND)
        return low <= high and 0 < await self._store.count(low, high) <= MOST_ROWS

    async def _stored(
        self, selection: Selection, after: datetime, before: datetime, newest_first: bool
    ) -> AsyncGenerator[list[Log], None]:
        """Yield rows from Redis, page by page; what it has trimmed meanwhile comes from elsewhere."""
        at: dict[EntryId, None] = {}  # what was read of the timestamp at which the next page begins
        missing: datetime | None = None  # what was not kept lies before this moment
        while after <= before:
            state = await self._state()
            kept = state.covered if state is not None else END
            if not newest_first and kept > after:
                missing = kept
                async for page in self._listed(selection, after, min(kept - MICROSECOND, before), False):
                    yield page
                after, at = kept, {}
                continue
            async with self._gate:
                entries = await self._store.page(
                    max(after, kept), before, list(at), newest_first=newest_first
                )
            if not entries:
                break
            yield [entry.log for entry in entries]
            last = entries[-1].log.timestamp
            if last != (before if newest_first else after):
                at = {}
                after, before = (after, last) if newest_first else (last, before)
            at |= {entry.id: None for entry in entries if entry.log.timestamp == last}
        if newest_first and after < (kept := await self._covered()):
            missing = kept
            async for page in self._listed(selection, after, min(kept - MICROSECOND, before), True):
                yield page
        if missing is not None and self._prefect is None:
            raise NotKept(missing)

    async def _covered(self) -> datetime:
        state = await self._state()
        return state.covered if state is not None else END

    async def _listed(
        self, selection: Selection, after: datetime, before: datetime, newest_first: bool
    ) -> AsyncGenerator[list[Log], None]:
        if self._prefect is not None and after <= before:
            pages = self._prefect.history(selection, after, before, newest_first=newest_first)
            async with aclosing(pages):
                async for page in pages:
                    yield page
