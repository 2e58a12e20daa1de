"""When the list is read next, and why: one due time that suspicions bring forward."""

from __future__ import annotations

import asyncio

from rawlogs.clock import Clock
from rawlogs.waiting import first_of


class Schedule:
    """The due time of a stream's next list, in seconds of the monotonic clock.

    settle: seconds until what is stored now can be judged by a list.
    """

    def __init__(self, clock: Clock, settle: float) -> None:
        self._clock = clock
        self._settle = settle
        self._due = clock.monotonic()
        self._moved = asyncio.Event()
        self.catch_up = False
        """Whether the next list is to read all that no list has shown yet, settled or not."""
        self.suspected_at: float | None = None
        """When something last happened that may have cost logs; None where a list has answered it since."""

    def catch_up_now(self) -> None:
        """List as soon as possible, and everything."""
        self.catch_up = True
        self.bring_forward(0.0)

    def bring_forward(self, seconds: float) -> None:
        """List not later than in so many seconds."""
        due = self._clock.monotonic() + seconds
        if due < self._due:
            self._due = due
            self._moved.set()

    def suspect(self, *, pause: float = 0.0, soon: float | None = None) -> None:
        """List as soon as what is stored has settled, or after a longer ``pause``: logs may have been lost just now.

        ``soon``: also before that, in so many seconds.
        """
        self.suspected_at = self._clock.monotonic()
        self.bring_forward(max(self._settle, pause) if soon is None else soon)

    def answered(self, began: float) -> None:
        """End a suspicion, if what was stored when it rose had settled by the time at which the list ``began``."""
        if self.suspected_at is not None and began >= self.suspected_at + self._settle:
            self.suspected_at = None

    def next_in(self, seconds: float) -> None:
        """Set when the next list is due: the last one was read."""
        self._due = self._clock.monotonic() + seconds

    async def wait(self, at_most: float | None = None) -> None:
        """Wait until a list is due, or so many seconds."""
        end = None if at_most is None else self._clock.monotonic() + at_most
        while True:
            left = self._due - self._clock.monotonic()
            if end is not None:
                left = min(left, end - self._clock.monotonic())
            if left <= 0:
                return
            self._moved.clear()
            await first_of(self._clock.sleep(left), self._moved.wait())
