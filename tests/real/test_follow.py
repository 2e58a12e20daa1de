"""``rawlogs.follow`` on real servers: a flow with a subflow while it runs, and one that has failed."""

from __future__ import annotations

import asyncio
from uuid import UUID

import rawlogs

from .prefect_server import PrefectServer

DEADLINE = 180.0


def stored(server: PrefectServer, runs: list[str]) -> list[str]:
    return sorted(row["id"] for row in server.list_logs(flow_run_id={"any_": runs}))


async def followed(logs: rawlogs.RunStream) -> list[rawlogs.Log]:
    async def read() -> list[rawlogs.Log]:
        async with logs:
            return [log async for log in logs]

    return await asyncio.wait_for(read(), DEADLINE)


async def test_a_flow_and_its_subflow_are_followed_to_their_end(server: PrefectServer) -> None:
    flow = await asyncio.to_thread(server.start_flow, "family")
    logs = rawlogs.follow(flow.run_id, api_url=server.api_url)
    got = await followed(logs)
    await asyncio.to_thread(flow.wait)
    runs = [str(run) for run in logs.states]
    assert len(runs) == 2, "the flow and its subflow"
    assert sorted(log.id_text for log in got) == stored(server, runs)
    assert "the child speaks" in {log.message for log in got}
    assert set(logs.states.values()) == {"Completed"}
    assert (logs.outcome, logs.exit_code) == ("COMPLETED", 0)


async def test_a_flow_that_failed_is_read_from_its_first_log_on(server: PrefectServer) -> None:
    run = await asyncio.to_thread(server.run_flow, "failing")
    logs = rawlogs.follow(run, api_url=server.api_url)
    got = await followed(logs)
    assert sorted(log.id_text for log in got) == stored(server, [run])
    assert logs.states == {UUID(run): "Failed"}
    assert (logs.outcome, logs.exit_code) == ("FAILED", 1)


async def test_the_names_of_a_log_are_those_of_the_server(server: PrefectServer) -> None:
    run = await asyncio.to_thread(server.run_flow, "failing")
    name = server.request("GET", f"/flow_runs/{run}")["name"]
    async with rawlogs.follow(run, api_url=server.api_url) as logs:
        async for log in logs:
            names = await logs.names(log)
            break
    assert (names.flow_run_name, names.flow_name, names.deployment_name) == (name, "main", None)
