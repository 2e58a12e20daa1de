"""Decide what the bottom line of a terminal says while stored logs are read, and when to say that all is well. Pure."""

from __future__ import annotations

from datetime import datetime, tzinfo

from rawlogs.status.stats import Reading, Stats

PATIENCE = 2.0
"""Seconds of reading before it is worth a line: most lists take less."""
SETTLED = 1.0
"""Seconds without a log and without a list, after which the socket is said to be silent."""


class Progress:
    """Answers with the text of the status line, and once that the stream is connected and waits for logs.

    zone: where moments are shown; None: the machine's own zone.
    """

    def __init__(self, *, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._idle_since: float | None = None
        self._told = False

    def status(self, reading: Reading | None, now: float) -> str:
        """Return the status line at this monotonic time, "" for none."""
        if reading is None or now - reading.began < PATIENCE:
            return ""
        if reading.newest is None:
            return "reading stored logs: no answer yet"
        rate = reading.rows / (now - reading.began)
        return f"{reading.rows:,} stored logs read, {rate:,.0f}/s, now at {self._shown(reading.newest)}"

    def waits(self, stats: Stats, now: float, *, polling: bool = False) -> bool:
        """Return True once: with a connection, and for a while neither a log nor a list that is being read."""
        if self._told or stats.delivered:  # who sees logs need not be told
            self._told = True
            return False
        if stats.reading is not None or not (stats.connections or polling):
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        self._told = now - self._idle_since >= SETTLED
        return self._told

    def _shown(self, moment: datetime) -> str:
        try:
            return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M:%S}"
        except (OverflowError, OSError, ValueError):  # what the calendar or the system cannot convert
            return moment.isoformat()
