"""The arguments of ``rawlogs.stream``: what is accepted, and what is refused by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from streaming import no_settings as no_settings
from streaming import reading, serving

import rawlogs
from rawlogs.arguments import FollowArguments, MoreOptions, StreamArguments, options_of
from rawlogs.compat.prefect import PrefectCloudLogsSubscriber, PrefectLogsSubscriber
from rawlogs.options import Options

URL = "http://127.0.0.1:4200/api"
SAFE_URL = "https://127.0.0.1:4200/api"
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
RUN = UUID("0d88f0a1-0000-4000-8000-000000000001")


class Unprintable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


def log_of(message: str) -> rawlogs.Log:
    row = {"id": str(RUN), "name": "x", "level": 20, "message": message, "timestamp": "2026-11-20T10:00:00Z"}
    return rawlogs.Log.from_wire(row)


@pytest.mark.parametrize(
    ("arguments", "options", "expected"),
    [
        ({}, None, Options()),
        ({"since": "1h"}, None, Options(since=NOW - HOUR, since_ago=True)),
        ({"since": HOUR}, {}, Options(since=NOW - HOUR, since_ago=True)),
        ({"since": "2026-11-20T09:00:00Z"}, None, Options(since=NOW - HOUR)),
        ({"since": NOW - HOUR}, None, Options(since=NOW - HOUR)),
        (
            {"since": "2h", "until": HOUR},
            None,
            Options(since=NOW - 2 * HOUR, since_ago=True, until=NOW - HOUR),
        ),
        ({"until": "60m"}, None, Options(until=NOW - HOUR)),
        ({"transport": "auto"}, {"transport": "poll"}, Options(transport="poll")),
        (
            {"since": None, "follow": True},
            {"since": "1h", "follow": False},
            Options(since=NOW - HOUR, since_ago=True, follow=False),
        ),
        (
            {},
            {"overlap": "2m", "audit": timedelta(seconds=5), "settle": 1},
            Options(overlap=120.0, audit=5.0, settle=1),
        ),
        (
            {"tail": 5},
            {"retries": None, "ping_interval": None},
            Options(tail=5, retries=None, ping_interval=None),
        ),
    ],
)
def test_what_is_accepted(arguments: dict[str, Any], options: Any, expected: Options) -> None:
    assert options_of(arguments, options, NOW) == expected


# What cannot work: a ConfigError before anything is opened, with the argument's name, what came, and what is expected.

WRONG: dict[str, list[tuple[Any, str]]] = {
    "level": [("lala", "'lala' is not a level (DEBUG,"), (["INFO"], "['INFO'] is not a level"), (2.5, "2.5")],
    "max_level": [(True, "True is not a level"), (2**63, "is not a level")],
    "task_run_id": [
        ("etl", "'etl' is not the id of a task run, or several"),
        ([RUN, 5], "not the id of a task"),
    ],
    "text": [(5, "5 is not text of at most 200 characters"), ("x" * 201, "not text of at most 200")],
    "filter": [
        (5, "5 is not a LogFilter, a dict of its parts, or Prefect's own"),
        (rawlogs.LogFilter, "is not a LogFilter, a dict"),
        ({"lvl": 1}, "filter: lvl: Extra inputs"),
        ({"level": {"ge_": "lala"}}, "unknown level 'lala'"),
    ],
    "include": [
        (5, "5 is not a regular expression, or several"),
        (["x", None], "is not a regular expression, or several"),
        (re.compile(b"x"), "is not a regular expression, or several"),
        ("a(", "'a(' is not a regular expression: missing )"),
    ],
    "exclude": [
        (b"x", "b'x' is not a regular"),
        (["x", "["], "'[' is not a regular expression: unterminated"),
    ],
    "logger": [(5, "5 is not a glob for names of loggers"), ([5], "[5] is not a glob")],
    "since": [
        ("soon", "'soon' is neither a duration"),
        (1795174216, "neither a datetime, nor a timedelta, nor text"),
        (timedelta(days=10**6), "longer than the calendar"),
        (datetime(2026, 11, 20), "2026-11-20 00:00:00 has no time zone"),
    ],
    "until": [(timedelta.max, "longer than the calendar"), ("nan", "'nan' is neither a duration")],
    "tail": [
        ("20", "'20' is not a whole number"),
        (1.5, "1.5 is not"),
        (-1, "tail is -1: it cannot be negative"),
    ],
    "follow": [("no", "'no' is neither True nor False"), (None, "None is neither")],
    "transport": [
        ("socket", "transport is 'socket': use auto, ws or poll"),
        (["ws"], "use auto, ws or poll"),
    ],
    "on_notice": [(5, "5 is not a function that takes a Notice")],
    "clock": [(5, "5 is not a clock with now, monotonic and sleep"), (datetime, "is not a clock")],
    "api_url": [
        (5, "a value of type int is not text"),
        ("", "api_url (argument) is set, but empty"),
        ("ftp://example.org/api", "api_url (argument)"),
        ("http://", "api_url (argument)"),
    ],
    "api_key": [(["pnu_secret"], "a value of type list is not text"), ("pnu a", "character 4 of 5")],
    "auth_string": [(b"a:secret", "a value of type bytes is not text"), ("a:\nb", "a line break")],
    "profile": [(5, "5 is not the name of a profile"), ("nope", "There is no profile 'nope'")],
    "headers": [
        (["X-Key: secret"], "a value of type list is not a mapping of names to values"),
        ({"X-Key": 5}, "the value of header 1 is not a string"),
        ({"X Key": "x"}, "the name of header 1 has a character"),
        ({5: "x"}, "the name of header 1 is not a string"),
    ],
    "ssl_cert_file": [(5, "5 is not the path of a file"), ("nowhere.pem", "nowhere.pem")],
    "insecure": [("perhaps", "neither true nor false"), ([], "neither true nor false")],
    "overlap": [
        (float("inf"), "inf is no number of seconds"),
        (None, "None"),
        (-1, "overlap is -1: it cannot be"),
    ],
    "settle": [("-1s", "'-1s' is no duration"), (-0.5, "settle is -0.5: it cannot be negative")],
    "audit": [("often", "'often' is no duration"), (float("nan"), "nan"), (0, "it must be greater than 0")],
    "rest_budget": [(1.5, "1.5 is not a whole number"), (-1, "rest_budget is -1: it cannot be negative")],
    "buffer": [(True, "True is not a whole number"), (0, "buffer is 0: it must be greater than 0")],
    "retries": [("3", "'3' is not a whole number"), (-1, "retries is -1: it cannot be negative")],
    "wait": [(1, "1 is neither True nor False")],
    "strict": [("yes", "'yes' is neither True nor False")],
    "reconnect_on_clean_close": [("no", "'no' is neither True nor False")],
    "started_at": [(5, "5 is neither a datetime"), (datetime(2026, 1, 1), "has no time zone")],
    "track": [(1, "1 is neither True nor False")],
    "keep_raw": [("", "'' is neither True nor False")],
    "keep_ids": [([], "[] is neither True nor False")],
    "compress": [("deflate", "'deflate' is neither True nor False")],
    "legacy": [(0, "0 is neither True nor False")],
    "max_size": [("1 MiB", "'1 MiB' is not a whole number"), (0, "it must be greater than 0")],
    "open_timeout": [(None, "None is no number of seconds"), (0, "it must be greater than 0")],
    "ping_interval": [
        ("never", "'never' is no duration"),
        (0, "ping_interval is 0: it must be greater than 0"),
    ],
    "ping_timeout": [({}, "{} is no number of seconds"), (-1, "it must be greater than 0")],
}
"""Of arguments that ``stream`` and ``follow`` take, and their twins without async."""
WRONG_FOR_STREAM: dict[str, list[tuple[Any, str]]] = {
    "flow_run_id": [
        ("etl", "'etl' is not the id of a flow run, or several; by name: rawlogs.follow"),
        (5, "5 is not the id of a flow run"),
        ([RUN, "x"], "'x'] is not the id of a flow run"),
    ],
    "flow": [(5, "5 is not the name of a flow"), (" ", "' ' is not the name of a flow")],
    "deployment": [
        (5, "5 is not FLOW/DEPLOYMENT or the id of a deployment"),
        ("", "'' is not FLOW/DEPLOYMENT"),
    ],
    "tag": [(["a"], "['a'] is not a tag")],
    "live_only": [("yes", "'yes' is neither True nor False")],
    "options": [(["audit"], "['audit'] is not a mapping of names to values")],
}
WRONG_FOR_FOLLOW: dict[str, list[tuple[Any, str]]] = {
    "run": [
        (None, "None is not the id, the name or the URL of a flow run"),
        (5, "5 is not the id"),
        (" ", "' ' is not the id"),
        (b"x", "b'x' is not the id"),
        ([RUN, 5], "5 is not the id"),
        ([], "no run is given"),
    ],
    "children": [("no", "'no' is neither True nor False"), (None, "None is neither True nor False")],
}
WRONG_FOR_CONNECT = {
    **{name: WRONG[name] for name in inspect.signature(rawlogs.connect).parameters if name in WRONG},
    "tap": [(5, "5 is not a function that takes a WireEvent")],
}
WRONG_FOR_SUBSCRIBERS: dict[str, list[tuple[Any, str]]] = {
    **{name: WRONG[name] for name in ("filter", "reconnect_on_clean_close", "on_notice", "clock", "api_key")},
    "reconnection_attempts": [
        ("3", "'3' is not a non-negative integer"),
        (-1, "-1 is not a non-negative integer"),
        (True, "True is not a non-negative integer"),
    ],
    "complete": [("no", "'no' is neither True nor False")],
    # An empty URL stands for none, as Prefect's has it.
    "api_url": [row for row in WRONG["api_url"] if row[0] != ""],
}


def access(make: Callable[..., Any]) -> dict[str, str]:
    """What each of them needs; over https, where the CA file counts."""
    return {"api_url": SAFE_URL, **({} if make is PrefectLogsSubscriber else {"api_key": "pnu_key"})}


def follow(run: Any = RUN, **arguments: Any) -> Any:
    return rawlogs.follow(run, **arguments)


def follow_sync(run: Any = RUN, **arguments: Any) -> Any:
    return rawlogs.follow_sync(run, **arguments)


TABLES: list[tuple[Callable[..., Any], dict[str, list[tuple[Any, str]]]]] = [
    (rawlogs.stream, {**WRONG, **WRONG_FOR_STREAM}),
    (rawlogs.stream_sync, {**WRONG, **WRONG_FOR_STREAM}),
    (follow, {**WRONG, **WRONG_FOR_FOLLOW}),
    (follow_sync, {**WRONG, **WRONG_FOR_FOLLOW}),
    (rawlogs.connect, WRONG_FOR_CONNECT),
    (PrefectLogsSubscriber, {k: v for k, v in WRONG_FOR_SUBSCRIBERS.items() if k != "api_key"}),
    (PrefectCloudLogsSubscriber, WRONG_FOR_SUBSCRIBERS),
]


@pytest.mark.parametrize(
    ("make", "name", "value", "text"),
    [
        pytest.param(make, name, value, text, id=f"{make.__name__}-{name}-{type(value).__name__}-{number}")
        for make, table in TABLES
        for name, rows in table.items()
        for number, (value, text) in enumerate(rows)
    ],
)
@pytest.mark.filterwarnings("ignore:options= is deprecated:DeprecationWarning")
def test_what_cannot_work_is_named_beside_what_is_expected(
    make: Callable[..., Any], name: str, value: Any, text: str
) -> None:
    with pytest.raises(rawlogs.ConfigError) as caught:
        make(**{**access(make), name: value})
    assert caught.value.setting == name
    assert name in caught.value.text
    assert text in caught.value.text
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "table"),
    [(make, table) for make, table in TABLES],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_the_table_has_every_argument(make: Callable[..., Any], table: dict[str, Any]) -> None:
    parameters = {
        follow: {"run", "children", *FollowArguments.__annotations__},
        follow_sync: {"run", "children", *FollowArguments.__annotations__},
        rawlogs.stream: StreamArguments.__annotations__,
        rawlogs.stream_sync: StreamArguments.__annotations__,
    }.get(make) or inspect.signature(make).parameters
    assert set(table) == set(parameters)


HOSTILE = [
    *(
        object(),
        object,
        len,
        (),
        [],
        [[]],
        {},
        {"x": object()},
        0,
        -1,
        2**70,
        2.5,
        float("nan"),
        1j,
        True,
        b"x",
    ),
    *("", " ", "x", "\0", "\ud800", "x" * 10_000, datetime.max, timedelta.min, NOW, RUN, Unprintable()),
]


@pytest.mark.parametrize(("make", "table"), TABLES, ids=lambda part: getattr(part, "__name__", ""))
@pytest.mark.filterwarnings("ignore:options= is deprecated:DeprecationWarning")
def test_any_value_is_accepted_or_refused_by_name(
    make: Callable[..., Any], table: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", URL)  # for a subscriber an empty api_url stands for none
    for name in table:
        for value in HOSTILE:
            try:
                make(**{**access(make), name: value})
            except rawlogs.ConfigError as error:
                assert name in error.text, (name, value, error)


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ({"since": "1h", "until": "2h"}, "since"),
        ({"transport": "ws", "options": {"transport": "poll"}}, "transport"),
        ({"since": "1h", "options": {"since": "2h"}}, "since"),
        ({"options": {"audit": "often"}}, "audit"),
        ({"options": {"retries": "3"}}, "retries"),
        ({"options": {"transport": "socket"}}, "transport"),
        ({"options": {"started_at": 5}}, "started_at"),
        ({"filter": {}, "level": "INFO"}, "filter"),
        ({"flow": "a", "tag": "b"}, "flow"),
        ({"tag": "b", "live_only": True}, "tag"),
        ({"deployment": "a/b", "flow_run_id": RUN}, "deployment"),
    ],
)
@pytest.mark.filterwarnings("ignore:options= is deprecated:DeprecationWarning")
@pytest.mark.parametrize("make", [rawlogs.stream, rawlogs.stream_sync])
def test_what_cannot_go_together_is_named(
    make: Callable[..., Any], arguments: dict[str, Any], setting: str
) -> None:
    with pytest.raises(rawlogs.ConfigError) as caught:
        make(api_url=URL, **arguments)
    assert caught.value.setting == setting
    assert setting in caught.value.text


@pytest.mark.parametrize("name", ["flow_run_id", "live_only", "flow", "deployment", "tag", "options"])
def test_follow_takes_no_other_choice_of_runs(name: str) -> None:
    with pytest.raises(TypeError, match=rf"follow\(\) got an unexpected keyword argument '{name}'"):
        follow(api_url=URL, **{name: RUN})


def test_ids_may_come_from_a_generator() -> None:
    logs = rawlogs.stream(api_url=URL, flow_run_id=(run for run in [RUN]), level="INFO")
    assert logs.selection.wire == {"level": {"ge_": 20}, "flow_run_id": {"any_": [str(RUN)]}}


@pytest.mark.parametrize("patterns", ["boom|bang", ["boom", "bang"], re.compile("boom|bang")])
def test_one_pattern_needs_no_list(patterns: Any) -> None:
    chosen = rawlogs.stream(api_url=URL, include=patterns).selection
    told = [chosen.accepts(log_of(message)) for message in ("a boom", "bang", "a", "o")]
    assert told == [True, True, False, False]


@pytest.mark.parametrize("make", [rawlogs.stream, rawlogs.stream_sync, partial(rawlogs.follow, "name")])
def test_an_unknown_argument_is_a_type_error(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="audits"):
        make(api_url=URL, audits=1)


def test_options_as_a_mapping_still_work_and_are_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match=r"such as audit=5\.0") as told:
        logs = rawlogs.stream(api_url=URL, options={"audit": "5s"})
    assert logs._options == rawlogs.stream(api_url=URL, audit=5.0)._options
    assert told[0].filename == __file__


def test_every_option_can_be_given_as_an_argument() -> None:
    parameters = set(inspect.signature(rawlogs.stream).parameters)
    assert {field.name for field in fields(Options)} - {"since_ago"} <= parameters | set(
        MoreOptions.__annotations__
    )
    assert set(StreamArguments.__annotations__) >= set(MoreOptions.__annotations__)
    words = set(re.findall(r"\w+", rawlogs.stream.__doc__ or ""))
    assert set(MoreOptions.__annotations__) <= words


@pytest.mark.filterwarnings("ignore:options= is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["audits", "since_ago", 5])
def test_an_unknown_option_is_named_beside_those_that_there_are(name: Any) -> None:
    with pytest.raises(rawlogs.ConfigError, match=f"unknown options: {name}") as caught:
        rawlogs.stream(api_url=URL, options={name: 1})
    assert "audit, " in str(caught.value.hint)
    assert "since_ago" not in str(caught.value.hint)


def test_every_option_has_a_type_that_is_checked() -> None:
    kinds = {str(field.type).partition(" | ")[0] for field in fields(Options)}
    assert kinds == {"bool", "int", "float", "datetime", "Transport"}


async def test_text_chooses_by_time() -> None:
    async with serving() as server:
        now = server.state.now()
        ages = {"old": 3 * HOUR, "in": 2 * HOUR, "young": HOUR / 2}
        server.store([{"message": name, "timestamp": now - age} for name, age in ages.items()])
        async with reading(server, since="150m", until="1h", follow=False) as reader:
            assert await reader.rest() == ["in"]


# Entered in a way that cannot work.


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (rawlogs.stream, r"write async with rawlogs\.stream.* with rawlogs\.stream_sync\(\.\.\.\) as logs"),
        (rawlogs.connect, r"write async with rawlogs\.connect\(\.\.\.\) as frames"),
        (PrefectLogsSubscriber, r"write async with get_logs_subscriber\(\) as subscriber"),
    ],
)
def test_with_instead_of_async_with_says_what_to_write(make: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence), make(api_url=URL):
        raise AssertionError("it was entered")


@pytest.mark.parametrize("make", [rawlogs.stream, rawlogs.connect, PrefectLogsSubscriber])
def test_without_a_loop_of_asyncio_it_says_what_to_write(make: Callable[..., Any]) -> None:
    entering = make(api_url=URL).__aenter__()
    with pytest.raises(
        RuntimeError, match=r"asyncio, and none is running: start with asyncio\.run\(main\(\)\)"
    ):
        entering.send(None)  # as trio would


def test_under_trio_the_stream_names_its_twin() -> None:
    with pytest.raises(
        RuntimeError, match=r"under trio.* with rawlogs\.stream_sync\(\.\.\.\) as logs in a thread"
    ):
        rawlogs.stream(api_url=URL).__aenter__().send(None)


@pytest.mark.parametrize("seconds", ["soon", None, float("nan"), True])
async def test_an_end_within_what_is_no_time_is_refused(seconds: Any) -> None:
    with pytest.raises(rawlogs.ConfigError, match=r"^seconds: ") as caught:
        await rawlogs.stream(api_url=URL).finish(seconds)
    assert caught.value.setting == "seconds"
