"""One relay's turn of writing: batches into Redis, each with the position behind it, whatever Redis does meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime

from rawlogs.clock import Clock
from rawlogs.delivery.retry import delay
from rawlogs.errors import ConnectError, RawlogsError
from rawlogs.models import Log
from rawlogs.relay.redis_lease import Lease
from rawlogs.relay.redis_store import SLACK, Keep, Row, Standing, Store, chunks, row

REFRESH = 1.0
"""How old the low-water mark may be, in seconds: finding it costs more than a batch."""


class Superseded(Exception):
    """This turn has ended: another relay writes, or Redis is not where this one had left it. Nothing is lost by it."""


class Writer:
    """Writes for as long as nobody else has written; made when the lease was taken.

    position: the stream's low-water mark, None while it has none.
    trouble: what keeps the stream from going on, for readers; empty while it goes on.
    on_error: called when Redis does not answer, with the seconds until the next try; with None when it does again.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        standing: Standing,
        *,
        begin: datetime,
        keep: Keep,
        position: Callable[[], datetime | None],
        trouble: Callable[[], str],
        on_error: Callable[[RawlogsError | None, float], None],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store = store
        self._lease = lease
        self._mark = standing.mark
        self._begin = begin
        self._keep = keep
        self._position = position
        self._trouble = trouble
        self._on_error = on_error
        self._clock = clock
        self._rng = rng
        self._one_by_one = asyncio.Lock()
        self._writes = 0
        self._low_at = float("-inf")
        self._low_cost = 0.0
        self.low: datetime | None = None
        """The latest low-water mark that was written, or is being written."""
        self._highest: datetime | None = standing.low

    async def write(self, logs: Sequence[Log]) -> None:
        """Come back when these logs are in Redis; tries again until they are. Raises Superseded."""
        async with self._one_by_one:
            for rows in chunks([row(log) for log in logs]):
                await self._put(rows)

    async def beat(self) -> None:
        """For ever: extend the lease, move the low-water mark on, trim, also while no logs come."""
        while True:
            await self._clock.sleep(self._lease.third)
            await self.write([])

    async def _put(self, rows: Sequence[Row]) -> None:
        self._writes += 1
        mark = f"{self._lease.token}:{self._writes}"
        low = self._find_low()
        failures = 0
        while True:
            try:
                outcome = await self._store.write(
                    rows,
                    token=self._lease.token,
                    before=self._mark,
                    mark=mark,
                    lease=self._lease.seconds,
                    low=low,
                    begin=self._begin,
                    trouble=self._trouble(),
                    keep=self._keep,
                )
                if outcome == "written":
                    break
                if outcome == "changed":
                    raise Superseded("Redis is not where this relay had left it")
                standing = await self._lease.regain()
                if standing is None:
                    raise Superseded("another relay writes now")
                if standing.mark not in (self._mark, mark):
                    raise Superseded(
                        "another relay has written meanwhile, or Redis has lost what was written"
                    )
            except ConnectError as error:
                seconds = delay(failures, 0.0, self._rng)
                failures += 1
                self._on_error(error, seconds)
                await self._clock.sleep(seconds)
        self._mark = mark
        if failures:
            self._on_error(None, 0.0)

    def _find_low(self) -> datetime | None:
        """The low-water mark, found anew once a second at most, and not more than a small part of the time.

        A late log that waits to be written takes it back, but not by more than the ids in Redis allow.
        """
        now = self._clock.monotonic()
        if now - self._low_at < max(REFRESH, 20 * self._low_cost):
            return self.low
        low = self._position()
        if low is not None:
            self._highest = low if self._highest is None else max(self._highest, low)
            self.low = max(low, self._highest - SLACK)
            self._low_at = self._clock.monotonic()
            self._low_cost = self._low_at - now
        return self.low
