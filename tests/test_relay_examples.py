"""The examples of docs/relay.md run as they stand there, each in a process of its own, with uvicorn."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import sse_starlette
from real import prefect_env

from rawlogs.testing import FakeServer

ROOT = Path(__file__).parents[1]
SERVE = """
import uvicorn
uvicorn.run(app, host="127.0.0.1", port=0, log_level="info", access_log=False)
"""


def example(framework: str) -> str:
    """The Python of the section "Starlette and FastAPI" up to that framework's application."""
    text = (ROOT / "docs/relay.md").read_text("utf-8")
    section = text.split("## Starlette and FastAPI\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (last,) = [number for number, block in enumerate(blocks) if f"from {framework}" in block]
    return "".join(blocks[: last + 1])


@asynccontextmanager
async def running(framework: str, python: Path, folder: Path, api_url: str) -> AsyncIterator[str]:
    """The example, serving; its URL."""
    (folder / "example.py").write_text(example(framework) + SERVE)
    (folder / "sse_starlette").symlink_to(Path(sse_starlette.__file__).parent)
    process = await asyncio.create_subprocess_exec(
        *(str(python), "example.py"),
        cwd=folder,
        env={
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("PREFECT_", "RAWLOGS_"))
            },
            "PREFECT_API_URL": api_url,
            "PREFECT_HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = ""
    try:
        while line := (await asyncio.wait_for(process.stderr.readline(), 60)).decode():
            said += line
            if found := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                yield found[1]
                return
        raise AssertionError(said)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("framework", "prefect"),
    [
        pytest.param("starlette", False, id="Starlette"),
        # FastAPI is where Prefect is; it does not go with the oldest pydantic that rawlogs takes.
        pytest.param("fastapi", True, id="FastAPI", marks=pytest.mark.real),
    ],
)
async def test_the_example_sends_a_runs_logs_to_those_who_may_read_them(
    framework: str, prefect: bool, tmp_path: Path
) -> None:
    python = prefect_env.require(prefect_env.DEFAULT_VERSIONS[0]) if prefect else Path(sys.executable)
    async with FakeServer() as fake:
        run = str(fake.add_run())
        fake.store("stored", flow_run_id=run)
        async with (
            running(framework, python, tmp_path, fake.api_url) as url,
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        ):
            assert (await client.get("/logs", params={"flow_run_id": run})).status_code == 403
            parameters = {"flow_run_id": run, "since": "1h"}
            client.cookies.set("session", "the-session-of-somebody")
            async with client.stream("GET", "/logs", params=parameters) as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for line in answer.aiter_lines():
                    if line.startswith("data: ") and '"stored"' in line:
                        return
    raise AssertionError("the stream ended without the log")
