"""Logs as the frames that carried them, byte for byte: nothing is decoded, nothing escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rawlogs.output.json import encode_object

if TYPE_CHECKING:
    from rawlogs.models import Log, Row


class RawFormat:
    """The frame as received; a log that came without one (over REST) in a frame like the server's own."""

    def encode(self, log: Log) -> bytes:
        """The frame as one line. Line ends between JSON tokens (strings hold none) become spaces."""
        raw = log.raw
        if raw is None:
            return encode_object({"type": "log", "log": dict(log.data)}) + b"\n"
        if b"\n" in raw or b"\r" in raw:
            raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")
        return raw + b"\n"

    def encode_rows(self, rows: Sequence[Row], frames: Sequence[bytes]) -> bytes:
        """What ``encode`` makes of the logs of these frames, which are canonical and so of one line."""
        return b"\n".join((*frames, b""))
