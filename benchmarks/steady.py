"""The rates of a real server: `rawlogs tail -o json` beside Prefect's own helper that prints JSON, in one run.

    python -m benchmarks.steady [CASE ...] [--rounds 5] [--seconds 6] [--beside NAME=PYTHON] [--json FILE]

All clients read the same logs of one real Prefect server at the same time, each in a process of its own that writes
into a pipe. They share one core; the server, the writer and the readers of the pipes share the other one. Ratios are
made within a round.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from benchmarks.install import fresh_environment
from benchmarks.machine import PREFECT_VERSION, SERVER_CORE, client_home, describe, pin
from benchmarks.piped import Piped, helper, tail
from benchmarks.tables import markdown, percentile, ratios, times
from tests.real import prefect_env
from tests.real.prefect_server import PrefectServer

FIRST = "Prefect's helper, printing JSON"
TAIL = "`rawlogs tail -o json`"
LIVE_ONLY = "`rawlogs tail -o json --live-only`"
_NUMBER = re.compile(rb'"message":"(\d{9}) ')


@dataclass(frozen=True, slots=True)
class Case:
    """So many logs in each POST, one POST every so many seconds; nothing at all where ``size`` is 0.

    It lasts ``longer`` times as long as is asked for.
    """

    title: str
    size: int
    every: float
    longer: int = 1


CASES = {
    "rest": Case("at rest", 0, 1.0, longer=4),
    "tens": Case("100 logs/s in POSTs of 10", 10, 0.1),
    "singles": Case("50 single logs/s", 1, 0.02),
    "hundreds": Case("980 logs/s in POSTs of 100", 100, 0.102),
}


class Writer:
    """Posts logs that have a number at the beginning of their message; ``posted`` says when each one's POST began."""

    def __init__(self, server: PrefectServer) -> None:
        self._server = server
        self._run = str(uuid4())
        self._next = 0
        self.posted: dict[int, float] = {}

    def post(self, size: int) -> None:
        numbers = range(self._next, self._next + size)
        self._next += size
        stamp = datetime.now(timezone.utc)
        logs = [
            {
                "message": f"{n:09d} {'x' * (70 + n % 120)}",
                "timestamp": stamp + timedelta(microseconds=n % 1000),
            }
            for n in numbers
        ]
        self.posted.update(dict.fromkeys(numbers, time.time()))
        self._server.post_logs(logs, flow_run_id=self._run, name="prefect.flow_runs")

    def write(self, case: Case, seconds: float) -> None:
        """The case for so long, on schedule; a POST that is late is made up for."""
        began = time.monotonic()
        for number in range(int(seconds * case.longer / case.every)):
            time.sleep(max(0.0, began + number * case.every - time.monotonic()))
            if case.size:
                self.post(case.size)


def measure(
    case: Case, seconds: float, writer: Writer, clients: dict[str, Piped]
) -> dict[str, dict[str, float]]:
    """One round of a case: what each client took, and when it delivered."""
    for client in clients.values():
        client.forget()
    writer.posted.clear()
    before = {name: client.cpu() for name, client in clients.items()}
    began = time.monotonic()
    writing = threading.Thread(target=writer.write, args=(case, seconds))
    writing.start()
    writing.join()
    for client in clients.values():
        client.wait_lines(len(writer.posted), 3.0)
    took = time.monotonic() - began
    found = {}
    for name, client in clients.items():
        cpu = client.cpu() - before[name]
        delays = sorted(delivered(client.chunks, writer.posted))
        found[name] = {
            "ms_cpu_a_second": cpu / took * 1e3,
            "mb": client.memory()[0],
            "mb_peak": client.memory()[1],
        }
        if case.size:
            found[name] |= {
                "us_cpu": cpu / max(len(delays), 1) * 1e6,
                "logs_a_second": len(writer.posted) / took,
                "missing": len(writer.posted) - len(delays),
                "ms_median": median(delays or [0.0]) * 1e3,
                "ms_p99": percentile(delays or [0.0], 0.99) * 1e3,
            }
    return found


