"""Prints every log of Prefect's own helper as a line of JSON, as `rawlogs tail -o json` does; ends by SIGTERM."""

from __future__ import annotations

import asyncio
import sys

from prefect.logging.clients import PrefectLogsSubscriber


async def read(api_url: str) -> None:
    async with PrefectLogsSubscriber(api_url=api_url) as logs:
        print("ready", file=sys.stderr, flush=True)
        async for log in logs:
            print(log.model_dump_json(), flush=True)


if __name__ == "__main__":
    asyncio.run(read(sys.argv[1]))
