"""What is done to the server and to the readers: one function a case, and the stage they play on."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from uuid import uuid4

from benchmarks.contenders import Reader
from tests.real.prefect_server import ApiError, PrefectServer

EVERYBODY = ("rawlogs", "helper", "poller")
FAMILY = """
import time
from prefect import flow

@flow(log_prints=True)
def child():
    for number in range(400):
        print(f"child line {number}")
        time.sleep(0.002)

@flow(log_prints=True)
def main():
    time.sleep(3)
    for number in range(20):
        print(f"parent line {number}")
        time.sleep(0.05)
    child()
    for number in range(600):
        print(f"parent line {number} after the child")
    time.sleep(3)
"""


@dataclass(slots=True)
class Stage:
    """One server, one run whose logs are read, the readers; ``sent`` says when each log was posted, by its number."""

    server: PrefectServer
    run_id: str = field(default_factory=lambda: str(uuid4()))
    readers: list[Reader] = field(default_factory=list)
    sent: dict[int, float] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def post(self, count: int, *, age: float = 0.0, padding: int = 80, patient: bool = False) -> None:
        """One POST of so many logs, 1 µs apart, written ``age`` seconds ago.

        ``patient`` is as Prefect's own workers are: they keep the logs and send them again until they are stored.
        """
        numbers = list(itertools.islice(self._numbers, count))
        first = datetime.now(timezone.utc) - timedelta(seconds=age)
        logs = [
            {"message": f"{number:06d} {'x' * padding}", "timestamp": first + timedelta(microseconds=n)}
            for n, number in enumerate(numbers)
        ]
        while True:
            self.sent.update(dict.fromkeys(numbers, time.time()))
            try:
                self.server.post_logs(logs, flow_run_id=self.run_id, name="benchmark")
                return
            except (ApiError, OSError):
                if not patient:
                    raise
                time.sleep(0.3)

    def cut(self) -> None:
        """Reset every connection of every reader."""
        for reader in self.readers:
            if reader.gate is not None:
                reader.gate.cut()


@dataclass(frozen=True, slots=True)
class Case:
    """``play`` writes the logs. ``direct``: without a gate between reader and server. Durations are seconds.

    ``patience``: how long after the last POST a reader may take before it is stopped; by default longer than what
    rawlogs promises (60 s, the pause between two looks, and a look). ``streaming``: whether the server
    is told to stream. ``silent``: there is nothing to deliver, REST requests are what counts.
    ``refuse_every``: each so many-th list is answered with 503. ``at_once``: the first POST is made when the readers'
    processes were started; they are not waited for.
    """

    title: str
    play: Callable[[Stage], None]
    contenders: tuple[str, ...] = EVERYBODY
    streaming: bool = True
    direct: bool = False
    nap: float = 0.0
    patience: float = 110.0
    silent: bool = False
    refuse_every: int = 0
    at_once: bool = False


def rounds(count: int, size: int, pause: float) -> Callable[[Stage], None]:
    """So many POSTs of so many logs, one after the other."""

    def play(stage: Stage) -> None:
        for _ in range(count):
            began = time.monotonic()
            stage.post(size)
            time.sleep(max(0.0, pause - (time.monotonic() - began)))

    return play


def four_writers(stage: Stage) -> None:
    """Four at the same time, 25 POSTs of 50 logs each, as fast as the server takes them."""
    writers = [threading.Thread(target=rounds(25, 50, 0.0), args=(stage,)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def ample(stage: Stage) -> None:
    """12,000 logs of 1 kB, in POSTs of 100, while the consumer sleeps."""
    for _ in range(120):
        stage.post(100, padding=1000)


def killed(stage: Stage) -> None:
    """100 logs/s for 30 s; after 6 s the server dies by SIGKILL, 2 s later it is started again."""

    def write() -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            stage.post(20, patient=True)
            time.sleep(0.2)

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(6)
    stage.server.kill()
    time.sleep(2)
    stage.server.start()
    writer.join()


def cut(stage: Stage) -> None:
    """100 logs/s for 30 s; every 5 s all connections are reset."""
    end = time.monotonic() + 30
    next_cut = time.monotonic() + 5
    while time.monotonic() < end:
        stage.post(10)
        time.sleep(0.1)
        if time.monotonic() >= next_cut:
            stage.cut()
            next_cut += 5


def late(count: int, size: int) -> Callable[[Stage], None]:
    """Logs stamped five minutes ago, between others."""

    def play(stage: Stage) -> None:
        for _ in range(count):
            stage.post(10)
            time.sleep(1)
            stage.post(size, age=300)
            time.sleep(1)

    return play


def silence(stage: Stage) -> None:
    """A minute without logs."""
    time.sleep(60)


CASES = {
    "default": Case("a server as it comes: streaming off", rounds(50, 10, 0.2), streaming=False),
    "steady": Case("10 logs every 0.1 s", rounds(100, 10, 0.1), contenders=(*EVERYBODY, "tail")),
    "batch-100": Case("10 POSTs of 100", rounds(10, 100, 1.0)),
    "batch-256": Case("6 POSTs of 256", rounds(6, 256, 1.0)),
    "batch-1000": Case("4 POSTs of 1,000", rounds(4, 1000, 2.0), contenders=(*EVERYBODY, "tail")),
    "batch-5000": Case("2 POSTs of 5,000", rounds(2, 5000, 3.0)),
    "writers": Case("4 writers in parallel, 5,000 logs", four_writers),
    "nap": Case("the consumer sleeps 10 s, 12,000 logs of 1 kB", ample, nap=10.0),
    "killed": Case("the server killed and restarted", killed, direct=True),
    "cut": Case("a proxy that cuts every 5 s", cut),
    "late": Case("logs stamped 5 minutes ago, POSTs of 100", late(3, 100)),
    "late-burst": Case("logs stamped 5 minutes ago, POSTs of 1,000", late(2, 1000)),
    "second-0": Case(
        "logs from second 0: 10 every 0.1 s since the readers' processes were started",
        rounds(60, 10, 0.1),
        contenders=("tail", "helper", "poller"),
        at_once=True,
    ),
    "refused": Case(
        "4 POSTs of 1,000, every third list answered with 503", rounds(4, 1000, 2.0), refuse_every=3
    ),
    "rest": Case("at rest for 60 s", silence, silent=True, patience=0),
    "rest-default": Case(
        "at rest for 60 s, streaming off", silence, silent=True, streaming=False, patience=0
    ),
}
FLOW, FLOW_ALONE = "flow", "flow-alone"
RESUME = "resume"
RESUME_CONTENDERS = ("tail-cursor", "helper", "poller")
FLOW_CONTENDERS = ("tail-run", "helper", "poller")
FLOW_TITLES = {
    RESUME: "going on in the middle of 60,000 rows, after SIGKILL",
    FLOW: "a real flow with a subflow: the logs of both",
    FLOW_ALONE: "the same run: the logs of the flow alone",
}


def title(name: str) -> str:
    """What a table calls the case."""
    return FLOW_TITLES.get(name) or CASES[name].title
