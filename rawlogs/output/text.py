"""Write logs as lines for people: Prefect's own console layout, made safe to look at. Nothing is written here."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from rawlogs.output.color import DIM, RESET, level_color
from rawlogs.output.escape import escape_line, escape_text, is_plain
from rawlogs.output.layout import Layout

if TYPE_CHECKING:
    from rawlogs.models import Log

Timestamps = Literal["full", "short", "none"]

CONTINUATION = "  | "
"""How every further line of a message begins; no log's first line begins with a space."""

_UTC = timezone.utc
_MILLISECONDS = tuple(f".{n:03d}" for n in range(1000))
_CACHE = 1024


class TextFormat:
    """Writes one log a line: ``12:30:01.250 | INFO    | prefect.flow_runs - Beginning flow run``.

    Further lines of a message follow below, each behind ``CONTINUATION``, so that no message can pass itself
    off as another log. Control characters in messages and names are written out (see ``escape``). Not safe to share
    between threads.

    timezone: where times are shown; None: the machine's own zone.
    timestamps: "short" (time of day), "full" (RFC 3339 with the offset, which ``--since`` takes back) or "none".
    now: tells short times which day it is; from the first log on that is not of that day they have a date. None: never.
    run_names: every line begins with its run's name, or with the beginning of the run's id until the mapping has a name
        for it. The mapping may grow meanwhile.
    column: cells that the names may take on a terminal (see ``Layout``); None: they stand as they are.
    encoding: what it cannot take is written out with backslashes.
    """

    def __init__(
        self,
        *,
        color: bool = False,
        timezone: tzinfo | None = None,
        timestamps: Timestamps = "short",
        now: Callable[[], datetime] | None = None,
        run_names: Mapping[UUID, str] | None = None,
        column: int | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self._color = color
        self._timezone = timezone
        self._timestamps = timestamps
        self._run_names = run_names
        # "utf-8-sig" would begin every line with a byte order mark.
        self._encoding = "utf-8" if codecs.lookup(encoding).name.startswith("utf-8") else encoding
        today = None if now is None else lambda: now().astimezone(timezone).date()
        self._layout = Layout(bound=column, color=color, today=today)
        self._layout.expect(() if run_names is None else run_names.values())
        self._seconds: dict[tuple[int, int, int, int], tuple[str, str]] = {}
        self._heads: dict[tuple[int, str], str] = {}
        self._runs: dict[str, str] = {}

    def line(self, log: Log) -> str:
        """Return the log as text without the last newline."""
        message = log.message
        if not is_plain(message):
            message = escape_text(message).rstrip("\n").replace("\n", "\n" + CONTINUATION)
        name = log.name
        head = self._heads.get((log.level, name)) or self._head(log, name)
        start = "" if self._run_names is None else self._run_prefix(log, self._run_names)
        if self._timestamps == "none":
            return f"{start}{head}{message}"
        moment = log.timestamp
        before, after = self._second(moment)
        return f"{start}{before}{_MILLISECONDS[moment.microsecond // 1000]}{after}{head}{message}"

    def encode(self, log: Log) -> bytes:
        """Return the log as bytes in the encoding, its lines each ending in a newline."""
        return f"{self.line(log)}\n".encode(self._encoding, "backslashreplace")

    def _second(self, moment: datetime) -> tuple[str, str]:
        """Return what stands before and after the milliseconds; worked out once a second, as astimezone() is slow."""
        if moment.tzinfo is not _UTC:  # years 1 and 9999 with an offset that leads out of the calendar
            return self._write_second(moment)
        key = (moment.toordinal(), moment.hour, moment.minute, moment.second)
        written = self._seconds.get(key)
        if written is None:
            dated = self._layout.dated
            written = self._write_second(moment)
            if len(self._seconds) >= _CACHE or self._layout.dated is not dated:
                self._seconds.clear()
            self._seconds[key] = written
        return written

    def _write_second(self, moment: datetime) -> tuple[str, str]:
        try:
            local = moment.astimezone(self._timezone)
        except (OverflowError, OSError, ValueError):  # outside of what the calendar or the system can convert
            local = moment
        clock = f"{local.hour:02d}:{local.minute:02d}:{local.second:02d}"
        after = f"{RESET} | " if self._color else " | "
        if self._timestamps == "full":
            clock = f"{local.year:04d}-{local.month:02d}-{local.day:02d}T{clock}"
            after = local.isoformat(timespec="seconds")[19:].replace("+00:00", "Z") + after
        elif self._layout.date_due(local.date()):
            clock = f"{local.year:04d}-{local.month:02d}-{local.day:02d} {clock}"
        return (DIM + clock if self._color else clock), after

    def _head(self, log: Log, name: str) -> str:
        level = f"{log.level_name:<7}"
        if self._color:
            level = f"{level_color(log.level)}{level}{RESET}"
        head = f"{level} | {escape_line(name)} - " if name else f"{level} | "
        if len(self._heads) >= _CACHE:
            self._heads.clear()
        self._heads[log.level, name] = head
        return head

    def _run_prefix(self, log: Log, names: Mapping[UUID, str]) -> str:
        data = log.data
        run: str | None = data.get("flow_run_id") or data.get("task_run_id")
        if run is None:
            return self._layout.prefix("")
        name = self._runs.get(run)
        if name is None:
            name = names.get(UUID(run))
            if name is None:
                return self._layout.prefix(run[:8])
            if len(self._runs) >= _CACHE:
                self._runs.clear()
            self._runs[run] = name
        return self._layout.prefix(name)
