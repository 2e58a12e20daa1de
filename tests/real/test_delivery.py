"""The promise with a user's defaults on real servers: from the moment of the start, and by a process that is killed.

The same is asked of the fake server in tests/test_delivery.py and tests/test_cli_delivery.py.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import rawlogs

from .prefect_server import PrefectServer

DEADLINE = 180.0


def stored(server: PrefectServer, run: str) -> list[str]:
    return sorted(row["id"] for row in server.list_logs(flow_run_id={"any_": [run]}))


class Tail:
    """``rawlogs tail`` of one flow run's logs, in a process of its own, read through a file."""

    def __init__(self, server: PrefectServer, run: str, folder: Path, *arguments: str) -> None:
        self.path = folder / f"out-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "rawlogs", "tail", "--api-url", server.api_url, "--flow-run", run]
        with self.path.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "-o", "json", "--cursor-file", str(folder / "cursor"), *arguments],
                stdout=out,
                stderr=subprocess.PIPE,
            )

    def ids(self) -> list[str]:
        """What was written, without a line that a kill has cut."""
        lines = self.path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line)["id"] for line in lines]

    def until(self, condition: Any) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"{len(self.ids())} lines"
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.05)

    def end(self, number: int) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=DEADLINE)[1].decode()


@pytest.mark.every_version
async def test_what_is_posted_from_the_moment_of_entering_is_delivered(server: PrefectServer) -> None:
    run, found = str(uuid4()), list[str]()
    await asyncio.to_thread(server.post_logs, n=50, flow_run_id=run)
    past = stored(server, run)
    await asyncio.sleep(0.05)  # SQLite servers write `created` in milliseconds

    async def read(logs: rawlogs.LogStream) -> None:
        async with logs:
            async for log in logs:
                found.append(str(log.id))

    logs = rawlogs.stream(api_url=server.api_url, flow_run_id=run)
    reading = asyncio.create_task(read(logs))
    await asyncio.sleep(0)
    for _ in range(40):
        await asyncio.to_thread(server.post_logs, n=10, flow_run_id=run)
    wanted = sorted(set(stored(server, run)) - set(past))

    async def arrived() -> None:
        while len(found) < len(wanted):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await logs.finish()
        await reading

    await asyncio.wait_for(arrived(), DEADLINE)
    assert sorted(found) == wanted
    assert logs.stats.open_gaps == 0


@pytest.mark.every_version
def test_a_process_writes_what_is_posted_since_it_was_started(server: PrefectServer, tmp_path: Path) -> None:
    run = str(uuid4())
    server.post_logs(n=50, flow_run_id=run)
    past = stored(server, run)
    time.sleep(0.1)  # the system tells the start of a process by the tick of 10 ms
    tail = Tail(server, run, tmp_path)
    for _ in range(40):
        server.post_logs(n=10, flow_run_id=run)
    wanted = sorted(set(stored(server, run)) - set(past))
    tail.until(lambda: len(tail.ids()) >= len(wanted))
    account = tail.end(signal.SIGTERM)
    assert sorted(tail.ids()) == wanted
    assert "open gaps 0" in account


def test_a_backlog_is_gone_on_with_after_each_kill(server: PrefectServer, tmp_path: Path) -> None:
    """10,000 rows; what a second has written is repeated at most, and pages of the last minute."""
    run, now = str(uuid4()), datetime.now(timezone.utc)
    for part in range(10):
        rows = [{"timestamp": now - timedelta(seconds=9000 - 900 * part - n * 0.9)} for n in range(1000)]
        server.post_logs(rows, flow_run_id=run)
    found: list[str] = []
    for _ in range(3):
        tail = Tail(server, run, tmp_path, "--since", "1d")
        tail.until(lambda tail=tail: len(tail.ids()) >= 1000)
        tail.end(signal.SIGKILL)
        found += tail.ids()
    tail = Tail(server, run, tmp_path, "--since", "1d")
    tail.until(lambda: len({*found, *tail.ids()}) >= 10_000)
    account = tail.end(signal.SIGTERM)
    found += tail.ids()
    assert sorted(set(found)) == stored(server, run)
    assert "open gaps 0" in account


def test_a_sigterm_every_few_seconds_does_not_keep_the_cursor_from_moving(
    server: PrefectServer, tmp_path: Path
) -> None:
    run, posting = str(uuid4()), time.monotonic() + 20.0
    found: list[str] = []
    lows: list[str] = []
    while time.monotonic() < posting:
        tail = Tail(server, run, tmp_path)
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            server.post_logs(n=100, flow_run_id=run)
            time.sleep(0.25)
        tail.end(signal.SIGTERM)
        found += tail.ids()
        lows.append(json.loads((tmp_path / "cursor").read_bytes())["low"])
    tail = Tail(server, run, tmp_path)
    wanted = stored(server, run)
    tail.until(lambda: len({*found, *tail.ids()}) >= len(wanted))
    tail.end(signal.SIGTERM)
    found += tail.ids()
    assert sorted(found) == wanted, "each once: SIGTERM repeats nothing"
    assert lows == sorted(lows)
