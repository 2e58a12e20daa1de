"""The choice of logs that a stream delivers: what the server is asked for, and what is decided here. No pydantic.

A filter is checked and taken apart by ``rawlogs.filters``; a stream without one, or with one that levels and ids of
runs make up (``FlagFilter``), never loads that.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from rawlogs.errors import ConfigError
from rawlogs.log_values import level_number
from rawlogs.models import Log

Predicate = Callable[[Log], bool]
_DIGITS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Apart:
    """The parts of a filter: what the server is asked for, and the tests that are left to decide here.

    ``after`` and ``before`` bound the timestamps where the filter does.
    """

    wire: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[Predicate, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    notes: tuple[str, ...] = ()


class Chosen(Protocol):
    """A filter that was checked: a ``FlagFilter`` or a ``rawlogs.filters.LogFilter``."""

    def apart(self) -> Apart:
        """Split the filter by who applies what."""
        ...

    def with_runs(self, runs: list[UUID]) -> Chosen:
        """Return the same filter over these flow runs."""
        ...

    def asked(self) -> dict[str, Any]:
        """Return the whole of it as JSON, without what it does not say; equal filters say the same."""
        ...


@dataclass(frozen=True, slots=True)
class FlagFilter:
    """The filter of ``--level``, ``--max-level``, ``--flow-run`` and ``--task-run``; made by ``flag_filter``.

    None: not given. An empty tuple of runs matches nothing.
    """

    ge_: int | None = None
    le_: int | None = None
    flow_runs: tuple[UUID, ...] | None = None
    task_runs: tuple[UUID, ...] | None = None

    def apart(self) -> Apart:
        """Leave all of it to the server."""
        runs = (("flow_run_id", self.flow_runs), ("task_run_id", self.task_runs))
        return Apart(
            wire=self._parts(),
            notes=tuple(nothing_chosen(f"{part}.any_") for part, chosen in runs if chosen == ()),
        )

    def with_runs(self, runs: list[UUID]) -> FlagFilter:
        """Return the same filter over these flow runs."""
        return replace(self, flow_runs=tuple(runs))

    def asked(self) -> dict[str, Any]:
        """Return what a ``LogFilter`` with the same values returns."""
        return {"operator": "and_", **self._parts()}

    def _parts(self) -> dict[str, Any]:
        bounds = {key: bound for key, bound in (("ge_", self.ge_), ("le_", self.le_)) if bound is not None}
        parts: dict[str, Any] = {"level": bounds} if bounds else {}
        for part, runs in (("flow_run_id", self.flow_runs), ("task_run_id", self.task_runs)):
            if runs is not None:
                parts[part] = {"any_": [str(run) for run in runs]}
        return parts


def flag_filter(
    level: object, max_level: object, flow_runs: Iterable[object] | None, task_runs: Iterable[object] | None
) -> FlagFilter | None:
    """Return the filter of these values, or None where one of them is none that can be taken as it stands.

    ``LogFilter`` then says what is wrong with it, or takes it all the same.
    """
    try:
        return FlagFilter(
            None if level is None else _plain_level(level),
            None if max_level is None else _plain_level(max_level),
            None if flow_runs is None else tuple(map(_plain_run, flow_runs)),
            None if task_runs is None else tuple(map(_plain_run, task_runs)),
        )
    except ValueError:
        return None


def nothing_chosen(part: str) -> str:
    """Return what is told of a filter with an empty list in it."""
    return f"The filter's {part} is empty: it matches nothing."


def _plain_level(value: object) -> int:
    # Signs, blanks and longer numbers are left to pydantic, which says what is wrong with them.
    if isinstance(value, str) and (value.isalpha() or _DIGITS.fullmatch(value)):
        return level_number(value)
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    raise ValueError(value)


def _plain_run(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    run = UUID(value) if isinstance(value, str) else None
    if run is not None and str(run) == str(value).lower():  # UUID() takes hyphens anywhere
        return run
    raise ValueError(value)


class Selection:
    """The filter and the local conditions, split by who applies what.

    ``wire`` is what the server is asked for, the same over the socket and over REST: level, flow runs and task
    runs. Never a time range (clocks differ, and late logs would be thrown away), never text (the socket accepts and
    ignores it, REST answers it with 500 on SQLite before 3.44); with ``or_`` nothing at all (the socket reads it as
    ``and_``, and REST would or the range of a page, too). ``accepts(log)`` decides the rest here.
    """

    __slots__ = ("_tests", "after", "before", "filter", "notes", "wire")

    def __init__(
        self,
        chosen: Chosen | None = None,
        *,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        loggers: Sequence[str] = (),
    ) -> None:
        apart = Apart() if chosen is None else chosen.apart()
        self.filter = chosen
        self.wire: dict[str, Any] = dict(apart.wire)
        self.after, self.before, self.notes = apart.after, apart.before, apart.notes
        self._tests = (*apart.tests, *_local_tests(include, exclude, loggers))

    @property
    def asked(self) -> dict[str, Any]:
        """The filter as JSON, which a cursor is compared by; empty without one."""
        return {} if self.filter is None else self.filter.asked()

    @property
    def local(self) -> bool:
        """True where anything is decided here."""
        return bool(self._tests)

    def accepts(self, log: Log) -> bool:
        """Return whether a log that the server chose passes what is decided here."""
        return all(test(log) for test in self._tests)

    def with_runs(self, runs: Iterable[UUID]) -> Selection:
        """Return the selection over these flow runs, in place of those that it asked for (``or_``: in addition)."""
        copy = object.__new__(Selection)  # the patterns are compiled once
        chosen = list(runs)
        copy.filter = None if self.filter is None else self.filter.with_runs(chosen)
        copy.wire = {**self.wire, "flow_run_id": {"any_": [str(run) for run in chosen]}}
        copy.after, copy.before, copy.notes, copy._tests = self.after, self.before, self.notes, self._tests
        return copy


def wire_tests(wire: Mapping[str, Any]) -> list[Predicate]:
    """Return the parts of a filter that are about levels and runs, as JSON, as tests of one log: all must agree."""
    tests: list[Predicate] = []
    level = wire.get("level", {})
    if "ge_" in level or "le_" in level:
        least, most = level.get("ge_", float("-inf")), level.get("le_", float("inf"))
        tests.append(lambda log: least <= log.level <= most)
    if "any_" in level:
        levels = frozenset(level["any_"])
        tests.append(lambda log: log.level in levels)
    for name in ("flow_run_id", "task_run_id"):
        part = wire.get(name, {})
        if "any_" in part:
            tests.append(_among(name, frozenset(part["any_"])))
        if "is_null_" in part:
            tests.append(_null(name, part["is_null_"]))
    return tests


def _among(name: str, ids: frozenset[str]) -> Predicate:
    return lambda log: log.data.get(name) in ids


def _null(name: str, null: bool) -> Predicate:
    return lambda log: (log.data.get(name) is None) is null


def _local_tests(
    include: Sequence[str], exclude: Sequence[str], loggers: Sequence[str]
) -> Iterable[Predicate]:
    for name, patterns, wanted in (("include", include, True), ("exclude", exclude, False)):
        if patterns:
            compiled = [_regex(pattern, name) for pattern in patterns]
            yield lambda log, found=compiled, wanted=wanted: (  # type: ignore[misc]
                any(regex.search(log.message) for regex in found) is wanted
            )
    if loggers:
        globs = [re.compile(fnmatch.translate(pattern)) for pattern in loggers]
        yield lambda log: any(regex.match(log.name) for regex in globs)


def _regex(pattern: str, name: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{name}: {pattern!r} is not a regular expression: {error}", setting=name) from None
