"""``ByMatch``: plays a cassette's answers to what asks for them, and passes on or refuses what it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rawlogs.testing.cassette_index import CassetteIndex, is_about_the_server, without_later_times
from rawlogs.testing.faults import Serve, SocketStep, Step
from rawlogs.testing.model.connection_log import Connection
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.playback import Playback, PlaySession
from rawlogs.testing.redact import Redactor
from rawlogs.testing.responder import Responder
from rawlogs.testing.upstream import Upstream

UNKNOWN = 501
"""The status of a request that the cassette does not know; neither a server nor a proxy is likely to send it."""
_LONGEST = 600
_REDACTOR = Redactor()


class ByMatch(Responder):
    """Answers from a cassette.

    upstream: the real server that what is unknown is passed on to; None: it is refused.
    unknown: descriptions of the requests that were refused.
    """

    def __init__(self, state: ServerState, playback: Playback, upstream: Upstream | None) -> None:
        super().__init__(state)
        self.playback = playback
        self.index = CassetteIndex(playback)
        self.upstream = upstream
        self.unknown: list[str] = []
        # While a new cassette is recorded, even /health goes to the real server.
        self._replays = bool(playback.recording.events) or upstream is None

    def begin(self) -> None:
        """Start the recording's time with the first client."""
        self.playback.begin(self.state)

    def steps(self, connection: Connection) -> Sequence[Step]:
        """Return the step that reads the filter and decides by it."""
        return (Serve(),) if connection.channel is None else (ServeByFilter(self),)

    async def answer(self, request: RestRequest) -> Answer:
        """Return the recorded answer; for a list of known logs the model's; else the real server's, or 501."""
        if (answer := self.index.answer(request)) is not None:
            return answer
        if self.index.has_logs_for(request):
            await self.state.ingested()
            return self.api.answer(without_later_times(request, self.state.now()))
        if self._replays and is_about_the_server(request):
            return self.api.answer(request)
        if self.upstream is not None and request.below_base:
            return await self.upstream.ask(request)
        body = _REDACTOR.binary(request.content).decode("utf-8", "backslashreplace")
        asked = self.refuse(f"{request.method} {request.target} {body}".rstrip())
        return Answer({"detail": f"The cassette does not know {asked}"}, UNKNOWN)

    def refuse(self, asked: str) -> str:
        """Note a request that the cassette does not know; return its description without secrets."""
        asked = _REDACTOR.text(asked)
        asked = asked if len(asked) <= _LONGEST else f"{asked[:_LONGEST]}…"
        if asked not in self.unknown:
            self.unknown.append(asked)
        self.state.changed()
        return asked


@dataclass(frozen=True, slots=True, eq=False)
class ServeByFilter(SocketStep):
    """Plays the recorded WebSocket with the client's filter, or passes the client on, or refuses it."""

    responder: ByMatch

    async def act(self, channel: WebSocketSession) -> None:
        responder = self.responder
        index, path = responder.index, f"/{channel.record.channel}/out"
        if (refused := index.without_filter(path)) is not None:
            await PlaySession(responder.playback, refused).act(channel)
            return
        frame = await channel.read_filter()
        if (session := index.session(path, frame)) is not None:
            await PlaySession(responder.playback, session).act(channel)
        elif responder.upstream is not None:
            await responder.upstream.converse(channel)
        elif index.ended_by_server(path, frame):
            await channel.serve()
        else:
            text = frame if isinstance(frame, str) else frame.decode("utf-8", "backslashreplace")
            responder.refuse(f"WebSocket {path} {text}")
            await channel.close(1008, "the cassette does not know this filter")
