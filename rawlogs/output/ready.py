"""Write without waiting: what an output takes at once, and whether its reader is still there. Nothing blocks here."""

from __future__ import annotations

import errno
import os
import select
import stat
from enum import Enum

_NOWAIT = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "pwritev") else 0
_UNSUPPORTED = frozenset((errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE))
_GONE = getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)


class Kind(Enum):
    """Tells what stands behind a descriptor, as far as waiting is concerned."""

    FILE = "file"
    """A regular file: it takes everything at once."""
    PIPE = "pipe"
    SOCKET = "socket"
    OTHER = "other"
    """A terminal, a device: nobody knows."""


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
    return bool(_polled(fd, 0) & _GONE)


def _polled(fd: int, events: int) -> int:
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(0)
    return found[0][1] if found else 0
