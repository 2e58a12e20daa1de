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
        state = data.get("state")
        if not isinstance(state, dict):
            state = {}
        run_id = uuid_field(data, "id")
        if run_id is None:
            raise ValueError("a flow run has no id")
        return cls(
            id=run_id,
            name=_text(data.get("name")) or "",
            state_type=_text(data.get("state_type") or state.get("type")),
            state_name=_text(data.get("state_name") or state.get("name")),
            flow_id=uuid_field(data, "flow_id"),
            deployment_id=uuid_field(data, "deployment_id"),
            parent_task_run_id=uuid_field(data, "parent_task_run_id"),
            start_time=_moment(data, "start_time"),
            end_time=_moment(data, "end_time"),
            created=_moment(data, "created"),
            expected_start_time=_moment(data, "expected_start_time"),
            tags=tuple(tag for tag in data.get("tags") or () if isinstance(tag, str)),
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
