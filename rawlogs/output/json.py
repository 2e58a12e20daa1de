"""Write logs as JSON, one object a line: made for programs, stable in its keys."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from rawlogs.log_values import level_name, rfc3339
from rawlogs.models import Log, Row
from rawlogs.output.escape import HIDDEN, SURROGATES
from rawlogs.rest.names import RunNames

_DEEPEST = 100
_OWN_KEYS = ("level_name", "flow_run_name", "flow_name", "deployment_name")
_START = len('{"type":"log","log":')
"""Where the log's object begins in a canonical frame; its last brace is the one but last of the frame."""
_FULL_SECOND = b'.000000Z","flow_run_id"'
_OTHER_SPELLING = re.compile(rb"\\(?:/|u(?!00(?:0[0-7bef]|1[0-9a-f])))").search
"""An escape that orjson would not write; a backslash that is escaped itself may be taken for the start of one."""


_UNKNOWN = RunNames()


def encode_object(value: dict[str, Any]) -> bytes:
    """Return one JSON object on one line, in UTF-8, without a newline; datetimes as RFC 3339, in UTC with a "Z".

    Never raises for what JSON itself can hold. A lone surrogate becomes U+FFFD and NaN becomes null; integers
    keep every digit; what is nested more than 100 deep is left out and says so. Characters that command a
    terminal or that some readers take for the end of a line are written as ``\\u`` escapes: the same text to
    a JSON parser.
    """
    try:
        line = orjson.dumps(value, option=orjson.OPT_UTC_Z)
    except TypeError:  # a lone surrogate, an integer of more than 64 bits, or nested too deep for orjson
        line = json.dumps(_plain(value, 0), ensure_ascii=False, separators=(",", ":")).encode()
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    if text.isprintable():
        return line
    return HIDDEN.sub(json_escape, text).encode()


class JsonFormat:
    """Writes every field of a log in the wire's order, then fields this version does not know; ``level_name`` is last.

    ``created`` and ``updated`` are null on logs that came live: servers send them only over REST. With ``run_names``,
    which may grow meanwhile, each line ends in ``flow_run_name``, ``flow_name`` and ``deployment_name``, null while the
    mapping has no name for them.
    """

    def __init__(self, run_names: Mapping[UUID, RunNames] | None = None) -> None:
        self._run_names = run_names
        self._ends: dict[str, bytes] = {}

    def encode(self, log: Log) -> bytes:
        """Return the log as one line of JSON that ends in a newline."""
        data = log.data
        fields: dict[str, Any] = {
            "id": log.id_text,
            "created": data.get("created") and (log.created or data["created"]),
            "updated": data.get("updated") and (log.updated or data["updated"]),
            "name": log.name,
            "level": log.level,
            "message": log.message,
            "timestamp": log.timestamp,
            "flow_run_id": data.get("flow_run_id"),
            "task_run_id": data.get("task_run_id"),
        }
        for key, value in data.items():
            if key not in fields and key not in _OWN_KEYS:
                fields[key] = value
        fields["level_name"] = log.level_name
        if self._run_names is not None:
            run = log.flow_run_id
            names = self._run_names.get(run, _UNKNOWN) if run is not None else _UNKNOWN
            fields.update(names._asdict())
        return encode_object(fields) + b"\n"

    def encode_rows(self, rows: Sequence[Row], frames: Sequence[bytes]) -> bytes:
        """Return what ``encode`` makes of these logs, cut out of a canonical frame where that has the same bytes."""
        joined = b"".join(frames)
        usual = joined.isascii() and b"\\" not in joined and _FULL_SECOND not in joined
        if not usual and not _same_spelling(joined):
            return b"".join([self._encode_row(row, frame) for row, frame in zip(rows, frames, strict=True)])
        ends, end = self._ends, self._end  # where lines end in names, no end is kept
        return b"".join(
            [
                frame[_START:-2] + (ends.get(row[2]) or end(row))
                for row, frame in zip(rows, frames, strict=True)
            ]
        )

    def _encode_row(self, row: Row, frame: bytes) -> bytes:
        if _same_spelling(frame):
            return frame[_START:-2] + self._end(row)
        return self.encode(Log.from_row(row))

    def _end(self, row: Row) -> bytes:
        """Return what follows on the wire's fields."""
        if self._run_names is None:
            return self._ends.get(row[2]) or self._new_end(row[2])
        names = self._run_names.get(UUID(row[5]), _UNKNOWN) if row[5] else _UNKNOWN
        fields = {"level_name": level_name(int(row[2])), **names._asdict()}
        return b"," + encode_object(fields)[1:] + b"\n"

    def _new_end(self, level: str) -> bytes:
        # A thousand levels at most are canonical, so this needs no bound.
        end = self._ends[level] = b"," + encode_object({"level_name": level_name(int(level))})[1:] + b"\n"
        return end


def _same_spelling(frames: bytes) -> bool:
    """Return whether ``encode`` spells the logs of these canonical frames as they do.

    It does where they are ASCII, or printable, no escape has a shorter spelling, and no full second stands there, which
    it writes without a fraction.
    """
    return (
        (frames.isascii() or frames.decode().isprintable())
        and not (b"\\" in frames and _OTHER_SPELLING(frames))
        and _FULL_SECOND not in frames
    )


def _plain(value: Any, depth: int) -> Any:
    """Return the value in types and characters that every JSON reader takes."""
    if isinstance(value, str):
        return SURROGATES.sub("\ufffd", value)
    if isinstance(value, datetime):
        return rfc3339(value if value.tzinfo else value.replace(tzinfo=timezone.utc))
    if isinstance(value, float):
        return value if isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    if depth >= _DEEPEST:
        return "[nested too deep]"
    if isinstance(value, dict):
        return {SURROGATES.sub("\ufffd", str(key)): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    return SURROGATES.sub("\ufffd", str(value))


def json_escape(match: re.Match[str]) -> str:
    """Return the character of a match as JSON can write it."""
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
