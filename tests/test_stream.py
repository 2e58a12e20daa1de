"""The stream, as its users see it: which logs it delivers, how it begins and ends, what it tells."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from streaming import DEADLINE, Reader, eventually, lists, reading, serving, within
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Blackhole, Close, Drop, Http, Serve
from rawlogs.wire.events import WireEvent
from rawlogs.wire.frames import AuthSuccess, LogFrame, UnknownFrame

RUN_1 = UUID("0d88f0a1-0000-4000-8000-000000000001")
RUN_2 = UUID("0d88f0a1-0000-4000-8000-000000000002")
TASK = UUID("0d88f0a1-0000-4000-8000-00000000000a")
HOUR = timedelta(hours=1)


# What is delivered.


async def test_live_logs_come_in_order_with_every_field() -> None:
    async with serving() as server, reading(server) as reader:
        stored = server.post(["one", "two"], level=30, name="my.app", flow_run_id=RUN_1, task_run_id=TASK)
        assert await reader.take(2) == ["one", "two"]
        log, row = reader.got[0], stored[0]
        assert (str(log.id), log.name, log.level, log.level_name) == (row["id"], "my.app", 30, "WARNING")
        assert (log.flow_run_id, log.task_run_id) == (RUN_1, TASK)
        assert log.timestamp.tzinfo is timezone.utc


async def test_without_since_only_what_comes_from_now_on_is_delivered() -> None:
    async with serving() as server:
        server.store("of the past", timestamp=server.state.now() - timedelta(seconds=1))
        server.store("just before")
        async with reading(server) as reader:
            server.post("now")
            server.store("lost live")
            assert set(await reader.take(2)) == {"now", "lost live"}
            assert set(await reader.finish()) == {"now", "lost live"}


async def test_since_lists_what_is_stored_and_goes_on_live_without_a_seam() -> None:
    async with serving() as server:
        now = server.state.now()
        server.store("too old", timestamp=now - 2 * HOUR)
        server.store([{"message": f"{n}", "timestamp": now - timedelta(minutes=9 - n)} for n in range(9)])
        async with reading(server, since=HOUR) as reader:
            server.post("live")
            assert await reader.take(10) == [*map(str, range(9)), "live"]
            assert len(await reader.finish()) == 10


async def test_tail_brings_the_newest_stored_logs_first() -> None:
    async with serving() as server:
        server.store([{"message": f"{n}"} for n in range(20)])
        async with reading(server, tail=3) as reader:
            server.post("live")
            assert await reader.take(4) == ["17", "18", "19", "live"]
            assert len(await reader.finish()) == 4


async def test_tail_counts_only_logs_that_pass_the_local_filter() -> None:
    async with serving() as server:
        server.store(["keep 1", *["noise"] * 450, "keep 2", *["noise"] * 450])
        async with reading(server, tail=2, include=["^keep"], follow=False) as reader:
            assert await reader.rest() == ["keep 1", "keep 2"]


async def test_tail_zero_is_a_stream_from_now_on() -> None:
    async with serving() as server:
        server.store("past")
        async with reading(server, tail=0) as reader:
            server.post("now")
            assert await reader.take() == ["now"]


async def test_no_follow_reads_what_is_stored_and_ends_without_a_socket() -> None:
    async with serving() as server:
        server.store([f"{n}" for n in range(450)])
        async with reading(server, follow=False) as reader:
            assert await reader.rest() == [f"{n}" for n in range(450)]
        assert server.connections == []
        assert reader.logs.stats.recovered == 450


async def test_until_in_the_past_ends_after_what_is_stored_before_it() -> None:
    async with serving() as server:
        now = server.state.now()
        server.store("in", timestamp=now - HOUR)
        server.store("out", timestamp=now - timedelta(minutes=1))
        async with reading(server, since=2 * HOUR, until=now - timedelta(minutes=2)) as reader:
            assert await reader.rest() == ["in"]


async def test_until_in_the_future_ends_the_stream_when_it_has_settled() -> None:
    async with serving() as server:
        until = server.state.now() + timedelta(seconds=4)
        async with reading(server, until=until) as reader:
            server.post(["live", {"message": "beyond", "timestamp": until + timedelta(seconds=1)}])
            server.store("lost live")
            assert set(await reader.rest()) == {"live", "lost live"}
            assert server.state.now() > until


LOGS: list[dict[str, Any]] = [
    {"message": "plain info", "level": 20, "name": "prefect.flow_runs", "flow_run_id": str(RUN_1)},
    {"message": "needle in hay", "level": 30, "flow_run_id": str(RUN_1), "task_run_id": str(TASK)},
    {"message": "needle alone", "level": 40, "name": "my.app", "flow_run_id": str(RUN_2)},
    {"message": "hay alone", "level": 10, "name": "my.other"},
    {"message": "exact 25", "level": 25, "name": "prefect.task_runs", "task_run_id": str(TASK)},
]
FILTERS: list[tuple[str, dict[str, Any], set[int]]] = [
    ("no filter", {}, {0, 1, 2, 3, 4}),
    ("level by name", {"level": "WARNING"}, {1, 2}),
    ("level by number", {"level": 25}, {1, 2, 4}),
    ("level range", {"level": "INFO", "max_level": "WARNING"}, {0, 1, 4}),
    ("one run", {"flow_run_id": RUN_1}, {0, 1}),
    ("several runs, as text", {"flow_run_id": [str(RUN_1), str(RUN_2)]}, {0, 1, 2}),
    ("no run at all", {"flow_run_id": []}, set()),
    ("task run", {"task_run_id": TASK}, {1, 4}),
    ("text", {"text": "needle"}, {1, 2}),
    ("text without", {"text": "needle -hay"}, {2}),
    ("text in the logger name", {"text": "other"}, {3}),
    ("include", {"include": ["^needle", "25$"]}, {1, 2, 4}),
    ("exclude", {"exclude": ["needle", "plain"]}, {3, 4}),
    ("include and exclude", {"include": ["needle"], "exclude": ["hay"]}, {2}),
    ("logger glob", {"logger": "my.*"}, {2, 3}),
    ("logger globs", {"logger": ["prefect.task*", "my.app"]}, {2, 4}),
    ("filter as a dict", {"filter": {"level": {"le_": 25}, "task_run_id": {"is_null_": True}}}, {0, 3}),
    ("exact levels", {"filter": {"level": {"any_": [10, "ERROR"]}}}, {2, 3}),
    (
        "or",
        {"filter": {"operator": "or_", "level": {"ge_": 40}, "flow_run_id": {"any_": [str(RUN_1)]}}},
        {0, 1, 2},
    ),
    (
        "or with text",
        {"filter": {"operator": "or_", "text": {"query": "exact"}, "level": {"le_": 10}}},
        {3, 4},
    ),
    ("and with text", {"filter": {"text": {"query": "hay"}, "level": {"ge_": 20}}}, {1}),
    ("filter model", {"filter": rawlogs.LogFilter(level=rawlogs.LogFilterLevel(ge_=40))}, {2}),
]


@pytest.mark.parametrize(("arguments", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FILTERS])
async def test_a_filter_chooses_the_same_logs_live_and_listed(
    arguments: dict[str, Any], expected: set[int]
) -> None:
    wanted = [LOGS[n]["message"] for n in sorted(expected)]
    async with serving() as server:
        async with reading(server, live_only=True, **arguments) as live:
            server.post(LOGS)
            assert await live.take(len(wanted)) == wanted
            assert await live.finish() == wanted
        assert server.requests == []
        async with reading(server, follow=False, **arguments) as listed:
            assert await listed.rest() == wanted
        async with reading(server, since=HOUR, **arguments) as both:
            await both.take(len(wanted))
            assert len(await both.finish()) == len(wanted)


async def test_a_time_range_in_the_filter_bounds_the_stream() -> None:
    async with serving() as server:
        now = server.state.now()
        moments = {"before": now - 2 * HOUR, "in": now - HOUR, "after": now - timedelta(minutes=1)}
        server.store([{"message": name, "timestamp": moment} for name, moment in moments.items()])
        chosen = {"timestamp": {"after_": now - 1.5 * HOUR, "before_": now - 0.5 * HOUR}}
        async with reading(server, filter=chosen, follow=False) as reader:
            assert await reader.rest() == ["in"]


async def test_the_socket_and_the_list_are_asked_for_the_same_and_never_for_text_or_a_time_range() -> None:
    chosen = {"level": {"ge_": 30}, "text": {"query": "x"}, "timestamp": {"after_": "2020-01-01T00:00:00Z"}}
    async with serving() as server, reading(server, filter=chosen):
        await server.until(lambda: lists(server))
        assert server.connections[0].filter == {"level": {"ge_": 30}}
        for body in lists(server):
            assert {part for part in body["logs"] if part != "timestamp"} == {"level"}


async def test_batches_are_the_same_logs_as_lists() -> None:
    async with serving() as server, reading(server) as reader:
        server.post([f"{n}" for n in range(300)])
        found: list[str] = []
        async for batch in reader.logs.batches():
            assert batch
            found += [log.message for log in batch]
            if len(found) == 300:
                break
        assert sorted(found, key=int) == [f"{n}" for n in range(300)]


async def test_keep_raw_hands_on_the_frame_as_it_came() -> None:
    async with serving() as server, reading(server, live_only=True, keep_raw=True) as reader:
        row = server.post("x")[0]
        await reader.take()
        frame = reader.got[0].raw
        assert frame is not None
        assert frame.startswith(b'{"type":"log","log":{') and row["id"].encode() in frame


# Settings that decide how it is read.


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(Behaviour(auth_string="admin:pass"), id="auth string"),
        pytest.param(Behaviour(api_key="pnu_key"), id="api key"),
        pytest.param(Behaviour(csrf=True), id="csrf"),
        pytest.param(Behaviour(base_path="/deep/down/api"), id="base path"),
        pytest.param(Behaviour(page_limit=7), id="small pages"),
        pytest.param(Behaviour(version="3.4.7"), id="3.4.7"),
        pytest.param(Behaviour(version="3.5.0"), id="3.5.0"),
        pytest.param(Behaviour(clock_skew=3600.0), id="server's clock ahead"),
        pytest.param(Behaviour(clock_skew=-3600.0), id="server's clock behind"),
        pytest.param(Behaviour(unstable_ties=True), id="unstable ties"),
        pytest.param(Behaviour(commit_delay=0.02), id="rows late"),
    ],
)
async def test_every_kind_of_server_gives_the_same_stream(behaviour: Behaviour) -> None:
    async with serving(behaviour) as server:
        server.store("past")
        async with reading(server) as reader:
            server.post([f"{n}" for n in range(300)])
            server.store("lost live")
            assert sorted(await reader.take(301)) == sorted([*(f"{n}" for n in range(300)), "lost live"])
            assert len(await reader.finish()) == 301


@pytest.mark.parametrize("option", ["compress", "legacy"])
async def test_ways_of_connecting(option: str) -> None:
    async with serving() as server, reading(server, **{option: True}) as reader:
        server.post("x")
        assert await reader.take() == ["x"]
        connection = server.connections[0]
        assert ("sec-websocket-extensions" in connection.headers) == (option == "compress")
        assert (connection.auth is None) == (option == "legacy")


async def test_poll_reads_the_list_alone_and_often() -> None:
    async with serving() as server, reading(server, transport="poll", audit=1000.0) as reader:
        for message in ("one", "two"):
            await server.until(lambda: len(lists(server)) >= 2)
            server.post(message)
            assert await reader.take() == [message]
        assert server.connections == []
        assert reader.logs.stats.live == 0


async def test_live_only_sends_no_rest_request_and_dedupes_across_connections() -> None:
    async with serving() as server, reading(server, live_only=True) as reader:
        server.publish("one", id="0d88f0a1-0000-7000-8000-000000000001")
        await reader.take()
        await server.drop_all()
        await server.until_subscribed()
        server.publish("one", id="0d88f0a1-0000-7000-8000-000000000001")
        server.publish("two")
        assert await reader.take() == ["two"]
        assert server.requests == []
        assert reader.logs.stats.duplicates == 1


async def test_live_only_says_how_many_logs_a_slow_reader_lost() -> None:
    wide, options = Behaviour(queue=10_000), {"buffer": 100}
    async with serving(wide) as server, reading(server, live_only=True, **options) as reader:
        server.post([f"{n}" for n in range(1000)])
        await server.until(lambda: len(server.sent[0]) == 1000)
        server.post("the last")
        await reader.until_noted("behind")
        lost = sum(notice.facts["lost"] for notice in reader.notices if notice.kind == "behind")
        assert 0 < lost <= 1001 - len(await reader.finish())
        assert reader.logs.stats.overflows > 0


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        pytest.param(Behaviour(streaming=False), "off, which is Prefect's default", id="streaming off"),
        pytest.param(Behaviour(publishing=False), "off, which is Prefect's default", id="publishing off"),
        pytest.param(Behaviour(version="3.4.6"), "403", id="before logs/out"),
    ],
)
async def test_a_server_that_does_not_stream_is_followed_by_its_list(behaviour: Behaviour, told: str) -> None:
    async with serving(behaviour) as server, reading(server) as reader:
        for message in ("one", "two", "three"):
            server.post(message)
            assert await reader.take() == [message]
        assert reader.kinds == ["live_off"]
        assert told in reader.notices[0].text
        assert "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED" in reader.notices[0].text


async def test_transport_ws_insists_on_the_socket() -> None:
    async with serving(Behaviour(version="3.4.6")) as server:
        with pytest.raises(rawlogs.UpgradeRefused, match="403"):
            async with reading(server, transport="ws"):
                pass


async def test_an_old_socketless_server_is_tried_once_not_thirty_times() -> None:
    async with serving(Behaviour(version="3.4.6")) as server, reading(server) as reader:
        server.post("x")
        await reader.take()
        assert len(server.connections) == 1


# What is told beside the logs.


async def test_the_diary_of_a_reconnect() -> None:
    async with serving() as server, reading(server) as reader:
        server.post("before")
        await reader.take()
        await server.drop_all()
        server.store("meanwhile")
        assert await reader.take() == ["meanwhile"]
        await reader.until_noted("gap_closed")
        assert reader.kinds == ["connected", "lost", "retrying", "connected", "gap_opened", "gap_closed"]
        closed = reader.notices[-1]
        assert closed.facts == {"recovered": 1}
        assert all(notice.at.tzinfo is not None for notice in reader.notices)


async def test_the_diary_of_a_burst() -> None:
    async with serving() as server, reading(server, live_only=False) as reader:
        await server.until(lambda: lists(server))
        server.post([f"{n}" for n in range(300)])
        await reader.take(300)
        await reader.until_noted("gap_closed")
        assert reader.kinds == ["connected", "gap_opened", "gap_closed"]
        assert reader.notices[-1].facts == {"recovered": 44}
        stats = reader.logs.stats
        assert (stats.delivered, stats.live, stats.recovered, stats.open_gaps) == (300, 256, 44, 0)


async def test_a_quiet_stream_tells_nothing_but_that_it_is_connected() -> None:
    async with serving() as server, reading(server) as reader:
        await server.until(lambda: len(lists(server)) >= 4)
        assert reader.kinds == ["connected"]
        assert reader.logs.stats.open_gaps == 0


async def test_settings_and_filter_notes_are_told_once() -> None:
    async with serving() as server, reading(server, api_url=f"{server.api_url}/", flow_run_id=[]) as reader:
        warnings = [notice.text for notice in reader.notices if notice.kind == "warning"]
        assert "flow_run_id.any_ is empty" in "".join(warnings)
        assert len(warnings) == len(set(warnings))


async def test_repr_shows_how_it_reads_and_no_secret() -> None:
    async with serving(Behaviour(auth_string="admin:sesame")) as server, reading(server) as reader:
        assert "live" in repr(reader.logs) and server.api_url in repr(reader.logs)
        assert "sesame" not in repr(reader.logs) + repr(reader.logs.settings)


# How many requests it costs.


async def test_an_idle_stream_costs_one_request_an_audit() -> None:
    async with serving() as server, reading(server, audit=1.0) as reader:
        server.post("x")
        await reader.take()
        began, requests = server.state.now(), len(lists(server))
        await server.until(lambda: server.state.now() - began > timedelta(seconds=10))
        assert len(lists(server)) - requests <= 11


async def test_a_refused_reconnect_costs_no_request() -> None:
    async with serving() as server, reading(server, audit=1000.0) as reader:
        await server.until(lambda: lists(server))
        requests = len(server.requests)
        server.fault("logs", Http(503), times=4)
        await server.drop_all()
        await server.until(lambda: reader.kinds.count("retrying") >= 4)
        assert len(server.requests) == requests
        await server.until_subscribed()


# Beginning.


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param({"retries": -1}, "retries", id="negative retries"),
        pytest.param({"audit": 0}, "audit", id="audit of zero"),
        pytest.param({"buffer": 0}, "buffer", id="no buffer"),
        pytest.param({"overlap": -1}, "overlap", id="negative overlap"),
        pytest.param({"transport": "carrier pigeon"}, "transport", id="unknown transport"),
        pytest.param({"since": datetime(2026, 1, 1)}, "since", id="naive since"),
        pytest.param({"tail": -1}, "tail", id="negative tail"),
        pytest.param({"live_only": True, "tail": 3}, "tail", id="live only and tail"),
        pytest.param({"live_only": True, "transport": "poll"}, "live_only", id="live only by polling"),
        pytest.param({"level": "LOUD"}, "LOUD", id="unknown level"),
        pytest.param({"flow_run_id": "not-a-run"}, "flow_run_id", id="bad id"),
        pytest.param({"include": ["("]}, "include", id="bad regex"),
        pytest.param({"filter": {"name": {"any_": ["x"]}}}, "logger", id="filter on a name"),
        pytest.param({"filter": {}, "level": 20}, "level", id="filter and parts"),
        pytest.param({"text": "x" * 201}, "200", id="text too long"),
        pytest.param(
            {"since": datetime.now(timezone.utc), "until": datetime(2020, 1, 1, tzinfo=timezone.utc)},
            "since",
            id="since after until",
        ),
    ],
)
async def test_what_cannot_work_is_said_before_anything_is_opened(
    arguments: dict[str, Any], named: str
) -> None:
    async with serving() as server:
        with pytest.raises(rawlogs.ConfigError, match=named):
            Reader(server, **arguments)
        assert not server.requests and not server.connections


async def test_a_stream_without_an_api_url_names_the_setting() -> None:
    with pytest.raises(rawlogs.ConfigError, match="PREFECT_API_URL"):
        rawlogs.stream()


async def test_nobody_there_is_a_connect_error_at_once() -> None:
    async with serving() as server:
        server.refuse()
        with pytest.raises(rawlogs.ConnectError, match="PREFECT_API_URL") as refused:
            async with reading(server):
                pass
        assert refused.value.phase == "tcp"


@pytest.mark.parametrize("arguments", [{}, {"transport": "poll"}, {"follow": False}, {"live_only": True}])
async def test_wait_waits_for_a_server_that_starts_later(arguments: Mapping[str, Any]) -> None:
    async with serving() as server:
        server.store("stored")
        server.refuse()
        reader = Reader(server, **arguments, wait=True)
        entering = asyncio.ensure_future(reader.logs.__aenter__())
        await asyncio.sleep(0.1)  # nothing may happen meanwhile
        assert not entering.done()
        server.refuse(False)
        await within(entering)
        await reader.logs.__aexit__(None, None, None)


async def test_a_socket_without_rest_streams_and_says_that_gaps_cannot_be_filled() -> None:
    async with serving() as server:
        server.fault("rest", Http(503))
        async with reading(server) as reader:
            server.post("live")
            assert await reader.take() == ["live"]
            await reader.until_noted("history_off")
            assert reader.logs.stats.open_gaps == 1
            server.store("lost live")
            server.heal()
            assert await reader.take() == ["lost live"]
            await server.until(lambda: reader.logs.stats.open_gaps == 0)


async def test_entering_twice_is_refused() -> None:
    async with serving() as server, reading(server) as reader:
        with pytest.raises(RuntimeError, match="entered once"):
            await reader.logs.__aenter__()


async def test_reading_before_entering_is_refused() -> None:
    async with serving() as server:
        with pytest.raises(RuntimeError, match="enter the stream first"):
            await Reader(server).logs.__anext__()


async def test_two_tasks_may_not_read_one_stream() -> None:
    async with serving() as server, reading(server) as reader:
        first = asyncio.ensure_future(reader.take())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one task"):
            await reader.logs.__anext__()
        server.post("x")
        assert await first == ["x"]


async def test_a_stream_belongs_to_one_event_loop() -> None:
    async with serving() as server, reading(server) as reader:
        problems: list[str] = []

        def elsewhere() -> None:
            try:
                asyncio.run(reader.logs.next_batch())
            except RuntimeError as error:
                problems.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join, DEADLINE)
        assert "event loop" in problems[0]


# Ending.


def tasks() -> set[str]:
    """The coroutines of the stream's tasks that are alive."""
    return {
        name
        for task in asyncio.all_tasks()
        if (name := getattr(task.get_coro(), "__qualname__", "")).startswith(
            ("Supervisor", "Auditor", "Schedule", "RunEvents", "Follower")
        )
    }


