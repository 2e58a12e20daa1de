"""A sink for an event loop: in order, at the reader's pace, and never in the loop's way."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import socket
import threading
from pathlib import Path

import pytest

from rawlogs.errors import SinkError
from rawlogs.output.file import FileSink
from rawlogs.output.sink import OutputClosed, Sink
from rawlogs.output.worker import AsyncSink

MORE_THAN_A_PIPE_HOLDS = 2_000_000


def drain(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        data += os.read(fd, 65536)
    return bytes(data)


async def begin(sink: AsyncSink, lines: bytes) -> asyncio.Task[None]:
    """A write that was handed in and is not awaited yet."""
    task = asyncio.create_task(sink.write(lines))
    await asyncio.sleep(0)
    assert sink.busy
    return task


async def test_writes_go_out_in_order_and_return_when_they_are_out(tmp_path: Path) -> None:
    """Also those handed in at once."""
    sink = AsyncSink(FileSink(tmp_path / "log"))
    await asyncio.gather(*(sink.write(b"%d\n" % n) for n in range(50)))
    assert (tmp_path / "log").read_bytes() == b"".join(b"%d\n" % n for n in range(50))
    await sink.flush()
    assert not sink.busy
    assert await sink.close()


async def test_a_blocked_reader_blocks_the_writer_and_not_the_loop() -> None:
    """The awaiting side waits (backpressure); everything else goes on; when the reader reads, it ends."""
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end))
    task = await begin(sink, bytes(MORE_THAN_A_PIPE_HOLDS))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    flush = asyncio.create_task(sink.flush())
    data = await asyncio.to_thread(drain, read_end, MORE_THAN_A_PIPE_HOLDS)
    await task
    await flush
    assert (len(data), sink.busy) == (MORE_THAN_A_PIPE_HOLDS, False)
    assert await sink.close()
    os.close(read_end)
    os.close(write_end)


async def test_a_blocked_reader_does_not_hold_up_closing() -> None:
    """close() says False after its time; the thread ends with the reader, or with the process."""
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end))
    task = await begin(sink, bytes(MORE_THAN_A_PIPE_HOLDS))
    thread = sink._thread
    assert thread is not None
    assert thread.daemon
    task.cancel()
    assert not await sink.close(timeout=0.01)
    assert not await sink.close(timeout=0.01)
    os.close(read_end)
    await asyncio.to_thread(thread.join)
    os.close(write_end)


async def test_a_reader_that_went_away_is_told_to_the_writer() -> None:
    """OutputClosed comes through as it is, each time."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    sink = AsyncSink(Sink(write_end))
    for call in (sink.write(b"x\n"), sink.write(b"x\n"), sink.flush()):
        with pytest.raises(OutputClosed):
            await call
    assert await sink.close()
    os.close(write_end)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
async def test_a_full_disk_is_told_to_the_writer() -> None:
    """SinkError comes through as it is."""
    sink = AsyncSink(FileSink("/dev/full"))
    with pytest.raises(SinkError, match="/dev/full"):
        await sink.write(b"x\n")
    assert await sink.close()


async def test_what_is_taken_at_once_needs_no_thread(tmp_path: Path) -> None:
    """A pipe with room, a socket, a regular file."""
    read_end, write_end = os.pipe()
    sinks = [AsyncSink(Sink(write_end)), AsyncSink(FileSink(tmp_path / "log"))]
    for sink in sinks:
        await sink.write(b"x\n")
        assert sink._thread is None
        assert await sink.close()
    assert os.read(read_end, 10) == b"x\n"
    os.close(read_end)
    os.close(write_end)


async def test_what_comes_while_a_write_waits_stays_behind_it() -> None:
    """Also when there is room again."""
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end))
    first = await begin(sink, b"a" * MORE_THAN_A_PIPE_HOLDS)
    second = await begin(sink, b"b")
    data = await asyncio.to_thread(drain, read_end, MORE_THAN_A_PIPE_HOLDS + 1)
    await asyncio.gather(first, second)
    assert data == b"a" * MORE_THAN_A_PIPE_HOLDS + b"b"
    assert await sink.close()
    os.close(read_end)
    os.close(write_end)


async def test_writing_soon_returns_at_once_and_loses_nothing() -> None:
    """What the pipe does not take goes to the thread; until that is done nothing else is taken."""
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end))
    assert sink.write_soon(b"a" * 10)
    assert not sink.busy
    assert sink.write_soon(b"b" * MORE_THAN_A_PIPE_HOLDS)
    assert sink.busy
    assert not sink.write_soon(b"c")
    data = await asyncio.to_thread(drain, read_end, 10 + MORE_THAN_A_PIPE_HOLDS)
    await sink.flush()
    assert data == b"a" * 10 + b"b" * MORE_THAN_A_PIPE_HOLDS
    assert sink.write_soon(b"d")
    assert os.read(read_end, 10) == b"d"
    assert await sink.close()
    os.close(read_end)
    os.close(write_end)


