"""Filters: the server's own rules before anything is sent, and who applies which part."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.errors import ConfigError
from rawlogs.filters import (
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTaskRunId,
    LogFilterTextSearch,
    LogFilterTimestamp,
)
from rawlogs.models import Log
from rawlogs.selection import Selection, flag_filter

UTC = timezone.utc
RUN = "60802438-10f0-48d7-b87a-390fcef3654e"
OTHER_RUN = "0d88f0a1-0000-4000-8000-000000000001"
TASK = "01a20537-b850-7e2a-b8ad-1f32d8d39a5f"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def log(
    message: str = "hello",
    level: int = 20,
    timestamp: datetime = START,
    flow_run_id: str | None = RUN,
    task_run_id: str | None = None,
    name: str = "prefect.flow_runs",
) -> Log:
    return Log.from_wire(
        {
            "id": "01a20537-c002-7db3-8e59-6c5b0fa42bcb",
            "name": name,
            "level": level,
            "message": message,
            "timestamp": timestamp.isoformat(),
            "flow_run_id": flow_run_id,
            "task_run_id": task_run_id,
        }
    )


def select(filter: Mapping[str, Any] | None = None, **local: Any) -> Selection:
    return Selection(LogFilter.coerce(filter), **local)


# What is a filter: the verdicts of servers from 3.4.7 to 3.8.8


@pytest.mark.parametrize(
    ("given_as", "wire"),
    [
        pytest.param({}, {"operator": "and_"}, id="nothing"),
        pytest.param(
            dict.fromkeys(("level", "timestamp", "flow_run_id", "task_run_id", "text")),
            {"operator": "and_"},
            id="null parts",
        ),
        pytest.param({"level": {}}, {"operator": "and_", "level": {}}, id="an empty part"),
        pytest.param(
            {"level": {"ge_": None, "le_": 30}}, {"operator": "and_", "level": {"le_": 30}}, id="a null bound"
        ),
        pytest.param(
            {"level": {"ge_": "30"}}, {"operator": "and_", "level": {"ge_": 30}}, id="a level in digits"
        ),
        pytest.param(
            {"level": {"ge_": 30.0}}, {"operator": "and_", "level": {"ge_": 30}}, id="a whole float"
        ),
        pytest.param(
            {"level": {"ge_": -5}}, {"operator": "and_", "level": {"ge_": -5}}, id="a negative level"
        ),
        pytest.param(
            {"level": {"ge_": "info", "le_": "ERROR"}},
            {"operator": "and_", "level": {"ge_": 20, "le_": 40}},
            id="levels by name",
        ),
        pytest.param({"operator": "or_"}, {"operator": "or_"}, id="or_"),
        pytest.param(
            {"timestamp": {"after_": "2026-01-01T12:00:00", "before_": "2026-01-01T14:00:00+02:00"}},
            {
                "operator": "and_",
                "timestamp": {"after_": "2026-01-01T12:00:00Z", "before_": "2026-01-01T14:00:00+02:00"},
            },
            id="naive and offset timestamps",
        ),
        pytest.param(
            {"timestamp": {"after_": "2026-01-01"}},
            {"operator": "and_", "timestamp": {"after_": "2026-01-01T00:00:00Z"}},
            id="a day",
        ),
        pytest.param(
            {"timestamp": {"after_": 1767268800}},
            {"operator": "and_", "timestamp": {"after_": "2026-01-01T12:00:00Z"}},
            id="a number of seconds",
        ),
        pytest.param(
            {"timestamp": {"after_": START, "before_": date(2026, 1, 2)}},
            {
                "operator": "and_",
                "timestamp": {"after_": "2026-01-01T12:00:00Z", "before_": "2026-01-02T00:00:00Z"},
            },
            id="python's own dates",
        ),
        *(
            pytest.param(
                {"flow_run_id": {"any_": [spelling]}},
                {"operator": "and_", "flow_run_id": {"any_": [RUN]}},
                id=f"a run {how}",
            )
            for how, spelling in {
                "as text": RUN,
                "in capitals": RUN.upper(),
                "without dashes": RUN.replace("-", ""),
                "in braces": f"{{{RUN}}}",
                "as a UUID": UUID(RUN),
            }.items()
        ),
        pytest.param(
            {"flow_run_id": {"any_": (RUN,)}},
            {"operator": "and_", "flow_run_id": {"any_": [RUN]}},
            id="a tuple of runs",
        ),
        pytest.param(
            {"flow_run_id": {"any_": []}},
            {"operator": "and_", "flow_run_id": {"any_": []}},
            id="an empty any_",
        ),
        pytest.param(
            {"flow_run_id": {"any_": None}}, {"operator": "and_", "flow_run_id": {}}, id="a null any_"
        ),
        pytest.param(
            {"task_run_id": {"any_": [TASK], "is_null_": "yes"}},
            {"operator": "and_", "task_run_id": {"any_": [TASK], "is_null_": True}},
            id="any_ and is_null_ in words",
        ),
        pytest.param(
            {"text": {"query": "x" * 200}},
            {"operator": "and_", "text": {"query": "x" * 200}},
            id="a text of 200 characters",
        ),
        pytest.param(
            {"text": {"query": ""}}, {"operator": "and_", "text": {"query": ""}}, id="an empty text"
        ),
    ],
)
def test_what_the_server_accepts_is_accepted_and_sent_plainly(given_as: Any, wire: object) -> None:
    assert LogFilter.coerce(given_as).to_wire() == wire


@pytest.mark.parametrize(
    ("given_as", "problem"),
    [
        pytest.param({"nonsense": 1}, "nonsense: Extra inputs are not permitted", id="unknown field"),
        pytest.param({"level": {"gt_": 1}}, "level.gt_: Extra inputs are not permitted", id="unknown bound"),
        pytest.param({"level": {"ge_": 30.5}}, "level.ge_: Input should be a valid integer", id="level 30.5"),
        pytest.param({"level": {"ge_": ""}}, "level.ge_: Input should be a valid integer", id="empty level"),
        pytest.param(
            {"level": {"ge_": [20]}}, "level.ge_: Input should be a valid integer", id="level in a list"
        ),
        pytest.param({"level": 30}, "level: Input should be a valid dictionary", id="level alone"),
        pytest.param(
            {"level": {"ge_": "LOUD"}},
            "level.ge_: unknown level 'LOUD': use one of DEBUG, INFO",
            id="odd level",
        ),
        pytest.param(
            {"level": {"ge_": 2**63}},
            "level.ge_: Input should be less than 92233720",
            id="level over 64 bits",
        ),
        pytest.param(
            {"flow_run_id": {"any_": RUN}}, "flow_run_id.any_: Input should be a valid list", id="one run"
        ),
        pytest.param(
            {"flow_run_id": {"any_": [RUN, "x"]}},
            "flow_run_id.any_.1: Input should be a valid UUID",
            id="bad run",
        ),
        pytest.param(
            {"flow_run_id": [RUN]}, "flow_run_id: Input should be a valid dictionary", id="runs bare"
        ),
        pytest.param(
            {"task_run_id": {"is_null_": "perhaps"}},
            "task_run_id.is_null_: Input should be",
            id="odd is_null_",
        ),
        pytest.param(
            {"timestamp": {"after_": "soon"}},
            "timestamp.after_: Input should be a valid datetime",
            id="odd time",
        ),
        pytest.param({"operator": "xor_"}, "operator: Input should be 'and_' or 'or_'", id="odd operator"),
        pytest.param({"operator": None}, "operator: Input should be 'and_' or 'or_'", id="null operator"),
        pytest.param({"text": {}}, "text.query: Field required", id="text without a query"),
        pytest.param(
            {"text": {"query": None}}, "text.query: Input should be a valid string", id="null query"
        ),
        pytest.param(
            {"text": {"query": "x" * 201}},
            "text.query: String should have at most 200",
            id="text of 201 characters",
        ),
        pytest.param([], "filter: Input should be a valid dictionary", id="a list"),
        pytest.param("level=20", "filter: Input should be a valid dictionary", id="a text"),
        pytest.param(LogFilter, "filter: Input should be a valid dictionary", id="the class itself"),
    ],
)
def test_what_the_server_rejects_is_a_config_error_with_the_field(given_as: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LogFilter.coerce(given_as)
    assert caught.value.text.startswith(f"The server would reject this filter: {problem}")
    assert caught.value.setting == "filter"


@pytest.mark.parametrize(
    ("given_as", "hint"),
    [
        ({"nonsense": 1}, "Known fields: operator, level, timestamp, flow_run_id, task_run_id, text."),
        ({"level": {"gt_": 1}}, "Known fields: ge_, le_, any_."),
        ({"task_run_id": {"none_": 1}}, "Known fields: any_, is_null_."),
        (
            {"name": {"any_": ["x"]}},
            "There is no filter on logger names on the server: use logger=... (--logger), applied here.",
        ),
        ({"level": {"ge_": 30.5}}, None),
    ],
)
def test_an_unknown_field_gets_a_hint(given_as: Any, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        LogFilter.coerce(given_as)
    assert caught.value.hint == hint


def test_several_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        LogFilter.coerce({"level": {"ge_": 30.5}, "operator": "xor_"})
    assert "operator: " in caught.value.text
    assert "level.ge_: " in caught.value.text


class Operator(str, Enum):
    or_ = "or_"


class PrefectsOwn:
    """What Prefect's ``LogFilter`` looks like from here: a pydantic model of another class."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"operator": "and_", "level": None, "timestamp": None, "text": None, **self.fields}


