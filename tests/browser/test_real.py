"""The page over a real Prefect server that runs a real flow; what is stored is what must be seen, once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from real import prefect_env
from real.prefect_server import PrefectServer

from .serving import serving
from .site import all_messages, looking_at, shown, until

pytestmark = pytest.mark.real

FLOW = """
import time
from prefect import flow, get_run_logger, task

@task
def work(number: int) -> None:
    get_run_logger().info("task %d at work", number)

@flow
def child() -> None:
    get_run_logger().warning("the child speaks")

@flow
def main(lines: int = 100, pause: float = 0.05) -> None:
    logger = get_run_logger()
    logger.error("<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> \\x1b[31m \\u202e \\u2028")
    work(1)
    child()
    for number in range(lines):
        logger.info("line %d", number)
        time.sleep(pause)
"""


@pytest.fixture
async def server() -> AsyncIterator[PrefectServer]:
    """A server of its own, as these tests stop it; with its UI's address but without its UI."""
    server = PrefectServer(prefect_env.DEFAULT_VERSIONS[0])
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.close)


def stored(server: PrefectServer, *runs: str) -> list[str]:
    """The messages that the server has of these runs, by timestamp."""
    return [log["message"] for log in server.list_logs(flow_run_id={"any_": list(runs)})]


async def of_run(server: PrefectServer, run: str) -> list[str]:
    """The run and its subflow runs."""
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}}
    children = await asyncio.to_thread(server.request, "POST", "/flow_runs/filter", body)
    return [run, *(child["id"] for child in children)]


LINES = "() => Number(document.getElementById('shown').textContent.split(' ')[0].replace(',', ''))"


@pytest.mark.timeout(240)
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


@pytest.mark.timeout(300)
async def test_a_server_restarted_in_mid_flow_loses_and_repeats_nothing_on_the_page(
    server: PrefectServer,
) -> None:
    async with serving(server.api_url) as url:
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=300, pause=0.1)
        async with looking_at(f"{url}?run={flow.run_id}") as page:
            await until(page, f"() => ({LINES})() > 20", timeout=60)
            await asyncio.to_thread(server.kill)
            await until(page, "() => Boolean(document.querySelector('[data-cause^=gap-]'))", timeout=60)
            await asyncio.to_thread(server.start_again)
            await asyncio.to_thread(flow.wait, 120)
            runs = await of_run(server, flow.run_id)
            expected = await asyncio.to_thread(stored, server, *runs)
            assert len(expected) > 100
            await until(page, f"(n) => ({LINES})() >= n", len(expected), 90)
            assert await all_messages(page) == await asyncio.to_thread(stored, server, *runs)


@pytest.mark.timeout(240)
async def test_a_browser_offline_in_mid_flow_catches_up(server: PrefectServer) -> None:
    async with serving(server.api_url) as url:
        flow = await asyncio.to_thread(server.start_flow, FLOW, lines=150, pause=0.1)
        async with looking_at(f"{url}?run={flow.run_id}") as page:
            await until(page, f"() => ({LINES})() > 10", timeout=60)
            await page.context.set_offline(True)
            await until(page, "() => document.getElementById('status').textContent === 'Offline'")
            before = await page.inner_text("#shown")
            await asyncio.to_thread(flow.wait)
            assert await page.inner_text("#shown") == before
            await page.context.set_offline(False)
            runs = await of_run(server, flow.run_id)
            expected = await asyncio.to_thread(stored, server, *runs)
            await until(page, f"(n) => ({LINES})() >= n", len(expected), 60)
            assert await all_messages(page) == expected
