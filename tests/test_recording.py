"""Recordings: written without secrets, read without surprises, played back to any client."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_client import AUTH, DROPPED, EVERYTHING, api, ending, messages, socket, subscriber
from hypothesis import given
from hypothesis import strategies as st
from streaming import eventually
from websockets.exceptions import InvalidStatus

from rawlogs.errors import ConfigError, SinkError
from rawlogs.masking import PART, SHORTEST
from rawlogs.testing import Behaviour, FakeServer, Recorder
from rawlogs.testing.faults import Slice
from rawlogs.testing.playback import PlaybackClock
from rawlogs.testing.recording import read
from rawlogs.wire.events import WireEvent

HEADER = '{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z","prefect_version":"3.8.8","api_url":null}'
EVENT = '{"t":0,"connection":0,"dir":"server","event":"text","data":"hello"}'
SECRET = 'pnu_"geheim"/ä'


def event(
    kind: str = "text", data: str | bytes | None = None, direction: Any = "server", **facts: Any
) -> WireEvent:
    return WireEvent(100.0, 0, direction, kind, data, facts)


def recorded(*events: WireEvent, **options: Any) -> str:
    file = io.StringIO()
    recorder = Recorder(file, **options)
    for each in events:
        recorder(each)
    return file.getvalue()


def log(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"01a20537-c002-7db3-8e59-{number:012d}",
        "created": None,
        "updated": None,
        "name": "x",
        "level": 20,
        "message": f"log {number}",
        "timestamp": f"2026-01-01T00:00:{number:02d}Z",
        "flow_run_id": None,
        "task_run_id": None,
    } | fields


def frame(number: int, **fields: Any) -> str:
    return json.dumps({"type": "log", "log": log(number, **fields)})


# Writing.


def test_recording_is_lines_of_json_with_a_header() -> None:
    text = recorded(
        WireEvent(100.0, 0, "client", "upgrade", None, {"path": "/api/logs/out", "headers": [("Host", "h")]}),
        WireEvent(100.25, 0, "server", "ping", b"\x00\x01", {}),
        WireEvent(101.5, 1, "server", "close", "bye", {"code": 1001, "t": "not mine"}),
        api_url="https://me:pass@host/api?x=1",
        prefect_version="3.8.8",
    )
    header, *lines = map(json.loads, text.splitlines())
    assert {key: header[key] for key in ("rawlogs_recording", "prefect_version", "api_url")} == {
        "rawlogs_recording": 1,
        "prefect_version": "3.8.8",
        "api_url": "https://host/api",
    }
    assert lines == [
        {
            "t": 0.0,
            "connection": 0,
            "dir": "client",
            "event": "upgrade",
            "path": "/api/logs/out",
            "headers": [["Host", "h"]],
        },
        {"t": 0.25, "connection": 0, "dir": "server", "event": "ping", "data64": "AAE="},
        {"t": 1.5, "connection": 1, "dir": "server", "event": "close", "data": "bye", "code": 1001},
    ]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_file_is_private_also_where_it_was_there_before(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_text("old")
    path.chmod(0o644)
    with Recorder(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["rawlogs_recording"] == 1


def test_every_event_is_on_disk_at_once(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    with Recorder(path) as recorder:
        recorder(event(data="hello"))
        assert read(path).events[0].data == "hello"
        assert recorder.events == 1


def test_recording_that_cannot_be_written_is_a_sink_error(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="Cannot write the recording"):
        Recorder(tmp_path / "missing" / "recording.jsonl")
    recorder = Recorder(tmp_path / "recording.jsonl")
    recorder.close()
    with pytest.raises(SinkError, match="Cannot write the recording"):
        recorder(event())


# Secrets.


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(event("text", json.dumps({"type": "auth", "token": SECRET}), "client"), id="auth frame"),
        pytest.param(event("text", json.dumps({"log": {"message": f"key {SECRET}!"}})), id="logged"),
        pytest.param(event("text", f"raw {SECRET}"), id="no JSON"),
        pytest.param(event("binary", SECRET.encode()), id="binary"),
        pytest.param(event("binary", b"\xff" + SECRET.encode()), id="binary, no UTF-8"),
        pytest.param(event("close", SECRET, code=1008), id="close reason"),
        pytest.param(event("upgrade", headers=[("X-Mine", SECRET)]), id="custom header"),
        pytest.param(event("upgrade", headers={"x-mine": SECRET}), id="headers as a mapping"),
        pytest.param(
            event(
                "upgrade", headers=[("Authorization", "Basic " + base64.b64encode(SECRET.encode()).decode())]
            ),
            id="basic",
        ),
        pytest.param(event("upgrade", path="/x?key=pnu_%22geheim%22%2F%C3%A4"), id="URL"),
        pytest.param(event("request", nested={"deep": [{SECRET: 1}]}), id="nested"),
    ],
)
def test_secret_is_written_in_no_spelling(each: WireEvent) -> None:
    text = recorded(each, secrets=[SECRET])
    line = json.loads(text.splitlines()[1])
    decoded = text + base64.b64decode(line.get("data64", "")).decode("utf-8", "replace")
    assert "geheim" not in decoded
    assert base64.b64encode(SECRET.encode()).decode() not in decoded
    assert "***" in decoded


@given(st.lists(st.integers(0, 60), max_size=4), st.booleans())
def test_a_secret_in_fragments_is_found(cuts: list[int], redact: bool) -> None:
    """Wherever it is cut, and whatever comes in between."""
    whole = json.dumps({"type": "log", "log": {"message": f"the key is {SECRET}!"}}).encode()
    places = sorted({0, len(whole), *cuts})
    parts = [whole[a:b] for a, b in itertools.pairwise(places)]
    events = []
    for number, part in enumerate(parts):
        kind, last = "continuation" if number else "text", number == len(parts) - 1
        events += [event(kind, part, fin=last, size=len(part)), event("ping", b"p", fin=True)]
    text = recorded(*events, event("text", "{}", "client"), secrets=[SECRET], redact=redact)
    lines = [json.loads(line) for line in text.splitlines()[1:]]
    assert [line["event"] for line in lines] == [each.kind for each in events] + ["text"]
    written = b"".join(base64.b64decode(line["data64"]) for line in lines[:-1:2])
    said = json.loads(written)["log"]["message"]
    assert said == ("x" * len(f"the key is {SECRET}!") if redact else "the key is ***!")


def test_fragments_without_a_secret_are_kept_to_the_byte() -> None:
    """With what came in between at its place; also those whose end never came."""
    events = [
        event("text", b'{"a": "\xc3', fin=False),
        event("ping", b"p", fin=True),
        event("continuation", b'\xa4"}', fin=True),
        event("binary", b"\x00", fin=False),
        event("continuation", b"\x01", fin=False),
    ]
    text = io.StringIO()
    with Recorder(text, secrets=[SECRET]) as recorder:
        for each in events:
            recorder(each)
    lines = [json.loads(line) for line in text.getvalue().splitlines()[1:]]
    assert [(line["event"], base64.b64decode(line["data64"])) for line in lines] == [
        (each.kind, each.data) for each in events
    ]


def test_token_and_authorization_are_masked_without_being_told() -> None:
    text = recorded(
        event("text", '{"type":"auth","token":"abc"}', "client"),
        event("upgrade", headers=[("Authorization", "Bearer abc"), ("Cookie", "abc"), ("Host", "h")]),
        event("text", '{"type":"auth","token":null}', "client"),
    )
    first, second, third = map(json.loads, text.splitlines()[1:])
    assert first["data"] == '{"type":"auth","token":"***"}'
    assert second["headers"] == [["Authorization", "***"], ["Cookie", "***"], ["Host", "h"]]
    assert third["data"] == '{"type":"auth","token":null}'


def test_frame_without_secrets_is_kept_to_the_byte() -> None:
    data = '{ "type": "log",  "log": {"message": "\\u00e4"} }'
    assert json.loads(recorded(event("text", data), secrets=["something"]).splitlines()[1])["data"] == data


ALPHABET = st.characters(codec="utf-8", exclude_characters="*0123456789.:-", exclude_categories=["Cs"])


@given(
    secret=st.text(ALPHABET, min_size=4, max_size=20), before=st.text(max_size=5), after=st.text(max_size=5)
)
def test_no_secret_survives_in_a_message(secret: str, before: str, after: str) -> None:
    words = set(recorded(event("text", "{}", headers=[["a", "b"]], path="")).split('"'))
    if any(secret in word for word in words) or secret in HEADER + EVENT:
        return
    longer_word = (before[-1:].isalnum() and secret[0].isalnum()) or (
        secret[-1].isalnum() and after[:1].isalnum()
    )
    if len(secret) < PART and longer_word:  # "pass" is no secret in "password"
        return
    if len(secret.replace("\\", "")) < SHORTEST:  # escapes are undone, and too little of it is left
        return
    message = before + secret + after
    for data in (
        message,
        json.dumps({"message": message}),
        json.dumps({"message": message}, ensure_ascii=False),
    ):
        line = recorded(event("text", data, path=message), secrets=[secret]).split("\n")[1]
        value = json.loads(line)
        assert secret not in value["path"]
        assert secret not in value["data"]
        with contextlib.suppress(ValueError, TypeError, KeyError):
            assert secret not in json.loads(value["data"])["message"]


def test_redaction_keeps_length_and_lines_of_what_was_logged_and_nothing_else() -> None:
    rows = json.dumps([log(1, message="geheim\nmore")])
    events = json.dumps({"type": "event", "event": {"resource": {"prefect.state-message": "geheim"}}})
    text = recorded(
        event("text", frame(1, message="geheim\nä b")),
        event("response", rows, status=200),
        event("text", events),
        event("text", "geheim, no JSON"),
        event("binary", b"\xffgeheim"),
        event("close", "Invalid token", code=1008),
        redact=True,
    )
    lines = [json.loads(line) for line in text.splitlines()[1:]]
    assert "geheim" not in text
    assert json.loads(lines[0]["data"])["log"] == log(1, message="xxxxxx\nxxx")
    assert json.loads(lines[1]["data"]) == [log(1, message="xxxxxx\nxxxx")]
    assert json.loads(lines[2]["data"])["event"]["resource"] == {"prefect.state-message": "xxxxxx"}
    assert lines[3]["data"] == "x" * 15
    assert base64.b64decode(lines[4]["data64"]) == bytes(7)
    assert lines[5]["data"] == "Invalid token"


# Reading.


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recording.jsonl"
    events = [
        WireEvent(5.0, 0, "client", "upgrade", None, {"path": "/api/logs/out"}),
        WireEvent(
            5.5,
            1,
            "server",
            "text",
            "line\u2028 \ud83d\udcdc".encode("utf-16", "surrogatepass").decode("utf-16"),
        ),
        WireEvent(6.0, 1, "server", "binary", b"\x00\xff"),
    ]
    with Recorder(path, api_url="http://host/api", prefect_version="3.8.8") as recorder:
        for each in events:
            recorder(each)
    recording = read(path)
    assert [each.at for each in recording.events] == [0.0, 0.5, 1.0]
    assert [(e.connection, e.direction, e.kind, e.data) for e in recording.events] == [
        (e.connection, e.direction, e.kind, e.data) for e in events
    ]
    assert recording.events[0].facts == {"path": "/api/logs/out"}
    assert (recording.api_url, recording.prefect_version) == ("http://host/api", "3.8.8")
    assert (recording.duration, recording.problem) == (1.0, None)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("", "line 1: this is not a recording", id="empty"),
        pytest.param("not json\n", "line 1: this is not a recording", id="no JSON"),
        pytest.param("[]\n", "line 1: this is not a recording", id="another JSON"),
        pytest.param('{"session":"x"}\n', "line 1: this is not a recording", id="another JSON lines file"),
        pytest.param(
            '{"rawlogs_recording":2}\n', "version 2; this rawlogs reads version 1", id="another version"
        ),
        pytest.param('{"rawlogs_recording":true}\n', "version True", id="no version"),
        pytest.param('{"rawlogs_recording":1}\n', "line 1: no time of creation", id="no date"),
        pytest.param(f"{HEADER}\nbroken\n{EVENT}\n", "line 2: no JSON", id="broken in the middle"),
        pytest.param(f"{HEADER}\n{EVENT}\nbroken\n", "line 3: no JSON", id="broken whole last line"),
        pytest.param(f"{HEADER}\n[]\n", "line 2: no JSON object", id="no object"),
        *(
            pytest.param(f"{HEADER}\n{json.dumps(json.loads(EVENT) | bad)}\n", f"line 2: {text}", id=text)
            for bad, text in (
                ({"t": "now"}, "t is not a number of seconds"),
                ({"connection": 1.5}, "connection is not a number"),
                ({"dir": "up"}, "dir is neither client nor server"),
                ({"event": None}, "event is not a text"),
                ({"data": 5}, "data is not a text"),
                ({"data": None, "data64": "?"}, "data64 is not base64"),
            )
        ),
    ],
)
def test_file_that_is_no_recording_is_refused_with_the_line(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ConfigError, match=text):
        read(path)


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read the recording"):
        read(tmp_path / "missing")


@pytest.mark.parametrize("kept", [1, 20, len(EVENT) - 1])
def test_cut_last_line_is_left_out_and_told(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut"
    path.write_text(f"{HEADER}\n{EVENT}\n{EVENT[:kept]}")
    recording = read(path)
    assert len(recording.events) == 1
    assert recording.problem == f"{path}, line 3 is cut; the 1 events before it are whole"


def test_whole_last_line_needs_no_newline(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    path.write_text(f"{HEADER}\n{EVENT}")
    assert (len(read(path).events), read(path).problem) == (1, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)
LINES = st.one_of(
    st.just(HEADER),
    st.just(EVENT),
    JSON.map(json.dumps),
    st.dictionaries(st.sampled_from(list(json.loads(EVENT))), JSON).map(
        lambda bad: json.dumps(json.loads(EVENT) | bad)
    ),
    st.dictionaries(st.sampled_from(list(json.loads(HEADER))), JSON).map(
        lambda bad: json.dumps(json.loads(HEADER) | bad)
    ),
)


@given(
    st.one_of(
        st.binary(max_size=200), st.lists(LINES, max_size=4).map(lambda lines: "\n".join(lines).encode())
    )
)
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        read(path)


@pytest.mark.parametrize("seconds", ["1e300", "1e12", "-1e300"])
def test_a_time_that_no_calendar_has_is_refused(tmp_path: Path, seconds: str) -> None:
    """Not only when it is played."""
    path = tmp_path / "far"
    path.write_text(f"{HEADER}\n{json.dumps({**json.loads(EVENT), 't': float(seconds)})}\n")
    with pytest.raises(ConfigError, match="a time that no calendar has"):
        read(path)


def test_every_prefix_of_a_recording_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "prefix"
    whole = f"{HEADER}\n{EVENT}\n{EVENT}\n".encode()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size < len(HEADER):
            with pytest.raises(ConfigError):
                read(path)
        else:
            assert len(read(path).events) <= 2


# Playing back.

OPENING = (
    ("client", "upgrade", None, {"path": "/api/logs/out"}),
    ("server", "upgrade_ok", None, {"status": 101, "subprotocol": "prefect"}),
    ("client", "text", '{"type":"auth","token":"***"}', {}),
    ("server", "text", '{"type":"auth_success"}', {}),
    ("client", "text", EVERYTHING, {}),
)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes sessions, each a list of (dir, kind, data, facts) after the opening, a millisecond apart."""

    def written(*sessions: list[Any], rest: tuple[WireEvent, ...] = (), opening: Any = OPENING) -> Path:
        path = tmp_path / "session.jsonl"
        with Recorder(path, prefect_version="3.6.29", api_url="http://host:4200/api") as recorder:
            for number, session in enumerate(sessions):
                for step, (direction, kind, data, facts) in enumerate([*opening, *session]):
                    recorder(WireEvent(number + step / 1000, number, direction, kind, data, facts))
            for each in rest:
                recorder(each)
        return path

    return written


