"""What can go wrong with a live stream, one test a fault: the numbers are those of docs/faults.md.

Every test breaks something, posts logs meanwhile, and asks for the same: all of them, once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from streaming import QuickClock, Reader, lists, reading, serving, within
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.cursor import Resume
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import (
    Abort,
    AuthFailure,
    Blackhole,
    Close,
    CutAfter,
    Drop,
    Duplicate,
    EmptyPage,
    ExpectAuth,
    ExpectFilter,
    Html,
    Http,
    Lose,
    NoSubprotocol,
    Raw,
    Redirect,
    Reorder,
    Send,
    Serve,
    Sleep,
    Slice,
    Stall,
    Step,
    Truncate,
    WrongAccept,
)

MINUTE = timedelta(minutes=1)
SILENT = {"audit": 1000.0}
"""Options of a stream in which no routine audit repairs what the test is about."""
QUICK_PINGS = {"ping_interval": 0.1, "ping_timeout": 0.1}


def ids(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(row["id"] for row in rows)


def got(reader: Reader) -> list[str]:
    return sorted(str(log.id) for log in reader.got)


def frame(**fields: Any) -> dict[str, Any]:
    """A log frame as a server sends it."""
    log = {
        "id": str(uuid4()),
        "created": None,
        "updated": None,
        "name": "n",
        "level": 20,
        "message": "m",
        "timestamp": "2026-01-01T00:00:00Z",
        "flow_run_id": None,
        "task_run_id": None,
        **fields,
    }
    return {"type": "log", "log": {name: value for name, value in log.items() if value is not ...}}


def text_frame(payload: bytes, opcode: int = 0x1, *, final: bool = True) -> bytes:
    """The bytes of one short unmasked frame."""
    assert len(payload) < 126
    return bytes([(0x80 if final else 0) | opcode, len(payload)]) + payload


def subscribed(server: FakeServer, number: int) -> bool:
    """Whether the client's connection of that number (from 0) is the one that is up."""
    connections = server.connections
    return len(connections) == number + 1 and connections[number].state == "subscribed"


# B and C. What happens to a stream that had connected before; the first connection is in test_connection.py.


@pytest.mark.fault(10)
async def test_a_name_with_a_dead_address_first_is_reached_by_the_next_one() -> None:
    # localhost may be ::1 first, where nobody listens.
    async with serving() as server:
        url = server.api_url.replace("127.0.0.1", "localhost")
        async with reading(server, api_url=url) as reader:
            server.post("x")
            assert await reader.take() == ["x"]


@pytest.mark.fault(11)
async def test_a_refused_reconnect_is_tried_again() -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        server.refuse()
        await server.drop_all()
        rows = server.store("meanwhile")
        await server.until(lambda: reader.kinds.count("retrying") >= 3)
        server.refuse(False)
        await reader.take()
        assert got(reader) == ids(rows)


@pytest.mark.fault(22, 23, 24)
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_after_a_success_a_refusal_is_forgiven_twice(status: int) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        server.fault("logs", Http(status), times=2)
        await server.drop_all()
        rows = server.store("meanwhile")
        await server.until(lambda: subscribed(server, 3))
        rows += server.post("after")
        await reader.take(2)
        assert got(reader) == ids(rows)


@pytest.mark.fault(24)
async def test_the_third_refusal_ends_the_socket_and_the_list_goes_on() -> None:
    async with serving() as server, reading(server) as reader:
        server.fault("logs", Http(404))
        await server.drop_all()
        rows = server.store("meanwhile")
        await reader.until_noted("live_off")
        rows += server.post("after")
        await reader.take(2)
        assert got(reader) == ids(rows)
        assert len(server.connections) == 1 + 3


@pytest.mark.fault(24)
async def test_or_the_stream_where_only_the_socket_will_do() -> None:
    async with serving() as server, reading(server, transport="ws") as reader:
        server.fault("logs", Http(404))
        await server.drop_all()
        with pytest.raises(rawlogs.UpgradeRefused, match="404"):
            await reader.rest()


@pytest.mark.fault(26)
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        pytest.param("2", 2.0, 3.0, id="seconds"),
        pytest.param("-5", 0.0, 1.0, id="negative"),
        pytest.param("soon", 0.0, 1.0, id="garbage"),
        pytest.param("1e9", 300.0, 301.0, id="huge"),
    ],
)
async def test_retry_after_of_a_refused_upgrade_is_a_floor(value: str, least: float, most: float) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        server.fault("logs", Http(429, {"Retry-After": value}), times=1)
        await server.drop_all()
        await server.until(lambda: reader.kinds.count("retrying") == 2)
        delay = [notice.facts["delay"] for notice in reader.notices if notice.kind == "retrying"][1]
        assert least <= delay <= most


@pytest.mark.fault(27)
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_a_server_that_is_not_ready_is_tried_again_at_the_start_too(status: int) -> None:
    async with serving() as server:
        server.fault("logs", Http(status), times=1)
        async with reading(server) as reader:
            server.post("x")
            assert await reader.take() == ["x"]
            assert len(server.connections) == 2


@pytest.mark.fault(18, 28, 29, 31)
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(WrongAccept(), id="28 wrong accept key"),
        pytest.param(NoSubprotocol(), id="29 no subprotocol"),
        pytest.param(Html(), id="18 a login page"),
        pytest.param(Raw(b"SSH-2.0-x\r\n\r\n"), id="18 another protocol"),
        pytest.param(Stall("upgrade"), id="31 no answer"),
    ],
)
async def test_a_bad_upgrade_later_is_no_end(step: Step) -> None:
    options = {"open_timeout": 0.2, **SILENT}
    async with serving() as server, reading(server, **options) as reader:
        server.fault("logs", step, times=1)
        await server.drop_all()
        rows = server.store("meanwhile")
        await reader.take()
        assert got(reader) == ids(rows)
        rows += server.post("after")
        await reader.take()
        assert got(reader) == ids(rows)


# D. The handshake of two messages.


@pytest.mark.fault(32)
async def test_auth_failure_is_fatal_with_the_server_s_reason() -> None:
    async with serving() as server:
        server.script([AuthFailure("key expired")])
        with pytest.raises(rawlogs.AuthError, match="Unable to authenticate: key expired") as refused:
            async with reading(server):
                pass
        assert refused.value.reason == "key expired"
        assert len(server.connections) == 1


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("given", "reason"),
    [("admin:wrong", "Invalid token"), (None, "Auth required but no token provided")],
)
async def test_close_1008_is_fatal_with_its_reason(given: str | None, reason: str) -> None:
    async with serving(Behaviour(auth_string="admin:right")) as server:
        with pytest.raises(rawlogs.AuthError, match=reason) as refused:
            async with reading(server, auth_string=given):
                pass
        assert refused.value.code == 1008
        assert "PREFECT_API_AUTH_STRING" in str(refused.value)
        assert "wrong" not in str(refused.value)
        assert len(server.connections) == 1


