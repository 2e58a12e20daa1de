"""What clients get where no fault or script says otherwise: here, what the modelled server answers."""

from __future__ import annotations

from collections.abc import Sequence

from rawlogs.testing.faults import Serve, Step
from rawlogs.testing.model.api import Api
from rawlogs.testing.model.connection_log import Connection
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.state import ServerState


class Responder:
    """Answers as Prefect does. Playbacks of recordings derive from it."""

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
