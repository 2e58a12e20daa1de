"""Who may write to Redis (``Lease``), and one relay's turn of writing (``Writer``).

One relay writes at a time, by a lease in Redis that expires when its holder is gone.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from rawlogs.backoff import delay
from rawlogs.clock import Clock
from rawlogs.errors import ConfigError, ConnectError, RawlogsError
from rawlogs.models import Log
from rawlogs.relay.redis.store import SLACK, Retention, Row, Store, WriterPosition, chunks, row

SHORTEST_LEASE = 0.2
"""Seconds."""


class Lease:
    """The lease of one relay. Every write carries ``token`` and extends the lease; Redis refuses any other token.

    So nothing depends on this process noticing in time that it is not the holder any more.
    """

    def __init__(self, store: Store, seconds: float, *, clock: Clock, rng: random.Random) -> None:
        if seconds < SHORTEST_LEASE:
            raise ConfigError(f"a lease of less than {SHORTEST_LEASE} s cannot be held", setting="--lease")
        self._store = store
        self._clock = clock
        self._rng = rng
        self.seconds = seconds
        self.token = ""

    @property
    def third(self) -> float:
        """Return the seconds after which it has to be extended: two attempts may fail."""
        return self.seconds / 3

    async def wait(
        self, on_busy: Callable[[], None], on_error: Callable[[RawlogsError | None, float], None]
    ) -> WriterPosition:
        """Wait until the lease is free, and take it. Raises AuthError and ConfigError of Redis.

        ``on_busy`` is called whenever another relay has it; ``on_error`` when Redis does not answer (None: again).
        """
        self.token = secrets.token_hex(8)
        failures = 0
        while True:
            try:
                standing = await self._store.take(self.token, self.seconds)
            except ConnectError as error:
                seconds = delay(failures, 0.0, self._rng)
                failures += 1
                on_error(error, seconds)
                await self._clock.sleep(seconds)
                continue
            if failures:
                failures = 0
                on_error(None, 0.0)
            if standing is not None:
                return standing
            on_busy()
            await self._clock.sleep(self.third * self._rng.uniform(0.5, 1.0))

    async def regain(self) -> WriterPosition | None:
        """Take it again after it has expired; None where another relay has it. Raises ConnectError."""
        self.token = secrets.token_hex(8)
        return await self._store.take(self.token, self.seconds)

    async def give_up(self) -> None:
        """Let the next one have it at once; where Redis does not answer, it expires."""
        with suppress(RawlogsError):
            await self._store.give_up(self.token)


class LeaseLost(Exception):
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
        standing: WriterPosition,
        *,
        begin: datetime,
        keep: Retention,
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
        self.low: datetime | None = None
        """The latest low-water mark that was written, or is being written."""
        self._highest: datetime | None = standing.low

    async def write(self, logs: Sequence[Log]) -> None:
        """Come back when these logs are in Redis; tries again until they are. Raises LeaseLost."""
        async with self._one_by_one:
            for rows in chunks([row(log) for log in logs]):
                await self._put(rows)

    async def heartbeat(self) -> None:
        """Extend the lease, move the low-water mark on, and trim, for ever and also while no logs come."""
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
                    raise LeaseLost("Redis is not where this relay had left it")
                standing = await self._lease.regain()
                if standing is None:
                    raise LeaseLost("another relay writes now")
                if standing.mark not in (self._mark, mark):
                    raise LeaseLost("another relay has written meanwhile, or Redis has lost what was written")
            except ConnectError as error:
                seconds = delay(failures, 0.0, self._rng)
                failures += 1
                self._on_error(error, seconds)
                await self._clock.sleep(seconds)
        self._mark = mark
        if failures:
            self._on_error(None, 0.0)

    def _find_low(self) -> datetime | None:
        """Return the low-water mark.

        A late log that waits to be written takes it back, but not by more than the ids in Redis allow.
        """
        low = self._position()
        if low is not None:
            self._highest = low if self._highest is None else max(self._highest, low)
            self.low = max(low, self._highest - SLACK)
        return self.low
