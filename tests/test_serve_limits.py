"""What one client may take of ``rawlogs serve``: time, connections, memory, lines on stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from browser.serving import serving
from streaming import eventually

from rawlogs.serve.limits import MOST, Limits, limits_for
from rawlogs.serve.quiet import EVERY, MOST_KINDS, OnceAMinute
from rawlogs.testing import FakeServer

TOKEN = "correct-horse-battery-staple"
SOON = 0.2
"""Seconds of a limit that a test waits for; nothing is said about how long it really took."""
HEAD = b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n"


# Which limits


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(None, MOST), (1 << 20, MOST), (1024, 896), (256, 128), (64, 32), (8, 4)],
)
def test_there_are_fewer_connections_than_descriptors(descriptors: int | None, connections: int) -> None:
    assert limits_for(descriptors).connections == connections


# Lines on stderr


def record(text: str, *args: object, name: str = "a") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, __file__, 1, text, args, None)


def test_of_each_kind_of_line_one_a_minute_is_let_through() -> None:
    now = [0.0]
    quiet = OnceAMinute(lambda: now[0])
    assert [quiet.filter(record("full: %d", n)) for n in range(3)] == [True, False, False]
    assert quiet.filter(record("another"))
    assert quiet.filter(record("full: %d", 1, name="b"))
    now[0] = EVERY - 0.1
    assert not quiet.filter(record("full: %d", 3))
    now[0] = EVERY
    later = record("full: %d", 4)
    assert quiet.filter(later)
    assert later.getMessage() == "full: 4 (3 more of these since the last such line)"
    assert not quiet.filter(record("full: %d", 5))


def test_however_many_kinds_there_are_few_are_remembered() -> None:
    quiet = OnceAMinute(lambda: 0.0)
    for number in range(MOST_KINDS + 1):
        assert quiet.filter(record(f"kind {number}"))
    assert quiet.filter(record("kind 0"))
    assert not quiet.filter(record(f"kind {MOST_KINDS}"))


# Connections


@asynccontextmanager
async def connected(url: str, sent: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    try:
        writer.write(sent)
        yield reader
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def port_of(url: str) -> int:
    return int(url.rstrip("/").rpartition(":")[2])


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server ends the connection, however it does."""
    found = b""
    with suppress(ConnectionResetError):
        while part := await asyncio.wait_for(reader.read(65536), 60):
            found += part
    return found