def frames(*numbers: int, **fields: Any) -> list[Any]:
    return [("server", "text", frame(number, **fields), {}) for number in numbers]


async def test_recorded_sessions_are_played_to_the_clients_one_after_another(write: Write) -> None:
    path = write(
        [*frames(1, 2), ("server", "close", "", {"code": 1012})],
        [*frames(3), ("server", "drop", None, {})],
        [*frames(4), ("client", "close", "", {"code": 1000})],
    )
    async with FakeServer(recording=path, speed=None) as server:
        assert server.behaviour.version == "3.6.29"
        for numbers, end in (((1, 2), (1012, "")), ((3,), DROPPED)):
            async with socket(server, '{"type":"auth","token":"mine"}', EVERYTHING) as ws:
                assert await ws.recv() == '{"type":"auth_success"}'
                assert await messages(ws, len(numbers)) == [f"log {number}" for number in numbers]
                assert await ending(ws) == end
            assert not server.replayed
        async with socket(server, AUTH, EVERYTHING) as ws:
            await ws.recv()
            assert await messages(ws, 1) == ["log 4"]
            await server.until(lambda: server.replayed)
            server.post("after the end")
            assert await messages(ws, 1) == ["after the end"]
        async with subscriber(server) as ws:
            server.post("one more client")
            assert await messages(ws, 1) == ["one more client"]
        assert [len(sent) for sent in server.sent] == [2, 1, 2, 1]
        assert server.connections[0].token == "mine"


