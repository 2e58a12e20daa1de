"""Reads one run's logs through Prefect's own helper, as its documentation shows it."""

from __future__ import annotations

from uuid import UUID

from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.clients import PrefectLogsSubscriber

from benchmarks.reading import Printer, main


async def read(api_url: str, run_id: str, printer: Printer) -> None:
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
    async with PrefectLogsSubscriber(api_url=api_url, filter=chosen) as logs:
        printer.ready()
        async for log in logs:
            await printer.logs([log.id])


if __name__ == "__main__":
    main(read)
