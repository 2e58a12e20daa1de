"""One stream on its way to the output: limits, signals, the cursor, the account, the exit code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.cli import exit_codes
from rawlogs.cli.signals import exit_now, on_end, on_signals
from rawlogs.errors import RawlogsError, SinkError
from rawlogs.notices import Notice
from rawlogs.output.formats import Format, encode_batch
from rawlogs.output.sink import OutputClosed, Sink
from rawlogs.output.worker import AsyncSink
from rawlogs.wire.ways import fast

if TYPE_CHECKING:
    from rawlogs.batch import Batch
    from rawlogs.cli.cursor_saver import CursorSaver
    from rawlogs.cli.followed_runs import FollowedRuns
    from rawlogs.cli.stream_output import StreamOutput
    from rawlogs.delivery.cursor import CursorFile
    from rawlogs.delivery.stream import LogStream
    from rawlogs.delivery.vitals import Vitals
    from rawlogs.health.metrics import Metric
    from rawlogs.models import Log
    from rawlogs.rest.client import RestClient
    from rawlogs.runs.follower import Follower

END_WITHIN = 4.5
"""Seconds from a signal to the end, whatever hangs."""
FIND_RETRIES = 6
"""How often a request for the followed runs is sent again: half a minute, in which a rate limit has filled up again."""


class TailRunner:
    """Runs one stream to its end.

    Args:
        access, chosen: arguments of ``rawlogs.stream``: where the server is, which logs.
        options: fields of ``Options``.
        output: where to write, and how.
        followed: the runs whose end is the stream's end; None: no run is followed.
        cursor_file, reset_cursor: where the position is kept, and whether to begin anew.
        limit: how many logs at most.
        timeout: seconds until it ends with code 124.
    """

    def __init__(
        self,
        access: dict[str, Any],
        chosen: dict[str, Any],
        options: dict[str, Any],
        output: StreamOutput,
        *,
        followed: FollowedRuns | None = None,
        cursor_file: str | None = None,
        reset_cursor: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self._access = access
        self._chosen = chosen
        self._options = options
        self._output = output
        self._notices = output.notices
        self._followed = followed
        self._cursor_file = cursor_file
        self._reset_cursor = reset_cursor
        self._limit = limit
        self._timeout = timeout
        self._stop_code: int | None = None
        self._written = 0
        self._main: asyncio.Task[Any] | None = None
        self._stream: LogStream | None = None
        self._saver: CursorSaver | None = None
        self._cursor: CursorFile | None = None
        self._follower: Follower | None = None
        self._format: Format | None = None
        self._prefixed = False
        self._rest: RestClient | None = None
        self._background: set[asyncio.Task[Any]] = set()

    async def run_watched(self, *, listen: str | None, health_file: str | None) -> int:
        """Run under the watch that was asked for. Return the exit code."""
        if listen is None and health_file is None:
            return await self.run()
        from rawlogs.cli.watching import watched
        from rawlogs.health.subject import StreamSubject

        subject = StreamSubject(self._vitals, self._output_metrics)
        async with watched(subject, self._notices, listen=listen, health_file=health_file):
            return await self.run()

    def _vitals(self) -> Vitals | None:
        if self._stream is None:
            return None
        vitals = self._stream.vitals()
        if self._rest is not None:  # what looks for the runs and their states
            return replace(vitals, answers=Counter(vitals.answers) + self._rest.answers)
        return vitals

    def _output_metrics(self) -> list[Metric]:
        from rawlogs.health.metrics import counter

        return [counter("output_bytes", "Bytes that the output has taken.", self._out.written)]

    async def run(self) -> int:
        """Stream until the end, a limit, a signal or an error. Return the exit code."""
        self._main = asyncio.current_task()
        sink: Sink | None = None
        try:
            sink = self._output.open()
            self._out = AsyncSink(sink, at_once=fast())
            self._listen()
            self._stream = await self._make_stream()
            code = await self._run_stream(self._stream)
        except OutputClosed:
            code = exit_codes.DONE
        except RawlogsError as error:
            self._notices.error(error)
            code = exit_codes.exit_code(error)
        except asyncio.CancelledError:
            if self._stop_code is None:
                raise
            code = self._stop_code
        finally:
            if self._cursor is not None:
                self._cursor.close()
            if self._rest is not None:
                await self._rest.close()
        if sink is not None and not await self._out.close(timeout=0.5) and self._stop_code is not None:
            # The output's reader has stopped reading: nothing here may wait for it any more.
            exit_now(self._stop_code)
        return code

    # What is streamed

    async def _make_stream(self) -> LogStream:
        from rawlogs.api import stream

        chosen, options = dict(self._chosen), dict(self._options)
        options["keep_raw"] = self._output.name == "raw"
        options["track"] = self._cursor_file is not None
        if self._followed is not None:
            chosen["flow_run_id"] = await self._find_runs(self._followed)
            options["keep_ids"] = True
            options["since"] = options["since"] or _beginning()
        else:
            chosen["flow_run_id"] = chosen["flow_run_id"] or None
        chosen["task_run_id"] = chosen["task_run_id"] or None
        logs = stream(**chosen, on_notice=self._notices, options=options, **self._access)
        if self._rest is not None:
            logs.stats.requests += self._rest.requests
        if self._cursor_file is not None:
            self._open_cursor(logs, self._cursor_file)
        return logs

    async def _find_runs(self, followed: FollowedRuns) -> list[UUID]:
        """Find the runs that there are when the command starts; the follower looks for the others."""
        from rawlogs.config.settings import resolve
        from rawlogs.rest.client import RestClient

        self._access = followed.access(self._access)
        asked = self._options["retries"]
        retries = FIND_RETRIES if asked is None else min(asked, FIND_RETRIES)
        self._rest = RestClient(resolve(**self._access), retries=retries, on_notice=self._notices)
        self._follower = await followed.follower(
            self._rest,
            since=_moment(self._options["since"]) or datetime.now(timezone.utc),
            follow=self._options["follow"],
            notify=self._notify,
        )
        return await self._follower.begin()

    def _open_cursor(self, logs: LogStream, path: str) -> None:
        from rawlogs.cli.cursor_saver import CursorSaver
        from rawlogs.delivery.cursor import CursorFile, filter_digest

        chosen = self._chosen
        digest = filter_digest(logs.selection.asked, chosen["include"], chosen["exclude"], chosen["logger"])
        self._cursor = CursorFile(path, api=logs.settings.api_url, digest=digest)
        resume = self._cursor.open(reset=self._reset_cursor)
        logs.resume(resume)
        self._saver = CursorSaver(self._cursor, logs, self._out.flush, self._notices.error)
        since = _moment(self._options["since"])
        where = (
            f"going on from {resume.low.isoformat()}"
            if resume
            else "no cursor yet: starting " + (f"at {since}" if since else "now")
        )
        logs.notify("cursor", f"{path}: {where}")

    # The run

    async def _run_stream(self, logs: LogStream) -> int:
        if self._timeout is not None:
            asyncio.get_running_loop().call_later(self._timeout, self._stop, exit_codes.TIMEOUT)
        self._spawn(self._beside(logs, self._out.closed))
        if self._limit is None:
            logs.write_through(partial(self._write_through, logs))
        async with logs:
            try:
                if self._follower is not None:
                    self._spawn(self._beside(logs, partial(self._follower.run, logs)))
                if self._saver is not None:
                    self._spawn(self._beside(logs, self._saver.run))
                await self._pump(logs)
            finally:
                for task in self._background:
                    task.cancel()
                self._account()
        return self._code(logs)

    async def _beside(self, logs: LogStream, work: Callable[[], Awaitable[None]]) -> None:
        """Work beside the reading of the stream; an error of it ends the stream."""
        try:
            await work()
        except Exception as error:
            logs.fail(error)

    async def _pump(self, logs: LogStream) -> None:
        """Write what the stream delivers; the cursor is saved also where an error of the stream is its end."""
        try:
            async for batch in logs.batches():
                if not await self._write(logs, batch):
                    break
        except SinkError:
            raise
        except RawlogsError:
            await self._written_out()
            await self._save_cursor()
            raise
        await self._written_out()
        await self._save_cursor()

    async def _written_out(self) -> None:
        """Wait for what was written through and did not go out at once."""
        if self._out.busy:
            await self._out.flush()

    def _write_through(self, logs: LogStream, batch: Batch) -> bool:
        """Write a batch in the turn that read it; False where that cannot be done now."""
        if self._out.busy:
            return False
        form = self._format
        if form is None or self._follower is not None:  # the names of followed runs change it
            form = self._current_format(logs)
        return self._out.write_soon(encode_batch(form, batch))

    async def _write(self, logs: LogStream, batch: Sequence[Log]) -> bool:
        """Write a batch; False when the limit has been reached."""
        left = None if self._limit is None else self._limit - self._written
        written = batch if left is None else batch[:left]
        await self._out.write(encode_batch(self._current_format(logs), written))
        self._written += len(written)
        if self._saver is not None:
            logs.commit(but=len(batch) - len(written))
            self._saver.written()
        return left is None or len(written) < left

    def _current_format(self, logs: LogStream) -> Format:
        """Return the format, with run names as prefixes once there is more than one run."""
        names = self._follower.names if self._follower is not None else None
        many = names is not None and len(names) > 1
        if self._format is None or many != self._prefixed:
            self._prefixed = many
            self._format = self._output.format(logs.settings.api_url, names, many=many)
        return self._format

    async def _save_cursor(self) -> None:
        if self._saver is not None:
            await self._saver.save()

    def _notify(self, kind: Any, text: str, **facts: Any) -> None:
        self._notices(Notice(kind, text, datetime.now(timezone.utc), facts))

    # Ending

    def _listen(self) -> None:
        """SIGINT and SIGTERM end, SIGUSR1 prints the account, SIGHUP opens the output file anew."""
        on_end(self._stop)
        reopen = None if self._output.path is None else lambda: self._spawn(self._out.reopen())
        on_signals({"SIGUSR1": self._account, "SIGHUP": reopen})

    def _stop(self, code: int) -> None:
        if self._stop_code is not None:
            # The second signal of somebody who does not want to wait; a timeout may come at any time.
            if code != exit_codes.TIMEOUT:
                exit_now(code)
            return
        self._stop_code = code
        asyncio.get_running_loop().call_later(END_WITHIN, self._give_up, code)
        if self._stream is not None and self._stream.entered:
            self._spawn(self._stream.finish(3.0))
        elif self._main is not None:
            self._main.cancel()

    def _give_up(self, code: int) -> None:
        if self._main is not None and not self._main.done():
            self._main.cancel()
            asyncio.get_running_loop().call_later(0.3, exit_now, code)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _account(self) -> None:
        if self._stream is not None:
            stats = self._stream.stats
            self._notify("account", stats.line(), **stats.as_dict())

    def _code(self, logs: LogStream) -> int:
        if self._stop_code is not None:
            return self._stop_code
        if self._saver is not None and self._saver.problem is not None:
            return exit_codes.OUTPUT
        # A limit that was reached is the end that was asked for, whatever the list still owes.
        if logs.stats.open_gaps and self._limit is None:
            self._notices.error("some logs could not be vouched for: see the notices above")
            return exit_codes.LOSS
        if self._follower is None:
            return exit_codes.DONE
        outcome = self._follower.outcome
        if self._limit is not None and outcome == "running":
            return exit_codes.DONE
        return {
            "completed": exit_codes.DONE,
            "failed": exit_codes.ERROR,
            "running": exit_codes.PENDING,
        }[outcome]


def _moment(given: datetime | timedelta | None) -> datetime | None:
    """Return the moment; a duration is counted back from now."""
    return datetime.now(timezone.utc) - given if isinstance(given, timedelta) else given


def _beginning() -> datetime:
    from rawlogs.models import BEGINNING

    return BEGINNING
