"""What the tasks of one stream share: its values, its account, its voice. No task and no decision lives here."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rawlogs.clock import Clock
from rawlogs.delivery.options import Options
from rawlogs.delivery.outbox import Outbox
from rawlogs.delivery.stats import Stats
from rawlogs.delivery.window import Window
from rawlogs.models import Log
from rawlogs.notices import Kind, Notice, OnNotice

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient
    from rawlogs.selection import Selection
    from rawlogs.settings import Settings


@dataclass(slots=True)
class Core:
    """One stream's shared state. ``rest`` is None with ``live_only``."""

    settings: Settings
    selection: Selection
    options: Options
    clock: Clock
    rng: random.Random
    stats: Stats
    outbox: Outbox
    window: Window
    on_notice: OnNotice | None = None
    rest: RestClient | None = None
    socket_up: bool = False
    polling: bool = False
    """The list is all there is: the socket cannot be had."""
    history_ok: bool = False
    """The list answered the last time it was asked."""
    listed: bool = False
    """The list has answered, so the server takes the filter."""
    said: set[str] = field(default_factory=set)

    def now(self) -> datetime:
        """The server's clock, as far as it is known."""
        return self.rest.server_now() if self.rest is not None else self.clock.now()

    def accepted(self, logs: list[Log]) -> list[Log]:
        """Those of these logs that pass what is decided here, the same for live and listed ones."""
        until = self.options.until
        if until is not None:
            logs = [log for log in logs if log.timestamp <= until]
        if not self.selection.local:
            return logs
        accepts = self.selection.accepts
        return [log for log in logs if accepts(log)]

    def notify(self, kind: Kind, text: str, **facts: Any) -> None:
        if self.on_notice is not None:
            self.on_notice(Notice(kind, text, self.clock.now(), facts))

    def say_once(self, key: str, kind: Kind, text: str, **facts: Any) -> None:
        """A notice that is not repeated while nothing has changed."""
        if key not in self.said:
            self.said.add(key)
            self.notify(kind, text, **facts)

    def unsay(self, prefix: str) -> None:
        """What was said once under keys of this prefix may be said again."""
        self.said = {key for key in self.said if not key.startswith(prefix)}

    def warn(self, notes: Sequence[str]) -> None:
        for note in notes:
            self.notify("warning", note)
