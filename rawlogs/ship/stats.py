"""The account of a shipper: numbers that metrics and health checks read, too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class ShipStats:
    """Counts of what became of the logs that were taken from the stream.

    shipped: logs of which a request was sent; acknowledged: those that the receiver took; rejected: those that it took
    notice of and threw away (partial success); poison: those that it refused for good, one by one, of which
    ``dead_letters`` were written to the file. waiting: logs that no request has been sent of yet.
    requests: all that were sent; retried: those that were sent again. bytes: of all requests, as they were sent.
    last_acknowledged: when the receiver acknowledged something; trouble: what is wrong with it now, in words.
    """

    shipped: int = 0
    acknowledged: int = 0
    rejected: int = 0
    poison: int = 0
    dead_letters: int = 0
    waiting: int = 0
    requests: int = 0
    retried: int = 0
    bytes: int = 0
    last_acknowledged: datetime | None = None
    trouble: str | None = None

    @property
    def in_flight(self) -> int:
        """Logs of which a request was sent, and not settled."""
        return self.shipped - self.acknowledged - self.rejected - self.poison

    @property
    def lost(self) -> int:
        """Logs that the receiver did not take, and that no file has."""
        return self.rejected + self.poison - self.dead_letters

    def as_dict(self) -> dict[str, Any]:
        """Return every number, for programs."""
        last = self.last_acknowledged
        return {
            **asdict(self),
            "last_acknowledged": last.isoformat() if last else None,
            "in_flight": self.in_flight,
        }

    def status(self) -> str:
        """Return how it stands now, for the last line of a terminal."""
        waiting = self.in_flight + self.waiting
        taken = f"{self.acknowledged:,} logs acknowledged, {waiting:,} not yet"
        return f"{taken}; {self.trouble}" if self.trouble else taken

    def line(self) -> str:
        """Return the account in one line."""
        parts = [f"acknowledged {self.acknowledged}", f"requests {self.requests}", f"retried {self.retried}"]
        if self.in_flight or self.waiting:
            parts.append(f"not acknowledged {self.in_flight + self.waiting}")
        if self.rejected:
            parts.append(f"rejected {self.rejected}")
        if self.poison:
            parts.append(f"poison {self.poison} ({self.dead_letters} in the dead-letter file)")
        return ", ".join(parts)
