"""Where a streaming command writes, in which format, and how it talks on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from rawlogs.output.color import want_color
from rawlogs.output.formats import Format
from rawlogs.output.sink import Sink, StdoutSink
from rawlogs.output.stderr import NoticePrinter, can_redraw, is_terminal

if TYPE_CHECKING:
    from rawlogs.rest.names import RunNames
    from rawlogs.status.stats import Stats


class StreamOutput:
    """The flags about output. ``notices`` prints to stderr what happens to the stream."""

    def __init__(
        self,
        *,
        output: Literal["text", "json", "logfmt", "raw", "otel", "ecs"] = "text",
        output_file: str | None = None,
        timestamps: Literal["short", "full", "none"] = "short",
        utc: bool = False,
        color: Literal["auto", "always", "never"] = "auto",
        no_color: bool = False,
        quiet: int = 0,
        verbose: int = 0,
    ) -> None:
        self.name = output
        self.path = None if output_file == "-" else output_file
        self._on_terminal = self.path is None and is_terminal(sys.stdout)
        self._timestamps = timestamps
        self._utc = utc
        self._color: Literal["auto", "always", "never"] = "never" if no_color else color
        # Who reads logs as objects reads notices so, too; people at a terminal do not.
        self.notices = NoticePrinter(
            sys.stderr,
            color=self._wants_color(sys.stderr),
            as_json=output != "text" and not is_terminal(sys.stderr),
            quiet=quiet,
            verbose=verbose,
        )

    def beside_status(self) -> AbstractContextManager[None]:
        """Take the status line away, while logs are written, from the terminal that shows both."""
        return self.notices.without_status() if self._on_terminal else nullcontext()

    def open(self) -> Sink:
        """Open the output. Raises SinkError."""
        if self.path is None:
            return StdoutSink()
        from rawlogs.output.file import FileSink

        return FileSink(self.path)

    async def show_status(self, stats: Stats, *, polling: bool) -> None:
        """Tell people how the stream is doing, until cancelled. Returns at once where stderr is no terminal."""
        if can_redraw(sys.stderr, os.environ):
            from rawlogs.cli.status import show_status
            from rawlogs.clock import SystemClock
            from rawlogs.output.progress import Progress

            progress = Progress(zone=timezone.utc if self._utc else None)
            await show_status(self.notices, stats, progress, SystemClock(), polling=polling)

    def format(
        self, api_url: str, names: Mapping[UUID, str] | None, all_names: Mapping[UUID, RunNames] | None = None
    ) -> Format:
        """Return the format.

        names: what text calls the runs, None where it has not to tell them apart.
        all_names: what JSON adds to each line, None where the command follows no runs.
        """
        if self.name == "json":
            from rawlogs.output.json import JsonFormat

            return JsonFormat(all_names)
        if self.name == "logfmt":
            from rawlogs.output.logfmt import LogfmtFormat

            return LogfmtFormat()
        if self.name == "raw":
            from rawlogs.output.raw import RawFormat

            return RawFormat(terminal=self._on_terminal)
        if self.name == "otel":
            from rawlogs.otlp.record import resource_of
            from rawlogs.output.otel import OtelFormat

            return OtelFormat(resource=resource_of(api_url))
        if self.name == "ecs":
            from rawlogs.output.ecs import EcsFormat

            return EcsFormat()
        from rawlogs.output.layout import column_bound
        from rawlogs.output.text import TextFormat

        return TextFormat(
            color=self.path is None and self._wants_color(sys.stdout),
            timezone=timezone.utc if self._utc else None,
            timestamps=self._timestamps,
            now=lambda: datetime.now(timezone.utc),
            run_names=names,
            column=column_bound(shutil.get_terminal_size().columns) if self._on_terminal else None,
            encoding=(sys.stdout.encoding if self.path is None and sys.stdout else None) or "utf-8",
        )

    def _wants_color(self, stream: Any) -> bool:
        return want_color(self._color, is_terminal(stream), os.environ)
