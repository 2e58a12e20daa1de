"""The two ways in: ``stream``, complete and reconnecting, and ``connect``, one conversation as it is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from rawlogs.arguments import options_of
from rawlogs.clock import Clock, SystemClock
from rawlogs.config.settings import Settings, resolve
from rawlogs.delivery.options import Transport
from rawlogs.delivery.stream import LogStream
from rawlogs.entering import refuse_with, running_loop
from rawlogs.errors import ConfigError, ConnectionLost
from rawlogs.notices import OnNotice, without_secrets
from rawlogs.selection import Chosen, Selection, flag_filter
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.frames import Frame, decode, filter_message

if TYPE_CHECKING:
    from rawlogs.wire.tap import Tap

Run = UUID | str
_WRITE = "rawlogs.stream(...) as logs"
_WRITE_SYNC = "rawlogs.stream_sync(...) as logs"
_WRITE_FRAMES = "rawlogs.connect(...) as frames"


class Access(TypedDict, total=False):
    """The settings that every way in takes; what is not given comes from Prefect's own sources."""

    api_url: str | None
    api_key: str | None
    auth_string: str | None
    profile: str | None
    headers: Mapping[str, str] | None
    ssl_cert_file: str | os.PathLike[str] | None
    insecure: bool | None


class _Stream(LogStream):
    """A LogStream that says what to write where it is entered in a way that cannot work."""

    async def __aenter__(self) -> LogStream:
        running_loop("rawlogs.stream", _WRITE_SYNC)
        return await super().__aenter__()

    if not TYPE_CHECKING:  # a type checker would take ``with`` for right

        def __enter__(self) -> None:
            refuse_with(_WRITE, _WRITE_SYNC)

        def __exit__(self, *_: object) -> None:
            """Never called: entering raises."""


def stream(
    *,
    level: str | int | None = None,
    max_level: str | int | None = None,
    flow_run_id: Run | Iterable[Run] | None = None,
    task_run_id: Run | Iterable[Run] | None = None,
    text: str | None = None,
    filter: Any = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    logger: str | Sequence[str] = (),
    since: datetime | timedelta | str | None = None,
    until: datetime | timedelta | str | None = None,
    tail: int | None = None,
    follow: bool = True,
    transport: Transport = "auto",
    live_only: bool = False,
    on_notice: OnNotice | None = None,
    options: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    api_url: str | None = None,
    api_key: str | None = None,
    auth_string: str | None = None,
    profile: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl_cert_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
) -> LogStream:
    """A complete stream of logs: an async context manager to iterate over.

    Args:
        level, max_level: bounds by name or number, inclusive.
        flow_run_id, task_run_id: one id or several; the runs need not exist yet.
        text: Prefect's own search syntax over message and logger name.
        filter: a ``LogFilter``, a dict, or Prefect's own filter object, instead of the five above.
        include, exclude: regular expressions that a message must, or must not, contain (one of several).
        logger: glob, or globs, for logger names.
        since: a moment, or how long ago: a datetime, a timedelta, or text ("10m", "2026-11-20T10:00:00Z"; see
            ``rawlogs.durations``, without a zone UTC); None: what comes from now on.
        until: the same for the end; None: none.
        tail, follow, transport, live_only: see ``rawlogs.delivery.options.Options``.
        on_notice: called with a ``Notice`` for what happens to the stream; never with a log.
        options: more of ``Options`` by name, such as ``{"audit": 5.0, "overlap": "2m", "retries": None}``.
        api_url ... insecure: as in Prefect's settings; what is not given comes from Prefect's own sources.

    Raises:
        ConfigError: here, before anything is opened. Entering the stream raises ConnectError, AuthError,
        UpgradeRefused and what else keeps it from starting; iterating raises what ends it (GaveUp, AuthError, ...).
    """
    clock = clock or SystemClock()
    chosen = _filter(filter, level, max_level, flow_run_id, task_run_id, text)
    loggers = [logger] if isinstance(logger, str) else list(logger)
    selection = Selection(chosen, include=include, exclude=exclude, loggers=loggers)
    behaviour = {
        "since": since,
        "until": until,
        "tail": tail,
        "follow": follow,
        "transport": transport,
        "live_only": live_only,
    }
    chosen_options = options_of(behaviour, options, clock.now())
    access = Access(
        api_url=api_url,
        api_key=api_key,
        auth_string=auth_string,
        profile=profile,
        headers=headers,
        ssl_cert_file=ssl_cert_file,
        insecure=insecure,
    )
    settings = resolve(**access)

    def reload() -> Settings:
        nonlocal settings
        settings = resolve(**access)
        return settings

    return _Stream(
        settings,
        selection,
        chosen_options,
        on_notice=None if on_notice is None else without_secrets(on_notice, lambda: settings.secrets()),
        clock=clock,
        reload=reload,
    )


