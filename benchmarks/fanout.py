"""One web process, many readers of Server-Sent Events: rawlogs' hub beside one Prefect subscriber per reader.

    python -m benchmarks.fanout [rawlogs:1000 helper:10 helper:50 ...] [--rate 100] [--seconds 30] [--json FILE]

A case is a design and a number of readers. The server is a real one, and every reader wants all logs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.fanout_tables import Fanout, report
from benchmarks.machine import PREFECT_VERSION, ROOT, client_home, describe, environment, run
from tests.real import prefect_env
from tests.real.prefect_server import ApiError, PrefectServer

CASES = ("rawlogs:1000", "rawlogs:100", "rawlogs:10", "helper:10", "helper:50", "helper:90", "helper:100")
"""With SQLite a Prefect server (3.4.7 to 3.8.8) handles 100 requests at a time; an open WebSocket is one of them."""
BATCH = 10
"""Logs a POST."""
SETTLED = 5.0
"""Seconds between the last reader's beginning and the first log."""
GRACE = 2.0
"""How long readers that have everything are still listened to, for repeats."""
GIVEN_UP = {"rawlogs": 110.0, "helper": 10.0}
"""Seconds without a log after which nothing more is waited for: rawlogs promises what it sees within 60 s."""
FILES = 8192
"""Open files that a web process of the largest case may need, with room to spare."""
_UPGRADE = re.compile(rb'"WebSocket /api/logs/out" \[accepted\]')
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Design:
    """How a web process is started: which Python, which module, what it needs beyond its environment."""

    python: Path
    module: str
    settings: Mapping[str, str]


class Process:
    """A module of this package in a process of its own that says JSON lines; ``said`` is the last of them."""

    def __init__(
        self, python: Path, module: str, *arguments: str, home: Path, settings: Mapping[str, str]
    ) -> None:
        self.said: dict[str, Any] = {}
        self._heard = threading.Event()
        self._errors = home / f"{module}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", f"benchmarks.{module}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(home, **settings),
                cwd=home,
                text=True,
            )
        self.pid = self._process.pid
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wait_for(self, fact: str, seconds: float) -> Any:
        """A fact that it says; raises RuntimeError where it does not say it in time."""
        deadline = time.monotonic() + seconds
        while fact not in self.said:
            self._heard.wait(0.1)
            if time.monotonic() > deadline or (self._process.poll() is not None and fact not in self.said):
                raise RuntimeError(f"{self._process.args} did not say {fact}:\n{self.complaint()}")
        return self.said[fact]

    def tell(self, facts: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(facts) + "\n")
        self._process.stdin.flush()

    def complaint(self) -> str:
        """The end of its stderr."""
        return self._errors.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 10 s."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said |= json.loads(line)
            self._heard.set()


