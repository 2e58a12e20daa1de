"""The fake server and the real ones give the same answers: what the other tests stand on is true."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rawlogs.testing import Behaviour, FakeServer

from .conftest import AUTH_STRING, ServerPool
from .prefect_server import PrefectServer

AUTH = '{"type":"auth","token":null}'
TASK = "0d88f0a1-0000-4000-8000-000000000002"


def frame(filter: Any) -> str:
    return json.dumps({"type": "filter", "filter": filter})


def auth(token: Any) -> str:
    return json.dumps({"type": "auth", "token": token})


@asynccontextmanager
async def socket(
    api_url: str, path: str = "/logs/out", offered: Any = ("prefect",)
) -> AsyncIterator[ClientConnection]:
    url = api_url.replace("http", "ws", 1) + path
    async with connect(url, subprotocols=offered, proxy=None, max_queue=None) as ws:
        yield ws


async def outcome(api_url: str, *frames: str | bytes, **options: Any) -> Any:
    """What a client sees that sends these frames: the texts it gets, and how the server ends it (if it does)."""
    seen: list[Any] = []
    try:
        async with socket(api_url, **options) as ws:
            seen.append(ws.subprotocol)
            with suppress(ConnectionClosed):
                for each in frames:
                    await ws.send(each)
            while True:
                seen.append(await ws.recv())
    except InvalidStatus as refused:
        return refused.response.status_code, refused.response.body
    except ConnectionClosed as closed:
        if closed.rcvd is None:
            return seen, "dropped"
        return seen, closed.rcvd.code, closed.rcvd.reason


BAD_AUTH = [
    auth("admin:wrong"),
    auth(base64.b64encode(AUTH_STRING.encode()).decode()),
    auth(None),
    auth(""),
    '{"type":"auth"}',
    auth(12345),
    auth([AUTH_STRING]),
    auth("admin:pässword"),
    '{"token":"x"}',
    '{"type":"hello"}',
    frame({}),
    "[1]",
    '"auth"',
    "not json",
    "",
    auth(AUTH_STRING).encode(),
]
BAD_FILTERS = [
    auth("again"),
    '{"type":"filter"}',
    '{"filter":{}}',
    "[]",
    "{",
    frame({}).encode(),
    frame(None),
    frame([]),
    frame("x"),
    frame({"name": {"any_": ["x"]}}),
    frame({"level": {"ge_": "INFO"}}),
    frame({"level": {"ge_": 30.5}}),
    frame({"level": {"any_": [20]}}),
    frame({"flow_run_id": {"any_": "x"}}),
    frame({"flow_run_id": {"any_": ["not-a-uuid"]}}),
    frame({"timestamp": {"after_": "yesterday"}}),
    frame({"operator": "xor_"}),
    frame({"operator": None}),
    frame({"text": {}}),
    frame({"text": {"query": "x" * 201}}),
]


@pytest.mark.parametrize("bad", BAD_AUTH, ids=lambda bad: str(bad)[:40])
async def test_bad_auth_frame_ends_alike(auth_server: PrefectServer, bad: str | bytes) -> None:
    async with FakeServer(Behaviour(version=auth_server.version, auth_string=AUTH_STRING)) as fake:
        assert await outcome(fake.api_url, bad) == await outcome(auth_server.api_url, bad)


@pytest.mark.parametrize("bad", BAD_FILTERS, ids=lambda bad: str(bad)[:50])
async def test_bad_filter_ends_alike(server: PrefectServer, bad: str | bytes) -> None:
    async with FakeServer(Behaviour(version=server.version)) as fake:
        assert await outcome(fake.api_url, AUTH, bad) == await outcome(server.api_url, AUTH, bad)


@pytest.mark.parametrize(
    ("path", "offered"),
    [
        ("/logs/out/", ["prefect"]),
        ("/nowhere", ["prefect"]),
        ("/logs/out", None),
        ("/logs/out", ["foo"]),
        ("/logs/out", ["foo", "prefect"]),
        ("/events/out", None),
    ],
    ids=str,
)
async def test_upgrade_is_answered_alike(server: PrefectServer, path: str, offered: Any) -> None:
    async with FakeServer(Behaviour(version=server.version)) as fake:
        options = {"path": path, "offered": offered}
        assert await outcome(fake.api_url, "{", **options) == await outcome(server.api_url, "{", **options)


async def test_upgrade_without_subprotocol_is_refused_alike_with_a_password(
    auth_server: PrefectServer,
) -> None:
    async with FakeServer(Behaviour(version=auth_server.version, auth_string=AUTH_STRING)) as fake:
        assert await outcome(fake.api_url, offered=None) == await outcome(auth_server.api_url, offered=None)


def logs(run: str) -> list[dict[str, Any]]:
    blank = {"name": "parity", "level": 20, "flow_run_id": run, "task_run_id": None}
    return [
        blank | fields
        for fields in (
            {"message": "a", "level": 10, "timestamp": "2026-01-01T00:00:00Z"},
            {"message": "b", "timestamp": "2026-01-01T00:00:01.5"},
            {"message": "c\0 é", "level": 30, "timestamp": "2026-01-01T12:00:02+12:00", "task_run_id": TASK},
            {"message": "d", "level": 2**31, "timestamp": "2026-01-01T00:00:03.000001Z", "name": ""},
            {"message": "", "level": -5, "timestamp": "2026-01-01T00:00:03.000001Z"},
        )
    ]


MATRIX: list[dict[str, Any]] = [
    {},
    {"level": {"ge_": 20, "le_": 30}},
    {"level": {"ge_": "30"}},
    {"timestamp": {"after_": "2026-01-01T00:00:02Z"}},
    {"timestamp": {"before_": "2026-01-01T00:00:02"}},
    {"task_run_id": {"any_": [TASK]}},
    {"task_run_id": {"any_": [TASK.replace("-", "").upper()]}},
    {"task_run_id": {"is_null_": "yes"}},
    {"task_run_id": {"any_": []}},
    {"task_run_id": {"any_": None}},
]


def _masked(log: dict[str, Any]) -> dict[str, Any]:
    assert log["id"][14] == "7"
    return log | {"id": "…"} | {key: log[key] and "…" for key in ("created", "updated")}


async def _live_and_listed(api_url: str, run: str, filter: dict[str, Any]) -> Any:
    chosen = filter | {"flow_run_id": {"any_": [run]}}
    async with socket(api_url) as ws, httpx.AsyncClient(base_url=api_url, trust_env=False) as client:
        await ws.send(AUTH)
        await ws.recv()
        await ws.send(frame(chosen))
        async with socket(api_url) as last:  # a second subscriber tells when all frames are through
            await last.send(AUTH)
            await last.recv()
            await last.send(frame({"flow_run_id": {"any_": [run]}}))
            for subscriber in (ws, last):
                await (await subscriber.ping())
            posted = logs(run)
            assert (await client.post("/logs/", json=posted)).status_code == 201
            for _ in posted:
                await last.recv()
        await (await ws.ping())
        live = []
        expected = await client.post("/logs/filter", json={"logs": chosen})
        for _ in expected.json():
            live.append(_masked(json.loads(await ws.recv())["log"]))
        newest = await client.post(
            "/logs/filter", json={"logs": chosen, "sort": "TIMESTAMP_DESC", "limit": 2}
        )
        return live, [_masked(row) for row in expected.json()], [row["message"] for row in newest.json()]


@pytest.mark.parametrize("filter", MATRIX, ids=lambda filter: json.dumps(filter)[:50])
async def test_logs_are_streamed_and_listed_alike(server: PrefectServer, filter: dict[str, Any]) -> None:
    run = str(uuid4())
    async with FakeServer(Behaviour(version=server.version)) as fake:
        assert await _live_and_listed(fake.api_url, run, filter) == await _live_and_listed(
            server.api_url, run, filter
        )


async def _burst(api_url: str, size: int) -> list[str]:
    run = str(uuid4())
    log = {"name": "x", "level": 20, "timestamp": "2026-01-01T00:00:00Z", "flow_run_id": run}
    async with socket(api_url) as ws, httpx.AsyncClient(base_url=api_url, trust_env=False) as client:
        await ws.send(AUTH)
        await ws.recv()
        await ws.send(frame({"flow_run_id": {"any_": [run]}}))
        await (await ws.ping())
        await client.post("/logs/", json=[log | {"message": str(number)} for number in range(size)])
        await (await ws.ping())
        await client.post("/logs/", json=[log | {"message": "end"}])
        seen = []
        while not seen or seen[-1] != "end":
            seen.append(json.loads(await ws.recv())["log"]["message"])
        return seen


@pytest.mark.parametrize("size", [256, 300, 1000])
async def test_burst_loses_the_same_logs(server: PrefectServer, size: int) -> None:
    async with FakeServer(Behaviour(version=server.version)) as fake:
        assert await _burst(fake.api_url, size) == await _burst(server.api_url, size)


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/health", None),
    ("GET", "/ready", None),
    ("GET", "/admin/version", None),
    ("GET", "/version", None),
    ("GET", "/nope", None),
    ("GET", "/logs/out", None),
    ("DELETE", "/health", None),
    ("GET", "/csrf-token?client=me", None),
    ("GET", "/csrf-token", None),
    ("POST", "/logs/filter", {"limit": 201}),
    ("POST", "/logs/filter", {"limit": -1}),
    ("POST", "/logs/filter", {"limit": 0}),
    ("POST", "/logs/filter", {"offset": -1}),
    ("POST", "/logs/filter", {"offset": 1_000_000}),
    ("POST", "/logs/filter", {"sort": "X"}),
    ("POST", "/logs/filter", {"logs": {"name": {"any_": ["x"]}}}),
    ("POST", "/logs/filter", {"logs": {"flow_run_id": {"any_": []}}}),
    ("POST", "/logs/", []),
    ("POST", "/logs/", [{"name": "x", "level": 20, "message": "m", "timestamp": "2026-01-01", "id": "x"}]),
    ("POST", "/logs/", [{"name": "x", "level": 20, "message": "m"}]),
    ("GET", "/flow_runs/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None),
    ("GET", "/deployments/name/a/b", None),
    ("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": []}}}),
    ("POST", "/flow_runs/filter", {"flow_runs": {"bad": 1}}),
    ("POST", "/flow_runs/filter", {"flow_runs": {"id": {"any_": ["x"]}}}),
    ("POST", "/flow_runs/filter", {"limit": 201}),
    ("POST", "/flow_runs/filter", {"sort": "X"}),
    ("POST", "/task_runs/filter", {"task_runs": {"id": {"any_": []}}}),
    ("POST", "/flows/filter", {"flows": {"id": {"any_": []}}}),
    ("POST", "/deployments/filter", {"deployments": {"id": {"any_": []}}}),
    ("POST", "/deployments/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11/create_flow_run", {}),
    ("POST", "/flow_runs/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11/set_state", {"state": {"type": "CANCELLING"}}),
    ("POST", "/flow_runs/a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11/set_state", {"state": {"type": "X"}}),
]


async def _answer(api_url: str, method: str, path: str, body: Any, **options: Any) -> Any:
    async with httpx.AsyncClient(base_url=api_url, trust_env=False, **options) as client:
        answer = await client.request(method, path, json=body)
    value = answer.json()
    if isinstance(value, dict) and "exception_detail" in value:  # worded by pydantic, whichever is installed
        value["exception_detail"] = [(item["type"], item["loc"]) for item in value["exception_detail"]]
    return answer.status_code, value


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS, ids=lambda part: json.dumps(part)[:40])
async def test_request_is_answered_alike(server: PrefectServer, method: str, path: str, body: Any) -> None:
    async with FakeServer(Behaviour(version=server.version)) as fake:
        assert await _answer(fake.api_url, method, path, body) == await _answer(
            server.api_url, method, path, body
        )


@pytest.mark.parametrize("path", ["/health", "/ready", "/version", "/admin/version", "/nope", "/csrf-token"])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "Bearer", None])
async def test_request_is_authorized_alike(auth_server: PrefectServer, scheme: str | None, path: str) -> None:
    encoded = base64.b64encode(AUTH_STRING.encode()).decode()
    options: Any = {"headers": {"Authorization": f"{scheme} {encoded}"}} if scheme else {}
    async with FakeServer(Behaviour(version=auth_server.version, auth_string=AUTH_STRING)) as fake:
        assert await _answer(fake.api_url, "GET", path, None, **options) == await _answer(
            auth_server.api_url, "GET", path, None, **options
        )


@pytest.mark.parametrize(
    "headers",
    [{}, {"Prefect-Csrf-Token": "x"}, {"Prefect-Csrf-Token": "x", "Prefect-Csrf-Client": "y"}],
    ids=len,
)
async def test_csrf_is_refused_alike(csrf_server: PrefectServer, headers: dict[str, str]) -> None:
    async with FakeServer(Behaviour(version=csrf_server.version, csrf=True)) as fake:
        request: Any = ("POST", "/logs/filter", {})
        assert await _answer(fake.api_url, *request, headers=headers) == await _answer(
            csrf_server.api_url, *request, headers=headers
        )


async def test_settings_tell_of_streaming_alike(
    server: PrefectServer, default_server: PrefectServer, servers: ServerPool
) -> None:
    for real, on in ((server, True), (default_server, False)):
        async with FakeServer(Behaviour(version=real.version, streaming=on, publishing=on)) as fake:
            told = [
                (await _answer(url, "GET", "/admin/settings", None))[1]["server"]["logs"]
                for url in (fake.api_url, real.api_url)
            ]
        assert told[0] == told[1]


def _shape(fake: Any, real: Any, path: str = "") -> None:
    """Everything that the fake's row has, the real one has, in the same kind."""
    if fake is None or real is None:
        return
    assert type(fake) is type(real), path
    if isinstance(fake, dict):
        for key in fake:
            assert key in real, f"{path}.{key}"
            _shape(fake[key], real[key], f"{path}.{key}")


