"""``Router`` records each request and WebSocket of a server and chooses what happens to it; ``Responder`` answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote

from rawlogs.testing.faults import Serve, Step
from rawlogs.testing.model.api import Api
from rawlogs.testing.model.connection_log import Connection, SocketName
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.access import Refusal, check_request
from rawlogs.testing.plan import FaultPlan

_SOCKETS: dict[str | None, SocketName] = {"/logs/out": "logs", "/events/out": "events"}


class Responder:
    """Answers as the modelled server does where no fault or script says otherwise; playbacks derive from it."""

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.api = Api(state)

    def begin(self) -> None:
        """Prepare for a client; called before each connection and request."""

    def steps(self, connection: Connection) -> Sequence[Step]:
        """Return what happens to a WebSocket."""
        return (Serve(),)

    async def answer(self, request: RestRequest) -> Answer:
        """Return the answer to a request, once all posted logs are stored."""
        answer = self.api.answer(request)
        await self.state.ingested()
        return answer


class Router:
    """The requests and WebSockets of one server.

    base_path: the path below which the API is.
    loopback: the server listens on the loopback interface only, and refuses what browsers bring from elsewhere.
    seed: of all chance on the connections.
    """

    def __init__(self, responder: Responder, *, base_path: str, loopback: bool = True, seed: int = 0) -> None:
        self.responder = responder
        self.state = responder.state
        self.plan = FaultPlan()
        self.connections: list[Connection] = []
        self.event_connections: list[Connection] = []
        self.requests: list[RestRequest] = []
        self._base = base_path.rstrip("/")
        self._loopback = loopback
        self._seed = seed

    def refusal(self, request: RestRequest) -> Refusal | None:
        """Return why a request or an upgrade is refused; None where it is not."""
        host, origin = request.headers.get("host"), request.headers.get("origin")
        return check_request(host, request.target, loopback=self._loopback, origin=origin)

    def connect(self, request: RestRequest) -> tuple[Connection, Sequence[Step]]:
        """Record a WebSocket, and return its record and what happens to it."""
        self.responder.begin()
        channel = _SOCKETS.get(self._below_base(request.path))
        connections = self.event_connections if channel == "events" else self.connections
        # Fields of one name were joined by commas when the request was read.
        offered = request.headers.get("sec-websocket-protocol", "").split(",")
        record = Connection(
            number=len(connections),
            path=request.path,
            headers=dict(request.headers),
            subprotocols=[name.strip() for name in offered if name.strip()],
            channel=channel,
        )
        connections.append(record)
        self.state.changed()
        normal = self.responder.steps(record)
        # A path without a socket is refused by the model; faults for logs can happen to it before.
        return record, self.plan.steps(channel or "logs", record.number, record.path, normal)

    def receive(self, request: RestRequest) -> tuple[RestRequest, Sequence[Step]]:
        """Record a request; return it with the path below the base path, and what happens to it."""
        self.responder.begin()
        below = self._below_base(request.path)
        # The model answers 404; a cassette does not pass it on.
        if below is None:
            request = replace(request, below_base=False)
        else:
            request = replace(request, path=below, target=request.target[len(self._base) :])
        self.requests.append(request)
        self.state.changed()
        return request, self.plan.steps("rest", len(self.requests) - 1, request.path, (Serve(),))

    def rng(self, number: int) -> random.Random:
        """Return the chance of one connection."""
        # By its number: the order in which connections use their chance makes no difference.
        return random.Random(f"{self._seed}/{number}")

    def _below_base(self, path: str) -> str | None:
        return unquote(path[len(self._base) :]) if path.startswith(f"{self._base}/") else None
