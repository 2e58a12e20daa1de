"""The account of one stream: what was delivered, how it came, and what is still open."""

from __future__ import annotations

from dataclasses import dataclass


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
    requests: int = 0
    """REST requests sent."""
    open_gaps: int = 0
    """Ranges that nothing vouches for now: 1 while something is known or suspected missing, 0 otherwise."""

    @property
    def delivered(self) -> int:
        """Logs that passed every filter and went to the reader."""
        return self.live + self.recovered

    def line(self) -> str:
        """The account on one line, as the command prints it."""
        return (
            f"delivered {self.delivered} (live {self.live}, recovered {self.recovered}), "
            f"duplicates dropped {self.duplicates}, open gaps {self.open_gaps}, "
            f"reconnects {self.reconnects}, REST requests {self.requests}"
        )
