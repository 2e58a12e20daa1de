"""Every value that is read from the REST API may be of any type: it is read, or HistoryError says that it cannot be."""

from __future__ import annotations

import asyncio
import copy
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.config import urls
from rawlogs.config.settings import resolve
from rawlogs.errors import AuthError, ConfigError, HistoryError
from rawlogs.models import BEGINNING, END
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import FlowRun, Runs
from rawlogs.rest.history import History, RowsShifted
from rawlogs.rest.server import log_streaming, version
from rawlogs.rest.timing import offset_bounds, skew
from rawlogs.serve.runs_api import Finder
from rawlogs.version import release
from tests.http_peer import HttpPeer, Request, Step, reply

RUN = "01a20537-b850-7e2a-b8ad-1f32d8d39a5f"
FLOW = "b379e376-bad9-4f60-a52d-cb94d95d58b7"
DEPLOYMENT = "71ddba2c-8a2d-4465-8cac-6d0d937d0fc0"
FLOW_RUN = {
    "id": RUN,
    "name": "brave-fox",
    "flow_id": FLOW,
    "deployment_id": DEPLOYMENT,
    "parent_task_run_id": None,
    "state_type": "RUNNING",
    "state_name": "Running",
    "start_time": "2026-01-01T11:00:00.5Z",
    "end_time": None,
    "created": "2026-01-01T10:59:58.123456Z",
    "expected_start_time": "2026-01-01T10:59:59Z",
    "tags": ["nightly"],
    "work_pool_name": "pool",
    "work_queue_name": "default",
    "state": {"type": "RUNNING", "name": "Running", "state_details": {}},
}
LOG = {
    "id": RUN,
    "created": "2026-01-01T10:59:58.123456Z",
    "updated": None,
    "name": "prefect.flow_runs",
    "level": 20,
    "message": "m",
    "timestamp": "2026-01-01T00:00:00Z",
    "flow_run_id": RUN,
    "task_run_id": None,
}
ANSWERS: dict[str, Any] = {
    f"/flow_runs/{RUN}": FLOW_RUN,
    "/flow_runs/filter": [FLOW_RUN],
    f"/task_runs/{RUN}": {"id": RUN, "flow_run_id": RUN, "name": "task-0"},
    "/flows/filter": [{"id": FLOW, "name": "etl"}],
    "/task_runs/filter": [{"id": RUN, "name": "task-0"}],
    "/deployments/filter": [{"id": DEPLOYMENT, "name": "nightly", "flow_id": FLOW}],
    "/deployments/name/etl/nightly": {"id": DEPLOYMENT, "name": "nightly", "flow_id": FLOW},
    "/logs/filter": [LOG],
    "/admin/version": "3.8.8",
    "/admin/settings": {
        "server": {"logs": {"stream_out_enabled": True, "stream_publishing_enabled": True}},
    },
}
"""What a server answers that is as it should be."""

