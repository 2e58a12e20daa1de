"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")
ENDING_TIMEOUT = 5.0
"""Seconds that the end of the interpreter waits for what still runs in a thread."""


class LoopThread:
    """Runs coroutines there and waits for them here."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon, as the interpreter would wait for ever for a stream that nobody has left.
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()
        self.ended = False
        _running.add(self)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Return the coroutine's result, or raise what it raises. ``timeout`` is in seconds; None: none."""
        if self.ended:
            work.close()
            raise RuntimeError("the event loop's thread has ended")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def stop(self, timeout: float | None = None) -> None:
        """Stop its tasks, then the thread. Raises TimeoutError where that takes longer than ``timeout``."""
        if self.ended:
            return
        self.run(_end_others(), timeout)
        self.ended = True
        _running.discard(self)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_running: WeakSet[LoopThread] = WeakSet()


@atexit.register
def _stop_all() -> None:
    """Stop every thread while it still can run.

    Afterwards the interpreter closes what is left, such as a generator that has a stream open. To wait for the thread
    would then be to wait for ever.
    """
    for thread in list(_running):
        try:
            thread.stop(ENDING_TIMEOUT)
        except Exception:  # nobody is left who could be told
            thread.ended = True


async def _end_others() -> None:
    """Cancel every other task of this loop, as ``asyncio.run`` does at its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(5):  # lines that were cut are closed by callbacks of the loop, one after another
        await asyncio.sleep(0)
