"""Flow runs: one by its id, or all of a name, flow, deployment, tag or parent. No state is watched here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import NoneType
from typing import Any, Literal, Protocol
from urllib.parse import quote
from uuid import UUID

from rawlogs.errors import ConfigError, HistoryError
from rawlogs.log_values import parse_timestamp
from rawlogs.rest.client import RestClient
from rawlogs.rest.id_prefix import id_prefix, ids_with
from rawlogs.rest.responses import page_limit
from rawlogs.untrusted import excerpt

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
    work_pool_name: str | None = None

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
        """Return a flow run from its decoded JSON object. Raises ValueError with the field that is wrong."""
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
            work_pool_name=_text(data, "work_pool_name"),
        )


def as_uuid(value: object) -> UUID | None:
    """Return a UUID from one or from its text; None for anything else."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def uuid_field(data: Mapping[str, Any], field: str) -> UUID | None:
    """Return the UUID of a field, None for null. Raises ValueError for anything else."""
    value = data.get(field)
    if value is None:
        return None
    found = as_uuid(value)
    if found is None:
        raise ValueError(f"{field} is not a UUID")
    return found


_IDS_PER_REQUEST = 200
_LONGEST_NAME = 200
"""How many characters of a name are compared and quoted."""
_LATE = timedelta(minutes=1)
"""Logs may be stamped after their run's end (by 0.37 s on 3.8.8): runs count as going on this much longer."""


class Api(Protocol):
    """What this needs of the REST client."""

    async def get(self, path: str) -> Any: ...

    async def post(self, path: str, body: Mapping[str, Any]) -> Any: ...


