"""Wait for something, but not for ever, without losing a cancellation.

``asyncio.wait_for`` of Python up to 3.11 returns, instead of being cancelled, when what it waits for is done in that
same turn of the loop; a task that is cancelled once would then go on for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float | None, work: Coroutine[Any, Any, T]) -> T:
    """Return what the coroutine returns. Where that takes longer (None: no limit), cancel it and raise TimeoutError."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            raise TimeoutError
        return task.result()
    except BaseException:
        task.cancel()
        # Cancelled in the turn in which the work failed, nobody else would ask for its error; asyncio would print it.
        await asyncio.gather(task, return_exceptions=True)
        raise


async def wait_until_set(event: asyncio.Event, seconds: float | None) -> bool:
    """Return whether the event was set within so many seconds; None waits without a limit."""
    if seconds is None or event.is_set():
        await event.wait()
        return True
    await first_of(event.wait(), asyncio.sleep(seconds))
    return event.is_set()


async def first_of(*works: Awaitable[object]) -> None:
    """Wait for the first of these, and cancel the other coroutines. Raises what a coroutine that ended raised.

    A task among them belongs to whoever made it: it goes on, and what it raised is its owner's.
    """
    own = [asyncio.ensure_future(work) for work in works if not asyncio.isfuture(work)]
    tasks = [work for work in works if asyncio.isfuture(work)]
    try:
        done, _ = await asyncio.wait([*own, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)
    for task in done.intersection(own):
        task.result()
