"""Who reads, and a reader at work: a subprocess in its own environment, behind a gate of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gate import Gate
from benchmarks.machine import PREFECT_VERSION, environment
from tests.real import prefect_env


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to read logs. ``recovers``: whether logs may still come long after everything is quiet."""

    name: str
    recovers: bool
    command: Callable[[str, str, float], list[str]] = field(repr=False)


def contenders(python: Path) -> dict[str, Contender]:
    """Everybody, by the name used on the command line; ``python`` has rawlogs and httpx."""
    helper = prefect_env.require(PREFECT_VERSION)

    def module(python: Path, name: str) -> Callable[[str, str, float], list[str]]:
        return lambda url, run, nap: [str(python), "-m", f"benchmarks.{name}", url, run, "--nap", str(nap)]

    def tail(*run: str) -> Callable[[str, str, float], list[str]]:
        rawlogs = str(python.parent / "rawlogs")
        return lambda url, run_id, _: [
            *(rawlogs, "tail", "-o", "json", "-v", "--api-url", url),
            *(*run, run_id),
        ]

    def tail_cursor(url: str, run_id: str, _: float) -> list[str]:
        return [*tail("--since", "1d", "--cursor-file", f"cursor-{run_id}", "--flow-run")(url, run_id, 0.0)]

    return {
        "rawlogs": Contender("rawlogs", True, module(python, "delivery_rawlogs")),
        "helper": Contender("Prefect's helper", False, module(helper, "delivery_helper")),
        "poller": Contender("REST poller", False, module(python, "delivery_poller")),
        "tail": Contender("`rawlogs tail`", True, tail("--flow-run")),
        "tail-cursor": Contender("`rawlogs tail --cursor-file`", True, tail_cursor),
        "tail-run": Contender("`rawlogs tail RUN`", True, tail()),
    }


class Reader:
    """A contender that runs; what it has received so far, with times of the clock of `time.time()`."""

    def __init__(
        self,
        contender: Contender,
        server_port: int,
        run_id: str,
        *,
        nap: float,
        direct: bool,
        home: Path,
        refuse_every: int = 0,
    ) -> None:
        self.contender = contender
        self.received: list[tuple[str, float]] = []
        self.account: dict[str, Any] = {}
        self.ready = threading.Event()
        self._told = False
        self.errors = home / f"{contender.name.strip('`').replace(' ', '-')}.err"
        self.gate = None if direct else Gate(server_port, refuse_every).__enter__()
        url = f"http://127.0.0.1:{server_port}/api" if self.gate is None else self.gate.api_url
        self._process = subprocess.Popen(
            contender.command(url, run_id, nap),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(home),
            cwd=home,
            text=True,
        )
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._read_output, self._read_errors)
        ]
        for thread in self._threads:
            thread.start()

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Until it has connected, as far as it can."""
        if not self.ready.wait(seconds) or self.ended:
            raise RuntimeError(f"{self.contender.name} did not start: {self.last_words()}")

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    @property
    def code_by_itself(self) -> int | None:
        """The exit code, where it was not told to end."""
        return None if self._told else self._process.returncode

    def quiet_for(self, seconds: float) -> bool:
        """Whether nothing has come for so long, by now."""
        return not self.received or time.time() - self.received[-1][1] >= seconds

    def kill(self) -> None:
        """SIGKILL, and everything that it had written is read."""
        self._told = True
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 10 s; then everything that it said has been read."""
        self._told = not self.ended
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            print(f"{self.contender.name} did not end within 10 s of SIGTERM", file=sys.stderr)
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        if self.gate is not None:
            self.gate.__exit__()

    def last_words(self) -> str:
        """The last line on its stderr."""
        lines = self.errors.read_text(errors="replace").splitlines() if self.errors.exists() else []
        return lines[-1] if lines else ""

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                self.received.append((json.loads(line)["id"], time.time()))
            elif line.startswith("account "):
                self.account = json.loads(line[8:])
            elif line == "ready\n":
                self.ready.set()
            else:
                log_id, at = line.split()
                self.received.append((log_id, float(at)))
        self.ready.set()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self.errors.open("w") as file:
            for line in self._process.stderr:
                file.write(line)
                file.flush()
                if line.startswith("{"):
                    self._take_notice(json.loads(line))

    def _take_notice(self, notice: dict[str, Any]) -> None:
        kind = notice.get("kind")
        if kind in ("connected", "live_off"):
            self.ready.set()
        elif kind == "account":
            self.account = notice["facts"]
