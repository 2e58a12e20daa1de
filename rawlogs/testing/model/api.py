"""The modelled REST API: a table of routes over the server's state."""

from __future__ import annotations

import base64
import random
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from rawlogs.log_values import rfc3339
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.schemas import LogSort, Page, ReadNamed, ReadRuns, read_logs
from rawlogs.testing.model.starting import (
    CreateFlowRun,
    SetState,
    create_flow_run,
    set_flow_run_state,
)
from rawlogs.testing.model.state import LOGS, ServerState

UNAUTHORIZED = Answer({"exception_message": "Unauthorized"}, 401)
NOT_FOUND = Answer({"detail": "Not Found"}, 404)
INTERNAL_ERROR = Answer({"exception_message": "Internal Server Error"}, 500, hangs_up=True)
"""After a 500 the server may close the keep-alive connection (seen on 3.4.7 and 3.8.8)."""
API_VERSION = "0.8.4"
_OPEN = {("GET", "/health"), ("GET", "/ready")}
Body = TypeVar("Body", bound=BaseModel)
PageBody = TypeVar("PageBody", bound=Page)
Handler = Callable[["Api", RestRequest, "re.Match[str]"], Answer]


class Invalid(Exception):
    """Raised for a request that is answered with 422."""

    def __init__(self, body: Any) -> None:
        self.answer = Answer(body, 422)


