"""The Django example in a browser: lines in order and once, through restarts and without a network; hostile text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from rawlogs.testing import Behaviour, FakeServer

from .example import KEY, example, log_in, until
from .site import ONE_LOOP, browsing, looking_at

pytestmark = ONE_LOOP


@pytest_asyncio.fixture(loop_scope="session")
async def fake() -> AsyncIterator[FakeServer]:
    async with FakeServer(Behaviour()) as server:
        yield server


async def test_a_chosen_run_is_shown_in_order_and_once_through_a_restart(
    fake: FakeServer, tmp_path: Path
) -> None:
    """The backlog, what comes live, and a burst of which the socket loses most, while the server restarts."""
    run = str(fake.add_run("brisk-otter", state="RUNNING"))
    fake.post([f"line {n}" for n in range(300)], flow_run_id=run)
    async with example(fake.api_url, tmp_path) as url, looking_at(url) as page:
        await log_in(page)
        await page.click("text=brisk-otter")
        assert await until(page, 300) == [f"line {n}" for n in range(300)]
        fake.post("live", flow_run_id=run)
        assert (await until(page, 301))[-1] == "live"
        await fake.restart(downtime=0.5, abrupt=True)
        fake.post([f"after {n}" for n in range(400)], flow_run_id=run)
        shown = await until(page, 701)
    assert sorted(shown[301:]) == sorted(f"after {n}" for n in range(400))
    assert len(shown) == 701


async def test_a_browser_that_was_offline_misses_nothing(fake: FakeServer, tmp_path: Path) -> None:
    """It goes on behind its last frame."""
    run = str(fake.add_run("calm-lynx", state="RUNNING"))
    async with example(fake.api_url, tmp_path) as url, browsing() as context:
        page = await context.new_page()
        await page.goto(url)
        await log_in(page)
        await page.click("text=calm-lynx")
        await page.wait_for_function("() => document.getElementById('status').textContent === 'live'")
        fake.post([f"a{n}" for n in range(5)], flow_run_id=run)
        await until(page, 5)
        await context.set_offline(True)
        fake.post([f"b{n}" for n in range(5)], flow_run_id=run)
        await context.set_offline(False)
        fake.post([f"c{n}" for n in range(5)], flow_run_id=run)
        shown = await until(page, 15)
    assert sorted(shown) == sorted(f"{letter}{n}" for letter in "abc" for n in range(5))


async def test_hostile_text_does_nothing_and_the_key_stays_on_the_server(
    fake: FakeServer, tmp_path: Path
) -> None:
    """Markup is text, hidden characters are shown, and no answer holds the key."""
    run = str(fake.add_run("<b>bold</b>", state="RUNNING"))
    fake.post(["<img src=x onerror='window.hacked=1'>", "a\u202eb\x1b[31m"], flow_run_id=run)
    seen: list[str] = []
    async with example(fake.api_url, tmp_path) as url, looking_at(url) as page:
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: seen.append(str(frame))))
        await log_in(page)
        seen.append(await page.content())
        await page.click("tbody a")
        shown = await until(page, 2)
        seen.append(await page.content())
        assert await page.evaluate("() => window.hacked === undefined")
    assert shown == ["<img src=x onerror='window.hacked=1'>", "a\\u202eb\\u001b[31m"]
    assert not any(KEY in text for text in seen)


async def test_nobody_reads_without_logging_in(fake: FakeServer, tmp_path: Path) -> None:
    """The page leads to the login, and the socket is closed with 4401."""
    run = fake.add_run("brisk-otter")
    async with example(fake.api_url, tmp_path) as url, looking_at(f"{url}runs/{run}") as page:
        assert "/login" in page.url
        code = await page.evaluate(
            """(run) => new Promise((done) => {
                const socket = new WebSocket(location.origin.replace('http', 'ws') + '/logs?flow_run_id=' + run);
                socket.onclose = (closed) => done(closed.code);
            })""",
            str(run),
        )
    assert code == 4401


async def test_runs_are_chosen_by_their_deployment_and_lines_by_their_level(
    fake: FakeServer, tmp_path: Path
) -> None:
    fake.add_deployment("hello", "nightly")
    run = str(fake.add_run("brisk-otter", deployment="hello/nightly"))
    fake.add_run("calm-lynx")
    fake.post("told", flow_run_id=run, level=20)
    fake.post("warned", flow_run_id=run, level=30)
    async with example(fake.api_url, tmp_path) as url, looking_at(url) as page:
        await log_in(page)
        await page.fill("input[name=deployment]", "night")
        await page.click("text=Show")
        assert await page.inner_text("tbody a") == "brisk-otter"
        await page.click("text=brisk-otter")
        await until(page, 2)
        await page.select_option("#level", "WARNING")
        await page.wait_for_url("**level=WARNING")
        assert await until(page, 1) == ["warned"]
