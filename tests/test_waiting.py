"""Waiting within a limit: results, errors and cancellations, also in one turn of the loop."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from rawlogs.waiting import first_of, within


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


async def test_the_first_of_several_ends_the_waiting_and_cancels_the_other_coroutines() -> None:
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    await first_of(asyncio.sleep(0), hang())
    assert ended == ["cancelled"]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_task_among_them_goes_on_also_where_the_waiting_is_cancelled(cancelled: bool) -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    ready = asyncio.Event()
    waiting = asyncio.ensure_future(first_of(task, ready.wait()))
    await asyncio.sleep(0)
    waiting.cancel() if cancelled else ready.set()
    await asyncio.wait({waiting})
    assert (waiting.cancelled(), task.done()) == (cancelled, False)
    task.cancel()


async def test_what_a_coroutine_raised_is_raised_and_what_a_task_raised_is_its_owners() -> None:
    async def fail(text: str) -> None:
        raise ValueError(text)

    with pytest.raises(ValueError, match="coroutine"):
        await first_of(fail("coroutine"), asyncio.Event().wait())
    task = asyncio.ensure_future(fail("task"))
    await first_of(task, asyncio.Event().wait())
    with pytest.raises(ValueError, match="task"):
        await task
