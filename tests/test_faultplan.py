"""Each step of a script, and each toxic, does to a plain client what its name says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fake_client import AUTH, DROPPED, EVERYTHING, api, ending, messages, socket, subscriber
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from rawlogs.testing import FakeServer
from rawlogs.testing.faults import (
    Abort,
    Accept,
    AuthFailure,
    BadFrame,
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
    Late,
    Linger,
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
    Throttle,
    Truncate,
    WrongAccept,
)

SOON = 0.05
"""Seconds after which silence counts as silence."""


async def silent(waiting: Any) -> bool:
    """Whether that does not end soon."""
    done, _ = await asyncio.wait({task := asyncio.ensure_future(waiting)}, timeout=SOON)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return not done


# Instead of the upgrade.


@pytest.mark.parametrize(
    ("step", "status"),
    [
        pytest.param(Http(503, {"Retry-After": "7"}, "busy"), 503, id="503"),
        pytest.param(Http(599), 599, id="a status without a name"),
        pytest.param(Html(), 200, id="captive portal"),
    ],
)
async def test_upgrade_can_be_answered_with_any_status(step: Step, status: int) -> None:
    async with FakeServer() as server:
        server.fault("logs", step)
        with pytest.raises(InvalidStatus) as refused:
            async with socket(server):
                pass
        response = refused.value.response
        assert response.status_code == status
        if isinstance(step, Http) and step.headers:
            assert (response.headers["retry-after"], response.body) == ("7", b"busy")


async def test_redirect_is_followed_to_where_it_points() -> None:
    async with FakeServer() as server, FakeServer() as other:
        server.fault("logs", Redirect(f"{other.api_url}/logs/out".replace("http", "ws")))
        async with socket(server):
            assert len(other.connections) == 1


@pytest.mark.parametrize(
    ("steps", "raised"),
    [
        pytest.param([Drop()], InvalidHandshake, id="drop"),
        pytest.param([Raw(b"SSH-2.0-OpenSSH_9.6\r\n"), Drop()], InvalidHandshake, id="another service"),
        pytest.param([Raw(b"HTTP/1.1 101 Switching"), Abort()], (InvalidHandshake, OSError), id="reset"),
        pytest.param([WrongAccept()], InvalidHandshake, id="wrong accept key"),
        pytest.param([CutAfter(20), Serve()], InvalidHandshake, id="cut in the head"),
    ],
)
async def test_upgrade_can_be_broken(steps: list[Step], raised: Any) -> None:
    async with FakeServer() as server:
        server.script(steps)
        with pytest.raises(raised):
            async with socket(server):
                pass


@pytest.mark.parametrize("step", [Blackhole(), Stall("upgrade")], ids=repr)
async def test_upgrade_can_stay_unanswered(step: Step) -> None:
    async with FakeServer() as server:
        server.fault("logs", step)
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            async with socket(server, open_timeout=SOON):
                pass
        await server.until(lambda: server.connections[0].state == "ended")


async def test_subprotocol_can_be_left_out() -> None:
    async with FakeServer() as server:
        server.fault("logs", NoSubprotocol())
        async with socket(server, AUTH) as ws:
            assert ws.subprotocol is None
            assert await ending(ws) == (1002, "Expected 'filter' message")


# In the handshake.


async def test_auth_can_be_refused_as_cloud_does() -> None:
    async with FakeServer() as server:
        server.fault("logs", AuthFailure("nope"))
        async with socket(server, AUTH) as ws:
            assert json.loads(await ws.recv()) == {"type": "auth_failure", "reason": "nope"}
            assert await ending(ws) == (1008, "")


@pytest.mark.parametrize("at", ["auth", "filter"])
async def test_handshake_can_stall_while_pings_are_answered(at: Any) -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall(at))
        async with socket(server, AUTH, EVERYTHING) as ws:
            if at == "filter":
                assert await ws.recv() == '{"type":"auth_success"}'
                await server.until(lambda: server.connections[0].filter == {})
            server.post("unheard")
            await (await ws.ping())
            assert await silent(ws.recv())


async def test_close_can_stay_unanswered() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("close"))
        async with subscriber(server, close_timeout=SOON) as ws:
            await ws.close()
            assert ws.close_code == 1006
        assert server.connections[0].close_code == 1000


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(Drop(), DROPPED, id="drop"),
        pytest.param(Abort(), DROPPED, id="reset"),
        pytest.param(Close(1012), (1012, ""), id="restart"),
        pytest.param(Close(1008, "revoked"), (1008, "revoked"), id="revoked"),
        pytest.param(Close(None), (1005, ""), id="no code"),
        pytest.param(Close(999), DROPPED, id="a code that does not exist"),
        pytest.param(Raw(b"\x88\x01\x03"), DROPPED, id="half a code"),
        pytest.param(Raw(b"\xf1\x00"), DROPPED, id="reserved bits"),
    ],
)
@pytest.mark.parametrize(
    ("frames", "before"),
    [
        pytest.param([], [Accept()], id="upgraded"),
        pytest.param([AUTH], [Accept(), ExpectAuth()], id="authenticated"),
        pytest.param([AUTH, EVERYTHING], [ExpectFilter()], id="subscribed"),
    ],
)
async def test_conversation_can_end_anywhere(
    frames: list[str], before: list[Step], step: Step, expected: tuple[int | None, str]
) -> None:
    async with FakeServer() as server:
        server.script([*before, step])
        async with socket(server, *frames) as ws:
            assert await ending(ws) == expected


# While streaming.


async def test_script_says_the_whole_conversation() -> None:
    async with FakeServer() as server:
        log = {"type": "log", "log": {"message": "scripted"}}
        server.script(
            connection=0, steps=[Accept(), ExpectAuth(), ExpectFilter(), Send(log, "text", b"bin"), Drop()]
        )
        async with socket(server, AUTH, EVERYTHING) as ws:
            assert await ws.recv() == '{"type":"auth_success"}'
            assert json.loads(await ws.recv()) == log
            assert (await ws.recv(), await ws.recv()) == ("text", b"bin")
            assert await ending(ws) == DROPPED
        async with subscriber(server) as ws:
            server.post("by the model")
            assert await messages(ws, 1) == ["by the model"]


async def test_auth_can_be_read_and_not_answered() -> None:
    async with FakeServer() as server:
        server.script([ExpectAuth(answer=False), Send({"type": "log", "log": {"message": "too early"}})])
        async with socket(server, AUTH) as ws:
            assert await messages(ws, 1) == ["too early"]
            assert server.connections[0].token is None


async def test_model_serves_so_many_logs_and_then_the_script_goes_on() -> None:
    async with FakeServer() as server:
        server.script([Serve(logs=3), Drop()], connection=0)
        async with subscriber(server) as ws:
            server.post([str(number) for number in range(5)])
            assert await messages(ws, 3) == ["0", "1", "2"]
            assert await ending(ws) == DROPPED
        assert [len(sent) for sent in server.sent] == [3]


@pytest.mark.parametrize(
    ("toxic", "expected"),
    [
        pytest.param(Duplicate(), "aabbccdd", id="duplicate"),
        pytest.param(Late(2), "bcad", id="late"),
        pytest.param(Lose(2), "ac", id="lose"),
        pytest.param(Slice(1), "abcd", id="slice"),
        pytest.param(Throttle(1_000_000), "abcd", id="throttle"),
        pytest.param(Linger(0.001), "abcd", id="linger"),
        pytest.param(Sleep(0.001), "abcd", id="sleep"),
    ],
)
@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_toxic_spoils_the_stream(toxic: Step, expected: str, compression: Any) -> None:
    async with FakeServer() as server:
        server.fault("logs", toxic)
        async with subscriber(server, compression=compression) as ws:
            server.post(list("abcd"))
            assert "".join(await messages(ws, len(expected))) == expected


async def test_reordering_follows_the_seed() -> None:
    orders = []
    for seed in (1, 1, 2):
        async with FakeServer(seed=seed) as server:
            server.fault("logs", Reorder())
            async with subscriber(server) as ws:
                server.post(list("abcdefgh"))
                orders.append("".join(await messages(ws, 8)))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == list("abcdefgh")


async def test_bad_frame_comes_before_the_logs() -> None:
    async with FakeServer() as server:
        server.fault("logs", BadFrame("{broken"))
        async with subscriber(server) as ws:
            assert await ws.recv() == "{broken"
            server.post("good")
            assert await messages(ws, 1) == ["good"]


@pytest.mark.parametrize("reset", [False, True])
async def test_line_can_be_cut_inside_a_frame(reset: bool) -> None:
    async with FakeServer() as server:
        server.fault("logs", CutAfter(2000, reset=reset))
        async with subscriber(server) as ws:
            server.post("x" * 5000)
            assert await ending(ws) == DROPPED
            with pytest.raises(ConnectionClosed):
                await ws.recv()


async def test_half_open_line_answers_no_pings() -> None:
    async with FakeServer() as server:
        server.script([Serve(logs=1), Blackhole()])
        async with subscriber(server, close_timeout=SOON) as ws:
            server.post("last words")
            assert await messages(ws, 1) == ["last words"]
            server.post("unheard")
            assert await silent(await ws.ping())


# Which connection, how often.


async def test_fault_can_be_for_one_connection_or_so_many_times() -> None:
    async with FakeServer() as server:
        server.fault("logs", Http(503), times=2)
        server.fault("logs", BadFrame("third"), connection=2)
        for _ in range(2):
            with pytest.raises(InvalidStatus):
                async with socket(server):
                    pass
        async with subscriber(server) as ws:
            assert await ws.recv() == "third"
        async with subscriber(server):
            pass


async def test_faults_of_one_place_add_up_until_they_are_healed() -> None:
    async with FakeServer() as server:
        server.fault("logs", Duplicate())
        server.fault("logs", Slice(3))
        async with subscriber(server) as ws:
            server.post("a")
            assert await messages(ws, 2) == ["a", "a"]
        server.heal()
        async with subscriber(server) as ws:
            server.post(["a", "b"])
            assert await messages(ws, 2) == ["a", "b"]


async def test_events_have_faults_of_their_own() -> None:
    async with FakeServer() as server:
        server.fault("events", Http(403))
        with pytest.raises(InvalidStatus):
            async with socket(server, path="/events/out"):
                pass
        async with subscriber(server):
            pass


@pytest.mark.parametrize(
    ("where", "step"), [("rest", Close()), ("logs", Truncate()), ("events", EmptyPage())]
)
async def test_step_that_makes_no_sense_in_that_place_is_refused(where: Any, step: Step) -> None:
    async with FakeServer() as server:
        with pytest.raises(TypeError, match=f"{type(step).__name__} cannot happen"):
            server.fault(where, step)


def test_steps_are_values() -> None:
    assert Http(503, {"a": "b"}) == Http(503, {"a": "b"})
    assert repr(Send("x", "y")) == "Send('x', 'y')"
    assert repr(Slice(1)) == "Slice(size=1, pause=0.0)"


# At runtime.


@pytest.mark.parametrize("reset", [False, True])
async def test_all_sockets_can_be_dropped(reset: bool) -> None:
    async with FakeServer() as server, subscriber(server) as first, subscriber(server) as second:
        await server.drop_all(reset=reset)
        assert [await ending(ws) for ws in (first, second)] == [DROPPED, DROPPED]
        assert server.subscribed == 0


async def test_all_sockets_can_be_closed() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        closing = asyncio.create_task(server.close_all(1001, "going"))
        assert await ending(ws) == (1001, "going")
        await closing


# REST.


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(Http(500), 500, id="500"),
        pytest.param(Http(429, {"Retry-After": "1"}), 429, id="429"),
        pytest.param(Redirect("http://elsewhere.example/"), 307, id="redirect"),
        pytest.param(Html(), 200, id="captive portal"),
        pytest.param(EmptyPage(), 200, id="empty page"),
        pytest.param(Slice(1), 200, id="slice"),
        pytest.param(Sleep(0.001), 200, id="slow"),
        pytest.param(Drop(), httpx.RemoteProtocolError, id="drop"),
        pytest.param(Abort(), httpx.ReadError, id="reset"),
        pytest.param(Truncate(3), httpx.RemoteProtocolError, id="truncate"),
        pytest.param(CutAfter(30), httpx.RemoteProtocolError, id="cut in the head"),
        pytest.param(Raw(b"nonsense\r\n\r\n"), httpx.RemoteProtocolError, id="raw"),
        pytest.param(Blackhole(), httpx.ReadTimeout, id="blackhole"),
    ],
)
async def test_request_can_be_answered_badly_once(step: Step, expected: Any) -> None:
    async with FakeServer() as server, api(server, timeout=httpx.Timeout(5, read=SOON * 4)) as client:
        server.post("stored")
        server.fault("rest", step, times=1, path="/logs/filter")
        assert (await client.get("/health")).json() is True
        if isinstance(expected, int):
            answer = await client.post("/logs/filter", json={})
            assert answer.status_code == expected
            if isinstance(step, EmptyPage):
                assert answer.json() == []
            if isinstance(step, Html):
                assert answer.headers["content-type"].startswith("text/html")
        else:
            with pytest.raises(expected):
                await client.post("/logs/filter", json={})
        assert len((await client.post("/logs/filter", json={})).json()) == 1


async def test_requests_are_kept_alive_on_one_connection() -> None:
    async with FakeServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"true")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n" * 2)
        assert (await reader.readuntil(b"true")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await reader.readuntil(b"true")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()
        await writer.wait_closed()
