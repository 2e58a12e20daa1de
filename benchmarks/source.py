"""A server of logs that is never what a client waits for: blocking sockets, frames made in advance.

It speaks just enough of Prefect's API: the WebSocket handshake, auth and filter of ``/logs/out``, pongs, an empty
REST list, server settings that say that logs are streamed. A second after the filter it pushes all its logs, each with
an id of its own and stamped with the second in which the push begins, and then is silent. It does not negotiate
compression. Run as a module it prints its port as JSON, and ends when its stdin does. With ``--ahead N`` it never has
more than N logs, and a chunk, on the way: stdin then says, a number a line, how many the client has delivered.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from uuid import UUID

from benchmarks.machine import SERVER_CORE, pin

QUIET = 1.0
"""Seconds between the filter and the first log: a client's first REST requests are then over."""
CHUNK = 1 << 20
_STAMP = "2000-01-01T00:00:00"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ANSWERS = {
    "/api/logs/filter": "[]",
    "/api/admin/version": '"3.8.8"',
    "/api/admin/settings": '{"server":{"logs":{"stream_out_enabled":true,"stream_publishing_enabled":true}}}',
}
_WORDS = re.findall(
    r"\S+",
    "Finished in state Completed() Downloaded batch of rows from the warehouse table orders "
    "retrying request after timeout uploading part to bucket validated schema of partition",
)


class Allowance:
    """How many logs may be on their way: the one that pushes waits until the client has delivered enough."""

    def __init__(self, ahead: int | None) -> None:
        self._ahead = ahead
        self._delivered = 0
        self._changed = threading.Condition()

    def delivered(self, count: int) -> None:
        """The present client has delivered so many."""
        with self._changed:
            self._delivered = count
            self._changed.notify_all()

    def wait(self, sent: int) -> None:
        """Until more may be sent than so many."""
        if self._ahead is not None:
            ahead = self._ahead
            with self._changed:
                self._changed.wait_for(lambda: sent - self._delivered <= ahead)


def frames(count: int, size_of_chunk: int = CHUNK) -> list[bytes]:
    """That many WebSocket frames with different logs, joined to chunks of about that size that end where frames end.

    A log is as a Prefect 3.8.8 server sends it: same keys, same order; messages of 80 to 200 characters.
    """
    rng = random.Random(0)
    bodies = [" ".join(rng.choices(_WORDS, k=40)) for _ in range(997)]
    run, task = UUID(int=rng.getrandbits(128), version=4), UUID(int=rng.getrandbits(128), version=4)
    chunks, chunk, size = [], [], 0
    for number in range(count):
        log_id = UUID(int=(0x01A20537C002_7000_8000 << 48) | number * 0x9E3779B1 % (1 << 48))
        message = f"{number:07d} {bodies[number % 997]}"[: 80 + number % 121]
        text = (
            f'{{"type":"log","log":{{"id":"{log_id}","created":null,"updated":null,'
            f'"name":"prefect.task_runs","level":20,"message":"{message}",'
            f'"timestamp":"{_STAMP}.{number % 1_000_000:06d}Z",'
            f'"flow_run_id":"{run}","task_run_id":"{task}"}}}}'
        ).encode()
        chunk.append(b"\x81\x7e" + struct.pack(">H", len(text)) + text)
        size += len(chunk[-1])
        if size >= size_of_chunk:
            chunks.append(b"".join(chunk))
            chunk, size = [], 0
    return [*chunks, b"".join(chunk)]


def serve(chunks: list[bytes], allowance: Allowance) -> int:
    """Answer on a port of its own, a thread for each connection; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_converse, args=(connection, chunks, allowance), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def _converse(connection: socket.socket, chunks: list[bytes], allowance: Allowance) -> None:
    with connection, connection.makefile("rb") as reader:
        try:
            while request := reader.readline():
                path = request.split()[1].decode()
                headers = dict(_headers(reader.readline))
                if "sec-websocket-key" in headers:
                    _stream(connection, reader.read, headers["sec-websocket-key"], chunks, allowance)
                    return
                reader.read(int(headers.get("content-length", 0)))
                connection.sendall(_response(path))
        except (OSError, IndexError, ValueError):  # the client has gone
            return


def _headers(readline: Callable[[], bytes]) -> list[tuple[str, str]]:
    found = []
    while line := readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        found.append((name.lower(), value.strip()))
    return found


def _response(path: str) -> bytes:
    status = "200 OK" if path in _ANSWERS else "422 Unprocessable Entity"
    body = _ANSWERS.get(path, '{"detail":"CSRF protection is disabled."}')
    return (
        f"HTTP/1.1 {status}\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _stream(
    connection: socket.socket,
    read: Callable[[int], bytes],
    key: str,
    chunks: list[bytes],
    allowance: Allowance,
) -> None:
    accept = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()
    connection.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: prefect\r\n\r\n".encode()
    )
    sending = threading.Lock()

    def push() -> None:
        time.sleep(QUIET)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()).encode()
        stamped = [chunk.replace(_STAMP.encode(), stamp) for chunk in chunks]
        sent = 0
        try:
            for chunk in stamped:
                allowance.wait(sent)
                with sending:
                    connection.sendall(chunk)
                sent += chunk.count(b'{"type":"log"')
        except OSError:
            return

    while True:
        first, second = read(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(read(2), "big")
        mask, payload = read(4), read(size)
        data = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        if first == 0x81:
            kind = json.loads(data)["type"]
            if kind == "auth":
                with sending:
                    connection.sendall(_frame(0x81, b'{"type":"auth_success"}'))
            elif kind == "filter":
                threading.Thread(target=push, daemon=True).start()
        elif first in (0x88, 0x89):
            with sending:
                connection.sendall(_frame(0x88 if first == 0x88 else 0x8A, data))
            if first == 0x88:
                return


def _frame(first: int, payload: bytes) -> bytes:
    return bytes([first, len(payload)]) + payload


def main() -> None:
    parser = argparse.ArgumentParser(description="A fast source of logs for the speed benchmark.")
    parser.add_argument("logs", type=int)
    parser.add_argument("--ahead", type=int, metavar="N")
    parser.add_argument("--single", action="store_true", help="send each log by itself")
    chosen = parser.parse_args()
    pin(SERVER_CORE)
    allowance = Allowance(chosen.ahead)
    print(
        json.dumps({"port": serve(frames(chosen.logs, 1 if chosen.single else CHUNK), allowance)}), flush=True
    )
    for line in sys.stdin:
        allowance.delivered(int(line))


if __name__ == "__main__":
    main()
