"""``rawlogs tail`` as a shell sees it: flags, output, exit codes, signals, the cursor file, and no secret anywhere."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
from streaming import DEADLINE, QuickClock, ThreadedServer, threaded
from streaming import no_settings as no_settings

from rawlogs.cli import main
from rawlogs.cli.group import run
from rawlogs.models import Log
from rawlogs.output.json import JsonFormat
from rawlogs.runs import follower
from rawlogs.testing import Behaviour
from rawlogs.testing.faults import Blackhole, Drop, ExpectAuth, Http, Redirect

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")
SECRET = "s3cr3t-m4rk"
RUN_1 = UUID("0d88f0a1-0000-4000-8000-000000000001")
TASK = UUID("0d88f0a1-0000-4000-8000-00000000000a")


@dataclass(frozen=True)
class Ran:
    """What came of one call of the command."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        return [json.loads(line)["message"] for line in self.out.splitlines()]


Call = Callable[..., Ran]


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded() as running:
        yield running


@pytest.fixture
def tail(capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Call:
    """Run ``rawlogs tail`` in this process against the test's server; a call that does not end is code 124."""

    def call(*arguments: object, url: str | None = None, guard: bool = True) -> Ran:
        url = url or request.getfixturevalue("server").api_url
        given = [str(argument) for argument in arguments]
        if guard and "--timeout" not in given:
            given += ["--timeout", str(DEADLINE)]
        capfd.readouterr()
        code = run(["tail", "--api-url", url, *given])
        return Ran(code, *capfd.readouterr())

    return call


class Process:
    """``rawlogs tail`` in a process of its own."""

    def __init__(
        self, url: str, *arguments: object, environ: dict[str, str] | None = None, **pipes: Any
    ) -> None:
        clean = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
        # Without a buffer, so that communicate() gets what readline() left.
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0, **pipes}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rawlogs", "tail", *map(str, arguments)],
            env={**clean, "PREFECT_API_URL": url, **(environ or {})},
            **pipes,
        )

    def lines(self, count: int) -> list[str]:
        """The next lines of stdout."""
        assert self.process.stdout is not None
        return [self.process.stdout.readline().decode().rstrip("\n") for _ in range(count)]

    def messages(self, count: int) -> list[str]:
        return [json.loads(line)["message"] for line in self.lines(count)]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int | None = None) -> Ran:
        """Send that signal, if one is given, and wait for the end."""
        if number is not None:
            self.send(number)
        out, err = self.process.communicate(timeout=DEADLINE * 2)
        return Ran(self.process.returncode, (out or b"").decode(), (err or b"").decode())


@contextmanager
def tailing(server: ThreadedServer, *arguments: object, **options: Any) -> Iterator[Process]:
    """A process that is subscribed."""
    process = Process(server.api_url, *arguments, **options)
    try:
        server.until_subscribed()
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()


def soon(server: ThreadedServer, *logs: Any) -> None:
    """Post these when a client has subscribed."""

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.post(list(logs))

    server.beside(work)


# Output.


def test_live_logs_go_to_stdout_and_the_account_to_stderr(server: ThreadedServer, tail: Call) -> None:
    soon(server, {"message": "hello", "name": "my.app", "level": 30})
    ran = tail("--limit", 1, "--utc")
    assert ran.code == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} \| WARNING \| my\.app - hello\n", ran.out)
    assert "rawlogs: delivered 1 (" in ran.err


@pytest.mark.parametrize("output", ["json", "raw", "otel", "ecs"])
@pytest.mark.parametrize("way", ["live", "listed"])
def test_every_structured_output_is_one_json_object_a_line(
    server: ThreadedServer, tail: Call, output: str, way: str
) -> None:
    log = {"message": "two\nlines\x1b[31m", "flow_run_id": str(RUN_1), "level": 40}
    if way == "live":
        soon(server, log, log)
        ran = tail("-o", output, "--limit", 2)
    else:
        server.store([log, log])
        ran = tail("-o", output, "--no-follow")
    assert ran.code == 0
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert len(lines) == 2
    for line in lines:
        message = {
            "json": lambda line: line["message"],
            "raw": lambda line: line["log"]["message"],
            "otel": lambda line: line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["body"][
                "stringValue"
            ],
            "ecs": lambda line: line["message"],
        }[output](line)
        assert message == "two\nlines\x1b[31m"
    assert "\x1b" not in ran.out
    for line in ran.err.splitlines():
        assert json.loads(line)["type"] in ("notice", "error")


@pytest.mark.parametrize("way", ["live", "listed"])
def test_logfmt_is_one_line_of_pairs_a_log(server: ThreadedServer, tail: Call, way: str) -> None:
    log = {"message": "two\nlines\x1b[31m", "flow_run_id": str(RUN_1), "level": 40}
    if way == "live":
        soon(server, log, log)
        ran = tail("-o", "logfmt", "--limit", 2)
    else:
        server.store([log, log])
        ran = tail("-o", "logfmt", "--no-follow")
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 2
    for line in ran.out.splitlines():
        assert re.match(r'time=\S+Z level=error logger=\S+ msg="two\\nlines\\u001b\[31m" id=', line)
        assert line.endswith(f" flow_run_id={RUN_1}")


