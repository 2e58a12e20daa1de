"""The source that is a stream in Redis, for web workers: no socket to Prefect, however many workers there are."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from rawlogs.arguments import Access
from rawlogs.backoff import delay
from rawlogs.clock import Clock, SystemClock
from rawlogs.config.settings import resolve
from rawlogs.errors import ConfigError, ConnectError
from rawlogs.filters import LogFilter, Selection
from rawlogs.log_values import rfc3339
from rawlogs.models import MICROSECOND, Log
from rawlogs.relay.prefect import PrefectSource
from rawlogs.relay.redis.address import SETTING
from rawlogs.relay.redis.history import RedisHistory
from rawlogs.relay.redis.store import (
    NAME_SETTING,
    PAGE,
    ZERO_ID,
    Entry,
    EntryId,
    State,
    Store,
    id_text,
    workspace_name,
)
from rawlogs.relay.source import Source, SourceBatch, Tell, Trouble

if TYPE_CHECKING:
    from rawlogs.rest.flow_runs import Runs
    from rawlogs.wire.connection import Target

BEFORE = timedelta(minutes=2)
"""How far a producer's clock may be ahead: a log may arrive so long before its own timestamp."""
BLOCK = 1.0
"""Seconds that Redis may keep a reader waiting, and after which readers hear that the writing goes on."""
ABANDONED = 10.0
"""Seconds without any relay after which readers are told."""


def source_from_environment(environ: Mapping[str, str] | None = None, **options: Any) -> Source:
    """Return ``RedisSource`` where ``RAWLOGS_REDIS_URL`` is set, else ``PrefectSource``; ``options`` are theirs."""
    environ = os.environ if environ is None else environ
    url = environ.get(SETTING)
    if not url:
        return PrefectSource(**options)
    return RedisSource(url, name=environ.get(NAME_SETTING) or None, **options)