async def test_leaving_closes_the_socket_with_1000_and_leaves_no_task() -> None:
    async with serving() as server:
        async with reading(server) as reader:
            server.post("x")
            await reader.take()
            assert tasks()
        await server.until(lambda: server.connections[0].state == "ended")
        assert server.connections[0].close_code == 1000
        assert tasks() == set()


async def test_a_failed_entry_leaves_no_task_and_can_be_left() -> None:
    async with serving(Behaviour(auth_string="a:b")) as server:
        reader = Reader(server, auth_string="a:wrong")
        with pytest.raises(rawlogs.AuthError):
            await reader.logs.__aenter__()
        await reader.logs.__aexit__(None, None, None)
        assert tasks() == set()


async def test_breaking_out_and_coming_back_loses_nothing() -> None:
    async with serving() as server, reading(server) as reader:
        server.post(["one", "two", "three"])
        async for log in reader.logs:
            assert log.message == "one"
            break
        assert await reader.take(2) == ["two", "three"]


async def test_what_the_consumer_raises_goes_through_and_everything_is_closed() -> None:
    async with serving() as server:
        with pytest.raises(ZeroDivisionError):
            async with reading(server):
                raise ZeroDivisionError
        await server.until(lambda: server.subscribed == 0)
        assert tasks() == set()


