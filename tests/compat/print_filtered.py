"""A program for Prefect's subscriber: the logs of one run from INFO on, through Prefect's filter classes."""

import asyncio
import os

from rawlogs.compat.prefect import LogFilter, LogFilterFlowRunId, LogFilterLevel, get_logs_subscriber

log_filter = LogFilter(
    flow_run_id=LogFilterFlowRunId(any_=[os.environ["RUN"]]),
    level=LogFilterLevel(any_=["INFO", "WARNING", "ERROR", "CRITICAL"]),
)


async def main():
    left = int(os.environ["LOGS"])
    async with get_logs_subscriber(filter=log_filter, reconnection_attempts=5) as subscriber:
        async for log in subscriber:
            print(f"[{log.level_name}] {log.message}")
            left -= 1
            if not left:
                break


asyncio.run(main())
