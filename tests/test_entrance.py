"""Which requests the fake server, a replay and a cassette answer, and what of them a cassette passes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming import no_settings as no_settings

from rawlogs.testing import Cassette, FakeServer, use_cassette
from rawlogs.testing.net.access import check_request, has_dot_segment

FLOW = Path(__file__).parents[1] / "fixtures" / "prefect-3.8.8-flow.jsonl"
DOTTED = [
    "/api/..",
    "/api/../secret",
    "/api/./health",
    "/./api/health",
    "/api/x/../../secret",
    "/api/%2e%2e/secret",
    "/api/%2E./secret",
    "/api/.%2e/secret",
    "/api/..%2fsecret",
    "/api/..%5csecret",
    "/api/..\\secret",
    "/api/x/..;a=b/secret",
    "/api/..;/secret",
    "/api/%252e%252e/secret",
    "/api/%25252e%252e/secret",
    "/api/%2525252525252e/secret",
    "/api/..?x",
]
NOT_PATHS = ["http://localhost/api/health", "http://evil.example/api/health", "*", "api/health", "?x"]
FOREIGN = ["evil.example", "evil.example:4200", "evillocalhost", "10.0.0.1", "localhost.evil.example"]
MALFORMED = ["", "x/y", "localhost/", "evil/.localhost", "localhost, evil", "localhost:x", "a@localhost"]


# The decision


@pytest.mark.parametrize("target", DOTTED)
def test_a_path_that_leads_elsewhere_is_refused_in_every_spelling(target: str) -> None:
    refusal = check_request("localhost", target, loopback=True)
    assert refusal is not None and refusal.status == 400


@pytest.mark.parametrize(
    "target",
    [
        "/api/logs/filter",
        "/api/deployments/name/a.b/c..d",
        "/api/x?after=../..",
        "/api/.../x",
        "/api/a%20b/%C3%A9",
        "/api/.hidden",
        "//api//x",
    ],
)
def test_other_paths_are_answered(target: str) -> None:
    assert check_request("127.0.0.1:4200", target, loopback=True) is None


@given(st.lists(st.sampled_from(["a", ".", "..", "/", "\\", ";", "%", "2e"])), st.integers(0, 5))
def test_a_dot_segment_stays_one_however_often_it_is_encoded(parts: list[str], times: int) -> None:
    path = "/api/" + "".join(parts)
    if not has_dot_segment(path):
        return
    for _ in range(times):
        path = quote(path, safe="/").replace(".", "%2e")
    assert has_dot_segment(path)


@pytest.mark.parametrize("host", [None, *MALFORMED])
@pytest.mark.parametrize("loopback", [True, False])
def test_a_host_that_is_none_is_refused_wherever_the_server_listens(host: str | None, loopback: bool) -> None:
    refusal = check_request(host, "/api/health", loopback=loopback)
    assert refusal is not None and refusal.status == 400


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused_on_loopback_only(host: str) -> None:
    refusal = check_request(host, "/api/health", loopback=True)
    assert refusal is not None and refusal.status == 421
    assert check_request(host, "/api/health", loopback=False) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:4200",
        "http://127.0.0.1.evil.example",
        "http://evillocalhost",
        "http://localhost/",
        "http://localhost, http://evil.example",
        "ws://localhost",
        "localhost",
        "null",
        "",
    ],
)
def test_a_page_of_another_site_gets_no_answer(origin: str) -> None:
    """Browsers let it open WebSockets under this machine's own name, and say whose page it is."""
    refusal = check_request("localhost:4200", "/api/logs/out", loopback=True, origin=origin)
    assert refusal is not None and refusal.status == 403
    assert check_request("a.example", "/api/logs/out", loopback=False, origin=origin) is None


@pytest.mark.parametrize("origin", [None, "http://localhost:4200", "https://127.0.0.1", "http://[::1]:1"])
def test_a_page_of_this_machine_and_what_is_no_page_are_answered(origin: str | None) -> None:
    assert check_request("localhost:4200", "/api/logs/out", loopback=True, origin=origin) is None


# The servers


