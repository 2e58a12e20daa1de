"""Where lines go: pipes that close, fill up or do not wait, disks that are full."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawlogs.errors import SinkError
from rawlogs.output.sink import OutputClosed, Sink, StdoutSink

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
needs_posix = pytest.mark.skipif(os.name != "posix", reason="pipes and signals of POSIX")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A real pipe: (read end, write end); each may be closed by the test."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def read_all(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += os.read(fd, 65536)
    return bytes(data)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_what_is_written_is_out_at_once(pipe: tuple[int, int], kind: type[bytes] | type[bytearray]) -> None:
    """No buffer in between: the reader has the bytes before flush."""
    sink = Sink(pipe[1])
    sink.write(kind(b"one\ntwo\n"))
    assert os.read(pipe[0], 100) == b"one\ntwo\n"
    sink.flush()


def test_a_batch_larger_than_the_pipe_arrives_whole(pipe: tuple[int, int]) -> None:
    """Partial writes go on where they stopped."""
    batch = os.urandom(1_000_000)
    writer = threading.Thread(target=Sink(pipe[1]).write, args=(batch,))
    writer.start()
    assert read_all(pipe[0], len(batch)) == batch
    writer.join()


@needs_posix
def test_a_pipe_that_does_not_wait_is_waited_for(pipe: tuple[int, int]) -> None:
    """EAGAIN from a non-blocking standard output is no error."""
    os.set_blocking(pipe[1], False)
    batch = os.urandom(1_000_000)
    writer = threading.Thread(target=Sink(pipe[1]).write, args=(batch,))
    writer.start()
    assert read_all(pipe[0], len(batch)) == batch
    writer.join()


def test_a_reader_that_went_away_ends_the_output(pipe: tuple[int, int]) -> None:
    """OutputClosed, now and ever after; not an error of rawlogs."""
    sink = Sink(pipe[1], path="stdout")
    os.close(pipe[0])
    for call in (lambda: sink.write(b"x\n"), lambda: sink.write(b""), sink.flush):
        with pytest.raises(OutputClosed, match="the reader of stdout has closed it"):
            call()
    assert not issubclass(OutputClosed, (OSError, SinkError))


def test_a_reader_that_goes_while_we_write_ends_the_output(pipe: tuple[int, int]) -> None:
    """A blocked write is woken by the reader's end."""
    problems: list[BaseException] = []

    def write() -> None:
        try:
            Sink(pipe[1]).write(bytes(10_000_000))
        except OutputClosed as closed:
            problems.append(closed)

    writer = threading.Thread(target=write)
    writer.start()
    os.read(pipe[0], 1)
    os.close(pipe[0])
    writer.join()
    assert len(problems) == 1


@needs_posix
def test_a_socket_whose_peer_went_away_is_an_error() -> None:
    """Standard output may be a socket, too: nobody closes that because he has read enough."""
    ours, peer = socket.socketpair()
    with ours:
        ours.sendall(b"x")
        peer.close()
        sink = Sink(ours.fileno(), path="stdout")
        for call in (lambda: sink.write(b"x\n"), lambda: sink.write(b"x\n"), sink.flush):
            with pytest.raises(SinkError) as caught:
                call()
            assert caught.value.text == "cannot write to stdout: the other side has closed the connection"


@needs_dev_full
def test_a_full_disk_is_an_error_that_names_the_output() -> None:
    """ENOSPC is told with what failed, why, and what to do."""
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(SinkError) as caught:
            Sink(fd, path="stdout").write(b"x\n")
    finally:
        os.close(fd)
    assert caught.value.path == "stdout"
    assert caught.value.text == "cannot write to stdout: No space left on device"
    assert caught.value.hint == "Free some space there, or write elsewhere; then start again."


def test_an_output_that_is_not_open_is_an_error(pipe: tuple[int, int]) -> None:
    """EBADF is told as what the user did."""
    os.close(pipe[1])
    with pytest.raises(
        SinkError, match=r"cannot write to output: Bad file descriptor\nWas rawlogs started with"
    ):
        Sink(pipe[1]).write(b"x\n")


