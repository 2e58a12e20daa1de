"""A run that this command has started, to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from rawlogs.cli import exit_codes
from rawlogs.cli.run_starter import StartedRun
from rawlogs.cli.tail_runner import TailRunner


class RunRunner(TailRunner):
    """Writes the logs of one run that was started here; the other arguments are those of ``TailRunner``."""

    def __init__(self, started: StartedRun, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._started = started
        self._interrupted: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Write until the end. Return the exit code."""
        run = self._started.run
        self._started.tell(f"started {run.name} ({run.id})")
        code = await super().run()
        if self._interrupted is not None:
            await self._interrupted
        return code

    def stop(self, code: int) -> None:
        """End soon; the run goes on, or is cancelled where that was asked for."""
        # A pipe whose reader has left says nothing about the run.
        if self.stop_code is None and code != exit_codes.DONE:
            self._interrupted = asyncio.create_task(self._started.interrupted(code))
        super().stop(code)
