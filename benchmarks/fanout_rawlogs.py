"""The fan-out of rawlogs, as docs/relay.md shows it: one hub, its route, nothing set but who may read."""

from __future__ import annotations

from starlette.applications import Starlette

from benchmarks.fanout_serving import serve
from rawlogs.relay import Hub
from rawlogs.relay.sse import lifespan, routes


def may_read(request: object, query: object) -> bool:
    return True


if __name__ == "__main__":
    hub = Hub()
    serve(Starlette(routes=routes(hub, authorize=may_read), lifespan=lifespan(hub)))
