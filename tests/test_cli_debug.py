"""The commands for those who debug the protocol: fake, check, record, replay."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_client import AUTH, EVERYTHING, ending, socket

import rawlogs
from rawlogs.cli.group import run
from rawlogs.testing import FakeServer
from rawlogs.testing.recording import read

FLOW = Path(__file__).parents[1] / "fixtures" / "prefect-3.8.8-flow.jsonl"


class Served:
    """A command that serves, in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rawlogs", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")},
        )
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "PREFECT_API_URL=" in line, line + self.process.stderr.read()
        self.api_url = line.rpartition("=")[2].strip()
        self.said = ""

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, self.said = self.process.communicate(timeout=60)
        return self.process.returncode


async def collect(api_url: str, count: int) -> list[str]:
    received: list[str] = []
    async with rawlogs.stream(api_url=api_url, settle=0.1) as logs:
        async for log in logs:
            received.append(log.id_text)
            if len(received) == count:
                break
    return received


async def test_what_fake_sends_a_stream_receives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """check finds nothing missing and nothing repeated, although 344 of each burst of 600 are lost live."""
    sent, got = tmp_path / "sent", tmp_path / "got"
    with Served(
        "fake",
        "--port",
        "0",
        "--count",
        "1800",
        "--batch",
        "600",
        "--rate",
        "0",
        "--wait-for",
        "1",
        "--sent",
        str(sent),
    ) as fake:
        ids = await asyncio.wait_for(collect(fake.api_url, 1800), 60)
    got.write_text("\n".join(ids))
    assert run(["check", str(sent), str(got)]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["sent 1800, received 1800", "missing 0", "repeated 0"]


def test_check_tells_a_loss_with_exit_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And shows what is missing."""
    (tmp_path / "sent").write_text("a\nb\n")
    (tmp_path / "got").write_text('{"id":"a"}\n{"id":"a"}\n')
    assert run(["check", str(tmp_path / "sent"), str(tmp_path / "got"), "-o", "json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["missing"], told["repeated"]) == (["b"], ["a"])


def test_a_signal_ends_a_server_with_its_code() -> None:
    """130 and 143."""
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with Served("fake", "--port", "0", "--rate", "1") as fake:
            assert fake.end(number) == code


async def test_a_recording_made_here_plays_back_the_same_logs(tmp_path: Path) -> None:
    """record, then replay: the same ids; the token is not in the file, whose mode is 0600."""
    path = tmp_path / "session.jsonl"
    async with FakeServer() as server:
        recording = asyncio.create_subprocess_exec(
            sys.executable, "-m", "rawlogs", "record", str(path), "--api-url", server.api_url, "--max-frames", "4",
            "--auth-string", "user:marked-secret", stderr=subprocess.PIPE,
            env={**os.environ, "PREFECT_HOME": str(tmp_path)},
        )  # fmt: skip
        process = await recording
        await server.until_subscribed()
        posted = [row["id"] for row in server.post([{"message": f"m{n}"} for n in range(4)])]
        _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said
    assert path.stat().st_mode & 0o777 == 0o600
    assert "marked-secret" not in path.read_text()
    assert read(path).problem is None
    with Served("replay", str(path), "--port", "0", "--speed", "max") as replay:
        assert sorted(await asyncio.wait_for(collect(replay.api_url, 4), 60)) == sorted(posted)


async def test_replay_loops_on_the_same_port(tmp_path: Path) -> None:
    """Each client in turn gets the recording from its beginning."""
    with Served("replay", str(FLOW), "--port", "0", "--speed", "max", "--loop") as replay:
        first = await asyncio.wait_for(collect(replay.api_url, 12), 60)
        second = await asyncio.wait_for(collect(replay.api_url, 12), 60)
    assert sorted(first) == sorted(second)


async def test_a_client_after_the_last_recorded_connection_is_told_so() -> None:
    """By the close frame's reason; the user on stderr."""
    with Served("replay", str(FLOW), "--port", "0", "--speed", "max") as replay:
        await asyncio.wait_for(collect(replay.api_url, 12), 60)
        async with socket(replay, AUTH, EVERYTHING) as second:
            end = await ending(second)
    assert end == (1000, "the recording has no further connection; start the replay again")
    assert "a client was refused" in replay.said
    assert "--loop" in replay.said


async def test_a_second_client_of_a_loop_is_told_to_come_again() -> None:
    """While the first one still has the recording."""
    with Served("replay", str(FLOW), "--port", "0", "--speed", "0.001x", "--loop") as replay:
        async with socket(replay, AUTH, EVERYTHING) as first:
            assert await first.recv() == '{"type":"auth_success"}'
            async with socket(replay, AUTH, EVERYTHING) as second:
                end = await ending(second)
    assert end == (1013, "the recording is played to another client; connect again later")
    assert "a client was refused" in replay.said


@pytest.mark.parametrize("held", [b"precious", b""], ids=["a file", "an empty file"])
@pytest.mark.parametrize("force", [False, True])
def test_record_replaces_a_file_only_by_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], held: bytes, force: bool
) -> None:
    """Exit 2 names the flag; otherwise it fails later, as nobody listens there."""
    path = tmp_path / "session.jsonl"
    path.write_bytes(held)
    arguments = ["record", str(path), "--api-url", "http://127.0.0.1:1/api", *(["--force"] if force else [])]
    refused = bool(held) and not force
    assert (run(arguments) == 2) is refused
    assert ("--force" in capsys.readouterr().err) is refused
    assert (path.read_bytes() == b"precious") is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["replay", "/nonexistent"], "Cannot read the recording", id="no recording"),
        pytest.param(
            ["replay", str(FLOW), "--speed", "fast"], "use a factor such as 1x", id="a speed that is none"
        ),
        pytest.param(["replay", "{no_sockets}", "--loop"], "--loop would have nothing", id="nothing to loop"),
        pytest.param(["fake", "/nonexistent"], "/nonexistent", id="no scenario"),
        pytest.param(["fake", "--fault", "boom"], "kind 'boom' is unknown", id="a fault that is none"),
        pytest.param(["check", "/nonexistent", "-"], "cannot be read", id="no file to check"),
    ],
)
def test_what_cannot_work_is_said_with_exit_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is opened."""
    no_sockets = tmp_path / "rest.jsonl"
    no_sockets.write_text(FLOW.read_text().partition("\n")[0] + "\n")
    assert run([argument.format(no_sockets=no_sockets) for argument in arguments]) == 2
    assert words in capsys.readouterr().err
