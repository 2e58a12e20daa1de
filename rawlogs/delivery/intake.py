"""The live side: what to do with what the socket brings. It never waits; the socket is read at once, always.

A live log goes to the outbox; while a list is being read it is held, so that older logs come first; when the outbox is
full it is dropped here and becomes a gap, which the list fills when there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from rawlogs.delivery.core import Core
from rawlogs.delivery.schedule import Schedule
from rawlogs.errors import ProtocolError, RawlogsError
from rawlogs.models import Log
from rawlogs.wire.connection import Connection, Target
from rawlogs.wire.frames import BadFrame, Frame, decode_logs, filter_message

BURST = 200
"""So many live logs within a second, and the server's queue of 256 for each subscriber may have overflowed."""
QUEUE = 256
EARLY = 0.4
"""Seconds: after a full queue within a second logs are most likely lost. Look soon, and again when all has settled."""
STRAY_PAUSE = 5.0
"""Logs with old timestamps seldom come alone: one look for those of some seconds."""
BAD_FRAMES = 100


class Intake:
    """What a LiveLoop tells its owner, turned into logs in the outbox and marks for the list."""

    def __init__(self, core: Core, schedule: Schedule, on_connected: Callable[[], None]) -> None:
        self._core = core
        self._schedule = schedule
        self._on_connected = on_connected
        self._held: list[Log] | None = None
        self._second = 0.0
        self._in_second = 0
        self._oldest = core.now()
        self._bad_in_a_row = 0
        self.dropped = False
        """Logs were dropped here since this was last set to False."""
        self.suspected_at: float | None = None
        """When (monotonic) something last happened that may have cost logs; None when a list has looked since."""
        self.since_audit = 0
        """Live logs since this was last set to 0."""
        self.held_since = 0.0

    def target(self) -> Target:
        settings, options = self._core.settings, self._core.options
        return Target(
            url=settings.address.logs_url,
            token=settings.websocket_token,
            headers=settings.headers,
            tls=settings.ssl_context(),
            proxy=settings.proxy,
            compress=options.compress,
            legacy=options.legacy,
            max_size=options.max_size,
            open_timeout=options.open_timeout,
            auth_timeout=options.open_timeout,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
        )

    def events_target(self) -> Target:
        """The same access for ``/events/out``."""
        return replace(self.target(), url=self._core.settings.address.events_url)

    def filter_text(self) -> str:
        return filter_message(self._core.selection.wire)

    def filter_accepted(self) -> bool:
        return self._core.listed or not self._core.selection.wire

    def notify(self, kind: Any, text: str, **facts: Any) -> None:
        self._core.notify(kind, text, **facts)

    def live_connected(self, connection: Connection, again: bool) -> None:
        core = self._core
        core.stats.connections += 1
        core.stats.reconnects += again
        core.socket_up = True
        core.notify("connected", f"connected to {connection.url}", url=connection.url, again=again)
        if core.rest is not None:
            if again:
                core.stats.open_gaps = 1
                core.notify("gap_opened", "listing what the live stream missed", since=core.window.fresh)
            self.hold()
            self._schedule.catch_up_now()
        self._on_connected()

    def live_batch(self, payloads: list[bytes]) -> bool:
        logs, others = decode_logs(payloads, keep=self._core.options.keep_raw)
        if others:
            self._odd_frames(others)
        if not logs:
            return False
        self._bad_in_a_row = 0
        self.since_audit += len(logs)
        self._watch_burst(logs)
        if self._held is None:
            self._ingest(logs)
        elif len(self._held) + len(logs) <= self._core.options.buffer:
            self._held.extend(logs)
        else:
            logs = self._held + logs
            self._held = []
            self._drop(logs)
        return True

    def live_lost(self, error: RawlogsError) -> None:
        core = self._core
        core.socket_up = False
        if core.rest is not None:
            core.stats.open_gaps = 1
        core.notify("lost", error.text, error=type(error).__name__, code=getattr(error, "code", None))
        self.release()

    def hold(self) -> None:
        """Keep live logs back until ``release()``."""
        if self._held is None:
            self._held = []
        self.held_since = self._core.clock.monotonic()

    @property
    def holding(self) -> bool:
        return self._held is not None

    def release(self) -> None:
        """Let the held logs go to the reader."""
        held, self._held = self._held, None
        if held:
            self._ingest(held)

    def _ingest(self, logs: list[Log]) -> None:
        core = self._core
        if core.outbox.full:
            self._drop(logs)
            return
        new = core.window.seen.admit(logs, core.clock.now().timestamp())
        core.stats.duplicates += len(logs) - len(new)
        if not new:
            return
        oldest = min([log.timestamp for log in new])
        if core.rest is not None and core.window.stray(oldest):
            seconds = (core.now() - oldest).total_seconds()
            core.say_once("late", "late", f"a log came {seconds:.0f} s after its timestamp", stamp=oldest)
            self.suspect(STRAY_PAUSE)
        accepted = core.accepted(new)
        core.stats.live += len(accepted)
        core.outbox.put(accepted)

    def _drop(self, logs: list[Log]) -> None:
        """The reader is slower: forget these here, and list them when there is room."""
        core = self._core
        core.stats.overflows += 1
        core.stats.open_gaps = 1
        if core.rest is None:
            core.notify(
                "behind", f"the reader is slower than the stream: {len(logs)} logs lost", lost=len(logs)
            )
            return
        core.window.reopen(min(log.timestamp for log in logs))
        self.dropped = True
        core.say_once(
            "behind", "behind", "the reader is slower than the stream; the rest is listed when there is room"
        )
        self._schedule.catch_up_now()

    def _watch_burst(self, logs: list[Log]) -> None:
        """Many logs at once: others of theirs may be lost, from the oldest timestamp among them on."""
        now = self._core.clock.monotonic()
        oldest = min([log.timestamp for log in logs])
        if now - self._second > 1.0:
            self._second, self._in_second, self._oldest = now, 0, oldest
        self._in_second += len(logs)
        self._oldest = min(self._oldest, oldest)
        if self._in_second >= BURST and self._core.rest is not None:
            # A POST of thousands is streamed seconds after its timestamps, which a list may have passed by then.
            if self._oldest < self._core.window.fresh and not self._core.window.stray(self._oldest):
                self._core.window.reopen(self._oldest)
            self.suspect()
            if self._in_second >= QUEUE and not self._core.options.keep_ids:
                self._schedule.bring_forward(EARLY)

    def suspect(self, pause: float = 0.0) -> None:
        """Logs may have been lost just now: look as soon as what is stored by now has settled, or after a pause."""
        self.suspected_at = self._core.clock.monotonic()
        self._schedule.bring_forward(max(self._core.options.settle, pause))

    def _odd_frames(self, frames: Iterable[Frame]) -> None:
        core = self._core
        for frame in frames:
            if not isinstance(frame, BadFrame):
                continue
            core.stats.bad_frames += 1
            self._bad_in_a_row += 1
            core.say_once(
                f"bad frame: {frame.problem}",
                "bad_frame",
                f"a frame could not be read ({frame.problem}): {frame.excerpt}",
            )
            core.stats.open_gaps = 1  # a log may have been in it
            self.suspect()
            if self._bad_in_a_row >= BAD_FRAMES:
                raise ProtocolError(f"{BAD_FRAMES} frames in a row could not be read", frame=frame.excerpt)
