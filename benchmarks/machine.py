"""The machine a benchmark runs on: its cores, its subprocesses, the memory of one. Standard library only.

The clients of the other environments import this, too.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PREFECT_VERSION = "3.8.8"
CLIENT_CORE, SERVER_CORE = 0, 1
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "RAWLOGS_PREFECT_ENVS")


def pin(core: int) -> None:
    """Keep this process, and what it starts, on one core, where the system can do that and has so many."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def memory() -> tuple[float, float]:
    """Resident memory of this process in MB: now, and at its peak."""
    values = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            values[name] = int(rest.split()[0]) / 1024
    return values["VmRSS"], values["VmHWM"]


def environment(home: Path, **settings: str) -> dict[str, str]:
    """What a client is started with: none of the caller's Prefect settings, and a home of its own."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    prefect = {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
    return passed | {"HOME": str(home), "NO_PROXY": "*"} | prefect | settings


def run(command: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command printed; raises RuntimeError with its complaint if it failed."""
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def client_home() -> Iterator[Path]:
    """A directory for clients to be started in, removed afterwards.

    The Python of any environment finds this package there, and nothing else of this repository: a client reads
    the rawlogs that is installed in its environment.
    """
    with tempfile.TemporaryDirectory(prefix="rawlogs-bench-") as name:
        home = Path(name)
        (home / "benchmarks").symlink_to(ROOT / "benchmarks")
        yield home


def run_module(python: Path, module: str, *arguments: str, home: Path) -> Any:
    """The JSON that a module of this package prints last, run by the Python of another environment."""
    command = [str(python), "-m", f"benchmarks.{module}", *arguments]
    return json.loads(run(command, env=environment(home), cwd=home).splitlines()[-1])


def wall(command: Sequence[str], *, env: dict[str, str], cwd: Path) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    run(command, env=env, cwd=cwd)
    return time.perf_counter() - began


def describe() -> str:
    """One sentence on what the figures were measured with."""
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"CPython {platform.python_version()}, Prefect {PREFECT_VERSION}{load}"
    )
