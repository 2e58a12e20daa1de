"""The start of a run by this command: what a signal means before and while the server is asked for it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from rawlogs.cli import exit_codes
from rawlogs.cli.signals import exit_now, on_end
from rawlogs.config.settings import resolve
from rawlogs.errors import RawlogsError
from rawlogs.notices import Notice
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import FlowRun
from rawlogs.rest.start_run import RunRequest, cancel_run, check_request, create_run
from rawlogs.waiting import within

if TYPE_CHECKING:
    from rawlogs.output.stderr import NoticePrinter

ANSWER_TIMEOUT = 3.0
"""Seconds that the server's answer is waited for after a signal: only it says which run there is now."""
CANCEL_TIMEOUT = 3.0
"""Seconds that the request for the cancellation may take."""


class StartedRun:
    """A run that this command has started. ``cancels``: a signal cancels it."""

    def __init__(
        self, run: FlowRun, access: dict[str, Any], notices: NoticePrinter, *, cancels: bool
    ) -> None:
        self.run = run
        self._access = access
        self._notices = notices
        self._cancels = cancels

    def tell(self, text: str) -> None:
        """Say something about it."""
        self._notices(Notice("state", text, datetime.now(timezone.utc), {"run": str(self.run.id)}))

    async def interrupted(self, code: int) -> None:
        """Cancel it after a signal where that was asked for, else say how to go on with it."""
        run = self.run
        if not self._cancels or code not in (exit_codes.INTERRUPTED, exit_codes.TERMINATED):
            self.tell(
                f"{run.name} goes on; its logs: rawlogs tail {run.id}; to end it: prefect flow-run cancel {run.id}"
            )
            return
        try:
            async with RestClient(resolve(**self._access), retries=1) as rest:
                await within(CANCEL_TIMEOUT, cancel_run(rest, run.id))
        except TimeoutError:
            self._notices.error(f"{run.name} could not be cancelled: no answer within {CANCEL_TIMEOUT:g} s")
        except RawlogsError as error:
            self._notices.error(error)
        else:
            self.tell(f"asked the server to cancel {run.name}")


class RunStarter:
    """Starts one run of ``deployment``."""

    def __init__(
        self,
        access: dict[str, Any],
        notices: NoticePrinter,
        deployment: str,
        request: RunRequest,
        *,
        cancels: bool,
    ) -> None:
        self._access = access
        self._notices = notices
        self._deployment = deployment
        self._request = request
        self._cancels = cancels
        self._asked = False
        self._code: int | None = None
        self._task: asyncio.Task[StartedRun] | None = None

    async def start(self) -> StartedRun | int:
        """Return the run; the exit code where a signal has come meanwhile. Raises what keeps the run from starting."""
        on_end(self._stop)
        self._task = asyncio.create_task(self._start())
        try:
            started = await self._task
        except asyncio.CancelledError:
            if self._code is None:
                raise
            if self._asked:
                self._notices.error(
                    f"{self._deployment} may have a new run: the server had been asked for it and has not answered; "
                    f"the same command with --idempotency-key {self._request.idempotency_key} goes on with it"
                )
            return self._code
        if self._code is not None:
            await started.interrupted(self._code)
            return self._code
        return started

    async def _start(self) -> StartedRun:
        async with RestClient(resolve(**self._access), on_notice=self._notices) as rest:
            checked = await check_request(rest, self._deployment, self._request)
            self._asked = True
            run = await create_run(rest, checked)
        return StartedRun(run, self._access, self._notices, cancels=self._cancels)

    def _stop(self, code: int) -> None:
        """End soon: at once where nothing was asked for yet. The second time end now."""
        if self._code is not None:
            exit_now(code)
        self._code = code
        assert self._task is not None
        # Once the server was asked, there may be a run, which only its answer names.
        if self._asked:
            asyncio.get_running_loop().call_later(ANSWER_TIMEOUT, self._task.cancel)
        else:
            self._task.cancel()
