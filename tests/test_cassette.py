"""Cassettes: recorded once from a real server, replayed without it, and loud about what they do not know."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fake_client import DROPPED, EVERYTHING, ending, messages, socket
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from streaming import no_settings as no_settings
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import rawlogs
from rawlogs.config.settings import resolve
from rawlogs.errors import ConfigError
from rawlogs.testing import Behaviour, CassetteError, FakeServer, Recorder, matching, use_cassette
from rawlogs.testing.recording import read
from rawlogs.wire.events import WireEvent

QUICK = {"settle": 0.05, "audit": 0.3, "rest_budget": 0}
RUN, OTHER = UUID(int=1), UUID(int=2)
AUTH = '{"type":"auth","token":"any"}'
DOWN = "http://127.0.0.1:9/api"
SECRET = "admin:correct-horse-battery"


@pytest.fixture
async def real() -> AsyncIterator[FakeServer]:
    """The server that is recorded."""
    async with FakeServer() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cassettes" / "test.jsonl"


async def stream(
    api_url: str, count: int, server: FakeServer | None = None, **arguments: Any
) -> list[rawlogs.Log]:
    """The application: a stream's first so many logs; where it is recorded, the server is told to send them."""
    async with rawlogs.stream(api_url=api_url, **QUICK, **arguments) as logs:
        if server is not None:
            await server.until_subscribed()
            server.post([{"message": f"log {number}"} for number in range(count)], flow_run_id=str(RUN))
        return [await asyncio.wait_for(logs.__anext__(), 40) for _ in range(count)]


async def record(path: Path, server: FakeServer, count: int = 3, **arguments: Any) -> list[rawlogs.Log]:
    async with use_cassette(path, upstream=server.api_url) as cassette:
        return await stream(cassette.api_url, count, server, **arguments)


def contents(path: Path) -> str:
    return path.read_text()


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def exists(path: Path) -> bool:
    return path.exists()


def neighbours(path: Path) -> list[str]:
    """The other files beside it."""
    return [each.name for each in path.parent.iterdir() if each != path]


def state(path: Path) -> tuple[int, int, int]:
    """Which file it is, when it was changed, and who may read it."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, stat.S_IMODE(found.st_mode)


def ids(logs: list[rawlogs.Log]) -> list[str]:
    return sorted(log.id_text for log in logs)


async def ask(api_url: str, method: str, target: str, body: Any = None, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.request(method, api_url + target, json=body, **options)


def subscribe(api_url: str, filter: Any, path: str = "/logs/out") -> str:
    """What a plain client of a socket is told at the end, in the thread's own time."""
    url = api_url.replace("http", "ws", 1) + path
    with connect(url, subprotocols=["prefect"], proxy=None) as ws:  # type: ignore[list-item]
        ws.send(AUTH)
        ws.recv(timeout=60)
        ws.send(json.dumps({"type": "filter", "filter": filter}))
        try:
            return str(ws.recv(timeout=60))
        except ConnectionClosed as closed:
            return f"{closed.rcvd.code} {closed.rcvd.reason}" if closed.rcvd else "dropped"


# Once.


async def test_what_was_recorded_once_is_replayed_without_the_server(path: Path) -> None:
    async with FakeServer() as server:
        recorded = await record(path, server)
        connections = len(server.connections)
    assert [log.message for log in recorded] == ["log 0", "log 1", "log 2"]
    for _ in range(2):
        async with use_cassette(path, upstream=DOWN) as cassette:
            assert ids(await stream(cassette.api_url, 3)) == ids(recorded)
            assert cassette.recorded == 0
    assert connections == 1


async def test_the_settings_say_where_the_real_server_is(
    path: Path, real: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", real.api_url)
    async with use_cassette(path) as cassette:
        assert cassette.api_url != real.api_url
        assert (await ask(cassette.api_url, "GET", "/admin/version")).json() == "3.8.8"
    assert [request.path for request in real.requests] == ["/admin/version"]
    async with use_cassette(path) as cassette:
        assert (await ask(cassette.api_url, "GET", "/admin/version")).json() == "3.8.8"
    assert len(real.requests) == 1


async def test_nothing_is_written_where_nothing_was_asked(path: Path, real: FakeServer) -> None:
    async with use_cassette(path, upstream=real.api_url):
        pass
    assert not exists(path.parent)


def test_a_cassette_serves_code_that_blocks(path: Path) -> None:
    """Without async, and while the test's thread waits."""
    with use_cassette(path, upstream=DOWN, mode="once") as cassette:
        assert cassette.api_url.startswith("http://127.0.0.1:")
        cassette.discard()
    assert not path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "rawlogs-cassette"]


