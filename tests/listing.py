"""A table of logs that answers ``POST /logs/filter`` as a Prefect server does: rows, time, failures; no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from clocks import FakeClock

from rawlogs.batch import Batch
from rawlogs.errors import HistoryError
from rawlogs.log_values import parse_timestamp
from rawlogs.models import BEGINNING, END, Log
from rawlogs.seen import SeenIds

RUN = UUID(int=7)


def admit(seen: SeenIds, logs: Iterable[Log], now: float) -> list[Log]:
    """The logs among these that had not been delivered; from now on they have been."""
    batch = Batch(list(logs))
    return [batch[place] for place in seen.admit_batch(batch, lambda: now)]


class Listing:
    """What is stored, and when it became readable, by a hand-turned clock. ``failures`` requests go unanswered."""

    def __init__(self, clock: FakeClock, *, limit: int = 200) -> None:
        self.clock = clock
        self.limit = limit
        self.rows: list[tuple[datetime, dict[str, Any]]] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.failures = 0
        self.before_answer: Callable[[], None] = lambda: None

    def row(self, stamp: datetime, run: UUID | None = RUN) -> dict[str, Any]:
        """A log that is not stored yet."""
        self._made = getattr(self, "_made", 0) + 1
        return {
            "id": str(UUID(int=self._made)),
            "level": 20,
            "message": "m",
            "timestamp": stamp.isoformat(),
            "flow_run_id": run and str(run),
        }

    def store(self, row: dict[str, Any], after: float = 0.0) -> Log:
        """It becomes readable in so many seconds."""
        at = self.clock.now() + timedelta(seconds=after)
        row["created"] = at.isoformat()
        self.rows.append((at, row))
        return Log.from_wire(row)

    def readable(self) -> set[str]:
        """The ids of what a list shows now."""
        return {row["id"] for at, row in self.rows if at <= self.clock.now()}

    def server_now(self) -> datetime:
        return self.clock.now()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        assert path == "/logs/filter"
        self.bodies.append(body)
        if self.failures:
            self.failures -= 1
            raise HistoryError("no answer", transient=True)
        self.before_answer()
        wanted, now = body["logs"], self.clock.now()
        low = parse_timestamp(wanted["timestamp"].get("after_") or BEGINNING.isoformat())
        high = parse_timestamp(wanted["timestamp"].get("before_") or END.isoformat())
        runs = wanted.get("flow_run_id", {}).get("any_")
        found = [
            row
            for at, row in self.rows
            if at <= now
            and low <= parse_timestamp(row["timestamp"]) <= high
            and (runs is None or row["flow_run_id"] in runs)
        ]
        found.sort(key=lambda row: row["timestamp"], reverse=body["sort"] == "TIMESTAMP_DESC")
        end = body["offset"] + min(body["limit"], self.limit)
        return [dict(row) for row in found[body["offset"] : end]]
