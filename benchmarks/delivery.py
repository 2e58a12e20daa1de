"""What arrives: rawlogs, Prefect's own helper and a REST poller beside each other, on a real Prefect server.

    python -m benchmarks.delivery [CASE ...] [--only rawlogs] [--json FILE]

The readers of a case read the same logs at the same time, each in a process of its own. What the server has stored is
the measure: a complete listing by plain offset paging after the case.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import (
    CASES,
    FAMILY,
    FLOW,
    FLOW_ALONE,
    FLOW_CONTENDERS,
    RESUME,
    RESUME_CONTENDERS,
    Case,
    Stage,
)
from benchmarks.contenders import Contender, Reader, contenders
from benchmarks.delivery_tables import report
from benchmarks.machine import PREFECT_VERSION, client_home, describe
from benchmarks.outcomes import Outcome, judge
from tests.real.prefect_server import PrefectServer

GRACE = 2.0
"""How long a reader that has everything is still listened to, for repeats."""
GIVEN_UP = 6.0
"""How long one that cannot recover logs may be silent after the last POST."""
SETTLED = 45.0
"""How long it is quiet before requests at rest are counted: by then a poller that slows down has done so."""


class Benchmark:
    """The servers, started when they are first needed, and the readers to choose from."""

    def __init__(self, everybody: dict[str, Contender], only: Sequence[str], home: Path) -> None:
        self._everybody = everybody
        self._only = only
        self._home = home
        self._servers: dict[bool, PrefectServer] = {}

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    def server(self, streaming: bool) -> PrefectServer:
        if streaming not in self._servers:
            # While only one of them is needed, the other one takes none of the processor.
            self.close()
            self._servers = {streaming: PrefectServer(PREFECT_VERSION, streaming=streaming).__enter__()}
        return self._servers[streaming]

    def chosen(self, names: Sequence[str]) -> list[Contender]:
        return [self._everybody[name] for name in names if not self._only or name in self._only]

    @contextmanager
    def readers(
        self, names: Sequence[str], stage: Stage, case: str, *, at_once: bool = False, **options: Any
    ) -> Iterator[None]:
        """Started and, unless they are wanted ``at_once``, connected; stopped at the end."""
        home = self._home / case
        home.mkdir(exist_ok=True)
        if not (home / "benchmarks").exists():
            (home / "benchmarks").symlink_to(self._home / "benchmarks")
        with ExitStack() as stack:
            for contender in self.chosen(names):
                reader = Reader(contender, stage.server.port, stage.run_id, home=home, **options)
                stack.callback(reader.stop)
                stage.readers.append(reader)
            for reader in stage.readers:
                if not at_once:
                    reader.wait_ready()
            yield

    def play(self, name: str, case: Case) -> list[Outcome]:
        stage = Stage(self.server(case.streaming))
        options = {"nap": case.nap, "direct": case.direct, "refuse_every": case.refuse_every}
        with self.readers(case.contenders, stage, name, at_once=case.at_once, **options):
            if not case.at_once:
                time.sleep(SETTLED if case.silent else 2.0)
            began = time.time()
            case.play(stage)
            ends = wait(stage, len(stage.sent), case.patience)
        rows = stage.server.list_logs(flow_run_id={"any_": [stage.run_id]})
        return [outcome(name, reader, rows, stage, began, ends[reader]) for reader in stage.readers]

    def play_resume(self) -> list[Outcome]:
        """60,000 stored rows; one that keeps a cursor is killed in the middle; what is left from there counts."""
        stage, server = Stage(self.server(True)), self.server(True)
        for _ in range(60):
            stage.post(1000)
        rows = server.list_logs(flow_run_id={"any_": [stage.run_id]})
        first = Stage(server, stage.run_id)
        with self.readers(("tail-cursor",), first, RESUME, nap=0.0, direct=True):
            for reader in first.readers:
                while len(reader.received) < len(rows) // 2:
                    time.sleep(0.05)
                reader.kill()
        done = {log_id for reader in first.readers for log_id, _ in reader.received}
        left = [row for row in rows if row["id"] not in done]
        since = min(row["timestamp"] for row in left)
        poller = self._everybody["poller"]
        self._everybody["poller"] = replace(
            poller, command=lambda *given: [*poller.command(*given), "--since", since]
        )
        # Without gates: a cursor belongs to the URL with which it was written.
        with self.readers(RESUME_CONTENDERS, stage, RESUME, at_once=True, nap=0.0, direct=True):
            began = time.time()
            ends = wait(stage, len(left), 110.0)
        self._everybody["poller"] = poller
        return [outcome(RESUME, reader, left, stage, began, ends[reader]) for reader in stage.readers]

    def play_flow(self) -> list[Outcome]:
        """A real flow with a subflow, from the moment it runs: the reader knows the run's id and no more."""
        server = self.server(True)
        flow = server.start_flow(FAMILY)
        stage = Stage(server, flow.run_id)
        with self.readers(FLOW_CONTENDERS, stage, FLOW, nap=0.0, direct=False):
            began = time.time()
            flow.wait()
            ids = [flow.run_id, *children(server, flow.run_id)]
            rows = server.list_logs(flow_run_id={"any_": ids})
            ends = wait(stage, len(rows), 110.0)
        parents = [row for row in rows if row["flow_run_id"] == flow.run_id]
        whole = [outcome(FLOW, reader, rows, stage, began, ends[reader]) for reader in stage.readers]
        alone = [
            replace(one, case=FLOW_ALONE, **judge(reader.received, parents, {}))
            for one, reader in zip(whole, stage.readers, strict=True)
        ]
        return [*whole, *(one for one in alone if "RUN" not in one.reader)]


