"""Where a streaming command writes, in which format, and how it talks on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import timezone
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from rawlogs.output.color import want_color
from rawlogs.output.formats import Format
from rawlogs.output.notices import NoticePrinter
from rawlogs.output.sink import Sink, StdoutSink

if TYPE_CHECKING:
    from rawlogs.output.json import RunNames


class StreamOutput:
    """The flags about output. ``notices`` prints to stderr what happens to the stream."""

    def __init__(
        self,
        *,
        output: Literal["text", "json", "raw", "otel", "ecs"] = "text",
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
        self._timestamps = timestamps
        self._utc = utc
        self._color: Literal["auto", "always", "never"] = "never" if no_color else color
        self.notices = NoticePrinter(
            sys.stderr,
            color=self._wants_color(sys.stderr),
            as_json=output != "text",
            quiet=quiet,
            verbose=verbose,
        )

    def open(self) -> Sink:
        """Open the output. Raises SinkError."""
        if self.path is None:
            return StdoutSink()
        from rawlogs.output.file import FileSink

        return FileSink(self.path)

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
        if self.name == "raw":
            from rawlogs.output.raw import RawFormat

            return RawFormat(terminal=self.path is None and sys.stdout is not None and sys.stdout.isatty())
        if self.name == "otel":
            from rawlogs.otlp.record import resource_of
            from rawlogs.output.otel import OtelFormat

            return OtelFormat(resource=resource_of(api_url))
        if self.name == "ecs":
            from rawlogs.output.ecs import EcsFormat

            return EcsFormat()
        from rawlogs.output.text import TextFormat

        return TextFormat(
            color=self.path is None and self._wants_color(sys.stdout),
            timezone=timezone.utc if self._utc else None,
            timestamps=self._timestamps,
            run_names=names,
            encoding=(sys.stdout.encoding if self.path is None and sys.stdout else None) or "utf-8",
        )

    def _wants_color(self, stream: Any) -> bool:
        try:
            return want_color(self._color, stream is not None and stream.isatty(), os.environ)
        except ValueError:  # the stream was closed
            return False
