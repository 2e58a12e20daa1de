"""What a container costs: CPU and memory of `rawlogs tail` and `rawlogs ship`, at rest and at 100 logs a second.

    python -m benchmarks.deployed [--seconds 60]

Each command runs as the files in deploy/ run it, with --listen and a cursor, against one real Prefect server; they read
the same logs at the same time. CPU is the process's own, in percent of one core; memory is what is resident at the end
of a phase, and the peak so far. The first phase begins when all are ready and were scraped once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.machine import PREFECT_VERSION, describe
from benchmarks.tables import markdown
from tests.otlp_receiver import OtlpReceiver
from tests.real.prefect_server import PrefectServer

PER_SECOND = 100
PART = 10
"""Logs of one POST, as Prefect's own handler sends those of a busy flow."""
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 60.0


class Command:
    """One command of rawlogs in a process of its own; ``stop`` ends it."""

    def __init__(self, name: str, words: Sequence[str], api_url: str, folder: Path) -> None:
        self.name = name
        self._said = folder / f"{name}.err"
        environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PREFECT_API_URL": api_url}
        state = ["--cursor-file", str(folder / f"{name}.cursor"), "--listen", ":0"]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rawlogs", name, *words, *state],
                env=environ,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)

    def wait_until_ready(self) -> None:
        """Ask /readyz until it says so."""
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            try:
                if self._ask("/readyz"):
                    return
            except URLError:  # 503, or it does not listen yet
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} did not become ready: {self._said.read_text()[-500:]}")

    def delivered(self) -> int:
        """Return how many logs were delivered, by the command's own metrics."""
        found = re.search(r"^rawlogs_logs_delivered_total (\d+)", self._ask("/metrics"), re.MULTILINE)
        return int(found[1]) if found is not None else 0

    def _ask(self, path: str) -> str:
        found = re.search(r"http://[\d.]+:\d+", self._said.read_text())
        if found is None:
            return ""
        with urlopen(found[0] + path) as answer:
            text: str = answer.read().decode()
        return text

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> tuple[float, float]:
        """Resident MB now, and at the peak."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        values = dict(re.findall(r"^(Vm\w+):\s+(\d+) kB$", status, re.MULTILINE))
        return int(values["VmRSS"]) / 1024, int(values["VmHWM"]) / 1024


class Receiver:
    """The receiver of the tests, in a thread of its own: a context manager."""

    def __enter__(self) -> OtlpReceiver:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._receiver = OtlpReceiver()
        self._wait(self._receiver.start())
        return self._receiver

    def __exit__(self, *_: object) -> None:
        self._wait(self._receiver.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)  # type: ignore[arg-type]


def write(server: PrefectServer, seconds: float) -> None:
    """Store ``PER_SECOND`` logs a second, evenly."""
    began = time.monotonic()
    for part in range(int(seconds * PER_SECOND / PART)):
        time.sleep(max(began + part * PART / PER_SECOND - time.monotonic(), 0.0))
        server.post_logs(n=PART)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each phase lasts (default 60)")
    seconds = parser.parse_args(arguments).seconds
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(PrefectServer(PREFECT_VERSION))
        receiver = stack.enter_context(Receiver())
        wanted = {
            "tail": ["-o", "json", "--output-file", str(folder / "logs.jsonl")],
            "ship": ["--to", receiver.to],
        }
        commands = [Command(name, words, server.api_url, folder) for name, words in wanted.items()]
        for command in commands:
            stack.callback(command.stop)
        for command in commands:
            command.wait_until_ready()
            command.delivered()  # what it takes to be scraped is loaded with the first scrape
        for phase, work in (("at rest", time.sleep), ("100 logs/s", lambda length: write(server, length))):
            before = [(command.cpu(), time.monotonic()) for command in commands]
            work(seconds)
            for command, (cpu, began) in zip(commands, before, strict=True):
                share = (command.cpu() - cpu) / (time.monotonic() - began)
                now, peak = command.memory()
                figures = [f"{share:.2%}", f"{now:.0f}", f"{peak:.0f}", str(command.delivered())]
                rows.append([f"`rawlogs {command.name}`", phase, *figures])
    print(describe())
    print(
        markdown(
            ["command", "phase", "CPU of one core", "MB resident", "MB at the peak", "delivered by then"],
            rows,
        )
    )


if __name__ == "__main__":
    main()
