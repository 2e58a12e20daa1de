"""The promise, whatever happens: every stored log that became readable in time is delivered, and exactly once.

A scenario is a list of acts drawn from a seed: logs are posted in bursts, in parallel, late, at one moment, rolled
back; the server restarts, drops, refuses; REST fails, is slow, cuts its answers; the reader sleeps. A failure names
its seed: ``scenario(seed)`` is the same every time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from streaming import QuickClock, Reader, within
from streaming import no_settings as no_settings

from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import (
    Abort,
    CutAfter,
    Drop,
    Duplicate,
    Html,
    Http,
    Lose,
    Reorder,
    Sleep,
    Slice,
    Step,
    Truncate,
)

OVERLAP = 20.0
SEEDS = range(25)
ACTS = 14
SPEED = 20.0


@dataclass
class Scenario:
    """What happens, and what came of it."""

    seed: int
    rng: random.Random
    behaviour: Behaviour
    options: dict[str, Any]
    stored: set[str] = field(default_factory=set)
    streamed: set[str] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    count: int = 0


def scenario(seed: int) -> Scenario:
    """The conditions that this seed stands for."""
    rng = random.Random(seed)
    behaviour = Behaviour(
        page_limit=rng.choice([200, 200, 50, 7]),
        commit_delay=rng.choice([0.0, 0.0, 0.02, 0.1]),
        unstable_ties=rng.random() < 0.3,
        clock_skew=rng.choice([0.0, 0.0, 600.0, -600.0]),
        version=rng.choice(["3.8.8", "3.8.8", "3.4.7"]),
        csrf=rng.random() < 0.1,
    )
    options = {
        "overlap": OVERLAP,
        "settle": rng.choice([0.5, 2.0]),
        "audit": rng.choice([2.0, 5.0]),
        "buffer": rng.choice([10_000, 10_000, 100]),
        "compress": rng.random() < 0.2,
        "retries": None,
        "rest_budget": 0,
    }
    return Scenario(seed, rng, behaviour, options)


def logs_of(play: Scenario, server: FakeServer, count: int) -> list[dict[str, Any]]:
    """So many logs: now, at one moment, or with stamps of up to half of the overlap ago."""
    rng, now = play.rng, server.state.now()
    kind = rng.choice(["now", "one moment", "late", "mixed", "a little ahead"])
    found = []
    for _ in range(count):
        play.count += 1
        late = {"late": rng.uniform(0, OVERLAP / 2), "mixed": rng.choice([0.0, rng.uniform(0, OVERLAP / 2)])}
        stamp = now - timedelta(seconds=late.get(kind, -2.0 if kind == "a little ahead" else 0.0))
        found.append({"message": f"{play.count}", "timestamp": stamp, "level": rng.choice([10, 20, 40])})
    return found


async def burst(play: Scenario, server: FakeServer) -> None:
    count = play.rng.choice([1, 3, 50, 256, 300, 700])
    post(play, server, count)


async def parallel(play: Scenario, server: FakeServer) -> None:
    for _ in range(play.rng.randrange(2, 10)):
        post(play, server, play.rng.choice([5, 40, 60]))
        if play.rng.random() < 0.5:
            await asyncio.sleep(0)


async def trickle(play: Scenario, server: FakeServer) -> None:
    for _ in range(play.rng.randrange(1, 8)):
        post(play, server, 1)
        await asyncio.sleep(0.005)


async def elsewhere(play: Scenario, server: FakeServer) -> None:
    rows = server.store(logs_of(play, server, play.rng.choice([1, 20, 250])))
    play.stored.update(row["id"] for row in rows)


async def rolled_back(play: Scenario, server: FakeServer) -> None:
    rows = server.publish(logs_of(play, server, play.rng.choice([1, 20])))
    play.streamed.update(row["id"] for row in rows)


def post(play: Scenario, server: FakeServer, count: int) -> None:
    rows = server.post(logs_of(play, server, count))
    play.stored.update(row["id"] for row in rows)


async def dropped(play: Scenario, server: FakeServer) -> None:
    for session in server._server.sessions:
        session.writer.abort() if play.rng.random() < 0.5 else session.writer.close_now()


async def restarted(play: Scenario, server: FakeServer) -> None:
    work = asyncio.ensure_future(server.restart(play.rng.uniform(0, 0.1), abrupt=play.rng.random() < 0.5))
    await asyncio.sleep(0.01)  # the server is going down
    await elsewhere(play, server)
    await work


async def refused(play: Scenario, server: FakeServer) -> None:
    server.refuse()
    await dropped(play, server)
    await elsewhere(play, server)
    await asyncio.sleep(play.rng.uniform(0, 0.1))  # how long it is away
    server.refuse(False)


async def rest_fails(play: Scenario, server: FakeServer) -> None:
    step: Step = play.rng.choice(
        [
            Http(500),
            Http(503),
            Http(429, {"Retry-After": "1"}),
            Truncate(50),
            Html(),
            Drop(),
            Abort(),
            CutAfter(200),
        ]
    )
    server.fault("rest", step, times=play.rng.randrange(1, 6), path="/logs/filter")


async def rest_is_slow(play: Scenario, server: FakeServer) -> None:
    server.fault("rest", Sleep(play.rng.uniform(0.01, 0.2)), times=2, path="/logs/filter")


async def socket_is_bad(play: Scenario, server: FakeServer) -> None:
    step: Step = play.rng.choice(
        [
            Lose(play.rng.randrange(2, 5)),
            Duplicate(),
            Reorder(),
            Slice(50),
            CutAfter(5000),
            Http(503),
            Http(502),
        ]
    )
    server.fault("logs", step, times=play.rng.randrange(1, 3))
    await dropped(play, server)


async def quiet(play: Scenario, server: FakeServer) -> None:
    await asyncio.sleep(play.rng.uniform(0, 0.15))  # the step itself


Act = Callable[[Scenario, FakeServer], Any]
CHOICE: list[Act] = [
    burst,
    burst,
    parallel,
    parallel,
    trickle,
    elsewhere,
    rolled_back,
    dropped,
    restarted,
    refused,
    rest_fails,
    rest_is_slow,
    socket_is_bad,
    quiet,
]


async def consume(play: Scenario, reader: Reader) -> None:
    """Read to the end, now and then with a rest."""
    chance = random.Random(play.seed)
    async for log in reader.logs:
        reader.got.append(log)
        if chance.random() < 0.002:
            await asyncio.sleep(chance.uniform(0, 0.1))


async def perform(play: Scenario) -> Reader:
    # A clock that differs is measured by answers: slow ones, which a fast clock makes of a busy machine's, say little.
    speed = SPEED if play.behaviour.clock_skew == 0 else SPEED / 4
    async with FakeServer(play.behaviour, seed=play.seed, clock=QuickClock(speed)) as server:
        since = server.state.now() - timedelta(seconds=OVERLAP)
        reader = Reader(server, since=since, **play.options)
        async with reader.logs:
            reading = asyncio.ensure_future(consume(play, reader))
            # A connection that ends twice before its first log could mean that the filter was rejected.
            await server.until_subscribed()
            post(play, server, 1)
            await server.until(lambda: server.sent[0])
            for _ in range(ACTS):
                act = play.rng.choice(CHOICE)
                play.told.append(act.__name__)
                await act(play, server)
            server.heal()
            # What the last acts stored has to be found by the stream itself, before it is told to list once more.
            await within(arrived(play, reader, reading), 120)
            await within(reader.logs.finish(120.0), 120)
            await within(reading)
        return reader


async def arrived(play: Scenario, reader: Reader, reading: asyncio.Future[None]) -> None:
    while not reading.done() and not play.stored <= {str(log.id) for log in reader.got}:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_stored_log_is_delivered_exactly_once(seed: int) -> None:
    play = scenario(seed)
    reader: Reader | None = None
    try:
        reader = await perform(play)
    except (asyncio.TimeoutError, TimeoutError):
        pytest.fail(f"seed {seed}: some of {len(play.stored)} logs never came: {play.told} {play.behaviour}")
    found = [str(log.id) for log in reader.got]
    about = f"seed {seed}: {play.told} {play.behaviour} {play.options}"
    assert len(found) == len(set(found)), f"repeats with {about}"
    assert play.stored <= set(found), f"losses with {about}"
    assert set(found) <= play.stored | play.streamed, f"unknown logs with {about}"
    assert reader.logs.stats.open_gaps == 0, about