def delivered(chunks: Sequence[tuple[float, bytes]], posted: dict[int, float]) -> list[float]:
    """Seconds from the beginning of the POST to the receipt, for each log that came."""
    delays: dict[int, float] = {}
    rest = b""
    for at, data in chunks:
        lines, _, rest = (rest + data).rpartition(b"\n") if b"\n" in data else (b"", b"", rest + data)
        for number in map(int, _NUMBER.findall(lines)):
            if number in posted:
                delays.setdefault(number, at - posted[number])
    return list(delays.values())


Rounds = dict[str, list[dict[str, float]]]


def run(
    names: Sequence[str], rounds: int, seconds: float, pythons: dict[str, Path], home: Path
) -> dict[str, Rounds]:
    """All rounds of all cases, interleaved; a fresh set of clients for each round."""
    pin(SERVER_CORE)
    prefect = prefect_env.require(PREFECT_VERSION)
    results: dict[str, Rounds] = {name: {} for name in names}
    with PrefectServer(PREFECT_VERSION) as server:
        writer = Writer(server)
        writer.post(1)  # the first POST of a server is slow
        for _ in range(rounds):
            commands = {FIRST: helper(prefect, server.api_url)}
            for name, python in pythons.items():
                commands[TAIL + name] = tail(python, server.api_url)
                commands[LIVE_ONLY + name] = tail(python, server.api_url, "--live-only")
            with ExitStack() as stack:
                clients = {
                    name: stack.enter_context(Piped(command, home)) for name, command in commands.items()
                }
                for client in clients.values():
                    client.wait_ready()
                time.sleep(3.0)
                for name in names:
                    case = CASES[name]
                    for reader, figures in measure(case, seconds, writer, clients).items():
                        results[name].setdefault(reader, []).append(figures)
    return results


def table(found: Rounds, *, loaded: bool) -> str:
    """One case: medians, and the ratios to the helper round by round."""

    def column(name: str, key: str) -> list[float]:
        return [figures[key] for figures in found[name]]

    key = "us_cpu" if loaded else "ms_cpu_a_second"
    rows = []
    for name in found:
        row = [
            name,
            f"{median(column(name, key)):.{0 if loaded else 2}f}",
            # The helper may take no measurable time at rest.
            times(ratios(column(name, key), column(FIRST, key))) if min(column(FIRST, key)) else "",
            f"{median(column(name, 'mb')):.1f} ({max(column(name, 'mb_peak')):.1f})",
        ]
        if loaded:
            row += [
                f"{median(column(name, 'ms_median')):.1f} / {median(column(name, 'ms_p99')):.1f}",
                f"{sum(column(name, 'missing')):.0f}",
            ]
        rows.append(row)
    head = ["client", "CPU us/log" if loaded else "CPU ms/s", "of the helper's (min-max)", "RSS, MB (peak)"]
    return markdown([*head, "delay ms, median / p99", "missing"] if loaded else head, rows)


def report(results: dict[str, Any]) -> str:
    parts = [f"Measured: {results['machine']}."]
    for name, found in results["cases"].items():
        loaded = bool(CASES[name].size)
        rates = [figures["logs_a_second"] for figures in found[FIRST]] if loaded else []
        title = CASES[name].title + (f" ({median(rates):.0f} logs/s came about)" if rates else "")
        parts += [f"{title}:", table(found, loaded=loaded)]
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each case lasts in a round")
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="NAME=PYTHON",
        help="also the rawlogs of another environment, under this name, such as 0.1.0=/path/bin/python",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.cases) - set(CASES):
        parser.error(f"unknown cases: {', '.join(sorted(unknown))}")
    with client_home() as home:
        pythons = {"": fresh_environment(home / "venv")}
        for given in chosen.beside:
            name, _, path = given.partition("=")
            pythons[f" ({name})"] = Path(path)
        cases = run(chosen.cases or list(CASES), chosen.rounds, chosen.seconds, pythons, home)
    results = {"machine": describe(), "cases": cases}
    print(report(results))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
