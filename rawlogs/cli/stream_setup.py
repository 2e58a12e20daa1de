"""From what was typed to a stream that can be entered: the cursor, the followed runs, their names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.notices import Notice

if TYPE_CHECKING:
    from rawlogs.cli.cursor_saver import CursorSaver
    from rawlogs.cursor import CursorFile
    from rawlogs.delivery.stream import LogStream
    from rawlogs.output.stderr import NoticePrinter
    from rawlogs.rest.names import RunNames
    from rawlogs.runs.followed_runs import FollowedRuns
    from rawlogs.runs.run_stream import RunStream
    from rawlogs.status.vitals import Vitals


class StreamSetup:
    """Makes one stream. ``stream`` is there once ``open`` has returned, the others where they were asked for.

    Args:
        access, chosen: arguments of ``rawlogs.stream``: where the server is, which logs.
        options: fields of ``Options``.
        notices: where everything about the stream is told.
        look_up_names: whether the followed runs' flows and deployments are to be named.
        followed: the runs whose end is the stream's end; None: no run is followed.
        cursor_file, reset_cursor: where the position is kept, and whether to begin anew.
    """

    def __init__(
        self,
        access: dict[str, Any],
        chosen: dict[str, Any],
        options: dict[str, Any],
        notices: NoticePrinter,
        *,
        look_up_names: bool = False,
        followed: FollowedRuns | None = None,
        cursor_file: str | None = None,
        reset_cursor: bool = False,
    ) -> None:
        self.access = access
        self._chosen = chosen
        self._options = options
        self._notices = notices
        self._look_up_names = look_up_names
        self._followed = followed
        self._cursor_file = cursor_file
        self._reset_cursor = reset_cursor
        self._cursor: CursorFile | None = None
        self.stream: LogStream | None = None
        self.runs: RunStream | None = None
        self.saver: CursorSaver | None = None

    async def open(self, flush: Callable[[], Awaitable[object]]) -> LogStream:
        """Return the stream, not yet entered. ``flush`` is awaited before the cursor is saved.

        Raises what keeps it from being made: ConfigError, CursorError, and what the REST client raises.
        """
        from rawlogs.api import run_stream, stream

        chosen, options = dict(self._chosen), dict(self._options)
        # Which logs were delivered is kept only for a cursor: it costs memory.
        options["track"] = self._cursor_file is not None
        for ids in ("flow_run_id", "task_run_id"):
            chosen[ids] = chosen[ids] or None
        given = {**chosen, "on_notice": self._notices, **options, **self.access}
        if self._followed is None:
            self.stream = stream(**given)
        else:
            self.runs = run_stream(self._followed, given, look_up_names=self._look_up_names)
            self.stream = self.runs
        if self._cursor_file is not None:
            self._open_cursor(self.stream, flush)
        if self.runs is not None:
            await self.runs.find()
        return self.stream

    async def close(self) -> None:
        """Unlock the cursor file."""
        if self._cursor is not None:
            self._cursor.close()

    @property
    def text_names(self) -> Mapping[UUID, str] | None:
        """What text calls the runs: None where they are never more than one."""
        if self.runs is None or self._followed is None or not self._followed.several:
            return None
        return self.runs.run_names

    @property
    def json_names(self) -> Mapping[UUID, RunNames] | None:
        """What JSON calls the runs; None where none is followed."""
        return None if self.runs is None else self.runs.names_by_run

    def vitals(self) -> Vitals | None:
        """Return how the stream does; None while there is no stream."""
        return None if self.stream is None else self.stream.vitals()

    def notify(self, kind: Any, text: str, /, **facts: Any) -> None:
        """Print a notice that is not the stream's."""
        self._notices(Notice(kind, text, datetime.now(timezone.utc), facts))

    def _open_cursor(self, logs: LogStream, flush: Callable[[], Awaitable[object]]) -> None:
        from rawlogs.cli.cursor_saver import CursorSaver
        from rawlogs.cursor import CursorFile, filter_digest

        assert self._cursor_file is not None
        chosen = [self._chosen[name] for name in ("include", "exclude", "logger")]
        followed = [] if self._followed is None else [self._followed.key]
        digest = filter_digest(logs.selection.asked, *chosen, *followed)
        self._cursor = CursorFile(self._cursor_file, api=logs.settings.api_url, digest=digest)
        resume = self._cursor.open(reset=self._reset_cursor)
        logs.resume(resume)
        self.saver = CursorSaver(self._cursor, logs, flush, self._notices.error)
        if resume is not None:
            where = f"going on from {resume.low.isoformat()}"
        elif (since := _moment(self._options["since"])) is not None:
            where = f"no cursor yet: starting at {since}"
        else:
            where = "no cursor yet: starting " + (
                "now" if self._followed is None else "at the runs' beginning"
            )
        logs.notify("cursor", f"{self._cursor_file}: {where}")


def _moment(given: datetime | timedelta | None) -> datetime | None:
    """Return the moment; a duration is counted back from now."""
    return datetime.now(timezone.utc) - given if isinstance(given, timedelta) else given