async def test_a_cassette_is_a_recording_and_the_other_way_round(path: Path, real: FakeServer) -> None:
    logs = await record(path, real)
    recording = read(path)
    assert (recording.api_url, recording.problem) == (real.api_url, None)
    async with FakeServer(recording=path, speed=None) as server:
        assert ids(await stream(server.api_url, 3)) == ids(logs)


async def test_a_cassette_of_another_day_serves_clients_with_a_clock_of_their_own(
    path: Path, real: FakeServer
) -> None:
    """Prefect's own subscriber asks for what comes from a minute ago on, by its own clock."""
    recorded = await record(path, real)
    lines = contents(path).replace(recorded[0].timestamp.strftime("%Y-"), "2021-")
    rewrite(path, lines)
    later = {"timestamp": {"after_": "2026-11-22T21:43:14Z", "before_": "2999-01-01T00:00:00Z"}}
    chosen = {"operator": "and_", "level": None, "task_run_id": None, **later}
    with use_cassette(path) as cassette:
        frame = await asyncio.to_thread(subscribe, cassette.api_url, chosen)
        assert json.loads(frame)["log"]["message"] == "log 0"
        rows = (await ask(cassette.api_url, "POST", "/logs/filter", {"logs": chosen, "limit": 2})).json()
        assert [row["message"] for row in rows] == ["log 0", "log 1"]
    with use_cassette(path) as cassette:
        logs = await stream(cassette.api_url, 3)
        assert {log.timestamp.year for log in logs} == {2021}


async def test_answers_come_in_their_order_and_the_last_one_stays(path: Path, real: FakeServer) -> None:
    run = real.add_run(state="PENDING")

    async def states(api_url: str, asked: int, change: bool = False) -> list[str]:
        found = []
        for number in range(asked):
            if change:
                real.set_state(run, ("PENDING", "RUNNING", "COMPLETED")[number])
            found.append((await ask(api_url, "GET", f"/flow_runs/{run}")).json()["state_type"])
        return found

    async with use_cassette(path, upstream=real.api_url) as cassette:
        await states(cassette.api_url, 3, change=True)
    async with use_cassette(path, upstream=DOWN) as cassette:
        assert await states(cassette.api_url, 4) == ["PENDING", "RUNNING", "COMPLETED", "COMPLETED"]


async def test_a_request_is_known_by_method_path_query_and_body_but_not_by_its_moments(
    path: Path, real: FakeServer
) -> None:
    body = {"flow_runs": {"id": {"any_": [str(RUN), str(OTHER)]}}, "limit": 5}
    async with use_cassette(path, upstream=real.api_url) as cassette:
        await ask(cassette.api_url, "POST", "/flow_runs/filter", body | {"x": "2026-01-01T00:00:00Z"})
        await ask(cassette.api_url, "GET", "/hello?b=2&a=1")
    swapped = {
        "flow_runs": {"id": {"any_": [str(OTHER), str(RUN)]}, "name": None, "operator": "and_"},
        "limit": 5,
    }
    known = [
        ("POST", "/flow_runs/filter", swapped | {"x": "2027-02-02 00:00:00+00:00"}),
        ("GET", "/hello?a=1&b=2", None),
    ]
    unknown = [
        ("PUT", "/flow_runs/filter", swapped | {"x": "2027-02-02T00:00:00Z"}),
        ("POST", "/flow_runs/count", swapped | {"x": "2027-02-02T00:00:00Z"}),
        ("POST", "/flow_runs/filter", swapped | {"x": "another text"}),
        ("POST", "/hello?a=1", None),
    ]
    with pytest.raises(CassetteError) as raised:
        async with use_cassette(path, mode="none") as cassette:
            for each in known:
                assert (await ask(cassette.api_url, *each)).status_code != 501
            for each in unknown:
                assert (await ask(cassette.api_url, *each)).status_code == 501
    assert [asked.split("{")[0].strip() for asked in raised.value.asked] == [
        f"{method} {target}" for method, target, _ in unknown
    ]


