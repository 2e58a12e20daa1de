"""What ``rawlogs tail -o json`` writes to a file arrives in Debian's rsyslog and syslog-ng, with level and time.

Marked `matrix`: both come with `make system-matrix`. Their configuration is the one in deploy/agents, with other paths.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .conftest import NEWEST, ServerPool
from .debian import INSTALL, SYSLOG_NG
from .prefect_server import PrefectServer
from .services import DEADLINE, program

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]

AGENTS = Path(__file__).parents[2] / "deploy" / "agents"
FOLDER = "/var/log/prefect"
SEVERITIES = {10: "debug", 20: "info", 25: "info", 30: "warning", 40: "err", 50: "crit"}
HOSTILE = 'line\nanother\r\n\ttab "quotes" \'single\' back\\slash %m ${x} \x1b[31mred é 漢 🎉 {"a": 1}'


def configured(name: str, folder: Path, first: str = "") -> Path:
    """The configuration with this folder in place of /var/log/prefect."""
    path = folder / name
    path.write_text(first + (AGENTS / name).read_text().replace(FOLDER, str(folder)))
    return path


def rsyslog(folder: Path) -> tuple[Sequence[str], dict[str, str]]:
    (folder / "work").mkdir()
    conf = configured("rsyslog.conf", folder, f'global(workDirectory="{folder}/work")\n')
    return [program("rsyslogd"), "-n", "-f", str(conf), "-i", f"{folder}/pid"], {}


def syslog_ng(folder: Path) -> tuple[Sequence[str], dict[str, str]]:
    if not SYSLOG_NG.exists():
        pytest.fail(f"syslog-ng is not in {SYSLOG_NG}: {INSTALL}")
    conf = configured("syslog-ng.conf", folder)
    modules = next(SYSLOG_NG.glob("usr/lib/syslog-ng/*.*/"))
    libraries = [modules.parent, *SYSLOG_NG.glob("usr/lib/*-linux-gnu"), *SYSLOG_NG.glob("lib/*-linux-gnu")]
    command = [str(SYSLOG_NG / "usr/sbin/syslog-ng"), "-F", "-f", str(conf), "--module-path", str(modules)]
    command += ["-p", f"{folder}/pid", "-c", f"{folder}/control", "-R", f"{folder}/persist", "--no-caps"]
    return command, {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}


@contextmanager
def running(command: Sequence[str], environ: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **environ})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE)


@contextmanager
def tailing(server: PrefectServer, run: str, path: Path) -> Iterator[None]:
    environ = {"HOME": str(path.parent), "PREFECT_API_URL": server.api_url}
    words = ["tail", "-o", "json", "-q", "--flow-run", run, "--since", "1h", "--output-file", str(path)]
    with running([sys.executable, "-m", "rawlogs", *words], environ):
        yield


def until_lines(path: Path, count: int) -> list[dict[str, Any]]:
    """The objects of a file that gets so many lines."""
    give_up = time.monotonic() + DEADLINE
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        assert time.monotonic() < give_up, f"{len(lines)} of {count} lines"
        time.sleep(0.1)


@pytest.mark.parametrize("agent", [rsyslog, syslog_ng], ids=["rsyslog", "syslog-ng"])
def test_every_line_arrives_as_a_record_with_level_and_time(
    agent: Callable[[Path], tuple[Sequence[str], dict[str, str]]], servers: ServerPool, tmp_path: Path
) -> None:
    server, run = servers.get(NEWEST), str(uuid4())
    now = datetime.now(timezone.utc).replace(microsecond=0)
    logs = [
        {"level": level, "message": f"{n} {message}", "timestamp": now + timedelta(microseconds=70_001 * n)}
        for n, (level, message) in enumerate(
            (level, message) for level in SEVERITIES for message in ("plain", HOSTILE, "x" * 100_000)
        )
    ]
    with running(*agent(tmp_path)), tailing(server, run, tmp_path / "logs.jsonl"):
        server.post_logs(logs, flow_run_id=run)
        server.post_logs(n=500, flow_run_id=run, timestamp=now)
        records = until_lines(tmp_path / "structured.jsonl", len(logs) + 500)
    stored = {log["id"]: log for log in server.list_logs(flow_run_id={"any_": [run]})}
    assert len(records) == len(stored)
    for record in records:
        log = stored.pop(record["id"])
        assert record["message"] == log["message"]
        assert moment(record["timestamp"]) == moment(log["timestamp"])
        assert record.get("severity", SEVERITIES[log["level"]]) == SEVERITIES[log["level"]]
        assert (record["logger"], record["flow_run_id"]) == (log["name"], run)
    assert not stored
    assert {record["level"] for record in records} >= {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