async def test_cancelling_a_wait_for_the_next_log_loses_nothing() -> None:
    async with serving() as server, reading(server) as reader:
        for n in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.logs.__anext__(), 0.002)
            server.post(f"{n}")
            assert await reader.take() == [f"{n}"]


async def test_an_error_comes_after_the_logs_that_came_before_it() -> None:
    async with serving() as server:
        server.script([Serve(2), Close(1002, "Expected 'filter' message")], connection=0)
        async with reading(server) as reader:
            server.post(["one", "two"])
            await server.until(lambda: server.connections[0].state == "ended")
            assert await reader.take(2) == ["one", "two"]
            with pytest.raises(rawlogs.FilterRejected):
                await reader.take()


async def test_an_error_is_raised_again_when_asked_again() -> None:
    async with serving() as server:
        server.script([Serve(0), Close(1002)])
        async with reading(server) as reader:
            for _ in range(2):
                with pytest.raises(rawlogs.FilterRejected):
                    await reader.take()


async def test_finish_lists_once_more_and_ends() -> None:
    async with serving() as server, reading(server, audit=1000.0) as reader:
        await server.until(lambda: lists(server))
        server.store("nobody told")
        assert await reader.finish() == ["nobody told"]
        assert reader.logs.stats.open_gaps == 0
        await server.until(lambda: server.subscribed == 0)


