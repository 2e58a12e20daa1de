"""Flow runs over REST: what is asked, what is made of the answers, and that lists are whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from clocks import FakeClock
from http_peer import HttpPeer, Request, Step, reply
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.config.settings import resolve
from rawlogs.errors import AuthError, ConfigError, HistoryError
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import TERMINAL, FlowRun, Runs
from rawlogs.rest.server import log_streaming, version

RUN = UUID("01a20537-b850-7e2a-b8ad-1f32d8d39a5f")
OTHER = UUID("60802438-10f0-48d7-b87a-390fcef3654e")
FLOW = UUID("b379e376-bad9-4f60-a52d-cb94d95d58b7")
DEPLOYMENT = UUID("71ddba2c-8a2d-4465-8cac-6d0d937d0fc0")
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

not_found = reply({"detail": "Not Found"}, 404)
nothing = reply([])


def wire(run: UUID = RUN, **fields: Any) -> dict[str, Any]:
    """A flow run as 3.8.8 sends it, cut down."""
    return {
        "id": str(run),
        "name": "brave-fox",
        "flow_id": str(FLOW),
        "deployment_id": None,
        "parent_task_run_id": None,
        "state_type": "RUNNING",
        "state_name": "Running",
        "start_time": "2026-01-01T11:00:00.5Z",
        "end_time": None,
        "created": "2026-01-01T10:59:58.123456Z",
        "expected_start_time": "2026-01-01T10:59:59Z",
        "tags": ["nightly"],
        "state": {"type": "RUNNING", "name": "Running", "state_details": {}},
        "labels": {"new": "field"},
        **fields,
    }


@asynccontextmanager
async def asking(peer: HttpPeer, **options: Any) -> AsyncIterator[Runs]:
    async with peer:
        settings = resolve(api_url=peer.api_url, environ={}, cwd=Path(__file__).parent)
        async with RestClient(settings, clock=FakeClock(), **options) as rest:
            yield Runs(rest)


# -- one run


def test_a_flow_run_is_read_from_the_wire() -> None:
    assert FlowRun.from_wire(wire(deployment_id=str(DEPLOYMENT), parent_task_run_id=str(OTHER))) == FlowRun(
        id=RUN,
        name="brave-fox",
        state_type="RUNNING",
        state_name="Running",
        flow_id=FLOW,
        deployment_id=DEPLOYMENT,
        parent_task_run_id=OTHER,
        start_time=datetime(2026, 1, 1, 11, 0, 0, 500_000, tzinfo=timezone.utc),
        end_time=None,
        created=datetime(2026, 1, 1, 10, 59, 58, 123_456, tzinfo=timezone.utc),
        expected_start_time=datetime(2026, 1, 1, 10, 59, 59, tzinfo=timezone.utc),
        tags=("nightly",),
    )


def test_a_run_without_a_state_is_not_terminal() -> None:
    run = FlowRun.from_wire({"id": str(RUN), "state": None})
    assert (run.name, run.state_type, run.terminal, run.began, run.tags) == ("", None, False, None, ())


def test_the_state_is_found_in_its_own_object() -> None:
    run = FlowRun.from_wire({"id": str(RUN), "state": {"type": "CRASHED", "name": "Lost"}})
    assert (run.state_type, run.state_name, run.terminal) == ("CRASHED", "Lost", True)


@pytest.mark.parametrize(
    ("state", "terminal"),
    [
        ("SCHEDULED", False),
        ("PENDING", False),
        ("RUNNING", False),
        ("PAUSED", False),
        ("CANCELLING", False),
        ("COMPLETED", True),
        ("FAILED", True),
        ("CRASHED", True),
        ("CANCELLED", True),
    ],
)
def test_four_states_are_terminal(state: str, terminal: bool) -> None:
    assert FlowRun(RUN, "x", state_type=state).terminal is terminal
    assert (state in TERMINAL) is terminal


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ([], "not a JSON object"),
        ({}, "no id"),
        ({"id": "x"}, "id is not a UUID"),
        (wire(flow_id=5), "flow_id is not a UUID"),
        (wire(start_time="noon"), "start_time is not a time"),
        (wire(end_time=5), "end_time is not a time"),
    ],
)
def test_a_run_that_cannot_be_read_names_the_field(data: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        FlowRun.from_wire(data)


async def test_a_run_is_read_by_its_id() -> None:
    peer = HttpPeer(reply(wire()), reply(wire()))
    async with asking(peer) as runs:
        assert (await runs.read(RUN)).name == "brave-fox"
        assert (await runs.read(str(RUN).upper())).id == RUN
    assert peer.paths == [f"GET /api/flow_runs/{RUN}"] * 2


async def test_an_unknown_run_is_told_with_its_id_and_the_server_that_was_asked() -> None:
    async with asking(peer := HttpPeer(reply({"detail": "Flow run not found"}, 404))) as runs:
        with pytest.raises(HistoryError) as caught:
            await runs.read(RUN)
        text = f"There is no flow run with the id {RUN} on this server ({peer.api_url})"
        assert caught.value.text == text
    assert (caught.value.status, caught.value.transient) == (404, False)


async def test_a_wrong_base_path_is_not_taken_for_an_unknown_run() -> None:
    async with asking(HttpPeer(not_found)) as runs:
        with pytest.raises(HistoryError, match="HTTP 404: Not Found") as caught:
            await runs.read(RUN)
    assert "No Prefect API answers at" in (caught.value.hint or "")


async def test_an_id_that_is_none_is_a_config_error_without_a_request() -> None:
    peer = HttpPeer()
    async with asking(peer) as runs:
        with pytest.raises(ConfigError, match="'brave-fox' is not the id of a flow run"):
            await runs.read("brave-fox")
    assert peer.requests == []


async def test_an_answer_that_is_no_run_is_a_transient_error() -> None:
    async with asking(HttpPeer(reply([1]))) as runs:
        with pytest.raises(HistoryError, match="A flow run cannot be read: a flow run is not") as caught:
            await runs.read(RUN)
    assert caught.value.transient


@pytest.mark.parametrize(("answer", "expected"), [(str(OTHER), OTHER), (None, None)])
async def test_a_task_run_leads_to_its_flow_run(answer: Any, expected: Any) -> None:
    peer = HttpPeer(reply({"id": str(RUN), "flow_run_id": answer}))
    async with asking(peer) as runs:
        assert await runs.task_run(RUN) == expected
    assert peer.paths == [f"GET /api/task_runs/{RUN}"]


async def test_an_unknown_task_run_is_told_with_its_id() -> None:
    async with asking(HttpPeer(reply({"detail": "Task not found"}, 404))) as runs:
        with pytest.raises(HistoryError, match=f"There is no task run with the id {RUN}"):
            await runs.task_run(RUN)


async def test_a_task_run_that_cannot_be_read_is_a_transient_error() -> None:
    async with asking(HttpPeer(reply({"flow_run_id": 7}))) as runs:
        with pytest.raises(HistoryError, match="flow_run_id is not a UUID") as caught:
            await runs.task_run(RUN)
    assert caught.value.transient


# -- what is asked for


Ask = Callable[[Runs], Any]


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        pytest.param(
            lambda runs: runs.by_name("brave-fox"),
            {"flow_runs": {"name": {"any_": ["brave-fox"]}}},
            id="by name",
        ),
        pytest.param(
            lambda runs: runs.by_tag("nightly"), {"flow_runs": {"tags": {"all_": ["nightly"]}}}, id="by tag"
        ),
        pytest.param(
            lambda runs: runs.children([RUN, RUN]),
            {"flow_runs": {"parent_flow_run_id": {"any_": [str(RUN)]}}},
            id="children",
        ),
        pytest.param(
            lambda runs: runs.by_ids([RUN, RUN]), {"flow_runs": {"id": {"any_": [str(RUN)]}}}, id="by ids"
        ),
        pytest.param(
            lambda runs: runs.by_deployment(DEPLOYMENT),
            {"flow_runs": {"deployment_id": {"any_": [str(DEPLOYMENT)]}}},
            id="by deployment id",
        ),
        pytest.param(
            lambda runs: runs.by_flow("etl"),
            {"flow_runs": {}, "flows": {"name": {"any_": ["etl"]}}},
            id="by flow",
        ),
    ],
)
async def test_a_list_is_asked_for_in_the_servers_words(ask: Ask, expected: dict[str, Any]) -> None:
    peer = HttpPeer(reply([wire()]))
    async with asking(peer) as runs:
        assert [run.id for run in await ask(runs)] == [RUN]
    assert peer.paths == ["POST /api/flow_runs/filter"]
    assert peer.requests[0].json == {**expected, "sort": "ID_DESC", "offset": 0, "limit": 200}


async def test_since_keeps_what_has_not_ended_and_what_ended_later() -> None:
    peer = HttpPeer(reply([wire(RUN)]), reply([wire(OTHER), wire(RUN)]))
    async with asking(peer) as runs:
        found = await runs.by_tag("t", since=NOON)
    assert {run.id for run in found} == {RUN, OTHER}
    assert len(found) == 2
    assert [request.json["flow_runs"]["end_time"] for request in peer.requests] == [
        {"is_null_": True},
        {"after_": "2026-01-01T11:59:00+00:00"},
    ]


async def test_no_more_than_200_ids_go_into_one_request() -> None:
    peer = HttpPeer(respond=lambda _: nothing)
    parents = [UUID(int=number) for number in range(450)]
    async with asking(peer) as runs:
        assert await runs.children(parents) == []
    asked = [request.json["flow_runs"]["parent_flow_run_id"]["any_"] for request in peer.requests]
    assert [len(ids) for ids in asked] == [200, 200, 50]
    assert sorted(UUID(text) for ids in asked for text in ids) == parents


async def test_without_parents_nothing_is_asked() -> None:
    peer = HttpPeer()
    async with asking(peer) as runs:
        assert await runs.children([]) == []
    assert peer.requests == []


async def test_lists_are_newest_first_with_the_unborn_at_the_head() -> None:
    rows = [
        wire(UUID(int=1), start_time="2026-01-01T10:00:00Z"),
        wire(UUID(int=2), start_time="2026-01-01T12:00:00Z"),
        wire(UUID(int=3), start_time=None, expected_start_time="2026-01-01T11:00:00Z"),
        wire(UUID(int=4), start_time=None, expected_start_time=None, created=None),
    ]
    async with asking(HttpPeer(reply(rows))) as runs:
        found = await runs.by_tag("t")
    assert [run.id.int for run in found] == [4, 2, 3, 1]


# -- names


async def test_find_keeps_the_order_and_takes_every_run_of_a_name() -> None:
    peer = HttpPeer(reply([wire(UUID(int=1)), wire(UUID(int=2))]), reply(wire(RUN)), reply([wire(RUN)]))
    async with asking(peer) as runs:
        found = await runs.find(["twins", RUN, "brave-fox"])
    assert [run.id for run in found] == [UUID(int=2), UUID(int=1), RUN]


async def test_find_names_what_no_run_is_called() -> None:
    async with asking(HttpPeer(nothing)) as runs:
        with pytest.raises(ConfigError, match="no flow run with the id or name 'shy-fox'") as caught:
            await runs.find(["shy-fox"])
    assert caught.value.setting == "RUN"


async def test_a_deployment_is_found_by_flow_and_name() -> None:
    peer = HttpPeer(reply({"id": str(DEPLOYMENT), "name": "prod"}), reply([wire()]))
    async with asking(peer) as runs:
        assert len(await runs.by_deployment("etl job/prod?")) == 1
    assert peer.paths == ["GET /api/deployments/name/etl%20job/prod%3F", "POST /api/flow_runs/filter"]
    assert peer.requests[1].json["flow_runs"] == {"deployment_id": {"any_": [str(DEPLOYMENT)]}}


@pytest.mark.parametrize("asked", ["etl/prd", "ETL/Prod", "prod", "etl", "etl/", "/prod"])
async def test_an_unknown_deployment_is_told_with_names_like_it(asked: str) -> None:
    def respond(request: Request) -> Step:
        if request.path == "/api/deployments/filter":
            return reply([{"name": "prod", "flow_id": str(FLOW)}, {"name": "x", "flow_id": str(OTHER)}])
        if request.path == "/api/flows/filter":
            return reply([{"id": str(FLOW), "name": "etl"}, {"id": str(OTHER), "name": "zzz"}])
        return reply({"detail": "Deployment not found"}, 404)

    async with asking(HttpPeer(respond=respond)) as runs:
        with pytest.raises(ConfigError, match=f"There is no deployment '{asked}'") as caught:
            await runs.by_deployment(asked)
    assert (caught.value.setting, caught.value.hint) == ("--deployment", "Did you mean 'etl/prod'?")


async def test_an_unknown_deployment_among_none_is_told_how_to_write_one() -> None:
    async with asking(HttpPeer(reply({"detail": "Deployment not found"}, 404), nothing)) as runs:
        with pytest.raises(ConfigError) as caught:
            await runs.by_deployment("a/b")
    assert caught.value.hint == "It is written FLOW/DEPLOYMENT."


@pytest.mark.parametrize("answer", [not_found, reply({"detail": "no"}, 422)])
async def test_a_deployment_that_cannot_be_asked_for_is_no_unknown_one(answer: Step) -> None:
    async with asking(HttpPeer(answer)) as runs:
        with pytest.raises(HistoryError):
            await runs.deployment("a/b")


@pytest.mark.parametrize("answer", [[], {"id": 5}])
async def test_a_deployment_that_cannot_be_read_is_a_transient_error(answer: Any) -> None:
    async with asking(HttpPeer(reply(answer))) as runs:
        with pytest.raises(HistoryError, match="The deployment 'a/b' cannot be read") as caught:
            await runs.deployment("a/b")
    assert caught.value.transient


async def test_a_flow_without_runs_has_none() -> None:
    peer = HttpPeer(nothing, reply([{"id": str(FLOW), "name": "etl"}]))
    async with asking(peer) as runs:
        assert await runs.by_flow("etl") == []
    assert peer.requests[1].json == {"flows": {"name": {"any_": ["etl"]}}, "limit": 1}


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["etl", "All etls", "Elts", "report"], "Did you mean 'etl' or 'Elts' or 'All etls'?"),
        (["report"], None),
        ([], None),
    ],
)
async def test_an_unknown_flow_is_told_with_names_like_it(names: list[str], hint: str | None) -> None:
    rows = [{"id": str(UUID(int=number)), "name": name} for number, name in enumerate(names)]
    async with asking(HttpPeer(nothing, nothing, reply(rows))) as runs:
        with pytest.raises(ConfigError, match="There is no flow 'etls'") as caught:
            await runs.by_flow("etls")
    assert caught.value.setting == "--flow"
    assert caught.value.hint == hint


# -- pages


class Shelf:
    """The rows of a server that come and go between two requests, newest id first, a page at a time."""

    def __init__(self, count: int, limit: int, before: dict[int, Callable[[list[int]], Any]] | None = None):
        self.ids = list(range(1, count + 1))
        self.limit = limit
        self.before = before or {}
        self.asked: list[tuple[int, int]] = []

    def __call__(self, request: Request) -> Step:
        size, offset = request.json["limit"], request.json["offset"]
        if size > self.limit:
            return reply({"detail": f"Invalid limit: must be less than or equal to {self.limit}."}, 422)
        self.before.get(len(self.asked), lambda _: None)(self.ids)
        self.asked.append((size, offset))
        ids = sorted(self.ids, reverse=True)[offset : offset + size]
        return reply([wire(UUID(int=number)) for number in ids])


async def listed(shelf: Shelf) -> set[int]:
    async with asking(HttpPeer(respond=shelf)) as runs:
        found = await runs.by_tag("t")
    assert len(found) == len(set(found))
    return {run.id.int for run in found}


@pytest.mark.fault(92)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 8, 9, 10, 11])
@pytest.mark.parametrize("limit", [1, 2, 3, 10, 500])
async def test_all_pages_are_read_at_the_servers_limit(count: int, limit: int) -> None:
    shelf = Shelf(count, limit)
    assert await listed(shelf) == set(range(1, count + 1))
    assert {size for size, _ in shelf.asked} == {min(limit, 200)}


async def test_the_limit_is_learned_once() -> None:
    peer = HttpPeer(respond=Shelf(3, 5))
    async with asking(peer) as runs:
        await runs.by_tag("t")
        await runs.by_tag("t")
    assert [request.json["limit"] for request in peer.requests] == [200, 5, 5]


async def test_rows_that_come_while_pages_are_read_push_nothing_out() -> None:
    shelf = Shelf(9, 3, {1: lambda ids: ids.extend([10, 11]), 2: lambda ids: ids.append(12)})
    assert await listed(shelf) >= set(range(1, 10))


async def test_rows_that_go_while_pages_are_read_hide_no_others() -> None:
    """As it happens when a run leaves the state that was asked for."""
    shelf = Shelf(9, 3, {1: lambda ids: ids.remove(9), 2: lambda ids: ids.remove(8)})
    assert await listed(shelf) >= set(range(1, 8))


async def test_all_rows_gone_at_once_end_the_list() -> None:
    assert await listed(Shelf(9, 3, {1: lambda ids: ids.clear()})) == {7, 8, 9}


@given(
    count=st.integers(0, 12),
    limit=st.integers(2, 5),
    gone=st.dictionaries(st.integers(1, 6), st.integers(1, 12), max_size=4),
    come=st.dictionaries(st.integers(1, 6), st.integers(13, 20), max_size=4),
)
async def test_rows_that_stay_are_always_listed(
    count: int, limit: int, gone: dict[int, int], come: dict[int, int]
) -> None:
    changes: dict[int, Callable[[list[int]], Any]] = {}
    for at in {*gone, *come}:

        def change(ids: list[int], at: int = at) -> None:
            if gone.get(at) in ids:
                ids.remove(gone[at])
            if at in come and come[at] not in ids:
                ids.append(come[at])

        changes[at] = change
    staying = set(range(1, count + 1)) - set(gone.values())
    assert await listed(Shelf(count, limit, changes)) >= staying


@pytest.mark.fault(93)
@pytest.mark.parametrize("answer", [{"a": 1}, [1], None])
async def test_an_answer_that_is_no_list_of_objects_is_a_transient_error(answer: Any) -> None:
    async with asking(HttpPeer(reply(answer))) as runs:
        with pytest.raises(HistoryError, match="is not a list of objects") as caught:
            await runs.by_tag("t")
    assert caught.value.transient


async def test_a_422_about_something_else_is_handed_on() -> None:
    async with asking(HttpPeer(reply({"detail": "bad filter"}, 422))) as runs:
        with pytest.raises(HistoryError, match="bad filter"):
            await runs.by_tag("t")


# -- the server itself


async def ask_server(question: Any, *steps: Step) -> Any:
    async with HttpPeer(*steps) as peer:
        settings = resolve(api_url=peer.api_url, environ={}, cwd=Path(__file__).parent)
        async with RestClient(settings, clock=FakeClock()) as rest:
            return await question(rest)


def settings_with(logs: Any) -> Step:
    return reply({"home": "/x", "server": {"api": {}, "logs": logs}})


@pytest.mark.parametrize("out", [False, True])
@pytest.mark.parametrize("publishing", [False, True])
async def test_the_two_streaming_settings_are_read(out: bool, publishing: bool) -> None:
    answer = settings_with({"stream_out_enabled": out, "stream_publishing_enabled": publishing})
    assert await ask_server(log_streaming, answer) == (out, publishing)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply({"server": {"api": {}}}), id="before 3.4.7"),
        pytest.param(settings_with(None), id="null"),
        pytest.param(settings_with({"stream_out_enabled": True}), id="half"),
        pytest.param(settings_with({"stream_out_enabled": "yes", "stream_publishing_enabled": 1}), id="odd"),
        pytest.param(reply([]), id="a list"),
        pytest.param(not_found, id="404"),
        pytest.param(reply(b"<html>"), id="HTML"),
        pytest.param(reply({}, 401), id="401"),
        pytest.param(reply({}, 503), id="503"),
        pytest.param(Step(then="reset"), id="reset"),
    ],
)
async def test_streaming_is_unknown_where_nothing_tells(answer: Step) -> None:
    assert await ask_server(log_streaming, answer) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(reply("3.8.8"), "3.8.8"), (reply({}), None), (reply(""), None), (not_found, None)],
)
async def test_the_version_is_read_where_it_is_told(answer: Step, expected: str | None) -> None:
    assert await ask_server(version, answer) == expected


async def test_a_refused_key_is_an_error_for_runs() -> None:
    async with asking(HttpPeer(reply({"exception_message": "Unauthorized"}, 401))) as runs:
        with pytest.raises(AuthError):
            await runs.read(RUN)