async def ask(url: str, path: str = "page.css") -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return (await client.get(url + path)).status_code


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(HEAD, b"408", id="half a head"),
        pytest.param(HEAD.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\n", b"", id="no body"),
        pytest.param(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken",
            b"408",
            id="half a body",
        ),
        pytest.param(
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ntoken\r\n",
            b"408",
            id="a body without an end",
        ),
        pytest.param(HEAD + b"\r\n" + HEAD, b"200", id="half a head behind a request"),
        pytest.param(
            HEAD + b"\r\nPOST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
            b"200",
            id="half a body behind a request",
        ),
    ],
)
async def test_a_request_that_is_never_complete_ends(
    sent: bytes, answer: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a word where something was asked; also one that came behind another on the same connection."""
    async with (
        FakeServer() as fake,
        serving(fake.api_url, token=TOKEN, limits=Limits(head=SOON, body=SOON)) as url,
        connected(url, sent) as reader,
    ):
        found = await to_the_end(reader)
        if answer:
            assert found.startswith(b"HTTP/1.1 " + answer)
    assert capfd.readouterr().err == ""


async def test_bytes_that_trickle_do_not_lengthen_the_time() -> None:
    async with FakeServer() as fake, serving(fake.api_url, limits=Limits(head=SOON)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
        ended = asyncio.ensure_future(to_the_end(reader))
        writer.write(HEAD)
        with suppress(OSError):
            while not ended.done():
                writer.write(b"X: y\r\n")
                await writer.drain()
                await asyncio.wait({ended}, timeout=SOON / 10)
        assert b"408" in await ended
        writer.close()


async def test_a_stream_outlives_the_time_for_its_request() -> None:
    limits = Limits(head=SOON, body=SOON, write=SOON)
    async with (
        FakeServer() as fake,
        serving(fake.api_url, limits=limits) as url,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", f"{url}logs") as stream,
    ):
        parts = stream.aiter_text()
        assert await anext(parts)
        async with connected(url, b"") as reader:  # somebody else's time has run out meanwhile
            await to_the_end(reader)
        fake.post("still here")
        text = ""
        while "still here" not in text:
            text += await anext(parts)
        await parts.aclose()


async def test_300_half_requests_keep_nobody_out() -> None:
    """They are more than there may be connections: the oldest of them make room."""
    limits = Limits(head=600, connections=20)
    async with FakeServer() as fake, serving(fake.api_url, limits=limits) as url:
        halves = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(300)]
        try:
            for _, writer in halves:
                writer.write(HEAD)
            assert await ask(url) == 200
            for reader, _ in halves[:270]:  # 20 are open, and 10 more may be about to be closed
                assert await to_the_end(reader) == b""
        finally:
            for _, writer in halves:
                writer.close()


@asynccontextmanager
async def streams(url: str, count: int) -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connections that read the stream, by what closes them."""
    opened = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(count)]
    try:
        for reader, writer in opened:
            writer.write(b"GET /logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" in await reader.readline()
        yield [writer for _, writer in opened]
    finally:
        for _, writer in opened:
            writer.close()


async def test_beyond_the_bound_of_connections_the_answer_is_503_until_one_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Those that read a stream make no room; one line says so, however many are turned away."""
    limits = Limits(connections=3, refusal=600)
    async with (
        FakeServer() as fake,
        serving(fake.api_url, limits=limits) as url,
        streams(url, 3) as reading,
    ):
        for _ in range(10):
            async with connected(url, HEAD + b"\r\n") as reader:
                found = await to_the_end(reader)
                assert found.startswith(b"HTTP/1.1 503 ") and b"retry-after: " in found
                assert b"content-security-policy: default-src 'none'" in found
        full = [record for record in caplog.records if record.name == "rawlogs.serve"]
        assert [record.getMessage() for record in full] == [
            "3 connections are open: further ones are answered with 503"
        ]
        reading[0].close()
        statuses = [await ask(url)]  # it may not have been noticed yet
        while statuses[-1] == 503:
            statuses.append(await ask(url))
        assert statuses[-1] == 200


async def test_those_to_be_turned_away_that_say_nothing_do_not_stay() -> None:
    """Nor do those beyond the number that is told why."""
    limits = Limits(connections=1, turned_away=5, refusal=SOON)
    async with FakeServer() as fake, serving(fake.api_url, limits=limits) as url, streams(url, 1):
        silent = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(20)]
        for reader, writer in silent:
            assert await to_the_end(reader) == b""
            writer.close()


MESSAGES = [f"{number} {'x' * 60_000}" for number in range(20)]
"""More than the systems of both sides keep for one reader that does not read."""


@asynccontextmanager
async def deaf_readers(url: str, count: int) -> AsyncIterator[list[socket.socket]]:
    """Readers of the stream that have joined and read nothing."""
    loop = asyncio.get_running_loop()
    deaf: list[socket.socket] = []
    try:
        for _ in range(count):
            deaf.append(one := socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            await loop.sock_connect(one, ("127.0.0.1", port_of(url)))
            await loop.sock_sendall(one, b"GET /logs HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for one in deaf:
            await loop.sock_recv(one, 1)  # the head has come: the reader has joined
        yield deaf
    finally:
        for one in deaf:
            one.close()


async def test_400_readers_that_do_not_read_are_let_go() -> None:
    """What was still to be sent to them is dropped, and their connections are free again."""
    async with (
        FakeServer() as fake,
        serving(fake.api_url, limits=Limits(write=SOON)) as url,
        deaf_readers(url, 400) as deaf,
    ):
        fake.post(MESSAGES)
        # Nothing is read before all have been cut: one that reads in time is not deaf, and stays.
        await asyncio.gather(*map(cut, deaf))
        for got in await asyncio.gather(*map(drained, deaf)):
            assert not got.endswith(b"0\r\n\r\n") and len(got) < sum(map(len, MESSAGES))
        assert await ask(url) == 200


async def test_400_readers_that_do_not_read_disturb_nobody() -> None:
    """One that reads gets everything while they are there."""
    async with (
        FakeServer() as fake,
        serving(fake.api_url, limits=Limits(write=600)) as url,
        deaf_readers(url, 400),
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", f"{url}logs") as stream,
    ):
        parts = stream.aiter_bytes()
        assert await anext(parts)
        fake.post(MESSAGES)
        fake.post("and on")
        wanted = {b'"%d x' % number for number in range(20)} | {b'"and on"'}
        tail = b""
        while wanted:
            tail = tail[-20:] + await anext(parts)
            wanted -= {mark for mark in wanted if mark in tail}
        await parts.aclose()


async def cut(one: socket.socket) -> None:
    """Wait until the server has reset the connection, without reading from it."""
    await eventually(lambda: one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 60)


async def drained(one: socket.socket) -> bytes:
    """What had been sent until the server had cut the connection."""
    loop, found = asyncio.get_running_loop(), b""
    with suppress(ConnectionResetError):
        while part := await asyncio.wait_for(loop.sock_recv(one, 1 << 20), 60):
            found += part
    return found


# The command


@asynccontextmanager
async def command(descriptors: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """``rawlogs serve`` with so many descriptors, and its URL."""
    serve = f"exec {sys.executable} -m rawlogs serve --port 0 --api-url http://127.0.0.1:9/api"
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", f"ulimit -n {descriptors}; {serve}", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        found = re.findall(r"http://\S+/", (await process.stderr.readline()).decode())
        await process.stderr.readline()
        yield process, found[0]
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.skipif(os.name != "posix", reason="a limit of descriptors")
async def test_where_no_descriptor_is_left_one_line_says_so_and_it_goes_on() -> None:
    """All come while it cannot accept: more than it has descriptors for."""
    async with command(32) as (process, url):
        process.send_signal(signal.SIGSTOP)
        waiting = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(60)]
        process.send_signal(signal.SIGCONT)
        assert process.stderr is not None
        said = await process.stderr.readline()
        assert said.decode() == "no descriptors are left: no connection can be accepted\n"
        for _, writer in waiting:
            writer.close()
        assert await ask(url) == 200
        process.terminate()
        assert await process.stderr.read() == b""


@pytest.mark.skipif(os.name != "posix", reason="a limit of descriptors")
async def test_with_256_descriptors_300_half_requests_cost_one_line_at_most() -> None:
    async with command(256) as (process, url):
        halves = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(300)]
        for _, writer in halves:
            writer.write(HEAD)
        for _ in range(5):
            assert await ask(url) == 200
        for _, writer in halves:
            writer.close()
        process.terminate()
        assert process.stderr is not None
        said = (await process.stderr.read()).decode()
        assert said.count("\n") <= 1 and "Traceback" not in said, said
