"""Clocks that tests turn by hand, so that no test depends on how fast a machine is."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone


class StandingClock:
    """A ``rawlogs.clock.Clock`` whose wall clock stands; sleeping is real. For servers: what they stamp is known."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 1000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FakeClock:
    """A ``rawlogs.clock.Clock`` whose time passes only by ``sleep`` and ``advance``.

    ``sleeps`` holds the seconds of every sleep, in order. Each sleep gives the other tasks one turn.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock on (or back), as a time server does; the monotonic clock takes no notice."""
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)


class HandClock(FakeClock):
    """A ``FakeClock`` whose sleeps last until ``wake``."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep: set[asyncio.Event] = set()

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        over = asyncio.Event()
        self._asleep.add(over)
        try:
            await over.wait()
        finally:
            self._asleep.discard(over)

    def wake(self) -> None:
        """End all sleeps."""
        for over in self._asleep:
            over.set()