numbers = st.integers(-(2**70), 2**70) | st.floats() | st.just(10**400)
values = st.recursive(
    st.none()
    | st.booleans()
    | numbers
    | st.text(max_size=8)
    | st.sampled_from(["9" * 5000, RUN, RUN[:8], ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
"""Every type of JSON."""


class Server:
    """Answers by path; what was not asked for is not there."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = answers
        self.asked = 0

    async def get(self, path: str, *, retries: int | None = None) -> Any:
        return self._answer(path)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        found = self._answer(path)
        if isinstance(found, list) and isinstance(offset := body.get("offset", 0), int):
            return found[offset : offset + body["limit"]]
        return found

    def _answer(self, path: str) -> Any:
        self.asked += 1
        assert self.asked < 200, "it asks without end"
        if path not in self.answers:
            raise HistoryError("no such thing", status=404)
        return copy.deepcopy(self.answers[path])


def client(peer: HttpPeer) -> RestClient:
    return RestClient(resolve(api_url=peer.api_url, environ={}, cwd=Path(__file__).parent), retries=0)


async def _pages(server: Server) -> None:
    history = History(server, page=2)
    async for page in history.pages({}, BEGINNING, END):
        for log in page:
            assert (log.id, log.level, log.message, log.created, log.flow_run_id, log.name) is not None
    await history.newest({}, END)
    await history.count_more_than({}, BEGINNING, END, 1)
    with suppress(RowsShifted):
        async for _ in history.rows_after({}, BEGINNING, END, 1, lambda log: True):
            pass


async def _deployments(server: Server) -> None:
    await Runs(server).deployment("etl/nightly")
    await Runs(server).by_deployment("etl/nightly")


async def _near(server: Server) -> None:
    """A flow and a deployment that there are not: those that there are, are read for a hint."""
    with suppress(ConfigError):
        await Runs(server).by_flow("elt")
    with suppress(ConfigError):
        await Runs(server).deployment("etl/nihgtly")


async def _runs(server: Server) -> None:
    runs = Runs(server)
    await runs.by_flow("etl")
    await runs.by_tag("nightly")
    for run in [*await runs.find([RUN, "brave-fox"]), *await runs.by_ids([UUID(RUN)])]:
        assert (run.terminal, run.began, sorted(run.tags)) is not None


async def _server(server: Server) -> None:
    found = await version(server)
    assert found is None or release(found) is None or len(found) < 81
    assert await log_streaming(server) in (None, *((a, b) for a in (True, False) for b in (True, False)))


async def _task_run(server: Server) -> None:
    found = await Runs(server).task_run(RUN)
    assert found is None or isinstance(found, UUID)


async def _read(server: Server) -> None:
    assert isinstance(await Runs(server).read(RUN), FlowRun)


async def _page(server: Server) -> None:
    """What the page in the browser shows of runs; its server answers 502 for these errors."""
    finder = Finder(server, urls.parse("http://h/api"))
    runs = await finder.runs(name="fox")
    assert orjson.dumps([runs, await finder.by_ids([UUID(RUN)])])
    assert orjson.dumps(await finder.names([UUID(RUN)], [UUID(RUN)]))


READERS: dict[str, Callable[[Server], Awaitable[None]]] = {
    "logs": _pages,
    "runs": _runs,
    "a run": _read,
    "a task run": _task_run,
    "deployments": _deployments,
    "names for a hint": _near,
    "the server": _server,
    "the page": _page,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value stands that another can be put in place of."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def with_value(answers: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(answers)
    found: Any = changed
    for key in path[:-1]:
        found = found[key]
    found[path[-1]] = value
    return changed


PLACES = [path for path in places(ANSWERS) if path]


@pytest.mark.parametrize("reader", READERS)
async def test_what_is_as_it_should_be_is_read(reader: str) -> None:
    await READERS[reader](Server(ANSWERS))


@pytest.mark.parametrize("reader", READERS)
@given(path=st.sampled_from(PLACES), value=values)
async def test_only_our_own_errors_come_of_any_value(reader: str, path: tuple[Any, ...], value: Any) -> None:
    try:
        await READERS[reader](Server(with_value(ANSWERS, path, value)))
    except HistoryError as error:
        assert error.text
    except ConfigError as error:
        assert "There is no" in error.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, 5) for field in FLOW_RUN if field not in ("work_pool_name", "work_queue_name")),
        *(("tags", value) for value in (True, "nightly", {"a": 1}, [1])),
        ("id", "x"),
        ("flow_id", "x"),
        ("created", "yesterday"),
        ("state", [1]),
    ],
)
def test_a_field_of_a_run_that_is_none_of_its_kind_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        FlowRun.from_wire({**FLOW_RUN, field: value})


@given(st.dictionaries(st.sampled_from(["token", "client"]), values))
async def test_a_csrf_token_may_be_anything(answer: Any) -> None:
    """What no header can hold is none."""

    def respond(request: Request) -> Step:
        if "csrf-token" in request.path:
            return reply(answer if "9" * 5000 not in str(answer) else {})
        if "prefect-csrf-token" in request.headers:
            return reply([])
        return reply({"detail": "Missing client identifier."}, 403)

    async with HttpPeer(respond=respond) as peer, client(peer) as rest:
        with suppress(AuthError, HistoryError):
            await rest.post("/logs/filter", {})


@pytest.mark.parametrize("token", ["a\nb", "a\x00", "ä", "x" * 10_000, ""])
async def test_a_csrf_token_that_no_header_can_hold_is_an_auth_error(token: str) -> None:
    refusal = reply({"detail": "Missing client identifier."}, 403)
    async with HttpPeer(refusal, reply({"token": token})) as peer, client(peer) as rest:
        with pytest.raises(AuthError, match="403"):
            await rest.post("/logs/filter", {})


@pytest.mark.parametrize(
    "date",
    ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1000 00:00:00 GMT", "x", "Mon, 99 Foo 2026 99:99:99 GMT"],
)
async def test_a_clock_that_none_shows_is_not_gone_by(date: str) -> None:
    async with HttpPeer(reply({}, headers={"Date": date})) as peer, client(peer) as rest:
        await rest.get("/x")
        assert rest.skew == 0.0
        assert rest.server_now().year < 9000
    assert skew(date, END.replace(year=2026), 0.0) is None
    assert offset_bounds(date, END.replace(year=2026), 0.0) is None


@pytest.mark.parametrize("text", ["9" * 5000 + ".1", "3." + "9" * 5000, "1.2.3\x1b", "x" * 100])
async def test_a_version_that_is_none_is_not_told(text: str) -> None:
    assert await version(Server({"/admin/version": text})) is None
    assert release(text) in (None, (1, 2, 3))


@pytest.mark.skipif(os.name != "posix", reason="a subprocess beside a server of this process")
@pytest.mark.parametrize(
    "changed",
    [{"tags": 5}, {"tags": True}, {"flow_id": "no id"}, {"state_type": 5}, {"created": "x"}, {"name": {}}],
    ids=str,
)
async def test_a_wrong_type_ends_a_command_with_4(tmp_path: Path, changed: dict[str, Any]) -> None:
    async with HttpPeer(respond=lambda _: reply([{**FLOW_RUN, **changed}])) as peer:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rawlogs", "tail", "--flow", "etl", "--no-follow"),
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PREFECT_API_URL": peer.api_url},
            cwd=tmp_path,
            stderr=subprocess.PIPE,
        )
        _, said = await process.communicate()
    assert b"A flow run cannot be read" in said
    assert process.returncode == 4
