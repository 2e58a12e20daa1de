"""Arguments of ``rawlogs.stream`` and its like: checked by type, and named where they cannot work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from re import Pattern
from typing import Any, TypedDict
from uuid import UUID

from rawlogs import durations
from rawlogs.clock import Clock
from rawlogs.config.network import tls_context
from rawlogs.config.settings import Settings, resolve
from rawlogs.errors import ConfigError
from rawlogs.notices import OnNotice
from rawlogs.options import Options, Transport
from rawlogs.untrusted import shown

Run = UUID | str
Seconds = float | timedelta | str
"""Number of seconds, timedelta, or text ("90s", "2m")."""


class Access(TypedDict, total=False):
    """The settings that every way in takes; what is not given comes from Prefect's own sources."""

    api_url: str | None
    api_key: str | None
    auth_string: str | None
    profile: str | None
    headers: Mapping[str, str] | None
    ssl_cert_file: str | os.PathLike[str] | None
    insecure: bool | None


class MoreOptions(TypedDict, total=False):
    """Further keyword arguments of ``stream`` and ``follow``; what each means stands there and in ``Options``."""

    overlap: Seconds
    settle: Seconds
    audit: Seconds
    rest_budget: int
    buffer: int
    retries: int | None
    wait: bool
    strict: bool
    reconnect_on_clean_close: bool
    started_at: datetime | timedelta | str | None
    track: bool
    keep_raw: bool
    keep_ids: bool
    compress: bool
    legacy: bool
    max_size: int
    open_timeout: Seconds
    ping_interval: Seconds | None
    ping_timeout: Seconds | None


class FollowArguments(Access, MoreOptions, total=False):
    """The keyword arguments of ``stream`` that ``follow`` takes as well."""

    level: str | int | None
    max_level: str | int | None
    task_run_id: Run | Iterable[Run] | None
    text: str | None
    filter: Any
    include: str | Sequence[str]
    exclude: str | Sequence[str]
    logger: str | Sequence[str]
    since: datetime | timedelta | str | None
    until: datetime | timedelta | str | None
    tail: int | None
    follow: bool
    transport: Transport
    on_notice: OnNotice | None
    clock: Clock | None


class StreamArguments(FollowArguments, total=False):
    """Every keyword argument of ``stream``."""

    flow_run_id: Run | Iterable[Run] | None
    flow: str | None
    deployment: UUID | str | None
    tag: str | None
    live_only: bool
    options: Mapping[str, Any] | None


SETTINGS = {
    "api_url": "PREFECT_API_URL",
    "api_key": "PREFECT_API_KEY",
    "auth_string": "PREFECT_API_AUTH_STRING",
    "profile": "PREFECT_PROFILE",
    "headers": "PREFECT_CLIENT_CUSTOM_HEADERS",
    "ssl_cert_file": "PREFECT_API_SSL_CERT_FILE",
    "insecure": "PREFECT_API_TLS_INSECURE_SKIP_VERIFY",
}
"""The keyword arguments that stand for one of Prefect's settings."""
FILTER_PARTS = {
    "level": ("level", "ge_"),
    "max_level": ("level", "le_"),
    "flow_run_id": ("flow_run_id", "any_"),
    "task_run_id": ("task_run_id", "any_"),
    "text": ("text", "query"),
}
"""The keyword arguments that make up a filter, and where each stands in a ``LogFilter``."""
_SECRET = {"api_url", "api_key", "auth_string", "headers"}
"""Arguments whose value is not shown, also where it is of a wrong type: a list may hold a key."""
_TYPES = {field.name: str(field.type) for field in fields(Options)}
_OWN = {"since_ago"}
"""Options that follow from other arguments."""
_MAIN = {"since", "until", "tail", "follow", "transport", "live_only"}
"""The options that are arguments of ``stream`` by themselves."""
_DEFAULTS = {field.name: field.default for field in fields(Options)}


def several(value: Any) -> list[Any]:
    """Return the values of an argument that may be one or several."""
    one = isinstance(value, (str, bytes, UUID, Pattern)) or not isinstance(value, Iterable)
    return [value] if one else list(value)


def _texts(value: object) -> bool:
    return all(isinstance(one, str) for one in several(value))


def _patterns(value: object) -> bool:
    # A pattern of bytes cannot be looked for in a message.
    return all(isinstance(one.pattern if isinstance(one, Pattern) else one, str) for one in several(value))


def _name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _named(value: object) -> bool:
    return isinstance(value, UUID) or _name(value)


def _is_clock(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("now", "monotonic", "sleep"))


