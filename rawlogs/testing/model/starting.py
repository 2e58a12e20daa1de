"""Runs that clients start and stop: the bodies of those requests, and what they do to the state."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from rawlogs.testing.model.runs import TERMINAL, StateType
from rawlogs.testing.model.schemas import Strict
from rawlogs.testing.model.state import ServerState

Row = dict[str, Any]


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


def create_flow_run(state: ServerState, deployment: Row, body: CreateFlowRun) -> tuple[Row, bool]:
    """Add a run of the deployment. Return it, and whether it is new: a known key gives the run that it made."""
    for row in state.runs.flow_runs.values():
        known = row.get("idempotency_key")
        if known is not None and (known, row["flow_id"]) == (body.idempotency_key, deployment["flow_id"]):
            return row, False  # a client that repeats its request gets one run
    flow = state.runs.flows[deployment["flow_id"]]["name"]
    row = state.runs.add_flow_run(body.name, flow, None, deployment["name"], body.tags)
    row["parameters"] = {**deployment["parameters"], **body.parameters}
    row["idempotency_key"] = body.idempotency_key
    asked = body.state or NewState(type=StateType.SCHEDULED)
    scheduled = asked.state_details.get("scheduled_time")
    if scheduled is not None:
        row["expected_start_time"] = scheduled
    state.set_state(row["id"], asked.type.value, asked.name, asked.message)
    return row, True


def set_flow_run_state(state: ServerState, run: Row, body: SetState) -> dict[str, Any]:
    """Move a run to the state that was asked for, as far as the rules allow. Return what the server answers.

    The rules are those that 3.4.7 to 3.9.1 apply to a cancellation.
    """
    now, status, reason = run["state_type"], "ACCEPT", ""
    wanted, name = body.state.type.value, body.state.name
    if now in TERMINAL:
        status, reason = "ABORT", f"Run is already in terminal state {now}."
    elif (now, wanted) == ("SCHEDULED", "CANCELLING"):
        wanted, name = "CANCELLED", "Cancelled"
        status, reason = "REJECT", "Scheduled flow run has no infrastructure to terminate."
    elif (now, wanted) == ("PAUSED", "CANCELLING"):
        status = "REJECT"
        reason = f"This run cannot transition to the StateType.{wanted} state from the StateType.{now} state."
    # Rejected, and moved all the same: to the state that needs no infrastructure.
    if status == "ACCEPT" or (now, wanted) == ("SCHEDULED", "CANCELLED"):
        state.set_state(run["id"], wanted, name, body.state.message)
    details = {"type": f"{status.lower()}_details", **({"reason": reason} if reason else {})}
    return {"state": run["state"], "status": status, "details": details}
