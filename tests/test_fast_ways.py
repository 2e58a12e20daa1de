"""From the bytes of a connection to the bytes of the output: the fast ways give what the careful ones give.

Frames of every shape, cut into reads anywhere.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from clocks import FakeClock
from hypothesis import example, given
from hypothesis import strategies as st
from lines import BINARY, CONT, FINAL, PING, TEXT, Line, closing, connect, frame, key_of, response, text
from listing import admit

from rawlogs.output.ecs import EcsFormat
from rawlogs.output.formats import encode_batch
from rawlogs.output.json import JsonFormat
from rawlogs.output.logfmt import LogfmtFormat
from rawlogs.output.otel import OtelFormat
from rawlogs.output.raw import RawFormat
from rawlogs.output.text import TextFormat
from rawlogs.rest.names import RunNames
from rawlogs.seen import SeenIds
from rawlogs.wire.fast import BatchConnection
from rawlogs.wire.frames import decode_batch

RUN = UUID("11111111-2222-4333-8444-555555555555")
FORMATS: dict[str, Any] = {
    "json": JsonFormat,
    "json with names": partial(JsonFormat, {RUN: RunNames("happy-otter")}),
    "raw": RawFormat,
    "text": TextFormat,
    "otel": partial(OtelFormat, clock=FakeClock()),
    "ecs": EcsFormat,
    "logfmt": LogfmtFormat,
}


def payload(**fields: Any) -> bytes:
    """A log as servers write it, unless the fields make it another."""
    log = {
        "id": "01a20537-c002-7db3-8e59-6c5b0fa42bcb",
        "created": None,
        "updated": None,
        "name": "prefect.flow_runs",
        "level": 20,
        "message": "m",
        "timestamp": "2026-11-22T21:44:27.483834Z",
        "flow_run_id": str(RUN),
        "task_run_id": None,
        **fields,
    }
    written = json.dumps({"type": "log", "log": log}, separators=(",", ":"), ensure_ascii=False)
    return written.encode(errors="surrogatepass")


LOGS = st.builds(
    payload,
    id=st.integers(0, 5).map(lambda number: f"01a20537-c002-7db3-8e59-00000000000{number}")
    | st.uuids().map(str),
    name=st.sampled_from(["prefect.flow_runs", "", "é\n", "\x1b"]),
    level=st.sampled_from([0, 10, 20, 25, 50, 1000, "20", None]),
    message=st.text(st.characters(), max_size=12) | st.text('\\"\n\x1b\x7f\u2028é/u0', max_size=10),
    timestamp=st.sampled_from(
        [
            "2026-11-22T21:44:27.483834Z",
            "2026-11-22T21:44:27.000000Z",
            "2026-11-22T21:44:28.000001Z",
            "2026-11-22T21:44:27Z",
            "2026-02-30T00:00:00.000001Z",
            "2026-11-22T21:44:27.483834+01:00",
        ]
    ),
    flow_run_id=st.sampled_from([str(RUN), None, "no run"]),
)
ODD = st.sampled_from(
    [b"", b"{}", b"junk", b'{"type":"auth_success"}', b'{"type":"event","event":{}}', b"\xff", payload()[:-1]]
) | st.builds(lambda log, at: log[:at] + b"\n" + log[at:], LOGS, st.integers(0, 200))
PAYLOADS = LOGS | LOGS | ODD
WHOLE = st.builds(text, PAYLOADS) | st.builds(lambda data: frame(FINAL | BINARY, data), PAYLOADS)
FRAGMENTS = st.builds(
    lambda data, at: frame(TEXT, data[:at]) + frame(FINAL | PING, b"p") + frame(FINAL | CONT, data[at:]),
    PAYLOADS,
    st.integers(0, 300),
)
FRAMES = st.lists(
    WHOLE | WHOLE | FRAGMENTS | st.just(frame(FINAL | PING)) | st.just(closing(1012)), max_size=8
)


def output(
    stream: bytes, cuts: Iterable[int], form: str, *, fast: bool
) -> tuple[bytes, list[Any], list[str]]:
    """What is written, the frames that are no logs, and the ids that were written."""

    async def go() -> tuple[bytes, list[Any], list[str]]:
        connection = connect(Line(), partial(BatchConnection, fast=fast), max_size=1 << 17)
        connection.data_received(response(key_of(connection)))
        written, odd, ids = bytearray(), [], []
        seen, encoder = SeenIds(), FORMATS[form]()

        def take(payloads: list[bytes]) -> None:
            batch, others = decode_batch(payloads, keep=True, fast=fast)
            if fast:
                new = batch.keep(seen.admit_batch(batch, lambda: 0.0))
                written.extend(encode_batch(encoder, new))
            else:
                new = admit(seen, batch, 0.0)
                written.extend(b"".join(encoder.encode(log) for log in new))
            odd.extend(others)
            ids.extend(log.id_text for log in new)

        feeding = asyncio.ensure_future(connection.feed(take))
        await asyncio.sleep(0)
        places = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
        for start, end in pairwise(places):
            if start < end:
                connection.data_received(stream[start:end])
        connection.eof_received()
        connection.connection_lost(None)
        await feeding
        return bytes(written), odd, ids

    return asyncio.run(go())


@pytest.mark.parametrize("form", FORMATS)
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 3000), max_size=8))
@example(frames=[text(payload()), text(payload())], cuts=[1])
def test_the_same_bytes_come_out(form: str, frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames)
    assert output(stream, cuts, form, fast=True) == output(stream, cuts, form, fast=False)


def test_the_bytes_that_come_out_do_not_depend_on_how_they_came_in() -> None:
    """Cut at every byte."""
    stream = text(payload()) + text(payload(id=str(RUN), message="é")) + text(b"junk")
    expected = output(stream, [], "json", fast=False)
    assert expected[0].count(b"\n") == 2 and len(expected[1]) == 1
    for cut in range(len(stream)):
        assert output(stream, [cut], "json", fast=True) == expected
    assert output(stream, range(len(stream)), "json", fast=True) == expected