async def test_frames_are_played_to_the_byte_and_with_their_oddities(write: Write) -> None:
    odd = [
        ("server", "text", "{broken", {}),
        ("server", "binary", b"\x00\xff", {}),
        ("server", "text", '{"type":"?"}', {}),
    ]
    async with (
        FakeServer(recording=write([*odd, *frames(1)]), speed=None) as server,
        subscriber(server) as ws,
    ):
        assert [await ws.recv() for _ in range(4)] == ["{broken", b"\x00\xff", '{"type":"?"}', frame(1)]


async def test_filter_of_the_client_is_honoured(write: Write) -> None:
    path = write([*frames(1), *frames(2, level=40)])
    async with (
        FakeServer(recording=path, speed=None) as server,
        subscriber(server, {"level": {"ge_": 30}}) as ws,
    ):
        assert await messages(ws, 1) == ["log 2"]


async def test_streamed_and_listed_logs_are_found_over_rest(write: Write) -> None:
    rest = (
        WireEvent(0.5, 0, "client", "request", "{}", {"method": "POST", "path": "/api/logs/filter"}),
        WireEvent(
            0.6,
            0,
            "server",
            "response",
            json.dumps([log(2, created="2026-01-01T00:00:09Z"), log(7)]),
            {"status": 200},
        ),
    )
    async with (
        FakeServer(recording=write(frames(1, 2), rest=rest), speed=None) as server,
        api(server) as client,
    ):
        async with subscriber(server) as ws:
            assert await messages(ws, 2) == ["log 1", "log 2"]
            rows = (await client.post("/logs/filter", json={})).json()
        assert [row["message"] for row in rows] == ["log 1", "log 2", "log 7"]
        assert rows[1]["created"] == "2026-01-01T00:00:09Z"
        assert [row["id"] for row in rows] == [row["id"] for row in server.logs]