async def test_answers_that_are_no_json_and_error_answers_are_replayed_as_they_were(
    path: Path, real: FakeServer
) -> None:
    async def answers(api_url: str) -> list[Any]:
        found = [
            await ask(api_url, "GET", f"/flow_runs/{RUN}"),
            await ask(api_url, "POST", "/logs/filter", {"limit": 201}),
            await ask(api_url, "GET", "/nothing"),
        ]
        return [(answer.status_code, answer.content, answer.headers["content-type"]) for answer in found]

    async with use_cassette(path, upstream=real.api_url) as cassette:
        recorded = await answers(cassette.api_url)
    assert [status for status, _, _ in recorded] == [404, 422, 404]
    async with use_cassette(path, mode="none") as cassette:
        assert await answers(cassette.api_url) == recorded


async def test_what_any_server_can_answer_about_itself_is_never_unknown(path: Path, real: FakeServer) -> None:
    await record(path, real)
    async with use_cassette(path, mode="none") as cassette:
        assert (await ask(cassette.api_url, "GET", "/health")).json() is True
        assert (await ask(cassette.api_url, "GET", "/csrf-token?client=me")).status_code == 422


async def test_a_csrf_token_is_passed_on_and_not_kept(path: Path) -> None:
    async with FakeServer(Behaviour(csrf=True)) as server:
        logs = await record(path, server)
        async with use_cassette(path, mode="all", upstream=server.api_url) as cassette:
            token = (await ask(cassette.api_url, "GET", "/csrf-token?client=me")).json()["token"]
            headers = {"prefect-csrf-token": token, "prefect-csrf-client": "me"}
            answer = await ask(cassette.api_url, "POST", "/logs/filter", {}, headers=headers)
            assert sorted(row["id"] for row in answer.json()) == ids(logs)
    assert token not in contents(path)
    async with use_cassette(path, mode="none") as cassette:
        assert (await ask(cassette.api_url, "GET", "/csrf-token?client=you")).json()["token"] == "***"


# None.


async def test_an_unknown_filter_fails_and_says_what_where_and_what_would_record_it(
    path: Path, real: FakeServer
) -> None:
    await record(path, real)
    with pytest.raises(CassetteError) as raised:
        async with use_cassette(path, mode="none") as cassette:
            await stream(cassette.api_url, 1, level="ERROR")
    text = str(raised.value)
    assert f"The cassette {path} (mode none) does not know what was asked:" in text
    assert 'WebSocket /logs/out {"type":"filter","filter":{"level":{"ge_":40}}}' in text
    assert "The mode new_episodes would record that" in text
    assert isinstance(raised.value.__cause__, rawlogs.RawlogsError)
    assert (raised.value.path, raised.value.mode) == (str(path), "none")


def test_a_missing_file_fails_at_once(path: Path) -> None:
    with pytest.raises(CassetteError, match=r"There is no cassette .*\n.*once would record it"):
        use_cassette(path, mode="none").__enter__()


async def test_a_conversation_that_its_client_left_is_not_had_twice(path: Path, real: FakeServer) -> None:
    await record(path, real)
    with pytest.raises(CassetteError, match="WebSocket /logs/out"):
        async with use_cassette(path) as cassette:
            for expected in ('"log 0"', "1008 the cassette does not know"):
                assert expected in await asyncio.to_thread(subscribe, cassette.api_url, {})


async def test_a_client_may_come_again_where_the_server_ended_the_conversation(
    path: Path, real: FakeServer
) -> None:
    async with (
        use_cassette(path, upstream=real.api_url) as cassette,
        socket(cassette, AUTH, EVERYTHING) as ws,
    ):
        await ws.recv()
        await real.until_subscribed()
        real.post("before")
        assert await messages(ws, 1) == ["before"]
        await real.close_all(1012, "bye")
        assert await ending(ws) == (1012, "bye")
    async with use_cassette(path, mode="none") as cassette:
        async with socket(cassette, AUTH, EVERYTHING) as ws:
            await ws.recv()
            assert await messages(ws, 1) == ["before"]
            assert await ending(ws) == (1012, "bye")
        async with socket(cassette, AUTH, EVERYTHING) as ws:
            await ws.recv()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)


