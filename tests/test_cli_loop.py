"""A command runs on uvloop where it is installed, and on asyncio's own loop where it is not."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from rawlogs.cli import loop


async def running() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_without_uvloop_it_is_asyncios_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.run(running()) == "asyncio"


class Loop(asyncio.SelectorEventLoop):
    """Stands in for uvloop's, which the tests do without."""


class Policy(asyncio.DefaultEventLoopPolicy):
    """Stands in for uvloop's; asked by Python 3.10 only."""

    def new_event_loop(self) -> Loop:
        return Loop()


def test_with_uvloop_it_is_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(new_event_loop=Loop, EventLoopPolicy=Policy))
    try:
        assert loop.run(running()) == Loop.__module__.partition(".")[0]
    finally:
        asyncio.set_event_loop_policy(None)


def test_what_the_command_raises_is_raised() -> None:
    async def failing() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        loop.run(failing())
