"""The application: the page, its JSON and the stream, behind the guard. Whoever mounts it elsewhere starts here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rawlogs.config.settings import resolve
from rawlogs.errors import AuthError, ConfigError, RawlogsError
from rawlogs.health.page import PATHS, Pages
from rawlogs.notices import Notice
from rawlogs.relay.hub import Hub
from rawlogs.relay.sse import sse_endpoint
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import Runs
from rawlogs.serve.access import Gate
from rawlogs.serve.logins import Logins
from rawlogs.serve.middleware import Guard
from rawlogs.serve.runs_api import MOST_NAMES, Finder
from rawlogs.serve.subject import HubSubject
from rawlogs.version import version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rawlogs.config.urls import Address

DEEPEST = 20
RECHECK = 5.0
"""Seconds within which the streams of a login end with it."""
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE_FILES = (
    "page.html",
    "page.css",
    "page.js",
    "logstream.js",
    "lines.js",
    "runs.js",
    "names.js",
    "banners.js",
    "keys.js",
    "theme.js",
    "favicon.svg",
)


def make_app(gate: Gate, access: Mapping[str, Any] | None = None) -> ASGIApp:
    """Return the ASGI application. ``access`` is what ``rawlogs.stream`` takes: ``api_url``, ``api_key``, ...

    Raises ConfigError for settings that cannot work. Nothing is opened before a page asks for logs or runs.
    """
    access = dict(access or {})
    return _Service(gate, access).app


class _Service:
    """The endpoints and what they share: one hub, one REST client."""

    def __init__(self, gate: Gate, access: Mapping[str, Any]) -> None:
        self._settings = resolve(**access)
        self._rest = RestClient(self._settings, timeout=20.0, retries=1)
        self._finder = Finder(self._rest, self._settings.address)
        self._hub = Hub(on_notice=self._on_notice, **access)
        self._rest_only = ""
        self._pages = Pages(HubSubject(self._hub))
        self._gate = gate
        logins = Logins(gate)
        # The guard has let the request in, and every reader may read every log of this workspace. Asked again is
        # whether the login has been ended meanwhile.
        self._stream = sse_endpoint(
            self._hub,
            authorize=lambda request, query: logins.holds(request.cookies),
            recheck=RECHECK,
        )
        pages = Starlette(
            routes=[
                Route("/api/about", self._about),
                Route("/api/runs", _told(self._runs)),
                Route("/api/children", _told(self._children)),
                Route("/api/names", _told(self._names)),
                Route("/logs", self._stream),
                *(Route(path, self._health) for path in PATHS),
                *(_file_route(name) for name in _PAGE_FILES),
            ],
            lifespan=self._lifespan,
        )
        # Off: to "/logs/" Starlette would answer with a URL that it builds from the client's own Host header.
        pages.router.redirect_slashes = False
        # Around all of it, not one of its middlewares: those are inside of what answers 500.
        self.app: ASGIApp = Guard(pages, gate, logins)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with self._rest, self._hub:
            yield

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind == "live_off":
            self._rest_only = notice.text
        elif notice.kind == "connected":
            self._rest_only = ""

    async def _about(self, _: Request) -> Response:
        return JSONResponse(
            {
                "version": version(),
                "login": self._gate.token is not None,
                **_places(self._settings.address),
            }
        )

    async def _health(self, request: Request) -> Response:
        page = self._pages.page(request.scope["path"])
        return Response(page.content, page.status, media_type=page.content_type)

    async def _runs(self, request: Request) -> Any:
        query = request.query_params
        found = await self._finder.runs(
            name=query.get("name", "").strip(),
            states=[state for state in query.get("state", "").split(",") if state],
            deployment=query.get("deployment", "").strip(),
        )
        chosen = await self._finder.by_ids(_ids(request, "id"))
        return {**found, "chosen": chosen["runs"], "rest": self._rest_only}

    async def _children(self, request: Request) -> Any:
        """Return the subflow runs of these runs, at any depth."""
        runs, level = Runs(self._rest), _ids(request, "flow_run")
        found: dict[UUID, None] = {}
        for _ in range(DEEPEST):
            born = [run.id for run in await runs.children(level) if run.id not in found] if level else []
            found.update(dict.fromkeys(born))
            level = born
        return await self._finder.by_ids(found)

    async def _names(self, request: Request) -> Any:
        return await self._finder.names(_ids(request, "flow_run"), _ids(request, "task_run"))


def _places(address: Address) -> dict[str, str | None]:
    """Return where the API and the UI are, as the page shows and links them; ``{id}`` stands for a run's id."""
    page = address.flow_run_page("ID")
    return {
        "api": address.api_url,
        "ui": page.partition("/runs/")[0] if page else None,
        "flow_run_page": page.replace("ID", "{id}") if page else None,
        "task_run_page": page.replace("flow-run/ID", "task-run/{id}") if page else None,
    }


def _told(endpoint: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that sends the value as JSON, and tells a failure: 400 the asker's, 502 Prefect's."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await endpoint(request))
        except RawlogsError as error:
            if isinstance(error, AuthError):
                return JSONResponse(
                    {"error": "Prefect refused the access of this server.", "hint": None}, 502
                )
            status = 400 if isinstance(error, ConfigError) else 502
            return JSONResponse({"error": error.text, "hint": error.hint}, status)

    return answer


def _ids(request: Request, name: str) -> list[UUID]:
    given = request.query_params.getlist(name)
    if len(given) > MOST_NAMES:
        raise ConfigError(f"at most {MOST_NAMES} {name}s", setting=name)
    try:
        return [UUID(text) for text in dict.fromkeys(given)]
    except ValueError:
        raise ConfigError(f"a {name} is not an id", setting=name) from None


def _file_route(name: str) -> Route:
    content = (files("rawlogs.serve") / "static" / name).read_bytes()
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    media_type = _TYPES[name[name.rindex(".") :]]
    headers = {"etag": tag, "cache-control": "no-cache"}

    async def send(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return Route("/" if name == "page.html" else f"/{name}", send)
