"""The modelled REST API: a table of routes over the server's state."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from rawlogs.log_values import rfc3339
from rawlogs.testing.model import schemas
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.runs import TERMINAL
from rawlogs.testing.model.state import LOGS, ServerState

UNAUTHORIZED = Answer({"exception_message": "Unauthorized"}, 401)
NOT_FOUND = Answer({"detail": "Not Found"}, 404)
INTERNAL_ERROR = Answer({"exception_message": "Internal Server Error"}, 500, hangs_up=True)
"""After a 500 the server may close the keep-alive connection (seen on 3.4.7 and 3.8.8)."""
API_VERSION = "0.8.4"
_OPEN = {("GET", "/health"), ("GET", "/ready")}
Body = TypeVar("Body", bound=BaseModel)
PageBody = TypeVar("PageBody", bound=schemas.Page)
Handler = Callable[..., Answer]
"""A function of the Api, the request and the groups of its route's pattern."""


class Invalid(Exception):
    """Raised for a request that is answered with 422."""

    def __init__(self, body: Any) -> None:
        self.answer = Answer(body, 422)


class Api:
    """Answers requests as Prefect's REST API does."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._runs = state.runs
        self._csrf: dict[str, str] = {}
        self._read_logs = schemas.read_logs(state.behaviour)

    def answer(self, request: RestRequest) -> Answer:
        """Return the answer to a request, whose path is below the API's base path."""
        path = request.path
        # Before the route is looked up: a client without credentials is not told which paths exist.
        if (request.method, path) not in _OPEN and not self._authorized(request):
            return UNAUTHORIZED
        if (refusal := self._csrf_refusal(request)) is not None:
            return refusal
        allowed = []
        for method, pattern, handler in ROUTES:
            if (match := pattern.fullmatch(path)) is not None:
                if method == request.method:
                    return self._handle(handler, request, match)
                allowed.append(method)
        if allowed:
            return Answer({"detail": "Method Not Allowed"}, 405, {"allow": ", ".join(allowed)})
        return NOT_FOUND

    def _handle(self, handler: Handler, request: RestRequest, match: re.Match[str]) -> Answer:
        # Only the format is checked: a client of another version is served.
        version = request.headers.get("x-prefect-api-version")
        if version and not re.fullmatch(r"\d+\.\d+\.\d+", version):
            expected = "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z'"
            return Answer({"detail": f"{expected} but received {version}"}, 400)
        try:
            return handler(self, request, *match.groups())
        except Invalid as error:
            return error.answer

    def _authorized(self, request: RestRequest) -> bool:
        given = request.headers.get("authorization")
        behaviour = self._state.behaviour
        if behaviour.api_key is not None:
            return given == f"Bearer {behaviour.api_key}"
        if behaviour.auth_string is None:
            return True
        return given == "Basic " + base64.b64encode(behaviour.auth_string.encode()).decode()

    def _csrf_refusal(self, request: RestRequest) -> Answer | None:
        # GET and HEAD change nothing, and need no token.
        if not self._state.behaviour.csrf or request.method not in ("POST", "PUT", "PATCH", "DELETE"):
            return None
        token, client = request.headers.get("prefect-csrf-token"), request.headers.get("prefect-csrf-client")
        if token is None:
            return Answer({"detail": "Missing CSRF token."}, 403)
        if client is None:
            return Answer({"detail": "Missing client identifier."}, 403)
        if self._csrf.get(client) != token:
            return Answer({"detail": "Invalid CSRF token or client identifier."}, 403)
        return None

    # Handlers: each gets the request and the parts of its path that vary.

    def _settings(self, _request: RestRequest) -> Answer:
        behaviour = self._state.behaviour
        server: dict[str, Any] = {
            "api": {"default_limit": behaviour.page_limit, "csrf_protection_enabled": behaviour.csrf},
            "events": {"stream_out_enabled": behaviour.events},
        }
        if behaviour.has_logs_out:  # the settings came with the socket
            streaming, publishing = behaviour.streaming, behaviour.publishing
            server["logs"] = {"stream_out_enabled": streaming, "stream_publishing_enabled": publishing}
        return Answer({"server": server})

    def _csrf_token(self, request: RestRequest) -> Answer:
        client = request.query.get("client")
        if client is None:
            missing = {"type": "missing", "loc": ["query", "client"], "msg": "Field required"}
            raise Invalid(_invalid([missing], None))
        if not self._state.behaviour.csrf:  # how a client learns that it needs no token
            return Answer({"detail": "CSRF protection is disabled."}, 422)
        now = self._state.now()
        token = self._csrf[client] = secrets.token_hex(32)
        expiration = rfc3339(now + timedelta(hours=1))
        dates = {"created": rfc3339(now), "updated": rfc3339(now), "expiration": expiration}
        return Answer({"id": str(self._state.new_id()), **dates, "token": token, "client": client})

    def _post_logs(self, request: RestRequest) -> Answer:
        if _has_lone_surrogate(request.content):
            return INTERNAL_ERROR
        given = _decoded(request)
        try:  # here, as entries() takes an id, which the API rejects
            LOGS.validate_python(given)
        except ValidationError as error:
            raise _invalid_body(error, given) from None
        self._state.ingest(self._state.entries(given))
        return Answer(None, 201)

    def _list_logs(self, request: RestRequest) -> Answer:
        body: Any = self._body(request, self._read_logs)
        limit = self._limit(body)
        behaviour = self._state.behaviour
        if behaviour.search_broken and getattr(body.logs, "text", None) is not None:
            return INTERNAL_ERROR
        shuffle = self._state.rng if behaviour.unstable_ties else None
        newest_first = body.sort is schemas.LogSort.TIMESTAMP_DESC
        page = self._state.logs.list(
            body.logs, limit=limit, offset=body.offset, newest_first=newest_first, shuffle=shuffle
        )
        return Answer([entry.row for entry in page])

    def _deployment(self, _request: RestRequest, flow: str, name: str) -> Answer:
        runs = self._runs
        for row in runs.deployments.values():
            if (runs.flows[row["flow_id"]]["name"], row["name"]) == (flow, name):
                return Answer(row)
        return Answer({"detail": "Deployment not found"}, 404)

    def _create_flow_run(self, request: RestRequest, id: str) -> Answer:
        runs, deployment = self._runs, self._runs.deployments.get(id)
        if deployment is None:
            return Answer({"detail": "Deployment not found"}, 404)
        body = self._body(request, schemas.CreateFlowRun)
        for row in (
            runs.flow_runs.values()
        ):  # a client that repeats its request gets the run that the first one made
            known = row.get("idempotency_key")
            if known is not None and (known, row["flow_id"]) == (body.idempotency_key, deployment["flow_id"]):
                return Answer(row)
        flow = runs.flows[deployment["flow_id"]]["name"]
        row = runs.add_flow_run(body.name, flow, None, deployment["name"], body.tags)
        row["parameters"] = {**deployment["parameters"], **body.parameters}
        row["idempotency_key"] = body.idempotency_key
        state = body.state or schemas.NewState(type=schemas.StateType.SCHEDULED)
        if (scheduled := state.state_details.get("scheduled_time")) is not None:
            row["expected_start_time"] = scheduled
        self._state.set_state(row["id"], state.type.value, state.name, state.message)
        return Answer(row, 201)

    def _set_flow_run_state(self, request: RestRequest, id: str) -> Answer:
        """Move a run to a state, by the rules that 3.4.7 to 3.9.1 apply to a cancellation."""
        body = self._body(request, schemas.SetState)
        run = self._runs.flow_runs.get(id)
        if run is None:
            return Answer({"exception_message": f"Flow run with id {id} not found"}, 404)
        now, status, reason = run["state_type"], "ACCEPT", ""
        wanted, name = body.state.type.value, body.state.name
        if now in TERMINAL:
            status, reason = "ABORT", f"Run is already in terminal state {now}."
        elif (now, wanted) == ("SCHEDULED", "CANCELLING"):
            wanted, name = "CANCELLED", "Cancelled"
            status, reason = "REJECT", "Scheduled flow run has no infrastructure to terminate."
        elif (now, wanted) == ("PAUSED", "CANCELLING"):
            text = (
                f"This run cannot transition to the StateType.{wanted} state from the StateType.{now} state."
            )
            status, reason = "REJECT", text
        # A scheduled run is moved although the request was rejected: no infrastructure has to end first.
        if status == "ACCEPT" or (now, wanted) == ("SCHEDULED", "CANCELLED"):
            self._state.set_state(run["id"], wanted, name, body.state.message)
        details = {"type": f"{status.lower()}_details", **({"reason": reason} if reason else {})}
        return Answer({"state": run["state"], "status": status, "details": details}, 201)

    # What handlers share.

    def _by_id(self, table: Mapping[str, Any], text: str, missing: str) -> Answer:
        try:
            id = str(UUID(text))
        except ValueError:  # the route of the real server takes UUIDs only
            return NOT_FOUND
        return Answer(table[id]) if id in table else Answer({"detail": missing}, 404)

    def _page(self, request: RestRequest, model: type[PageBody], listed: Callable[[PageBody], Any]) -> Answer:
        body = self._body(request, model)
        limit = self._limit(body)
        return Answer(listed(body)[body.offset : body.offset + limit])

    def _body(self, request: RestRequest, model: type[Body]) -> Body:
        given = _decoded(request) if request.content else {}
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise _invalid_body(error, given) from None

    def _limit(self, body: schemas.Page) -> int:
        most = self._state.behaviour.page_limit
        limit = most if body.limit is None else body.limit
        if limit < 0:
            raise Invalid({"detail": "Invalid limit: must be greater than or equal to 0."})
        if limit > most:
            raise Invalid({"detail": f"Invalid limit: must be less than or equal to {most}."})
        return limit


