"""The relay that fills Redis: one stream of the whole workspace, one relay at a time, the others standing by.

    stands by -> takes the lease -> resumes the stream where Redis says -> writes -> loses the lease -> stands by

Logs, their ids and the position go to Redis in one step, so a relay that dies between two steps has neither lost nor
repeated anything: the next one lists from the position, and Redis leaves out the ids that it has.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rawlogs.api import stream
from rawlogs.clock import Clock, SystemClock
from rawlogs.cursor import Resume
from rawlogs.errors import RawlogsError
from rawlogs.health.metrics import Metric, gauge, stream_metrics
from rawlogs.health.report import Health, relay_health
from rawlogs.notices import Kind, Notice, OnNotice
from rawlogs.relay.redis.store import Retention, Store, WriterPosition, workspace_name
from rawlogs.relay.redis.writer import Lease, LeaseLost, Writer
from rawlogs.relay.source import is_trouble
from rawlogs.waiting import first_of

if TYPE_CHECKING:
    from rawlogs.delivery.stream import LogStream


class RedisRelay:
    """Writes the logs of one workspace to Redis until ``run`` is cancelled.

    name: what readers know the workspace by; None: derived from the API's URL.
    lease: seconds after which another relay takes over from one that died.
    since: how far before its start the very first relay begins; later ones go on where the last one was.
    ``options`` are those of the stream, ``access`` what ``rawlogs.stream`` takes. Raises ConfigError.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        lease: float = 3.0,
        keep: Retention | None = None,
        since: timedelta = timedelta(seconds=60),
        options: Mapping[str, Any] | None = None,
        on_notice: OnNotice | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        **access: Any,
    ) -> None:
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._on_notice = on_notice
        self._since = since
        self._keep = keep or Retention()
        self._open = partial(
            stream,
            **{"retries": None, "wait": True, **(options or {}), "track": True},
            on_notice=self._on_stream_notice,
            clock=self._clock,
            **access,
        )
        name = name or workspace_name(self._open().settings.api_url)
        self.store = Store(url, name, timeout=max(lease, 1.0))
        self._lease = Lease(self.store, lease, clock=self._clock, rng=self._rng)
        self._low: datetime | None = None
        self._trouble = ""
        self._standing_by = self._redis_lost = False
        self._logs: LogStream | None = None
        """What it writes from; None while it does not."""

    def health(self) -> Health:
        """Return whether it writes, or stands by to."""
        vitals = self._logs.vitals() if self._logs is not None else None
        return relay_health(vitals, standing_by=self._standing_by, redis_lost=self._redis_lost)

    def metrics(self) -> list[Metric]:
        """Return the metrics of the stream that it writes; each turn of writing begins at 0."""
        logs = self._logs
        writing = gauge(
            "relay_writing", "Whether this relay writes; 0: it stands by.", float(logs is not None)
        )
        return [writing, *(stream_metrics(logs.vitals()) if logs is not None else ())]

    async def run(self) -> None:
        """Relay for ever. Raises AuthError and ConfigError of Redis, and what ends a stream for good."""
        try:
            while True:
                standing = await self._lease.wait(self._tell_standing_by, self._tell_redis)
                try:
                    await self._serve(standing)
                except LeaseLost as why:
                    self._notify("state", f"stopped writing: {why}")
                finally:
                    await asyncio.shield(self._lease.give_up())
        finally:
            await self.store.close()

    async def _serve(self, standing: WriterPosition) -> None:
        """Write for one turn: from taking the lease to losing it."""
        # A Redis that came back empty knows no position; then this relay's own is the best there is.
        low = standing.low or self._low
        begin = low or self._clock.now() - self._since
        self._standing_by, self._trouble = False, ""
        self._notify(
            "state", f"writing to Redis at {self.store.client.address}, as {self.store.name}", since=begin
        )
        logs = self._logs = self._open(since=begin)
        if low is not None:
            logs.resume(Resume(low, (), self._clock.now()))
        position: list[LogStream] = []
        writer = Writer(
            self.store,
            self._lease,
            standing,
            begin=begin,
            keep=self._keep,
            position=lambda: position[0].low_water() if position else None,
            trouble=lambda: self._trouble,
            on_error=self._tell_redis,
            clock=self._clock,
            rng=self._rng,
        )

        async def pump() -> None:
            async with logs:
                position.append(logs)
                await writer.write([])
                async for batch in logs.batches():
                    await writer.write(batch)
                    logs.commit()

        try:
            await first_of(pump(), writer.heartbeat())
        finally:
            self._logs, self._low = None, writer.low or self._low
            self._notify("account", logs.stats.line(), delivered=logs.stats.delivered)

    # What is told

    def _on_stream_notice(self, notice: Notice) -> None:
        if (trouble := is_trouble(notice)) is not None:
            self._trouble = "unreachable" if trouble else ""
        if self._on_notice is not None:
            self._on_notice(notice)

    def _tell_standing_by(self) -> None:
        if not self._standing_by:
            self._standing_by = True
            self._notify("state", f"standing by: another relay writes to {self.store.client.address}")

    def _tell_redis(self, error: RawlogsError | None, seconds: float) -> None:
        if error is not None:
            self._redis_lost = True
            self._notify("retrying", f"{error.text}; trying again", seconds=seconds)
        elif self._redis_lost:
            self._redis_lost = False
            self._notify("state", f"Redis at {self.store.client.address} answers again")

    def _notify(self, kind: Kind, text: str, **facts: Any) -> None:
        if self._on_notice is not None:
            self._on_notice(Notice(kind, text, self._clock.now(), facts))
