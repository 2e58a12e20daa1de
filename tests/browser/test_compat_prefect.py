"""A Channels consumer that was written for Prefect's subscriber, in a browser."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rawlogs.testing import FakeServer

from .site import ONE_LOOP, looking_at, until

pytestmark = ONE_LOOP

SITE = Path(__file__).parents[1] / "compat" / "consumer_site.py"
RUN = "0d88f0a1-0000-4000-8000-000000000001"
LINES = "(wanted) => [...document.querySelectorAll('#lines li')].map((line) => line.textContent).join() === wanted"


async def test_the_browser_shows_the_logs_that_its_url_asks_for(tmp_path: Path) -> None:
    async with FakeServer() as server:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        site = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SITE),
            cwd=tmp_path,
            env={**kept, "PREFECT_API_URL": server.api_url, "HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert site.stdout is not None
        try:
            url = (await asyncio.wait_for(site.stdout.readline(), 60)).decode().strip()
            async with looking_at(f"{url}?flow_run_id={RUN}&level=INFO&level=ERROR") as page:
                await server.until_subscribed(timeout=60)
                server.post(
                    [{"message": f"{level}", "level": level} for level in (20, 30, 40)], flow_run_id=RUN
                )
                server.post("another run's")
                server.store("lost live", flow_run_id=RUN)
                await until(page, LINES, "[INFO] 20,[ERROR] 40,[INFO] lost live", 30)
            await server.until(lambda: server.subscribed == 0, 30)
        finally:
            site.terminate()
            await site.wait()
