"""Write logs as logfmt, ``key=value`` pairs on a line, as Loki, Vector and Go's loggers read and write it."""

from __future__ import annotations

import re
from typing import Any

from rawlogs.log_values import rfc3339
from rawlogs.models import FIELDS, Log
from rawlogs.output.json import encode_object

_BARE = re.compile(r"[!#-<>-\[\]-~]+").fullmatch
"""Values without a space, a quotation mark, an equals sign or a backslash; readers take them without quotes."""
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.-]")


class LogfmtFormat:
    """Writes one line of pairs a log: time, level, logger, msg, id, the runs, then fields this version does not know.

    The level is in small letters. What is None is left out.
    """

    def encode(self, log: Log) -> bytes:
        """Return the log as one line that ends in a newline."""
        fields: dict[str, Any] = {
            "time": rfc3339(log.timestamp),
            "level": log.level_name.lower(),
            "logger": log.name,
            "msg": log.message,
            "id": log.id_text,
            "flow_run_id": log.data.get("flow_run_id"),
            "task_run_id": log.data.get("task_run_id"),
        }
        for key, value in log.data.items():
            if key not in FIELDS:
                fields[f"prefect_{_NOT_IN_KEYS.sub('_', key)}"] = value
        pairs = [f"{key}={_value(value)}" for key, value in fields.items() if value is not None]
        return " ".join(pairs).encode() + b"\n"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    # Some readers take a bare null for no value at all.
    return text if _BARE(text) and text != "null" else _json(text)


def _json(value: Any) -> str:
    # An object around it, for that is what the encoder takes; cut off again: {"v":…}
    return encode_object({"v": value})[5:-1].decode()
