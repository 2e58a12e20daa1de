"""What became of a case: a reader's logs compared with the complete list. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from benchmarks.tables import percentile

PAGE = 200
AUDIT = 15.0
POLL = 0.2
"""Rows of a REST page at most; seconds between two routine looks of rawlogs at the list, with a socket and without."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reader in one case. Times are seconds."""

    case: str
    reader: str
    stored: int
    delivered: int
    """Stored logs that were received, each counted once."""
    repeats: int
    """How often a log came again."""
    strangers: int
    """Received logs that are not stored."""
    steps_back: int
    """Logs that came after one with a later timestamp."""
    requests: int
    """REST requests from the first POST to the end."""
    at_start: int | None
    """REST requests before that; None where they could not be told apart and are among the others."""
    paths: Mapping[str, int]
    """The requests by path, where they were seen."""
    polled: bool
    """The server does not stream."""
    seconds: float
    """From the first POST to the end."""
    connections: int
    """WebSockets, the first one included."""
    delay_median: float | None
    delay_p95: float | None
    """From the POST to the receipt of those that were delivered."""
    ended: int | None
    """The exit code of a reader that failed."""
    account: Mapping[str, Any]
    """What the reader said about itself."""

    @property
    def list_requests(self) -> int:
        """The requests that read the list of logs; all of them, where paths were not seen."""
        return self.paths.get("/logs/filter", 0) if self.paths else self.requests

    @property
    def bound(self) -> int:
        """List requests that rawlogs may need: twice the pages, one for each routine look and each reconnect."""
        pause = POLL if self.polled and self.stored else AUDIT
        looks = math.ceil(self.seconds / pause)
        return 2 * math.ceil(self.stored / PAGE) + looks + max(self.connections - 1, 0)

    @property
    def is_complete(self) -> bool:
        return self.delivered == self.stored

    @property
    def per_minute(self) -> float:
        return self.requests / self.seconds * 60


def judge(
    received: Sequence[tuple[str, float]], rows: Sequence[Mapping[str, Any]], sent: Mapping[int, float]
) -> dict[str, Any]:
    """The fields of an Outcome that follow from the logs alone."""
    stored = {row["id"]: row for row in rows}
    first: dict[str, float] = {}
    steps_back = 0
    newest = ""
    for log_id, at in received:
        if log_id in first:
            continue
        first[log_id] = at
        if log_id in stored:
            stamp = _sortable(stored[log_id]["timestamp"])
            steps_back += stamp < newest
            newest = max(newest, stamp)
    delays = [first[log_id] - sent[number] for log_id, number in _numbers(stored, sent) if log_id in first]
    return {
        "stored": len(stored),
        "delivered": len(first.keys() & stored.keys()),
        "repeats": len(received) - len(first),
        "strangers": len(first.keys() - stored.keys()),
        "steps_back": steps_back,
        "delay_median": median(delays) if delays else None,
        "delay_p95": percentile(delays, 0.95) if delays else None,
    }


def _numbers(stored: Mapping[str, Mapping[str, Any]], sent: Mapping[int, float]) -> list[tuple[str, int]]:
    """(id, number) of the logs whose message begins with the number under which they were posted."""
    pairs = [(log_id, row["message"].partition(" ")[0]) for log_id, row in stored.items()]
    return [(log_id, int(text)) for log_id, text in pairs if text.isdecimal() and int(text) in sent]


def _sortable(stamp: str) -> str:
    """A timestamp of the list, in UTC, as a text that sorts by time."""
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).isoformat(timespec="microseconds")
