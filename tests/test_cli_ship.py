"""``rawlogs ship`` as a shell sees it: a real process, a fake Prefect server, a receiver on the official messages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from otlp_receiver import HANG, LOSE, TAKE, OtlpReceiver, Reaction, attributes
from streaming import DEADLINE, eventually, within
from streaming import no_settings as no_settings

from rawlogs.testing import FakeServer

SECRET = "s3cr3t-m4rk"
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Ship:
    """``rawlogs ship`` in a process of its own; ``err`` is what it said when it has ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.err = ""

    async def end(self, number: int | None = None) -> int:
        """Send a signal, if one is given, and wait for the end; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        out, err = await within(self.process.communicate())
        assert out == b""
        self.err += err.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def until_said(self, text: str) -> None:
        """Read stderr until a line has this text."""
        assert self.process.stderr is not None
        while text not in self.err:
            line = await within(self.process.stderr.readline())
            assert line, self.err
            self.err += line.decode()


@asynccontextmanager
async def shipping(
    server: FakeServer, receiver: OtlpReceiver, *arguments: object, to: bool = True, **environ: str
) -> AsyncIterator[Ship]:
    """A running process."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    where = ["--to", receiver.to] if to else []
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rawlogs", "ship", *where, *map(str, arguments)),
        env={**clean, "PREFECT_API_URL": server.api_url, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ship = Ship(process)
    try:
        yield ship
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def messages(receiver: OtlpReceiver) -> list[str]:
    return sorted(record.body.string_value for record in receiver.records.values())


@posix
async def test_on_a_terminal_the_last_line_says_how_many_logs_were_acknowledged() -> None:
    """It is removed at the end, where the account says more."""
    from terminal import Terminal  # its modules are those of POSIX

    async with FakeServer() as server, OtlpReceiver() as receiver:
        arguments = ["ship", "--to", receiver.to, "--api-url", server.api_url]
        with Terminal(arguments) as terminal:
            await asyncio.to_thread(
                terminal.until, lambda written: "0 logs acknowledged, 0 not yet" in written
            )
            server.post(["one", "two"])
            await asyncio.to_thread(
                terminal.until, lambda written: "2 logs acknowledged, 0 not yet" in written
            )
            terminal.process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(terminal.end) == 128 + signal.SIGINT
    assert not [line for line in terminal.screen if "not yet" in line]
    assert [line for line in terminal.screen if "shipped: acknowledged 2" in line]


async def test_stored_logs_are_shipped_with_the_names_of_their_runs() -> None:
    """--no-follow ends when the receiver has acknowledged all; the resource is the server."""
    async with FakeServer() as server, OtlpReceiver() as receiver:
        run = server.add_run("sleepy-fox", flow="etl", deployment="daily", tags=["prod"])
        server.store(["one", "two"], flow_run_id=run, name="my.app")
        async with shipping(server, receiver, "--no-follow", "--since", "1h") as ship:
            assert await ship.end() == 0
    assert messages(receiver) == ["one", "two"]
    found = attributes(next(iter(receiver.records.values())))
    assert found["prefect.flow_run.name"] == "sleepy-fox"
    assert found["prefect.flow.name"] == "etl"
    assert found["prefect.deployment.name"] == "daily"
    assert found["prefect.tags"] == ["prod"]
    (resource_logs,) = receiver.requests[-1].message.resource_logs
    assert attributes(resource_logs.resource) == {"service.name": "prefect", "server.address": "127.0.0.1"}
    assert resource_logs.scope_logs[0].scope.name == "my.app"
    assert "shipped: acknowledged 2" in ship.err


@posix
async def test_after_sigterm_the_next_run_ships_what_came_meanwhile_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    """The receiver is that of the environment; SIGTERM ends with 143."""
    cursor = tmp_path / "cursor"
    async with FakeServer() as server, OtlpReceiver() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.to.removeprefix("otlp+")}
        async with shipping(server, receiver, "--cursor-file", cursor, to=False, **environ) as ship:
            await server.until_subscribed(timeout=DEADLINE)
            server.post(["one", "two"])
            await receiver.until(lambda: len(receiver.taken) == 2)
            server.post("three")
            assert await ship.end(signal.SIGTERM) == 143
        assert messages(receiver) == ["one", "three", "two"]
        server.store("four")
        async with shipping(server, receiver, "--cursor-file", cursor) as ship:
            await receiver.until(lambda: len(receiver.taken) == 4)
            assert await ship.end(signal.SIGINT) == 130
    assert set(receiver.taken.values()) == {1}


