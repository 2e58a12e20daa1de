"""The account of one stream: what was delivered, how it came, and what is still open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(slots=True)
class Reading:
    """What the list that is being read has brought so far."""

    began: float
    """By the monotonic clock."""
    rows: int = 0
    newest: datetime | None = None
    """The timestamp that it has reached; None before the first row."""


@dataclass(slots=True)
class Stats:
    """Counters of one stream, from its start to now."""

    live: int = 0
    """Logs that came over the socket first."""
    recovered: int = 0
    """Logs that only the list brought: a backlog, and what the socket lost."""
    duplicates: int = 0
    """Live logs that had been delivered already, and were dropped."""
    bad_frames: int = 0
    """Frames that could not be read."""
    overflows: int = 0
    """How often the own buffer was full because the reader was slower; what was dropped is listed later."""
    connections: int = 0
    """WebSocket connections that were authenticated."""
    reconnects: int = 0
    """How often the socket was opened again after it had ended by itself."""
    reconnect_causes: Counter[str] = field(default_factory=Counter)
    """The reconnects by the close code of the connection that ended, or by the name of its error."""
    requests: int = 0
    """REST requests sent."""
    reading: Reading | None = field(default=None, repr=False, compare=False)
    """The list that is being read now; None between lists."""
    count_gaps: Callable[[], int] = field(default=lambda: 0, repr=False, compare=False)
    """Asks the ledger."""

    @property
    def open_gaps(self) -> int:
        """Ranges in which logs are, or may be, missing now: not listed since something was lost in them."""
        return self.count_gaps()

    @property
    def delivered(self) -> int:
        """Logs that passed every filter and went to the reader."""
        return self.live + self.recovered

    def as_dict(self) -> dict[str, int]:
        """Return every figure by name."""
        names = ("live", "recovered", "duplicates", "bad_frames", "overflows", "connections", "reconnects")
        return {name: getattr(self, name) for name in ("delivered", *names, "requests", "open_gaps")}

    def line(self) -> str:
        """Return the account on one line, as the command prints it."""
        return (
            f"delivered {self.delivered} (live {self.live}, recovered {self.recovered}), "
            f"duplicates dropped {self.duplicates}, open gaps {self.open_gaps}, "
            f"reconnects {self.reconnects}, REST requests {self.requests}"
        )