@pytest.mark.parametrize(
    "filter",
    [
        pytest.param({"operator": "or_", "level": {"ge_": 20}}, id="a dict"),
        pytest.param({"operator": Operator.or_, "level": {"ge_": 20}}, id="a dict with Prefect's operator"),
        pytest.param(
            {"operator": "or_", "level": LogFilterLevel(ge_=20)}, id="a dict with a part of this package"
        ),
        pytest.param(PrefectsOwn(operator="or_", level={"ge_": 20, "le_": None}), id="Prefect's own object"),
        pytest.param(LogFilter(operator="or_", level=LogFilterLevel(ge_=20)), id="a LogFilter"),
    ],
)
def test_a_filter_comes_as_a_dict_or_as_an_object(filter: Any) -> None:
    assert LogFilter.coerce(filter) == LogFilter(operator="or_", level=LogFilterLevel(ge_=20))


def test_prefects_own_object_with_an_unknown_field_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"level\.not_any_"):
        LogFilter.coerce(PrefectsOwn(level={"not_any_": [20]}))


def test_none_is_every_log() -> None:
    assert LogFilter.coerce(None) == LogFilter()
    everything = Selection()
    assert (everything.wire, everything.local, everything.accepts(log())) == ({}, False, True)


def test_no_filter_at_all_is_moved_to_runs() -> None:
    moved = Selection(exclude=["x"]).with_runs([UUID(RUN)])
    assert (moved.wire, moved.filter, moved.accepts(log("x"))) == (
        {"flow_run_id": {"any_": [RUN]}},
        None,
        False,
    )


