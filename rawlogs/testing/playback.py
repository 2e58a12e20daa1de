"""Plays a recording: ``Playback`` is the engine; ``InOrder`` gives each client the next recorded WebSocket.

What a client sends is not compared with the recording (its token may be another one). Its filter is honoured, but not
its times: those of a recording are long past, and a client that asks for logs from now on means the recorded ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from rawlogs.clock import SystemClock
from rawlogs.testing import recording_view as view
from rawlogs.testing.faults import Serve, SocketStep, Step
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.connection_log import Connection
from rawlogs.testing.model.rest import Answer, RestRequest, json_value
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.model.subscriptions import Outgoing, outgoing
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.recording import Recording
from rawlogs.testing.recording_view import Session
from rawlogs.testing.redact import as_bytes
from rawlogs.testing.router import Responder

_MODELLED = ("/logs/filter", "/logs/", "/csrf-token")
"""Requests that the model answers: from the recorded logs, which are complete, whatever was asked then."""
_CHUNK = 256


class PlaybackClock(SystemClock):
    """The clock of the recorded server: it starts at the recording's beginning and runs at its speed."""

    def __init__(self, recording: Recording, speed: float | None) -> None:
        # At once: all logs are of the past, and none is of the future.
        self._origin = recording.created + timedelta(seconds=recording.duration if speed is None else 0.0)
        self._speed = speed or 1.0
        self._started: float | None = None

    def start(self) -> None:
        """Start the clock."""
        self._started = self.monotonic()

    def now(self) -> datetime:
        """Return the recorded server's time."""
        passed = self.monotonic() - self._started if self._started is not None else 0.0
        return self._origin + timedelta(seconds=passed * self._speed)


class Playback:
    """A recording that is ready to be played. ``speed`` 2.0 is twice as fast, None at once."""

    def __init__(self, recording: Recording, speed: float | None) -> None:
        self.recording = recording
        self.speed = speed
        self.clock = PlaybackClock(recording, speed)
        self.sessions = view.sessions(recording.events)
        self.exchanges = list(view.exchanges(recording.events))
        self._rows, streamed = view.logs(recording.events)
        self._unstored = {entry.id: entry for _, entry in streamed}
        self._timeline = [(at, entry.id) for at, entry in streamed]
        self._begun = False
        self.played: set[Session] = set()

    def behaviour(self) -> Behaviour:
        """Return the recorded server's behaviour, as far as the recording tells it."""
        version = self.recording.prefect_version or Behaviour().version
        return Behaviour(version=version, base_path=view.base_path(self.recording.api_url))

    def begin(self, state: ServerState) -> None:
        """Start the clock when the first client comes; store what was never streamed now, the rest in its time."""
        if not self._begun:
            self._begun = True
            self.clock.start()
            # These were there before the recorded client came, or were never sent to it.
            state.store(self._rows)
            state.spawn(self._store_streamed(state))

    async def _store_streamed(self, state: ServerState) -> None:
        began = self.clock.monotonic()
        for at, id in self._timeline:
            await self.wait_until(began, at)
            self.store(state, [id])

    def store(self, state: ServerState, ids: Iterable[str]) -> None:
        """Make streamed logs readable over REST, unless they are."""
        state.store(entry for id in ids if (entry := self._unstored.pop(id, None)) is not None)

    async def wait_until(self, began: float, at: float) -> None:
        """Wait until ``at`` recorded seconds have passed since ``began``, at this playback's speed."""
        if self.speed is not None and (wait := began + at / self.speed - self.clock.monotonic()) > 0:
            await self.clock.sleep(wait)


