"""``rawlogs.follow``: flow runs to their end, what came of them, and the runs of a flow, a deployment or a tag."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from streaming import QuickClock, ThreadedServer, threaded, within
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.rest.names import RunNames
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Http


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer(clock=QuickClock()) as running:
        yield running


def follow(server: FakeServer, run: Any, **arguments: Any) -> rawlogs.RunStream:
    return rawlogs.follow(run, **{"api_url": server.api_url, "clock": server.state._clock, **arguments})


async def messages(logs: rawlogs.LogStream) -> list[str]:
    """Everything to the end, sorted."""

    async def read() -> list[str]:
        return sorted([log.message async for log in logs])

    return await within(read())


async def subscribed(server: FakeServer) -> None:
    """Wait until logs and events are streamed."""
    await server.until_subscribed()
    await server.until(
        lambda: server.event_connections and server.event_connections[-1].state == "subscribed"
    )


@pytest.mark.parametrize("by", ["id", "text", "name", "URL"])
async def test_a_run_that_has_ended_is_read_and_the_iteration_ends(server: FakeServer, by: str) -> None:
    run = server.add_run("brave-otter")
    server.store([f"{n}" for n in range(3)], flow_run_id=run)
    server.store("of nobody")
    server.set_state(run, "COMPLETED")
    url = f"{server.origin}/runs/flow-run/{run}"
    given = {"id": run, "text": str(run), "name": "brave-otter", "URL": url}[by]
    access = {"api_url": None} if by == "URL" else {}
    async with follow(server, given, **access) as logs:
        assert await messages(logs) == ["0", "1", "2"]
    assert logs.states == {run: "Completed"}
    assert logs.run_names == {run: "brave-otter"}
    assert (logs.outcome, logs.exit_code) == ("COMPLETED", 0)


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"])
async def test_a_running_run_is_read_to_its_end(server: FakeServer, state: str) -> None:
    """While it runs there is no outcome."""
    run = server.add_run()
    server.store("before", flow_run_id=run)
    async with follow(server, run) as logs:
        await subscribed(server)
        assert (logs.outcome, logs.exit_code) == (None, 8)
        server.post("live", flow_run_id=run)
        server.set_state(run, state)
        assert await messages(logs) == ["before", "live"]
    assert (logs.outcome, logs.exit_code) == (state, int(state != "COMPLETED"))


@pytest.mark.parametrize(("children", "found"), [(True, ["child", "root"]), (False, ["root"])])
async def test_subflows_belong_to_a_run_unless_it_is_followed_alone(
    server: FakeServer, children: bool, found: list[str]
) -> None:
    """Their states are told; the outcome is that of the run which was asked for."""
    root = server.add_run("root")
    child = server.add_run("child", parent=root)
    server.store("root", flow_run_id=root)
    server.store("child", flow_run_id=child)
    server.set_state(child, "FAILED")
    server.set_state(root, "COMPLETED")
    async with follow(server, root, children=children) as logs:
        assert await messages(logs) == found
    assert logs.states == {root: "Completed", **({child: "Failed"} if children else {})}
    assert logs.outcome == "COMPLETED"


@pytest.mark.parametrize(
    ("ends", "worst"),
    [
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
        (["COMPLETED", "CANCELLED"], "CANCELLED"),
        (["FAILED", "CANCELLED"], "FAILED"),
        (["FAILED", "CRASHED"], "CRASHED"),
    ],
)
async def test_the_outcome_of_several_runs_is_the_worst(
    server: FakeServer, ends: list[str], worst: str
) -> None:
    runs = [server.add_run(state=end) for end in ends]
    async with follow(server, runs) as logs:
        assert await messages(logs) == []
    assert logs.outcome == worst


async def test_what_could_not_be_listed_at_the_end_is_exit_code_5(server: FakeServer) -> None:
    run = server.add_run()
    async with follow(server, run) as logs:
        await subscribed(server)
        server.post("live", flow_run_id=run)
        assert (await within(logs.__anext__())).message == "live"
        server.fault("rest", Http(503))
        await within(logs.finish(1.0))
        await messages(logs)
        assert logs.exit_code == 5


async def test_without_following_the_stored_logs_are_read(server: FakeServer) -> None:
    run = server.add_run()
    server.store("stored", flow_run_id=run)
    async with follow(server, run, follow=False) as logs:
        assert await messages(logs) == ["stored"]
    assert logs.exit_code == 8


async def test_a_filter_applies_to_the_run(server: FakeServer) -> None:
    run = server.add_run(state="COMPLETED")
    server.store([{"message": "low", "level": 10}, {"message": "high", "level": 40}], flow_run_id=run)
    async with follow(server, run, level="WARNING") as logs:
        assert await messages(logs) == ["high"]


@pytest.mark.parametrize("run", ["nobody", "60802438-10f0-48d7-b87a-390fcef3654e"])
async def test_a_run_that_there_is_not_is_told_by_entering(server: FakeServer, run: str) -> None:
    with pytest.raises(rawlogs.ConfigError, match="no flow run"):
        async with follow(server, run):
            pass


def test_no_run_at_all_is_refused() -> None:
    with pytest.raises(rawlogs.ConfigError, match="no run is given"):
        rawlogs.follow([])


async def test_a_server_that_refuses_once_is_asked_again_for_the_run(server: FakeServer) -> None:
    run = server.add_run(state="COMPLETED")
    server.store("x", flow_run_id=run)
    server.fault("rest", Http(503), times=1)
    async with follow(server, run) as logs:
        assert await messages(logs) == ["x"]


@pytest.mark.parametrize("by", ["flow", "deployment", "tag"])
async def test_runs_of_a_flow_a_deployment_or_a_tag_are_streamed_as_they_come(
    server: FakeServer, by: str
) -> None:
    """And others are not."""
    server.add_deployment("etl", "prod")
    mine: dict[str, Any] = {"flow": "etl", "deployment": "prod", "tags": ["nightly"]}
    first = server.add_run(**mine)
    server.store("first", flow_run_id=first)
    chosen = {"flow": "etl", "deployment": "etl/prod", "tag": "nightly"}[by]
    logs = rawlogs.stream(api_url=server.api_url, clock=server.state._clock, **{by: chosen})  # type: ignore[arg-type]
    async with logs:
        assert (await within(logs.__anext__())).message == "first"
        await subscribed(server)
        later, other = server.add_run(**mine), server.add_run(flow="other")
        server.post("other", flow_run_id=other)
        server.post("later", flow_run_id=later)
        assert (await within(logs.__anext__())).message == "later"


@pytest.mark.parametrize(
    "arguments",
    [
        {"flow": "a", "tag": "b"},
        {"deployment": "a/b", "live_only": True},
        {"tag": "a", "flow_run_id": "60802438-10f0-48d7-b87a-390fcef3654e"},
    ],
)
def test_runs_are_chosen_in_one_way(arguments: dict[str, Any]) -> None:
    with pytest.raises(rawlogs.ConfigError, match="cannot go together"):
        rawlogs.stream(api_url="http://127.0.0.1:1/api", **arguments)


async def test_names_of_a_log_are_asked_for_once(server: FakeServer) -> None:
    server.add_deployment("etl", "prod")
    run = server.add_run("brave-otter", flow="etl", deployment="prod")
    server.store(["one", "two"], flow_run_id=run)
    server.store("of nobody")
    async with rawlogs.stream(
        api_url=server.api_url, clock=server.state._clock, since="1h", follow=False
    ) as logs:
        names = [await logs.names(log) async for log in logs]
    assert names == [RunNames("brave-otter", "etl", "prod")] * 2 + [RunNames()]
    paths = [request.path for request in server.requests]
    assert sum(path.startswith(("/flow_runs/", "/flows/", "/deployments/")) for path in paths) == 3


async def test_names_that_cannot_be_asked_are_none() -> None:
    """Of a run that was deleted, and of a stream without REST."""
    async with FakeServer(Behaviour(), clock=QuickClock()) as server:
        server.store("x", flow_run_id="60802438-10f0-48d7-b87a-390fcef3654e")
        clock = server.state._clock
        async with rawlogs.stream(api_url=server.api_url, clock=clock, since="1h") as logs:
            log = await within(logs.__anext__())
            assert await logs.names(log) == RunNames()
        async with rawlogs.stream(api_url=server.api_url, clock=clock, live_only=True) as logs:
            assert await logs.names(log) == RunNames()


async def test_leaving_early_leaves_no_task(server: FakeServer) -> None:
    run = server.add_run()
    before = asyncio.all_tasks()
    async with follow(server, run):
        await subscribed(server)
    own = {task for task in asyncio.all_tasks() - before if "FakeServer" not in repr(task)}
    assert not [task for task in own if "rawlogs/delivery" in repr(task) or "rawlogs/runs" in repr(task)]


@pytest.fixture
def in_thread() -> Iterator[ThreadedServer]:
    with threaded(clock=QuickClock()) as running:
        yield running


def test_without_async_a_run_is_followed_the_same(in_thread: ThreadedServer) -> None:
    run = in_thread.add_run("brave-otter", state="COMPLETED")
    in_thread.store(["one", "two"], flow_run_id=run)
    clock = in_thread.server.state._clock
    with rawlogs.follow_sync("brave-otter", api_url=in_thread.api_url, clock=clock) as logs:
        assert sorted(log.message for log in logs) == ["one", "two"]
    assert logs.states == {run: "Completed"}
    assert (logs.outcome, logs.exit_code) == ("COMPLETED", 0)
