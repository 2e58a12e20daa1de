"""Reads N logs through rawlogs' public API and prints what that took, as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json

import rawlogs
from benchmarks.machine import CLIENT_CORE, pin
from benchmarks.meter import Meter


async def read(api_url: str, count: int, *, batches: bool, fields: bool, live_only: bool) -> Meter:
    async with rawlogs.stream(api_url=api_url, live_only=live_only) as logs:
        meter, left = Meter(), count
        if batches:
            async for batch in logs.batches():
                if left == count:
                    meter.start()
                left -= len(batch)
                if left <= 0:
                    break
        else:
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
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--fields", action="store_true", help="read every field of every log")
    parser.add_argument("--live-only", action="store_true")
    chosen = parser.parse_args()
    pin(CLIENT_CORE)
    meter = asyncio.run(
        read(
            chosen.api_url,
            chosen.logs,
            batches=chosen.batches,
            fields=chosen.fields,
            live_only=chosen.live_only,
        )
    )
    print(json.dumps(meter.result))


if __name__ == "__main__":
    main()