async def test_finish_looks_again_at_what_was_listed_a_short_while_ago() -> None:
    """A log that was stamped before that list and stored after it, and that nothing streamed."""
    async with serving() as server, reading(server, audit=1000.0) as reader:
        before = server.state.now() - timedelta(seconds=1)
        await server.until(lambda: lists(server))
        rows = server.post("live")
        await reader.take()
        await server.close_all(1012)
        await reader.until_noted("gap_closed")
        rows += server.store({"message": "late", "timestamp": before})
        await reader.finish()
        assert sorted(reader.messages) == ["late", "live"]


async def test_finish_gives_up_after_its_seconds_and_counts_an_open_gap() -> None:
    async with serving() as server, reading(server) as reader:
        server.fault("rest", Blackhole())
        await within(reader.logs.finish(0.1))
        assert await reader.rest() == []
        assert reader.logs.stats.open_gaps == 1


async def test_giving_up_names_the_last_error_and_the_tries() -> None:
    async with serving() as server, reading(server, transport="ws", retries=2) as reader:
        server.refuse()
        await server.drop_all()
        with pytest.raises(rawlogs.GaveUp, match="2 tries") as gave_up:
            await reader.rest()
        assert gave_up.value.attempts == 2
        assert isinstance(gave_up.value.__cause__, rawlogs.ConnectError)


