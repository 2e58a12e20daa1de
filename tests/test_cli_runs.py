"""``rawlogs tail`` where it follows runs: how they are given, what is said where there are none, going on later."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from streaming import QuickClock, ThreadedServer, threaded
from streaming import no_settings as no_settings
from test_cli_tail import Call, Process, posix
from test_cli_tail import no_stragglers as no_stragglers
from test_cli_tail import server as server
from test_cli_tail import tail as tail

MINE: dict[str, Any] = {"flow": "etl", "deployment": "nightly", "tags": ["prod"]}
WAYS = pytest.mark.parametrize(
    "way", [["--flow", "etl"], ["--deployment", "etl/nightly"], ["--tag", "prod"]], ids=lambda way: way[0]
)


# The cursor file.


@WAYS
def test_a_cursor_goes_on_with_runs_that_ended_and_that_began_meanwhile(
    server: ThreadedServer, tail: Call, tmp_path: Path, way: list[str]
) -> None:
    flags = [*way, "-o", "json", "--cursor-file", tmp_path / "state.json"]
    first = server.add_run(**MINE)
    server.store(["one", "two"], flow_run_id=first)
    assert tail(*flags, "--limit", 2).messages == ["one", "two"]
    server.store("three", flow_run_id=first)
    server.set_state(first, "COMPLETED")
    second = server.add_run(state="COMPLETED", **MINE)
    server.store("four", flow_run_id=second)
    assert sorted(tail(*flags, "--limit", 2).messages) == ["four", "three"]
    assert tail(*flags, "--timeout", 0.5).messages == []


def test_a_cursor_goes_on_with_a_run(
    server: ThreadedServer, tail: Call, no_stragglers: None, tmp_path: Path
) -> None:
    run_id = server.add_run("brave-otter")
    flags = ["brave-otter", "-o", "json", "--cursor-file", tmp_path / "state.json"]
    server.store([f"{n}" for n in range(5)], flow_run_id=run_id)
    assert tail(*flags, "--limit", 3).messages == ["0", "1", "2"]
    server.set_state(run_id, "FAILED")
    ran = tail(*flags)
    assert (ran.code, ran.messages) == (1, ["3", "4"])
    ran = tail(*flags)
    assert (ran.code, ran.messages) == (1, [])


def test_a_cursor_of_other_runs_is_refused(server: ThreadedServer, tail: Call, tmp_path: Path) -> None:
    server.add_run("one", state="COMPLETED")
    server.add_run("two", state="COMPLETED")
    cursor = ["--cursor-file", tmp_path / "state.json", "--no-follow"]
    assert tail("one", *cursor).code == 0
    assert tail("one", *cursor).code == 0
    for other in (["two"], ["one", "--no-children"], ["--tag", "one"], []):
        ran = tail(*other, *cursor)
        assert ran.code == 2 and "another filter" in ran.err, other


# Where the server does not answer yet.


@posix
@pytest.mark.parametrize("what", [["brave-otter"], ["--deployment", "etl/nightly"], ["--flow", "etl"]])
def test_wait_waits_for_a_server_also_where_runs_are_looked_for(
    server: ThreadedServer, what: list[str]
) -> None:
    run_id = server.add_run("brave-otter", **MINE)
    server.store("stored", flow_run_id=run_id)
    server.call(server.server.refuse)
    process = Process(server.api_url, *what, "--wait", "-o", "json", "--limit", 1)
    assert process.process.stderr is not None
    line = json.loads(process.process.stderr.readline())
    assert (line["kind"], "No connection to" in line["text"]) == ("retrying", True)
    server.call(server.server.refuse, False)
    ran = process.end()
    assert (ran.code, ran.messages) == (0, ["stored"])


@pytest.mark.parametrize("what", [["brave-otter"], ["--deployment", "etl/nightly"]])
def test_waiting_for_a_server_ends_after_so_many_retries_and_with_the_timeout(
    server: ThreadedServer, tail: Call, what: list[str]
) -> None:
    server.call(server.server.refuse)
    assert tail(*what, "--wait", "--retries", 1).code == 4
    assert tail(*what, "--wait", "--timeout", 0.2).code == 124
    assert tail(*what).code == 4


# Which run.


def test_the_newest_logs_of_a_run_and_then_all_that_come(tail: Call, no_stragglers: None) -> None:
    clock = QuickClock(speed=1.0)
    with threaded(clock=clock) as server:
        run_id = server.add_run("brave-otter")
        child = server.add_run("child", parent=run_id, state="COMPLETED")
        old = [{"message": f"{n}", "timestamp": f"2026-01-01T00:00:{n:02d}Z"} for n in range(30)]
        server.store(old[:15], flow_run_id=run_id)
        server.store(old[15:], flow_run_id=child)
        server.store("of another run")
        clock.ahead = 10.0  # what was stored in the second of the start counts as stored since

        def work(server: ThreadedServer) -> None:
            server.until_subscribed()
            server.post("live", flow_run_id=run_id)
            server.set_state(run_id, "COMPLETED")

        server.beside(work)
        ran = tail("brave-otter", "-n", 20, "-o", "json", url=server.api_url)
        assert (ran.code, ran.messages) == (0, [*(f"{n}" for n in range(10, 30)), "live"])
        clock.ahead = 20.0
        ran = tail("brave-otter", "-n", 2, "--no-follow", "-o", "json", url=server.api_url)
        assert (ran.code, ran.messages) == (0, ["29", "live"])
        ran = tail("brave-otter", "-n", 0, "-o", "json", url=server.api_url)
        assert (ran.code, ran.messages) == (0, [])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 300])
@pytest.mark.parametrize("digits", [6, 8, 9, 12, 31])
def test_the_beginning_of_an_id_is_enough(
    server: ThreadedServer, tail: Call, count: int, digits: int
) -> None:
    chance = random.Random(0)
    ids = [UUID(int=chance.getrandbits(128)) for _ in range(count)]
    for one in ids:
        server.add_run(f"run-{one.hex}", id=one, state="COMPLETED")
    for one in {ids[0], ids[-1], ids[count // 2]}:
        server.store(f"of {one}", flow_run_id=one)
        text = str(one)[: digits + digits // 9]
        ran = tail(text, "--no-follow", "-o", "json")
        assert (ran.code, ran.messages) == (0, [f"of {one}"]), text
        assert tail(text.upper(), "--no-follow").code == 0


@pytest.mark.parametrize("text", ["8ea873", "8ea873dc", "8ea873dc-0000"])
def test_an_ambiguous_beginning_lists_the_candidates(server: ThreadedServer, tail: Call, text: str) -> None:
    ids = [f"8ea873dc-0000-4000-8000-00000000000{n}" for n in range(3)]
    for one in ids:
        server.add_run(f"run-{one[-1]}", id=one, state="FAILED")
    server.add_run("another", id="8ea874dc-0000-4000-8000-000000000000")
    ran = tail(text)
    assert ran.code == 2
    assert all(f"{one}  run-{one[-1]}  Failed" in ran.err for one in ids)
    assert "another" not in ran.err


@pytest.mark.parametrize("text", ["8ea87", "8ea873zz", "ffffff", "000000", "8ea873-dc"])
def test_what_begins_no_id_is_no_run(server: ThreadedServer, tail: Call, text: str) -> None:
    server.add_run("one", id="8ea873dc-0000-4000-8000-000000000000")
    ran = tail(text)
    assert ran.code == 2 and f"no flow run with the id or name '{text}'" in ran.err


def test_a_name_comes_before_the_beginning_of_an_id(server: ThreadedServer, tail: Call) -> None:
    server.add_run("other", id="decade00-0000-4000-8000-000000000000")
    run_id = server.add_run("decade", state="COMPLETED")
    server.store("mine", flow_run_id=run_id)
    assert tail("decade", "--no-follow", "-o", "json").messages == ["mine"]


# No run yet.


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (["--deployment", "etl/nightly"], "no run of etl/nightly"),
        (["--flow", "etl"], "no run of the flow 'etl'"),
        (["--tag", "prod"], "no run with the tag 'prod'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_where_there_is_no_run_yet_it_says_so_and_waits(
    server: ThreadedServer, tail: Call, way: list[str], words: str
) -> None:
    server.call(server.server.add_deployment, "etl", "nightly")

    def work(server: ThreadedServer) -> None:
        server.until(lambda: server.server.event_connections)
        server.post("first", flow_run_id=server.add_run(**MINE))

    server.beside(work)
    ran = tail(*way, "--limit", 1, "-o", "json")
    assert (ran.code, ran.messages) == (0, ["first"])
    said = [json.loads(line)["text"] for line in ran.err.splitlines()]
    assert f"{words} yet; waiting" in said
    assert not any("matches nothing" in text for text in said)


@pytest.mark.parametrize(
    ("more", "words"), [([], "is going on; --since"), (["--since", "1h"], "since 20")], ids=["now", "since"]
)
def test_where_there_is_no_run_and_it_shall_not_wait_it_says_that(
    server: ThreadedServer, tail: Call, more: list[str], words: str
) -> None:
    ran = tail("--tag", "prod", "--no-follow", *more)
    assert (ran.code, ran.out) == (0, "")
    assert f"no run with the tag 'prod' {words}" in ran.err and "waiting" not in ran.err


# Names.


def test_json_names_the_run_its_flow_and_its_deployment(
    server: ThreadedServer, tail: Call, no_stragglers: None
) -> None:
    root = server.add_run("root-run", **MINE)
    server.store("stored", flow_run_id=root)

    def work(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.until(lambda: server.server.event_connections)
        child = server.add_run("child-run", flow="sub", parent=root)
        server.post("live", flow_run_id=child)
        server.set_state(child, "COMPLETED")
        server.set_state(root, "COMPLETED")

    server.beside(work)
    ran = tail(root, "-o", "json")
    lines = {line["message"]: line for line in map(json.loads, ran.out.splitlines())}
    assert list(lines["stored"])[-4:] == ["level_name", "flow_run_name", "flow_name", "deployment_name"]
    assert list(lines["stored"].values())[-3:] == ["root-run", "etl", "nightly"]
    assert list(lines["live"].values())[-3:] == ["child-run", "sub", None]


def test_names_that_the_server_does_not_tell_are_null_and_no_failure(
    server: ThreadedServer, tail: Call
) -> None:
    from rawlogs.testing.faults import Http

    run_id = server.add_run("brave-otter", state="COMPLETED", **MINE)
    server.store("stored", flow_run_id=run_id)
    server.call(lambda: server.server.fault("rest", Http(403), path="/flows/filter"))
    ran = tail(run_id, "--no-follow", "-o", "json")
    line = json.loads(ran.out)
    assert (ran.code, line["flow_run_name"], line["flow_name"]) == (0, "brave-otter", None)


def test_text_asks_for_no_names(server: ThreadedServer, tail: Call) -> None:
    run_id = server.add_run(state="COMPLETED", **MINE)
    assert tail(run_id, "--no-follow").code == 0
    assert not [request for request in server.server.requests if "flows/filter" in request.path]


# Output.


def test_a_dash_as_output_file_is_stdout(
    server: ThreadedServer, tail: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    server.store("x")
    assert tail("--no-follow", "-o", "json", "--output-file", "-").messages == ["x"]
    assert not (tmp_path / "-").exists()
