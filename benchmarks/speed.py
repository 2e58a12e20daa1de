"""How fast and how large: rawlogs beside Prefect's own helper, in one run, round by round.

    python -m benchmarks.speed [--rounds 5] [--logs 100000] [--million] [--json FILE]

Every figure of a round is taken within the same minute, and ratios are made within a round, so that a noisy machine
moves both sides. The clients run on one core, the source of logs on another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.install import fresh_environment, site_packages, size
from benchmarks.machine import (
    CLIENT_CORE,
    PREFECT_VERSION,
    client_home,
    describe,
    environment,
    pin,
    run,
    run_module,
    wall,
)
from benchmarks.piped import Piped, helper, tail
from benchmarks.tables import markdown, ratios, times
from tests.real import prefect_env

FIRST = "Prefect's helper"
RAWLOGS, STREAM, FILTER = "`import rawlogs`", "and what a stream loads", "and what a filter loads"
_STREAM = "import rawlogs, rawlogs.rest.client, httpx; rawlogs.stream(api_url='http://localhost/api'{})"
IMPORTS = {
    FIRST: "from prefect.logging.clients import PrefectLogsSubscriber",
    RAWLOGS: "import rawlogs",
    STREAM: _STREAM.format(""),
    FILTER: _STREAM.format(", level=20"),
}
TIMED = "import time; began = time.perf_counter(); {}; print(time.perf_counter() - began)"
READERS = {
    FIRST: ("speed_helper",),
    "rawlogs, `async for`": ("speed_rawlogs",),
    "rawlogs, `batches()`": ("speed_rawlogs", "--batches"),
    "rawlogs live_only, `async for`": ("speed_rawlogs", "--live-only"),
    "rawlogs live_only, `batches()`": ("speed_rawlogs", "--live-only", "--batches"),
    "Prefect's helper, every field read": ("speed_helper", "--fields"),
    "rawlogs, every field read": ("speed_rawlogs", "--fields"),
}
REFERENCE = {"rawlogs, every field read": "Prefect's helper, every field read"}
FIRST_LINES = f"{FIRST}, printing JSON"
LINES = {
    FIRST_LINES: None,
    "`rawlogs tail -o json`": (),
    "`rawlogs tail -o json --live-only`": ("--live-only",),
}
FIRST_START = f"{FIRST}, until it is entered"
STARTS = {
    FIRST_START: None,
    "`rawlogs tail`": (),
    "`rawlogs tail --flow-run ID`": ("--flow-run", "11111111-2222-4333-8444-555555555555"),
    "`rawlogs tail --level INFO`": ("--level", "INFO"),
}
AHEAD = 4000
"""Logs that the source of the JSON lines may be ahead of what came out of the pipe."""
Rounds = dict[str, list[dict[str, float]]]


class Environments:
    """The two Pythons: one with rawlogs and nothing else, one with Prefect."""

    def __init__(self, home: Path, rawlogs: Path, prefect: Path) -> None:
        self.home = home
        self.rawlogs = rawlogs
        self.prefect = prefect

    def of(self, name: str) -> Path:
        return self.prefect if name.startswith(FIRST) else self.rawlogs


def measure_imports(pythons: Environments, rounds: int) -> Rounds:
    """Import times inside a new process, and the wall time of the whole process; the first round warms up."""
    found: Rounds = {name: [] for name in IMPORTS}
    env = environment(pythons.home)
    for number in range(rounds + 1):
        for name, statement in IMPORTS.items():
            python = str(pythons.of(name))
            inside = float(run([python, "-c", TIMED.format(statement)], env=env, cwd=pythons.home))
            whole = wall([python, "-c", statement], env=env, cwd=pythons.home)
            if number:
                found[name].append({"ms_import": inside * 1e3, "ms_process": whole * 1e3})
    return found


def measure_help(pythons: Environments, rounds: int) -> list[float]:
    """Seconds of `rawlogs --help`; the first one warms up."""
    command = [str(pythons.rawlogs.parent / "rawlogs"), "--help"]
    env = environment(pythons.home)
    return [wall(command, env=env, cwd=pythons.home) for _ in range(rounds + 1)][1:]


def measure_reading(pythons: Environments, rounds: int, logs: int, names: Sequence[str]) -> Rounds:
    """What each reader takes for the same logs."""
    found: Rounds = {name: [] for name in names}
    with source(logs) as running:
        for _ in range(rounds):
            for name in names:
                module, *options = READERS[name]
                arguments = (running.api_url, str(logs), *options)
                found[name].append(run_module(pythons.of(name), module, *arguments, home=pythons.home))
    return found


def measure_lines(pythons: Environments, rounds: int, logs: int) -> Rounds:
    """JSON lines into a pipe, from the first line to the last.

    The source stays near to the client: one that is slower than an endless burst would fetch the rest from the list.
    """
    found: Rounds = {name: [] for name in LINES}
    with source(logs, AHEAD) as running:
        for _ in range(rounds):
            for name, options in LINES.items():
                running.delivered(0)
                with Piped(_command(pythons, running.api_url, options), pythons.home) as client:
                    client.wait_ready()
                    before = client.memory()[0]
                    if not client.wait_lines(logs, 60 + logs / 5000, running.delivered):
                        raise RuntimeError(f"{name}: {client.lines} of {logs} lines came")
                    cpu = client.cpu() - client.cpu_at_first
                    seconds = client.chunks[-1][0] - client.chunks[0][0]
                    found[name].append(
                        {
                            "per_second": logs / seconds,
                            "us_cpu": cpu / logs * 1e6,
                            "mb_start": before,
                            "mb_peak": client.memory()[1],
                        }
                    )
    return found


def measure_start(pythons: Environments, rounds: int) -> Rounds:
    """From the start of the process until it has connected; the first round warms up."""
    found: Rounds = {name: [] for name in STARTS}
    with source(1) as running:
        for number in range(rounds + 1):
            for name, options in STARTS.items():
                with Piped(_command(pythons, running.api_url, options), pythons.home) as client:
                    client.wait_ready()
                    # The last moment before the source sends its log: everything is loaded by then.
                    time.sleep(0.7)
                    figures = {
                        "s_wall": client.ready_wall,
                        "s_cpu": client.ready_cpu,
                        "mb": client.memory()[0],
                    }
                if number:
                    found[name].append(figures)
    return found


def _command(pythons: Environments, api_url: str, options: Sequence[str] | None) -> list[str]:
    return helper(pythons.prefect, api_url) if options is None else tail(pythons.rawlogs, api_url, *options)


class Source:
    """A running source of so many logs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.api_url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}/api"
        self._stdin = process.stdin

    def delivered(self, count: int) -> None:
        """Say how many logs the present client has delivered."""
        self._stdin.write(b"%d\n" % count)
        self._stdin.flush()