async def test_a_list_that_answers_again_cuts_the_pause_of_the_socket_short() -> None:
    async with serving() as server, reading(server, audit=0.5, retries=None) as reader:
        await server.until(lambda: lists(server))
        server.fault("logs", Http(503))
        server.fault("rest", Http(503), path="/logs/filter")
        await server.drop_all()
        await server.until(lambda: "history_off" in reader.kinds and reader.pauses[-1] > 20.0)
        tried, began = len(reader.pauses), server.state.now()
        server.heal()
        await server.until(lambda: server.subscribed)
        assert len(reader.pauses) == tried
        assert server.state.now() - began < timedelta(seconds=reader.pauses[-1] * 0.75)


async def test_retries_without_end_outlast_many_refusals() -> None:
    async with serving() as server, reading(server, retries=None) as reader:
        server.fault("logs", Http(503), times=4)
        await server.drop_all()
        server.store("kept")
        assert await reader.take() == ["kept"]
        await server.until_subscribed()


# Going on later: a stream's position is what its reader has flushed.


async def test_a_position_covers_what_was_committed_and_no_more() -> None:
    async with serving() as server:
        async with reading(server, track=True) as reader:
            server.post(["flushed", "not flushed"])
            await reader.take(1)
            reader.logs.commit()
            await reader.take(1)
            low, entries = reader.logs.position()
        assert low <= reader.got[1].timestamp
        ids = {log_id for _, log_id in entries}
        assert reader.got[0].id.hex in ids
        assert reader.got[1].id.hex not in ids


