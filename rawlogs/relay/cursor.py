"""The id of an event: where a reader that comes back goes on, with any worker. Pure.

``<moment>/<log id>`` or ``<moment>/<log id>/<place>``. The moment is not the log's own timestamp: it is the low-water
mark, before which nothing is missing. A log may be readable late, or be stamped by a clock that is fast; a list that
begins at the last log's timestamp would step over what came between. Where the place is known (the same process, or
the same Redis stream), the reader goes on exactly there, and nothing is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from uuid import UUID

from rawlogs.log_values import parse_timestamp

NO_LOG = "-"
END_PLACE = "end"
"""The place behind the last event of runs that have ended."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Cursor:
    """Every wanted log stamped before ``low`` had been sent; ``log_id`` was the last one (None: none yet)."""

    low: datetime
    log_id: str | None = None
    place: str = ""

    @property
    def text(self) -> str:
        """Return the cursor as the id of an event: ASCII, one line."""
        return f"{moment_text(self.low)}/{self.log_id or NO_LOG}" + (f"/{self.place}" if self.place else "")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor of an event's id. Raises ValueError for anything else."""
        parts = text.split("/")
        if not (len(text) <= _LONGEST and text.isascii() and text.isprintable() and 2 <= len(parts) <= 3):
            raise ValueError("it is not the id of an event of this relay")
        try:
            low = parse_timestamp(parts[0])
            log_id = None if parts[1] == NO_LOG else str(UUID(parts[1]))
        except ValueError:
            raise ValueError("it is not the id of an event of this relay") from None
        return cls(low, log_id, parts[2] if len(parts) == 3 else "")


def moment_text(moment: datetime) -> str:
    """Return a moment as RFC 3339 has it, in UTC, with microseconds."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0") + "Z"
