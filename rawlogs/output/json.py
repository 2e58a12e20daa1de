"""Logs as JSON, one object a line: made for programs, stable in its keys."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from math import isfinite
from typing import TYPE_CHECKING, Any

import orjson

from rawlogs.output.escape import HIDDEN, SURROGATES

if TYPE_CHECKING:
    from rawlogs.models import Log

_DEEPEST = 100


def encode_object(value: dict[str, Any]) -> bytes:
    """One JSON object on one line, in UTF-8, without a newline; datetimes as RFC 3339, in UTC with a "Z".

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
    return HIDDEN.sub(_json_escape, text).encode()


def rfc3339(moment: datetime) -> str:
    """The moment as text, in UTC with a "Z", as orjson writes it."""
    return moment.isoformat().replace("+00:00", "Z")


class JsonFormat:
    """Every field of a log and ``level_name``, then the fields this version does not know.

    ``created`` and ``updated`` are null on logs that came live: servers send them only over REST.
    """

    def encode(self, log: Log) -> bytes:
        """The log as one line of JSON that ends in a newline."""
        data = log.data
        fields: dict[str, Any] = {
            "id": log.id_text,
            "created": data.get("created") and (log.created or data["created"]),
            "updated": data.get("updated") and (log.updated or data["updated"]),
            "name": log.name,
            "level": log.level,
            "level_name": log.level_name,
            "message": log.message,
            "timestamp": log.timestamp,
            "flow_run_id": data.get("flow_run_id"),
            "task_run_id": data.get("task_run_id"),
        }
        for key, value in data.items():
            if key not in fields:
                fields[key] = value
        return encode_object(fields) + b"\n"


def _plain(value: Any, depth: int) -> Any:
    """The value in types and characters that every JSON reader takes."""
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


def _json_escape(match: Any) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