def test_a_file_object_is_written_to_behind_what_it_holds(tmp_path: Path) -> None:
    """Its own buffer goes first, its descriptor is used, and it stays open."""
    path = tmp_path / "out"
    with path.open("wb") as file:
        file.write(b"head\n")
        sink = Sink(file)
        sink.write(b"log\n")
        assert path.read_bytes() == b"head\nlog\n"
        sink.close()
        assert not file.closed


def test_a_file_in_memory_will_do() -> None:
    """Test runners replace standard output with one."""
    memory = io.BytesIO()
    sink = Sink(memory)
    sink.write(b"a\n")
    sink.write(bytearray(b"b\n"))
    sink.flush()
    assert memory.getvalue() == b"a\nb\n"


class Hesitant(io.BytesIO):
    """Takes three bytes at a time, and every other time none."""

    turn = 0

    def write(self, data: object) -> int:
        self.turn += 1
        if self.turn % 2:
            raise BlockingIOError
        return super().write(bytes(data)[:3])  # type: ignore[call-overload, no-any-return]


def test_a_file_object_may_take_few_bytes_at_a_time() -> None:
    """Nothing is lost and nothing is written twice."""
    memory = Hesitant()
    Sink(memory).write(b"0123456789\n")
    assert memory.getvalue() == b"0123456789\n"


def test_a_closed_file_object_is_an_error() -> None:
    """Closed before or after it was handed over."""
    memory = io.BytesIO()
    sink = Sink(memory)
    memory.close()
    with pytest.raises(SinkError, match=r"cannot write to output: .*closed file"):
        sink.write(b"x\n")
    with pytest.raises(SinkError, match=r"cannot write to output: .*closed file"):
        Sink(memory)


WRITE_FOR_EVER = """
import sys
from rawlogs.output.sink import OutputClosed, StdoutSink
sink = StdoutSink()
try:
    while True:
        sink.write(b"log\\n" * 1000)
except OutputClosed:
    sys.stdout.write("left in the interpreter's own buffer")
"""


@needs_posix
def test_head_may_close_stdout_without_a_word_on_stderr() -> None:
    """Exit 0 and silence, the interpreter's own flush at exit included."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOR_EVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        assert process.stdout.readline() == b"log\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


TELL_ERROR = """
import sys
from rawlogs.output.sink import StdoutSink
try:
    StdoutSink()
except Exception as error:
    sys.stderr.write(str(error))
"""


@needs_posix
def test_a_closed_stdout_is_an_error_with_a_hint() -> None:
    """``rawlogs tail >&-`` says what is wrong."""
    result = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, TELL_ERROR],
        stderr=subprocess.PIPE,
        check=True,
    )
    assert result.stderr == (
        b"cannot write to stdout: it is not open\nWas rawlogs started with its output closed (>&-)?"
    )


def test_stdout_replaced_by_memory_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text printed before stands before."""
    memory = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(memory, encoding="utf-8"))
    sys.stdout.write("head\n")
    sink = StdoutSink()
    sink.write(b"log\n")
    assert memory.getvalue() == b"head\nlog\n"


BLOCKED_UNTIL_SIGTERM = """
import asyncio, signal, sys
from rawlogs.output.sink import StdoutSink
from rawlogs.output.worker import AsyncSink

async def main():
    sink = AsyncSink(StdoutSink())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    write = asyncio.create_task(sink.write(bytes(10_000_000)))
    await asyncio.sleep(0)
    print("blocked", file=sys.stderr, flush=True)
    await stop.wait()
    write.cancel()
    print(await sink.close(timeout=0.05), file=sys.stderr, flush=True)

asyncio.run(main())
sys.exit(143)
"""


@needs_posix
def test_a_pager_that_stopped_reading_does_not_keep_the_process() -> None:
    """SIGTERM is heard while a write is blocked, and the process ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKED_UNTIL_SIGTERM], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process:
        assert process.stderr.readline() == b"blocked\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        assert process.stderr.read() == b"False\n"