def test_the_callers_objects_stay_as_they_are() -> None:
    mine = {"level": {"any_": ["INFO", 40]}, "flow_run_id": {"any_": [RUN]}, "text": {"query": "a"}}
    before = copy.deepcopy(mine)
    Selection(LogFilter.coerce(mine), include=["x"]).with_runs([UUID(OTHER_RUN)])
    assert mine == before


# What the server is asked for, and what is decided here


@pytest.mark.parametrize(
    ("filter", "wire"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"level": {"ge_": 20, "le_": 40}}, {"level": {"ge_": 20, "le_": 40}}, id="level bounds"),
        pytest.param({"flow_run_id": {"any_": [RUN]}}, {"flow_run_id": {"any_": [RUN]}}, id="flow runs"),
        pytest.param({"flow_run_id": {"any_": []}}, {"flow_run_id": {"any_": []}}, id="no flow runs"),
        pytest.param(
            {"task_run_id": {"any_": [TASK], "is_null_": False}},
            {"task_run_id": {"any_": [TASK], "is_null_": False}},
            id="task runs",
        ),
        pytest.param({"timestamp": {"after_": START}}, {}, id="a time range is never asked for"),
        pytest.param({"text": {"query": "a"}}, {}, id="text is never asked for"),
        pytest.param({"level": {}, "flow_run_id": {"any_": None}}, {}, id="empty parts are left out"),
        pytest.param(
            {"operator": "or_", "level": {"ge_": 40}, "flow_run_id": {"any_": [RUN]}},
            {},
            id="or_ is never asked for",
        ),
        pytest.param({"level": {"any_": [20]}}, {"level": {"ge_": 20, "le_": 20}}, id="one exact level"),
        pytest.param(
            {"level": {"any_": ["ERROR", 10]}},
            {"level": {"ge_": 10, "le_": 40}},
            id="exact levels as a range",
        ),
        pytest.param(
            {"level": {"any_": [10, 40], "ge_": 20, "le_": 50}},
            {"level": {"ge_": 20, "le_": 40}},
            id="exact levels within bounds",
        ),
        pytest.param({"level": {"any_": []}}, {"level": {"ge_": 1, "le_": 0}}, id="no exact level is no log"),
    ],
)
def test_the_server_is_asked_for_what_it_applies_over_socket_and_list_alike(
    filter: Any, wire: object
) -> None:
    assert select(filter).wire == wire


