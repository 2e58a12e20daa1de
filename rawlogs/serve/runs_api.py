"""What the page asks about runs: a choice of them, and the names that logs do not carry."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol
from uuid import UUID

from rawlogs.config.urls import Address
from rawlogs.errors import ConfigError, HistoryError
from rawlogs.log_values import rfc3339
from rawlogs.rest.flow_runs import FlowRun, as_uuid

STATES = (
    "PENDING",
    "RUNNING",
    "PAUSED",
    "CANCELLING",
    "COMPLETED",
    "FAILED",
    "CRASHED",
    "CANCELLED",
    "SCHEDULED",
)
SHOWN_RUNS = 100
"""How many runs the page lists: the newest; who looks for an older one narrows the choice."""
MOST_NAMES = 200
"""How many names one request asks for: no server's page limit was seen below it."""
_REMEMBERED = 5000


class Api(Protocol):
    """What this needs of the REST client."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Any: ...


class Finder:
    """Answers the page's questions from Prefect's REST API; raises what the REST client does."""

    def __init__(self, rest: Api, address: Address) -> None:
        self._rest = rest
        self._address = address
        self._flows: dict[UUID, str] = {}
        self._deployments: dict[UUID, str] = {}

    async def runs(
        self, *, name: str = "", states: Collection[str] = (), deployment: str = ""
    ) -> dict[str, Any]:
        """Return the newest runs whose own name or flow's name contains ``name``, as the page shows them.

        ``states`` are state types; none means all but SCHEDULED, of which a schedule makes hundreds ahead.
        ``deployment`` is part of a deployment's name, or FLOW/DEPLOYMENT with parts of both. ``more`` says that
        there are others. Raises ConfigError for a state that is none.
        """
        if unknown := sorted(set(states) - set(STATES)):
            raise ConfigError(f"no state type: {', '.join(unknown)}", setting="state")
        base = _deployment_part(deployment)
        state = {"type": {"any_": sorted(states or set(STATES) - {"SCHEDULED"})}}
        bodies: list[dict[str, Any]] = [{**base, "flow_runs": {"state": state}}]
        if name:
            bodies = [{**base, "flow_runs": {"state": state, "name": {"like_": name}}}]
            if "flows" not in base:
                bodies.append({**base, "flow_runs": {"state": state}, "flows": {"name": {"like_": name}}})
        pages = await asyncio.gather(*(self._newest(body) for body in bodies))
        unique = {run.id: run for page in pages for run in page}
        found = sorted(unique.values(), key=_by_start, reverse=True)
        shown = found[:SHOWN_RUNS]
        return {
            "runs": await self._rows(shown),
            "more": len(found) > SHOWN_RUNS or any(len(page) >= SHOWN_RUNS for page in pages),
        }

    async def by_ids(self, run_ids: Iterable[UUID]) -> dict[str, Any]:
        """Return these runs; one that is gone is left out."""
        ids = [str(run_id) for run_id in run_ids][:MOST_NAMES]
        runs = await self._newest({"flow_runs": {"id": {"any_": ids}}}, len(ids)) if ids else []
        return {"runs": await self._rows(runs), "more": False}

    async def names(self, flow_runs: Iterable[UUID], task_runs: Iterable[UUID]) -> dict[str, dict[str, str]]:
        """Return the names of flow runs and of task runs, by id; those that are gone are left out."""
        found = await asyncio.gather(
            self._names("/flow_runs/filter", "flow_runs", flow_runs),
            self._names("/task_runs/filter", "task_runs", task_runs),
        )
        return {
            kind: {str(run_id): name for run_id, name in names.items()}
            for kind, names in zip(("flow_runs", "task_runs"), found, strict=True)
        }

    async def _newest(self, body: Mapping[str, Any], limit: int = SHOWN_RUNS) -> list[FlowRun]:
        rows = await self._list("/flow_runs/filter", {**body, "sort": "START_TIME_DESC", "limit": limit})
        try:
            return [FlowRun.from_wire(row) for row in rows]
        except ValueError as error:
            raise HistoryError(f"A flow run cannot be read: {error}", transient=True) from None

    async def _rows(self, runs: Collection[FlowRun]) -> list[dict[str, Any]]:
        await asyncio.gather(
            self._learn(self._flows, "flows", (run.flow_id for run in runs)),
            self._learn(self._deployments, "deployments", (run.deployment_id for run in runs)),
        )
        return [self._row(run) for run in runs]

    def _row(self, run: FlowRun) -> dict[str, Any]:
        return {
            "id": str(run.id),
            "name": run.name,
            "state": run.state_type,
            "state_name": run.state_name,
            "flow": self._flows.get(run.flow_id) if run.flow_id else None,
            "deployment": self._deployments.get(run.deployment_id) if run.deployment_id else None,
            "created": rfc3339(run.created) if run.created else None,
            "began": rfc3339(run.began) if run.began else None,
            "ended": rfc3339(run.end_time) if run.end_time else None,
            "page": self._address.flow_run_page(run.id),
            "subflow": run.parent_task_run_id is not None,
        }

    async def _learn(self, known: dict[UUID, str], kind: str, wanted: Iterable[UUID | None]) -> None:
        missing = {one for one in wanted if one is not None and one not in known}
        if not missing:
            return
        if len(known) > _REMEMBERED:
            known.clear()
        known |= await self._names(f"/{kind}/filter", kind, missing)

    async def _names(self, path: str, kind: str, wanted: Iterable[UUID]) -> dict[UUID, str]:
        ids = [str(one) for one in wanted][:MOST_NAMES]
        if not ids:
            return {}
        rows = await self._list(path, {kind: {"id": {"any_": ids}}, "limit": len(ids)})
        names = {as_uuid(row.get("id")): row.get("name") or "" for row in rows}
        if None in names or not all(isinstance(name, str) for name in names.values()):
            raise HistoryError(f"An id or a name in the answer of {path} cannot be read", transient=True)
        return {run_id: name for run_id, name in names.items() if run_id is not None}

    async def _list(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows = await self._rest.post(path, body)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise HistoryError(f"The answer of {path} is not a list of objects", transient=True)
        return rows


def _deployment_part(text: str) -> dict[str, Any]:
    """Return the part of a filter that chooses by deployment; nothing for an empty text."""
    flow, slash, name = text.rpartition("/")
    parts: dict[str, Any] = {}
    if slash and flow.strip():
        parts["flows"] = {"name": {"like_": flow.strip()}}
    if name.strip():
        parts["deployments"] = {"name": {"like_": name.strip()}}
    return parts


def _by_start(run: FlowRun) -> tuple[float, str]:
    return (run.began.timestamp() if run.began else 0.0, str(run.id))
