"""The fast way through a connection hands out what the library's way hands out, however the bytes arrive."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lines import (
    BINARY,
    CLOSE,
    CONT,
    FINAL,
    PING,
    PONG,
    RSV1,
    TEXT,
    Line,
    closing,
    connect,
    frame,
    key_of,
    response,
    text,
)
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSED

from rawlogs.wire.connection import ending
from rawlogs.wire.fast import WAIT_FOR, BatchConnection

MAX_SIZE = 1 << 17


def way(fast: bool) -> Any:
    return partial(BatchConnection, fast=fast)


def client_frames(written: bytes) -> list[tuple[int, bytes]]:
    """Opcodes and payloads of what the client wrote, all of it short and masked."""
    frames = []
    while written:
        first, size = written[0], written[1] & 0x7F
        mask, data, written = written[2:6], written[6 : 6 + size], written[6 + size :]
        frames.append((first, bytes(byte ^ mask[i & 3] for i, byte in enumerate(data))))
    return frames


@dataclass
class Outcome:
    """All that can be seen from outside of how a connection went."""

    messages: list[bytes] = field(default_factory=list)
    ending: object = None
    handshake: str = ""
    answered: object = None
    client: list[tuple[int, bytes]] = field(default_factory=list)


def run(
    stream: Sequence[bytes],
    cuts: Iterable[int],
    *,
    fast: bool,
    deflate: bool = False,
    fed: bool = False,
) -> Outcome:
    """Bring a response and what follows it, cut into reads at these places, and then the end of the line.

    The messages are read as batches at the end, or ``fed`` to a callback as they come.
    """

    async def go() -> Outcome:
        line = Line()
        connection = connect(line, way(fast), deflate=deflate, max_size=MAX_SIZE)
        messages: list[bytes] = []
        feeding = asyncio.ensure_future(connection.feed(messages.extend)) if fed else None
        await asyncio.sleep(0)
        agreed = [b"Sec-WebSocket-Extensions: permessage-deflate"] if deflate else []
        data = b"".join(stream).replace(b"(101)", response(key_of(connection), *agreed))
        places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        for start, end in pairwise(places):
            if start < end:
                connection.data_received(data[start:end])
        connection.eof_received()
        connection.connection_lost(None)
        outcome = Outcome(messages, client=client_frames(line.written))
        if feeding is not None:
            await feeding
        while batch := await connection.batch():
            assert not fed
            messages += batch
        outcome.ending = ending(connection)
        outcome.handshake = repr(connection.protocol.handshake_exc)
        if connection.response is not None:
            outcome.answered = (connection.response.status_code, connection.response.body)
        return outcome

    return asyncio.run(go())


def expect_the_same(stream: Sequence[bytes], cuts: Iterable[int], *, deflate: bool = False) -> Outcome:
    fast = run(stream, cuts, fast=True, deflate=deflate)
    assert fast == run(stream, cuts, fast=False, deflate=deflate)
    assert fast == run(stream, cuts, fast=True, deflate=deflate, fed=True)
    return fast


SIZES = st.sampled_from([0, 1, 5, 124, 125, 126, 127, 300, 65_531, 65_532, 65_533, 65_535, 65_536, 70_000])
PAYLOADS = st.builds(lambda size, byte: bytes([byte]) * size, SIZES, st.integers(0, 255))
SMALL = st.binary(max_size=10)
FRAGMENTS = st.builds(
    lambda kind, parts, between: b"".join(
        [
            frame(kind, parts[0]),
            *(between + frame(CONT, part) for part in parts[1:]),
            frame(FINAL | CONT, b"end"),
        ]
    ),
    st.sampled_from([TEXT, BINARY]),
    st.lists(PAYLOADS, min_size=1, max_size=3),
    st.sampled_from([b"", frame(FINAL | PING, b"in between"), text(b"not allowed here"), closing(1000)]),
)
GOOD = (
    st.builds(text, PAYLOADS)
    | st.builds(lambda payload: text(payload, width=8), SMALL)
    | st.builds(lambda payload: text(payload, width=2), SMALL)
    | st.builds(lambda payload: frame(FINAL | BINARY, payload), PAYLOADS)
    | st.builds(lambda kind, payload: frame(FINAL | kind, payload), st.sampled_from([PING, PONG]), SMALL)
    | FRAGMENTS
)
CLOSES = st.builds(closing, st.sampled_from([999, 1000, 1001, 1002, 1008, 1012, 3000, 4999, 65_535]), SMALL)
BAD = st.one_of(
    st.builds(lambda payload: text(payload, mask=True), SMALL),
    st.builds(lambda first, payload: frame(first, payload), st.integers(0, 255), SMALL),
    st.just(text(bytes(MAX_SIZE + 1))),
    st.just(b"\x81\x7f" + b"\xff" * 8),
    st.just(frame(FINAL | PING, bytes(126))),
    st.just(frame(PING, b"fragmented")),
    st.just(frame(FINAL | CONT, b"of nothing")),
    st.just(frame(FINAL | CLOSE)),
    st.just(frame(FINAL | CLOSE, b"x")),
    st.binary(max_size=20),
)
CUTS = st.lists(st.integers(0, 400_000), max_size=12)


@given(st.lists(GOOD, max_size=12), CUTS)
def test_good_frames_arrive_the_same_whichever_way_they_go(frames: list[bytes], cuts: list[int]) -> None:
    expect_the_same([b"(101)", *frames], cuts)


@given(st.lists(GOOD | CLOSES | BAD, max_size=8), CUTS, st.integers(0, 30))
@example([text(b"a"), closing(1000), text(b"b")], [], 0)
@example([text(b"a"), b"\x83\x7e"], [], 0)
@example([frame(TEXT, b""), text(b"a"), text(b"b")], [], 0)
def test_bad_frames_and_ends_mean_the_same_whichever_way_they_go(
    frames: list[bytes], cuts: list[int], missing: int
) -> None:
    stream = b"".join(frames)
    expect_the_same([b"(101)", stream[: max(len(stream) - missing, 0)]], cuts)


def squeeze(messages: Iterable[bytes]) -> list[bytes]:
    """Compressed messages, as one side of a connection sends them: each refers to those before it."""
    compress = zlib.compressobj(wbits=-15)
    return [(compress.compress(message) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in messages]


@given(st.lists(st.tuples(PAYLOADS, st.sampled_from(["plain", "squeezed", "in two"])), max_size=8), CUTS)
def test_compressed_messages_arrive_the_same_between_plain_ones(
    messages: list[tuple[bytes, str]], cuts: list[int]
) -> None:
    squeezed = squeeze(payload for payload, how in messages if how != "plain")
    frames = []
    for payload, how in messages:
        if how == "plain":
            frames.append(text(payload))
        elif how == "squeezed":
            frames.append(frame(FINAL | RSV1 | TEXT, squeezed.pop(0)))
        else:
            data = squeezed.pop(0)
            frames += [frame(RSV1 | TEXT, data[:1]), frame(FINAL | CONT, data[1:])]
    outcome = expect_the_same([b"(101)", *frames], cuts, deflate=True)
    assert outcome.messages == [payload for payload, _ in messages]


REFUSALS = [
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 12\r\n\r\nbody\r\n\r\nbody" + text(b"no message"),
    b"HTTP/1.1 500 Oops\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text(b"no message"),
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x03\x00\x02\x02\x46",
    b"HTTP/1.1 2",
    b"",
]


@pytest.mark.parametrize("stream", REFUSALS)
@given(cuts=CUTS)
def test_a_refused_upgrade_is_the_same_and_brings_no_messages(stream: bytes, cuts: list[int]) -> None:
    assert expect_the_same([stream], cuts).messages == []


def test_response_and_frames_may_be_cut_at_every_byte() -> None:
    fragments = [frame(TEXT, b"c"), frame(FINAL | PING, b"p"), frame(FINAL | CONT, b"d")]
    stream = [b"(101)", text(b"a"), text(b"b" * 130), *fragments, text(b"e"), closing(1012), text(b"late")]
    expected = expect_the_same(stream, [])
    assert expected.messages == [b"a", b"b" * 130, b"cd", b"e"]
    assert expected.ending == (1012, "", False)
    for cut in range(400):
        assert run(stream, [cut], fast=True) == expected
    assert run(stream, range(400), fast=True) == expected


@pytest.mark.parametrize(
    ("stream", "ended"),
    [
        pytest.param([], (1006, "", False), id="no close frame"),
        pytest.param([closing(1012)], (1012, "", False), id="a close frame"),
        pytest.param([frame(FINAL | CLOSE)], (1005, "", False), id="a close frame without a code"),
        pytest.param([closing(1008, b"Invalid token")], (1008, "Invalid token", False), id="a reason"),
        pytest.param([frame(FINAL | CLOSE, b"x")], (1002, "close frame too short", True), id="one byte"),
        pytest.param([closing(999)], (1002, "invalid status code", True), id="code 999"),
        pytest.param([text(b"a", mask=True)], (1002, "incorrect masking", True), id="masked"),
        pytest.param([frame(0x83)], (1002, "invalid opcode", True), id="bad opcode"),
        pytest.param([frame(0xA1, b"x")], (1002, "reserved bits must be 0", True), id="reserved bit"),
        pytest.param([text(bytes(70_000), width=8)[:-1]], (1006, "", False), id="an end within a frame"),
    ],
)
def test_how_it_ended_is_told(stream: list[bytes], ended: object) -> None:
    assert run([b"(101)", *stream], [], fast=True).ending == ended


def test_a_message_over_max_size_ends_the_connection_with_1009() -> None:
    outcome = expect_the_same([b"(101)", text(b"a"), text(bytes(MAX_SIZE + 1)), text(b"b")], [])
    assert (outcome.messages, cast(Any, outcome.ending)[0]) == ([b"a"], 1009)


@pytest.mark.parametrize("code", [TEXT, BINARY])
def test_fragments_over_max_size_end_the_connection_with_1009(code: int) -> None:
    half = bytes(MAX_SIZE // 2 + 1)
    outcome = expect_the_same([b"(101)", frame(code, half), frame(FINAL | CONT, half)], [])
    assert (outcome.messages, cast(Any, outcome.ending)[0]) == ([], 1009)


# Reading, and not reading


async def opened(line: Line, *, fast: bool = True) -> BatchConnection:
    connection = connect(line, way(fast))
    connection.data_received(response(key_of(connection)))
    return connection


async def test_a_batch_holds_what_has_arrived_since_the_last_one() -> None:
    connection = await opened(Line())
    connection.data_received(text(b"a") + text(b"b"))
    connection.data_received(text(b"c"))
    assert await connection.batch() == [b"a", b"b", b"c"]
    waiting = asyncio.ensure_future(connection.batch())
    await asyncio.sleep(0)
    assert not waiting.done()
    connection.data_received(text(b"d"))
    assert await waiting == [b"d"]


@pytest.mark.parametrize("fast", [True, False])
async def test_a_batch_waits_for_its_first_message(fast: bool) -> None:
    connection = await opened(Line(), fast=fast)
    waiting = asyncio.ensure_future(connection.batch())
    await asyncio.sleep(0)
    connection.data_received(frame(FINAL | PING) + text(b"whole")[:3])
    await asyncio.sleep(0)
    assert not waiting.done()
    connection.data_received(text(b"whole")[3:])
    assert await waiting == [b"whole"]


async def test_a_cancelled_batch_loses_nothing() -> None:
    connection = await opened(Line())
    waiting = asyncio.ensure_future(connection.batch())
    await asyncio.sleep(0)
    connection.data_received(text(b"a"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await connection.batch() == [b"a"]


async def test_the_end_is_told_after_the_last_message() -> None:
    connection = await opened(Line())
    connection.data_received(text(b"last"))
    connection.eof_received()
    connection.connection_lost(ConnectionResetError())
    assert [await connection.batch() for _ in range(3)] == [[b"last"], [], []]


async def test_the_end_wakes_whoever_waits() -> None:
    connection = await opened(Line())
    waiting = asyncio.ensure_future(connection.batch())
    await asyncio.sleep(0)
    connection.connection_lost(None)
    assert await waiting == []


@pytest.mark.parametrize("fast", [True, False])
async def test_a_callback_is_fed_within_each_read(fast: bool) -> None:
    """No task has to wake; what came before is given first; the end is told to whoever awaits the feeding."""
    connection = await opened(Line(), fast=fast)
    connection.data_received(text(b"early"))
    taken: list[list[bytes]] = []
    feeding = asyncio.ensure_future(connection.feed(taken.append))
    await asyncio.sleep(0)
    assert taken == [[b"early"]]
    connection.data_received(text(b"a") + text(b"b") + text(b"cut")[:4])
    connection.data_received(text(b"cut")[4:] + frame(FINAL | PING))
    assert taken == [[b"early"], [b"a", b"b"], [b"cut"]]
    await asyncio.sleep(0)
    assert not feeding.done()
    connection.data_received(text(b"last") + closing(1000))
    connection.connection_lost(None)
    await feeding
    assert (taken[3:], ending(connection)) == ([[b"last"]], (1000, "", False))


@pytest.mark.parametrize("fast", [True, False])
async def test_what_the_callback_raises_cuts_the_line_and_is_told(fast: bool) -> None:
    """Nothing is given to it any more."""
    line = Line()
    connection = await opened(line, fast=fast)
    taken: list[list[bytes]] = []

    def take(messages: list[bytes]) -> None:
        taken.append(messages)
        raise LookupError("no")

    feeding = asyncio.ensure_future(connection.feed(take))
    await asyncio.sleep(0)
    connection.data_received(text(b"a"))
    assert line.ended
    connection.data_received(text(b"b"))
    connection.connection_lost(None)
    with pytest.raises(LookupError, match="no"):
        await feeding
    assert taken == [[b"a"]]


async def test_feeding_reads_on_where_reading_was_paused() -> None:
    """Nothing waits in between any more."""
    line = Line()
    connection = await opened(line)
    for _ in range(34):
        connection.data_received(MEBIBYTE)
    assert line.paused
    taken: list[bytes] = []
    feeding = asyncio.ensure_future(connection.feed(taken.extend))
    await asyncio.sleep(0)
    assert (line.paused, len(taken)) == (False, 34 * 16)
    connection.connection_lost(None)
    await feeding


class AbortableLine(Line):
    """Aborting it ends the connection, as on a real one."""

    connection: BatchConnection

    def abort(self) -> None:
        self.connection.connection_lost(None)


@pytest.mark.parametrize("fast", [True, False])
async def test_a_connection_given_up_here_ends_although_the_peer_does_not_close(fast: bool) -> None:
    line = AbortableLine()
    line.connection = connection = connect(line, way(fast), close_timeout=0.01)
    connection.data_received(response(key_of(connection)) + text(b"last") + frame(0x83))
    assert [await connection.batch() for _ in range(2)] == [[b"last"], []]
    assert ending(connection) == (1002, "invalid opcode", True)


MEBIBYTE = text(bytes(WAIT_FOR - 10)) * 16


@pytest.mark.parametrize("fast", [True, False])
async def test_above_32_mebibytes_the_socket_is_not_read_until_a_batch_is_taken(fast: bool) -> None:
    line = Line()
    connection = await opened(line, fast=fast)
    for _ in range(32):
        connection.data_received(MEBIBYTE)
    assert not line.paused
    connection.data_received(MEBIBYTE)
    connection.data_received(MEBIBYTE)
    assert line.paused
    assert len(await connection.batch()) == 34 * 16
    assert not line.paused


class AnsweringLine(Line):
    """The peer answers a close frame, which arrives only while the line is read."""

    connection: BatchConnection

    def write(self, data: Any) -> None:
        super().write(data)
        if bytes(data)[0] == FINAL | CLOSE:
            asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        assert not self.paused
        self.connection.data_received(MEBIBYTE + closing(1000))
        assert not self.paused
        self.connection.connection_lost(None)


async def test_closing_reads_on_for_the_answer_stands_behind_what_was_not_read() -> None:
    line = AnsweringLine()
    line.connection = connection = await opened(line)
    for _ in range(34):
        connection.data_received(MEBIBYTE)
    assert line.paused
    await connection.close()
    assert connection.protocol.state is CLOSED
    assert ending(connection) == (1000, "", True)


@pytest.mark.parametrize("fast", [True, False])
async def test_messages_still_arrive_between_our_close_frame_and_its_answer(fast: bool) -> None:
    connection = await opened(Line(), fast=fast)
    connection.protocol.send_close(1000)
    connection.data_received(text(b"a") + frame(FINAL | PING) + text(b"b") + closing(1000) + text(b"c"))
    connection.connection_lost(None)
    assert (await connection.batch(), ending(connection)) == ([b"a", b"b"], (1000, "", True))


async def test_frames_of_the_library_and_of_the_lane_keep_their_order_in_one_read() -> None:
    connection = await opened(Line())
    connection.data_received(
        text(b"1")
        + frame(FINAL | BINARY, b"2")
        + text(b"3")
        + frame(TEXT, b"4")
        + frame(FINAL | PING, b"")
        + frame(FINAL | CONT, b".")
        + text(b"5")
        + text(b"6" * WAIT_FOR)
        + text(b"7")
    )
    assert [message[:2] for message in await connection.batch()] == [
        b"1",
        b"2",
        b"3",
        b"4.",
        b"5",
        b"66",
        b"7",
    ]


def test_the_opcodes_of_these_tests_are_the_librarys() -> None:
    assert [TEXT, BINARY, CONT, CLOSE, PING, PONG] == [
        Opcode.TEXT,
        Opcode.BINARY,
        Opcode.CONT,
        Opcode.CLOSE,
        Opcode.PING,
        Opcode.PONG,
    ]
    assert frame(FINAL | TEXT, b"x" * 300) == Frame(Opcode.TEXT, b"x" * 300).serialize(mask=False)
