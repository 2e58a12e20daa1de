"""A log filter that lets through one line a minute of each kind: what clients can cause must not fill a disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

EVERY = 60.0
"""Seconds."""
MOST_KINDS = 100


class OnceAMinute(logging.Filter):
    """Records of one message (before its arguments are put in) are one kind; those left out are counted."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._shown: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = (record.name, str(record.msg)), self._monotonic()
        at, left_out = self._shown.get(kind, (None, 0))
        if at is not None and now - at < EVERY:
            self._shown[kind] = (at, left_out + 1)
            return False
        self._shown.pop(kind, None)
        if len(self._shown) >= MOST_KINDS:
            del self._shown[next(iter(self._shown))]
        self._shown[kind] = (now, 0)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more of these since the last such line)"
            record.args = ()
        return True