async def test_what_fails_after_writing_soon_is_told_by_the_next_call() -> None:
    """The reader went while the thread wrote."""
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end))
    assert sink.write_soon(bytes(MORE_THAN_A_PIPE_HOLDS))
    os.close(read_end)
    with pytest.raises(OutputClosed):
        await sink.write(b"x")
    with pytest.raises(OutputClosed):
        sink.write_soon(b"x")
    assert await sink.close()
    os.close(write_end)


async def test_the_careful_way_leaves_all_to_the_thread() -> None:
    read_end, write_end = os.pipe()
    sink = AsyncSink(Sink(write_end), at_once=False)
    assert not sink.write_soon(b"x")
    await sink.write(b"x")
    assert (os.read(read_end, 10), sink._thread is not None) == (b"x", True)
    assert await sink.close()
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize(("kind", "error"), [("pipe", OutputClosed), ("socket", SinkError)])
async def test_a_reader_that_goes_is_noticed_while_nothing_is_written(
    kind: str, error: type[Exception]
) -> None:
    """`tail -n 20 | head -2` ends when head does."""
    if kind == "pipe":
        read_end, write_end = os.pipe()
    else:
        read_end, write_end = (end.detach() for end in socket.socketpair())
    sink = AsyncSink(Sink(write_end), look_every=0.01)
    waiting = asyncio.create_task(sink.closed())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    os.close(read_end)
    with pytest.raises(error):
        await waiting
    assert await sink.close()
    os.close(write_end)


async def test_a_pipe_that_is_open_for_both_ways_is_looked_at_now_and_then() -> None:
    """It counts as readable as long as something is in it, which says nothing about its reader."""
    read_end, write_end = os.pipe()
    both = os.open(f"/dev/fd/{write_end}", os.O_RDWR)
    sink = AsyncSink(Sink(both), look_every=0.01)
    await sink.write(b"x\n")
    waiting = asyncio.create_task(sink.closed())
    assert await asyncio.wait({waiting}, timeout=0.05) == (set(), {waiting})
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    for fd in (read_end, write_end, both):
        os.close(fd)


async def test_a_file_has_no_reader_that_could_go(tmp_path: Path) -> None:
    sink = AsyncSink(FileSink(tmp_path / "log"), look_every=0.0)
    waiting = asyncio.create_task(sink.closed())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    assert await sink.close()


class FailsOnce(io.BytesIO):
    """A file whose first write waits for the gate and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.failed = False

    def write(self, data: object) -> int:
        if not self.failed:
            self.gate.wait()
            self.failed = True
            raise OSError(errno.EIO, "Input/output error")
        return super().write(data)  # type: ignore[arg-type]


async def test_a_failure_that_nobody_waited_for_is_told_by_the_next_call() -> None:
    """A cancelled write that then fails must not let a flush claim that all is delivered; it is told once."""
    file = FailsOnce()
    sink = AsyncSink(Sink(file))
    write = await begin(sink, b"x\n")
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert sink.busy, "cancelling gives up the waiting, not the bytes"
    flush = asyncio.create_task(sink.flush())
    await asyncio.sleep(0)
    flush.cancel()
    file.gate.set()
    with pytest.raises(SinkError, match="cannot write to output: Input/output error"):
        await sink.flush()
    await sink.flush()
    assert await sink.close()


async def test_reopening_comes_after_what_was_written_before(tmp_path: Path) -> None:
    """A rotation splits between batches."""
    path = tmp_path / "log"
    sink = AsyncSink(FileSink(path))
    await sink.write(b"one\n")
    path.rename(tmp_path / "log.1")
    await sink.reopen()
    assert path.read_bytes() == b""
    assert await sink.close()


async def test_reopening_means_nothing_to_other_outputs(tmp_path: Path) -> None:
    """SIGHUP while logs go to a pipe."""
    with (tmp_path / "out").open("wb") as file:
        sink = AsyncSink(Sink(file))
        await sink.reopen()
        await sink.write(b"x\n")
        assert await sink.close()
        with pytest.raises(ValueError, match="the sink is closed"):
            await sink.write(b"x\n")
        assert await sink.close()


def test_a_loop_that_ended_meanwhile_is_no_error() -> None:
    """The thread finishes its write and finds nobody waiting."""
    read_end, write_end = os.pipe()
    sinks: list[AsyncSink] = []

    async def leave() -> None:
        sinks.append(AsyncSink(Sink(write_end)))
        await begin(sinks[0], bytes(MORE_THAN_A_PIPE_HOLDS))

    asyncio.run(leave())
    thread = sinks[0]._thread
    assert thread is not None
    assert len(drain(read_end, MORE_THAN_A_PIPE_HOLDS)) == MORE_THAN_A_PIPE_HOLDS
    sinks[0]._jobs.put(None)
    thread.join()
    os.close(read_end)
    os.close(write_end)