@contextmanager
def source(logs: int, ahead: int | None = None, *, single: bool = False) -> Iterator[Source]:
    """A source of so many logs; see ``benchmarks.source`` for ``ahead`` and ``single``."""
    command = [sys.executable, "-m", "benchmarks.source", str(logs)]
    command += [] if ahead is None else ["--ahead", str(ahead)]
    command += ["--single"] if single else []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield Source(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def column(found: Rounds, name: str, key: str) -> list[float]:
    return [one[key] for one in found[name]]


def imports_table(found: Rounds) -> str:
    rows = []
    for name in found:
        inside = column(found, name, "ms_import")
        faster = ratios(column(found, FIRST, "ms_import"), inside)
        whole = median(column(found, name, "ms_process"))
        rows.append([name, f"{median(inside):.0f} ms", times(faster), f"{whole:.0f} ms"])
    return markdown(["import", "median", "x helper (min-max)", "whole process"], rows)


def reading_table(found: Rounds) -> str:
    rows = []
    for name in found:
        first = REFERENCE.get(name, next(iter(found)))
        faster = ratios(column(found, name, "per_second"), column(found, first, "per_second"))
        cheaper = ratios(column(found, first, "us_cpu"), column(found, name, "us_cpu"))
        rows.append(
            [
                name,
                f"{median(column(found, name, 'per_second')):,.0f}",
                times(faster),
                f"{median(column(found, name, 'us_cpu')):.2f}",
                times(cheaper),
                _memory(found, name),
            ]
        )
    head = ["reader", "logs/s", "x helper (min-max)", "CPU us/log", "x helper (min-max)", "RSS, MB"]
    return markdown(head, rows)


def start_table(found: Rounds) -> str:
    rows = []
    for name in found:
        less = ratios(column(found, FIRST_START, "s_cpu"), column(found, name, "s_cpu"))
        figures = [median(column(found, name, key)) for key in ("s_cpu", "s_wall", "mb")]
        rows.append([name, f"{figures[0]:.2f} s", f"1/{times(less)}", *map("{:.2f}".format, figures[1:])])
    return markdown(["start", "CPU", "of the helper's", "wall, s", "RSS at rest, MB"], rows)


def memory_table(found: Rounds) -> str:
    rows = []
    for name in found:
        less = ratios(column(found, next(iter(found)), "mb_peak"), column(found, name, "mb_peak"))
        rows.append([name, _memory(found, name), f"1/{times(less)}"])
    return markdown(["reader", "RSS, MB", "of the helper's peak"], rows)


def _memory(found: Rounds, name: str) -> str:
    return f"{median(column(found, name, 'mb_start')):.0f} -> {median(column(found, name, 'mb_peak')):.0f}"


def size_table(sizes: dict[str, tuple[float, float, int]]) -> str:
    rows = [[name, f"{net:.1f}", f"{gross:.1f}", str(count)] for name, (net, gross, count) in sizes.items()]
    return markdown(["site-packages", "MB", "with .pyc", "distributions"], rows)


def targets(results: dict[str, Any]) -> str:
    """What was asked for, and what came out: medians."""
    imports, reading = results["imports"], results["reading"]
    helper = column(imports, FIRST, "ms_import")
    importing = median(ratios(helper, column(imports, RAWLOGS, "ms_import")))
    loading = median(ratios(helper, column(imports, STREAM, "ms_import")))
    faster = median(
        ratios(column(reading, "rawlogs, `async for`", "per_second"), column(reading, FIRST, "per_second"))
    )
    memory = results["million"] or reading
    less = median(ratios(column(memory, FIRST, "mb_peak"), column(memory, "rawlogs, `async for`", "mb_peak")))
    helping = median(results["help"])
    rows = [
        ["`import rawlogs`, of the helper's", "<= 1/8", f"1/{importing:.1f}", importing >= 8],
        ["the same with what a stream loads", "", f"1/{loading:.1f}", None],
        ["`rawlogs --help`", "<= 0.25 s", f"{helping:.2f} s", helping <= 0.25],
        ["memory while streaming, of the helper's", "<= 1/2.5", f"1/{less:.1f}", less >= 2.5],
        ["logs/s through `async for`", ">= 2x", f"{faster:.1f}x", faster >= 2],
    ]
    said = {True: "met", False: "MISSED", None: ""}
    return markdown(["target", "asked", "measured", ""], [[*row[:3], said[row[3]]] for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--logs", type=int, default=100_000, help="logs a round")
    parser.add_argument("--million", action="store_true", help="also the memory of 1,000,000 logs, twice")
    parser.add_argument(
        "--python", type=Path, help="the rawlogs of another environment instead of this tree's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    chosen = parser.parse_args(arguments)
    helper = prefect_env.require(PREFECT_VERSION)
    with client_home() as home:
        rawlogs = chosen.python or fresh_environment(home / "venv")
        results = measure(Environments(home, rawlogs, helper), chosen.rounds, chosen.logs, chosen.million)
    print(report(results))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1))


def measure(pythons: Environments, rounds: int, logs: int, million: bool) -> dict[str, Any]:
    """Every figure, as measured."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(CLIENT_CORE)
    try:
        results: dict[str, Any] = {
            "sizes": {
                "rawlogs, with its default dependencies": size(site_packages(pythons.rawlogs)),
                f"prefect {PREFECT_VERSION}": size(site_packages(pythons.prefect)),
            },
            "imports": measure_imports(pythons, rounds),
            "help": measure_help(pythons, rounds),
        }
    finally:
        if cores is not None:
            os.sched_setaffinity(0, cores)
    results["reading"] = measure_reading(pythons, rounds, logs, list(READERS))
    names = [FIRST, "rawlogs, `async for`", "rawlogs live_only, `async for`"]
    results["lines"] = measure_lines(pythons, rounds, logs)
    results["start"] = measure_start(pythons, rounds)
    results["million_lines"] = measure_lines(pythons, 1, 1_000_000) if million else None
    results["million"] = measure_reading(pythons, 2, 1_000_000, names) if million else None
    results["machine"] = describe()
    return results


def report(results: dict[str, Any]) -> str:
    """All tables, as Markdown."""
    parts = [
        f"Measured: {results['machine']}.",
        targets(results),
        imports_table(results["imports"]),
        f"`rawlogs --help`: {', '.join(f'{seconds:.2f}' for seconds in sorted(results['help']))} s",
        reading_table(results["reading"]),
        "JSON lines into a pipe:",
        reading_table(results["lines"]),
        "From the start of the process until it has connected:",
        start_table(results["start"]),
    ]
    if results["million"]:
        parts += ["Memory while 1,000,000 logs are read:", memory_table(results["million"])]
        parts += ["and printed:", memory_table(results["million_lines"])]
    return "\n\n".join([*parts, size_table(results["sizes"])])


if __name__ == "__main__":
    main()