@pytest.mark.fault(34)
async def test_close_1008_without_a_reason_hints_at_key_and_auth_string() -> None:
    async with serving() as server:
        server.script([ExpectAuth(answer=False), Close(1008)])
        with pytest.raises(rawlogs.AuthError, match="gave no reason") as refused:
            async with reading(server):
                pass
        assert "PREFECT_API_AUTH_STRING" in str(refused.value) and "PREFECT_API_KEY" in str(refused.value)
        assert len(server.connections) == 1


@pytest.mark.fault(35)
async def test_no_answer_to_auth_is_tried_again_within_the_open_timeout() -> None:
    async with serving() as server:
        server.script([Stall("auth")], connection=0)
        async with reading(server, open_timeout=0.2) as reader:
            server.post("x")
            assert await reader.take() == ["x"]
            assert "did not answer the auth message" in reader.texts
            assert len(server.connections) == 2


NO_ANSWERS = [
    pytest.param("no JSON", id="not JSON"),
    pytest.param("[1]", id="not an object"),
    pytest.param('{"type":"news"}', id="another type"),
    pytest.param('{"kind":"auth_success"}', id="no type"),
    pytest.param(frame(message="early"), id="a log"),
]


@pytest.mark.fault(36)
@pytest.mark.parametrize("answer", NO_ANSWERS)
async def test_a_strange_answer_to_auth_is_fatal_at_first_and_delivers_nothing(answer: Any) -> None:
    async with serving() as server:
        server.script([ExpectAuth(answer=False), Send(answer), Blackhole()])
        with pytest.raises(rawlogs.ProtocolError, match="answered the auth message"):
            async with reading(server, transport="ws"):
                pass
        assert len(server.connections) == 1


@pytest.mark.fault(36)
@pytest.mark.parametrize("answer", NO_ANSWERS)
async def test_later_it_is_tried_again(answer: Any) -> None:
    async with serving() as server:
        server.script([ExpectAuth(answer=False), Send(answer), Blackhole()], connection=1)
        async with reading(server, **SILENT) as reader:
            await server.drop_all()
            rows = server.store(["meanwhile"])
            await server.until(lambda: len(server.connections) == 3)
            await server.until_subscribed()
            rows += server.post(["after"])
            await reader.take(2)
            assert got(reader) == ids(rows)


@pytest.mark.fault(37)
@pytest.mark.parametrize("ending", [Drop(), Abort(), Close(1011), Close(1012)], ids=repr)
async def test_a_socket_that_dies_before_the_answer_is_tried_again(ending: Step) -> None:
    async with serving() as server:
        server.script([ExpectAuth(answer=False), ending], connection=0)
        async with reading(server) as reader:
            server.post("x")
            assert await reader.take() == ["x"]
            assert reader.kinds[0] == "retrying"
            assert len(server.connections) == 2


@pytest.mark.fault(38)
async def test_close_1002_after_the_filter_is_fatal() -> None:
    async with serving() as server:
        server.script([ExpectFilter(subscribe=False), Close(1002, "Invalid filter: 'filter'")])
        async with reading(server) as reader:
            with pytest.raises(rawlogs.FilterRejected, match="Invalid filter") as rejected:
                await reader.take()
        assert rejected.value.reason == "Invalid filter: 'filter'"
        assert len(server.connections) == 1


@pytest.mark.fault(39)
async def test_a_silent_end_right_after_the_filter_twice_means_it_was_rejected() -> None:
    async with serving() as server:
        server.script([ExpectFilter(subscribe=False), Drop()])
        async with reading(server, clock=None, live_only=True, level="INFO") as reader:
            with pytest.raises(rawlogs.FilterRejected, match="most likely rejected"):
                await reader.take()
        assert len(server.connections) == 2


@pytest.mark.fault(39)
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"level": "INFO"}, id="the list has taken the filter"),
        pytest.param({"live_only": True}, id="there is no filter"),
    ],
)
async def test_a_server_that_keeps_falling_over_has_not_rejected_the_filter(
    arguments: dict[str, Any],
) -> None:
    async with serving() as server:
        for n in range(4):
            server.script([ExpectFilter(subscribe=False), Drop()], connection=n)
        async with reading(server, **arguments) as reader:
            await server.until_subscribed()
            server.post("x")
            assert await reader.take() == ["x"]
            assert len(server.connections) == 5


@pytest.mark.fault(39)
async def test_once_it_is_only_a_lost_connection() -> None:
    async with serving() as server:
        server.script([ExpectFilter(subscribe=False), Drop()], connection=0)
        async with reading(server) as reader:
            server.post("x")
            assert await reader.take() == ["x"]
            await server.until(lambda: len(server.connections) == 2)
            await server.until_subscribed()


@pytest.mark.fault(40)
async def test_logs_between_the_filter_and_the_subscription_are_found_by_the_audit() -> None:
    async with serving() as server:
        server.script([ExpectFilter(subscribe=False), Sleep(60)])
        async with reading(server) as reader:
            await server.until(lambda: lists(server))
            rows = server.post("nobody is subscribed yet")
            await reader.take()
            assert got(reader) == ids(rows)
            assert len(server.connections) == 1


@pytest.mark.fault(41)
async def test_a_revoked_key_is_fatal_after_one_look_at_the_settings() -> None:
    async with serving(Behaviour(auth_string="admin:old")) as server, reading(server) as reader:
        server.post("before")
        await reader.take()
        server.state.behaviour = replace(server.behaviour, auth_string="admin:new")
        await server.close_all(1012)
        with pytest.raises(rawlogs.AuthError, match="Invalid token"):
            await reader.rest()
        assert len(server.connections) <= 3


@pytest.mark.fault(41)
async def test_a_rotated_key_is_taken_from_the_settings_by_socket_and_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(Behaviour(auth_string="admin:old")) as server:
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:old")
        async with reading(server, auth_string=None) as reader:
            rows = server.post("before")
            await reader.take()
            server.state.behaviour = replace(server.behaviour, auth_string="admin:new")
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:new")
            await server.close_all(1012)
            await server.until_subscribed()
            rows += server.post("after") + server.store("lost live")
            await reader.take(2)
            assert got(reader) == ids(rows)


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    "behaviour", [Behaviour(streaming=False), Behaviour(publishing=False)], ids=["streaming", "publishing"]
)
async def test_a_server_that_does_not_stream_and_does_not_say_so_is_found_out(
    behaviour: Behaviour,
) -> None:
    async with serving(behaviour) as server:
        server.fault("rest", Http(404), path="/admin/settings")
        async with reading(server) as reader:
            rows = []
            for n in range(4):
                rows += server.post(f"{n}")
                await reader.take()
            assert got(reader) == ids(rows)
            assert "nothing comes over the socket" in reader.texts
            assert reader.kinds.count("live_off") == 1


@pytest.mark.fault(43)
async def test_a_socket_that_sees_only_its_own_server_s_logs_is_completed() -> None:
    async with serving() as server, reading(server) as reader:
        rows = []
        for n in range(6):
            rows += server.post(f"here {n}") + server.store(f"another server {n}")
            await reader.take(2)
        assert got(reader) == ids(rows)
        assert "some logs do not reach it" in reader.texts


