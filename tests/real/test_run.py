"""``rawlogs run`` on real servers, with a flow that serves itself as a deployment: no worker, no work pool."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .prefect_server import ApiError, PrefectServer

DEADLINE = 180.0
SERVED = """
import os, time
os.environ["PREFECT_RUNNER_POLL_FREQUENCY"] = "1"  # seconds; 10 by default
from prefect import flow, get_run_logger

@flow
def etl(day: str, fails: bool = False, seconds: int = 0):
    get_run_logger().info("day %s", day)
    time.sleep(seconds)
    if fails:
        raise ValueError("as asked")

if __name__ == "__main__":
    etl.serve(name="nightly", pause_on_shutdown=False)
"""


@pytest.fixture
def served(server: PrefectServer) -> Iterator[PrefectServer]:
    """A server with the deployment etl/nightly, which runs what is started."""
    with server.script(SERVED) as process:
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                server.request("GET", "/deployments/name/etl/nightly")
                break
            except ApiError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.2)
        yield server


def command(server: PrefectServer, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "rawlogs", "run", "etl/nightly", "--api-url", server.api_url, *arguments]


def run(server: PrefectServer, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *arguments),
        cwd=folder,
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_deployment_is_run_to_its_end(served: PrefectServer, tmp_path: Path) -> None:
    done = run(served, tmp_path, "-p", "day=2026-11-20", "-o", "json", "--tag", "ci")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "day 2026-11-20" in [line["message"] for line in lines]
    assert {(line["flow_name"], line["deployment_name"]) for line in lines} == {("etl", "nightly")}
    made = served.request("GET", f"/flow_runs/{lines[0]['flow_run_id']}")
    assert (made["parameters"]["day"], made["tags"]) == ("2026-11-20", ["ci"])

    failed = run(served, tmp_path, "-p", "day=x", "-p", "fails=true")
    assert failed.returncode == 1 and "as asked" in failed.stdout

    refused = run(served, tmp_path, "-p", "dya=x")
    assert refused.returncode == 2 and "did you mean day" in refused.stderr
    wrong = run(served, tmp_path, "-p", "day=x", "-p", "fails=perhaps")
    assert wrong.returncode == 2 and "fails is string, not boolean" in wrong.stderr


@pytest.mark.parametrize(
    ("flags", "said", "states"),
    [
        ([], "goes on; its logs: rawlogs tail", {"RUNNING", "COMPLETED"}),
        (["--cancel-on-interrupt"], "asked the server to cancel", {"CANCELLING", "CANCELLED"}),
    ],
    ids=["goes on", "cancelled"],
)
def test_ctrl_c_leaves_the_run_or_cancels_it_as_asked(
    served: PrefectServer, tmp_path: Path, flags: list[str], said: str, states: set[str]
) -> None:
    with subprocess.Popen(
        command(served, "-p", "day=x", "-p", "seconds=3", "-o", "json", *flags),
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "day x" in line)  # it runs
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=DEADLINE)
        finally:
            process.kill()
    assert process.returncode == 130 and said in err, err
    made = served.request("GET", f"/flow_runs/{json.loads(line)['flow_run_id']}")
    assert made["state_type"] in states


def test_a_key_makes_one_run_and_a_run_may_start_later(served: PrefectServer, tmp_path: Path) -> None:
    flags = ("-p", "day=x", "--detach", "--idempotency-key", str(tmp_path), "--in", "1h")
    first, second = (run(served, tmp_path, *flags) for _ in range(2))
    assert first.returncode == 0 and first.stdout == second.stdout
    made = served.request("GET", f"/flow_runs/{first.stdout.strip()}")
    assert made["state_type"] == "SCHEDULED"
