"""The fake server answers as Prefect does: the facts are those seen on servers from 3.4.0 to 3.8.8."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from socket import create_connection
from typing import Any
from uuid import uuid4

import pytest
from clocks import StandingClock
from fake_client import AUTH, DROPPED, EVERYTHING, api, ending, messages, socket, subscriber
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, InvalidStatus

import rawlogs
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Slice, Stall

RUN = "0d88f0a1-0000-4000-8000-000000000001"
TASK = "0d88f0a1-0000-4000-8000-000000000002"
MOMENT = "2026-01-01T00:00:00Z"


# The upgrade.


@pytest.mark.parametrize(
    ("version", "auth", "offered", "outcome"),
    [
        pytest.param("3.8.8", None, ["prefect"], "prefect", id="prefect is chosen"),
        pytest.param("3.4.7", None, [], 403, id="3.4.7 refuses a client without the subprotocol"),
        pytest.param("3.5.0", None, ["foo"], 403, id="3.5.0 refuses another subprotocol"),
        pytest.param("3.6.29", None, [], None, id="3.6.29 accepts a client without it in legacy mode"),
        pytest.param("3.6.29", None, ["foo", "prefect"], None, id="3.6.29 does not trim the list"),
        pytest.param("3.7.8", None, ["foo", "prefect"], "prefect", id="3.7.8 trims the list"),
        pytest.param("3.8.8", "admin:pass", [], 403, id="with a password there is no legacy mode"),
        pytest.param("3.4.6", None, ["prefect"], 403, id="3.4.6 has no logs/out"),
        pytest.param("3.4.7", None, ["prefect"], "prefect", id="3.4.7 has it"),
    ],
)
async def test_upgrade_is_answered_by_version_and_subprotocol(
    version: str, auth: str | None, offered: list[str], outcome: str | int | None
) -> None:
    async with FakeServer(Behaviour(version=version, auth_string=auth)) as server:
        if isinstance(outcome, int):
            with pytest.raises(InvalidStatus) as refused:
                async with socket(server, subprotocols=offered or None):
                    pass
            assert refused.value.response.status_code == outcome
            assert not refused.value.response.body
        else:
            async with socket(server, subprotocols=offered or None) as ws:
                assert ws.subprotocol == outcome


@pytest.mark.parametrize("path", ["/logs/out/", "/nowhere", "//logs/out"])
async def test_unknown_socket_path_is_refused_with_403(path: str) -> None:
    async with FakeServer() as server:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(server, path=path):
                pass
        assert refused.value.response.status_code == 403


async def test_plain_get_of_the_socket_path_is_404() -> None:
    async with FakeServer() as server, api(server) as client:
        answer = await client.get("/logs/out")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


async def test_deflate_is_negotiated_only_when_offered() -> None:
    async with FakeServer() as server:
        async with subscriber(server, compression="deflate") as ws:
            assert [extension.name for extension in ws.protocol.extensions] == ["permessage-deflate"]
            server.post("squeezed")
            assert await messages(ws, 1) == ["squeezed"]
        async with subscriber(server) as ws:
            assert ws.protocol.extensions == []


# Authentication.

OLD, NEW = "3.5.0", "3.8.8"
REQUIRED = (1008, "Auth required but no token provided")
INVALID = (1008, "Invalid token")


def auth(token: Any) -> str:
    return json.dumps({"type": "auth", "token": token})


@pytest.mark.parametrize(
    ("version", "frame", "expected"),
    [
        pytest.param(NEW, auth("admin:wrong"), INVALID, id="wrong token"),
        pytest.param(NEW, auth("YWRtaW46cGFzcw=="), INVALID, id="base64 of the right token"),
        pytest.param(NEW, auth(None), REQUIRED, id="null"),
        pytest.param(NEW, auth(""), REQUIRED, id="empty"),
        pytest.param(NEW, '{"type":"auth"}', REQUIRED, id="missing"),
        pytest.param(NEW, auth(12345), DROPPED, id="number"),
        pytest.param(OLD, auth(12345), DROPPED, id="number, 3.5.0"),
        pytest.param(NEW, auth(["admin:pass"]), DROPPED, id="list"),
        pytest.param(OLD, auth(["admin:pass"]), INVALID, id="list, 3.5.0"),
        pytest.param(NEW, auth("admin:pässword"), DROPPED, id="not ASCII"),
        pytest.param(OLD, auth("admin:pässword"), INVALID, id="not ASCII, 3.5.0"),
        pytest.param(NEW, '{"token":"admin:pass"}', (1008, "Expected 'auth' message"), id="no type"),
        pytest.param(NEW, EVERYTHING, (1008, "Expected 'auth' message"), id="filter first"),
        pytest.param(NEW, "[1]", DROPPED, id="JSON list"),
        pytest.param(NEW, "not json", DROPPED, id="no JSON"),
        pytest.param(NEW, "", DROPPED, id="empty text"),
        pytest.param(NEW, auth("admin:pass").encode(), DROPPED, id="binary frame"),
    ],
)
async def test_bad_auth_frame_ends_the_conversation(
    version: str, frame: str | bytes, expected: tuple[int | None, str]
) -> None:
    behaviour = Behaviour(version=version, auth_string="admin:pass")
    async with FakeServer(behaviour) as server, socket(server, frame) as ws:
        assert await ending(ws) == expected


@pytest.mark.parametrize(
    "frame",
    [
        auth(None),
        auth(""),
        auth("wrong"),
        auth(12345),
        auth(["x"]),
        '{"type":"auth"}',
        '{"type":"auth","x":1}',
    ],
)
async def test_any_token_is_accepted_without_server_auth(frame: str) -> None:
    async with FakeServer() as server, socket(server, frame) as ws:
        assert await ws.recv() == '{"type":"auth_success"}'


async def test_right_auth_string_is_accepted_and_written_down() -> None:
    async with FakeServer(Behaviour(auth_string="admin:pass")) as server:
        async with socket(server, auth("admin:pass")) as ws:
            assert await ws.recv() == '{"type":"auth_success"}'
        connection = server.connections[0]
        assert (connection.token, connection.subprotocols) == ("admin:pass", ["prefect"])


async def test_cloud_refuses_a_wrong_key_with_a_frame_and_then_1008() -> None:
    async with FakeServer(Behaviour(api_key="pnu_right")) as server:
        async with socket(server, auth("pnu_wrong")) as ws:
            assert json.loads(await ws.recv()) == {"type": "auth_failure", "reason": "Invalid API key"}
            assert await ending(ws) == (1008, "")
        async with socket(server, auth("pnu_right")) as ws:
            assert await ws.recv() == '{"type":"auth_success"}'


# The filter.


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(auth("x"), (1002, "Expected 'filter' message"), id="another type"),
        pytest.param('{"type":"filter"}', (1002, "Invalid filter: 'filter'"), id="no filter"),
        pytest.param('{"filter":{}}', DROPPED, id="no type"),
        pytest.param("[]", DROPPED, id="JSON list"),
        pytest.param("{", DROPPED, id="no JSON"),
        pytest.param(EVERYTHING.encode(), DROPPED, id="binary frame"),
        *(
            pytest.param(
                json.dumps({"type": "filter", "filter": bad}), DROPPED, id=f"filter {json.dumps(bad)[:50]}"
            )
            for bad in (
                None,
                [],
                "x",
                {"name": {"any_": ["x"]}},
                {"level": {"ge_": "INFO"}},
                {"level": {"ge_": 30.5}},
                {"level": {"any_": [20]}},
                {"flow_run_id": {"any_": "x"}},
                {"flow_run_id": {"any_": ["not-a-uuid"]}},
                {"timestamp": {"after_": "yesterday"}},
                {"operator": "xor_"},
                {"operator": None},
                {"text": {}},
                {"text": {"query": "x" * 201}},
            )
        ),
    ],
)
async def test_bad_filter_ends_the_conversation(frame: str | bytes, expected: tuple[int | None, str]) -> None:
    async with FakeServer() as server, socket(server, AUTH, frame) as ws:
        assert await ending(ws) == expected


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"level": None, "timestamp": None},
        {"level": {"ge_": "30"}},
        {"timestamp": {"after_": "2025-01-01", "before_": 4102444800}},
        {"flow_run_id": {"any_": ["{0D88F0A1-0000-4000-8000-000000000001}", RUN.replace("-", "")]}},
        {"task_run_id": {"any_": None, "is_null_": "yes"}},
        {"text": {"query": "x" * 200}},
    ],
    ids=lambda good: json.dumps(good)[:40],
)
async def test_loosely_written_filter_is_accepted(good: dict[str, Any]) -> None:
    async with FakeServer() as server, subscriber(server, good):
        assert server.connections[0].filter == good


async def test_text_filter_is_unknown_before_3_4_20() -> None:
    async with FakeServer(Behaviour(version="3.4.7")) as server, api(server) as client:
        frame = json.dumps({"type": "filter", "filter": {"text": {"query": "x"}}})
        async with socket(server, AUTH, frame) as ws:
            assert await ending(ws) == DROPPED
        answer = await client.post("/logs/filter", json={"logs": {"text": {"query": "x"}}})
        assert answer.status_code == 422


async def test_legacy_client_sends_the_filter_first() -> None:
    async with FakeServer() as server:
        async with socket(server, EVERYTHING, subprotocols=None) as ws:
            await server.until_subscribed()
            server.post("heard")
            assert await messages(ws, 1) == ["heard"]
        async with socket(server, AUTH, subprotocols=None) as ws:
            assert await ending(ws) == (1002, "Expected 'filter' message")


async def test_auth_and_filter_may_be_sent_back_to_back_and_nothing_acknowledges_the_filter() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        assert server.connections[0].envelope == json.loads(EVERYTHING)
        server.post("first frame after auth_success")
        assert await messages(ws, 1) == ["first frame after auth_success"]


async def test_frames_after_the_filter_are_ignored() -> None:
    async with FakeServer() as server, subscriber(server, {"level": {"ge_": 30}}) as ws:
        await ws.send(EVERYTHING)
        await ws.send("garbage")
        await server.until(lambda: len(server.connections[0].frames) == 4)
        server.post([{"message": "info"}, {"message": "warning", "level": 30}])
        assert await messages(ws, 1) == ["warning"]


@pytest.mark.parametrize(
    ("filter", "live", "listed"),
    [
        pytest.param({"level": {"ge_": 20, "le_": 30}}, "bc", "bc", id="level, inclusive"),
        pytest.param({"timestamp": {"after_": "2026-01-01T00:00:01Z"}}, "bcd", "bcd", id="after_, inclusive"),
        pytest.param(
            {"timestamp": {"before_": "2026-01-01T00:00:01"}}, "ab", "ab", id="before_, naive is UTC"
        ),
        pytest.param({"flow_run_id": {"any_": [RUN]}}, "bd", "bd", id="flow run"),
        pytest.param({"flow_run_id": {"any_": []}}, "", "", id="an empty list matches nothing"),
        pytest.param({"flow_run_id": {"any_": None}}, "abcd", "abcd", id="null matches all"),
        pytest.param({"task_run_id": {"any_": [TASK]}}, "c", "c", id="task run"),
        pytest.param({"task_run_id": {"is_null_": False}}, "c", "c", id="task run is not null"),
        pytest.param({"text": {"query": "needle"}}, "abcd", "c", id="text is ignored live"),
        pytest.param(
            {"operator": "or_", "level": {"ge_": 40}, "flow_run_id": {"any_": [RUN]}},
            "d",
            "bd",
            id="or_ is and live",
        ),
    ],
)
async def test_filter_is_honoured_live_and_listed_as_prefect_does(
    filter: Any, live: str, listed: str
) -> None:
    logs = [
        {"message": "a", "level": 10, "timestamp": "2026-01-01T00:00:00Z"},
        {"message": "b", "level": 20, "timestamp": "2026-01-01T00:00:01Z", "flow_run_id": RUN},
        {
            "message": "c",
            "level": 30,
            "timestamp": "2026-01-01T00:00:02Z",
            "task_run_id": TASK,
            "name": "needle",
        },
        {"message": "d", "level": 40, "timestamp": "2026-01-01T00:00:03Z", "flow_run_id": RUN},
    ]
    async with FakeServer() as server, subscriber(server, filter) as ws, api(server) as client:
        server.post(logs)
        server.send({"type": "end"})
        seen = ""
        while (frame := json.loads(await ws.recv()))["type"] == "log":
            seen += frame["log"]["message"]
        rows = (await client.post("/logs/filter", json={"logs": filter})).json()
        assert (seen, "".join(row["message"] for row in rows)) == (live, listed)


# Logs.


async def test_live_frame_is_compact_and_has_no_dates_of_the_row() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        [row] = server.post("hi", timestamp="2025-06-01T12:00:00+02:00", flow_run_id=RUN)
        text = await ws.recv()
        assert text == json.dumps(
            {
                "type": "log",
                "log": {**row, "created": None, "updated": None, "timestamp": "2025-06-01T12:00:00+02:00"},
            },
            separators=(",", ":"),
        )
        assert list(json.loads(text)["log"]) == [
            *(
                "id",
                "created",
                "updated",
                "name",
                "level",
                "message",
                "timestamp",
                "flow_run_id",
                "task_run_id",
            )
        ]
        assert server.logs[0]["timestamp"] == "2025-06-01T10:00:00Z"
        assert server.sent == [[row["id"]]]


@pytest.mark.parametrize(
    ("version", "stored"),
    [("3.4.7", "a\0b"), ("3.6.18", "ab")],
    ids=["kept on 3.4.7", "stripped since 3.6.18"],
)
async def test_nul_characters_are_treated_by_version(version: str, stored: str) -> None:
    async with FakeServer(Behaviour(version=version)) as server:
        [row] = server.post("a\0b")
        assert row["message"] == stored


@pytest.mark.parametrize(
    ("posted", "delivered"), [(100, 100), (256, 256), (257, 256), (300, 256), (1000, 256)]
)
async def test_one_post_delivers_at_most_256_logs(posted: int, delivered: int) -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        server.post([f"row {number}" for number in range(posted)])
        await server.until(lambda: len(server.sent[0]) >= delivered)
        server.post("end")
        expected = [f"row {number}" for number in range(delivered)]
        assert await messages(ws, delivered + 1) == [*expected, "end"]
        assert len(server.logs) == posted + 1


async def test_huge_post_is_split_in_parts_of_3640() -> None:
    async with FakeServer() as server, subscriber(server) as ws, api(server) as client:
        log = {"name": "x", "level": 20, "timestamp": MOMENT}
        answer = await client.post("/logs/", json=[{**log, "message": str(number)} for number in range(5000)])
        assert (answer.status_code, answer.text) == (201, "null")
        expected = [*range(256), *range(3640, 3896)]
        assert await messages(ws, 512) == [str(number) for number in expected]
        assert len(server.logs) == 5000


async def test_queue_holds_matching_logs_only_and_its_length_can_be_set() -> None:
    async with FakeServer(Behaviour(queue=3)) as server, subscriber(server, {"level": {"ge_": 30}}) as ws:
        server.post([{"message": str(number), "level": 10 + 20 * (number % 2)} for number in range(10)])
        assert await messages(ws, 3) == ["1", "3", "5"]


@pytest.mark.parametrize(
    "off", [{"streaming": False}, {"publishing": False}], ids=lambda off: next(iter(off))
)
async def test_server_with_a_setting_off_accepts_and_stays_silent(off: dict[str, Any]) -> None:
    async with FakeServer(Behaviour(**off)) as server, subscriber(server) as ws, api(server) as client:
        server.post("unheard")
        server.send("end")
        assert await ws.recv() == "end"
        logs = (await client.get("/admin/settings")).json()["server"]["logs"]
        assert logs == {
            "stream_out_enabled": off.get("streaming", True),
            "stream_publishing_enabled": off.get("publishing", True),
        }


async def test_ids_are_uuid7_of_the_arrival() -> None:
    arrival = datetime(2026, 1, 1, tzinfo=timezone.utc)
    async with FakeServer(clock=StandingClock(arrival)) as server:
        [row] = server.post("late", timestamp=arrival - timedelta(minutes=5))
        milliseconds = int(row["id"].replace("-", "")[:12], 16)
        assert row["id"][14] == "7"
        assert milliseconds == arrival.timestamp() * 1000


async def test_same_seed_mints_the_same_ids() -> None:
    rows = []
    for _ in range(2):
        async with FakeServer(seed=7) as server:
            rows.append(server.post("x")[0]["id"][15:])
    assert rows[0] == rows[1]


async def test_stored_and_published_can_be_told_apart() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        server.store("lost live")
        server.publish("rolled back")
        assert await messages(ws, 1) == ["rolled back"]
        assert [row["message"] for row in server.logs] == ["lost live"]


async def test_commit_may_come_after_the_publication_or_never() -> None:
    async with FakeServer(Behaviour(commit_delay=0.01)) as server, subscriber(server) as ws:
        server.post("early")
        assert server.logs == []
        assert await messages(ws, 1) == ["early"]
        await server.until(lambda: server.logs)
    async with FakeServer(Behaviour(commit_delay=None)) as server, subscriber(server) as ws:
        server.post("rolled back")
        assert await messages(ws, 1) == ["rolled back"]
        assert server.logs == []


# The end of a conversation, and the server's own end.


async def test_close_frame_of_the_client_is_echoed_and_written_down() -> None:
    async with FakeServer() as server:
        async with subscriber(server) as ws:
            await ws.close(1001, "bye")
        await server.until(lambda: server.connections[0].state == "ended")
        assert (server.connections[0].close_code, server.connections[0].close_reason) == (1001, "bye")
        assert server.subscribed == 0


async def test_pings_are_answered() -> None:
    async with FakeServer() as server, socket(server) as ws:
        await (await ws.ping())


async def test_server_pings_and_counts_the_answers() -> None:
    async with FakeServer(Behaviour(ping_interval=0.01)) as server, socket(server):
        await server.until(lambda: server.connections[0].pongs >= 2)


async def test_server_gives_up_with_1011_when_its_ping_stays_unanswered() -> None:
    async with FakeServer(Behaviour(ping_interval=0.01, ping_timeout=0.01)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"GET /api/logs/out HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Protocol: prefect\r\n\r\n"
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert await reader.readexactly(6) == b"\x89\x04fake"
        assert await reader.readexactly(26) == b"\x88\x18\x03\xf3keepalive ping timeout"
        writer.close()
        await writer.wait_closed()


async def test_client_frame_over_16_mib_is_closed_with_1009() -> None:
    async with FakeServer() as server, socket(server) as ws:
        ws.transport.write(b"\x81\xff" + ((16 << 20) + 1).to_bytes(8, "big") + b"mask")
        code, reason = await ending(ws)
        assert code == 1009
        assert "16777216" in reason


@pytest.mark.parametrize(
    "frames", [(), (AUTH,), (AUTH, EVERYTHING)], ids=["opened", "authenticated", "subscribed"]
)
async def test_restart_closes_with_1012_whatever_the_stage_and_keeps_the_port(
    frames: tuple[str, ...],
) -> None:
    async with FakeServer() as server:
        server.post("before")
        async with socket(server, *frames) as ws:
            if frames:
                await ws.recv()
            restart = asyncio.create_task(server.restart())
            assert await ending(ws) == (1012, "")
            await restart
        async with subscriber(server):
            assert [row["message"] for row in server.logs] == ["before"]


async def test_killed_server_sends_no_close_frame() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        restart = asyncio.create_task(server.restart(abrupt=True))
        assert await ending(ws) == DROPPED
        await restart


async def test_refusing_server_keeps_its_connections_and_its_port() -> None:
    async with FakeServer() as server, subscriber(server) as ws:
        server.refuse()
        with pytest.raises(ConnectionRefusedError):
            async with socket(server):
                pass
        server.post("still here")
        assert await messages(ws, 1) == ["still here"]
        server.refuse(False)
        async with subscriber(server):
            pass


async def test_a_client_that_comes_while_the_port_is_closed_disturbs_nothing() -> None:
    """Whether its connection is waiting, taken, or not yet served at that moment."""
    loop = asyncio.get_running_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    for steps in range(6):
        async with FakeServer() as server:
            for _ in range(3):
                with create_connection(("127.0.0.1", server.port)):
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    server.refuse()
                    server.refuse(False)
            with create_connection(("127.0.0.1", server.port)):
                for _ in range(steps):
                    await asyncio.sleep(0)
    gc.collect()  # a socket that was forgotten would say so now
    assert told == []


async def test_failure_of_the_fake_itself_comes_out_at_the_end() -> None:
    from rawlogs.testing.faults import Step

    class Broken(Step):
        async def act(self, line: Any) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with FakeServer() as server:
            server.script([Broken()])
            with pytest.raises(Exception, match="did not receive a valid HTTP response"):
                async with socket(server):
                    pass


# REST.


async def test_rest_body_of_a_list_is_rows_in_time_order() -> None:
    async with FakeServer() as server, api(server) as client:
        server.post(
            [{"message": f"{second}", "timestamp": f"2026-01-01T00:00:0{second}Z"} for second in (3, 1, 2)]
        )
        rows = (await client.post("/logs/filter", json={"limit": 2})).json()
        assert [row["message"] for row in rows] == ["1", "2"]
        rows = (
            await client.post("/logs/filter", json={"sort": "TIMESTAMP_DESC", "limit": 2, "offset": 1})
        ).json()
        assert [row["message"] for row in rows] == ["2", "1"]
        assert (await client.post("/logs/filter")).json() == server.logs
        assert rows[0]["created"] is not None


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param(
            {"limit": 201}, 422, "Invalid limit: must be less than or equal to 200.", id="limit 201"
        ),
        pytest.param({"limit": -1}, 422, "Invalid limit: must be greater than or equal to 0.", id="limit -1"),
        pytest.param({"limit": 0}, 200, None, id="limit 0"),
        pytest.param({"limit": None}, 200, None, id="limit null"),
        pytest.param({"offset": 99}, 200, None, id="offset beyond the end"),
        pytest.param({"unknown": 1}, 200, None, id="unknown key at the top"),
    ],
)
async def test_limit_and_offset_are_checked(body: Any, status: int, text: str | None) -> None:
    async with FakeServer() as server, api(server) as client:
        answer = await client.post("/logs/filter", json=body)
        assert answer.status_code == status
        assert answer.json() == ({"detail": text} if text else [])


async def test_invalid_body_is_explained_as_prefect_does() -> None:
    async with FakeServer() as server, api(server) as client:
        bad = {"logs": {"name": {"any_": ["x"]}}}
        answer = await client.post("/logs/filter", json=bad)
        assert (answer.status_code, answer.json()) == (
            422,
            {
                "exception_message": "Invalid request received.",
                "exception_detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "logs", "name"],
                        "msg": "Extra inputs are not permitted",
                        "input": {"any_": ["x"]},
                    }
                ],
                "request_body": bad,
            },
        )
        for content in (b"{", b'{"sort":"X"}', b'{"offset":-1}'):
            assert (await client.post("/logs/filter", content=content)).status_code == 422
        log = {"name": "x", "level": 20, "message": "m", "timestamp": MOMENT, "id": str(uuid4())}
        assert (await client.post("/logs/", json=[log])).status_code == 422


async def test_page_limit_is_the_servers_setting() -> None:
    async with FakeServer(Behaviour(page_limit=50)) as server, api(server) as client:
        server.post([str(number) for number in range(60)])
        assert len((await client.post("/logs/filter", json={})).json()) == 50
        answer = await client.post("/logs/filter", json={"limit": 51})
        assert answer.json() == {"detail": "Invalid limit: must be less than or equal to 50."}


async def test_ties_keep_the_order_of_arrival_or_none() -> None:
    logs = [{"message": str(number), "timestamp": MOMENT} for number in range(50)]
    async with FakeServer() as server, api(server) as client:
        server.post(logs)
        rows = (await client.post("/logs/filter", json={})).json()
        assert [row["message"] for row in rows] == [str(number) for number in range(50)]
    async with FakeServer(Behaviour(unstable_ties=True)) as server, api(server) as client:
        server.post(logs)
        orders = {(await client.post("/logs/filter", json={})).text for _ in range(3)}
        assert len(orders) == 3


async def test_text_search_is_500_where_the_database_is_old() -> None:
    async with FakeServer(Behaviour(search_broken=True)) as server, api(server) as client:
        answer = await client.post("/logs/filter", json={"logs": {"text": {"query": "x"}}})
        assert (answer.status_code, answer.json()) == (500, {"exception_message": "Internal Server Error"})
        assert (await client.post("/logs/filter", json={})).status_code == 200


async def test_lone_surrogate_loses_the_post() -> None:
    async with FakeServer() as server, api(server) as client:
        content = b'[{"name":"x","level":20,"message":"\\ud800","timestamp":"2026-01-01"}]'
        assert (await client.post("/logs/", content=content)).status_code == 500
        assert server.logs == []


async def test_open_routes_and_versions() -> None:
    async with FakeServer(Behaviour(version="3.7.8")) as server, api(server) as client:
        assert (await client.get("/health")).json() is True
        assert (await client.get("/ready")).json() == {"message": "OK"}
        assert (await client.get("/admin/version")).json() == "3.7.8"
        assert (await client.get("/version")).json() == "0.8.4"
        assert (await client.get("/version", headers={"X-PREFECT-API-VERSION": "junk"})).status_code == 400
        assert (await client.get("/nope")).json() == {"detail": "Not Found"}
        assert (await client.delete("/health")).status_code == 405


async def test_settings_of_an_old_server_do_not_know_streaming() -> None:
    async with FakeServer(Behaviour(version="3.4.6")) as server, api(server) as client:
        assert "logs" not in (await client.get("/admin/settings")).json()["server"]
        assert (await client.post("/logs/filter", json={})).json() == []


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param("Basic YWRtaW46cGFzcw==", 200, id="right"),
        pytest.param("basic YWRtaW46cGFzcw==", 401, id="scheme in lower case"),
        pytest.param("Bearer admin:pass", 401, id="bearer"),
        pytest.param("admin:pass", 401, id="raw"),
        pytest.param(None, 401, id="none"),
    ],
)
async def test_rest_wants_basic_authentication(header: str | None, status: int) -> None:
    headers = {"Authorization": header} if header else {}
    async with (
        FakeServer(Behaviour(auth_string="admin:pass")) as server,
        api(server, headers=headers) as client,
    ):
        answer = await client.get("/admin/version")
        assert answer.status_code == status
        if status == 401:
            assert answer.json() == {"exception_message": "Unauthorized"}
            assert "www-authenticate" not in answer.headers
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ready")).status_code == 200


async def test_cloud_wants_the_key_as_bearer() -> None:
    async with FakeServer(Behaviour(api_key="pnu_x", base_path="/api/accounts/a/workspaces/w")) as server:
        assert server.api_url.endswith("/api/accounts/a/workspaces/w")
        async with api(server) as client:
            assert (await client.post("/logs/filter", json={})).status_code == 401
            right = {"Authorization": "Bearer pnu_x"}
            assert (await client.post("/logs/filter", json={}, headers=right)).json() == []


async def test_csrf_token_is_wanted_for_posts_only() -> None:
    async with FakeServer(Behaviour(csrf=True)) as server, api(server) as client:

        async def refusal(**headers: str) -> str:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await client.post("/logs/filter", json={}, headers=sent)
            assert answer.status_code == 403
            text: str = answer.json()["detail"]
            return text

        assert await refusal() == "Missing CSRF token."
        assert await refusal(Prefect_Csrf_Token="x") == "Missing client identifier."
        assert (
            await refusal(Prefect_Csrf_Token="x", Prefect_Csrf_Client="me")
            == "Invalid CSRF token or client identifier."
        )
        first, second = [(await client.get("/csrf-token", params={"client": "me"})).json() for _ in range(2)]
        assert first["token"] != second["token"]
        good = {"Prefect-Csrf-Token": second["token"], "Prefect-Csrf-Client": "me"}
        assert (await client.post("/logs/filter", json={}, headers=good)).json() == []
        assert (await client.get("/admin/version")).status_code == 200
        async with subscriber(server):
            pass


async def test_csrf_token_is_422_where_protection_is_off() -> None:
    async with FakeServer() as server, api(server) as client:
        answer = await client.get("/csrf-token", params={"client": "me"})
        assert (answer.status_code, answer.json()) == (422, {"detail": "CSRF protection is disabled."})
        assert (await client.get("/csrf-token")).status_code == 422


async def test_requests_are_written_down() -> None:
    async with FakeServer() as server, api(server) as client:
        await client.post("/logs/filter", json={"limit": 1}, headers={"X-Mine": "1"})
        [request] = server.requests
        assert (request.method, request.path, request.body) == ("POST", "/logs/filter", {"limit": 1})
        assert request.headers["x-mine"] == "1"


async def test_date_header_shows_the_skewed_clock() -> None:
    clock = StandingClock(datetime(2026, 1, 1, 12, tzinfo=timezone.utc))
    async with FakeServer(Behaviour(clock_skew=-3600), clock=clock) as server, api(server) as client:
        assert (await client.get("/health")).headers["date"] == "Thu, 01 Jan 2026 11:00:00 GMT"


async def test_line_that_speaks_no_http_is_told_so() -> None:
    async with FakeServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        writer.close()
        await writer.wait_closed()


# Runs, deployments, events.


async def test_run_is_read_by_id() -> None:
    async with FakeServer() as server, api(server) as client:
        run = server.add_run("brave-otter", flow="etl", deployment="prod", tags=["nightly"], state="PENDING")
        answer = (await client.get(f"/flow_runs/{run}")).json()
        assert (answer["name"], answer["state_type"], answer["state_name"]) == (
            "brave-otter",
            "PENDING",
            "Pending",
        )
        assert (answer["tags"], answer["start_time"], answer["end_time"]) == (["nightly"], None, None)
        server.set_state(run, "RUNNING")
        server.set_state(run, "COMPLETED", name="All well")
        answer = (await client.get(f"/flow_runs/{run}")).json()
        assert (answer["state_type"], answer["state_name"]) == ("COMPLETED", "All well")
        assert answer["start_time"] is not None
        assert answer["end_time"] == answer["state"]["timestamp"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/flow_runs/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "Flow run not found"),
        ("/flow_runs/abc", "Not Found"),
        ("/deployments/name/hello/prod", "Deployment not found"),
    ],
)
async def test_unknown_things_are_404(path: str, text: str) -> None:
    async with FakeServer() as server, api(server) as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (404, {"detail": text})


@pytest.mark.parametrize(
    ("body", "names"),
    [
        pytest.param({}, {"parent", "child", "other"}, id="all"),
        pytest.param({"flow_runs": {"name": {"any_": ["child"]}}}, {"child"}, id="name"),
        pytest.param({"flow_runs": {"name": {"like_": "HE"}}}, {"other"}, id="name like"),
        pytest.param(
            {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}, {"parent", "child"}, id="state"
        ),
        pytest.param(
            {"flow_runs": {"state": {"type": {"not_any_": ["RUNNING"]}}}}, {"other"}, id="state not"
        ),
        pytest.param({"flow_runs": {"tags": {"all_": ["x", "y"]}}}, {"other"}, id="tags"),
        pytest.param({"flows": {"name": {"any_": ["main"]}}}, {"parent"}, id="flow name"),
        pytest.param({"deployments": {"name": {"any_": ["prod"]}}}, {"other"}, id="deployment name"),
        pytest.param(
            {"flow_runs": {"deployment_id": {"is_null_": True}}}, {"parent", "child"}, id="no deployment"
        ),
        pytest.param(
            {"flow_runs": {"operator": "or_", "name": {"any_": ["child"]}, "tags": {"any_": ["x"]}}},
            {"child", "other"},
            id="or",
        ),
        pytest.param({"limit": 1, "sort": "NAME_ASC"}, {"child"}, id="first by name"),
    ],
)
async def test_runs_are_filtered(body: Any, names: set[str]) -> None:
    async with FakeServer() as server, api(server) as client:
        parent = server.add_run("parent", flow="main")
        server.add_run("child", flow="sub", parent=parent)
        server.add_run("other", flow="third", deployment="prod", tags=["x", "y"], state="SCHEDULED")
        rows = (await client.post("/flow_runs/filter", json=body)).json()
        assert {row["name"] for row in rows} == names


async def test_subflow_is_found_through_its_parent_and_its_parents_task_run() -> None:
    async with FakeServer() as server, api(server) as client:
        parent = server.add_run(flow="main")
        child = server.add_run(flow="sub", parent=parent)
        chosen = {"flow_runs": {"parent_flow_run_id": {"any_": [str(parent)]}}}
        [row] = (await client.post("/flow_runs/filter", json=chosen)).json()
        assert row["id"] == str(child)
        chosen = {"flow_runs": {"id": {"any_": [str(parent)]}}}
        [task] = (await client.post("/task_runs/filter", json=chosen)).json()
        assert task["id"] == row["parent_task_run_id"]
        assert task["state"]["state_details"]["child_flow_run_id"] == str(child)


async def test_deployments_and_flows_are_found_by_name() -> None:
    async with FakeServer() as server, api(server) as client:
        deployment = server.add_deployment("etl", "prod")
        assert (await client.get("/deployments/name/etl/prod")).json()["id"] == str(deployment)
        for body in (
            {"deployments": {"name": {"any_": ["prod"]}}, "flows": {"name": {"any_": ["etl"]}}},
            {"deployments": {"flow_or_deployment_name": {"like_": "etl"}}},
        ):
            assert len((await client.post("/deployments/filter", json=body)).json()) == 1
        flows = (await client.post("/flows/filter", json={"flows": {"name": {"any_": ["etl"]}}})).json()
        assert [flow["name"] for flow in flows] == ["etl"]


def _events(**envelope: Any) -> str:
    chosen = {"event": {"prefix": ["prefect.flow-run."]}, **envelope.pop("filter", {})}
    return json.dumps({"type": "filter", "filter": chosen, **envelope})


FUTURE = {"occurred": {"until": "2100-01-01T00:00:00Z"}}


async def _event(ws: ClientConnection) -> Any:
    return json.loads(await ws.recv())["event"]


async def test_events_tell_how_runs_go() -> None:
    async with FakeServer() as server:
        parent = server.add_run("parent", flow="main")
        async with socket(server, AUTH, _events(backfill=False, filter=FUTURE), path="/events/out") as ws:
            await ws.recv()
            await server.until(lambda: server.event_connections[0].state == "subscribed")
            child = server.add_run("child", flow="sub", parent=parent, state="PENDING")
            server.set_state(child, "FAILED", name="Oh dear", message="boom")
            first, second = await _event(ws), await _event(ws)
        assert first["event"] == "prefect.flow-run.Pending"
        assert first["resource"]["prefect.resource.id"] == f"prefect.flow-run.{child}"
        assert [related["prefect.resource.role"] for related in first["related"]] == ["flow", "task-run"]
        assert (second["event"], second["follows"]) == ("prefect.flow-run.Oh dear", first["id"])
        assert second["resource"]["prefect.state-type"] == "FAILED"
        assert second["payload"]["validated_state"] == {"type": "FAILED", "name": "Oh dear"}


async def test_backfill_comes_first_and_without_until_no_live_event_ever_arrives() -> None:
    async with FakeServer() as server:
        run = server.add_run("a")
        async with socket(server, AUTH, _events(), path="/events/out") as ws:
            await ws.recv()
            assert (await _event(ws))["event"] == "prefect.flow-run.Running"
            await server.until(lambda: server.event_connections[0].state == "subscribed")
            server.set_state(run, "COMPLETED")
            server.send("end")
            assert await ws.recv() == "end"


async def test_events_can_be_switched_off() -> None:
    frames = (AUTH, _events(filter=FUTURE))
    async with (
        FakeServer(Behaviour(events=False)) as server,
        socket(server, *frames, path="/events/out") as ws,
    ):
        await ws.recv()
        await server.until(lambda: server.event_connections[0].state == "subscribed")
        server.add_run()
        server.send("end")
        assert await ws.recv() == "end"


# Odds and ends.


async def test_server_speaks_tls() -> None:
    pem = Path(__file__).with_name("loopback.pem")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with FakeServer(tls=serving) as server:
        assert server.api_url.startswith("https://127.0.0.1:")
        async with api(server, verify=trusting) as client, subscriber(server, ssl=trusting) as ws:
            assert (await client.get("/health")).json() is True
            server.post("private")
            assert await messages(ws, 1) == ["private"]
            closing = asyncio.create_task(server.restart())
            assert await ending(ws) == (1012, "")
            await closing
        with pytest.raises(ssl.SSLCertVerificationError):
            async with socket(server):
                pass


async def test_a_client_that_sends_no_http_and_is_gone_is_no_failure_of_the_server() -> None:
    pem = Path(__file__).with_name("loopback.pem")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    trusting = ssl.create_default_context(cafile=str(pem))
    async with FakeServer(tls=serving) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        writer.write(b"no HTTP\r\n\r\n")
        writer.close()  # TLS ends in both directions, so the answer cannot be sent
        await writer.wait_closed()


async def test_fragments_of_a_client_are_joined() -> None:
    async with FakeServer() as server, socket(server) as ws:
        await ws.send([AUTH[:5], AUTH[5:9], AUTH[9:]])
        assert await ws.recv() == '{"type":"auth_success"}'
        assert server.connections[0].frames == [AUTH]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(b"Upgrade: websocket\r\nConnection: Upgrade", b"400 Bad Request", id="no key"),
        pytest.param(
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13", b"426 Upgrade Required", id="no Connection"
        ),
    ],
)
async def test_upgrade_that_is_none_is_refused(head: bytes, status: bytes) -> None:
    async with FakeServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        subprotocol = b"Sec-WebSocket-Protocol: prefect"
        writer.write(
            b"\r\n".join([b"GET /api/logs/out HTTP/1.1", b"Host: localhost", head, subprotocol, b"", b""])
        )
        assert (await reader.read()).startswith(b"HTTP/1.1 " + status)
        writer.close()
        await writer.wait_closed()


async def test_client_that_was_not_answered_yet_is_cut_off_by_a_restart() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("upgrade"))
        opening = asyncio.ensure_future(socket(server).__aenter__())
        await server.until(lambda: server.connections)
        await server.restart()
        with pytest.raises(InvalidHandshake):
            await opening


async def test_deleted_logs_are_gone() -> None:
    async with FakeServer() as server, api(server) as client:
        first, second = server.post(["a", "b"])
        server.delete([first["id"]])
        assert (await client.post("/logs/filter", json={})).json() == [second]


async def test_first_and_last_year_are_stored() -> None:
    stamps = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
    async with FakeServer() as server, subscriber(server) as ws:
        server.post([{"message": "x", "timestamp": stamp} for stamp in stamps])
        assert [json.loads(await ws.recv())["log"]["timestamp"] for _ in stamps] == stamps
        assert [row["timestamp"] for row in server.logs] == stamps


async def test_unknown_state_is_refused_with_the_known_ones() -> None:
    async with FakeServer() as server:
        with pytest.raises(
            ValueError, match="'DONE' is no state type; use one of SCHEDULED, PENDING, RUNNING"
        ):
            server.add_run(state="DONE")


async def test_runs_are_filtered_by_time() -> None:
    async with FakeServer() as server, api(server) as client:
        server.add_run("started")
        server.add_run("waiting", state="SCHEDULED")
        for chosen, names in (
            ({"start_time": {"after_": "2020-01-01"}}, ["started"]),
            ({"start_time": {"before_": "2020-01-01"}}, []),
            ({"start_time": {"is_null_": True}}, ["waiting"]),
            ({"end_time": {"is_null_": True}}, ["waiting", "started"]),
        ):
            rows = (await client.post("/flow_runs/filter", json={"flow_runs": chosen})).json()
            assert sorted(row["name"] for row in rows) == sorted(names)


async def test_port_that_is_taken_is_an_error() -> None:
    async with FakeServer() as server:
        with pytest.raises(OSError, match="in use"):
            async with FakeServer(port=server.port):
                pass


async def test_server_says_what_it_is() -> None:
    async with FakeServer() as server:
        server.post("x")
        assert repr(server) == f"<FakeServer http://127.0.0.1:{server.port}/api logs=1 subscribed=0>"


def test_secrets_are_in_no_repr() -> None:
    assert "geheim" not in repr(Behaviour(auth_string="geheim", api_key="geheim"))


def test_import_of_the_room_loads_no_foreign_library() -> None:
    import subprocess
    import sys

    code = "import sys, rawlogs.testing; print({'websockets', 'httpx', 'h11', 'pydantic'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_public_names_are_all_there() -> None:
    import rawlogs.testing

    for name in rawlogs.testing.__all__:
        assert getattr(rawlogs.testing, name).__name__ == name
    with pytest.raises(AttributeError):
        rawlogs.testing.nothing  # noqa: B018


# In a thread of its own.


def test_a_server_in_a_thread_serves_code_that_blocks() -> None:
    """And all that is done to it may be done from this thread."""
    with FakeServer() as server, rawlogs.stream_sync(api_url=server.api_url) as logs:
        server.run(server.until_subscribed())
        server.fault("logs", Slice(3))
        server.run(server.drop_all())
        server.post("boom")
        assert next(logs).message == "boom"
        assert [row["message"] for row in server.logs] == ["boom"]


async def test_a_server_in_a_thread_serves_coroutines() -> None:
    """Its own coroutines are awaited on the event loop of the caller."""
    with FakeServer() as server:
        async with subscriber(server) as ws:
            await server.until_subscribed()
            server.post("boom")
            assert json.loads(await ws.recv())["log"]["message"] == "boom"
            await server.close_all(1001)
            assert await ending(ws) == (1001, "")
        with pytest.raises(TimeoutError):
            await server.until(lambda: False, timeout=0.01)


def test_a_server_in_a_thread_leaves_none_behind() -> None:
    """Also where its port is taken."""
    threads = threading.active_count()
    with FakeServer() as server, pytest.raises(OSError, match="in use"), FakeServer(port=server.port):
        pass
    assert threading.active_count() == threads


async def test_run_names_the_way_in_that_it_needs() -> None:
    """With `async with` there is nothing to wait for in another thread."""
    async with FakeServer() as server:
        with pytest.raises(RuntimeError, match="with FakeServer"):
            server.run(server.drop_all())
