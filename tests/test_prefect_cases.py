"""What the tests of Prefect's own log and event subscribers pin: what rawlogs does in the same cases.

The numbers are those of docs/faults.md ("Prefect's own tests"). Most hold as they are; where rawlogs differs, the test
says how, and why.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from streaming import lists, reading, serving
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.testing import Behaviour
from rawlogs.testing.faults import (
    AuthFailure,
    Close,
    Drop,
    ExpectAuth,
    ExpectFilter,
    Send,
    Serve,
    Step,
)

RUN = UUID("0d88f0a1-0000-4000-8000-000000000001")
SILENT = {"audit": 1000.0}
CLOUD = "https://api.prefect.cloud/api/accounts/{0}/workspaces/{0}".format(
    "0d88f0a1-0000-4000-8000-00000000000c"
)


@pytest.mark.parametrize(
    ("given", "socket"),
    [
        ("http://localhost:4200/api", "ws://localhost:4200/api/logs/out"),
        ("https://example.org/api", "wss://example.org/api/logs/out"),
        ("http://localhost:4200/api/", "ws://localhost:4200/api/logs/out"),
        ("http://localhost:4200/api//", "ws://localhost:4200/api/logs/out"),
        (CLOUD, CLOUD.replace("https", "wss") + "/logs/out"),
    ],
)
def test_prefect_1_the_socket_s_url_comes_from_the_api_url(given: str, socket: str) -> None:
    stream = rawlogs.stream(api_url=given, api_key="pnu_x")
    assert stream.settings.address.logs_url == socket


async def test_prefect_2_by_default_there_is_one_connection_and_every_log_in_order() -> None:
    async with serving() as server, reading(server) as reader:
        server.post(["one", "two"])
        assert await reader.take(2) == ["one", "two"]
        assert len(server.connections) == 1


def test_prefect_3_without_a_url_it_is_a_value_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match="PREFECT_API_URL"):
        rawlogs.stream()


def test_prefect_3_cloud_without_a_key_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(ValueError, match="no API key is set"):
        rawlogs.stream(api_url=CLOUD)


@pytest.mark.parametrize("token", [None, "admin:pass"])
async def test_prefect_4_auth_is_the_first_message_and_the_filter_the_second(token: str | None) -> None:
    async with serving(Behaviour(auth_string=token)) as server, reading(server) as reader:
        server.post("x")
        await reader.take()
        connection = server.connections[0]
        assert connection.auth == {"type": "auth", "token": token}  # null where there is no token
        assert connection.envelope == {"type": "filter", "filter": {}}
        assert len(connection.frames) == 2


@pytest.mark.parametrize(
    ("arguments", "behaviour"),
    [
        pytest.param({"api_key": "pnu_key"}, Behaviour(auth_string="admin:pass"), id="a server: auth string"),
        pytest.param(
            {"auth_string": None, "api_key": "a:b"}, Behaviour(auth_string="a:b"), id="else the key"
        ),
    ],
)
async def test_prefect_5_a_server_wants_its_auth_string(
    arguments: dict[str, Any], behaviour: Behaviour
) -> None:
    # Prefect's clients disagree among themselves: the socket's prefer the key, the newest the auth string. rawlogs
    # takes what the addressee can check: a server its auth string, Cloud the key (see test_settings.py).
    async with serving(behaviour) as server, reading(server, **arguments) as reader:
        server.post("x")
        await reader.take()
        assert server.connections[0].token == behaviour.auth_string


@pytest.mark.parametrize(
    "denial",
    [
        pytest.param([AuthFailure("nope")], id="soft"),
        pytest.param([ExpectAuth(answer=False), Close(1008, "nope")], id="hard"),
        pytest.param([ExpectAuth(answer=False), Close(1008)], id="hard, without a reason"),
    ],
)
async def test_prefect_6_soft_and_hard_denial_are_the_same_error_and_not_tried_again(
    denial: list[Step],
) -> None:
    async with serving() as server:
        server.script(denial)
        with pytest.raises(rawlogs.AuthError, match="Unable to authenticate"):
            async with reading(server):
                pass
        assert len(server.connections) == 1


async def test_prefect_7_the_filter_reaches_the_server_without_a_time_range_added() -> None:
    # Differs on purpose: Prefect adds "since a minute ago", by the client's clock, and so throws late logs away.
    chosen = {"level": {"ge_": 30}, "flow_run_id": {"any_": [str(RUN)]}}
    async with serving() as server, reading(server, filter=chosen):
        assert server.connections[0].filter == chosen


async def test_prefect_8_after_a_hard_disconnect_the_second_log_comes_and_the_first_is_not_repeated() -> None:
    async with serving() as server:
        server.script([Serve(1), Drop()], connection=0)
        async with reading(server, **SILENT) as reader:
            await server.until(lambda: lists(server))
            server.post(["one", "two"])
            assert await reader.take(2) == ["one", "two"]
            assert await reader.finish() == ["one", "two"]
            assert len(server.connections) == 2


async def test_prefect_9_so_many_tries_then_the_last_error() -> None:
    options = {"retries": 3, **SILENT}
    async with serving() as server, reading(server, transport="ws", **options) as reader:
        server.script([ExpectAuth(answer=False), Drop()])
        await server.drop_all()
        with pytest.raises(rawlogs.GaveUp) as gave_up:
            await reader.rest()
        assert isinstance(gave_up.value.__cause__, rawlogs.ConnectError)
        assert len(server.connections) == 1 + 3


async def test_prefect_9_negative_tries_are_a_value_error_before_any_connection() -> None:
    async with serving() as server:
        with pytest.raises(ValueError, match="retries"):
            rawlogs.stream(api_url=server.api_url, retries=-1)
        assert not server.connections


async def test_prefect_10_the_same_id_twice_is_delivered_once() -> None:
    async with serving() as server, reading(server) as reader:
        log = server.publish("one")[0]
        server.publish("one", id=log["id"])
        server.publish("two")
        assert await reader.take(2) == ["one", "two"]


async def test_prefect_11_a_clean_close_ends_the_iteration_only_where_that_is_asked_for() -> None:
    # Differs on purpose: Prefect ends by default, so a load balancer's timeout looks like the end of all logs.
    async with serving() as server:
        server.script([Serve(1), Close(1000)], connection=0)
        async with reading(server) as reader:
            server.post(["one", "two"])
            assert await reader.take(2) == ["one", "two"]
    async with serving() as server:
        server.script([Serve(1), Close(1000)])
        async with reading(server, reconnect_on_clean_close=False) as reader:
            server.post("one")
            assert await reader.rest() == ["one"]
            assert len(server.connections) == 1


async def test_prefect_12_clean_closes_count_against_the_tries() -> None:
    async with serving() as server:
        server.script([Serve(0), Close(1000)])
        async with reading(server, **{"retries": 3, **SILENT}) as reader:
            with pytest.raises(rawlogs.GaveUp):
                await reader.rest()
        assert len(server.connections) == 1 + 3


async def test_prefect_12_three_clean_closes_with_three_tries_are_fine() -> None:
    async with serving() as server:
        for number in range(3):
            server.script([Serve(0), Close(1000)], connection=number)
        async with reading(server, **{"retries": 3, **SILENT}) as reader:
            await server.until(lambda: len(server.connections) == 4 and server.subscribed)
            server.post("x")
            assert await reader.take() == ["x"]


async def test_prefect_13_connections_that_drop_at_once_use_the_tries_up() -> None:
    async with serving() as server:
        server.script([Serve(0), Close(1011)])
        async with reading(server, **{"retries": 2, **SILENT}) as reader:
            with pytest.raises(rawlogs.GaveUp):
                await reader.rest()
        assert len(server.connections) == 1 + 2


async def test_prefect_13_connections_that_proved_themselves_do_not() -> None:
    # Prefect's log and event subscribers disagree here (reset never, or at each connect); a log, or 30 s, is proof.
    async with serving() as server:
        server.fault("logs", Serve(1), Close(1011), times=5)
        async with reading(server, **{"retries": 2, **SILENT}) as reader:
            for n in range(5):
                await server.until(lambda n=n: len(server.connections) == n + 1 and server.subscribed)  # type: ignore[misc]
                server.post(f"{n}")
            assert await reader.take(5) == [f"{n}" for n in range(5)]


async def test_prefect_14_the_first_connection_is_tried_again_where_the_server_may_only_be_starting() -> None:
    # Holds for a line that was lost during the handshake. A refused connection fails at once, with a hint, unless
    # wait is set: at the start a wrong address is likelier than a bad moment.
    async with serving() as server:
        server.script([ExpectAuth(answer=False), Drop()], connection=0)
        async with reading(server) as reader:
            server.post("x")
            assert await reader.take() == ["x"]
        server.refuse()
        with pytest.raises(rawlogs.ConnectError):
            async with reading(server):
                pass


async def test_prefect_15_after_an_outage_the_list_begins_no_later_than_the_last_log_seen() -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        rows = server.post("last seen")
        await reader.take()
        await server.until(lambda: lists(server))
        before = len(lists(server))
        server.refuse()
        await server.drop_all()
        await reader.until_noted("retrying")
        server.store("missed")
        server.refuse(False)
        assert await reader.take() == ["missed"]
        asked = lists(server)[before]["logs"]["timestamp"]["after_"]
        assert asked <= rows[0]["timestamp"].replace("Z", "+00:00")


async def test_prefect_16_leaving_after_a_failed_entry_does_not_raise() -> None:
    async with serving() as server:
        stream = rawlogs.stream(api_url=server.api_url)
        server.refuse()
        with pytest.raises(rawlogs.ConnectError):
            await stream.__aenter__()
        await stream.__aexit__(None, None, None)
        frames = rawlogs.connect(api_url=server.api_url)
        with pytest.raises(rawlogs.ConnectError):
            await frames.__aenter__()
        await frames.__aexit__(None, None, None)


async def test_prefect_17_custom_headers_go_with_the_upgrade_and_with_every_request() -> None:
    # TLS, protected headers and proxies: test_tls.py, test_headers.py, test_proxies.py.
    async with serving() as server, reading(server, headers={"X-Team": "data", "Host": "evil"}) as reader:
        await server.until(lambda: lists(server))
        assert server.connections[0].headers["x-team"] == "data"
        assert {request.headers.get("x-team") for request in server.requests} == {"data"}
        assert "evil" not in server.connections[0].headers["host"]
        assert "warning" in reader.kinds


async def test_prefect_18_the_subprotocol_is_offered_and_legacy_goes_without() -> None:
    # What a server answers to other orders of messages: test_fakeserver.py.
    async with serving() as server:
        async with reading(server):
            assert server.connections[0].subprotocols == ["prefect"]
        async with reading(server, legacy=True):
            assert server.connections[1].subprotocols == []
            assert server.connections[1].auth is None


async def test_prefect_18_a_bad_filter_is_a_dead_socket_without_a_reason() -> None:
    async with serving() as server:
        server.script([ExpectFilter(subscribe=False), Drop()])
        async with reading(server, clock=None, live_only=True, level="INFO") as reader:
            with pytest.raises(rawlogs.FilterRejected):
                await reader.rest()
        assert (
            len(server.connections) == 2
        )  # once more, as a crashed server looks the same; and with a list it would know


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        pytest.param({"level": "INFO", "max_level": "ERROR"}, ["20", "30", "40"], id="level"),
        pytest.param({"flow_run_id": RUN}, ["20", "40"], id="flow run"),
    ],
)
async def test_prefect_19_bounds_are_inclusive(bounds: dict[str, Any], expected: list[str]) -> None:
    logs = [
        {"message": f"{level}", "level": level, "flow_run_id": str(RUN) if level in (20, 40) else None}
        for level in (10, 20, 30, 40, 50)
    ]
    async with serving() as server, reading(server, **bounds) as reader:
        server.post(logs)
        assert await reader.take(len(expected)) == expected


async def test_prefect_19_a_full_queue_drops_without_a_word_and_the_list_repairs_it() -> None:
    async with serving() as server, reading(server, **SILENT) as reader:
        await server.until(lambda: lists(server))
        server.post([f"{n}" for n in range(257)])
        await reader.take(257)
        assert reader.logs.stats.recovered == 1


async def test_prefect_20_the_list_is_read_to_its_end_in_order() -> None:
    async with serving() as server:
        async with reading(server, follow=False) as reader:
            assert await reader.rest() == []
        server.store([f"{n}" for n in range(401)])
        async with reading(server, follow=False) as reader:
            assert await reader.rest() == [f"{n}" for n in range(401)]


# 21, the end of a flow run and its stragglers: test_follow.py.


async def test_an_early_log_before_auth_success_is_not_delivered() -> None:
    early = {
        "type": "log",
        "log": {"id": str(RUN), "level": 20, "message": "early", "timestamp": "2026-01-01"},
    }
    async with serving() as server:
        server.script([ExpectAuth(answer=False), Send(early), Drop()])
        with pytest.raises(rawlogs.ProtocolError):
            async with reading(server, transport="ws"):
                pass