_LEVEL = "a level (DEBUG, INFO, WARNING, ERROR, CRITICAL, or a number)"
_KINDS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "level": (_LEVEL, lambda value: not isinstance(value, bool)),
    "max_level": (_LEVEL, lambda value: not isinstance(value, bool)),
    "include": ("a regular expression, or several", _patterns),
    "exclude": ("a regular expression, or several", _patterns),
    "logger": ("a glob for names of loggers, or several", _texts),
    "flow": ("the name of a flow", _name),
    "deployment": ("FLOW/DEPLOYMENT or the id of a deployment", _named),
    "tag": ("a tag", _name),
    "on_notice": ("a function that takes a Notice", callable),
    "tap": ("a function that takes a WireEvent", callable),
    "clock": ("a clock with now, monotonic and sleep", _is_clock),
    "api_url": ("text", lambda value: isinstance(value, str)),
    "api_key": ("text", lambda value: isinstance(value, str)),
    "auth_string": ("text", lambda value: isinstance(value, str)),
    "profile": ("the name of a profile", lambda value: isinstance(value, str)),
    "headers": ("a mapping of names to values", lambda value: isinstance(value, (Mapping, str))),
    "ssl_cert_file": ("the path of a file", lambda value: isinstance(value, (str, os.PathLike))),
    "filter": (
        "a LogFilter, a dict of its parts, or Prefect's own filter object",
        lambda value: (
            isinstance(value, Mapping) or (hasattr(value, "model_dump") and not isinstance(value, type))
        ),
    ),
}
"""Expected kind of each argument that is no option, and its check; None is allowed."""
_FILTERS = {  # what no filter could be made of
    "level": _LEVEL,
    "max_level": _LEVEL,
    "flow_run_id": "the id of a flow run, or several; by name: rawlogs.follow",
    "task_run_id": "the id of a task run, or several",
    "text": "text of at most 200 characters",
}


def wrong(name: str, value: object, expected: str) -> ConfigError:
    """Return the error that says what came as the argument ``name``, and what is expected there."""
    came = f"a value of type {type(value).__name__}" if name in _SECRET else shown(value)
    return ConfigError(f"{name}: {came} is not {expected}", setting=name)


def wrong_filter(name: str, value: object) -> ConfigError:
    """Return the error for an argument that no filter can be made of."""
    return wrong(name, value, _FILTERS[name])


def check(given: Mapping[str, Any]) -> None:
    """Raise ConfigError that names the first argument which is of no type that can work."""
    for name, value in given.items():
        if name in _KINDS and value is not None:
            expected, fits = _KINDS[name]
            if not fits(value):
                raise wrong(name, value, expected)


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the settings of these arguments, of which only those of ``Access`` are read.

    Raises ConfigError, which calls a setting that was given as an argument by the argument's name.
    """
    access = {name: given[name] for name in Access.__annotations__ if given.get(name) is not None}
    check(access)
    try:
        settings = resolve(**access)
        # Read now, so that a wrong file is told where it was given, not when a connection is opened.
        if settings.ssl_cert_file and "ssl_cert_file" in access:
            tls_context(settings.ssl_cert_file, insecure=False, origin="argument")
        return settings
    except ConfigError as error:
        name = next((name for name in access if SETTINGS[name] == error.setting), None)
        # The settings' errors name Prefect's setting; the caller typed the argument.
        if name is not None and "(argument)" in error.text:
            error.text = error.text.replace(f"{SETTINGS[name]} (argument)", f"{name} (argument)")
            if name not in error.text:
                error.text = error.text.replace("(argument)", f"({name})")
        error.setting = name or error.setting
        raise


def options_of(arguments: Mapping[str, Any], more: Mapping[str, Any] | None, now: datetime) -> Options:
    """Return the Options of the arguments of ``stream`` and of its ``options``, which may hold each of them as well.

    now: what durations are counted back from. Raises ConfigError that names what is unknown, given twice, or wrong.
    """
    if more is not None and not isinstance(more, Mapping):
        raise wrong("options", more, "a mapping of names to values")
    extra = dict(more or {})
    # As Python does for a name that is not in the signature: ``**more`` takes every name.
    if strange := [name for name in arguments if name not in {*MoreOptions.__annotations__, *_MAIN}]:
        raise TypeError(f"stream() got an unexpected keyword argument {strange[0]!r}")
    known = [name for name in _TYPES if name not in _OWN]
    if unknown := sorted(str(name) for name in extra if name not in known):
        raise ConfigError(f"unknown options: {', '.join(unknown)}", hint=f"Known: {', '.join(known)}.")
    given = dict(arguments)
    for name, value in extra.items():
        # An argument at its default cannot be told from one that was not given.
        if name in given and given[name] != _DEFAULTS[name]:
            raise ConfigError(f"{name} is given twice: as an argument and in options", setting=name)
        given[name] = value
    ago = _is_duration(given.get("since"))
    return Options(since_ago=ago, **{name: _checked(name, value, now) for name, value in given.items()})


def _is_duration(since: object) -> bool:
    if isinstance(since, str):
        try:
            return isinstance(durations.parse_moment(since), timedelta)
        except ValueError:  # said where it is checked
            return False
    return isinstance(since, timedelta)


def check_bool(name: str, value: object) -> None:
    """Raise ConfigError where the argument ``name`` is neither True nor False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: {shown(value)} is neither True nor False", setting=name)


def _checked(name: str, value: Any, now: datetime) -> Any:
    """Return the value as Options takes it."""
    kind, _, optional = _TYPES[name].partition(" | ")
    if value is None and optional:
        return None
    if kind == "datetime":
        return durations.moment(value, now, name=name)
    if kind == "float":
        return durations.seconds(value, name=name)
    if kind == "bool":
        check_bool(name, value)
    if kind == "int" and (not isinstance(value, int) or isinstance(value, bool)):
        raise wrong(name, value, "a whole number")
    return value
