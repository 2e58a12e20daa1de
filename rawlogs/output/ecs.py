"""Write logs in the Elastic Common Schema, one JSON object a line, in the key order of Elastic's own loggers."""

from __future__ import annotations

from typing import Any

from rawlogs.models import FIELDS, Log
from rawlogs.output.json import encode_object

ECS_VERSION = "1.6.0"
"""What Elastic's own loggers state; the fields used here mean the same in every version since."""

_LABEL_KEY = str.maketrans(".*\\", "___")


class EcsFormat:
    """Writes one ECS document a line. ``log.level`` is in small letters; the level's number is ``event.severity``.

    Runs and unknown fields are ``labels``, which Elasticsearch wants to be flat and text.
    """

    def encode(self, log: Log) -> bytes:
        """Return the log as one line of JSON that ends in a newline."""
        data = log.data
        labels: dict[str, str] = {}
        for field in ("flow_run_id", "task_run_id"):
            if data.get(field) is not None:
                labels[f"prefect_{field}"] = data[field]
        for key, value in data.items():
            if key not in FIELDS and value is not None:
                labels[f"prefect_{key.translate(_LABEL_KEY)}"] = _label(value)
        fields: dict[str, Any] = {
            "@timestamp": log.timestamp,
            "log.level": log.level_name.lower(),
            "message": log.message,
            "ecs.version": ECS_VERSION,
            "log.logger": log.name,
            "event.id": log.id_text,
            "event.severity": log.level,
            "event.dataset": "prefect.log",
            "service.name": "prefect",
            "labels": labels,
        }
        if not labels:
            del fields["labels"]
        return encode_object(fields) + b"\n"


def _label(value: Any) -> str:
    if isinstance(value, str):
        return value
    # An object around it, for that is what the encoder takes; cut off again: {"v":…}
    return encode_object({"v": value})[5:-1].decode()
