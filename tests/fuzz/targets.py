"""What is fuzzed: each target takes any bytes, and raises only where something is wrong.

Whoever calls one gives it bytes: hypothesis in ``test_fuzz.py``, a coverage-guided fuzzer in ``python -m tests.fuzz``.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from lines import Line, connect, key_of, response

from rawlogs import cursor
from rawlogs.advice import Facts
from rawlogs.config import dotenv, urls
from rawlogs.config.settings import resolve
from rawlogs.errors import ConfigError, HistoryError, RawlogsError
from rawlogs.host import parse_host
from rawlogs.masking import Masker
from rawlogs.models import Log
from rawlogs.output.json import JsonFormat
from rawlogs.output.text import TextFormat
from rawlogs.relay.query import parse_request
from rawlogs.rest.body import TooLarge, UnknownCoding, Unpacking, Unreadable, coding_of
from rawlogs.rest.flow_runs import FlowRun, Runs
from rawlogs.rest.history import History
from rawlogs.rest.request import RequestInfo
from rawlogs.rest.responses import CsrfRequired, Fatal, Response, Success, classify, page_limit
from rawlogs.search import MAX_QUERY, TextQuery
from rawlogs.serve.access import Gate
from rawlogs.serve.logins import Logins
from rawlogs.serve.middleware import OPEN, Guard
from rawlogs.testing import recording, scenario
from rawlogs.testing.compare import compare, ids
from rawlogs.testing.net.access import check_request
from rawlogs.testing.playback import Playback
from rawlogs.trace.script import parse_script, tokens_in
from rawlogs.untrusted import excerpt, http_date, retry_after
from rawlogs.wire.connection import ending
from rawlogs.wire.frames import BadFrame, LogFrame, decode, decode_logs
from rawlogs.wire.handshake import Handshake

Target = Callable[[bytes], None]
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SECRET = "pnu_MARKEDKEY0123456789"
API, DIGEST = "http://127.0.0.1:4200/api", "0123456789abcdef"
MAX_SIZE = 1 << 17


def frames(data: bytes) -> None:
    """The frame decoder: one frame, the same as text, and a batch; what it read can be shown in every output."""
    frame = decode(data, keep=True)
    decode(data.decode("utf-8", "surrogateescape"))
    parts = [data, *data.split(b"\n", 9)]
    logs, others = decode_logs(parts)
    assert len(logs) + len(others) == len(parts)
    if isinstance(frame, BadFrame):
        assert len(frame.excerpt) <= 120
        assert frame.excerpt.isprintable()
    if isinstance(frame, LogFrame):
        shown(frame.log)


def shown(log: Log) -> None:
    """A log that was accepted has all its fields, and every output can write it."""
    assert log.timestamp.tzinfo is not None
    assert (log.id, log.level, log.name, log.message) is not None
    with suppress(ValueError):  # dates of the server, which are read only when somebody asks
        assert (log.created, log.updated) is not None
    assert b"\n" not in JsonFormat().encode(log).rstrip(b"\n")
    assert TextFormat().line(log).isprintable() or "\n  | " in TextFormat().line(log)


def lane(data: bytes) -> None:
    """What follows the upgrade on a socket, cut in two places: whole messages, then an ending, and bounded memory."""

    async def go() -> None:
        line = Line()
        connection = connect(line, max_size=MAX_SIZE, deflate=data[:1] < b"\x40")
        extension = [b"Sec-WebSocket-Extensions: permessage-deflate"] if data[:1] < b"\x40" else []
        stream = response(key_of(connection), *extension) + data[3:]
        cuts = sorted(byte * len(stream) // 256 for byte in data[1:3])
        for start, end in pairwise((0, *cuts, len(stream))):
            if start < end:
                connection.data_received(stream[start:end])
        connection.eof_received()
        connection.connection_lost(None)
        while batch := await connection.batch():
            assert all(type(message) is bytes for message in batch)
            # Only a compressed message may be longer than what came, and none is longer than what is allowed.
            assert all(len(message) <= max(MAX_SIZE, len(data)) for message in batch)
        assert ending(connection)[0] is not None

    asyncio.run(go())


def handshake(data: bytes) -> None:
    """Any sequence of a server's acts: a text to send, one of our errors, and never the token in it."""
    machine = Handshake(SECRET, '{"type":"filter"}', url="ws://h/api/logs/out", legacy=data[:1] == b"l")
    events = data[1:].split(b"\0")
    try:
        for event in events:
            kind, rest = event[:1], event[1:]
            if kind == b"o":
                machine.opened({b"p": "prefect", b"": None}.get(rest[:1], rest.decode("latin-1")))
            elif kind == b"c":
                error = machine.closed(int.from_bytes(rest[:2], "big"), rest[2:].decode("utf-8", "replace"))
                assert isinstance(error, RawlogsError)
                raise error
            else:
                machine.received(rest)
    except RawlogsError as error:
        assert SECRET not in f"{error}{error!r}{vars(error)}"


