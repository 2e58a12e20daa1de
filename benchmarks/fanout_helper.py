"""The obvious fan-out: each request reads Prefect itself, through Prefect's helper, and passes on what it yields."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from prefect.logging.clients import PrefectLogsSubscriber
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.fanout_serving import serve


async def events() -> AsyncGenerator[ServerSentEvent, None]:
    async with PrefectLogsSubscriber() as logs:
        yield ServerSentEvent(comment="subscribed")
        async for log in logs:
            yield ServerSentEvent(id=str(log.id), event="log", data=log.model_dump_json())


async def endpoint(request: Request) -> EventSourceResponse:
    return EventSourceResponse(events())


if __name__ == "__main__":
    serve(Starlette(routes=[Route("/logs", endpoint)]))
