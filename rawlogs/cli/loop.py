"""The event loop of a command: uvloop where it is installed (``rawlogs[speed]``), else asyncio's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from importlib import import_module
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, as ``asyncio.run`` does."""
    try:
        for standard in range(3):
            os.fstat(standard)
        uvloop: Any = import_module("uvloop")
    except (ImportError, OSError):  # libuv aborts the process where stdin, stdout or stderr is not open
        return asyncio.run(work)
    if hasattr(asyncio, "Runner"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            done: T = runner.run(work)
            return done
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # Python 3.10
    return asyncio.run(work)