@posix
async def test_a_receiver_that_does_not_answer_delays_the_end_for_a_bounded_time_and_loses_nothing(
    tmp_path: Path,
) -> None:
    """The cursor stays before what was not acknowledged."""
    cursor = tmp_path / "cursor"
    async with FakeServer() as server, OtlpReceiver(HANG) as receiver:
        async with shipping(server, receiver, "--cursor-file", cursor) as ship:
            await server.until_subscribed(timeout=DEADLINE)
            server.post(["one", "two"])
            await receiver.until(lambda: any(receiver.sizes))
            assert await ship.end(signal.SIGTERM) == 143
        assert receiver.taken == {}
        assert "not acknowledged 2" in ship.err
        async with shipping(server, receiver, "--cursor-file", cursor) as ship:
            await receiver.until(lambda: len(receiver.taken) == 2)
            await ship.end(signal.SIGTERM)
    assert messages(receiver) == ["one", "two"]


@posix
async def test_a_process_that_is_killed_repeats_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    """An answer was lost, and the process with it."""
    cursor = tmp_path / "cursor"
    async with FakeServer() as server, OtlpReceiver(TAKE, LOSE, *[HANG] * 5) as receiver:
        async with shipping(server, receiver, "--cursor-file", cursor, "--batch-size", 2) as ship:
            await server.until_subscribed(timeout=DEADLINE)
            server.post(["one", "two"])
            await receiver.until(lambda: len(receiver.acknowledged) == 2)
            first = set(receiver.acknowledged)
            await eventually(lambda: cursor.exists() and json.loads(cursor.read_text())["ids"])
            server.post(["three", "four", "five"])
            await receiver.until(lambda: len(receiver.taken) == 4)
            await ship.end(signal.SIGKILL)
        receiver.script.clear()
        async with shipping(server, receiver, "--cursor-file", cursor) as ship:
            await receiver.until(lambda: len(receiver.acknowledged) == 5)
            await ship.end(signal.SIGTERM)
    assert messages(receiver) == ["five", "four", "one", "three", "two"]
    assert {one for one, times in receiver.taken.items() if times > 1}.isdisjoint(first)


@pytest.mark.parametrize(
    ("reaction", "code", "said"),
    [
        (Reaction(401), 3, "OTEL_EXPORTER_OTLP_HEADERS"),
        (Reaction(403), 3, "403"),
        (Reaction(404), 2, "/v1/logs"),
        (Reaction(headers={"Content-Type": "text/html"}, body=b"<html>"), 2, "a page of HTML"),
    ],
)
async def test_a_wrong_setting_ends_the_command_at_its_start(
    reaction: Reaction, code: int, said: str
) -> None:
    """With the code of its kind, and without a secret in any text."""
    async with FakeServer() as server, OtlpReceiver() as receiver:
        receiver.on_empty = reaction
        headers = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{SECRET}"}
        async with shipping(server, receiver, "-vv", **headers) as ship:
            assert await ship.end() == code
    assert said in ship.err
    assert SECRET not in ship.err
    assert receiver.requests[0].headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(("dead_letter", "code"), [(False, 5), (True, 0)])
async def test_a_log_that_is_refused_for_good_is_a_known_loss_unless_it_is_in_the_file(
    dead_letter: bool, code: int, tmp_path: Path
) -> None:
    """All others are shipped."""
    path = tmp_path / "dead.jsonl"
    async with FakeServer() as server, OtlpReceiver() as receiver:
        receiver.refuses = lambda record: 400 if record.body.string_value == SECRET else None
        server.store(["one", SECRET, "two"])
        file = ["--dead-letter", path] if dead_letter else []
        async with shipping(server, receiver, "--no-follow", "--since", "1h", *file) as ship:
            assert await ship.end() == code
    assert messages(receiver) == ["one", "two"]
    assert SECRET not in ship.err
    if dead_letter:
        assert json.loads(path.read_text("utf-8"))["log"]["message"] == SECRET


