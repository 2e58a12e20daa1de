"""One run of ``tail``: stream to output, signals, limits, the cursor, the account, the exit code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from rawlogs.cli import codes
from rawlogs.errors import ConfigError, RawlogsError, SinkError
from rawlogs.notices import Notice
from rawlogs.output.color import want_color
from rawlogs.output.formats import Format, encode_batch
from rawlogs.output.notices import NoticePrinter
from rawlogs.output.sink import OutputClosed, Sink, StdoutSink
from rawlogs.output.worker import AsyncSink
from rawlogs.wire.ways import fast

if TYPE_CHECKING:
    from rawlogs.batch import Batch
    from rawlogs.cli.cursor_saver import CursorSaver
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


@dataclass(frozen=True, slots=True)
class Job:
    """The parsed flags of ``tail``."""

    access: dict[str, Any] = field(repr=False)
    started_at: datetime | None = None
    run: tuple[str, ...] = ()
    flow: str | None = None
    deployment: str | None = None
    tag: str | None = None
    children: bool = True
    flow_run: tuple[UUID, ...] = ()
    task_run: tuple[UUID, ...] = ()
    level: str | None = None
    max_level: str | None = None
    text: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    logger: tuple[str, ...] = ()
    since: datetime | timedelta | None = None
    until: datetime | timedelta | None = None
    tail: int | None = None
    follow: bool = True
    limit: int | None = None
    timeout: float | None = None
    output: Literal["text", "json", "raw", "otel", "ecs"] = "text"
    output_file: str | None = None
    timestamps: Literal["short", "full", "none"] = "short"
    utc: bool = False
    color: Literal["auto", "always", "never"] = "auto"
    cursor_file: str | None = None
    reset_cursor: bool = False
    transport: Literal["auto", "ws", "poll"] = "auto"
    live_only: bool = False
    rest_budget: int = 60
    overlap: float = 60.0
    audit: float = 15.0
    retries: int | None = 30
    wait: bool = False
    strict: bool = False
    compress: bool = False
    legacy: bool = False
    listen: str | None = None
    health_file: str | None = None
    quiet: int = 0
    verbose: int = 0

    @property
    def follows_runs(self) -> bool:
        return bool(self.run or self.flow or self.deployment or self.tag)


def tail(job: Job) -> int:
    """Run it; the exit code."""
    return asyncio.run(_Tailing(job).run())


class _Tailing:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._access = job.access
        self._notices = NoticePrinter(
            sys.stderr,
            color=_wants_color(job, sys.stderr),
            as_json=job.output != "text",
            quiet=job.quiet,
            verbose=job.verbose,
        )
        self._stop_code: int | None = None
        self._written = 0
        self._saver: CursorSaver | None = None
        self._cursor: CursorFile | None = None
        self._follower: Follower | None = None
        self._format: Format | None = None
        self._prefixed = False
        self._rest: RestClient | None = None
        self._background: set[asyncio.Task[Any]] = set()

    async def run(self) -> int:
        """Tail under the watch that was asked for; the exit code."""
        job = self._job
        if job.listen is None and job.health_file is None:
            return await self._run()
        from rawlogs.cli.watching import watched
        from rawlogs.health.subject import StreamSubject

        subject = StreamSubject(self._vitals, self._output_metrics)
        async with watched(subject, self._notices, listen=job.listen, health_file=job.health_file):
            return await self._run()

    def _vitals(self) -> Vitals | None:
        if not hasattr(self, "_stream"):
            return None
        vitals = self._stream.vitals()
        if self._rest is not None:  # what looks for the runs and their states
            return replace(vitals, answers=Counter(vitals.answers) + self._rest.answers)
        return vitals

    def _output_metrics(self) -> list[Metric]:
        from rawlogs.health.metrics import counter

        return [counter("output_bytes", "Bytes that the output has taken.", self._out.written)]

    async def _run(self) -> int:
        self._main = asyncio.current_task()
        sink: Sink | None = None
        try:
            sink = self._open_sink()
            self._out = AsyncSink(sink, at_once=fast())
            self._listen()
            self._stream = await self._make_stream()
            code = await self._run_stream()
        except OutputClosed:
            code = codes.DONE
        except RawlogsError as error:
            self._notices.error(error)
            code = codes.exit_code(error)
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
            _leave(self._stop_code)
        return code

    # What is streamed

    async def _make_stream(self) -> LogStream:
        from rawlogs.api import stream

        job = self._job
        options: dict[str, Any] = {
            "overlap": job.overlap,
            "audit": job.audit,
            "rest_budget": job.rest_budget,
            "retries": job.retries,
            "wait": job.wait,
            "strict": job.strict,
            "compress": job.compress,
            "legacy": job.legacy,
            "keep_raw": job.output == "raw",
            "track": job.cursor_file is not None,
            "started_at": job.started_at,
        }
        since = job.since
        flow_runs: list[UUID] = list(job.flow_run)
        if job.follows_runs:
            flow_runs = await self._find_runs()
            options["keep_ids"] = True
        logs = stream(
            level=job.level,
            max_level=job.max_level,
            flow_run_id=flow_runs if flow_runs or job.follows_runs else None,
            task_run_id=job.task_run or None,
            text=job.text,
            include=job.include,
            exclude=job.exclude,
            logger=job.logger,
            since=since if since is not None or not job.follows_runs else _beginning(),
            until=_moment(job.until),
            tail=job.tail,
            follow=job.follow,
            transport=job.transport,
            live_only=job.live_only,
            on_notice=self._notices,
            options=options,
            **self._access,
        )
        if self._rest is not None:
            logs.stats.requests += self._rest.requests
        if job.cursor_file is not None:
            self._open_cursor(logs, job.cursor_file)
        return logs

    async def _find_runs(self) -> list[UUID]:
        """The runs that there are when the command starts; the follower looks for the others."""
        from rawlogs.config.settings import resolve
        from rawlogs.rest.client import RestClient
        from rawlogs.rest.flow_runs import Runs
        from rawlogs.runs.follower import DynamicRuns, Follower, NamedRuns, named

        job = self._job
        self._access = _access_for(job)
        retries = FIND_RETRIES if job.retries is None else min(job.retries, FIND_RETRIES)
        self._rest = RestClient(resolve(**self._access), retries=retries, on_notice=self._notices)
        runs = Runs(self._rest)
        since = _moment(job.since) or datetime.now(timezone.utc)
        if job.flow is not None:
            flow = job.flow
            roots: Any = DynamicRuns(lambda runs: runs.by_flow(flow, since=since))
        elif job.deployment is not None:
            deployment = await runs.deployment(job.deployment)
            roots = DynamicRuns(lambda runs: runs.by_deployment(deployment, since=since))
        elif job.tag is not None:
            tag = job.tag
            roots = DynamicRuns(lambda runs: runs.by_tag(tag, since=since))
        else:
            roots = NamedRuns(await named(runs, job.run))
        self._follower = Follower(runs, roots, children=job.children, follow=job.follow, notify=self._notify)
        return await self._follower.begin()

    def _notify(self, kind: Any, text: str, **facts: Any) -> None:
        self._notices(Notice(kind, text, datetime.now(timezone.utc), facts))

    def _open_cursor(self, logs: LogStream, path: str) -> None:
        from rawlogs.cli.cursor_saver import CursorSaver
        from rawlogs.delivery.cursor import CursorFile, filter_digest

        job = self._job
        digest = filter_digest(logs.selection.asked, job.include, job.exclude, job.logger)
        self._cursor = CursorFile(path, api=logs.settings.api_url, digest=digest)
        resume = self._cursor.open(reset=job.reset_cursor)
        logs.resume(resume)
        self._saver = CursorSaver(self._cursor, logs, self._out.flush, self._notices.error)
        where = (
            f"going on from {resume.low.isoformat()}"
            if resume
            else "no cursor yet: starting " + (f"at {_moment(job.since)}" if job.since else "now")
        )
        logs.notify("cursor", f"{path}: {where}")

    # The run

    async def _run_stream(self) -> int:
        job = self._job
        if job.timeout is not None:
            asyncio.get_running_loop().call_later(job.timeout, self._stop, codes.TIMEOUT)
        self._spawn(self._beside(self._stream, self._out.closed))
        if job.limit is None:
            self._stream.write_through(self._write_through)
        async with self._stream as logs:
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
        """From the stream to the output; the cursor is saved also where an error of the stream is its end."""
        try:
            async for batch in logs.batches():
                if not await self._write(batch):
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

    def _write_through(self, batch: Batch) -> bool:
        """Write a batch in the turn that read it; False where that cannot be done now."""
        if self._out.busy:
            return False
        form = self._format
        if form is None or self._follower is not None:  # the names of followed runs change it
            form = self._current_format(self._stream)
        return self._out.write_soon(encode_batch(form, batch))

    async def _write(self, batch: Sequence[Log]) -> bool:
        """Write a batch; False when the limit has been reached."""
        left = None if self._job.limit is None else self._job.limit - self._written
        written = batch if left is None else batch[:left]
        await self._out.write(encode_batch(self._current_format(self._stream), written))
        self._written += len(written)
        if self._saver is not None:
            self._stream.commit(but=len(batch) - len(written))
            self._saver.written()
        return left is None or len(written) < left

    def _current_format(self, logs: LogStream) -> Format:
        """The format, with run names as prefixes once there is more than one run."""
        names = self._follower.names if self._follower is not None else None
        many = names is not None and len(names) > 1
        if self._format is None or many != self._prefixed:
            self._prefixed = many
            self._format = _format(self._job, logs.settings.api_url, names, many=many)
        return self._format

    async def _save_cursor(self) -> None:
        if self._saver is not None:
            await self._saver.save()

    # Ending

    def _listen(self) -> None:
        """SIGINT and SIGTERM end, SIGUSR1 prints the account, SIGHUP opens the output file anew."""
        loop = asyncio.get_running_loop()
        for name, action in (
            ("SIGINT", lambda: self._stop(codes.INTERRUPTED)),
            ("SIGTERM", lambda: self._stop(codes.TERMINATED)),
            ("SIGUSR1", self._account),
            ("SIGHUP", self._reopen if self._job.output_file else None),
        ):
            number = getattr(signal, name, None)
            if number is not None and action is not None:
                _on_signal(loop, number, action)

    def _stop(self, code: int) -> None:
        if self._stop_code is not None:
            if code != codes.TIMEOUT:
                _leave(code)
            return
        self._stop_code = code
        asyncio.get_running_loop().call_later(END_WITHIN, self._give_up)
        if hasattr(self, "_stream") and self._stream.entered:
            self._spawn(self._stream.finish(3.0))
        elif self._main is not None:
            self._main.cancel()

    def _give_up(self) -> None:
        if self._main is not None and not self._main.done():
            self._main.cancel()
            asyncio.get_running_loop().call_later(0.3, _leave, self._stop_code)

    def _reopen(self) -> None:
        self._spawn(self._out.reopen())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _account(self) -> None:
        if hasattr(self, "_stream"):
            stats = self._stream.stats
            self._notify("account", stats.line(), **stats.as_dict())

    def _code(self, logs: LogStream) -> int:
        if self._stop_code is not None:
            return self._stop_code
        if self._saver is not None and self._saver.problem is not None:
            return codes.OUTPUT
        if logs.stats.open_gaps and self._job.limit is None:
            self._notices.error("some logs could not be vouched for: see the notices above")
            return codes.LOSS
        if self._follower is None:
            return codes.DONE
        outcome = self._follower.outcome
        if self._job.limit is not None and outcome == "running":
            return codes.DONE
        return {"completed": codes.DONE, "failed": codes.ERROR, "running": codes.PENDING}[outcome]

    def _open_sink(self) -> Sink:
        if self._job.output_file is None:
            return StdoutSink()
        from rawlogs.output.file import FileSink

        return FileSink(self._job.output_file)


def _access_for(job: Job) -> dict[str, Any]:
    """The access that goes with pasted URLs: theirs, unless the settings name a server elsewhere."""
    from rawlogs.config.settings import resolve
    from rawlogs.config.urls import parse, same_origin

    pasted = {parse(text, setting="RUN").api_url for text in job.run if "://" in text}
    if not pasted or job.access.get("api_url") is not None:
        return job.access
    if len(pasted) > 1:
        raise ConfigError("the URLs name runs of different APIs", setting="RUN")
    url = pasted.pop()
    try:
        configured = resolve(**job.access).api_url
    except ConfigError:
        configured = url
    if not same_origin(configured, url):
        raise ConfigError(
            f"{url} is not the server of PREFECT_API_URL ({configured})",
            setting="RUN",
            hint=f"If you mean that server, and your key is meant for it, add --api-url {url}",
        )
    return {**job.access, "api_url": url}


def _on_signal(loop: asyncio.AbstractEventLoop, number: int, action: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, action)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))


def _leave(code: int | None) -> None:
    """End the process now; a thread that waits for a stopped reader would keep it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(codes.ERROR if code is None else code)


