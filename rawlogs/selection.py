"""Which logs a stream delivers: what the server is asked for, and what is decided here. No pydantic.

A filter is checked and taken apart by ``rawlogs.filters``; a stream without one never loads that.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.errors import ConfigError
from rawlogs.models import Log

if TYPE_CHECKING:
    from rawlogs.filters import LogFilter

Predicate = Callable[[Log], bool]


@dataclass(frozen=True, slots=True)
class Apart:
    """A filter taken apart: what the server is asked for, and the tests that are left to decide here.

    ``after`` and ``before`` bound the timestamps where the filter does.
    """

    wire: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[Predicate, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    notes: tuple[str, ...] = ()


class Selection:
    """A filter and the local conditions, taken apart by who applies what.

    ``wire`` is what the server is asked for, the same over the socket and over REST: level, flow runs and task
    runs. Never a time range (clocks differ, and late logs would be thrown away), never text (the socket accepts and
    ignores it, REST answers it with 500 on SQLite before 3.44); with ``or_`` nothing at all (the socket reads it as
    ``and_``, and REST would or the range of a page, too). ``accepts(log)`` decides the rest here.
    """

    __slots__ = ("_tests", "after", "before", "filter", "notes", "wire")

    def __init__(
        self,
        chosen: LogFilter | None = None,
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
    def local(self) -> bool:
        """Whether anything is decided here at all."""
        return bool(self._tests)

    def accepts(self, log: Log) -> bool:
        """Whether a log that the server chose passes what is decided here."""
        return all(test(log) for test in self._tests)

    def with_runs(self, runs: Iterable[UUID]) -> Selection:
        """The same selection over these flow runs, in place of those that it asked for (``or_``: in addition)."""
        copy = object.__new__(Selection)
        chosen = list(runs)
        copy.filter = None if self.filter is None else self.filter.with_runs(chosen)
        copy.wire = {**self.wire, "flow_run_id": {"any_": [str(run) for run in chosen]}}
        copy.after, copy.before, copy.notes, copy._tests = self.after, self.before, self.notes, self._tests
        return copy


def _local_tests(
    include: Sequence[str], exclude: Sequence[str], loggers: Sequence[str]
) -> Iterable[Predicate]:
    for option, patterns, wanted in (("--include", include, True), ("--exclude", exclude, False)):
        if patterns:
            compiled = [_regex(pattern, option) for pattern in patterns]
            yield lambda log, found=compiled, wanted=wanted: (  # type: ignore[misc]
                any(regex.search(log.message) for regex in found) is wanted
            )
    if loggers:
        globs = [re.compile(fnmatch.translate(pattern)) for pattern in loggers]
        yield lambda log: any(regex.match(log.name) for regex in globs)


def _regex(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{option}: {pattern!r} is not a regular expression: {error}", setting=option
        ) from None
