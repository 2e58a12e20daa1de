"""Starting a run of a deployment, and cancelling it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from rawlogs.errors import ConfigError, HistoryError
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import FlowRun, Runs, as_uuid
from rawlogs.rest.parameters import fits, problems
from rawlogs.untrusted import excerpt


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a new run is asked for with.

    texts: parameters whose JSON could also be meant as text, by name.
    at: when it is to start; None: now.
    idempotency_key: the server makes one run for it, however often it is asked.
    """

    idempotency_key: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    name: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that the deployment takes, as far as its schema says."""

    path: str
    body: Mapping[str, Any]


async def check_request(rest: RestClient, deployment: str, request: RunRequest) -> CheckedRequest:
    """Return what ``create_run`` sends for a run of FLOW/DEPLOYMENT; nothing is started yet.

    Raises ConfigError for an unknown deployment and for parameters that it would not take, else what the client raises.
    """
    row = await Runs(rest).deployment_row(deployment)
    deployment_id = as_uuid(row.get("id"))
    schema = row.get("parameter_openapi_schema")
    preset = row.get("parameters")
    parameters = dict(request.parameters)
    if isinstance(schema, dict):
        for name, text in request.texts.items():
            wanted = (schema.get("properties") or {}).get(name)
            # `-p zip=01234` is JSON or not, as it happens; a parameter that is a string gets what was typed.
            if not fits(wanted, parameters[name]) and fits(wanted, text):
                parameters[name] = text
        if wrong := problems(schema, parameters, preset if isinstance(preset, dict) else {}):
            raise ConfigError(
                f"{deployment} does not take these parameters: {'; '.join(wrong)}", setting="--param"
            )
    body: dict[str, Any] = {
        "parameters": parameters,
        "idempotency_key": request.idempotency_key,
        "tags": list(request.tags),
    }
    if request.name is not None:
        body["name"] = request.name
    if request.at is not None:
        body["state"] = {
            "type": "SCHEDULED",
            "name": "Scheduled",
            "state_details": {"scheduled_time": request.at.isoformat()},
        }
    return CheckedRequest(f"/deployments/{deployment_id}/create_flow_run", body)


async def create_run(rest: RestClient, checked: CheckedRequest) -> FlowRun:
    """Start the run and return it.

    The request is repeated where it fails: by its key the server knows a run that it has made already. Raises
    ConfigError for parameters that the server does not take, else what the client raises.
    """
    try:
        made = await rest.post(checked.path, checked.body)
    except HistoryError as error:
        if error.status in (409, 422):  # what the server's own check of the parameters says
            raise ConfigError(error.text, setting="--param", hint=error.hint) from error
        raise
    try:
        return FlowRun.from_wire(made)
    except ValueError as error:
        raise HistoryError(f"The new flow run cannot be read: {error}") from None


async def cancel_run(rest: RestClient, run_id: UUID) -> None:
    """Ask for a run's cancellation; whatever runs it ends it. A run that has not begun is cancelled at once.

    Raises HistoryError with the server's reason where it refuses (3.4.7: a paused run, one that has ended), else what
    the client raises.
    """
    wanted = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    answer = await rest.post(f"/flow_runs/{run_id}/set_state", wanted)
    fields = answer if isinstance(answer, dict) else {}
    state, details = (
        value if isinstance(value, dict) else {} for value in map(fields.get, ("state", "details"))
    )
    if state.get("type") not in ("CANCELLING", "CANCELLED"):
        reason = excerpt(str(details.get("reason") or "no reason given"), secrets=rest.secrets)
        raise HistoryError(f"The server does not cancel the run: {reason}")
