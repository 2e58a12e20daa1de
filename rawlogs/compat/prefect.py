"""Prefect's own log subscriber by its names, over ``rawlogs.stream``: for code that was written against Prefect 3.

    from rawlogs.compat.prefect import get_logs_subscriber, LogFilter, LogFilterLevel

    async with get_logs_subscriber(filter=LogFilter(level=LogFilterLevel(ge_=20))) as subscriber:
        async for log in subscriber:
            print(log.level_name, log.timestamp, log.message)

Only the import lines change. Unlike Prefect's, a subscriber is complete: it fills what the socket loses from the REST
list, and follows the list where the server does not stream. ``complete=False`` is the socket alone. What else
differs is in docs/from-prefect.md.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from rawlogs.api import stream
from rawlogs.arguments import check, check_bool, settings_of, wrong
from rawlogs.clock import Clock
from rawlogs.config import sources
from rawlogs.config.settings import resolve
from rawlogs.entering import refuse_with
from rawlogs.errors import ConfigError, ConnectError, ConnectionLost, GaveUp, RawlogsError
from rawlogs.filters import LogFilter as LogFilter
from rawlogs.filters import LogFilterFlowRunId as LogFilterFlowRunId
from rawlogs.filters import LogFilterLevel as LogFilterLevel
from rawlogs.filters import LogFilterTaskRunId as LogFilterTaskRunId
from rawlogs.filters import LogFilterTextSearch as LogFilterTextSearch
from rawlogs.filters import LogFilterTimestamp as LogFilterTimestamp
from rawlogs.models import Log as Log
from rawlogs.notices import Notice, OnNotice
from rawlogs.status.stats import Stats

__all__ = [
    "Log",
    "LogFilter",
    "LogFilterFlowRunId",
    "LogFilterLevel",
    "LogFilterTaskRunId",
    "LogFilterTextSearch",
    "LogFilterTimestamp",
    "PrefectCloudLogsSubscriber",
    "PrefectLogsSubscriber",
    "SubscriberGaveUp",
    "SubscriberUnreachable",
    "get_logs_subscriber",
    "http_to_ws",
    "logs_out_socket_from_api_url",
]

_log = logging.getLogger(__name__)
_WORTH_A_WARNING = frozenset({"warning", "gap_opened", "live_off", "history_off", "bad_frame", "behind"})


class SubscriberGaveUp(GaveUp, ConnectionClosedError):
    """The reconnection attempts are spent: rawlogs' GaveUp, and the ConnectionClosedError that Prefect's raises.

    ``rcvd`` is the close frame of the last connection (None: it ended without one); the last error is ``__cause__``.
    """

    def __init__(self, error: GaveUp | ConnectionLost) -> None:
        last = error.__cause__ if isinstance(error, GaveUp) else error
        # 1006 stands for an end without a close frame, and is never on the wire.
        framed = isinstance(last, ConnectionLost) and last.code != 1006
        rcvd = Close(last.code, last.reason) if framed and isinstance(last, ConnectionLost) else None
        ConnectionClosedError.__init__(self, rcvd, None)
        # Not by GaveUp's __init__, which would call that of ConnectionClosedError with a text.
        self.args = (error.text,)
        self.text, self.hint = error.text, error.hint
        self.attempts = error.attempts if isinstance(error, GaveUp) else 0
        self.elapsed = error.elapsed if isinstance(error, GaveUp) else 0.0

    @property
    def code(self) -> int:
        """The close code of the last connection; 1006 where it ended without one."""
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The reason in the last connection's close frame; may be empty."""
        return "" if self.rcvd is None else self.rcvd.reason


class SubscriberUnreachable(ConnectError, OSError):
    """No connection at the start: rawlogs' ConnectError, and the OSError that Prefect's subscriber lets through."""


def http_to_ws(url: str) -> str:
    """Return the WebSocket URL for an http(s) URL, without slashes at its end."""
    return url.replace("https://", "wss://").replace("http://", "ws://").rstrip("/")


def logs_out_socket_from_api_url(url: str) -> str:
    """Return the URL of the log socket for an API's URL: ``ws://127.0.0.1:4200/api/logs/out``."""
    return http_to_ws(url) + "/logs/out"


def get_logs_subscriber(
    filter: Any = None,
    reconnection_attempts: int = 10,
    reconnect_on_clean_close: bool = False,
    *,
    complete: bool = True,
    on_notice: OnNotice | None = None,
) -> PrefectLogsSubscriber:
    """Return the subscriber for the API that Prefect's settings name: a server's, or Prefect Cloud's.

    The arguments are those of ``PrefectLogsSubscriber``. Raises ConfigError, which is a ValueError, where no API URL is
    set (rawlogs starts no server of its own, as Prefect does then) or another setting or the filter cannot work.
    """
    settings = resolve()
    kind = PrefectCloudLogsSubscriber if settings.is_cloud else PrefectLogsSubscriber
    return kind(
        filter=filter,
        reconnection_attempts=reconnection_attempts,
        reconnect_on_clean_close=reconnect_on_clean_close,
        complete=complete,
        on_notice=on_notice,
    )


