"""How a stream stands at one moment: what probes and metrics are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rawlogs.status.stats import Stats


@dataclass(frozen=True, slots=True)
class Vitals:
    """The state of one stream; durations are in seconds.

    connected: the socket is open. polling: the list is followed instead of the socket.
    live_only: there is no list. ended: nothing more will come.
    audit: how often the list is asked at least while the stream is well.
    answered_ago: since the list answered last; None: it has not.
    behind: from the low-water mark to the server's present time.
    waiting: logs that wait for the reader. full: no more find room there.
    last: the timestamp of the log that was delivered last; None: none was.
    answers: REST requests by the status of their answer, "none" where none came.
    """

    stats: Stats
    connected: bool = False
    polling: bool = False
    live_only: bool = False
    ended: bool = False
    audit: float = 15.0
    answered_ago: float | None = None
    behind: float = 0.0
    waiting: int = 0
    full: bool = False
    last: datetime | None = None
    answers: Mapping[str, int] = field(default_factory=dict)
