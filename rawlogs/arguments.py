"""What callers give to ``rawlogs.stream`` as ``Options``: checked by type, and named where it cannot work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, TypedDict

from rawlogs import durations
from rawlogs.errors import ConfigError
from rawlogs.options import Options

Seconds = float | timedelta | str
"""A duration: a number of seconds, a timedelta, or text ("90s", "2m")."""


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


_TYPES = {field.name: str(field.type) for field in fields(Options)}
_OWN = {"since_ago"}
"""What follows from other arguments."""
_MAIN = {"since", "until", "tail", "follow", "transport", "live_only"}
"""The options that are arguments of ``stream`` by themselves."""
_DEFAULTS = {field.name: field.default for field in fields(Options)}


def options_of(arguments: Mapping[str, Any], more: Mapping[str, Any] | None, now: datetime) -> Options:
    """Return the Options of the arguments of ``stream`` and of its ``options``, which may hold each of them as well.

    now: what durations are counted back from. Raises ConfigError that names what is unknown, given twice, or wrong.
    """
    if more is not None and not isinstance(more, Mapping):
        raise ConfigError(f"options: {more!r} is no mapping of names to values", setting="options")
    extra = dict(more or {})
    if strange := [
        name for name in arguments if name not in MoreOptions.__annotations__ and name not in _MAIN
    ]:
        raise TypeError(f"stream() got an unexpected keyword argument {strange[0]!r}")
    known = [name for name in _TYPES if name not in _OWN]
    if unknown := sorted(str(name) for name in extra if name not in known):
        raise ConfigError(f"unknown options: {', '.join(unknown)}", hint=f"Known: {', '.join(known)}.")
    given = dict(arguments)
    for name, value in extra.items():
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


def _checked(name: str, value: Any, now: datetime) -> Any:
    """The value as Options takes it."""
    kind, _, optional = _TYPES[name].partition(" | ")
    if value is None and optional:
        return None
    if kind == "datetime":
        return durations.moment(value, now, name=name)
    if kind == "float":
        return durations.seconds(value, name=name)
    if kind == "bool" and not isinstance(value, bool):
        raise ConfigError(f"{name}: {value!r} is neither True nor False", setting=name)
    if kind == "int" and (not isinstance(value, int) or isinstance(value, bool)):
        raise ConfigError(f"{name}: {value!r} is no whole number", setting=name)
    return value
