"""A scenario: which server, which logs, and what goes wrong when. A TOML file, checked before anything runs.

``[server]`` has the fields of ``Behaviour``, ``[logs]`` those of ``Traffic``; each ``[[fault]]`` is a step
(``rawlogs.testing.faults``) with its fields, or with ``at`` one of ``ACTIONS``. docs/fake.md shows one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel, Field, InstanceOf, TypeAdapter, ValidationError

from rawlogs import files
from rawlogs.config.sources import toml_parser
from rawlogs.errors import ConfigError
from rawlogs.testing import faults
from rawlogs.testing.faults import Step, Where
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.bounds import Amount, Checked, CloseCode, Count, Seconds, SignedSeconds
from rawlogs.testing.model.schemas import Strict

T = TypeVar("T")
_SCRIPT_ONLY = (
    *(faults.Step, faults.SocketStep, faults.RestStep, faults.Serve, faults.Send),
    *(faults.Accept, faults.ExpectAuth, faults.ExpectFilter, faults.Raw),
)
"""Steps that make sense in a script only, or take what TOML cannot say."""


def _name(kind: type[Step]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


STEPS: Mapping[str, type[Step]] = {
    _name(value): value
    for value in vars(faults).values()
    if isinstance(value, type) and issubclass(value, Step) and value not in _SCRIPT_ONLY
}
"""The steps that a scenario can name."""


class _Drop(Strict):
    at: Seconds


class _Close(_Drop):
    code: CloseCode = 1011
    reason: str = ""


class _Restart(_Drop):
    downtime: Seconds = 1.0


class _Refuse(_Drop):
    seconds: Seconds = 5.0


ACTIONS: Mapping[str, type[_Drop]] = {
    "drop": _Drop,
    "close": _Close,
    "restart": _Restart,
    "kill": _Restart,
    "refuse": _Refuse,
}
"""What can happen to the running server at a time, and its arguments."""


@dataclass(frozen=True, slots=True)
class Traffic(Checked):
    """The logs that the server produces. rate: logs a second; count 0: without end; late: seconds before now."""

    count: Amount = 0
    rate: Seconds = 10.0
    batch: Count = 1
    runs: Count = 1
    late: SignedSeconds = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A step before the normal behaviour of each connection or request that fits."""

    step: InstanceOf[Step]
    where: Where = "logs"
    connection: Amount | None = None
    path: str | None = None
    times: Amount | None = None


_TARGET = ("where", "connection", "path", "times")


@dataclass(frozen=True, slots=True)
class Action:
    """Something that happens to the running server ``at`` seconds after its start."""

    kind: str
    at: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole of it; the defaults are a healthy Prefect 3.8.8 with ten logs a second."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    traffic: Traffic = field(default_factory=Traffic)
    faults: tuple[Fault, ...] = ()
    actions: tuple[Action, ...] = ()


class _File(Strict):
    server: dict[str, Any] = Field(default_factory=dict)
    logs: dict[str, Any] = Field(default_factory=dict)
    fault: list[dict[str, Any]] = Field(default_factory=list)


def read(path: str | os.PathLike[str]) -> Scenario:
    """Read a scenario from a TOML file. Raises ConfigError, which names the fault and the field."""
    try:
        data = toml_parser().loads(files.read(path, limit=files.SETTINGS_LIMIT).decode("utf-8"))
    except OSError as error:
        raise _bad(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise _bad(f"{path}: {error}") from None
    # The parser calls itself for each level.
    except RecursionError:
        raise _bad(f"{path}: nested too deeply") from None
    return parse(data, str(path))


def parse(data: Mapping[str, Any], name: str = "scenario") -> Scenario:
    """Read a scenario from a mapping. Raises ConfigError, which names the fault and the field."""
    file = _build(_File, data, name)
    found = [fault(entry, f"{name}: fault {number}") for number, entry in enumerate(file.fault, 1)]
    actions = [item for item in found if isinstance(item, Action)]
    return Scenario(
        _build(Behaviour, file.server, f"{name}: [server]"),
        _build(Traffic, file.logs, f"{name}: [logs]"),
        tuple(item for item in found if isinstance(item, Fault)),
        tuple(sorted(actions, key=lambda action: action.at)),
    )


def fault(entry: Mapping[str, Any], name: str = "fault") -> Fault | Action:
    """Read one fault: with ``at`` an action on the running server, otherwise a step. Raises ConfigError."""
    rest = dict(entry)
    kind = rest.pop("kind", None)
    known: Mapping[str, object] = ACTIONS if "at" in rest else STEPS
    if not isinstance(kind, str) or kind not in known:
        wrong = "cannot happen at a time" if "at" in rest else "needs at, in seconds"
        if not isinstance(kind, str) or kind not in {*STEPS, *ACTIONS}:
            wrong = "is unknown"
        raise _bad(f"{name}: kind {kind!r} {wrong}", f"Known: {', '.join(sorted(known))}.")
    if "at" in rest:
        action = _build(ACTIONS[kind], rest, f"{name} ({kind})")
        return Action(kind, action.at, action.model_dump(exclude={"at"}, exclude_unset=True))
    target = {key: rest.pop(key) for key in _TARGET if key in rest}
    # What all faults have in common is checked first, then the fields of this step.
    found = _build(Fault, {"step": faults.Serve(), **target}, f"{name} ({kind})")
    step = _build(STEPS[kind], rest, f"{name} ({kind})")
    if not (step.on_rest if found.where == "rest" else step.on_socket):
        raise _bad(f"{name}: {kind} cannot happen to {found.where}")
    return replace(found, step=step)


def _build(kind: type[T], values: Mapping[str, Any], name: str) -> T:
    """Return the values as that dataclass or model. Raises ConfigError for the first one that is wrong."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
    # A field that is misspelled explains one that is missing.
    unknown = [each for each in wrong if each["type"] in ("extra_forbidden", "unexpected_keyword_argument")]
    first = (unknown or wrong)[0]
    where = ".".join(map(str, first["loc"]))
    if not unknown:
        raise _bad(f"{name}: {where}: {first['msg']}")
    fields = kind.model_fields if issubclass(kind, BaseModel) else kind.__dataclass_fields__  # type: ignore[attr-defined]
    raise _bad(f"{name}: {where} is unknown", f"Known: {', '.join(sorted(fields)) or 'nothing'}.")


def _bad(text: str, hint: str | None = None) -> ConfigError:
    return ConfigError(text, setting="scenario", hint=hint)
