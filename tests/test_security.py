"""No secret in anything that any command writes; private files; loopback; no code from data.

Every command is run as a process of its own with marked secrets, against servers that work, refuse, and echo what
they were sent; then all that it wrote is searched.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import hashlib
import json
import os
import pickle
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser.serving import serving

import rawlogs
from rawlogs.cli.group import COMMANDS
from rawlogs.config.settings import resolve
from rawlogs.testing import Behaviour, FakeServer

ROOT = Path(__file__).parents[1]
FLOW = ROOT / "fixtures" / "prefect-3.8.8-flow.jsonl"
posix = pytest.mark.skipif(os.name != "posix", reason="signals, umask and /proc")

KEY = "pnu_MARKEDkey0123456789abcdef"
AUTH = "admin:MARKED-pass-word"
BEARER, COOKIE = "Bearer MARKED-bearer-token", "session=MARKED-cookie-value"
TOKEN = "MARKED-page-token-0123"
REDIS = "redis://:MARKED-redis-pass@127.0.0.1:1/0"
PROXY = "http://me:MARKED-proxy-pass@127.0.0.1:1"
PARAMETER = "MARKED-parameter"
OTLP = "otlp+http://127.0.0.1:1"
OTLP_HEADERS, OTLP_SECRET = "OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer MARKED-otlp-token"


def marks() -> list[bytes]:
    """What must be found nowhere: the mark that all secrets have, and each of them in base64."""
    found = [b"marked"]
    for secret in (KEY, AUTH, AUTH.partition(":")[2], BEARER, COOKIE, TOKEN, "me:MARKED-proxy-pass"):
        # Without the last characters, which depend on what follows.
        found.append(base64.b64encode(secret.encode())[: len(secret) * 4 // 3 - 3].lower())
    return found


def leaks(text: bytes) -> list[bytes]:
    return [mark for mark in marks() if mark in text.lower()]


# The servers.


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, says: str) -> None:
    """Answer with all that came: as an HTTP error, or as the refusal of a socket."""
    with suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"(?i)content-length: (\d+)", head)
        sent = head + (await reader.readexactly(int(size[1])) if size else b"")
        flat = re.sub(rb"[\r\n]+", b" | ", sent)
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
        if key and says == "socket":
            digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: prefect\r\nX-Echo: %b\r\nSec-WebSocket-Accept: %b\r\n\r\n"
                % (flat, base64.b64encode(digest))
            )
            start = await reader.readexactly(2)
            mask = await reader.readexactly(4)
            data = await reader.readexactly(start[1] & 0x7F)
            token = bytes(byte ^ mask[at & 3] for at, byte in enumerate(data)).decode()
            said = json.dumps({"type": "auth_failure", "reason": f"you sent {token}"}).encode()
            writer.write(
                b"\x81" + (bytes([len(said)]) if len(said) < 126 else b"\x7e" + len(said).to_bytes(2, "big"))
            )
            writer.write(said)
            reason = b"no: " + token.encode()[:110]
            writer.write(bytes([0x88, len(reason) + 2]) + (1008).to_bytes(2, "big") + reason)
        else:
            status = {"401": b"401 Unauthorized", "500": b"500 Oops", "socket": b"403 Forbidden"}
            where = b"Location: http://127.0.0.1:1/?key=%b\r\n" % flat.replace(b" ", b"")
            first = b"307 Elsewhere\r\n" + where if says == "307" else status[says] + b"\r\n"
            body = json.dumps({"detail": sent.decode("latin-1")}).encode()
            writer.write(
                b"HTTP/1.1 "
                + first
                + b"Server: %b\r\nSet-Cookie: %b\r\nContent-Length: %d\r\n\r\n" % (flat, flat, len(body))
            )
            writer.write(body)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def upstream(kind: str) -> AsyncIterator[str]:
    """An API URL behind which there is nobody, an echo, or a server that takes the auth string."""
    if kind == "refused":
        yield "http://127.0.0.1:1/api"
    elif kind == "works":
        async with FakeServer(Behaviour(auth_string=AUTH)) as server:
            server.store("a stored log")
            yield server.api_url
    else:
        echo = await asyncio.start_server(lambda r, w: _echo(r, w, kind), "127.0.0.1", 0)
        async with echo:
            yield f"http://127.0.0.1:{echo.sockets[0].getsockname()[1]}/api"


# The ways of giving a secret: more arguments, more environment, and files that are there before.


@dataclass(frozen=True)
class Way:
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    userinfo: str = ""


HEADERS = json.dumps({"Authorization": BEARER, "Cookie": COOKIE, "X-Access": "MARKED-access"})
WAYS = {
    "key": Way(("--api-key", KEY)),
    "auth string": Way(("--auth-string", AUTH)),
    "headers": Way(("-H", f"Authorization: {BEARER}", "-H", f"Cookie: {COOKIE}")),
    "environment": Way(
        environ={
            "PREFECT_API_KEY": KEY,
            "PREFECT_API_AUTH_STRING": AUTH,
            "PREFECT_CLIENT_CUSTOM_HEADERS": HEADERS,
        }
    ),
    "files": Way(
        files={
            ".env": f"PREFECT_API_KEY={KEY}\n",
            "profiles.toml": f"active = 'a'\n[profiles.a]\nPREFECT_API_AUTH_STRING = '{AUTH}'\n",
        }
    ),
    "userinfo": Way(userinfo=f"{AUTH}@"),
    "proxy": Way(("--auth-string", AUTH), {"HTTP_PROXY": PROXY, "NO_PROXY": ""}),
}


# The commands.

Visit = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True)
class Row:
    """One call of a command. ``until`` is what it says on stderr when it may be visited and then interrupted."""

    arguments: tuple[str, ...]
    until: str | None = None
    visit: Visit | None = None
    access: bool = True
    environ: dict[str, str] = field(default_factory=dict)


async def visit_page(said: str) -> bytes:
    """What the page and its JSON answer, with and without the token."""
    url = re.findall(r"http://\S+/", said)[0]
    found = b""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        for path in ("/", "/login", "/api/runs", "/logs", "/page.js", "/?token=wrong"):
            found += await _answer(client, path)
        await client.post("/login", data={"token": TOKEN})
        for path in ("/", "/api/runs", "/api/runs?name=x", "/logs?level=nonsense", "/nothing"):
            found += await _answer(client, path)
        with suppress(httpx.TimeoutException):
            async with client.stream("GET", "/logs", timeout=0.3) as stream:
                async for part in stream.aiter_bytes():
                    found += part
    return found


async def visit_fake(said: str) -> bytes:
    """What an API answers to one without and one with a wrong password."""
    url = re.findall(r"PREFECT_API_URL=(\S+)", said)[0]
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        wrong = await client.post("/logs/filter", json={}, auth=("admin", "wrong"))
        return await _answer(client, "/health") + wrong.content + str(wrong.headers).encode()


async def _answer(client: httpx.AsyncClient, path: str) -> bytes:
    answer = await client.get(path)
    return answer.content + str(answer.headers).encode()


ROWS: dict[str, list[Row]] = {
    "tail": [
        Row(("-vv", "-o", "json", "--timeout", "0.5", "--retries", "0", "--cursor-file", "cursor")),
        Row(("-vv", "--timeout", "0.5", "--since", "1h", "--output-file", "logs.txt")),
    ],
    "doctor": [Row(("--watch", "0")), Row(("--watch", "0", "-o", "json", "--write-test"))],
    "trace": [Row(("--duration", "0.3")), Row(("--duration", "0.3", "-o", "json"))],
    "record": [Row(("session.jsonl", "--duration", "0.3"))],
    "serve": [Row(("--port", "0", "--token", TOKEN), "can read|asks for", visit_page)],
    "relay": [Row(("--to", REDIS, "-vv"), "redis|Redis")],
    "url": [Row(())],
    "fake": [Row(("--port", "0", "--rate", "50", "--auth-string", AUTH), "API_URL", visit_fake, False)],
    "replay": [Row((str(FLOW), "--port", "0", "--speed", "max"), "API_URL", visit_fake, False)],
    "check": [Row((str(FLOW), str(FLOW)), access=False)],
    "demo": [Row(("--speed", "100"), access=False)],
    "ship": [
        Row(("--to", OTLP, "--since", "1h", "--timeout", "0.5", "-vv"), environ={OTLP_HEADERS: OTLP_SECRET})
    ],
    "run": [
        Row(("etl/nightly", "-p", f"password={PARAMETER}", "--timeout", "0.5", "-vv")),
        Row(("etl/nightly", "-p", f'login={{"token": "{PARAMETER}"}}', "--detach", "-o", "json")),
    ],
    "help": [Row(("tail",), access=False)],
    "man": [Row((), access=False)],
    "completion": [Row(("bash",), access=False)],
}
SERVERS: dict[str, tuple[str, ...]] = {
    "key": ("refused", "401", "socket"),
    "auth string": ("works", "307"),
    "headers": ("401", "socket"),
    "environment": ("500", "works"),
    "files": ("401", "works"),
    "userinfo": ("401", "works"),
    "proxy": ("works",),
}
"""Which servers each way is tried with: every server, every way, not every pair."""


@dataclass
class Ran:
    code: int
    said: bytes
    written: bytes
    """stdout, stderr, what a visitor was answered, and all files that were not there before."""


async def run(
    command: str, row: Row, folder: Path, *, api_url: str | None, way: Way = WAYS["key"], **environ: str
) -> Ran:
    home, cwd = folder / "home", folder / "work"
    for place in (home, cwd):
        place.mkdir()
    for name, content in way.files.items():
        (cwd / name).write_text(content)
    url = api_url and api_url.replace("//", f"//{way.userinfo}")
    ours = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PREFECT_PROFILES_PATH": str(cwd / "profiles.toml"),
        **(way.environ if row.access else WAYS["environment"].environ),
        **({"PREFECT_API_URL": url} if url else {}),
        **row.environ,
        **environ,
    }
    ours |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    given = [command, *row.arguments, *(way.arguments if row.access else ())]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rawlogs", *given, cwd=cwd, env=ours, stdout=out, stderr=err, umask=0
        )
        answered = b""
        try:
            if row.until is not None:
                said = await _said(process, folder / "err", row.until)
                if row.visit is not None and process.returncode is None:
                    answered = await row.visit(said)
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), 60)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert process.returncode is not None
    return _account(process.returncode, folder, way, answered)


def _account(code: int, folder: Path, way: Way, answered: bytes) -> Ran:
    said = b"".join((folder / name).read_bytes() for name in ("out", "err"))
    new = [path for path in folder.rglob("*") if path.is_file() and path.name not in way.files]
    return Ran(code, said, answered + b"".join(path.read_bytes() for path in new))


async def _said(process: asyncio.subprocess.Process, path: Path, wanted: str) -> str:
    for _ in range(3000):
        said = _text(path)
        if re.search(wanted, said) or process.returncode is not None:
            return said
        await asyncio.sleep(0.02)
    pytest.fail(f"it never said {wanted!r}: {_text(path)}")


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def test_every_command_has_its_row() -> None:
    """A new command comes with its row."""
    assert set(ROWS) == set(COMMANDS)


CASES = [
    pytest.param(name, number, way, server, id=f"{name} {number}, {way}, {server}")
    for name, rows in ROWS.items()
    for number, row in enumerate(rows)
    for at, (way, servers) in enumerate(SERVERS.items())
    if row.access or way == "key"
    # Of two calls of a command each takes every other way.
    if at % len(rows) == number or not row.access
    for server in (servers if row.access else servers[:1])
]


@posix
@pytest.mark.parametrize(("name", "number", "way", "server"), CASES)
async def test_no_secret_is_in_anything_that_a_command_writes(
    tmp_path: Path, name: str, number: int, way: str, server: str
) -> None:
    row = ROWS[name][number]
    async with upstream(server) as url:
        ran = await run(name, row, tmp_path, api_url=url, way=WAYS[way])
    assert ran.written, "it wrote something"
    assert leaks(ran.written) == [], ran.said.decode("utf-8", "replace")


@posix
@pytest.mark.parametrize("name", ["tail", "doctor", "url"])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(("--api-url", f"http://127.0.0.1:1/api?key={KEY}"), id="in the query of the URL"),
        pytest.param(("--api-url", f"htp://{AUTH}@h/api"), id="in a URL that is none"),
        pytest.param(("-H", f"Bearer {BEARER}"), id="in a header that is none"),
        pytest.param(("--api-url", "http://h/api", "--api-key", f"{KEY} {KEY}"), id="in a key that is none"),
    ],
)
async def test_no_secret_is_in_what_is_said_about_wrong_settings(
    tmp_path: Path, name: str, wrong: tuple[str, ...]
) -> None:
    ran = await run(name, ROWS[name][0], tmp_path, api_url=None, way=Way(wrong))
    assert ran.code in (2, 3, 4, 130), ran.said.decode()
    assert leaks(ran.written) == [], ran.said.decode()


BROKEN = """
import asyncio
async def boom(*args, **options):
    raise ZeroDivisionError("boom")