# E. Streaming: transport.


@pytest.mark.fault(44)
@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_clean_close_is_followed_by_a_new_connection(code: int) -> None:
    async with serving() as server:
        server.script([Serve(1), Close(code)], connection=0)
        async with reading(server, **SILENT) as reader:
            await server.until(lambda: lists(server))
            rows = server.store("lost live") + server.post("before")
            await server.until(lambda: subscribed(server, 1))
            rows += server.post("after")
            await reader.take(3)
            assert got(reader) == ids(rows)
            assert next(notice for notice in reader.notices if notice.kind == "retrying").facts["delay"] == 0


@pytest.mark.fault(44)
@pytest.mark.parametrize("code", [1000, 1001])
async def test_or_ends_the_stream_where_that_was_asked_for(code: int) -> None:
    options = {"reconnect_on_clean_close": False, **SILENT}
    async with serving() as server:
        server.script([Serve(1), Close(code)], connection=0)
        async with reading(server, **options) as reader:
            await server.until(lambda: lists(server))
            rows = server.store("lost live") + server.post("before")
            await reader.rest()
            assert got(reader) == ids(rows)
            assert len(server.connections) == 1


@pytest.mark.fault(45)
@pytest.mark.parametrize("abrupt", [False, True], ids=["SIGTERM", "SIGKILL"])
async def test_server_restart(abrupt: bool) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        rows = server.post("before")
        await reader.take()
        restart = asyncio.ensure_future(server.restart(0.15, abrupt=abrupt))
        await reader.until_noted("lost")
        rows += server.store([f"down {n}" for n in range(300)])
        await restart
        await server.until_subscribed()
        rows += server.post("after")
        await reader.take(301)
        assert got(reader) == ids(rows)
        first = next(notice for notice in reader.notices if notice.kind == "retrying")
        assert abrupt or first.facts["delay"] >= 1.0


@pytest.mark.fault(46)
@pytest.mark.parametrize("reset", [False, True], ids=["end of file", "reset"])
async def test_a_lost_line_is_listed(reset: bool) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.drop_all(reset=reset)
        rows = server.store("meanwhile")
        await reader.take()
        assert got(reader) == ids(rows)
        assert next(notice for notice in reader.notices if notice.kind == "lost").facts["code"] == 1006


@pytest.mark.fault(47)
async def test_a_half_open_connection_is_given_up_and_the_list_begins_at_the_last_frame() -> None:
    async with serving() as server:
        server.script([Serve(1), Blackhole()], connection=0)
        async with reading(server, **{**QUICK_PINGS, **SILENT}) as reader:
            rows = server.post("heard")
            await reader.take()
            rows += server.post([f"unheard {n}" for n in range(10)])
            await reader.take(10)
            assert got(reader) == ids(rows)
            assert next(notice for notice in reader.notices if notice.kind == "lost").facts["code"] == 1011


@pytest.mark.fault(49)
async def test_a_clock_that_jumps_means_look_at_once() -> None:
    clock = QuickClock()
    async with serving() as server, reading(server, clock=clock, audit=5.0) as reader:
        await server.until(lambda: lists(server))
        clock.ahead += 7200
        rows = server.store("during the sleep")
        await reader.take()
        assert got(reader) == ids(rows)
        await reader.until_noted("warning")
        assert "the clock jumped by 72" in reader.texts
        assert len(server.connections) == 1


@pytest.mark.fault(50)
async def test_connections_that_end_at_once_use_up_the_budget() -> None:
    async with serving() as server:
        server.script([Serve(0), Close(1012)])
        async with reading(server, **{"retries": 3, **SILENT}) as reader:
            with pytest.raises(rawlogs.GaveUp) as gave_up:
                await reader.rest()
        assert gave_up.value.attempts == 3
        assert len(server.connections) == 4
        assert reader.texts.count("The connection lasted only") == 1


@pytest.mark.fault(50)
async def test_connections_that_bring_a_log_each_do_not() -> None:
    async with serving() as server:
        server.fault("logs", Serve(1), Drop())
        async with reading(server, retries=2) as reader:
            rows = []
            for n in range(6):
                await server.until_subscribed()
                rows += server.post(f"{n}")
                await server.until(lambda: server.subscribed == 0)
            await reader.take(6)
            assert got(reader) == ids(rows)


@pytest.mark.fault(52)
@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"\x81\x7e\x20\x00" + b'{"type":"log","log":{"mess', id="half a frame"),
        pytest.param(text_frame(b'{"type":', final=False), id="half a message"),
    ],
)
async def test_a_frame_that_is_never_completed_ends_by_the_ping(beginning: bytes) -> None:
    async with serving() as server:
        server.script([Serve(0), Raw(beginning), Blackhole()], connection=0)
        async with reading(server, **{**QUICK_PINGS, **SILENT}) as reader:
            rows = server.post("meanwhile")
            await reader.take()
            await server.until_subscribed(1)
            assert got(reader) == ids(rows)


@pytest.mark.fault(53)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_slices_of_any_size_are_no_matter(size: int) -> None:
    async with serving() as server:
        server.fault("logs", Slice(size))
        async with reading(server, live_only=True) as reader:
            rows = server.post(["ä" * n for n in range(0, 300, 50)])
            await reader.take(6)
            assert got(reader) == ids(rows)


@pytest.mark.fault(54)
@pytest.mark.parametrize("cut", [1, 5, 40], ids="cut at {}".format)
async def test_fragments_with_control_frames_between_are_joined(cut: int) -> None:
    payload = b'{"type":"log","log":{"id":"0d88f0a1-0000-4000-8000-000000000001","level":20,'
    rest = '"message":"äöü","timestamp":"2026-01-01T00:00:00Z"}}'.encode()
    pieces = [payload[:cut], payload[cut:], rest[:13], rest[13:]]  # the third ends inside of a character
    frames = [
        text_frame(piece, 0x1 if n == 0 else 0x0, final=n == 3) + text_frame(b"ping", 0x9)
        for n, piece in enumerate(pieces)
    ]
    async with serving() as server:
        server.script([Serve(0), Raw(b"".join(frames)), Serve()])
        async with reading(server, live_only=True) as reader:
            assert await reader.take() == ["äöü"]
            await server.until(lambda: server.connections[0].state == "subscribed")


@pytest.mark.fault(55)
async def test_a_binary_frame_is_read_as_text() -> None:
    async with serving() as server, reading(server, live_only=True) as reader:
        server.send(orjson.dumps(frame(message="binary")))
        assert await reader.take() == ["binary"]


@pytest.mark.fault(56)
async def test_invalid_utf8_is_a_bad_frame_and_the_connection_stays() -> None:
    async with serving() as server:
        server.script([Serve(0), Raw(text_frame(b'{"type":"log\xff\xfe"}')), Serve()])
        async with reading(server) as reader:
            await reader.until_noted("bad_frame")
            rows = server.post("after")
            await reader.take()
            assert got(reader) == ids(rows)
            assert len(server.connections) == 1