def recordings(data: bytes) -> None:
    """A recording from any bytes is refused, or can be played."""
    with suppress(ConfigError):
        found = recording.read(_file("recording", data))
        assert math.isfinite(found.duration)
        playback = Playback(found, None)
        assert playback.behaviour().base_path
        assert all(session.events[0].kind == "upgrade" for session in playback.sessions)


def cursors(data: bytes) -> None:
    """A cursor file of any bytes is refused in words, or holds moments and numbers that can be used."""
    content = data.replace(b"@", f'"api":"{API}","filter":"{DIGEST}"'.encode())
    try:
        found = cursor.decode(content, api=API, digest=DIGEST)
    except ValueError as error:
        assert str(error).startswith("it ")
    else:
        assert found.low.tzinfo is not None
        assert all(math.isfinite(stamp) and len(log_id) == 32 for stamp, log_id in found.entries)


def settings(data: bytes) -> None:
    """profiles.toml, prefect.toml, pyproject.toml and .env of any bytes: settings, or ConfigError; no key in it."""
    folder = _file("x", b"").parent
    names = (".env", "prefect.toml", "pyproject.toml", "profiles.toml")
    parts = data.split(b"\0")
    for name, content in zip(names, [*parts, b"", b"", b"", b""], strict=False):
        (folder / name).write_bytes(content)
    environ = {"PREFECT_PROFILES_PATH": str(folder / "profiles.toml"), "HOME": str(folder)}
    with suppress(ConfigError):
        found = resolve(environ=environ, cwd=folder)
        assert found.address.logs_url
        if found.api_key == SECRET and SECRET not in found.api_url:
            assert SECRET not in f"{found!r}{found.notes}"


def env(data: bytes) -> None:
    """A .env file: names and values, whose size is bounded by what stands there."""
    found = dotenv.parse(data.decode("utf-8", "replace"), {"HOME": "/home/me"})
    assert all(len(value or "") <= max(len(data), dotenv.LONGEST) for value in found.values.values())
    assert list(found.bad_lines) == sorted(found.bad_lines)


def scenarios(data: bytes) -> None:
    """A scenario file: a Scenario, or ConfigError."""
    with suppress(ConfigError):
        assert isinstance(scenario.read(_file("scenario", data)), scenario.Scenario)


def url(data: bytes) -> None:
    """Any URL: an address whose own URL is read as itself, or ConfigError."""
    with suppress(ConfigError):
        found = urls.parse(data.decode("utf-8", "replace"))
        assert urls.parse(found.api_url).api_url == found.api_url


def query(data: bytes) -> None:
    """The parameters of an event stream's URL and the id of its last event: a Query, or ConfigError."""
    head, _, rest = data.partition(b"\0")
    with suppress(ConfigError):
        found, _ = parse_request(
            parse_qsl(rest.decode("latin-1"), keep_blank_values=True, max_num_fields=None),
            head.decode("latin-1") or None,
        )
        found.selection()
        assert found.earliest(NOW).tzinfo is not None