def _decoded(request: RestRequest) -> Any:
    try:
        return orjson.loads(request.content)
    except orjson.JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ["body", error.pos], "msg": "JSON decode error", "input": {}}
        raise Invalid(_invalid([wrong], request.content.decode("utf-8", "replace"))) from None


def _has_lone_surrogate(content: bytes) -> bool:
    """Return whether a string of the JSON holds half of a surrogate pair, which Prefect's database cannot store."""
    if not re.search(rb"\\u[dD][89abAB]", content):
        return False
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return "surrogate" in str(error)
    return False


def _invalid(detail: Any, body: Any) -> dict[str, Any]:
    text = "Invalid request received."
    return {"exception_message": text, "exception_detail": detail, "request_body": body}


def _invalid_body(error: ValidationError, body: Any) -> Invalid:
    errors = orjson.loads(error.json(include_url=False))
    return Invalid(_invalid([{**item, "loc": ["body", *item["loc"]]} for item in errors], body))


_HANDLERS: dict[str, Handler] = {
    "GET /health": lambda _api, _request: Answer(True),
    "GET /ready": lambda _api, _request: Answer({"message": "OK"}),
    "GET /version": lambda _api, _request: Answer(API_VERSION),
    "GET /admin/version": lambda api, _request: Answer(api._state.behaviour.version),
    "GET /admin/settings": Api._settings,
    "GET /csrf-token": Api._csrf_token,
    "POST /logs/": Api._post_logs,
    "POST /logs/filter": Api._list_logs,
    "GET /flow_runs/([^/]+)": lambda api, _, id: api._by_id(api._runs.flow_runs, id, "Flow run not found"),
    "POST /flow_runs/filter": lambda api, asked: api._page(asked, schemas.ReadRuns, api._runs.list_flow_runs),
    "GET /task_runs/([^/]+)": lambda api, _, id: api._by_id(api._runs.task_runs, id, "Task not found"),
    "POST /task_runs/filter": lambda api, asked: api._page(asked, schemas.ReadRuns, api._runs.list_task_runs),
    "POST /flows/filter": lambda api, asked: api._page(asked, schemas.ReadNamed, api._runs.list_flows),
    "GET /deployments/name/([^/]+)/([^/]+)": Api._deployment,
    "POST /deployments/filter": lambda api, asked: api._page(
        asked, schemas.ReadNamed, api._runs.list_deployments
    ),
    "POST /deployments/([^/]+)/create_flow_run": Api._create_flow_run,
    "POST /flow_runs/([^/]+)/set_state": Api._set_flow_run_state,
}
"""Every request that is answered: the method, and the path below the API's base path."""
ROUTES = [
    (method, re.compile(path), handler)
    for (method, path), handler in ((route.split(), handler) for route, handler in _HANDLERS.items())
]
