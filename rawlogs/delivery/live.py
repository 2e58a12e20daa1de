"""The socket kept open: connect, read, reconnect. It yields what happens to it, and hands on logs as they are read.

It knows no list and delivers nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from rawlogs.backoff import delay
from rawlogs.batch import Batch
from rawlogs.config.settings import Settings
from rawlogs.delivery.context import StreamContext
from rawlogs.errors import ConnectionLost, GaveUp, ProtocolError, RawlogsError
from rawlogs.retrying.retry import PROOF, Fatal, Record, verdict
from rawlogs.subscription import KeyRotation
from rawlogs.waiting import first_of, within
from rawlogs.wire.connection import Connection, open_connection
from rawlogs.wire.frames import BadFrame, Frame, decode_batch
from rawlogs.wire.ways import fast

BAD_FRAMES = 100
"""So many frames in a row that cannot be read, and the connection is opened anew."""
PING_TIMEOUT = 5.0
CLOSE_CODES = frozenset({*range(1000, 1004), *range(1006, 1016)})
"""Those of RFC 6455 that a connection can end with; a server may send any other number."""
SOCKET_TRIES = 2
"""Retries of a first connection that fails where the list answers and can be followed instead."""


def cause_of(error: RawlogsError) -> str:
    """Return the close code that a connection ended with, else the name of the error: one of few words."""
    code = getattr(error, "code", None)
    return str(code) if code in CLOSE_CODES else type(error).__name__


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open, authenticated, and the filter was sent. ``again``: after an end that may have cost logs."""

    url: str
    again: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection has ended."""

    error: RawlogsError


Take = Callable[[Batch, int], None]
"""Is given logs, and how many frames among them could not be read. It must not wait."""


class ReconnectingSocket:
    """One connection after the other, until something fatal happens.

    ``list_answers``: whether REST has answered with this filter, so that the server takes it and could be polled.
    """

    def __init__(self, context: StreamContext, *, list_answers: Callable[[], bool]) -> None:
        self._subscription, self._options = context.subscription, context.options
        self._notifier, self._stats = context.notifier, context.stats
        self._clock, self._rng = context.clock, context.rng
        self._list_answers = list_answers
        self._record = Record(wait=context.options.wait)
        self._attempts = 0
        self._key_rotation = KeyRotation(self._subscription)
        self._since = context.clock.monotonic()
        self._filter_works = False
        self._reopening = False
        self._bad_in_a_row = 0
        self._proved = False  # a log has come through the present connection
        self._fast = fast()
        self._connection: Connection | None = None
        self._server_is_back = asyncio.Event()

    async def events(self, take: Take) -> AsyncIterator[Connected | Lost]:
        """Yield what happens to the socket; end only after a clean close, if that was asked for.

        What comes after a Connected is given to ``take``, in the turn of the event loop that read it. Raises what is
        fatal, GaveUp, and what ``take`` raises.
        """
        lost: RawlogsError | None = None  # what the last connection ended with, where that may have cost logs
        while True:
            used, filter_text = self._subscription.settings, self._subscription.filter_text()
            try:
                connection = await open_connection(self._subscription.logs_target(), filter_text)
            except RawlogsError as refusal:
                await self._pause(refusal, used)
                continue
            self._record.succeeded = True
            if self._subscription.filter_text() != filter_text:
                connection.abort()  # it has changed meanwhile, and cannot be sent twice
                continue
            self._connection = connection
            self._stats.connections += 1
            if lost is not None:
                self._stats.reconnects += 1
                self._stats.reconnect_causes[cause_of(lost)] += 1
            yield Connected(connection.url, lost is not None)
            opened, self._proved = self._clock.monotonic(), False
            try:
                await connection.feed(partial(self._received, take))
            except RawlogsError as error:
                lost = error
            self._connection = None
            connection.abort()
            if self._reopening:
                self._reopening, lost = False, None
                continue
            self._note_end(lost, self._clock.monotonic() - opened)
            yield Lost(lost)
            if not self._options.reconnect_on_clean_close and isinstance(lost, ConnectionLost) and lost.clean:
                return
            await self._pause(lost, used)

    @property
    def connected(self) -> bool:
        return self._connection is not None

    async def close(self) -> None:
        """Close with code 1000; once nobody reads the events any more."""
        if self._connection is not None:
            await self._connection.close()

    async def reopen(self) -> None:
        """Open the socket anew with the present filter; not counted as a failure."""
        if self._connection is not None:
            self._reopening = True
            await self._connection.close()

    def try_now(self) -> None:
        """Cut a pause between two tries short: the server has answered over REST again."""
        self._server_is_back.set()

    async def check(self) -> None:
        """Send a ping, and cut the connection where no answer comes: after a sleep of the machine it may be dead."""
        connection = self._connection
        if connection is None:
            return
        try:
            await within(PING_TIMEOUT, connection.ping())
        except (RawlogsError, TimeoutError):
            connection.abort()

    def _received(self, take: Take, payloads: list[bytes]) -> None:
        batch, others = decode_batch(payloads, keep=self._options.keep_raw, fast=self._fast)
        bad = self._note_bad(others) if others else 0
        if batch.ids:  # asked of the column: nothing is called for it, on a way that is taken for each log
            self._bad_in_a_row = 0
            if not self._proved:
                self._proved = True
                self._prove()
        take(batch, bad)

    def _prove(self) -> None:
        self._record.proved()
        self._filter_works = True
        self._attempts = 0
        self._key_rotation.accepted()
        self._since = self._clock.monotonic()

    def _note_bad(self, frames: Iterable[Frame]) -> int:
        """Tell of frames that cannot be read. Return how many; raises ProtocolError after too many in a row."""
        bad = [frame for frame in frames if isinstance(frame, BadFrame)]
        for frame in bad:
            self._stats.bad_frames += 1
            self._bad_in_a_row += 1
            text = f"a frame could not be read ({frame.problem}): {frame.excerpt}"
            self._notifier.say_once(f"bad frame: {frame.problem}", "bad_frame", text)
            if self._bad_in_a_row >= BAD_FRAMES:
                raise ProtocolError(f"{BAD_FRAMES} frames in a row could not be read", frame=frame.excerpt)
        return len(bad)

    def _note_end(self, error: RawlogsError, age: float) -> None:
        if age >= PROOF:
            self._prove()
        if self._proved or age >= PROOF:
            return
        # A server drops the connection without a word for a filter that it cannot read. So does a proxy for other
        # reasons: the filter is only blamed where there is one, and nothing has shown that the server takes it.
        filter_proven = self._filter_works or self._list_answers() or not self._subscription.selection.wire
        dropped = isinstance(error, ConnectionLost) and error.code == 1006 and age < 1.0
        silent = dropped and not filter_proven
        self._record.silent_ends = self._record.silent_ends + 1 if silent else 0
        if age < 1.0:
            text = f"The connection lasted only {age:.1f} s ({error.text})"
            self._notifier.say_once("short connection", "warning", text)

    async def _pause(self, error: RawlogsError, used: Settings) -> None:
        """Wait as long as the table says before the next try, or raise what is fatal."""
        answer = verdict(error, self._record)
        if isinstance(answer, Fatal):
            if self._record.succeeded and self._key_rotation.found(error, used):
                return
            raise answer.error from (None if answer.error is error else error)
        allowed = self._allowed()
        if allowed is not None and self._attempts >= allowed:
            if self._attempts == 0:
                raise error
            elapsed = self._clock.monotonic() - self._since
            raise GaveUp(
                f"Gave up after {self._attempts} tries in {elapsed:.0f} s. The last error: {error.text}",
                attempts=self._attempts,
                elapsed=elapsed,
                hint=error.hint,
            ) from error
        # The first try after a clean close is made at once: the server only asks to come again.
        clean = isinstance(error, ConnectionLost) and error.clean and self._attempts == 0
        seconds = 0.0 if clean else delay(self._attempts, answer.floor, self._rng)
        self._attempts += 1
        text = f"{error.text}; try {self._attempts} in {seconds:.1f} s"
        self._notifier.notify("retrying", text, attempt=self._attempts, delay=seconds)
        if answer.floor:  # the server has asked for this pause
            await self._clock.sleep(seconds)
            return
        self._server_is_back.clear()
        await first_of(self._clock.sleep(seconds), self._server_is_back.wait())

    def _allowed(self) -> int | None:
        retries = self._options.retries
        instead = self._options.transport == "auto" and self._list_answers()
        if self._record.succeeded or self._record.wait or not instead:
            return retries
        return SOCKET_TRIES if retries is None else min(SOCKET_TRIES, retries)
