"""A recording played back: each recorded WebSocket to the next client that connects, and its logs over REST.

What a client says is not compared with what was recorded (its token may be another one), but its filter is honoured,
apart from its times: those of a recording are long past, and a client that asks for what comes from now on means it.
After the last recorded session the server behaves like Prefect with nothing new to tell.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from rawlogs.testing import recording_view
from rawlogs.testing.faults import Serve, SocketStep, Step, Where
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.model.subscriptions import Outgoing
from rawlogs.testing.net.faulty_writer import Ended
from rawlogs.testing.net.rest_exchange import Answer, RestRequest
from rawlogs.testing.net.websocket_session import WebSocketSession, outgoing
from rawlogs.testing.recording import Recording
from rawlogs.wire.events import WireEvent

_MODELLED = ("/logs/filter", "/logs/", "/csrf-token")
_CHUNK = 256


class ReplayClock:
    """The clock of the recorded server: it starts when the recording did, and runs at its speed."""

    def __init__(self, recording: Recording, speed: float | None) -> None:
        self._origin = recording.created
        self._speed = speed
        if speed is None:
            self._origin += timedelta(seconds=recording.duration)
        self._started: float | None = None

    def start(self) -> None:
        """Let it run from now on."""
        self._started = self.monotonic()

    def now(self) -> datetime:
        passed = self.monotonic() - self._started if self._started is not None else 0.0
        return self._origin + timedelta(seconds=passed * (self._speed or 1.0))

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Replay:
    """What a recording holds, ready to be served. ``speed`` 2.0 is twice as fast, None at once."""

    def __init__(self, recording: Recording, speed: float | None) -> None:
        self.recording = recording
        self.speed = speed
        self.clock = ReplayClock(recording, speed)
        self.sessions: dict[str, list[Sequence[WireEvent]]] = {"logs": [], "events": []}
        for session in recording_view.sessions(recording.events):
            self.sessions["events" if session.path.endswith("/events/out") else "logs"].append(session.events)
        self._exchanges = list(recording_view.exchanges(recording.events))
        self._rows, streamed = recording_view.logs(recording.events)
        self._unplayed = {entry.id: entry for _, entry in streamed}
        self._timeline = [(at, entry.id) for at, entry in streamed]
        self._begun = False
        self.played = 0

    def behaviour(self) -> Behaviour:
        """The recorded server, as far as the recording knows it."""
        base = recording_view.path_of(self.recording.api_url or "").rstrip("/") or "/api"
        return Behaviour(version=self.recording.prefect_version or Behaviour().version, base_path=base)

    @property
    def finished(self) -> bool:
        """Whether every recorded session with logs was played to its end."""
        return self.played >= len(self.sessions["logs"])

    def begin(self, state: ServerState) -> None:
        """The first client is here: store what only REST ever showed now, and what was streamed as time goes by."""
        if not self._begun:
            self._begun = True
            self.clock.start()
            state.store(self._rows)
            state.spawn(self._unfold(state))

    async def _unfold(self, state: ServerState) -> None:
        began = self.clock.monotonic()
        for at, id in self._timeline:
            if self.speed is not None and (wait := began + at / self.speed - self.clock.monotonic()) > 0:
                await self.clock.sleep(wait)
            self.commit(state, [id])

    def commit(self, state: ServerState, ids: Sequence[str]) -> None:
        """Make streamed logs readable over REST."""
        state.store(entry for id in ids if (entry := self._unplayed.pop(id, None)) is not None)

    def steps(self, where: Where, number: int) -> Sequence[Step]:
        """What happens to the next connection."""
        sessions = self.sessions.get(where, [])
        return (Play(self, sessions[number], where),) if number < len(sessions) else (Serve(),)

    def answer(self, request: RestRequest) -> Answer | None:
        """What the recorded server answered to this request, the last time where there were several."""
        if request.path in _MODELLED:
            return None
        for asked in reversed(self._exchanges):
            same = asked.method == request.method and unquote(asked.path).endswith(request.path)
            if same and recording_view.decoded(asked.content) == request.body:
                return asked.answer
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Play(SocketStep):
    """One recorded session, from the upgrade (or where the client is by now) to how it ended."""

    replay: Replay
    events: Sequence[WireEvent]
    channel: str

    async def act(self, line: WebSocketSession) -> None:
        try:
            await self._open(line)
            await self._stream(line)
        finally:
            if self.channel == "logs":
                self.replay.played += 1
            line.state.changed()
        await self._finish(line)

    async def _open(self, line: WebSocketSession) -> None:
        for event in self.events:
            if event.kind == "refused":
                body = event.data.encode() if isinstance(event.data, str) else event.data or b""
                await line.http(recording_view.integer(event.facts.get("status"), 403), {}, body)
            if event.kind == "upgrade_ok":
                await line.accept(None if event.facts.get("subprotocol") is None else "prefect")
                return
        await line.drop()

    async def _stream(self, line: WebSocketSession) -> None:
        clock = self.replay.clock
        started, began = clock.monotonic(), self.events[0].at
        waiting: list[Outgoing] = []
        subscribed = False
        greeted = line.record.auth is not None
        for event in self.events:
            if event.direction != "server" or event.kind not in ("text", "binary") or event.data is None:
                continue
            if recording_view.kind_of(event.data).startswith("auth_"):
                if greeted:
                    continue
                await line.expect_auth(answer=False)
                line.become("authenticated")
                await line.send(event.data)
                continue
            if not subscribed:
                await line.expect_filter()
                subscribed = True
                started, began = clock.monotonic(), self._subscribed_at()
            if self.replay.speed is not None:
                due = started + (event.at - began) / self.replay.speed
                if (wait := due - clock.monotonic()) > 0:
                    await clock.sleep(wait)
            told, frame = recording_view.told(event.data), outgoing(event.data)
            if _passes(line, told):
                waiting.append(frame._replace(id=recording_view.id_of(told)))
            if self.replay.speed is not None or len(waiting) == _CHUNK:
                await self._send(line, waiting)
                waiting = []
        await self._send(line, waiting)

    def _subscribed_at(self) -> float:
        said = [event.at for event in self.events if event.direction == "client" and event.kind == "text"]
        return said[1] if len(said) > 1 else self.events[0].at

    async def _send(self, line: WebSocketSession, frames: list[Outgoing]) -> None:
        if frames:
            self.replay.commit(line.state, [frame.id for frame in frames if frame.id is not None])
            await line.send_frames(frames)
            line.record.sent.extend(frame.id for frame in frames if frame.id is not None)
            line.state.changed()

    async def _finish(self, line: WebSocketSession) -> None:
        for event in self.events:
            if event.direction == "server" and event.kind == "close":
                await line.close(recording_view.integer(event.facts.get("code"), 1000), str(event.data or ""))
                raise Ended
            if event.direction == "server" and event.kind == "drop":
                await line.drop()
            if event.direction == "client" and event.kind == "close":
                break
        await line.serve()


def _passes(line: WebSocketSession, told: Any) -> bool:
    """Whether a client's filter lets it through; what is neither log nor event passes."""
    item = recording_view.entry_of(told) if line.record.channel != "events" else told
    try:
        return item is None or line.chooses(item)
    except (KeyError, TypeError, ValueError, AttributeError):  # an event such as Prefect never sent
        return True
