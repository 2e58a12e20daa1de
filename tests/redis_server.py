"""A real Redis for one test: on a free port, with its own folder and password; it can be killed and started again."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

PASSWORD = "marked-redis-password"
DEADLINE = 60.0
"""Seconds after which a test gives up; how long a relay pauses between its tries is a part of it."""
INSTALL = "apt-get install -y redis-server (as root; or: make system)"


def _free_port() -> int:
    """Return a port that the system gives to nobody by itself.

    One that it had chosen could be another connection's while Redis is down, and Redis would not start again. It could
    even become the relay's own: a connection to a port where nobody listens may come from that very port.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # below where the systems begin to choose
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """``redis-server`` with an append-only file in ``folder``. ``url`` has the password in it."""

    def __init__(self, folder: Path, *, fsync: str = "always") -> None:
        self.folder = folder
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it has loaded what it had kept."""
        program = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.fail(f"redis-server is not installed: {INSTALL}")
        self._process = subprocess.Popen(
            [
                program,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--requirepass", PASSWORD, "--save", "", "--appendonly", "yes"),
                *("--appendfsync", self._fsync, "--logfile", str(self.folder / "redis.log")),
            ]
        )
        give_up = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"redis-server did not start: {(self.folder / 'redis.log').read_text()[-500:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def kept(self) -> Path:
        """What it has written to disk."""
        return self.folder / "appendonlydir"

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as line:
            line.sendall(f"AUTH {PASSWORD}\r\nPING\r\n".encode())
            line.settimeout(1.0)
            said = b""
            while said.count(b"\n") < 2:
                part = line.recv(100)
                if not part:
                    return False
                said += part
            return said == b"+OK\r\n+PONG\r\n"
        return False


class RelayProcess:
    """``rawlogs relay`` as its own process; ``said`` is all of its output so far."""

    def __init__(self, folder: Path, url: str, api_url: str, *arguments: str) -> None:
        folder.mkdir()
        self._output = folder / "output"
        environ = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PATH", "PYTHONPATH", "COVERAGE_"))
        }
        environ |= {"HOME": str(folder), "RAWLOGS_REDIS_URL": url, "PREFECT_API_URL": api_url}
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "rawlogs", "relay", "--lease", "0.5", "-v", *arguments],
                cwd=folder,
                env=environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE)
