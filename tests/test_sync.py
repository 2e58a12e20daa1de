"""The stream without async: the same logs, errors and endings in ordinary code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streaming import DEADLINE, ThreadedServer, threaded
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.testing import Behaviour
from rawlogs.testing.faults import Close, Serve

QUICK = {"settle": 0.05, "audit": 0.3, "rest_budget": 0}


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded() as running:
        yield running


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "rawlogs"]


def stream(server: ThreadedServer, **arguments: Any) -> Any:
    return rawlogs.stream_sync(api_url=server.api_url, **QUICK, **arguments)


def test_logs_come_one_by_one(server: ThreadedServer) -> None:
    with stream(server) as logs:
        server.until_subscribed()
        server.post(["one", "two"])
        server.store("lost live")
        found = []
        for log in logs:
            found.append(log.message)
            if len(found) == 3:
                break
        assert sorted(found) == ["lost live", "one", "two"]
        assert logs.stats.delivered == 3
    assert not threads()


def test_breaking_out_and_coming_back_loses_nothing(server: ThreadedServer) -> None:
    with stream(server) as logs:
        server.until_subscribed()
        server.post(["one", "two", "three"])
        for log in logs:
            assert log.message == "one"
            break
        assert [next(logs).message for _ in range(2)] == ["two", "three"]


def test_batches_are_lists(server: ThreadedServer) -> None:
    server.store([f"{n}" for n in range(250)])
    with stream(server, follow=False) as logs:
        batches = list(logs.batches())
    assert all(batches)
    assert [log.message for batch in batches for log in batch] == [f"{n}" for n in range(250)]


def test_a_stream_that_ends_ends_the_loop(server: ThreadedServer) -> None:
    server.store("stored")
    with stream(server, follow=False) as logs:
        assert [log.message for log in logs] == ["stored"]
        assert list(logs) == []


def test_errors_on_entering_are_raised_and_leave_no_thread() -> None:
    with threaded(Behaviour(auth_string="a:b")) as server:
        with pytest.raises(rawlogs.AuthError, match="Unable to authenticate"):
            stream(server, auth_string="a:wrong").__enter__()
        assert not threads()


def test_errors_while_reading_are_raised(server: ThreadedServer) -> None:
    server.call(server.server.script, [Serve(1), Close(1002)])
    with stream(server) as logs:
        server.until_subscribed()
        server.post("one")
        reading = iter(logs)
        assert next(reading).message == "one"
        with pytest.raises(rawlogs.FilterRejected):
            next(reading)
    assert not threads()


def test_what_the_consumer_raises_goes_through(server: ThreadedServer) -> None:
    with pytest.raises(ZeroDivisionError), stream(server):
        raise ZeroDivisionError
    assert not threads()
    server.until(lambda: server.server.subscribed == 0)


def test_reading_before_entering_is_refused(server: ThreadedServer) -> None:
    with pytest.raises(RuntimeError, match="enter the stream first"):
        next(iter(stream(server)))


def test_wrong_arguments_are_refused_at_once() -> None:
    with pytest.raises(rawlogs.ConfigError, match="PREFECT_API_URL"):
        rawlogs.stream_sync()
    with pytest.raises(TypeError):
        rawlogs.stream_sync(colour="red")


def test_notices_are_handed_on(server: ThreadedServer) -> None:
    notices: list[rawlogs.Notice] = []
    with stream(server, on_notice=notices.append):
        server.until_subscribed()
    assert [notice.kind for notice in notices] == ["connected"]


def test_two_streams_live_side_by_side(server: ThreadedServer) -> None:
    with stream(server) as one, stream(server, level=40) as other:
        server.until_subscribed(2)
        server.post([{"message": "low", "level": 10}, {"message": "high", "level": 40}])
        assert next(iter(other)).message == "high"
        assert next(iter(one)).message == "low"
        assert len(threads()) == 2


def test_a_reader_in_another_thread_works(server: ThreadedServer) -> None:
    found: list[str] = []
    with stream(server) as logs:
        server.until_subscribed()

        def read() -> None:
            found.append(next(iter(logs)).message)

        thread = threading.Thread(target=read)
        thread.start()
        server.post("x")
        thread.join(DEADLINE)
    assert found == ["x"]


def test_batches_begin_with_what_was_fetched_and_not_read_yet(server: ThreadedServer) -> None:
    server.store(["1", "2", "3"])
    with stream(server, tail=3, follow=False) as logs:
        assert next(logs).message == "1"
        assert [[log.message for log in batch] for batch in logs.batches()] == [["2", "3"]]


def test_another_thread_ends_the_iteration(server: ThreadedServer) -> None:
    with stream(server) as logs:
        server.until_subscribed()
        server.post("x")
        assert next(logs).message == "x"
        ending = threading.Thread(target=logs.finish, args=(1.0,))
        ending.start()
        assert list(logs) == []
        ending.join(DEADLINE)


def test_names_and_settings_are_those_of_the_stream(server: ThreadedServer) -> None:
    run = server.add_run("brave-otter", flow="etl")
    server.store("x", flow_run_id=run)
    with stream(server, since="1h", follow=False) as logs:
        assert logs.settings.api_url == server.api_url
        assert [logs.names(log) for log in logs] == [rawlogs.RunNames("brave-otter", "etl", None)]


LEFT_OPEN = {
    "a generator": """
def messages():
    with rawlogs.stream_sync() as logs:
        for log in logs:
            yield log.message
reading = messages()
print(next(reading), flush=True)
""",
    "a stream": """
logs = rawlogs.stream_sync().__enter__()
print(next(logs).message, flush=True)
""",
    "a fake server in a generator": """
from rawlogs.testing import FakeServer
def serving():
    with FakeServer() as server:
        yield server
other = serving()
next(other)
with rawlogs.stream_sync() as logs:
    print(next(logs).message, flush=True)
""",
}


@pytest.mark.parametrize("program", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_a_program_ends_that_has_left_something_open(
    server: ThreadedServer, program: str, no_settings: Path
) -> None:
    command = [sys.executable, "-c", f"import rawlogs{program}"]
    environ = {**os.environ, "PREFECT_API_URL": server.api_url}
    with subprocess.Popen(
        command, env=environ, cwd=no_settings, stdout=subprocess.PIPE, text=True
    ) as process:
        server.until_subscribed()
        server.post("x")
        assert process.communicate(timeout=DEADLINE)[0] == "x\n"
        assert process.returncode == 0
