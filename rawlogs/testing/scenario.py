"""A scenario: which server, which logs, what goes wrong when; a small TOML file, checked before anything runs.

[server]                 # fields of Behaviour
version = "3.8.8"
[logs]
count = 5000             # in all; 0: without end
rate = 200               # logs a second
batch = 50               # logs of one POST
runs = 2                 # flow runs that they belong to, in turn
[[fault]]
kind = "http"            # a step by its name, see rawlogs.testing.faults
where = "rest"           # logs (default), events, rest
status = 500             # the step's own fields
times = 3                # or connection = 0, path = "/logs/filter"
[[fault]]
kind = "restart"         # to what is connected: drop, close, restart, kill, refuse
at = 2.0                 # seconds after the start
downtime = 1.0
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rawlogs import files
from rawlogs.errors import ConfigError
from rawlogs.testing import faults
from rawlogs.testing.faults import Step, Where
from rawlogs.testing.model.behaviour import Behaviour

ACTIONS: Mapping[str, Mapping[str, type]] = {
    "drop": {},
    "close": {"code": int, "reason": str},
    "restart": {"downtime": float},
    "kill": {"downtime": float},
    "refuse": {"seconds": float},
}
"""What can be done to a running server at a time, and the arguments of each."""
_SCRIPT_ONLY = {
    "Step",
    "SocketStep",
    "RestStep",
    "Serve",
    "Send",
    "Accept",
    "ExpectAuth",
    "ExpectFilter",
    "Raw",
}


def _name(kind: type[Step]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


KINDS: Mapping[str, type[Step]] = {
    _name(value): value
    for name, value in vars(faults).items()
    if isinstance(value, type) and issubclass(value, Step) and name not in _SCRIPT_ONLY
}
"""The steps that a scenario can name."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The logs that the server produces by itself. ``rate`` is in logs a second; ``count`` 0 means without end."""

    count: int = 0
    rate: float = 10.0
    batch: int = 1
    runs: int = 1
    late: float = 0.0
    """Seconds by which the logs' timestamps lie in the past."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A step in front of the model's own, on each connection or request that fits."""

    step: Step
    where: Where = "logs"
    connection: int | None = None
    path: str | None = None
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to the running server ``at`` so many seconds after its start."""

    kind: str
    at: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it; the defaults are a healthy Prefect 3.8.8 with ten logs a second."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    traffic: Traffic = field(default_factory=Traffic)
    faults: tuple[Fault, ...] = ()
    actions: tuple[Action, ...] = ()


_COMMON: Mapping[str, type] = {"connection": int, "path": str, "times": int}
_WORDS: Mapping[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_ANY = (0.0, 1e9)
_BOUNDS: Mapping[Any, tuple[float, float]] = {
    "status": (100, 599),
    "code": (0, 65_535),
    "clock_skew": (-1e9, 1e9),
    "late": (-1e9, 1e9),
    **dict.fromkeys(
        (
            (Traffic, "batch"),
            (Traffic, "runs"),
            (Behaviour, "batch"),
            (Behaviour, "queue"),
            (Behaviour, "page_limit"),
            (faults.Slice, "size"),
            (faults.Throttle, "rate"),
            (faults.Lose, "every"),
        ),
        (1, 1e9),
    ),
}
"""What the numbers of a scenario may be, by field, or by class and field; else they are not negative."""


def read(path: str | os.PathLike[str]) -> Scenario:
    """The scenario in a TOML file. Raises ConfigError with the place and what is known there."""
    try:
        # tomli is tomllib before Python 3.11, under its own name.
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        data = toml.loads(files.read(path, limit=files.SETTINGS_LIMIT).decode("utf-8"))
    except OSError as error:
        raise _bad(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise _bad(f"{path}: {error}") from None
    except RecursionError:
        raise _bad(f"{path}: nested too deeply") from None
    return parse(data, str(path))


def parse(data: Mapping[str, Any], name: str = "scenario") -> Scenario:
    """The scenario in a mapping, as TOML gives it."""
    _known(data, {"server", "logs", "fault"}, name)
    behaviour = _build(Behaviour, _table(data, "server", name), f"{name}: [server]")
    traffic = _build(Traffic, _table(data, "logs", name), f"{name}: [logs]")
    found: list[Fault] = []
    actions: list[Action] = []
    entries = data.get("fault", [])
    if not isinstance(entries, list):
        raise _bad(f"{name}: faults are written [[fault]]")
    for number, entry in enumerate(entries, 1):
        place = f"{name}: fault {number}"
        if not isinstance(entry, Mapping):
            raise _bad(f"{place} is not a table")
        made = fault(entry, place)
        if isinstance(made, Action):
            actions.append(made)
        else:
            found.append(made)
    return Scenario(behaviour, traffic, tuple(found), tuple(sorted(actions, key=lambda action: action.at)))


def fault(entry: Mapping[str, Any], place: str = "fault") -> Fault | Action:
    """One fault: with ``at`` something done to the running server, otherwise a step for what connects."""
    rest = dict(entry)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str):
        raise _bad(f"{place}: kind is not a text", f"Known: {', '.join(sorted({*KINDS, *ACTIONS}))}.")
    if "at" in rest:
        if kind not in ACTIONS:
            raise _bad(
                f"{place}: kind {kind!r} cannot be done at a time", f"Known: {', '.join(sorted(ACTIONS))}."
            )
        at = rest.pop("at")
        wanted = ACTIONS[kind]
        _known(rest, set(wanted), place)
        _check(at, float, f"{place}: at")
        for key, value in rest.items():
            _check(value, wanted[key], f"{place}: {key}", *_BOUNDS.get(key, _ANY))
        return Action(kind, float(at), rest)
    if kind not in KINDS:
        raise _bad(f"{place}: unknown kind {kind!r}", f"Known: {', '.join(sorted(KINDS))}.")
    where = rest.pop("where", "logs")
    if where not in get_args(Where):
        raise _bad(f"{place}: where is {where!r}", f"Known: {', '.join(get_args(Where))}.")
    common = {key: rest.pop(key) for key in _COMMON if key in rest}
    for key, value in common.items():
        _check(value, _COMMON[key], f"{place}: {key}")
    step = _build(KINDS[kind], rest, f"{place} ({kind})")
    allowed = faults.RestStep if where == "rest" else faults.SocketStep
    other = faults.SocketStep if where == "rest" else faults.RestStep
    if isinstance(step, other) and not isinstance(step, allowed):
        raise _bad(f"{place}: {kind} is nothing for {where}")
    return Fault(step, where, **common)


def _build(kind: type[Any], values: Mapping[str, Any], place: str) -> Any:
    fields = {item.name for item in dataclasses.fields(kind) if item.init}
    _known(values, fields, place)
    hints = get_type_hints(kind)
    for name, value in values.items():
        _check(value, hints[name], f"{place}: {name}", *_BOUNDS.get((kind, name), _BOUNDS.get(name, _ANY)))
    try:
        return kind(**values)
    except TypeError as error:  # one that must be given was not
        raise _bad(f"{place}: {error}") from None


def _check(value: Any, hint: Any, place: str, least: float = 0.0, most: float = 1e9) -> None:
    """Raise ConfigError for a value that is not of that type, or a number out of bounds."""
    if not _fits(value, hint):
        raise _bad(f"{place} is not {_WORDS.get(hint) or str(hint).replace('typing.', '')}")
    if type(value) in (int, float) and not least <= value <= most:
        raise _bad(f"{place} is not between {least:g} and {most:g}")


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if hint is float:
        return type(value) in (int, float)
    if (origin := get_origin(hint)) is Literal:
        return value in get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is not None:  # Mapping[str, str]
        return isinstance(value, Mapping) and all(
            type(text) is str for pair in value.items() for text in pair
        )
    return type(value) is hint


def _table(data: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, Mapping):
        raise _bad(f"{place}: {name} is written [{name}]")
    return table


def _known(values: Mapping[str, Any], names: set[str], place: str) -> None:
    if unknown := sorted(set(values) - names):
        raise _bad(
            f"{place}: unknown: {', '.join(unknown)}", f"Known: {', '.join(sorted(names)) or 'nothing'}."
        )


def _bad(text: str, hint: str | None = None) -> ConfigError:
    return ConfigError(text, setting="scenario", hint=hint)