async def asked(
    api_url: str,
    target: str,
    *hosts: str,
    method: str = "GET",
    upgrade: bool = False,
    origin: str | None = None,
) -> int:
    """The status of a request exactly so; ``target`` begins with /api."""
    place = urlsplit(api_url)
    target = target.replace("/api", place.path, 1)
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        fields = "".join(f"Host: {host}\r\n" for host in hosts)
        fields += f"Origin: {origin}\r\n" if origin is not None else ""
        if upgrade:
            fields += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            fields += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: prefect\r\n"
        writer.write(f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("latin-1"))
        return int((await asyncio.wait_for(reader.readline(), 60)).split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def fake(tmp_path: Path) -> AsyncIterator[str]:
    async with FakeServer() as server:
        yield server.api_url
        assert server.requests == [] and server.connections == []


@asynccontextmanager
async def replay(tmp_path: Path) -> AsyncIterator[str]:
    async with FakeServer(recording=FLOW) as server:
        yield server.api_url
        assert server.requests == [] and server.connections == []


@asynccontextmanager
async def recording(tmp_path: Path) -> AsyncIterator[str]:
    async with FakeServer() as real, use_cassette(tmp_path / "c.jsonl", upstream=real.api_url) as cassette:
        yield cassette.api_url
        assert real.requests == [] and real.connections == []


Server = Callable[[Path], AbstractAsyncContextManager[str]]


@pytest.mark.parametrize("server", [fake, replay, recording])
@pytest.mark.parametrize("upgrade", [False, True], ids=["request", "upgrade"])
async def test_what_is_refused_reaches_nobody(tmp_path: Path, server: Server, upgrade: bool) -> None:
    """Neither the model, nor the recording, nor the real server behind a cassette."""
    method = "GET" if upgrade else "DELETE"
    async with server(tmp_path) as url:
        for host in (*FOREIGN, *MALFORMED):
            for target in ("/api/health", "/api/logs/out"):
                got = await asked(url, target, host, method=method, upgrade=upgrade)
                assert got == (421 if host in FOREIGN else 400), (host, target)
        for target in (*DOTTED, *NOT_PATHS):
            assert await asked(url, target, "localhost", method=method, upgrade=upgrade) == 400, target
        assert await asked(url, "/api/health", "localhost", "localhost", upgrade=upgrade) == 400
        for origin in ("https://evil.example", "null"):
            got = await asked(
                url, "/api/logs/out", "localhost", method=method, upgrade=upgrade, origin=origin
            )
            assert got == 403, origin


async def test_a_recording_cassette_passes_on_only_what_knows_its_url(tmp_path: Path) -> None:
    """Any page in the developer's browser can send to any port of this machine, under this machine's name."""
    async with FakeServer() as real:
        cassette = use_cassette(tmp_path / "c.jsonl", upstream=real.api_url)
        async with cassette, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            origin, _, path = cassette.api_url.partition(urlsplit(cassette.api_url).netloc)
            origin += urlsplit(cassette.api_url).netloc
            for guess in ("/api", "", "/x/api", path[:-5], path + "x", f"/{'A' * 22}/api"):
                for method in ("GET", "POST", "DELETE"):
                    assert (await client.request(method, f"{origin}{guess}/version")).status_code == 501
                assert await asked(f"{origin}{guess}", "/api/logs/out", "localhost", upgrade=True) == 403
            assert real.requests == [] and real.connections == []
            assert (await client.get(f"{cassette.api_url}/version")).status_code == 200
            assert [request.path for request in real.requests] == ["/version"]
            cassette.discard()
            with pytest.raises(Exception, match="does not know"):
                cassette.check()


async def test_the_url_of_a_cassette_cannot_be_guessed_and_is_not_written(tmp_path: Path) -> None:
    async with FakeServer() as real:
        found = set()
        for number in range(3):
            cassette: Cassette = use_cassette(tmp_path / f"{number}.jsonl", upstream=real.api_url)
            async with cassette, httpx.AsyncClient(trust_env=False, timeout=60) as client:
                await client.get(f"{cassette.api_url}/version")
                secret = re.findall(r"/([\w-]{22,})/api$", cassette.api_url)[0]
            assert secret not in cassette.path.read_text("utf-8")
            found.add(secret)
        assert len(found) == 3
