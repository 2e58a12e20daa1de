"""Run one connection from open to close. Nothing is shown or hidden here: see ``transcript``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rawlogs.clock import Clock, SystemClock
from rawlogs.errors import RawlogsError
from rawlogs.trace.script import Ping, Send, Step, Wait
from rawlogs.trace.transcript import Entry, Transcript
from rawlogs.waiting import first_of
from rawlogs.wire.connection import Connection, Target, open_connection, open_raw
from rawlogs.wire.events import WireEvent


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of the connection: the usual handshake with ``first`` as its filter message, or only the script.

    ``duration`` in seconds from the beginning; ``max_frames`` of both sides. None: no bound.
    """

    target: Target
    first: str = ""
    script: tuple[Step, ...] | None = None
    duration: float | None = None
    max_frames: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """End of a connection: ``ending`` is the error that the server's end means, None where this side ended it.

    ``traffic`` is bytes read and written after the upgrade, below the frames; None where there was no upgrade.
    """

    ending: RawlogsError | None
    traffic: tuple[int, int] | None
    unsent: int = 0


async def converse(
    plan: Plan,
    transcript: Transcript,
    show: Callable[[Entry], None],
    *,
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Run the connection, and ``show`` every entry of it, until one side or ``stop`` ends it.

    Raises the error of an opening or a handshake that failed.
    """
    clock = clock or SystemClock()
    stop = stop or asyncio.Event()

    def tap(event: WireEvent) -> None:
        show(transcript.add(event))
        if plan.max_frames is not None and sum(transcript.frames.values()) >= plan.max_frames:
            stop.set()

    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(stop.wait())]
    if plan.duration is not None:
        tasks.append(asyncio.ensure_future(clock.sleep(plan.duration)))
    opening = asyncio.create_task(_open(plan, tap))
    try:
        await first_of(opening, *tasks)
        if not opening.done():
            return Outcome(None, None)
        return await _run(plan, opening.result(), tasks, clock)
    finally:
        for task in (opening, *tasks):
            await _cancelled(task)
        await asyncio.sleep(0)  # a line that was cut is told a turn later


async def _open(plan: Plan, tap: Callable[[WireEvent], None]) -> Connection:
    if plan.script is not None:
        return await open_raw(plan.target, tap=tap)
    return await open_connection(plan.target, plan.first, tap=tap)


async def _run(plan: Plan, connection: Connection, ends: list[asyncio.Future[Any]], clock: Clock) -> Outcome:
    reader = asyncio.create_task(_read(connection))
    player = asyncio.create_task(_play(connection, plan.script or (), clock))
    try:
        await first_of(reader, *ends)
        ending = reader.result() if reader.done() else None
        unsent = player.result() if player.done() else 0
    finally:
        await _cancelled(player)
        await _cancelled(reader)
        await connection.close()
    return Outcome(ending, connection.traffic, unsent)


async def _read(connection: Connection) -> RawlogsError:
    while True:
        try:
            await connection.batch()
        except RawlogsError as ending:
            return ending


async def _play(connection: Connection, script: tuple[Step, ...], clock: Clock) -> int:
    """Send the script. Return how many of its steps came too late, since the connection had ended."""
    pings: list[asyncio.Task[float]] = []
    try:
        for number, step in enumerate(script):
            try:
                if isinstance(step, Send):
                    await connection.send(step.message)
                elif isinstance(step, Wait):
                    await clock.sleep(step.seconds)
                elif isinstance(step, Ping):
                    pings.append(asyncio.create_task(connection.ping()))
                    await asyncio.sleep(0)  # so that the ping is sent before the script's next frame
                else:
                    await connection.close(step.code, step.reason)
            except RawlogsError:
                return len(script) - number
        return 0
    finally:
        for ping in pings:
            await _cancelled(ping)


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)  # also its error, which nobody else asks for
