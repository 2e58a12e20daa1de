"""``rawlogs ship`` beside real servers: names that only they know, and every stored log."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

from otlp_receiver import OtlpReceiver, attributes
from streaming import within

from .prefect_server import PrefectServer


async def ship(server: PrefectServer, receiver: OtlpReceiver, *arguments: str) -> int:
    """Run it to its end; the exit code."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "rawlogs",
            "ship",
            "--api-url",
            server.api_url,
            "--to",
            receiver.to,
            *arguments,
        )
    )
    try:
        return await within(process.wait(), 60.0)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def new_run(server: PrefectServer, name: str) -> str:
    """A flow run of a deployment of a work pool, all of that name; its id."""
    flow = server.request("POST", "/flows/", {"name": f"flow-{name}"})
    server.request("POST", "/work_pools/", {"name": f"pool-{name}", "type": "process"})
    wanted = {"name": f"deployment-{name}", "flow_id": flow["id"], "work_pool_name": f"pool-{name}"}
    # Some versions enforce a schema by default, and then refuse a deployment that has none.
    schema = {"parameter_openapi_schema": {"type": "object", "properties": {}}}
    deployment = server.request("POST", "/deployments/", {**wanted, **schema})
    run = server.request(
        "POST", f"/deployments/{deployment['id']}/create_flow_run", {"name": f"run-{name}", "tags": ["prod"]}
    )
    return str(run["id"])


async def test_names_of_run_flow_deployment_and_work_pool_come_from_the_server(server: PrefectServer) -> None:
    """And the tags."""
    name = uuid4().hex
    run = new_run(server, name)
    server.post_logs([{"message": "hello"}], flow_run_id=run)
    async with OtlpReceiver() as receiver:
        assert await ship(server, receiver, "--flow-run", run, "--since", "1h", "--no-follow") == 0
    (record,) = receiver.records.values()
    found = attributes(record)
    assert found["prefect.flow_run.name"] == f"run-{name}"
    assert found["prefect.flow.name"] == f"flow-{name}"
    assert found["prefect.deployment.name"] == f"deployment-{name}"
    assert found["prefect.work_pool.name"] == f"pool-{name}"
    assert found["prefect.tags"] == ["prod"]


async def test_every_stored_log_of_a_run_is_shipped_once_and_a_restart_repeats_none(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Ids are the server's."""
    run = str(uuid4())
    server.post_logs(n=450, flow_run_id=run)
    arguments = ("--flow-run", run, "--since", "1h", "--no-follow", "--cursor-file", str(tmp_path / "cursor"))
    async with OtlpReceiver() as receiver:
        assert await ship(server, receiver, *arguments) == 0
        server.post_logs(n=5, flow_run_id=run)
        assert await ship(server, receiver, *arguments) == 0
    stored = {row["id"] for row in server.list_logs(flow_run_id={"any_": [run]})}
    assert len(stored) == 455
    assert set(receiver.taken) == stored
    assert set(receiver.taken.values()) == {1}