asyncio.BaseEventLoop.create_connection = boom
asyncio.BaseEventLoop.getaddrinfo = boom
"""


@posix
@pytest.mark.parametrize("traceback", ["", "1"], ids=["told", "traceback"])
@pytest.mark.parametrize("name", ["tail", "trace", "record", "doctor"])
async def test_no_secret_is_in_an_unexpected_error(tmp_path: Path, name: str, traceback: str) -> None:
    """Something breaks that nobody thought of; with RAWLOGS_TRACEBACK all of it is shown."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BROKEN)
    ran = await run(
        name,
        ROWS[name][0],
        tmp_path,
        api_url="http://localhost:1/api",
        way=WAYS["environment"],
        PYTHONPATH=str(folder),
        RAWLOGS_TRACEBACK=traceback,
    )
    assert b"boom" in ran.said
    assert leaks(ran.written) == [], ran.said.decode()


@posix
async def test_show_secrets_shows_them(tmp_path: Path) -> None:
    """The one way to see them, and the proof that this search finds what is there."""
    async with upstream("socket") as url:
        ran = await run("trace", Row(("--show-secrets", "--duration", "0.3")), tmp_path, api_url=url)
    assert leaks(ran.written)


def test_no_secret_is_in_the_text_of_settings() -> None:
    settings = resolve(
        api_url="http://127.0.0.1:4200/api",
        api_key=KEY,
        auth_string=AUTH,
        headers={"X-Access": "MARKED-access"},
        environ={"HTTP_PROXY": PROXY},
    )
    assert leaks(f"{settings!r} {settings} {settings.notes}".encode()) == []


