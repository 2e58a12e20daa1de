"""Server-Sent Events for Starlette and FastAPI (``pip install rawlogs[web]``).

    hub = Hub()
    app = Starlette(routes=routes(hub, authorize=may_read), lifespan=lifespan(hub))

The endpoint sends what ``chunks`` makes; sse-starlette sees to keep-alive, to clients that hang, and to shutdown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rawlogs.relay.access import (
    NOT_ALLOWED,
    RECHECK,
    Authorize,
    Recheck,
    Refusal,
    admit,
    allowed,
    recheck_seconds,
)
from rawlogs.relay.hub import Hub
from rawlogs.relay.reader import Reader
from rawlogs.relay.sse_encoding import HEADERS, RETRY, chunks

DENIED = "Nobody may read here: give routes(hub, authorize=...) a function that says who may read which logs."


def sse_endpoint(
    hub: Hub,
    *,
    authorize: Authorize[Request] | None = None,
    ping: float = 15.0,
    retry: float = RETRY,
    send_timeout: float | None = 60.0,
    recheck: float | None = RECHECK,
    ignore: Iterable[str] = (),
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint ``GET /logs?flow_run_id=...&level=...``, for a Route or a FastAPI path.

    authorize: called with the request and the ``Query``; only True lets the reader in. None: nobody. It is called again
        with the same request every ``recheck`` seconds (None: never), and the stream ends where it does not say True.
    ping: seconds between two signs of life; retry: seconds after which a browser comes back.
    send_timeout: seconds that a client may take no byte before it is let go (it comes back with its cursor).
    ignore: names of parameters that are not the relay's, such as a token for ``authorize``.
    """
    ignored, seconds = tuple(ignore), recheck_seconds(recheck)

    async def logs(request: Request) -> Response:
        reader = await admit(
            lambda: hub,
            authorize,
            request,
            request.query_params.multi_items(),
            request.headers.get("last-event-id"),
            ignore=ignored,
            join=request.method != "HEAD",
            denied=DENIED if authorize is None else NOT_ALLOWED,
        )
        if reader is None:
            return Response(headers=HEADERS, media_type="text/event-stream")
        if isinstance(reader, Refusal):
            return _refused(reader, retry)
        return _Stream(
            reader,
            Recheck(reader, lambda now: allowed(authorize, request, now), seconds, hub.clock),
            chunks(reader, retry=retry),
            headers=HEADERS,
            ping=ping,
            ping_message_factory=lambda: _ping(reader),
            send_timeout=send_timeout,
            sep="\n",
        )

    return logs


def routes(hub: Hub, *, path: str = "/logs", **options: Any) -> list[Route]:
    """Return the one route, ready for ``Starlette(routes=...)``; ``options`` are those of ``sse_endpoint``."""
    return [Route(path, sse_endpoint(hub, **options), methods=["GET"])]


def lifespan(hub: Hub) -> Callable[[Any], Any]:
    """Return a lifespan for ``Starlette(lifespan=...)`` that closes the hub with the application."""

    @asynccontextmanager
    async def span(_: Any) -> AsyncGenerator[None, None]:
        async with hub:
            yield

    return span


class _Stream(EventSourceResponse):
    """The response, which lets its reader go however it ends, also before it began."""

    def __init__(self, reader: Reader, recheck: Recheck, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._reader = reader
        self._recheck = recheck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._recheck.start()
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._recheck.stop()
            self._reader.close()


def _ping(reader: Reader) -> ServerSentEvent:
    cursor = reader.cursor
    return ServerSentEvent(comment="keep-alive", id=cursor.text if cursor is not None else None, sep="\n")


def _refused(refusal: Refusal, retry: float) -> Response:
    if refusal.status == 204:
        return Response(status_code=204, headers=HEADERS)
    return JSONResponse(refusal.body(), refusal.status, headers={**HEADERS, **refusal.headers(retry)})