def test_exact_levels_are_sent_as_their_range_for_no_server_knows_them() -> None:
    assert LogFilter.coerce({"level": {"any_": [20, 40]}}).to_wire()["level"] == {"ge_": 20, "le_": 40}


@pytest.mark.parametrize(
    ("filter", "local"),
    [
        ({"level": {"ge_": 20}, "flow_run_id": {"any_": [RUN]}, "task_run_id": {"is_null_": True}}, False),
        ({"level": {"any_": [20]}}, True),
        ({"timestamp": {"after_": START}}, True),
        ({"text": {"query": "a"}}, True),
        ({"operator": "or_", "level": {"ge_": 20}}, True),
    ],
)
def test_a_selection_says_whether_anything_is_decided_here(filter: Any, local: bool) -> None:
    assert select(filter).local is local


def test_a_time_range_is_known_as_bounds_for_the_lists() -> None:
    selection = select({"timestamp": {"after_": START, "before_": "2026-01-02"}})
    assert (selection.after, selection.before) == (START, datetime(2026, 1, 2, tzinfo=UTC))


def test_a_time_range_under_or_bounds_nothing() -> None:
    selection = select({"operator": "or_", "timestamp": {"after_": START}, "level": {"ge_": 40}})
    assert (selection.after, selection.before) == (None, None)