async def test_a_line_that_was_cut_is_cut_again(path: Path, real: FakeServer) -> None:
    async with (
        use_cassette(path, upstream=real.api_url) as cassette,
        socket(cassette, AUTH, EVERYTHING) as ws,
    ):
        await ws.recv()
        await real.until_subscribed()
        await real.drop_all()
        assert await ending(ws) == DROPPED
    async with use_cassette(path, mode="none") as cassette, socket(cassette, AUTH, EVERYTHING) as ws:
        assert await ending(ws) == DROPPED


async def test_a_refused_token_is_refused_again() -> None:
    fixture = Path(__file__).parents[1] / "fixtures" / "prefect-3.8.8-wrong-token.jsonl"
    with pytest.raises(ConnectionClosed) as closed:  # perhaps while the client still says its token
        async with use_cassette(fixture, mode="none") as cassette, socket(cassette, AUTH) as ws:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Invalid token")


async def test_a_recording_fails_where_the_server_refuses_the_token(path: Path) -> None:
    async with FakeServer(Behaviour(auth_string=SECRET)) as server:
        cassette = use_cassette(path, upstream=server.api_url)
        with pytest.raises(CassetteError, match=r"was not recorded: .*no token"):
            async with cassette, socket(cassette, AUTH, EVERYTHING) as ws:
                assert await ending(ws) == (1008, "Auth required but no token provided")
    assert not exists(path)


async def test_the_application_may_hide_the_error_from_itself_but_not_from_the_test(
    path: Path, real: FakeServer
) -> None:
    await record(path, real)
    async with use_cassette(path) as cassette:
        await ask(cassette.api_url, "GET", "/flows/1")
        assert cassette.unknown == ("GET /flows/1",)
        with pytest.raises(CassetteError, match="GET /flows/1"):
            cassette.check()