def test_an_error_that_travels_to_another_process_is_whole_and_holds_no_secret() -> None:
    """As multiprocessing and task queues send them."""
    with pytest.raises(rawlogs.ConfigError) as caught:
        resolve(api_url="http://h/api", api_key=f"{KEY} {KEY}", environ={})
    data = pickle.dumps(caught.value)
    assert leaks(data) == []
    assert str(pickle.loads(data)) == str(caught.value)


# Files.


@posix
async def test_what_may_hold_private_things_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """Recordings and cursor files, also where the umask hides nothing."""
    async with upstream("works") as url:
        for name, number in (("record", 0), ("tail", 0)):
            (tmp_path / name).mkdir()
            way = WAYS["auth string"]
            await run(name, ROWS[name][number], tmp_path / name, api_url=url, way=way)
    assert _modes(tmp_path) == {"session.jsonl": 0o600, "cursor": 0o600, "cursor.lock": 0o600}


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.glob("*/work/*")}


# Listening.

LISTENERS = {
    "fake": Row(("--port", "0", "--rate", "1"), "API_URL", access=False),
    "replay": Row((str(FLOW), "--port", "0"), "API_URL", access=False),
    "serve": Row(("--port", "0"), "can read|asks for", access=False, environ={"RAWLOGS_SERVE_TOKEN": TOKEN}),
}


