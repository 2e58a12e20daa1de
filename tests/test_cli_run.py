"""``rawlogs run``: one run is started, checked before, followed as ``tail`` does, and left running or cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from streaming import ThreadedServer
from streaming import no_settings as no_settings
from test_cli_tail import Call, Ran, posix
from test_cli_tail import no_stragglers as no_stragglers
from test_cli_tail import server as server

from rawlogs.cli.group import run as rawlogs
from rawlogs.testing.faults import Drop, Http, Sleep

SCHEMA = {
    "type": "object",
    "required": ["day"],
    "properties": {
        "day": {"type": "string"},
        "retries": {"type": "integer", "default": 1},
        "ratio": {"type": "number"},
        "dry": {"type": "boolean"},
        "names": {"type": "array"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "mode": {"enum": ["fast", "safe"]},
        "when": {"$ref": "#/definitions/When"},
    },
}


def deploy(server: ThreadedServer, **fields: Any) -> None:
    """A deployment etl/nightly with these fields."""

    def work() -> None:
        deployment = server.server.add_deployment("etl", "nightly")
        server.server.state.runs.deployments[str(deployment)].update(fields)

    server.call(work)


def runs(server: ThreadedServer) -> list[dict[str, Any]]:
    return list(server.server.state.runs.flow_runs.values())


@pytest.fixture
def start(capfd: pytest.CaptureFixture[str], server: ThreadedServer, no_stragglers: None) -> Call:
    """Run ``rawlogs run etl/nightly`` in this process."""

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = rawlogs(["run", "--api-url", server.api_url, "etl/nightly", *map(str, arguments)])
        return Ran(code, *capfd.readouterr())

    return call


def work_on_it(server: ThreadedServer, state: str) -> None:
    """Do what a worker does with the next run."""

    def work(server: ThreadedServer) -> None:
        server.until(lambda: runs(server))
        run_id = runs(server)[0]["id"]
        server.until_subscribed()
        server.set_state(run_id, "RUNNING")
        server.post(["one", "two"], flow_run_id=run_id)
        server.set_state(run_id, state)

    server.beside(work)


@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("FAILED", 1), ("CANCELLED", 1)])
def test_it_starts_a_run_and_follows_it_to_its_end(
    server: ThreadedServer, start: Call, state: str, code: int
) -> None:
    deploy(server)
    work_on_it(server, state)
    ran = start("-o", "json", "--name", "brave-otter", "--tag", "ci", "--tag", "x", "-p", "n=1")
    assert (ran.code, ran.messages) == (code, ["one", "two"])
    (made,) = runs(server)
    assert (made["name"], made["tags"], made["parameters"]) == ("brave-otter", ["ci", "x"], {"n": 1})
    assert f"started brave-otter ({made['id']})" in ran.err


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("day=2026-11-20", "2026-11-20"),
        ("day=01234", "01234"),
        ("day=5", "5"),
        ("day=true", "true"),
        ('day="quoted"', "quoted"),
        ("day=", ""),
        ("day=a=b", "a=b"),
        ("retries=3", 3),
        ("ratio=3", 3),
        ("ratio=0.5", 0.5),
        ("dry=true", True),
        ('names=["a","b"]', ["a", "b"]),
        ("note=null", None),
        ("note=5", "5"),
        ("mode=fast", "fast"),
        ('when={"at":1}', {"at": 1}),
    ],
)
def test_a_value_is_json_where_the_parameter_takes_it_and_else_text(
    server: ThreadedServer, start: Call, given: str, value: Any
) -> None:
    deploy(server, parameter_openapi_schema=SCHEMA, parameters={"day": "today"})
    ran = start("--detach", "-p", given)
    assert ran.code == 0, ran.err
    assert runs(server)[0]["parameters"] == {"day": "today", given.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "day is required (string)"),
        (["day=x", "retries=many"], "retries is string, not integer"),
        (["day=x", "retries=1.5"], "retries is number, not integer"),
        (["day=x", "retries=true"], "retries is boolean, not integer"),
        (["day=x", "names=a"], "names is string, not array"),
        (["day=x", "mode=slow"], "mode is string, not one of fast, safe"),
        (["day=x", "retrys=1"], "retrys is no parameter of it: did you mean retries?"),
        (["day=x", "zzz=1"], "zzz is no parameter of it: it has day, retries"),
        (["day"], "-p day: it is not KEY=VALUE"),
    ],
)
def test_parameters_are_checked_before_a_run_is_made(
    server: ThreadedServer, start: Call, given: list[str], said: str
) -> None:
    deploy(server, parameter_openapi_schema=SCHEMA)
    ran = start(*(word for one in given for word in ("-p", one)))
    assert ran.code == 2 and said in ran.err
    assert not runs(server)


def test_parameters_come_from_a_file_and_the_flag_wins(
    server: ThreadedServer, start: Call, tmp_path: Path
) -> None:
    deploy(server)
    file = tmp_path / "params.json"
    file.write_text('{"a": 1, "b": {"c": [2]}}')
    assert start("--params", file, "-p", "a=3", "--detach").code == 0
    assert runs(server)[0]["parameters"] == {"a": 3, "b": {"c": [2]}}
    for text, said in (("[1]", "no JSON object"), ("{", "is not JSON")):
        file.write_text(text)
        ran = start("--params", file, "--detach")
        assert ran.code == 2 and said in ran.err
    assert len(runs(server)) == 1


def test_detached_it_prints_the_id(server: ThreadedServer, start: Call) -> None:
    deploy(server)
    ran = start("--detach")
    (made,) = runs(server)
    assert (ran.code, ran.out) == (0, f"{made['id']}\n")
    ran = start("--detach", "-o", "json", "--name", "calm-finch")
    assert json.loads(ran.out) == {
        "flow_run_id": runs(server)[1]["id"],
        "flow_run_name": "calm-finch",
        "state": "SCHEDULED",
    }


@pytest.mark.parametrize("later", [["--in", "10m"], ["--at", None]])
def test_it_may_start_later(server: ThreadedServer, start: Call, later: list[Any]) -> None:
    deploy(server)
    then = datetime.now(timezone.utc) + timedelta(minutes=10)
    assert start(later[0], later[1] or then.isoformat(), "--detach").code == 0
    (made,) = runs(server)
    assert abs(datetime.fromisoformat(made["expected_start_time"]) - then) < timedelta(minutes=1)
    assert made["state_type"] == "SCHEDULED"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--at", "10m"], "goes with --in"),
        (["--at", "tomorrow"], "--at"),
        (["--in", "nan"], "--in"),
        (["--in", "1m", "--at", "2026-12-01"], "not both"),
        (["--params", "/none"], "--params"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: ThreadedServer, start: Call, flags: list[str], said: str
) -> None:
    deploy(server)
    ran = start(*flags)
    assert ran.code == 2 and said in ran.err
    assert not runs(server)


def test_an_unknown_deployment_is_said_with_what_is_like_it(
    server: ThreadedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    deploy(server)
    assert rawlogs(["run", "--api-url", server.api_url, "etl/nightli"]) == 2
    assert "Did you mean 'etl/nightly'?" in capfd.readouterr().err


@pytest.mark.parametrize("fault", [Drop(), Http(503), Http(502)])
def test_a_request_that_got_no_answer_never_makes_a_second_run(
    server: ThreadedServer, start: Call, fault: Any
) -> None:
    deploy(server)
    deployment = next(iter(server.server.state.runs.deployments))
    path = f"/deployments/{deployment}/create_flow_run"
    server.call(lambda: server.server.fault("rest", fault, path=path, times=2))
    assert start("--detach").code == 0
    asked = [request for request in server.server.requests if request.path.endswith("create_flow_run")]
    assert len(asked) == 3
    assert len({json.loads(request.content)["idempotency_key"] for request in asked}) == 1
    assert len(runs(server)) == 1


def test_a_key_makes_one_run_however_often_it_is_given(server: ThreadedServer, start: Call) -> None:
    deploy(server)
    first, second = (start("--detach", "--idempotency-key", "build-17").out for _ in range(2))
    assert first == second != start("--detach").out
    assert len(runs(server)) == 2


@posix
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("PAUSED", "cannot transition to the StateType.CANCELLING state from the StateType.PAUSED state"),
        ("RUNNING", None),
    ],
)
def test_a_run_that_the_server_does_not_cancel_is_told_with_its_reason(
    server: ThreadedServer, state: str, reason: str | None
) -> None:
    deploy(server)
    process = subprocess.Popen(
        [sys.executable, "-m", "rawlogs", "run", "etl/nightly", "--cancel-on-interrupt"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PREFECT_API_URL": server.api_url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.until_subscribed()
        (made,) = runs(server)
        server.server.set_state(made["id"], state)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    said = (
        "asked the server to cancel"
        if reason is None
        else f"The server does not cancel the run: This run {reason}"
    )
    assert said in err
    assert made["state_type"] == (state if reason else "CANCELLING")


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("cancel", [False, True], ids=["left running", "cancelled"])
def test_a_signal_leaves_the_run_running_or_cancels_it(
    server: ThreadedServer, number: int, code: int, cancel: bool
) -> None:
    deploy(server)
    flags = ["--cancel-on-interrupt"] if cancel else []
    process = subprocess.Popen(
        [sys.executable, "-m", "rawlogs", "run", "etl/nightly", "--name", "brave-otter", *flags],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PREFECT_API_URL": server.api_url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.until_subscribed()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    (made,) = runs(server)
    assert process.returncode == code
    if cancel:
        assert made["state_type"] == "CANCELLED" and "asked the server to cancel brave-otter" in err
    else:
        assert made["state_type"] == "SCHEDULED"
        assert f"brave-otter goes on; its logs: rawlogs tail {made['id']}" in err


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("flags", "held", "said", "state"),
    [
        ([], 1.0, "brave-otter goes on; its logs: rawlogs tail ", "SCHEDULED"),
        (["--detach"], 1.0, "brave-otter goes on; its logs: rawlogs tail ", "SCHEDULED"),
        (["--cancel-on-interrupt"], 1.0, "asked the server to cancel brave-otter", "CANCELLED"),
        ([], 600.0, "may have a new run: the server had been asked", "SCHEDULED"),
        (["--idempotency-key", "b17"], 600.0, "same command with --idempotency-key b17 goes on", "SCHEDULED"),
    ],
    ids=["followed", "detached", "cancelled", "no answer", "no answer, its key"],
)
def test_a_signal_while_the_server_is_asked_for_the_run_says_what_there_is_now(
    server: ThreadedServer,
    flags: list[str],
    held: float,
    said: str,
    state: str | None,
    number: int,
    code: int,
) -> None:
    deploy(server)
    deployment = next(iter(server.server.state.runs.deployments))
    path = f"/deployments/{deployment}/create_flow_run"
    server.call(lambda: server.server.fault("rest", Sleep(held), path=path))
    process = subprocess.Popen(
        [sys.executable, "-m", "rawlogs", "run", "etl/nightly", "--name", "brave-otter", *flags],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PREFECT_API_URL": server.api_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.until(lambda: any(request.path == path for request in server.server.requests))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (code, "")
    assert said in err
    assert [run["state_type"] for run in runs(server)] == [state]


@posix
def test_a_signal_before_the_server_was_asked_for_a_run_starts_none(server: ThreadedServer) -> None:
    deploy(server)
    server.call(lambda: server.server.fault("rest", Sleep(600.0)))
    process = subprocess.Popen(
        [sys.executable, "-m", "rawlogs", "run", "etl/nightly"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PREFECT_API_URL": server.api_url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        server.until(lambda: server.server.requests)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (143, "")
    assert runs(server) == []
