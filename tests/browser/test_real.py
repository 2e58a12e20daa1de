"""Both pages over a real Prefect server that runs real flows; what is stored is what must be seen, once, in order.

The tests share one server. A flow that has to outlast something goes on until a file says so, however slow the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from real import prefect_env
from real.prefect_server import PrefectServer

from . import example as django
from .serving import serving
from .site import ONE_LOOP, all_messages, looking_at, shown, until

pytestmark = [pytest.mark.real, ONE_LOOP]

FLOW = """
import os, time
from prefect import flow, get_run_logger, task

@task
def work(number: int) -> None:
    get_run_logger().info("task %d at work", number)

@flow
def child() -> None:
    get_run_logger().warning("the child speaks")

@flow
def main(lines: int = 100, pause: float = 0.05, until: str = "") -> None:
    logger = get_run_logger()
    logger.error("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> \\x1b[31m \\u202e \\u2028")
    work(1)
    child()
    for number in range(lines):
        logger.info("line %d", number)
        time.sleep(pause)
    number = lines
    while until and not os.path.exists(until):
        logger.info("line %d", number)
        number += 1
        time.sleep(pause)
    for number in range(number, number + 20 * bool(until)):
        logger.info("line %d", number)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PrefectServer]:
    """Not that of the other tests, as these stop it; it is always started again."""
    with PrefectServer(prefect_env.DEFAULT_VERSIONS[0]) as server:
        yield server


def stored(server: PrefectServer, *runs: str) -> list[str]:
    """The messages that the server has of these runs, by timestamp."""
    return [log["message"] for log in server.list_logs(flow_run_id={"any_": list(runs)})]


async def of_run(server: PrefectServer, run: str) -> list[str]:
    """The run and its subflow runs."""
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}
    children = await asyncio.to_thread(server.request, "POST", "/flow_runs/filter", body)
    return [run, *(child["id"] for child in children)]


def visible(message: str) -> str:
    """As the Django page writes the hidden characters of the flow's hostile line."""
    return message.replace("\x1b", "\\u001b").replace("\u202e", "\\u202e").replace("\u2028", "\\u2028")


LINES = "() => Number(document.getElementById('shown').textContent.split(' ')[0].replace(',', ''))"


@pytest.mark.timeout(240)
@pytest.mark.matrix
async def test_the_lines_of_a_flow_appear_in_order_and_once_and_hostile_ones_do_nothing(
    server: PrefectServer,
) -> None:
    async with serving(server.api_url) as url:
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=100, pause=0.05)
        async with looking_at(f"{url}?run={flow.run_id}") as page:
            await until(page, f"() => ({LINES})() > 20", timeout=60)
            await asyncio.to_thread(flow.wait)
            runs = await of_run(server, flow.run_id)
            await until(
                page, f"(n) => ({LINES})() >= n", len(await asyncio.to_thread(stored, server, *runs)), 60
            )
            await until(
                page,
                "() => document.getElementById('status').textContent === 'All runs have ended'",
                timeout=60,
            )
            expected = await asyncio.to_thread(stored, server, *runs)
            messages = await all_messages(page)
            assert messages == expected
            assert len(runs) == 2 and "the child speaks" in messages and "line 99" in messages
            await page.fill("#text", "script")
            await until(page, f"() => ({LINES})() === 1")
            assert (await shown(page))[0].endswith(r"\x1b[31m \u202e \u2028")
            assert await page.evaluate("window.hacked") is None


@pytest.mark.timeout(400)
async def test_a_server_restarted_in_mid_flow_loses_and_repeats_nothing_on_the_page(
    server: PrefectServer, tmp_path: Path
) -> None:
    async with serving(server.api_url) as url:
        enough = tmp_path / "enough"
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=30, until=str(enough))
        async with looking_at(f"{url}?run={flow.run_id}") as page:
            await until(page, f"() => ({LINES})() > 20", timeout=60)
            await asyncio.to_thread(server.kill)
            await until(page, "() => Boolean(document.querySelector('[data-cause^=gap-]'))", timeout=60)
            await asyncio.to_thread(server.start_again)
            enough.touch()
            await asyncio.to_thread(flow.wait, 120)
            runs = await of_run(server, flow.run_id)
            expected = await asyncio.to_thread(stored, server, *runs)
            assert len(expected) > 40
            await until(page, f"(n) => ({LINES})() >= n", len(expected), 90)
            assert await all_messages(page) == await asyncio.to_thread(stored, server, *runs)


@pytest.mark.timeout(400)
@pytest.mark.matrix
async def test_a_server_restarted_in_mid_flow_loses_and_repeats_nothing_on_the_django_page(
    server: PrefectServer, tmp_path: Path
) -> None:
    """The lines of the run alone, as that page asks for one run."""
    async with django.example(server.api_url, tmp_path) as url:
        enough = tmp_path / "enough"
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=30, until=str(enough))
        async with looking_at(f"{url}runs/{flow.run_id}") as page:
            await django.log_in(page)
            await django.until(page, 20, 60)
            await asyncio.to_thread(server.kill)
            await page.wait_for_selector("#lines .note", timeout=60_000)
            await asyncio.to_thread(server.start_again)
            enough.touch()
            await asyncio.to_thread(flow.wait, 120)
            expected = await asyncio.to_thread(stored, server, flow.run_id)
            assert len(expected) > 40
            shown = await django.until(page, len(expected), 90)
            assert [visible(message) for message in expected] == shown
            assert await page.evaluate("window.hacked") is None


@pytest.mark.timeout(240)
@pytest.mark.matrix
async def test_a_browser_offline_in_mid_flow_catches_up(server: PrefectServer, tmp_path: Path) -> None:
    async with serving(server.api_url) as url:
        enough = tmp_path / "enough"
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=20, until=str(enough))
        async with looking_at(f"{url}?run={flow.run_id}") as page:
            await until(page, f"() => ({LINES})() > 10", timeout=60)
            await page.context.set_offline(True)
            await until(page, "() => document.getElementById('status').textContent === 'Offline'")
            before = await page.inner_text("#shown")
            enough.touch()
            await asyncio.to_thread(flow.wait)
            assert await page.inner_text("#shown") == before
            await page.context.set_offline(False)
            runs = await of_run(server, flow.run_id)
            expected = await asyncio.to_thread(stored, server, *runs)
            await until(page, f"(n) => ({LINES})() >= n", len(expected), 60)
            assert await all_messages(page) == expected
