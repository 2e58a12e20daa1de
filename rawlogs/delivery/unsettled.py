"""Rows that a list has shown but that are too young to be settled: the next list needs only what lies behind them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rawlogs.models import BEGINNING, Log

LAG = timedelta(seconds=0.5)
"""When a list is read, rows older than this seldom become readable in front of others that it has shown."""
LIMIT = 20_000


class UnsettledRows:
    """Young rows by id, with their timestamps."""

    def __init__(self) -> None:
        self._stamps: dict[str, datetime] = {}
        self._read_at = BEGINNING

    def add(self, rows: Iterable[Log]) -> None:
        """A list showed these."""
        self._stamps.update((log.id_text, log.timestamp) for log in rows)

    def finish(self, frontier: datetime, began: datetime) -> None:
        """The list that began then was read; what is stamped before the frontier is settled."""
        self._read_at = began
        self._stamps = {log_id: stamp for log_id, stamp in self._stamps.items() if stamp >= frontier}
        if len(self._stamps) > LIMIT:
            self._stamps = {}

    def known(self, after: datetime) -> dict[str, datetime]:
        """Return those from ``after`` on behind which hardly any row will still appear."""
        end = self._read_at - LAG
        return {log_id: stamp for log_id, stamp in self._stamps.items() if after <= stamp < end}

    def clear(self) -> None:
        """The filter has changed: what was shown says nothing of what a list shows now."""
        self._stamps = {}
