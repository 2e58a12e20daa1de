"""Logs as lines for people: Prefect's own console layout, made safe to look at. Nothing is written here."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from rawlogs.output.color import DIM, RESET, level_color, name_color
from rawlogs.output.escape import escape_line, escape_text, is_plain

if TYPE_CHECKING:
    from rawlogs.models import Log

Timestamps = Literal["full", "short", "none"]

CONTINUATION = "  | "
"""How every further line of a message begins; no log's first line begins with a space."""

_UTC = timezone.utc
_MILLISECONDS = tuple(f".{n:03d}" for n in range(1000))
_CACHE = 1024


class TextFormat:
    """One log a line: ``12:30:01.250 | INFO    | prefect.flow_runs - Beginning flow run``.

    Further lines of a message follow below, each behind ``CONTINUATION``, so that no message can pass itself
    off as another log. Control characters in messages and names are written out (see ``escape``).

    ``timezone`` is where times are shown, None for the machine's own zone. ``timestamps`` is "short" (time of
    day), "full" (RFC 3339 with the offset, which ``--since`` takes back) or "none". With ``run_names`` every
    line begins with its run's name, or with the beginning of the run's id until the mapping has a name for
    it; the mapping may grow meanwhile. What ``encoding`` cannot take is written out with backslashes. Not
    safe to share between threads.
    """

    def __init__(
        self,
        *,
        color: bool = False,
        timezone: tzinfo | None = None,
        timestamps: Timestamps = "short",
        run_names: Mapping[UUID, str] | None = None,
        encoding: str = "utf-8",
    ) -> None:
        self._color = color
        self._timezone = timezone
        self._timestamps = timestamps
        self._run_names = run_names
        # "utf-8-sig" would begin every line with a byte order mark.
        self._encoding = "utf-8" if codecs.lookup(encoding).name.startswith("utf-8") else encoding
        self._seconds: dict[tuple[int, int, int, int], tuple[str, str]] = {}
        self._heads: dict[tuple[int, str], str] = {}
        self._prefixes: dict[str, str] = {}
        self._runs: dict[str, str] = {}

    def line(self, log: Log, *, prefix: str | None = None) -> str:
        """The log as text without the last newline. ``prefix`` replaces the run's name (empty: none)."""
        message = log.message
        if not is_plain(message):
            message = escape_text(message).rstrip("\n").replace("\n", "\n" + CONTINUATION)
        name = log.name
        head = self._heads.get((log.level, name)) or self._head(log, name)
        if prefix is not None:
            start = self._prefix(prefix)
        else:
            start = "" if self._run_names is None else self._run_prefix(log, self._run_names)
        if self._timestamps == "none":
            return f"{start}{head}{message}"
        moment = log.timestamp
        before, after = self._second(moment)
        return f"{start}{before}{_MILLISECONDS[moment.microsecond // 1000]}{after}{head}{message}"

    def encode(self, log: Log) -> bytes:
        """The log as bytes in the encoding, its lines each ending in a newline."""
        return f"{self.line(log)}\n".encode(self._encoding, "backslashreplace")

    def _second(self, moment: datetime) -> tuple[str, str]:
        """What stands before and after the milliseconds; once a second, for astimezone() is slow."""
        if moment.tzinfo is not _UTC:  # years 1 and 9999 with an offset that leads out of the calendar
            return self._write_second(moment)
        key = (moment.toordinal(), moment.hour, moment.minute, moment.second)
        written = self._seconds.get(key)
        if written is None:
            if len(self._seconds) >= _CACHE:
                self._seconds.clear()
            written = self._seconds[key] = self._write_second(moment)
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

    def _prefix(self, name: str) -> str:
        written = self._prefixes.get(name)
        if written is None:
            # A run may have any name: with blanks in front a first line would look like a further one.
            shown = escape_line(name.strip())
            if shown and self._color:
                written = f"{name_color(name)}{shown}{RESET} | "
            else:
                written = f"{shown} | " if shown else ""
            if len(self._prefixes) >= _CACHE:
                self._prefixes.clear()
            self._prefixes[name] = written
        return written

    def _run_prefix(self, log: Log, names: Mapping[UUID, str]) -> str:
        data = log.data
        run: str | None = data.get("flow_run_id") or data.get("task_run_id")
        if run is None:
            return ""
        written = self._runs.get(run)
        if written is None:
            name = names.get(UUID(run))
            if name is None:
                return self._prefix(run[:8])
            if len(self._runs) >= _CACHE:
                self._runs.clear()
            written = self._runs[run] = self._prefix(name)
        return written
