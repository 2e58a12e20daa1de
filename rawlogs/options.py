"""The options of a stream: one immutable value, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rawlogs.errors import ConfigError
from rawlogs.untrusted import shown

Transport = Literal["auto", "ws", "poll"]


@dataclass(frozen=True, slots=True)
class Options:
    """Durations are seconds, moments aware datetimes.

    transport: ``auto`` (the socket, and the list where the socket cannot be had), ``ws`` (the socket or an error;
    the list only fills gaps), ``poll`` (the list alone).
    live_only: the socket alone, best effort, no REST request at all.
    since, until: the range of timestamps; None: from now on, without an end.
    since_ago: ``since`` was counted back from this machine's clock, and is moved to the server's.
    tail: so many of the newest stored logs first; None: none (or all since ``since``).
    follow: go on with what comes; False ends after what is stored.
    started_at: since when stored logs are the stream's own, for a process that started before it entered the stream;
    None: since it is entered.
    overlap: a log counts as verified when it was readable no later than this after its own timestamp.
    settle: how long the youngest rows of a list may still change.
    audit: how often the list is asked while the socket is open.
    buffer: how many logs wait for a slow reader before they are dropped here and listed later.
    rest_budget: REST requests a minute beyond those that bring new logs; 0: no limit.
    retries: tries to connect in a row without a connection that proved itself; None: without end.
    wait: also wait for a server that does not answer at the start.
    reconnect_on_clean_close: whether a close with 1000 or 1001 is followed by a new connection.
    strict: raise DataLoss where completeness cannot be verified, instead of a notice.
    """

    transport: Transport = "auto"
    live_only: bool = False
    since: datetime | None = None
    until: datetime | None = None
    since_ago: bool = False
    started_at: datetime | None = None
    tail: int | None = None
    follow: bool = True
    overlap: float = 60.0
    settle: float = 2.0
    audit: float = 15.0
    buffer: int = 10_000
    rest_budget: int = 60
    retries: int | None = 30
    wait: bool = False
    compress: bool = False
    legacy: bool = False
    keep_raw: bool = False
    keep_ids: bool = False
    track: bool = False
    strict: bool = False
    reconnect_on_clean_close: bool = True
    max_size: int = 64 << 20
    open_timeout: float = 10.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0

    def __post_init__(self) -> None:
        # Compared with the server's aware timestamps, a naive one would raise TypeError in the middle of a stream.
        for name in ("since", "until", "started_at"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ConfigError(f"{name}: {moment} has no time zone: use an aware datetime", setting=name)
        if self.transport not in ("auto", "ws", "poll"):
            problem = f"transport is {shown(self.transport)}: use auto, ws or poll"
            raise ConfigError(problem, setting="transport")
        for name in ("retries", "tail", "rest_budget", "overlap", "settle"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"{name} is {value}: it cannot be negative", setting=name)
        for name in ("audit", "buffer", "max_size", "open_timeout", "ping_interval", "ping_timeout"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value}: it must be greater than 0", setting=name)
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ConfigError("since is later than until: nothing can match", setting="since")
        if self.live_only:
            if self.transport == "poll":
                raise ConfigError("live_only is the socket alone: it cannot go with transport poll")
            if not self.follow or self.since or self.until or self.tail is not None:
                raise ConfigError(
                    "live_only reads no stored logs: since, until, tail and no-follow need the REST list"
                )