@pytest.mark.fault(57, 59)
@pytest.mark.parametrize("compress", [False, True], ids=["as it is", "compressed"])
async def test_a_message_that_is_too_large_comes_by_the_list(compress: bool) -> None:
    options = {"max_size": 1 << 20, "compress": compress, **SILENT}
    async with serving() as server, reading(server, **options) as reader:
        rows = server.post(["small", "a" * (3 << 20)])
        await reader.take(2)
        assert got(reader) == ids(rows)
        await reader.until_noted("gap_closed")
        assert next(notice for notice in reader.notices if notice.kind == "lost").facts["code"] == 1009


@pytest.mark.fault(58)
async def test_the_same_giant_again_and_again_does_not_reset_the_budget() -> None:
    async with serving() as server:
        async with reading(server, **{"max_size": 1 << 20, "retries": 2, **SILENT}) as reader:
            for n in range(3):
                await server.until(lambda n=n: subscribed(server, n))  # type: ignore[misc]
                server.post("a" * (2 << 20))
                await server.until(lambda n=n: reader.kinds.count("lost") == n + 1)  # type: ignore[misc]
            with pytest.raises(rawlogs.GaveUp):
                await reader.rest()
        assert [notice.facts["attempt"] for notice in reader.notices if notice.kind == "retrying"] == [1, 2]


BROKEN_FRAMES = [
    pytest.param(b"\xf1\x01x", id="reserved bits"),
    pytest.param(b"\x83\x01x", id="reserved opcode"),
    pytest.param(b"\x88\x01x", id="close of one byte"),
    pytest.param(b"\x88\x02" + (999).to_bytes(2, "big"), id="close code 999"),
    pytest.param(b"\x80\x01x", id="continuation of nothing"),
    pytest.param(b"\x09\x00", id="fragmented ping"),
    pytest.param(b"\x89\x7e\x00\x80" + b"p" * 128, id="long ping"),
    pytest.param(b"\x81\x81\x00\x00\x00\x00x", id="masked by the server"),
]


@pytest.mark.fault(60)
@pytest.mark.parametrize("broken", BROKEN_FRAMES)
async def test_a_broken_frame_ends_the_connection_and_the_list_fills_the_gap(broken: bytes) -> None:
    async with serving() as server:
        server.script([Serve(1), Raw(broken), Serve()], connection=0)
        async with reading(server, **SILENT) as reader:
            await server.until(lambda: lists(server))
            rows = server.store("lost live") + server.post("before")
            await reader.take(2)
            assert got(reader) == ids(rows)
            await server.until(lambda: subscribed(server, 1))


@pytest.mark.fault(60, 61)
async def test_a_peer_that_breaks_a_frame_and_then_says_nothing_is_left_behind() -> None:
    async with serving() as server:
        server.script([Serve(1), Raw(b"\xf1\x01x"), Blackhole()], connection=0)
        async with reading(server, **SILENT) as reader:
            rows = server.post("before")
            await reader.take()
            await server.until(lambda: subscribed(server, 1))
            rows += server.post("after")
            await reader.take()
            assert got(reader) == ids(rows)


@pytest.mark.fault(60)
async def test_three_in_a_row_are_fatal() -> None:
    async with serving() as server:
        server.script([Serve(0), Raw(b"\xf1\x01x"), Serve()])
        async with reading(server, transport="ws", **SILENT) as reader:
            with pytest.raises(rawlogs.ProtocolError, match="Three times in a row"):
                await reader.rest()
        assert len(server.connections) == 3


@pytest.mark.fault(61)
async def test_a_server_that_never_answers_the_close_is_left_after_two_seconds() -> None:
    async with serving() as server:
        server.fault("logs", Stall("close"))
        loop = asyncio.get_running_loop()
        async with reading(server):
            began = loop.time()
        assert loop.time() - began < 4


# F. Streaming: content.


BAD_FRAMES = [
    pytest.param('{"type":"log","log":{', "not JSON", id="truncated"),
    pytest.param("[]", "not a JSON object", id="not an object"),
    pytest.param('{"log":{}}', "no frame type", id="no type"),
    pytest.param(frame(id=...), "no id", id="65 no id"),
    pytest.param(frame(message=...), "no message", id="65 no message"),
    pytest.param(frame(timestamp=...), "no timestamp", id="65 no timestamp"),
    pytest.param(frame(level="loud"), "level", id="67 level of text"),
    pytest.param(frame(id=7), "id", id="67 id of a number"),
    pytest.param(frame(timestamp="yesterday"), "timestamp", id="67 no time"),
    pytest.param({"type": "log", "log": [1]}, "not a JSON object", id="67 log of a list"),
]


@pytest.mark.fault(63, 65, 67)
@pytest.mark.parametrize(("bad", "problem"), BAD_FRAMES)
async def test_a_bad_frame_is_told_and_looked_up(bad: Any, problem: str) -> None:
    async with serving() as server, reading(server, audit=1000.0, settle=1.0) as reader:
        await server.until(lambda: lists(server))
        server.send(bad)
        rows = server.store("what it should have said") + server.post("the next one")
        await reader.take(2)
        assert got(reader) == ids(rows)
        assert len(server.connections) == 1
        notice = next(notice for notice in reader.notices if notice.kind == "bad_frame")
        assert problem in notice.text
        assert reader.logs.stats.bad_frames == 1


@pytest.mark.fault(63)
async def test_each_kind_of_bad_frame_is_told_once() -> None:
    async with serving() as server, reading(server) as reader:
        for _ in range(3):
            server.send("no JSON " * 100)
            server.send("[]")
        server.post("x")
        await reader.take()
        told = [notice.text for notice in reader.notices if notice.kind == "bad_frame"]
        assert len(told) == 2
        assert max(map(len, told)) < 200


@pytest.mark.fault(63)
async def test_a_hundred_in_a_row_end_the_connection_not_the_stream() -> None:
    async with serving() as server, reading(server) as reader:
        for _ in range(100):
            server.send("no JSON")
        await reader.until_noted("lost")
        assert "100 frames in a row" in reader.texts
        await server.until_subscribed()
        rows = server.post("after")
        await reader.take()
        assert got(reader) == ids(rows)


@pytest.mark.fault(64)
async def test_an_unknown_frame_type_is_ignored() -> None:
    async with serving() as server, reading(server, live_only=True) as reader:
        server.send({"type": "heartbeat", "at": 1})
        server.post("x")
        assert await reader.take() == ["x"]
        assert reader.kinds == ["connected"]


