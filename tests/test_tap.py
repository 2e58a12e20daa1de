"""What a tap is told: each frame of both sides, in the order in which it happened."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from http_peer import CLOSE, HttpPeer, reply
from lines import CONT, FINAL, PING, RSV1, TEXT, Line, closing, connect, frame, key_of, response, text

from rawlogs.errors import RawlogsError
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Redirect, WrongAccept
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.events import WireEvent
from rawlogs.wire.frames import filter_message
from rawlogs.wire.tap import TappedConnection

EVERYTHING = filter_message({})
AUTH = '{"type":"auth","token":null}'


def target(api_url: str, **options: Any) -> Target:
    return Target(url=f"{api_url.replace('http', 'ws', 1)}/logs/out", **options)


def kinds(events: list[WireEvent]) -> list[tuple[str, str]]:
    return [(event.direction, event.kind) for event in events]


def tapped(events: list[WireEvent], line: Line | None = None) -> TappedConnection:
    """A connection without a network that has sent its upgrade request."""
    connection = connect(line or Line(), partial(TappedConnection, tap=events.append))
    assert isinstance(connection, TappedConnection)
    return connection


def upgraded(events: list[WireEvent]) -> TappedConnection:
    """The same after the upgrade, which is not among the events any more."""
    connection = tapped(events)
    connection.data_received(response(key_of(connection)))
    events.clear()
    return connection


async def opened(server: FakeServer, events: list[WireEvent], **options: Any) -> Connection:
    connection = await open_connection(
        target(server.api_url, **options), EVERYTHING, tap=events.append, number=7
    )
    await server.until_subscribed()
    return connection


# A conversation


async def test_a_conversation_is_told_from_the_upgrade_to_the_close() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events) as connection:
        server.post("hello")
        (payload,) = await connection.batch()
    assert [(event.direction, event.kind, event.data) for event in events] == [
        ("client", "upgrade", None),
        ("server", "upgrade_ok", None),
        ("client", "text", AUTH),
        ("server", "text", '{"type":"auth_success"}'),
        ("client", "text", EVERYTHING),
        ("server", "text", payload.decode()),
        ("client", "close", ""),
        ("server", "close", ""),
    ]


async def test_the_upgrade_is_told_with_its_headers() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events, headers={"X-Team": "a"}):
        asked, answered = events[0].facts, events[1].facts
        assert asked["path"] == "/api/logs/out"
        assert ("X-Team", "a") in asked["headers"]
        assert ("Sec-WebSocket-Protocol", "prefect") in asked["headers"]
        assert (answered["status"], answered["subprotocol"], answered["extensions"]) == (101, "prefect", [])


async def test_events_have_the_number_of_the_connection_and_rising_times() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events):
        times = [event.at for event in events]
        assert {event.connection for event in events} == {7}
        assert times == sorted(times)


async def test_nothing_of_what_was_said_is_in_the_repr_of_an_event() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events, token="s3cret", headers={"X": "s3cret"}):
        assert "s3cret" not in repr(events)


async def test_compressed_messages_are_told_as_what_they_say() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events, compress=True) as connection:
        assert events[1].facts["extensions"] == ["permessage-deflate"]
        server.post(["again", "again"])
        logs = [payload.decode() for payload in await connection.batch()]
        told = [event.data for event in events if event.kind == "text"]
        assert told[:3] == [AUTH, '{"type":"auth_success"}', EVERYTHING]
        assert told[3 : 3 + len(logs)] == logs


async def test_traffic_counts_the_bytes_that_crossed_the_wire() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server:
        plain, squeezed = await opened(server, events), await opened(server, events, compress=True)
        await server.until_subscribed(2)
        server.post("x" * 10_000)
        await plain.batch()
        await squeezed.batch()
        assert plain.traffic is not None
        assert squeezed.traffic is not None
        assert plain.traffic[0] > 10_000 > 1_000 > squeezed.traffic[0] > 0
        # Each short client frame has a head of two bytes and a mask of four.
        assert plain.traffic[1] == sum(6 + len(frame) for frame in (AUTH, EVERYTHING))
        await plain.close()
        await squeezed.close()


async def test_without_a_tap_no_traffic_is_counted() -> None:
    async with (
        FakeServer() as server,
        await open_connection(target(server.api_url), EVERYTHING) as connection,
    ):
        assert connection.traffic is None


# Frames


async def test_frames_that_came_with_the_response_are_told_after_it() -> None:
    events: list[WireEvent] = []
    connection = tapped(events)
    connection.data_received(response(key_of(connection)) + text(b"early"))
    assert kinds(events) == [("client", "upgrade"), ("server", "upgrade_ok"), ("server", "text")]
    assert await connection.batch() == [b"early"]


async def test_an_answer_to_a_ping_is_told_after_the_ping() -> None:
    events: list[WireEvent] = []
    upgraded(events).data_received(frame(FINAL | PING, b"p") + text(b"a"))
    assert [(event.direction, event.kind, event.data) for event in events] == [
        ("server", "ping", b"p"),
        ("server", "text", "a"),
        ("client", "pong", b"p"),
    ]


async def test_fragments_are_told_one_by_one_as_bytes() -> None:
    events: list[WireEvent] = []
    connection = upgraded(events)
    connection.data_received(frame(TEXT, b"\xc3") + frame(CONT, b"\xa9") + frame(FINAL | CONT, b"!"))
    assert [(event.kind, event.data, dict(event.facts)) for event in events] == [
        ("text", b"\xc3", {"size": 1, "fin": False}),
        ("continuation", b"\xa9", {"size": 1, "fin": False}),
        ("continuation", b"!", {"size": 1, "fin": True}),
    ]
    assert await connection.batch() == ["\u00e9!".encode()]


@pytest.mark.parametrize(
    ("data", "kind", "told", "size"),
    [
        pytest.param(text("h\u00e9".encode()), "text", "h\u00e9", 3, id="text"),
        pytest.param(text(b"\xff"), "text", "\\xff", 1, id="text that is none"),
        pytest.param(frame(FINAL | 0x2, b"\x00\xff"), "binary", b"\x00\xff", 2, id="binary"),
        pytest.param(frame(FINAL | 0xA, b"late"), "pong", b"late", 4, id="a pong nobody asked for"),
        pytest.param(text(b"x" * 70_000), "text", "x" * 70_000, 70_000, id="a long text"),
    ],
)
async def test_frames_are_told_with_their_size(data: bytes, kind: str, told: object, size: int) -> None:
    events: list[WireEvent] = []
    upgraded(events).data_received(data)
    (event,) = events
    assert (event.kind, event.data, dict(event.facts)) == (kind, told, {"size": size, "fin": True})


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (closing(1008, b"Invalid token"), 1008, "Invalid token"),
        (frame(FINAL | 0x8), 1005, ""),
        (closing(1012), 1012, ""),
    ],
)
async def test_a_close_frame_is_told_with_code_and_reason(data: bytes, code: int, reason: str) -> None:
    events: list[WireEvent] = []
    upgraded(events).data_received(data)
    assert kinds(events) == [("server", "close"), ("client", "close")]
    assert [(event.facts["code"], event.data) for event in events] == [(code, reason)] * 2


@pytest.mark.parametrize(("size", "width"), [(0, 0), (125, 0), (126, 2), (65_535, 2), (65_536, 8)])
async def test_client_frames_of_every_length_are_told(size: int, width: int) -> None:
    events: list[WireEvent] = []
    connection = upgraded(events)
    await connection.send("x" * size)
    (event,) = events
    assert (event.kind, event.data) == ("text", "x" * size)
    assert connection.bytes_written == 2 + width + 4 + size


async def test_an_invalid_frame_is_not_told_but_the_answer_to_it_is() -> None:
    events: list[WireEvent] = []
    upgraded(events).data_received(frame(FINAL | RSV1 | TEXT, b"not negotiated"))
    assert kinds(events) == [("client", "close")]
    assert events[0].facts["code"] == 1002


# Refusals and ends


async def test_a_refusal_is_told_with_its_body() -> None:
    events: list[WireEvent] = []
    async with HttpPeer(reply(b"no entry", 403)) as peer:
        with pytest.raises(RawlogsError):
            await open_connection(target(peer.api_url), EVERYTHING, tap=events.append)
    assert kinds(events) == [("client", "upgrade"), ("server", "refused")]
    assert (events[1].data, events[1].facts["status"], events[1].facts["subprotocol"]) == (
        b"no entry",
        403,
        None,
    )


async def test_an_upgrade_with_the_wrong_key_is_a_refusal() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server:
        server.script([WrongAccept()])
        with pytest.raises(RawlogsError):
            await open_connection(target(server.api_url), EVERYTHING, tap=events.append)
    assert kinds(events) == [("client", "upgrade"), ("server", "refused")]


async def test_a_redirect_is_told_as_a_refusal_and_another_upgrade() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server:
        server.fault("logs", Redirect("/api/logs/out"), times=1)
        async with await opened(server, events):
            assert kinds(events)[:4] == [
                ("client", "upgrade"),
                ("server", "refused"),
                ("client", "upgrade"),
                ("server", "upgrade_ok"),
            ]


async def test_a_server_that_hangs_up_instead_of_answering_is_told_as_the_request_alone() -> None:
    events: list[WireEvent] = []
    async with HttpPeer(CLOSE) as peer:
        with pytest.raises(RawlogsError):
            await open_connection(target(peer.api_url), EVERYTHING, tap=events.append)
    assert kinds(events) == [("client", "upgrade")]


async def test_a_line_cut_by_the_server_is_a_drop() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events) as connection:
        await server.drop_all()
        with pytest.raises(RawlogsError):
            await connection.batch()
        assert kinds(events)[-1] == ("server", "drop")


async def test_a_line_cut_here_is_the_clients_drop() -> None:
    events: list[WireEvent] = []
    async with FakeServer() as server, await opened(server, events) as connection:
        connection.abort()
        with pytest.raises(RawlogsError):
            await connection.batch()
        assert kinds(events)[-1] == ("client", "drop")


async def test_a_refused_token_is_told_up_to_the_close_frame() -> None:
    events: list[WireEvent] = []
    async with FakeServer(Behaviour(auth_string="admin:pass")) as server:
        with pytest.raises(RawlogsError):
            await open_connection(target(server.api_url), EVERYTHING, tap=events.append)
    assert kinds(events)[2:] == [("client", "text"), ("server", "close"), ("client", "close")]
    assert events[3].facts["code"] == 1008
