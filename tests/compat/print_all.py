"""A program for Prefect's subscriber: prints every log, and ends after LOGS of them."""

import asyncio
import os

from rawlogs.compat.prefect import get_logs_subscriber


async def main():
    left = int(os.environ["LOGS"])
    async with get_logs_subscriber() as subscriber:
        async for log in subscriber:
            print(f"[{log.level_name}] {log.message}")
            left -= 1
            if not left:
                break


asyncio.run(main())
