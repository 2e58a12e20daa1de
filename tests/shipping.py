"""What the tests of shipping share: a Shipper with its diary, logs to ship, names of runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from otlp_receiver import OtlpReceiver
from streaming import QuickClock, within

from rawlogs.clock import Clock
from rawlogs.models import Log
from rawlogs.ship.batching import Batcher
from rawlogs.ship.dead_letters import DeadLetterFile
from rawlogs.ship.names import Api, NameCache
from rawlogs.ship.receiver import resolve
from rawlogs.ship.sender import Sender
from rawlogs.ship.shipper import Shipper
from rawlogs.ship.stats import ShipStats

RUN = UUID("11111111-2222-4333-8444-555555555555")


def log(number: int, message: str | None = None, **fields: Any) -> Log:
    """Return a log whose id is its number."""
    wire = {
        "id": str(UUID(int=number)),
        "name": "prefect.flow_runs",
        "level": 20,
        "message": f"message {number}" if message is None else message,
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "flow_run_id": str(RUN),
        "task_run_id": None,
    }
    return Log.from_wire(wire | fields)


def logs(count: int, first: int = 0) -> list[Log]:
    """Return that many logs."""
    return [log(number) for number in range(first, first + count)]


def ids(some: Sequence[Log]) -> list[str]:
    """Return the ids of these logs."""
    return [one.id_text for one in some]


class Shipping:
    """A Shipper with its diary; ``open`` are the numbers of logs that were not settled, at each call."""

    def __init__(
        self,
        sender: Any,
        *,
        shown: str = "http://receiver",
        stats: ShipStats | None = None,
        clock: Clock,
        api: Callable[[], Api | None] = lambda: None,
        dead_letters: DeadLetterFile | None = None,
        resource: Mapping[str, str] | None = None,
        **batching: Any,
    ) -> None:
        self.told: list[tuple[str, str]] = []
        self.open: list[int] = []
        self.shipper = Shipper(
            sender,
            NameCache(api, clock=clock, tell=lambda text: self._notify("warning", text)),
            shown=shown,
            batcher=Batcher(**batching),
            stats=stats or ShipStats(),
            on_settled=self.open.append,
            dead_letters=dead_letters,
            notify=self._notify,
            clock=clock,
            rng=random.Random(0),
        )
        self.shipper.resource = resource or {"service.name": "prefect"}

    @property
    def stats(self) -> ShipStats:
        return self.shipper.stats

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]

    @property
    def texts(self) -> str:
        return "\n".join(text for _, text in self.told)

    def _notify(self, kind: Any, text: str, /, **facts: Any) -> None:
        self.told.append((kind, text))

    async def ship(self, some: Sequence[Log]) -> None:
        """Take these logs, and wait until each is settled."""
        await within(self.shipper.take(some))
        await within(self.shipper.drain())


@asynccontextmanager
async def shipping(
    receiver: OtlpReceiver,
    environ: Mapping[str, str] | None = None,
    *,
    ca_file: str | None = None,
    **options: Any,
) -> AsyncIterator[Shipping]:
    """A running Shipper to that receiver, on a quick clock."""
    to = resolve(receiver.to, environ or {}, ca_file=ca_file)
    clock, stats = options.pop("clock", None) or QuickClock(), ShipStats()
    sender = Sender(to, stats=stats, environ={}, clock=clock)
    found = Shipping(sender, shown=to.shown, stats=stats, clock=clock, **options)
    running = asyncio.create_task(found.shipper.run())
    try:
        yield found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sender.close()
