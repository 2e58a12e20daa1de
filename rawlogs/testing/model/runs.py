"""The stored flows, runs and deployments, and the lists of them."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from rawlogs.log_values import parse_timestamp, rfc3339
from rawlogs.testing.model import schemas

Row = dict[str, Any]


STATES = tuple(schemas.StateType.__members__)
TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
_NULL_AT_FIRST = ("parent_task_run_id", "state_type", "state_name", "state", "start_time", "end_time")
_NOUNS = (
    ("amber", "brave", "calm", "dusty", "eager", "fuzzy"),
    ("badger", "crane", "finch", "otter", "robin", "stoat"),
)


class RunStore:
    """Rows as the REST API shows them, by id."""

    def __init__(self, now: Callable[[], datetime], new_id: Callable[[], UUID]) -> None:
        self._now = now
        self._new_id = new_id
        self._names = random.Random(0)
        self.flows: dict[str, Row] = {}
        self.deployments: dict[str, Row] = {}
        self.flow_runs: dict[str, Row] = {}
        self.task_runs: dict[str, Row] = {}

    def add_flow(self, name: str) -> Row:
        """Return the flow of that name; add it where there is none."""
        known = next((flow for flow in self.flows.values() if flow["name"] == name), None)
        return known or self._add(self.flows, {"name": name, "tags": [], "labels": {}})

    def add_deployment(self, flow: str, name: str) -> Row:
        """Return that deployment; add it, and its flow, where there is none."""
        flow_id = self.add_flow(flow)["id"]
        for row in self.deployments.values():
            if (row["flow_id"], row["name"]) == (flow_id, name):
                return row
        fields = {"name": name, "flow_id": flow_id, "paused": False, "tags": [], "parameters": {}}
        return self._add(self.deployments, {**fields, "status": "READY"})

    def add_flow_run(
        self,
        name: str | None,
        flow: str,
        parent: str | None,
        deployment: str | None,
        tags: Iterable[str],
        id: str | None = None,
    ) -> Row:
        """Add a run without a state; a name of None gets a random one. ``parent`` is the flow run that calls it."""
        flow_id = self.add_flow(flow)["id"]
        row = self._add(
            self.flow_runs,
            {
                "name": name or "-".join(self._names.choice(words) for words in _NOUNS),
                "flow_id": flow_id,
                "deployment_id": self.add_deployment(flow, deployment)["id"] if deployment else None,
                "tags": list(tags),
                "labels": {},
                "parameters": {},
                "run_count": 0,
                "expected_start_time": rfc3339(self._now()),
                **dict.fromkeys(_NULL_AT_FIRST),
            },
            id,
        )
        if parent is not None:  # as in Prefect, a task run of the parent stands for the subflow
            task = self.add_task_run(parent, f"{flow}-0", child=row["id"])
            row["parent_task_run_id"] = task["id"]
        return row

    def add_task_run(self, flow_run_id: str, name: str, *, child: str | None = None) -> Row:
        """Add a running task run of a flow run; ``child``: the subflow that it stands for."""
        named = {"name": name, "flow_run_id": flow_run_id, "task_key": name.rpartition("-")[0] or name}
        times = {"start_time": rfc3339(self._now()), "end_time": None}
        running = {"state_type": "RUNNING", "state_name": "Running", **times}
        row = self._add(self.task_runs, {**named, "tags": [], **running})
        row["state"] = self._state("RUNNING", "Running", None, child_flow_run_id=child, task_run_id=row["id"])
        return row

    def set_state(self, run: Row, type: str, name: str | None, message: str | None) -> Row | None:
        """Move a run to a state; return its state before, None for the first. Raises ValueError for an unknown type."""
        if type not in STATES:
            raise ValueError(f"{type!r} is no state type; use one of {', '.join(STATES)}")
        previous: Row | None = run["state"]
        state = self._state(type, name or type.capitalize(), message, flow_run_id=run["id"])
        run.update(state=state, state_type=type, state_name=state["name"], updated=state["timestamp"])
        if type == "RUNNING":
            run["run_count"] += 1
            run["start_time"] = run["start_time"] or state["timestamp"]  # a retry keeps the first start
        run["end_time"] = state["timestamp"] if type in TERMINAL else None
        return previous

    def _state(self, type: str, name: str, message: str | None, **details: str | None) -> Row:
        blank = {"flow_run_id": None, "task_run_id": None, "child_flow_run_id": None}
        fixed = {"id": str(self._new_id()), "timestamp": rfc3339(self._now()), "data": None}
        return {**fixed, "type": type, "name": name, "message": message, "state_details": blank | details}

    def _add(self, table: dict[str, Row], fields: Row, id: str | None = None) -> Row:
        now = rfc3339(self._now())
        row = {"id": id or str(self._new_id()), "created": now, "updated": now, **fields}
        table[row["id"]] = row
        return row

    def parent_of(self, run: Row) -> str | None:
        """Return the id of the flow run that called this one; None where none did."""
        task = self.task_runs.get(run["parent_task_run_id"] or "")
        return task["flow_run_id"] if task else None

    def related(self, run: Row) -> list[dict[str, str]]:
        """Return the related resources of an event: the run's flow, and for a subflow the task run of its parent."""
        related = [("flow", self.flows[run["flow_id"]])]
        if (task := self.task_runs.get(run["parent_task_run_id"] or "")) is not None:
            related.append(("task-run", task))
        names = ("prefect.resource.id", "prefect.resource.role", "prefect.resource.name")
        values = ((f"prefect.{kind}.{row['id']}", kind, row["name"]) for kind, row in related)
        return [dict(zip(names, each, strict=True)) for each in values]

    def list_flow_runs(self, body: schemas.ReadRuns) -> Sequence[Row]:
        rows = [
            row
            for row in self.flow_runs.values()
            if _matches(self._with_parent(row), body.flow_runs)
            and _matches(self.flows[row["flow_id"]], body.flows)
            and _matches(self.deployments.get(row["deployment_id"] or ""), body.deployments)
        ]
        return _sorted(rows, body.sort.value)

    def list_task_runs(self, body: schemas.ReadRuns) -> Sequence[Row]:
        return [
            row
            for row in self.task_runs.values()
            if _matches(row, body.task_runs)
            and _matches(self._with_parent(self.flow_runs.get(row["flow_run_id"])), body.flow_runs)
        ]

    def list_flows(self, body: schemas.ReadNamed) -> Sequence[Row]:
        return sorted((row for row in self.flows.values() if _matches(row, body.flows)), key=_by_name)

    def list_deployments(self, body: schemas.ReadNamed) -> Sequence[Row]:
        rows = (
            row
            for row in self.deployments.values()
            if _matches(self._with_flow(row), body.deployments)
            and _matches(self.flows[row["flow_id"]], body.flows)
        )
        return sorted(rows, key=_by_name)

    def _with_flow(self, row: Row) -> Row:
        return {**row, "flow_or_deployment_name": f"{self.flows[row['flow_id']]['name']}\n{row['name']}"}

    def _with_parent(self, row: Row | None) -> Row | None:
        return row and {**row, "parent_flow_run_id": self.parent_of(row)}