def test_text_escapes_what_could_command_a_terminal(server: ThreadedServer, tail: Call) -> None:
    server.store("one\ntwo \x1b[31mred\x1b[0m \x07\r")
    ran = tail("--no-follow", "--timestamps", "none")
    assert "\x1b" not in ran.out and "\x07" not in ran.out and "\r" not in ran.out
    assert ran.out.splitlines()[1].startswith("  | two")


@pytest.mark.parametrize(
    ("style", "pattern"),
    [
        ("none", r"INFO    \| .*"),
        ("short", r"\d\d:\d\d:\d\d\.\d{3} \| INFO .*"),
        ("full", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \| INFO .*"),
    ],
)
def test_timestamps(server: ThreadedServer, tail: Call, style: str, pattern: str) -> None:
    server.store("x")
    ran = tail("--no-follow", "--utc", "--timestamps", style)
    assert re.fullmatch(pattern + "\n", ran.out)


@pytest.mark.parametrize(
    ("arguments", "environ", "coloured"),
    [
        pytest.param([], {}, False, id="not a terminal"),
        pytest.param(["--color", "always"], {}, True, id="always"),
        pytest.param([], {"FORCE_COLOR": "1"}, True, id="FORCE_COLOR"),
        pytest.param([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR wins"),
        pytest.param(["--no-color"], {"FORCE_COLOR": "1"}, False, id="--no-color"),
        pytest.param(["--color", "never"], {"FORCE_COLOR": "1"}, False, id="never"),
        pytest.param(["--color", "always"], {"NO_COLOR": "1"}, True, id="the flag decides"),
        pytest.param(["--color", "always", "-o", "json"], {}, False, id="never in JSON"),
    ],
)
def test_colour(
    server: ThreadedServer,
    tail: Call,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environ: dict[str, str],
    coloured: bool,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    server.store("x", level=40)
    assert ("\x1b[" in tail("--no-follow", *arguments).out) is coloured


def test_output_file_is_appended_to_and_readable_by_its_owner_only(
    server: ThreadedServer, tail: Call, tmp_path: Path
) -> None:
    path = tmp_path / "logs.txt"
    server.store("one")
    for _ in range(2):
        assert tail("--no-follow", "--timestamps", "none", "--output-file", path).out == ""
    assert path.read_text() == "INFO    | prefect.flow_runs - one\n" * 2
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        pytest.param([], {"account"}, id="default"),
        pytest.param(["-v"], {"account", "connected"}, id="-v"),
        pytest.param(["-q"], set(), id="-q"),
        pytest.param(["-qq"], set(), id="-qq"),
    ],
)
def test_how_much_is_said_on_stderr(
    server: ThreadedServer, tail: Call, flags: list[str], said: set[str]
) -> None:
    soon(server, "x")
    ran = tail("--limit", 1, "-o", "json", *flags)
    assert {json.loads(line)["kind"] for line in ran.err.splitlines()} == said


# Which logs.


LOGS: list[dict[str, Any]] = [
    {"message": "plain info", "level": 20, "flow_run_id": str(RUN_1)},
    {"message": "needle in hay", "level": 30, "flow_run_id": str(RUN_1), "task_run_id": str(TASK)},
    {"message": "needle alone", "level": 40, "name": "my.app"},
    {"message": "hay alone", "level": 10, "name": "my.other"},
]
FLAGS: list[tuple[str, list[object], set[int]]] = [
    ("none", [], {0, 1, 2, 3}),
    ("level", ["--level", "warning"], {1, 2}),
    ("max level", ["-l", "20", "--max-level", "WARNING"], {0, 1}),
    ("flow run", ["--flow-run", RUN_1], {0, 1}),
    ("task run", ["--task-run", TASK], {1}),
    ("text", ["--text", "needle -hay"], {2}),
    ("include", ["-i", "^needle", "-i", "^plain"], {0, 1, 2}),
    ("exclude", ["-e", "hay"], {0, 2}),
    ("logger", ["--logger", "my.*"], {2, 3}),
    ("all together", ["-i", "alone", "--logger", "my.*", "-l", "INFO", "--text", "needle"], {2}),
]


@pytest.mark.parametrize(("flags", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FLAGS])
def test_a_filter_chooses_the_same_logs_live_and_listed(
    server: ThreadedServer, tail: Call, flags: list[object], expected: set[int]
) -> None:
    wanted = [LOGS[n]["message"] for n in sorted(expected)]
    soon(server, *LOGS)
    live = tail("--live-only", "-o", "json", "--limit", len(wanted), *flags)
    assert (live.code, live.messages) == (0, wanted)
    listed = tail("--no-follow", "-o", "json", *flags)
    assert (listed.code, listed.messages) == (0, wanted)


def test_since_until_and_tail_choose_by_time(server: ThreadedServer, tail: Call) -> None:
    now = datetime.now(timezone.utc)
    for minutes in (90, 50, 30, 5):
        server.store(f"{minutes}", timestamp=now - timedelta(minutes=minutes))
    moment = (now - timedelta(minutes=40)).isoformat()

    def messages(*arguments: object) -> list[str]:
        ran = tail("-o", "json", "--no-follow", *arguments)
        assert ran.code == 0
        return ran.messages

    assert messages() == ["90", "50", "30", "5"]
    assert messages("--since", "1h") == ["50", "30", "5"]
    assert messages("--since", moment) == ["30", "5"]
    assert messages("--since", "1h", "--until", "10m") == ["50", "30"]
    assert messages("--until", moment) == ["90", "50"]
    assert messages("--tail", 2) == ["30", "5"]
    assert messages("-n", 0) == []
    assert messages("-n", 10, "--since", "1h") == ["50", "30", "5"]


def test_until_ends_a_live_stream_with_0(server: ThreadedServer, tail: Call) -> None:
    soon(server, "live")
    until = datetime.now(timezone.utc) + timedelta(seconds=3)
    ran = tail("--until", until.isoformat(), "-o", "json")
    assert (ran.code, ran.messages) == (0, ["live"])


def test_tail_then_live(tail: Call) -> None:
    clock = QuickClock(speed=1.0)
    with threaded(clock=clock) as server:
        server.store([f"stored {n}" for n in range(5)])
        clock.ahead = 10.0  # what was stored in the second of the start counts as stored since
        soon(server, "live")
        ran = tail("-n", 2, "-o", "json", "--limit", 3, url=server.api_url)
    assert ran.messages == ["stored 3", "stored 4", "live"]


def test_a_limit_holds_within_a_batch(server: ThreadedServer, tail: Call) -> None:
    server.store([f"{n}" for n in range(500)])
    ran = tail("--since", "1h", "--limit", 7, "-o", "json")
    assert (ran.code, ran.messages) == (0, [f"{n}" for n in range(7)])


@pytest.mark.parametrize(
    ("arguments", "sockets", "requests"),
    [
        (["--transport", "poll"], False, True),
        (["--live-only"], True, False),
        (["--transport", "ws"], True, True),
    ],
    ids=["poll", "live only", "ws"],
)
def test_ways_of_reading(
    server: ThreadedServer, tail: Call, arguments: list[str], sockets: bool, requests: bool
) -> None:
    if sockets:
        soon(server, "x")
    else:

        def work(server: ThreadedServer) -> None:
            server.until(lambda: len(server.server.requests) > 1)
            server.post("x")

        server.beside(work)
    assert tail(*arguments, "--limit", 1, "-o", "json").messages == ["x"]
    assert bool(server.server.connections) is sockets
    assert bool(server.server.requests) is requests


def test_access_flags_reach_the_server(tail: Call) -> None:
    with threaded(Behaviour(auth_string="admin:pass")) as server:
        soon(server, "x")
        arguments = ["--auth-string", "admin:pass", "-H", "X-Team: data", "--limit", 1, "--compress"]
        assert tail(*arguments, url=server.api_url).code == 0
        headers = server.server.connections[0].headers
        assert headers["x-team"] == "data" and "deflate" in headers["sec-websocket-extensions"]


# Exit codes.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--colour"], "No such option", id="unknown option"),
        pytest.param(["--output", "xml"], "xml", id="unknown output"),
        pytest.param(["--tail", "-1"], "-1", id="negative tail"),
        pytest.param(["--limit", "0"], "0", id="limit of zero"),
        pytest.param(["--since", "yesterday"], "neither a duration", id="unreadable moment"),
        pytest.param(["--level", "LOUD"], "LOUD", id="unknown level"),
        pytest.param(["--timeout", "nan"], "--timeout", id="--timeout nan"),
        pytest.param(["--timeout", "inf"], "--timeout", id="--timeout inf"),
        pytest.param(["--timeout", "0"], "--timeout", id="--timeout 0"),
        pytest.param(["--overlap", "nan"], "--overlap", id="--overlap nan"),
        pytest.param(["--overlap", "-1"], "--overlap", id="negative overlap"),
        pytest.param(["--audit", "nan"], "--audit", id="--audit nan"),
        pytest.param(["--audit", "0.5"], "--audit", id="--audit 0.5"),
        pytest.param(["--since", "1000000d"], "calendar", id="longer than the calendar"),
        pytest.param(["--since", "nan"], "--since", id="--since nan"),
        pytest.param(["--until", "20261345"], "--until", id="no date of the calendar"),
        pytest.param(["--since", "17951742155000000"], "UNIX time", id="too long for UNIX time"),
        pytest.param(["--output-file", ""], "--output-file", id="empty output file"),
        pytest.param(["--cursor-file", ""], "--cursor-file", id="empty cursor file"),
        pytest.param(["\udcff"], "RUN", id="a run that is no text"),
        pytest.param(["-i", "\udcff"], "--include", id="a pattern that is no text"),
        pytest.param(["--logger", "a\udce4"], "--logger", id="a logger that is no text"),
        pytest.param(["--text", "\udcff"], "--text", id="a search that is no text"),
        pytest.param(["--flow", "\udcff"], "--flow", id="a flow that is no text"),
        pytest.param(["-H", "X-A: \udcff"], "--header", id="a header that is no text"),
        pytest.param(["--level", "\udcff"], "--level", id="a level that is no text"),
        pytest.param(["--include", "("], "regular expression", id="bad regex"),
        pytest.param(["--text", "x" * 201], "200", id="text too long"),
        pytest.param(["--flow-run", "x"], "UUID", id="bad run id"),
        pytest.param(["-H", "nonsense"], "NAME: VALUE", id="bad header"),
        pytest.param(["run", "--flow", "etl"], "one of", id="RUN and --flow"),
        pytest.param(["--flow", "etl", "--tag", "x"], "one of", id="--flow and --tag"),
        pytest.param(["run", "--flow-run", str(RUN_1)], "plain filters", id="RUN and --flow-run"),
        pytest.param(["run", "--live-only"], "--live-only", id="RUN and --live-only"),
        pytest.param(["--live-only", "--since", "1h"], "live_only", id="--live-only and --since"),
        pytest.param(["--live-only", "--strict"], "--strict", id="--live-only and --strict"),
        pytest.param(["--cursor-file", "x", "--tail", "3"], "--tail", id="--cursor-file and --tail"),
        pytest.param(["run", "--transport", "ws"], "--transport ws", id="RUN and --transport ws"),
        pytest.param(["--reset-cursor"], "--cursor-file", id="--reset-cursor alone"),
        pytest.param(["nobody"], "no flow run", id="unknown run name"),
        pytest.param([str(uuid4())], "no flow run", id="unknown run id"),
        pytest.param(["--flow", "nothing"], "no flow", id="unknown flow"),
        pytest.param(["--deployment", "a/b"], "no deployment", id="unknown deployment"),
        pytest.param(["--deployment", "a"], "FLOW/DEPLOYMENT", id="half a deployment"),
        pytest.param(["https://example.org/runs/flow-run/x"], "", id="URL of no run"),
        pytest.param(["--profile", "nobody"], "nobody", id="unknown profile"),
    ],
)
def test_2_is_usage_and_configuration(
    server: ThreadedServer, tail: Call, arguments: list[str], said: str
) -> None:
    ran = tail(*arguments)
    assert ran.code == 2, ran.err
    assert said in ran.err and ran.out == ""
    assert "Traceback" not in ran.err


