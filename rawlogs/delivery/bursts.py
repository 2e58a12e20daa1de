"""Whether live logs come so fast that the server may have dropped some. Pure: the clock is an argument."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

MANY = 200
"""So many live logs within a second, and the server's queue for this subscriber may have overflowed."""
QUEUE = 256
"""What that queue holds (all versions to 3.9.1); beyond it logs are dropped without a word."""


class Bursts:
    """Counts live logs by the second."""

    def __init__(self) -> None:
        self._began = float("-inf")
        self._count = 0
        self.oldest: datetime | None = None
        """The smallest timestamp of the present second's logs; None before the first."""

    def note(self, now: float, count: int, oldest: datetime) -> Literal["calm", "many", "full"]:
        """So many logs came at ``now`` (monotonic seconds). ``full``: as many as the server's queue holds."""
        if self.oldest is None or now - self._began > 1.0:
            self._began, self._count, self.oldest = now, 0, oldest
        self._count += count
        self.oldest = min(self.oldest, oldest)
        return "full" if self._count >= QUEUE else "many" if self._count >= MANY else "calm"
