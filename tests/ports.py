"""Ports of 127.0.0.1 that no other program gets: one where nobody listens, and one for a server still to be started."""

from __future__ import annotations

import atexit
import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_reserved: list[socket.socket] = []


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is taken, and on which nobody listens: connections to it are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def free_port() -> int:
    """Return a port for a server that sets SO_REUSEADDR, which may leave it and come back.

    Linux lets such a server listen on a port that another socket with this option has bound, so there the port stays
    bound until this process ends. It is below the range from which the systems choose ports: elsewhere one of those
    could be another connection's while the server is down, even that of the client which tries to reach it.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError):
            reserved = _bound(port, shared=False)
            if sys.platform == "linux":
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _reserved.append(reserved)
            else:
                reserved.close()
            return port


def is_free(port: int) -> bool:
    """Return whether a server that sets SO_REUSEADDR can listen on this port."""
    try:
        _bound(port).close()
    except OSError:
        return False
    return True


def _bound(port: int, *, shared: bool = True) -> socket.socket:
    bound = socket.socket()
    try:
        if shared and os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


@atexit.register
def _release() -> None:
    for reserved in _reserved:
        reserved.close()
