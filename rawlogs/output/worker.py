"""Write from an event loop: a sink writes at once what is taken at once, and one thread does the waiting.

No buffer, no policy, no format.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import NoReturn

from rawlogs.output.file import FileSink
from rawlogs.output.sink import Kind, Sink, kind_of
from rawlogs.waiting import within


class AsyncSink:
    """Writes to a Sink in order, and in one thread what may have to wait, so that a slow reader never stops the loop.

    What a pipe or a socket takes without waiting, and what goes to a regular file, is written where the caller
    is: a change to the thread and back costs more than most writes. With ``at_once=False`` the thread writes all.
    Every method returns, or raises what the sink raised, when the sink is done with it: who awaits ``write``
    before taking the next logs is slowed down to the reader's pace. Cancelling gives up the waiting, not the
    bytes: a write that was handed in goes on, and if it fails the next call says so. The thread is a daemon:
    blocked for ever by a reader that stopped, it does not keep the process from ending, which a thread pool
    would.
    """

    def __init__(self, sink: Sink, *, look_every: float = 1.0, at_once: bool = True) -> None:
        self.sink = sink
        self.written = 0
        """Bytes that the sink took, or was handed."""
        self._at_once = at_once
        self._look_every = look_every
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pending = 0
        self._unheard: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Return whether something was handed in that the sink is not done with."""
        return self._pending > 0

    async def write(self, lines: bytes | bytearray) -> None:
        """Write whole lines, which the caller leaves alone. Returns when the system has taken them."""
        done = 0
        if self._at_once and not self.busy and self._unheard is None and not self._closed:
            done = self.sink.write_ready(lines)
        if done < len(lines):
            rest = lines if not done else bytes(memoryview(lines)[done:])
            await self._run(lambda: self.sink.write(rest))
        self.written += len(lines)

    def write_soon(self, lines: bytes | bytearray) -> bool:
        """Write whole lines at once, and hand what is not taken at once to the thread. False: nothing was done.

        Nothing is, while something else is on its way. What fails in the thread is told by the next call.
        """
        if not self._at_once or self._pending or self._unheard is not None or self._closed:
            return False
        done = self.sink.write_ready(lines)
        if done < len(lines):
            rest = bytes(memoryview(lines)[done:])
            self._hand_in(lambda: self.sink.write(rest)).cancel()
        self.written += len(lines)
        return True

    async def closed(self) -> NoReturn:
        """Wait until the reader has gone, also while nothing is written, and raise what a write would then raise.

        A pipe tells at once; a socket is looked at every ``look_every`` seconds. What has no reader (a file, a
        terminal) never ends this.
        """
        fd = self.sink.watched()
        if fd is None:
            await asyncio.get_running_loop().create_future()
        elif await _readable(fd):
            self.sink.refuse_gone_reader()
        # Also for a pipe that was opened for both ways, which is readable when something is in it.
        while True:
            await asyncio.sleep(self._look_every)
            self.sink.refuse_gone_reader()

    async def flush(self) -> None:
        """Return when all that was written before is delivered."""
        await self._run(self.sink.flush)

    async def reopen(self) -> None:
        """Open a FileSink's path anew, after what was written before; nothing for other sinks."""
        if isinstance(self.sink, FileSink):
            await self._run(self.sink.reopen)

    async def close(self, *, timeout: float = 5.0) -> bool:
        """Finish what was handed in and close the sink; False if ``timeout`` came first."""
        if self._closed:
            return not self.busy
        try:
            await within(timeout, self._run(self.sink.close))
        except TimeoutError:
            return False
        finally:
            self._closed = True
            self._jobs.put(None)
        return True

    async def _run(self, call: Callable[[], None]) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        await self._hand_in(call)

    def _hand_in(self, call: Callable[[], None]) -> asyncio.Future[None]:
        """Let the thread do this after what was handed in before; cancelling the future gives up the waiting alone."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=_work, args=(self._jobs,), name="rawlogs-output", daemon=True
            )
            self._thread.start()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def settle(error: BaseException | None) -> None:
            self._pending -= 1
            error, self._unheard = self._unheard or error, None
            if done.cancelled():
                self._unheard = error
            elif error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        def job() -> None:
            error: BaseException | None = None
            try:
                call()
            except BaseException as problem:
                error = problem
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(settle, error)

        self._pending += 1
        self._jobs.put(job)
        return done


async def _readable(fd: int) -> bool:
    """Wait for the end of a pipe that is written to: it becomes "readable" when its reader goes. False: cannot wait."""
    try:
        if kind_of(fd) is not Kind.PIPE:
            return False
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(fd, told.set)
    except (OSError, NotImplementedError, RuntimeError):  # RuntimeError: a transport of this loop has it
        return False
    try:
        await told.wait()
    finally:
        loop.remove_reader(fd)
    return True


def _work(jobs: SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # it holds a batch, and the next one may be long in coming
