"""What a reader asks for: a filter, a backlog, a deployment; and how that is written in a URL. Pure.

One ``level`` is the least one; several are exactly these. Regular expressions (``include``, ``exclude``) are for
programs only: one from a URL could keep a server busy for hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rawlogs.durations import parse_moment
from rawlogs.errors import ConfigError
from rawlogs.filters import LogFilter
from rawlogs.log_values import level_number
from rawlogs.models import BEGINNING
from rawlogs.relay.cursor import Cursor
from rawlogs.selection import Selection

MOST_RUNS = 200
MOST_TAIL = 10_000
LONGEST_GLOB = 100
LONGEST_DEPLOYMENT = 1000
LEAD = timedelta(seconds=3)
"""Around the moment of joining, by which two clocks may differ: rather a log too many than one too few."""
# What Prefect refuses in names ("/" apart), control characters, and what some server reads as a dot segment.
_NO_NAME = re.compile(r"[%&<>\x00-\x1f\x7f-\x9f\ud800-\udfff]|(?:^|\\)\s*\.{1,2}\s*(?:;|\\|$)")


class BadQuery(ConfigError):
    """Parameters that cannot be used; ``problems`` says for each, by its name, why."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Query:
    """Which logs a reader wants. Empty is: all that come from now on. Raises BadQuery for a wrong ``deployment``
    or ``since``.

    level: exact levels; or ``min_level``, ``max_level``: bounds, inclusive; all as numbers.
    deployment: names as FLOW/DEPLOYMENT or ids; all their runs, those that start later included.
    since: where the backlog begins; tail: so many of the newest of it (None: all of it; no ``since``: of all).
    include, exclude, logger: as in ``rawlogs.stream``.
    resumes: where a reader that comes back goes on (``since`` and ``tail`` count no more); None for a new one.
        Endpoints set it from ``last_event_id``, so that ``authorize`` sees it.
    """

    flow_run_id: tuple[UUID, ...] = ()
    task_run_id: tuple[UUID, ...] = ()
    deployment: tuple[str, ...] = ()
    level: tuple[int, ...] = ()
    min_level: int | None = None
    max_level: int | None = None
    text: str | None = None
    logger: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: datetime | timedelta | None = None
    tail: int | None = None
    resumes: datetime | None = None

    def __post_init__(self) -> None:
        for value in self.deployment:
            if (problem := deployment_problem(value)) is not None:
                raise BadQuery({"deployment": problem})
        if (problem := _since_problem(self.since)) is not None:
            raise BadQuery({"since": problem})

    def earliest(self, now: datetime) -> datetime:
        """Return how far back a reader with this query would read: the oldest timestamp that it gets, asked at ``now``.

        For ``authorize``, where a right is only to the last hours. (Logs stamped before that, but stored later, come.)
        """
        if self.resumes is not None:
            return max(self.resumes, BEGINNING)
        # Alike for all who join within one second: they share their cursors, and with them the encoded events.
        about_now = now.replace(microsecond=0) - LEAD
        if self.tail == 0:
            return about_now
        if isinstance(self.since, timedelta):
            return now - self.since if self.since < now - BEGINNING else BEGINNING
        if self.since is not None:
            return self.since
        return BEGINNING if self.tail else about_now

    def selection(self) -> Selection:
        """Return the filter, without deployments and without the backlog's bounds. Raises ConfigError."""
        parts: dict[str, Any] = {}
        if self.level:
            parts["level"] = {"any_": list(self.level)}
        elif self.min_level is not None or self.max_level is not None:
            parts["level"] = {"ge_": self.min_level, "le_": self.max_level}
        if self.flow_run_id:
            parts["flow_run_id"] = {"any_": list(self.flow_run_id)}
        if self.task_run_id:
            parts["task_run_id"] = {"any_": list(self.task_run_id)}
        if self.text is not None:
            parts["text"] = {"query": self.text}
        return Selection(
            LogFilter.coerce(parts), include=self.include, exclude=self.exclude, loggers=self.logger
        )


def earliest(query: Query, cursor: Cursor | None, now: datetime) -> datetime:
    """Return the oldest timestamp that is the reader's: by its cursor, its backlog, or about ``now``."""
    return (query if cursor is None else replace(query, resumes=cursor.low)).earliest(now)


def parse_query(pairs: Iterable[tuple[str, str]], *, ignore: Iterable[str] = ()) -> Query:
    """Return the query of a URL's parameters, in order and as often as they are given; empty values do not count.

    ``ignore`` names parameters that are somebody else's (a token). Raises BadQuery that names every wrong one.
    """
    ignored = frozenset(ignore)
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in ignored and value != "":
            given.setdefault(name, []).append(value)
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name, values in given.items():
        shown = name if name.isprintable() and len(name) <= 40 else repr(name[:40])
        if name not in _PARAMETERS:
            problems[shown] = f"unknown parameter (known: {', '.join(_PARAMETERS)})"
            continue
        try:
            found |= _PARAMETERS[name](values)
        except (ValueError, OverflowError) as error:
            problems[shown] = str(error)
    if not problems and "level" in found and "max_level" in found:
        problems["max_level"] = "goes with one level, the least; not with several exact ones"
    if not problems and "text" in found:
        try:
            Query(text=found["text"]).selection()
        except ConfigError as error:
            problems["text"] = error.text
    if problems:
        raise BadQuery(problems)
    return Query(**found)


