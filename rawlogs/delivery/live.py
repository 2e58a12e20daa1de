"""The socket kept open: connect, read, reconnect. It asks the retry table and tells its owner; it knows no list."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Protocol

from rawlogs.clock import Clock
from rawlogs.delivery.retry import PROOF, Fatal, Record, delay, verdict
from rawlogs.errors import AuthError, ConnectionLost, GaveUp, RawlogsError
from rawlogs.wire.connection import Connection, Target, open_connection


class LiveOwner(Protocol):
    """Who is told what the socket does."""

    def target(self) -> Target: ...

    def filter_text(self) -> str: ...

    def filter_accepted(self) -> bool:
        """Whether the server is known to take the filter."""
        ...

    def live_connected(self, connection: Connection, again: bool) -> None: ...

    def live_batch(self, payloads: list[bytes]) -> bool:
        """Take what came; True when there was something in it that proves the connection."""
        ...

    def live_lost(self, error: RawlogsError) -> None: ...

    def notify(self, kind: Any, text: str, **facts: Any) -> None: ...


class LiveLoop:
    """One socket after the other, until something fatal happens or the owner cancels it."""

    def __init__(
        self,
        owner: LiveOwner,
        *,
        clock: Clock,
        rng: random.Random,
        retries: int | None,
        first_retries: int | None = None,
        wait: bool = False,
        end_on_clean_close: bool = False,
        refresh: Callable[[], None] = lambda: None,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self._rng = rng
        self._retries = retries
        self._first_retries = retries if first_retries is None else first_retries
        self._refresh = refresh
        self._refreshed = False
        self._token: str | None = None
        self._end_on_clean_close = end_on_clean_close
        self._record = Record(wait=wait)
        self._attempts = 0
        self._since = clock.monotonic()
        self._warned_short = False
        self._filter_works = False
        self._reopening = False
        self.connection: Connection | None = None

    async def run(self) -> None:
        """Returns only after a clean close, where the owner asked to end on one. Raises what is fatal, or GaveUp."""
        again = False
        while True:
            try:
                target, filter_text = self._owner.target(), self._owner.filter_text()
                self._token = target.token
                connection = await open_connection(target, filter_text)
            except RawlogsError as refusal:
                await self._pause(refusal)
                continue
            self._record.succeeded = True
            if self._owner.filter_text() != filter_text:  # changed meanwhile: a filter cannot be sent twice
                connection.abort()
                continue
            self.connection = connection
            try:
                self._owner.live_connected(connection, again)
                again = True
                ending = await self._read(connection)
            except asyncio.CancelledError:
                raise  # who cancels, closes
            except BaseException:
                connection.abort()
                raise
            self.connection = None
            connection.abort()
            if self._reopening:
                self._reopening = again = False  # nothing was lost
                continue
            self._owner.live_lost(ending)
            if self._end_on_clean_close and isinstance(ending, ConnectionLost) and ending.clean:
                return
            await self._pause(ending)

    async def close(self) -> None:
        """Once ``run`` was cancelled: take leave of the server, with 1000."""
        if self.connection is not None:
            await self.connection.close()

    async def reopen(self) -> None:
        """Open the socket anew with the owner's present filter; not counted as a failure."""
        if self.connection is not None:
            self._reopening = True
            await self.connection.close()

    async def _read(self, connection: Connection) -> RawlogsError:
        """Read until the end; what the ending means."""
        opened = self._clock.monotonic()
        proved = False
        try:
            while True:
                if self._owner.live_batch(await connection.batch()) and not proved:
                    proved = True
                    self._prove()
        except RawlogsError as error:
            age = self._clock.monotonic() - opened
            if age >= PROOF:
                self._prove()
            elif not proved and not self._reopening:
                self._note_short(error, age)
            return error

    def _prove(self) -> None:
        self._record.proved()
        self._filter_works = True
        self._attempts = 0
        self._refreshed = False
        self._since = self._clock.monotonic()

    def _note_short(self, error: RawlogsError, age: float) -> None:
        doubtful = not (self._filter_works or self._owner.filter_accepted())
        silent = isinstance(error, ConnectionLost) and error.code == 1006 and age < 1.0 and doubtful
        self._record.silent_ends = self._record.silent_ends + 1 if silent else 0
        if age < 1.0 and not self._warned_short:
            self._warned_short = True
            self._owner.notify("warning", f"The connection lasted only {age:.1f} s ({error.text})")

    async def _pause(self, error: RawlogsError) -> None:
        """Wait as long as the table says before the next try, or raise what is fatal."""
        answer = verdict(error, self._record)
        if isinstance(answer, Fatal):
            if isinstance(error, AuthError) and self._record.succeeded and not self._refreshed:
                # A key may have been rotated while the stream ran: look once whether the settings have changed.
                self._refreshed = True
                self._refresh()
                # The list may have been told of the new key, and looked, before.
                if self._owner.target().token != self._token:
                    return
            raise answer.error from (None if answer.error is error else error)
        allowed = self._retries if self._record.succeeded or self._record.wait else self._first_retries
        if allowed is not None and self._attempts >= allowed:
            elapsed = self._clock.monotonic() - self._since
            if self._attempts == 0:
                raise error
            raise GaveUp(
                f"Gave up after {self._attempts} tries in {elapsed:.0f} s. The last error: {error.text}",
                attempts=self._attempts,
                elapsed=elapsed,
                hint=error.hint,
            ) from error
        clean = isinstance(error, ConnectionLost) and error.clean and self._attempts == 0
        seconds = 0.0 if clean else delay(self._attempts, answer.floor, self._rng)
        self._attempts += 1
        self._owner.notify(
            "retrying",
            f"{error.text}; try {self._attempts} in {seconds:.1f} s",
            attempt=self._attempts,
            delay=seconds,
        )
        await self._clock.sleep(seconds)
