"""A real Redis for one test: on a free port, with its own folder and password; it can be killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.ports import free_port

PASSWORD = "marked-redis-password"
SENTINEL_PASSWORD = "marked-sentinel-password"
DEADLINE = 180.0
"""Seconds after which a test gives up; how long a relay pauses between its tries is a part of it."""
INSTALL = "apt-get install -y redis-server (as root; or: make system)"


class RedisServer:
    """``redis-server`` with an append-only file in ``folder``. ``url`` has the password in it.

    master: whose replica it is, until Sentinels or a cluster say otherwise. cluster: whether it is a node of one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: str = "always",
        master: RedisServer | None = None,
        cluster: bool = False,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._fsync = fsync
        self._more = ["--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
        if master is not None:
            self._more += ["--replicaof", "127.0.0.1", str(master.port)]
        if cluster:
            self._more += ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
            # Also a replica that was away for long, and has lost much, is to take over.
            self._more += ["--cluster-replica-validity-factor", "0"]
            self._more += ["--cluster-port", str(free_port())]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it has loaded what it had kept."""
        self._process = subprocess.Popen(
            [
                _program(),
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
                *("--requirepass", PASSWORD, "--save", "", "--appendonly", "yes"),
                *("--appendfsync", self._fsync, "--logfile", str(self.folder / "redis.log")),
                *self._more,
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

    def command(self, *words: str) -> Any:
        """Return the reply to one command, as Redis gives it."""
        with redis.Redis.from_url(self.url, decode_responses=True, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

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


class Sentinels:
    """Three Sentinels, with a password of their own, that watch a master which has one replica."""

    SERVICE = "logs"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.master = RedisServer(folder / "a")
        self.replica = RedisServer(folder / "b", master=self.master)
        self._ports = [free_port() for _ in range(3)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{self.SERVICE}?sentinel_password={SENTINEL_PASSWORD}"

    def start(self) -> None:
        """Start all, and wait until each Sentinel knows the others and the replica."""
        self.master.start()
        self.replica.start()
        until(lambda: "master_link_status:up" in self.replica.command("INFO", "replication"))
        for port in self._ports:
            file = self._folder / f"sentinel{port}.conf"
            file.write_text(
                f"port {port}\nbind 127.0.0.1\nlogfile {file.with_suffix('.log')}\n"
                f"requirepass {SENTINEL_PASSWORD}\nsentinel sentinel-pass {SENTINEL_PASSWORD}\n"
                f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.master.port} 2\n"
                f"sentinel auth-pass {self.SERVICE} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {self.SERVICE} 1000\n"
                f"sentinel failover-timeout {self.SERVICE} 5000\n"
            )
            self._processes.append(subprocess.Popen([_program(), str(file), "--sentinel"]))
        until(lambda: all(self._knows(port) == ("2", "1") for port in self._ports))

    def _knows(self, port: int) -> tuple[str, str] | None:
        with suppress(redis.ConnectionError):
            with redis.Redis(port=port, password=SENTINEL_PASSWORD, decode_responses=True) as sentinel:
                state = sentinel.sentinel_master(self.SERVICE)
            return str(state["num-other-sentinels"]), str(state["num-slaves"])
        return None

    def fail_over(self) -> None:
        """Kill the master; the replica is promoted after a while."""
        self.master.kill()

    def hand_over(self) -> None:
        """Let the Sentinels promote the replica while the master is well."""
        with redis.Redis(port=self._ports[0], password=SENTINEL_PASSWORD) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", self.SERVICE)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self.master.kill()
        self.replica.kill()


class Cluster:
    """Three masters, and a replica of that one which has the keys of the workspace ``name``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._nodes = [RedisServer(folder / f"node{n}", cluster=True) for n in range(4)]
        self._name = name
        self.master, self.replica = self._nodes[0], self._nodes[3]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self._nodes[:3])
        return f"redis+cluster://:{PASSWORD}@{hosts}"

    @property
    def another(self) -> RedisServer:
        """A master that has not the keys."""
        return next(node for node in self._nodes[:3] if node is not self.master)

    def start(self) -> None:
        """Start the nodes, make them a cluster, and wait until the replica follows."""
        for node in self._nodes:
            node.start()
        bounds = (0, 5461, 10923, 16384)
        first = self._nodes[0]
        for number, node in enumerate(self._nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            if number < 3:
                node.command("CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), str(bounds[number + 1] - 1))
            bus = first.command("CONFIG", "GET", "cluster-port")
            if number:
                node.command("CLUSTER", "MEET", "127.0.0.1", str(first.port), bus[1])
        slot = int(first.command("CLUSTER", "KEYSLOT", f"{{rawlogs:{self._name}}}:logs"))
        self.master = self._nodes[next(n for n in range(3) if slot < bounds[n + 1])]
        own_id = self.master.command("CLUSTER", "MYID")
        until(lambda: all(_cluster_state(node)["cluster_known_nodes"] == "4" for node in self._nodes))
        self.replica.command("CLUSTER", "REPLICATE", own_id)
        until(lambda: "master_link_status:up" in self.replica.command("INFO", "replication"))
        until(lambda: all(_cluster_state(node)["cluster_state"] == "ok" for node in self._nodes))
        until(lambda: all(len(node.command("CLUSTER", "SLOTS")) == 3 for node in self._nodes))

    def fail_over(self) -> None:
        """Kill the master of the workspace; its replica is elected after a while."""
        self.master.kill()

    def hand_over(self) -> None:
        """Let the replica take the place of the master, which is well."""
        self.replica.command("CLUSTER", "FAILOVER")

    def kill(self) -> None:
        for node in self._nodes:
            node.kill()


def _cluster_state(node: RedisServer) -> dict[str, str]:
    return dict(line.split(":", 1) for line in node.command("CLUSTER", "INFO").splitlines())


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail after ``DEADLINE`` seconds."""
    give_up = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > give_up:
            pytest.fail("the servers of Redis did not find each other")
        time.sleep(0.02)


def _program() -> str:
    program = shutil.which("redis-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.fail(f"redis-server is not installed: {INSTALL}")
    return program


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
