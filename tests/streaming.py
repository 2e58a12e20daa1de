"""What the tests of the stream and of the command share: quick time, a reader with a deadline, a server in a thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import pytest

import rawlogs
from rawlogs.testing import Behaviour, FakeServer

DEADLINE = 60.0
"""Seconds, by the machine's clock, after which a test gives up waiting."""
SPEED = 20.0
T = TypeVar("T")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder and home, and no variable that a setting could come from; the folder."""
    for name in os.environ:
        if name.upper().startswith(("PREFECT_", "RAWLOGS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


class QuickClock:
    """A ``rawlogs.clock.Clock`` on which time passes ``speed`` times as fast."""

    def __init__(self, speed: float = SPEED) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._at = datetime.now(timezone.utc)
        self.ahead = 0.0
        """Seconds by which the wall clock was set on."""

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self._passed() + self.ahead)

    def monotonic(self) -> float:
        return 1000.0 + self._passed()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def _passed(self) -> float:
        return (time.monotonic() - self._began) * self._speed


@asynccontextmanager
async def serving(behaviour: Behaviour | None = None, **options: Any) -> AsyncIterator[FakeServer]:
    """A fake server on a quick clock."""
    async with FakeServer(behaviour, **{"clock": QuickClock(), **options}) as server:
        yield server


class Reader:
    """One stream of a fake server, read with a deadline; ``notices`` is its diary."""

    def __init__(self, server: FakeServer, **arguments: Any) -> None:
        self.server = server
        self.notices: list[rawlogs.Notice] = []
        self.got: list[rawlogs.Log] = []
        behaviour = server.behaviour
        arguments = {
            "api_url": server.api_url,
            "auth_string": behaviour.auth_string,
            "api_key": behaviour.api_key,
            "clock": server.state._clock,
            "on_notice": self._note,
            **arguments,
        }
        arguments = {"audit": 3.0, "rest_budget": 0, **arguments}
        self.logs = rawlogs.stream(**arguments)

    def _note(self, notice: rawlogs.Notice) -> None:
        self.notices.append(notice)
        self.server.state.changed()

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    @property
    def pauses(self) -> list[float]:
        """Seconds of each pause before another try."""
        return [notice.facts["delay"] for notice in self.notices if notice.kind == "retrying"]

    @property
    def texts(self) -> str:
        return "\n".join(notice.text for notice in self.notices)

    @property
    def messages(self) -> list[str]:
        """All that was read so far."""
        return [log.message for log in self.got]

    async def take(self, count: int = 1) -> list[str]:
        """The messages of the next so many logs."""
        wanted = len(self.got) + count
        while len(self.got) < wanted:
            self.got.append(await within(self.logs.__anext__()))
        return self.messages[wanted - count :]

    async def until_noted(self, *kinds: str) -> None:
        """Wait until each of these kinds was noted."""
        await self.server.until(lambda: set(kinds) <= set(self.kinds), DEADLINE)

    async def rest(self) -> list[str]:
        """Read until the stream ends by itself; the messages that came."""
        before = len(self.got)

        async def read() -> None:
            async for log in self.logs:
                self.got.append(log)

        await within(read())
        return self.messages[before:]

    async def finish(self) -> list[str]:
        """Let the stream list once more and end; all messages."""
        await within(self.logs.finish())
        await self.rest()
        return self.messages


@asynccontextmanager
async def reading(server: FakeServer, **arguments: Any) -> AsyncIterator[Reader]:
    """An open stream of that server, which has read its filter."""
    reader = Reader(server, **arguments)
    async with reader.logs as logs:
        if logs.stats.connections:
            connection = server.connections[-1]
            await server.until(lambda: connection.envelope is not None)
        yield reader


async def within(work: Awaitable[T], seconds: float = DEADLINE) -> T:
    """Wait for it, not for ever."""
    return await asyncio.wait_for(work, seconds)


async def eventually(condition: Callable[[], object], seconds: float = DEADLINE) -> None:
    """Wait until the condition holds, where nothing tells that it does."""

    async def look() -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await within(look(), seconds)


def lists(server: FakeServer) -> list[Mapping[str, Any]]:
    """The bodies of all requests for the list of logs."""
    return [request.body for request in server.requests if request.path == "/logs/filter"]


class ThreadedServer:
    """A fake server in a thread of its own: for what blocks the test's thread, and for other processes."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server

    def __getattr__(self, name: str) -> Any:
        """Return ``post``, ``api_url`` and the like of the server; they may be used from any thread."""
        return getattr(self.server, name)

    def call(self, function: Callable[..., T], *arguments: Any, **fields: Any) -> T:
        """Call a function on the server's event loop."""

        async def work() -> T:
            return function(*arguments, **fields)

        return self.server.run(work())

    def wait(self, work: Any) -> Any:
        """Await a coroutine on the server's event loop."""
        return self.server.run(work)

    def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        self.wait(self.server.until(condition, seconds))

    def until_subscribed(self, clients: int = 1) -> None:
        self.wait(self.server.until_subscribed(clients, DEADLINE))

    def beside(self, work: Callable[[ThreadedServer], None]) -> threading.Thread:
        """Do that in a thread meanwhile, such as to act when a client has come."""
        thread = threading.Thread(target=work, args=(self,), daemon=True)
        thread.start()
        return thread


@contextmanager
def threaded(behaviour: Behaviour | None = None, **options: Any) -> Iterator[ThreadedServer]:
    """Run a ``ThreadedServer``."""
    with FakeServer(behaviour, **options) as server:
        yield ThreadedServer(server)