def parse_request(
    pairs: Iterable[tuple[str, str]], header: str | None = None, *, ignore: Iterable[str] = ()
) -> tuple[Query, Cursor | None]:
    """Return the query, and where to go on: the header ``Last-Event-ID``, or else the parameter ``last_event_id``.

    A browser keeps the URL when it comes back, so the header, which is younger, wins. Raises BadQuery.
    """
    given = list(pairs)
    query = parse_query(given, ignore=(*ignore, "last_event_id"))
    parameters = [value for name, value in given if name == "last_event_id" and value]
    for name, text in (("Last-Event-ID", header), ("last_event_id", parameters[-1] if parameters else None)):
        if text:
            try:
                cursor = Cursor.parse(text)
            except ValueError as error:
                raise BadQuery({name: str(error)}) from None
            return replace(query, resumes=cursor.low), cursor
    return query, None


def _ids(field: str) -> Callable[[list[str]], dict[str, Any]]:
    def parse(values: list[str]) -> dict[str, Any]:
        if len(values) > MOST_RUNS:
            raise ValueError(f"at most {MOST_RUNS}")
        return {field: tuple(dict.fromkeys(_uuid(value) for value in values))}

    return parse


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not an id") from None


def _levels(values: list[str]) -> dict[str, Any]:
    levels = tuple(dict.fromkeys(_level(value) for value in values))
    return {"min_level": levels[0]} if len(levels) == 1 else {"level": levels}


def _level(text: str) -> int:
    level = level_number(text)
    if not 0 <= level <= 1_000_000:
        raise ValueError("a level is between 0 and 1000000")
    return level


def _one(values: list[str]) -> str:
    if len(values) > 1:
        raise ValueError("given more than once")
    return values[0]


def _deployments(values: list[str]) -> dict[str, Any]:
    if len(values) > 20:
        raise ValueError("at most 20")
    for value in values:
        if (problem := deployment_problem(value)) is not None:
            raise ValueError(problem)
    return {"deployment": tuple(dict.fromkeys(values))}


def deployment_problem(text: str) -> str | None:
    """Return why a text is neither FLOW/DEPLOYMENT nor an id; None where it is one.

    Both names become parts of a path of Prefect's API: ``..`` and another slash would make it another path.
    """
    try:
        UUID(text)
    except ValueError:
        names = text.split("/")
    else:
        return None
    if len(names) != 2 or not all(names) or len(text) > LONGEST_DEPLOYMENT:
        return f"{text[:40]!r} is neither FLOW/DEPLOYMENT nor an id"
    if any(not name.strip() or _NO_NAME.search(name) for name in names):
        return f"{text[:40]!r} has a name that no flow and no deployment can have"
    return None


def _globs(values: list[str]) -> dict[str, Any]:
    if len(values) > 20 or any(len(value) > LONGEST_GLOB or value.count("*") > 5 for value in values):
        raise ValueError(f"at most 20 patterns of {LONGEST_GLOB} characters and five * each")
    return {"logger": tuple(values)}


def _since(values: list[str]) -> dict[str, Any]:
    text = _one(values).strip()
    if text == "start":
        return {"since": BEGINNING}
    try:
        # A form turns the "+" of a zone into a blank.
        found = parse_moment(text.replace(" ", "+", 1))
    except ValueError:
        found = parse_moment(text)
    return {"since": found if isinstance(found, timedelta) else max(found, BEGINNING)}


def _since_problem(since: object) -> str | None:
    """Return why a program's value cannot be used; None where it can."""
    if isinstance(since, datetime):
        return "has no time zone: use an aware datetime" if since.tzinfo is None else None
    if since is None or isinstance(since, timedelta):
        return None
    return f"{since!r} is neither a datetime nor a timedelta; rawlogs.durations.parse_moment reads text"


def _tail(values: list[str]) -> dict[str, Any]:
    text = _one(values)
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > MOST_TAIL:
        raise ValueError(f"a whole number from 0 to {MOST_TAIL}")
    return {"tail": int(text)}


_PARAMETERS: dict[str, Callable[[list[str]], dict[str, Any]]] = {
    "flow_run_id": _ids("flow_run_id"),
    "task_run_id": _ids("task_run_id"),
    "deployment": _deployments,
    "level": _levels,
    "max_level": lambda values: {"max_level": _level(_one(values))},
    "text": lambda values: {"text": _one(values)},
    "logger": _globs,
    "since": _since,
    "tail": _tail,
}