@pytest.mark.fault(66)
async def test_extra_fields_are_kept() -> None:
    async with serving() as server, reading(server, live_only=True) as reader:
        server.send({**frame(worker_id="w", nested={"a": [1]}), "seq": 7})
        await reader.take()
        assert reader.got[0].extra == {"worker_id": "w", "nested": {"a": [1]}}


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        pytest.param("level", "30", 30, id="digits as level"),
        pytest.param("level", -5, -5, id="negative level"),
        pytest.param("timestamp", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", id="naive time is UTC"),
        pytest.param("timestamp", "2026-01-01T14:00:00+14:00", "2026-01-01T00:00:00+00:00", id="offset"),
        pytest.param("timestamp", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00", id="far year"),
        pytest.param("timestamp", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00", id="first year"),
        pytest.param("name", ..., "", id="no name"),
    ],
)
async def test_what_loses_nothing_is_coerced(field: str, value: Any, read: Any) -> None:
    async with serving() as server, reading(server) as reader:
        server.send(frame(**{field: value}))
        await reader.take()
        found = getattr(reader.got[0], field)
        assert (found.isoformat() if field == "timestamp" else found) == read
        server.store("the stream goes on")
        await reader.take()


@pytest.mark.fault(68)
async def test_null_fields_are_normal() -> None:
    async with serving() as server, reading(server) as reader:
        server.send(frame())
        await reader.take()
        log = reader.got[0]
        assert (log.flow_run_id, log.task_run_id, log.created, log.updated) == (None,) * 4


@pytest.mark.fault(69)
async def test_a_log_sent_twice_is_delivered_once() -> None:
    async with serving() as server:
        server.fault("logs", Duplicate())
        async with reading(server, live_only=True) as reader:
            rows = server.post([f"{n}" for n in range(100)])
            await reader.take(100)
            await reader.finish()
            assert got(reader) == ids(rows)
            assert reader.logs.stats.duplicates == 100


@pytest.mark.fault(69)
async def test_live_and_listed_is_delivered_once() -> None:
    async with serving() as server, reading(server, since=MINUTE) as reader:
        rows = []
        for n in range(20):
            rows += server.post([f"{n}.{m}" for m in range(10)])
            await reader.take(10)
        await reader.finish()
        assert got(reader) == ids(rows)


@pytest.mark.fault(70)
async def test_of_two_contents_under_one_id_the_first_wins() -> None:
    async with serving() as server, reading(server, live_only=True) as reader:
        one = str(uuid4())
        server.publish("first", id=one)
        server.publish("second", id=one)
        server.publish("end")
        assert await reader.take(2) == ["first", "end"]


@pytest.mark.fault(71)
async def test_ids_of_any_version_are_identities() -> None:
    async with serving() as server, reading(server) as reader:
        given = [str(uuid4()) for _ in range(10)]
        server.post([{"message": "x", "id": one} for one in given])
        await reader.take(10)
        await reader.finish()
        assert got(reader) == sorted(given)


@pytest.mark.fault(72)
async def test_live_logs_come_in_order_of_arrival_listed_ones_by_time() -> None:
    async with serving() as server:
        server.fault("logs", Reorder())
        async with reading(server, **SILENT) as reader:
            await server.until(lambda: lists(server))
            rows = server.post([{"message": f"{n}"} for n in range(50)])
            live = await reader.take(50)
            assert server.sent[0] == [str(log.id) for log in reader.got]
            assert live != sorted(live, key=int)
            assert got(reader) == ids(rows)
        async with reading(server, since=MINUTE, follow=False) as reader:
            listed = await reader.rest()
            stamps = [log.timestamp for log in reader.got]
            assert stamps == sorted(stamps) and len(listed) == 50


@pytest.mark.fault(73, 97)
@pytest.mark.parametrize("unstable", [False, True], ids=["stable order", "another order with every request"])
async def test_thousands_of_logs_with_one_timestamp(unstable: bool) -> None:
    async with serving(Behaviour(unstable_ties=unstable, page_limit=50)) as server, reading(server) as reader:
        moment = server.state.now()
        rows = server.post([f"{n}" for n in range(1000)], timestamp=moment)
        await reader.take(1000)
        rows += server.post("the end")
        await reader.take()
        await reader.finish()
        assert got(reader) == ids(rows)


@pytest.mark.fault(74)
async def test_a_producer_s_clock_that_is_ahead_does_not_move_the_low_water_mark() -> None:
    async with serving() as server, reading(server) as reader:
        now = server.state.now()
        rows = server.post("from the future", timestamp=now + timedelta(hours=1))
        rows += server.post("a little ahead", timestamp=now + timedelta(seconds=20))
        await reader.take(2)
        rows += server.store("lost live, stamped right")
        await reader.take()
        rows += server.store("lost live, a little ahead", timestamp=server.state.now() + timedelta(seconds=5))
        await reader.take()
        await reader.finish()
        assert got(reader) == ids(rows)


@pytest.mark.fault(75)
async def test_a_late_log_is_delivered_and_its_neighbours_are_looked_for() -> None:
    async with serving() as server, reading(server) as reader:
        await server.until(lambda: len(lists(server)) >= 3)
        late = server.state.now() - timedelta(minutes=5)
        rows = server.store("late and lost", timestamp=late + timedelta(seconds=1))
        rows += server.post("late", timestamp=late)
        await reader.take(2)
        assert got(reader) == ids(rows)
        assert "late" in reader.kinds


@pytest.mark.fault(76)
@pytest.mark.parametrize("wrong_by", [-3600.0, 3600.0], ids=["behind", "ahead"])
async def test_our_own_clock_may_be_wrong(wrong_by: float) -> None:
    clock = QuickClock()
    clock.ahead = wrong_by
    async with serving() as server:
        server.store("past")
        async with reading(server, clock=clock) as reader:
            rows = server.post("live") + server.store("lost live")
            await reader.take(2)
            await server.drop_all()
            rows += server.store("meanwhile")
            await reader.take(1)
            await reader.finish()
            assert got(reader) == ids(rows)


HOSTILE = [
    "two\nlines\r\nthree",
    "\x1b[31mred\x1b[0m \x07",
    "\u202eright to left\u2066",
    "emoji 🎉 and \u2028 separator",
    "",
    "x" * (1 << 20),
]


@pytest.mark.fault(77)
@pytest.mark.parametrize("message", HOSTILE, ids=["lines", "ANSI", "bidi", "unicode", "empty", "1 MiB"])
async def test_a_message_is_the_same_live_and_listed(message: str) -> None:
    async with serving() as server:
        async with reading(server, live_only=True) as live:
            server.post(message)
            assert await live.take() == [message]
        async with reading(server, follow=False) as listed:
            assert await listed.rest() == [message]


@pytest.mark.fault(78)
@pytest.mark.parametrize(
    ("written", "read"),
    [('"\\ud800 lone"', "? lone"), ('"fine", "number": NaN', "fine")],
    ids=["lone surrogate", "NaN"],
)
async def test_what_orjson_refuses_is_read_all_the_same(written: str, read: str) -> None:
    log = orjson.dumps(frame(message="MESSAGE")).decode().replace('"MESSAGE"', written)
    async with serving() as server, reading(server, live_only=True) as reader:
        server.send(log)
        assert (await reader.take())[0].replace("\ufffd", "?") == read


# G. Loss at the server.


@pytest.mark.fault(79)
@pytest.mark.parametrize("count", [256, 257, 300, 1000, 5000])
async def test_a_burst_overflows_the_server_s_queue_and_is_recovered(count: int) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.until(lambda: lists(server))
        rows = server.post([f"{n}" for n in range(count)])
        await reader.take(count)
        assert got(reader) == ids(rows)
        assert len(server.sent[0]) < count or count == 256
        stats = reader.logs.stats
        assert stats.live == len(server.sent[0]) and stats.recovered == count - stats.live


@pytest.mark.fault(79)
async def test_what_a_burst_lost_comes_long_before_it_has_settled() -> None:
    options = {"settle": 60.0, "overlap": 120.0, "audit": 1000.0}
    async with serving() as server, reading(server, **options) as reader:
        await server.until(lambda: lists(server))
        posted = server.state.now()
        rows = server.post([f"{n}" for n in range(1000)])
        await reader.take(1000)
        assert got(reader) == ids(rows)
        assert (server.state.now() - posted).total_seconds() < 60.0
        assert reader.kinds.count("gap_opened") == 1


@pytest.mark.fault(80)
@pytest.mark.parametrize("every", [2, 3, 10])
async def test_frames_lost_on_the_way_are_found_by_the_audit(every: int) -> None:
    async with serving() as server:
        server.fault("logs", Lose(every))
        async with reading(server) as reader:
            rows = []
            for n in range(10):
                rows += server.post([f"{n}.{m}" for m in range(5)])
                await asyncio.sleep(0)  # the server sends what was posted
            await reader.take(50)
            await reader.finish()
            assert got(reader) == ids(rows)


@pytest.mark.fault(81)
async def test_what_live_ignores_in_a_filter_is_applied_here() -> None:
    chosen = {"operator": "or_", "text": {"query": "needle"}, "level": {"ge_": 40}}
    async with serving() as server, reading(server, filter=chosen) as reader:
        server.post(["hay", "needle", {"message": "bad hay", "level": 40}])
        assert await reader.take(2) == ["needle", "bad hay"]
        assert await reader.finish() == ["needle", "bad hay"]


@pytest.mark.fault(82)
async def test_a_log_whose_transaction_was_rolled_back_is_delivered_all_the_same() -> None:
    async with serving() as server, reading(server) as reader:
        rows = server.publish("never stored") + server.post("stored")
        await reader.take(2)
        await reader.finish()
        assert got(reader) == ids(rows)
        assert reader.logs.stats.open_gaps == 0


@pytest.mark.fault(83)
async def test_a_row_that_is_committed_after_the_list_is_found_by_the_audit() -> None:
    async with serving() as server, reading(server) as reader:
        stamp = server.state.now()
        await server.drop_all()
        await server.until_subscribed()
        await reader.until_noted("gap_closed")
        rows = server.store("committed late", timestamp=stamp)
        await reader.take()
        await reader.finish()
        assert got(reader) == ids(rows)


@pytest.mark.fault(83)
@pytest.mark.parametrize("delay", [0.02, 0.1, 0.4])
async def test_logs_that_are_streamed_before_they_are_readable(delay: float) -> None:
    async with serving(Behaviour(commit_delay=delay)) as server, reading(server) as reader:
        rows = server.post([f"{n}" for n in range(300)])
        await reader.take(300)
        await reader.finish()
        assert got(reader) == ids(rows)


@pytest.mark.fault(84)
async def test_logs_deleted_before_they_could_be_listed_are_no_error() -> None:
    async with serving() as server, reading(server) as reader:
        rows = server.post(["one", "two"])
        await reader.take(2)
        server.delete(ids(rows))
        await server.drop_all()
        await server.until_subscribed()
        rows += server.post("three")
        await reader.take()
        await reader.finish()
        assert got(reader) == ids(rows)
        assert reader.logs.stats.open_gaps == 0


@pytest.mark.fault(85)
async def test_rows_that_go_and_come_back_are_delivered_once() -> None:
    async with serving() as server, reading(server) as reader:
        rows = server.post(["one", "two"])
        await reader.take(2)
        server.delete(ids(rows))
        seen = len(lists(server))
        await server.until(lambda: len(lists(server)) > seen)
        server.store(rows[0]["message"], id=rows[0]["id"], timestamp=rows[0]["timestamp"])
        rows += server.store("three")
        await reader.take()
        await reader.finish()
        assert got(reader) == ids(rows)


# H. REST.


@pytest.mark.fault(86, 87, 88, 93)
@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([Drop()], id="86 hung up"),
        pytest.param([Abort()], id="86 reset"),
        pytest.param([CutAfter(30)], id="86 cut in the head"),
        pytest.param([Http(429, {"Retry-After": "1"})], id="87 429"),
        pytest.param([Http(503, {"Retry-After": "2"})], id="87 503"),
        pytest.param([Http(502)], id="87 502"),
        pytest.param([Http(504)], id="87 504"),
        pytest.param([Http(408)], id="87 408"),
        pytest.param([Http(500)], id="88 500"),
        pytest.param([Truncate(1)], id="93 cut in the body"),
        pytest.param([Truncate(100)], id="93 half a page"),
        pytest.param([Html()], id="93 a login page"),
        pytest.param([Http(200, {"content-type": "application/json"}, "{}")], id="93 wrong shape"),
        pytest.param([Http(200, {"content-type": "application/json"}, '[{"id":1}]')], id="93 wrong rows"),
        pytest.param([Raw(b"SSH-2.0-nonsense\r\n"), Drop()], id="93 not HTTP"),
        pytest.param([Sleep(0.3)], id="86 slow"),
    ],
)
async def test_a_list_that_fails_is_asked_again_while_live_goes_on(
    steps: Sequence[Step],
) -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.until(lambda: lists(server))
        server.fault("rest", *steps, times=3, path="/logs/filter")
        await server.drop_all()
        rows = server.store([f"missed {n}" for n in range(250)])
        await server.until_subscribed()
        rows += server.post("live")
        await reader.take(251)
        assert got(reader) == ids(rows)
        await server.until(lambda: reader.logs.stats.open_gaps == 0)


