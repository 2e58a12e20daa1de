"""The promise by the command, with a user's defaults and in processes of their own: the start, and going on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from streaming import ThreadedServer, threaded
from streaming import no_settings as no_settings
from test_cli_tail import Process

from rawlogs.testing.faults import Http, Sleep


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded() as running:
        yield running


@contextmanager
def tailing(server: ThreadedServer, *arguments: object) -> Iterator[Process]:
    process = Process(server.api_url, "-o", "json", *arguments)
    try:
        yield process
    finally:
        process.process.kill()
        process.process.communicate()


def of(rows: list[dict[str, Any]]) -> list[str]:
    return [row["message"] for row in rows]


def killed(process: Process) -> list[str]:
    """End it with SIGKILL; the messages that it had written and nobody had read."""
    process.send(signal.SIGKILL)
    out, _ = process.process.communicate(timeout=60)
    return [json.loads(line)["message"] for line in out.splitlines()]


@pytest.mark.parametrize("latency", [0.0, 0.5])
def test_logs_posted_from_the_moment_that_the_process_starts_are_written(
    server: ThreadedServer, latency: float
) -> None:
    server.store([f"past {n}" for n in range(50)])
    time.sleep(0.1)  # the system tells the start of a process by the tick of 10 ms
    server.call(server.server.fault, "rest", Sleep(latency))
    rows: list[dict[str, Any]] = []
    with tailing(server) as process:
        while server.server.subscribed == 0 or len(rows) < 100:
            rows += server.post([f"{len(rows) + n}" for n in range(5)])
            assert len(rows) < 20_000
            time.sleep(0.02)
        assert sorted(process.messages(len(rows)), key=int) == of(rows)


def test_a_process_that_is_killed_before_the_first_log_has_a_cursor_to_go_on_from(
    server: ThreadedServer, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor"
    server.store("past")
    time.sleep(0.1)  # the same tick
    with tailing(server, "--cursor-file", cursor) as process:
        server.until_subscribed()
        while not cursor.exists():
            time.sleep(0.01)
        assert killed(process) == []
    rows = server.store([f"{n}" for n in range(5)])
    with tailing(server, "--cursor-file", cursor) as process:
        assert process.messages(5) == of(rows)
        process.send(signal.SIGTERM)
        out, err = process.process.communicate(timeout=60)
        assert out == b"" and b"open gaps 0" in err


def test_what_was_flushed_before_a_silence_is_not_repeated(server: ThreadedServer, tmp_path: Path) -> None:
    """The last flush is followed by a save within a second, though nothing else comes."""
    cursor = tmp_path / "cursor"
    with tailing(server, "--cursor-file", cursor) as process:
        server.until_subscribed()
        for n in range(4):
            server.post([f"{n}.{m}" for m in range(5)])
            process.messages(5)
            time.sleep(0.1)
        deadline = time.monotonic() + 10.0
        while len(json.loads(cursor.read_bytes())["stamps"]) < 20:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert killed(process) == []
    rows = server.store("after the silence")
    with tailing(server, "--cursor-file", cursor) as process:
        assert process.messages(1) == of(rows)
        process.send(signal.SIGTERM)
        assert process.process.communicate(timeout=60)[0] == b""


def test_a_backlog_that_is_killed_again_and_again_is_gone_through_once(
    server: ThreadedServer, tmp_path: Path
) -> None:
    cursor, found = tmp_path / "cursor", list[str]()
    rows = server.store([f"{n}" for n in range(20_000)])
    for _ in range(4):
        with tailing(server, "--cursor-file", cursor, "--since", "1h") as process:
            before = cursor.read_bytes() if cursor.exists() else b""
            found += process.messages(3000)
            while cursor.read_bytes() == before:
                time.sleep(0.05)
            process.send(signal.SIGKILL)
            out, _ = process.process.communicate(timeout=60)
            # A line that the kill cut in two is written again.
            found += [json.loads(line)["message"] for line in out.splitlines() if line.endswith(b"}")]
    with tailing(server, "--cursor-file", cursor, "--since", "1h") as process:
        while len(set(found)) < len(rows):
            found += process.messages(1)
        process.send(signal.SIGTERM)
        _, err = process.process.communicate(timeout=60)
    assert b"open gaps 0" in err
    assert set(found) == set(of(rows))


def test_a_rate_limit_at_the_start_is_waited_out_also_where_a_run_is_followed(server: ThreadedServer) -> None:
    run = server.add_run("followed")
    rows = server.store(["one", "two"], flow_run_id=str(run))
    server.set_state(run, "COMPLETED")
    server.call(lambda: server.server.fault("rest", Http(429), times=3))
    with tailing(server, run) as process:
        out, said = process.process.communicate(timeout=60)
    assert process.process.returncode == 0
    assert [json.loads(line)["message"] for line in out.splitlines()] == of(rows)
    assert "HTTP 429" in str(said)