def guard(data: bytes) -> None:
    """A request to the page's server without the token: only what is open gets past the guard, whatever it carries."""
    host, path, query, cookie, *_ = [*data.split(b"\0"), b"", b"", b"", b""]
    reached: list[str] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    async def receive() -> Any:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    gate = Gate("127.0.0.1", 8642, SECRET)
    scope = {
        "type": "http",
        "method": "POST" if data[-1:] == b"P" else "GET",
        "scheme": "http",
        "server": ("127.0.0.1", 8642),
        "path": unquote(path.decode("latin-1")),
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", host), (b"cookie", cookie)],
    }
    asyncio.run(Guard(app, gate, Logins(gate))(scope, receive, send))
    if reached:
        assert reached[0] in OPEN and parse_host(host.decode("latin-1")) is not None
    else:
        status = sent[0]["status"]
        # 200 is the form itself.
        assert status in (303, 400, 401, 403, 413, 421) or (status == 200 and scope["path"] == "/login")
    assert SECRET.encode() not in b"".join(str(message).encode() for message in sent)


def entrance(data: bytes) -> None:
    """A request to a cassette: what is not refused has a Host of loopback and a path without dots, also decoded."""
    host, _, target = data.decode("latin-1").partition("\0")
    if check_request(host, target, loopback=True) is None:
        named = parse_host(host)
        assert named is not None and named.is_loopback
        for path in (target.partition("?")[0], unquote(target.partition("?")[0])):
            assert path.startswith("/")
            assert not {".", ".."} & set(path.replace("\\", "/").split("/"))


def search(data: bytes) -> None:
    """Any text of at most 200 characters is a search."""
    text = data.decode("utf-8", "replace")
    try:
        found = TextQuery.parse(text)
    except ConfigError:
        assert len(text) > MAX_QUERY
    else:
        found.matches(text, text[::-1])


class _Api:
    """A REST client whose every answer is this."""

    def __init__(self, value: object) -> None:
        self._value = value

    async def post(self, path: str, body: object) -> object:
        return self._value

    async def get(self, path: str) -> object:
        return self._value


def answers(data: bytes) -> None:
    """A REST answer with any status, header and body: what it means, and what the lists of logs and runs make of it."""
    status, header, body = int.from_bytes(data[:2], "big") % 600, data[2:34], data[34:]
    value = header.decode("latin-1")
    names = ("retry-after", "location", "prefect-maintenance")
    asked = RequestInfo("POST", "http://h/api/logs/filter", Facts(sent="basic"), (SECRET,))
    found = classify(asked, Response(status, dict.fromkeys(names, value), body), NOW)
    if isinstance(found, (Fatal, CsrfRequired)):
        assert SECRET not in f"{found.error}{vars(found.error)}"
        if isinstance(found.error, HistoryError):
            page_limit(found.error)
    if isinstance(found, Success):
        asyncio.run(_lists(found.value))
    retry_after(value, NOW)
    http_date(value)
    assert len(excerpt(body, 80, (SECRET,))) <= 80


async def _lists(value: object) -> None:
    with suppress(RawlogsError):
        for log in await History(_Api(value)).newest({}, NOW):
            shown(log)
    for work in (
        lambda runs: runs.read("6852dfb7-f342-476c-aa75-f78436a10746"),
        lambda runs: runs.by_flow("etl"),
        lambda runs: runs.deployment("a/b"),
    ):
        with suppress(RawlogsError):
            found = await work(Runs(_Api(value)))
            assert isinstance(found, (FlowRun, list)) or found is not None


def bodies(data: bytes) -> None:
    """A packed body: never more than the limit and a step, whole or an error, the same in one go and in two."""
    coding, packed = ("deflate" if data[:1] < b"\x80" else "gzip"), data[1:]
    with suppress(TooLarge, Unreadable):
        unpacking = Unpacking(packed, coding, MAX_SIZE)
        try:
            unpacking.run()
        finally:
            assert len(unpacking.content) <= MAX_SIZE + (1 << 16)
        other = Unpacking(packed, coding, MAX_SIZE)
        assert other.run(1) or other.run()
        assert other.content == unpacking.content
    with suppress(UnknownCoding):
        assert coding_of(data.decode("latin-1")) in (None, "gzip", "deflate")