def test_an_interrupted_test_stays_interrupted(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z"}\n')
    with pytest.raises(KeyboardInterrupt), use_cassette(path) as cassette:
        httpx.get(cassette.api_url + "/flows/1", trust_env=False)
        raise KeyboardInterrupt


# New episodes.


async def test_new_episodes_replays_what_is_known_and_appends_what_is_not(
    path: Path, real: FakeServer
) -> None:
    known = await record(path, real)
    before = read(path)
    connections = len(real.connections)
    async with use_cassette(path, mode="new_episodes", upstream=real.api_url) as cassette:
        assert ids(await stream(cassette.api_url, 3)) == ids(known)
        assert (len(real.connections), cassette.recorded) == (connections, 0)
        added = await stream(cassette.api_url, 2, real, flow_run_id=RUN)
        assert cassette.recorded > 0
    after = read(path)
    assert after.events[: len(before.events)] == before.events
    assert after.created == before.created
    times = [event.at for event in after.events]
    assert times == sorted(times)
    async with use_cassette(path, mode="none") as cassette:
        assert ids(await stream(cassette.api_url, 2, flow_run_id=RUN)) == ids(added)
        assert ids(await stream(cassette.api_url, 3)) == ids(known)


async def test_new_episodes_needs_no_server_and_leaves_the_file_alone_where_all_is_known(
    path: Path, real: FakeServer
) -> None:
    await record(path, real)
    before = state(path)
    async with use_cassette(path, mode="new_episodes", upstream=DOWN) as cassette:
        await stream(cassette.api_url, 3)
    assert state(path) == before


async def test_new_episodes_needs_settings_only_for_what_is_not_known(path: Path, real: FakeServer) -> None:
    await record(path, real)
    async with use_cassette(path, mode="new_episodes") as cassette:
        assert (await ask(cassette.api_url, "GET", "/health")).status_code == 200
        await stream(cassette.api_url, 3)
    with pytest.raises(CassetteError, match=r"GET /flows/1\n.*could not be recorded: No API URL is set"):
        async with use_cassette(path, mode="new_episodes") as cassette:
            await ask(cassette.api_url, "GET", "/flows/1")


# All.


async def test_all_records_anew(path: Path, real: FakeServer) -> None:
    await record(path, real)
    async with use_cassette(path, mode="all", upstream=real.api_url) as cassette:
        anew = await stream(cassette.api_url, 2, real)
        assert len(read(path).events) > 0
    async with use_cassette(path, mode="none") as cassette:
        assert ids(await stream(cassette.api_url, 2)) == ids(anew)


@pytest.mark.parametrize("problem", ["exception", "discarded", "unreachable"])
async def test_all_keeps_the_old_file_where_the_recording_fails(
    path: Path, real: FakeServer, problem: str
) -> None:
    await record(path, real)
    before = contents(path)
    upstream = DOWN if problem == "unreachable" else real.api_url
    try:
        async with use_cassette(path, mode="all", upstream=upstream) as cassette:
            await ask(cassette.api_url, "GET", "/admin/version")
            if problem == "exception":
                assert neighbours(path)
                raise ZeroDivisionError
            if problem == "discarded":
                cassette.discard()
    except (ZeroDivisionError, CassetteError) as error:
        assert problem != "discarded"
        assert problem == "exception" or "was not recorded: GET /admin/version was not answered" in str(error)
    else:
        assert problem == "discarded"
    assert contents(path) == before
    assert neighbours(path) == []


async def test_a_server_that_was_away_for_a_while_spoils_no_recording(path: Path, real: FakeServer) -> None:
    async with use_cassette(path, upstream=real.api_url) as cassette:
        real.refuse()
        assert (await ask(cassette.api_url, "GET", "/admin/version")).status_code == 502
        real.refuse(False)
        assert (await ask(cassette.api_url, "GET", "/admin/version")).status_code == 200
    assert len(read(path).events) == 2


async def test_a_recording_that_cannot_be_written_is_told(tmp_path: Path, real: FakeServer) -> None:
    rewrite(tmp_path / "file", "no folder")
    with pytest.raises(CassetteError, match="was not recorded"):
        async with use_cassette(tmp_path / "file" / "x.jsonl", upstream=real.api_url) as cassette:
            await ask(cassette.api_url, "GET", "/admin/version")


# What counts as the same.


def said(filter: Any, **envelope: Any) -> str:
    return json.dumps({"type": "filter", "filter": filter, **envelope})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(said({}), '{ "filter": {},"type":"filter" }', True, id="spelling"),
        pytest.param(
            said({}), said({"timestamp": {"after_": "2026-01-01T00:00:00Z"}}), True, id="time range"
        ),
        pytest.param(said({}), said({"level": None, "operator": "and_"}), True, id="says nothing"),
        pytest.param(said({"any_": ["a", "b"]}), said({"any_": ["b", "a"]}), True, id="order of ids"),
        pytest.param(said({}), said({"operator": "or_"}), False, id="operator"),
        pytest.param(said({"level": {"ge_": 20}}), said({"level": {"ge_": 30}}), False, id="level"),
        pytest.param(said({}), said({}, backfill=True), False, id="envelope"),
        pytest.param(said({"any_": ["2026-01-01"]}), said({"any_": ["2027-01-01"]}), False, id="no moment"),
        pytest.param("no JSON", "no JSON", True, id="no JSON"),
        pytest.param("no JSON", "[]", False, id="no object"),
        pytest.param(said(5), said({}), True, id="no filter"),
    ],
)
def test_two_conversations_are_the_same_by_what_their_filters_choose(
    one: str, other: str, same: bool
) -> None:
    keys = [matching.websocket_key("/logs/out", frame) for frame in (one, other)]
    assert (keys[0] == keys[1]) is same
    assert matching.websocket_key("/events/out", one) != keys[0]