@pytest.mark.fault(86)
async def test_live_logs_wait_for_a_slow_list_only_for_a_while() -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.until(lambda: lists(server))
        server.fault("rest", Sleep(1.0), times=1, path="/logs/filter")
        await server.drop_all()
        missed = server.store("missed")
        await server.until_subscribed()
        rows = server.post("live")
        assert await reader.take(2) == ["live", "missed"]
        assert got(reader) == ids(rows + missed)


@pytest.mark.fault(86)
async def test_live_logs_that_waited_come_after_the_list() -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.until(lambda: lists(server))
        server.fault("rest", Sleep(0.05), times=1, path="/logs/filter")
        await server.drop_all()
        server.store("missed")
        await server.until_subscribed()
        server.post("live")
        assert await reader.take(2) == ["missed", "live"]


@pytest.mark.fault(87)
async def test_retry_after_is_a_floor() -> None:
    async with serving() as server:
        server.fault("rest", Http(429, {"Retry-After": "3"}), times=1, path="/logs/filter")
        began = server.state.now()
        async with reading(server, transport="poll") as reader:
            server.post("x")
            await reader.take()
            assert server.state.now() - began > timedelta(seconds=3)


@pytest.mark.fault(88)
async def test_a_search_that_breaks_the_server_is_never_sent() -> None:
    broken = Behaviour(search_broken=True)
    async with serving(broken) as server, reading(server, text="needle", since=MINUTE) as reader:
        server.store(["hay", "needle 1"])
        server.post(["more hay", "needle 2"])
        assert set(await reader.take(2)) == {"needle 1", "needle 2"}
        assert all("text" not in body["logs"] for body in lists(server))


