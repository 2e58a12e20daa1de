"""The recordings of real servers, played back to the product's own client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rawlogs
from rawlogs.config.settings import resolve
from rawlogs.errors import AuthError, ConnectionLost
from rawlogs.testing import FakeServer
from rawlogs.testing.recording import read
from rawlogs.wire.connection import Target, open_connection
from rawlogs.wire.frames import LogFrame, decode, filter_message

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = ["3.4.7", "3.6.29", "3.7.8", "3.8.8", "3.9.1"]
STORIES = ["auth", "bad-filter", "flow", "restart", "wrong-token"]


def recorded(version: str, story: str) -> Path:
    return FIXTURES / f"prefect-{version}-{story}.jsonl"


def target(server: FakeServer, token: str | None = None) -> Target:
    return Target(url=resolve(api_url=server.api_url, environ={}).address.logs_url, token=token)


def logged(path: Path) -> list[str]:
    """The ids that the server streamed."""
    frames = (
        decode(e.data.encode()) for e in read(path).events if e.kind == "text" and isinstance(e.data, str)
    )
    return [frame.log.id_text for frame in frames if isinstance(frame, LogFrame)]


def test_every_version_has_every_story() -> None:
    """What a server does is shown for the first version with a log stream and for later ones."""
    names = {path.name for path in FIXTURES.glob("*.jsonl")}
    assert names >= {recorded(version, story).name for version in VERSIONS for story in STORIES}


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.jsonl")), ids=lambda path: path.stem)
def test_no_recording_holds_a_secret_or_a_place(path: Path) -> None:
    """Tokens are replaced as they are written; no path of a machine is in a message."""
    text = path.read_text()
    assert "a-password" not in text
    assert not re.search(r"/(home|root|work|tmp)/", text)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_flow_plays_back_whole(version: str) -> None:
    """A stream delivers what the server streamed, each once, in its order."""
    path = recorded(version, "flow")
    expected = logged(path)
    received: list[str] = []
    async with (
        FakeServer(recording=path, speed=None) as server,
        rawlogs.stream(api_url=server.api_url) as logs,
    ):
        async for log in logs:
            received.append(log.id_text)
            if len(received) == len(expected):
                break
    assert sorted(received) == sorted(expected)
    assert len(expected) > 10


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_refusal_is_an_auth_error(version: str) -> None:
    """1008 with the server's words."""
    async with FakeServer(recording=recorded(version, "wrong-token"), speed=None) as server:
        for reason in ("Invalid token", "Auth required but no token provided"):
            with pytest.raises(AuthError) as denied:
                await open_connection(target(server, "admin:x"), filter_message({}))
            assert (denied.value.code, denied.value.reason) == (1008, reason)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_bad_filter_is_a_drop(version: str) -> None:
    """No close frame came."""
    async with FakeServer(recording=recorded(version, "bad-filter"), speed=None) as server:
        connection = await open_connection(target(server), filter_message({}))
        with pytest.raises(ConnectionLost) as lost:
            await connection.batch()
        await connection.close()
    assert lost.value.code == 1006


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_recorded_restart_is_survived(version: str) -> None:
    """1012, then a new connection; the logs of both, once."""
    path = recorded(version, "restart")
    expected = logged(path)
    received: list[str] = []
    kinds: list[str] = []
    async with (
        FakeServer(recording=path, speed=None) as server,
        rawlogs.stream(
            api_url=server.api_url, live_only=True, on_notice=lambda notice: kinds.append(notice.kind)
        ) as logs,
    ):
        async for log in logs:
            received.append(log.id_text)
            if len(received) == len(expected):
                break
    assert received == expected
    assert kinds == ["connected", "lost", "retrying", "connected"]
