"""From what was typed to a stream that can be entered: the cursor, the followed runs, their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.notices import Notice

if TYPE_CHECKING:
    from rawlogs.cli.cursor_saver import CursorSaver
    from rawlogs.cursor import CursorFile, Resume
    from rawlogs.delivery.stream import LogStream
    from rawlogs.delivery.vitals import Vitals
    from rawlogs.output.stderr import NoticePrinter
    from rawlogs.rest.client import RestClient
    from rawlogs.rest.names import NameLookup, RunNames
    from rawlogs.runs.followed_runs import FollowedRuns
    from rawlogs.runs.follower import Follower

FIND_RETRIES = 6
"""How often a request for the runs is sent again: half a minute, in which a rate limit has filled up again."""


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
        self._access = access
        self._chosen = chosen
        self._options = options
        self._notices = notices
        self._look_up_names = look_up_names
        self._followed = followed
        self._cursor_file = cursor_file
        self._reset_cursor = reset_cursor
        self._cursor: CursorFile | None = None
        self._rest: RestClient | None = None
        self._lookup: NameLookup | None = None
        self.stream: LogStream | None = None
        self.follower: Follower | None = None
        self.saver: CursorSaver | None = None

    async def open(self, flush: Callable[[], Awaitable[object]]) -> LogStream:
        """Return the stream, not yet entered. ``flush`` is awaited before the cursor is saved.

        Raises what keeps it from being made: ConfigError, CursorError, and what the REST client raises.
        """
        from rawlogs.api import stream

        chosen, options = dict(self._chosen), dict(self._options)
        options["track"] = self._cursor_file is not None
        access = self._access
        if self._followed is not None:
            access = self._followed.access(access)
            options["keep_ids"] = True
            if options["since"] is None and options["tail"] is None:
                options["since"] = _beginning()
        for ids in ("flow_run_id", "task_run_id"):
            chosen[ids] = chosen[ids] or None
        logs = stream(**chosen, on_notice=self._notices, **options, **access)
        resume = self._open_cursor(logs, flush) if self._cursor_file is not None else None
        if self._followed is not None:
            logs.use_runs(await self._find_runs(self._followed, logs, resume))
        self.stream = logs
        return logs

    async def close(self) -> None:
        """Unlock the cursor file and close the connections of the search for runs."""
        if self._cursor is not None:
            self._cursor.close()
        if self._rest is not None:
            await self._rest.close()

    @property
    def text_names(self) -> Mapping[UUID, str] | None:
        """What text calls the runs: None where they are never more than one."""
        if self.follower is None or self._followed is None or not self._followed.several:
            return None
        return self.follower.names

    @property
    def json_names(self) -> Mapping[UUID, RunNames] | None:
        """What JSON calls the runs; None where none is followed."""
        return None if self._lookup is None else self._lookup.names

    def vitals(self) -> Vitals | None:
        """Return how the stream does, the search for runs included; None while there is no stream."""
        if self.stream is None:
            return None
        vitals = self.stream.vitals()
        if self._rest is not None:
            return replace(vitals, answers=Counter(vitals.answers) + self._rest.answers)
        return vitals

    def notify(self, kind: Any, text: str, /, **facts: Any) -> None:
        """Print a notice that is not the stream's."""
        self._notices(Notice(kind, text, datetime.now(timezone.utc), facts))

    async def _find_runs(self, followed: FollowedRuns, logs: LogStream, resume: Resume | None) -> list[UUID]:
        """Find the runs that there are when the command starts; the follower looks for the others."""
        from rawlogs.rest.client import RestClient
        from rawlogs.rest.flow_runs import Runs
        from rawlogs.rest.names import NameLookup

        wait, follow, tries = (self._options[name] for name in ("wait", "follow", "retries"))
        # With --wait each try is told and counted where the runs are looked for.
        retries = 0 if wait else FIND_RETRIES if tries is None else min(tries, FIND_RETRIES)
        self._rest = RestClient(logs.settings, retries=retries, on_notice=self._notices)
        if self._look_up_names:
            self._lookup = NameLookup(Runs(self._rest))
        given = _moment(self._options["since"])
        # A run that ended while nobody ran is still owed.
        since = resume.low if resume is not None else given or datetime.now(timezone.utc)
        self.follower = await followed.find(
            self._rest,
            since=since,
            follow=follow,
            tries=tries if wait else 0,
            notify=self.notify,
            on_found=None if self._lookup is None else self._lookup.add,
        )
        found = list(self.follower.names)
        if not found:
            self.notify("state", followed.none_yet(follow=follow, since=given))
        logs.stats.requests += self._rest.requests
        return found

    def _open_cursor(self, logs: LogStream, flush: Callable[[], Awaitable[object]]) -> Resume | None:
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
        return resume


def _moment(given: datetime | timedelta | None) -> datetime | None:
    """Return the moment; a duration is counted back from now."""
    return datetime.now(timezone.utc) - given if isinstance(given, timedelta) else given


def _beginning() -> datetime:
    from rawlogs.models import BEGINNING

    return BEGINNING
