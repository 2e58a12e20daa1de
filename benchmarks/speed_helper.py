"""Reads N logs through Prefect's own helper, as its documentation shows it, and prints what that took, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json

from prefect.logging.clients import PrefectLogsSubscriber

from benchmarks.machine import CLIENT_CORE, pin
from benchmarks.meter import Meter


async def read(api_url: str, count: int, *, fields: bool) -> Meter:
    async with PrefectLogsSubscriber(api_url=api_url) as logs:
        meter, left = Meter(), count
        async for log in logs:
            if left == count:
                meter.start()
            if fields:
                _ = (
                    log.id,
                    log.name,
                    log.level,
                    log.message,
                    log.timestamp,
                    log.flow_run_id,
                    log.task_run_id,
                )
            left -= 1
            if not left:
                break
        meter.stop(count)
    return meter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("api_url")
    parser.add_argument("logs", type=int)
    parser.add_argument("--fields", action="store_true", help="read every field of every log")
    chosen = parser.parse_args()
    pin(CLIENT_CORE)
    print(json.dumps(asyncio.run(read(chosen.api_url, chosen.logs, fields=chosen.fields)).result))


if __name__ == "__main__":
    main()