_by_name = operator.itemgetter("name")


def _sorted(rows: list[Row], sort: str) -> list[Row]:
    field, _, order = sort.rpartition("_")
    # The next scheduled start is not modelled; for a run that has not begun it is the expected one.
    key = {"NEXT_SCHEDULED_START_TIME": "expected_start_time"}.get(field, field.lower())
    return sorted(rows, key=lambda row: (row[key] is not None, row[key] or ""), reverse=order == "DESC")


def _matches(row: Row | None, chosen: schemas.RunFilter | schemas.NamedFilter | None) -> bool:
    if chosen is None or row is None:  # a run without a deployment fits no filter of deployments
        return chosen is None
    parts = {name: part for name, part in chosen if isinstance(part, BaseModel)}
    agree = any if parts and chosen.operator == "or_" else all
    return agree(_part(row, name, part) for name, part in parts.items())


def _part(row: Row, name: str, part: BaseModel) -> bool:
    value = row.get(name)
    if isinstance(part, schemas.State):
        state = row["state"] or {"type": None, "name": None}  # a run has no state at first
        wanted = {"type": part.type, "name": part.name}
        return all(inner is None or _part(state, field, inner) for field, inner in wanted.items())
    if isinstance(part, schemas.AnyTag):
        tags = set(value or ())
        return (
            (part.any_ is None or not tags.isdisjoint(part.any_))
            and tags >= set(part.all_ or ())
            and (part.is_null_ is None or (not tags) is part.is_null_)
        )
    if isinstance(part, schemas.Between):
        return _between(value, part)
    if isinstance(part, schemas.LikeText):
        return part.like_.casefold() in str(value).casefold()  # ILIKE in SQL
    assert isinstance(part, (schemas.AnyId, schemas.AnyText))
    # Both at once in state.type: Prefect drops that part silently up to 3.9.0; 3.9.1 asks for both.
    if name == "type" and isinstance(part, schemas.AnyText) and None not in (part.any_, part.not_any_):
        return True
    return (
        (part.any_ is None or value in [str(wanted) for wanted in part.any_])
        and value not in [str(unwanted) for unwanted in part.not_any_ or ()]
        and (not isinstance(part, schemas.AnyText) or (part.like_ or "").casefold() in str(value).casefold())
        and (not isinstance(part, schemas.AnyId) or part.is_null_ is None or (value is None) is part.is_null_)
    )


def _between(value: str | None, part: schemas.Between) -> bool:
    if part.is_null_ is not None and (value is None) is not part.is_null_:
        return False
    if value is None:  # as in SQL, NULL is neither before nor after anything
        return part.after_ is None and part.before_ is None
    moment = parse_timestamp(value)
    return (part.after_ is None or moment >= part.after_) and (part.before_ is None or moment <= part.before_)
