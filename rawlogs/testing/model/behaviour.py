"""``Behaviour``: the version, the settings and the conditions of the modelled server. Values only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rawlogs.testing.model.bounds import Checked, Count, Seconds, SignedSeconds

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Behaviour(Checked):
    """How the fake server behaves; the defaults are a Prefect 3.8.8 with streaming switched on.

    version: decides what differs between releases (``/logs/out`` since 3.4.7, ``text`` since 3.4.20, clients without
        the subprotocol since 3.6.14, ...).
    auth_string: PREFECT_SERVER_API_AUTH_STRING, ``user:password``; None: no authentication.
    api_key: behave like Prefect Cloud: expect this key as Bearer and as token, and send ``auth_failure`` for another.
    streaming: PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED; if off, clients are accepted and sent nothing.
    publishing: PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED; the same if off, which is Prefect's own default.
    logs_out: whether ``/logs/out`` exists; without it the upgrade gets 403. None: the version decides.
    events: PREFECT_SERVER_EVENTS_STREAM_OUT_ENABLED; if off, ``/events/out`` sends nothing.
    queue: how many logs wait for one subscriber before new ones are dropped (256 in Prefect, not a setting there).
    batch: how many logs of one POST are stored and published at once (3640 in Prefect).
    page_limit: PREFECT_SERVER_API_DEFAULT_LIMIT, which is also the largest limit.
    csrf: PREFECT_SERVER_CSRF_PROTECTION_ENABLED.
    base_path: PREFECT_SERVER_API_BASE_PATH.
    commit_delay: seconds from the publication of a log until REST shows it; None: it is rolled back.
    unstable_ties: list rows of one timestamp in another order each time, as Postgres may.
    search_broken: answer a ``text`` search with 500, as with SQLite before 3.44.
    clock_skew: seconds by which the server's clock (ids, ``created``, the Date header) is ahead.
    compress: accept permessage-deflate where a client offers it.
    ping_interval, ping_timeout: seconds; None: the server sends no pings.
    """

    version: str = "3.8.8"
    auth_string: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    streaming: bool = True
    publishing: bool = True
    logs_out: bool | None = None
    events: bool = True
    queue: Count = 256
    batch: Count = 3640
    page_limit: Count = 200
    csrf: bool = False
    base_path: str = "/api"
    commit_delay: Seconds | None = 0.0
    unstable_ties: bool = False
    search_broken: bool = False
    clock_skew: SignedSeconds = 0.0
    compress: bool = True
    ping_interval: Seconds | None = 20.0
    ping_timeout: Seconds | None = 20.0

    @property
    def release(self) -> Version:
        """The version as comparable numbers."""
        return tuple(int(number) for number in re.findall(r"\d+", self.version)[:3])

    @property
    def has_logs_out(self) -> bool:
        """True if ``/logs/out`` exists."""
        return self.logs_out if self.logs_out is not None else self.release >= (3, 4, 7)

    @property
    def has_text_filter(self) -> bool:
        """True if filters have the part ``text``."""
        return self.release >= (3, 4, 20)

    @property
    def accepts_legacy(self) -> bool:
        """True if a client without the subprotocol is accepted (never with authentication)."""
        return self.release >= (3, 6, 14) and not self.authenticates

    @property
    def trims_subprotocols(self) -> bool:
        """True if blanks between the offered subprotocols are ignored."""
        return self.release >= (3, 7, 2)

    @property
    def strips_nul(self) -> bool:
        """True if NUL characters are removed from logs."""
        return self.release >= (3, 6, 18)

    @property
    def compares_ascii_only(self) -> bool:
        """True if the token is compared by a function that raises on anything but ASCII text."""
        return self.release >= (3, 6, 22)

    @property
    def authenticates(self) -> bool:
        """True if clients need credentials."""
        return self.auth_string is not None or self.api_key is not None