class RedisSource:
    """What ``rawlogs relay`` has written to the Redis at ``url``; implements ``rawlogs.relay.Source``.

    name: that of the relay; None: derived from the API's URL, as the relay does.
    ``access`` is what ``PrefectSource`` takes; it serves lists beyond what Redis keeps, states and deployments. With a
    name, and no setting that names an API, there are none of these. Raises ConfigError for what cannot work.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        **access: Any,
    ) -> None:
        self._url = url
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._prefect: PrefectSource | None = None
        api_url = _api_url(access, required=name is None)
        if api_url is not None:
            self._prefect = PrefectSource(clock=clock, **access)
        self._name = name or workspace_name(api_url or "")
        self._lists = Store(url, self._name)
        self._history = RedisHistory(self._lists, self._prefect)
        self._low: datetime | None = None
        self._next_low: tuple[EntryId, datetime] | None = None
        self._trouble: Trouble | None = None
        self._no_relay_since: float | None = None

    async def read(self, since: datetime, tell: Tell) -> AsyncGenerator[SourceBatch, None]:
        """Yield the stream from ``since`` on, over one connection; see ``Source``.

        After a takeover, a failover or a lost end it is read again from the low-water mark, so some logs come again.
        """
        store = Store(self._url, self._name)
        self._no_relay_since = None
        taken: EntryId | None = None
        try:
            while True:
                self._low, self._next_low = since, None
                began = await self._begin(store, tell)
                if since < began.covered:
                    async with aclosing(self._before(since, began.covered - MICROSECOND)) as older:
                        async for logs in older:
                            yield SourceBatch(logs, [""] * len(logs))
                # What had been written by then: only what was asked for, and it says when it came.
                known = began.last if taken is None else min(began.last, taken)
                async with aclosing(
                    self._follow(store, await self._start(store, since), began, tell)
                ) as read:
                    async for entries in read:
                        taken = entries[-1].id
                        entries = [e for e in entries if e.id > known or e.log.timestamp >= since]
                        if entries:
                            logs = [_stored(e) if e.id <= known else e.log for e in entries]
                            yield SourceBatch(logs, [f"{self._name}:{id_text(e.id)}" for e in entries])
                since = self._low
        finally:
            await store.close()

    def low(self) -> datetime | None:
        return self._low

    def now(self) -> datetime:
        return self._prefect.now() if self._prefect is not None else self._clock.now()

    async def history(
        self, selection: Selection, after: datetime, before: datetime, *, newest_first: bool = False
    ) -> AsyncGenerator[list[Log], None]:
        """Yield what Redis keeps from Redis, all else from Prefect; raises NotKept at the end where neither has it."""
        async with aclosing(self._history.read(selection, after, before, newest_first)) as pages:
            async for page in pages:
                yield page

    def runs(self) -> Runs | None:
        return self._prefect.runs() if self._prefect is not None else None

    def events_target(self) -> Target | None:
        """Return None: the workers shall not open sockets to Prefect; states are asked for."""
        return None

    async def close(self) -> None:
        await self._lists.close()
        if self._prefect is not None:
            await self._prefect.close()

    # Reading on

    async def _begin(self, store: Store, tell: Tell) -> State:
        """Wait until a relay has begun to write; return where the writing stands."""
        failures = 0
        while True:
            try:
                state = await store.state()
            except ConnectError:
                state = None
            if state is not None:
                self._trouble = None
                tell(None)
                return state
            self._tell("unreachable", tell)
            await self._clock.sleep(delay(failures, 0.2, self._rng))
            failures = min(failures + 1, 2)

    async def _before(self, since: datetime, until: datetime) -> AsyncGenerator[list[Log], None]:
        """Yield what Redis has not (any more), as far as there is access to Prefect."""
        if self._prefect is not None:
            async with aclosing(self._prefect.history(Selection(LogFilter()), since, until)) as pages:
                async for page in pages:
                    yield page

    async def _start(self, store: Store, since: datetime) -> EntryId:
        """Return the id before the first entry whose log may be stamped at or after ``since``."""
        arrived = since - BEFORE + (await store.now() - self.now())
        return max(int(arrived.timestamp() * 1000), 0), 0

    async def _follow(
        self, store: Store, entry_id: EntryId, began: State, tell: Tell
    ) -> AsyncGenerator[list[Entry], None]:
        """Yield the entries behind that id, until some of them may have gone and all has to be read anew."""
        failures = 0
        looked = float("-inf")
        read = ZERO_ID
        while True:
            try:
                behind, entries = await store.follow(entry_id, BLOCK)
                now = self._clock.monotonic()
                if failures or now - looked >= BLOCK or len(entries) >= PAGE // 2:
                    looked = now
                    state = await store.state()
                    self._tell(self._trouble_in(state, now), tell)
                    # Redis has been emptied, or has come back without its end.
                    if state is None or state.last < read:
                        return
                    # Another relay writes, or the same one from where a replica was: what that had lost may be written
                    # again with ids before ``read``, if its clock is behind.
                    if state.turn != began.turn:
                        return
                    # The trim has overtaken this reader.
                    if state.trimmed > max(entry_id, began.trimmed):
                        return
                    self._next_low = state.last, state.low
            except ConnectError:
                self._tell("unreachable", tell)
                await self._clock.sleep(delay(failures, 0.0, self._rng))
                failures += 1
                continue
            failures = 0
            if entries:
                yield entries
                entry_id = read = behind
            if self._next_low is not None and entry_id >= self._next_low[0]:
                # Everything up to ``entry_id`` is taken by now, and so is everything before its mark.
                self._low = self._next_low[1]

    def _trouble_in(self, state: State | None, now: float) -> Trouble | None:
        if state is None or state.relayed:
            self._no_relay_since = None
        elif self._no_relay_since is None:
            self._no_relay_since = now
        elif now - self._no_relay_since >= ABANDONED:
            return "unreachable"
        if state is None or not state.trouble:
            return None
        return cast(Trouble, state.trouble)

    def _tell(self, trouble: Trouble | None, tell: Tell) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            tell(trouble)

    def __repr__(self) -> str:
        return f"<RedisSource {self._lists.client.address} {self._name}>"


def _stored(entry: Entry) -> Log:
    """Return the log of an entry written before; ``created`` is when it came, where the server did not say."""
    if entry.log.created is not None:
        return entry.log
    return Log.from_wire({**entry.log.data, "created": rfc3339(entry.arrived)})


def _api_url(access: Mapping[str, Any], *, required: bool) -> str | None:
    """Return the API that the settings name; None where none does and none is required."""
    try:
        return resolve(**{name: access[name] for name in Access.__annotations__ if name in access}).api_url
    except ConfigError as error:
        if not error.missing:
            raise
        if required:
            raise ConfigError(
                f"which logs in Redis are meant? {error.text}",
                setting=NAME_SETTING,
                hint=f"Set {NAME_SETTING} to the relay's --name, or PREFECT_API_URL to the relay's.",
            ) from None
        return None
