"""Reads one run's logs the way one would without either: asking the REST list twice a second.

It asks for what is stamped at or after the last timestamp it has seen, leaves out the ids it knows, asks again at once
while pages are full, and tries again after errors.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import httpx

from benchmarks.reading import Printer, main

INTERVAL = 0.5
PAGE = 200


async def read(api_url: str, run_id: str, printer: Printer) -> None:
    last = printer.since or datetime.now(timezone.utc).isoformat()
    seen: set[str] = set()
    requests = 0
    async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
        printer.ready()
        try:
            while True:
                requests += 1
                chosen = {"flow_run_id": {"any_": [run_id]}, "timestamp": {"after_": last}}
                body = {"logs": chosen, "sort": "TIMESTAMP_ASC", "limit": PAGE}
                try:
                    answer = await client.post(f"{api_url}/logs/filter", json=body)
                    rows = answer.raise_for_status().json()
                except httpx.HTTPError:
                    rows = []
                new = [row["id"] for row in rows if row["id"] not in seen]
                if new:
                    last = rows[-1]["timestamp"]
                    seen.update(new)
                    await printer.logs(new)
                if len(rows) < PAGE or not new:
                    await asyncio.sleep(INTERVAL)
        finally:
            printer.account(requests=requests)


if __name__ == "__main__":
    main(read)
