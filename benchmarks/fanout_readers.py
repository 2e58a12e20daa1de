"""Many cheap readers of one event stream in one process: bare sockets, an epoll, no HTTP and no JSON is decoded.

    python -m benchmarks.fanout_readers PORT READERS QUERY

It prints JSON lines: how many have had their first bytes, when all have or the time for that is over; twice a second,
how much was delivered; and when a line with the times of the POSTs has come on its stdin, what became of the logs.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from itertools import islice

from benchmarks.tables import percentile

PATIENCE = 60.0
"""Seconds in which readers that are let in at all have had their first bytes."""
AT_ONCE = 50
"""Connections that are opened before the first of them was answered."""
_NUMBER = re.compile(rb'"message":"(\d{6}) ')


class Received:
    """What one reader got: the numbers of its logs, and how many came at which moment (of `time.time()`)."""

    __slots__ = ("_tail", "counts", "moments", "numbers")

    def __init__(self) -> None:
        self.numbers = array("I")
        self.moments = array("d")
        self.counts = array("I")
        self._tail = b""

    def feed(self, data: bytes, now: float) -> int:
        """How many logs these bytes complete."""
        # An event's data is one line; what is behind the last line end is looked at when more has come.
        whole, end, rest = data.rpartition(b"\n")
        if not end:
            self._tail += rest
            return 0
        found = _NUMBER.findall(self._tail + whole if self._tail else whole)
        self._tail = rest
        if found:
            self.numbers.extend(map(int, found))
            self.moments.append(now)
            self.counts.append(len(found))
        return len(found)


def judge(received: Sequence[Received], sent: Mapping[int, float]) -> dict[str, float | int | None]:
    """What became of the logs that were sent, by their numbers; delays in seconds."""
    delays = array("d")
    missing = repeats = incomplete = 0
    for one in received:
        seen: set[int] = set()
        numbers = iter(one.numbers)
        for moment, count in zip(one.moments, one.counts, strict=True):
            for number in islice(numbers, count):
                if number not in seen and number in sent:
                    seen.add(number)
                    delays.append(moment - sent[number])
        repeats += len(one.numbers) - len(seen)
        missing += len(sent) - len(seen)
        incomplete += len(seen) < len(sent)
    ordered = sorted(delays)
    return {
        "delivered": len(ordered),
        "missing": missing,
        "repeats": repeats,
        "incomplete": incomplete,
        "delay_p50": percentile(ordered, 0.5) if ordered else None,
        "delay_p99": percentile(ordered, 0.99) if ordered else None,
        "delay_max": ordered[-1] if ordered else None,
    }


class Crowd:
    """The readers of one process, all with one query."""

    def __init__(self, port: int, query: str) -> None:
        self._port = port
        self._request = (
            f"GET /logs?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        self._poll = select.epoll()
        self._sockets: dict[int, tuple[socket.socket, Received]] = {}
        self._heads: dict[int, bytes] = {}
        self.received: list[Received] = []
        """Of the readers that had their first bytes."""
        self.delivered = 0
        self.lost = 0
        """Connections that were closed by the other side."""

    def join(self, count: int) -> None:
        """Let so many in, ``AT_ONCE`` at a time, until all had their first bytes or ``PATIENCE`` is over."""
        deadline = time.monotonic() + PATIENCE
        while (count or self._heads) and time.monotonic() < deadline:
            while count and len(self._heads) < AT_ONCE:
                self._open()
                count -= 1
            self.turn(0.1)
        for fd in list(self._heads):
            self._close(fd)

    def turn(self, seconds: float) -> None:
        """Take what there is, or wait for it."""
        for fd, _ in self._poll.poll(seconds):
            if fd not in self._sockets:
                continue
            connection, received = self._sockets[fd]
            try:
                data = connection.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                self._close(fd)
                continue
            self.delivered += received.feed(data, time.time())
            if fd in self._heads:
                self._heads[fd] += data
                head, _, body = self._heads[fd].partition(b"\r\n\r\n")
                if body and head.startswith(b"HTTP/1.1 200"):
                    del self._heads[fd]
                    self.received.append(received)

    def serve(self) -> str:
        """Until a line comes on stdin; that line."""
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        told = time.monotonic()
        while not select.select([sys.stdin], [], [], 0)[0]:
            self.turn(0.1)
            if time.monotonic() >= told + 0.5:
                told = time.monotonic()
                say({"delivered": self.delivered, "lost": self.lost})
        return sys.stdin.readline()

    def _open(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.sendall(self._request)
        connection.setblocking(False)
        fd = connection.fileno()
        self._sockets[fd], self._heads[fd] = (connection, Received()), b""
        self._poll.register(fd, select.EPOLLIN)

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._sockets.pop(fd)[0].close()
        self._heads.pop(fd, None)
        self.lost += 1


def say(facts: dict[str, float | int | None]) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("readers", type=int)
    parser.add_argument("query")
    chosen = parser.parse_args()
    crowd = Crowd(chosen.port, chosen.query)
    crowd.join(chosen.readers)
    say({"began": len(crowd.received)})
    before = time.process_time()
    sent = dict(json.loads(crowd.serve()))
    cpu = time.process_time() - before
    say({"readers_cpu": cpu, **judge(crowd.received, sent)})


if __name__ == "__main__":
    main()