@posix
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the addresses are read from /proc")
@pytest.mark.parametrize("name", LISTENERS)
async def test_a_server_listens_on_loopback_unless_told_otherwise_and_then_says_so(
    tmp_path: Path, name: str
) -> None:
    for host, address in (((), "0100007F"), (("--host", "0.0.0.0"), "00000000")):
        seen: list[str] = []

        async def look(said: str, seen: list[str] = seen) -> bytes:
            port = int(re.findall(r":(\d+)/", said)[0])
            seen.extend(_listening(port))
            return b""

        row = LISTENERS[name]
        row = Row((*row.arguments, *host), row.until, look, False, row.environ)
        folder = tmp_path / f"host{len(host)}"
        folder.mkdir()
        ran = await run(name, row, folder, api_url="http://127.0.0.1:1/api")
        assert seen == [address]
        assert (b"everybody who can reach" in ran.said or b"the network reads it too" in ran.said) is bool(
            host
        )


def _listening(port: int) -> list[str]:
    """The addresses on which that port is open, in hexadecimal."""
    rows = [line.split() for line in _text(Path("/proc/net/tcp")).splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return [address for address, number in places if int(number, 16) == port]


# The page's server: a login is passed by no Host and by no path.

PROTECTED = ("/logs", "/api/about", "/api/runs", "/api/children", "/api/names", "/page.js", "/logstream.js")
"""What is served only to those who have shown the token."""
FORGED_HOSTS = [
    *(f"{name}{end}" for name in ("x", "localhost", "127.0.0.1", "[::1]", "") for end in (
        "/page.css?", "/page.css#", "/page.css", "/login?", "/login#", "/login", "/favicon.svg?x=", "/?",
        "/#", "?", "#",
        "/", "/page.css;", "\\page.css?", "@x/page.css?", ":8642/page.css?", ":/page.css?", ":x", ":",
        ":65536", "//page.css",
        "%2fpage.css%3f", "/page.css%3f", "/%70age.css?", "/page.css?#", " /page.css?", "\t/page.css?", ",x", ";x",
    )),
    "http://x/page.css?", "//x/page.css?", "/page.css?", "x/../page.css?", "x/a/../../page.css#", "[::1",
    "::1", "[x]/page.css?",
    "[::1]:1/page.css?", "evil/.localhost", "evil?.localhost", "evil#.localhost", "evil@localhost",
    "evil\\.localhost",
    ".localhost", "localhost..", "\xe9.localhost", "xn--/page.css?", "x:1@y/page.css?",
]  # fmt: skip
"""Host headers that are none: some Starlettes built a URL from them whose path is an open one."""
FOREIGN_HOSTS = [
    "evil.example", "evil.example:8642", "evillocalhost", "localhost.evil.example", "127.0.0.1.evil.example",
    "0.0.0.0", "10.0.0.1",
    "[::]", "[::2]", "[::ffff:10.0.0.1]", "127.1", "2130706433", "0x7f.0.0.1", "localhost.localdomain",
]  # fmt: skip
"""Names of this machine for whoever points them here (DNS rebinding)."""
OTHER_PATHS = [
    "/logs/", "//logs", "/logs?x=/page.css", "/logs;/page.css", "/logs%2f", "/logs%0a", "/logs%00",
    "/./logs", "/x/../logs",
    "/page.css/../logs", "/page.css/%2e%2e/logs", "/page.css%2f..%2flogs", "/page.css/",
    "/page.css%3f/../logs", "/page.css;/logs",
    "/login/../logs", "/login/", "/LOGS", "/%6cogs", "/logs#/page.css", "/favicon.svg/../api/about",
    "/api/about/", "/api//about",
    "/page.css%0a", "/page.css%20", "http://localhost/logs", "http://x/page.css?/logs", "http://x/logs", "*",
    "/\\logs",
]  # fmt: skip


async def _ask(url: str, target: str, *hosts: str, more: str = "", method: str = "GET") -> tuple[int, bytes]:
    """The status and the beginning of an answer to a request exactly so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
    try:
        fields = "".join(f"Host: {host}\r\n" for host in hosts) + more + "Connection: close\r\n"
        writer.write(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        return int(head.split()[1]), head
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "ways", [{"token": TOKEN}, {}, {"behind_proxy": True}], ids=["token", "open", "proxy"]
)
async def test_a_host_that_is_none_is_refused_for_every_path(ways: dict[str, Any]) -> None:
    """Also for what needs no login, and whoever else asks users who they are."""
    async with FakeServer() as fake, serving(fake.api_url, **ways) as url:
        got = {
            (host, path): (await _ask(url, path, host))[0]
            for host in FORGED_HOSTS
            for path in (*PROTECTED[:3], "/page.css", "/login", "/")
        }
        assert {place: status for place, status in got.items() if status != 400} == {}
        assert (await _ask(url, "/logs"))[0] == 400
        assert (await _ask(url, "/logs", "localhost", "localhost"))[0] == 400
        assert (await _ask(url, "/logs", "localhost", "x/page.css?"))[0] == 400
        assert fake.requests == [] and fake.connections == []


@pytest.mark.parametrize("ways", [{"token": TOKEN}, {}], ids=["token", "open"])
async def test_on_loopback_a_name_of_elsewhere_is_refused_for_every_path(ways: dict[str, Any]) -> None:
    async with FakeServer() as fake, serving(fake.api_url, **ways) as url:
        got = {
            (host, path): (await _ask(url, path, host))[0]
            for host in FOREIGN_HOSTS
            for path in (*PROTECTED, "/page.css", "/login", "/")
        }
        assert {place: status for place, status in got.items() if status != 421} == {}
        assert fake.requests == [] and fake.connections == []


async def test_no_path_and_no_header_passes_the_login() -> None:
    """Without the token: only its form, its style and its icon, each at exactly one path."""
    more = ["", "X-Forwarded-Host: x\r\n", "X-Original-URL: /page.css\r\n", "X-Rewrite-URL: /page.css\r\n"]
    more += [
        f"Cookie: rawlogs_1={'0' * 64}\r\n",
        "Cookie: rawlogs_8642=\r\n",
        "X-Forwarded-Prefix: /page.css\r\n",
    ]
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url:
        port = url.rstrip("/").rpartition(":")[2]
        more += [f"Cookie: rawlogs_{port}={value}\r\n" for value in ("", TOKEN, "true", "\xe9")]
        for path in (*PROTECTED, *OTHER_PATHS):
            for extra in more:
                for method in ("GET", "HEAD", "POST", "OPTIONS", "PUT", "FOO"):
                    status, _ = await _ask(url, path, "localhost", more=extra, method=method)
                    assert status in (400, 401, 404), (method, path, extra, status)
        for path in ("/login", "/page.css", "/favicon.svg"):
            assert (await _ask(url, path, "localhost"))[0] == 200
        assert fake.requests == [] and fake.connections == []


# Code.

FORBIDDEN_CALLS = {"eval", "exec", "__import__", "os.system", "os.popen"}
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "yaml"}


@pytest.mark.parametrize("folder", ["rawlogs", "examples", "benchmarks"])
def test_nothing_is_run_that_came_as_data(folder: str) -> None:
    """No eval, no pickle, no shell."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                found += [
                    f"{place} {a.name}" for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES
                ]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                found.append(f"{place} {node.module}")
            elif isinstance(node, ast.Call):
                found += [f"{place} {name}" for name in _forbidden(node)]
    assert found == []


def _forbidden(node: ast.Call) -> list[str]:
    called: Any = node.func
    name = ast.unparse(called)
    shell = [
        "shell"
        for word in node.keywords
        if word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
    ]
    return shell + ([name] if name in FORBIDDEN_CALLS else [])