@pytest.mark.parametrize(("state", "code"), [("COMPLETED", 0), ("FAILED", 1)])
async def test_with_a_run_it_ends_with_the_run(state: str, code: int) -> None:
    """As tail does."""
    async with FakeServer() as server, OtlpReceiver() as receiver:
        run = server.add_run("sleepy-fox")
        server.store("before", flow_run_id=run)
        async with shipping(server, receiver, run) as ship:
            await receiver.until(lambda: receiver.taken)
            server.post("last", flow_run_id=run)
            server.post("of nobody")
            server.set_state(run, state)
            assert await ship.end() == code
    assert messages(receiver) == ["before", "last"]


@posix
async def test_without_a_cursor_file_it_says_what_that_means_and_filters_hold() -> None:
    """From now on, those that the filters choose."""
    async with FakeServer() as server, OtlpReceiver() as receiver:
        server.store("old")
        async with shipping(server, receiver, "--level", "WARNING") as ship:
            await ship.until_said("no --cursor-file")
            await server.until_subscribed(timeout=DEADLINE)
            server.post([{"message": "low", "level": 20}, {"message": "high", "level": 40}])
            await receiver.until(lambda: receiver.taken)
            assert await ship.end(signal.SIGTERM) == 143
    assert messages(receiver) == ["high"]


@posix
async def test_a_receiver_and_a_server_that_come_later_are_waited_for() -> None:
    """Sidecars start in any order."""
    receiver = OtlpReceiver()
    await receiver.start()
    await receiver.stop()
    async with FakeServer() as server:
        server.refuse()
        async with shipping(server, receiver) as ship:
            await ship.until_said("Connection refused")
            server.refuse(False)
            await server.until_subscribed(timeout=DEADLINE)
            server.post("one")
            await receiver.start()
            await receiver.until(lambda: receiver.taken)
            assert await ship.end(signal.SIGTERM) == 143
        await receiver.stop()
    assert "takes logs again" in ship.err
    assert "shipping to" not in ship.err  # it says so only of a receiver that has answered


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no receiver is named"),
        (["--to", "http://x"], "otlp+https://"),
        (["--to", "otlp+http://127.0.0.1:1", "--reset-cursor"], "--cursor-file"),
        (["--to", "otlp+http://127.0.0.1:1", "--cursor-file", "c", "--tail", "5"], "--cursor-file"),
        (["--to", "otlp+https://127.0.0.1:1", "--ca-file", "/nowhere"], "--ca-file"),
        (["--to", "otlp+http://127.0.0.1:1", "--live-only"], "--live-only"),
        (["--to", "otlp+http://127.0.0.1:1", "--dead-letter", "/dev/zero/x"], "/dev/zero/x"),
    ],
)
async def test_what_cannot_work_is_said_by_the_name_that_was_typed(arguments: list[str], said: str) -> None:
    """Before anything is asked."""
    async with FakeServer() as server, shipping(server, OtlpReceiver(), *arguments, to=False) as ship:
        assert await ship.end() in (2, 6)
        assert server.requests == []
    assert said in ship.err


async def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """With pip's line, and the code of a usage error."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError('not here')\n")
    async with FakeServer() as server, OtlpReceiver() as receiver:
        environ: dict[str, Any] = {"PYTHONPATH": str(tmp_path)}
        async with shipping(server, receiver, **environ) as ship:
            assert await ship.end() == 2
    assert "pip install 'rawlogs[otlp]'" in ship.err


@posix
async def test_its_counters_are_metrics() -> None:
    """Beside those of the stream."""
    async with FakeServer() as server, OtlpReceiver() as receiver:
        listen = ("--listen", "127.0.0.1:0")
        async with shipping(server, receiver, *listen) as ship:
            await ship.until_said("/metrics")
            port = int(ship.err.partition("http://127.0.0.1:")[2].partition("/")[0])
            await server.until_subscribed(timeout=DEADLINE)
            server.post("one")
            await receiver.until(lambda: receiver.acknowledged)
            page = b""
            while b"rawlogs_ship_logs_acknowledged_total 1.0" not in page:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                page = await within(reader.read(-1))
                writer.close()
            await ship.end(signal.SIGTERM)
    assert b"rawlogs_logs_delivered_total 1.0" in page
    assert b"rawlogs_ship_failing 0.0" in page
