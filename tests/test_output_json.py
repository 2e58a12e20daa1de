"""Logs as JSON lines: every field, one line, and the same text back."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.models import Log
from rawlogs.output.escape import HIDDEN
from rawlogs.output.formats import encode_batch
from rawlogs.output.json import JsonFormat, encode_object
from rawlogs.output.raw import RawFormat
from rawlogs.rest.names import RunNames
from rawlogs.wire.frames import decode_batch

WIRE: dict[str, Any] = {
    "id": "00000000-0000-4000-8000-000000000001",
    "created": None,
    "updated": None,
    "name": "prefect.flow_runs",
    "level": 20,
    "message": "hello",
    "timestamp": "2026-01-02T03:04:05.678901Z",
    "flow_run_id": "11111111-2222-4333-8444-555555555555",
    "task_run_id": None,
}
RUN = UUID(WIRE["flow_run_id"])


def make_log(message: str = "hello", raw: bytes | None = None, **fields: Any) -> Log:
    """A log as the wire gives it."""
    return Log.from_wire(WIRE | {"message": message} | fields, raw)


def parsed(log: Log) -> dict[str, Any]:
    line = JsonFormat().encode(log)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    result: dict[str, Any] = json.loads(line)
    return result


def test_every_field_is_there_in_a_stable_order() -> None:
    """The keys of a log, always all of them, and the level's name."""
    assert list(parsed(make_log()).items()) == [
        ("id", "00000000-0000-4000-8000-000000000001"),
        ("created", None),
        ("updated", None),
        ("name", "prefect.flow_runs"),
        ("level", 20),
        ("message", "hello"),
        ("timestamp", "2026-01-02T03:04:05.678901Z"),
        ("flow_run_id", "11111111-2222-4333-8444-555555555555"),
        ("task_run_id", None),
        ("level_name", "INFO"),
    ]


def test_keys_that_the_wire_left_out_are_null() -> None:
    """A reader need not ask whether a key is there."""
    log = Log.from_wire({key: WIRE[key] for key in ("id", "level", "message", "timestamp")})
    assert parsed(log) == WIRE | {
        "name": "",
        "level_name": "INFO",
        "flow_run_id": None,
    }


def test_unknown_fields_are_kept_behind_the_known_ones() -> None:
    """What a newer server adds is passed on, before what is ours."""
    line = parsed(make_log(worker_id="w-1", nested={"a": [1, 2.5, None, True]}, level_name="?"))
    assert list(line)[-3:] == ["worker_id", "nested", "level_name"]
    assert line["level_name"] == "INFO"
    assert line["nested"] == {"a": [1, 2.5, None, True]}


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        pytest.param("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678901Z", id="as it came"),
        pytest.param("2026-01-02T04:04:05.6+01:00", "2026-01-02T03:04:05.600000Z", id="another zone"),
        pytest.param("2026-01-02T03:04:05", "2026-01-02T03:04:05Z", id="no zone"),
        pytest.param("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00", id="no instant in UTC"),
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "created", "updated"])
def test_times_are_rfc_3339_in_utc(field: str, given_text: str, expected: str) -> None:
    """Whatever offset the server writes."""
    assert parsed(make_log(**{field: given_text}))[field] == expected


@pytest.mark.parametrize("value", ["yesterday", 12])
def test_a_date_that_cannot_be_read_is_passed_on(value: object) -> None:
    """``created`` in a form of its own is no reason to hide it."""
    assert parsed(make_log(created=value))["created"] == value


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("a\ud800b", "a\ufffdb", id="a lone high surrogate"),
        pytest.param("\udfff\u202e\n✓", "\ufffd\u202e\n✓", id="a lone low surrogate beside others"),
    ],
)
def test_lone_surrogates_are_marked_and_the_rest_is_kept(message: str, expected: str) -> None:
    """UTF-8 has no place for them; U+FFFD stands where one was."""
    line = parsed(make_log(message, name="x\udc80"))
    assert line == WIRE | {"level_name": "INFO", "message": expected, "name": "x\ufffd"}