def test_2_is_an_api_url_that_cannot_be_one(tail: Call) -> None:
    ran = tail(url="http://localhost:99999/api")
    assert ran.code == 2 and "99999" in ran.err


def test_3_is_authentication(tail: Call) -> None:
    with threaded(Behaviour(auth_string="a:b")) as server:
        for more in ([], ["--auth-string", "a:wrong"], ["--no-follow"], ["--transport", "poll"], [uuid4()]):
            ran = tail(*more, url=server.api_url)
            assert ran.code == 3, more
            # What is wrong is called by the name under which it was given.
            assert ("--auth-string" if "--auth-string" in more else "PREFECT_API_AUTH_STRING") in ran.err


def test_4_is_not_reachable(server: ThreadedServer, tail: Call) -> None:
    server.call(server.server.refuse)
    for more in ([], ["--no-follow"], ["--transport", "poll"], ["some-run"]):
        ran = tail(*more)
        assert ran.code == 4, (more, ran)
        assert "127.0.0.1" in ran.err and "is the port in --api-url right?" in ran.err
        assert "PREFECT_API_URL" not in ran.err


def test_4_is_no_prefect_there(server: ThreadedServer, tail: Call) -> None:
    ran = tail(url=f"{server.server.origin}/elsewhere")
    assert ran.code == 4 and "403" in ran.err


