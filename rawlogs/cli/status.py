"""Keeps the status line of ``tail`` up to date while the stream is read, on a terminal only."""

from __future__ import annotations

from rawlogs.clock import Clock
from rawlogs.output.progress import Progress
from rawlogs.output.stderr import NoticePrinter
from rawlogs.status.stats import Stats

REDRAW = 0.25
"""Seconds between two looks at the account."""


async def show_status(
    notices: NoticePrinter, stats: Stats, progress: Progress, clock: Clock, *, polling: bool = False
) -> None:
    """Draw what ``progress`` says about the account, until cancelled; then remove it."""
    try:
        while True:
            await clock.sleep(REDRAW)
            now = clock.monotonic()
            notices.status(progress.status(stats.reading, now))
            if progress.waits(stats, now, polling=polling):
                notices.tell("connected, waiting for logs")
    finally:
        notices.status("")
