"""The arguments of ``rawlogs.stream``: what is accepted, and what is refused by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from streaming import no_settings as no_settings
from streaming import reading, serving

import rawlogs
from rawlogs.api import StreamArguments
from rawlogs.arguments import MoreOptions, options_of
from rawlogs.compat.prefect import PrefectLogsSubscriber
from rawlogs.options import Options

URL = "http://127.0.0.1:4200/api"
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


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


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        ({"since": "soon"}, "since"),
        ({"since": timedelta(days=10**6)}, "since"),
        ({"since": 1795174216}, "since"),
        ({"since": datetime(2026, 11, 20)}, "since"),
        ({"until": timedelta.max}, "until"),
        ({"until": "nan"}, "until"),
        ({"since": "1h", "until": "2h"}, "since"),
        ({"tail": "20"}, "tail"),
        ({"tail": 1.5}, "tail"),
        ({"follow": "no"}, "follow"),
        ({"live_only": 1}, "live_only"),
        ({"transport": ["ws"]}, "transport"),
        ({"transport": "socket"}, "transport"),
        ({"options": {"transport": "socket"}}, "transport"),
        ({"transport": "ws", "options": {"transport": "poll"}}, "transport"),
        ({"since": "1h", "options": {"since": "2h"}}, "since"),
        ({"options": {"audit": "often"}}, "audit"),
        ({"audit": "often"}, "audit"),
        ({"options": {"audit": float("nan")}}, "audit"),
        ({"audit": float("nan")}, "audit"),
        ({"options": {"overlap": float("inf")}}, "overlap"),
        ({"overlap": float("inf")}, "overlap"),
        ({"options": {"overlap": None}}, "overlap"),
        ({"overlap": None}, "overlap"),
        ({"options": {"overlap": -1}}, "overlap"),
        ({"overlap": -1}, "overlap"),
        ({"options": {"retries": "3"}}, "retries"),
        ({"retries": "3"}, "retries"),
        ({"options": {"buffer": True}}, "buffer"),
        ({"buffer": True}, "buffer"),
        ({"options": {"strict": "yes"}}, "strict"),
        ({"strict": "yes"}, "strict"),
        ({"options": {"started_at": 5}}, "started_at"),
        ({"started_at": 5}, "started_at"),
        ({"options": ["audit"]}, "options"),
    ],
)
@pytest.mark.filterwarnings("ignore:options= is deprecated:DeprecationWarning")
@pytest.mark.parametrize("make", [rawlogs.stream, rawlogs.stream_sync])
def test_what_cannot_work_is_named(make: Callable[..., Any], arguments: dict[str, Any], setting: str) -> None:
    with pytest.raises(rawlogs.ConfigError) as caught:
        make(api_url=URL, **arguments)
    assert caught.value.setting == setting
    assert setting in caught.value.text


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
        now = server.world.now()
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
