"""What an output takes without waiting, and whether its reader is still there; by both of the system's ways."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rawlogs.errors import SinkError
from rawlogs.output.file import FileSink
from rawlogs.output.sink import Kind, OutputClosed, Sink, kind_of, reader_gone, write_without_waiting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
NOWAIT = getattr(os, "RWF_NOWAIT", 0)


@pytest.fixture
def ends() -> Iterator[dict[str, tuple[int, int]]]:
    """(reading end, writing end) of a pipe, a pair of sockets and a terminal."""
    ours, peer = socket.socketpair()
    pairs = {"pipe": os.pipe(), "socket": (peer.detach(), ours.detach()), "other": os.openpty()}
    yield pairs
    for fd in {fd for pair in pairs.values() for fd in pair}:
        with suppress(OSError):  # the test has closed it
            os.close(fd)


def test_the_kinds_are_told_apart(ends: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    assert {name: kind_of(pair[1]).value for name, pair in ends.items()} == {name: name for name in ends}
    with (tmp_path / "file").open("wb") as file:
        assert kind_of(file.fileno()) is Kind.FILE
        closed = os.dup(file.fileno())
    os.close(closed)
    with pytest.raises(OSError):
        kind_of(closed)


@pytest.mark.parametrize("nowait", sorted({0, NOWAIT}))
def test_a_pipe_takes_until_it_is_full(ends: dict[str, tuple[int, int]], nowait: int) -> None:
    """Never more than fits, in order, and again when there is room; the descriptor stays one that waits."""
    reading, writing = ends["pipe"]
    data = os.urandom(3_000_000)
    done = 0
    read = b""
    while len(read) < len(data):
        written = write_without_waiting(writing, Kind.PIPE, data[done:], nowait=nowait)
        assert write_without_waiting(writing, Kind.PIPE, data[done + written :], nowait=nowait) == 0
        assert done + written > len(read)
        done += written
        read += os.read(reading, 1 << 20)
    assert read == data
    assert os.get_blocking(writing)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="the system cannot ask a socket")
def test_a_socket_takes_until_it_is_full(ends: dict[str, tuple[int, int]]) -> None:
    reading, writing = ends["socket"]
    written = write_without_waiting(writing, Kind.SOCKET, bytes(10_000_000))
    assert 0 < written < 10_000_000
    assert write_without_waiting(writing, Kind.SOCKET, bytes(10_000_000)) == 0
    assert len(os.read(reading, 100)) == 100


@pytest.mark.parametrize(("name", "nowait"), [("socket", 0), ("other", 0), ("other", NOWAIT)])
def test_where_nobody_knows_nothing_is_written(
    ends: dict[str, tuple[int, int]], name: str, nowait: int
) -> None:
    """The thread writes there."""
    assert write_without_waiting(ends[name][1], Kind(name), b"x\n", nowait=nowait) == 0


@pytest.mark.parametrize("nowait", sorted({0, NOWAIT}))
def test_a_pipe_without_a_reader_is_broken(ends: dict[str, tuple[int, int]], nowait: int) -> None:
    """Whatever is written."""
    os.close(ends["pipe"][0])
    with pytest.raises(BrokenPipeError):
        while True:
            assert write_without_waiting(ends["pipe"][1], Kind.PIPE, b"x\n", nowait=nowait)


@pytest.mark.parametrize(("name", "told"), [("pipe", True), ("socket", True), ("other", False)])
def test_it_is_seen_that_the_reader_has_gone(ends: dict[str, tuple[int, int]], name: str, told: bool) -> None:
    reading, writing = ends[name]
    assert not reader_gone(writing, Kind(name))
    os.close(reading)
    assert reader_gone(writing, Kind(name)) is told


def test_a_peer_that_will_send_no_more_may_still_read() -> None:
    """`nc` at the end of its input."""
    ours, peer = socket.socketpair()
    with ours, peer:
        peer.shutdown(socket.SHUT_WR)
        assert not reader_gone(ours.fileno(), Kind.SOCKET)
        assert write_without_waiting(ours.fileno(), Kind.SOCKET, b"x\n") in (0, 2)


# The same through a Sink


def test_a_sink_writes_at_once_what_is_taken_at_once(
    ends: dict[str, tuple[int, int]], tmp_path: Path
) -> None:
    """All of it to a file, a part to a pipe, nothing to a terminal."""
    data = b"x" * 999_999 + b"\n"
    assert FileSink(tmp_path / "file").write_ready(data) == len(data)
    assert (tmp_path / "file").read_bytes() == data
    assert 0 < Sink(ends["pipe"][1]).write_ready(data) < len(data)
    assert Sink(ends["other"][1]).write_ready(data) == 0


def test_a_sink_says_what_has_a_reader(ends: dict[str, tuple[int, int]], tmp_path: Path) -> None:
    watched = {name: Sink(pair[1]).watched() for name, pair in ends.items()}
    assert watched == {"pipe": ends["pipe"][1], "socket": ends["socket"][1], "other": None}
    assert FileSink(tmp_path / "file").watched() is None
    os.close(ends["pipe"][1])
    assert Sink(ends["pipe"][1]).watched() is None


@pytest.mark.parametrize(("name", "error"), [("pipe", OutputClosed), ("socket", SinkError)])
def test_a_sink_whose_reader_has_gone_says_so_each_time(
    ends: dict[str, tuple[int, int]], name: str, error: type[Exception]
) -> None:
    sink = Sink(ends[name][1])
    sink.refuse_gone_reader()
    os.close(ends[name][0])
    for call in (sink.refuse_gone_reader, sink.refuse_gone_reader, lambda: sink.write_ready(b"x\n")):
        with pytest.raises(error):
            call()
