"""Errors for a stream that is entered in a way that cannot work: each says what to write instead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn


def refuse_with(what: str, twin: str = "") -> NoReturn:
    """Raise the TypeError for ``with`` where ``async with`` is needed.

    what: what is entered, as it is written: ``rawlogs.stream(...) as logs``. twin: the same for code without async.
    """
    without = f"; in code without async: with {twin}" if twin else ""
    raise TypeError(f"write async with {what}, inside an async function{without}")


def running_loop(what: str, twin: str = "") -> asyncio.AbstractEventLoop:
    """Return the running event loop of asyncio. Raises RuntimeError where there is none, as under trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        other = (
            f"; under trio, or another event loop, write with {twin} in a thread of its own" if twin else ""
        )
        raise RuntimeError(
            f"{what} needs the event loop of asyncio, and none is running: start with asyncio.run(main()){other}"
        ) from None


class AsyncOnly:
    """Base of the streams that only ``async with`` enters, and that have a twin for code without async."""

    called = ""
    """The function that makes it: ``rawlogs.stream``."""

    def check_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop. Raises RuntimeError that says what to write where there is none."""
        return running_loop(self.called, f"{self.called}_sync(...) as logs")

    if not TYPE_CHECKING:  # a type checker would take ``with`` for right

        def __enter__(self) -> None:
            refuse_with(f"{self.called}(...) as logs", f"{self.called}_sync(...) as logs")

        def __exit__(self, *_: object) -> None:
            """Do nothing: entering raises, so this is never called."""