@pytest.mark.fault(89)
@pytest.mark.parametrize("status", [401, 403])
async def test_without_rights_to_list_the_stream_goes_on_and_says_what_that_means(
    status: int,
) -> None:
    async with serving() as server:
        server.fault("rest", Http(status))
        async with reading(server) as reader:
            server.post("live")
            assert await reader.take() == ["live"]
            await reader.until_noted("history_off")
            assert f"HTTP {status}" in reader.texts
            assert reader.logs.stats.open_gaps == 1


@pytest.mark.fault(89)
@pytest.mark.parametrize("status", [401, 403])
async def test_strict_ends_instead(status: int) -> None:
    async with serving() as server:
        server.fault("rest", Http(status))
        async with reading(server, strict=True) as reader:
            with pytest.raises(rawlogs.DataLoss) as loss:
                await reader.rest()
            assert isinstance(loss.value.__cause__, rawlogs.AuthError)


@pytest.mark.fault(90)
@pytest.mark.parametrize("transport", ["auto", "poll"])
async def test_csrf_protection_costs_one_token(transport: Any) -> None:
    async with serving(Behaviour(csrf=True)) as server, reading(server, transport=transport) as reader:
        rows = server.post("live") + server.store("lost live")
        await reader.take(2)
        assert got(reader) == ids(rows)
        assert sum(request.path == "/csrf-token" for request in server.requests) == 1


@pytest.mark.fault(91)
async def test_no_list_at_that_path_is_fatal_where_there_is_no_socket_either() -> None:
    async with serving() as server:
        with pytest.raises(rawlogs.UpgradeRefused, match="403") as refused:
            async with reading(server, api_url=f"{server.origin}/wrong"):
                pass
        assert "base path" in str(refused.value)
        with pytest.raises(rawlogs.HistoryError, match="404"):
            async with reading(server, api_url=f"{server.origin}/wrong", transport="poll"):
                pass


@pytest.mark.fault(92)
async def test_a_lower_limit_is_taken_from_the_refusal_once() -> None:
    async with serving(Behaviour(page_limit=30)) as server:
        rows = server.store([f"{n}" for n in range(100)])
        async with reading(server, follow=False) as reader:
            await reader.rest()
            assert got(reader) == ids(rows)
        limits = [body["limit"] for body in lists(server)]
        assert limits[0] == 200 and set(limits[1:]) == {30}


@pytest.mark.fault(94)
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_an_empty_page_in_the_middle_does_not_end_the_list(number: int) -> None:
    async with serving() as server:
        rows = server.store([f"{n}" for n in range(600)])
        server.fault("rest", EmptyPage(), connection=number, path="/logs/filter")
        async with reading(server, follow=False) as reader:
            await reader.rest()
            assert got(reader) == ids(rows)


@pytest.mark.fault(95)
async def test_rows_inserted_while_paging_are_no_repeats() -> None:
    async with serving(Behaviour(page_limit=20)) as server:
        rows = server.store([f"{n}" for n in range(200)])
        first = rows[0]["timestamp"]
        server.fault("rest", Sleep(0.01))
        async with reading(server, since=MINUTE) as reader:
            for page in range(2, 8):
                await server.until(lambda page=page: len(lists(server)) >= page)  # type: ignore[misc]
                rows += server.store([f"new {page}", {"message": f"old {page}", "timestamp": first}])
            await reader.take(212)
            await reader.finish()
            assert got(reader) == ids(rows)


@pytest.mark.fault(96)
async def test_rows_deleted_while_paging_do_not_hide_others() -> None:
    async with serving(Behaviour(page_limit=20)) as server:
        rows = server.store([f"{n}" for n in range(200)])
        server.fault("rest", Sleep(0.01))
        async with reading(server, follow=False) as reader:
            for page in range(2, 6):
                await server.until(lambda page=page: len(lists(server)) >= page)  # type: ignore[misc]
                server.delete([row["id"] for row in rows[page * 3 : page * 3 + 3]])
            await reader.rest()
            kept = {row["id"] for row in server.logs}
            assert kept <= set(got(reader)) <= set(ids(rows))
            assert len(set(got(reader))) == len(reader.got)


@pytest.mark.fault(97)
async def test_ties_that_never_come_in_the_same_order_are_read_whole() -> None:
    async with serving(Behaviour(unstable_ties=True, page_limit=10)) as server:
        moment = server.state.now()
        rows = server.store([f"{n}" for n in range(95)], timestamp=moment)
        rows += server.store([f"later {n}" for n in range(5)], timestamp=moment + timedelta(microseconds=1))
        async with reading(server, follow=False) as reader:
            await reader.rest()
            assert got(reader) == ids(rows)


@pytest.mark.fault(98)
async def test_a_long_list_is_streamed_and_tells_its_progress() -> None:
    async with serving() as server:
        now = server.state.now()
        server.store(
            [{"message": "x", "timestamp": now - timedelta(seconds=12_000 - n)} for n in range(10_500)]
        )
        async with reading(server, follow=False, buffer=500) as reader:
            await reader.take(1)
            assert len(lists(server)) < 10  # no more is read than there is room for
            await reader.rest()
            assert len(set(got(reader))) == 10_500
            assert reader.kinds == ["progress"]


@pytest.mark.fault(99)
async def test_a_long_outage_of_rest_keeps_the_gap_open_and_the_position_before_it() -> None:
    async with serving() as server, reading(server, track=True) as reader:
        await server.until(lambda: lists(server))
        server.fault("rest", Http(503))
        rows = server.store("missed")
        await reader.until_noted("history_off")
        for n in range(5):
            rows += server.post(f"live {n}")
            await reader.take()
            reader.logs.commit()
        low, _ = reader.logs.position()
        assert low.isoformat() <= rows[0]["timestamp"]
        assert reader.logs.stats.open_gaps == 1
        server.heal()
        await reader.take()
        assert got(reader) == ids(rows)
        await server.until(lambda: reader.logs.stats.open_gaps == 0)


@pytest.mark.fault(100)
@pytest.mark.parametrize("transport", ["auto", "poll"])
async def test_a_redirect_of_rest_to_another_origin_is_not_followed(transport: Any) -> None:
    async with serving(Behaviour(auth_string="admin:secret")) as server, FakeServer() as other:
        server.fault("rest", Redirect(f"{other.api_url}/logs/filter"), path="/logs/filter")
        if transport == "poll":
            with pytest.raises(rawlogs.RedirectRefused, match="is another server: not followed"):
                async with reading(server, transport="poll"):
                    pass
        else:
            async with reading(server) as reader:
                server.post("live")
                await reader.take()
                await reader.until_noted("history_off")
                assert "is another server: not followed" in reader.texts
        assert not other.requests and not other.connections