def nested(depth: int) -> Any:
    value: Any = "deepest"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(2**64, 2**64, id="more than 64 bits"),
        pytest.param(float("nan"), None, id="NaN"),
        pytest.param({"\ud800": [float("inf"), -(2**70)]}, {"\ufffd": [None, -(2**70)]}, id="all in one"),
        pytest.param((1, "\ud800"), [1, "\ufffd"], id="a tuple"),
        pytest.param(nested(90), nested(90), id="nested 90 deep"),
    ],
)
def test_unknown_fields_may_hold_what_orjson_refuses(value: Any, expected: Any) -> None:
    """No log is lost over a strange value; the timestamp keeps its form."""
    line = parsed(make_log(odd=value, message="\ud800"))
    assert line["odd"] == expected
    assert line["timestamp"] == "2026-01-02T03:04:05.678901Z"


def test_what_is_nested_too_deep_is_left_out_and_says_so() -> None:
    """The log itself is whole."""
    line = parsed(make_log(odd=nested(900)))
    assert line["message"] == "hello"
    assert "[nested too deep]" in json.dumps(line["odd"])


@pytest.mark.parametrize("text", ["\x7f", "\x85", "\x9b31m", "\u2028", "\u202e", "\ufeff", "\U000e0041"])
def test_hidden_characters_are_escaped_the_json_way(text: str) -> None:
    """A terminal is not commanded, a line-splitting reader not misled, and a parser gets the same text."""
    line = JsonFormat().encode(make_log(f"é\\{text}"))
    assert HIDDEN.search(line.decode()) is None
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line)["message"] == orjson.loads(line)["message"] == f"é\\{text}"


whole = st.text(max_size=60)
anything = st.text(st.characters(codec=None), max_size=60)


@given(st.lists(st.tuples(whole, whole), max_size=8))
def test_messages_come_back_the_same_one_line_a_log(parts: list[tuple[str, str]]) -> None:
    """For every text: as many lines as logs, by any reader's line ends, and nothing changed."""
    batch = encode_batch(JsonFormat(), [make_log(message, name=name) for message, name in parts])
    lines = batch.decode().splitlines()
    assert [(row["message"], row["name"]) for row in map(orjson.loads, lines)] == parts


@given(anything)
def test_any_message_gives_one_valid_line(message: str) -> None:
    """Surrogates included: valid UTF-8, valid JSON, one line."""
    for form in (JsonFormat(), RawFormat()):
        line = form.encode(make_log(message))
        orjson.loads(line)
        assert line.decode().splitlines() == [line.decode()[:-1]]


def test_raw_is_the_frame_byte_for_byte() -> None:
    """Spaces, key order, escapes and control characters are the sender's."""
    frame = '{ "log":{"message":"\\u0041\u202e\x9b" },"type" : "log"}'.encode()
    assert RawFormat().encode(make_log(raw=frame)) == frame + b"\n"


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ('{"type":"log","log":{"message":"\x9b31m\x85\x7f"}}', r"\u009b31m\u0085\u007f"),
        ('{"type":"log","log":{"message":"a\u202eb\u2028c\U000e0041"}}', r"a\u202eb\u2028c\udb40\udc41"),
        ('{"type":"log","log":{"message":"a\\u0041 \\n é 日本 👩"}}', r"a\u0041 \n é 日本 👩"),
        ('{\x1b"type":"log","log":{"message":"m"}}', "\\u001b"),
    ],
    ids=["C1", "bidi and tags", "nothing to hide", "no JSON"],
)
def test_a_terminal_gets_raw_frames_without_what_commands_it(frame: str, shown: str) -> None:
    """As JSON's escapes: who reads the JSON reads the same."""
    form = RawFormat(terminal=True)
    line = form.encode(make_log(raw=frame.encode()))
    assert shown in line.decode()
    assert not [c for c in line.decode() if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160)]
    if "\x1b" not in frame:
        assert orjson.loads(line) == orjson.loads(frame)
    assert form.encode_rows((), [frame.encode(), frame.encode()]) == line * 2
    assert RawFormat().encode_rows((), [frame.encode()]) == frame.encode() + b"\n"


def test_raw_keeps_a_frame_of_several_lines_on_one() -> None:
    """Line ends can only stand between tokens, where a space is the same."""
    frame = b'{\r\n "type": "log",\n "log": {"message": "a\\nb"}\n}'
    line = RawFormat().encode(make_log(raw=frame))
    assert line == b'{   "type": "log",  "log": {"message": "a\\nb"} }\n'
    assert orjson.loads(line) == orjson.loads(frame)


