"""A server that says all it was told, in every spelling: no part of a secret leaves, whatever is done with it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import rawlogs
from rawlogs.config.settings import resolve
from rawlogs.masking import PART
from rawlogs.rest.client import RestClient
from rawlogs.testing import Behaviour, FakeServer
from tests.test_masking import SPELLINGS

KEY = "pnu_Zq7Xw2/Kv9+Ys4Jt6Rb8Nm3"
USER, PASSWORD = "Wolfgang-Qx", "Hf5/Ug+2w%Zk8=Lp&q"
AUTH = f"{USER}:{PASSWORD}"
ACCESS = "cfS3cr3t/Vd0+Ew1Gx2Hy"
SECRETS = (KEY, AUTH, ACCESS)

# The spellings of test_masking are whole texts; these are what a server can make of a header or a frame.
WAYS = [name for name in SPELLINGS if name not in ("cut", "its end")]


def parts(text: str) -> set[str]:
    return {text[at : at + PART] for at in range(len(text) - PART + 1)}


LEAKS: dict[str, str] = {}
"""Every part of six characters of every secret in every spelling -> where it comes from."""
for _secret in SECRETS:
    for _name, _spell in SPELLINGS.items():
        if not _name.startswith("base64 of"):  # their ends hold what stands around the secret
            LEAKS |= dict.fromkeys(parts(_spell(_secret)), f"{_secret} ({_name})")
LEAKS = {part: where for part, where in LEAKS.items() if not re.fullmatch(r"[\\u0-9]+|[\\\"]+|\\+u?0*", part)}


def leaks(text: str) -> list[str]:
    """What of the secrets is in a text, or in what base64 and escapes in it hide."""
    texts = {text, unquote(text), text.replace("\\/", "/")}
    for word in re.findall(r"[A-Za-z0-9+/]{8,}={0,2}", text):
        with suppress(ValueError):
            texts.add(base64.b64decode(word + "=" * (-len(word) % 4)).decode("utf-8", "replace"))
    for word in re.findall(r"(?:\\u[0-9a-fA-F]{4})+", text):
        with suppress(ValueError):
            texts.add(json.loads(f'"{word}"'))
    return sorted({f"{part!r} of {where}" for part, where in LEAKS.items() for seen in texts if part in seen})


def echoes(said: str) -> list[str]:
    """All secrets that a request or a frame held, in every spelling."""
    found = [secret for secret in (*SECRETS, PASSWORD) if secret in said]
    found += [AUTH for word in re.findall(r"Basic (\S+)", said) if _basic(word) == AUTH]
    return [SPELLINGS[way](secret) for secret in found for way in WAYS]


def _basic(word: str) -> str:
    with suppress(ValueError):
        return base64.b64decode(word).decode()
    return ""


# The server.


class Echo:
    """Answers requests and upgrades by ``rest`` and ``socket``: the names of the ways below."""

    def __init__(self, rest: str, socket: str) -> None:
        self.rest = rest
        self.socket = socket

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = re.search(r"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(size[1])) if size else b""
                spelled = echoes(head.encode("latin-1").decode("utf-8", "replace") + body.decode())
                key = re.search(r"(?i)sec-websocket-key: (\S+)", head)
                if key and self.socket != "refused":
                    await self._upgrade(key[1], spelled, reader, writer)
                    return
                writer.write(self._answer(self.rest, head.split()[1] + body.decode(), spelled))
                await writer.drain()

    def _answer(self, way: str, asked: str, spelled: list[str]) -> bytes:
        flat = quote(" ".join(spelled), safe="%/+=: ").encode("latin-1", "replace")
        text = json.dumps({"detail": spelled, "exception_message": " ".join(spelled)})
        status, fields, content = b"401 No", b"", text.encode()
        if way == "500":
            status = b"500 Oops"
        elif way == "422":
            status, content = b"422 No", json.dumps({"detail": [{"loc": spelled, "msg": spelled}]}).encode()
        elif way == "no JSON":
            status, content = b"200 OK", b"<html>" + "\n".join(spelled).encode()
        elif way == "elsewhere":
            status = b"307 Go"
            fields = b"Location: http://127.0.0.1:1/%b?token=abcdefghijk\r\n" % flat.replace(b" ", b"/")
        elif way == "loop":
            status = b"307 Go"
            fields = b"Location: /api/x?a=%b&token=abcdefghijk\r\n" % flat.replace(b" ", b"/")
        elif way == "flows":
            # The flow that is asked for is none of these, so their names are what might have been meant.
            names = [f"a flow {word}" for word in spelled]
            rows = [{"id": f"{n:08d}-0000-4000-8000-000000000000", "name": s} for n, s in enumerate(names)]
            status = b"200 OK"
            content = json.dumps([] if "flow_runs" in asked or "any_" in asked else rows).encode()
        fields += b"X-Echo: %b\r\nContent-Length: %d\r\n" % (flat, len(content))
        return b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, fields, content)

    async def _upgrade(
        self, key: str, spelled: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        flat = quote(" ".join(spelled), safe="%/+=: ").encode("latin-1", "replace")
        writer.write(
            b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: prefect\r\n"
            b"X-Echo: %b\r\nSec-WebSocket-Accept: %b\r\n\r\n" % (flat, base64.b64encode(digest))
        )
        token = json.loads(await _frame(reader))["token"]
        spelled += echoes(token)
        if self.socket == "answer":
            _send(writer, 1, json.dumps({"type": "auth_maybe", "said": spelled}).encode())
        elif self.socket == "refusal":
            _send(writer, 1, json.dumps({"type": "auth_failure", "reason": " ".join(spelled)}).encode())
        elif self.socket == "close":
            _send(
                writer,
                8,
                (1008).to_bytes(2, "big")
                + " ".join(spelled).encode()[:123].decode("utf-8", "ignore").encode(),
            )
        else:
            _send(writer, 1, b'{"type": "auth_success"}')
            await _frame(reader)
            for word in spelled:
                # No JSON, in two fragments that are cut in the middle of the word.
                data = f'{{"type": "log", {word}'.encode()
                middle = len(data) - len(word.encode()) // 2
                _send(writer, 1, data[:middle], last=False)
                _send(writer, 0, data[middle:])
                _send(writer, 1, f"broken {word}".encode())
            _send(writer, 8, (1011).to_bytes(2, "big") + spelled[0].encode()[:100])
        await writer.drain()
        if self.socket != "close":
            await reader.read()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    """One frame of a client, which is masked."""
    start = await reader.readexactly(2)
    size = start[1] & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return bytes(byte ^ mask[at & 3] for at, byte in enumerate(data))


def _send(writer: asyncio.StreamWriter, opcode: int, data: bytes, *, last: bool = True) -> None:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    if len(data) >= 1 << 16:
        size = b"\x7f" + len(data).to_bytes(8, "big")
    writer.write(bytes([(0x80 if last else 0) | opcode]) + size + data)


@asynccontextmanager
async def echo(rest: str, socket: str = "refused") -> AsyncIterator[str]:
    server = await asyncio.start_server(Echo(rest, socket), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api"


# What commands say and write.

COMMANDS: dict[str, tuple[str, ...]] = {
    "tail": ("tail", "-vv", "--timeout", "1", "--retries", "0"),
    "tail as JSON": ("tail", "-vv", "-o", "json", "--timeout", "1", "--retries", "0", "--live-only"),
    "tail of a flow": ("tail", "-vv", "--flow", "a flow", "--no-follow"),
    "doctor": ("doctor", "--watch", "0"),
    "doctor as JSON": ("doctor", "--watch", "0", "-o", "json"),
    "trace": ("trace", "--duration", "0.5"),
    "trace as JSON": ("trace", "--duration", "0.5", "-o", "json"),
    "record": ("record", "out.jsonl", "--duration", "0.5"),
    "record, redacted": ("record", "out.jsonl", "--duration", "0.5", "--redact"),
}
CASES = [
    *(
        ("tail of a flow", way, "refused")
        for way in ("401", "500", "422", "no JSON", "elsewhere", "loop", "flows")
    ),
    *(
        (command, "500", way)
        for command in COMMANDS
        if command != "tail of a flow"
        for way in (("frames",) if command.endswith("JSON") else ("answer", "refusal", "close", "frames"))
    ),
    *(
        (command, way, "refused")
        for command in ("tail", "doctor", "trace", "record")
        for way in ("401", "elsewhere", "loop")
    ),
]


@pytest.mark.skipif(os.name != "posix", reason="a server that is ended by a signal")
@pytest.mark.parametrize(("command", "rest", "socket"), CASES)
async def test_no_part_of_a_secret_is_in_what_a_command_writes(
    tmp_path: Path, command: str, rest: str, socket: str
) -> None:
    async with echo(rest, socket) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rawlogs", *COMMANDS[command]),
            cwd=tmp_path,
            env={
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "PYTHONIOENCODING": "utf-8",
                "PREFECT_API_URL": url,
                "PREFECT_API_KEY": KEY,
                "PREFECT_API_AUTH_STRING": AUTH,
                "PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps({"CF-Access-Client-Secret": ACCESS}),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    text = "\n".join([out.decode("utf-8", "replace"), *_files(tmp_path)])
    assert leaks(text) == [], text
    if rest != "elsewhere":  # of which the place alone is shown
        assert "***" in text, text
    assert "abcdefghijk" not in text
    assert "Traceback" not in text
    assert "unexpected error" not in text


def _files(folder: Path) -> list[str]:
    return [path.read_text("utf-8") for path in folder.rglob("*") if path.is_file()]


def test_the_search_finds_what_it_looks_for() -> None:
    for way in SPELLINGS:
        for secret in SECRETS:
            assert leaks(f"... {SPELLINGS[way](secret)} ..."), way


FOLDER: dict[str, tuple[str, ...]] = {
    "tail": ("tail", "--no-follow", "--retries", "0"),
    "doctor": ("doctor", "--watch", "0"),
    "trace": ("trace", "--duration", "1"),
    "record": ("record", "out.jsonl", "--duration", "0"),
    "serve": ("serve", "--port", "0", "--token", "x" * 20),
}


@pytest.mark.skipif(os.name != "posix", reason="a server that is ended by a signal")
@pytest.mark.parametrize("command", FOLDER)
async def test_a_command_says_where_ones_key_goes_by_the_word_of_the_folder(
    tmp_path: Path, command: str
) -> None:
    """Whichever sends it."""
    (tmp_path / ".env").write_text("PREFECT_API_URL=http://127.0.0.1:1/api\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rawlogs", *FOLDER[command]),
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PREFECT_API_AUTH_STRING": AUTH},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = b""
    while b"gets PREFECT_API_AUTH_STRING (environment)" not in said:
        part = await asyncio.wait_for(process.stdout.read(4096), 60)
        assert part, said.decode()
        said += part
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
    await process.communicate()
    assert b"PREFECT_API_URL (.env) of the working directory names" in said


# The library.


async def test_no_notice_and_no_error_of_a_stream_holds_a_part_of_a_secret(tmp_path: Path) -> None:
    """Also with what a broken frame said."""
    notices: list[rawlogs.Notice] = []
    async with echo("500", "frames") as url:
        stream = rawlogs.stream(
            api_url=url,
            api_key=KEY,
            auth_string=AUTH,
            headers={"X-Access": ACCESS},
            live_only=True,
            on_notice=notices.append,
            retries=0,
        )
        with pytest.raises(rawlogs.RawlogsError) as caught:
            async with stream as logs:
                async for _ in logs:
                    pass
    assert any(notice.kind == "bad_frame" for notice in notices)
    said = [f"{notice.text} {dict(notice.facts)}" for notice in notices]
    assert leaks("\n".join([*said, str(caught.value), str(vars(caught.value))])) == []


async def test_no_logger_sees_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever level an application sets for everything."""
    caplog.set_level(logging.DEBUG)
    async with (
        FakeServer(Behaviour(auth_string=AUTH)) as server,
        rawlogs.stream(api_url=server.api_url, auth_string=AUTH, headers={"X-Access": ACCESS}) as logs,
    ):
        server.post(["one"])
        assert [log.message async for log in _first(logs)] == ["one"]
    assert caplog.records, "httpx says something"
    assert leaks(caplog.text) == []
    assert "auth" not in caplog.text


async def _first(logs: Any) -> AsyncIterator[Any]:
    async for log in logs:
        yield log
        return


@pytest.mark.parametrize("way", ["401", "500", "422", "no JSON", "elsewhere", "loop"])
async def test_no_error_of_rest_holds_a_part_of_a_secret(tmp_path: Path, way: str) -> None:
    notices: list[rawlogs.Notice] = []
    async with echo(way) as url:
        settings = resolve(
            api_url=url, auth_string=AUTH, headers={"X-Access": ACCESS}, environ={}, cwd=tmp_path
        )
        async with RestClient(settings, retries=1, on_notice=notices.append) as rest:
            with pytest.raises(rawlogs.RawlogsError) as caught:
                await rest.post("/logs/filter", {"of": "no matter"})
    said = [f"{notice.text} {dict(notice.facts)}" for notice in notices]
    text = "\n".join([*said, str(caught.value), str(vars(caught.value))])
    if way != "elsewhere":
        assert "***" in text
    assert leaks(text) == []