@contextmanager
def started(*arguments: Any, **options: Any) -> Iterator[Process]:
    process = Process(*arguments, **options)
    try:
        yield process
    finally:
        process.stop()


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, in user mode and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident(pid: int) -> float:
    """Its resident memory in KB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def post(server: PrefectServer, run_id: str, rate: float, seconds: float) -> list[float]:
    """Logs at that rate; when the POST of each began, by its number.

    A POST that is late is made up for, until twice the time is over. One that is not answered counts: what the server
    has stored is asked for afterwards.
    """
    sent: list[float] = []
    began = time.time()
    for number in range(int(rate * seconds / BATCH)):
        time.sleep(max(0.0, began + number * BATCH / rate - time.time()))
        logs = [{"message": f"{len(sent) + n:06d} {'x' * 120}"} for n in range(BATCH)]
        moment = time.time()
        if moment > began + 2 * seconds:
            break
        sent += [moment] * BATCH
        with suppress(ApiError, OSError):
            server.post_logs(logs, name="benchmark", flow_run_id=run_id)
    return sent


def numbers_stored(server: PrefectServer, run_id: str) -> list[int]:
    """The numbers of the logs that the server has; one that no longer answers is started again."""
    try:
        rows = server.list_logs(flow_run_id={"any_": [run_id]})
    except (ApiError, OSError):
        server.kill()
        server.start()
        rows = server.list_logs(flow_run_id={"any_": [run_id]})
    return [int(row["message"][:6]) for row in rows]


def play(
    name: str, count: int, design: Design, server: PrefectServer, home: Path, chosen: argparse.Namespace
) -> Fanout:
    """One case from its first reader to its last log."""
    journal = server.home / "server.log"
    settings = {**design.settings, "PREFECT_API_URL": server.api_url}
    here, run_id = Path(sys.executable), str(uuid4())
    with started(design.python, design.module, home=home, settings=settings) as web:
        port = web.wait_for("port", 60)
        time.sleep(2)
        empty, upgrades = resident(web.pid), len(_UPGRADE.findall(journal.read_bytes()))
        with started(
            here, "fanout_readers", str(port), str(count), chosen.query, home=home, settings={}
        ) as readers:
            began = readers.wait_for("began", 120)
            time.sleep(SETTLED)
            joined = resident(web.pid)
            cpu = {pid: cpu_seconds(pid) for pid in (web.pid, server.pid)}
            sent = post(server, run_id, chosen.rate, chosen.seconds)
            last, most = time.monotonic(), began * len(sent)
            highest, delivered = resident(web.pid), -1
            while (now := time.monotonic()) - last < (GRACE if delivered >= most else GIVEN_UP[name]):
                if readers.said.get("delivered", 0) != delivered:
                    delivered, last = readers.said.get("delivered", 0), now
                    used = {pid: cpu_seconds(pid) - before for pid, before in cpu.items()}
                    highest = max(highest, resident(web.pid))
                time.sleep(0.1)
            lost = readers.said.get("lost", 0)
            web.stop()
            stored = numbers_stored(server, run_id)
            readers.tell([[number, sent[number]] for number in stored])
            judged = {key: readers.wait_for(key, 120) for key in Fanout.JUDGED}
    return Fanout(
        design=name,
        readers=count,
        began=began,
        lost=lost,
        planned=int(chosen.rate * chosen.seconds / BATCH) * BATCH,
        stored=len(stored),
        post_seconds=sent[-1] - sent[0],
        web_cpu=used[web.pid],
        server_cpu=used[server.pid],
        kb_joined=(joined - empty) / count,
        kb_highest=(highest - empty) / count,
        connections=len(_UPGRADE.findall(journal.read_bytes())) - upgrades,
        **judged,
    )


def designs(python: Path, home: Path) -> dict[str, Design]:
    """Both; what the helper's environment lacks is installed for this run beside it."""
    beside = home / "beside"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    pins = [
        word for name in ("highest", "test") for word in ("-c", str(ROOT / "constraints" / f"{name}.txt"))
    ]
    run([*pip, "install", "--quiet", "--no-deps", "--target", str(beside), *pins, "sse-starlette"])
    helper = prefect_env.require(PREFECT_VERSION)
    return {
        "rawlogs": Design(python, "fanout_rawlogs", {}),
        "helper": Design(helper, "fanout_helper", {"PYTHONPATH": str(beside)}),
    }


def allow_files() -> None:
    """Raise the limit of open files for this process and what it starts; RuntimeError where that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise RuntimeError(
            f"{FILES} open files are needed and {hard} allowed; try: ulimit -Hn {FILES} as root"
        )
    if soft < FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case", nargs="*", default=CASES, help="DESIGN:READERS, with rawlogs or helper")
    parser.add_argument("--rate", type=float, default=100.0, help="logs/s")
    parser.add_argument("--seconds", type=float, default=30.0, help="for so long")
    parser.add_argument("--query", default="", metavar="TEXT", help="of each reader; for rawlogs alone")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="one that has rawlogs[web]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome there")
    chosen = parser.parse_args(arguments)
    allow_files()
    try:
        run([str(chosen.python), "-c", "import sse_starlette, starlette, uvicorn"])
    except RuntimeError:
        parser.error(f"{chosen.python} lacks the extra: pip install rawlogs[web]")
    outcomes: list[Fanout] = []
    with client_home() as home:
        known = designs(chosen.python, home)
        cases = [case.partition(":") for case in chosen.case]
        if any(name not in known or not count.isdecimal() for name, _, count in cases):
            parser.error("a case is rawlogs:READERS or helper:READERS")
        for name, _, count in cases:
            print(f"{name}:{count} ...", file=sys.stderr, flush=True)
            # At this level the server's journal has a line for each WebSocket it takes.
            with PrefectServer(PREFECT_VERSION, env={"PREFECT_SERVER_LOGGING_LEVEL": "INFO"}) as server:
                outcomes.append(play(name, int(count), known[name], server, home, chosen))
            if chosen.json is not None:
                records = [asdict(one) for one in outcomes]
                chosen.json.write_text(json.dumps({"machine": describe(), "outcomes": records}, indent=1))
    print(report(describe(), outcomes))


if __name__ == "__main__":
    main()
