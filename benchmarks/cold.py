"""What a single log costs a client that finds the caches cold, as one does that wakes fifty times a second.

    python -m benchmarks.cold [--logs 100] [--trash 64] [--beside NAME=PYTHON]

Before each log this process writes so many MB on the client's core.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.install import fresh_environment
from benchmarks.machine import CLIENT_CORE, PREFECT_VERSION, SERVER_CORE, client_home, describe, pin
from benchmarks.piped import Piped, helper, tail
from benchmarks.speed import source
from benchmarks.tables import markdown
from tests.real import prefect_env

SETTLED = 0.002
"""Seconds after a log has come in which what it still causes is counted, too."""


def measure(command: Sequence[str], logs: int, trash: int, home: Path) -> list[float]:
    """Microseconds of CPU for each log but the first, which warms up. API_URL in the command is the source's."""
    found = []
    with source(logs, 0, single=True) as running:
        pin(SERVER_CORE)
        with Piped([part.replace("API_URL", running.api_url) for part in command], home) as client:
            client.wait_ready()
            client.wait_lines(1, 10.0)
            pin(CLIENT_CORE)
            for number in range(1, logs):
                _write(trash)
                before = client.cpu()
                running.delivered(number)
                client.wait_lines(number + 1, 5.0)
                time.sleep(SETTLED)
                found.append((client.cpu() - before) * 1e6)
    return found


def _write(megabytes: int) -> None:
    memory = bytearray(megabytes << 20)
    memory[::64] = b"\1" * (len(memory) // 64)  # a byte of each cache line


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--logs", type=int, default=100)
    parser.add_argument("--trash", type=int, default=64, metavar="MB")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=PYTHON", help="as for steady")
    chosen = parser.parse_args(arguments)
    prefect = prefect_env.require(PREFECT_VERSION)
    cores = os.sched_getaffinity(0)
    with client_home() as home:
        python = fresh_environment(home / "venv")
        clients = {
            "Prefect's helper, printing JSON": helper(prefect, "API_URL"),
            "`rawlogs tail -o json`": tail(python, "API_URL"),
            "frames copied to a pipe": [str(python), "-m", "benchmarks.cold_copier", "API_URL"],
        }
        for given in chosen.beside:
            name, _, path = given.partition("=")
            clients[f"`rawlogs tail -o json` ({name})"] = tail(Path(path), "API_URL")
        rows, first = [], 0.0
        for name, command in clients.items():
            os.sched_setaffinity(0, cores)
            figure = median(measure(command, chosen.logs, chosen.trash, home))
            first = first or figure
            rows.append([name, f"{figure:.0f}", f"{figure / first:.2f}"])
    print(f"Measured: {describe()}.\n")
    print(markdown(["client", "CPU us for a log by itself", "of the helper's"], rows))


if __name__ == "__main__":
    main()