async def test_client_of_rest_alone_finds_the_logs_as_time_goes_by(write: Write) -> None:
    async with FakeServer(recording=write(frames(1, 2)), speed=100.0) as server, api(server) as client:
        await client.get("/health")
        await server.until(lambda: len(server.logs) == 2)


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
async def test_speed_stretches_time(write: Write, monkeypatch: pytest.MonkeyPatch, speed: float) -> None:
    """Of the socket's frames and of the list alike: how long each waits, on a clock that stands."""
    sleeps: list[float] = []

    async def sleep(_: PlaybackClock, seconds: float) -> None:
        sleeps.append(seconds)

    monkeypatch.setattr(PlaybackClock, "monotonic", lambda _: 1000.0)
    monkeypatch.setattr(PlaybackClock, "sleep", sleep)
    # In ms: the first frame comes 5 after the recording's beginning, and 1 after the filter.
    listed, streamed = range(5, 25), range(1, 21)
    wanted = sorted(step / 1000 / speed for step in (*listed, *streamed))
    async with (
        FakeServer(recording=write(frames(*range(20))), speed=speed) as server,
        subscriber(server) as ws,
    ):
        await messages(ws, 20)
        await eventually(lambda: len(sleeps) >= len(wanted))
        assert sorted(sleeps) == pytest.approx(wanted)


