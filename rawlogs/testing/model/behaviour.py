"""Which server the fake is: its version, its settings, and the conditions it runs under. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the fake server behaves; the defaults are a Prefect 3.8.8 with streaming switched on.

    version: decides what differs between releases (``/logs/out`` since 3.4.7, ``text`` since 3.4.20, clients
        without the subprotocol since 3.6.14, ...).
    auth_string: ``user:password``; None switches authentication off, as PREFECT_SERVER_API_AUTH_STRING does.
    api_key: behave like Prefect Cloud: this key as Bearer and as token, ``auth_failure`` frames for a wrong
        one.
    streaming: PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED; off, a client is accepted and never hears anything.
    publishing: PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED; the same silence. (Prefect's own default is
        off.)
    logs_out: whether ``/logs/out`` exists; None decides by version. Without it the upgrade gets 403.
    events: PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED; off, ``/events/out`` stays silent.
    queue: how many logs wait for one subscriber before new ones are dropped (256 in Prefect, not a setting
        there).
    batch: how many logs of one POST are stored and published in one go (3640 in Prefect).
    page_limit: PREFECT_SERVER_API_DEFAULT_LIMIT, which is also the largest limit.
    csrf: PREFECT_SERVER_CSRF_PROTECTION_ENABLED.
    base_path: PREFECT_SERVER_API_BASE_PATH.
    commit_delay: seconds between publishing a log and its becoming readable over REST; None: it is rolled
        back.
    unstable_ties: rows of one timestamp come in another order with every request, as Postgres is free to do.
    search_broken: a ``text`` search is answered with 500, as on SQLite before 3.44.
    clock_skew: seconds by which the server's clock is ahead (ids, ``created``, the Date header).
    compress: negotiate permessage-deflate when it is offered.
    ping_interval, ping_timeout: seconds; None switches the server's keepalive off.
    """

    version: str = "3.8.8"
    auth_string: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    streaming: bool = True
    publishing: bool = True
    logs_out: bool | None = None
    events: bool = True
    queue: int = 256
    batch: int = 3640
    page_limit: int = 200
    csrf: bool = False
    base_path: str = "/api"
    commit_delay: float | None = 0.0
    unstable_ties: bool = False
    search_broken: bool = False
    clock_skew: float = 0.0
    compress: bool = True
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0

    @property
    def release(self) -> Version:
        """The version as numbers that compare."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])

    @property
    def has_logs_out(self) -> bool:
        return self.logs_out if self.logs_out is not None else self.release >= (3, 4, 7)

    @property
    def has_text_filter(self) -> bool:
        return self.release >= (3, 4, 20)

    @property
    def accepts_legacy(self) -> bool:
        """Whether a client without the subprotocol is accepted (never with authentication)."""
        return self.release >= (3, 6, 14) and not self.authenticates

    @property
    def trims_subprotocols(self) -> bool:
        return self.release >= (3, 7, 2)

    @property
    def strips_nul(self) -> bool:
        return self.release >= (3, 6, 18)

    @property
    def compares_ascii_only(self) -> bool:
        """Since 3.6.22 the token is compared by a function that raises on anything but ASCII text."""
        return self.release >= (3, 6, 22)

    @property
    def authenticates(self) -> bool:
        return self.auth_string is not None or self.api_key is not None
