"""A run that this command has started, to its end: what a signal means for it."""

from __future__ import annotations

import asyncio

from rawlogs.cli import exit_codes
from rawlogs.cli.tail_runner import TailRunner
from rawlogs.errors import RawlogsError
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import FlowRun
from rawlogs.rest.start_run import cancel_run
from rawlogs.waiting import within

CANCEL_TIMEOUT = 3.0
"""Seconds that the request for the cancellation may take."""


class RunRunner(TailRunner):
    """Writes the logs of one run; see ``own``."""

    _started: FlowRun | None = None
    _cancels = False
    _cancelling: asyncio.Task[None] | None = None

    def own(self, run: FlowRun, *, cancel: bool) -> None:
        """Take this run as the one that was started. ``cancel``: signals cancel it."""
        self._started, self._cancels = run, cancel
        self.notify("state", f"started {run.name} ({run.id})", run=str(run.id))

    async def run(self) -> int:
        """Write until the end. Return the exit code."""
        code = await super().run()
        if self._cancelling is not None:
            await self._cancelling
        return code

    def stop(self, code: int) -> None:
        """End soon; the run goes on, or is cancelled where that was asked for."""
        run = self._started
        if self.stop_code is None and run is not None and code != exit_codes.DONE:
            if self._cancels and code in (exit_codes.INTERRUPTED, exit_codes.TERMINATED):
                self._cancelling = asyncio.create_task(self._cancel(run))
            else:
                self.notify(
                    "state",
                    f"{run.name} goes on; its logs: rawlogs tail {run.id}; to end it: prefect flow-run cancel {run.id}",
                    run=str(run.id),
                )
        super().stop(code)

    async def _cancel(self, run: FlowRun) -> None:
        from rawlogs.config.settings import resolve

        try:
            async with RestClient(resolve(**self.setup.access), retries=1) as rest:
                await within(CANCEL_TIMEOUT, cancel_run(rest, run.id))
        except TimeoutError:
            self.notices.error(f"{run.name} could not be cancelled: no answer within {CANCEL_TIMEOUT:g} s")
        except RawlogsError as error:
            self.notices.error(error)
        else:
            self.notify("state", f"asked the server to cancel {run.name}", run=str(run.id))