class Api:
    """Answers requests as Prefect's REST API does."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._csrf: dict[str, str] = {}
        self._read_logs = read_logs(state.behaviour)

    def answer(self, request: RestRequest) -> Answer:
        """Return the answer to a request, whose path is below the API's base path."""
        path = request.path
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
        version = request.headers.get("x-prefect-api-version")
        if version and not re.fullmatch(r"\d+\.\d+\.\d+", version):
            expected = "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z'"
            return Answer({"detail": f"{expected} but received {version}"}, 400)
        try:
            return handler(self, request, match)
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

    # Handlers, in the order of the table below.

    def _health(self, _request: RestRequest, _match: re.Match[str]) -> Answer:
        return Answer(True)

    def _ready(self, _request: RestRequest, _match: re.Match[str]) -> Answer:
        return Answer({"message": "OK"})

    def _version(self, _request: RestRequest, _match: re.Match[str]) -> Answer:
        return Answer(API_VERSION)

    def _admin_version(self, _request: RestRequest, _match: re.Match[str]) -> Answer:
        return Answer(self._state.behaviour.version)

    def _settings(self, _request: RestRequest, _match: re.Match[str]) -> Answer:
        behaviour = self._state.behaviour
        server: dict[str, Any] = {
            "api": {"default_limit": behaviour.page_limit, "csrf_protection_enabled": behaviour.csrf},
            "events": {"stream_out_enabled": behaviour.events},
        }
        if behaviour.has_logs_out:
            server["logs"] = {
                "stream_out_enabled": behaviour.streaming,
                "stream_publishing_enabled": behaviour.publishing,
            }
        return Answer({"server": server})

    def _csrf_token(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        client = request.query.get("client")
        if client is None:
            raise Invalid(
                _invalid([{"type": "missing", "loc": ["query", "client"], "msg": "Field required"}], None)
            )
        if not self._state.behaviour.csrf:
            return Answer({"detail": "CSRF protection is disabled."}, 422)
        now = self._state.now()
        token = self._csrf[client] = secrets.token_hex(32)
        return Answer(
            {
                "id": str(self._state.new_id()),
                "created": rfc3339(now),
                "updated": rfc3339(now),
                "token": token,
                "client": client,
                "expiration": rfc3339(now + timedelta(hours=1)),
            }
        )

    def _post_logs(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        if _has_lone_surrogate(request.content):
            return INTERNAL_ERROR
        given = _decoded(request)
        try:
            LOGS.validate_python(given)
        except ValidationError as error:
            raise _invalid_body(error, given) from None
        self._state.ingest(self._state.entries(given))
        return Answer(None, 201)

    def _list_logs(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        body: Any = self._body(request, self._read_logs)
        limit = self._limit(body)
        behaviour = self._state.behaviour
        if behaviour.search_broken and getattr(body.logs, "text", None) is not None:
            return INTERNAL_ERROR
        shuffle: random.Random | None = self._state.rng if behaviour.unstable_ties else None
        newest_first = body.sort is LogSort.TIMESTAMP_DESC
        page = self._state.logs.list(
            body.logs, limit=limit, offset=body.offset, newest_first=newest_first, shuffle=shuffle
        )
        return Answer([entry.row for entry in page])

    def _flow_run(self, _request: RestRequest, match: re.Match[str]) -> Answer:
        return self._by_id(self._state.runs.flow_runs, match, "Flow run not found")

    def _task_run(self, _request: RestRequest, match: re.Match[str]) -> Answer:
        return self._by_id(self._state.runs.task_runs, match, "Task not found")

    def _deployment(self, _request: RestRequest, match: re.Match[str]) -> Answer:
        runs = self._state.runs
        for row in runs.deployments.values():
            if (runs.flows[row["flow_id"]]["name"], row["name"]) == (match[1], match[2]):
                return Answer(row)
        return Answer({"detail": "Deployment not found"}, 404)

    def _list_flow_runs(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        return self._page(request, ReadRuns, self._state.runs.list_flow_runs)

    def _list_task_runs(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        return self._page(request, ReadRuns, self._state.runs.list_task_runs)

    def _list_flows(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        return self._page(request, ReadNamed, self._state.runs.list_flows)

    def _list_deployments(self, request: RestRequest, _match: re.Match[str]) -> Answer:
        return self._page(request, ReadNamed, self._state.runs.list_deployments)

    def _create_flow_run(self, request: RestRequest, match: re.Match[str]) -> Answer:
        deployment = self._state.runs.deployments.get(match[1])
        if deployment is None:
            return Answer({"detail": "Deployment not found"}, 404)
        row, new = create_flow_run(self._state, deployment, self._body(request, CreateFlowRun))
        return Answer(row, 201 if new else 200)

    def _set_flow_run_state(self, request: RestRequest, match: re.Match[str]) -> Answer:
        body = self._body(request, SetState)
        run = self._state.runs.flow_runs.get(match[1])
        if run is None:
            return Answer({"exception_message": f"Flow run with id {match[1]} not found"}, 404)
        return Answer(set_flow_run_state(self._state, run, body), 201)

    # What handlers share.

    def _by_id(self, table: Mapping[str, Any], match: re.Match[str], missing: str) -> Answer:
        try:
            id = str(UUID(match[1]))
        except ValueError:
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

    def _limit(self, body: Page) -> int:
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
        detail = [
            {"type": "json_invalid", "loc": ["body", error.pos], "msg": "JSON decode error", "input": {}}
        ]
        raise Invalid(_invalid(detail, request.content.decode("utf-8", "replace"))) from None


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
    return {
        "exception_message": "Invalid request received.",
        "exception_detail": detail,
        "request_body": body,
    }


def _invalid_body(error: ValidationError, body: Any) -> Invalid:
    errors = orjson.loads(error.json(include_url=False))
    return Invalid(_invalid([{**item, "loc": ["body", *item["loc"]]} for item in errors], body))


ROUTES: tuple[tuple[str, re.Pattern[str], Handler], ...] = tuple(
    (method, re.compile(pattern), handler)
    for method, pattern, handler in (
        ("GET", "/health", Api._health),
        ("GET", "/ready", Api._ready),
        ("GET", "/version", Api._version),
        ("GET", "/admin/version", Api._admin_version),
        ("GET", "/admin/settings", Api._settings),
        ("GET", "/csrf-token", Api._csrf_token),
        ("POST", "/logs/", Api._post_logs),
        ("POST", "/logs/filter", Api._list_logs),
        ("GET", "/flow_runs/([^/]+)", Api._flow_run),
        ("POST", "/flow_runs/filter", Api._list_flow_runs),
        ("GET", "/task_runs/([^/]+)", Api._task_run),
        ("POST", "/task_runs/filter", Api._list_task_runs),
        ("POST", "/flows/filter", Api._list_flows),
        ("GET", "/deployments/name/([^/]+)/([^/]+)", Api._deployment),
        ("POST", "/deployments/filter", Api._list_deployments),
        ("POST", "/deployments/([^/]+)/create_flow_run", Api._create_flow_run),
        ("POST", "/flow_runs/([^/]+)/set_state", Api._set_flow_run_state),
    )
)
"""Every request that is answered: the method, and the path below the API's base path."""
