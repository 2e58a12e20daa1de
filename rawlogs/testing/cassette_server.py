"""The server of a cassette: a fake server that plays what is known, and passes on or refuses what is not."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rawlogs.testing.cassette_index import CassetteIndex, without_other_times
from rawlogs.testing.faults import Serve, SocketStep, Step, Where
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.net.rest_exchange import Answer, RestRequest
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.plan import FaultPlan
from rawlogs.testing.playback import Play
from rawlogs.testing.recording import Recording
from rawlogs.testing.recording_view import Session
from rawlogs.testing.redact import Redactor
from rawlogs.testing.server import FakeServer
from rawlogs.testing.upstream import Upstream

UNKNOWN = 501
"""The status of a request that the cassette does not know: one that neither a server nor a proxy is likely to send."""
SERVED: tuple[Step, ...] = (Serve(),)
_SHOWN = 600


class CassetteServer(FakeServer):
    """``unknown`` is what was asked in vain, in words. Without an ``upstream`` nothing is passed on."""

    def __init__(
        self, recording: Recording, *, behaviour: Behaviour | None, upstream: Upstream | None
    ) -> None:
        super().__init__(behaviour, recording=recording, speed=None)
        # What is passed on goes with the developer's own key. Another site's page in the developer's browser can send
        # requests to any port here, but it cannot know this path.
        base = f"/{secrets.token_urlsafe(16)}{self.behaviour.base_path}"
        self.behaviour = replace(self.behaviour, base_path=base)
        self.deck = CassetteIndex(recording)
        self._replays = bool(recording.events) or upstream is None
        self.upstream = upstream
        self.unknown: list[str] = []
        self._plan = FaultPlan(self._turns)
        self._shown = Redactor()

    def play(self, session: Session, channel: str) -> Play:
        """The step that plays one session."""
        assert self._replay is not None
        return Play(self._replay, session.events, channel)

    def _turns(self, where: Where, number: int) -> Sequence[Step]:
        if where == "rest":
            return SERVED
        record = (self.connections if where == "logs" else self.event_connections)[number]
        return (Turn(self),) if record.channel is not None else SERVED

    async def answer(self, request: RestRequest) -> Answer:
        """The recorded answer; for a list of known logs the model's; else the real server's, or none."""
        answer = self.deck.answer(request)
        if answer is not None:
            return answer
        if self.deck.lists(request):
            await self.state.ingested()
            return self._api.answer(without_other_times(request, self.state.now()))
        if self._replays and self.deck.is_about_the_server(request):
            return self._api.answer(request)
        if self.upstream is not None and request.below_base:
            return await self.upstream.ask(request)
        return Answer({"detail": self.miss(_words(request))}, UNKNOWN)

    def miss(self, asked: str) -> str:
        """Remember that this was asked in vain; the words for the client."""
        asked = self._shown.text(asked)
        asked = asked if len(asked) <= _SHOWN else f"{asked[:_SHOWN]}…"
        if asked not in self.unknown:
            self.unknown.append(asked)
        self.state.changed()
        return f"The cassette does not know {asked}"


@dataclass(frozen=True, slots=True, eq=False)
class Turn(SocketStep):
    """One client of a socket, whose filter decides which conversation it gets."""

    server: CassetteServer

    async def act(self, line: WebSocketSession) -> None:
        server, channel = self.server, line.record.channel or "logs"
        path = f"/{channel}/out"
        if (mute := server.deck.without_filter(path)) is not None:
            await server.play(mute, channel).act(line)
            return
        frame = await line.read_filter()
        if (session := server.deck.conversation(path, frame)) is not None:
            await server.play(session, channel).act(line)
        elif server.upstream is not None:
            await server.upstream.converse(line)
        elif server.deck.ended_by_server(path, frame):
            await line.serve()
        else:
            said = frame if isinstance(frame, str) else frame.decode("utf-8", "backslashreplace")
            server.miss(f"WebSocket {path} {said}")
            await line.close(1008, "the cassette does not know this filter")


def _words(request: RestRequest) -> str:
    body = Redactor().binary(request.content).decode("utf-8", "backslashreplace")
    return f"{request.method} {request.target} {body}".rstrip()
