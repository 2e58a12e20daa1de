"""An async view that sends Server-Sent Events; needs an ASGI server and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable

from django.conf import settings  # type: ignore[import-untyped,unused-ignore]
from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped,unused-ignore]
from django.http import (  # type: ignore[import-untyped,unused-ignore]
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)

from rawlogs.contrib.django.fresh import fresh_request
from rawlogs.contrib.django.hub import get_hub
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
from rawlogs.relay.sse_encoding import HEADERS, RETRY, with_heartbeat

OVERRIDE = (
    "Nobody may read here yet: give prefect_logs_view(authorize=...) a function of the request and the query that "
    "returns True for those who may read these logs. (This text is shown because DEBUG is on.)"
)


def prefect_logs_view(
    *,
    authorize: Authorize[HttpRequest] | None = None,
    ping: float = 15.0,
    retry: float = RETRY,
    recheck: float | None = RECHECK,
    ignore: Iterable[str] = (),
    hub: Callable[[], Hub] = get_hub,
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Return the view for ``path("logs", prefect_logs_view(authorize=...))``; see ``sse_endpoint`` for the rest.

    Without Channels and without a channel layer. ``hub`` makes or finds the hub; None of your own: by Django's
    settings. ``authorize`` is called again every ``recheck`` seconds (None: never), with a request whose session and
    user are read anew; the stream ends where it does not say True. Under WSGI it answers 501: an endless answer would
    keep a worker for itself.
    """
    ignored, seconds = tuple(ignore), recheck_seconds(recheck)

    async def prefect_logs(request: HttpRequest) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            return _answer(405, "Use GET", Allow="GET, HEAD")
        if not isinstance(request, ASGIRequest):
            return _answer(501, "This view needs an ASGI server (uvicorn, daphne, hypercorn)")
        pairs = [(name, value) for name, values in request.GET.lists() for value in values]
        reader = await admit(
            hub,
            authorize,
            request,
            pairs,
            request.headers.get("Last-Event-ID"),
            ignore=ignored,
            join=request.method != "HEAD",
            denied=OVERRIDE if authorize is None and settings.DEBUG else NOT_ALLOWED,
        )
        if reader is None:
            return HttpResponse(headers=HEADERS, content_type="text/event-stream")
        if isinstance(reader, Refusal):
            if reader.status == 204:
                return HttpResponse(status=204, headers=HEADERS)
            return JsonResponse(
                reader.body(), status=reader.status, headers={**HEADERS, **reader.headers(retry)}
            )
        return StreamingHttpResponse(
            _Body(
                reader,
                with_heartbeat(reader, ping, retry=retry),
                Recheck(
                    reader,
                    lambda now: allowed(authorize, fresh_request(request), now),
                    seconds,
                    hub().clock,
                ),
            ),
            headers=HEADERS,
            content_type="text/event-stream; charset=utf-8",
        )

    return prefect_logs


class _Body:
    """The stream; Django calls ``close`` when the response is over, also where it never began."""

    def __init__(self, reader: Reader, chunks: AsyncGenerator[bytes, None], recheck: Recheck) -> None:
        self._reader = reader
        self._chunks = chunks
        self._recheck = recheck

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._recheck.start()
        return self._chunks

    def close(self) -> None:
        self._recheck.stop()
        self._reader.close()


def _answer(status: int, text: str, **headers: str) -> HttpResponse:
    return JsonResponse({"error": text}, status=status, headers={**HEADERS, **headers})
