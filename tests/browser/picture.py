"""Makes docs/images/serve.png: ``cd tests && python -m browser.picture``. The logs are made up; the page is real."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path

from rawlogs.testing import FakeServer

from .serving import serving
from .site import looking_at, until

PICTURE = Path(__file__).resolve().parents[2] / "docs/images/serve.png"
TRACEBACK = """Task run failed with exception: ReadTimeout('timed out')
Traceback (most recent call last):
  File "/srv/flows/nightly.py", line 48, in fetch_page
    answer = client.get(url, timeout=10)
httpx.ReadTimeout: timed out"""
TASKS = ("extract-orders-0", "extract-refunds-1", "transform-0", "load-warehouse-0")
MESSAGES = (
    (20, 1, "Reading page {n} of 240 from https://shop.example/api/refunds"),
    (20, 0, "Fetched 500 orders, {n} pages so far"),
    (10, 0, "cursor=eyJhZnRlciI6{n} remaining=412"),
    (20, 2, "Normalised {n}000 rows in 0.41 s"),
    (20, 3, "COPY orders_staging: {n}000 rows"),
)


async def main() -> None:
    async with (
        FakeServer(port=4200) as fake,
        serving(fake.api_url) as url,
        looking_at(url, viewport={"width": 1280, "height": 760}) as page,
    ):
        fake.add_run("quiet-heron", flow="report-mailer", deployment="prod", state="FAILED")
        fake.add_run("brisk-marten", flow="inventory-sync", deployment="prod", state="COMPLETED")
        fake.add_run("amber-stoat", flow="inventory-sync", deployment="staging", state="COMPLETED")
        fake.add_run("fuzzy-crane", flow="backfill", state="CANCELLED")
        run = fake.add_run("brave-otter", flow="nightly-etl", deployment="prod")
        child = fake.add_run("calm-finch", flow="load-warehouse", parent=run)
        tasks = [fake.state.runs.add_task_run(str(run), name)["id"] for name in TASKS]
        now = datetime.now(timezone.utc)
        for i in range(400):
            level, task, text = MESSAGES[i % len(MESSAGES)]
            text = text.format(n=i // 5 + 1)
            if i == 391:
                level, text = 30, "Rate limited by shop.example; waiting 2.0 s (attempt 1 of 3)"
            if i == 394:
                level, task, text = 40, 1, TRACEBACK
            of_child = task == 3 and i % 2
            fake.store(
                text,
                level=level,
                name="prefect.task_runs",
                flow_run_id=str(child if of_child else run),
                task_run_id=None if of_child else tasks[task],
                timestamp=(now - timedelta(seconds=(400 - i) * 0.113)).isoformat(),
            )
        await page.goto(f"{url}?run={run}")
        await until(page, "() => document.getElementById('shown').textContent === '400 lines'")
        await page.wait_for_function("document.querySelectorAll('#runs li').length >= 6")
        await page.focus("#lines")
        await page.keyboard.press("E")
        await page.keyboard.press("Enter")
        await page.mouse.move(700, 20)
        await asyncio.sleep(1)
        await page.screenshot(path=PICTURE)


if __name__ == "__main__":
    asyncio.run(main())
