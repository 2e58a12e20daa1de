"""When the list is read next: one due time that suspicions bring forward."""

from __future__ import annotations

import asyncio

from rawlogs.clock import Clock


class Schedule:
    """The due time of a stream's next list. ``catch_up``: it has to read everything that no list has shown yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = clock.monotonic()
        self._moved = asyncio.Event()
        self.catch_up = True

    def bring_forward(self, seconds: float) -> None:
        """Not later than in so many seconds."""
        due = self._clock.monotonic() + seconds
        if due < self._due:
            self._due = due
            self._moved.set()

    def catch_up_now(self) -> None:
        """As soon as possible, and everything."""
        self.catch_up = True
        self.bring_forward(0.0)

    def next_in(self, seconds: float) -> None:
        """The list was read: the next one is due then."""
        self._due = self._clock.monotonic() + seconds

    async def wait(self, at_most: float | None = None) -> None:
        """Until it is due, or so many seconds."""
        end = None if at_most is None else self._clock.monotonic() + at_most
        while True:
            left = self._due - self._clock.monotonic()
            if end is not None:
                left = min(left, end - self._clock.monotonic())
            if left <= 0:
                return
            self._moved.clear()
            await first_of(self._clock.sleep(left), self._moved.wait())


async def first_of(*works: object) -> None:
    """Wait for the first of these coroutines, and cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
