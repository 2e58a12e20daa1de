"""Reads one run's logs through rawlogs' public API."""

from __future__ import annotations

import sys

import rawlogs
from benchmarks.reading import Printer, main


def say(notice: rawlogs.Notice) -> None:
    print(notice.at.isoformat(), notice.kind, notice.text, file=sys.stderr, flush=True)


async def read(api_url: str, run_id: str, printer: Printer) -> None:
    async with rawlogs.stream(api_url=api_url, flow_run_id=run_id, on_notice=say) as logs:
        printer.ready()
        try:
            async for batch in logs.batches():
                await printer.logs(log.id_text for log in batch)
        finally:
            printer.account(**logs.stats.as_dict())


if __name__ == "__main__":
    main(read)
