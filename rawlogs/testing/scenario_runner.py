"""Runs a scenario: lets a FakeServer produce logs, and fail as the scenario says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from rawlogs.testing.scenario import Action, Scenario
from rawlogs.testing.server import FakeServer

OnStored = Callable[[Mapping[str, Any]], None]
"""Called with each log that was stored, as REST shows it."""


async def run(
    server: FakeServer, scenario: Scenario, *, seed: int = 0, on_stored: OnStored | None = None
) -> None:
    """Produce the scenario's logs on a running server, with its faults; return when all are stored."""
    for fault in scenario.faults:
        server.fault(fault.where, fault.step, connection=fault.connection, path=fault.path, times=fault.times)
    acting = [asyncio.create_task(_act(server, action)) for action in scenario.actions]
    try:
        await _produce(server, scenario, random.Random(seed), on_stored)
        await asyncio.gather(*acting)
    finally:
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)


async def _produce(
    server: FakeServer, scenario: Scenario, rng: random.Random, on_stored: OnStored | None
) -> None:
    traffic = scenario.traffic
    runs = [str(UUID(int=rng.getrandbits(128), version=4)) for _ in range(max(traffic.runs, 1))]
    levels = (10, 20, 20, 20, 30, 40)  # most logs are INFO
    loop = asyncio.get_running_loop()
    begun, number = loop.time(), 0
    while not traffic.count or number < traffic.count:
        size = min(traffic.batch, traffic.count - number) if traffic.count else traffic.batch
        stamp = datetime.now(timezone.utc) - timedelta(seconds=traffic.late)
        rows = [
            {
                "name": "rawlogs.fake",
                "level": rng.choice(levels),
                "message": f"log {number + offset}",
                "timestamp": (
                    stamp + timedelta(microseconds=offset)
                ).isoformat(),  # no two of one POST are equal
                "flow_run_id": runs[(number + offset) % len(runs)],
            }
            for offset in range(size)
        ]
        for row in server.post(rows):
            if on_stored is not None:
                on_stored(row)
        number += size
        early = begun + number / traffic.rate - loop.time() if traffic.rate > 0 else 0.0
        await asyncio.sleep(max(early, 0.0))  # behind its schedule it does not wait, but lets other tasks run


async def _act(server: FakeServer, action: Action) -> None:
    await asyncio.sleep(action.at)
    given = action.arguments
    if action.kind == "drop":
        await server.drop_all()
    elif action.kind == "close":
        await server.close_all(given.get("code", 1011), given.get("reason", ""))
    elif action.kind in ("restart", "kill"):
        await server.restart(given.get("downtime", 1.0), abrupt=action.kind == "kill")
    elif action.kind == "refuse":
        server.refuse()
        with suppress(asyncio.CancelledError):  # the end of the scenario opens the port again
            await asyncio.sleep(given.get("seconds", 5.0))
        server.refuse(False)
