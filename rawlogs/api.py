"""The public functions: ``stream`` and ``follow``, complete and reconnecting, and ``connect``, one connection."""

from __future__ import annotations

import os
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.arguments import (
    FILTER_PARTS,
    Access,
    FollowArguments,
    MoreOptions,
    Run,
    Seconds,
    check,
    check_bool,
    options_of,
    settings_of,
    several,
    wrong,
    wrong_filter,
)
from rawlogs.clock import Clock, SystemClock
from rawlogs.config.settings import Settings
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

_WRITE_FRAMES = "rawlogs.connect(...) as frames"


def stream(
    *,
    level: str | int | None = None,
    max_level: str | int | None = None,
    flow_run_id: Run | Iterable[Run] | None = None,
    task_run_id: Run | Iterable[Run] | None = None,
    text: str | None = None,
    filter: Any = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
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

        async with rawlogs.stream(level="WARNING", since="10m") as logs:
            async for log in logs:
                print(log.level_name, log.message)

    Args:
        level, max_level: bounds by name or number, inclusive.
        flow_run_id, task_run_id: one id or several; the runs need not exist yet. To the end of a run: ``follow``.
        text: Prefect's own search syntax over message and logger name.
        filter: a ``LogFilter``, a dict, or Prefect's own filter object, instead of the five above.
        include, exclude: a regular expression, or several, that a message must, or must not, contain (one of them).
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
        rest_budget: REST requests a minute beyond those that bring new logs (60); 0: no limit.
        buffer: how many logs wait for a slow reader before they are dropped here and listed later (10,000).
        retries: how often in a row a failed connection is tried again (30); 0: not at all; None: without end.
        wait: also wait for a server that does not answer at the start.
        strict: raise DataLoss where completeness cannot be verified, instead of a notice.
        reconnect_on_clean_close: whether a close with code 1000 or 1001 is followed by a new connection (True).
        started_at: since when stored logs are the stream's own; None: since it is entered.
        track: keep a position, as the command does for a cursor file.
        keep_raw: keep the bytes of each frame in ``Log.raw``.
        keep_ids: remember every delivered id to the end, as following runs does.
        compress, legacy: offer compression; open the socket as servers before 3.4.7 want it.
        max_size: how many bytes a message of the socket may have (64 MiB).
        open_timeout: how long opening the socket may take (10 s).
        ping_interval, ping_timeout: how often the server is pinged, and how long it may take to answer (20 s each);
            None: no ping, no limit.

    Durations are seconds, a timedelta, or text ("2m"). Switches without a value above are False.

    Raises:
        ConfigError: here, before anything is opened. Entering the stream raises ConnectError, AuthError,
        UpgradeRefused and what else keeps it from starting; iterating raises what ends it (GaveUp, AuthError, ...).
    """
    # Every argument by its name; so this is the first statement, before there are other variables.
    given: dict[str, Any] = {**locals(), **more}
    runs = {name: given.pop(name) for name in ("flow", "deployment", "tag")}
    del given["options"], given["more"]
    if options is not None:
        advice = "options= is deprecated: give its entries as arguments of their own, such as audit=5.0"
        warnings.warn(advice, DeprecationWarning, stacklevel=2)
    runs = {name: value for name, value in runs.items() if value is not None}
    if not runs:
        parts = _parts(given, options)
        return LogStream(*parts, **_shared(given, parts[0]))
    check(runs)
    others = {"flow_run_id": flow_run_id is not None, "live_only": live_only}
    together = [*runs, *(name for name, is_given in others.items() if is_given)]
    if len(together) > 1:
        raise ConfigError(
            f"{' and '.join(together)} cannot go together: give one of them", setting=together[0]
        )
    from rawlogs.runs.followed_runs import FollowedRuns

    sources: dict[str, Any] = {name: str(value) for name, value in runs.items()}
    return run_stream(FollowedRuns(**sources, clock=clock), given, options)


def follow(
    run: Run | Iterable[Run], *, children: bool = True, **arguments: Unpack[FollowArguments]
) -> RunStream:
    """Return the logs of a flow run, from its first one to the end of the run, its subflows included.

        async with rawlogs.follow("brave-otter") as logs:
            async for log in logs:
                print(log.level_name, log.message)
        print(logs.outcome)

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

    if strange := [name for name in arguments if name not in FollowArguments.__annotations__]:
        raise TypeError(f"follow() got an unexpected keyword argument {strange[0]!r}")
    names = several(run)
    if not names:
        raise ConfigError("run: no run is given", setting="run")
    for name in names:
        if not (isinstance(name, UUID) or (isinstance(name, str) and name.strip())):
            raise wrong("run", name, "the id, the name or the URL of a flow run")
    check_bool("children", children)
    check(arguments)
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
    check(given)
    local = {name: several(given[name]) for name in ("include", "exclude", "logger") if given.get(name)}
    selection = Selection(
        _filter(given),
        include=local.get("include", ()),
        exclude=local.get("exclude", ()),
        loggers=local.get("logger", ()),
    )
    apart = {"filter", *FILTER_PARTS, "include", "exclude", "logger", "on_notice", "clock"}
    apart |= Access.__annotations__.keys()
    behaviour = {name: value for name, value in given.items() if name not in apart}
    chosen = options_of(behaviour, options, _clock(given).now())
    return settings_of(given), selection, chosen


def _shared(given: Mapping[str, Any], current: Settings) -> dict[str, Any]:
    """Return how a stream of these arguments tells, reads the time, and reads its settings again."""
    on_notice = given.get("on_notice")

    def reload() -> Settings:
        nonlocal current
        current = settings_of(given)
        return current

    told = None if on_notice is None else without_secrets(on_notice, lambda: current.secrets())
    return {"on_notice": told, "clock": _clock(given), "reload": reload}


def _clock(given: Mapping[str, Any]) -> Clock:
    return given.get("clock") or SystemClock()


def _filter(given: Mapping[str, Any]) -> Chosen | None:
    whole = given.get("filter")
    parts = {
        # Taken out of a generator once: it is read twice below.
        name: several(given[name]) if field == "any_" else given[name]
        for name, (_, field) in FILTER_PARTS.items()
        if given.get(name) is not None
    }
    if whole is None and not parts:
        return None
    if whole is None and "text" not in parts:
        runs, tasks = parts.get("flow_run_id"), parts.get("task_run_id")
        if (flags := flag_filter(parts.get("level"), parts.get("max_level"), runs, tasks)) is not None:
            return flags
    from rawlogs.filters import LogFilter  # loads pydantic, which a usual stream does not need

    if whole is not None:
        if parts:
            raise ConfigError(f"give either filter or {', '.join(parts)}, not both", setting="filter")
        return LogFilter.coerce(whole)
    wire: dict[str, dict[str, Any]] = {}
    for name, value in parts.items():
        part, field = FILTER_PARTS[name]
        try:
            LogFilter.coerce({part: {field: value}})
        except ConfigError:
            raise wrong_filter(name, given[name]) from None
        wire.setdefault(part, {})[field] = value
    return LogFilter.coerce(wire)


class FrameStream:
    """Frames of one connection as they come, until it ends. Made by ``rawlogs.connect(...)``.

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
            """Do nothing: entering raises, so this is never called."""

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
    open_timeout: Seconds = 10.0,
    max_size: int = 64 << 20,
    ping_interval: Seconds | None = 20.0,
    ping_timeout: Seconds | None = 20.0,
    tap: Tap | None = None,
    api_url: str | None = None,
    api_key: str | None = None,
    auth_string: str | None = None,
    profile: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl_cert_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
) -> FrameStream:
    """Return one connection to ``/logs/out`` without reconnection, for those who debug the protocol.

        async with rawlogs.connect() as frames:
            async for frame in frames:
                print(frame)

    The filter is sent as it stands, time range and text included, after the local check. ``tap`` is called with every
    ``WireEvent`` of both sides. The other arguments are those of ``stream``. Raises ConfigError here, and on entering
    what keeps the conversation from starting.
    """
    given = dict(locals())  # every argument by its name, as in ``stream``
    from rawlogs.filters import LogFilter

    check(given)
    chosen = LogFilter.coerce(filter)
    access = {name: given.pop(name) for name in Access.__annotations__}
    socket = {name: value for name, value in given.items() if name not in ("filter", "tap")}
    options = options_of(socket, None, SystemClock().now())
    settings = settings_of(access)
    target = Target.of(settings, **{name: getattr(options, name) for name in socket})
    return FrameStream(settings, filter_message(chosen.to_wire()), target, tap)
