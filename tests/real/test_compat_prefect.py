"""Programs that were written for Prefect's subscriber, with other import lines, against real servers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from rawlogs.compat.prefect import LogFilter, LogFilterFlowRunId, PrefectLogsSubscriber

from .prefect_server import PrefectServer

SCRIPTS = Path(__file__).parents[1] / "compat"


@pytest.mark.parametrize("complete", [True, False])
async def test_a_subscriber_reads_a_flow(server: PrefectServer, complete: bool) -> None:
    run = str(uuid4())
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    async with PrefectLogsSubscriber(server.api_url, filter=chosen, complete=complete) as logs:
        await asyncio.sleep(0.5)  # a server says nowhere that it has subscribed
        await asyncio.to_thread(server.post_logs, n=3, flow_run_id=run)
        found = [await asyncio.wait_for(logs.__anext__(), 60) for _ in range(3)]
    assert {log.flow_run_id for log in found} == {UUID(run)}
    assert {str(log.id) for log in found} == {
        row["id"] for row in server.list_logs(flow_run_id={"any_": [run]})
    }


def test_a_script_prints_the_logs_of_a_run(default_server: PrefectServer, tmp_path: Path) -> None:
    run = str(uuid4())
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environ |= {"PREFECT_API_URL": default_server.api_url, "RUN": run, "LOGS": "2", "HOME": str(tmp_path)}
    command = [sys.executable, "-u", str(SCRIPTS / "print_filtered.py")]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        # The server does not stream, which the program says once it follows the list.
        assert process.stderr is not None
        assert "PREFECT_SERVER_LOGS_STREAM" in process.stderr.readline()
        default_server.post_logs(n=2, flow_run_id=run)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert [line.split("]")[0] for line in out.splitlines()] == ["[INFO"] * 2