def children(server: PrefectServer, run_id: str) -> list[str]:
    """The ids of a run's subflow runs."""
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}}
    return [run["id"] for run in server.request("POST", "/flow_runs/filter", body)]


def wait(stage: Stage, expected: int, patience: float) -> dict[Reader, float]:
    """Until every reader has all logs, has ended, or its time is over; when that was, for each."""
    deadline = time.time() + patience
    posted = time.time()
    ends: dict[Reader, float] = {}
    while len(ends) < len(stage.readers):
        time.sleep(0.2)
        now = time.time()
        for reader in stage.readers:
            complete = len(dict(reader.received)) >= expected and reader.quiet_for(GRACE)
            hopeless = (
                not reader.contender.recovers and now - posted > GIVEN_UP and reader.quiet_for(GIVEN_UP)
            )
            if complete or hopeless or reader.ended or now >= deadline:
                ends.setdefault(reader, now)
    return ends


def outcome(
    name: str, reader: Reader, rows: list[dict[str, Any]], stage: Stage, began: float, end: float
) -> Outcome:
    account = reader.account
    own: dict[str, Any] = {"requests": int(account.get("requests", 0)), "at_start": None, "paths": {}}
    connections = 1 + int(account.get("reconnects", 0))
    if (gate := reader.gate) is not None:
        paths = gate.rest_requests(began, end)
        own: dict[str, Any] = {
            "requests": paths.total(),
            "at_start": gate.rest_requests(0.0, began).total(),
            "paths": dict(paths),
        }
        connections = gate.upgrades()
    return Outcome(
        case=name,
        reader=reader.contender.name,
        polled=name in CASES and not CASES[name].streaming,
        connections=connections,
        seconds=end - began,
        ended=reader.code_by_itself or None,
        account=account,
        **own,
        **judge(reader.received, rows, stage.sent),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    known = [*CASES, FLOW, RESUME]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case", nargs="*", help=f"some of: {', '.join(known)} (default: all)")
    parser.add_argument("--only", action="append", default=[], metavar="READER", help="repeatable")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="one that has rawlogs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome there")
    parser.add_argument("--errors", action="store_true", help="print what the readers said on stderr")
    chosen = parser.parse_args(arguments)
    names = chosen.case or known
    if unknown := set(names) - set(known):
        parser.error(f"unknown cases: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    everybody = contenders(chosen.python)
    if unknown := set(chosen.only) - set(everybody):
        parser.error(f"unknown readers: {', '.join(sorted(unknown))}; known: {', '.join(everybody)}")
    outcomes: list[Outcome] = []
    with client_home() as home:
        benchmark = Benchmark(everybody, chosen.only, home)
        try:
            for name in names:
                print(f"{name} ...", file=sys.stderr, flush=True)
                special = {FLOW: benchmark.play_flow, RESUME: benchmark.play_resume}
                outcomes += special[name]() if name in special else benchmark.play(name, CASES[name])
                if chosen.errors:
                    for file in sorted((home / name).glob("*.err")):
                        print(f"--- {name}: {file.stem}\n{file.read_text()}", file=sys.stderr)
        finally:
            benchmark.close()
    print(report(describe(), outcomes))
    if chosen.json is not None:
        records = [asdict(one) | {"list_requests": one.list_requests, "bound": one.bound} for one in outcomes]
        chosen.json.write_text(json.dumps({"machine": describe(), "outcomes": records}, indent=1))


if __name__ == "__main__":
    main()
