"""How many REST requests a stream may make beyond those that bring new logs. Pure: the clock is an argument."""

from __future__ import annotations

ROUNDING = 1e-6
"""What a wait may leave missing of a whole request: sums of floats are not exact."""


class Budget:
    """A bucket of ``per_minute`` requests that fills evenly; 0 means no limit."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._rate = per_minute / 60.0
        self._size = float(per_minute)
        self._tokens = self._size
        self._at = now
        self.limited = per_minute > 0

    def wait(self, now: float) -> float:
        """Return the seconds until the next request may be made."""
        if not self.limited:
            return 0.0
        self._fill(now)
        missing = 1.0 - self._tokens
        return missing / self._rate if missing > ROUNDING else 0.0

    def spend(self, now: float) -> None:
        """Count a request that was made."""
        if self.limited:
            self._fill(now)
            self._tokens -= 1.0

    def refund(self) -> None:
        """Take the last request back: it brought new logs, so it does not count."""
        self._tokens = min(self._size, self._tokens + 1.0)

    def covers(self, requests: int, now: float) -> bool:
        """Return whether so many requests could be made at once, with half of the bucket left for what comes."""
        if not self.limited:
            return True
        self._fill(now)
        return requests <= self._tokens - self._size / 2

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
