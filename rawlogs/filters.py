"""The server's ``LogFilter``, checked here by the server's own rules, and split by who applies what.

A filter that the server rejects kills the socket without a close frame (seen on 3.4.7 to 3.8.8), so nothing is sent
that was not checked. The socket honours less than it accepts, therefore a filter is taken apart three ways: what
the socket is asked for, what the REST list is asked for, and what is left to decide here (see ``Selection``).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rawlogs.errors import ConfigError
from rawlogs.log_values import level_number
from rawlogs.models import Log
from rawlogs.search import TextQuery
from rawlogs.selection import Apart, Predicate, nothing_chosen, wire_tests
from rawlogs.selection import Selection as Selection


def _level(value: object) -> object:
    """Return a name as its number; what is none is left to pydantic, which reads numbers in text as the server does."""
    named = isinstance(value, str) and value.strip()[:1].isalpha()
    return level_number(value) if named else value  # type: ignore[arg-type]


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)


def _plain(value: object) -> object:
    """Return Prefect's own ``Operator.or_`` as its text; anything else unchanged."""
    return value.value if isinstance(value, Enum) else value


Level = Annotated[int, BeforeValidator(_level), Field(ge=-(2**63), lt=2**63)]
Moment = Annotated[datetime, AfterValidator(_aware)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogFilterLevel(_Part):
    """Levels by number or name, bounds inclusive. ``any_`` (exact levels) is applied here, not by the server."""

    ge_: Level | None = None
    le_: Level | None = None
    any_: list[Level] | None = None


class LogFilterTimestamp(_Part):
    """Range of the logs' own timestamps, both ends inclusive; a time without a zone is UTC."""

    after_: Moment | None = None
    before_: Moment | None = None


class LogFilterFlowRunId(_Part):
    """Flow runs by id. An empty list matches nothing."""

    any_: list[UUID] | None = None


class LogFilterTaskRunId(_Part):
    """Task runs by id, or logs with (``is_null_=False``) or without (``True``) a task run."""

    any_: list[UUID] | None = None
    is_null_: bool | None = None


class LogFilterTextSearch(_Part):
    """Prefect's search syntax over message and logger name, at most 200 characters; applied here."""

    query: str = Field(max_length=200)


class LogFilter(_Part):
    """The filter that Prefect's API takes (``and_``: all parts must match; ``or_``: one of them).

    A part matches if all in it does; one with nothing in it matches every log, and so does a filter without parts.
    """

    operator: Annotated[Literal["and_", "or_"], BeforeValidator(_plain)] = "and_"
    level: LogFilterLevel | None = None
    timestamp: LogFilterTimestamp | None = None
    flow_run_id: LogFilterFlowRunId | None = None
    task_run_id: LogFilterTaskRunId | None = None
    text: LogFilterTextSearch | None = None

    @classmethod
    def coerce(cls, value: Any) -> LogFilter:
        """Return a LogFilter from one of these: None, a LogFilter, a dict, or Prefect's own ``LogFilter`` object.

        Raises ConfigError that names each field which the server would reject.
        """
        if value is None:
            return cls()
        if isinstance(value, LogFilter):
            return value
        # Prefect's own classes are other ones, and need not be installed.
        if hasattr(value, "model_dump") and not isinstance(value, type):
            value = value.model_dump(mode="json")
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise ConfigError(_explain(error), setting="filter", hint=_hint(error)) from None

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object that the server takes, without the parts that are None.

        Exact levels, which no server knows, become the range around them.
        """
        wire = self.asked()
        if self.level is not None:
            wire["level"] = _level_range(self.level)
        return wire

    def asked(self) -> dict[str, Any]:
        """Return the whole filter as JSON, without the parts that are None; equal filters say the same."""
        return self.model_dump(mode="json", exclude_none=True)

    def with_runs(self, runs: list[UUID]) -> LogFilter:
        """Return the same filter over these flow runs (``or_``: unchanged, the runs come in addition)."""
        if self.operator == "or_":
            return self
        return self.model_copy(update={"flow_run_id": LogFilterFlowRunId(any_=runs)})

    def apart(self) -> Apart:
        """Split the filter by who applies what; see ``rawlogs.selection``."""
        here = ("operator", "timestamp", "text")
        # Nothing is asked of the server then: the socket reads or_ as and_.
        asked = {} if self.operator == "or_" else self.to_wire()
        left, range_ = self, None
        if self.operator == "and_":
            exact = self.level and LogFilterLevel(any_=self.level.any_)
            left = self.model_copy(update={"level": exact, "flow_run_id": None, "task_run_id": None})
            range_ = self.timestamp
        return Apart(
            wire={part: value for part, value in asked.items() if value and part not in here},
            tests=tuple(_predicates(left)),
            after=range_.after_ if range_ else None,
            before=range_.before_ if range_ else None,
            notes=tuple(_notes(self)),
        )

    def matches(self, log: Log) -> bool:
        """Return whether this filter, as the REST list applies it, chooses that log.

        With ``or_``, the server takes the groups of a text query (included, required, excluded) for conditions of
        their own, one of which is enough; here a query is one condition.
        """
        return all(test(log) for test in _predicates(self))


def _explain(error: ValidationError) -> str:
    problems = "; ".join(
        f"{'.'.join(str(step) for step in item['loc']) or 'filter'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()[:5]
    )
    return f"The server would reject this filter: {problems}"


def _hint(error: ValidationError) -> str | None:
    unknown = [item["loc"] for item in error.errors() if item["type"] == "extra_forbidden"]
    if {loc[-1] for loc in unknown} & {"name", "logger", "logger_name"}:
        return "There is no filter on logger names on the server: use logger=... (--logger), applied here."
    if unknown:
        part: Any = LogFilter
        if len(unknown[0]) > 1:
            part = get_args(LogFilter.model_fields[str(unknown[0][0])].annotation)[0]  # of "... | None"
        return f"Known fields: {', '.join(part.model_fields)}."
    return None


def _level_range(level: LogFilterLevel) -> dict[str, int]:
    """Return the bounds to ask the server for: of exact levels the range around them, an empty one for no level."""
    if level.any_ == []:  # the server knows no empty list of levels; these bounds let no log through
        return {"ge_": 1, "le_": 0}
    low = [bound for bound in (level.ge_, min(level.any_) if level.any_ else None) if bound is not None]
    high = [bound for bound in (level.le_, max(level.any_) if level.any_ else None) if bound is not None]
    return ({"ge_": max(low)} if low else {}) | ({"le_": min(high)} if high else {})


def _predicates(chosen: LogFilter) -> list[Predicate]:
    """Return the filter made ready to be asked about many logs: all of these must agree."""
    asked = chosen.asked()
    parts = [
        wire_tests({part: asked[part]}) for part in ("level", "flow_run_id", "task_run_id") if part in asked
    ]
    if chosen.timestamp is not None:
        parts.append(list(_timestamp_tests(chosen.timestamp)))
    if chosen.text is not None and chosen.text.query.strip():  # the server takes a blank query for none
        query = TextQuery.parse(chosen.text.query)
        parts.append([lambda log: query.matches(log.message, log.name)])
    if chosen.operator == "or_" and parts:
        return [lambda log: any(all(test(log) for test in tests) for tests in parts)]
    return [test for tests in parts for test in tests]


def _timestamp_tests(part: LogFilterTimestamp) -> Iterable[Predicate]:
    after, before = part.after_, part.before_
    if after is not None:
        yield lambda log: log.timestamp >= after
    if before is not None:
        yield lambda log: log.timestamp <= before


def _notes(chosen: LogFilter) -> Iterable[str]:
    for part in ("flow_run_id", "task_run_id"):
        value = getattr(chosen, part)
        if value is not None and value.any_ == []:
            yield nothing_chosen(f"{part}.any_")
    if chosen.level is not None and chosen.level.any_ == []:
        yield nothing_chosen("level.any_")
