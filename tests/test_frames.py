"""What frames say: everything that a server sent or could send is a frame, never an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawlogs.models import FIELDS, Log
from rawlogs.wire.frames import (
    EXCERPT,
    AuthFailure,
    AuthSuccess,
    BadFrame,
    EventFrame,
    LogFrame,
    UnknownFrame,
    auth_message,
    decode,
    decode_batch,
    decode_logs,
    filter_message,
)

FIXTURES = Path(__file__).parent.parent / "fixtures"

# As sent by Prefect servers: 3.4.7 (the second to the fourth) and 3.8.8.
AUTH_SUCCESS = b'{"type":"auth_success"}'
LOG = (
    b'{"type":"log","log":{"id":"01a20537-c002-7db3-8e59-6c5b0fa42bcb","created":null,"updated":null,'
    b'"name":"prefect.task_runs","level":20,"message":"task says 1","timestamp":"2026-11-22T21:44:27.483834Z",'
    b'"flow_run_id":"60802438-10f0-48d7-b87a-390fcef3654e","task_run_id":"01a20537-b850-7e2a-b8ad-1f32d8d39a5f"}}'
)
LOG_OF_NO_RUN = (
    b'{"type":"log","log":{"id":"01a20522-4a3d-7ea2-9ec1-4062146dcaa7","created":null,"updated":null,"name":"probe",'
    b'"level":20,"message":"e old","timestamp":"2026-11-22T19:20:55.996881Z","flow_run_id":null,"task_run_id":null}}'
)
ODD_LETTERS = (
    '{"type":"log","log":{"id":"01a20526-e37a-7511-80df-fa757eb84171","created":null,"updated":null,"name":"probe",'
    '"level":20,"message":"h\u00e9llo \U0001f389 \\u2028 \\u001b[31mred\\u001b[0m tab\\t nl\\n cr\\r",'
    '"timestamp":"2026-11-22T21:26:04.407699Z","flow_run_id":"17d7c4e3-25bc-435e-a875-5eaf14f3f762",'
    '"task_run_id":null}}'
).encode()
LEVEL_0 = (
    b'{"type":"log","log":{"id":"01a20526-e3d3-72fc-9e97-a3cd0a27c910","created":null,"updated":null,"name":"probe",'
    b'"level":0,"message":"lv","timestamp":"2025-06-01T12:00:00+02:00",'
    b'"flow_run_id":"17d7c4e3-25bc-435e-a875-5eaf14f3f762","task_run_id":null}}'
)
EVENT = (
    b'{"type":"event","event":{"occurred":"2026-11-22T21:45:52.435153Z","event":"prefect.flow-run.Pending",'
    b'"resource":{"prefect.resource.id":"prefect.flow-run.6d23cdd6-5e3e-450b-ac8f-4d0df81f8d1c",'
    b'"prefect.state-type":"PENDING"},"related":[],"payload":{},"id":"01a20539-0c33-7bd6-9b1c-d23c2df2d2c1"}}'
)
AUTH_FAILURE = b'{"type":"auth_failure","reason":"nope"}'
LOGS = [LOG, LOG_OF_NO_RUN, ODD_LETTERS, LEVEL_0]
FRAMES = [AUTH_SUCCESS, AUTH_FAILURE, EVENT, *LOGS]


def logged(**fields: Any) -> bytes:
    return json.dumps({"type": "log", "log": {**json.loads(LOG)["log"], **fields}}).encode()


def log_of(payload: bytes | str) -> Log:
    frame = decode(payload)
    assert isinstance(frame, LogFrame), frame
    return frame.log


# What the client says


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (None, '{"type":"auth","token":null}'),
        ("", '{"type":"auth","token":""}'),
        ('admin:"p\u00e4ss"', '{"type":"auth","token":"admin:\\"p\u00e4ss\\""}'),
    ],
)
def test_the_token_is_sent_as_it_is(token: str | None, text: str) -> None:
    assert auth_message(token) == text


def test_the_filter_is_sent_in_its_envelope() -> None:
    assert filter_message({"level": {"ge_": 20}}) == '{"type":"filter","filter":{"level":{"ge_":20}}}'
    assert filter_message({}, backfill=False) == '{"type":"filter","backfill":false,"filter":{}}'


# What the server says


@pytest.mark.parametrize(
    ("payload", "frame"),
    [
        pytest.param(AUTH_SUCCESS, AuthSuccess(), id="auth_success"),
        pytest.param(b'{"type":"auth_success","user":1}', AuthSuccess(), id="auth_success with more"),
        pytest.param(AUTH_FAILURE, AuthFailure("nope"), id="auth_failure"),
        pytest.param(b'{"type":"auth_failure"}', AuthFailure(""), id="auth_failure without a reason"),
        pytest.param(
            b'{"type":"auth_failure","reason":null}', AuthFailure(""), id="auth_failure, reason null"
        ),
        pytest.param(
            b'{"type":"auth_failure","reason":7}', AuthFailure("7"), id="auth_failure, reason a number"
        ),
        pytest.param(b'{"type":"event","event":{"id":"x"}}', EventFrame({"id": "x"}), id="event"),
        pytest.param(
            b'{"type":"event","event":5}',
            UnknownFrame("event", {"type": "event", "event": 5}),
            id="odd event",
        ),
        pytest.param(
            b'{"type":"heartbeat"}', UnknownFrame("heartbeat", {"type": "heartbeat"}), id="unknown type"
        ),
        pytest.param(b"", BadFrame("not JSON", ""), id="nothing"),
        pytest.param(b"{", BadFrame("not JSON", "{"), id="broken JSON"),
        pytest.param(b"\xff\x00{}", BadFrame("not JSON", "\\xff\\x00{}"), id="bytes that are no text"),
        pytest.param(b"[1]", BadFrame("not a JSON object", "[1]"), id="a list"),
        pytest.param(b"null", BadFrame("not a JSON object", "null"), id="null"),
        pytest.param(b'"log"', BadFrame("not a JSON object", '"log"'), id="a text"),
        pytest.param(b"{}", BadFrame("no frame type", "{}"), id="no type"),
        pytest.param(b'{"type":["log"]}', BadFrame("no frame type", '{"type":["log"]}'), id="type a list"),
        pytest.param(
            b'{"type":"log"}',
            BadFrame("a log is not a JSON object", '{"type":"log"}'),
            id="log without a log",
        ),
        pytest.param(
            b'{"type":"log","log":{"id":1}}',
            BadFrame("a log has no level", '{"type":"log","log":{"id":1}}'),
            id="log without its fields",
        ),
        pytest.param(b"[" * 100_000, BadFrame("not JSON", "[" * EXCERPT), id="JSON nested beyond all bounds"),
    ],
)
def test_a_payload_is_read_as_a_frame(payload: bytes, frame: object) -> None:
    assert decode(payload) == frame


def test_a_log_frame_holds_the_log() -> None:
    assert log_of(LOG) == Log.from_wire(json.loads(LOG)["log"])


@pytest.mark.parametrize("payload", FRAMES)
def test_text_is_read_like_its_bytes(payload: bytes) -> None:
    assert decode(payload.decode()) == decode(payload)


@pytest.mark.parametrize(("keep", "raw"), [(True, LOG), (False, None)])
def test_the_bytes_are_kept_on_demand(keep: bool, raw: bytes | None) -> None:
    frame = decode(LOG, keep=keep)
    assert isinstance(frame, LogFrame)
    assert frame.log.raw == raw
    assert decode_logs([LOG], keep=keep)[0][0].raw == raw


def test_no_bytes_are_kept_unasked() -> None:
    frame = decode(LOG)
    assert isinstance(frame, LogFrame) and frame.log.raw is None
    assert decode_logs([LOG])[0][0].raw is None
    assert decode_batch([LOG])[0][0].raw is None


def test_text_that_no_bytes_stand_for_is_read_with_a_mark_in_its_place() -> None:
    """A lone surrogate: UTF-8 has no bytes for it."""
    frame = decode(LOG.decode().replace("task says 1", "a\ud800b"))
    assert isinstance(frame, LogFrame) and frame.log.message == "a?b"


def test_an_excerpt_is_one_short_printable_line() -> None:
    frame = decode(b"\x1b[2J\r\n" + "\u202e\ud83d".encode("utf-8", "surrogatepass") + b"x" * 1000)
    assert isinstance(frame, BadFrame)
    assert frame.excerpt == "\\x1b[2J \\u202e\\xed\\xa0\\xbd" + "x" * (EXCERPT - 26)


# What orjson refuses, and a sender's json.dumps writes


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(logged(message="a\ud800b"), "a?b", id="a lone surrogate"),
        pytest.param(logged(message="\ud83c\udf89"), "\U0001f389", id="a pair of surrogates"),
        pytest.param(logged(message="ok", score=float("nan")), "ok", id="NaN"),
        pytest.param(logged(message="ok", score=[float("inf"), -float("inf")]), "ok", id="infinity"),
    ],
)
def test_a_log_with_json_that_is_almost_json_is_still_a_log(payload: bytes, message: str) -> None:
    assert log_of(payload).message == message


def test_nan_is_null() -> None:
    assert log_of(logged(score=float("nan"))).extra == {"score": None}


# Never an exception


@pytest.mark.parametrize("payload", FRAMES)
def test_a_frame_cut_off_anywhere_is_a_bad_frame(payload: bytes) -> None:
    for size in range(len(payload)):
        frame = decode(payload[:size])
        assert isinstance(frame, BadFrame), payload[:size]
        assert frame.problem == "not JSON"


@pytest.mark.parametrize("payload", FRAMES)
def test_a_frame_with_any_byte_changed_is_some_frame(payload: bytes) -> None:
    for position in range(len(payload)):
        changed = bytearray(payload)
        changed[position] ^= 0x11
        assert decode(bytes(changed)) is not None


PAYLOADS = (
    st.binary(max_size=60)
    | st.sampled_from(FRAMES)
    | st.builds(
        lambda kind, log: json.dumps({"type": kind, "log": log}).encode(),
        st.sampled_from(["log", "event", "other", None]),
        st.none()
        | st.fixed_dictionaries({}, optional={"id": st.text(), "level": st.integers(), "message": st.none()}),
    )
    | st.builds(logged, message=st.text(st.characters()), level=st.integers() | st.floats() | st.none())
)


@given(PAYLOADS | st.text(st.characters()))
@example(b'{"type":"log","log":{"id":"' + b"0" * 5000)
def test_whatever_arrives_is_a_frame(payload: bytes | str) -> None:
    assert isinstance(
        decode(payload), (AuthSuccess, AuthFailure, LogFrame, EventFrame, UnknownFrame, BadFrame)
    )


@given(st.lists(PAYLOADS, max_size=8))
def test_a_batch_is_read_like_its_frames_one_by_one(payloads: list[bytes]) -> None:
    logs, others = decode_logs(payloads)
    frames = [decode(payload) for payload in payloads]
    assert logs == [frame.log for frame in frames if isinstance(frame, LogFrame)]
    assert others == [frame for frame in frames if not isinstance(frame, LogFrame)]


def test_the_logs_of_a_batch_keep_their_order() -> None:
    surrogate = logged(message="a\ud800b")
    logs, others = decode_logs([LOG, b"junk", surrogate, LOG_OF_NO_RUN, AUTH_SUCCESS, LEVEL_0])
    assert [log.message for log in logs] == ["task says 1", "a?b", "e old", "lv"]
    assert others == [BadFrame("not JSON", "junk"), AuthSuccess()]


# A whole batch at once


def canonical(**fields: Any) -> bytes:
    """A log as servers write it, with some of its values given as Python values."""
    data = {**json.loads(LOG)["log"], **fields}
    return json.dumps({"type": "log", "log": data}, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def written(**texts: str) -> bytes:
    """A log as servers write it, with some of its values given as the JSON that stands there."""
    payload = LOG.decode()
    for field, text in texts.items():
        value = json.loads(LOG)["log"][field]
        payload = payload.replace(f'"{field}":{json.dumps(value)}', f'"{field}":{text}')
    return payload.encode(errors="surrogatepass")


def expect_the_careful_way(payloads: list[bytes], *, keep: bool = False) -> bool:
    """Both ways give the same, down to the last field; whether the fast one was taken."""
    batch, others = decode_batch(payloads, keep=keep)
    careful, careful_others = decode_batch(payloads, keep=keep, fast=False)
    assert others == careful_others
    assert (list(batch.ids), list(batch.seconds)) == (list(careful.ids), list(careful.seconds))
    for log, expected in zip(batch, careful, strict=True):
        for field in (*FIELDS, "level_name", "id_text", "extra", "data", "raw"):
            assert getattr(log, field) == getattr(expected, field), field
        assert (log, hash(log), repr(log)) == (expected, hash(expected), repr(expected))
        assert list(log.data) == list(expected.data)
        assert log.model_dump_json() == expected.model_dump_json()
    if careful:
        assert (batch.oldest, batch.newest) == (careful.oldest, careful.newest)
    return batch.rows is not None


@pytest.mark.parametrize(
    ("payload", "fast"),
    [
        pytest.param(LOG, True, id="as recorded"),
        pytest.param(LOG_OF_NO_RUN, True, id="of no run"),
        pytest.param(ODD_LETTERS, True, id="non-ASCII and escapes"),
        pytest.param(LEVEL_0, False, id="another zone"),
        pytest.param(canonical(message=""), True, id="an empty message"),
        pytest.param(canonical(message='a "quoted" \\ word\n\ttab'), True, id="quotes and backslashes"),
        pytest.param(canonical(message="a\n" * 1000), True, id="many lines"),
        pytest.param(written(message=r'"\u001b[31m \ud83c\udf89 \/"'), True, id="escapes of the sender"),
        pytest.param(written(message=r'"\ud800"'), True, id="a lone surrogate, escaped"),
        pytest.param(canonical(message="\ud800"), False, id="a lone surrogate, in bytes"),
        pytest.param(written(message=r'"\x41"'), False, id="no escape of JSON"),
        pytest.param(written(message=r'"\u12"'), False, id="half an escape"),
        pytest.param(written(message='"a\tb"'), False, id="a raw tab"),
        pytest.param(written(message='"a\nb"'), False, id="a raw line end"),
        pytest.param(written(message='"a\x7fb"'), False, id="DEL"),
        pytest.param(written(message='"a"b"'), False, id="a raw quote"),
        pytest.param(written(message='"a","message":"b"'), False, id="a key twice"),
        pytest.param(written(message='"a","extra":1'), False, id="a key more"),
        pytest.param(written(message="null"), False, id="no message"),
        pytest.param(canonical(level=0), True, id="level 0"),
        pytest.param(canonical(level=999), True, id="level 999"),
        pytest.param(canonical(level=1000), False, id="level 1000"),
        pytest.param(canonical(level=-1), False, id="level -1"),
        pytest.param(written(level="020"), False, id="level 020"),
        pytest.param(written(level="2e1"), False, id="level 2e1"),
        pytest.param(canonical(created="2026-11-22T21:44:27.483834Z"), False, id="created"),
        pytest.param(canonical(id=json.loads(LOG)["log"]["id"].upper()), False, id="an id in capitals"),
        pytest.param(canonical(flow_run_id="x" * 36), False, id="a run that is no UUID"),
        pytest.param(LOG + b" ", False, id="a blank behind"),
        pytest.param(LOG + b"\n" + LOG_OF_NO_RUN, False, id="two in one"),
        pytest.param(LOG.replace(b'":', b'": '), False, id="blanks within"),
    ],
)
@pytest.mark.parametrize("keep", [False, True])
def test_a_log_is_the_same_log_whichever_way_it_is_read(payload: bytes, fast: bool, keep: bool) -> None:
    assert expect_the_careful_way([payload], keep=keep) is fast
    assert expect_the_careful_way([LOG_OF_NO_RUN, payload, ODD_LETTERS], keep=keep) is fast


@pytest.mark.parametrize(
    ("stamp", "fast"),
    [
        ("2026-11-22T21:44:27.000000Z", True),
        ("1999-12-31T23:59:59.999999Z", True),
        ("2026-02-28T00:00:00.000001Z", True),
        ("2026-04-30T00:00:00.000001Z", True),
        ("2026-08-31T00:00:00.000001Z", True),
        ("2024-02-29T00:00:00.000001Z", False),
        ("2026-02-29T00:00:00.000001Z", False),
        ("2026-02-30T00:00:00.000001Z", False),
        ("2026-04-31T00:00:00.000001Z", False),
        ("2026-11-31T00:00:00.000001Z", False),
        ("2026-13-01T00:00:00.000001Z", False),
        ("2026-00-01T00:00:00.000001Z", False),
        ("2026-01-00T00:00:00.000001Z", False),
        ("2026-01-01T24:00:00.000001Z", False),
        ("2026-01-01T00:60:00.000001Z", False),
        ("2026-01-01T00:00:60.000001Z", False),
        ("0999-01-01T00:00:00.000001Z", False),
        ("2026-01-01T00:00:00Z", False),
        ("2026-01-01T00:00:00.123Z", False),
        ("2026-01-01T00:00:00.000001+00:00", False),
        ("2026-01-01 00:00:00.000001Z", False),
        ("２026-01-01T00:00:00.000001Z", False),
    ],
)
def test_a_timestamp_is_the_same_whichever_way_it_is_read(stamp: str, fast: bool) -> None:
    payload = LOG.replace(b"2026-11-22T21:44:27.483834Z", stamp.encode())
    assert expect_the_careful_way([payload]) is fast
    assert expect_the_careful_way([LOG, payload]) is fast


SPLICED = LOG.split(b'says 1"')


@pytest.mark.parametrize(
    "payloads",
    [
        pytest.param([], id="none"),
        pytest.param([b""], id="an empty one"),
        pytest.param([LOG + b"\n" + LOG, *SPLICED], id="two in one, and one in two"),
        pytest.param([LOG, b"\n"], id="a line end"),
        pytest.param([LOG + b"\n"], id="a line end behind"),
        pytest.param([b"\n" + LOG], id="a line end in front"),
    ],
)
def test_payloads_are_not_taken_for_lines(payloads: list[bytes]) -> None:
    assert expect_the_careful_way(payloads) is False


CANONICAL = st.builds(
    canonical,
    id=st.uuids().map(str),
    name=st.text(max_size=8),
    level=st.integers(-1, 1001) | st.sampled_from([10, 20, 30]),
    message=st.text(st.characters(), max_size=30) | st.text('\\"\n\x1b\x7fé\ud800ab', max_size=12),
    timestamp=st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    flow_run_id=st.none() | st.uuids().map(str),
    task_run_id=st.none() | st.uuids().map(str),
)


@given(st.lists(CANONICAL, max_size=4), st.booleans())
def test_any_batch_is_read_alike_both_ways(payloads: list[bytes], keep: bool) -> None:
    expect_the_careful_way(payloads, keep=keep)


@given(st.lists(CANONICAL | PAYLOADS, max_size=4))
def test_a_batch_with_anything_in_it_is_read_alike_both_ways(payloads: list[bytes]) -> None:
    expect_the_careful_way(payloads)


@pytest.mark.parametrize("payload", [LOG, LOG_OF_NO_RUN, ODD_LETTERS])
def test_a_canonical_log_with_any_byte_changed_is_read_alike_both_ways(payload: bytes) -> None:
    for position in range(len(payload)):
        for change in (0x01, 0x20, 0x80):
            changed = bytearray(payload)
            changed[position] ^= change
            expect_the_careful_way([bytes(changed)])


def recorded_logs() -> list[bytes]:
    """The log frames of all recordings of real servers."""
    lines = [line for path in FIXTURES.glob("*.jsonl") for line in path.read_text().splitlines()]
    frames = [json.loads(line).get("data") for line in lines]
    return [frame.encode() for frame in frames if isinstance(frame, str) and '"type":"log"' in frame[:14]]


def test_what_real_servers_sent_is_read_at_once() -> None:
    payloads = recorded_logs()
    assert len(payloads) > 50
    assert expect_the_careful_way(payloads)