@dataclass(frozen=True, eq=False)
class PlaySession(SocketStep):
    """Plays one recorded WebSocket, from the upgrade (or from where the client is by now) to its end."""

    playback: Playback
    session: Session

    async def act(self, channel: WebSocketSession) -> None:
        try:
            await self._open(channel)
            await self._stream(channel)
        finally:
            self.playback.played.add(self.session)
            channel.state.changed()
        await self._finish(channel)

    async def _open(self, channel: WebSocketSession) -> None:
        for event in self.session.events:
            if event.kind == "refused":
                status = view.integer(event.facts.get("status"), 403)
                await channel.http(status, {}, as_bytes(event.data))
            if event.kind == "upgrade_ok":
                await channel.accept(None if event.facts.get("subprotocol") is None else "prefect")
                return
        await channel.drop()

    async def _stream(self, channel: WebSocketSession) -> None:
        playback = self.playback
        started, began = playback.clock.monotonic(), self.session.events[0].at
        waiting: list[Outgoing] = []
        subscribed = False
        authenticated = channel.record.auth is not None
        for event in self.session.events:
            if event.direction != "server" or event.kind not in ("text", "binary") or event.data is None:
                continue
            if view.kind_of(event.data).startswith("auth_"):
                if not authenticated:  # a cassette's client was answered before its filter was known
                    await channel.expect_auth(answer=False)
                    channel.become("authenticated")
                    await channel.send(event.data)
                continue
            if not subscribed:
                await channel.expect_filter()
                subscribed = True
                # The client may have taken another time for its handshake than the recorded one.
                started, began = playback.clock.monotonic(), self._subscribed_at()
            await playback.wait_until(started, event.at - began)
            payload = view.payload_of(event.data)
            if _passes(channel, payload):
                waiting.append(outgoing(event.data)._replace(id=view.id_of(payload)))
            # With a speed each log comes in its time; at once, in chunks, so that none needs a write of its own.
            if playback.speed is not None or len(waiting) == _CHUNK:
                await self._send(channel, waiting)
                waiting = []
        await self._send(channel, waiting)

    def _subscribed_at(self) -> float:
        """Return when the recorded client sent its second message, the filter."""
        events = self.session.events
        sent = [event.at for event in events if event.direction == "client" and event.kind == "text"]
        return sent[1] if len(sent) > 1 else events[0].at

    async def _send(self, channel: WebSocketSession, frames: list[Outgoing]) -> None:
        # Stored first: a client that asks REST about a log that it has just received finds it.
        self.playback.store(channel.state, [frame.id for frame in frames if frame.id is not None])
        await channel.deliver(frames)

    async def _finish(self, channel: WebSocketSession) -> None:
        for event in self.session.events:
            if (event.direction, event.kind) == ("server", "close"):
                await channel.close(view.integer(event.facts.get("code"), 1000), str(event.data or ""))
            if (event.direction, event.kind) == ("server", "drop"):
                await channel.drop()
            if (event.direction, event.kind) == ("client", "close"):
                break
        await channel.serve()


@dataclass(frozen=True, eq=False)
class RefuseLateClient(SocketStep):
    """Closes a client that comes after the last recorded WebSocket, with a reason; calls ``on_refused`` before.

    code: 1000 where no other client can be served any more, 1013 where a later attempt may succeed.
    """

    on_refused: Callable[[], None]
    code: int
    reason: str

    async def act(self, channel: WebSocketSession) -> None:
        await channel.expect_filter(subscribe=False)
        self.on_refused()
        await channel.close(self.code, self.reason)


def _passes(channel: WebSocketSession, payload: Any) -> bool:
    """Return whether the client's filter lets a frame through; what is neither log nor event passes."""
    item = view.entry_of(payload) if channel.record.channel != "events" else payload
    try:
        return item is None or channel.chooses(item)
    except (KeyError, TypeError, ValueError, AttributeError):  # an event of a shape that Prefect never sends
        return True


class InOrder(Responder):
    """Plays the recorded WebSockets to the clients in the order in which they connect.

    after: what happens to a client that comes after the last one.
    """

    def __init__(self, state: ServerState, playback: Playback, after: Sequence[Step] = (Serve(),)) -> None:
        super().__init__(state)
        self._playback = playback
        self._after = after
        self._events = [session for session in playback.sessions if session.path.endswith("/events/out")]
        self._logs = [session for session in playback.sessions if session not in self._events]

    @property
    def finished(self) -> bool:
        """True if every recorded WebSocket for logs was played, as far as its client stayed."""
        return self._playback.played.issuperset(self._logs)

    def begin(self) -> None:
        """Start the recording's time with the first client."""
        self._playback.begin(self.state)

    def steps(self, connection: Connection) -> Sequence[Step]:
        """Return the playback of the next recorded WebSocket."""
        sessions = self._events if connection.channel == "events" else self._logs
        # Clients take the recorded WebSockets of each kind in turn.
        if connection.number < len(sessions):
            return (PlaySession(self._playback, sessions[connection.number]),)
        return self._after if connection.channel == "logs" else (Serve(),)

    async def answer(self, request: RestRequest) -> Answer:
        """Return the last recorded answer to an equal request; otherwise the model's."""
        if request.path not in _MODELLED:
            for exchange in reversed(self._playback.exchanges):
                same = exchange.method == request.method and unquote(exchange.path).endswith(request.path)
                if same and json_value(exchange.content) == request.body:
                    return exchange.answer
        return await super().answer(request)
