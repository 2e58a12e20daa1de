"""The Django example, served for a test by its own server, and what its page shows."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page, TimeoutError

EXAMPLE = Path(__file__).parents[2] / "examples" / "django"
KEY = "pnu_marked-key-of-the-browser-test"


@asynccontextmanager
async def example(api_url: str, folder: Path) -> AsyncIterator[str]:
    """The example's own server, in a process of its own; its URL."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "run.py",
        cwd=EXAMPLE,
        env={
            **environment,
            "PREFECT_API_URL": api_url,
            "PREFECT_API_KEY": KEY,
            "PREFECT_HOME": str(folder),
            "EXAMPLE_DATABASE": str(folder / "db.sqlite3"),
            "PORT": "0",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        while line := (await asyncio.wait_for(process.stdout.readline(), 60)).decode():
            if found := re.search(r"http://127\.0\.0\.1:\d+/ ", line):
                yield found[0].strip()
                return
        raise AssertionError((await process.stderr.read()).decode())
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def log_in(page: Page) -> None:
    await page.fill("#id_username", "demo")
    await page.fill("#id_password", "demo")
    await page.click("main button")


async def messages(page: Page) -> list[str]:
    """The messages of all lines, from top to bottom."""
    found: list[str] = await page.evaluate(
        "() => [...document.querySelectorAll('#lines .message')].map((line) => line.textContent)"
    )
    return found


async def until(page: Page, count: int, timeout: float = 60.0) -> list[str]:
    """Wait for so many lines; the messages."""
    script = "(count) => document.querySelectorAll('#lines .message').length >= count"
    try:
        await page.wait_for_function(script, arg=count, timeout=timeout * 1000, polling=50)
    except TimeoutError as error:
        said = await page.inner_text("#status")
        raise AssertionError(
            f"{len(await messages(page))} of {count} lines within {timeout} s; status: {said}"
        ) from error
    return await messages(page)