class PrefectLogsSubscriber:
    """The logs of a server from now on: an async context manager to iterate over, with Prefect's arguments.

    Args:
        api_url: the API's URL; None: that of Prefect's settings.
        filter: a ``LogFilter``, a dict, or Prefect's own filter object; None: every log.
        reconnection_attempts: how often in a row a lost connection is opened anew before it gives up.
        reconnect_on_clean_close: go on after a close with code 1000 or 1001; else the iteration ends there.
        complete: read the REST list as well, so that every stored log comes once; False: the socket alone.
        on_notice: called with a ``rawlogs.Notice`` for what happens to the stream; None: notices go to the logger
            ``rawlogs.compat.prefect``, at WARNING where logs may be late or missing and at DEBUG otherwise.
        clock: what time it is and how to sleep; None: the system's.

    Raises:
        ConfigError: here, for a setting or an argument that cannot work. Entering raises SubscriberUnreachable where no
        connection can be made, AuthError where the server refuses; iterating raises SubscriberGaveUp.
    """

    def __init__(
        self,
        api_url: str | None = None,
        filter: Any = None,
        reconnection_attempts: int = 10,
        reconnect_on_clean_close: bool = False,
        *,
        complete: bool = True,
        on_notice: OnNotice | None = None,
        clock: Clock | None = None,
    ) -> None:
        check({"api_url": api_url})
        again = reconnection_attempts, reconnect_on_clean_close
        self._begin({"api_url": api_url or None}, filter, *again, complete, on_notice, clock)

    def _begin(
        self,
        access: dict[str, str | None],
        filter: Any,
        reconnection_attempts: int,
        reconnect_on_clean_close: bool,
        complete: bool,
        on_notice: OnNotice | None,
        clock: Clock | None,
    ) -> None:
        # A bool is an int in Python, and True would be one attempt.
        if type(reconnection_attempts) is not int or reconnection_attempts < 0:
            raise wrong("reconnection_attempts", reconnection_attempts, "a non-negative integer")
        check_bool("complete", complete)
        check({"filter": filter})
        self._filter = LogFilter.coerce(filter)
        self._arguments: dict[str, Any] = {
            **access,
            "filter": self._filter,
            "live_only": not complete,
            "on_notice": on_notice or _write_down,
            "clock": clock,
            "retries": reconnection_attempts,
            "reconnect_on_clean_close": reconnect_on_clean_close,
        }
        self._logs = stream(**self._arguments)

    @property
    def client_name(self) -> str:
        """The name of the subscriber's class."""
        return type(self).__name__

    @property
    def stats(self) -> Stats:
        """The account of the stream so far; see ``rawlogs.Stats``."""
        return self._logs.stats

    if not TYPE_CHECKING:  # a type checker would take ``with`` for right

        def __enter__(self) -> None:
            refuse_with("get_logs_subscriber() as subscriber", "rawlogs.stream_sync(...) as logs")

        def __exit__(self, *_: object) -> None:
            """Do nothing: entering raises, so this is never called."""

    async def __aenter__(self) -> PrefectLogsSubscriber:
        if self._logs.entered:  # Prefect's can be entered again; a stream cannot
            self._logs = stream(**self._arguments)
        try:
            await self._logs.__aenter__()
        except RawlogsError as error:
            raise _as_prefect_raises(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._logs.__aexit__(kind, error, trace)

    def __aiter__(self) -> PrefectLogsSubscriber:
        return self

    async def __anext__(self) -> Log:
        if not self._logs.entered:
            raise RuntimeError("enter the subscriber first: async with get_logs_subscriber() as subscriber")
        try:
            return await self._logs.__anext__()
        except (GaveUp, ConnectionLost) as error:
            raise SubscriberGaveUp(error) from (error.__cause__ or error)


class PrefectCloudLogsSubscriber(PrefectLogsSubscriber):
    """The logs of a Prefect Cloud workspace: the same, and ``api_key``, the key to read them with.

    Raises ConfigError where URL or key are neither given nor in Prefect's settings.
    """

    def __init__(
        self,
        api_url: str | None = None,
        api_key: str | None = None,
        filter: Any = None,
        reconnection_attempts: int = 10,
        reconnect_on_clean_close: bool = False,
        *,
        complete: bool = True,
        on_notice: OnNotice | None = None,
        clock: Clock | None = None,
    ) -> None:
        check({"api_url": api_url, "api_key": api_key})
        key = _get_api_url_and_key(api_url, api_key)[1]
        api_url, api_key = api_url or None, api_key or None
        # A key of the settings is left to them, to be read again after it was rotated; but elsewhere than on Cloud an
        # auth string would be taken instead of it.
        if settings_of({"api_url": api_url, "api_key": api_key}).websocket_token != key:
            api_key = key
        again = reconnection_attempts, reconnect_on_clean_close
        self._begin({"api_url": api_url, "api_key": api_key}, filter, *again, complete, on_notice, clock)


def _get_api_url_and_key(api_url: str | None, api_key: str | None) -> tuple[str, str]:
    """Return both, each from Prefect's settings where it is not given. Raises ConfigError where one is nowhere."""
    api_url = api_url or _setting("PREFECT_API_URL")
    api_key = api_key or _setting("PREFECT_API_KEY")
    if not api_url or not api_key:
        raise ConfigError(
            "api_url and api_key must be provided or set in the Prefect configuration",
            setting="api_key" if api_url else "api_url",
            hint="Set PREFECT_API_URL and PREFECT_API_KEY, or choose a profile that has both.",
        )
    return api_url, api_key


def _setting(name: str) -> str | None:
    found = sources.read(os.environ, Path(), None).by_strength
    value = next((source.values[name] for source in found if name in source.values), None)
    return value if isinstance(value, str) else None


def _as_prefect_raises(error: RawlogsError) -> RawlogsError:
    """Return what entering failed with, as a caller of Prefect's subscriber catches it."""
    if isinstance(error, (GaveUp, ConnectionLost)):
        return SubscriberGaveUp(error)
    if type(error) is ConnectError:  # not a CertificateError, which callers of rawlogs tell apart
        return SubscriberUnreachable(error.text, url=error.url, phase=error.phase, hint=error.hint)
    return error


def _write_down(notice: Notice) -> None:
    _log.log(logging.WARNING if notice.kind in _WORTH_A_WARNING else logging.DEBUG, "%s", notice.text)