def test_raw_makes_a_frame_for_logs_that_came_without_one() -> None:
    """A log from the REST list looks like a frame of the socket, field for field."""
    line = RawFormat().encode(make_log(extra_field=1))
    assert line.startswith(b'{"type":"log","log":{"id":"00000000-')
    assert orjson.loads(line) == {"type": "log", "log": WIRE | {"extra_field": 1}}


def test_an_object_may_hold_dates_in_both_ways_of_encoding() -> None:
    """The spare encoder writes what the fast one writes."""
    moment = make_log().timestamp
    fast = orjson.loads(encode_object({"at": moment, "naive": moment.replace(tzinfo=None), "id": 1}))
    spare = orjson.loads(
        encode_object({"at": moment, "naive": moment.replace(tzinfo=None), "id": 1, "x": "\ud800"})
    )
    assert spare == fast | {"x": "\ufffd", "naive": fast["naive"] + "Z"}


# Whole batches, from the frames' own bytes


def frame_of(**fields: Any) -> bytes:
    """A log as servers write it."""
    log = json.dumps(WIRE | fields, separators=(",", ":"), ensure_ascii=False)
    return b'{"type":"log","log":' + log.encode(errors="surrogatepass") + b"}"


def expect_the_same_bytes(payloads: list[bytes], names: dict[UUID, RunNames] | None) -> bool:
    """Whether the frames were taken as they are is not seen in what comes out; whether they could be is returned."""
    batch, _ = decode_batch(payloads, keep=True)
    careful, _ = decode_batch(payloads, keep=True, fast=False)
    for form in (JsonFormat(names), RawFormat()):
        assert encode_batch(form, batch) == encode_batch(form, careful)
    return batch.rows is not None


ESCAPES = [r"\u001b[31m", r"\u001B", r"\u0041", r"\/", r"\\u0041", r"\b\f", r"\u0008", r"\u007f", r"\ud800"]


@pytest.mark.parametrize(
    "payload",
    [
        frame_of(),
        frame_of(level=25),
        frame_of(message='"quoted" \\ \n \t'),
        frame_of(message="hé ✓ \U0001f389"),
        frame_of(message="\x85"),
        frame_of(name="\u2028"),
        frame_of(message="\u202e"),
        frame_of(timestamp="2026-01-02T03:04:05.000000Z"),
        *(frame_of().replace(b"hello", escape.encode()) for escape in ESCAPES),
    ],
)
@pytest.mark.parametrize("names", [None, {}, {RUN: RunNames('happy \u202e"otter"', "fl\u00f6w", None)}])
def test_a_frame_gives_the_line_that_its_log_gives(
    payload: bytes, names: dict[UUID, RunNames] | None
) -> None:
    """Live and listed logs have one form."""
    assert expect_the_same_bytes([payload, frame_of(), payload], names)


FRAMES = st.builds(
    frame_of,
    id=st.uuids().map(str),
    name=st.text(max_size=5),
    level=st.integers(0, 60),
    message=st.text(st.characters(), max_size=20) | st.text('\\"\n\x1b\x7f\x9b\u2028u/01ab', max_size=12),
    timestamp=st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    flow_run_id=st.none() | st.just(str(RUN)) | st.uuids().map(str),
)
ESCAPED = st.builds(
    lambda parts: frame_of().replace(b"hello", "".join(parts).encode()),
    st.lists(st.sampled_from([*ESCAPES, r"\\", r"\"", "u001b", "x"]), max_size=5),
)


@given(st.lists(FRAMES | ESCAPED, max_size=4), st.sampled_from([None, {}, {RUN: RunNames("é")}]))
def test_any_batch_gives_the_lines_that_its_logs_give(
    payloads: list[bytes], names: dict[UUID, RunNames] | None
) -> None:
    """Byte for byte."""
    expect_the_same_bytes(payloads, names)


def test_a_name_that_comes_later_is_in_the_lines_from_then_on() -> None:
    """Runs are named when they have been looked up."""
    names: dict[UUID, RunNames] = {}
    form = JsonFormat(names)
    batch, _ = decode_batch([frame_of(), frame_of(flow_run_id=None)])
    before = [json.loads(line)["flow_run_name"] for line in encode_batch(form, batch).splitlines()]
    names[RUN] = RunNames("happy-otter", "etl", "nightly")
    after = [json.loads(line)["flow_run_name"] for line in encode_batch(form, batch).splitlines()]
    assert (before, after) == ([None, None], ["happy-otter", None])
