"""One stream run to its end: signals, followed runs, the cursor, the account, the exit code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.cli import exit_codes
from rawlogs.cli.signals import exit_now, on_end, on_signals
from rawlogs.errors import RawlogsError
from rawlogs.notices import Notice

if TYPE_CHECKING:
    from rawlogs.cli.cursor_saver import CursorSaver
    from rawlogs.cli.followed_runs import FollowedRuns
    from rawlogs.cursor import CursorFile
    from rawlogs.delivery.stream import LogStream
    from rawlogs.delivery.vitals import Vitals
    from rawlogs.health.metrics import Metric
    from rawlogs.output.notices import NoticePrinter
    from rawlogs.rest.client import RestClient
    from rawlogs.runs.follower import Follower

FIND_RETRIES = 6
"""How often a request for the followed runs is sent again: half a minute, in which a rate limit has filled up again."""


class StreamRunner:
    """Runs one stream to its end. A subclass says with ``pump`` where its logs go.

    Args:
        access, chosen: arguments of ``rawlogs.stream``: where the server is, which logs.
        options: fields of ``Options``.
        notices: where everything about the stream is told.
        followed: the runs whose end is the stream's end; None: no run is followed.
        cursor_file, reset_cursor: where the position is kept, and whether to begin anew.
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
        followed: FollowedRuns | None = None,
        cursor_file: str | None = None,
        reset_cursor: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.notices = notices
        self.limit = limit
        self.follower: Follower | None = None
        self.saver: CursorSaver | None = None
        self.stop_code: int | None = None
        self._access = access
        self._chosen = chosen
        self._options = options
        self._followed = followed
        self._cursor_file = cursor_file
        self._reset_cursor = reset_cursor
        self._timeout = timeout
        self._main: asyncio.Task[Any] | None = None
        self._stream: LogStream | None = None
        self._cursor: CursorFile | None = None
        self._rest: RestClient | None = None
        self._background: set[asyncio.Task[Any]] = set()

    # What a subclass says

    async def open(self) -> None:
        """Open what the logs go to, before the stream."""

    async def beside(self) -> None:
        """Work beside the stream, from before it is opened; an error of this ends the stream."""

    async def pump(self, logs: LogStream) -> None:
        """Hand the batches of an open stream on until its end, and commit and save what has arrived."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Make sure that what was committed can be read by others."""

    def metrics(self) -> list[Metric]:
        """Return what is counted of what the logs go to."""
        return []

    # Running

    async def run_watched(self, *, listen: str | None, health_file: str | None) -> int:
        """Run under the watch that was asked for. Return the exit code."""
        if listen is None and health_file is None:
            return await self.run()
        from rawlogs.cli.watching import watched
        from rawlogs.health.subject import StreamSubject

        subject = StreamSubject(self._vitals, self.metrics)
        async with watched(subject, self.notices, listen=listen, health_file=health_file):
            return await self.run()

    def _vitals(self) -> Vitals | None:
        if self._stream is None:
            return None
        vitals = self._stream.vitals()
        if self._rest is not None:  # what looks for the runs and their states
            return replace(vitals, answers=Counter(vitals.answers) + self._rest.answers)
        return vitals

    async def run(self) -> int:
        """Stream until the end, a limit, a signal or an error. Return the exit code."""
        self._main = asyncio.current_task()
        on_end(self.stop)
        on_signals({"SIGUSR1": self.tell_account})
        try:
            await self.open()
            self._stream = await self._make_stream()
            return await self._run_stream(self._stream)
        except RawlogsError as error:
            self.notices.error(error)
            return exit_codes.exit_code(error)
        except asyncio.CancelledError:
            if self.stop_code is None:
                raise
            return self.stop_code
        finally:
            if self._cursor is not None:
                self._cursor.close()
            if self._rest is not None:
                await self._rest.close()

    # What is streamed

    async def _make_stream(self) -> LogStream:
        from rawlogs.api import stream

        chosen, options = dict(self._chosen), dict(self._options)
        options["track"] = self._cursor_file is not None
        if self._followed is not None:
            chosen["flow_run_id"] = await self._find_runs(self._followed)
            options["keep_ids"] = True
            options["since"] = options["since"] or _beginning()
        else:
            chosen["flow_run_id"] = chosen["flow_run_id"] or None
        chosen["task_run_id"] = chosen["task_run_id"] or None
        logs = stream(**chosen, on_notice=self.notices, options=options, **self._access)
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
        self._rest = RestClient(resolve(**self._access), retries=retries, on_notice=self.notices)
        self.follower = await followed.follower(
            self._rest,
            since=_moment(self._options["since"]) or datetime.now(timezone.utc),
            follow=self._options["follow"],
            notify=self.notify,
        )
        return await self.follower.begin()

    def _open_cursor(self, logs: LogStream, path: str) -> None:
        from rawlogs.cli.cursor_saver import CursorSaver
        from rawlogs.cursor import CursorFile, filter_digest

        chosen = self._chosen
        digest = filter_digest(logs.selection.asked, chosen["include"], chosen["exclude"], chosen["logger"])
        self._cursor = CursorFile(path, api=logs.settings.api_url, digest=digest)
        resume = self._cursor.open(reset=self._reset_cursor)
        logs.resume(resume)
        self.saver = CursorSaver(self._cursor, logs, self.flush, self.notices.error)
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
            asyncio.get_running_loop().call_later(self._timeout, self.stop, exit_codes.TIMEOUT)
        self.spawn(self._ending(logs, self.beside))
        async with logs:
            try:
                if self.follower is not None:
                    self.spawn(self._ending(logs, partial(self.follower.run, logs)))
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

    def notify(self, kind: Any, text: str, /, **facts: Any) -> None:
        """Tell the user."""
        self.notices(Notice(kind, text, datetime.now(timezone.utc), facts))

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
                exit_now(code)
            return
        self.stop_code = code
        asyncio.get_running_loop().call_later(self.end_within, self._give_up, code)
        if self._stream is not None and self._stream.entered:
            self.spawn(self._stream.finish(3.0))
        elif self._main is not None:
            self._main.cancel()

    def _give_up(self, code: int) -> None:
        if self._main is not None and not self._main.done():
            self._main.cancel()
            asyncio.get_running_loop().call_later(0.3, exit_now, code)

    def tell_account(self) -> None:
        """Tell what was delivered so far."""
        if self._stream is not None:
            stats = self._stream.stats
            self.notify("account", stats.line(), **stats.as_dict())

    def _code(self, logs: LogStream) -> int:
        if self.stop_code is not None:
            return self.stop_code
        if self.saver is not None and self.saver.problem is not None:
            return exit_codes.OUTPUT
        # A limit that was reached is the end that was asked for, whatever the list still owes.
        if logs.stats.open_gaps and self.limit is None:
            self.notices.error("some logs could not be vouched for: see the notices above")
            return exit_codes.LOSS
        if self.follower is None:
            return exit_codes.DONE
        outcome = self.follower.outcome
        if self.limit is not None and outcome == "running":
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
