"""Schemas of a log for pydantic and OpenAPI: for models and endpoints that have logs in them. No pydantic here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def core_schema(validate: Callable[[Any], Any]) -> dict[str, Any]:
    """Return pydantic's schema of a type that ``validate`` makes, and whose ``model_dump`` takes a mode."""
    return {
        "type": "function-plain",
        "function": {"type": "no-info", "function": validate},
        "serialization": {
            "type": "function-plain",
            "function": lambda log, info: log.model_dump(mode=info.mode),
            "info_arg": True,
        },
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of what ``Log.model_dump(mode="json")`` gives."""
    text, number = {"type": "string"}, {"type": "integer"}
    uuid, moment = {**text, "format": "uuid"}, {**text, "format": "date-time"}
    none = {"type": "null"}  # OpenAPI 3.1; "nullable" is gone there
    return {
        "title": "Log",
        "type": "object",
        "properties": {
            "id": uuid,
            "created": {"anyOf": [moment, none]},
            "updated": {"anyOf": [moment, none]},
            "name": text,
            "level": number,
            "message": text,
            "timestamp": moment,
            "flow_run_id": {"anyOf": [uuid, none]},
            "task_run_id": {"anyOf": [uuid, none]},
            "level_name": text,
        },
        "required": ["id", "name", "level", "message", "timestamp", "level_name"],
    }