def _filter(
    given: Any,
    level: str | int | None,
    max_level: str | int | None,
    flow_run_id: Run | Iterable[Run] | None,
    task_run_id: Run | Iterable[Run] | None,
    text: str | None,
) -> Chosen | None:
    parts: dict[str, Any] = {}
    if level is not None or max_level is not None:
        parts["level"] = {"ge_": level, "le_": max_level}
    if flow_run_id is not None:
        parts["flow_run_id"] = {"any_": _ids(flow_run_id)}
    if task_run_id is not None:
        parts["task_run_id"] = {"any_": _ids(task_run_id)}
    if text is not None:
        parts["text"] = {"query": text}
    if given is None and not parts:
        return None
    if given is None and text is None:
        runs = None if flow_run_id is None else _ids(flow_run_id)
        tasks = None if task_run_id is None else _ids(task_run_id)
        if (flags := flag_filter(level, max_level, runs, tasks)) is not None:
            return flags
    from rawlogs.filters import LogFilter  # loads pydantic, which a usual stream does not need

    if given is None:
        return LogFilter.coerce(parts)
    if parts:
        raise ConfigError(f"give either filter or {', '.join(sorted(parts))}, not both", setting="filter")
    return LogFilter.coerce(given)


def _ids(runs: Run | Iterable[Run]) -> list[Any]:
    return [runs] if isinstance(runs, (str, UUID)) else list(runs)


class FrameStream:
    """One conversation: frames as they come, until it ends. Made by ``rawlogs.connect(...)``.

    Iterating yields ``LogFrame``, ``UnknownFrame``, ``BadFrame`` and the like; a clean close ends it, any other end
    raises what it means. There is no reconnection and no list. The socket is read ahead up to 32 MiB; a reader that
    takes longer than the server's ping timeout with more than that waiting is cut off by the server.
    """

    def __init__(self, settings: Settings, filter_text: str, target: Target, tap: Tap | None) -> None:
        self.settings = settings
        self._filter_text = filter_text
        self._target = target
        self._tap = tap
        self.connection: Connection | None = None

    if not TYPE_CHECKING:  # a type checker would take ``with`` for right

        def __enter__(self) -> None:
            refuse_with(_WRITE_FRAMES)

        def __exit__(self, *_: object) -> None:
            """Never called: entering raises."""

    async def __aenter__(self) -> FrameStream:
        running_loop("rawlogs.connect")
        self.connection = await open_connection(self._target, self._filter_text, tap=self._tap)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.connection is not None:
            await self.connection.close()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        if self.connection is None:
            raise RuntimeError("enter the connection first: async with rawlogs.connect(...) as frames")
        try:
            while True:
                for payload in await self.connection.batch():
                    yield decode(payload, keep=True)
        except ConnectionLost as lost:
            if not lost.clean:
                raise


def connect(
    *,
    filter: Any = None,
    compress: bool = False,
    legacy: bool = False,
    open_timeout: float = 10.0,
    max_size: int = 64 << 20,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    tap: Tap | None = None,
    api_url: str | None = None,
    api_key: str | None = None,
    auth_string: str | None = None,
    profile: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl_cert_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
) -> FrameStream:
    """One connection to ``/logs/out`` without reconnection, for those who debug the protocol.

    The filter is sent as it stands, time range and text included, after the local check. ``tap`` is called with every
    ``WireEvent`` of both sides. Raises ConfigError here, and on entering what keeps the conversation from starting.
    """
    from rawlogs.filters import LogFilter

    chosen = LogFilter.coerce(filter)
    settings = resolve(
        api_url=api_url,
        api_key=api_key,
        auth_string=auth_string,
        profile=profile,
        headers=headers,
        ssl_cert_file=ssl_cert_file,
        insecure=insecure,
    )
    target = Target(
        url=settings.address.logs_url,
        token=settings.websocket_token,
        headers=settings.headers,
        tls=settings.ssl_context(),
        proxy=settings.proxy,
        compress=compress,
        legacy=legacy,
        max_size=max_size,
        open_timeout=open_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
    )
    return FrameStream(settings, filter_message(chosen.to_wire()), target, tap)
