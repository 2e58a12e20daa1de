"""Who may read what: one hook for every way to the browser, which denies until it is given, and is asked again."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from rawlogs.relay.query import Query

if TYPE_CHECKING:
    from rawlogs.clock import Clock
    from rawlogs.relay.reader import Reader

T = TypeVar("T")
Authorize = Callable[[T, Query], bool | Awaitable[bool]]
"""Called with the request (or scope) and the query, before anything is read; True lets the reader in.

It is called again every ``RECHECK`` seconds while the reader reads, as for one that comes back: ``query.resumes`` is
then where it stands.
"""
RECHECK = 60.0
"""Seconds after which a right is asked for again."""
LONGEST_ANSWER = 30.0
"""Seconds after which a hook that was asked again and does not answer counts as one that failed."""
_log = logging.getLogger("rawlogs.relay")


async def allowed(authorize: Callable[[Any, Query], Any] | None, who: Any, query: Query) -> bool:
    """Whether the hook says exactly True; without a hook nobody is let in."""
    if authorize is None:
        return False
    answer = authorize(who, query)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer is True


class Recheck:
    """Asks the hook again for one reader, and closes the reader where the right is gone.

    ``ask`` is given the query that the reader would come back with. ``denied`` says whether the reader was closed here.
    """

    def __init__(
        self, reader: Reader, ask: Callable[[Query], Awaitable[bool]], seconds: float | None, clock: Clock
    ) -> None:
        self._reader = reader
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.denied = False

    def start(self) -> None:
        """Ask from now on; never where ``seconds`` is None."""
        if self._seconds is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(self._seconds))

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            reader = self._reader
            cursor = reader.cursor
            query = reader.query if cursor is None else replace(reader.query, resumes=cursor.low)
            try:
                still = await asyncio.wait_for(self._ask(query), LONGEST_ANSWER)
            except Exception:
                # Whoever cannot be asked about does not go on reading.
                _log.exception("the right of a log reader could not be asked for again; it is let go")
                still = False
            if not still:
                self.denied = True
                reader.close()
                return


def recheck_seconds(value: float | None) -> float | None:
    """Return the seconds between two questions; None for never. Raises ValueError for what is no such time."""
    if value is not None and not value > 0:
        raise ValueError("recheck is a number of seconds above 0, or None for never")
    return value