async def test_refused_upgrade_is_refused_again(write: Write) -> None:
    opening = (OPENING[0], ("server", "refused", "no", {"status": 502}))
    async with FakeServer(recording=write([], opening=opening), speed=None) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with socket(server):
                pass
        assert (refused.value.response.status_code, refused.value.response.body) == (502, b"no")
        assert server.replayed


async def test_recorded_answers_are_given_again(write: Write) -> None:
    rest = (
        WireEvent(0.1, 5, "client", "request", None, {"method": "GET", "path": "/api/flow_runs/abc"}),
        WireEvent(0.2, 5, "server", "response", '{"name":"brave-otter"}', {"status": 200}),
        WireEvent(
            0.3, 5, "client", "request", '{"limit":1}', {"method": "POST", "path": "/api/flow_runs/filter"}
        ),
        WireEvent(0.4, 5, "server", "response", '[{"id":"x"}]', {"status": 200}),
    )
    async with FakeServer(recording=write(rest=rest), speed=None) as server, api(server) as client:
        assert (await client.get("/flow_runs/abc")).json() == {"name": "brave-otter"}
        assert (await client.post("/flow_runs/filter", json={"limit": 1})).json() == [{"id": "x"}]
        assert (await client.post("/flow_runs/filter", json={"limit": 2})).json() == []
        assert (await client.get("/admin/version")).json() == "3.6.29"


