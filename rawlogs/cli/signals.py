"""What ends, or nudges, a command from outside: POSIX signals, also where Windows has only some of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from rawlogs.cli import exit_codes

Action = Callable[[], object]


def on_signals(actions: Mapping[str, Action | None]) -> None:
    """Call each action in the running loop when its signal comes, such as ``{"SIGINT": stop}``.

    A name that this system does not have, and one whose action is None, keeps its default.
    """
    loop = asyncio.get_running_loop()
    for name, action in actions.items():
        number = getattr(signal, name, None)
        if number is not None and action is not None:
            _install(loop, number, action)


def on_end(stop: Callable[[int], object]) -> None:
    """Call ``stop`` with the exit code of SIGINT or SIGTERM, in the running loop, each time that one comes."""
    on_signals(
        {
            "SIGINT": lambda: stop(exit_codes.INTERRUPTED),
            "SIGTERM": lambda: stop(exit_codes.TERMINATED),
        }
    )


def run_until_signal(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run the coroutine, which a signal cancels. Return its exit code, or the signal's."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work())
        stopped: list[int] = []

        def stop(code: int) -> None:
            stopped.append(code)
            task.cancel()

        on_end(stop)
        try:
            return await task
        except asyncio.CancelledError:
            return stopped[0] if stopped else exit_codes.INTERRUPTED

    return asyncio.run(guarded())


def exit_now(code: int) -> NoReturn:
    """End the process without waiting for anything; a thread that waits for a stopped reader would keep it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _install(loop: asyncio.AbstractEventLoop, number: int, action: Action) -> None:
    try:
        loop.add_signal_handler(number, action)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))
    except (RuntimeError, ValueError):  # not in the main thread, where no signal can be handled
        pass