def test_4_is_giving_up(server: ThreadedServer, tail: Call) -> None:
    server.call(server.server.script, [ExpectAuth(answer=False), Drop()])
    ran = tail("--retries", 1, "--transport", "ws")
    assert ran.code == 4 and "Gave up after 1 tries" in ran.err


def test_5_is_a_loss_that_was_not_repaired(server: ThreadedServer, tail: Call) -> None:
    server.call(server.server.fault, "rest", Http(403))
    soon(server, "live")
    until = datetime.now(timezone.utc) + timedelta(seconds=0.5)
    ran = tail("--until", until.isoformat(), "-o", "json")
    assert (ran.code, ran.messages) == (5, ["live"])
    last = json.loads(ran.err.splitlines()[-1])
    assert last["type"] == "error" and "completeness could not be verified" in last["text"]


def test_5_is_strictness(server: ThreadedServer, tail: Call) -> None:
    server.call(server.server.fault, "rest", Http(403))
    ran = tail("--strict")
    assert ran.code == 5 and "The list cannot be read" in ran.err


def test_6_is_an_output_that_cannot_be_written(server: ThreadedServer, tail: Call, tmp_path: Path) -> None:
    server.store("x")
    ran = tail("--no-follow", "--output-file", tmp_path / "missing" / "file")
    assert ran.code == 6 and "Create the folder first" in ran.err


@posix
def test_6_is_a_full_disk(server: ThreadedServer) -> None:
    server.store("x")
    with Path("/dev/full").open("wb") as full:
        ran = Process(server.api_url, "--no-follow", stdout=full).end()
    assert ran.code == 6
    assert "No space left" in ran.err and "Traceback" not in ran.err