async def test_a_position_stays_before_what_was_fetched_and_not_read_yet() -> None:
    async with serving() as server:
        server.store([{"message": f"{n}"} for n in range(3)])
        options = {"track": True, "overlap": 1.0, "settle": 0.1, "audit": 0.5}
        async with reading(server, since=HOUR, **options) as reader:
            await reader.take()
            reader.logs.commit()
            await server.until(
                lambda: reader.logs._context.ledger.low_water > reader.got[0].timestamp + HOUR / 600
            )
            low, _ = reader.logs.position()
            assert await reader.take(2) == ["1", "2"]
            assert low <= reader.got[1].timestamp


async def test_batches_begin_with_what_was_fetched_and_not_read_yet() -> None:
    async with serving() as server:
        server.store(["one", "two", "three"])
        async with reading(server, follow=False) as reader:
            await reader.take()
            assert [[log.message for log in batch] async for batch in reader.logs.batches()] == [
                ["two", "three"]
            ]


async def test_a_position_needs_track() -> None:
    async with serving() as server, reading(server) as reader:
        with pytest.raises(RuntimeError, match="track"):
            reader.logs.position()


# One conversation as it is.


async def test_connect_yields_frames_until_the_server_closes() -> None:
    async with serving() as server:
        events: list[WireEvent] = []
        chosen = {"level": {"ge_": 20}, "timestamp": {"after_": "2020-01-01T00:00:00Z"}}
        async with rawlogs.connect(api_url=server.api_url, filter=chosen, tap=events.append) as frames:
            await server.until_subscribed()
            server.post(["one", "two"])
            server.send({"type": "news"})
            found = []
            async for frame in frames:
                found.append(frame)
                if isinstance(frame, UnknownFrame):
                    closing = asyncio.ensure_future(server.close_all(1000))
            await closing
        assert [frame.log.message for frame in found if isinstance(frame, LogFrame)] == ["one", "two"]
        assert [type(frame) for frame in found] == [LogFrame, LogFrame, UnknownFrame]
        assert server.connections[0].envelope == {
            "type": "filter",
            "filter": {"operator": "and_", **chosen},
        }
        assert events
        assert not any(isinstance(frame, AuthSuccess) for frame in found)


