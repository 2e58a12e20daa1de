"""A real Prometheus scrapes ``rawlogs tail --listen`` beside a real server, and finds what was delivered.

Marked `matrix`: it needs Debian's prometheus, which `make system-matrix` installs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen
from uuid import uuid4

import pytest

from .prefect_server import PrefectServer
from .services import DEADLINE, Service, program

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]


class Prometheus(Service):
    """It scrapes one target every second."""

    def __init__(self, target: str) -> None:
        super().__init__("prometheus")
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            "scrape_configs:\n"
            f"  - {{job_name: rawlogs, static_configs: [{{targets: ['{target}']}}]}}\n"
        )

    def command(self) -> Sequence[str]:
        return [
            program("prometheus"),
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def _answers(self) -> bool:
        with suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/-/ready"):
            return True
        return False

    def value(self, query: str) -> float | None:
        """The value of the first series that the query finds."""
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?query={quote(query)}") as answer:
            found = json.load(answer)["data"]["result"]
        return float(found[0]["value"][1]) if found else None


@pytest.fixture
def tailing(server: PrefectServer, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A tail of one run with --listen; where it listens, and the run."""
    run = str(uuid4())
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PREFECT_API_URL": server.api_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "rawlogs", "tail", "-o", "json", "--flow-run", run, "--listen", ":0"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        found = re.search(r"http://([\d.]+:\d+)", process.stderr.readline())
        assert found is not None
        yield found[1], run
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def until(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_prometheus_shows_what_was_delivered(server: PrefectServer, tailing: tuple[str, str]) -> None:
    target, run = tailing
    prometheus = Prometheus(target)
    try:
        prometheus.start()
        until(lambda: prometheus.value("rawlogs_ready") == 1)
        server.post_logs(n=300, flow_run_id=run)
        until(lambda: prometheus.value("rawlogs_logs_delivered_total") == 300)
        assert prometheus.value("rawlogs_open_gaps") == 0
        assert prometheus.value('rawlogs_rest_requests_total{status="200"}')
        assert prometheus.value("up") == 1
    finally:
        prometheus.close()


def test_promtool_has_nothing_to_say_about_the_metrics(tailing: tuple[str, str]) -> None:
    target, _ = tailing
    with urlopen(f"http://{target}/metrics") as answer:
        text = answer.read()
    lint = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert (lint.returncode, lint.stderr.decode()) == (0, "")
