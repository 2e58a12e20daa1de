"""One socket from open to close: what reaches its owner, and what each way of failing is called."""

from __future__ import annotations

import asyncio
import gc
import traceback
from dataclasses import replace
from typing import Any

import pytest
from http_peer import CLOSE, HANG, RESET, HttpPeer, Step, reply
from ports import refusing_port
from wire_peers import Tunnels, client_tls, listening, saying, server_tls

from rawlogs.errors import (
    AuthError,
    CertificateError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    FilterRejected,
    ProtocolError,
    RawlogsError,
    RedirectRefused,
    UpgradeRefused,
)
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import (
    Accept,
    AuthFailure,
    Blackhole,
    Close,
    Drop,
    ExpectAuth,
    ExpectFilter,
    NoSubprotocol,
    Redirect,
    Send,
    Serve,
    Slice,
    Stall,
    WrongAccept,
)
from rawlogs.wire.connection import Connection, Target, open_connection, open_raw
from rawlogs.wire.fast import _STEADY
from rawlogs.wire.frames import decode_logs, filter_message

TOKEN = "admin:pass"
EVERYTHING = filter_message({})
SOON = 0.05


DOCTOR = "`rawlogs doctor` checks each step."
NGINX = (
    "Let it pass WebSockets on; in nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade";'
)
REFUSED_TUNNEL = (
    "The proxy does not let connections to this server through, or cannot reach it. Ask for it to be allowed, or list "
    "the host in NO_PROXY to go without the proxy."
)


def target(api_url: str, token: str | None = None, **options: Any) -> Target:
    return Target(url=f"{api_url.replace('http', 'ws', 1)}/logs/out", token=token, **options)


async def connected(server: FakeServer, token: str | None = None, **options: Any) -> Connection:
    """A connection that the server has subscribed."""
    connection = await open_connection(target(server.api_url, token, **options), EVERYTHING)
    await server.until_subscribed()
    return connection


async def failure(where: Target, filter_text: str = EVERYTHING) -> RawlogsError:
    """The error with which opening ends."""
    with pytest.raises(RawlogsError) as caught:
        await open_connection(where, filter_text)
    return caught.value


async def messages(connection: Connection, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        logs, others = decode_logs(await connection.batch())
        assert not others
        found += [log.message for log in logs]
    return found


# The conversation


@pytest.mark.parametrize(
    ("behaviour", "token"),
    [
        pytest.param(Behaviour(), None, id="no password, no token"),
        pytest.param(Behaviour(), "needless", id="a needless token"),
        pytest.param(Behaviour(auth_string=TOKEN), TOKEN, id="the right password"),
        pytest.param(Behaviour(api_key="pnu_key"), "pnu_key", id="the right key of Cloud"),
        pytest.param(Behaviour(version="3.4.7", auth_string=TOKEN), TOKEN, id="3.4.7"),
    ],
)
async def test_auth_and_filter_are_sent_in_two_frames(behaviour: Behaviour, token: str | None) -> None:
    async with FakeServer(behaviour) as server, await connected(server, token):
        (seen,) = server.connections
        assert (seen.token, seen.filter, len(seen.frames), seen.subprotocols) == (token, {}, 2, ["prefect"])


async def test_logs_arrive_in_order_and_are_counted() -> None:
    async with FakeServer() as server, await connected(server) as connection:
        server.post(["one", "two", "three"])
        assert await messages(connection, 3) == ["one", "two", "three"]
        assert (connection.received, repr(connection)) == (
            3,
            f"<Connection STREAMING {connection.url} received=3>",
        )


async def test_headers_and_a_name_of_its_own_are_sent() -> None:
    async with FakeServer() as server, await connected(server, headers={"X-Team": "a b"}):
        headers = server.connections[0].headers
        assert headers["x-team"] == "a b"
        assert headers["user-agent"].startswith("rawlogs/")


async def test_leaving_closes_with_1000() -> None:
    async with FakeServer() as server:
        async with await connected(server):
            pass
        await server.until(lambda: server.connections[0].state == "ended")
        assert server.connections[0].close_code == 1000


async def test_a_connection_can_be_closed_with_another_code() -> None:
    async with FakeServer() as server:
        connection = await connected(server)
        await connection.close(4000, "enough")
        await server.until(lambda: server.connections[0].state == "ended")
        assert (server.connections[0].close_code, server.connections[0].close_reason) == (4000, "enough")


async def test_closing_cuts_the_line_when_the_server_does_not_take_part() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("close"))
        connection = await connected(server, close_timeout=SOON)
        await asyncio.wait_for(connection.close(), 5)
        await server.until(lambda: server.connections[0].state == "ended")


