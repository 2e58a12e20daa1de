"""Write lines to an open file or descriptor, without a buffer in between."""

from __future__ import annotations

import errno
import os
import select
import stat
import sys
import time
from contextlib import suppress
from enum import Enum
from io import UnsupportedOperation
from typing import BinaryIO

from rawlogs.errors import SinkError

_GONE = frozenset((errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_NOT_OPEN = "Was rawlogs started with its output closed (>&-)?"
_NOWAIT = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "pwritev") else 0
_UNSUPPORTED = frozenset((errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE))
_HUNG_UP = getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)


class Kind(Enum):
    """Tells what stands behind a descriptor, as far as waiting is concerned."""

    FILE = "file"
    """A regular file: it takes everything at once."""
    PIPE = "pipe"
    SOCKET = "socket"
    OTHER = "other"
    """A terminal, a device: nobody knows."""


class OutputClosed(Exception):
    """Says that the reader of the output went away, as ``head`` does when it has enough: a normal end, not an error."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the reader of {path} has closed it")
        self.path = path


class Sink:
    """Writes lines to a descriptor or a binary file.

    ``write`` returns when the system has taken every byte, so no buffer is lost on exit and each batch is
    seen at once; ``flush`` returns when nothing that was written can be lost by this process. Both may block
    for as long as the reader does not read, so an event loop uses them through ``worker.AsyncSink``. Both
    raise OutputClosed when the reader of a pipe has gone, from then on for good, and SinkError for anything else:
    also for a socket whose peer has gone, which nobody does on purpose. ``path`` names the output in texts.
    """

    def __init__(self, target: int | BinaryIO, *, path: str = "output") -> None:
        self.path = path
        self._fd = -1
        self._file: BinaryIO | None = None
        self._gone: Kind | None = None
        self._kind: tuple[int, Kind] | None = None  # of the descriptor that it was learnt of
        if isinstance(target, int):
            self._fd = target
        else:
            try:
                with suppress(OSError):  # the first write will tell
                    target.flush()  # what was written there before must stay before
                self._fd = target.fileno()
            except UnsupportedOperation:  # a file in memory
                self._file = target
            except ValueError as error:
                raise self._failure(error) from error

    def write(self, lines: bytes | bytearray) -> None:
        """Write all of these bytes. They must be whole lines if other writers share the output."""
        self._refuse_gone()
        try:
            self._write_all(lines)
        except (OSError, ValueError) as error:  # ValueError: the file object was closed under us
            raise self._told(error) from error

    def write_ready(self, lines: bytes | bytearray) -> int:
        """Write what is taken without waiting, and return how many bytes that were: 0 where it might have to wait.

        Raises what ``write`` raises.
        """
        if self._gone is not None or self._file is not None:
            self._refuse_gone()
            return 0
        try:
            if self._kind is None or self._kind[0] != self._fd:
                self._kind = (self._fd, kind_of(self._fd))
            kind = self._kind[1]
            if kind is not Kind.FILE:
                return write_without_waiting(self._fd, kind, lines)
        except OSError as error:
            raise self._told(error) from error
        self.write(lines)
        return len(lines)

    def watched(self) -> int | None:
        """Return the descriptor of a pipe or a socket, whose other side may go away; None for other outputs."""
        if self._file is not None:
            return None
        try:
            return self._fd if kind_of(self._fd) in (Kind.PIPE, Kind.SOCKET) else None
        except OSError:  # the next write will tell
            return None

    def refuse_gone_reader(self) -> None:
        """Look whether the other side is still there; if not, raise what a write would raise."""
        self._refuse_gone()
        fd = self.watched()
        if fd is not None and reader_gone(fd, kind_of(fd)):
            raise self._note_gone()

    def flush(self) -> None:
        """Return when all that was written is delivered."""
        self._refuse_gone()

    def close(self) -> None:
        """Give up the output. What the caller opened stays open."""

    def _on_closed(self) -> None:
        """Do what is to be done once when the reader has gone."""

    def _told(self, error: OSError | ValueError) -> OutputClosed | SinkError:
        """Return what the system says as what ``write`` raises."""
        number = error.errno if isinstance(error, OSError) else None
        if number in _GONE or (sys.platform == "win32" and number == errno.EINVAL):
            return self._note_gone()
        return self._failure(error)

    def _refuse_gone(self) -> None:
        if self._gone is not None:
            raise self._gone_error(self._gone)

    def _note_gone(self) -> OutputClosed | SinkError:
        """Remember that the other side has gone, for good, and return what says so."""
        self._gone = Kind.OTHER
        with suppress(OSError):
            self._gone = kind_of(self._fd)
        self._on_closed()
        return self._gone_error(self._gone)

    def _gone_error(self, kind: Kind) -> OutputClosed | SinkError:
        if kind is not Kind.SOCKET:
            return OutputClosed(self.path)
        return SinkError(
            f"cannot write to {self.path}: the other side has closed the connection", path=self.path
        )

    def _write_all(self, lines: bytes | bytearray) -> None:
        with memoryview(lines) as rest:
            done, total = 0, len(rest)
            while done < total:
                try:
                    done += self._write_some(rest[done:])
                except BlockingIOError:
                    # Someone set the pipe non-blocking: a parent process, or who shares the terminal.
                    _wait_writable(self._fd)

    def _write_some(self, lines: memoryview) -> int:
        if self._file is None:
            return os.write(self._fd, lines)
        written = self._file.write(lines)
        self._file.flush()
        return written or 0

    def _failure(self, error: Exception) -> SinkError:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        number = error.errno if isinstance(error, OSError) else None
        hint = None
        if number in _FULL:
            hint = "Free some space there, or write elsewhere; then start again."
        elif number == errno.EBADF:
            hint = _NOT_OPEN
        return SinkError(f"cannot write to {self.path}: {reason}", path=self.path, hint=hint)


class StdoutSink(Sink):
    """Writes lines to standard output.

    Once its reader has gone, standard output leads nowhere: at exit the interpreter flushes it again and
    would complain.
    """

    def __init__(self) -> None:
        buffer = getattr(sys.stdout, "buffer", None)  # None is what a closed descriptor 1 becomes
        if buffer is None:
            raise SinkError("cannot write to stdout: it is not open", path="stdout", hint=_NOT_OPEN)
        with suppress(OSError):
            sys.stdout.flush()
        super().__init__(buffer, path="stdout")

    def _on_closed(self) -> None:
        if self._fd < 0:
            return
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(null, self._fd)
            finally:
                os.close(null)


def _wait_writable(fd: int) -> None:
    if fd < 0 or sys.platform == "win32":
        time.sleep(0.01)
    elif hasattr(select, "poll"):  # select() knows no descriptor above 1023
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        poll.poll()
    else:
        select.select([], [fd], [])


def kind_of(fd: int) -> Kind:
    """Return what stands behind this descriptor. OSError where it is not open."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISFIFO(mode):
        return Kind.PIPE
    return Kind.SOCKET if stat.S_ISSOCK(mode) else Kind.OTHER


