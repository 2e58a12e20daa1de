"""``rawlogs trace``: the script, the transcript, and the command against the fake server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rawlogs.cli.group import run
from rawlogs.config.settings import resolve
from rawlogs.errors import ConfigError
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Accept, Drop, ExpectAuth, Http, Serve, Stall
from rawlogs.testing.faults import Close as CloseStep
from rawlogs.testing.faults import Send as SendStep
from rawlogs.trace.render import as_lines, as_object, hex_dump
from rawlogs.trace.script import Close, Ping, Send, Wait, parse_script, tokens_in
from rawlogs.trace.session import Plan, converse
from rawlogs.trace.transcript import Transcript
from rawlogs.wire.connection import Target
from rawlogs.wire.events import WireEvent

AUTH = "admin:correct-horse"
Trace = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Trace:
    """Run ``rawlogs trace`` as a shell would, away from this machine's settings: (exit code, stdout, stderr)."""
    for name in list(os.environ):
        if name.startswith("PREFECT_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    async def call(server: FakeServer, *arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, ["trace", "--api-url", server.api_url, *arguments])
        return code, *capsys.readouterr()

    return call


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def shape(out: str) -> list[tuple[str, str]]:
    """Who did what, in order."""
    return [(line["dir"], line["event"]) for line in objects(out) if "dir" in line]


def event(
    kind: str, data: str | bytes | None = None, direction: Any = "server", at: float = 10.5, **facts: Any
) -> WireEvent:
    return WireEvent(at, 0, direction, kind, data, facts)


# -- the script


def test_a_script_is_frames_and_commands() -> None:
    """Text lines are frames as they stand; comments and empty lines are nothing."""
    text = '# try this\n\n{"a": 1} \r\n!wait 0.5\n!ping\n!binary 00 fF\n!text !x\n!text \n!close 1001 so long\n!close\n'
    assert parse_script(text, "f") == (
        Send('{"a": 1} '),
        Wait(0.5),
        Ping(),
        Send(b"\x00\xff"),
        Send("!x"),
        Send(""),
        Close(1001, "so long"),
        Close(1000, ""),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("!jump", "!jump is not known", id="unknown command"),
        pytest.param("!wait", "a number of seconds", id="wait without a number"),
        pytest.param("!wait -1", "a number of seconds", id="negative wait"),
        pytest.param("!wait nan", "a number of seconds", id="no number at all"),
        pytest.param("!ping now", "!ping is not known", id="ping with an argument"),
        pytest.param("!binary 0", "hexadecimal", id="half a byte"),
        pytest.param("!close 1005", "takes a code", id="code that must not be sent"),
        pytest.param("!close 999", "takes a code", id="code below the range"),
        pytest.param("!close bye", "takes a code", id="no code"),
        pytest.param("!close 1000 " + "x" * 124, "123 bytes", id="reason too long"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line: str, problem: str) -> None:
    """An error of a script names file and line."""
    with pytest.raises(ConfigError, match=rf"my.txt, line 2: .*{problem}"):
        parse_script(f"fine\n{line}\n", "my.txt")


def test_tokens_in_frames_are_secrets_whether_the_frame_is_json_or_not() -> None:
    """A key that somebody tries in a script is hidden as well."""
    steps = parse_script('{"type":"auth","token":"one-key"}\n{"token" : "two-key", oops\n!binary 22\n', "f")
    assert tokens_in(steps) == {"one-key", "two-key"}


# -- the transcript


def test_fragments_are_shown_with_the_last_one() -> None:
    """A message in fragments appears whole, so a secret that is cut in two by them is still found."""
    transcript = Transcript(10.0, ["correct-horse"])
    entries = [
        transcript.add(event("text", b'{"x":"correct-', fin=False, size=14)),
        transcript.add(event("ping", b"p", fin=True, size=1)),
        transcript.add(event("continuation", b'horse"}', fin=True, size=7)),
    ]
    assert [entry.data for entry in entries] == [None, b"p", '{"x":"***"}']
    assert (entries[0].at, transcript.payload["server"], transcript.frames["server"]) == (0.5, 22, 3)


def test_fragments_of_both_sides_do_not_mix() -> None:
    """Each side has its own unfinished message; a binary one stays binary."""
    transcript = Transcript(10.0, [])
    transcript.add(event("binary", b"\x00", fin=False))
    transcript.add(event("text", b"a", "client", fin=False))
    assert transcript.add(event("continuation", b"\xff", fin=True)).data == b"\x00\xff"
    assert transcript.add(event("continuation", b"b", "client", fin=True)).data == "ab"


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(event("text", '{"type":"auth","token":"whatever"}', fin=True), id="auth frame"),
        pytest.param(event("text", '{"token" : "whatever", oops', fin=True), id="broken auth frame"),
        pytest.param(event("text", '{"message":"your key is whatever"}', fin=True), id="echo"),
        pytest.param(event("text", r'{"message":"your key is \u0077hatever"}', fin=True), id="escaped echo"),
        pytest.param(event("text", r"not JSON, no \u escape: whatever", fin=True), id="echo in plain text"),
        pytest.param(event("binary", b"\xffwhatever", fin=True), id="binary"),
        pytest.param(event("ping", b"whatever", fin=True), id="ping"),
        pytest.param(event("close", "bad token whatever", code=1008), id="close reason"),
        pytest.param(event("refused", b"<p>whatever</p>", status=403, headers=[]), id="refusal"),
        pytest.param(event("upgrade", path="/x", headers=[("X-Mine", "whatever")]), id="header"),
        pytest.param(event("upgrade", path="/x?k=whatever", headers=[]), id="path"),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(wire: WireEvent) -> None:
    """Neither lines nor objects hold a secret; with None for the secrets both do."""
    hidden = Transcript(0.0, ["whatever"]).add(wire)
    shown = Transcript(0.0, None).add(wire)
    assert "whatever" not in "\n".join(as_lines(hidden)) + str(as_object(hidden))
    assert "***" in str(hidden.data) + str(hidden.facts)
    # A hex dump shows the text beside the digits, a ping only digits.
    assert "whatever" in "\n".join(as_lines(shown)) or wire.kind == "ping"


@pytest.mark.parametrize(
    ("name", "value"),
    [("Authorization", "Basic abc"), ("Set-Cookie", "sid=1"), ("X-Own", "abc"), ("X-Echo", "pnu_0123456789")],
)
def test_headers_that_are_secret_by_name_or_shape_are_hidden(name: str, value: str) -> None:
    """Also where the value is unknown: credentials, cookies, the user's own headers, keys by their shape."""
    entry = Transcript(0.0, [], ["x-own"]).add(
        event("upgrade", path="/", headers=[(name, value), ("Host", "h")])
    )
    assert as_object(entry)["headers"] == [[name, "***"], ["Host", "h"]]


def test_a_foreign_cloud_key_is_hidden_by_its_shape() -> None:
    """A key that the settings do not know may still be somebody's."""
    transcript = Transcript(0.0, [])
    assert transcript.add(event("text", "key pnu_0123456789abc!", fin=True)).data == "key ***!"
    assert transcript.add(event("binary", b"\xffkey=pnb_0123456789", fin=True)).data == b"\xffkey=***"


@pytest.mark.parametrize(
    ("wire", "line"),
    [
        (
            event("close", "Invalid token", code=1008, size=15),
            "close 1008 'Invalid token': the server refused the token",
        ),
        (event("close", "", code=1012, size=2), "close 1012: the server is restarting"),
        (
            event("close", "Expected 'auth' message", code=1008),
            "close 1008 \"Expected 'auth' message\": the server wanted another frame first",
        ),
        (event("close", "bye", "client", code=1000), "close 1000 'bye'"),
        (
            event("drop", error="ConnectionResetError"),
            "the line ended without a close frame (ConnectionResetError)",
        ),
        (event("drop", None, "client", error=""), "the line was cut from here"),
        (event("ping", b"\x01\x02", size=2, fin=True), "ping, 2 bytes: 01 02"),
        (event("pong", b"", size=0, fin=True), "pong, 0 bytes"),
        (event("text", b"a", size=1, fin=False), "text, 1 byte, a fragment; more to come"),
        (
            event("upgrade_ok", status=101, headers=[], subprotocol=None, extensions=[]),
            "HTTP 101: no subprotocol, no extensions",
        ),
        (
            event(
                "upgrade_ok", status=101, headers=[], subprotocol="prefect", extensions=["permessage-deflate"]
            ),
            "HTTP 101: subprotocol 'prefect', permessage-deflate",
        ),
    ],
)
def test_heads_for_people(wire: WireEvent, line: str) -> None:
    """Each kind of event has its head: time, arrow, and what it is."""
    arrow = "<--" if wire.direction == "server" else "-->"
    assert as_lines(Transcript(10.0, []).add(wire))[0] == f"   +0.500 {arrow} {line}"


def test_the_answer_to_our_close_is_not_explained_as_the_servers_wish() -> None:
    """1000 from the server means something else when it only answers ours."""
    transcript = Transcript(0.0, [])
    transcript.add(event("close", "", "client", code=1000))
    assert transcript.add(event("close", "", code=1000)).meaning == "the answer to ours"


def test_a_refusal_is_shown_with_headers_and_body() -> None:
    """The body follows the headers after an empty line."""
    entry = Transcript(0.0, []).add(
        event("refused", b'{"detail":"No"}', status=404, headers=[("Server", "nginx")])
    )
    assert [line.strip() for line in as_lines(entry)[1:]] == ["Server: nginx", "", "{", '"detail": "No"', "}"]


def test_a_hex_dump_has_offset_digits_and_ascii() -> None:
    """Sixteen bytes a line."""
    assert hex_dump(b"0123456789abcdef\x00~") == [
        "000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
        "000010  00 7e                                            .~",
    ]


# -- the command


async def test_a_whole_conversation_is_shown_as_it_happens(trace: Trace) -> None:
    """Upgrade, auth, filter, a log and the closing, in the order of the wire; the token is hidden."""
    async with FakeServer(Behaviour(auth_string=AUTH)) as server:
        server.script([Serve(1)])
        task = asyncio.ensure_future(trace(server, "--auth-string", AUTH, "--max-frames", "4", "-o", "json"))
        await server.until_subscribed()
        server.post("hello \u202e", level=40)
        code, out, err = await task
    assert (code, err) == (0, "")
    assert shape(out) == [
        ("client", "upgrade"),
        ("server", "upgrade_ok"),
        ("client", "text"),
        ("server", "text"),
        ("client", "text"),
        ("server", "text"),
        ("client", "close"),
        ("server", "close"),
    ]
    lines = objects(out)
    assert json.loads(lines[2]["data"]) == {"type": "auth", "token": "***"}
    assert json.loads(lines[5]["data"])["log"]["message"] == "hello \u202e"
    assert lines[5]["size"] == len(lines[5]["data"].encode())
    assert "correct-horse" not in out
    assert "\u202e" not in out  # as it stands it would turn the line round
    times = [line["t"] for line in lines]
    assert times == sorted(times)
    assert lines[-1] == {
        "t": times[-1],
        "event": "end",
        "by": "client",
        "code": 1000,
        "frames": {"client": 3, "server": 3},
        "payload": lines[-1]["payload"],
        "wire": lines[-1]["wire"],
        "extensions": [],
        "unsent": 0,
    }


async def test_text_is_pretty_and_harmless(trace: Trace) -> None:
    """JSON is laid out, hostile characters are written out, and each side has its arrow."""
    async with FakeServer() as server:
        server.script([Accept(), ExpectAuth(), SendStep('{"a":["\u202e"]}', "\x1b[2J\x07", b"\x00A")])
        code, out, _ = await trace(server, "--max-frames", "6")
    assert code == 0
    lines = [line.rstrip() for line in out.splitlines()]
    assert '                "a": [' in lines
    assert '                  "\\u202e"' in lines
    assert "              \\x1b[2J\\x07" in lines
    assert any(line.endswith("00 41                                            .A") for line in lines)
    assert any(" --> GET /api/logs/out" in line for line in lines)
    assert any(" <-- HTTP 101: subprotocol 'prefect', no extensions" in line for line in lines)


async def test_show_secrets_shows_them(trace: Trace) -> None:
    """Only where it was asked for."""
    async with FakeServer(Behaviour(auth_string=AUTH)) as server:
        server.script([Serve(0), CloseStep(1000)])
        _, out, _ = await trace(server, "--auth-string", AUTH, "--show-secrets")
    assert AUTH in out


async def test_compressed_frames_are_shown_unpacked_and_measured(trace: Trace) -> None:
    """Both sides' compressed messages are readable, the token in them hidden, and the saving is told."""
    async with FakeServer(Behaviour(auth_string=AUTH)) as server:
        server.script([Accept(), ExpectAuth(), SendStep("x" * 5000), CloseStep(1000)])
        arguments = ("--compress", "--auth-string", AUTH)
        _, out, _ = await trace(server, *arguments, "-o", "json")
        server.script([Accept(), ExpectAuth(), SendStep("x" * 5000), CloseStep(1000)])
        _, text, _ = await trace(server, *arguments)
    lines = objects(out)
    assert json.loads(lines[2]["data"]) == {"type": "auth", "token": "***"}
    assert lines[-1]["extensions"] == ["permessage-deflate"]
    assert lines[-1]["wire"]["server"] < 200 < 5000 < lines[-1]["payload"]["server"]
    assert "permessage-deflate: on the wire" in text
    assert "9% saved" in text.replace(" %", "%")


async def test_a_script_is_played_as_it_stands(trace: Trace, tmp_path: Path) -> None:
    """A wrong handshake can be tried: the frames go out unchecked, and the server's answer is the finding."""
    script = tmp_path / "wrong.txt"
    script.write_text('# no auth\n!wait 0.01\n!ping\n{"type":"filter","filter":{"name":1}}\n')
    async with FakeServer() as server:
        code, out, err = await trace(server, "--send", str(script), "-o", "json")
        assert server.connections[0].frames == ['{"type":"filter","filter":{"name":1}}']
    assert (code, err) == (0, "")
    close = next(line for line in objects(out) if line["event"] == "close" and line["dir"] == "server")
    assert (close["code"], close["data"]) == (1008, "Expected 'auth' message")
    assert ("client", "ping") in shape(out)
    assert objects(out)[-1]["by"] == "server"


async def test_a_script_can_send_binary_frames_and_close(trace: Trace, tmp_path: Path) -> None:
    """Binary frames and close frames go out as written; what comes after the end is counted."""
    script = tmp_path / "frames.txt"
    script.write_text(
        '{"type":"auth","token":"pnu_somebodys-key"}\n!binary 00 ff\n!close 3001 enough\nlate\nlater\n'
    )
    async with FakeServer() as server:
        server.script([Accept(), ExpectAuth(answer=False)])
        code, out, _ = await trace(server, "--send", str(script), "-o", "json")
        await server.until(lambda: server.connections[0].close_code)
        assert server.connections[0].frames == ['{"type":"auth","token":"pnu_somebodys-key"}', b"\x00\xff"]
        assert (server.connections[0].close_code, server.connections[0].close_reason) == (3001, "enough")
    assert code == 0
    assert "somebodys" not in out
    assert objects(out)[-1]["unsent"] == 2


@pytest.mark.parametrize(
    ("arguments", "offered", "compressed"),
    [
        pytest.param((), ["prefect"], False, id="usual"),
        pytest.param(("--subprotocol", "foo"), ["foo"], False, id="another"),
        pytest.param(("--no-subprotocol",), [], False, id="none"),
        pytest.param(("--legacy", "--compress"), [], True, id="legacy, compressed"),
    ],
)
async def test_what_is_offered_can_be_chosen(
    trace: Trace, arguments: tuple[str, ...], offered: list[str], compressed: bool
) -> None:
    """Subprotocol and compression are offered as asked."""
    async with FakeServer() as server:
        await trace(server, *arguments, "--duration", "0.05")
        assert server.connections[0].subprotocols == offered
        assert ("sec-websocket-extensions" in server.connections[0].headers) is compressed


async def test_legacy_sends_the_filter_first(trace: Trace) -> None:
    """Without subprotocol there is no auth frame."""
    async with FakeServer() as server:
        code, out, _ = await trace(server, "--legacy", "--max-frames", "1", "-o", "json")
    assert code == 0
    assert json.loads(objects(out)[2]["data"])["type"] == "filter"


async def test_events_are_traced_with_a_filter_that_hears_live_ones(trace: Trace) -> None:
    """The default filter of --events reaches into the future, without which no live event comes."""
    async with FakeServer() as server:
        task = asyncio.ensure_future(trace(server, "--events", "--max-frames", "4", "-o", "json"))
        await server.until(
            lambda: server.event_connections and server.event_connections[0].state == "subscribed"
        )
        server.add_run("r")
        code, out, _ = await task
    assert code == 0
    assert json.loads(objects(out)[5]["data"])["type"] == "event"


async def test_a_filter_of_ones_own_is_sent(trace: Trace) -> None:
    """--filter goes out after the same check as everywhere."""
    async with FakeServer() as server:
        await trace(server, "--filter", '{"level":{"ge_":"ERROR"}}', "--max-frames", "3")
        assert server.connections[0].filter["level"] == {"ge_": 40}
        await trace(server, "--events", "--filter", '{"event":{"prefix":["x"]}}', "--max-frames", "3")
        assert server.event_connections[0].filter == {"event": {"prefix": ["x"]}}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--filter", "{"), "--filter is not JSON"),
        (("--filter", "[]"), "--filter is not a JSON object"),
        (("--filter", '{"name":{}}'), "The server would reject this filter"),
        (("--send", "s.txt", "--filter", "{}"), "either --send or --filter"),
        (("--subprotocol", "x", "--legacy"), "--subprotocol contradicts"),
        (("--send", "bytes.txt"), "bytes.txt is not UTF-8"),
        (("--send", "bad.txt"), "bad.txt, line 1"),
        (("--send", "missing.txt"), "missing.txt"),
    ],
)
async def test_what_cannot_work_is_said_before_anything_is_opened(
    trace: Trace, tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """Usage errors end with 2, before any I/O."""
    (tmp_path / "s.txt").write_text("x")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "bad.txt").write_text("!what")
    async with FakeServer() as server:
        code, out, err = await trace(server, *arguments)
        assert server.connections == []
    assert (code, out) == (2, "")
    assert problem in err


async def test_a_refused_upgrade_is_shown_and_ends_with_its_code(trace: Trace) -> None:
    """The HTTP answer is on stdout, the error on stderr."""
    async with FakeServer() as server:
        server.fault("logs", Http(404, {"server": "nginx"}, "no <\x1b> such thing"))
        code, out, err = await trace(server)
    assert code == 4
    assert "<-- HTTP 404" in out
    assert "no <\\x1b> such thing" in out
    assert "answered the WebSocket upgrade with HTTP 404" in err


@pytest.mark.parametrize(
    ("behaviour", "arguments", "code"),
    [
        pytest.param(
            Behaviour(auth_string=AUTH), ("--auth-string", "admin:wrong"), 3, id="wrong auth string"
        ),
        pytest.param(Behaviour(version="3.4.6"), (), 4, id="too old"),
    ],
)
async def test_what_the_server_refuses_has_its_exit_code(
    trace: Trace, behaviour: Behaviour, arguments: tuple[str, ...], code: int
) -> None:
    """As with tail."""
    async with FakeServer(behaviour) as server:
        assert (await trace(server, *arguments))[0] == code


@pytest.mark.parametrize(("steps", "code"), [([CloseStep(1001)], 0), ([CloseStep(1012)], 4), ([Drop()], 4)])
async def test_an_end_by_the_server_is_told(trace: Trace, steps: list[Any], code: int) -> None:
    """A clean end is one; any other is an error."""
    async with FakeServer() as server:
        server.script([Serve(0), *steps])
        found, out, _ = await trace(server)
    assert found == code
    assert "; ended by the server" in out


async def test_an_upgrade_that_is_never_answered_ends_in_time(trace: Trace) -> None:
    """The request is shown at once; the end of the duration is no error."""
    async with FakeServer() as server:
        server.fault("logs", Stall("upgrade"))
        code, out, _ = await trace(server, "--duration", "0.05", "-o", "json")
    assert code == 0
    assert shape(out) == [("client", "upgrade")]
    assert objects(out)[-1]["wire"] == {"client": None, "server": None}


async def test_a_caller_that_is_cancelled_while_it_opens_leaves_no_task() -> None:
    async with FakeServer() as server:
        server.fault("logs", Stall("upgrade"))
        asked = asyncio.Event()
        plan = Plan(Target.of(resolve(api_url=server.api_url, environ={})))
        before = asyncio.all_tasks()
        calling = asyncio.create_task(converse(plan, Transcript(0.0, ()), lambda _: asked.set()))
        await asked.wait()
        opening = [task for task in asyncio.all_tasks() - before if "coro=<_open()" in repr(task)]
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert len(opening) == 1
        assert opening[0].cancelled()


async def test_the_answer_to_a_servers_ping_is_told_after_the_ping(trace: Trace) -> None:
    """In the order of the wire, although the library answers before it hands the ping out."""
    async with FakeServer(Behaviour(ping_interval=0.01)) as server:
        _, out, _ = await trace(server, "--max-frames", "5", "-o", "json")
    happened = shape(out)
    assert happened.index(("server", "ping")) < happened.index(("client", "pong"))


async def test_an_interrupt_ends_politely() -> None:
    """SIGINT closes with 1000, prints the account, and ends with 130."""
    async with FakeServer() as server:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rawlogs", "trace", "--api-url", server.api_url, "-o", "json"),
            stdout=subprocess.PIPE,
            env=environ,
        )
        await server.until_subscribed(timeout=60)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
        await server.until(lambda: server.connections[0].close_code == 1000)
    assert process.returncode == 130
    assert objects(out.decode())[-1]["event"] == "end"


async def test_a_reader_that_has_enough_ends_it() -> None:
    """``rawlogs trace | head`` is no error."""
    async with FakeServer() as server:
        process = await asyncio.create_subprocess_shell(
            f"{sys.executable} -m rawlogs trace --api-url {server.api_url} | head -1; echo ${{PIPESTATUS[0]}}",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            executable="/bin/bash",
        )
        talking = asyncio.ensure_future(_talk(server))
        out, err = await process.communicate()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert err == b""
    assert out.decode().split()[-1] == "0"


async def _talk(server: FakeServer) -> None:
    await server.until_subscribed(timeout=60)
    while True:
        server.post("x")
        await asyncio.sleep(0.02)