class Runs:
    """The flow runs of one API. Lists are whole, newest first.

    ``since`` leaves out the runs that
    had ended by then; a run that has not ended is never left out by it. Everything raises what the REST
    client does: HistoryError, AuthError, RedirectRefused.
    """

    def __init__(self, rest: Api) -> None:
        self._rest = rest
        # What a server calls its flows may be anything, and is quoted where a name is not found.
        self._secrets = rest.secrets if isinstance(rest, RestClient) else ()
        self._api = f" ({rest.api_url})" if isinstance(rest, RestClient) else ""
        self._page = 200

    async def read(self, run_id: UUID | str) -> FlowRun:
        """Return one run. Raises HistoryError (404) where there is none, ConfigError for what is not an id."""
        run = _id(run_id, "flow run")
        return _flow_run(await self._get(f"/flow_runs/{run}", f"There is no flow run with the id {run}"))

    async def task_run(self, task_run_id: UUID | str) -> UUID | None:
        """Return the flow run of a task run; None for a task that ran outside of a flow. Raises as ``read``."""
        run = _id(task_run_id, "task run")
        data = await self._get(f"/task_runs/{run}", f"There is no task run with the id {run}")
        try:
            return uuid_field(data if isinstance(data, dict) else {}, "flow_run_id")
        except ValueError as error:
            raise HistoryError(f"The task run {run} cannot be read: {error}", transient=True) from None

    async def find(self, names_or_ids: Iterable[UUID | str]) -> list[FlowRun]:
        """Return the runs with these ids, exact names or beginnings of ids, in this order; several for one of many.

        Raises ConfigError for a name that no run has; for an id otherwise as ``read``.
        """
        found: dict[UUID, FlowRun] = {}
        for text in names_or_ids:
            if (run_id := as_uuid(text)) is not None:
                runs = [await self.read(run_id)]
            elif not (runs := await self.by_name(str(text)) or await self.by_prefix(str(text))):
                raise ConfigError(
                    f"There is no flow run with the id or name {str(text)!r}",
                    setting="RUN",
                    hint="A run is given by its id (6 digits or more of it), its whole name, or the URL of its page.",
                )
            found.update((run.id, run) for run in runs)
        return list(found.values())

    async def by_name(self, name: str, *, since: datetime | None = None) -> list[FlowRun]:
        """Return all runs of exactly that name; names may repeat."""
        return await self._list({"name": {"any_": [name]}}, since)

    async def by_prefix(self, text: str) -> list[FlowRun]:
        """Return the runs whose ids begin so, 20 at most; none where the text is not 6 hex digits or more."""
        prefix = id_prefix(text)
        if prefix is None:
            return []

        async def ids(offset: int, limit: int) -> list[UUID]:
            body = {"sort": "ID_DESC", "offset": offset, "limit": limit}
            rows = await self._rows("/flow_runs/filter", body)
            return [found for row in rows if (found := as_uuid(row.get("id"))) is not None]

        return await self.by_ids(await ids_with(prefix, ids))

    async def names(self, kind: Literal["flows", "deployments"], ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return the names of the flows, or of the deployments, with these ids, as far as the server tells them."""
        found: dict[UUID, str] = {}
        for some in _chunks(str(one) for one in ids):
            for row in await self._rows(f"/{kind}/filter", {kind: {"id": {"any_": some}}}):
                one, name = as_uuid(row.get("id")), row.get("name")
                if one is not None and isinstance(name, str):
                    found[one] = name
        return found

    async def by_ids(self, run_ids: Iterable[UUID]) -> list[FlowRun]:
        """Return the runs with these ids; one that is gone is left out."""
        found: list[FlowRun] = []
        for some in _chunks(str(run_id) for run_id in run_ids):
            found += await self._list({"id": {"any_": some}}, None)
        return _newest_first(found)

    async def by_tag(self, tag: str, *, since: datetime | None = None) -> list[FlowRun]:
        """Return all runs with that tag."""
        return await self._list({"tags": {"all_": [tag]}}, since)

    async def children(
        self,
        parent_ids: Iterable[UUID],
        *,
        since: datetime | None = None,
    ) -> list[FlowRun]:
        """Return the subflow runs that these runs started themselves: one level of the tree."""
        found: list[FlowRun] = []
        for some in _chunks(str(parent) for parent in parent_ids):
            found += await self._list({"parent_flow_run_id": {"any_": some}}, since)
        return _newest_first(found)

    async def by_flow(self, name: str, *, since: datetime | None = None) -> list[FlowRun]:
        """Return all runs of the flow of that name. Raises ConfigError, with names like it, where there is none."""
        flow = {"flows": {"name": {"any_": [name]}}}
        runs = await self._list({}, since, flow)
        if not runs and not await self._rows("/flows/filter", {**flow, "limit": 1}):
            names = [str(row.get("name")) for row in await self._rows("/flows/filter", {"sort": "NAME_ASC"})]
            raise ConfigError(f"There is no flow {name!r}", setting="--flow", hint=self._near(name, names))
        return runs

    async def by_deployment(
        self,
        deployment: UUID | str,
        *,
        since: datetime | None = None,
    ) -> list[FlowRun]:
        """Return all runs of a deployment, given by its id or as FLOW/DEPLOYMENT. Raises as ``deployment``."""
        found = as_uuid(deployment) or await self.deployment(str(deployment))
        return await self._list({"deployment_id": {"any_": [str(found)]}}, since)

    async def deployment(self, name: str) -> UUID:
        """Return the id of a deployment, FLOW/DEPLOYMENT. Raises ConfigError, with names like it, if there is none."""
        return _id((await self.deployment_row(name))["id"], "deployment")

    async def deployment_row(self, name: str) -> dict[str, Any]:
        """Return the deployment FLOW/DEPLOYMENT as JSON, with its id. Raises as ``deployment``."""
        flow, slash, own_name = name.partition("/")
        if slash and flow and own_name:
            try:
                data = await self._rest.get(f"/deployments/name/{quote(flow, '')}/{quote(own_name, '')}")
            except HistoryError as error:
                if not _missing(error):
                    raise
            else:
                if not isinstance(data, dict) or as_uuid(data.get("id")) is None:
                    raise HistoryError(f"The deployment {name!r} cannot be read", transient=True)
                return data
        raise ConfigError(
            f"There is no deployment {name!r}",
            setting="--deployment",
            hint=self._near(name, await self.deployment_names()) or "It is written FLOW/DEPLOYMENT.",
        )

    async def deployment_names(self) -> list[str]:
        """Return one page of what there is, as FLOW/DEPLOYMENT: enough for a hint."""
        rows = await self._rows("/deployments/filter", {"sort": "NAME_ASC"})
        ids = sorted({str(row.get("flow_id")) for row in rows})
        flows = await self._rows("/flows/filter", {"flows": {"id": {"any_": ids}}}) if ids else []
        names = {str(flow.get("id")): flow.get("name") for flow in flows}
        return [f"{names.get(str(row.get('flow_id')))}/{row.get('name')}" for row in rows]

    def _near(self, name: str, names: Iterable[str]) -> str | None:
        """Return a hint with up to three names that resemble this one."""
        # Cut, since the time to compare two names grows with the square of their length.
        spelled = {
            other[:_LONGEST_NAME].casefold(): excerpt(other, _LONGEST_NAME, self._secrets) for other in names
        }
        found = difflib.get_close_matches(name.casefold(), spelled, 3, 0.5)
        found += [other for other in spelled if other not in found and name.casefold() in other][:3]
        return f"Did you mean {' or '.join(repr(spelled[other]) for other in found[:3])}?" if found else None

    async def _get(self, path: str, missing: str) -> Any:
        try:
            return await self._rest.get(path)
        except HistoryError as error:
            if not _missing(error):
                raise
            raise HistoryError(
                f"{missing} on this server{self._api}",
                status=404,
                body=error.body,
                hint="It may have been deleted, or belong to another server or workspace.",
            ) from None

    async def _list(
        self,
        wanted: Mapping[str, Any],
        since: datetime | None,
        others: Mapping[str, Any] | None = None,
    ) -> list[FlowRun]:
        ends: list[dict[str, Any]] = [{}]
        if since is not None:
            # The server knows no "or" here. In this order a run that ends meanwhile is in the second list.
            after = (since - _LATE).isoformat()
            ends = [{"end_time": {"is_null_": True}}, {"end_time": {"after_": after}}]
        found: list[FlowRun] = []
        for end in ends:
            body = {**(others or {}), "flow_runs": {**wanted, **end}}
            found += [_flow_run(row) for row in await self._all("/flow_runs/filter", body)]
        return _newest_first(found)

    async def _all(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return every row.

        Pages overlap by one row. Where that one is missing, rows before it have gone (a run left the state
        that was asked for) and others have moved up unseen: then it goes back a page.
        """
        found: dict[Any, dict[str, Any]] = {}
        offset = 0
        while True:
            rows = await self._rows(path, {**body, "sort": "ID_DESC", "offset": offset})
            overlap = 1 if self._page > 1 else 0
            if offset and overlap and (not rows or rows[0].get("id") not in found):
                offset = max(0, offset - self._page + overlap)
                continue
            found.update((row.get("id"), row) for row in rows)
            if len(rows) < self._page:
                return list(found.values())
            offset += len(rows) - overlap
            if offset > 2 * (len(found) + self._page):  # the offset is not honoured
                raise HistoryError(f"The answers of {path} show the same rows without end", transient=True)

    async def _rows(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return one page, as large as the server allows."""
        while True:
            try:
                rows = await self._rest.post(path, {"limit": self._page, **body})
            except HistoryError as error:
                allowed = page_limit(error)
                if allowed is None or allowed >= self._page:
                    raise
                self._page = allowed
                continue
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise HistoryError(f"The answer of {path} is not a list of objects", transient=True)
            if not all(isinstance(row.get("id"), (str, NoneType)) for row in rows):
                raise HistoryError(f"An id in the answer of {path} is not a text", transient=True)
            return rows


def _missing(error: HistoryError) -> bool:
    """Return whether the API knows the path but not the thing; a 404 for the path itself carries a hint."""
    return error.status == 404 and error.hint is None


def _flow_run(data: object) -> FlowRun:
    try:
        return FlowRun.from_wire(data)
    except ValueError as error:
        raise HistoryError(f"A flow run cannot be read: {error}", transient=True) from None


def _newest_first(runs: Iterable[FlowRun]) -> list[FlowRun]:
    unborn = datetime.max.replace(tzinfo=timezone.utc)
    unique = {run.id: run for run in runs}.values()
    return sorted(unique, key=lambda run: (run.began or unborn, run.id), reverse=True)


def _chunks(items: Iterable[str]) -> Iterator[list[str]]:
    rest = list(dict.fromkeys(items))
    for start in range(0, len(rest), _IDS_PER_REQUEST):
        yield rest[start : start + _IDS_PER_REQUEST]


def _id(value: UUID | str, what: str) -> UUID:
    found = as_uuid(value)
    if found is None:
        raise ConfigError(f"{str(value)!r} is not the id of a {what}", setting="RUN")
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
