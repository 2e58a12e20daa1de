"""Whether the socket shows all logs, or only a part: told by what lists bring beside it.

Several server processes without a shared message broker each stream only the logs that they received themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawlogs.advice import partly_live
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.merge import Merger

MISSES = 2
"""After so many lists that found logs which the socket did not show a little later, the user is told."""
HITS = 20
"""After so many lists without such a miss, while live logs came, the socket counts as complete again."""


@dataclass(frozen=True, slots=True)
class _LastList:
    """Live logs and live duplicates that were counted when the last list was read, and how many logs it brought."""

    received: int
    duplicates: int
    brought: int = 0


class SocketCoverage:
    """Compares what lists bring with what the socket shows."""

    def __init__(self, context: StreamContext, merger: Merger) -> None:
        self._notifier, self._stats, self._schedule = context.notifier, context.stats, context.schedule
        self._merger = merger
        self._misses = self._missed = self._hits = 0
        self._received_before = 0
        self._last = _LastList(0, 0)
        self.partial = False
        """Whether the socket shows only a part, so that the list is asked often beside it."""

    def connected(self) -> None:
        """Count the shares that are told from here on: the socket was opened."""
        self._missed, self._received_before = 0, self._merger.received

    def found_missing(self, logs: int) -> None:
        """Note that an audit found so many logs which the socket had not shown, though nothing gave reason to look."""
        self.partial = True
        self._last = _LastList(self._merger.received, self._stats.duplicates)
        self._note_miss(logs)

    def compare(self, brought: int) -> None:
        """Compare the list before with the socket, which has had time to show it; this list brought so many logs."""
        last = self._last
        # What the socket shows after a list did is dropped as a duplicate: so many of the listed logs came live, too.
        missing = last.brought - (self._stats.duplicates - last.duplicates)
        live = self._merger.received - last.received
        # After a burst logs are missing for another reason: the server's queue was full.
        if missing > 0 and self._schedule.suspected_at is None:
            self._note_miss(missing)
        elif live and missing <= 0:  # in silence nothing can be told
            self._hits += 1
            if self._hits >= HITS:
                self.partial, self._misses, self._missed = False, 0, 0
        self._last = _LastList(self._merger.received, self._stats.duplicates, brought)

    def _note_miss(self, logs: int) -> None:
        self._misses += 1
        self._missed += logs
        self._hits = 0
        if self._misses == MISSES:  # one alone may be a delay
            live = self._merger.received - self._received_before
            text = partly_live(live, self._missed)
            self._notifier.say_once("live_off", "live_off", text, live=live, listed=self._missed)
