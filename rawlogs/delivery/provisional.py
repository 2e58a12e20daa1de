"""Rows that lists have shown but that are too young to be final: the next list needs only what lies beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from rawlogs.models import BEGINNING, Log

LAG = timedelta(seconds=0.5)
"""Rows seldom become readable behind others that are older than this when a list is read."""
LIMIT = 20_000


class Provisional:
    """Young rows by id: when stamped, and whether they are the stream's own."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[datetime, bool]] = {}
        self._read_at = BEGINNING

    def add(self, rows: Iterable[tuple[Log, bool]]) -> None:
        """A list showed these; each with whether it is the stream's own."""
        self._rows.update((log.id_text, (log.timestamp, own)) for log, own in rows)

    def finish(self, fresh: datetime, read_at: datetime) -> None:
        """The list that began at ``read_at`` is read; what is stamped before ``fresh`` is final."""
        self._read_at = read_at
        self._rows = {id: row for id, row in self._rows.items() if row[0] >= fresh}
        if len(self._rows) > LIMIT:
            self._rows = {}

    def known(self) -> Mapping[str, tuple[datetime, bool]]:
        """Those behind which hardly any row will still appear."""
        end = self._read_at - LAG
        return {id: row for id, row in self._rows.items() if row[0] < end}
