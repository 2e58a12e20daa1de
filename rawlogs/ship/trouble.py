"""Notices about a receiver: each kind of trouble once, and its end."""

from __future__ import annotations

from typing import Any, Protocol

from rawlogs.clock import Clock
from rawlogs.notices import Kind
from rawlogs.ship.stats import ShipStats
from rawlogs.ship.verdict import Accepted

AGAIN = 60.0
"""Seconds after which a partial success with the same words is told again."""


class Notify(Protocol):
    """Callback that tells the user."""

    def __call__(self, kind: Kind, text: str, /, **facts: Any) -> None: ...


class Trouble:
    """The present trouble with the receiver ``shown``, if any; ``stats.trouble`` has its words."""

    def __init__(self, shown: str, notify: Notify, clock: Clock, stats: ShipStats) -> None:
        self._shown = shown
        self._notify = notify
        self._clock = clock
        self._stats = stats
        self._told: set[str] = set()
        self._since = 0.0
        self._warned: tuple[str, float] | None = None

    def add(self, text: str) -> None:
        """Note a request that was not taken; tell it unless its words were told since the trouble began."""
        if not self._told:
            self._since = self._clock.monotonic()
        self._stats.trouble = text
        if text not in self._told and len(self._told) < 10:  # a receiver may say something new each time
            self._told.add(text)
            self._notify("retrying", f"{text}; trying again until it is taken", what="otlp")

    def over(self) -> None:
        """Note that a request was taken."""
        if self._told:
            self._told.clear()
            self._stats.trouble = None
            seconds = self._clock.monotonic() - self._since
            self._notify("state", f"{self._shown} takes logs again, after {seconds:.0f} s", seconds=seconds)

    def warn(self, accepted: Accepted, count: int) -> None:
        """Tell what a partial success says: at once when it is new, else once a minute."""
        if not accepted.rejected and not accepted.message:  # all was taken, as nearly always
            return
        now = self._clock.monotonic()
        remark = f": {accepted.message}" if accepted.message else ""
        if self._warned is not None and self._warned[0] == remark and now - self._warned[1] < AGAIN:
            return
        self._warned = (remark, now)
        rejected = min(accepted.rejected, count)  # the receiver's number may be anything
        what = f"threw {rejected} of {count} logs away" if rejected else "has a remark"
        self._notify("warning", f"{self._shown} {what}{remark}", rejected=rejected)