async def test_a_message_of_20_megabytes_comes_through_whole() -> None:
    async with FakeServer() as server, await connected(server) as connection:
        server.post("x" * 20_000_000)
        (message,) = await messages(connection, 1)
        assert len(message) == 20_000_000


@pytest.mark.parametrize("size", [1 << 17, 1000], ids=["fast way", "library's way"])
async def test_a_message_over_max_size_ends_the_connection_with_1009(size: int) -> None:
    async with FakeServer() as server, await connected(server, max_size=size) as connection:
        server.post(["first", "x" * (size + 1)])
        assert await messages(connection, 1) == ["first"]
        with pytest.raises(ConnectionLost) as lost:
            await connection.batch()
        assert (lost.value.code, lost.value.clean) == (1009, False)
        assert lost.value.text.startswith("The connection was given up: 1009 (frame with ")


@pytest.mark.parametrize("slices", [1, 7])
async def test_a_line_that_comes_in_slices_is_not_noticed(slices: int) -> None:
    async with FakeServer() as server:
        server.fault("logs", Slice(slices))
        async with await connected(server) as connection:
            server.post(["one", "two"])
            assert await messages(connection, 2) == ["one", "two"]


async def test_compression_is_not_offered_by_default() -> None:
    async with FakeServer() as server, await connected(server) as connection:
        assert "sec-websocket-extensions" not in server.connections[0].headers
        assert connection.extensions == ()


async def test_compression_is_used_on_demand() -> None:
    async with FakeServer() as server, await connected(server, compress=True) as connection:
        assert connection.extensions == ("permessage-deflate",)
        server.post([f"again and again {number}" for number in range(200)])
        assert await messages(connection, 200) == [f"again and again {number}" for number in range(200)]


async def test_in_legacy_mode_neither_subprotocol_nor_token_is_sent() -> None:
    async with FakeServer() as server, await connected(server, TOKEN, legacy=True):
        (seen,) = server.connections
        assert (seen.subprotocols, seen.frames) == ([], [EVERYTHING])


async def test_messages_right_behind_auth_success_are_not_lost() -> None:
    async with FakeServer() as server:
        early = {"type": "log", "log": {**server.store("early")[0]}}
        server.script([Accept(), ExpectAuth(answer=False), Send({"type": "auth_success"}, early), Serve()])
        async with await open_connection(target(server.api_url), EVERYTHING) as connection:
            assert await messages(connection, 1) == ["early"]


async def test_a_raw_connection_says_nothing_by_itself() -> None:
    async with FakeServer() as server, await open_raw(target(server.api_url)) as connection:
        await connection.send('{"type":"auth","token":null}')
        assert await connection.batch() == [b'{"type":"auth_success"}']
        assert len(server.connections[0].frames) == 1


async def test_a_ping_is_answered_in_seconds() -> None:
    async with FakeServer() as server, await connected(server) as connection:
        assert await connection.ping() >= 0.0


# How it ends


@pytest.mark.parametrize(
    ("code", "reason", "clean"),
    [(1000, "", True), (1001, "bye", True), (1011, "keepalive ping timeout", False), (1012, "", False)],
)
async def test_a_close_frame_is_a_lost_connection_with_its_code(code: int, reason: str, clean: bool) -> None:
    async with FakeServer() as server, await connected(server) as connection:
        server.post("last")
        await server.close_all(code, reason)
        assert await messages(connection, 1) == ["last"]
        with pytest.raises(ConnectionLost) as lost:
            await connection.batch()
        assert (lost.value.code, lost.value.reason, lost.value.clean) == (code, reason, clean)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_cut_line_is_a_lost_connection_with_1006(reset: bool) -> None:
    async with FakeServer() as server, await connected(server) as connection:
        await server.drop_all(reset=reset)
        with pytest.raises(ConnectionLost) as lost:
            await connection.batch()
        assert (lost.value.code, lost.value.clean) == (1006, False)


@pytest.mark.parametrize("act", [Connection.batch, Connection.ping, lambda connection: connection.send("x")])
async def test_whatever_is_done_after_the_end_tells_how_it_ended(act: Any) -> None:
    async with FakeServer() as server, await connected(server) as connection:
        await server.close_all(1012)
        with pytest.raises(ConnectionLost, match="The connection ended: 1012"):
            await act(connection)