# I. Consumer and process. What needs a process of its own is in test_cli_tail.py.


@pytest.mark.fault(101)
async def test_a_slow_reader_loses_nothing_and_is_told() -> None:
    wide, options = Behaviour(queue=10_000), {"buffer": 50, **SILENT}
    async with serving(wide) as server, reading(server, **options) as reader:
        rows: list[dict[str, Any]] = []
        for part in range(10):
            rows += server.post([f"{part}.{n}" for n in range(50)])
            posted = 50 * (part + 1)
            await server.until(lambda posted=posted: len(server.sent[0]) == posted)
        await reader.until_noted("behind")
        assert len(reader.logs._outbox) <= 100
        await reader.take(500)
        assert got(reader) == ids(rows)
        await reader.finish()
        assert got(reader) == ids(rows)
        assert reader.logs.stats.overflows > 0


@pytest.mark.fault(102)
async def test_a_reader_that_has_stopped_keeps_its_connection_in_bounded_memory() -> None:
    keepalive = Behaviour(queue=100_000, ping_interval=0.1, ping_timeout=0.1)
    async with serving(keepalive) as server, reading(server, **{"buffer": 50, **QUICK_PINGS}) as reader:
        rows = []
        while server.connections[0].pongs < 5:
            rows += server.post([f"{n}" for n in range(100)])
            pongs = server.connections[0].pongs
            await server.until(lambda pongs=pongs: server.connections[0].pongs > pongs)  # type: ignore[misc]
        assert server.subscribed == 1 and len(server.connections) == 1
        assert len(reader.logs._outbox) <= 250
        await reader.take(len(rows))
        assert got(reader) == ids(rows)


@pytest.mark.fault(108)
async def test_cancelling_while_connecting_leaves_nothing_open() -> None:
    async with serving() as server:
        server.script([Stall("upgrade")])
        entering = asyncio.ensure_future(Reader(server).logs.__aenter__())
        await server.until(lambda: server.connections)
        await cancelled(entering)
        await server.until(lambda: server.connections[0].state == "ended")


@pytest.mark.fault(108)
@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda server: server.refuse(), id="in backoff"),
        pytest.param(lambda server: server.fault("rest", Blackhole()), id="in the list"),
        pytest.param(lambda server: server.fault("logs", Stall("auth")), id="in the handshake"),
        pytest.param(lambda server: None, id="waiting for a log"),
    ],
)
async def test_cancelling_the_reader_s_task_ends_everything(
    break_it: Callable[[FakeServer], None],
) -> None:
    async with serving() as server:
        reader = Reader(server)

        async def read() -> None:
            async with reader.logs:
                await server.until_subscribed()
                break_it(server)
                await server.drop_all()
                await reader.take()

        task = asyncio.ensure_future(read())
        await reader.until_noted("lost")
        await asyncio.sleep(0.05)  # while the socket is away
        loop = asyncio.get_running_loop()
        began = loop.time()
        await cancelled(task)
        assert loop.time() - began < 1.0
        await server.until(lambda: server.subscribed == 0)


@pytest.mark.fault(108)
async def test_cancelling_finish_does_not_hurt() -> None:
    async with serving() as server:
        async with reading(server) as reader:
            server.fault("rest", Blackhole())
            task = asyncio.ensure_future(reader.logs.finish())
            await asyncio.sleep(0.01)  # it is asking by now, or will be cancelled before
            await cancelled(task)
        await server.until(lambda: server.subscribed == 0)


@pytest.mark.fault(109, 110)
async def test_a_stream_left_by_an_error_is_closed_with_its_context() -> None:
    async with serving() as server:
        with pytest.raises(KeyError):
            async with reading(server) as reader:
                server.post("x")
                async for log in reader.logs:
                    raise KeyError(log.message)
        await server.until(lambda: server.subscribed == 0)
        left = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        assert not {name for name in left if name.startswith(("LogStream", "Auditor", "LiveLoop"))}


@pytest.mark.fault(113)
async def test_what_the_consumer_did_not_commit_is_before_the_position() -> None:
    async with serving() as server:
        with pytest.raises(ZeroDivisionError):
            async with reading(server, track=True) as reader:
                server.post(["good", "bad"])
                await reader.take()
                reader.logs.commit()
                async for _ in reader.logs:
                    raise ZeroDivisionError
        low, entries = reader.logs.position()
        assert {log_id for _, log_id in entries} == {reader.got[0].id.hex}
        assert low <= reader.got[0].timestamp


# J. The position a stream goes on from; the file itself is in test_cursor.py.


@pytest.mark.fault(121)
async def test_a_cursor_older_than_what_the_server_keeps_is_told() -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store("oldest", timestamp=now - timedelta(days=1))
        reader = Reader(server)
        reader.logs.resume(Resume(now - timedelta(days=2), [], now - timedelta(days=2)))
        async with reader.logs:
            await reader.take()
            assert got(reader) == ids(rows)
            assert "what was between may have been deleted" in reader.texts


@pytest.mark.fault(122)
async def test_a_cursor_in_the_future_is_taken_as_a_little_before_now() -> None:
    async with serving() as server:
        now = server.state.now()
        server.store("long ago", timestamp=now - timedelta(minutes=30))
        rows = server.store("a little ago", timestamp=now - timedelta(seconds=30))
        reader = Reader(server)
        reader.logs.resume(Resume(now + timedelta(hours=1), [], now))
        async with reader.logs:
            await reader.take()
            await reader.finish()
            assert got(reader) == ids(rows)
            assert "the cursor is in the future" in reader.texts


async def test_going_on_from_a_position_leaves_out_what_was_flushed() -> None:
    async with serving() as server:
        rows = server.store([f"{n}" for n in range(50)])
        async with reading(server, since=MINUTE, track=True) as reader:
            await reader.take(20)
            reader.logs.commit()
            low, entries = reader.logs.position()
        later = Reader(server, track=True)
        later.logs.resume(Resume(low, entries, server.state.now()))
        async with later.logs:
            await later.take(30)
            await later.finish()
        assert sorted(got(reader) + got(later)) == ids(rows)


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel the task and see that it ends by that."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task)


# The table of all faults.


def test_every_test_that_the_table_of_faults_names_exists() -> None:
    table = (Path(__file__).parent.parent / "docs" / "faults.md").read_text()
    rows = [line for line in table.splitlines() if re.match(r"\| \d", line)]
    numbers = {int(number) for row in rows for number in re.findall(r"\d+", row.split("|")[1])}
    assert set(range(1, 129)) <= numbers
    for row in rows:
        held_by = row.split("|")[3]
        module = ""
        for name, more in re.findall(r"\b(test_\w+)(…|\b)", held_by):
            path = next(Path(__file__).parent.rglob(f"{name}.py"), None)
            if path is not None:
                module = path.read_text()
            else:
                assert re.search(rf"def {name}" + ("" if more == "…" else r"\("), module), name