def masks(data: bytes) -> None:
    """A text around a secret, itself escaped: the secret is gone, what holds none stays as it is."""
    data = data[:20_000]  # more than an excerpt has; a longer frame takes longer, in proportion
    before, _, after = data.decode("utf-8", "backslashreplace").partition("\0")
    masker = Masker([SECRET])
    left = masker.text(f"{before}|{SECRET}|{after}")
    assert SECRET not in left
    assert masker.text(json.dumps(f"{before}|{SECRET}|{after}")).count("***") >= 1
    assert Masker(["a secret of nobody"]).payload(data.decode("latin-1")).count("***") <= data.count(
        b"pn"
    ) + data.count(b"*")
    assert len(masker.binary(data)) <= max(len(data), 3) * 3


def scripts(data: bytes) -> None:
    """What ``rawlogs trace --send`` plays: steps, or ConfigError."""
    with suppress(ConfigError):
        tokens_in(parse_script(data.decode("utf-8", "replace"), "script"))


def check(data: bytes) -> None:
    """What ``rawlogs check`` reads: two files of ids."""
    sent, _, received = data.partition(b"\0")
    with suppress(ConfigError):
        compare(ids(sent.split(b"\n"), "sent"), ids(received.split(b"\n"), "received"))


@cache
def _folder() -> Path:
    """A folder of this process, in memory where the system has such a place."""
    place = Path("/dev/shm")
    kept = tempfile.TemporaryDirectory(
        prefix="rawlogs-fuzz-", dir=place if os.access(place, os.W_OK) else None
    )
    _kept.append(kept)
    return Path(kept.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _file(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


TARGETS: dict[str, Target] = {
    target.__name__: target
    for target in (
        frames,
        lane,
        handshake,
        recordings,
        cursors,
        settings,
        env,
        scenarios,
        url,
        query,
        guard,
        entrance,
        search,
        answers,
        bodies,
        masks,
        scripts,
        check,
    )
}

_LOG = (
    b'{"id":"01a20537-c002-7db3-8e59-6c5b0fa42bcb","name":"a","level":20,"message":"m","created":null,'
    b'"timestamp":"2026-11-22T21:44:27.5+02:00","flow_run_id":null,"task_run_id":null}'
)
_RUN = (
    b'{"id":"6852dfb7-f342-476c-aa75-f78436a10746","name":"r","state_type":"RUNNING","state":{"type":"RUNNING"},'
    b'"start_time":"2026-11-22T21:44:27Z","end_time":null,"flow_id":"6852dfb7-f342-476c-aa75-f78436a10746"}'
)
_HEADER = b'{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z","prefect_version":"3.8.8","api_url":"http://h/api"}'
_FRAME = b'{"type":"log","log":' + _LOG + b"}"
_SESSION = (
    b'{"t":0.0,"connection":0,"dir":"client","event":"upgrade","path":"/api/logs/out","headers":[]}\n'
    b'{"t":0.1,"connection":0,"dir":"server","event":"upgrade_ok","status":101,"subprotocol":"prefect"}\n'
    b'{"t":0.2,"connection":0,"dir":"server","event":"text","data":"{\\"type\\":\\"auth_success\\"}"}\n'
    b'{"t":0.3,"connection":0,"dir":"server","event":"binary","data64":"AAAA"}\n'
    b'{"t":0.4,"connection":1,"dir":"client","event":"request","method":"POST","path":"/api/logs/filter"}\n'
    b'{"t":0.5,"connection":1,"dir":"server","event":"response","status":200,"data":"[{\\"id\\":\\"1\\"}]"}\n'
    b'{"t":0.6,"connection":0,"dir":"server","event":"close","code":1012,"data":"bye"}\n'
)

SEEDS: dict[str, list[bytes]] = {
    "frames": [
        _FRAME,
        b'{"type":"auth_success"}',
        b'{"type":"auth_failure","reason":"no"}',
        b'{"type":"event","event":{"id":1}}',
        b'{"type":"log","log":{"id":"\\ud800","level":NaN}}',
    ],
    "lane": [
        b"\xff\x00\x80" + b"\x81\x02{}" + b"\x88\x02\x03\xe8",
        b"\xff\x10\x20" + b"\x01\x01{\x89\x00\x80\x01}" + b"\x82\x01a" + b"\x81\x7e\x00\x80" + b"x" * 128,
        b"\x00\x00\x00" + b"\xc1\x07\xf2H\xcd\xc9\xc9\x07\x00",
    ],
    "handshake": [
        b'_op\0r{"type":"auth_success"}\0c\x03\xf0bye',
        b'lo\0r{"type":"auth_failure","reason":"no"}',
        b"_op\0c\x03\xf0" + SECRET.encode(),
    ],
    "recordings": [_HEADER + b"\n" + _SESSION],
    "cursors": [
        b'{"rawlogs_cursor":1,@,"low":"2026-01-01T00:00:00+00:00","saved":"2026-01-01T00:00:00+00:00",'
        b'"stamps":[1.5],"ids":"01a20537c0027db38e596c5b0fa42bcb"}'
    ],
    "settings": [
        b"PREFECT_API_URL=http://h/api\nPREFECT_API_KEY='" + SECRET.encode() + b"'\0[api]\nurl = 'http://h'\0"
        b"[tool.prefect.client]\ncustom_headers = {A = 'b'}\0active = 'a'\n[profiles.a]\nPREFECT_API_URL = 'x'\n"
    ],
    "env": [b"A=1\nexport B='x\\'' # c\nC=${A}${D:-e}\n\"D\"=\"\\n\"\nE\n'F'=\n"],
    "scenarios": [
        b"[server]\nqueue = 10\n[logs]\ncount = 5\n[[fault]]\nkind = 'restart'\nat = 2\ndowntime = 1.0\n"
        b"[[fault]]\nkind = 'http'\nwhere = 'rest'\nstatus = 500\ntimes = 2\nheaders = {a = 'b'}\n"
    ],
    "url": [
        b"https://app.prefect.cloud/account/0123/workspace/4567/runs/flow-run/6852dfb7-f342-476c-aa75-f78436a10746",
        b"http://me:pw@[::1]:4200/api/",
    ],
    "query": [
        b"2026-01-01T00:00:00.000000Z/-/3\0level=INFO&level=40&since=15m&tail=5&logger=a*&text=%2Ba+-b",
        b"\0flow_run_id=6852dfb7-f342-476c-aa75-f78436a10746&deployment=a/b&max_level=30&last_event_id=x",
    ],
    "guard": [
        b"localhost:8642\0/page.css\0a=b\0rawlogs_8642=" + b"A" * 22 + b"." + b"0" * 64,
        b"x/page.css?\0/logs\0token=" + b"x" * 16 + b"\0",
        b"[::1]\0/login\0\0token=wrong P",
        b"localhost\0/\0token=wrong\0",
    ],
    "entrance": [
        b"localhost:4200\0/api/logs/filter?a=../b",
        b"[::1]\0/api/%2e%2e/x;y/..\\z/%252e",
        b"evil.localhost\0http://evil/api/./x",
    ],
    "search": [b'+a -"b \\" c" !d "e'],
    "answers": [
        b"\x00\xc8" + b"3".ljust(32) + b"[" + _LOG + b"," + _RUN + b"]",
        b"\x00\xc8" + b"3".ljust(32) + _RUN,
        b"\x01\xa6" + b"Wed, 21 Oct 2026 07:28:00 GMT".ljust(32) + b'{"exception_detail":[{"loc":["a"],"msg":'
        b'"Input should be less than or equal to 200"}]}',
        b"\x01\x93" + b"true".ljust(32) + b'{"detail":"CSRF ' + SECRET.encode() + b'"}',
    ],
    "bodies": [
        b"\xff" + gzip.compress(b'[{"id": 1}]'),
        b"\x00" + zlib.compress(b'[{"id": 1}]'),
        b"\x01" + zlib.compress(b"{}")[2:-4],
        b"\xff" + gzip.compress(bytes(300_000)),
        b"gzip, gzip",
    ],
    "masks": [
        b'{"token": "\0"}',
        b"/api?token=abc&key=\\u0070nu%5F\0 pnb_0123456789",
        b"01a20537-c002-7db3-8e59-6c5b0fa42bcb\0\\\\u002f%C3%A9+",
    ],
    "scripts": [b'# c\n{"token":"x"}\n!wait 0.5\n!ping\n!binary 7b 7d\n!text !a\n!close 1000 why\n'],
    "check": [_FRAME + b"\n" + _LOG + b'\n"a"\nb\0a\nb\nb\n'],
}
"""For each target inputs that are almost right, which is where a fuzzer starts."""
