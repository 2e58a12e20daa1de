"""How many rows of each flow run lists have shown: what is stored for certain, unlike what came live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from rawlogs.delivery.seen import SeenIds
from rawlogs.models import Log


class RowsPerRun:
    """Rows by flow run, each counted once however often it was listed. 24 bytes a row, beside what SeenIds keeps."""

    def __init__(self) -> None:
        self._ids = SeenIds()
        self._rows: Counter[UUID | None] = Counter()

    def __contains__(self, log: Log) -> bool:
        return log in self._ids

    def add(self, page: Iterable[Log], now: float) -> None:
        """A list showed these rows, and they were delivered; ``now`` in seconds of the server's clock."""
        self._rows.update(log.flow_run_id for log in self._ids.admit(page, now))

    def count(self, runs: Iterable[UUID]) -> int:
        """Return how many rows of these runs were shown; 0 once ids had to be forgotten, as it may be too few then."""
        return 0 if self._ids.forgotten is not None else sum(self._rows[run] for run in runs)