def _wants_color(job: Job, stream: Any) -> bool:
    try:
        return want_color(job.color, stream is not None and stream.isatty(), os.environ)
    except ValueError:
        return False


def _moment(given: datetime | timedelta | None) -> datetime | None:
    """A duration is counted back from now."""
    return datetime.now(timezone.utc) - given if isinstance(given, timedelta) else given


def _beginning() -> datetime:
    from rawlogs.models import BEGINNING

    return BEGINNING


def _format(job: Job, api_url: str, names: Mapping[UUID, str] | None, *, many: bool) -> Format:
    """``names`` of runs where the command follows some; text shows them only where there are many."""
    if job.output == "json":
        from rawlogs.output.json import JsonFormat

        return JsonFormat(names)
    if job.output == "raw":
        from rawlogs.output.raw import RawFormat

        return RawFormat(terminal=job.output_file is None and sys.stdout is not None and sys.stdout.isatty())
    if job.output == "otel":
        from rawlogs.output.otel import OtelFormat, resource_of

        return OtelFormat(resource=resource_of(api_url))
    if job.output == "ecs":
        from rawlogs.output.ecs import EcsFormat

        return EcsFormat()
    from rawlogs.output.text import TextFormat

    return TextFormat(
        color=job.output_file is None and _wants_color(job, sys.stdout),
        timezone=timezone.utc if job.utc else None,
        timestamps=job.timestamps,
        run_names=names if many else None,
        encoding=(sys.stdout.encoding if job.output_file is None and sys.stdout else None) or "utf-8",
    )
