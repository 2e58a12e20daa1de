"""The ways in: ``stream`` and ``follow``, complete and reconnecting, and ``connect``, one conversation as it is."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

from rawlogs.arguments import MoreOptions, options_of
from rawlogs.clock import Clock, SystemClock
from rawlogs.config.settings import Settings, resolve
from rawlogs.delivery.stream import LogStream
from rawlogs.entering import refuse_with, running_loop
from rawlogs.errors import ConfigError, ConnectionLost
from rawlogs.models import BEGINNING
from rawlogs.notices import OnNotice, without_secrets
from rawlogs.options import Options, Transport
from rawlogs.selection import Chosen, Selection, flag_filter
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.frames import Frame, decode, filter_message

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rawlogs.runs.followed_runs import FollowedRuns
    from rawlogs.runs.run_stream import RunStream
    from rawlogs.wire.tap import Tap

Run = UUID | str
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


class StreamArguments(Access, MoreOptions, total=False):
    """The keyword arguments of ``stream`` that ``follow`` takes as well."""

    level: str | int | None
    max_level: str | int | None
    task_run_id: Run | Iterable[Run] | None
    text: str | None
    filter: Any
    include: Sequence[str]
    exclude: Sequence[str]
    logger: str | Sequence[str]
    since: datetime | timedelta | str | None
    until: datetime | timedelta | str | None
    tail: int | None
    follow: bool
    transport: Transport
    on_notice: OnNotice | None
    clock: Clock | None


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
    flow: str | None = None,
    deployment: UUID | str | None = None,
    tag: str | None = None,
    since: datetime | timedelta | str | None = None,
    until: datetime | timedelta | str | None = None,
    tail: int | None = None,
    follow: bool = True,
    transport: Transport = "auto",
    live_only: bool = False,
    on_notice: OnNotice | None = None,
    clock: Clock | None = None,
    api_url: str | None = None,
    api_key: str | None = None,
    auth_string: str | None = None,
    profile: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl_cert_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Unpack[MoreOptions],
) -> LogStream:
    """Return a complete stream of logs: an async context manager to iterate over.

    Args:
        level, max_level: bounds by name or number, inclusive.
        flow_run_id, task_run_id: one id or several; the runs need not exist yet. To the end of a run: ``follow``.
        text: Prefect's own search syntax over message and logger name.
        filter: a ``LogFilter``, a dict, or Prefect's own filter object, instead of the five above.
        include, exclude: regular expressions that a message must, or must not, contain (one of several).
        logger: glob, or globs, for logger names.
        flow, deployment, tag: the runs of a flow by its name, of a deployment (FLOW/DEPLOYMENT or its id), or with a
            tag, those that start later and their subflows included; one of the three.
        since: a moment, or how long ago: a datetime, a timedelta, or text ("10m", "2026-11-20T10:00:00Z"; see
            ``rawlogs.durations``, without a zone UTC); None: what comes from now on.
        until: the same for the end; None: none.
        tail: so many of the newest stored logs first; None: none, or all since ``since``.
        follow: go on with what comes; False ends after what is stored.
        transport: "auto" (the socket, and the list where the socket cannot be had), "ws" (the socket or an error), or
            "poll" (the list alone).
        live_only: the socket alone, best effort, without any REST request.
        on_notice: called with a ``Notice`` for what happens to the stream; never with a log.
        clock: what time it is and how to sleep; None: the system's.
        api_url ... insecure: as in Prefect's settings; what is not given comes from Prefect's own sources.
        options: deprecated: the following arguments as a mapping.
        overlap: a log counts as verified when it was readable no later than this after its own timestamp (60 s).
        settle: how long the youngest rows of a list may still change (2 s).
        audit: how often the list is asked while the socket is open (15 s).
        rest_budget: REST requests a minute beyond those that bring new logs; 0: no limit.
        buffer: how many logs wait for a slow reader before they are dropped here and listed later.
        retries: how often in a row a failed connection is tried again; 0: not at all; None: without end.
        wait: also wait for a server that does not answer at the start.
        strict: raise DataLoss where completeness cannot be verified, instead of a notice.
        reconnect_on_clean_close: whether a close with code 1000 or 1001 is followed by a new connection.
        started_at: since when stored logs are the stream's own; None: since it is entered.
        track: keep a position, for a cursor file.
        keep_raw: keep the bytes of each frame in ``Log.raw``.
        keep_ids: remember every delivered id to the end, as following runs does.
        compress, legacy: offer compression; open the socket as servers before 3.4.7 want it.
        max_size: how many bytes a message of the socket may have.
        open_timeout, ping_interval, ping_timeout: durations of the socket; None: no ping, no limit.

    Durations are seconds, a timedelta, or text ("2m").

    Raises:
        ConfigError: here, before anything is opened. Entering the stream raises ConnectError, AuthError,
        UpgradeRefused and what else keeps it from starting; iterating raises what ends it (GaveUp, AuthError, ...).
    """
    given: dict[str, Any] = {
        "level": level,
        "max_level": max_level,
        "flow_run_id": flow_run_id,
        "task_run_id": task_run_id,
        "text": text,
        "filter": filter,
        "include": include,
        "exclude": exclude,
        "logger": logger,
        "since": since,
        "until": until,
        "tail": tail,
        "follow": follow,
        "transport": transport,
        "live_only": live_only,
        "on_notice": on_notice,
        "clock": clock,
        "api_url": api_url,
        "api_key": api_key,
        "auth_string": auth_string,
        "profile": profile,
        "headers": headers,
        "ssl_cert_file": ssl_cert_file,
        "insecure": insecure,
        **more,
    }
    if options is not None:
        advice = "options= is deprecated: give its entries as arguments of their own, such as audit=5.0"
        warnings.warn(advice, DeprecationWarning, stacklevel=2)
    chosen = {"flow": flow, "deployment": deployment, "tag": tag}
    sources: dict[str, Any] = {name: str(value) for name, value in chosen.items() if value is not None}
    if not sources:
        parts = _parts(given, options)
        return LogStream(*parts, **_shared(given, parts[0]))
    if len(sources) > 1 or live_only or flow_run_id is not None:
        raise ConfigError(
            f"{', '.join(sources)} cannot go together, nor with flow_run_id or live_only",
            setting=next(iter(sources)),
        )
    from rawlogs.runs.followed_runs import FollowedRuns

    return run_stream(FollowedRuns(**sources, clock=clock), given, options)


def follow(
    run: Run | Iterable[Run], *, children: bool = True, **arguments: Unpack[StreamArguments]
) -> RunStream:
    """Return the logs of a flow run, from its first one to the end of the run, its subflows included.

    The iteration ends when the run has ended and everything that is stored of it was delivered. ``outcome`` is then its
    state, ``states`` has those of its subflows as well, and ``exit_code`` is what ``rawlogs tail RUN`` exits with.

    Args:
        run: an id, a name, or the URL of a run's page; or several of them.
        children: with the runs that it starts, at any depth.
        arguments: those of ``stream``, but for which runs. ``since`` leaves out what is stamped before.

    Raises:
        ConfigError: here as ``stream`` does; entering raises it, too, where there is no such run, or where several
        have that name.
    """
    from rawlogs.runs.followed_runs import FollowedRuns

    names = [run] if isinstance(run, (str, UUID)) else list(run)
    if not names:
        raise ConfigError("no run is given", setting="run")
    followed = FollowedRuns(names, children=children, clock=arguments.get("clock"))
    return run_stream(followed, dict(arguments), None)


def run_stream(
    followed: FollowedRuns,
    given: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    *,
    look_up_names: bool = False,
) -> RunStream:
    """Return the stream of runs that are found when it is entered. For ``follow``, ``stream`` and the command."""
    from rawlogs.runs.run_stream import RunStream

    access = {name: given[name] for name in Access.__annotations__ if name in given}
    given = {**given, **followed.access(access)}
    settings, selection, behaviour = _parts(given, options)
    ended_since = behaviour.since
    # Ids are kept, as the logs of a run are read again at its end.
    behaviour = replace(behaviour, keep_ids=True)
    if behaviour.since is None and behaviour.tail is None:
        behaviour = replace(behaviour, since=BEGINNING)  # from the first log of each run on
    shared = _shared(given, settings)
    return RunStream(
        followed, ended_since, settings, selection, behaviour, look_up_names=look_up_names, **shared
    )


def _parts(
    given: Mapping[str, Any], options: Mapping[str, Any] | None
) -> tuple[Settings, Selection, Options]:
    """Return what a stream of these arguments is made of. Raises ConfigError."""
    which = ("filter", "level", "max_level", "flow_run_id", "task_run_id", "text")
    selection = Selection(_filter(*(given.get(name) for name in which)), **_local(given))
    apart = {*which, "include", "exclude", "logger", "on_notice", "clock", *Access.__annotations__}
    behaviour = {name: value for name, value in given.items() if name not in apart}
    chosen = options_of(behaviour, options, _clock(given).now())
    return _settings(given), selection, chosen


def _local(given: Mapping[str, Any]) -> dict[str, Any]:
    logger = given.get("logger", ())
    loggers = [logger] if isinstance(logger, str) else list(logger)
    return {"include": given.get("include", ()), "exclude": given.get("exclude", ()), "loggers": loggers}


def _shared(given: Mapping[str, Any], current: Settings) -> dict[str, Any]:
    """Return how a stream of these arguments tells, reads the time, and reads its settings again."""
    on_notice = given.get("on_notice")

    def reload() -> Settings:
        nonlocal current
        current = _settings(given)
        return current

    told = None if on_notice is None else without_secrets(on_notice, lambda: current.secrets())
    return {"on_notice": told, "clock": _clock(given), "reload": reload}


def _settings(given: Mapping[str, Any]) -> Settings:
    return resolve(**{name: given[name] for name in Access.__annotations__ if name in given})


def _clock(given: Mapping[str, Any]) -> Clock:
    return given.get("clock") or SystemClock()


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
    target = Target.of(
        settings,
        compress=compress,
        legacy=legacy,
        max_size=max_size,
        open_timeout=open_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
    )
    return FrameStream(settings, filter_message(chosen.to_wire()), target, tap)
