"""A browser that looks at the page, and what it shows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, TimeoutError, async_playwright

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of the browser; an error with the command that installs it."""
    path = os.environ.get("RAWLOGS_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("these tests need Chromium, which is not installed here: make system")
    return path


ONE_LOOP = pytest.mark.asyncio(loop_scope="session")
"""For all tests here: the browser that they share lives in one event loop."""

_running = AsyncExitStack()
_browsers: list[Browser] = []


async def _browser() -> Browser:
    """The browser of this process: to start one takes more CPU than most tests."""
    if not _browsers:
        playwright = await _running.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(
            executable_path=chromium(), headless=True, chromium_sandbox=os.geteuid() != 0, args=list(FLAGS)
        )
        _running.push_async_callback(browser.close)
        _browsers.append(browser)
    return _browsers[0]


async def close() -> None:
    """Close the browser, if there is one."""
    _browsers.clear()
    await _running.aclose()


@asynccontextmanager
async def browsing(**options: Any) -> AsyncIterator[BrowserContext]:
    """An empty profile, which no other test sees; ``options`` are those of Playwright's context."""
    browser = await _browser()
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    context.set_default_timeout(60_000)  # a bound that a busy machine does not reach
    try:
        yield context
    finally:
        await context.close()


@asynccontextmanager
async def looking_at(url: str, **options: Any) -> AsyncIterator[Page]:
    """A page at that URL whose own errors, and breaches of its content policy, fail the test."""
    problems: list[str] = []
    async with browsing(**options) as context:
        page = await context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if _is_breach(message) else None)
        await page.goto(url)
        yield page
    assert problems == []


def _is_breach(message: Any) -> bool:
    return message.type == "error" and "Content Security Policy" in message.text


SHOWN = """() => [...document.querySelectorAll('#lines .line:not([hidden])')]
    .sort((a, b) => a.dataset.index - b.dataset.index).map((line) => line.querySelector('.text').textContent)"""


async def shown(page: Page) -> list[str]:
    """The messages in the window, from top to bottom."""
    found: list[str] = await page.evaluate(SHOWN)
    return found


async def until(page: Page, script: str, argument: Any = None, timeout: float = 60.0) -> None:
    """Wait until a script says true; a failure says what the page shows meanwhile."""
    try:
        await page.wait_for_function(script, arg=argument, timeout=timeout * 1000, polling=40)
    except TimeoutError as error:
        parts = [await page.inner_text(part) for part in ("#status", "#shown", "#banners", "#empty")]
        raise AssertionError(f"not within {timeout} s: {script}\nThe page says: {parts}") from error


async def until_shown(page: Page, text: str, timeout: float = 60.0) -> None:
    """Wait until the counter beside the filter says this: "3 lines"."""
    await until(page, "(text) => document.getElementById('shown').textContent === text", text, timeout)


async def all_messages(page: Page) -> list[str]:
    """Every message that the page keeps, in its order, as its own download has them."""
    async with page.expect_download() as waiting:
        await page.evaluate("document.getElementById('save-json').click()")
    path = await (await waiting.value).path()
    return [json.loads(line)["message"] for line in path.read_text("utf-8").splitlines()]
