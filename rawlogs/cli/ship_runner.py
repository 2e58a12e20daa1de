"""``ship``: a stream sent to an OTLP receiver; the cursor moves behind what the receiver has acknowledged."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rawlogs.cli import exit_codes
from rawlogs.cli.status import REDRAW
from rawlogs.cli.stream_runner import StreamRunner
from rawlogs.clock import SystemClock
from rawlogs.errors import RawlogsError
from rawlogs.otlp.record import resource_of
from rawlogs.output.stderr import can_redraw
from rawlogs.ship.batching import Batcher
from rawlogs.ship.dead_letters import DeadLetterFile
from rawlogs.ship.names import NameCache
from rawlogs.ship.receiver import Receiver
from rawlogs.ship.sender import Sender
from rawlogs.ship.shipper import Shipper
from rawlogs.ship.stats import ShipStats
from rawlogs.waiting import first_of, within

if TYPE_CHECKING:
    from rawlogs.delivery.stream import LogStream
    from rawlogs.health.subject import Subject
    from rawlogs.status.stats import Stats

FLUSH_WITHIN = 7.0
"""Seconds from a signal until what is not acknowledged is given up: Docker kills after ten."""

SAVE_EVERY = 0.1
"""Seconds: what was acknowledged since the last save is what a process that is killed repeats."""


class ShipRunner(StreamRunner):
    """Ships one stream to ``receiver``; the other arguments are those of ``StreamRunner``.

    notes: what is told as warnings at the start.
    batch_size: how many logs a request has at most; batch_bytes: how many bytes, about, before compression.
    dead_letter: the file for logs that are refused for good, or None.
    """

    end_within = FLUSH_WITHIN + 2.0

    def __init__(
        self,
        *streamed: Any,
        receiver: Receiver,
        notes: Sequence[str],
        batch_size: int,
        batch_bytes: int,
        dead_letter: str | None,
        **more: Any,
    ) -> None:
        super().__init__(*streamed, **more)
        self.stats = ShipStats()
        self._receiver = receiver
        self._notes = notes
        self._batcher = Batcher(records=batch_size, size=batch_bytes)
        self._dead_letter = dead_letter
        self._letters: DeadLetterFile | None = None
        self._sender: Sender | None = None
        self._out_of_time = asyncio.Event()

    async def run(self) -> int:
        """Ship until the end, a signal or an error. Return the exit code."""
        try:
            code = await super().run()
        finally:
            if self._sender is not None:
                await self._sender.close()
            if self._letters is not None:
                await self._letters.close()
        if code == exit_codes.DONE and self.stats.lost:
            self.notices.error("some logs were not taken by the receiver: see the notices above")
            return exit_codes.LOSS
        return code

    async def open(self) -> None:
        """Open the dead-letter file, and ask the receiver whether it takes requests."""
        for note in self._notes:
            self.notify("warning", note)
        if self._dead_letter is not None:
            self._letters = DeadLetterFile(self._dead_letter)
        clock = SystemClock()
        self._sender = Sender(self._receiver, stats=self.stats, clock=clock)
        self._shipper = Shipper(
            self._sender,
            NameCache(
                lambda: self.setup.stream.rest if self.setup.stream is not None else None,
                clock=clock,
                tell=lambda text: self.notify("warning", text),
            ),
            shown=self._receiver.shown,
            batcher=self._batcher,
            stats=self.stats,
            on_settled=self._settled,
            dead_letters=self._letters,
            notify=self.notify,
            clock=clock,
        )
        if await self._shipper.check():
            self.notify("state", f"shipping to {self._receiver.shown}")

    async def show_status(self, stats: Stats) -> None:
        """Draw how many logs were acknowledged, where stderr is a terminal."""
        if not can_redraw(sys.stderr, os.environ):
            return
        try:
            while True:
                await asyncio.sleep(REDRAW)
                self.notices.status(self.stats.status())
        finally:
            self.notices.status("")

    async def pump(self, logs: LogStream) -> None:
        """Ship what the stream delivers; ends when all of it is settled, or when a signal leaves no more time."""
        self._shipper.resource = {**resource_of(logs.settings.api_url), **self._receiver.resource}
        if self.saver is not None:
            self.saver.every = SAVE_EVERY
        try:
            await first_of(self._take(logs), self._shipper.run(), self._out_of_time.wait())
        finally:
            await self.save_cursor()

    async def _take(self, logs: LogStream) -> None:
        try:
            async for batch in logs.batches():
                await self._shipper.take(batch)
        except RawlogsError:
            with suppress(TimeoutError):  # the account says what is not acknowledged
                await within(FLUSH_WITHIN, self._shipper.drain())
            raise
        await self._shipper.drain()

    def _settled(self, left: int) -> None:
        """Let the cursor pass all logs but the last so many."""
        if self.setup.stream is not None and self.saver is not None:
            self.setup.stream.commit(but=left)
            self.saver.written()

    def stop(self, code: int) -> None:
        """End soon; what can be shipped by then is."""
        super().stop(code)
        asyncio.get_running_loop().call_later(FLUSH_WITHIN, self._out_of_time.set)

    def tell_account(self) -> None:
        """Tell what was delivered, and what was shipped of it."""
        super().tell_account()
        if self.setup.stream is not None:
            self.notify("account", f"shipped: {self.stats.line()}", **self.stats.as_dict())

    def subject(self) -> Subject:
        """Return what probes and Prometheus are told of: the stream and its receiver."""
        from rawlogs.ship.subject import ShipSubject

        return ShipSubject(self.setup.vitals, self.stats)