async def test_a_conversation_may_be_fed_to_a_callback_until_it_ends() -> None:
    """What came with the answer to auth is given first; the ending is what reading would have raised."""
    async with FakeServer() as server, await connected(server) as connection:
        taken: list[bytes] = []
        both = asyncio.Event()

        def take(payloads: list[bytes]) -> None:
            taken.extend(payloads)
            if len(taken) == 2:
                both.set()

        feeding = asyncio.ensure_future(connection.feed(take))
        server.post(["a", "b"])
        await both.wait()
        await server.close_all(1012)
        with pytest.raises(ConnectionLost, match="The connection ended: 1012"):
            await feeding
        assert [log.message for log in decode_logs(taken)[0]] == ["a", "b"]
        assert connection.received == 2


@pytest.mark.parametrize("end", ["close", "cancel"])
async def test_a_stream_of_small_reads_is_left_unread_for_a_moment_but_never_beyond_the_end(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Small reads that follow each other begin the rest; who closes, or gives up, ends it. Here it is of a minute."""
    monkeypatch.setattr("rawlogs.wire.fast._REST", 60.0)
    monkeypatch.setattr("rawlogs.wire.fast._SOON", 60.0)
    async with FakeServer() as server, await connected(server) as connection:
        taken: list[bytes] = []
        more = asyncio.Event()

        def take(payloads: list[bytes]) -> None:
            taken.extend(payloads)
            more.set()

        feeding = asyncio.ensure_future(connection.feed(take))
        transport = connection._socket.transport
        for name in range(_STEADY + 1):
            assert transport.is_reading()
            more.clear()
            server.post(str(name))
            await more.wait()
        assert not transport.is_reading()
        server.post("last")
        if end == "close":
            await connection.close()
            with pytest.raises(ConnectionLost):
                await feeding
            assert [log.message for log in decode_logs(taken)[0]][-2:] == [str(_STEADY), "last"]
        else:
            feeding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await feeding
            assert transport.is_reading()


async def test_a_filter_that_the_server_cannot_read_is_a_drop_without_a_word() -> None:
    async with FakeServer() as server:
        connection = await open_connection(target(server.api_url), filter_message({"nonsense": 1}))
        with pytest.raises(ConnectionLost) as lost:
            await connection.batch()
        assert (lost.value.code, connection.received) == (1006, 0)


async def test_1002_after_the_filter_is_a_rejected_filter() -> None:
    async with FakeServer() as server:
        server.script([Accept(), ExpectAuth(), ExpectFilter(), Close(1002, "Invalid filter: 'filter'")])
        connection = await open_connection(target(server.api_url), EVERYTHING)
        with pytest.raises(FilterRejected, match="The server rejected the filter: Invalid filter: 'filter'"):
            await connection.batch()


async def test_1008_while_streaming_is_a_revoked_key() -> None:
    async with FakeServer() as server, await connected(server, TOKEN) as connection:
        await server.close_all(1008, "Token revoked")
        with pytest.raises(AuthError, match="Unable to authenticate: Token revoked"):
            await connection.batch()


async def test_a_server_that_does_not_answer_pings_is_given_up_with_1011() -> None:
    async with FakeServer() as server:
        server.script([Accept(), ExpectAuth(), ExpectFilter(), Blackhole()])
        where = target(server.api_url, ping_interval=SOON, ping_timeout=SOON, close_timeout=SOON)
        async with await open_connection(where, EVERYTHING) as connection:
            with pytest.raises(ConnectionLost) as lost:
                await connection.batch()
    assert lost.value.code == 1011
    assert lost.value.text == "The connection was given up: 1011 (keepalive ping timeout)"


# Auth


@pytest.mark.parametrize(
    ("behaviour", "token", "code", "reason"),
    [
        (Behaviour(auth_string=TOKEN), "admin:wrong", 1008, "Invalid token"),
        (Behaviour(auth_string=TOKEN), None, 1008, "Auth required but no token provided"),
        (Behaviour(api_key="pnu_key"), "pnu_other", None, "Invalid API key"),
    ],
    ids=["wrong token", "no token", "auth_failure of Cloud"],
)
async def test_a_refused_token_is_an_auth_error_after_one_connection(
    behaviour: Behaviour, token: str | None, code: int | None, reason: str
) -> None:
    async with FakeServer(behaviour) as server:
        error = await failure(target(server.api_url, token))
        assert isinstance(error, AuthError)
        assert (error.code, error.reason) == (code, reason)
        assert len(server.connections) == 1
        assert token is None or token not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("steps", "kind", "text"),
    [
        pytest.param([AuthFailure("nope")], AuthError, "Unable to authenticate: nope", id="auth_failure"),
        pytest.param(
            [NoSubprotocol(), ExpectAuth(answer=False), Close(1002, "Expected 'filter' message")],
            ProtocolError,
            "{url} accepted the WebSocket without the subprotocol 'prefect', and hung up while authenticating "
            "(1002 'Expected 'filter' message': the server rejected what it was sent)",
            id="no subprotocol",
        ),
        pytest.param(
            [Accept(), ExpectAuth(answer=False), Send("hello")],
            ProtocolError,
            "{url} answered the auth message with something else: hello",
            id="another answer",
        ),
        pytest.param(
            [Accept(), ExpectAuth(answer=False), Drop()],
            ConnectError,
            "{url} hung up while authenticating (1006: no close frame: a crash, the network, or a rejected filter)",
            id="drop",
        ),
        pytest.param(
            [Accept(), ExpectAuth(answer=False), Close(1012)],
            ConnectError,
            "{url} hung up while authenticating (1012: the server is restarting)",
            id="restart",
        ),
        pytest.param(
            [Accept(), ExpectAuth(answer=False), Close(999)],
            ConnectError,
            "{url}: The connection was given up: 1002 (invalid status code)",
            id="not a WebSocket's words",
        ),
    ],
)
async def test_what_goes_wrong_while_authenticating(steps: Any, kind: type[RawlogsError], text: str) -> None:
    async with FakeServer() as server:
        server.script(steps)
        where = target(server.api_url, TOKEN)
        error = await failure(where)
        assert (type(error), error.text) == (kind, text.format(url=where.url))
        await server.until(lambda: server.connections[0].state == "ended")


async def test_a_server_that_does_not_answer_auth_is_given_up() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("auth"))
        error = await failure(target(server.api_url, auth_timeout=SOON))
        assert isinstance(error, ConnectError)
        assert (error.phase, error.text) == (
            "auth",
            f"{error.url} accepted the WebSocket but did not answer the auth message within 0.05 s",
        )
        await server.until(lambda: server.connections[0].state == "ended")


# The upgrade


@pytest.mark.parametrize(
    ("step", "kind", "text", "cause"),
    [
        pytest.param(
            reply(b"no entry", 401),
            AuthError,
            "HTTP 401: no entry",
            "A proxy in front of Prefect wants credentials of its own (Prefect itself never answers an upgrade with "
            "401). Give them with PREFECT_CLIENT_CUSTOM_HEADERS or -H 'Authorization: Basic ...'.",
            id="401",
        ),
        pytest.param(
            reply(b"", 403),
            UpgradeRefused,
            "HTTP 403",
            "This path is no WebSocket (is the API under another base path?), the server is older than 3.4.7, or "
            "a proxy refuses the path /logs/out or "
            "strips "
            "the header Sec-WebSocket-Protocol. Check PREFECT_API_URL and the proxy. A server from 3.4.7 on also needs "
            "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true and PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true.",
            id="403",
        ),
        pytest.param(
            reply({"detail": "Not Found"}, 404),
            UpgradeRefused,
            'HTTP 404: {"detail": "Not Found"}',
            "No Prefect API answers at {url}, or a proxy drops the headers Upgrade and Connection. Check "
            f"PREFECT_API_URL. If a proxy is in front: {NGINX}",
            id="404",
        ),
        pytest.param(
            reply(b"\x1b[31mred\r\n  alert", 400),
            UpgradeRefused,
            "HTTP 400: \\x1b[31mred alert",
            "A proxy in between does not pass the WebSocket upgrade on: it speaks HTTP/1.0 to the server, or drops the "
            f"headers Upgrade and Connection. {NGINX}",
            id="400",
        ),
        pytest.param(
            reply(b"The plain HTTP request was sent to HTTPS port", 400),
            UpgradeRefused,
            "HTTP 400: The plain HTTP request was sent to HTTPS port",
            "This port speaks TLS, but PREFECT_API_URL begins with http://. Use https:// in PREFECT_API_URL.",
            id="400 of a TLS port",
        ),
        pytest.param(
            reply(b"", 426),
            UpgradeRefused,
            "HTTP 426",
            "A proxy in between does not pass the WebSocket upgrade on: it speaks HTTP/1.0 to the server, or drops the "
            f"headers Upgrade and Connection. {NGINX}",
            id="426",
        ),
        pytest.param(
            reply(b"<html>Bad Gateway</html>", 502),
            UpgradeRefused,
            "HTTP 502: Bad Gateway",
            "The proxy in front cannot reach the Prefect server. Is the server running, and does the proxy know "
            "its right "
            "address and port?",
            id="502",
        ),
        pytest.param(
            reply(b"<title>Sign in</title>", 200),
            UpgradeRefused,
            "HTTP 200: <title>Sign in</title>",
            "Something other than a Prefect API answered with a web page: a login page, a captive portal, or the "
            "UI. Open "
            "{url} in a browser and see who answers. A proxy that asks for a login needs a way around it for the "
            "API, or a "
            "header (PREFECT_CLIENT_CUSTOM_HEADERS); a UI means that /api is missing at the URL's end.",
            id="a login page",
        ),
        pytest.param(
            reply(b"", 418),
            UpgradeRefused,
            "HTTP 418",
            "The answer is not one that Prefect gives to an upgrade. See who answers at {url}.",
            id="a teapot",
        ),
    ],
)
async def test_a_refused_upgrade_says_what_to_try(
    step: Step, kind: type[RawlogsError], text: str, cause: str
) -> None:
    async with HttpPeer(step) as peer:
        where = target(peer.api_url, TOKEN)
        error = await failure(where)
        assert (type(error), error.text) == (kind, f"{where.url} answered the WebSocket upgrade with {text}")
        assert error.hint == f"{cause.format(url=where.url)} {DOCTOR}"


@pytest.mark.parametrize(
    ("status", "kind", "cause"),
    [
        (401, AuthError, "A proxy in front of Prefect wants credentials of its own"),
        (404, UpgradeRefused, "No Prefect API answers at"),
        (502, UpgradeRefused, "The proxy in front cannot reach the Prefect server"),
        (200, UpgradeRefused, "it speaks HTTP/1.0 to the server"),
    ],
)
async def test_a_status_in_http_1_0_is_told_as_what_it_is(
    status: int, kind: type[RawlogsError], cause: str
) -> None:
    """The library reads HTTP/1.1 only; what it says would be told as TLS, or as no HTTP."""
    answer = f"HTTP/1.0 {status} Because\r\nContent-Length: 0\r\n\r\n".encode()
    async with HttpPeer(Step(answer, "close")) as peer:
        where = target(peer.api_url)
        error = await failure(where)
        text = f"{where.url} answered the WebSocket upgrade with HTTP/1.0 {status}"
        assert (type(error), error.text) == (kind, text)
        assert cause in (error.hint or "")


async def test_of_a_long_body_200_characters_are_kept() -> None:
    async with HttpPeer(reply(b"x" * 100_000, 500)) as peer:
        error = await failure(target(peer.api_url))
        assert isinstance(error, UpgradeRefused)
        assert error.body == "x" * 200


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "-7"}, 0.0),
        ({"Retry-After": "86400"}, 300.0),
        ({"Retry-After": "later"}, None),
        ({"Date": "Thu, 01 Jan 2026 12:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 2026 12:00:30 GMT"}, 0.0),
        ({"Retry-After": "9\r\nRetry-After: 11"}, 9.0),
    ],
    ids=[
        "none",
        "seconds",
        "negative",
        "huge",
        "garbage",
        "date by the server's clock",
        "past date",
        "twice",
    ],
)
async def test_retry_after_is_told_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    async with HttpPeer(reply(b"", 429, headers)) as peer:
        error = await failure(target(peer.api_url))
        assert isinstance(error, UpgradeRefused)
        assert (error.status, error.retry_after) == (429, seconds)


HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param(
            HEAD + b"\r\n", "accepted the upgrade wrongly: missing Sec-WebSocket-Accept header", id="no key"
        ),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "accepted the upgrade wrongly: missing Connection header",
            id="no Upgrade",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 300 + b"\r\n",
            "does not answer like an HTTP server: ",
            id="too many headers",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 100_000 + b"\r\n\r\n",
            "does not answer like an HTTP server: ",
            id="a header without end",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            "does not answer like an HTTP server: ",
            id="a broken header",
        ),
        pytest.param(
            b"SSH-2.0-OpenSSH_9.6\r\n" * 2, "does not answer like an HTTP server: ", id="an SSH server"
        ),
        pytest.param(b"x" * 20_000, None, id="no line at all"),
    ],
)
async def test_an_answer_that_is_no_upgrade_is_a_protocol_error(data: bytes, text: str | None) -> None:
    async with listening(saying(data)) as port:
        error = await failure(target(f"http://127.0.0.1:{port}/api", TOKEN))
        assert isinstance(error, ProtocolError)
        assert error.text.startswith(f"127.0.0.1:{port} {text or ''}")
        assert len(error.text) < 200


async def test_a_banner_is_quoted() -> None:
    async with listening(saying(b"SSH-2.0-OpenSSH_9.6\r\n", after=False)) as port:
        error = await failure(target(f"http://127.0.0.1:{port}/api"))
        assert "SSH-2.0-OpenSSH_9.6" in error.text
        assert (
            error.hint
            == "What listens there does not answer as an HTTP server does: it speaks TLS, or is another program. "
            f"If it speaks TLS, use https:// in PREFECT_API_URL. Else check host and port. {DOCTOR}"
        )


@pytest.mark.parametrize(
    "steps", [[WrongAccept()], [Accept(subprotocol="prefect, prefect")], [Accept(subprotocol="other")]]
)
async def test_an_upgrade_that_was_not_asked_for_is_a_protocol_error(steps: Any) -> None:
    async with FakeServer() as server:
        server.script(steps)
        error = await failure(target(server.api_url, TOKEN))
        assert isinstance(error, ProtocolError)
        assert "accepted the upgrade wrongly: " in error.text
        assert server.connections[0].frames == []


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/api/logs/out", "out", "{http}/api/logs/out", "{ws}/api/logs/out", "{ws}/api/logs/out#part"]
)
async def test_a_redirect_within_the_origin_is_followed(status: int, location: str) -> None:
    async with FakeServer() as server:
        where = location.format(http=server.origin, ws=server.origin.replace("http", "ws"))
        server.fault("logs", Redirect(where, status), times=1)
        async with await connected(server) as connection:
            assert connection.url == target(server.api_url).url
            assert len(server.connections) == 2


async def test_the_url_of_a_connection_is_where_redirects_led() -> None:
    async with FakeServer() as server:
        server.fault("logs", Redirect("/api/logs/out?node=2"), times=1)
        async with await connected(server) as connection:
            assert connection.url == target(server.api_url).url + "?node=2"


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://127.0.0.1:{other}/api/logs/out", "http://127.0.0.1:{other}"),
        ("ws://user:pw@127.0.0.1:{other}/", "ws://127.0.0.1:{other}"),
        ("//127.0.0.1:{other}/api/logs/out", "http://127.0.0.1:{other}"),
        ("http://127.0.0.1:{own}@127.0.0.1:{other}/", "http://127.0.0.1:{other}"),
        ("https://127.0.0.1:{own}/api/logs/out", "https://127.0.0.1:{own}"),
        ("http://localhost:{own}/api/logs/out", "http://localhost:{own}"),
        ("file:///etc/passwd", "file://None"),
        ("http://[::1", "://None"),
        ("http://127.0.0.1:99999999/", "(unreadable)"),
    ],
)
async def test_a_redirect_to_another_origin_is_refused_and_nothing_goes_there(
    location: str, shown: str
) -> None:
    async with FakeServer(Behaviour(auth_string=TOKEN)) as server, HttpPeer() as other:
        ports = {"own": server.port, "other": other.port}
        server.fault("logs", Redirect(location.format(**ports)))
        where = target(server.api_url, TOKEN)
        error = await failure(where)
        assert isinstance(error, RedirectRefused)
        assert (
            error.text
            == f"{where.url} redirects to {shown.format(**ports)}, which is another server: not followed"
        )
        assert (error.status, error.location) == (307, location.format(**ports))
        assert (other.connections, len(server.connections)) == (0, 1)


async def test_redirects_are_followed_five_times() -> None:
    async with FakeServer() as server:
        server.fault("logs", Redirect("/api/logs/out"))
        error = await failure(target(server.api_url))
        assert type(error) is UpgradeRefused
        assert error.text.endswith("redirects in a loop (5 redirects)")
        assert len(server.connections) == 6


async def test_a_redirect_without_a_location_is_a_refusal() -> None:
    async with HttpPeer(reply(b"", 302)) as peer:
        error = await failure(target(peer.api_url))
        assert isinstance(error, UpgradeRefused)
        assert error.status == 302


# Names, ports, silence


async def test_a_name_that_does_not_resolve() -> None:
    error = await failure(target("http://nowhere.invalid:4200/api"))
    assert isinstance(error, ConnectError)
    assert error.phase == "dns"
    assert error.text.startswith("The name nowhere.invalid does not resolve (")
    assert error.hint is not None
    assert "Check the host" in error.hint
    assert error.hint.endswith(DOCTOR)


async def test_a_name_that_cannot_be_one() -> None:
    error = await failure(target(f"http://{'x' * 64}.example:4200/api"))
    assert isinstance(error, (ConfigError, ConnectError))
    assert "x" * 64 in error.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_where_nobody_listens(host: str) -> None:
    with refusing_port() as port:
        error = await failure(target(f"http://{host}:{port}/api"))
    assert isinstance(error, ConnectError)
    assert (error.text, error.phase) == (f"No connection to {host}:{port}: Connection refused", "tcp")
    assert error.hint == (
        "Nothing listens on this port. Is the server running there, and is the port in PREFECT_API_URL right? In "
        "a container localhost is "
        f"the container itself. {DOCTOR}"
    )


@pytest.mark.parametrize("step", [CLOSE, RESET], ids=["end", "reset"])
async def test_a_server_that_hangs_up_instead_of_answering(step: Step) -> None:
    async with HttpPeer(step) as peer:
        error = await failure(target(peer.api_url))
        assert isinstance(error, ConnectError)
        assert (error.phase, error.text) == (
            "upgrade",
            f"127.0.0.1:{peer.port} hung up instead of answering the WebSocket upgrade",
        )


async def test_a_server_that_never_answers() -> None:
    async with HttpPeer(HANG) as peer:
        error = await failure(target(peer.api_url, open_timeout=SOON))
        assert isinstance(error, ConnectError)
        assert (error.phase, error.text) == ("timeout", f"127.0.0.1:{peer.port} did not answer in time")


async def test_cancelling_an_upgrade_leaves_no_socket() -> None:
    async with HttpPeer(HANG) as peer:
        opening = asyncio.ensure_future(open_connection(target(peer.api_url), EVERYTHING))
        await peer.asked.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        del opening
        gc.collect()  # an unclosed transport warns, and a warning is an error


async def test_cancelling_the_wait_for_auth_cuts_the_line() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("auth"))
        opening = asyncio.ensure_future(open_connection(target(server.api_url), EVERYTHING))
        await server.until(lambda: server.connections and server.connections[0].frames)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await server.until(lambda: server.connections[0].state == "ended")


# TLS


async def test_tls_with_a_certificate_that_is_trusted() -> None:
    async with (
        FakeServer(tls=server_tls()) as server,
        await connected(server, tls=client_tls()) as connection,
    ):
        server.post("hidden")
        assert await messages(connection, 1) == ["hidden"]


async def test_a_certificate_that_is_not_trusted() -> None:
    async with FakeServer(tls=server_tls()) as server:
        error = await failure(target(server.api_url, TOKEN, tls=client_tls(None)))
        assert isinstance(error, CertificateError)
        assert error.text == (
            f"127.0.0.1:{server.port} showed a TLS certificate that is not accepted: self-signed certificate"
        )
        assert error.hint == (
            "The certificate is self-signed, so no CA confirms it. Name it in PREFECT_API_SSL_CERT_FILE (--cacert "
            "FILE), "
            f"or skip the check with PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k). {DOCTOR}"
        )
        assert server.connections == []


async def test_tls_spoken_to_a_plain_port() -> None:
    async with listening(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        error = await failure(target(f"https://127.0.0.1:{port}/api", tls=client_tls()))
        assert isinstance(error, ConnectError)
        assert error.phase == "tls-mismatch"
        assert error.text.startswith(f"No TLS with 127.0.0.1:{port}: ")
        assert error.hint == (
            "This port seems to speak plain HTTP, but PREFECT_API_URL begins with https://. Use http:// instead of "
            f"https:// in PREFECT_API_URL. {DOCTOR}"
        )


async def test_plain_words_spoken_to_a_tls_port() -> None:
    async with FakeServer(tls=server_tls()) as server:
        where = target(server.api_url.replace("https", "http"))
        error = await failure(where)
        assert isinstance(error, ConnectError)
        assert (error.phase, error.hint) == (
            "upgrade",
            "What listens there hangs up on HTTP: it speaks TLS or another protocol, or the server is stopping. If it "
            "speaks TLS, use https:// in PREFECT_API_URL. Else check host and port, and look at the server's log. "
            f"{DOCTOR}",
        )


async def test_a_server_that_hangs_up_during_the_tls_handshake() -> None:
    async with listening(saying(b"")) as port:
        error = await failure(target(f"https://127.0.0.1:{port}/api", tls=client_tls()))
        assert isinstance(error, ConnectError)
        assert (error.phase, error.hint) == (
            "upgrade",
            "The server, or a proxy in between, hangs up: it is stopping, or another protocol is spoken there. Check "
            f"host and port of PREFECT_API_URL, and look at the server's log. {DOCTOR}",
        )
        assert error.text == f"127.0.0.1:{port} hung up during the TLS handshake"


# Proxies


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_proxy_is_gone_through(tls: bool) -> None:
    tunnels = Tunnels()
    async with FakeServer(tls=server_tls() if tls else None) as server, listening(tunnels) as port:
        options: dict[str, Any] = {"tls": client_tls()} if tls else {}
        async with await connected(server, proxy=f"http://me:pw@127.0.0.1:{port}", **options) as connection:
            server.post("through")
            assert await messages(connection, 1) == ["through"]
            assert f"CONNECT 127.0.0.1:{server.port} HTTP/1.1" in tunnels.asked[0]
            assert "Proxy-Authorization: Basic bWU6cHc=" in tunnels.asked[0]


@pytest.mark.filterwarnings(
    # start_tls() of Python 3.10 closes the socket, but not the object around it.
    "ignore:Exception ignored in. <function _SSLProtocolTransport:pytest.PytestUnraisableExceptionWarning"
)
async def test_a_certificate_behind_a_proxy_is_checked() -> None:
    async with FakeServer(tls=server_tls()) as server, listening(Tunnels()) as port:
        where = target(server.api_url, tls=client_tls(None), proxy=f"http://127.0.0.1:{port}")
        assert isinstance(await failure(where), CertificateError)
    gc.collect()


@pytest.mark.parametrize(
    ("status", "phase", "hint"),
    [
        (
            407,
            "proxy-auth",
            "The proxy wants credentials. Put them into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port).",
        ),
        (502, "proxy", REFUSED_TUNNEL),
        (403, "proxy", REFUSED_TUNNEL),
    ],
)
async def test_a_proxy_that_makes_no_tunnel(status: int, phase: str, hint: str) -> None:
    async with HttpPeer(reply(b"", status)) as peer:
        where = target("http://prefect.example:4200/api", proxy=f"http://me:pw@127.0.0.1:{peer.port}")
        error = await failure(where)
        assert isinstance(error, ConnectError)
        assert error.text == (
            f"The proxy http://127.0.0.1:{peer.port} refused a tunnel to prefect.example:4200 (HTTP {status})"
        )
        assert (error.phase, error.hint) == (phase, f"{hint} {DOCTOR}")


async def test_a_proxy_that_is_down() -> None:
    with refusing_port() as port:
        error = await failure(target("http://prefect.example/api", proxy=f"http://me:pw@127.0.0.1:{port}"))
    assert isinstance(error, ConnectError)
    assert (error.phase, error.text) == (
        "proxy",
        f"No connection to prefect.example through the proxy http://127.0.0.1:{port}: Connection refused",
    )


async def test_a_proxy_whose_name_does_not_resolve() -> None:
    error = await failure(target("http://prefect.example/api", proxy="http://me:pw@nowhere.invalid:3128"))
    assert isinstance(error, ConnectError)
    assert error.phase == "dns"
    assert error.text.startswith("The name nowhere.invalid does not resolve (")
    assert error.hint is not None
    assert "Check the host" in error.hint
    assert "proxy setting" in error.hint
    assert error.hint.endswith(DOCTOR)


async def test_a_proxy_that_is_none() -> None:
    async with listening(saying(b"SSH-2.0-OpenSSH_9.6\r\n")) as port:
        error = await failure(target("http://prefect.example/api", proxy=f"http://127.0.0.1:{port}"))
        assert isinstance(error, ConnectError)
        assert error.phase == "proxy"
        assert error.text.startswith(f"The proxy http://127.0.0.1:{port} cannot be used: ")


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("ftp://me:pw-1@127.0.0.1:1", "ftp://127.0.0.1:1"),
        ("http://me:pw-1@127.0.0.1:99999", "(unreadable)"),
        ("http://me:pw-1@127.0.0.1:port", "(unreadable)"),
        ("http://:pw-1@", "http://None"),
    ],
)
async def test_a_url_that_is_no_proxys_is_a_config_error_without_the_password(proxy: str, shown: str) -> None:
    error = await failure(target("http://prefect.example/api", proxy=proxy))
    assert isinstance(error, ConfigError)
    assert error.text == f"The proxy {shown} cannot be used"
    assert "pw-1" not in "".join(traceback.format_exception(error))


async def test_a_socks_proxy_needs_one_more_package() -> None:
    error = await failure(target("http://prefect.example/api", proxy="socks5://me:pw@127.0.0.1:1080"))
    assert isinstance(error, ConfigError)
    assert error.text == "The proxy socks5://127.0.0.1:1080 is a SOCKS proxy, which needs one more package"


# What is asked for


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/api", "ws://", "ws://127.0.0.1:99999/", "nonsense"], ids=str
)
async def test_a_url_that_is_no_websocket(url: str) -> None:
    error = await failure(Target(url=url))
    assert isinstance(error, (ConfigError, ProtocolError))


def test_a_target_hides_what_is_secret() -> None:
    where = Target("ws://h/", "s3cret", {"X": "s3cret"}, proxy="http://me:s3cret@p")
    assert "s3cret" not in repr(where)
    assert replace(where, token=None).url == "ws://h/"
