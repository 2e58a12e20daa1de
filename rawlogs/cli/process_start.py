"""When this process started, which is when "from now on" begins for whoever typed the command."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

LONGEST = 60.0
"""Seconds: an age above this is not believed (the command was not started by a new process, or clocks differ)."""


def process_start(now: datetime) -> datetime:
    """Return when this process started, by the same clock as ``now``; ``now`` where the system does not tell."""
    age = _age()
    return now - timedelta(seconds=age) if age is not None and 0.0 <= age <= LONGEST else now


def _age() -> float | None:
    """Return the seconds since the process was started, by the system's clock tick; None where nothing tells that."""
    try:
        # The name of the program, in brackets, may contain blanks; field 22 is the start, in ticks since boot.
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        per_second = os.sysconf("SC_CLK_TCK")
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, ValueError, IndexError, AttributeError):  # no Linux
        return None
    return uptime - ticks / per_second
