"""Waiting within a limit: results, errors and cancellations, also in one turn of the loop."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from rawlogs.waiting import within


async def test_the_result_comes_back() -> None:
    assert await within(10.0, asyncio.sleep(0, "result")) == "result"


async def test_the_error_comes_back() -> None:
    async def fail() -> None:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        await within(None, fail())


async def test_what_takes_longer_is_cancelled_and_has_ended() -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("ended")

    with pytest.raises(TimeoutError):
        await within(0.0, hang())
    assert ended == ["ended"]


@pytest.mark.parametrize("fails", [True, False])
async def test_a_caller_cancelled_in_the_turn_in_which_the_work_ends_is_cancelled_and_no_error_is_left(
    fails: bool,
) -> None:
    """asyncio prints the error of a task that nobody asked for it, with a traceback, whatever is in it."""
    printed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: printed.append(context))

    callers: list[asyncio.Future[None]] = []

    async def work() -> None:
        callers.pop().cancel()
        if fails:
            raise ValueError("nobody asks")

    caller = asyncio.ensure_future(within(10.0, work()))
    callers.append(caller)
    await asyncio.wait({caller})
    assert caller.cancelled()
    del caller
    await asyncio.sleep(0)  # the loop lets go of what it ran
    gc.collect()
    assert printed == []
