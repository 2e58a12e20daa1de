"""Record fixtures/ from real servers: ``python -m tests.real.record_fixtures [VERSION ...]`` (``make fixtures``).

Each file is one story: what a client and a Prefect server of that version really said to each other.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rawlogs.config.settings import resolve
from rawlogs.errors import RawlogsError
from rawlogs.runs.follower import STRAGGLERS
from rawlogs.testing.recording import Recorder
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.events import WireEvent
from rawlogs.wire.frames import filter_message

from .prefect_server import PrefectServer

FIXTURES = Path(__file__).parents[2] / "fixtures"
VERSIONS = ("3.4.7", "3.6.29", "3.7.8", "3.8.8", "3.9.1")
AUTH = "admin:a-password-for-recordings"


def target(server: PrefectServer, token: str | None = None) -> Target:
    address = resolve(api_url=server.api_url, environ={}, cwd=FIXTURES).address
    return Target(url=address.logs_url, token=token)


def recorder(name: str, server: PrefectServer) -> Recorder:
    return Recorder(
        FIXTURES / f"prefect-{server.version}-{name}.jsonl",
        secrets=(AUTH,),
        api_url=re.sub(r":\d+/", ":4200/", server.api_url),
        prefect_version=server.version,
    )


async def drain(connection: Connection, seconds: float) -> None:
    """Read what comes for so long, or until the server ends it."""
    try:
        while True:
            await asyncio.wait_for(connection.batch(), seconds)
    except (asyncio.TimeoutError, RawlogsError):
        pass


async def in_thread(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, lambda: work(*arguments, **options))


async def flow(server: PrefectServer) -> None:
    """A real flow with tasks and a subflow, seen live from its first line to its last, and what REST has of it."""
    with recorder("flow", server) as record:
        connection = await open_connection(target(server), filter_message({}), tap=record)
        running = asyncio.ensure_future(in_thread(server.run_flow, "family"))
        while not running.done():
            await drain(connection, 1.0)
        await drain(connection, STRAGGLERS)
        await connection.close()
        body = {"logs": None, "sort": "TIMESTAMP_ASC", "limit": 200, "offset": 0}
        rows = await in_thread(server.request, "POST", "/logs/filter", body)
        ask(record, "POST", "/api/logs/filter", body, rows)


def ask(record: Recorder, method: str, path: str, body: Any, answer: Any) -> None:
    """One REST exchange, as the recording keeps it."""
    import json

    now = time.monotonic()
    facts = {"method": method, "path": path, "headers": [["content-type", "application/json"]]}
    record(WireEvent(now, 1, "client", "request", json.dumps(body), facts))
    record(WireEvent(now, 1, "server", "response", json.dumps(answer), {"status": 200, "headers": []}))


async def auth(server: PrefectServer) -> None:
    """The right auth string, and one log."""
    with recorder("auth", server) as record:
        async with await open_connection(target(server, AUTH), filter_message({}), tap=record) as connection:
            await in_thread(server.post_logs, n=1)
            await drain(connection, 1.0)


async def wrong_token(server: PrefectServer) -> None:
    """A wrong token, and none: refused both times."""
    with recorder("wrong-token", server) as record:
        for number, token in enumerate(("admin:wrong", None)):
            try:
                await open_connection(target(server, token), filter_message({}), tap=record, number=number)
            except RawlogsError as refusal:
                print(f"  {type(refusal).__name__}: {refusal.text}")


async def bad_filter(server: PrefectServer) -> None:
    """A filter with an unknown field: the line is dropped without a close frame."""
    with recorder("bad-filter", server) as record:
        text = filter_message({"name": {"any_": ["prefect.flow_runs"]}})
        async with await open_connection(target(server), text, tap=record) as connection:
            await drain(connection, 3.0)


async def restart(server: PrefectServer) -> None:
    """The server is stopped and started again in mid-stream."""
    with recorder("restart", server) as record:
        connection = await open_connection(target(server), filter_message({}), tap=record)
        await in_thread(server.post_logs, n=3)
        await drain(connection, 1.0)
        stopping = asyncio.ensure_future(in_thread(server.stop))
        await drain(connection, 10.0)
        await stopping
        await in_thread(server.start_again)
        again = await open_connection(target(server), filter_message({}), tap=record, number=1)
        await in_thread(server.post_logs, n=2)
        await drain(again, 1.0)
        await again.close()


STORIES = {
    "open": (flow, bad_filter, restart),
    "auth": (auth, wrong_token),
}


def main(versions: list[str]) -> None:
    FIXTURES.mkdir(exist_ok=True)
    for version in versions or VERSIONS:
        for options, stories in (({}, STORIES["open"]), ({"auth_string": AUTH}, STORIES["auth"])):
            with PrefectServer(version, **options) as server:  # type: ignore[arg-type]
                for story in stories:
                    print(f"{version} {story.__name__}")
                    asyncio.run(story(server))
    for path in FIXTURES.glob("*.jsonl"):
        path.chmod(0o644)


if __name__ == "__main__":
    main(sys.argv[1:])
