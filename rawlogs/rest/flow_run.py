"""One flow run, read from its JSON. Pure; nothing is asked of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rawlogs.models import parse_timestamp

TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
"""The state types after which a run does no more, unless somebody retries it."""


@dataclass(frozen=True, slots=True)
class FlowRun:
    """One flow run as the server knows it. The times are aware, in UTC, and None until they have come."""

    id: UUID
    name: str
    state_type: str | None = None
    state_name: str | None = None
    flow_id: UUID | None = None
    deployment_id: UUID | None = None
    parent_task_run_id: UUID | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    created: datetime | None = None
    expected_start_time: datetime | None = None
    tags: tuple[str, ...] = ()

    @property
    def terminal(self) -> bool:
        """Whether it has ended. A retry, or somebody's hand, can still start it again."""
        return self.state_type in TERMINAL

    @property
    def began(self) -> datetime | None:
        """When it started, or else is to start, or else was made."""
        return self.start_time or self.expected_start_time or self.created

    @classmethod
    def from_wire(cls, data: object) -> FlowRun:
        """A flow run from its decoded JSON object. Raises ValueError with the field that is wrong."""
        if not isinstance(data, dict):
            raise ValueError("a flow run is not a JSON object")
        state = data.get("state") or {}
        if not isinstance(state, dict):
            raise ValueError("state is not an object")
        run_id = uuid_field(data, "id")
        if run_id is None:
            raise ValueError("a flow run has no id")
        return cls(
            id=run_id,
            name=_text(data, "name") or "",
            state_type=_text(data, "state_type") or _text(state, "type"),
            state_name=_text(data, "state_name") or _text(state, "name"),
            flow_id=uuid_field(data, "flow_id"),
            deployment_id=uuid_field(data, "deployment_id"),
            parent_task_run_id=uuid_field(data, "parent_task_run_id"),
            start_time=_moment(data, "start_time"),
            end_time=_moment(data, "end_time"),
            created=_moment(data, "created"),
            expected_start_time=_moment(data, "expected_start_time"),
            tags=_texts(data, "tags"),
        )


def as_uuid(value: object) -> UUID | None:
    """A UUID from one or from its text; None for anything else."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def uuid_field(data: Mapping[str, Any], field: str) -> UUID | None:
    """The UUID of a field, None for null. Raises ValueError for anything else."""
    value = data.get(field)
    if value is None:
        return None
    found = as_uuid(value)
    if found is None:
        raise ValueError(f"{field} is not a UUID")
    return found


def _moment(data: Mapping[str, Any], field: str) -> datetime | None:
    value = data.get(field)
    if value is None:
        return None
    try:
        return parse_timestamp(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError(f"{field} is not a time") from None


def _text(data: Mapping[str, Any], field: str) -> str | None:
    value = data.get(field)
    if value is not None and not isinstance(value, str):
        # A state that is no text would never be a terminal one, and whoever follows the run would wait for ever.
        raise ValueError(f"{field} is not a text")
    return value


def _texts(data: Mapping[str, Any], field: str) -> tuple[str, ...]:
    value = data.get(field)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{field} is not a list of texts")
    return tuple(value)