@posix
def test_6_is_a_closed_stdout(server: ThreadedServer) -> None:
    server.store("x")
    command = f'exec "{sys.executable}" -m rawlogs tail --no-follow --api-url {server.api_url} >&-'
    ended = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 6
    assert b"not open" in ended.stderr and b"Traceback" not in ended.stderr


def test_124_is_the_timeout(server: ThreadedServer, tail: Call) -> None:
    soon(server, "live")
    ran = tail("--timeout", 0.4, "-o", "json")
    assert (ran.code, ran.messages) == (124, ["live"])


def test_124_also_while_waiting_for_a_server(server: ThreadedServer, tail: Call) -> None:
    server.call(server.server.refuse)
    assert tail("--timeout", 0.4, "--wait").code == 124


# Runs.


@pytest.fixture
def no_stragglers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are swept soon after their end."""
    monkeypatch.setattr(follower, "STRAGGLERS", 0.2)
    monkeypatch.setattr(follower, "POLL_BESIDE_EVENTS", 0.5)


@pytest.mark.parametrize(
    ("state", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CRASHED", 1), ("CANCELLED", 1)]
)
def test_with_a_run_the_exit_code_is_its_state(
    server: ThreadedServer, tail: Call, no_stragglers: None, state: str, code: int
) -> None:
    run_id = server.add_run("brave-otter")
    server.store("stored", flow_run_id=run_id)

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.post("live", flow_run_id=run_id)
        server.set_state(run_id, state)

    server.beside(work)
    ran = tail("brave-otter", "-o", "json")
    assert (ran.code, sorted(ran.messages)) == (code, ["live", "stored"])


def test_8_is_a_run_that_still_runs(server: ThreadedServer, tail: Call) -> None:
    run_id = server.add_run()
    server.store("stored", flow_run_id=run_id)
    ran = tail(run_id, "--no-follow", "-o", "json")
    assert (ran.code, ran.messages) == (8, ["stored"])
    server.set_state(run_id, "COMPLETED")
    assert tail(run_id, "--no-follow").code == 0
    server.set_state(run_id, "FAILED")
    assert tail(run_id, "--no-follow").code == 1


@pytest.mark.parametrize("form", ["{id}", "{name}", "{origin}/runs/flow-run/{id}"])
def test_a_run_is_given_by_id_name_or_url(server: ThreadedServer, tail: Call, form: str) -> None:
    run_id = server.add_run("calm-finch", state="COMPLETED")
    server.store("mine", flow_run_id=run_id)
    server.store("not mine")
    text = form.format(id=run_id, name="calm-finch", origin=server.server.origin)
    ran = tail(text, "--no-follow", "-o", "json")
    assert (ran.code, ran.messages) == (0, ["mine"])


def test_a_pasted_url_says_where_the_server_is(
    server: ThreadedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = server.add_run(state="COMPLETED")
    server.store("mine", flow_run_id=run_id)
    assert run(["tail", f"{server.server.origin}/runs/flow-run/{run_id}", "--no-follow"]) == 0
    assert "mine" in capfd.readouterr().out


def test_a_pasted_url_of_another_server_gets_no_key(
    server: ThreadedServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_id = server.add_run(state="COMPLETED")
    monkeypatch.setenv("PREFECT_API_URL", "http://localhost:4200/api")
    monkeypatch.setenv("PREFECT_API_KEY", SECRET)
    assert run(["tail", f"{server.server.origin}/runs/flow-run/{run_id}"]) == 2
    assert "--api-url" in capfd.readouterr().err
    assert not server.server.requests


def test_children_are_shown_with_their_names_unless_told_otherwise(
    server: ThreadedServer, tail: Call
) -> None:
    root = server.add_run("root-run", state="COMPLETED")
    child = server.add_run("child-run", parent=root, state="COMPLETED")
    grandchild = server.add_run("grandchild-run", parent=child, state="COMPLETED")
    for run_id, name in ((root, "r"), (child, "c"), (grandchild, "g")):
        server.store(f"message {name}", flow_run_id=run_id)
    ran = tail(root, "--no-follow", "--timestamps", "none")
    assert ran.out.splitlines() == [
        "root-run | INFO    | prefect.flow_runs - message r",
        "child-run | INFO    | prefect.flow_runs - message c",
        "grandchild-run | INFO    | prefect.flow_runs - message g",
    ]
    ran = tail(root, "--no-follow", "--no-children", "--timestamps", "none")
    assert ran.out.splitlines() == ["INFO    | prefect.flow_runs - message r"]


@pytest.mark.parametrize(
    "flags",
    [["--flow", "etl"], ["--deployment", "etl/prod"], ["--tag", "nightly"]],
    ids=lambda flags: flags[0],
)
def test_runs_of_a_flow_a_deployment_or_a_tag_are_followed_as_they_come(
    server: ThreadedServer, tail: Call, flags: list[str]
) -> None:
    mine: dict[str, Any] = {"flow": "etl", "deployment": "prod", "tags": ["nightly"]}
    first = server.add_run(**mine)

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.post("first", flow_run_id=first)
        server.post("of another", flow_run_id=server.add_run(flow="other"))
        server.until(lambda: server.server.event_connections)
        second = server.add_run(**mine)
        server.post("second", flow_run_id=second)

    server.beside(work)
    ran = tail(*flags, "--limit", 2, "-o", "json")
    assert (ran.code, ran.messages) == (0, ["first", "second"])


def test_filters_apply_within_runs(server: ThreadedServer, tail: Call) -> None:
    run_id = server.add_run(state="COMPLETED")
    server.store([{"message": f"{level}", "level": level} for level in (10, 30, 40)], flow_run_id=run_id)
    ran = tail(run_id, "--no-follow", "-l", "WARNING", "-e", "40", "-o", "json")
    assert ran.messages == ["30"]


# Pipes and signals.


@posix
def test_a_reader_that_has_enough_ends_the_command_quietly(server: ThreadedServer) -> None:
    server.store([f"{n}" for n in range(5000)])
    tail = f'"{sys.executable}" -m rawlogs tail -q --no-follow --api-url {server.api_url}'
    command = f'{tail} | head -1; echo "${{PIPESTATUS[0]}}"'
    ended = subprocess.run(["/bin/bash", "-c", command], capture_output=True, timeout=60, check=False)
    lines = ended.stdout.decode().splitlines()
    assert len(lines) == 2 and lines[1] == "0"
    assert ended.stderr == b""


@posix
def test_a_reader_that_is_late_gets_the_whole_of_the_last_log(server: ThreadedServer) -> None:
    """It is more than a pipe holds; the command waits for the reader, as long as a signal lets it wait."""
    with tailing(server, "-q", "-o", "json", "--live-only") as process:
        server.post("first")
        server.post("x" * 300_000)
        assert process.messages(1) == ["first"]
        assert process.process.stdout is not None
        beginning = process.process.stdout.read(10).decode()
        process.send(signal.SIGTERM)
        server.until(lambda: server.server.connections[0].state == "ended")
        time.sleep(0.7)  # longer than it waits for the reader where no signal came
        ran = process.end()
    assert (ran.code, len(json.loads(beginning + ran.out)["message"])) == (143, 300_000)


@posix
@pytest.mark.parametrize("more", [False, True], ids=["in a silence", "with the next log"])
def test_a_reader_that_leaves_a_live_stream_ends_it(server: ThreadedServer, more: bool) -> None:
    with tailing(server, "-q") as process:
        server.post("one")
        process.lines(1)
        assert process.process.stdout is not None
        process.process.stdout.close()
        process.process.stdout = None
        if more:
            server.post("two")
        ran = process.end()
        assert (ran.code, ran.err) == (0, "")


@posix
@pytest.mark.parametrize("more", [False, True], ids=["in a silence", "with the next log"])
def test_6_is_a_socket_whose_other_side_has_gone(server: ThreadedServer, more: bool) -> None:
    ours, theirs = socket.socketpair()
    with tailing(server, "-q", "-o", "json", stdout=theirs) as process:
        theirs.close()
        server.post("one")
        assert json.loads(ours.recv(10_000))["message"] == "one"
        ours.close()
        if more:
            server.post("two")
        ran = process.end()
    assert ran.code == 6
    assert "the other side has closed the connection" in ran.err


@posix
@pytest.mark.parametrize("careful", ["0", "1"])
def test_the_careful_ways_give_the_same_lines(server: ThreadedServer, careful: str) -> None:
    with tailing(server, "-q", "-o", "json", "--live-only", environ={"RAWLOGS_CAREFUL": careful}) as process:
        rows = server.post(["plain", "\x1b[31mred\x1b[0m", "h\u00e9 \u2028", 'a "quoted"\nword'])
        lines = process.lines(4)
        process.end(signal.SIGTERM)
    live = [Log.from_wire({**row, "created": None, "updated": None}) for row in rows]
    assert lines == [JsonFormat().encode(log).decode().rstrip("\n") for log in live]


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stream_in_order(server: ThreadedServer, number: int, code: int) -> None:
    with tailing(server, "-o", "json") as process:
        server.post(["one", "two"])
        assert process.messages(2) == ["one", "two"]
        server.store("lost live, listed at the end")
        ran = process.end(number)
        assert (ran.code, ran.messages) == (code, ["lost live, listed at the end"])
        assert "delivered 3" in ran.err and "Traceback" not in ran.err
        server.until(lambda: server.server.connections[0].state == "ended")
        assert server.server.connections[0].close_code == 1000


@posix
def test_a_signal_ends_it_also_where_nobody_reads_the_pipe(server: ThreadedServer) -> None:
    with tailing(server, stderr=subprocess.DEVNULL) as process:
        server.post(["x" * 10_000] * 200)
        server.until(lambda: server.server.sent[0])
        process.lines(1)  # it writes, and the pipe is full
        process.send(signal.SIGTERM)
        assert process.process.wait(DEADLINE) == 143


@posix
def test_a_second_signal_ends_it_at_once(server: ThreadedServer) -> None:
    with tailing(server, stderr=subprocess.PIPE) as process:
        server.post(["x" * 10_000] * 200)
        process.lines(1)
        process.send(signal.SIGTERM)
        server.until(lambda: server.server.connections[0].state == "ended")  # it has begun to end
        process.send(signal.SIGINT)
        # Had it gone on ending, it would be the first one's code.
        assert process.process.wait(DEADLINE) == 130


@posix
def test_a_signal_while_it_waits_for_a_server_ends_it(server: ThreadedServer) -> None:
    server.call(server.server.refuse)
    process = Process(server.api_url, "--wait")
    assert process.process.stderr is not None
    assert b"127.0.0.1" in process.process.stderr.readline()  # it has tried once, and will try again
    assert process.end(signal.SIGTERM).code == 143


class Interrupted(ModuleType):
    """A module during whose import Ctrl-C is pressed."""

    def __getattr__(self, name: str) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["rawlogs.cli.group", "rawlogs.cli.process_start", "rawlogs.cli.tail"])
def test_ctrl_c_while_python_still_reads_the_files_is_130(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, Interrupted(module))
    with pytest.raises(SystemExit) as ended:
        main(["tail", "--no-follow"])
    assert ended.value.code == 130
    assert "Traceback" not in capfd.readouterr().err


@posix
def test_a_signal_while_it_looks_for_the_run_ends_it(server: ThreadedServer) -> None:
    server.call(server.server.fault, "rest", Blackhole())
    process = Process(server.api_url, "some-run")
    server.until(lambda: server.server.requests)
    assert process.end(signal.SIGTERM).code == 143


@posix
def test_sigusr1_tells_the_account_so_far(server: ThreadedServer) -> None:
    with tailing(server) as process:
        server.post("x")
        process.lines(1)
        process.send(signal.SIGUSR1)
        assert process.process.stderr is not None
        assert b"delivered 1 (" in process.process.stderr.readline()
        server.post("y")
        assert "y" in process.lines(1)[0]


@posix
def test_sighup_opens_the_output_file_anew(server: ThreadedServer, tmp_path: Path) -> None:
    path, moved = tmp_path / "logs", tmp_path / "logs.1"
    with tailing(server, "--output-file", path, "--timestamps", "none") as process:
        server.post("one")
        until(lambda: path.stat().st_size)
        path.rename(moved)
        process.send(signal.SIGHUP)
        until(path.exists)
        server.post("two")
        until(lambda: path.stat().st_size)
        assert "one" in moved.read_text() and "two" in path.read_text()
        process.end(signal.SIGTERM)


@posix
def test_an_output_that_cannot_hold_a_character_gets_its_escape(server: ThreadedServer) -> None:
    server.store("größer 🎉")
    environ = {"PYTHONIOENCODING": "ascii"}
    ran = Process(server.api_url, "--no-follow", "--timestamps", "none", environ=environ).end()
    assert (ran.code, ran.out) == (0, "INFO    | prefect.flow_runs - gr\\xf6\\xdfer \\U0001f389\n")


# The cursor file.


def test_a_cursor_goes_on_where_the_output_ended(server: ThreadedServer, tail: Call, tmp_path: Path) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "--since", "1h", "-o", "json"]
    server.store([f"{n}" for n in range(300)])
    assert tail(*flags, "--limit", 300).messages == [f"{n}" for n in range(300)]
    server.store("while nobody ran")
    assert tail(*flags, "--limit", 1).messages == ["while nobody ran"]
    assert tail(*flags, "--timeout", 0.5).messages == []
    assert (tmp_path / "cursor").stat().st_mode & 0o077 == 0 or os.name != "posix"


def test_a_cursor_covers_no_more_than_the_limit_let_through(
    server: ThreadedServer, tail: Call, tmp_path: Path
) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "--since", "1h", "-o", "json"]
    server.store([f"{n}" for n in range(10)])
    found = []
    for _ in range(3):
        found += tail(*flags, "--limit", 3).messages
    found += tail(*flags, "--limit", 1).messages
    assert found == [f"{n}" for n in range(10)]


@posix
def test_after_sigterm_nothing_is_lost_or_repeated(server: ThreadedServer, tmp_path: Path) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "-o", "json"]
    found: list[str] = []
    sent: list[str] = []
    for turn in range(3):
        with tailing(server, *flags) as process:
            batch = [f"{turn}.{n}" for n in range(100)]
            server.post(batch)
            sent += batch
            found += process.messages(50)
            ran = process.end(signal.SIGTERM)
            assert ran.code == 143
            found += ran.messages
        server.until(lambda: server.server.subscribed == 0)
        server.store(f"{turn} between")
        sent.append(f"{turn} between")
    with tailing(server, *flags) as process:
        found += process.messages(1)
        found += process.end(signal.SIGTERM).messages
    assert sorted(found) == sorted(sent)


@posix
def test_after_sigkill_nothing_is_lost_and_repeats_are_bounded(
    server: ThreadedServer, tmp_path: Path
) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "-o", "json"]
    found: list[str] = []
    with tailing(server, *flags) as process:
        server.post("first")
        found += process.messages(1)
        until((tmp_path / "cursor").exists)
        server.post([f"{n}" for n in range(200)])
        found += process.messages(120)
        process.send(signal.SIGKILL)
        assert process.process.wait(DEADLINE) == -signal.SIGKILL
    server.until(lambda: server.server.subscribed == 0)
    server.store("after the crash")
    with tailing(server, *flags) as process:
        found += process.end(signal.SIGTERM).messages
    assert set(found) == {"first", *(f"{n}" for n in range(200)), "after the crash"}
    assert len(found) - len(set(found)) <= 200
    assert found.count("first") == 1


def test_the_cursor_is_saved_also_where_an_error_ends_the_stream(
    server: ThreadedServer, tail: Call, tmp_path: Path
) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "--since", "1h", "-o", "json"]

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.post("one")
        server.until(lambda: server.server.sent[0])
        server.call(server.server.script, [ExpectAuth(answer=False), Drop()])
        server.wait(server.server.drop_all())

    server.beside(work)
    ran = tail(*flags, "--retries", 1, "--transport", "ws")
    assert (ran.code, ran.messages) == (4, ["one"])
    server.call(server.server.heal)
    assert tail(*flags, "--timeout", 0.5).messages == []


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        pytest.param([], ["--level", "ERROR"], "another filter", id="other filter"),
        pytest.param(["-i", "x"], [], "another filter", id="filter left out"),
        pytest.param(["--logger", "a"], ["--logger", "b"], "another filter", id="other logger"),
    ],
)
def test_a_cursor_of_another_filter_is_refused(
    server: ThreadedServer, tail: Call, tmp_path: Path, first: list[str], then: list[str], said: str
) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "--timeout", 0.3]
    assert tail(*flags, *first).code == 124
    ran = tail(*flags, *then)
    assert ran.code == 2 and said in ran.err and "--reset-cursor" in ran.err
    assert tail(*flags, *then, "--reset-cursor").code == 124
    assert (tmp_path / "cursor.bad").exists()


def test_a_cursor_of_another_server_is_refused(server: ThreadedServer, tail: Call, tmp_path: Path) -> None:
    flags = ["--cursor-file", tmp_path / "cursor", "--timeout", 0.3]
    assert tail(*flags).code == 124
    with threaded() as other:
        ran = tail(*flags, url=other.api_url)
    assert ran.code == 2 and "another API" in ran.err


def test_a_cursor_is_for_one_run_at_a_time(server: ThreadedServer, tail: Call, tmp_path: Path) -> None:
    with tailing(server, "--cursor-file", tmp_path / "cursor") as process:
        ran = tail("--cursor-file", tmp_path / "cursor")
        assert ran.code == 2 and f"process {process.process.pid}" in ran.err


def test_a_cursor_that_cannot_be_saved_is_told_and_ends_with_6(
    server: ThreadedServer, tail: Call, tmp_path: Path
) -> None:

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        (tmp_path / "cursor.new").mkdir()  # in the way of the temporary file
        server.post("x")

    server.beside(work)
    ran = tail("--cursor-file", tmp_path / "cursor", "--limit", 1, "-o", "json")
    assert (ran.code, ran.messages) == (6, ["x"])
    assert "cannot be written" in ran.err


# Secrets.


@pytest.mark.parametrize(
    ("arguments", "broken"),
    [
        pytest.param([], None, id="a stream"),
        pytest.param(["--no-follow", "-vv"], None, id="listed"),
        pytest.param(["-vv", "-o", "raw"], None, id="raw"),
        pytest.param(["-vv"], Http(403, {}, f"you sent {SECRET}"), id="refused with an echo"),
        pytest.param(["-vv"], Redirect(f"http://127.0.0.1:1/{SECRET}"), id="redirected"),
        pytest.param(["some-run"], None, id="unknown run"),
        pytest.param(["--level", "LOUD"], None, id="usage error"),
    ],
)
@pytest.mark.parametrize("how", ["argument", "environment", "URL", "header"])
def test_a_secret_is_nowhere_in_what_is_written(
    tail: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], broken: Any, how: str
) -> None:
    with threaded(Behaviour(auth_string=f"admin:{SECRET}")) as server:
        url, given = server.api_url, list(arguments)
        if broken is not None:
            server.call(server.server.fault, "rest", broken)
            server.call(server.server.fault, "logs", broken)
        if how == "argument":
            given += ["--auth-string", f"admin:{SECRET}"]
        elif how == "environment":
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", f"admin:{SECRET}")
        elif how == "URL":
            url = url.replace("://", f"://admin:{SECRET}@")
        else:
            given += ["-H", f"Authorization: Bearer {SECRET}", "-H", f"X-Key: {SECRET}"]
        if "some-run" not in arguments:
            given += ["--cursor-file", str(tmp_path / "cursor")]
        server.store("stored")
        ran = tail(*given, "--timeout", 0.3, url=url)
        written = ran.out + ran.err + "".join(path.read_text() for path in tmp_path.iterdir())
        assert written
        assert SECRET not in written


@posix
def test_a_secret_is_not_in_a_traceback_either(server: ThreadedServer) -> None:
    server.call(server.server.fault, "logs", Http(403))
    environ = {"RAWLOGS_TRACEBACK": "1", "PREFECT_API_AUTH_STRING": f"admin:{SECRET}"}
    ran = Process(server.api_url, "--transport", "ws", "-vv", environ=environ).end()
    assert ran.code == 4
    assert SECRET not in ran.out + ran.err


def until(condition: Callable[[], object]) -> None:
    """Wait until something outside of this process has happened."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
