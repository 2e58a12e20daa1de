"""``ByMatch`` plays a cassette's answers to what asks for them, and passes on or refuses what it does not know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson

from rawlogs.log_values import parse_timestamp
from rawlogs.testing import matching
from rawlogs.testing.faults import Serve, SocketStep, Step
from rawlogs.testing.model.connection_log import Connection
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.playback import Playback, PlaySession
from rawlogs.testing.recording_view import Session, below
from rawlogs.testing.redact import Redactor
from rawlogs.testing.router import Responder
from rawlogs.testing.upstream import Upstream

UNKNOWN = 501
"""The status of a request that the cassette does not know; neither a server nor a proxy is likely to send it."""
_LONGEST = 600
_REDACTOR = Redactor()
_ABOUT_THE_SERVER = frozenset(
    {"/health", "/ready", "/hello", "/version", "/admin/version", "/admin/settings", "/csrf-token"}
)
"""Paths that any server can answer; clients ask for them at times that vary."""
_CLOCK_TOLERANCE = timedelta(seconds=5)


class CassetteIndex:
    """What is still to be played, by the keys of ``matching``: each WebSocket once, answers in their order."""

    def __init__(self, playback: Playback) -> None:
        self._waiting: dict[str, list[tuple[str | None, Session]]] = defaultdict(list)
        self._last: dict[str, Session] = {}
        self._exact: dict[str, list[Answer]] = defaultdict(list)
        self._alike: dict[str, list[Answer]] = defaultdict(list)
        self._filters: set[str] = set()
        api_url = playback.recording.api_url
        for session in playback.sessions:
            path, frame = below(session.path, api_url), session.filter
            key = None if frame is None else matching.websocket_key(path, frame)
            self._waiting[path].append((key, session))
            if frame is not None:
                self._filters.add(matching.filter_key(frame, "filter"))
        for exchange in playback.exchanges:
            target = below(exchange.target, api_url)
            asked = (exchange.method, target, exchange.content)
            self._exact[matching.exact_key(*asked)].append(exchange.answer)
            self._alike[matching.request_key(*asked)].append(exchange.answer)
            if exchange.method == "POST" and target == matching.LISTS:
                self._filters.add(matching.filter_key(exchange.content, "logs"))

    def without_filter(self, path: str) -> Session | None:
        """Take the next WebSocket of a path, where that one ended before its client sent a filter."""
        waiting = self._waiting[path]
        return waiting.pop(0)[1] if waiting and waiting[0][0] is None else None

    def session(self, path: str, frame: str | bytes) -> Session | None:
        """Take the next WebSocket of a path with this filter; None where none is left."""
        wanted = matching.websocket_key(path, frame)
        for number, (key, session) in enumerate(self._waiting[path]):
            if key == wanted:
                del self._waiting[path][number]
                self._last[wanted] = session
                return session
        return None

    def ended_by_server(self, path: str, frame: str | bytes) -> bool:
        """Return whether the server ended the last such WebSocket: its client is expected to connect again."""
        last = self._last.get(matching.websocket_key(path, frame))
        return last is not None and last.ended_by_server

    def answer(self, request: RestRequest) -> Answer | None:
        """Return the next recorded answer to a request; the last one stays."""
        asked = (request.method, request.target, request.content)
        # Two lists that differ in their times alone bring different logs; any other request has no such times.
        if request.path == matching.LISTS:
            return _next(self._exact[matching.exact_key(*asked)])
        return _next(self._alike[matching.request_key(*asked)])

    def has_logs_for(self, request: RestRequest) -> bool:
        """Return whether a request lists logs of a filter whose logs were streamed or listed while recording."""
        if (request.method, request.path) != ("POST", matching.LISTS):
            return False
        return matching.filter_key(request.content, "logs") in self._filters


def _without_later_times(request: RestRequest, now: datetime) -> RestRequest:
    """Return a list request without its time range where that begins after ``now``, the recorded server's time.

    Such a client goes by its own clock, which is ahead of a recording of yesterday.
    """
    body = request.body
    try:
        chosen = body["logs"]
        if parse_timestamp(chosen["timestamp"]["after_"]) <= now + _CLOCK_TOLERANCE:
            return request
    except (KeyError, TypeError, ValueError, AttributeError):  # no range, or one that no server accepts
        return request
    return replace(request, content=orjson.dumps({**body, "logs": {**chosen, "timestamp": None}}))


def _next(answers: list[Answer]) -> Answer | None:
    if len(answers) > 1:
        return answers.pop(0)
    return answers[0] if answers else None  # a client may poll longer than the recorded one did


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
        # The recorded logs are complete for such a filter, whatever time range is asked for.
        if self.index.has_logs_for(request):
            await self.state.ingested()
            return self.api.answer(_without_later_times(request, self.state.now()))
        # A cassette that never saw such a request still answers it: clients send them at times that vary.
        if self._replays and request.method == "GET" and request.path in _ABOUT_THE_SERVER:
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


@dataclass(frozen=True, eq=False)
class ServeByFilter(SocketStep):
    """Plays the recorded WebSocket with the client's filter, or passes the client on, or refuses it."""

    responder: ByMatch

    async def act(self, channel: WebSocketSession) -> None:
        responder = self.responder
        index, path = responder.index, f"/{channel.record.channel}/out"
        # A recorded client that was refused, or left in the handshake, never sent a filter.
        if (refused := index.without_filter(path)) is not None:
            await PlaySession(responder.playback, refused).act(channel)
            return
        frame = await channel.read_filter()
        if (session := index.session(path, frame)) is not None:
            await PlaySession(responder.playback, session).act(channel)
        elif responder.upstream is not None:
            await responder.upstream.converse(channel)
        # The recorded client would have connected again; this one does, and gets what the model has.
        elif index.ended_by_server(path, frame):
            await channel.serve()
        else:
            text = frame if isinstance(frame, str) else frame.decode("utf-8", "backslashreplace")
            responder.refuse(f"WebSocket {path} {text}")
            await channel.close(1008, "the cassette does not know this filter")
