"""The source that is Prefect itself: one complete stream of the whole workspace, and its REST list."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rawlogs.api import stream
from rawlogs.clock import Clock, SystemClock
from rawlogs.relay.source import SourceBatch, Tell, is_trouble
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import Runs
from rawlogs.rest.history import History

if TYPE_CHECKING:
    from rawlogs.delivery.stream import LogStream
    from rawlogs.models import Log
    from rawlogs.notices import Notice, OnNotice
    from rawlogs.selection import Selection
    from rawlogs.status.vitals import Vitals
    from rawlogs.wire.connection import Target

LISTS = 4
"""How many pages are read at once, for all readers together."""


class PrefectSource:
    """All logs of one workspace. ``access`` is what ``rawlogs.stream`` takes: ``api_url``, ``api_key``, ...

    ``filter`` narrows what the upstream asks for (None: everything); a reader never gets more than that.
    ``options`` are those of the stream. Raises ConfigError here for settings that cannot work.
    """

    def __init__(
        self,
        *,
        filter: Any = None,
        options: Mapping[str, Any] | None = None,
        on_notice: OnNotice | None = None,
        clock: Clock | None = None,
        **access: Any,
    ) -> None:
        self._filter = filter
        self._options = {"retries": None, "wait": True, **(options or {}), "track": True}
        self._on_notice = on_notice
        self._clock = clock or SystemClock()
        self._access = access
        self._settings = self._stream(None).settings
        self._rest: RestClient | None = None
        self._replaced: list[RestClient] = []
        self._gate = asyncio.Semaphore(LISTS)
        self._live: LogStream | None = None
        self._low: datetime | None = None
        self._token = secrets.token_hex(4)
        self._count = 0

    async def read(self, since: datetime, tell: Tell) -> AsyncGenerator[SourceBatch, None]:
        """Yield one stream, from ``since`` on; see ``Source``."""

        def notice(notice: Notice) -> None:
            if (trouble := is_trouble(notice)) is not None:
                tell("unreachable" if trouble else None)
            if self._on_notice is not None:
                self._on_notice(notice)

        self._low = since
        self._renew()
        async with self._stream(since, notice) as live:
            self._live = live
            try:
                async with aclosing(live.batches()) as batches:  # type: ignore[type-var]
                    async for logs in batches:
                        first, self._count = self._count, self._count + len(logs)
                        yield SourceBatch(logs, [f"{self._token}{first + n:x}" for n in range(len(logs))])
                        live.commit()
            finally:
                if self._live is live:
                    self.low()
                    self._live = None

    def low(self) -> datetime | None:
        if self._live is not None:
            self._low = self._live.low_water()
        return self._low

    def vitals(self) -> Vitals | None:
        """Return how the stream stands; None while nobody reads it."""
        return self._live.vitals() if self._live is not None else None

    def now(self) -> datetime:
        return self._client().server_now()

    async def history(
        self, selection: Selection, after: datetime, before: datetime, *, newest_first: bool = False
    ) -> AsyncGenerator[list[Log], None]:
        """Yield what ``POST /logs/filter`` has, as far as the server can filter it."""
        history = History(self)
        async for page in history.pages(selection.wire, after, before, newest_first=newest_first):
            yield page

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send one request, behind those of the other readers."""
        async with self._gate:
            return await self._client().post(path, body)

    async def get(self, path: str) -> Any:
        async with self._gate:
            return await self._client().get(path)

    def runs(self) -> Runs:
        return Runs(self)

    def events_target(self) -> Target:
        return self._stream(None).events_target()

    async def close(self) -> None:
        clients, self._replaced, self._rest = [*self._replaced, self._rest], [], None
        for client in clients:
            if client is not None:
                await client.close()

    def _renew(self) -> None:
        """Read the settings again: a key may have been replaced since the last reading ended."""
        before, self._settings = self._settings, self._stream(None).settings
        if self._rest is not None and before.authorization != self._settings.authorization:
            self._replaced.append(self._rest)
            self._rest = None

    def _client(self) -> RestClient:
        if self._rest is None:
            self._rest = RestClient(self._settings, clock=self._clock, timeout=30.0, retries=1)
        return self._rest

    def _stream(self, since: datetime | None, notice: OnNotice | None = None) -> LogStream:
        return stream(
            filter=self._filter,
            since=since,
            **self._options,
            on_notice=notice,
            clock=self._clock,
            **self._access,
        )

    def __repr__(self) -> str:
        parts = urlsplit(self._settings.api_url)
        return f"<PrefectSource {parts.scheme}://{parts.netloc}{parts.path}>"