def write_without_waiting(fd: int, kind: Kind, lines: bytes | bytearray, *, nowait: int = _NOWAIT) -> int:
    """Write as many of these bytes as the system takes at once, and return how many: 0 also where it cannot be known.

    The descriptor keeps its mode: others may share it. Not for regular files, which need no such care. ``nowait`` is
    the system's flag for that, 0 where it has none. Raises OSError.
    """
    if nowait:
        try:
            return os.pwritev(fd, [lines], -1, nowait)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    if kind is not Kind.PIPE or not hasattr(select, "poll"):
        return 0
    done = 0
    with memoryview(lines) as rest:
        while done < len(rest) and _polled(fd, select.POLLOUT) & select.POLLOUT:
            # A pipe that is ready takes so much; of more it might take a part and let the writer wait for the rest.
            done += os.write(fd, rest[done : done + select.PIPE_BUF])
    return done


def reader_gone(fd: int, kind: Kind) -> bool:
    """Return whether the reader of a pipe, or the peer of a socket, has gone. False for others, or if it is unknown.

    A TCP peer that will send nothing more may still be reading: only the next write tells.
    """
    if kind not in (Kind.PIPE, Kind.SOCKET) or not hasattr(select, "poll"):
        return False
    return bool(_polled(fd, 0) & _HUNG_UP)


def _polled(fd: int, events: int) -> int:
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(0)
    return found[0][1] if found else 0
