"""The request bodies and filters that the server accepts, by Prefect's own rules.

Prefect's filter models reject unknown keys, and convert numbers, UUIDs, booleans and times from text; so do these. They
are independent of ``rawlogs.filters``, so that an error there is not repeated here.
"""

from __future__ import annotations

import enum
from datetime import datetime, timezone
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from rawlogs.testing.model.behaviour import Behaviour


def _aware(moment: datetime) -> datetime:
    # A time without an offset is UTC to Prefect.
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


Moment = Annotated[datetime, AfterValidator(_aware)]
Operator = Literal["and_", "or_"]


class Strict(BaseModel):
    """A part of a filter, or a body: unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid")


class Level(Strict):
    ge_: int | None = None
    le_: int | None = None


class Timestamp(Strict):
    before_: Moment | None = None
    after_: Moment | None = None


class Ids(Strict):
    any_: list[UUID] | None = None


class TaskRunId(Ids):
    is_null_: bool | None = None


class TextSearch(Strict):
    query: str = Field(max_length=200)


class LogFilterWithoutText(Strict):
    """The filter of releases before 3.4.20."""

    operator: Operator = "and_"
    level: Level | None = None
    timestamp: Timestamp | None = None
    flow_run_id: Ids | None = None
    task_run_id: TaskRunId | None = None


class LogFilter(LogFilterWithoutText):
    text: TextSearch | None = None


def log_filter(behaviour: Behaviour) -> type[LogFilterWithoutText]:
    """Return the filter model of a server."""
    return LogFilter if behaviour.has_text_filter else LogFilterWithoutText


class LogCreate(Strict):
    """One log as a sender posts it; an id or another field is rejected."""

    name: str
    level: int
    message: str
    timestamp: Moment
    flow_run_id: UUID | None = None
    task_run_id: UUID | None = None


class LogSort(str, enum.Enum):
    TIMESTAMP_ASC = "TIMESTAMP_ASC"
    TIMESTAMP_DESC = "TIMESTAMP_DESC"


class RunSort(str, enum.Enum):
    ID_DESC = "ID_DESC"
    START_TIME_ASC = "START_TIME_ASC"
    START_TIME_DESC = "START_TIME_DESC"
    EXPECTED_START_TIME_ASC = "EXPECTED_START_TIME_ASC"
    EXPECTED_START_TIME_DESC = "EXPECTED_START_TIME_DESC"
    NAME_ASC = "NAME_ASC"
    NAME_DESC = "NAME_DESC"
    NEXT_SCHEDULED_START_TIME_ASC = "NEXT_SCHEDULED_START_TIME_ASC"
    END_TIME_DESC = "END_TIME_DESC"


class StateType(str, enum.Enum):
    """The types of a state."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


class AnyId(Ids):
    not_any_: list[UUID] | None = None
    is_null_: bool | None = None
    operator: Operator = "and_"


class AnyText(Strict):
    any_: list[str] | None = None
    not_any_: list[str] | None = None
    like_: str | None = None


class AnyTag(Strict):
    any_: list[str] | None = None
    all_: list[str] | None = None
    is_null_: bool | None = None
    operator: Operator = "and_"


class Between(Timestamp):
    is_null_: bool | None = None


class State(Strict):
    type: AnyText | None = None
    name: AnyText | None = None
    operator: Operator = "and_"


class LikeText(Strict):
    like_: str


class RunFilter(Strict):
    """The modelled parts of ``FlowRunFilter`` and ``TaskRunFilter``."""

    operator: Operator = "and_"
    id: AnyId | None = None
    name: AnyText | None = None
    tags: AnyTag | None = None
    state: State | None = None
    deployment_id: AnyId | None = None
    parent_flow_run_id: AnyId | None = None
    parent_task_run_id: AnyId | None = None
    flow_run_id: AnyId | None = None
    start_time: Between | None = None
    end_time: Between | None = None
    expected_start_time: Between | None = None


class NamedFilter(Strict):
    """The modelled parts of ``FlowFilter`` and ``DeploymentFilter``."""

    operator: Operator = "and_"
    id: AnyId | None = None
    name: AnyText | None = None
    tags: AnyTag | None = None
    flow_or_deployment_name: LikeText | None = None


class Page(BaseModel):
    """The fields of every list request."""

    # The server ignores other fields of such a body; only those of filters are checked.
    limit: int | None = None
    offset: int = Field(default=0, ge=0)


def read_logs(behaviour: Behaviour) -> type[Page]:
    """Return the model of the body of ``POST /logs/filter``."""
    fields: dict[str, Any] = {
        "logs": (log_filter(behaviour) | None, None),
        "sort": (LogSort, LogSort.TIMESTAMP_ASC),
    }
    return create_model("ReadLogs", __base__=Page, **fields)


class ReadRuns(Page):
    """The body of ``POST /flow_runs/filter`` and ``POST /task_runs/filter``."""

    flow_runs: RunFilter | None = None
    task_runs: RunFilter | None = None
    flows: NamedFilter | None = None
    deployments: NamedFilter | None = None
    sort: RunSort = RunSort.ID_DESC


class ReadNamed(Page):
    """The body of ``POST /flows/filter`` and ``POST /deployments/filter``."""

    flows: NamedFilter | None = None
    deployments: NamedFilter | None = None
    flow_runs: RunFilter | None = None
    sort: str | None = None


class NewState(BaseModel):
    """The state of a request. Of its details only the time of a start is read."""

    model_config = ConfigDict(extra="ignore")

    type: StateType
    name: str | None = None
    message: str | None = None
    state_details: dict[str, Any] = Field(default_factory=dict)


class CreateFlowRun(Strict):
    """The body of ``POST /deployments/{id}/create_flow_run``, as far as it is kept."""

    state: NewState | None = None
    name: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    tags: list[str] = Field(default_factory=list)
    idempotency_key: str | None = None
    parent_task_run_id: UUID | None = None


class SetState(Strict):
    """The body of ``POST /flow_runs/{id}/set_state``."""

    state: NewState
    force: bool = False


class Occurred(Strict):
    since: Moment | None = None
    until: Moment | None = None


class EventName(Strict):
    prefix: list[str] | None = None
    exclude_prefix: list[str] | None = None
    name: list[str] | None = None
    exclude_name: list[str] | None = None


class EventResource(Strict):
    id: list[str] | None = None
    id_prefix: list[str] | None = None


class EventFilter(Strict):
    """The modelled parts of ``EventFilter``; ``occurred.until`` None: until now."""

    occurred: Occurred = Field(default_factory=Occurred)
    event: EventName | None = None
    resource: EventResource | None = None
    any_resource: EventResource | None = None
    order: Literal["ASC", "DESC"] = "DESC"
