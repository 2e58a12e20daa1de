"""Clocks that move by themselves: the server's set back, this machine's after a sleep."""

from __future__ import annotations

from datetime import timedelta

from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.merge import Beginning, Merger
from rawlogs.rest.client import RestClient

SET_BACK = timedelta(seconds=5)
"""The low-water mark is never later than the server's time, which is known to a few seconds."""


class ClockWatch:
    """Tells of clocks that moved, and has read again what that may have cost."""

    def __init__(self, context: StreamContext, merger: Merger, rest: RestClient) -> None:
        self._clock, self._ledger, self._schedule = context.clock, context.ledger, context.schedule
        self._notifier, self._overlap = context.notifier, context.options.overlap
        self._merger = merger
        self._rest = rest
        self._drift: float | None = None

    def check_server(self) -> None:
        """Begin anew where the server's clock was set back: what it stamps now lies before the low-water mark.

        Only right after an answer, which has told its time; ours may have been set since the answer before.
        """
        now, low = self._rest.server_time(self._clock.now(), latest=True), self._ledger.low_water
        if now + SET_BACK >= low:
            return
        again, frontier = now - self._ledger.overlap, self._ledger.frontier
        self._ledger.start_at(again)
        self._ledger.mark_unread(low, frontier)  # it was to be looked at once more
        self._merger.beginning = Beginning(again)  # ids of the hours that pass again may have been forgotten
        text = "the server's clock was set back: going on a little before its time; some logs may be repeated"
        # Once: replicas whose clocks differ by so much would repeat it with each answer.
        self._notifier.say_once("set back", "warning", text)

    def check_own(self, *, polling: bool) -> bool:
        """Return whether the wall clock moved by itself, as after a sleep; ``polling``: there is no socket to check."""
        drift = self._clock.now().timestamp() - self._clock.monotonic()
        last, self._drift = self._drift, drift
        if last is None or polling or abs(drift - last) <= self._overlap / 2:
            return False
        self._notifier.notify("warning", f"the clock jumped by {drift - last:.0f} s; checking the connection")
        self._schedule.catch_up_now()
        return True
