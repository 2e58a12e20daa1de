"""A client in a process of its own that writes lines into a pipe, and what it takes meanwhile. Needs Linux."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.machine import CLIENT_CORE, environment

_READ = 1 << 18


class Piped:
    """A command on the core of the clients; a context manager that ends it by SIGTERM, and by SIGKILL after 10 s.

    ``chunks`` are what it has written, each with the ``time.time()`` at which it was read. ``ready_wall`` and
    ``ready_cpu`` are the seconds from its start to the line on stderr that says that it has connected.
    """

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.lines = 0
        self.ready = threading.Event()
        self.first = threading.Event()
        """Set when the first line has come, and ``cpu_at_first`` is known."""
        self.cpu_at_first = 0.0
        self.ready_wall = self.ready_cpu = 0.0
        self.errors: list[str] = []
        began = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home),
            cwd=home,
        )
        os.sched_setaffinity(self._process.pid, {CLIENT_CORE})
        self._began = began
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Piped:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until it has connected. RuntimeError with its last words where it does not."""
        if not self.ready.wait(seconds) or self._process.poll() is not None:
            raise RuntimeError(f"{self._process.args} did not start: {''.join(self.errors[-5:])}")

    def wait_lines(self, count: int, seconds: float, tell: Callable[[int], None] | None = None) -> bool:
        """Whether so many lines have come within so many seconds; ``tell`` is told meanwhile how many have."""
        deadline = time.monotonic() + seconds
        while self.lines < count and time.monotonic() < deadline and self._process.poll() is None:
            time.sleep(0.002)
            if tell is not None:
                tell(self.lines)
        return self.lines >= count

    def cpu(self) -> float:
        """Seconds of processor time that its present threads have used."""
        nanoseconds = 0
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            try:
                nanoseconds += int((task / "schedstat").read_text().split()[0])
            except OSError:  # a thread that has just ended
                continue
        return nanoseconds / 1e9

    def memory(self) -> tuple[float, float]:
        """Its resident memory in MB: now, and at its peak."""
        found = {}
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found[name] = int(rest.split()[0]) / 1024
        return found["VmRSS"], found["VmHWM"]

    def forget(self) -> None:
        """Begin ``chunks`` and ``lines`` anew."""
        self.chunks = []
        self.lines = 0
        self.first.clear()

    def _read(self) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while data := os.read(fd, _READ):
            now = time.time()
            if not self.first.is_set():
                self.cpu_at_first = self.cpu()
                self.first.set()
            self.chunks.append((now, data))
            self.lines += data.count(b"\n")

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace")
            if not self.ready.is_set() and (text == "ready\n" or '"connected"' in text):
                self.ready_wall, self.ready_cpu = time.perf_counter() - self._began, self.cpu()
                self.ready.set()
            self.errors.append(text)
        self.ready.set()


def tail(python: Path, api_url: str, *options: str) -> list[str]:
    """`rawlogs tail -o json` of the environment of this Python; its notices say when it has connected."""
    return [str(python.parent / "rawlogs"), "tail", "-o", "json", "-v", "--api-url", api_url, *options]


def helper(python: Path, api_url: str) -> list[str]:
    """Prefect's own helper, printing each log as JSON."""
    return [str(python), "-m", "benchmarks.helper_lines", api_url]
