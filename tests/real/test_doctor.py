"""``rawlogs doctor`` and ``rawlogs trace`` against real servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rawlogs.clock import SystemClock
from rawlogs.config.settings import resolve
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Finding
from rawlogs.doctor.runner import examine
from rawlogs.doctor.verdict import Verdict, verdict_of
from rawlogs.trace.script import parse_script
from rawlogs.trace.session import Plan, converse
from rawlogs.trace.transcript import Entry, Transcript
from rawlogs.wire.connection import Target
from rawlogs.wire.frames import filter_message

from .conftest import AUTH_STRING
from .prefect_server import PrefectServer


async def doctor(server: PrefectServer, home: Path, **options: Any) -> tuple[dict[str, Finding], Verdict]:
    """Examine a server, away from this machine's settings."""
    access = {"api_url": server.api_url, "environ": {"PREFECT_HOME": str(home)}, "cwd": home}
    if "auth_string" in options:
        access["auth_string"] = options.pop("auth_string")
    results = await examine(CheckContext(access, SystemClock(), **{"watch": 0.0, **options}))
    return {result.check: result.finding for result in results}, verdict_of(results)


def failed(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.status == "fail"]


async def test_a_healthy_server_passes_and_a_written_log_arrives(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Every version streams the log that is written, and stores it."""
    found, verdict = await doctor(server, tmp_path, write_test=True, watch=10.0)
    assert [name for name, finding in found.items() if finding.status != "ok"] == []
    assert found["version"].text == f"Prefect {server.version}"
    assert found["arrival"].facts == {"written": 1, "live": True, "stored": True}
    assert verdict.text == "logs: live over the socket and complete over REST"


async def test_logs_that_come_by_prove_the_stream(server: PrefectServer, tmp_path: Path) -> None:
    """What the socket and the list show meanwhile is compared."""

    async def post() -> None:
        while True:
            await asyncio.to_thread(server.post_logs, n=2, flow_run_id=str(uuid4()))
            await asyncio.sleep(0.5)

    posting = asyncio.create_task(post())
    found, _ = await doctor(server, tmp_path, watch=4.0)
    posting.cancel()
    await asyncio.gather(posting, return_exceptions=True)
    assert found["arrival"].status == "ok"
    assert found["arrival"].facts["stored"] > 0


async def test_the_right_auth_string_passes(auth_server: PrefectServer, tmp_path: Path) -> None:
    """Both sides accept it."""
    found, verdict = await doctor(auth_server, tmp_path, auth_string=AUTH_STRING)
    assert failed(found) == []
    assert found["rest auth"].facts == {"sent": "basic", "server_wants": True}
    assert verdict.logs == "live and complete"


@pytest.mark.parametrize(
    ("auth_string", "cause"),
    [("admin:wrong-horse", "PREFECT_API_AUTH_STRING is not the server's."), (None, "and none is set")],
)
async def test_a_wrong_auth_string_is_found_on_both_sides(
    auth_server: PrefectServer, tmp_path: Path, auth_string: str | None, cause: str
) -> None:
    """401 over REST, close 1008 over the socket."""
    found, verdict = await doctor(auth_server, tmp_path, auth_string=auth_string)
    assert failed(found) == ["rest auth", "socket auth"]
    assert found["socket auth"].facts["close"] == 1008
    assert cause in verdict.text
    assert verdict.blame == "auth"


async def test_a_default_server_is_rest_only(default_server: PrefectServer, tmp_path: Path) -> None:
    """Its settings tell; the socket would stay silent."""
    found, verdict = await doctor(default_server, tmp_path)
    assert failed(found) == ["streaming"]
    assert verdict.logs == "REST only"
    assert verdict.blame is None


async def test_a_written_log_shows_that_a_default_server_does_not_stream(
    default_server: PrefectServer, tmp_path: Path
) -> None:
    """Stored, but not streamed."""
    found, _ = await doctor(default_server, tmp_path, write_test=True, watch=1.0)
    assert found["arrival"].facts == {"written": 1, "live": False, "stored": True}


async def test_csrf_protection_is_found_and_met(csrf_server: PrefectServer, tmp_path: Path) -> None:
    """The list is read, and the log written, through it."""
    found, verdict = await doctor(csrf_server, tmp_path, write_test=True, watch=10.0)
    assert found["csrf"].facts == {"csrf": True}
    assert failed(found) == []
    assert verdict.logs == "live and complete"


async def test_a_wrong_path_is_found_on_a_real_server(server: PrefectServer, tmp_path: Path) -> None:
    """The API's own place is named."""
    wrong = server.api_url.replace("/api", "/prefect/api")
    case = CheckContext(
        {"api_url": wrong, "environ": {"PREFECT_HOME": str(tmp_path)}}, SystemClock(), watch=0.0
    )
    results = {result.check: result.finding for result in await examine(case)}
    advice = results["health"].advice
    assert advice is not None
    assert advice.fix == f"The API is at {server.api_url}: set PREFECT_API_URL to that."


async def trace(server: PrefectServer, home: Path, script: str | None = None, **options: Any) -> list[Entry]:
    """One conversation, as far as it goes."""
    environ = {"PREFECT_HOME": str(home)}
    settings = resolve(api_url=server.api_url, auth_string=server.auth_string, environ=environ, cwd=home)
    target = Target(url=settings.address.logs_url, token=settings.websocket_token, **options)
    steps = None if script is None else parse_script(script, "script")
    shown: list[Entry] = []
    plan = Plan(target, filter_message({}), steps, max_frames=3, duration=10.0)
    await converse(plan, Transcript(0.0, settings.secrets()), shown.append)
    return shown


async def test_a_conversation_with_a_real_server_is_shown(auth_server: PrefectServer, tmp_path: Path) -> None:
    """Upgrade, auth, filter; the auth string in no entry, compressed or not."""
    for compress in (False, True):
        shown = await trace(auth_server, tmp_path, compress=compress)
        assert [(entry.direction, entry.event) for entry in shown[:5]] == [
            ("client", "upgrade"),
            ("server", "upgrade_ok"),
            ("client", "text"),
            ("server", "text"),
            ("client", "text"),
        ]
        assert json.loads(str(shown[2].data)) == {"type": "auth", "token": "***"}
        assert json.loads(str(shown[3].data)) == {"type": "auth_success"}
        assert AUTH_STRING not in str([(entry.data, entry.facts) for entry in shown])
        assert shown[1].facts["extensions"] == (["permessage-deflate"] if compress else [])


async def test_a_wrong_handshake_can_be_tried_on_a_real_server(server: PrefectServer, tmp_path: Path) -> None:
    """The filter before auth is refused with 1008 by every version."""
    shown = await trace(server, tmp_path, '{"type":"filter","filter":{}}\n')
    close = next(entry for entry in shown if entry.event == "close")
    assert (close.direction, close.facts["code"], close.data) == ("server", 1008, "Expected 'auth' message")


async def test_a_frame_that_is_no_json_drops_the_line_without_a_close_frame(
    server: PrefectServer, tmp_path: Path
) -> None:
    """As every version does."""
    shown = await trace(server, tmp_path, "no JSON\n")
    assert [entry.event for entry in shown][-1] == "drop"