async def test_connect_raises_what_an_unclean_end_means_and_does_not_reconnect() -> None:
    async with serving() as server:
        server.script([Serve(1), Drop()])
        async with rawlogs.connect(api_url=server.api_url) as frames:
            await server.until_subscribed()
            server.post("x")
            with pytest.raises(rawlogs.ConnectionLost) as lost:
                async for _ in frames:
                    pass
        assert lost.value.code == 1006
        assert len(server.connections) == 1


async def test_connect_refuses_a_filter_that_the_server_would_reject() -> None:
    with pytest.raises(rawlogs.ConfigError, match="levle"):
        rawlogs.connect(api_url="http://127.0.0.1:1/api", filter={"levle": 1})


async def test_connect_wants_to_be_entered_first() -> None:
    with pytest.raises(RuntimeError, match="enter the connection first"):
        await rawlogs.connect(api_url="http://127.0.0.1:1/api").__aiter__().__anext__()


async def test_the_public_names_are_all_there() -> None:
    assert all(getattr(rawlogs, name) is not None for name in rawlogs.__all__)
    assert set(rawlogs.__all__) < set(dir(rawlogs))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = rawlogs.nonsense


async def test_eight_streams_of_one_server_do_not_disturb_each_other() -> None:
    async with serving() as server:
        readers = [Reader(server, level=10 * (n % 4 + 1)) for n in range(8)]
        for reader in readers:
            await reader.logs.__aenter__()
        await server.until_subscribed(8)
        server.post([{"message": f"{level}", "level": level} for level in (10, 20, 30, 40)])
        for n, reader in enumerate(readers):
            assert await reader.take(4 - n % 4) == [f"{level}" for level in (10, 20, 30, 40)][n % 4 :]
        for reader in readers:
            await reader.logs.__aexit__(None, None, None)
        await eventually(lambda: server.subscribed == 0)


async def test_the_machine_s_own_clock_is_the_default() -> None:
    quick = {"audit": 0.2, "settle": 0.05}
    async with FakeServer() as server, reading(server, clock=None, **quick) as reader:
        server.store("listed")
        assert await reader.take() == ["listed"]
