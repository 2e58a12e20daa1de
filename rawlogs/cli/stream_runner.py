"""One stream run to its end: signals, followed runs, the cursor, the account, the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from rawlogs.cli import exit_codes
from rawlogs.cli.flag_names import by_flags
from rawlogs.cli.signals import exit_now, on_end, on_signals
from rawlogs.cli.stream_setup import StreamSetup
from rawlogs.errors import RawlogsError

if TYPE_CHECKING:
    from rawlogs.cli.cursor_saver import CursorSaver
    from rawlogs.delivery.stream import LogStream
    from rawlogs.health.metrics import Metric
    from rawlogs.health.subject import Subject
    from rawlogs.output.stderr import NoticePrinter
    from rawlogs.status.stats import Stats


class StreamRunner:
    """Runs one stream to its end. A subclass says with ``pump`` where its logs go.

    Args:
        access, chosen, options, notices, more: arguments of ``StreamSetup``.
        limit: how many logs at most; ``pump`` ends at it.
        timeout: seconds until it ends with code 124.
    """

    end_within = 4.5
    """Seconds from a signal to the end, whatever hangs."""

    def __init__(
        self,
        access: dict[str, Any],
        chosen: dict[str, Any],
        options: dict[str, Any],
        notices: NoticePrinter,
        *,
        limit: int | None = None,
        timeout: float | None = None,
        **more: Any,
    ) -> None:
        self.notices = notices
        self.limit = limit
        self.setup = StreamSetup(access, chosen, options, notices, **more)
        self.notify = self.setup.notify
        self.stop_code: int | None = None
        self._timeout = timeout
        self._main: asyncio.Task[Any] | None = None
        self._background: set[asyncio.Task[Any]] = set()

    @property
    def saver(self) -> CursorSaver | None:
        """What saves the cursor; None where none is kept."""
        return self.setup.saver

    # What a subclass says

    async def open(self) -> None:
        """Open what the logs go to, before the stream."""

    async def beside(self) -> None:
        """Work beside the stream, from before it is opened; an error of this ends the stream."""

    async def show_status(self, stats: Stats) -> None:
        """Tell people how the stream is doing, until cancelled."""

    async def pump(self, logs: LogStream) -> None:
        """Hand the batches of an open stream on until its end, and commit and save what has arrived."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Make sure that what was committed can be read by others."""

    def subject(self) -> Subject:
        """Return what probes and Prometheus are told of."""
        from rawlogs.health.subject import StreamSubject

        return StreamSubject(self.setup.vitals, self.metrics)

    def metrics(self) -> list[Metric]:
        """Return what is counted of what the logs go to."""
        return []

    # Running

    async def run_watched(self, *, listen: str | None, health_file: str | None) -> int:
        """Run under the watch that was asked for. Return the exit code."""
        if listen is None and health_file is None:
            return await self.run()
        from rawlogs.cli.watching import watched

        async with watched(self.subject(), self.notices, listen=listen, health_file=health_file):
            return await self.run()

    async def run(self) -> int:
        """Stream until the end, a limit, a signal or an error. Return the exit code."""
        self._main = asyncio.current_task()
        on_end(self.stop)
        on_signals({"SIGUSR1": self.tell_account})
        try:
            await self.open()
            if self._timeout is not None:
                asyncio.get_running_loop().call_later(self._timeout, self.stop, exit_codes.TIMEOUT)
            return await self._run_stream(await self.setup.open(self.flush))
        except RawlogsError as error:
            self.notices.error(by_flags(error, self.setup.access))
            return exit_codes.exit_code(error)
        except asyncio.CancelledError:
            if self.stop_code is None:
                raise
            return self.stop_code
        finally:
            await self.setup.close()

    # The run

    async def _run_stream(self, logs: LogStream) -> int:
        self.spawn(self._ending(logs, self.beside))
        self.spawn(self.show_status(logs.stats))
        async with logs:
            try:
                if self.saver is not None:
                    self.spawn(self._ending(logs, self.saver.run))
                await self.pump(logs)
            finally:
                for task in self._background:
                    task.cancel()
                self.tell_account()
        return self._code(logs)

    async def _ending(self, logs: LogStream, work: Callable[[], Awaitable[None]]) -> None:
        """Work beside the reading of the stream; an error of it ends the stream."""
        try:
            await work()
        except Exception as error:
            logs.fail(error)

    async def save_cursor(self) -> None:
        """Save what is committed, where a cursor is kept."""
        if self.saver is not None:
            await self.saver.save()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task that is cancelled when the stream ends."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # Ending

    def stop(self, code: int) -> None:
        """End soon, with this code; the second time at once."""
        if self.stop_code is not None:
            # The second signal of somebody who does not want to wait; a timeout may come at any time.
            if code != exit_codes.TIMEOUT:
                self.notices.status("")
                exit_now(code)
            return
        self.stop_code = code
        asyncio.get_running_loop().call_later(self.end_within, self._give_up, code)
        if self.setup.stream is not None and self.setup.stream.entered:
            # What the socket has lost until now is listed once more, as far as that is done in 3 s.
            self.spawn(self.setup.stream.finish(3.0))
        elif self._main is not None:
            self._main.cancel()

    def _give_up(self, code: int) -> None:
        if self._main is not None and not self._main.done():
            self._main.cancel()
            # A thread that writes to a stopped reader cannot be cancelled.
            asyncio.get_running_loop().call_later(0.3, exit_now, code)

    def tell_account(self) -> None:
        """Tell what was delivered so far."""
        if self.setup.stream is not None:
            stats = self.setup.stream.stats
            self.notify("account", stats.line(), **stats.as_dict())

    def _code(self, logs: LogStream) -> int:
        if self.stop_code is not None:
            return self.stop_code
        if self.saver is not None and self.saver.problem is not None:
            return exit_codes.OUTPUT
        # A limit that was reached is the end that was asked for, whatever the list still owes.
        if logs.stats.open_gaps and self.limit is None:
            self.notices.error(
                "completeness could not be verified for some time ranges; see the notices above"
            )
            return exit_codes.LOSS
        runs = self.setup.runs
        # Without a run nothing is pending, and a limit that was reached is the end that was asked for.
        if runs is None or not runs.run_names or (self.limit is not None and runs.outcome is None):
            return exit_codes.DONE
        from rawlogs.runs.run_stream import code_of

        return code_of(runs.outcome)
