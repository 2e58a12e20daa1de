"""A file whose modification time says that all is well, for probes that can only look at files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from rawlogs import files
from rawlogs.clock import Clock
from rawlogs.errors import ConfigError
from rawlogs.health.subject import Subject

EVERY = 5.0
"""Seconds between two touches at most; a probe may call a file of half a minute stale."""


def touch(path: Path) -> None:
    """Give the file the present modification time; it is made where it is missing. Raises OSError."""
    handle = files.append(path)
    try:
        os.utime(handle if os.utime in os.supports_fd else path)
    finally:
        os.close(handle)


def check(path: Path) -> None:
    """Raise ConfigError where that file cannot be touched; one that is left of an earlier run grows no younger."""
    try:
        os.close(files.append(path))
    except OSError as error:
        raise ConfigError(
            f"--health-file {path} cannot be touched: {error.strerror or error}",
            setting="--health-file",
            hint="Name a file in a folder that may be written to.",
        ) from None


async def beat(path: Path, subject: Subject, clock: Clock, on_error: Callable[[str], None]) -> None:
    """Touch the file while the subject is ready, until cancelled. A failure is told once, until it works again."""
    told = False
    while True:
        if subject.health().ready:
            try:
                await asyncio.to_thread(touch, path)  # the disk may be slow
                told = False
            except OSError as error:
                if not told:
                    on_error(f"--health-file {path} cannot be touched: {error.strerror or error}")
                told = True
        await clock.sleep(EVERY)