MATCHES = [
    pytest.param({}, log(), True, id="everything"),
    pytest.param({"level": {"ge_": 20}}, log(level=20), True, id="lower bound inclusive"),
    pytest.param({"level": {"ge_": 20}}, log(level=19), False, id="below"),
    pytest.param({"level": {"le_": 20}}, log(level=20), True, id="upper bound inclusive"),
    pytest.param({"level": {"le_": 20}}, log(level=21), False, id="above"),
    pytest.param({"level": {"any_": [20, 40]}}, log(level=40), True, id="one of the exact levels"),
    pytest.param({"level": {"any_": [20, 40]}}, log(level=30), False, id="between exact levels"),
    pytest.param({"level": {"any_": []}}, log(), False, id="no exact level"),
    pytest.param({"timestamp": {"after_": START}}, log(), True, id="start inclusive"),
    pytest.param({"timestamp": {"before_": START}}, log(), True, id="end inclusive"),
    pytest.param(
        {"timestamp": {"after_": START + timedelta(microseconds=1)}}, log(), False, id="a microsecond early"
    ),
    pytest.param(
        {"timestamp": {"before_": START - timedelta(microseconds=1)}}, log(), False, id="a microsecond late"
    ),
    pytest.param(
        {"timestamp": {"after_": "2026-01-01T13:00:00+01:00"}}, log(), True, id="another zone's start"
    ),
    pytest.param({"flow_run_id": {"any_": [RUN.upper()]}}, log(), True, id="its flow run"),
    pytest.param({"flow_run_id": {"any_": [OTHER_RUN]}}, log(), False, id="another flow run"),
    pytest.param({"flow_run_id": {"any_": [RUN]}}, log(flow_run_id=None), False, id="no flow run"),
    pytest.param({"flow_run_id": {"any_": []}}, log(), False, id="no flow runs wanted"),
    pytest.param({"task_run_id": {"any_": [TASK]}}, log(task_run_id=TASK), True, id="its task run"),
    pytest.param({"task_run_id": {"is_null_": True}}, log(), True, id="no task run"),
    pytest.param({"task_run_id": {"is_null_": True}}, log(task_run_id=TASK), False, id="a task run unwanted"),
    pytest.param({"task_run_id": {"is_null_": False}}, log(), False, id="a task run wanted"),
    pytest.param({"text": {"query": "HELL -x"}}, log(), True, id="text in the message"),
    pytest.param({"text": {"query": "flow_runs"}}, log(), True, id="text in the logger's name"),
    pytest.param({"text": {"query": "goodbye"}}, log(), False, id="other text"),
    pytest.param({"text": {"query": "  "}}, log(), True, id="blank text"),
    pytest.param({"level": {"ge_": 40}, "text": {"query": "hello"}}, log(), False, id="and_: not all"),
    pytest.param(
        {"operator": "or_", "level": {"ge_": 40}, "text": {"query": "hello"}},
        log(),
        True,
        id="or_: one is enough",
    ),
    pytest.param(
        {"operator": "or_", "level": {"ge_": 40}, "text": {"query": "bye"}}, log(), False, id="or_: none"
    ),
    pytest.param({"operator": "or_"}, log(), True, id="or_ of nothing"),
    pytest.param(
        {"operator": "or_", "level": {"ge_": 40}, "timestamp": {}}, log(), True, id="or_: an empty part"
    ),
    pytest.param(
        {"operator": "or_", "level": {"ge_": 40}, "text": {"query": " "}},
        log(),
        False,
        id="or_: a blank text is no part",
    ),
    pytest.param(
        {"operator": "or_", "task_run_id": {"any_": [TASK], "is_null_": True}},
        log(),
        False,
        id="or_: within a part all must match",
    ),
]


@pytest.mark.parametrize(("filter", "one", "chosen"), MATCHES)
def test_a_filter_matches_as_the_rest_list_applies_it(filter: Any, one: Log, chosen: bool) -> None:
    assert LogFilter.coerce(filter).matches(one) is chosen


def served(wire: Mapping[str, Any], one: Log) -> bool:
    """Whether a server that is asked for ``wire`` sends the log: its own reading of level, flow and task runs."""
    level, flow, task = (wire.get(part, {}) for part in ("level", "flow_run_id", "task_run_id"))
    return (
        (level.get("ge_") is None or one.level >= level["ge_"])
        and (level.get("le_") is None or one.level <= level["le_"])
        and (flow.get("any_") is None or str(one.flow_run_id) in flow["any_"])
        and (task.get("any_") is None or str(one.task_run_id) in task["any_"])
        and (task.get("is_null_") is None or (one.task_run_id is None) is task["is_null_"])
    )


RUNS = st.sampled_from([RUN, OTHER_RUN, TASK])
LEVELS = st.integers(9, 12)
MOMENTS = st.integers(-2, 2).map(lambda seconds: START + timedelta(seconds=seconds))
WORDS = st.sampled_from(["", "a", "-a", "+b", '"a b"', "a !c"])