async def test_rows_of_runs_have_the_real_shape(server: PrefectServer) -> None:
    flow = server.request("POST", "/flows/", {"name": "parity"})
    run = server.request(
        "POST", "/flow_runs/", {"flow_id": flow["id"], "name": "r", "state": {"type": "RUNNING"}}
    )
    deployment = server.request("POST", "/deployments/", {"flow_id": flow["id"], "name": "prod"})
    async with FakeServer(Behaviour(version=server.version)) as fake:
        fake_run = fake.add_run("r", flow="parity", deployment="prod")
        _, row = await _answer(fake.api_url, "GET", f"/flow_runs/{fake_run}", None)
        _shape(row, run)
        _, row = await _answer(fake.api_url, "GET", "/deployments/name/parity/prod", None)
        _shape(row, deployment)
        _, rows = await _answer(fake.api_url, "POST", "/flows/filter", {})
        _shape(rows[0], flow)


async def test_a_run_is_started_and_cancelled_alike(server: PrefectServer) -> None:
    """A key that was used makes no second run (200 for 201); and what is said of the change of a state."""
    flow = server.request("POST", "/flows/", {"name": "started"})
    # Without a schema 3.4.7 refuses parameters unless it is told not to check them.
    wanted = {"flow_id": flow["id"], "name": "prod", "enforce_parameter_schema": False}
    real_id = server.request("POST", "/deployments/", wanted)["id"]
    body = {"parameters": {"n": 1}, "tags": ["ci"], "name": "mine", "idempotency_key": real_id}
    cancel = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    async with FakeServer(Behaviour(version=server.version)) as fake:
        fake.add_deployment("started", "prod")
        _, row = await _answer(fake.api_url, "GET", "/deployments/name/started/prod", None)
        for _ in range(2):
            path = "/deployments/{}/create_flow_run"
            mine = await _answer(fake.api_url, "POST", path.format(row["id"]), body)
            real = await _answer(server.api_url, "POST", path.format(real_id), body)
            assert mine[0] == real[0]
            _shape(mine[1], real[1])
            for key in ("name", "parameters", "tags", "state_type", "idempotency_key"):
                assert mine[1].get(key) == real[1].get(key), key
        path = "/flow_runs/{}/set_state"
        mine_set = await _answer(fake.api_url, "POST", path.format(mine[1]["id"]), cancel)
        real_set = await _answer(server.api_url, "POST", path.format(real[1]["id"]), cancel)
        assert (mine_set[0], mine_set[1]["status"]) == (real_set[0], real_set[1]["status"])


async def _first_event(api_url: str, name: str, cause: Any) -> Any:
    chosen = {
        "event": {"name": [name]},
        "occurred": {"since": "2026-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"},
    }
    async with socket(api_url, "/events/out") as ws:
        await ws.send(AUTH)
        await ws.recv()
        await ws.send(json.dumps({"type": "filter", "backfill": False, "filter": chosen}))
        await (await ws.ping())
        cause()
        return json.loads(await ws.recv())["event"]


async def test_events_have_the_real_shape(server: PrefectServer) -> None:
    flow = server.request("POST", "/flows/", {"name": "parity"})
    name = f"Parity {uuid4()}"
    state = {"type": "RUNNING", "name": name}

    def start() -> None:
        server.request("POST", "/flow_runs/", {"flow_id": flow["id"], "name": "r", "state": state})

    real = await _first_event(server.api_url, f"prefect.flow-run.{name}", start)
    async with FakeServer(Behaviour(version=server.version)) as fake:
        run = fake.add_run(flow="parity", state="PENDING")
        event = await _first_event(
            fake.api_url, f"prefect.flow-run.{name}", lambda: fake.set_state(run, "RUNNING", name=name)
        )
    _shape(event, real)
    assert event["related"][0].keys() == real["related"][0].keys()
