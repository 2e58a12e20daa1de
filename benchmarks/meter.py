"""A stopwatch for a client: wall, CPU and memory from the first log to the last."""

from __future__ import annotations

import time

from benchmarks.machine import memory


class Meter:
    """``start`` at the first log, ``stop`` at the last; then ``result`` holds the figures.

    Made when the client is connected, which is when memory at the start is taken. The peak is the process's own, up
    to the last log.
    """

    def __init__(self) -> None:
        self._before = memory()[0]
        self._wall = self._cpu = 0.0
        self.result: dict[str, float] = {}

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def stop(self, logs: int) -> None:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        self.result = {
            "logs": logs,
            "per_second": logs / wall,
            "us_cpu": cpu / logs * 1e6,
            "mb_start": self._before,
            "mb_peak": memory()[1],
        }