async def test_a_refusal_between_two_conversations_stays_between_them(path: Path) -> None:
    opening = [
        ("client", "upgrade", None, {"path": "/api/logs/out"}),
        ("server", "upgrade_ok", None, {"status": 101, "subprotocol": "prefect"}),
        ("client", "text", AUTH, {}),
        ("client", "text", EVERYTHING, {}),
        ("server", "close", "bye", {"code": 1012}),
    ]
    refused = [opening[0], ("server", "refused", "", {"status": 502})]
    path.parent.mkdir()
    with Recorder(path) as recorder:
        for number, session in enumerate((opening, refused, opening)):
            for direction, kind, data, facts in session:
                recorder(WireEvent(0.0, number, direction, kind, data, facts))  # type: ignore[arg-type]
    async with use_cassette(path, mode="none") as cassette:
        async with socket(cassette, AUTH, EVERYTHING) as ws:
            assert await ending(ws) == (1012, "bye")
        with pytest.raises(InvalidStatus):
            async with socket(cassette):
                pass
        async with socket(cassette, AUTH, EVERYTHING) as ws:
            assert await ending(ws) == (1012, "bye")


# Secrets.


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_no_secret_is_in_the_file_and_nobody_else_can_read_it(path: Path) -> None:
    async with FakeServer(Behaviour(auth_string=SECRET)) as server:
        settings = resolve(
            api_url=server.api_url, auth_string=SECRET, headers={"X-Mine": "custom-header-value"}, environ={}
        )
        async with use_cassette(path, upstream=settings) as cassette:
            async with rawlogs.stream(
                api_url=cassette.api_url, auth_string="app:own-password", **QUICK
            ) as logs:
                await server.until_subscribed()
                server.post(f"the server echoes {SECRET}")
                await logs.__anext__()
            secret_headers = {
                "cookie": "session=client-cookie",
                "authorization": "Bearer client-bearer",
                "x-own": "client-header",
            }
            answer = await ask(cassette.api_url, "GET", "/admin/version?key=1", headers=secret_headers)
            assert answer.status_code == 200
        asked = server.requests[-1].headers
    assert asked["x-mine"] == "custom-header-value"
    assert "cookie" not in asked
    assert "x-own" not in asked
    assert state(path)[2] == 0o600
    text = contents(path)
    for secret in (SECRET, "correct-horse", "custom-header", "own-password", "client-", "YWRtaW46"):
        assert secret not in text
    async with use_cassette(path, mode="none") as cassette:
        logs = await stream(cassette.api_url, 1, auth_string="whatever:token")
    assert logs[0].message == "the server echoes ***"


# What is asked of the caller.


def test_a_mode_of_another_name_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="none, once, new_episodes, all"):
        use_cassette(path, mode="ones")  # type: ignore[arg-type]


def test_a_cassette_is_entered_once(path: Path, real: FakeServer) -> None:
    cassette = use_cassette(path, upstream=DOWN)
    with pytest.raises(RuntimeError, match="enter the cassette first"):
        _ = cassette.api_url
    with cassette, pytest.raises(RuntimeError, match="used once"):
        cassette.__enter__()


def test_a_damaged_cassette_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z"}\n{"t":0,"conn')
    with pytest.raises(ConfigError, match="is cut"):
        use_cassette(path).__enter__()


# Any logs.

MESSAGES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
LOGS = st.lists(st.tuples(MESSAGES, st.sampled_from([10, 20, 30, 40])), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def serial() -> Iterator[Any]:
    numbers = iter(range(10_000))
    yield lambda: next(numbers)


@hypothesis_settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(logs=LOGS)
async def test_what_is_replayed_is_what_was_recorded(tmp_path: Path, serial: Any, logs: Any) -> None:
    path = tmp_path / f"{serial()}.jsonl"

    async def told(api_url: str) -> list[tuple[str, str, int]]:
        async with rawlogs.stream(api_url=api_url, **QUICK) as reader:
            if not exists(path):
                await server.until_subscribed()
                server.post([{"message": message, "level": level} for message, level in logs])
            found = [await asyncio.wait_for(reader.__anext__(), 40) for _ in logs]
        return sorted((log.id_text, log.message, log.level) for log in found)

    async with FakeServer() as server, use_cassette(path, upstream=server.api_url) as cassette:
        recorded = await told(cassette.api_url)
    assert sorted((message, level) for _, message, level in recorded) == sorted(logs)
    async with use_cassette(path, mode="none") as cassette:
        assert await told(cassette.api_url) == recorded