async def test_clock_of_the_recorded_server_is_shown(write: Write) -> None:
    path = write(frames(1))
    lines = path.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"created": "2025-05-05T05:05:05Z"})
    path.write_text("\n".join(lines))
    async with FakeServer(recording=path) as server, api(server) as client:
        assert (await client.get("/health")).headers["date"].startswith("Mon, 05 May 2025 05:05:0")


async def test_faults_happen_to_a_playback_too(write: Write) -> None:
    async with FakeServer(recording=write(frames(1, 2)), speed=None) as server:
        server.fault("logs", Slice(1))
        async with subscriber(server) as ws:
            assert await messages(ws, 2) == ["log 1", "log 2"]


async def test_events_are_played_on_their_own_socket(write: Write) -> None:
    run_event = {
        "type": "event",
        "event": {
            "id": "e1",
            "event": "prefect.flow-run.Running",
            "occurred": "2999-01-01T00:00:00Z",
            "resource": {"prefect.resource.id": "prefect.flow-run.1"},
            "related": [],
        },
    }
    other = {"type": "event", "event": {"id": "odd"}}
    opening = (("client", "upgrade", None, {"path": "/api/events/out"}), *OPENING[1:])
    session = [("server", "text", json.dumps(each), {}) for each in (run_event, other)]
    path = write(session, opening=opening)
    wanted = '{"type":"filter","filter":{"occurred":{"until":"3000-01-01T00:00:00Z"}}}'
    async with FakeServer(Behaviour(), recording=path, speed=None) as server:
        async with socket(server, AUTH, wanted, path="/events/out") as ws:
            await ws.recv()
            assert json.loads(await ws.recv()) == run_event
            assert json.loads(await ws.recv()) == other
        assert server.event_connections[0].sent == ["e1", "odd"]
        assert server.replayed
