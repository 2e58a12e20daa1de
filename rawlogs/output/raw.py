"""Write logs as the frames that carried them, byte for byte; a terminal gets what commands it as JSON's escapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rawlogs.output.escape import HIDDEN
from rawlogs.output.json import encode_object, json_escape

if TYPE_CHECKING:
    from rawlogs.models import Log, Row

_COMMANDS = re.compile(f"[\x00-\x08\x0b-\x1f]|{HIDDEN.pattern}")
"""JSON has no control characters outside of its strings, and escapes in them; but this may be none."""


class RawFormat:
    """Writes the frame as received; a log that came without one (over REST) in a frame like the server's own.

    ``terminal``: the lines go to one. Then characters that would command it, or that it would hide, are written as
    ``\\u`` escapes: the same text to whoever reads the JSON.
    """

    def __init__(self, *, terminal: bool = False) -> None:
        self._terminal = terminal

    def encode(self, log: Log) -> bytes:
        """Return the frame as one line. Line ends between JSON tokens (strings hold none) become spaces."""
        raw = log.raw
        if raw is None:
            return encode_object({"type": "log", "log": dict(log.data)}) + b"\n"
        if b"\n" in raw or b"\r" in raw:
            raw = raw.replace(b"\n", b" ").replace(b"\r", b" ")
        return (escape_json(raw) if self._terminal else raw) + b"\n"

    def encode_rows(self, rows: Sequence[Row], frames: Sequence[bytes]) -> bytes:
        """Return what ``encode`` makes of the logs of these frames, which are canonical and so of one line."""
        if self._terminal:
            frames = [escape_json(frame) for frame in frames]
        return b"\n".join((*frames, b""))


def escape_json(line: bytes) -> bytes:
    """Return a line of JSON with what a terminal would obey or hide as escapes."""
    if line.isascii() and line.decode().isprintable():
        return line
    text = line.decode("utf-8", "replace")
    return _COMMANDS.sub(json_escape, text).encode()