def part(model: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.builds(model, **{name: st.none() | values for name, values in fields.items()})


FILTERS = st.builds(
    LogFilter,
    operator=st.sampled_from(["and_", "or_"]),
    level=part(LogFilterLevel, ge_=LEVELS, le_=LEVELS, any_=st.lists(LEVELS, max_size=3)),
    timestamp=part(LogFilterTimestamp, after_=MOMENTS, before_=MOMENTS),
    flow_run_id=part(LogFilterFlowRunId, any_=st.lists(RUNS, max_size=2)),
    task_run_id=part(LogFilterTaskRunId, any_=st.lists(RUNS, max_size=2), is_null_=st.booleans()),
    text=st.none() | st.builds(LogFilterTextSearch, query=WORDS),
)
LOGS = st.builds(
    log,
    message=st.sampled_from(["a", "b", "a b", "c", ""]),
    level=LEVELS,
    timestamp=MOMENTS,
    flow_run_id=st.none() | RUNS,
    task_run_id=st.none() | RUNS,
)


@given(FILTERS, LOGS)
def test_what_the_server_sends_and_is_accepted_here_is_what_the_filter_matches(
    chosen: LogFilter, one: Log
) -> None:
    selection = Selection(chosen)
    assert (served(selection.wire, one) and selection.accepts(one)) is chosen.matches(one)


@given(FILTERS)
def test_a_filter_survives_its_own_dump(chosen: LogFilter) -> None:
    assert LogFilter.coerce(chosen.model_dump(mode="json")) == chosen


# Conditions that no server knows


@pytest.mark.parametrize(
    ("local", "accepted"),
    [
        pytest.param({"include": ["^task \\d"]}, ["task 1", "task 2 failed"], id="include"),
        pytest.param(
            {"include": ["1$", "failed"]}, ["task 1", "task 2 failed"], id="one of several to include"
        ),
        pytest.param({"exclude": ["task"]}, ["flow over"], id="exclude"),
        pytest.param({"exclude": ["1", "over"]}, ["task 2 failed"], id="none of several to exclude"),
        pytest.param({"include": ["task"], "exclude": ["failed"]}, ["task 1"], id="both"),
    ],
)
def test_messages_are_chosen_by_regular_expressions(local: Any, accepted: list[str]) -> None:
    selection = select(None, **local)
    messages = ["task 1", "task 2 failed", "flow over"]
    assert [message for message in messages if selection.accepts(log(message))] == accepted
    assert selection.wire == {}


@pytest.mark.parametrize(
    ("loggers", "accepted"),
    [
        (["prefect.flow_runs"], ["prefect.flow_runs"]),
        (["prefect.*"], ["prefect.flow_runs", "prefect.task_runs"]),
        (["*.task_runs", "app"], ["prefect.task_runs", "app"]),
        (["APP"], []),
    ],
)
def test_loggers_are_chosen_by_globs(loggers: list[str], accepted: list[str]) -> None:
    selection = select(None, loggers=loggers)
    names = ["prefect.flow_runs", "prefect.task_runs", "app"]
    assert [name for name in names if selection.accepts(log(name=name))] == accepted


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_broken_regular_expression_names_its_option(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(None, **{option: ["a("]})
    assert caught.value.text.startswith(f"{option}: 'a(' is not a regular expression: missing )")
    assert caught.value.setting == option


@pytest.mark.parametrize(
    ("filter", "notes"),
    [
        ({"flow_run_id": {"any_": []}}, ("The filter's flow_run_id.any_ is empty: it matches nothing.",)),
        ({"task_run_id": {"any_": []}}, ("The filter's task_run_id.any_ is empty: it matches nothing.",)),
        ({"level": {"any_": []}}, ("The filter's level.any_ is empty: it matches nothing.",)),
        ({"flow_run_id": {"any_": None}, "level": {"any_": [20]}}, ()),
    ],
)
def test_an_empty_any_is_noted_for_it_matches_nothing(filter: Any, notes: object) -> None:
    assert select(filter).notes == notes


# Other runs


@pytest.mark.parametrize(
    ("filter", "wire"),
    [
        pytest.param(
            {"level": {"ge_": 20}, "flow_run_id": {"any_": [RUN]}},
            {"level": {"ge_": 20}, "flow_run_id": {"any_": [OTHER_RUN]}},
            id="in place of its own",
        ),
        pytest.param(
            {"operator": "or_", "level": {"ge_": 20}},
            {"flow_run_id": {"any_": [OTHER_RUN]}},
            id="besides an or_",
        ),
    ],
)
def test_a_selection_is_moved_to_other_runs(filter: Any, wire: object) -> None:
    assert select(filter).with_runs([UUID(OTHER_RUN)]).wire == wire


def test_a_selection_of_other_runs_decides_the_same_here() -> None:
    selection = select({"text": {"query": "hello"}}, exclude=["x"]).with_runs([UUID(OTHER_RUN)])
    accepted = [selection.accepts(log(message)) for message in ("hello", "hello x", "bye")]
    assert accepted == [True, False, False]


@given(FILTERS.filter(lambda chosen: chosen.operator == "and_"), LOGS, st.lists(RUNS, max_size=2))
def test_the_filter_of_a_moved_selection_is_what_it_selects(
    chosen: LogFilter, one: Log, runs: list[str]
) -> None:
    moved = Selection(chosen).with_runs([UUID(run) for run in runs])
    assert moved.filter is not None
    assert (served(moved.wire, one) and moved.accepts(one)) is moved.filter.matches(one)


def test_a_filter_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        cast(Any, LogFilter()).operator = "or_"


# What flags say, without pydantic

LEVELS = (
    st.none()
    | st.integers()
    | st.booleans()
    | st.floats()
    | st.sampled_from(["info", "WARN", " error ", "lala", "20", "+5", "2e1", "٣", "", str(2**63)])
)
RUNS = st.none() | st.lists(
    st.uuids()
    | st.uuids().map(str)
    | st.uuids().map(lambda run: str(run).upper())
    | st.sampled_from(["", "x" * 36, f"{{{RUN}}}", RUN.replace("-", ""), "-" + RUN.replace("-", "", 1), 5]),
    max_size=3,
)


@given(LEVELS, LEVELS, RUNS, RUNS, st.none() | st.lists(st.uuids(), max_size=2))
def test_a_filter_of_flags_is_the_log_filter_that_says_the_same(
    level: Any, max_level: Any, flow_runs: Any, task_runs: Any, followed: Any
) -> None:
    """Or it is left to that to take or to refuse it."""
    flags = flag_filter(level, max_level, flow_runs, task_runs)
    if flags is None:
        return
    given: dict[str, Any] = {"level": {"ge_": level, "le_": max_level}}
    given |= {} if flow_runs is None else {"flow_run_id": {"any_": flow_runs}}
    given |= {} if task_runs is None else {"task_run_id": {"any_": task_runs}}
    full = LogFilter.coerce(given if level is not None or max_level is not None else {**given, "level": None})
    if followed is not None:
        flags, full = flags.with_runs(followed), full.with_runs(followed)
    assert flags.asked() == full.asked()
    assert (flags.apart().wire, flags.apart().notes) == (full.apart().wire, full.apart().notes)
    assert flags.apart().tests == full.apart().tests == ()
    assert Selection(flags).asked == full.asked()


@pytest.mark.parametrize(
    "values",
    [
        (None, None, None, None),
        ("INFO", None, None, None),
        (20, "critical", [RUN], [UUID(TASK)]),
        ("20", None, [], None),
    ],
)
def test_what_is_usual_needs_no_log_filter(values: tuple[Any, Any, Any, Any]) -> None:
    assert flag_filter(*values) is not None


@pytest.mark.parametrize("level", [True, "lala", "٣", 2**63, 1.0])
def test_a_level_that_is_none_is_left_to_the_log_filter(level: Any) -> None:
    assert flag_filter(level, None, None, None) is None


def test_without_a_filter_nothing_was_asked() -> None:
    assert Selection().asked == {}
