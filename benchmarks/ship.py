"""A soak of `rawlogs ship`: a receiver that refuses, stalls, loses answers and restarts, and shippers that are killed.

    python -m benchmarks.ship [--minutes 10] [--rate 300] [--fake] [--seed 1]

Two shippers read one real Prefect server (`--fake`: the fake one), each with a receiver of its own that fails at
random. One is killed at random, mostly with SIGKILL, and started again; the other runs through, and its memory is
watched. At the end the receivers take everything, and what is stored is compared with what arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.machine import PREFECT_VERSION, describe
from benchmarks.tables import markdown
from rawlogs.testing import FakeServer
from tests.otlp_receiver import HALF, HANG, LOSE, RESET, TAKE, OtlpReceiver, Reaction, Request, records_of
from tests.real.prefect_server import PrefectServer

FAULTS = {
    "503": Reaction(503),
    "503, Retry-After": Reaction(503, {"Retry-After": "2"}),
    "429": Reaction(429),
    "502": Reaction(502),
    "stalled": HANG,
    "answers lost": LOSE,
    "answers cut": HALF,
    "connections reset": RESET,
}
RESTART = "restarted"
POSTS = 10
"""POSTs of logs a second."""
TIMEOUT = 3000
"""Milliseconds that a shipper waits for an answer."""
LAST_WAIT = 180.0
"""Seconds that the last logs may take once nothing fails any more."""


class Receiver(OtlpReceiver):
    """Counts logs by the number at the beginning of their message; ``process`` numbers the shipper that runs now."""

    def __init__(self) -> None:
        super().__init__()
        self.process = 0
        self.killed: dict[int, float] = {}
        self.arrived: Counter[int] = Counter()
        self.taken_by: dict[int, tuple[int, float]] = {}
        self.faults: Counter[str] = Counter()
        self.repeated_by_same = self.repeated_by_later = 0
        self.longest_before_kill = 0.0

    def take(self, request: Request) -> None:
        for number in numbers(request):
            self.arrived[number] += 1
            process, at = self.taken_by.get(number, (None, 0.0))
            if process == self.process:
                self.repeated_by_same += 1
            elif process is not None:
                self.repeated_by_later += 1
                self.longest_before_kill = max(self.longest_before_kill, self.killed[process] - at)

    def note_acknowledged(self, request: Request) -> None:
        self.taken_by.update(dict.fromkeys(numbers(request), (self.process, time.monotonic())))
        self.requests.clear()

    async def fail(self, rng: random.Random) -> None:
        """Fail at random until cancelled."""
        while True:
            self.otherwise = TAKE
            await asyncio.sleep(rng.uniform(5, 20))
            what = rng.choice([*FAULTS, RESTART, RESTART])
            self.faults[what] += 1
            if what == RESTART:
                await self.stop()
                await asyncio.sleep(rng.uniform(0.5, 10))
                await self.start()
            else:
                self.otherwise = FAULTS[what]
                await asyncio.sleep(rng.uniform(2, 12))


def numbers(request: Request) -> list[int]:
    """Return the numbers of the logs of a request."""
    return [int(record.body.string_value[:9]) for record in records_of(request.message)]


@dataclass
class Shipper:
    """`rawlogs ship` with a cursor file; ``resident`` are megabytes of the present process, one a second."""

    api_url: str
    receiver: Receiver
    cursor: Path
    process: asyncio.subprocess.Process | None = None
    resident: list[float] = field(default_factory=list)
    peak: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    async def start(self) -> None:
        self.receiver.process += 1
        self.resident.clear()
        environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with self.cursor.with_suffix(".err").open("ab") as err:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "rawlogs", "ship", "--to", self.receiver.to, "-q"),
                *("--cursor-file", str(self.cursor)),
                env={**environ, "PREFECT_API_URL": self.api_url, "OTEL_EXPORTER_OTLP_TIMEOUT": str(TIMEOUT)},
                stderr=err,
            )

    async def end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.kills[number.name] += 1
        self.process.send_signal(number)
        await self.process.wait()
        self.receiver.killed[self.receiver.process] = time.monotonic()

    async def be_killed(self, rng: random.Random) -> None:
        """Be killed at random and started again, until cancelled."""
        while True:
            await asyncio.sleep(rng.uniform(5, 40))
            await self.end(signal.SIGKILL if rng.random() < 0.75 else signal.SIGTERM)
            await self.start()

    async def watch(self) -> None:
        """Note its memory each second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            try:
                status = _status(self.process.pid if self.process else 0)
                found = {
                    line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.split()[1:]
                }
                self.resident.append(int(found["VmRSS"]) / 1024)
                self.peak = max(self.peak, int(found["VmHWM"]) / 1024)
            except (OSError, KeyError):
                continue  # between two processes


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def write(post: Callable[[list[dict[str, Any]]], Any], rate: int, seconds: float) -> int:
    """Post logs at this rate for so long; how many."""
    began, total, size = time.monotonic(), 0, rate // POSTS
    runs = [str(uuid4()) for _ in range(20)]
    for turn in range(int(seconds * POSTS)):
        await asyncio.sleep(max(0.0, began + turn / POSTS - time.monotonic()))
        stamp = datetime.now(timezone.utc)
        logs = [
            {
                "message": f"{number:09d} {'x' * (70 + number % 120)}",
                "timestamp": (stamp + timedelta(microseconds=number % 1000)).isoformat(),
                "flow_run_id": runs[turn // 50 % len(runs)],
                "name": "prefect.flow_runs",
                "level": 20,
            }
            for number in range(total, total + size)
        ]
        await asyncio.to_thread(post, logs)
        total += size
    return total


async def soak(api_url: str, post: Callable[[list[dict[str, Any]]], Any], given: argparse.Namespace) -> None:
    """Run it, and print the table."""
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        receivers = [Receiver(), Receiver()]
        for receiver in receivers:
            await receiver.start()
        killed, steady = (
            Shipper(api_url, receiver, Path(folder) / f"{name}.cursor")
            for name, receiver in zip(("killed", "steady"), receivers, strict=True)
        )
        both = (killed, steady)
        for shipper in both:
            await shipper.start()
            while not shipper.cursor.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        watching = [asyncio.create_task(shipper.watch()) for shipper in both]
        chaos = [asyncio.create_task(one.fail(random.Random(rng.random()))) for one in receivers]
        chaos.append(asyncio.create_task(killed.be_killed(random.Random(rng.random()))))
        stored = await write(post, given.rate, given.minutes * 60)
        for task in chaos:
            task.cancel()
        await asyncio.gather(*chaos, return_exceptions=True)
        for receiver in receivers:
            receiver.otherwise = TAKE
            await receiver.stop()  # whatever it was doing
            await receiver.start()
        if killed.process is None or killed.process.returncode is not None:
            await killed.start()
        over = time.monotonic()
        while time.monotonic() - over < LAST_WAIT and any(len(one.arrived) < stored for one in receivers):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        took = time.monotonic() - over
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        minute = steady.resident[:60], steady.resident[-60:]
        for shipper in both:
            await shipper.end(signal.SIGTERM)
        print(describe(), f"\n\n{given.minutes:g} minutes at {given.rate} logs/s, seed {given.seed}\n")
        rows = [
            ["", "killed at random", "never killed"],
            ["stored", *[f"{stored:,}"] * 2],
            ["arrived", *[f"{len(one.arrived):,}" for one in receivers]],
            ["**missing**", *[f"{stored - len(one.arrived):,}" for one in receivers]],
            [
                "arrived more than once",
                *[f"{sum(n - 1 for n in one.arrived.values()):,}" for one in receivers],
            ],
            [
                "... acknowledged before, by the same process",
                *[str(one.repeated_by_same) for one in receivers],
            ],
            ["... acknowledged before, by a killed one", *[str(one.repeated_by_later) for one in receivers]],
            [
                "    at most so long before its end",
                *[f"{one.longest_before_kill:.2f} s" for one in receivers],
            ],
            ["memory, peak", *[f"{one.peak:.1f} MB" for one in both]],
            ["memory, first and last minute", "", " and ".join(f"{median(one):.1f} MB" for one in minute)],
            ["ended by", *[said(one.kills) for one in both]],
            ["the receiver", *[said(one.faults) for one in receivers]],
            ["the last log after the end", *[f"{took:.1f} s"] * 2],
        ]
        print(markdown(rows[0], rows[1:]))
        errors = [path.read_text() for path in sorted(Path(folder).glob("*.err"))]  # noqa: ASYNC240
        print("\n".join(line for text in errors for line in text.splitlines() if "unexpected" in line))


def said(counted: Counter[str]) -> str:
    """Return what was counted, in words."""
    return ", ".join(f"{what} {times}x" for what, times in sorted(counted.items()))


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments, start a server, and run the soak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fake", action="store_true", help="the fake server instead of a real one")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        if given.fake:
            asyncio.run(_fake(given))
        else:
            server = stack.enter_context(PrefectServer(PREFECT_VERSION))
            asyncio.run(soak(server.api_url, lambda logs: server.post_logs(logs), given))


async def _fake(given: argparse.Namespace) -> None:
    async with FakeServer() as server:
        loop = asyncio.get_running_loop()

        def post(logs: list[dict[str, Any]]) -> None:
            done = asyncio.run_coroutine_threadsafe(_posted(server, logs), loop)
            done.result()

        await soak(server.api_url, post, given)


async def _posted(server: FakeServer, logs: list[dict[str, Any]]) -> None:
    server.post(logs)


if __name__ == "__main__":
    main()
